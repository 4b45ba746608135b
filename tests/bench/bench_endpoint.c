/* bench_endpoint - a chat endpoint that answers at once, or after exactly as long as it is told: the LLM of a
 * benchmark.
 *
 *     bench_endpoint [--latency-ms N] [--record FILE]
 *
 * Prints its port.  To every POST it answers with a chat completion, whose sentence holds what stands in
 * quotes behind the last "Terms:" of the request, so that a validating client accepts it; the other words are drawn
 * by the hash of the request.  GET /count answers with how much it has sold.  --record keeps every request's body,
 * one a line.  One thread, level-triggered epoll, HTTP/1.1 with keep-alive; Content-Length is all it knows of bodies.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/hash.h"

enum { EVENTS = 1024, READ = 16384, REQUEST_MAX = 1 << 20, BACKLOG = 4096 };

struct client {
    int fd;
    struct nm_buf in, out;
    size_t request;        /* bytes of the request that is being answered; 0: none */
    int64_t due_us;        /* when its answer goes out */
    struct client *behind; /* among those that wait */
};

struct endpoint {
    int listener, epoll;
    int64_t latency_us;
    FILE *record;
    struct client *first, *last; /* that wait: the latency is one for all, so first in is first out */
    uint64_t calls, waiting, most;
    int64_t first_us, last_us; /* of the calls */
};

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static void must(enum nm_err err)
{
    if (err != NM_OK) {
        (void)fprintf(stderr, "bench_endpoint: %s\n", nm_err_name(err));
        exit(1);
    }
}

/* ---- the sentence ---------------------------------------------------------------------------- */

static const char *pick(struct nm_rng *rng, const char *const *words, size_t n)
{
    return words[nm_rng_below(rng, n)];
}
#define PICK(rng, words) pick(rng, words, sizeof(words) / sizeof *(words))

/* The last place of the mark, NULL: there is none; looked for from behind, as it stands near the end. */
static const char *last_place(const char *body, size_t len, const char *mark)
{
    size_t n = strlen(mark);
    for (size_t i = len < n ? 0 : len - n + 1; i > 0; i--)
        if (body[i - 1] == *mark && memcmp(body + i - 1, mark, n) == 0)
            return body + i - 1;
    return NULL;
}

/* What stands in quotes, which are \" there, behind the last "Terms:" of the body, up to the end of that message:
 * joined by "and"; 0: nothing. */
static size_t add_terms(const char *body, size_t len, struct nm_buf *out)
{
    const char *at = last_place(body, len, "Terms:"), *end = body + len;
    if (at == NULL)
        return 0;
    const char *last = at;
    while (last < end && *last != '"')
        last += *last == '\\' ? 2 : 1;
    end = last < end ? last : end;
    size_t n = 0;
    while ((at = memmem(at, (size_t)(end - at), "\\\"", 2)) != NULL) {
        const char *close = memmem(at + 2, (size_t)(end - at - 2), "\\\"", 2);
        if (close == NULL)
            break;
        must(nm_buf_addf(out, "%s%.*s", n++ > 0 ? " and " : "", (int)(close - at - 2), at + 2));
        at = close + 2;
    }
    return n;
}

