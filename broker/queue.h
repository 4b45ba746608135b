/* queue.h - the life of a task: who works on it, what comes next, when it is tried again.
 *
 * Pure: no sockets, no disk, no clock.  Time comes in as milliseconds that never run backwards, randomness as a
 * seed.  Memory grows with the tasks that are open, never with the plan.
 *
 *                       LEASE                 ACCEPT                LEASE                  KEEP
 *   (opened) --> READY --------> LEASED ----------------> ACCEPTED --------> ALIGNING ---------> DONE
 *                ^ ^ ^            | | |                       ^                | |
 *                | | +- RETURN ---+ | |  attempt + 1          +---- RETURN ----+ |     DROP
 *                | +--- REJECT -----+ |                                          +-----------> DROPPED
 *                |                    |  FAIL          EXHAUST (the last attempt was rejected)
 *                +--- DUE -- DELAYED <+  or adopted    READY, DELAYED, LEASED ---------------> DEAD
 *                ^    KICK        by LEASE                                                      ^ |
 *                |                        BURY (by hand): READY, DELAYED, LEASED, ACCEPTED, ----+ |
 *                |                                        ALIGNING                                |
 *                +--- KICK (by hand): with attempts anew ------------------------------------------+
 *
 * An answer can come after its lease was lost (the worker was silent, the task went back or to another).  It is
 * taken all the same, once: ACCEPT, REJECT and EXHAUST also lead out of READY and DELAYED, KEEP and DROP out of
 * ACCEPTED.  nm_queue_transition in queue.c holds the table; nm_queue_move is the only function that changes a state.
 *
 * A text that has to be verified takes REJECT's way once more: the next attempt is a second look at it.  The two
 * count as one attempt.  READY tasks that wait for a look have a list of their own, as another endpoint may be meant
 * for it.
 *
 * One call may ask for the sentences of several tasks (`lines`), opened side by side.  The first one LEADS: it is
 * leased, asked and answered like any other.  The others RIDE: READY, in a list of their own, leased to nobody, until
 * the leader has its first answer.  Then they READ: a generator is to find their sentences in that answer, which
 * takes no call, so nothing that holds up calls holds them up.  With its own first answer each of them is a task like
 * any other.  Where the leader ends without an answer, or a batch takes it, all of them ask alone.
 *
 * Two switches stop what would come next, and change no task: PAUSE (for whatever reason: generators get nothing
 * new; aligners go on) and DRAIN (nothing is opened; what is open is finished; then the phase is DRAINED).
 *
 * Invariants (nm_queue_check looks at every one):
 *   1. LEASED and ALIGNING tasks are in the lease list of exactly one worker, all others in none.
 *   2. READY and ACCEPTED tasks stand in their list, DELAYED ones in the heap, ordered by the time they are due.
 *   3. A worker is listed as hungry exactly if it has joined and holds fewer tasks than its credit.
 *   4. A worker that has joined or holds a lease is watched; the watched stand in the order they were last heard of.
 *      A batch is not: its leases do not run out.
 *   5. opened = done + dead + dropped + the open ones, and tasks are opened only while opened - dead - dropped <
 *      goal.  No call is leased while accepted, aligning, done and leased ones together reach the goal.  Extra tasks
 *      (EXTRA in their number) are the caller's to open beyond it, and count beside: opened + extra = done + ...
 *   6. An ended task (DONE, DEAD, DROPPED) stays only until the next flush.
 *   7. A task that RIDES has a leader that is open, LEADS, and has no answer yet.
 */
#ifndef NM_BROKER_QUEUE_H
#define NM_BROKER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* Numbers are on disk and are never reused. */
enum nm_task_state {
    NM_TASK_READY = 1,    /* waits for a generator */
    NM_TASK_DELAYED = 2,  /* waits for its time, after a failure */
    NM_TASK_LEASED = 3,   /* with a generator */
    NM_TASK_ACCEPTED = 4, /* has its text, waits for an aligner */
    NM_TASK_ALIGNING = 5, /* with an aligner */
    NM_TASK_DONE = 6,     /* an aligner owns the sample */
    NM_TASK_DEAD = 7,     /* every attempt was rejected, or it was buried by hand */
    NM_TASK_DROPPED = 8,  /* accepted, but no aligner could use it */
    NM_TASK_ASIDE = 9,    /* of an earlier generation that no longer counts; in the ledger only */
    NM_TASK_STATES = 10
};

