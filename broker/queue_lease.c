/* What comes next: which task is leased to whom, and when there is nothing more to do. */
#include "broker/queue_parts.h"

/* The goal needs one more, and the plan has it. */
static bool wants_more(const struct nm_queue *q)
{
    const struct nm_queue_totals *t = &q->totals;
    return t->opened + t->extra - t->dead - t->dropped < q->options.goal && t->opened < q->options.opened_max;
}

static bool may_open(const struct nm_queue *q, enum nm_queue_role role)
{
    /* While calls fail, no more tasks are delayed than can be under way: endpoints that are down are not hammered. */
    bool calls_fail = role == NM_QUEUE_GENERATOR && q->n_delayed >= q->generator_credit;
    return wants_more(q) && q->counts[NM_TASK_ACCEPTED] < q->options.backlog_max && !calls_fail && !q->draining;
}

static uint64_t secured_by(const struct nm_queue *q)
{
    return q->totals.done + q->counts[NM_TASK_ACCEPTED] + q->counts[NM_TASK_ALIGNING];
}

/* No text is to be made now. */
static bool makes_none(const struct nm_queue *q)
{
    return (q->paused & ~(unsigned)NM_PAUSE_VERIFIER) != 0;
}

/* More than the goal needs are open where it was lowered, or dead tasks were kicked. */
static bool has_enough(const struct nm_queue *q)
{
    return !q->options.finishes && secured_by(q) + q->counts[NM_TASK_LEASED] >= q->options.goal;
}

/* Texts to be verified come first; a batch takes none. */
static enum nm_err next_look(struct nm_queue *q, struct task **task)
{
    if (link_is_alone(&q->looks) || link_is_alone(&q->hungry[NM_QUEUE_GENERATOR]) ||
        (q->paused & ~(unsigned)NM_PAUSE_GOVERNOR) != 0)
        return NM_ENOENT;
    *task = OWNER_OF(q->looks.next, struct task, link);
    return !has_enough(q) || nm_task_is_extra((*task)->view.task) ? NM_OK : NM_ENOENT;
}

/* The next task of the plan that is to be leased. */
static enum nm_err open_next(struct nm_queue *q, enum nm_queue_role role, struct task **task)
{
    while (may_open(q, role)) {
        enum nm_err err = nm_queue_open(q, role == NM_QUEUE_BATCH, task);
        if (err || *task)
            return err;
    }
    return NM_ENOENT;
}

/* What was answered already takes no call: only an operator holds it up. */
static enum nm_err next_read(struct nm_queue *q, struct task **task)
{
    if (link_is_alone(&q->reads) || link_is_alone(&q->hungry[NM_QUEUE_GENERATOR]) ||
        (q->paused & NM_PAUSE_OPERATOR) != 0 || has_enough(q))
        return NM_ENOENT;
    *task = OWNER_OF(q->reads.next, struct task, link);
    return NM_OK;
}

/* role: who asks, a generator or a batch; paused: for it. */
static enum nm_err next_call(struct nm_queue *q, enum nm_queue_role role, bool paused, int64_t now,
                             struct task **task)
{
    while (q->n_delayed && q->delayed[0]->view.due_ms <= now)
        nm_queue_move(q, q->delayed[0], DUE, NM_QUEUE_NOBODY);
    if (role == NM_QUEUE_GENERATOR && (next_read(q, task) == NM_OK || next_look(q, task) == NM_OK))
        return NM_OK;
    if (paused || link_is_alone(&q->hungry[role]))
        return NM_ENOENT;
    if (!link_is_alone(&q->again)) {
        *task = OWNER_OF(q->again.next, struct task, link);
        return NM_OK;
    }
    if (has_enough(q))
        return NM_ENOENT;
    if (!link_is_alone(&q->ready)) {
        *task = OWNER_OF(q->ready.next, struct task, link);
        return NM_OK;
    }
    return open_next(q, role, task);
}

bool nm_queue_wants_extra(const struct nm_queue *queue)
{
    return !makes_none(queue) && !queue->draining && !link_is_alone(&queue->hungry[NM_QUEUE_GENERATOR]) &&
           link_is_alone(&queue->again) && (queue->options.finishes || secured_by(queue) >= queue->options.goal) &&
           queue->n_delayed < queue->generator_credit && queue->counts[NM_TASK_ACCEPTED] < queue->options.backlog_max;
}

enum nm_err nm_queue_open_extra(struct nm_queue *queue, uint64_t *index)
{
    struct task *task;
    *index = queue->options.generation << NM_TASK_GENERATION | NM_TASK_EXTRA | queue->totals.extra;
    enum nm_err err = nm_queue_task_add(queue, *index, &task);
    if (err)
        return err;
    queue->totals.extra++;
    nm_queue_enter(queue, task, NM_TASK_READY, NM_QUEUE_NOBODY);
    return NM_OK;
}

