/* Paired bootstrap: F1 by counts; no difference between equals; a clear one is found; the interval has its size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/hash.h"
#include "workers/trainer/bootstrap.h"

enum { N = 400 };

static struct nm_tally a[N], b[N];

/* Each sentence has one entity; a side finds it with this probability. */
static void draw(struct nm_tally *out, double share, uint64_t seed)
{
    struct nm_rng rng;
    nm_rng_init(&rng, seed);
    for (size_t i = 0; i < N; i++)
        out[i] = (struct nm_tally){.correct = nm_rng_unit(&rng) < share, .predicted = 1, .gold = 1};
}

static void test_f1(void **state)
{
    (void)state;
    const struct nm_tally two[] = {{1, 2, 1}, {0, 0, 2}};
    assert_true(nm_tally_f1(two, 2) == 0.4);
    assert_true(nm_tally_f1(two, 0) == 0);
}

static void test_equals(void **state)
{
    (void)state;
    struct nm_bootstrap r;
    draw(a, 0.7, 1);
    assert_int_equal(nm_bootstrap_paired(a, a, N, 1000, 3, &r), NM_OK);
    assert_true(r.difference == 0 && r.low == 0 && r.high == 0 && r.p == 1); /* never better */
}

static void test_clear_difference(void **state)
{
    (void)state;
    struct nm_bootstrap r, again;
    draw(a, 0.6, 1);
    draw(b, 0.8, 2);
    assert_int_equal(nm_bootstrap_paired(a, b, N, 2000, 3, &r), NM_OK);
    assert_true(r.f1_a == nm_tally_f1(a, N) && r.difference == r.f1_b - r.f1_a);
    assert_true(r.low > 0 && r.low < r.difference && r.difference < r.high && r.p < 0.001);
    /* standard error of the difference of two shares: sqrt(0.24/400 + 0.16/400) = 0.032 */
    assert_true(r.high - r.low > 0.09 && r.high - r.low < 0.16);
    assert_int_equal(nm_bootstrap_paired(a, b, N, 2000, 3, &again), NM_OK);
    assert_memory_equal(&r, &again, sizeof(r));
}

/* Of pairs that are equally good, one in twenty has an interval without 0. */
static void test_coverage(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (uint64_t i = 0; i < 200; i++) {
        struct nm_bootstrap r;
        draw(a, 0.7, 2 * i + 10);
        draw(b, 0.7, 2 * i + 11);
        assert_int_equal(nm_bootstrap_paired(a, b, N, 400, i, &r), NM_OK);
        wrong += r.low > 0 || r.high < 0;
    }
    assert_in_range(wrong, 2, 22); /* 10 expected, deviation 3.1 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f1),
        cmocka_unit_test(test_equals),
        cmocka_unit_test(test_clear_difference),
        cmocka_unit_test(test_coverage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
