#include "broker/queue.h"

#include <assert.h>
#include <stdlib.h>

#include "broker/queue_parts.h"

/* ---- the transitions ------------------------------------------------------------------------- */

/* 0: not allowed there. */
enum nm_task_state nm_queue_transition(enum nm_task_state state, enum event event)
{
    static const unsigned char table[NM_TASK_STATES][EVENTS] = {
        [NM_TASK_READY] = {[LEASE] = NM_TASK_LEASED,
                           [ACCEPT] = NM_TASK_ACCEPTED,
                           [REJECT] = NM_TASK_READY,
                           [EXHAUST] = NM_TASK_DEAD,
                           [BURY] = NM_TASK_DEAD},
        [NM_TASK_DELAYED] = {[LEASE] = NM_TASK_LEASED,
                             [DUE] = NM_TASK_READY,
                             [ACCEPT] = NM_TASK_ACCEPTED,
                             [REJECT] = NM_TASK_READY,
                             [EXHAUST] = NM_TASK_DEAD,
                             [KICK] = NM_TASK_READY,
                             [BURY] = NM_TASK_DEAD},
        [NM_TASK_LEASED] = {[RETURN] = NM_TASK_READY,
                            [ACCEPT] = NM_TASK_ACCEPTED,
                            [REJECT] = NM_TASK_READY,
                            [EXHAUST] = NM_TASK_DEAD,
                            [FAIL] = NM_TASK_DELAYED,
                            [BURY] = NM_TASK_DEAD},
        [NM_TASK_ACCEPTED] =
            {[LEASE] = NM_TASK_ALIGNING, [KEEP] = NM_TASK_DONE, [DROP] = NM_TASK_DROPPED, [BURY] = NM_TASK_DEAD},
        [NM_TASK_ALIGNING] =
            {[RETURN] = NM_TASK_ACCEPTED, [KEEP] = NM_TASK_DONE, [DROP] = NM_TASK_DROPPED, [BURY] = NM_TASK_DEAD},
        [NM_TASK_DEAD] = {[KICK] = NM_TASK_READY},
    };
    return (enum nm_task_state)table[state][event];
}

const char *nm_task_state_name(enum nm_task_state state)
{
    static const char *const names[NM_TASK_STATES] = {
        [NM_TASK_READY] = "ready",       [NM_TASK_DELAYED] = "delayed",   [NM_TASK_LEASED] = "leased",
        [NM_TASK_ACCEPTED] = "accepted", [NM_TASK_ALIGNING] = "aligning", [NM_TASK_DONE] = "done",
        [NM_TASK_DEAD] = "dead",         [NM_TASK_DROPPED] = "dropped",   [NM_TASK_ASIDE] = "aside"};
    return state > 0 && state < NM_TASK_STATES ? names[state] : "unknown";
}

/* ---- lists and the heap of delayed tasks ----------------------------------------------------- */

static void heap_set(struct nm_queue *q, size_t i, struct task *task)
{
    q->delayed[i] = task;
    task->heap = i;
}

