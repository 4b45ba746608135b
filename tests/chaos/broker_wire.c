/* broker_wire - a real broker, spoken to by hand: what it refuses, what it serves, what its statistics say.
 *
 *     broker_wire PROGRAM
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/clock.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/net.h"
#include "schemas/messages.h"
#include "tests/chaos/server.h"

enum { LIMIT_MS = 10000 };

static const char *program;
static struct server server;
static struct nm_socket *wire;
static struct nm_arena arena;
static struct nm_buf in, out;

static void connect_wire(void)
{
    nm_socket_destroy(&wire);
    assert_int_equal(nm_socket_connect(NM_DEALER, server.endpoint, &wire, NULL), NM_OK);
}

static void start(uint64_t samples)
{
    server_init(&server, program);
    assert_true(server_start(&server, samples));
    connect_wire();
}

static int stop(void **state)
{
    (void)state;
    nm_socket_destroy(&wire);
    int code = server_stop(&server);
    server_remove(&server);
    return code;
}

static void send_bytes(const void *data, size_t len)
{
    int64_t end = nm_clock_mono_ms() + LIMIT_MS;
    while (nm_socket_send(wire, NULL, data, len) == NM_EBUSY) { /* not connected yet */
        bool ready;
        assert_true(nm_clock_mono_ms() < end);
        (void)nm_net_wait(&wire, 1, 5, &ready);
    }
}

static void send_msg(const struct nm_msg *msg)
{
    nm_buf_reset(&out);
    assert_int_equal(nm_msg_encode(msg, &out), NM_OK);
    send_bytes(out.data, out.len);
}

/* The next message of that type; others are passed over. */
static const struct nm_msg *expect(enum nm_msg_type type)
{
    static struct nm_msg msg;
    int64_t end = nm_clock_mono_ms() + LIMIT_MS;
    while (nm_clock_mono_ms() < end) {
        bool ready;
        (void)nm_net_wait(&wire, 1, 50, &ready);
        if (nm_socket_recv(wire, NULL, &in) != NM_OK)
            continue;
        nm_arena_reset(&arena);
        assert_int_equal(nm_msg_decode(in.data, in.len, &arena, &msg, NULL), NM_OK);
        if (msg.type == type)
            return &msg;
    }
    fail_msg("no %s came", nm_msg_type_name(type));
    return NULL;
}

static void expect_error(enum nm_err code, const char *words)
{
    const struct nm_msg *msg = expect(NM_MSG_error);
    assert_int_equal(msg->u.error.code, code);
    if (!strstr(msg->u.error.text.ptr, words))
        fail_msg("\"%s\" does not speak of \"%s\"", msg->u.error.text.ptr, words);
}

static struct nm_msg hello(const char *role, const char *worker)
{
    return (struct nm_msg){.type = NM_MSG_hello,
                           .u.hello = {.protocol = NM_PROTOCOL_VERSION,
                                       .role = nm_str(role),
                                       .worker = nm_str(worker),
                                       .software = nm_str("test"),
                                       .credit = 4,
                                       .endpoint = nm_str("tcp://127.0.0.1:9")}};
}

static void join(const char *role, const char *worker)
{
    struct nm_msg msg = hello(role, worker);
    send_msg(&msg);
    assert_int_equal(expect(NM_MSG_welcome)->u.welcome.protocol, NM_PROTOCOL_VERSION);
}

static json_t *ask(const char *question)
{
    struct nm_socket *socket;
    bool ready;
    assert_int_equal(nm_socket_connect(NM_DEALER, server.stats, &socket, NULL), NM_OK);
    int64_t end = nm_clock_mono_ms() + LIMIT_MS;
    while (nm_socket_send(socket, NULL, question, strlen(question)) == NM_EBUSY && nm_clock_mono_ms() < end)
        (void)nm_net_wait(&socket, 1, 5, &ready);
    (void)nm_net_wait(&socket, 1, LIMIT_MS, &ready);
    assert_int_equal(nm_socket_recv(socket, NULL, &in), NM_OK);
    nm_socket_destroy(&socket);
    json_t *answer = json_loadb(in.data, in.len, 0, NULL);
    assert_non_null(answer);
    return answer;
}

static int64_t count(const char *key)
{
    json_t *stats = ask("{\"command\":\"stats\"}");
    int64_t value = json_integer_value(json_object_get(stats, key));
    json_decref(stats);
    return value;
}

