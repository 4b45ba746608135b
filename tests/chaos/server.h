/* server.h - a real nermill-broker in a temporary directory, to be killed and started again. */
#ifndef NM_TESTS_CHAOS_SERVER_H
#define NM_TESTS_CHAOS_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { SERVER_ENTITIES = 500 };

struct server {
    const char *program;
    char dir[256], ledger[300], endpoint[128], stats[128];
    pid_t pid;          /* 0: it is not running */
    const char *disk;   /* failing_disk's library, or NULL: the disk does not fail */
    uint64_t disk_seed; /* another one at each start */
    unsigned int fails; /* of 10,000 writes and flushes */
};

/* server_init - make the directory and a project in it; server_init_with - with that many entities, and with limits
 * and a budget, which it will not reach. */
void server_init(struct server *server, const char *program);
void server_init_with(struct server *server, const char *program, int entities, bool limits);

/* server_start - and wait until it listens.  samples: the goal.  false: it ended instead. */
bool server_start(struct server *server, uint64_t samples);

/* server_alive - false: it has ended by itself. */
bool server_alive(struct server *server);

/* server_check - what `nermill-broker check` says of the state, the broker not running: its exit code. */
int server_check(const struct server *server);

/* server_kill - SIGKILL; server_stop - SIGTERM: its exit code. */
void server_kill(struct server *server);
int server_stop(struct server *server);

/* server_remove - the directory and all in it. */
void server_remove(struct server *server);

#endif
