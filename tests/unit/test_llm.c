/* The HTTP engine against a small server of our own: reuse of connections, caps, time-outs, header forms. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "common/clock.h"
#include "workers/generator/llm.h"

/* ---- the server: one thread, many connections, what it answers is in the request's body ------ */

enum { CONNS = 128, HUGE_BODY = 300000 };

static struct server {
    int listener, stop[2];
    pthread_t thread;
    int accepted;
    char url[64];
} server;

static void say(int fd, const char *head, const char *body, size_t len)
{
    char text[512];
    int n = snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", head, len);
    if (write(fd, text, (size_t)n) == n)
        (void)!write(fd, body, len);
}

/* Answer one request; false: close. */
static bool answer(int fd)
{
    static char huge[HUGE_BODY], in[8192];
    ssize_t n = read(fd, in, sizeof in - 1);
    if (n <= 0)
        return false;
    in[n] = '\0';
    if (strncmp(in, "GET /v1/models", 14) == 0) {
        say(fd, "200 OK", "models", 6);
        return true;
    }
    const char *body = strstr(in, "\r\n\r\n");
    body = body != NULL ? body + 4 : "";
    if (strcmp(body, "cut") == 0) {
        (void)!write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", 42);
        return false;
    }
    if (strcmp(body, "silent") == 0)
        return true;
    if (strcmp(body, "stall") == 0) {
        (void)!write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", 43);
        return true;
    }
    memset(huge, 'x', sizeof huge);
    if (strcmp(body, "huge") == 0)
        say(fd, "200 OK", huge, sizeof huge);
    else if (strcmp(body, "seconds") == 0)
        say(fd, "429 No\r\nRetry-After: 7", "", 0);
    else if (strcmp(body, "ms") == 0)
        say(fd, "429 No\r\nRetry-After: 7\r\nretry-after-ms: 1500", "", 0);
    else if (strcmp(body, "date") == 0)
        say(fd, "429 No\r\nRetry-After: Thu, 01 Jan 1970 00:00:00 GMT", "", 0);
    else
        say(fd, "200 OK", body, strlen(body));
    return true;
}

static void *serve(void *ctx)
{
    (void)ctx;
    struct pollfd fds[CONNS + 2] = {{.fd = server.stop[0], .events = POLLIN},
                                    {.fd = server.listener, .events = POLLIN}};
    nfds_t n = 2;
    while (poll(fds, n, -1) > 0 && fds[0].revents == 0) {
        for (nfds_t i = 2; i < n; i++)
            if (fds[i].revents != 0 && !answer(fds[i].fd)) {
                close(fds[i].fd);
                fds[i--] = fds[--n];
            }
        if (fds[1].revents != 0 && n < CONNS + 2) {
            fds[n++] = (struct pollfd){.fd = accept(server.listener, NULL, NULL), .events = POLLIN};
            server.accepted++;
        }
    }
    for (nfds_t i = 2; i < n; i++)
        close(fds[i].fd);
    return NULL;
}

static int start_server(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    signal(SIGPIPE, SIG_IGN); /* of a client that has given up, as every program of ours does */
    server.accepted = 0;
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    if (pipe(server.stop) != 0 || bind(server.listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server.listener, 128) != 0 || getsockname(server.listener, (struct sockaddr *)&address, &len) != 0)
        return -1;
    (void)snprintf(server.url, sizeof server.url, "http://127.0.0.1:%d/v1/", ntohs(address.sin_port));
    return pthread_create(&server.thread, NULL, serve, NULL);
}

static int stop_server(void **state)
{
    (void)state;
    (void)!write(server.stop[1], "x", 1);
    pthread_join(server.thread, NULL);
    close(server.listener);
    close(server.stop[0]);
    close(server.stop[1]);
    return 0;
}

/* ---- the client ------------------------------------------------------------------------------ */

struct result {
    int calls;
    struct nm_llm_outcome last;
    char body[64];
};

