#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/plan.h"
#include "common/hash.h"

static const struct nm_plan_options usual = {.seed = 7,
                                             .entities = 317,
                                             .min_entities = 1,
                                             .max_entities = 3,
                                             .negatives = 0.2,
                                             .min_words = 10,
                                             .max_words = 34,
                                             .styles = 5,
                                             .sections = 4};

static struct nm_plan *make(struct nm_plan_options options)
{
    struct nm_plan *plan;
    struct nm_diag diag;
    assert_int_equal(nm_plan_new(&options, &plan, &diag), NM_OK);
    return plan;
}

static void assert_same(const struct nm_plan_task *a, const struct nm_plan_task *b)
{
    assert_int_equal(a->n_entities, b->n_entities);
    assert_memory_equal(a->entities, b->entities, a->n_entities * sizeof a->entities[0]);
    assert_int_equal(a->seed, b->seed);
    assert_int_equal(a->negative, b->negative);
    assert_int_equal(a->style, b->style);
    assert_int_equal(a->section, b->section);
    assert_int_equal(a->min_words, b->min_words);
    assert_int_equal(a->max_words, b->max_words);
}

static void test_permutation(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 300; n++) {
        unsigned char seen[300] = {0};
        for (uint64_t x = 0; x < n; x++) {
            uint64_t y = nm_plan_permute(n * 77, n, x);
            assert_true(y < n);
            assert_false(seen[y]);
            seen[y] = 1;
            assert_int_equal(nm_plan_unpermute(n * 77, n, y), x);
        }
    }
}

/* The permutation moves things about: over keys, each x lands on each place about equally often. */
static void test_permutation_spreads(void **state)
{
    (void)state;
    enum { N = 10, KEYS = 20000 };
    unsigned int hits[N][N] = {{0}};
    for (uint64_t key = 0; key < KEYS; key++)
        for (uint64_t x = 0; x < N; x++)
            hits[x][nm_plan_permute(nm_mix64(key), N, x)]++;
    for (int x = 0; x < N; x++)
        for (int y = 0; y < N; y++)
            assert_in_range(hits[x][y], KEYS / N * 85 / 100, KEYS / N * 115 / 100);
}

/* After every task: no entity twice in it, and the uses of any two entities differ by at most 1. */
static void check_balance(struct nm_plan_options options, uint64_t tasks)
{
    struct nm_plan *plan = make(options);
    uint64_t *uses = calloc(options.entities, sizeof *uses), *at_level = calloc(tasks + 2, sizeof *at_level);
    assert_true(uses && at_level);
    at_level[0] = options.entities;
    uint64_t least = 0, most = 0, slots = 0;
    for (uint64_t i = 0; i < tasks; i++) {
        struct nm_plan_task task;
        nm_plan_task(plan, i, &task);
        assert_int_equal(slots, nm_plan_slots(plan, i));
        for (uint32_t k = 0; k < task.n_entities; k++) {
            assert_true(task.entities[k] < options.entities);
            for (uint32_t other = 0; other < k; other++)
                assert_int_not_equal(task.entities[k], task.entities[other]);
            uint64_t *use = &uses[task.entities[k]];
            at_level[*use]--;
            at_level[++*use]++;
            if (*use > most)
                most = *use;
        }
        slots += task.n_entities;
        while (at_level[least] == 0)
            least++;
        assert_true(most - least <= 1);
    }
    assert_int_equal(slots, nm_plan_slots(plan, tasks));
    for (uint64_t e = 0; e < options.entities; e++)
        assert_int_equal(nm_plan_uses(plan, tasks, e), uses[e]);
    free(uses);
    free(at_level);
    nm_plan_destroy(&plan);
}

static void test_balance(void **state)
{
    (void)state;
    check_balance(usual, 20000);
    struct nm_rng rng;
    nm_rng_init(&rng, 11);
    for (int round = 0; round < 300; round++) {
        struct nm_plan_options o = usual;
        o.seed = nm_rng_next(&rng);
        o.min_entities = 1 + (uint32_t)nm_rng_below(&rng, 5);
        o.max_entities = o.min_entities + (uint32_t)nm_rng_below(&rng, 5);
        o.entities = 3 * o.max_entities + nm_rng_below(&rng, 500);
        o.negatives = (double)nm_rng_below(&rng, 90) / 100;
        check_balance(o, 1500);
    }
}

/* Fewer entities than a task may ask for: still no entity twice in a task, and every one is used. */
static void test_tiny(void **state)
{
    (void)state;
    for (uint64_t entities = 1; entities <= 12; entities++) {
        struct nm_plan_options o = usual;
        o.entities = entities;
        o.max_entities = 8;
        struct nm_plan *plan = make(o);
        uint64_t uses[12] = {0}, sum = 0;
        for (uint64_t i = 0; i < 5000; i++) {
            struct nm_plan_task task;
            nm_plan_task(plan, i, &task);
            assert_true(task.n_entities <= 8 && task.n_entities <= entities);
            assert_true(task.negative == (task.n_entities == 0));
            for (uint32_t k = 0; k < task.n_entities; k++) {
                for (uint32_t other = 0; other < k; other++)
                    assert_int_not_equal(task.entities[k], task.entities[other]);
                uses[task.entities[k]]++;
                sum++;
            }
        }
        for (uint64_t e = 0; e < entities; e++)
            assert_in_range(uses[e], sum / entities * 90 / 100, sum / entities * 110 / 100 + 1);
        nm_plan_destroy(&plan);
    }
}