static void heap_sift(struct nm_queue *q, size_t i, struct task *task)
{
    while (i > 0 && q->delayed[(i - 1) / 2]->view.due_ms > task->view.due_ms) {
        heap_set(q, i, q->delayed[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (size_t child; (child = 2 * i + 1) < q->n_delayed; i = child) {
        if (child + 1 < q->n_delayed && q->delayed[child + 1]->view.due_ms < q->delayed[child]->view.due_ms)
            child++;
        if (q->delayed[child]->view.due_ms >= task->view.due_ms)
            break;
        heap_set(q, i, q->delayed[child]);
    }
    heap_set(q, i, task);
}

static void heap_remove(struct nm_queue *q, struct task *task)
{
    struct task *last = q->delayed[--q->n_delayed];
    if (last != task)
        heap_sift(q, task->heap, last);
}

/* Room for every open task, so that no transition can fail for want of memory. */
static enum nm_err heap_reserve(struct nm_queue *q, size_t n)
{
    if (n <= q->cap_delayed)
        return NM_OK;
    size_t cap = q->cap_delayed ? q->cap_delayed * 2 : 64;
    struct task **bigger = realloc(q->delayed, cap * sizeof(struct task *));
    if (!bigger)
        return NM_ENOMEM;
    q->delayed = bigger;
    q->cap_delayed = cap;
    return NM_OK;
}

/* ---- the one place where a state changes ----------------------------------------------------- */

/* READY tasks that wait for the same thing; of the extra looks those come first, as no goal ends them. */
static struct link *ready_list(struct nm_queue *q, const struct nm_queue_task *task)
{
    bool extra = nm_task_is_extra(task->task);
    if (task->verify)
        return extra ? q->looks.next : &q->looks;
    if (task->share == NM_SHARE_RIDES || task->share == NM_SHARE_READS)
        return task->share == NM_SHARE_RIDES ? &q->rides : &q->reads;
    return extra ? &q->again : &q->ready;
}

static void leave_state(struct nm_queue *q, struct task *task)
{
    link_remove(&task->link);
    if (task->view.state == NM_TASK_DELAYED)
        heap_remove(q, task);
    if (is_held(task->view.state)) {
        struct worker *w = nm_queue_worker(q, task->view.worker);
        w->in_flight--;
        nm_queue_set_hungry(q, w);
    }
    q->counts[task->view.state]--;
    q->totals.dead -= task->view.state == NM_TASK_DEAD;
}

void nm_queue_enter(struct nm_queue *q, struct task *task, enum nm_task_state state, uint32_t worker)
{
    task->view.state = state;
    task->view.worker = worker;
    task->since = q->now;
    q->counts[state]++;
    if (state == NM_TASK_READY) {
        link_append(ready_list(q, &task->view), &task->link);
    } else if (state == NM_TASK_ACCEPTED) {
        link_append(&q->accepted, &task->link);
    } else if (state == NM_TASK_DELAYED) {
        heap_sift(q, q->n_delayed++, task);
    } else if (is_held(state)) {
        struct worker *w = nm_queue_worker(q, worker);
        link_append(&w->leases, &task->link);
        w->in_flight++;
        nm_queue_set_hungry(q, w);
    }
    q->totals.done += state == NM_TASK_DONE;
    q->totals.dead += state == NM_TASK_DEAD;
    q->totals.dropped += state == NM_TASK_DROPPED;
    if (link_is_alone(&task->dirty))
        link_append(&q->dirty, &task->dirty);
}

/* worker: who takes the lease, or owns the sample; else NM_QUEUE_NOBODY. */
void nm_queue_move(struct nm_queue *q, struct task *task, enum event event, uint32_t worker)
{
    enum nm_task_state state = nm_queue_transition(task->view.state, event);
    assert(state);
    leave_state(q, task);
    if (event == ACCEPT || event == REJECT || event == EXHAUST || event == KICK)
        task->view.failures = 0;
    if (event == REJECT)
        task->view.attempt++;
    if (event == ACCEPT || event == EXHAUST || event == BURY)
        task->view.verify = false;
    if (event == ACCEPT || event == EXHAUST || event == BURY || event == REJECT)
        nm_queue_share_end(q, task, event != BURY);
    nm_queue_enter(q, task, state, worker);
}

/* ---- new, restore ------------------------------------------------------------------------------------------------
 */

struct nm_queue *nm_queue_new(const struct nm_queue_options *options)
{
    struct nm_queue *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->options = *options;
    nm_map_init(&q->open);
    nm_rng_init(&q->rng, options->seed);
    link_init(&q->ready);
    link_init(&q->again);
    link_init(&q->looks);
    link_init(&q->rides);
    link_init(&q->reads);
    link_init(&q->accepted);
    link_init(&q->dirty);
    link_init(&q->watch);
    for (int role = 0; role < NM_QUEUE_ROLES; role++)
        link_init(&q->hungry[role]);
    return q;
}

void nm_queue_destroy(struct nm_queue **queue)
{
    struct nm_queue *q = *queue;
    *queue = NULL;
    if (!q)
        return;
    for (size_t i = 0; i < q->open.cap; i++)
        free(q->open.slots[i].value);
    nm_map_clean_up(&q->open);
    for (uint32_t i = 0; i < q->n_workers; i++)
        free(q->workers[i]);
    free(q->workers);
    free(q->delayed);
    free(q);
}

enum nm_err nm_queue_task_add(struct nm_queue *q, uint64_t index, struct task **out)
{
    struct task *task = calloc(1, sizeof *task);
    if (!task || heap_reserve(q, q->open.n + 1) || nm_map_put(&q->open, index, task)) {
        free(task);
        return NM_ENOMEM;
    }
    task->view = (struct nm_queue_task){.task = index, .attempt = 1, .worker = NM_QUEUE_NOBODY};
    link_init(&task->link);
    link_init(&task->dirty);
    q->open_extra += nm_task_is_extra(index);
    *out = task;
    return NM_OK;
}

void nm_queue_restore_totals(struct nm_queue *queue, const struct nm_queue_totals *totals)
{
    queue->totals = *totals;
}

enum nm_err nm_queue_restore(struct nm_queue *queue, const struct nm_queue_task *from, int64_t now)
{
    struct task *task;
    struct worker *w;
    queue->now = now;
    if (from->state < NM_TASK_READY || is_ended(from->state) || from->attempt == 0)
        return NM_EFORMAT;
    if ((is_held(from->state) && from->worker == NM_QUEUE_NOBODY) || from->base >= from->attempt ||
        !nm_queue_is_share(from))
        return NM_EFORMAT;
    if (nm_map_get(&queue->open, from->task))
        return NM_EEXIST;
    if (is_held(from->state)) {
        enum nm_err err = nm_queue_worker_add(queue, from->worker, &w);
        if (err)
            return err;
        nm_queue_note_heard(queue, w, now);
    }
    enum nm_err err = nm_queue_task_add(queue, from->task, &task);
    if (err)
        return err;
    task->view = *from;
    nm_queue_enter(queue, task, from->state, is_held(from->state) ? from->worker : NM_QUEUE_NOBODY);
    link_remove(&task->dirty); /* the ledger has it already */
    return NM_OK;
}

/* ---- answers -----------------------------------------------------------------------------------------------------
 */

static enum nm_verdict duplicate(struct nm_queue *q)
{
    q->totals.duplicates++;
    return NM_VERDICT_DUPLICATE;
}

static enum nm_verdict applied(struct nm_queue *q, bool in_time)
{
    q->totals.late += !in_time;
    return in_time ? NM_VERDICT_APPLIED : NM_VERDICT_LATE;
}

enum nm_verdict nm_queue_response(struct nm_queue *queue, uint32_t worker, uint64_t index, uint64_t attempt,
                                  enum nm_answer answer)
{
    struct task *task = nm_map_get(&queue->open, index);
    if (!task || attempt == 0 || attempt > task->view.attempt)
        return NM_VERDICT_UNKNOWN;
    if (attempt < task->view.attempt || !nm_queue_transition(task->view.state, ACCEPT))
        return duplicate(queue);
    bool in_time = task->view.state == NM_TASK_LEASED && task->view.worker == worker;
    bool last = nm_queue_last_try(queue, &task->view) || answer == NM_ANSWER_HOPELESS;
    bool look = answer == NM_ANSWER_UNVERIFIED && !task->view.verify;
    if (look)
        task->view.base++;
    if (look || answer != NM_ANSWER_ACCEPTED)
        task->view.verify = look;
    enum event event = answer == NM_ANSWER_ACCEPTED ? ACCEPT : last && !look ? EXHAUST : REJECT;
    nm_queue_move(queue, task, event, NM_QUEUE_NOBODY);
    return applied(queue, in_time);
}

/* Exponential with full jitter (Brooker 2015), never less than what the server asked for. */
static int64_t delay_of(struct nm_queue *q, uint32_t failures, int64_t retry_after_ms)
{
    int64_t step = q->options.backoff_ms;
    for (uint32_t i = 1; i < failures && step < q->options.backoff_max; i++)
        step *= 2;
    if (step > q->options.backoff_max)
        step = q->options.backoff_max;
    int64_t delay = 1 + (int64_t)(nm_rng_unit(&q->rng) * (double)(step - 1));
    if (retry_after_ms > 0 && delay < retry_after_ms)
        delay = retry_after_ms + (int64_t)(nm_rng_unit(&q->rng) * (double)retry_after_ms / 10);
    return delay;
}

bool nm_queue_failure(struct nm_queue *queue, uint32_t worker, uint64_t index, uint64_t attempt,
                      int64_t retry_after_ms, int64_t now)
{
    struct task *task = nm_map_get(&queue->open, index);
    if (!task || task->view.state != NM_TASK_LEASED || task->view.worker != worker || task->view.attempt != attempt)
        return false;
    if (retry_after_ms < 0) {
        nm_queue_move(queue, task, RETURN, NM_QUEUE_NOBODY);
        return true;
    }
    task->view.failures++;
    task->view.due_ms = now + delay_of(queue, task->view.failures, retry_after_ms);
    nm_queue_move(queue, task, FAIL, NM_QUEUE_NOBODY);
    return true;
}

enum nm_verdict nm_queue_aligned(struct nm_queue *queue, uint32_t worker, uint64_t index, uint64_t attempt,
                                 bool useless, bool *keep)
{
    struct task *task = nm_map_get(&queue->open, index);
    if (!task || attempt != task->view.attempt)
        return NM_VERDICT_UNKNOWN;
    if (!nm_queue_transition(task->view.state, KEEP)) {
        if (!is_ended(task->view.state))
            return NM_VERDICT_UNKNOWN; /* that attempt has no accepted text */
        *keep = task->view.state == NM_TASK_DONE && task->view.worker == worker;
        return duplicate(queue);
    }
    bool in_time = task->view.state == NM_TASK_ALIGNING && task->view.worker == worker;
    *keep = !useless;
    nm_queue_move(queue, task, useless ? DROP : KEEP, useless ? NM_QUEUE_NOBODY : worker);
    return applied(queue, in_time);
}

/* ---- by hand -----------------------------------------------------------------------------------------------------
 */

bool nm_queue_last_try(const struct nm_queue *queue, const struct nm_queue_task *task)
{
    return task->attempt - task->base >= queue->options.attempts;
}

static void kick(struct nm_queue *q, struct task *task, bool answered)
{
    task->view.attempt += answered;
    task->view.base = task->view.attempt - 1;
    nm_queue_move(q, task, KICK, NM_QUEUE_NOBODY);
}

enum nm_err nm_queue_kick(struct nm_queue *queue, uint64_t index, const struct nm_queue_task *dead, bool answered)
{
    struct task *task = nm_map_get(&queue->open, index);
    if (!task && !dead)
        return NM_ENOENT;
    if (!task) {
        if (dead->state != NM_TASK_DEAD || dead->attempt == 0)
            return NM_ESTATE;
        enum nm_err err = nm_queue_task_add(queue, index, &task);
        if (err)
            return err;
        task->view.state = NM_TASK_DEAD; /* as it was before it was forgotten; counted in the totals still */
        task->view.attempt = dead->attempt;
        queue->counts[NM_TASK_DEAD]++;
    }
    if (!nm_queue_transition(task->view.state, KICK))
        return NM_ESTATE;
    kick(queue, task, task->view.state == NM_TASK_DEAD && answered);
    return NM_OK;
}

bool nm_queue_kick_delayed(struct nm_queue *queue)
{
    if (queue->n_delayed == 0)
        return false;
    kick(queue, queue->delayed[0], false);
    return true;
}

enum nm_err nm_queue_bury(struct nm_queue *queue, uint64_t index)
{
    struct task *task = nm_map_get(&queue->open, index);
    if (!task || !nm_queue_transition(task->view.state, BURY))
        return NM_ENOENT;
    nm_queue_move(queue, task, BURY, NM_QUEUE_NOBODY);
    return NM_OK;
}

/* ---- the rest ----------------------------------------------------------------------------------------------------
 */

enum nm_err nm_queue_flush(struct nm_queue *queue, nm_queue_flush_fn fn, void *ctx)
{
    while (!link_is_alone(&queue->dirty)) {
        struct task *task = OWNER_OF(queue->dirty.next, struct task, dirty);
        enum nm_err err = fn(ctx, &task->view);
        if (err)
            return err;
        link_remove(&task->dirty);
        if (is_ended(task->view.state)) {
            queue->counts[task->view.state]--;
            queue->open_extra -= nm_task_is_extra(task->view.task);
            nm_map_del(&queue->open, task->view.task);
            free(task);
        }
    }
    return NM_OK;
}

const struct nm_queue_totals *nm_queue_get_totals(const struct nm_queue *queue)
{
    return &queue->totals;
}

uint64_t nm_queue_count(const struct nm_queue *queue, enum nm_task_state state)
{
    return state > 0 && state < NM_TASK_STATES ? queue->counts[state] : 0;
}

bool nm_queue_get(const struct nm_queue *queue, uint64_t index, struct nm_queue_task *out)
{
    const struct task *task = nm_map_get(&queue->open, index);
    if (!task)
        return false;
    *out = task->view;
    return true;
}

int64_t nm_queue_oldest_ms(const struct nm_queue *queue, int64_t now)
{
    int64_t oldest = now;
    for (const struct link *at = queue->ready.next; at != &queue->ready; at = at->next) {
        const struct task *task = OWNER_OF(at, struct task, link);
        oldest = task->since < oldest ? task->since : oldest;
    }
    return now - oldest;
}