void nm_queue_hold_phase(struct nm_queue *queue, bool hold)
{
    queue->hold_phase = hold;
    queue->beyond = true;
}

static enum nm_err next_for_aligner(struct nm_queue *q, struct task **task)
{
    if (link_is_alone(&q->accepted) || link_is_alone(&q->hungry[NM_QUEUE_ALIGNER]))
        return NM_ENOENT;
    *task = OWNER_OF(q->accepted.next, struct task, link);
    return NM_OK;
}

static void lease_to_next(struct nm_queue *q, struct task *task, struct nm_queue_lease *lease)
{
    struct worker *w = OWNER_OF(q->hungry[lease->role].next, struct worker, hungry);
    lease->worker = w->number;
    if (lease->role == NM_QUEUE_BATCH) /* a line of its file asks for one sentence */
        nm_queue_share_end(q, task, false);
    nm_queue_move(q, task, LEASE, lease->worker);
    if (!link_is_alone(&w->hungry))
        link_append(&q->hungry[lease->role], &w->hungry); /* the others first */
    lease->task = task->view;
}

enum nm_err nm_queue_assign(struct nm_queue *queue, int64_t now, struct nm_queue_lease *lease)
{
    queue->now = now;
    struct task *task;
    lease->role = NM_QUEUE_ALIGNER;
    enum nm_err err = next_for_aligner(queue, &task);
    if (err == NM_ENOENT) {
        lease->role = NM_QUEUE_GENERATOR;
        err = next_call(queue, lease->role, makes_none(queue), now, &task);
    }
    if (!err)
        lease_to_next(queue, task, lease);
    return err;
}

enum nm_err nm_queue_assign_batch(struct nm_queue *queue, int64_t now, struct nm_queue_lease *lease)
{
    queue->now = now;
    struct task *task;
    lease->role = NM_QUEUE_BATCH;
    enum nm_err err = next_call(queue, lease->role, queue->paused & NM_PAUSE_OPERATOR, now, &task);
    if (!err)
        lease_to_next(queue, task, lease);
    return err;
}

void nm_queue_return(struct nm_queue *queue, uint32_t worker, uint64_t index)
{
    struct task *task = nm_map_get(&queue->open, index);
    if (task && is_held(task->view.state) && task->view.worker == worker)
        nm_queue_move(queue, task, RETURN, NM_QUEUE_NOBODY);
}

void nm_queue_pause(struct nm_queue *queue, enum nm_pause reason, bool paused)
{
    queue->paused = paused ? queue->paused | (unsigned int)reason : queue->paused & ~(unsigned int)reason;
}

void nm_queue_drain(struct nm_queue *queue, bool draining)
{
    queue->draining = draining;
}

void nm_queue_set_goal(struct nm_queue *queue, uint64_t goal, uint64_t opened_max)
{
    queue->options.goal = goal;
    queue->options.opened_max = opened_max;
}

int64_t nm_queue_wait_ms(const struct nm_queue *queue, int64_t now)
{
    int64_t wait = INT64_MAX;
    if (!link_is_alone(&queue->watch))
        wait = OWNER_OF(queue->watch.next, struct worker, watch)->seen + queue->options.lease_ms - now;
    if (queue->n_delayed && queue->delayed[0]->view.due_ms - now < wait)
        wait = queue->delayed[0]->view.due_ms - now;
    return wait == INT64_MAX ? -1 : wait < 0 ? 0 : wait;
}

enum nm_phase nm_queue_phase(const struct nm_queue *queue)
{
    const struct nm_queue_totals *t = &queue->totals;
    bool all_ended = t->done + t->dead + t->dropped == t->opened + t->extra;
    if (queue->options.finishes && all_ended && !wants_more(queue) && !queue->hold_phase)
        return NM_PHASE_COMPLETE;
    bool waits =
        queue->beyond && (queue->open_extra || queue->counts[NM_TASK_ACCEPTED] || queue->counts[NM_TASK_ALIGNING]);
    if (!queue->options.finishes && t->done >= queue->options.goal && !queue->hold_phase && !waits)
        return NM_PHASE_COMPLETE;
    if (all_ended && queue->draining)
        return NM_PHASE_DRAINED;
    bool stuck = all_ended && t->opened >= queue->options.opened_max && !queue->options.finishes;
    return stuck ? NM_PHASE_STUCK : NM_PHASE_RUNNING;
}
