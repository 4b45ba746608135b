#include "tests/chaos/server.h"

#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { START_LIMIT_MS = 20000 };

static const char project[] = "version: 1\n"
                              "name: chaos\n"
                              "seed: 5\n"
                              "goal: { samples: 1000 }\n"
                              "entities:\n"
                              "  - { type: Thing, file: things.txt }\n"
                              "endpoints:\n"
                              "  - { name: local, url: http://127.0.0.1:1/v1, model: none, concurrency: 100000%s }\n"
                              "generation: { domain: tests, attempts: 3 }\n"
                              "broker: { lease_s: 2, heartbeat_s: 1, bind: tcp://127.0.0.1:*,\n"
                              "          stats: tcp://127.0.0.1:*, publish: tcp://127.0.0.1:* }\n"
                              "%s";

/* Limits of every kind, none of them within reach. */
static const char endpoint_limits[] = ", requests_per_minute: 1000000000, tokens_per_minute: 1000000000, "
                                      "price_in: 1, price_out: 3";
static const char budget[] = "budget: { requests: 1000000000000, tokens: 1000000000000000, money: 1000000000 }\n";

static FILE *open_in(const struct server *server, const char *name, const char *mode)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", server->dir, name);
    return fopen(path, mode);
}

void server_init(struct server *server, const char *program)
{
    server_init_with(server, program, SERVER_ENTITIES, false);
}

void server_init_with(struct server *server, const char *program, int entities, bool limits)
{
    const char *tmp = getenv("TMPDIR");
    memset(server, 0, sizeof *server);
    server->program = program;
    snprintf(server->dir, sizeof server->dir, "%s/nermill-broker-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(server->dir)) {
        perror(server->dir);
        abort();
    }
    snprintf(server->ledger, sizeof server->ledger, "%s/state/ledger", server->dir);
    FILE *file = open_in(server, "project.yaml", "w");
    fprintf(file, project, limits ? endpoint_limits : "", limits ? budget : "");
    fclose(file);
    file = open_in(server, "things.txt", "w");
    for (int i = 0; i < entities; i++)
        fprintf(file, "thing number %d\n", i);
    fclose(file);
}

static bool read_endpoints(struct server *server)
{
    FILE *file = open_in(server, "state/endpoints.json", "r");
    if (!file)
        return false;
    json_t *o = json_loadf(file, 0, NULL);
    fclose(file);
    bool found = json_integer_value(json_object_get(o, "pid")) == server->pid;
    if (found) {
        snprintf(server->endpoint, sizeof server->endpoint, "%s", json_string_value(json_object_get(o, "broker")));
        snprintf(server->stats, sizeof server->stats, "%s", json_string_value(json_object_get(o, "stats")));
    }
    json_decref(o);
    return found;
}

static void fail_disk(const struct server *server)
{
    char seed[32], fails[32];
    if (!server->disk)
        return;
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)server->disk_seed);
    snprintf(fails, sizeof fails, "%u", server->fails);
    setenv("LD_PRELOAD", server->disk, 1);
    setenv("NERMILL_DISK_FILE", "data.mdb", 1);
    setenv("NERMILL_DISK_SEED", seed, 1);
    setenv("NERMILL_DISK_FAILS", fails, 1);
}

bool server_start(struct server *server, uint64_t samples)
{
    char state[300], goal[32], path[300], log[300];
    snprintf(state, sizeof state, "%s/state", server->dir);
    snprintf(path, sizeof path, "%s/project.yaml", server->dir);
    snprintf(log, sizeof log, "%s/broker.log", server->dir);
    snprintf(goal, sizeof goal, "%llu", (unsigned long long)samples);
    server->pid = fork();
    if (server->pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
        dup2(fd, 2);
        fail_disk(server);
        execl(server->program, server->program, path, "--state", state, "--samples", goal, "--log-level", "info",
              (char *)NULL);
        _exit(127);
    }
    for (int waited = 0; waited < START_LIMIT_MS; waited += 5) {
        if (read_endpoints(server))
            return true;
        if (!server_alive(server))
            break;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    if (!server->disk)
        fprintf(stderr, "broker test: the broker did not start; see %s\n", log);
    return false;
}

bool server_alive(struct server *server)
{
    if (server->pid && waitpid(server->pid, NULL, WNOHANG) == server->pid)
        server->pid = 0;
    return server->pid != 0;
}

int server_check(const struct server *server)
{
    char state[300], log[300];
    int status = 0;
    snprintf(state, sizeof state, "%s/state", server->dir);
    snprintf(log, sizeof log, "%s/check.log", server->dir);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
        dup2(fd, 1);
        dup2(fd, 2);
        execl(server->program, server->program, "check", state, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void server_kill(struct server *server)
{
    if (!server_alive(server))
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

int server_stop(struct server *server)
{
    int status = 0;
    kill(server->pid, SIGTERM);
    waitpid(server->pid, &status, 0);
    server->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

void server_remove(struct server *server)
{
    nftw(server->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
