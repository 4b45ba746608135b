/* broker_wire - a real broker, spoken to by hand: what it refuses, what it serves, what its statistics say.
 *
 *     broker_wire PROGRAM
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/hash.h"
#include "tests/chaos/wire.h"

/* ---- refused --------------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
    (void)state;
    wire_start(10);
    struct nm_msg beat = {.type = NM_MSG_heartbeat};
    wire_send(&beat);
    wire_expect_error(NM_ESTATE, "hello");
    struct nm_msg msg = wire_hello("generator", "old");
    msg.u.hello.protocol = NM_PROTOCOL_VERSION + 1;
    wire_send(&msg);
    wire_expect_error(NM_EVERSION, "install the same version");
    msg = wire_hello("cook", "x");
    wire_send(&msg);
    wire_expect_error(NM_EFORMAT, "role");
    msg = wire_hello("generator", "");
    wire_send(&msg);
    wire_expect_error(NM_EFORMAT, "id");
    wire_send_bytes("\xc1garbage", 8);
    (void)wire_expect(NM_MSG_error);
    wire_send_bytes("", 0);
    (void)wire_expect(NM_MSG_error);
    nm_buf_reset(&wire_out);
    wire_send(&beat); /* one byte short of a whole frame */
    wire_send_bytes(wire_out.data, wire_out.len - 1);
    (void)wire_expect(NM_MSG_error);
    assert_true(wire_count("malformed") >= 3);
    wire_join("generator", "well-behaved"); /* and the connection is as good as before */
    struct nm_msg aligned = {.type = NM_MSG_aligned, .u.aligned = {.task = 0, .attempt = 1}};
    wire_send(&aligned);
    wire_expect_error(NM_EINVAL, "role");
    struct nm_msg empty = {.type = NM_MSG_response, .u.response = {.task = 0, .attempt = 1, .accepted = true}};
    wire_send(&empty);
    wire_expect_error(NM_EFORMAT, "without a text");
}

/* Frames of random bytes, and real ones with bytes changed: the broker answers and lives, another worker is served.
 */
static void test_noise(void **state)
{
    (void)state;
    wire_start(1000);
    struct nm_rng rng;
    nm_rng_init(&rng, 3);
    for (int i = 0; i < 3000; i++) {
        struct nm_msg msg = wire_hello("generator", "noisy");
        nm_buf_reset(&wire_out);
        assert_int_equal(nm_msg_encode(&msg, &wire_out), NM_OK);
        for (uint64_t k = nm_rng_below(&rng, 6) + 1; k; k--)
            wire_out.data[nm_rng_below(&rng, wire_out.len)] = (char)nm_rng_next(&rng);
        wire_send_bytes(wire_out.data, nm_rng_below(&rng, 3) ? wire_out.len : nm_rng_below(&rng, wire_out.len + 1));
    }
    wire_connect();
    wire_join("generator", "quiet");
    (void)wire_expect(NM_MSG_task);
}

/* ---- served ---------------------------------------------------------------------------------- */

static void test_blobs(void **state)
{
    (void)state;
    wire_start(10);
    struct nm_msg read = {.type = NM_MSG_blob_read, .u.blob_read = {.name = nm_str("entities"), .length = 1000}};
    struct nm_buf whole;
    nm_buf_init(&whole, 1 << 20);
    uint64_t digest;
    do {
        read.u.blob_read.offset = whole.len;
        wire_send(&read);
        const struct nm_msg_blob_data *data = &wire_expect(NM_MSG_blob_data)->u.blob_data;
        assert_int_equal(data->offset, whole.len);
        assert_true(data->data.len > 0 && data->data.len <= 1000);
        assert_int_equal(data->checksum, nm_hash64(data->data.ptr, data->data.len, 0));
        assert_int_equal(nm_buf_add(&whole, data->data.ptr, data->data.len), NM_OK);
        digest = data->digest;
        if (whole.len == data->total)
            break;
    } while (whole.len < 1 << 20);
    assert_int_equal(digest, nm_hash64(whole.data, whole.len, 0));
    assert_memory_equal(whole.data, "Thing\tthing number 0\n", 21);
    nm_buf_clean_up(&whole);
    read.u.blob_read = (struct nm_msg_blob_read){.name = nm_str("project")};
    wire_send(&read);
    assert_non_null(strstr(wire_expect(NM_MSG_blob_data)->u.blob_data.data.ptr, "name: chaos"));
    const char *const wrong[] = {"template", "../secret", ""};
    for (int i = 0; i < 3; i++) {
        read.u.blob_read = (struct nm_msg_blob_read){.name = nm_str(wrong[i])};
        wire_send(&read);
        assert_true(wire_expect(NM_MSG_blob_data)->u.blob_data.error.len > 0);
    }
    read.u.blob_read =
        (struct nm_msg_blob_read){.name = nm_str("project"), .offset = UINT64_MAX, .length = UINT64_MAX};
    wire_send(&read);
    assert_true(wire_expect(NM_MSG_blob_data)->u.blob_data.error.len > 0);
}

