/* bench_load - a plain load generator: so many chat calls at once, one after the other on each connection.
 *
 *     bench_load PORT CONNECTIONS WARM_UP SECONDS BODIES
 *
 * BODIES holds one request body a line; they are sent in turn.  No validation, no record, nothing but HTTP/1.1 over
 * epoll: what an endpoint on 127.0.0.1 gives a client that costs as little as possible.  One line of JSON comes out:
 * calls and "completion_tokens" that were answered within SECONDS after the first WARM_UP, and how many were not
 * answered with 200.
 */
#include <arpa/inet.h>
#include <errno.h>
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

enum { EVENTS = 512, READ = 16384, ANSWER_MAX = 8 << 20, BODIES_MAX = 1 << 20 };

struct connection {
    int fd;
    struct nm_buf in;
};

struct load {
    uint16_t port;
    int epoll;
    char **requests; /* (n), with their heads */
    size_t *lengths;
    size_t n, turn;
    uint64_t calls, failed, tokens;
};

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static void read_bodies(struct load *load, const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    load->requests = calloc(BODIES_MAX, sizeof *load->requests);
    load->lengths = calloc(BODIES_MAX, sizeof *load->lengths);
    if (file == NULL || load->requests == NULL || load->lengths == NULL)
        die(path);
    while (load->n < BODIES_MAX && (len = getline(&line, &cap, file)) > 1) {
        int n = asprintf(&load->requests[load->n],
                         "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                         "Content-Length: %zd\r\n\r\n%.*s",
                         len - 1, (int)len - 1, line);
        if (n < 0)
            die("memory");
        load->lengths[load->n++] = (size_t)n;
    }
    free(line);
    (void)fclose(file);
    if (load->n == 0)
        die("no bodies");
}

static void ask(struct load *load, struct connection *c)
{
    size_t i = load->turn++ % load->n;
    nm_buf_reset(&c->in);
    for (size_t at = 0; at < load->lengths[i];) { /* requests are small: the socket's buffer takes them whole */
        ssize_t n = send(c->fd, load->requests[i] + at, load->lengths[i] - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            die("send");
        at += n > 0 ? (size_t)n : 0;
    }
}

static void dial(struct load *load, struct connection *c)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(load->port)};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&at, sizeof at) != 0)
        die("connect");
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("epoll");
    ask(load, c);
}

static bool is_whole(const struct connection *c)
{
    const char *end = memmem(c->in.data, c->in.len, "\r\n\r\n", 4);
    const char *length = end != NULL ? strcasestr(c->in.data, "\r\ncontent-length:") : NULL;
    if (end != NULL && (length == NULL || length > end)) {
        (void)fprintf(stderr, "bench_load: an answer has no Content-Length\n");
        exit(1);
    }
    return end != NULL && c->in.len >= (size_t)(end - c->in.data) + 4 + strtoul(length + 17, NULL, 10);
}

static void take(struct load *load, struct connection *c)
{
    static const char key[] = "\"completion_tokens\":";
    if (nm_buf_reserve(&c->in, READ) != NM_OK)
        die("an answer");
    ssize_t n = recv(c->fd, c->in.data + c->in.len, READ, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) { /* some servers end a connection after so many answers */
        load->failed += c->in.len > 0;
        close(c->fd);
        dial(load, c);
        return;
    }
    c->in.len += (size_t)n;
    c->in.data[c->in.len] = '\0';
    if (!is_whole(c))
        return;
    const char *tokens = strstr(c->in.data, key);
    if (strncmp(c->in.data, "HTTP/1.1 200", 12) != 0)
        load->failed++;
    else
        load->calls++;
    load->tokens += tokens != NULL ? strtoul(tokens + sizeof key - 1, NULL, 10) : 0;
    ask(load, c);
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        (void)fprintf(stderr, "usage: bench_load PORT CONNECTIONS WARM_UP SECONDS BODIES\n");
        return 2;
    }
    static struct load load;
    load = (struct load){.port = (uint16_t)strtoul(argv[1], NULL, 10), .epoll = epoll_create1(EPOLL_CLOEXEC)};
    size_t n = strtoul(argv[2], NULL, 10);
    struct connection *connections = calloc(n, sizeof *connections);
    struct epoll_event events[EVENTS];
    read_bodies(&load, argv[5]);
    if (connections == NULL)
        die("memory");
    int64_t start = nm_clock_mono_us() + (int64_t)(strtod(argv[3], NULL) * 1e6);
    int64_t end = start + (int64_t)(strtod(argv[4], NULL) * 1e6);
    bool warm = false;
    for (size_t i = 0; i < n; i++) {
        nm_buf_init(&connections[i].in, ANSWER_MAX);
        dial(&load, &connections[i]);
    }
    while (nm_clock_mono_us() < end) {
        if (!warm && nm_clock_mono_us() >= start) {
            warm = true;
            load.calls = load.tokens = 0;
        }
        int ready = epoll_wait(load.epoll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++)
            take(&load, events[i].data.ptr);
    }
    double seconds = (double)(nm_clock_mono_us() - start) / 1e6;
    (void)printf("{\"calls_per_s\": %.1f, \"tokens_per_s\": %.2f, \"failed\": %llu}\n", (double)load.calls / seconds,
                 (double)load.tokens / seconds, (unsigned long long)load.failed);
    return 0;
}