/* Wait for the broker to be in that state. */
static void expect_state(const char *wanted)
{
    int64_t end = nm_clock_mono_ms() + LIMIT_MS;
    char last[64] = "";
    while (nm_clock_mono_ms() < end) {
        json_t *stats = ask("stats");
        snprintf(last, sizeof last, "%s", json_string_value(json_object_get(stats, "state")));
        json_decref(stats);
        if (strcmp(last, wanted) == 0)
            return;
    }
    fail_msg("the state is %s, not %s", last, wanted);
}

/* ---- refused --------------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
    (void)state;
    start(10);
    struct nm_msg beat = {.type = NM_MSG_heartbeat};
    send_msg(&beat);
    expect_error(NM_ESTATE, "hello");
    struct nm_msg msg = hello("generator", "old");
    msg.u.hello.protocol = NM_PROTOCOL_VERSION + 1;
    send_msg(&msg);
    expect_error(NM_EVERSION, "install the same version");
    msg = hello("cook", "x");
    send_msg(&msg);
    expect_error(NM_EFORMAT, "role");
    msg = hello("generator", "");
    send_msg(&msg);
    expect_error(NM_EFORMAT, "id");
    send_bytes("\xc1garbage", 8);
    (void)expect(NM_MSG_error);
    send_bytes("", 0);
    (void)expect(NM_MSG_error);
    nm_buf_reset(&out);
    send_msg(&beat); /* one byte short of a whole frame */
    send_bytes(out.data, out.len - 1);
    (void)expect(NM_MSG_error);
    assert_true(count("malformed") >= 3);
    join("generator", "well-behaved"); /* and the connection is as good as before */
    struct nm_msg aligned = {.type = NM_MSG_aligned, .u.aligned = {.task = 0, .attempt = 1}};
    send_msg(&aligned);
    expect_error(NM_EINVAL, "role");
    struct nm_msg empty = {.type = NM_MSG_response, .u.response = {.task = 0, .attempt = 1, .accepted = true}};
    send_msg(&empty);
    expect_error(NM_EFORMAT, "without a text");
}

/* Frames of random bytes, and real ones with bytes changed: the broker answers and lives, another worker is served.
 */
static void test_noise(void **state)
{
    (void)state;
    start(1000);
    struct nm_rng rng;
    nm_rng_init(&rng, 3);
    for (int i = 0; i < 3000; i++) {
        struct nm_msg msg = hello("generator", "noisy");
        nm_buf_reset(&out);
        assert_int_equal(nm_msg_encode(&msg, &out), NM_OK);
        for (uint64_t k = nm_rng_below(&rng, 6) + 1; k; k--)
            out.data[nm_rng_below(&rng, out.len)] = (char)nm_rng_next(&rng);
        send_bytes(out.data, nm_rng_below(&rng, 3) ? out.len : nm_rng_below(&rng, out.len + 1));
    }
    connect_wire();
    join("generator", "quiet");
    (void)expect(NM_MSG_task);
}

/* ---- served ---------------------------------------------------------------------------------- */

