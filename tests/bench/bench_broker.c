/* bench_broker - a real broker and real client processes over TCP: durable completions a second, and how long leases
 * take.
 *
 *     bench_broker [OPTIONS] PROGRAM
 *       --seconds N     measured, after one second of warming up (5)
 *       --processes N   of clients, each one generator and one aligner (4)
 *       --credit N      leases that each of them holds at once (512)
 *       --rate N        completions a second in all; 0: as many as possible (0)
 *       --samples N     the goal, which is the plan's size (100000000)
 *       --entities N    in the lists (500)
 *       --limits 1      with limits a minute, prices and a budget, none of which is reached (0)
 *
 * A completion is an answer of 512 bytes, or an aligned sample, that the broker has committed with fsync; the broker
 * counts both.  One line of JSON comes out, read by broker.py.
 */
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/net.h"
#include "tests/bench/broker_clients.h"
#include "tests/chaos/server.h"

enum { PROCESSES_MAX = 64 };

struct options {
    int seconds, processes, entities, limits;
    uint64_t credit, samples;
    double rate;
};

struct figures {
    double responses, aligned, commits;
    double broker_us; /* of CPU */
    int64_t at_us;
};

/* ---- asking -----------------------------------------------------------------------------------------------------
 */

static double cpu_us_of(pid_t pid)
{
    char path[64], line[1024] = "";
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file && fgets(line, sizeof line, file)) {
        const char *after = strrchr(line, ')');
        if (after)
            (void)sscanf(after, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
    }
    if (file)
        fclose(file);
    return (double)(user + kernel) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static struct figures ask(struct nm_socket *socket, pid_t pid)
{
    static const char request[] = "{\"command\": \"stats\"}";
    struct figures f = {0};
    struct nm_buf in;
    bool ready;
    nm_buf_init(&in, 16 << 20);
    while (nm_socket_send(socket, NULL, request, sizeof request - 1) == NM_EBUSY)
        (void)nm_net_wait(&socket, 1, 5, &ready);
    while (nm_socket_recv(socket, NULL, &in) != NM_OK)
        (void)nm_net_wait(&socket, 1, 50, &ready);
    json_t *o = json_loadb(in.data, in.len, 0, NULL), *ledger = json_object_get(o, "ledger");
    f.responses = json_number_value(json_object_get(o, "responses"));
    f.aligned = json_number_value(json_object_get(o, "aligned"));
    f.commits = json_number_value(json_object_get(ledger, "commits"));
    f.broker_us = cpu_us_of(pid);
    f.at_us = nm_clock_mono_us();
    json_decref(o);
    nm_buf_clean_up(&in);
    return f;
}

static long memory_kb(pid_t pid, const char *what)
{
    char path[64], line[256];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, what, strlen(what)) == 0)
            kb += atol(line + strlen(what));
    if (file)
        fclose(file);
    return kb;
}

/* ---- running ----------------------------------------------------------------------------------------------------
 */

static void print(const struct options *o, const struct server *server, struct measures *m, double open_ms,
                  long open_kb, const struct figures *a, const struct figures *b, uint64_t clients_us)
{
    double took = (double)(b->at_us - a->at_us) / 1e6;
    double n = b->responses - a->responses + b->aligned - a->aligned;
    json_t *out =
        json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "completions_per_s", n / took, "commits_per_s",
                  (b->commits - a->commits) / took, "broker_cpu_us", (b->broker_us - a->broker_us) / (n > 0 ? n : 1),
                  "clients_cpu_us", (double)clients_us / (n > 0 ? n : 1), "open_ms", open_ms, "open_mb",
                  (double)open_kb / 1024);
    struct {
        const char *name;
        struct times *times;
    } kinds[] = {{"lease", &m->lease}, {"align", &m->align}};
    for (int i = 0; i < 2; i++) {
        json_t *quantiles =
            json_pack("{s:f, s:f, s:f, s:I}", "p50_ms", times_quantile(kinds[i].times, 0.5) / 1e3, "p99_ms",
                      times_quantile(kinds[i].times, 0.99) / 1e3, "p999_ms",
                      times_quantile(kinds[i].times, 0.999) / 1e3, "count", (json_int_t)times_count(kinds[i].times));
        json_object_set_new(out, kinds[i].name, quantiles);
    }
    /* Anonymous memory is the broker's own; the rest of its resident pages is the ledger's file in the page cache. */
    json_object_set_new(out, "anon_mb", json_real((double)memory_kb(server->pid, "RssAnon:") / 1024));
    json_object_set_new(out, "resident_mb", json_real((double)memory_kb(server->pid, "VmRSS:") / 1024));
    json_object_set_new(out, "samples", json_integer((json_int_t)o->samples));
    json_object_set_new(out, "entities", json_integer(o->entities));
    json_dumpf(out, stdout, JSON_REAL_PRECISION(6) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(out);
}