static void test_shares(void **state)
{
    (void)state;
    struct nm_plan *plan = make(usual);
    unsigned int counts[4] = {0}, cells[5][4][3] = {{{0}}};
    for (uint64_t i = 0; i < 6000; i++) {
        struct nm_plan_task task;
        nm_plan_task(plan, i, &task);
        counts[task.n_entities]++;
        assert_true(task.min_words >= 10 && task.max_words <= 34 && task.max_words - task.min_words == 16);
        cells[task.style][task.section][(task.min_words - 10) / 4]++;
    }
    assert_int_equal(counts[0], 1200); /* a fifth */
    for (int n = 1; n <= 3; n++)
        assert_in_range(counts[n], 1560, 1620);
    for (int style = 0; style < 5; style++)
        for (int section = 0; section < 4; section++)
            for (int band = 0; band < 3; band++)
                assert_int_equal(cells[style][section][band], 100);
    nm_plan_destroy(&plan);
}

/* The same task whatever was asked before it, and another one under another seed. */
static void test_order_is_free(void **state)
{
    (void)state;
    enum { N = 4000 };
    struct nm_plan_options o = usual;
    o.entities = 23; /* many borders */
    struct nm_plan *forward = make(o), *jumping = make(o);
    o.seed++;
    struct nm_plan *other = make(o);
    unsigned int differ = 0;
    for (uint64_t i = 0; i < N; i++) {
        uint64_t index = nm_plan_permute(99, N, i);
        struct nm_plan_task a, b, c;
        nm_plan_task(jumping, index, &a);
        nm_plan_task(forward, i, &b);
        nm_plan_task(jumping, i, &c);
        assert_same(&b, &c);
        nm_plan_task(forward, index, &b);
        assert_same(&a, &b);
        nm_plan_task(other, index, &c);
        differ += a.n_entities && (c.n_entities != a.n_entities || memcmp(a.entities, c.entities, 8) != 0);
    }
    assert_true(differ > N / 2);
    nm_plan_destroy(&forward);
    nm_plan_destroy(&jumping);
    nm_plan_destroy(&other);
}

/* These numbers are on users' disks: a ledger made by one build must mean the same tasks in the next. */
static void test_stable_across_builds(void **state)
{
    (void)state;
    struct nm_plan *plan = make(usual);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        struct nm_plan_task task;
        nm_plan_task(plan, i, &task);
        sum = nm_mix64(sum + task.seed + task.style + 10 * task.section + 100 * task.min_words);
        for (uint32_t k = 0; k < task.n_entities; k++)
            sum = nm_mix64(sum + task.entities[k]);
    }
    assert_int_equal(sum, UINT64_C(0xb8ffc5e2a6d89348));
    nm_plan_destroy(&plan);
}

static void test_large_plan_is_cheap(void **state)
{
    (void)state;
    struct nm_plan_options o = usual;
    o.entities = 1000000;
    size_t before = mallinfo2().uordblks;
    struct nm_plan *plan = make(o);
    struct nm_rng rng;
    nm_rng_init(&rng, 3);
    struct nm_plan_task task;
    for (int k = 0; k < 200000; k++) {
        nm_plan_task(plan, nm_rng_below(&rng, 100000000), &task);
        assert_true(task.n_entities <= 3);
    }
    /* Neither its 10^8 tasks nor its 10^6 entities are stored; walking them would end in ctest's time limit. */
    assert_in_range(mallinfo2().uordblks - before, 0, 1 << 16);
    nm_plan_destroy(&plan);
}

static void test_refused(void **state)
{
    (void)state;
    struct nm_plan *plan;
    struct nm_diag diag;
    struct nm_plan_options o = usual;
    o.entities = 0;
    assert_int_equal(nm_plan_new(&o, &plan, &diag), NM_EINVAL);
    assert_non_null(strstr(diag.text, "no entities"));
    assert_null(plan);
    o.negatives = 1; /* nothing but negatives needs none */
    assert_int_equal(nm_plan_new(&o, &plan, &diag), NM_OK);
    nm_plan_destroy(&plan);
    o = usual;
    o.min_entities = 4;
    assert_int_equal(nm_plan_new(&o, &plan, &diag), NM_EINVAL);
    o = usual;
    o.negatives = 1.5;
    assert_int_equal(nm_plan_new(&o, &plan, &diag), NM_EINVAL);
    o = usual;
    o.max_entities = NM_PLAN_ENTITIES_MAX + 1;
    assert_int_equal(nm_plan_new(&o, &plan, &diag), NM_EINVAL);
    o = usual;
    o.min_words = 50;
    assert_int_equal(nm_plan_new(&o, &plan, &diag), NM_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_permutation),
        cmocka_unit_test(test_permutation_spreads),
        cmocka_unit_test(test_balance),
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_order_is_free),
        cmocka_unit_test(test_large_plan_is_cheap),
        cmocka_unit_test(test_stable_across_builds),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
