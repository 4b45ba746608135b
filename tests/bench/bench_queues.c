/* bench_queues - what beanstalkd and Redis make durable in a second, driven as bench_broker drives nermill.
 *
 *     bench_queues beanstalkd|redis PORT [--seconds N] [--clients N] [--window N]
 *
 * Each client is a thread with a connection that keeps a window of requests of 512 bytes in flight.  beanstalkd: put,
 * then reserve and delete what was put; Redis: XADD to one stream, then each entry read by a consumer group
 * (XREADGROUP), answered (XADD to another stream) and acknowledged (XACK).  One line of JSON: rates in 1/s.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BODY_BYTES = 512, LINE_BYTES = 256, ENTRY_BYTES = 48, CLIENTS_MAX = 256 };

struct options {
    int port, seconds, clients;
    size_t window;
};

struct client {
    const struct options *options;
    FILE *in;
    int fd;
    char *out; /* (window) requests */
    size_t n_out;
    uint64_t *ids;                /* (window) of reserved jobs */
    char (*entries)[ENTRY_BYTES]; /* (window) ids of a stream's entries */
    size_t n_entries;
    int number;
    uint64_t puts, done;
    double end;
    pthread_t thread;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "bench_queues: %s\n", what);
    exit(1);
}

/* ---- one connection ---------------------------------------------------------------------------------------------
 */

static void dial(struct client *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)c->options->port)};
    int on = 1;
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0)
        give_up("no connection");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->in = fdopen(dup(c->fd), "r");
    c->out = malloc(c->options->window * (BODY_BYTES + 2 * LINE_BYTES));
    c->ids = calloc(c->options->window, sizeof *c->ids);
    c->entries = calloc(c->options->window, sizeof *c->entries);
    if (!c->in || !c->out || !c->ids || !c->entries)
        give_up("out of memory");
    setvbuf(c->in, NULL, _IOFBF, 1 << 18);
}

static void add(struct client *c, const char *bytes, size_t len)
{
    memcpy(c->out + c->n_out, bytes, len);
    c->n_out += len;
}

static void send_all(struct client *c)
{
    for (size_t at = 0; at < c->n_out;) {
        ssize_t n = write(c->fd, c->out + at, c->n_out - at);
        if (n <= 0)
            give_up("the connection was cut");
        at += (size_t)n;
    }
    c->n_out = 0;
}

static const char *read_line(struct client *c, char line[LINE_BYTES])
{
    if (!fgets(line, LINE_BYTES, c->in))
        give_up("the connection was cut");
    return line;
}

/* ---- what each client does --------------------------------------------------------------------------------------
 */

/* A request is sent for each answer read, in groups, so that the window stays full. */
static void *run_adds(struct client *c, const char *request, const char *answer, int lines)
{
    size_t len = strlen(request), in_flight = 0;
    char line[LINE_BYTES];
    c->puts = 0;
    do {
        while (in_flight < c->options->window) {
            add(c, request, len);
            in_flight++;
        }
        send_all(c);
        for (size_t half = (in_flight + 1) / 2; half > 0; half--, in_flight--, c->puts++) {
            if (strncmp(read_line(c, line), answer, strlen(answer)) != 0)
                give_up(line);
            for (int i = 1; i < lines; i++)
                (void)read_line(c, line);
        }
    } while (now() < c->end);
    for (; in_flight > 0; in_flight--, c->puts++)
        for (int i = 0; i < lines; i++)
            (void)read_line(c, line);
    c->done = c->puts;
    return NULL;
}

static void *run_puts(void *client)
{
    char body[BODY_BYTES + 1], request[BODY_BYTES + LINE_BYTES];
    memset(body, 'x', BODY_BYTES);
    body[BODY_BYTES] = '\0';
    snprintf(request, sizeof request, "put 0 0 60 %d\r\n%s\r\n", BODY_BYTES, body);
    return run_adds(client, request, "INSERTED", 1);
}

static void *run_xadds(void *client)
{
    char body[BODY_BYTES + 1], request[BODY_BYTES + LINE_BYTES];
    memset(body, 'x', BODY_BYTES);
    body[BODY_BYTES] = '\0';
    snprintf(request, sizeof request, "*5\r\n$4\r\nXADD\r\n$5\r\ntasks\r\n$1\r\n*\r\n$4\r\nbody\r\n$%d\r\n%s\r\n",
             BODY_BYTES, body);
    return run_adds(client, request, "$", 2);
}

static void *run_deletes(void *client)
{
    struct client *c = client;
    char line[LINE_BYTES], body[BODY_BYTES + 2];
    c->done = 0;
    while (c->done < c->puts && now() < c->end) {
        uint64_t n = c->puts - c->done < c->options->window ? c->puts - c->done : c->options->window;
        for (uint64_t i = 0; i < n; i++)
            add(c, "reserve\r\n", 9);
        send_all(c);
        for (uint64_t i = 0; i < n; i++)
            if (sscanf(read_line(c, line), "RESERVED %lu", &c->ids[i]) != 1 ||
                fread(body, 1, sizeof body, c->in) != sizeof body)
                give_up(line);
        for (uint64_t i = 0; i < n; i++)
            add(c, line, (size_t)snprintf(line, sizeof line, "delete %lu\r\n", c->ids[i]));
        send_all(c);
        for (uint64_t i = 0; i < n; i++, c->done++)
            if (strncmp(read_line(c, line), "DELETED", 7) != 0)
                give_up(line);
    }
    return NULL;
}

