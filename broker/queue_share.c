/* Tasks that share one call: opened side by side, answered by one answer, tasks of their own from then on. */
#include "broker/queue_parts.h"

/* As many as reach the next multiple of lines, so that a run that is repeated asks for the same ones together; no
 * more than the goal needs. */
static uint64_t count_of(const struct nm_queue *q)
{
    const struct nm_queue_totals *t = &q->totals;
    uint64_t lines = q->options.lines > 1 ? q->options.lines : 1, n = lines - t->opened % lines;
    uint64_t needed = q->options.goal - (t->opened + t->extra - t->dead - t->dropped);
    uint64_t left = q->options.opened_max - t->opened;
    n = n < needed ? n : needed;
    return n < left ? n : left;
}

/* As it was asked for in the run that is replayed, one task at a time. */
static enum nm_err open_recorded(struct nm_queue *q, struct task **next)
{
    uint64_t index = q->options.generation << NM_TASK_GENERATION | q->totals.opened;
    struct task *task;
    enum nm_err err = nm_queue_task_add(q, index, &task);
    if (err)
        return err;
    struct nm_queue_task *v = &task->view;
    q->options.shares(q->options.ctx, index, &v->line, &v->lines);
    if (v->lines > 1) {
        const struct task *leader = nm_map_get(&q->open, index - (v->line - 1));
        bool waits = leader && leader->view.share == NM_SHARE_LEADS;
        v->share = v->line == 1 ? NM_SHARE_LEADS : waits ? NM_SHARE_RIDES : NM_SHARE_READS;
    }
    q->totals.opened++;
    nm_queue_enter(q, task, NM_TASK_READY, NM_QUEUE_NOBODY);
    *next = v->share == NM_SHARE_RIDES ? NULL : task;
    return NM_OK;
}

enum nm_err nm_queue_open(struct nm_queue *q, bool alone, struct task **leader)
{
    if (q->options.shares)
        return open_recorded(q, leader);
    uint64_t first = q->options.generation << NM_TASK_GENERATION | q->totals.opened;
    uint64_t wanted = alone ? 1 : count_of(q), n = 0;
    struct task *task;
    enum nm_err err = NM_OK;
    while (n < wanted && !err) {
        err = nm_queue_task_add(q, first + n, &task);
        n += !err;
    }
    for (uint64_t i = 0; i < n; i++) { /* fewer of them where memory ran out */
        task = nm_map_get(&q->open, first + i);
        if (n > 1) {
            task->view.share = i == 0 ? NM_SHARE_LEADS : NM_SHARE_RIDES;
            task->view.line = (uint32_t)i + 1;
            task->view.lines = (uint32_t)n;
        }
        q->totals.opened++;
        nm_queue_enter(q, task, NM_TASK_READY, NM_QUEUE_NOBODY);
    }
    *leader = nm_map_get(&q->open, first);
    return n > 0 ? NM_OK : err;
}

static void set_share(struct nm_queue *q, struct task *task, enum nm_share share)
{
    bool ready = task->view.state == NM_TASK_READY;
    task->view.share = share;
    if (share == NM_SHARE_NONE)
        task->view.line = task->view.lines = 0;
    if (ready) { /* into another list */
        link_remove(&task->link);
        q->counts[NM_TASK_READY]--;
        nm_queue_enter(q, task, NM_TASK_READY, NM_QUEUE_NOBODY);
    } else if (link_is_alone(&task->dirty)) {
        link_append(&q->dirty, &task->dirty);
    }
}

void nm_queue_share_end(struct nm_queue *q, struct task *task, bool answered)
{
    const struct nm_queue_task was = task->view;
    for (uint32_t i = 1; was.share == NM_SHARE_LEADS && i < was.lines; i++) {
        struct task *other = nm_map_get(&q->open, was.task + i);
        if (other && other->view.share == NM_SHARE_RIDES)
            set_share(q, other, answered ? NM_SHARE_READS : NM_SHARE_NONE);
    }
    task->view.share = NM_SHARE_NONE;
    task->view.line = task->view.lines = 0;
}

void nm_queue_part(struct nm_queue *queue, uint64_t index)
{
    struct task *task = nm_map_get(&queue->open, index);
    if (!task || task->view.share != NM_SHARE_LEADS)
        return;
    nm_queue_share_end(queue, task, false);
    if (link_is_alone(&task->dirty))
        link_append(&queue->dirty, &task->dirty);
}

bool nm_queue_is_share(const struct nm_queue_task *task)
{
    if (task->share == NM_SHARE_NONE)
        return task->line == 0 && task->lines == 0;
    bool first = task->line == 1;
    return task->share <= NM_SHARE_READS && task->lines > 1 && task->line >= 1 && task->line <= task->lines &&
           first == (task->share == NM_SHARE_LEADS) && task->attempt == 1 && !task->verify;
}
