/* Stages: which sentences each mix trains on, when, and at which rate; what is held out; the order of an epoch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "workers/trainer/checkpoint.h"
#include "workers/trainer/stages.h"

static struct nm_stages stages_of(enum nm_mix mix, size_t n_synthetic, size_t n_gold, double dev_share)
{
    struct nm_stages stages;
    struct nm_diag diag = {""};
    struct nm_recipe recipe = nm_recipe_defaults();
    recipe.mix = mix;
    recipe.batch = 10;
    recipe.gold_epochs = 5;
    recipe.gold_steps = 0;
    recipe.dev_share = dev_share;
    if (nm_stages_init(&stages, &recipe, n_synthetic, n_gold, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return stages;
}

static void test_stages_of_each_mix(void **state)
{
    (void)state;
    struct nm_stages s = stages_of(NM_MIX_SYNTHETIC, 95, 20, 0);
    assert_true(s.n == 1 && s.at[0].n == 95 && s.steps == 30 && s.n_dev == 0);
    nm_stages_clean_up(&s);
    s = stages_of(NM_MIX_GOLD, 95, 20, 0);
    assert_true(s.n == 1 && s.at[0].n == 20 && s.steps == 10 && s.at[0].entries[0] == 95);
    nm_stages_clean_up(&s);
    s = stages_of(NM_MIX_JOINT, 95, 20, 0);
    assert_true(s.n == 1 && s.at[0].n == 95 + 4 * 20); /* 95 / 20 times */
    nm_stages_clean_up(&s);
    s = stages_of(NM_MIX_THEN, 95, 20, 0);
    assert_true(s.n == 2 && s.steps == 30 + 10 && s.epochs == 3 + 5);
    assert_true(s.at[1].lr < s.at[0].lr);
    assert_ptr_equal(nm_stages_of_step(&s, 29), &s.at[0]);
    assert_ptr_equal(nm_stages_of_step(&s, 30), &s.at[1]);
    nm_stages_clean_up(&s);
}

/* A rate of the synthetic passes alone. */
static void test_rates(void **state)
{
    static const struct {
        enum nm_mix mix;
        double first, last;
    } mixes[] = {{NM_MIX_SYNTHETIC, 1e-4, 1e-4},
                 {NM_MIX_THEN, 1e-4, 1.2e-4},
                 {NM_MIX_JOINT, 3e-4, 3e-4},
                 {NM_MIX_GOLD, 3e-4, 3e-4}};
    (void)state;
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++) {
        struct nm_recipe recipe = nm_recipe_defaults();
        struct nm_stages s;
        recipe.mix = mixes[i].mix;
        recipe.synthetic_lr = 1e-4;
        assert_int_equal(nm_stages_init(&s, &recipe, 20, 20, NULL), NM_OK);
        assert_float_equal(s.at[0].lr, mixes[i].first, 1e-12);
        assert_float_equal(s.at[s.n - 1].lr, mixes[i].last, 1e-12);
        nm_stages_clean_up(&s);
    }
}

/* Little gold is passed over more often, much gold as often as is asked for; a checkpoint has room for the losses. */
static void test_gold_steps(void **state)
{
    (void)state;
    static const struct {
        enum nm_mix mix;
        size_t n_gold, steps, epochs;
    } cases[] = {{NM_MIX_GOLD, 20, 40, 20},          {NM_MIX_GOLD, 25, 42, 14},     {NM_MIX_GOLD, 200, 60, 3},
                 {NM_MIX_THEN, 20, 30 + 40, 3 + 20}, {NM_MIX_SYNTHETIC, 20, 30, 3}, {NM_MIX_JOINT, 20, 3 * 18, 3}};
    struct nm_recipe recipe = nm_recipe_defaults();
    struct nm_stages s;
    struct nm_diag diag = {""};
    recipe.batch = 10;
    recipe.gold_steps = 40;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        recipe.mix = cases[i].mix;
        assert_int_equal(nm_stages_init(&s, &recipe, 95, cases[i].n_gold, &diag), NM_OK);
        assert_int_equal(s.steps, cases[i].steps);
        assert_int_equal(s.epochs, cases[i].epochs);
        nm_stages_clean_up(&s);
    }
    recipe.mix = NM_MIX_THEN;
    recipe.gold_steps = 1000000;
    assert_int_equal(nm_stages_init(&s, &recipe, 95, 20, &diag), NM_OK);
    assert_int_equal(s.epochs, NM_CHECKPOINT_EPOCHS);
    nm_stages_clean_up(&s);
}

/* What is held out is trained on in no stage, and every other gold sentence is. */
static void test_held_out(void **state)
{
    (void)state;
    struct nm_stages s = stages_of(NM_MIX_THEN, 50, 40, 0.25), again = stages_of(NM_MIX_THEN, 50, 40, 0.25);
    unsigned seen[90] = {0};
    assert_int_equal(s.n_dev, 10);
    assert_memory_equal(s.dev, again.dev, 10 * sizeof(*s.dev));
    for (size_t i = 0; i < 10; i++)
        seen[s.dev[i]] += 100;
    for (size_t k = 0; k < s.n; k++)
        for (size_t i = 0; i < s.at[k].n; i++)
            seen[s.at[k].entries[i]]++;
    for (size_t i = 0; i < 90; i++)
        assert_true(seen[i] == 1 || (i >= 50 && seen[i] == 100));
    nm_stages_clean_up(&s);
    nm_stages_clean_up(&again);
}

static void test_shuffle(void **state)
{
    (void)state;
    struct nm_stages s = stages_of(NM_MIX_THEN, 40, 40, 0);
    uint32_t first[40], again[40], other[40];
    uint64_t seen = 0;
    nm_stage_shuffle(&s.at[0], 13, 0, first);
    nm_stage_shuffle(&s.at[0], 13, 0, again);
    nm_stage_shuffle(&s.at[0], 13, 1, other);
    assert_memory_equal(first, again, sizeof(first));
    assert_memory_not_equal(first, other, sizeof(first));
    for (size_t i = 0; i < 40; i++)
        seen |= UINT64_C(1) << first[i];
    assert_true(seen == (UINT64_C(1) << 40) - 1);
    nm_stage_shuffle(&s.at[1], 13, 0, other); /* another stage's epoch is another order */
    for (size_t i = 0; i < 40; i++)
        other[i] -= 40;
    assert_memory_not_equal(first, other, sizeof(first));
    nm_stages_clean_up(&s);
}

static void test_mixes_without_their_sentences(void **state)
{
    (void)state;
    struct nm_stages stages;
    struct nm_diag diag = {""};
    struct nm_recipe recipe = nm_recipe_defaults();
    assert_int_equal(nm_stages_init(&stages, &recipe, 0, 5, &diag), NM_EINVAL);
    assert_non_null(strstr(diag.text, "--recipe gold"));
    for (recipe.mix = NM_MIX_THEN; recipe.mix <= NM_MIX_GOLD; recipe.mix++) {
        assert_int_equal(nm_stages_init(&stages, &recipe, 5, 0, &diag), NM_EINVAL);
        assert_non_null(strstr(diag.text, "--gold-train"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stages_of_each_mix),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_gold_steps),
        cmocka_unit_test(test_held_out),
        cmocka_unit_test(test_shuffle),
        cmocka_unit_test(test_mixes_without_their_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