/* One answer of Redis, whatever it holds; of what it holds, ids of entries ("1700000000000-0") are kept. */
static void read_answer(struct client *c)
{
    char line[LINE_BYTES], body[BODY_BYTES + LINE_BYTES];
    (void)read_line(c, line);
    long n = atol(line + 1);
    if (line[0] == '-')
        give_up(line);
    if (line[0] == '*')
        for (long i = 0; i < n; i++)
            read_answer(c);
    if (line[0] != '$' || n < 0)
        return;
    if ((size_t)n + 2 > sizeof body || fread(body, 1, (size_t)n + 2, c->in) != (size_t)n + 2)
        give_up("an answer is cut short");
    body[n] = '\0';
    if (n < ENTRY_BYTES && strchr(body, '-') && c->n_entries < c->options->window)
        snprintf(c->entries[c->n_entries++], ENTRY_BYTES, "%.47s", body);
}

static void *run_cycles(void *client)
{
    struct client *c = client;
    char text[BODY_BYTES + 2 * LINE_BYTES], body[BODY_BYTES + 1];
    memset(body, 'x', BODY_BYTES);
    body[BODY_BYTES] = '\0';
    for (c->done = 0; now() < c->end; c->done += c->n_entries) {
        int n = snprintf(text, sizeof text, "XREADGROUP GROUP workers client-%d COUNT %zu STREAMS tasks >\r\n",
                         c->number, c->options->window);
        c->n_entries = 0;
        add(c, text, (size_t)n);
        send_all(c);
        read_answer(c);
        if (c->n_entries == 0)
            return NULL;
        for (size_t i = 0; i < c->n_entries; i++) {
            n = snprintf(text, sizeof text,
                         "*5\r\n$4\r\nXADD\r\n$7\r\nresults\r\n$1\r\n*\r\n$4\r\nbody\r\n$%d\r\n%s\r\n"
                         "*4\r\n$4\r\nXACK\r\n$5\r\ntasks\r\n$7\r\nworkers\r\n$%zu\r\n%s\r\n",
                         BODY_BYTES, body, strlen(c->entries[i]), c->entries[i]);
            add(c, text, (size_t)n);
        }
        send_all(c);
        size_t kept = c->n_entries;
        for (size_t i = 0; i < 2 * kept; i++)
            read_answer(c);
        c->n_entries = kept;
    }
    return NULL;
}

static void make_group(struct client *c)
{
    static const char request[] = "XGROUP CREATE tasks workers 0 MKSTREAM\r\n";
    add(c, request, sizeof request - 1);
    send_all(c);
    read_answer(c);
}

static double rate_of(struct client *clients, const struct options *o, void *(*run)(void *))
{
    double start = now();
    uint64_t done = 0;
    for (int i = 0; i < o->clients; i++) {
        clients[i].end = start + o->seconds;
        if (pthread_create(&clients[i].thread, NULL, run, &clients[i]) != 0)
            give_up("no thread");
    }
    for (int i = 0; i < o->clients; i++) {
        pthread_join(clients[i].thread, NULL);
        done += clients[i].done;
    }
    return (double)done / (now() - start);
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"seconds", required_argument, NULL, 's'},
                                          {"clients", required_argument, NULL, 'c'},
                                          {"window", required_argument, NULL, 'w'},
                                          {NULL, 0, NULL, 0}};
    struct options o = {.seconds = 3, .clients = 8, .window = 512};
    struct client clients[CLIENTS_MAX] = {0};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 's')
            o.seconds = atoi(optarg);
        else if (c == 'c')
            o.clients = atoi(optarg);
        else if (c == 'w')
            o.window = strtoull(optarg, NULL, 10);
        else
            return 2;
    }
    bool redis = argc - optind == 2 && strcmp(argv[optind], "redis") == 0;
    if (argc - optind != 2 || (!redis && strcmp(argv[optind], "beanstalkd") != 0) || o.clients < 1 ||
        o.clients > CLIENTS_MAX || o.window < 1)
        give_up("usage: bench_queues beanstalkd|redis PORT [--seconds N] [--clients N] [--window N]");
    o.port = atoi(argv[optind + 1]);
    for (int i = 0; i < o.clients; i++) {
        clients[i].options = &o;
        clients[i].number = i;
        dial(&clients[i]);
    }
    if (redis) {
        make_group(&clients[0]);
        double adds = rate_of(clients, &o, run_xadds), cycles = rate_of(clients, &o, run_cycles);
        printf("{\"xadd\": %.0f, \"cycle\": %.0f}\n", adds, cycles);
        return 0;
    }
    double puts = rate_of(clients, &o, run_puts), deletes = rate_of(clients, &o, run_deletes);
    printf("{\"put\": %.0f, \"reserve_delete\": %.0f}\n", puts, deletes);
    return 0;
}
