/* broker_stream - the published statistics of a real broker: patches applied in turn give each next document.
 *
 *     broker_stream PROGRAM
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/net.h"
#include "schemas/messages.h"
#include "tests/chaos/server.h"

enum { LIMIT_MS = 10000, ROUNDS = 4 };

static const char *program;
static struct server server;
static struct nm_buf in, out;

/* RFC 7386, section 2. */
static void merge(json_t *into, json_t *patch)
{
    const char *key;
    json_t *value;
    json_object_foreach(patch, key, value)
    {
        if (json_is_null(value)) {
            json_object_del(into, key);
        } else if (!json_is_object(value)) {
            json_object_set(into, key, value);
        } else {
            if (!json_is_object(json_object_get(into, key)))
                json_object_set_new(into, key, json_object());
            merge(json_object_get(into, key), value);
        }
    }
}

/* What a patch can't say. */
static void drop_nulls(json_t *object)
{
    const char *key;
    void *next;
    json_t *value;
    json_object_foreach_safe(object, next, key, value)
    {
        if (json_is_null(value))
            json_object_del(object, key);
        else if (json_is_object(value))
            drop_nulls(value);
    }
}

static json_t *receive(struct nm_socket *socket)
{
    bool ready;
    int64_t end = nm_clock_mono_ms() + LIMIT_MS;
    while (nm_socket_recv(socket, NULL, &in) != NM_OK) {
        assert_true(nm_clock_mono_ms() < end);
        (void)nm_net_wait(&socket, 1, 100, &ready);
    }
    json_t *frame = json_loadb(in.data, in.len, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(frame, "version")), 1);
    return frame;
}

static void send(struct nm_socket *socket, const void *data, size_t len)
{
    bool ready;
    int64_t end = nm_clock_mono_ms() + LIMIT_MS;
    while (nm_socket_send(socket, NULL, data, len) == NM_EBUSY) {
        assert_true(nm_clock_mono_ms() < end);
        (void)nm_net_wait(&socket, 1, 5, &ready);
    }
}

static json_t *published(struct nm_socket *stats)
{
    static const char question[] = "{\"command\":\"published\"}";
    send(stats, question, strlen(question));
    return receive(stats);
}

static int64_t seq_of(const json_t *frame)
{
    return json_integer_value(json_object_get(frame, "seq"));
}

static struct nm_socket *subscribe(void)
{
    char path[400];
    struct nm_socket *socket;
    snprintf(path, sizeof path, "%s/state/endpoints.json", server.dir);
    json_t *endpoints = json_load_file(path, 0, NULL);
    const char *endpoint = json_string_value(json_object_get(endpoints, "publish"));
    assert_int_equal(nm_socket_connect(NM_SUB, endpoint, &socket, NULL), NM_OK);
    json_decref(endpoints);
    return socket;
}

/* Something for the statistics to tell. */
static void join(struct nm_socket *wire, const char *id)
{
    struct nm_msg msg = {.type = NM_MSG_hello,
                         .u.hello = {.protocol = NM_PROTOCOL_VERSION,
                                     .role = nm_str("generator"),
                                     .worker = nm_str(id),
                                     .software = nm_str("test"),
                                     .credit = 4}};
    nm_buf_reset(&out);
    assert_int_equal(nm_msg_encode(&msg, &out), NM_OK);
    send(wire, out.data, out.len);
}

static void test_stream(void **state)
{
    (void)state;
    struct nm_socket *wire[ROUNDS], *stats;
    server_init(&server, program);
    assert_true(server_start(&server, 10));
    assert_int_equal(nm_socket_connect(NM_DEALER, server.stats, &stats, NULL), NM_OK);
    struct nm_socket *stream = subscribe();
    json_decref(receive(stream)); /* the subscription is known */
    json_t *frame = published(stats), *document = json_incref(json_object_get(frame, "full"));
    int64_t seq = seq_of(frame), patches = 0;
    assert_true(seq > 0);
    json_decref(frame);
    drop_nulls(document);
    for (int i = 0; i < ROUNDS; i++) {
        char id[16];
        snprintf(id, sizeof id, "worker-%d", i);
        assert_int_equal(nm_socket_connect(NM_DEALER, server.endpoint, &wire[i], NULL), NM_OK);
        join(wire[i], id);
        do {
            frame = receive(stream);
            if (seq_of(frame) > seq) { /* others came before the document was asked for */
                json_t *patch = json_object_get(frame, "patch");
                assert_int_equal(seq_of(frame), ++seq);
                assert_true(json_is_object(patch));
                assert_null(json_object_get(patch, "run")); /* never changes */
                merge(document, patch);
                patches++;
            }
            json_decref(frame);
        } while (patches <= i);
        frame = published(stats);
        json_t *expected = json_object_get(frame, "full");
        drop_nulls(expected);
        if (seq_of(frame) == seq && !json_equal(expected, document))
            fail_msg("%s\nis not\n%s", json_dumps(document, JSON_SORT_KEYS), json_dumps(expected, JSON_SORT_KEYS));
        assert_true(seq_of(frame) - seq <= 1); /* a second may have passed in between */
        json_decref(frame);
    }
    assert_int_equal(json_array_size(json_object_get(document, "workers")), ROUNDS);
    json_decref(document);
    for (int i = 0; i < ROUNDS; i++)
        nm_socket_destroy(&wire[i]);
    nm_socket_destroy(&stats);
    nm_socket_destroy(&stream);
}

static int stop(void **state)
{
    (void)state;
    int code = server_stop(&server);
    server_remove(&server);
    return code;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: broker_stream PROGRAM\n");
        return 2;
    }
    program = argv[1];
    nm_log_init("test");
    nm_net_init();
    nm_buf_init(&in, NM_FRAME_MAX);
    nm_buf_init(&out, NM_FRAME_MAX);
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_stream, stop)};
    int failed = cmocka_run_group_tests_name("broker_stream", tests, NULL, NULL);
    nm_buf_clean_up(&in);
    nm_buf_clean_up(&out);
    nm_net_clean_up();
    return failed;
}
