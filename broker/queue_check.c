#include "broker/queue_parts.h"

/* One look at everything; numbers as in queue.h. */
#define HOLDS(condition, ...)                                                                                        \
    do {                                                                                                             \
        if (!(condition))                                                                                            \
            return nm_fail(diag, NM_ESTATE, __VA_ARGS__);                                                            \
    } while (0)

static uint64_t length(const struct link *list)
{
    uint64_t n = 0;
    for (const struct link *at = list->next; at != list; at = at->next)
        n++;
    return n;
}

static bool contains(const struct link *list, const struct link *link)
{
    for (const struct link *at = list->next; at != list; at = at->next)
        if (at == link)
            return true;
    return false;
}

static enum nm_err check_task(const struct nm_queue *q, const struct task *task, struct nm_diag *diag)
{
    const struct nm_queue_task *v = &task->view;
    HOLDS(v->state >= NM_TASK_READY && v->state < NM_TASK_STATES, "task %lu: state %d", v->task, (int)v->state);
    uint64_t opened = nm_task_is_extra(v->task) ? q->totals.extra : q->totals.opened;
    bool before = nm_task_generation(v->task) < q->options.generation; /* its index is another plan's */
    HOLDS(v->attempt >= 1 && (before || nm_task_index(v->task) < opened), "task %lu: attempt %u, of %lu opened",
          v->task, v->attempt, opened);
    HOLDS(v->base < v->attempt, "task %lu: attempt %u, %u before it was kicked", v->task, v->attempt, v->base);
    bool held = v->state == NM_TASK_LEASED || v->state == NM_TASK_ALIGNING;
    if (held)
        HOLDS(v->worker < q->n_workers && q->workers[v->worker], "1: task %lu is leased to nobody", v->task);
    bool listed = held || v->state == NM_TASK_READY || v->state == NM_TASK_ACCEPTED;
    HOLDS(listed != link_is_alone(&task->link), "2: task %lu is %s and stands in %s list", v->task,
          nm_task_state_name(v->state), listed ? "no" : "a");
    if (v->state == NM_TASK_DELAYED)
        HOLDS(task->heap < q->n_delayed && q->delayed[task->heap] == task, "2: task %lu is not in the heap", v->task);
    HOLDS(nm_queue_is_share(v), "7: task %lu shares a call as %d, line %u of %u, at attempt %u", v->task,
          (int)v->share, v->line, v->lines, v->attempt);
    if (v->share == NM_SHARE_RIDES) {
        const struct task *leader = nm_map_get(&q->open, nm_task_leader(v));
        HOLDS(leader && leader->view.share == NM_SHARE_LEADS && leader->view.lines == v->lines,
              "7: task %lu rides with task %lu, which does not lead it", v->task, nm_task_leader(v));
    }
    if (v->state >= NM_TASK_DONE)
        HOLDS(!link_is_alone(&task->dirty), "6: task %lu has ended and was not forgotten", v->task);
    return NM_OK;
}

static enum nm_err check_list(const struct link *list, enum nm_task_state state, uint32_t worker,
                              struct nm_diag *diag)
{
    for (const struct link *at = list->next; at != list; at = at->next) {
        const struct task *task = OWNER_OF(at, struct task, link);
        HOLDS(at->next->prev == at, "a list is torn");
        HOLDS(task->view.state == state && task->view.worker == worker,
              "1, 2: task %lu (%s) is in the list of %s ones", task->view.task, nm_task_state_name(task->view.state),
              nm_task_state_name(state));
    }
    return NM_OK;
}

static enum nm_err check_worker(const struct nm_queue *q, const struct worker *w, struct nm_diag *diag)
{
    uint64_t leases = length(&w->leases);
    HOLDS(leases == w->in_flight, "1: worker %u holds %lu tasks and counts %lu", w->number, leases, w->in_flight);
    for (const struct link *at = w->leases.next; at != &w->leases; at = at->next)
        HOLDS(OWNER_OF(at, struct task, link)->view.worker == w->number, "1: worker %u holds another's task",
              w->number);
    bool hungry = w->joined && w->in_flight < w->credit;
    HOLDS(hungry == contains(&q->hungry[w->role], &w->hungry), "3: worker %u is wrongly listed as %s", w->number,
          hungry ? "full" : "hungry");
    HOLDS(!(w->joined || leases) || contains(&q->watch, &w->watch) == (w->role != NM_QUEUE_BATCH),
          "4: worker %u is not watched", w->number);
    return NM_OK;
}