/* A task's number: from bit 48 on the generation of the run, bit 47 for extra tasks, which ask for entities again
 * that have too few texts, below it the index in the plan, or among the extra tasks. */
#define NM_TASK_EXTRA ((uint64_t)1 << 47)
#define NM_TASK_GENERATION 48

static inline uint64_t nm_task_index(uint64_t task)
{
    return task & (NM_TASK_EXTRA - 1);
}

static inline uint64_t nm_task_generation(uint64_t task)
{
    return task >> NM_TASK_GENERATION;
}

static inline bool nm_task_is_extra(uint64_t task)
{
    return (task & NM_TASK_EXTRA) != 0;
}

/* A BATCH is a generator that makes no calls itself: its tasks are out in a file for days.  Numbers are on disk. */
enum nm_queue_role { NM_QUEUE_GENERATOR, NM_QUEUE_ALIGNER, NM_QUEUE_BATCH, NM_QUEUE_ROLES };

enum { NM_QUEUE_NOBODY = UINT32_MAX };

struct nm_queue_options {
    uint64_t goal;        /* samples that are to be done */
    uint64_t opened_max;  /* tasks that may ever be opened for it */
    uint32_t attempts;    /* answered calls of one task */
    int64_t lease_ms;     /* a worker not heard of for that long loses its leases */
    int64_t backoff_ms;   /* before the first new try after a failure; doubles with each */
    int64_t backoff_max;  /* but no more than this */
    uint64_t backlog_max; /* texts waiting for an aligner; none is opened beyond */
    uint64_t seed;        /* of the jitter */
    uint64_t generation;  /* of the tasks that are opened from now on */
    uint32_t lines;       /* sentences that one call asks for; 0, 1: one */
    /* Of a replay, whose end must not depend on who is faster: every task that is opened is run to its end, goal or
     * not; it is COMPLETE when all have ended and no more may be opened, and never STUCK. */
    bool finishes;
    /* Of a replay: which of how many sentences of one call is the task's, as it was then; NULL: as lines says. */
    void (*shares)(void *ctx, uint64_t task, uint32_t *line, uint32_t *lines);
    void *ctx;
};

/* How a task shares one call with those that were opened beside it; until its first answer.  Numbers are on disk. */
enum nm_share {
    NM_SHARE_NONE = 0,  /* its call is its own */
    NM_SHARE_LEADS = 1, /* its call asks for the sentences of all of them */
    NM_SHARE_RIDES = 2, /* that call is not answered yet */
    NM_SHARE_READS = 3  /* its sentence is in the answer to that call */
};

/* One task, as it is written to the ledger. */
struct nm_queue_task {
    uint64_t task;    /* index in the plan */
    uint32_t attempt; /* from 1: the one that is asked for, or that was accepted */
    uint32_t worker;  /* who holds it, or owns it once DONE; NM_QUEUE_NOBODY */
    enum nm_task_state state;
    uint32_t failures; /* calls without an answer since the last answer */
    int64_t due_ms;    /* when DELAYED: not before this time */
    uint32_t base;     /* attempts that do not count: before it was kicked, and of texts that were then verified */
    bool verify;       /* the attempt asked for is a second look at the text of the one before */
    enum nm_share share;
    uint32_t line,
        lines; /* unless NM_SHARE_NONE: which of how many sentences of the call is its; the leader's is 1 */
};

/* The task whose call this one shares. */
static inline uint64_t nm_task_leader(const struct nm_queue_task *task)
{
    return task->share == NM_SHARE_NONE ? task->task : task->task - (task->line - 1);
}

struct nm_queue_hold {
    uint64_t task;
    uint32_t attempt;
};

/* What an answer says; a text that passed and is to be verified comes back at once, as the next attempt, for that;
 * after a hopeless one there is no next attempt. */
enum nm_answer { NM_ANSWER_REJECTED, NM_ANSWER_ACCEPTED, NM_ANSWER_UNVERIFIED, NM_ANSWER_HOPELESS };

/* What became of an answer. */
enum nm_verdict {
    NM_VERDICT_APPLIED,   /* by the holder of the lease */
    NM_VERDICT_LATE,      /* applied, though the lease had been lost */
    NM_VERDICT_DUPLICATE, /* that attempt has been answered before: nothing changed */
    NM_VERDICT_UNKNOWN    /* no such open task: ask the ledger whether it has ended */
};