/* One sample from hello to done, by one generator and one aligner on one connection after the other. */
static void test_one_sample(void **state)
{
    (void)state;
    wire_start(1);
    wire_join("generator", "g");
    struct nm_msg_task task = wire_expect(NM_MSG_task)->u.task;
    assert_int_equal(task.attempt, 1);
    assert_int_equal(task.feedback_rule.len, 0);
    wire_answer(task.task, 1, NULL);
    const struct nm_msg_task *again = &wire_expect(NM_MSG_task)->u.task;
    assert_int_equal(again->attempt, 2);
    assert_string_equal(again->feedback_rule.ptr, "too_short");
    assert_string_equal(again->feedback_detail.ptr, "two words");
    wire_answer(task.task, 2, "A sentence about a thing.");
    wire_connect();
    wire_join("aligner", "a");
    const struct nm_msg_align *align = &wire_expect(NM_MSG_align)->u.align;
    assert_string_equal(align->text.ptr, "A sentence about a thing.");
    assert_true(align->marked);
    assert_int_equal(align->n_mentions, 1);
    assert_int_equal(align->mentions[0].end, 10);
    assert_int_equal(align->mentions[0].state, NM_SPAN_MASKED);
    struct nm_msg aligned = {.type = NM_MSG_aligned, .u.aligned = {.task = task.task, .attempt = 2, .tokens = 6}};
    for (int i = 0; i < 2; i++) { /* handed in twice: the same answer */
        wire_send(&aligned);
        assert_true(wire_expect(NM_MSG_ack)->u.ack.items[0].keep);
    }
    wire_expect_state("complete");
    struct nm_msg read = {.type = NM_MSG_directory_read};
    wire_send(&read);
    const struct nm_msg_directory *directory = &wire_expect(NM_MSG_directory)->u.directory;
    assert_true(directory->complete);
    assert_int_equal(directory->aligned, 1);
    assert_int_equal(directory->n_aligners, 1);
    assert_string_equal(directory->aligners[0].worker.ptr, "a");
    assert_string_equal(directory->aligners[0].endpoint.ptr, "tcp://127.0.0.1:9");
    assert_int_equal(directory->aligners[0].samples, 1);
    wire_connect();
    wire_join("aligner", "b"); /* another who says it has the same sample */
    wire_send(&aligned);
    assert_false(wire_expect(NM_MSG_ack)->u.ack.items[0].keep);
    wire_connect();
    wire_join("generator", "late"); /* and who comes too late is told at once */
    assert_int_equal(wire_expect(NM_MSG_done)->u.done.aligned, 1);
}

static void test_another_run(void **state)
{
    (void)state;
    wire_start(5);
    struct nm_msg msg = wire_hello("generator", "lost");
    msg.u.hello.run = nm_str("run-0123456789abcdef");
    wire_send(&msg);
    assert_string_not_equal(wire_expect(NM_MSG_welcome)->u.welcome.run.ptr, "run-0123456789abcdef");
    struct nm_msg beat = {.type = NM_MSG_heartbeat};
    wire_send(&beat);
    wire_expect_error(NM_ESTATE, "hello"); /* it has not joined, whatever it holds */
}

/* ---- states ---------------------------------------------------------------------------------- */

static void test_endpoints_fail_and_come_back(void **state)
{
    (void)state;
    wire_start(5);
    wire_join("generator", "g");
    uint64_t task = wire_expect(NM_MSG_task)->u.task.task;
    struct nm_msg failure = {.type = NM_MSG_failure,
                             .u.failure = {.task = task,
                                           .attempt = 1,
                                           .kind = nm_str("http"),
                                           .endpoint = nm_str("local"),
                                           .detail = nm_str("401: the key is refused"),
                                           .status = 401,
                                           .fatal = true}};
    wire_send(&failure);
    wire_expect_state("endpoints_failed");
    json_t *stats = wire_ask("stats");
    const char *detail = json_string_value(json_object_get(json_object_get(stats, "last_failure"), "detail"));
    assert_string_equal(detail, "401: the key is refused");
    json_decref(stats);
    assert_int_equal(wire_count("failures"), 1);
    wire_join("generator", "g"); /* started again, with the right key */
    wire_expect_state("running");
    (void)wire_expect(NM_MSG_task);
}

static void test_stuck(void **state)
{
    (void)state;
    wire_start(1);
    wire_join("generator", "g");
    for (int i = 0; i < 3 * 104; i++) { /* 4 x goal + 100 tasks of 3 attempts */
        struct nm_msg_task task = wire_expect(NM_MSG_task)->u.task;
        assert_true(task.last_try == (task.attempt == 3));
        wire_answer(task.task, task.attempt, NULL);
    }
    wire_expect_state("stuck");
    assert_int_equal(wire_count("dead"), 104);
}

static void test_commands(void **state)
{
    (void)state;
    wire_start(5);
    json_t *o = wire_ask("{\"command\":\"dance\"}");
    assert_non_null(json_object_get(o, "error"));
    json_decref(o);
    o = wire_ask("[[[");
    assert_non_null(json_object_get(o, "error"));
    json_decref(o);
    o = wire_ask("{\"command\":\"stats\"}");
    assert_int_equal(json_integer_value(json_object_get(o, "version")), 1);
    json_decref(o);
}

#define TEST(name) cmocka_unit_test_teardown(name, wire_stop)

int main(int argc, char **argv)
{
    if (!wire_set_up(argc, argv))
        return 2;
    const struct CMUnitTest tests[] = {
        TEST(test_refusals),   TEST(test_noise),       TEST(test_blobs),
        TEST(test_one_sample), TEST(test_another_run), TEST(test_endpoints_fail_and_come_back),
        TEST(test_stuck),      TEST(test_commands),
    };
    int failed = cmocka_run_group_tests_name("broker_wire", tests, NULL, NULL);
    wire_clean_up();
    return failed;
}
