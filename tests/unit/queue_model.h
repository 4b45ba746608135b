/* queue_model.h - a plain model of the queue: arrays, walked through. */
#ifndef NM_TESTS_UNIT_QUEUE_MODEL_H
#define NM_TESTS_UNIT_QUEUE_MODEL_H

#include "broker/queue.h"
#include "common/hash.h"

enum { WORKERS = 6, TASKS = 64 };

struct model_task {
    struct nm_queue_task view;
    uint64_t order; /* when it became ready or accepted: the oldest is leased first */
    bool changed;   /* since the last flush */
    bool buried;
    uint32_t answered; /* the last attempt whose answer is in the response log; 0: none */
};

struct model {
    struct nm_queue_options options;
    struct nm_queue *queue;
    struct nm_rng rng;
    int64_t now;
    uint64_t clock; /* gives out order */
    bool paused[2], draining;
    struct model_task tasks[TASKS], saved[TASKS];
    struct nm_queue_totals totals, saved_totals;
    struct {
        bool joined, aligner;
        uint64_t credit;
        int64_t seen;
    } workers[WORKERS];
};

static inline uint64_t model_below(struct model *m, uint64_t n)
{
    return nm_rng_below(&m->rng, n);
}

static inline bool model_ended(const struct model_task *t)
{
    return t->view.state >= NM_TASK_DONE;
}

static inline bool model_held(const struct model_task *t)
{
    return t->view.state == NM_TASK_LEASED || t->view.state == NM_TASK_ALIGNING;
}

static inline bool model_has_answer(const struct model_task *t)
{
    return t->answered == t->view.attempt;
}

/* What the queue does, done to the model; those that ask, of all tasks. */
uint64_t model_held_by(const struct model *m, uint32_t worker);
void model_set(struct model *m, struct model_task *t, enum nm_task_state state, uint32_t worker);
void model_share_end(struct model *m, struct model_task *t, bool answered);
struct model_task *model_open(struct model *m);
void model_give_back(struct model *m, struct model_task *t);
void model_leave(struct model *m, uint32_t worker);
void model_fall_due(struct model *m);
bool model_hungry(const struct model *m, bool aligner);
uint64_t model_count(const struct model *m, enum nm_task_state state);
struct model_task *model_oldest(struct model *m, enum nm_task_state state);
struct model_task *model_oldest_ready(struct model *m, enum nm_share share, bool verify);
bool model_may_open(const struct model *m);
enum nm_verdict model_took(struct model *m, bool in_time);
void model_kick(struct model *m, struct model_task *t, bool answered);
enum nm_err model_save(void *ctx, const struct nm_queue_task *view);
void model_compare(struct model *m);

#endif
