/* Evaluation: each kind of mistake, the three ways to count, seen and unseen entities, confusion, calibration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "workers/trainer/evaluation.h"

enum { X = 0, Y = 1, N = 10 };

static struct nm_word words[N] = {{"Zinc", 4}, {"of", 2},    {"iron", 4}, {"ore", 3}, {"and", 3},
                                  {"big", 3},  {"fever", 5}, {",", 1},    {"old", 3}, {"cough", 5}};
static const struct nm_sentence sentence = {.words = words, .n = N};

struct seen_mistakes {
    size_t n;
    struct nm_mistake at[N];
    struct nm_span gold[N], predicted[N];
};

static void note(void *arg, const struct nm_mistake *m)
{
    struct seen_mistakes *s = arg;
    assert_true(s->n < N);
    s->at[s->n] = *m;
    if (m->gold != NULL)
        s->gold[s->n] = *m->gold;
    if (m->predicted != NULL)
        s->predicted[s->n] = *m->predicted;
    s->n++;
}

/* Zinc right; "iron ore" cut to "iron"; fever of the wrong type; "," spurious; cough missed. */
static const int32_t gold[N] = {NM_TAG_B(X), NM_TAG_O,    NM_TAG_B(X), NM_TAG_I(X), NM_TAG_O,
                                NM_TAG_O,    NM_TAG_B(Y), NM_TAG_O,    NM_TAG_O,    NM_TAG_B(Y)};
static const int32_t found[N] = {NM_TAG_B(X), NM_TAG_O,    NM_TAG_B(X), NM_TAG_O, NM_TAG_O,
                                 NM_TAG_O,    NM_TAG_B(X), NM_TAG_B(Y), NM_TAG_O, NM_TAG_O};

static void test_mistakes(void **state)
{
    (void)state;
    struct nm_evaluation e;
    struct seen_mistakes seen = {0};
    const float scores[N] = {1, 1, 0.5F, 1, 1, 1, 0.75F, 0.25F, 1, 1};
    assert_int_equal(nm_evaluation_init(&e, 2), NM_OK);
    e.mistake = note;
    e.arg = &seen;
    assert_int_equal(nm_evaluation_add(&e, &sentence, gold, found, scores), NM_OK);
    nm_evaluation_finish(&e);
    assert_int_equal(seen.n, 4);
    assert_int_equal(seen.at[0].kind, NM_MISTAKE_BOUNDARY);
    assert_true(seen.gold[0].end == 4 && seen.predicted[0].end == 3 && seen.at[0].score == 0.5F);
    assert_int_equal(seen.at[1].kind, NM_MISTAKE_TYPE);
    assert_true(seen.gold[1].type == Y && seen.predicted[1].type == X);
    assert_int_equal(seen.at[2].kind, NM_MISTAKE_MISSED);
    assert_null(seen.at[2].predicted);
    assert_int_equal(seen.at[3].kind, NM_MISTAKE_SPURIOUS);
    assert_null(seen.at[3].gold);
    for (size_t k = 0; k < 4; k++)
        assert_int_equal(e.mistakes[k], 1);
    assert_true(e.exact.micro.correct == 1 && e.exact.micro.predicted == 4 && e.exact.micro.gold == 4);
    const struct nm_overlap *o = &e.overlap[2];
    assert_true(o->gold == 4 && o->found == 2 && o->predicted == 4 && o->right == 2);
    assert_true(o->precision == 0.5 && o->recall == 0.5 && o->f1 == 0.5);
    assert_true(e.overlap[Y].found == 0 && e.overlap[Y].predicted == 1);
    /* words: gold by predicted, O last */
    static const size_t confusion[9] = {2, 0, 1, 1, 0, 1, 0, 1, 4};
    assert_memory_equal(e.confusion, confusion, sizeof(confusion));
    /* sure of 7 words, right of 5 (ore and cough are wrong); at 0.5 right, at 0.75 and 0.25 wrong */
    assert_float_equal((float)e.calibration_error, (2 + 0.5F + 0.75F + 0.25F) / 10, 1e-6);
    nm_evaluation_clean_up(&e);
}

static void test_known(void **state)
{
    (void)state;
    struct nm_evaluation e;
    struct nm_known known = {0};
    assert_int_equal(nm_known_add_text(&known, "IRON-ore", 8), NM_OK);
    assert_int_equal(nm_known_add_text(&known, "zinc", 4), NM_OK);
    assert_int_equal(nm_known_add_text(&known, " Iron  Ore ", 11), NM_OK);
    nm_known_close(&known);
    assert_int_equal(nm_evaluation_init(&e, 2), NM_OK);
    e.known = &known;
    assert_int_equal(nm_evaluation_add(&e, &sentence, gold, found, NULL), NM_OK);
    nm_evaluation_finish(&e);
    assert_true(e.seen.gold == 2 && e.seen.found == 1); /* zinc and iron ore: case and spaces don't count */
    assert_true(e.unseen.gold == 2 && e.unseen.found == 0);
    nm_evaluation_clean_up(&e);
    nm_known_clean_up(&known);
}

static void test_orphans(void **state)
{
    (void)state;
    struct nm_evaluation e;
    const int32_t right[] = {NM_TAG_B(X), NM_TAG_I(X), NM_TAG_O, NM_TAG_B(Y)};
    const int32_t orphans[] = {NM_TAG_B(X), NM_TAG_I(X), NM_TAG_O, NM_TAG_I(Y)};
    const struct nm_sentence four = {.words = words, .n = 4};
    assert_int_equal(nm_evaluation_init(&e, 2), NM_OK);
    assert_int_equal(nm_evaluation_add(&e, &four, right, orphans, NULL), NM_OK);
    nm_evaluation_finish(&e);
    assert_true(e.exact.micro.f1 == 1); /* an orphan begins an entity, as conlleval has it */
    assert_int_equal(e.iob2.micro.predicted, 1);
    assert_int_equal(e.iob2.micro.correct, 1);
    nm_evaluation_clean_up(&e);
}

static void test_masked(void **state)
{
    (void)state;
    struct nm_evaluation e;
    const int32_t masked[] = {NM_TAG_MASKED, NM_TAG_O, NM_TAG_B(X), NM_TAG_MASKED};
    const int32_t predicted[] = {NM_TAG_B(X), NM_TAG_O, NM_TAG_B(X), NM_TAG_I(X)};
    const struct nm_sentence four = {.words = words, .n = 4};
    assert_int_equal(nm_evaluation_init(&e, 2), NM_OK);
    assert_int_equal(nm_evaluation_add(&e, &four, masked, predicted, NULL), NM_OK);
    nm_evaluation_finish(&e);
    assert_int_equal(e.mistakes[NM_MISTAKE_SPURIOUS], 0);
    assert_int_equal(e.exact.micro.predicted, 0);
    assert_int_equal(e.overlap[2].predicted, 0);
    assert_int_equal(e.exact.words, 2);
    nm_evaluation_clean_up(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_orphans),
        cmocka_unit_test(test_masked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
