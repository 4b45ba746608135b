/* Quantiles against those of the sorted values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/histogram.h"
#include "common/hash.h"

enum { N = 20000 };

static const double quantiles[] = {0.0, 0.5, 0.9, 0.99, 0.999, 1.0};

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void expect_near(const struct nm_histogram *h, uint64_t *values, size_t n)
{
    qsort(values, n, sizeof *values, by_value);
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        size_t rank = (size_t)(quantiles[i] * (double)n + 0.999999);
        uint64_t exact = values[rank ? rank - 1 : 0], got = nm_histogram_quantile(h, quantiles[i]);
        double off = exact ? ((double)got - (double)exact) / (double)exact : (double)got;
        if (off > 0.02 || off < -0.02)
            fail_msg("quantile %g is %lu, and %lu was told", quantiles[i], exact, got);
    }
}

/* Magnitudes from 1 to 2^bits, evenly. */
static void fill(struct nm_histogram *h, uint64_t *values, uint64_t seed, unsigned int bits)
{
    for (size_t i = 0; i < N; i++) {
        uint64_t r = nm_mix64(seed + i);
        values[i] = (r >> 8) & (((uint64_t)1 << (r % bits)) * 2 - 1);
        nm_histogram_add(h, values[i]);
    }
}

static void test_quantiles(void **state)
{
    (void)state;
    static uint64_t values[N];
    for (unsigned int bits = 1; bits <= 35; bits++) {
        struct nm_histogram h = {0};
        fill(&h, values, bits, bits);
        assert_int_equal(h.n, N);
        expect_near(&h, values, N);
    }
}

static void test_edges(void **state)
{
    (void)state;
    struct nm_histogram h = {0};
    assert_int_equal(nm_histogram_quantile(&h, 0.5), 0);
    nm_histogram_add(&h, 0);
    assert_int_equal(nm_histogram_quantile(&h, 0.99), 0);
    nm_histogram_add(&h, UINT64_MAX);
    assert_true(nm_histogram_quantile(&h, 1) > ((uint64_t)1 << 35));
    assert_int_equal(h.max, UINT64_MAX);
}

static void test_merge(void **state)
{
    (void)state;
    static uint64_t values[2 * N];
    struct nm_histogram a = {0}, b = {0};
    fill(&a, values, 1, 20);
    fill(&b, values + N, 77777777, 30);
    nm_histogram_merge(&a, &b);
    assert_int_equal(a.n, 2 * N);
    expect_near(&a, values, 2 * N);
}

static void test_window(void **state)
{
    (void)state;
    static struct nm_window w;
    struct nm_histogram recent;
    int64_t now = 123456789;
    nm_window_add(&w, 10, now);
    nm_window_add(&w, 20, now + 30000);
    nm_window_recent(&w, now + 59000, &recent);
    assert_int_equal(recent.n, 2);
    nm_window_recent(&w, now + 71000, &recent);
    assert_int_equal(recent.n, 1);
    assert_int_equal(nm_histogram_quantile(&recent, 0.5), 20);
    nm_window_recent(&w, now + 1000000, &recent);
    assert_int_equal(recent.n, 0);
    nm_window_add(&w, 30, now + 2000000);
    nm_window_recent(&w, now + 2000001, &recent);
    assert_int_equal(recent.n, 1);
    assert_int_equal(w.total.n, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_quantiles), cmocka_unit_test(test_edges),
                                       cmocka_unit_test(test_merge), cmocka_unit_test(test_window)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
