/* clients.h - generators and aligners in one process, speaking the real protocol to a real broker and keeping a
 * record of everything that was acknowledged to them.
 *
 * Their "disk" is memory that survives their own pretended crashes: a generator's spool, an aligner's pending and
 * kept samples.  One thread drives them all.
 */
#ifndef NM_TESTS_CHAOS_CLIENTS_H
#define NM_TESTS_CHAOS_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/hash.h"
#include "common/net.h"
#include "schemas/messages.h"

struct item {
    uint64_t task, attempt;
    bool flag; /* acknowledged: whether it was to be kept */
};

struct items {
    struct item *list;
    size_t n, cap;
};

struct client {
    bool aligner;
    char id[32];
    struct nm_socket *socket;
    uint64_t credit;
    bool welcomed;
    int64_t sent_ms, silent_until_ms;
    struct items working; /* tasks received and not answered; lost in a crash */
    struct items stored;  /* answered and not acknowledged: the spool, or pending */
    struct items acked;   /* acknowledged */
    bool done;            /* the broker said so */
    size_t checked;       /* of acked, for the one who checks them */
};

struct crowd {
    struct client *clients;
    size_t n;
    struct nm_rng rng;
    struct nm_arena arena;
    struct nm_buf in, out;
    /* how unruly they are, in chances out of 10,000 an event */
    uint64_t reject, fail, useless, twice;
    uint64_t sent_responses, sent_aligned, acks, refused; /* refused: error messages other than "say hello" */
    bool ok;                                              /* false: a client saw what must not be */
};

void crowd_init(struct crowd *crowd, size_t generators, size_t aligners, uint64_t credit, uint64_t seed);
void crowd_clean_up(struct crowd *crowd);

/* crowd_connect - all of them to endpoint, as after a start: their sockets are new, their disks are not. */
void crowd_connect(struct crowd *crowd, const char *endpoint);

/* crowd_step - receive and answer what has come to each, keep hearts beating; true: something came. */
bool crowd_step(struct crowd *crowd, int64_t now);

/* crowd_wait - until something may have come, or ms have passed. */
void crowd_wait(struct crowd *crowd, int ms);

/* client_crash - a kill -9 of the worker and its start: what it worked on is lost, what it stored is not. */
void client_crash(struct client *client, const char *endpoint);

/* The text that a generator answers with. */
void response_text(const char *worker, uint64_t task, uint64_t attempt, char *out, size_t size);

#endif