static enum nm_err check_order(const struct nm_queue *q, struct nm_diag *diag)
{
    int64_t seen = INT64_MIN;
    for (const struct link *at = q->watch.next; at != &q->watch; at = at->next) {
        const struct worker *w = OWNER_OF(at, struct worker, watch);
        HOLDS(w->seen >= seen, "4: the watched are out of order at worker %u", w->number);
        seen = w->seen;
    }
    for (size_t i = 1; i < q->n_delayed; i++)
        HOLDS(q->delayed[(i - 1) / 2]->view.due_ms <= q->delayed[i]->view.due_ms, "2: the heap is out of order");
    return NM_OK;
}

enum nm_err nm_queue_check(const struct nm_queue *queue, struct nm_diag *diag)
{
    uint64_t counts[NM_TASK_STATES] = {0}, held = 0, credit = 0;
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < queue->open.cap && !err; i++) {
        const struct task *task = queue->open.slots[i].value;
        if (task) {
            err = check_task(queue, task, diag);
            counts[task->view.state]++;
        }
    }
    for (uint32_t i = 0; i < queue->n_workers && !err; i++) {
        const struct worker *w = queue->workers[i];
        if (w) {
            err = check_worker(queue, w, diag);
            held += w->in_flight;
            credit += w->joined && w->role == NM_QUEUE_GENERATOR ? w->credit : 0;
        }
    }
    if (!err)
        err = check_list(&queue->ready, NM_TASK_READY, NM_QUEUE_NOBODY, diag);
    if (!err)
        err = check_list(&queue->again, NM_TASK_READY, NM_QUEUE_NOBODY, diag);
    if (!err)
        err = check_list(&queue->looks, NM_TASK_READY, NM_QUEUE_NOBODY, diag);
    if (!err)
        err = check_list(&queue->rides, NM_TASK_READY, NM_QUEUE_NOBODY, diag);
    if (!err)
        err = check_list(&queue->reads, NM_TASK_READY, NM_QUEUE_NOBODY, diag);
    if (!err)
        err = check_list(&queue->accepted, NM_TASK_ACCEPTED, NM_QUEUE_NOBODY, diag);
    if (!err)
        err = check_order(queue, diag);
    if (err)
        return err;
    for (int state = NM_TASK_READY; state < NM_TASK_STATES; state++)
        HOLDS(counts[state] == queue->counts[state], "%lu tasks are %s, %lu are counted", counts[state],
              nm_task_state_name((enum nm_task_state)state), queue->counts[state]);
    HOLDS(held == counts[NM_TASK_LEASED] + counts[NM_TASK_ALIGNING], "1: %lu leases are held", held);
    uint64_t ready = length(&queue->ready) + length(&queue->again) + length(&queue->looks) + length(&queue->rides) +
                     length(&queue->reads);
    HOLDS(ready == counts[NM_TASK_READY], "2: the ready lists");
    HOLDS(length(&queue->accepted) == counts[NM_TASK_ACCEPTED], "2: the accepted list");
    HOLDS(queue->n_delayed == counts[NM_TASK_DELAYED], "2: the heap of delayed tasks");
    HOLDS(credit == queue->generator_credit, "the generators' credit is %lu, %lu is counted", credit,
          queue->generator_credit);
    const struct nm_queue_totals *t = &queue->totals;
    uint64_t ended = counts[NM_TASK_DONE] + counts[NM_TASK_DEAD] + counts[NM_TASK_DROPPED];
    HOLDS(t->opened + t->extra == t->done + t->dead + t->dropped + queue->open.n - ended, "5: %lu opened, %lu open",
          t->opened + t->extra, queue->open.n - ended);
    return NM_OK;
}
