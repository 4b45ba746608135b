#include "tests/chaos/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"

enum { LIMIT_MS = 10000 };

static const char *program;
struct server wire_server;
struct nm_socket *wire_socket;
struct nm_arena wire_arena;
struct nm_buf wire_in, wire_out;

void wire_connect(void)
{
    nm_socket_destroy(&wire_socket);
    assert_int_equal(nm_socket_connect(NM_DEALER, wire_server.endpoint, &wire_socket, NULL), NM_OK);
}

void wire_start(uint64_t samples)
{
    server_init(&wire_server, program);
    assert_true(server_start(&wire_server, samples));
    wire_connect();
}

int wire_stop(void **state)
{
    (void)state;
    nm_socket_destroy(&wire_socket);
    int code = server_stop(&wire_server);
    server_remove(&wire_server);
    return code;
}

void wire_send_bytes(const void *data, size_t len)
{
    int64_t end = nm_clock_mono_ms() + LIMIT_MS;
    while (nm_socket_send(wire_socket, NULL, data, len) == NM_EBUSY) { /* not connected yet */
        bool ready;
        assert_true(nm_clock_mono_ms() < end);
        (void)nm_net_wait(&wire_socket, 1, 5, &ready);
    }
}

void wire_send(const struct nm_msg *msg)
{
    nm_buf_reset(&wire_out);
    assert_int_equal(nm_msg_encode(msg, &wire_out), NM_OK);
    wire_send_bytes(wire_out.data, wire_out.len);
}

const struct nm_msg *wire_expect(enum nm_msg_type type)
{
    static struct nm_msg msg;
    int64_t end = nm_clock_mono_ms() + LIMIT_MS;
    while (nm_clock_mono_ms() < end) {
        bool ready;
        (void)nm_net_wait(&wire_socket, 1, 50, &ready);
        if (nm_socket_recv(wire_socket, NULL, &wire_in) != NM_OK)
            continue;
        nm_arena_reset(&wire_arena);
        assert_int_equal(nm_msg_decode(wire_in.data, wire_in.len, &wire_arena, &msg, NULL), NM_OK);
        if (msg.type == type)
            return &msg;
    }
    fail_msg("no %s came", nm_msg_type_name(type));
    return NULL;
}

void wire_expect_error(enum nm_err code, const char *words)
{
    const struct nm_msg *msg = wire_expect(NM_MSG_error);
    assert_int_equal(msg->u.error.code, code);
    if (!strstr(msg->u.error.text.ptr, words))
        fail_msg("\"%s\" does not speak of \"%s\"", msg->u.error.text.ptr, words);
}

struct nm_msg wire_hello(const char *role, const char *worker)
{
    return (struct nm_msg){.type = NM_MSG_hello,
                           .u.hello = {.protocol = NM_PROTOCOL_VERSION,
                                       .role = nm_str(role),
                                       .worker = nm_str(worker),
                                       .software = nm_str("test"),
                                       .credit = 4,
                                       .endpoint = nm_str("tcp://127.0.0.1:9")}};
}

void wire_join(const char *role, const char *worker)
{
    struct nm_msg msg = wire_hello(role, worker);
    wire_send(&msg);
    assert_int_equal(wire_expect(NM_MSG_welcome)->u.welcome.protocol, NM_PROTOCOL_VERSION);
}

json_t *wire_ask(const char *question)
{
    struct nm_socket *socket;
    bool ready;
    assert_int_equal(nm_socket_connect(NM_DEALER, wire_server.stats, &socket, NULL), NM_OK);
    int64_t end = nm_clock_mono_ms() + LIMIT_MS;
    while (nm_socket_send(socket, NULL, question, strlen(question)) == NM_EBUSY && nm_clock_mono_ms() < end)
        (void)nm_net_wait(&socket, 1, 5, &ready);
    (void)nm_net_wait(&socket, 1, LIMIT_MS, &ready);
    assert_int_equal(nm_socket_recv(socket, NULL, &wire_in), NM_OK);
    nm_socket_destroy(&socket);
    json_t *answer = json_loadb(wire_in.data, wire_in.len, 0, NULL);
    assert_non_null(answer);
    return answer;
}

int64_t wire_count(const char *key)
{
    json_t *stats = wire_ask("{\"command\":\"stats\"}");
    int64_t value = json_integer_value(json_object_get(stats, key));
    json_decref(stats);
    return value;
}

void wire_expect_state(const char *wanted)
{
    int64_t end = nm_clock_mono_ms() + LIMIT_MS;
    char last[64] = "";
    while (nm_clock_mono_ms() < end) {
        json_t *stats = wire_ask("stats");
        snprintf(last, sizeof last, "%s", json_string_value(json_object_get(stats, "state")));
        json_decref(stats);
        if (strcmp(last, wanted) == 0)
            return;
    }
    fail_msg("the state is %s, not %s", last, wanted);
}

struct nm_msg wire_response(uint64_t task, uint64_t attempt, const char *text)
{
    static struct nm_msg_span mention = {.start = 2, .end = 10, .type = 1, .state = NM_SPAN_MASKED};
    return (struct nm_msg){.type = NM_MSG_response,
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
}

void wire_answer(uint64_t task, uint64_t attempt, const char *text)
{
    struct nm_msg msg = wire_response(task, attempt, text);
    wire_send(&msg);
    const struct nm_msg_ack *ack = &wire_expect(NM_MSG_ack)->u.ack;
    assert_int_equal(ack->n_items, 1);
    assert_int_equal(ack->items[0].task, task);
}

struct nm_socket *wire_second(void)
{
    struct nm_socket *first = wire_socket;
    wire_socket = NULL;
    wire_connect();
    return first;
}

struct nm_socket *wire_swap(struct nm_socket *other)
{
    struct nm_socket *before = wire_socket;
    wire_socket = other;
    return before;
}

int64_t wire_in_flight(void)
{
    json_t *stats = wire_ask("stats");
    int64_t n =
        json_integer_value(json_object_get(json_array_get(json_object_get(stats, "workers"), 0), "in_flight"));
    json_decref(stats);
    return n;
}

bool wire_logged(const char *words)
{
    char path[300];
    struct nm_buf text;
    nm_buf_init(&text, 64 << 20);
    snprintf(path, sizeof path, "%s/broker.log", wire_server.dir);
    assert_int_equal(nm_file_read(path, &text, NULL), NM_OK);
    bool found = strstr(nm_buf_str(&text), words) != NULL;
    nm_buf_clean_up(&text);
    return found;
}

bool wire_set_up(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s PROGRAM\n", argv[0]);
        return false;
    }
    program = argv[1];
    nm_log_init("test");
    nm_net_init();
    nm_arena_init(&wire_arena, 0);
    nm_buf_init(&wire_in, NM_FRAME_MAX);
    nm_buf_init(&wire_out, NM_FRAME_MAX);
    return true;
}

void wire_clean_up(void)
{
    nm_arena_clean_up(&wire_arena);
    nm_buf_clean_up(&wire_in);
    nm_buf_clean_up(&wire_out);
    nm_net_clean_up();
}
