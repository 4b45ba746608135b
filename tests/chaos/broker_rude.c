/* broker_rude - a real broker among rude workers: replays, a stolen id, greed, floods, and leaving in haste.
 *
 *     broker_rude PROGRAM
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/hash.h"
#include "tests/chaos/wire.h"

enum { LIMIT_MS = 10000 };

/* What was sent before, sent again: acknowledged, counted, and without effect. */
static void test_replays(void **state)
{
    (void)state;
    wire_start(10);
    wire_join("generator", "g");
    struct nm_msg_task task = wire_expect(NM_MSG_task)->u.task;
    wire_answer(task.task, 1, NULL);
    for (int i = 0; i < 5; i++)
        wire_answer(task.task, 1, "A better sentence about a thing."); /* the same attempt, another content */
    wire_answer(task.task, 9, "An attempt that nobody asked for.");
    wire_answer(1000, 1, "A task that was never given out.");
    assert_int_equal(wire_count("duplicates"), 5);
    assert_int_equal(wire_count("foreign"), 2);
    assert_int_equal(wire_count("responses"), 1);
    assert_int_equal(wire_count("accepted"), 0);
    for (int i = 0; i < 50; i++)
        wire_join("generator", "g"); /* its leases go back and come again */
    assert_true(wire_in_flight() <= 4);
    wire_answer(task.task, 2, "A sentence about a thing.");
    wire_connect();
    wire_join("aligner", "a");
    struct nm_msg aligned = {.type = NM_MSG_aligned, .u.aligned = {.task = task.task, .attempt = 1}};
    wire_send(&aligned); /* of the rejected attempt */
    assert_false(wire_expect(NM_MSG_ack)->u.ack.items[0].keep);
    aligned.u.aligned.attempt = 2;
    for (int i = 0; i < 5; i++) {
        wire_send(&aligned);
        assert_true(wire_expect(NM_MSG_ack)->u.ack.items[0].keep);
    }
    assert_int_equal(wire_count("aligned"), 1);
}

/* Two live processes of one id: the first keeps it, until it is gone. */
static void test_an_id_in_use(void **state)
{
    (void)state;
    wire_start(1000);
    struct nm_msg first_hello = wire_hello("generator", "twin"), second_hello = wire_hello("generator", "twin");
    first_hello.u.hello.host = second_hello.u.hello.host = nm_str("here");
    first_hello.u.hello.pid = 1;
    second_hello.u.hello.pid = 2;
    wire_send(&first_hello);
    (void)wire_expect(NM_MSG_welcome);
    struct nm_msg_task task = wire_expect(NM_MSG_task)->u.task;
    struct nm_socket *first = wire_second();
    for (int i = 0; i < 3; i++) {
        wire_send(&second_hello);
        wire_expect_error(NM_EBUSY, "in use by pid 1 on here");
    }
    struct nm_socket *second = wire_swap(first);
    wire_answer(task.task, 1, "A sentence about a thing."); /* it never noticed */
    nm_socket_destroy(&wire_socket);                        /* kill -9 */
    (void)wire_swap(second);
    int64_t end = nm_clock_mono_ms() + LIMIT_MS;
    bool welcomed = false;
    while (!welcomed && nm_clock_mono_ms() < end) {
        bool ready;
        wire_send(&second_hello);
        (void)nm_net_wait(&wire_socket, 1, 200, &ready);
        struct nm_msg msg;
        nm_arena_reset(&wire_arena);
        welcomed = nm_socket_recv(wire_socket, NULL, &wire_in) == NM_OK &&
                   nm_msg_decode(wire_in.data, wire_in.len, &wire_arena, &msg, NULL) == NM_OK &&
                   msg.type == NM_MSG_welcome;
    }
    assert_true(welcomed);
    (void)wire_expect(NM_MSG_task);
}

/* One that wants everything, and one that says it holds what nobody gave it: another is served all the same. */
static void test_greed(void **state)
{
    (void)state;
    enum { HOLDS = 200000 };
    wire_start(1000000);
    struct nm_msg msg = wire_hello("generator", "greedy");
    msg.u.hello.credit = UINT64_MAX;
    wire_send(&msg);
    (void)wire_expect(NM_MSG_task);
    struct nm_socket *greedy = wire_second();
    wire_join("generator", "modest");
    (void)wire_expect(NM_MSG_task);
    assert_true(wire_in_flight() <= 65536);
    nm_socket_destroy(&greedy);

    struct nm_msg_hold *holds = calloc(HOLDS, sizeof *holds);
    assert_non_null(holds);
    for (uint64_t i = 0; i < HOLDS; i++)
        holds[i] = (struct nm_msg_hold){.task = i * 7919, .attempt = i % 3 ? 1 : UINT64_MAX};
    msg = wire_hello("generator", "liar");
    msg.u.hello.holding = holds;
    msg.u.hello.n_holding = HOLDS;
    struct nm_socket *modest = wire_second();
    wire_send(&msg);
    free(holds);
    (void)wire_expect(NM_MSG_welcome);
    wire_connect();
    nm_buf_reset(&wire_out);
    static char huge[NM_FRAME_MAX + 1];
    wire_send_bytes(huge, sizeof huge); /* over a frame's maximum: cut off */
    struct nm_socket *cut = wire_swap(modest);
    struct nm_msg beat = {.type = NM_MSG_heartbeat};
    wire_send(&beat);
    (void)wire_expect(NM_MSG_heartbeat);
    nm_socket_destroy(&cut);
    assert_int_equal(wire_count("malformed"), 0); /* it never came in */
}

