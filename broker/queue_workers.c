/* Who works on a queue's tasks: workers come, are heard of, and go. */
#include <stdlib.h>

#include "broker/queue_parts.h"

struct worker *nm_queue_worker(const struct nm_queue *q, uint32_t number)
{
    return number < q->n_workers ? q->workers[number] : NULL;
}

enum nm_err nm_queue_worker_add(struct nm_queue *q, uint32_t number, struct worker **out)
{
    if (number >= q->n_workers) {
        struct worker **bigger = realloc(q->workers, ((size_t)number + 1) * sizeof(struct worker *));
        if (!bigger)
            return NM_ENOMEM;
        q->workers = bigger;
        while (q->n_workers <= number)
            q->workers[q->n_workers++] = NULL;
    }
    if (!q->workers[number]) {
        struct worker *w = calloc(1, sizeof *w);
        if (!w)
            return NM_ENOMEM;
        w->number = number;
        link_init(&w->leases);
        link_init(&w->watch);
        link_init(&w->hungry);
        q->workers[number] = w;
    }
    *out = q->workers[number];
    return NM_OK;
}

void nm_queue_set_hungry(struct nm_queue *q, struct worker *w)
{
    if (w->joined && w->in_flight < w->credit) {
        if (link_is_alone(&w->hungry))
            link_append(&q->hungry[w->role], &w->hungry);
    } else {
        link_remove(&w->hungry);
    }
}

void nm_queue_note_heard(struct nm_queue *q, struct worker *w, int64_t now)
{
    w->seen = now;
    if (w->role != NM_QUEUE_BATCH)
        link_append(&q->watch, &w->watch);
}

enum nm_err nm_queue_set_role(struct nm_queue *queue, uint32_t worker, enum nm_queue_role role)
{
    struct worker *w;
    enum nm_err err = nm_queue_worker_add(queue, worker, &w);
    if (!err)
        w->role = role;
    return err;
}

enum nm_err nm_queue_join(struct nm_queue *queue, uint32_t worker, enum nm_queue_role role, uint64_t credit,
                          const struct nm_queue_hold *holds, size_t n, int64_t now)
{
    struct worker *w;
    enum nm_err err = nm_queue_worker_add(queue, worker, &w);
    if (err)
        return err;
    nm_queue_leave(queue, worker); /* all leases go back, and what it still holds is taken up again */
    w->role = role;
    w->credit = credit;
    w->joined = true;
    if (role == NM_QUEUE_GENERATOR)
        queue->generator_credit += credit;
    nm_queue_note_heard(queue, w, now);
    for (size_t i = 0; i < n; i++) {
        struct task *task = nm_map_get(&queue->open, holds[i].task);
        bool takes = task && (task->view.state == NM_TASK_ACCEPTED) == (role == NM_QUEUE_ALIGNER);
        if (takes && task->view.attempt == holds[i].attempt && nm_queue_transition(task->view.state, LEASE))
            nm_queue_move(queue, task, LEASE, worker);
    }
    nm_queue_set_hungry(queue, w);
    return NM_OK;
}

void nm_queue_heard(struct nm_queue *queue, uint32_t worker, int64_t now)
{
    struct worker *w = nm_queue_worker(queue, worker);
    if (w && w->joined)
        nm_queue_note_heard(queue, w, now);
}

/* It gets nothing more until it joins again.  NULL: never heard of. */
static struct worker *retire(struct nm_queue *q, uint32_t number)
{
    struct worker *w = nm_queue_worker(q, number);
    if (!w)
        return NULL;
    if (w->joined && w->role == NM_QUEUE_GENERATOR)
        q->generator_credit -= w->credit;
    w->joined = false;
    nm_queue_set_hungry(q, w);
    return w;
}

void nm_queue_leave(struct nm_queue *queue, uint32_t worker)
{
    struct worker *w = retire(queue, worker);
    if (!w)
        return;
    while (!link_is_alone(&w->leases))
        nm_queue_move(queue, OWNER_OF(w->leases.next, struct task, link), RETURN, NM_QUEUE_NOBODY);
    link_remove(&w->watch);
}

void nm_queue_mute(struct nm_queue *queue, uint32_t worker)
{
    (void)retire(queue, worker);
}

bool nm_queue_expire(struct nm_queue *queue, int64_t now, uint32_t *worker)
{
    if (link_is_alone(&queue->watch))
        return false;
    struct worker *w = OWNER_OF(queue->watch.next, struct worker, watch);
    if (now - w->seen < queue->options.lease_ms)
        return false;
    queue->totals.expired += w->in_flight;
    *worker = w->number;
    nm_queue_leave(queue, *worker);
    return true;
}

uint64_t nm_queue_in_flight(const struct nm_queue *queue, uint32_t worker)
{
    const struct worker *w = nm_queue_worker(queue, worker);
    return w ? w->in_flight : 0;
}

void nm_queue_set_lease(struct nm_queue *queue, int64_t lease_ms)
{
    queue->options.lease_ms = lease_ms;
}

const char *nm_queue_role_name(enum nm_queue_role role)
{
    static const char *const names[NM_QUEUE_ROLES] = {"generator", "aligner", "batch"};
    return names[role];
}