enum nm_phase { NM_PHASE_RUNNING, NM_PHASE_COMPLETE, NM_PHASE_STUCK, NM_PHASE_DRAINED };

/* Why generators get nothing new; one does not lift another. */
enum nm_pause {
    NM_PAUSE_ENDPOINTS = 1,
    NM_PAUSE_OPERATOR = 2,
    NM_PAUSE_GOVERNOR = 4, /* no text can be made now */
    NM_PAUSE_VERIFIER = 8  /* no text can be verified now */
};

struct nm_queue_totals {
    uint64_t opened; /* the next index of the plan */
    uint64_t extra;  /* the next index of an extra task */
    uint64_t done, dead, dropped;
    uint64_t late, duplicates, expired; /* since the start: late answers, repeated ones, leases that ran out */
};

struct nm_queue_lease {
    uint32_t worker;
    enum nm_queue_role role;
    struct nm_queue_task task;
};

struct nm_queue;

/* nm_queue_new - empty.  NULL: out of memory. */
struct nm_queue *nm_queue_new(const struct nm_queue_options *options);
void nm_queue_destroy(struct nm_queue **queue);

/* Restoring after a restart, before anything else: the totals (opened, done, dead, dropped count), then every open
 * task.  A leased one keeps its worker, who has lease_ms from now to say hello.  NM_EFORMAT: a state or worker that
 * can't be; NM_EEXIST: the task is there already. */
void nm_queue_restore_totals(struct nm_queue *queue, const struct nm_queue_totals *totals);
enum nm_err nm_queue_restore(struct nm_queue *queue, const struct nm_queue_task *task, int64_t now);

/* nm_queue_join - a worker says hello.  Workers are small numbers that the caller gives out and keeps for ever.
 * What it holds stays its own, or becomes so if nobody else has it; its other leases go back at once.  NM_ENOMEM. */
enum nm_err nm_queue_join(struct nm_queue *queue, uint32_t worker, enum nm_queue_role role, uint64_t credit,
                          const struct nm_queue_hold *holds, size_t n, int64_t now);

/* nm_queue_heard - any sign of life: renews all leases of a worker that has joined. */
void nm_queue_heard(struct nm_queue *queue, uint32_t worker, int64_t now);

/* nm_queue_leave - goodbye, or lost: its leases go back at once, and it gets no more. */
void nm_queue_leave(struct nm_queue *queue, uint32_t worker);

/* nm_queue_mute - no more leases until it joins again, but it keeps those it has until they run out. */
void nm_queue_mute(struct nm_queue *queue, uint32_t worker);

/* nm_queue_expire - let one worker go that has been silent for too long; false: there is none.  Call until false. */
bool nm_queue_expire(struct nm_queue *queue, int64_t now, uint32_t *worker);

/* nm_queue_set_role - of a worker whose tasks are about to be restored.  NM_ENOMEM. */
enum nm_err nm_queue_set_role(struct nm_queue *queue, uint32_t worker, enum nm_queue_role role);

/* nm_queue_assign - lease one task to one worker with credit left, workers in turn, texts to aligners first.  Opens a
 * new task if none waits and the goal needs it, with those that are to share its call.  NM_ENOENT: nothing to do for
 * anybody; NM_ENOMEM.  O(1), or O(log n) where delayed tasks fall due. */
enum nm_err nm_queue_assign(struct nm_queue *queue, int64_t now, struct nm_queue_lease *lease);

/* nm_queue_assign_batch - the same for a batch with credit left: what holds up calls does not hold it up, but for the
 * operator. */
enum nm_err nm_queue_assign_batch(struct nm_queue *queue, int64_t now, struct nm_queue_lease *lease);

/* nm_queue_wants_extra - a generator is free, the goal is secured, and nothing waits: an extra task could be opened.
 * nm_queue_open_extra - open one; it is the next to be leased.  NM_ENOMEM. */
bool nm_queue_wants_extra(const struct nm_queue *queue);
enum nm_err nm_queue_open_extra(struct nm_queue *queue, uint64_t *task);

/* nm_queue_hold_phase - the goal's samples are not all that is wanted: not COMPLETE before it is lifted and no text
 * waits for an aligner. */
void nm_queue_hold_phase(struct nm_queue *queue, bool hold);

/* nm_queue_return - the lease could not be delivered: back it goes, if this worker still holds it. */
void nm_queue_return(struct nm_queue *queue, uint32_t worker, uint64_t task);

