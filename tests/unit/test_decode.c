/* Constrained decoding: as good as the best of all label sequences that are BIO, found by trying every one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/hash.h"
#include "workers/trainer/decode.h"
#include "workers/trainer/metrics.h"

enum { LABELS = 5, WORDS = 5 };

/* Labels need not be in the order of the tags. */
static const int32_t tags[LABELS] = {NM_TAG_I(1), NM_TAG_O, NM_TAG_B(0), NM_TAG_B(1), NM_TAG_I(0)};

static bool is_bio(const size_t *labels, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t tag = tags[labels[i]], before = i > 0 ? tags[labels[i - 1]] : NM_TAG_O;
        if (nm_tag_is_entity(tag) && !nm_tag_is_begin(tag) &&
            (!nm_tag_is_entity(before) || nm_tag_type(before) != nm_tag_type(tag)))
            return false;
    }
    return true;
}

static double score(const float *const *rows, const size_t *labels, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (rows[i] == NULL && tags[labels[i]] != NM_TAG_O)
            return -INFINITY;
        sum += rows[i] != NULL ? (double)rows[i][labels[i]] : 0;
    }
    return sum;
}

static double best_of_all(const float *const *rows, size_t n)
{
    double best = -INFINITY;
    size_t all = 1;
    for (size_t i = 0; i < n; i++)
        all *= LABELS;
    for (size_t code = 0; code < all; code++) {
        size_t labels[WORDS], rest = code;
        for (size_t i = 0; i < n; i++, rest /= LABELS)
            labels[i] = rest % LABELS;
        if (is_bio(labels, n))
            best = fmax(best, score(rows, labels, n));
    }
    return best;
}

static void test_against_every_sequence(void **state)
{
    (void)state;
    struct nm_decoder decoder = {0};
    struct nm_rng rng;
    nm_rng_init(&rng, 5);
    for (int round = 0; round < 300; round++) {
        float logits[WORDS][LABELS];
        const float *rows[WORDS];
        size_t n = 1 + (size_t)nm_rng_below(&rng, WORDS), got[WORDS];
        for (size_t i = 0; i < n; i++) {
            rows[i] = nm_rng_below(&rng, 8) == 0 ? NULL : logits[i];
            for (size_t k = 0; k < LABELS; k++)
                logits[i][k] = (float)(nm_rng_unit(&rng) * 6 - 3);
        }
        assert_int_equal(nm_decode_bio(&decoder, rows, n, tags, LABELS, got), NM_OK);
        assert_true(is_bio(got, n));
        if (fabs(score(rows, got, n) - best_of_all(rows, n)) > 1e-5)
            fail_msg("round %d: %g is not %g", round, score(rows, got, n), best_of_all(rows, n));
    }
    assert_int_equal(nm_decode_bio(&decoder, NULL, 0, tags, LABELS, NULL), NM_OK);
    nm_decoder_clean_up(&decoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_every_sequence)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
