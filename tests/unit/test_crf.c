/* The CRF against the sum over every label sequence, found by trying each; golden.crf holds it against PyTorch. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/hash.h"
#include "workers/trainer/crf.h"

enum { K = 5, WORDS = 5, PARAMS = K * K + 2 * K };

/* Labels need not be in the usual order. */
static const char *const labels[K] = {"I-B", "O", "B-A", "B-B", "I-A"};

static struct nm_crf crf;
static double room[1000];
static float params[PARAMS];
static struct nm_rng rng;

static float draw(double range)
{
    return (float)((nm_rng_unit(&rng) * 2 - 1) * range);
}

static int set_up(void **state)
{
    (void)state;
    nm_rng_init(&rng, 5);
    assert_true(nm_crf_room(WORDS, K) <= sizeof(room) / sizeof(room[0]));
    return nm_crf_init(&crf, labels, K) != NM_OK;
}

static int tear_down(void **state)
{
    (void)state;
    nm_crf_clean_up(&crf);
    return 0;
}

static void draw_layer(bool layer)
{
    for (size_t i = 0; i < PARAMS; i++)
        params[i] = draw(2);
    crf.transitions = layer ? params : NULL;
    crf.start = params + K * K;
    crf.end = crf.start + K;
}

/* ---- by trying every sequence ----------------------------------------------------------------- */

static bool is_bio(const size_t *sequence, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *now = labels[sequence[i]], *before = i > 0 ? labels[sequence[i - 1]] : "O";
        if (now[0] == 'I' && (before[0] == 'O' || strcmp(before + 1, now + 1) != 0))
            return false;
    }
    return true;
}

static double score(const float *const *rows, const size_t *sequence, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (rows[i] == NULL && strcmp(labels[sequence[i]], "O") != 0)
            return -INFINITY;
        sum += rows[i] != NULL ? (double)rows[i][sequence[i]] : 0;
        if (crf.transitions != NULL && i > 0)
            sum += (double)crf.transitions[sequence[i - 1] * K + sequence[i]];
    }
    if (crf.transitions != NULL)
        sum += (double)crf.start[sequence[0]] + (double)crf.end[sequence[n - 1]];
    return sum;
}

/* known (n): below 0 where a label may be any.  Returns the sum of exp(score) of the sequences that agree; best and
 * marginals (n,K) of them, or NULL. */
static double try_all(const float *const *rows, const int32_t *known, size_t n, double *best, double *marginals)
{
    size_t all = 1;
    double sum = 0, top = -INFINITY;
    for (size_t i = 0; i < n; i++)
        all *= K;
    for (size_t i = 0; i < n * K && marginals != NULL; i++)
        marginals[i] = 0;
    for (size_t code = 0; code < all; code++) {
        size_t sequence[WORDS] = {0}, rest = code;
        bool agrees = true;
        for (size_t i = 0; i < n; i++, rest /= K) {
            sequence[i] = rest % K;
            agrees = agrees && (known == NULL || known[i] < 0 || (size_t)known[i] == sequence[i]);
        }
        if (!agrees || !is_bio(sequence, n))
            continue;
        const double s = score(rows, sequence, n);
        sum += exp(s);
        top = fmax(top, s);
        for (size_t i = 0; i < n && marginals != NULL; i++)
            marginals[i * K + sequence[i]] += exp(s);
    }
    for (size_t i = 0; i < n * K && marginals != NULL; i++)
        marginals[i] /= sum;
    if (best != NULL)
        *best = top;
    return sum;
}

static size_t draw_rows(float (*logits)[K], const float **rows, bool holes)
{
    const size_t n = 1 + (size_t)nm_rng_below(&rng, WORDS);
    for (size_t i = 0; i < n; i++) {
        rows[i] = holes && nm_rng_below(&rng, 8) == 0 ? NULL : logits[i];
        for (size_t k = 0; k < K; k++)
            logits[i][k] = draw(3);
    }
    return n;
}

/* ---- the tests -------------------------------------------------------------------------------- */

static void test_best_and_marginals(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        float logits[WORDS][K], got[WORDS * K];
        const float *rows[WORDS];
        double top, want[WORDS * K];
        size_t best[WORDS];
        draw_layer(round % 2 == 0);
        const size_t n = draw_rows(logits, rows, true);
        (void)try_all(rows, NULL, n, &top, want);
        nm_crf_decode(&crf, room, rows, n, best);
        assert_true(is_bio(best, n));
        if (!(fabs(score(rows, best, n) - top) < 1e-5))
            fail_msg("round %d: the best has %g, found was %g", round, top, score(rows, best, n));
        nm_crf_marginals(&crf, room, rows, n, got);
        for (size_t i = 0; i < n * K; i++)
            if (!(fabs((double)got[i] - want[i]) < 1e-6))
                fail_msg("round %d, word %zu: %g is not %g", round, i / K, (double)got[i], want[i]);
    }
    nm_crf_decode(&crf, room, NULL, 0, NULL);
    nm_crf_marginals(&crf, room, NULL, 0, NULL);
}