static int run(const struct options *o, const char *program, struct measures *measures)
{
    struct server server;
    struct nm_socket *socket;
    pid_t pids[PROCESSES_MAX];
    server_init_with(&server, program, o->entities, o->limits);
    int64_t start = nm_clock_mono_us();
    if (!server_start(&server, o->samples))
        return 1;
    double open_ms = (double)(nm_clock_mono_us() - start) / 1e3;
    long open_kb = memory_kb(server.pid, "VmRSS:");
    for (int i = 0; i < o->processes; i++) {
        struct load load = {.endpoint = server.endpoint,
                            .number = i,
                            .credit = o->credit,
                            .rate = o->rate / 2 / o->processes,
                            .measures = measures};
        if ((pids[i] = fork()) == 0)
            broker_clients_run(&load);
    }
    nm_net_init();
    if (nm_socket_connect(NM_DEALER, server.stats, &socket, NULL) != NM_OK)
        return 1;
    sleep(1);
    struct figures before = ask(socket, server.pid);
    uint64_t cpu = atomic_load(&measures->cpu_us);
    atomic_store(&measures->recording, 1);
    sleep((unsigned int)o->seconds);
    atomic_store(&measures->recording, 0);
    struct figures after = ask(socket, server.pid);
    print(o, &server, measures, open_ms, open_kb, &before, &after, atomic_load(&measures->cpu_us) - cpu);
    for (int i = 0; i < o->processes; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    nm_socket_destroy(&socket);
    server_kill(&server);
    server_remove(&server);
    nm_net_clean_up();
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"seconds", required_argument, NULL, 's'}, {"processes", required_argument, NULL, 'p'},
        {"credit", required_argument, NULL, 'c'},  {"rate", required_argument, NULL, 'r'},
        {"samples", required_argument, NULL, 'n'}, {"entities", required_argument, NULL, 'e'},
        {"limits", required_argument, NULL, 'l'},  {NULL, 0, NULL, 0},
    };
    struct options o = {.seconds = 5, .processes = 4, .entities = 500, .credit = 512, .samples = 100000000};
    int c;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (c == 's')
            o.seconds = atoi(optarg);
        else if (c == 'p')
            o.processes = atoi(optarg);
        else if (c == 'c')
            o.credit = strtoull(optarg, NULL, 10);
        else if (c == 'r')
            o.rate = atof(optarg);
        else if (c == 'n')
            o.samples = strtoull(optarg, NULL, 10);
        else if (c == 'e')
            o.entities = atoi(optarg);
        else if (c == 'l')
            o.limits = atoi(optarg);
        else
            return 2;
    }
    if (optind + 1 != argc || o.processes < 1 || o.processes > PROCESSES_MAX || o.credit < 1) {
        fprintf(stderr, "usage: bench_broker [OPTIONS] PROGRAM; see the head of bench_broker.c\n");
        return 2;
    }
    nm_log_init("bench");
    struct measures *measures =
        mmap(NULL, sizeof *measures, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return measures == MAP_FAILED ? 1 : run(&o, argv[optind], measures);
}