/* nm_queue_response - a generator's answer.  attempt beyond the present one is NM_VERDICT_UNKNOWN. */
enum nm_verdict nm_queue_response(struct nm_queue *queue, uint32_t worker, uint64_t task, uint64_t attempt,
                                  enum nm_answer answer);

/* nm_queue_part - whatever answers this task's call now has no sentence for those that ride with it: they ask alone.
 */
void nm_queue_part(struct nm_queue *queue, uint64_t task);

/* nm_queue_failure - a call brought no answer: try again after retry_after_ms (0: exponential back-off with jitter;
 * -1: at once).  Ignored unless this worker holds that attempt; true: applied. */
bool nm_queue_failure(struct nm_queue *queue, uint32_t worker, uint64_t task, uint64_t attempt,
                      int64_t retry_after_ms, int64_t now);

/* nm_queue_aligned - an aligner has committed the sample, or found the text of no use.  keep: it owns the sample
 * (not set when the verdict is NM_VERDICT_UNKNOWN). */
enum nm_verdict nm_queue_aligned(struct nm_queue *queue, uint32_t worker, uint64_t task, uint64_t attempt,
                                 bool useless, bool *keep);

/* nm_queue_pause - lease nothing to generators for that reason, or lift it. */
void nm_queue_pause(struct nm_queue *queue, enum nm_pause reason, bool paused);

/* nm_queue_drain - open no task any more, or go on. */
void nm_queue_drain(struct nm_queue *queue, bool draining);

/* nm_queue_set_goal, nm_queue_set_lease - as in the options, from now on. */
void nm_queue_set_goal(struct nm_queue *queue, uint64_t goal, uint64_t opened_max);
void nm_queue_set_lease(struct nm_queue *queue, int64_t lease_ms);

/* nm_queue_kick - a delayed task, or a dead one, is ready again, with attempts anew.  Numbers of attempts go on: a
 * dead one's attempt follows the last answered one.  dead: how it ended, as the ledger says; NULL: it is open.
 * NM_ENOENT: not open; NM_ESTATE: neither delayed nor dead; NM_ENOMEM. */
enum nm_err nm_queue_kick(struct nm_queue *queue, uint64_t task, const struct nm_queue_task *dead, bool answered);

/* nm_queue_kick_delayed - the same with the delayed task that is due first; false: there is none. */
bool nm_queue_kick_delayed(struct nm_queue *queue);

/* nm_queue_bury - an open task becomes a dead letter; an answer that is on its way finds it ended.
 * NM_ENOENT: not open. */
enum nm_err nm_queue_bury(struct nm_queue *queue, uint64_t task);

/* nm_queue_last_try - a rejected answer to the attempt asked for makes the task a dead letter. */
bool nm_queue_last_try(const struct nm_queue *queue, const struct nm_queue_task *task);

/* nm_queue_flush - hand every task that changed since the last flush to fn, then forget the ended ones.  An error of
 * fn ends it and is returned; the tasks not yet handed over stay for the next flush. */
typedef enum nm_err (*nm_queue_flush_fn)(void *ctx, const struct nm_queue_task *task);
enum nm_err nm_queue_flush(struct nm_queue *queue, nm_queue_flush_fn fn, void *ctx);

/* nm_queue_wait_ms - how long nothing will fall due or expire; -1: for ever. */
int64_t nm_queue_wait_ms(const struct nm_queue *queue, int64_t now);

enum nm_phase nm_queue_phase(const struct nm_queue *queue);
const struct nm_queue_totals *nm_queue_get_totals(const struct nm_queue *queue);
uint64_t nm_queue_count(const struct nm_queue *queue, enum nm_task_state state); /* open tasks in that state */
uint64_t nm_queue_in_flight(const struct nm_queue *queue, uint32_t worker);
/* nm_queue_oldest_ms - how long the oldest READY task has been so; 0: there is none.  O(ready tasks). */
int64_t nm_queue_oldest_ms(const struct nm_queue *queue, int64_t now);
bool nm_queue_get(const struct nm_queue *queue, uint64_t task, struct nm_queue_task *out); /* false: not open */

const char *nm_task_state_name(enum nm_task_state state);
const char *nm_queue_role_name(enum nm_queue_role role); /* "generator", "aligner", "batch": as hello has it */

/* nm_queue_check - verify every invariant: O(open tasks + workers).  NM_ESTATE: diag says which is broken. */
enum nm_err nm_queue_check(const struct nm_queue *queue, struct nm_diag *diag);

#endif
