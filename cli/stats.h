/* stats.h - a running broker's snapshot: where it is, what it says. */
#ifndef NM_CLI_STATS_H
#define NM_CLI_STATS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

/* What a broker wrote to endpoints.json when it began to listen. */
struct nm_endpoints {
    char broker[256], stats[256], publish[256];
    char run[64]; /* ""; an older one did not say */
    int64_t pid;
};

/* nm_endpoints_read - from STATE/broker/endpoints.json.  NM_ENOENT: nothing was ever started there; NM_EFORMAT. */
enum nm_err nm_endpoints_read(const char *broker_dir, struct nm_endpoints *endpoints, struct nm_diag *diag);

struct nm_stats {
    char run[64], project[256];
    uint64_t goal, accepted, rejected, responses, aligned, leased, dead;
    uint64_t waiting;                     /* accepted texts on their way into samples */
    uint64_t dropped;                     /* accepted texts that no aligner could use */
    uint64_t not_recorded;                /* requests that a replay had no answer to */
    bool complete;                        /* the goal is reached and everything accepted is aligned */
    bool budget;                          /* it is used up */
    bool stuck;                           /* it can't be reached: too many tasks used up their attempts */
    bool held;                            /* an operator paused or drained it; trouble says so */
    double rate_per_min;                  /* accepted, lately */
    uint64_t min_per_entity, asked_again; /* goal of coverage (0: none); extra tasks for it so far */
    uint64_t entities_short, given_up;    /* entities with fewer texts; and those no longer asked for */
    char given_up_first[512];             /* the first of them, for people */
    char circuits[2048];                  /* breakers that are not closed, a line each */
    char training[400]; /* how a training on its samples goes, for people; "" if none was heard of */
    char trouble[512];  /* the last failure of an endpoint, while nothing has succeeded since; "" if none */
};

/* nm_stats_find - where the broker of the run of project is, or was (state: NULL for the default directory).
 * NM_ENET: nothing was ever started there; NM_ENOENT: no such project. */
enum nm_err nm_stats_find(const char *project, const char *state, struct nm_endpoints *endpoints,
                          struct nm_diag *diag);

/* A connection to a stats socket.  run: the one that is meant, "" for whichever is there: a broker that ended leaves
 * its port to the next who wants one, and a command for its run is none for that.  One thread. */
struct nm_stats_client;
enum nm_err nm_stats_open(const char *endpoint, const char *run, struct nm_stats_client **client,
                          struct nm_diag *diag);
void nm_stats_close(struct nm_stats_client **client);

/* nm_stats_ask - one command ("stats", "shutdown"), its answer as text.  NM_ETIMEOUT: nobody of that run answers
 * there; NM_ECANCELED: a signal came. */
enum nm_err nm_stats_ask(struct nm_stats_client *client, const char *command, int timeout_ms, struct nm_buf *answer,
                         struct nm_diag *diag);

/* nm_stats_request - the same with a request of any kind, to which the run is added. */
enum nm_err nm_stats_request(struct nm_stats_client *client, json_t *request, int timeout_ms, struct nm_buf *answer,
                             struct nm_diag *diag);

/* nm_stats_parse - the fields of an answer to "stats".  NM_EFORMAT. */
enum nm_err nm_stats_parse(const char *text, struct nm_stats *stats, struct nm_diag *diag);

#endif
