/* The circuit breaker on a clock and on chance of our own: every arrow of its picture. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "workers/generator/breaker.h"

enum { MOST = 8 };

static struct nm_rng rng;

static void assert_state(const struct nm_breaker *b, int64_t now, enum nm_breaker_state want)
{
    enum nm_breaker_state is = nm_breaker_look(b, now);
    if (is != want)
        fail_msg("%s, not %s", nm_breaker_state_name(is), nm_breaker_state_name(want));
    size_t room = want == NM_BREAKER_CLOSED ? MOST : want == NM_BREAKER_HALF_OPEN ? 1 : 0;
    assert_int_equal(nm_breaker_room(b, MOST, now), room);
}

static struct nm_breaker served(void)
{
    struct nm_breaker b = {0};
    nm_breaker_success(&b, 0);
    return b;
}

static void test_trips_after_some_in_a_row(void **state)
{
    (void)state;
    struct nm_breaker b = served();
    for (int round = 0; round < 3; round++) {
        for (int i = 1; i < NM_BREAKER_TRIP; i++) {
            int64_t pause = nm_breaker_failure(&b, NM_BREAKER_TROUBLE, -1, 1000, &rng);
            assert_true(pause > 0 && pause <= NM_BREAKER_FIRST_MS << (i - 1)); /* of the call that failed */
            assert_state(&b, 1000, NM_BREAKER_CLOSED);
        }
        nm_breaker_success(&b, 1000);
    }
    for (int i = 0; i < NM_BREAKER_TRIP; i++)
        (void)nm_breaker_failure(&b, NM_BREAKER_TROUBLE, -1, 1000, &rng);
    assert_state(&b, 1000, NM_BREAKER_OPEN);
}

static void test_trips_at_once(void **state)
{
    (void)state;
    struct nm_breaker never = {0}, busy = served(), told = served(), loading = served(), quota = served();
    assert_state(&never, 0, NM_BREAKER_CLOSED);
    (void)nm_breaker_failure(&never, NM_BREAKER_TROUBLE, -1, 1000, &rng);
    assert_state(&never, 1000, NM_BREAKER_OPEN);
    (void)nm_breaker_failure(&busy, NM_BREAKER_BUSY, -1, 1000, &rng);
    assert_state(&busy, 1000, NM_BREAKER_OPEN);
    assert_int_equal(nm_breaker_failure(&told, NM_BREAKER_TROUBLE, 45000, 1000, &rng), 45000);
    assert_state(&told, 45999, NM_BREAKER_OPEN);
    assert_state(&told, 46000, NM_BREAKER_HALF_OPEN);
    int64_t pause = nm_breaker_failure(&loading, NM_BREAKER_LOADING, -1, 1000, &rng);
    assert_true(pause >= 500 && pause < 1000);
    pause = nm_breaker_failure(&quota, NM_BREAKER_QUOTA, -1, 1000, &rng);
    assert_true(pause >= 30000);
}

static void test_half_open(void **state)
{
    (void)state;
    struct nm_breaker b = {0};
    int64_t now = 1000, longest = 0;
    for (int i = 0; i < 40; i++) {
        int64_t pause = nm_breaker_failure(&b, NM_BREAKER_TROUBLE, -1, now, &rng);
        int64_t limit = i < 6 ? NM_BREAKER_FIRST_MS << i : NM_BREAKER_LONGEST_MS;
        assert_true(pause > 0 && pause <= limit);
        longest = pause > longest ? pause : longest;
        assert_int_equal(nm_breaker_wait_ms(&b, now), pause);
        assert_state(&b, now + pause - 1, NM_BREAKER_OPEN);
        now += pause;
        assert_state(&b, now, NM_BREAKER_HALF_OPEN);
        assert_int_equal(nm_breaker_wait_ms(&b, now), 0);
    }
    assert_true(longest > NM_BREAKER_LONGEST_MS / 2);
    assert_int_equal(b.failing_since_ms, 1000);
    nm_breaker_success(&b, now);
    assert_state(&b, now, NM_BREAKER_CLOSED);
    assert_int_equal(b.failures, 0);
}

/* Of many calls that fail at once only the first opens it; a longer wait that another one was told counts. */
static void test_burst(void **state)
{
    (void)state;
    struct nm_breaker b = {0};
    int64_t pause = nm_breaker_failure(&b, NM_BREAKER_TROUBLE, -1, 1000, &rng);
    for (int i = 0; i < 100; i++)
        assert_int_equal(nm_breaker_failure(&b, NM_BREAKER_TROUBLE, -1, 1000, &rng), pause);
    assert_int_equal(b.pauses, 1);
    assert_int_equal(nm_breaker_failure(&b, NM_BREAKER_BUSY, 5000, 1000, &rng), 5000);
    assert_int_equal(nm_breaker_failure(&b, NM_BREAKER_BUSY, 2000, 1000, &rng), 5000);
    assert_true(nm_breaker_failure(&b, NM_BREAKER_QUOTA, -1, 1000, &rng) >= 30000);
}

/* A call that was under way ends a pause for trouble, and none that the server asked for. */
static void test_late_success(void **state)
{
    (void)state;
    struct nm_breaker trouble = {0}, busy = served();
    (void)nm_breaker_failure(&trouble, NM_BREAKER_TROUBLE, -1, 1000, &rng);
    nm_breaker_success(&trouble, 1000);
    assert_state(&trouble, 1000, NM_BREAKER_CLOSED);
    (void)nm_breaker_failure(&busy, NM_BREAKER_BUSY, 5000, 1000, &rng);
    nm_breaker_success(&busy, 2000);
    assert_state(&busy, 5999, NM_BREAKER_OPEN);
    nm_breaker_success(&busy, 6000);
    assert_state(&busy, 6000, NM_BREAKER_CLOSED);
}

static void test_wait_and_stop(void **state)
{
    (void)state;
    struct nm_breaker b = served();
    nm_breaker_wait(&b, 0, 1000);
    assert_state(&b, 1000, NM_BREAKER_CLOSED);
    nm_breaker_wait(&b, 700, 1000);
    nm_breaker_wait(&b, 300, 1000);
    assert_int_equal(b.failures, 0);
    assert_int_equal(nm_breaker_wait_ms(&b, 1000), 700);
    assert_state(&b, 1700, NM_BREAKER_HALF_OPEN);
    nm_breaker_stop(&b);
    nm_breaker_success(&b, 1000);
    nm_breaker_wait(&b, 5, 1000);
    (void)nm_breaker_failure(&b, NM_BREAKER_TROUBLE, -1, 1000, &rng);
    assert_state(&b, INT64_MAX, NM_BREAKER_STOPPED);
    assert_int_equal(nm_breaker_wait_ms(&b, 1000), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_trips_after_some_in_a_row),
                                       cmocka_unit_test(test_trips_at_once),
                                       cmocka_unit_test(test_half_open),
                                       cmocka_unit_test(test_burst),
                                       cmocka_unit_test(test_late_success),
                                       cmocka_unit_test(test_wait_and_stop)};
    nm_rng_init(&rng, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