static void on_done(void *ctx, void *call, const struct nm_llm_outcome *outcome)
{
    struct result *result = ctx;
    result->calls++;
    if (call != NULL)
        (*(int *)call)++;
    result->last = *outcome;
    (void)snprintf(result->body, sizeof result->body, "%.60s", outcome->body);
    assert_int_equal(strlen(outcome->body), outcome->body_len);
}

static struct nm_llm *engine(size_t most, struct result *result)
{
    struct nm_llm *llm;
    struct nm_diag diag;
    struct nm_llm_options options = {.max_in_flight = most, .max_body = 100000, .done = on_done, .ctx = result};
    *result = (struct result){0};
    assert_int_equal(nm_llm_new(&options, &llm, &diag), NM_OK);
    return llm;
}

static struct nm_llm_target *target(const char *url)
{
    struct nm_llm_target *made;
    struct nm_diag diag = {""};
    struct nm_llm_target_options options = {
        .name = "t", .url = url, .connect_timeout_ms = 2000, .timeout_ms = 700, .key = "sk-123/456-very-secret"};
    if (nm_llm_target_new(&options, &made, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return made;
}

static void run_until(struct nm_llm *llm, const struct result *result, int calls)
{
    int64_t end = nm_clock_mono_ms() + 10000;
    while (result->calls < calls && nm_clock_mono_ms() < end) {
        struct pollfd fd = {.fd = nm_llm_fd(llm), .events = POLLIN};
        int wait = nm_llm_wait_ms(llm);
        (void)poll(&fd, 1, wait < 0 || wait > 100 ? 100 : wait);
        assert_int_equal(nm_llm_step(llm), NM_OK);
    }
    assert_true(result->calls >= calls); /* one step may finish several */
}

static void post(struct nm_llm *llm, struct result *result, const struct nm_llm_target *to, const char *body)
{
    assert_int_equal(nm_llm_start(llm, to, body, body != NULL ? strlen(body) : 0, NULL), NM_OK);
    int due = result->calls + 1;
    run_until(llm, result, due);
    assert_int_equal(result->calls, due);
}

static void test_outcomes(void **state)
{
    (void)state;
    struct result r;
    struct nm_llm *llm = engine(4, &r);
    struct nm_llm_target *to = target(server.url);
    post(llm, &r, to, "echo this");
    assert_int_equal(r.last.fault, NM_LLM_ANSWERED);
    assert_int_equal(r.last.status, 200);
    assert_string_equal(r.body, "echo this");
    assert_int_equal(r.last.limits.retry_after_ms, -1);
    post(llm, &r, to, NULL);
    assert_string_equal(r.body, "models");
    post(llm, &r, to, "a POST again after a GET");
    assert_string_equal(r.body, "a POST again after a GET");
    post(llm, &r, to, "seconds");
    assert_int_equal(r.last.status, 429);
    assert_int_equal(r.last.limits.retry_after_ms, 7000);
    post(llm, &r, to, "ms");
    assert_int_equal(r.last.limits.retry_after_ms, 1500);
    post(llm, &r, to, "date"); /* long past: at once */
    assert_int_equal(r.last.limits.retry_after_ms, 0);
    post(llm, &r, to, "huge");
    assert_int_equal(r.last.fault, NM_LLM_TOO_LARGE);
    post(llm, &r, to, "cut");
    assert_int_equal(r.last.fault, NM_LLM_CUT);
    post(llm, &r, to, "silent");
    assert_int_equal(r.last.fault, NM_LLM_TIMEOUT);
    assert_true(r.last.latency_us > 600000 && r.last.latency_us < 5000000);
    post(llm, &r, to, "still there");
    assert_string_equal(r.body, "still there");
    struct nm_llm_target *nobody = target("http://127.0.0.1:1/v1");
    post(llm, &r, nobody, "x");
    assert_int_equal(r.last.fault, NM_LLM_CONNECT);
    assert_int_equal(r.last.status, 0);
    assert_int_equal(nm_llm_in_flight(llm), 0);
    nm_llm_destroy(&llm);
    assert_null(llm);
    nm_llm_target_destroy(&nobody);
    nm_llm_target_destroy(&to);
}

/* 64 in flight, 6,400 calls: the cap holds, every call comes back once, connections are used again. */
static void test_many(void **state)
{
    (void)state;
    enum { FLYING = 64, CALLS = 6400 };
    struct result r;
    struct nm_llm *llm = engine(FLYING, &r);
    struct nm_llm_target *to = target(server.url);
    int before = server.accepted, started = 0;
    static int marks[CALLS];
    while (started < CALLS) {
        while (started < CALLS && nm_llm_start(llm, to, "hello", 5, &marks[started]) == NM_OK)
            started++;
        assert_true(nm_llm_in_flight(llm) <= FLYING);
        if (started < CALLS)
            assert_int_equal(nm_llm_start(llm, to, "x", 1, NULL), NM_EBUSY);
        run_until(llm, &r, r.calls + 1 > CALLS ? CALLS : r.calls + 1);
    }
    run_until(llm, &r, CALLS);
    assert_int_equal(r.calls, CALLS);
    assert_int_equal(nm_llm_in_flight(llm), 0);
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(marks[i], 1);
    assert_true(server.accepted - before <= FLYING + 4);
    nm_llm_destroy(&llm);
    nm_llm_target_destroy(&to);
}

/* Time-outs of the first byte, and of the next one; the total one is far away. */
static void test_stalls(void **state)
{
    (void)state;
    struct result r;
    struct nm_llm *llm = engine(4, &r);
    struct nm_llm_target *to;
    struct nm_diag diag = {""};
    struct nm_llm_target_options options = {.name = "t",
                                            .url = server.url,
                                            .connect_timeout_ms = 60000,
                                            .first_byte_timeout_ms = 150,
                                            .stall_timeout_ms = 300,
                                            .timeout_ms = 60000};
    assert_int_equal(nm_llm_target_new(&options, &to, &diag), NM_OK);
    post(llm, &r, to, "silent");
    assert_int_equal(r.last.fault, NM_LLM_TIMEOUT);
    assert_int_equal(r.last.status, 0);
    post(llm, &r, to, "stall");
    assert_int_equal(r.last.fault, NM_LLM_TIMEOUT);
    assert_int_equal(r.last.status, 200);
    assert_string_equal(r.body, "half");
    post(llm, &r, to, "and on");
    assert_string_equal(r.body, "and on");
    nm_llm_target_destroy(&to);
    nm_llm_destroy(&llm);
}

/* A key that is echoed comes back as stars, as it is or escaped. */
static void test_masked(void **state)
{
    (void)state;
    struct result r;
    struct nm_llm *llm = engine(4, &r);
    struct nm_llm_target *to = target(server.url);
    post(llm, &r, to, "it is sk-123/456-very-secret, or sk-123\\/456-very-secret.");
    assert_string_equal(r.body, "it is **********************, or ***********************.");
    post(llm, &r, to, "sk-123/456-very-secre");
    assert_string_equal(r.body, "sk-123/456-very-secre");
    nm_llm_target_destroy(&to);
    nm_llm_destroy(&llm);
}

static void test_cancel(void **state)
{
    (void)state;
    struct result r;
    struct nm_llm *llm = engine(8, &r);
    struct nm_llm_target *to = target(server.url);
    for (int i = 0; i < 8; i++)
        assert_int_equal(nm_llm_start(llm, to, "silent", 6, NULL), NM_OK);
    assert_int_equal(nm_llm_step(llm), NM_OK);
    nm_llm_cancel(llm);
    assert_int_equal(r.calls, 8);
    assert_int_equal(r.last.fault, NM_LLM_CANCELED);
    assert_int_equal(nm_llm_in_flight(llm), 0);
    assert_int_equal(nm_llm_start(llm, to, "silent", 6, NULL), NM_OK);
    nm_llm_destroy(&llm); /* with a call in flight: dropped without its callback */
    assert_int_equal(r.calls, 8);
    nm_llm_target_destroy(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_outcomes), cmocka_unit_test(test_many),
                                       cmocka_unit_test(test_stalls), cmocka_unit_test(test_masked),
                                       cmocka_unit_test(test_cancel)};
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
