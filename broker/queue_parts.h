/* queue_parts.h - the insides of a queue, shared by queue*.c only. */
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
    struct link ready, again, looks, rides, reads, accepted, dirty, watch, hungry[NM_QUEUE_ROLES];
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

enum event { LEASE, RETURN, ACCEPT, REJECT, EXHAUST, FAIL, DUE, KEEP, DROP, KICK, BURY, EVENTS };

static inline void link_init(struct link *link)
{
    link->prev = link->next = link;
}

static inline void link_remove(struct link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link_init(link);
}

static inline void link_append(struct link *list, struct link *link)
{
    link_remove(link);
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

static inline bool is_held(enum nm_task_state state)
{
    return state == NM_TASK_LEASED || state == NM_TASK_ALIGNING;
}

static inline bool is_ended(enum nm_task_state state)
{
    return state >= NM_TASK_DONE;
}

static inline bool link_is_alone(const struct link *link)
{
    return link->next == link;
}

/* queue.c: transition - 0: not allowed there.  move - the only function that changes a state; worker: who takes the
 * lease, or owns the sample, else NM_QUEUE_NOBODY.  enter - into the state of a task that is new or restored.
 * task_add - NM_ENOMEM. */
enum nm_task_state nm_queue_transition(enum nm_task_state state, enum event event);
void nm_queue_move(struct nm_queue *queue, struct task *task, enum event event, uint32_t worker);
void nm_queue_enter(struct nm_queue *queue, struct task *task, enum nm_task_state state, uint32_t worker);
enum nm_err nm_queue_task_add(struct nm_queue *queue, uint64_t index, struct task **task);

/* queue_share.c: open - the next task of the plan, with as many beside it as one call asks for (alone: none); NULL:
 * it is not to be leased now.  NM_ENOMEM.  share_end - those that ride with it go on their own way; answered: to its
 * answer. is_share - a record that can be. */
enum nm_err nm_queue_open(struct nm_queue *queue, bool alone, struct task **next);
void nm_queue_share_end(struct nm_queue *queue, struct task *leader, bool answered);
bool nm_queue_is_share(const struct nm_queue_task *task);

/* queue_workers.c: worker - NULL: never heard of.  set_hungry - listed as such exactly if it is.  note_heard - last
 * of those that are watched. */
struct worker *nm_queue_worker(const struct nm_queue *queue, uint32_t number);
enum nm_err nm_queue_worker_add(struct nm_queue *queue, uint32_t number, struct worker **worker);
void nm_queue_set_hungry(struct nm_queue *queue, struct worker *worker);
void nm_queue_note_heard(struct nm_queue *queue, struct worker *worker, int64_t now);

#endif
