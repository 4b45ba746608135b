/* Headers that say when to come again, in every form that was seen, and nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "workers/generator/limits.h"

enum { NOW_S = 1700000000 };
static const int64_t now_ms = (int64_t)NOW_S * 1000; /* Tue, 14 Nov 2023 22:13:20 GMT */

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"6m0s", 360000},
        {"20ms", 20},
        {"1h2m", 3720000},
        {"1s", 1000},
        {"1.5s", 1500},
        {"17.5ms", 18},
        {"0", 0},
        {"0s", 0},
        {"59", 59000},
        {"59.5", 59500},
        {"1d2h", 86400000},
        {"250us", 1},
        {"12H", 43200000},
        {"1700000030", 30000},
        {"1700000030000", 30000},
        {"1699999999", 0},
        {"99999h", 86400000},
        {"", -1},
        {"s", -1},
        {"m1", -1},
        {"-5s", -1},
        {"5x", -1},
        {"1m30", -1},
        {"0x10", -1},
        {"1e3", -1},
        {"inf", -1},
        {"nan", -1},
        {"soon", -1},
        {"2023-11-14T22:14:20Z", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ms = nm_limits_duration_ms(rows[i].text, strlen(rows[i].text), now_ms);
        if (ms != rows[i].ms)
            fail_msg("%s: %lld, not %lld", rows[i].text, (long long)ms, (long long)rows[i].ms);
    }
}

static struct nm_limits read_all(const char *const *lines)
{
    struct nm_limits limits;
    nm_limits_clear(&limits);
    for (; *lines != NULL; lines++)
        nm_limits_read(&limits, *lines, strlen(*lines), now_ms);
    return limits;
}

static void test_retry(void **state)
{
    (void)state;
    static const struct {
        const char *lines[4];
        int64_t ms;
    } rows[] = {
        {{"Retry-After: 7\r\n"}, 7000},
        {{"retry-after:0.5"}, 500},
        {{"Retry-After: Tue, 14 Nov 2023 22:13:50 GMT\r\n"}, 30000},
        {{"Retry-After: Thu, 01 Jan 1970 00:00:00 GMT"}, 0},
        {{"retry-after-ms: 1500", "Retry-After: 7"}, 1500},
        {{"Retry-After: 7", "Retry-After-Ms: 1500"}, 1500},
        {{"retry-after-ms: x", "Retry-After: 7"}, 7000},
        {{"Retry-After: 99999999999999"}, NM_LIMITS_WAIT_MAX_MS},
        {{"Retry-After: later"}, -1},
        {{"Retry-After: -1"}, -1},
        {{"Retry-After:"}, -1},
        {{"X-Retry-After: 7"}, -1},
        {{"Retry-After 7"}, -1},
        {{NULL}, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct nm_limits limits = read_all(rows[i].lines);
        if (limits.retry_after_ms != rows[i].ms || nm_limits_wait_ms(&limits, true, 0) != rows[i].ms)
            fail_msg("row %zu: %lld", i, (long long)limits.retry_after_ms);
    }
    static const char *const yes[] = {"X-Should-Retry: true", NULL}, *const no[] = {"x-should-retry: False\r\n",
                                                                                    NULL};
    static const char *const odd[] = {"x-should-retry: perhaps", NULL};
    assert_int_equal(read_all(yes).should_retry, 1);
    assert_int_equal(read_all(no).should_retry, 0);
    assert_int_equal(read_all(odd).should_retry, -1);
}

static void test_ratelimit(void **state)
{
    (void)state;
    static const char *const lines[] = {"x-ratelimit-limit-requests: 60",       "X-RateLimit-Remaining-Requests: 0",
                                        "x-ratelimit-reset-requests: 1m0s",     "x-ratelimit-limit-tokens: 150000",
                                        "x-ratelimit-remaining-tokens: 149984", "x-ratelimit-reset-tokens: 6ms",
                                        "x-ratelimit-limit-images: 5",          NULL};
    struct nm_limits limits = read_all(lines);
    assert_int_equal(limits.requests.limit, 60);
    assert_int_equal(limits.requests.remaining, 0);
    assert_int_equal(limits.requests.reset_ms, 60000);
    assert_int_equal(limits.tokens.limit, 150000);
    assert_int_equal(limits.tokens.remaining, 149984);
    assert_int_equal(limits.tokens.reset_ms, 6);
    assert_int_equal(nm_limits_wait_ms(&limits, true, 0), 60000);   /* refused: until what is used up is back */
    assert_int_equal(nm_limits_wait_ms(&limits, false, 100), 1000); /* answered: one of 60 comes back in a second */
    limits.requests.remaining = 5;
    assert_int_equal(nm_limits_wait_ms(&limits, false, 100), -1);
    assert_int_equal(nm_limits_wait_ms(&limits, true, 0), -1); /* neither is used up: it says nothing */
    limits.tokens.remaining = 100;
    assert_int_equal(nm_limits_wait_ms(&limits, false, 100), -1);
    limits.tokens = (struct nm_limit){.limit = 1100, .remaining = 100, .reset_ms = 60000};
    assert_int_equal(nm_limits_wait_ms(&limits, false, 200), 6000);
    assert_int_equal(nm_limits_wait_ms(&limits, false, 2000), 60000); /* more than it ever gives */
    static const char *const plain[] = {"X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 1700000005000", NULL};
    limits = read_all(plain);
    assert_int_equal(nm_limits_wait_ms(&limits, false, 100), 5000);
    assert_int_equal(nm_limits_wait_ms(&limits, true, 100), 5000);
    static const char *const nonsense[] = {"x-ratelimit-remaining: -3",
                                           "x-ratelimit-reset: soon",
                                           "x-ratelimit-remaining-tokens: many",
                                           "x-ratelimit-",
                                           ": x",
                                           "",
                                           NULL};
    limits = read_all(nonsense);
    assert_int_equal(nm_limits_wait_ms(&limits, true, 100), -1);
    assert_int_equal(nm_limits_wait_ms(&limits, false, 100), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_durations), cmocka_unit_test(test_retry),
                                       cmocka_unit_test(test_ratelimit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