/* A text that is like no other. */
static const char *some_words(struct nm_rng *rng)
{
    static char text[100];
    for (size_t i = 0; i + 1 < sizeof text; i++)
        text[i] = i % 8 == 7 ? ' ' : (char)('a' + nm_rng_below(rng, 26));
    return text;
}

/* One peer pours garbage in as fast as it goes and reads no answer; another is served all the same. */
static void test_flood(void **state)
{
    (void)state;
    enum { ROUNDS = 100, GARBAGE = 2000 };
    wire_start(100000);
    wire_join("generator", "quiet");
    struct nm_socket *flood;
    assert_int_equal(nm_socket_connect(NM_DEALER, wire_server.endpoint, &flood, NULL), NM_OK);
    struct nm_rng rng;
    nm_rng_init(&rng, 4);
    uint64_t sent = 0;
    int64_t slowest = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < GARBAGE; i++) {
            char bytes[64];
            for (size_t k = 0; k < sizeof bytes; k++)
                bytes[k] = (char)nm_rng_next(&rng);
            sent += nm_socket_send(flood, NULL, bytes, sizeof bytes) == NM_OK;
        }
        const struct nm_msg_task *task = &wire_expect(NM_MSG_task)->u.task;
        int64_t begun = nm_clock_mono_ms();
        wire_answer(task->task, task->attempt, some_words(&rng));
        int64_t took = nm_clock_mono_ms() - begun;
        slowest = took > slowest ? took : slowest;
    }
    nm_socket_destroy(&flood);
    assert_true(sent > ROUNDS * GARBAGE / 2);
    assert_true(wire_count("malformed") > 0);
    print_message("beside %llu frames of garbage the slowest answer took %lld ms\n", (unsigned long long)sent,
                  (long long)slowest);
    assert_int_equal(wire_count("accepted"), ROUNDS);
}

/* It hands in, says goodbye and is gone before the broker reads any of that: what it held is free at once, though the
 * broker finds its connection closed while the goodbye still waits to be read.  More comes before it than one turn of
 * the broker takes in. */
static void test_a_goodbye_behind_a_closed_connection(void **state)
{
    (void)state;
    enum { BEATS = 6000 };
    wire_start(1000);
    wire_join("generator", "hasty");
    uint64_t first = wire_expect(NM_MSG_task)->u.task.task;
    (void)wire_expect(NM_MSG_task);
    assert_int_equal(kill(wire_server.pid, SIGSTOP), 0);
    struct nm_msg msg = wire_response(first, 1, "A sentence about a thing.");
    wire_send(&msg);
    struct nm_msg beat = {.type = NM_MSG_heartbeat},
                  goodbye = {.type = NM_MSG_goodbye, .u.goodbye.reason = nm_str("in haste")};
    for (int i = 0; i < BEATS; i++)
        wire_send(&beat);
    wire_send(&goodbye);
    nm_socket_destroy(&wire_socket);
    nm_net_clean_up(); /* waits until all of it is sent */
    nm_net_init();
    assert_int_equal(kill(wire_server.pid, SIGCONT), 0);
    int64_t end = nm_clock_mono_ms() + LIMIT_MS;
    while (!wire_logged("leaves: in haste"))
        assert_true(nm_clock_mono_ms() < end);
    assert_int_equal(wire_in_flight(), 0);
    assert_int_equal(wire_count("accepted"), 1);
}

#define TEST(name) cmocka_unit_test_teardown(name, wire_stop)

int main(int argc, char **argv)
{
    if (!wire_set_up(argc, argv))
        return 2;
    const struct CMUnitTest tests[] = {
        TEST(test_replays),
        TEST(test_an_id_in_use),
        TEST(test_greed),
        TEST(test_flood),
        TEST(test_a_goodbye_behind_a_closed_connection),
    };
    int failed = cmocka_run_group_tests_name("broker_rude", tests, NULL, NULL);
    wire_clean_up();
    return failed;
}