/* Labels of a sequence that is BIO, some of them unknown. */
static void draw_labels(int32_t *known, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        do
            known[i] = (int32_t)nm_rng_below(&rng, K);
        while (!crf.may[(i == 0 ? K : (size_t)known[i - 1]) * K + (size_t)known[i]]);
    }
    for (size_t i = 0; i < n; i++)
        if (nm_rng_below(&rng, 3) == 0)
            known[i] = NM_LABEL_UNKNOWN;
}

static double loss_of(float (*logits)[K], const int32_t *known, size_t n, double *sums)
{
    float *rows[WORDS];
    for (size_t i = 0; i < n; i++)
        rows[i] = logits[i];
    return nm_crf_loss(&crf, room, rows, known, n, 1, sums);
}

static void test_loss(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        float logits[WORDS][K];
        const float *rows[WORDS];
        int32_t known[WORDS];
        double sums[PARAMS] = {0};
        draw_layer(true);
        const size_t n = draw_rows(logits, rows, false);
        draw_labels(known, n);
        const double want = log(try_all(rows, NULL, n, NULL, NULL)) - log(try_all(rows, known, n, NULL, NULL));
        const double got = loss_of(logits, known, n, sums);
        if (!(fabs(got - want) < 1e-9 * (1 + want)))
            fail_msg("round %d: %.12g is not %.12g", round, got, want);
    }
}

/* The loss where value is moved by a step, by central differences, against the gradient. */
static void check_slope(float *value, double gradient, float (*logits)[K], const int32_t *known, size_t n)
{
    const float kept = *value, step = 1e-2F;
    double sums[PARAMS], around[2];
    for (int side = 0; side < 2; side++) {
        float copy[WORDS][K];
        *value = kept + (side == 0 ? -step : step);
        memcpy(copy, logits, sizeof(copy));
        memset(sums, 0, sizeof(sums));
        around[side] = loss_of(copy, known, n, sums);
    }
    const double slope = (around[1] - around[0]) / ((double)(kept + step) - (double)(kept - step));
    *value = kept;
    if (!(fabs(slope - gradient) < 1e-4))
        fail_msg("the slope is %.8f, the gradient %.8f", slope, gradient);
}

static void test_finite_differences(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        float logits[WORDS][K], rows_grad[WORDS][K];
        const float *rows[WORDS];
        int32_t known[WORDS];
        double sums[PARAMS] = {0};
        draw_layer(true);
        const size_t n = draw_rows(logits, rows, false);
        draw_labels(known, n);
        memcpy(rows_grad, logits, sizeof(logits));
        (void)loss_of(rows_grad, known, n, sums);
        for (size_t i = 0; i < n * K; i++)
            check_slope(&logits[i / K][i % K], (double)rows_grad[i / K][i % K], logits, known, n);
        for (size_t i = 0; i < PARAMS; i++)
            check_slope(&params[i], sums[i], logits, known, n);
    }
}

/* Whatever the weights: what BIO rules out is never found, has no probability and no gradient. */
static void test_constraints_hold(void **state)
{
    (void)state;
    for (int round = 0; round < 2000; round++) {
        float logits[WORDS][K], marginals[WORDS * K];
        const float *rows[WORDS];
        size_t best[WORDS];
        int32_t known[WORDS];
        double sums[PARAMS] = {0};
        draw_layer(true);
        for (size_t i = 0; i < PARAMS; i++)
            params[i] = draw(nm_rng_below(&rng, 2) == 0 ? 1000 : 1);
        const size_t n = draw_rows(logits, rows, false);
        nm_crf_decode(&crf, room, rows, n, best);
        assert_true(is_bio(best, n));
        nm_crf_marginals(&crf, room, rows, n, marginals);
        for (size_t i = 0; i < n; i++) {
            double all = 0;
            for (size_t k = 0; k < K; k++)
                all += (double)marginals[i * K + k];
            assert_true(fabs(all - 1) < 1e-5);
        }
        assert_true(marginals[0] == 0 && marginals[4] == 0); /* no I- first */
        draw_labels(known, n);
        assert_true(isfinite(loss_of(logits, known, n, sums)));
        for (size_t a = 0; a <= K; a++)
            for (size_t b = 0; b < K; b++)
                if (!crf.may[a * K + b])
                    assert_true(sums[a * K + b] == 0);
    }
}

/* An I- whose beginning has no token, or that gold's own mistake put there, is no reason for an infinite loss. */
static void test_label_out_of_place(void **state)
{
    (void)state;
    float logits[3][K] = {{0}}, same[3][K] = {{0}};
    const int32_t wrong[3] = {4, 1, 0}, as[3] = {NM_LABEL_UNKNOWN, 1, NM_LABEL_UNKNOWN};
    double sums[PARAMS] = {0}, as_sums[PARAMS] = {0};
    draw_layer(true);
    const double loss = loss_of(logits, wrong, 3, sums);
    assert_true(isfinite(loss) && loss > 0);
    assert_true(loss == loss_of(same, as, 3, as_sums));
    assert_memory_equal(sums, as_sums, sizeof(sums));
    assert_memory_equal(logits, same, sizeof(logits));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_best_and_marginals), cmocka_unit_test(test_loss),
                                       cmocka_unit_test(test_finite_differences),
                                       cmocka_unit_test(test_constraints_hold),
                                       cmocka_unit_test(test_label_out_of_place)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
