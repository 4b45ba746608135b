/* queue_parts.h - the insides of a queue, shared by queue.c and queue_check.c only. */
#ifndef NM_BROKER_QUEUE_PARTS_H
#define NM_BROKER_QUEUE_PARTS_H

#include "broker/map.h"
#include "broker/queue.h"
#include "common/hash.h"

/* A circular list with a sentinel: an element of none points to itself. */
struct link {
    struct link *prev, *next;
};

#define OWNER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct task {
    struct nm_queue_task view;
    struct link link; /* in ready, accepted, or the holder's leases */
    size_t heap;      /* place in delayed, while DELAYED */
    struct link dirty;
    int64_t since; /* READY: the turn in which it became so */
};

struct worker {
    uint32_t number;
    bool joined;
    enum nm_queue_role role;
    uint64_t credit, in_flight;
    int64_t seen;
    struct link leases, watch, hungry;
};

struct nm_queue {
    struct nm_queue_options options;
    struct nm_queue_totals totals;
    struct nm_map open;
    uint64_t counts[NM_TASK_STATES];
    struct link ready, again, accepted, dirty, watch, hungry[NM_QUEUE_ROLES];
    struct task **delayed; /* a binary heap by due_ms */
    size_t n_delayed, cap_delayed;
    struct worker **workers; /* by number; NULL: never heard of */
    uint32_t n_workers;
    uint64_t generator_credit; /* of the joined ones */
    struct nm_rng rng;
    int64_t now;         /* of the last turn */
    unsigned int paused; /* reasons: enum nm_pause */
    bool draining;
    bool hold_phase, beyond; /* more than the goal is wanted: now; at some time */
    uint64_t open_extra;     /* extra tasks that are open */
};

static inline bool link_is_alone(const struct link *link)
{
    return link->next == link;
}

#endif