static void add_sentence(const char *body, size_t len, struct nm_buf *out)
{
    static const char *const places[] = {"northern", "southern", "coastal", "central", "rural", "urban", "alpine"};
    static const char *const things[] = {"survey", "trial", "report", "review", "audit", "register", "cohort"};
    static const char *const verbs[] = {"described", "examined", "compared", "recorded", "discussed", "measured"};
    static const char *const ends[] = {"during the spring",   "over two winters", "with great care",
                                       "in twelve districts", "by three teams",   "without any delay"};
    struct nm_rng rng;
    nm_rng_init(&rng, nm_hash64(body, len, 0));
    must(nm_buf_addf(out, "The %s %s %s ", PICK(&rng, places), PICK(&rng, things), PICK(&rng, verbs)));
    if (add_terms(body, len, out) == 0)
        must(nm_buf_adds(out, "what had been left open"));
    must(nm_buf_addf(out, " %s and parts of it came %u days and %u weeks later.", PICK(&rng, ends),
                     2 + (unsigned)nm_rng_below(&rng, 900), 2 + (unsigned)nm_rng_below(&rng, 900)));
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

static void respond(struct client *c, const char *body, size_t len)
{
    must(nm_buf_addf(&c->out,
                     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                     "Connection: keep-alive\r\n\r\n",
                     len));
    must(nm_buf_add(&c->out, body, len));
}

static void answer_chat(struct client *c, const char *body, size_t len)
{
    static struct nm_buf json;
    if (json.max == 0)
        nm_buf_init(&json, REQUEST_MAX);
    nm_buf_reset(&json);
    must(nm_buf_adds(&json, "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,"
                            "\"model\":\"fixed\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                            "\"content\":\""));
    add_sentence(body, len, &json);
    must(nm_buf_adds(&json, "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":200,"
                            "\"completion_tokens\":20,\"total_tokens\":220}}"));
    respond(c, json.data, json.len);
}

static void answer_get(const struct endpoint *e, struct client *c)
{
    char body[256];
    int n;
    if (strncmp(c->in.data, "GET /count", 10) == 0)
        n = snprintf(
            body, sizeof body,
            "{\"calls\": %llu, \"most_in_flight\": %llu, \"at_us\": %lld, \"first_us\": %lld, \"last_us\": %lld}",
            (unsigned long long)e->calls, (unsigned long long)e->most, (long long)nm_clock_mono_us(),
            (long long)e->first_us, (long long)e->last_us);
    else
        n = snprintf(body, sizeof body, "{\"object\":\"list\",\"data\":[{\"id\":\"fixed\",\"object\":\"model\"}]}");
    respond(c, body, (size_t)n);
}

/* What the head says; 0: nothing. */
static size_t content_length(const char *head, const char *end)
{
    static const char name[] = "content-length:";
    for (const char *line = head; (line = memchr(line, '\n', (size_t)(end - line))) != NULL;)
        if (strncasecmp(++line, name, sizeof name - 1) == 0)
            return strtoul(line + sizeof name - 1, NULL, 10);
    return 0;
}

/* The bytes of the first whole request in c->in, and of its head; 0: it is not all there. */
static size_t whole_request(struct client *c, size_t *head)
{
    const char *end = c->in.len > 0 ? memmem(c->in.data, c->in.len, "\r\n\r\n", 4) : NULL;
    if (end == NULL)
        return 0;
    *head = (size_t)(end - c->in.data) + 4;
    size_t body = content_length(c->in.data, end);
    return c->in.len >= *head + body ? *head + body : 0;
}

static bool flush(struct client *c)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return errno == EAGAIN; /* answers are smaller than a socket's buffer: it reads one before the next */
        memmove(c->out.data, c->out.data + n, c->out.len - (size_t)n);
        c->out.len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static void forget_request(struct client *c)
{
    memmove(c->in.data, c->in.data + c->request, c->in.len - c->request);
    c->in.len -= c->request;
    c->in.data[c->in.len] = '\0';
    c->request = 0;
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void take_call(struct endpoint *e, struct client *c, size_t head)
{
    const char *body = c->in.data + head;
    size_t len = c->request - head;
    if (e->record != NULL)
        (void)fprintf(e->record, "%.*s\n", (int)len, body);
    answer_chat(c, body, len);
    e->most = ++e->waiting > e->most ? e->waiting : e->most;
    int64_t now = nm_clock_mono_us();
    c->due_us = now + e->latency_us;
    e->first_us = e->first_us != 0 ? e->first_us : now;
    c->behind = NULL;
    if (e->last != NULL)
        e->last->behind = c;
    else
        e->first = c;
    e->last = c;
}

static void look(struct endpoint *e, struct client *c)
{
    size_t head;
    if (c->request > 0 || (c->request = whole_request(c, &head)) == 0)
        return;
    if (strncmp(c->in.data, "POST", 4) == 0) {
        take_call(e, c, head);
        return;
    }
    answer_get(e, c);
    (void)flush(c);
    forget_request(c);
}

static void drop(struct client *c)
{
    close(c->fd);
    c->fd = -1;
    if (c->request > 0) /* its answer is still to be counted: it goes then */
        return;
    nm_buf_clean_up(&c->in);
    nm_buf_clean_up(&c->out);
    free(c);
}

static void send_due(struct endpoint *e)
{
    int64_t now = nm_clock_mono_us();
    while (e->first != NULL && e->first->due_us <= now) {
        struct client *c = e->first;
        e->first = c->behind;
        if (e->first == NULL)
            e->last = NULL;
        e->waiting--;
        e->calls++;
        e->last_us = now;
        forget_request(c);
        if (c->fd < 0 || !flush(c))
            drop(c);
        else
            look(e, c);
    }
}

static void read_from(struct endpoint *e, struct client *c)
{
    must(nm_buf_reserve(&c->in, READ));
    ssize_t n = recv(c->fd, c->in.data + c->in.len, READ, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    c->in.len += (size_t)n;
    c->in.data[c->in.len] = '\0';
    look(e, c);
}

static void take_client(struct endpoint *e)
{
    int fd, on = 1;
    while ((fd = accept4(e->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *c = calloc(1, sizeof *c);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (c == NULL || epoll_ctl(e->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            die("a connection");
        c->fd = fd;
        nm_buf_init(&c->in, REQUEST_MAX);
        nm_buf_init(&c->out, REQUEST_MAX);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
}

static void serve(struct endpoint *e)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        struct timespec wait, *until = NULL;
        if (e->first != NULL) {
            int64_t left = e->first->due_us - nm_clock_mono_us();
            left = left > 0 ? left : 0;
            wait = (struct timespec){left / 1000000, left % 1000000 * 1000};
            until = &wait;
        }
        int n = epoll_pwait2(e->epoll, events, EVENTS, until, NULL);
        for (int i = 0; i < n; i++)
            if (events[i].data.ptr == e)
                take_client(e);
            else
                read_from(e, events[i].data.ptr);
        send_due(e);
    }
}

static int listen_somewhere(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        die("listening");
    *port = ntohs(at.sin_port);
    return fd;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"latency-ms", required_argument, NULL, 'l'}, {"record", required_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
    struct endpoint e = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
    uint16_t port;
    int id;
    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (id == 'l')
            e.latency_us = strtol(optarg, NULL, 10) * 1000;
        else if (id == 'r' && (e.record = fopen(optarg, "w")) != NULL)
            setlinebuf(e.record);
        else
            die(optarg != NULL ? optarg : "options");
    }
    e.listener = listen_somewhere(&port);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &e};
    if (epoll_ctl(e.epoll, EPOLL_CTL_ADD, e.listener, &event) != 0)
        die("epoll");
    (void)printf("%u\n", port);
    (void)fflush(stdout);
    serve(&e);
}