static void test_blobs(void **state)
{
    (void)state;
    start(10);
    struct nm_msg read = {.type = NM_MSG_blob_read, .u.blob_read = {.name = nm_str("entities"), .length = 1000}};
    struct nm_buf whole;
    nm_buf_init(&whole, 1 << 20);
    uint64_t digest;
    do {
        read.u.blob_read.offset = whole.len;
        send_msg(&read);
        const struct nm_msg_blob_data *data = &expect(NM_MSG_blob_data)->u.blob_data;
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
    send_msg(&read);
    assert_non_null(strstr(expect(NM_MSG_blob_data)->u.blob_data.data.ptr, "name: chaos"));
    const char *const wrong[] = {"template", "../secret", ""};
    for (int i = 0; i < 3; i++) {
        read.u.blob_read = (struct nm_msg_blob_read){.name = nm_str(wrong[i])};
        send_msg(&read);
        assert_true(expect(NM_MSG_blob_data)->u.blob_data.error.len > 0);
    }
    read.u.blob_read =
        (struct nm_msg_blob_read){.name = nm_str("project"), .offset = UINT64_MAX, .length = UINT64_MAX};
    send_msg(&read);
    assert_true(expect(NM_MSG_blob_data)->u.blob_data.error.len > 0);
}

static void answer(uint64_t task, uint64_t attempt, const char *text)
{
    static struct nm_msg_span mention = {.start = 2, .end = 10, .type = 1, .state = NM_SPAN_MASKED};
    struct nm_msg msg = {.type = NM_MSG_response,
                         .u.response = {.task = task,
                                        .attempt = attempt,
                                        .accepted = text != NULL,
                                        .text = nm_str(text),
                                        .rule = nm_str(text ? "" : "too_short"),
                                        .detail = nm_str(text ? "" : "two words"),
                                        .endpoint = nm_str("local"),
                                        .mentions = &mention,
                                        .n_mentions = text != NULL,
                                        .marked = text != NULL}};
    send_msg(&msg);
    const struct nm_msg_ack *ack = &expect(NM_MSG_ack)->u.ack;
    assert_int_equal(ack->n_items, 1);
    assert_int_equal(ack->items[0].task, task);
}

/* One sample from hello to done, by one generator and one aligner on one connection after the other. */
static void test_one_sample(void **state)
{
    (void)state;
    start(1);
    join("generator", "g");
    struct nm_msg_task task = expect(NM_MSG_task)->u.task;
    assert_int_equal(task.attempt, 1);
    assert_int_equal(task.feedback_rule.len, 0);
    answer(task.task, 1, NULL);
    const struct nm_msg_task *again = &expect(NM_MSG_task)->u.task;
    assert_int_equal(again->attempt, 2);
    assert_string_equal(again->feedback_rule.ptr, "too_short");
    assert_string_equal(again->feedback_detail.ptr, "two words");
    answer(task.task, 2, "A sentence about a thing.");
    connect_wire();
    join("aligner", "a");
    const struct nm_msg_align *align = &expect(NM_MSG_align)->u.align;
    assert_string_equal(align->text.ptr, "A sentence about a thing.");
    assert_true(align->marked);
    assert_int_equal(align->n_mentions, 1);
    assert_int_equal(align->mentions[0].end, 10);
    assert_int_equal(align->mentions[0].state, NM_SPAN_MASKED);
    struct nm_msg aligned = {.type = NM_MSG_aligned, .u.aligned = {.task = task.task, .attempt = 2, .tokens = 6}};
    for (int i = 0; i < 2; i++) { /* handed in twice: the same answer */
        send_msg(&aligned);
        assert_true(expect(NM_MSG_ack)->u.ack.items[0].keep);
    }
    expect_state("complete");
    struct nm_msg read = {.type = NM_MSG_directory_read};
    send_msg(&read);
    const struct nm_msg_directory *directory = &expect(NM_MSG_directory)->u.directory;
    assert_true(directory->complete);
    assert_int_equal(directory->aligned, 1);
    assert_int_equal(directory->n_aligners, 1);
    assert_string_equal(directory->aligners[0].worker.ptr, "a");
    assert_string_equal(directory->aligners[0].endpoint.ptr, "tcp://127.0.0.1:9");
    assert_int_equal(directory->aligners[0].samples, 1);
    connect_wire();
    join("aligner", "b"); /* another who says it has the same sample */
    send_msg(&aligned);
    assert_false(expect(NM_MSG_ack)->u.ack.items[0].keep);
    connect_wire();
    join("generator", "late"); /* and who comes too late is told at once */
    assert_int_equal(expect(NM_MSG_done)->u.done.aligned, 1);
}

static void test_another_run(void **state)
{
    (void)state;
    start(5);
    struct nm_msg msg = hello("generator", "lost");
    msg.u.hello.run = nm_str("run-0123456789abcdef");
    send_msg(&msg);
    assert_string_not_equal(expect(NM_MSG_welcome)->u.welcome.run.ptr, "run-0123456789abcdef");
    struct nm_msg beat = {.type = NM_MSG_heartbeat};
    send_msg(&beat);
    expect_error(NM_ESTATE, "hello"); /* it has not joined, whatever it holds */
}

/* ---- states ---------------------------------------------------------------------------------- */

static void test_endpoints_fail_and_come_back(void **state)
{
    (void)state;
    start(5);
    join("generator", "g");
    uint64_t task = expect(NM_MSG_task)->u.task.task;
    struct nm_msg failure = {.type = NM_MSG_failure,
                             .u.failure = {.task = task,
                                           .attempt = 1,
                                           .kind = nm_str("http"),
                                           .endpoint = nm_str("local"),
                                           .detail = nm_str("401: the key is refused"),
                                           .status = 401,
                                           .fatal = true}};
    send_msg(&failure);
    expect_state("endpoints_failed");
    json_t *stats = ask("stats");
    const char *detail = json_string_value(json_object_get(json_object_get(stats, "last_failure"), "detail"));
    assert_string_equal(detail, "401: the key is refused");
    json_decref(stats);
    assert_int_equal(count("failures"), 1);
    join("generator", "g"); /* started again, with the right key */
    expect_state("running");
    (void)expect(NM_MSG_task);
}

static void test_stuck(void **state)
{
    (void)state;
    start(1);
    join("generator", "g");
    for (int i = 0; i < 3 * 104; i++) { /* 4 x goal + 100 tasks of 3 attempts */
        struct nm_msg_task task = expect(NM_MSG_task)->u.task;
        assert_true(task.last_try == (task.attempt == 3));
        answer(task.task, task.attempt, NULL);
    }
    expect_state("stuck");
    assert_int_equal(count("dead"), 104);
}

static void test_commands(void **state)
{
    (void)state;
    start(5);
    json_t *o = ask("{\"command\":\"dance\"}");
    assert_non_null(json_object_get(o, "error"));
    json_decref(o);
    o = ask("[[[");
    assert_non_null(json_object_get(o, "error"));
    json_decref(o);
    o = ask("{\"command\":\"stats\"}");
    assert_int_equal(json_integer_value(json_object_get(o, "version")), 1);
    json_decref(o);
}

/* ---- rude workers ---------------------------------------------------------------------------- */

/* Another connection takes the place of wire, which is returned. */
static struct nm_socket *second_wire(void)
{
    struct nm_socket *first = wire;
    wire = NULL;
    connect_wire();
    return first;
}

static struct nm_socket *swap_wire(struct nm_socket *other)
{
    struct nm_socket *before = wire;
    wire = other;
    return before;
}

static int64_t in_flight(void)
{
    json_t *stats = ask("stats");
    int64_t n =
        json_integer_value(json_object_get(json_array_get(json_object_get(stats, "workers"), 0), "in_flight"));
    json_decref(stats);
    return n;
}

/* What was sent before, sent again: acknowledged, counted, and without effect. */
static void test_replays(void **state)
{
    (void)state;
    start(10);
    join("generator", "g");
    struct nm_msg_task task = expect(NM_MSG_task)->u.task;
    answer(task.task, 1, NULL);
    for (int i = 0; i < 5; i++)
        answer(task.task, 1, "A better sentence about a thing."); /* the same attempt, another content */
    answer(task.task, 9, "An attempt that nobody asked for.");
    answer(1000, 1, "A task that was never given out.");
    assert_int_equal(count("duplicates"), 5);
    assert_int_equal(count("foreign"), 2);
    assert_int_equal(count("responses"), 1);
    assert_int_equal(count("accepted"), 0);
    for (int i = 0; i < 50; i++)
        join("generator", "g"); /* its leases go back and come again */
    assert_true(in_flight() <= 4);
    answer(task.task, 2, "A sentence about a thing.");
    connect_wire();
    join("aligner", "a");
    struct nm_msg aligned = {.type = NM_MSG_aligned, .u.aligned = {.task = task.task, .attempt = 1}};
    send_msg(&aligned); /* of the rejected attempt */
    assert_false(expect(NM_MSG_ack)->u.ack.items[0].keep);
    aligned.u.aligned.attempt = 2;
    for (int i = 0; i < 5; i++) {
        send_msg(&aligned);
        assert_true(expect(NM_MSG_ack)->u.ack.items[0].keep);
    }
    assert_int_equal(count("aligned"), 1);
}

/* Two live processes of one id: the first keeps it, until it is gone. */
static void test_an_id_in_use(void **state)
{
    (void)state;
    start(1000);
    struct nm_msg first_hello = hello("generator", "twin"), second_hello = hello("generator", "twin");
    first_hello.u.hello.host = second_hello.u.hello.host = nm_str("here");
    first_hello.u.hello.pid = 1;
    second_hello.u.hello.pid = 2;
    send_msg(&first_hello);
    (void)expect(NM_MSG_welcome);
    struct nm_msg_task task = expect(NM_MSG_task)->u.task;
    struct nm_socket *first = second_wire();
    for (int i = 0; i < 3; i++) {
        send_msg(&second_hello);
        expect_error(NM_EBUSY, "in use by pid 1 on here");
    }
    struct nm_socket *second = swap_wire(first);
    answer(task.task, 1, "A sentence about a thing."); /* it never noticed */
    nm_socket_destroy(&wire);                          /* kill -9 */
    (void)swap_wire(second);
    int64_t end = nm_clock_mono_ms() + LIMIT_MS;
    bool welcomed = false;
    while (!welcomed && nm_clock_mono_ms() < end) {
        bool ready;
        send_msg(&second_hello);
        (void)nm_net_wait(&wire, 1, 200, &ready);
        struct nm_msg msg;
        nm_arena_reset(&arena);
        welcomed = nm_socket_recv(wire, NULL, &in) == NM_OK &&
                   nm_msg_decode(in.data, in.len, &arena, &msg, NULL) == NM_OK && msg.type == NM_MSG_welcome;
    }
    assert_true(welcomed);
    (void)expect(NM_MSG_task);
}

/* One that wants everything, and one that says it holds what nobody gave it: another is served all the same. */
static void test_greed(void **state)
{
    (void)state;
    enum { HOLDS = 500000 };
    start(1000000);
    struct nm_msg msg = hello("generator", "greedy");
    msg.u.hello.credit = UINT64_MAX;
    send_msg(&msg);
    (void)expect(NM_MSG_task);
    struct nm_socket *greedy = second_wire();
    join("generator", "modest");
    (void)expect(NM_MSG_task);
    assert_true(in_flight() <= 65536);
    nm_socket_destroy(&greedy);

    struct nm_msg_hold *holds = calloc(HOLDS, sizeof *holds);
    assert_non_null(holds);
    for (uint64_t i = 0; i < HOLDS; i++)
        holds[i] = (struct nm_msg_hold){.task = i * 7919, .attempt = i % 3 ? 1 : UINT64_MAX};
    msg = hello("generator", "liar");
    msg.u.hello.holding = holds;
    msg.u.hello.n_holding = HOLDS;
    struct nm_socket *modest = second_wire();
    send_msg(&msg);
    free(holds);
    (void)expect(NM_MSG_welcome);
    connect_wire();
    nm_buf_reset(&out);
    static char huge[NM_FRAME_MAX + 1];
    send_bytes(huge, sizeof huge); /* over a frame's maximum: cut off */
    struct nm_socket *cut = swap_wire(modest);
    struct nm_msg beat = {.type = NM_MSG_heartbeat};
    send_msg(&beat);
    (void)expect(NM_MSG_heartbeat);
    nm_socket_destroy(&cut);
    assert_int_equal(count("malformed"), 0); /* it never came in */
}

/* One peer pours garbage in as fast as it goes and reads no answer; another is served all the same. */
static void test_flood(void **state)
{
    (void)state;
    enum { ROUNDS = 100, GARBAGE = 2000 };
    start(100000);
    join("generator", "quiet");
    struct nm_socket *flood;
    assert_int_equal(nm_socket_connect(NM_DEALER, server.endpoint, &flood, NULL), NM_OK);
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
        const struct nm_msg_task *task = &expect(NM_MSG_task)->u.task;
        int64_t begun = nm_clock_mono_ms();
        answer(task->task, task->attempt, "A sentence about a thing.");
        int64_t took = nm_clock_mono_ms() - begun;
        slowest = took > slowest ? took : slowest;
    }
    nm_socket_destroy(&flood);
    assert_true(sent > ROUNDS * GARBAGE / 2);
    assert_true(count("malformed") > 0);
    print_message("beside %llu frames of garbage the slowest answer took %lld ms\n", (unsigned long long)sent,
                  (long long)slowest);
    assert_int_equal(count("accepted"), ROUNDS);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: broker_wire PROGRAM\n");
        return 2;
    }
    program = argv[1];
    nm_log_init("test");
    nm_net_init();
    nm_arena_init(&arena, 0);
    nm_buf_init(&in, NM_FRAME_MAX);
    nm_buf_init(&out, NM_FRAME_MAX);
    const struct CMUnitTest tests[] = {
        TEST(test_refusals),     TEST(test_noise),       TEST(test_blobs),
        TEST(test_one_sample),   TEST(test_another_run), TEST(test_endpoints_fail_and_come_back),
        TEST(test_stuck),        TEST(test_commands),    TEST(test_replays),
        TEST(test_an_id_in_use), TEST(test_greed),       TEST(test_flood),
    };
    int failed = cmocka_run_group_tests_name("broker_wire", tests, NULL, NULL);
    nm_arena_clean_up(&arena);
    nm_buf_clean_up(&in);
    nm_buf_clean_up(&out);
    nm_net_clean_up();
    return failed;
}
