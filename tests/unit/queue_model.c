#include "queue_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_case.h"

uint64_t model_held_by(const struct model *m, uint32_t worker)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < m->totals.opened; i++)
        n += model_held(&m->tasks[i]) && m->tasks[i].view.worker == worker;
    return n;
}

void model_set(struct model *m, struct model_task *t, enum nm_task_state state, uint32_t worker)
{
    t->view.state = state;
    t->view.worker = worker;
    t->order = ++m->clock;
    t->changed = true;
}

/* Those that ride with it go on their own way, or to its answer. */
void model_share_end(struct model *m, struct model_task *t, bool answered)
{
    for (uint32_t i = 1; t->view.share == NM_SHARE_LEADS && i < t->view.lines; i++) {
        struct model_task *other = t + i;
        if (other->view.share != NM_SHARE_RIDES)
            continue;
        other->view.share = answered ? NM_SHARE_READS : NM_SHARE_NONE;
        if (!answered)
            other->view.line = other->view.lines = 0;
        if (other->view.state == NM_TASK_READY)
            other->order = ++m->clock;
        other->changed = true;
    }
    t->view.share = NM_SHARE_NONE;
    t->view.line = t->view.lines = 0;
}

/* The next ones of the plan that one call asks for; the first of them. */
struct model_task *model_open(struct model *m)
{
    uint64_t lines = m->options.lines > 1 ? m->options.lines : 1, n = lines - m->totals.opened % lines;
    uint64_t needed = m->options.goal - (m->totals.opened - m->totals.dead - m->totals.dropped);
    uint64_t left = m->options.opened_max - m->totals.opened;
    n = n < needed ? n : needed;
    n = n < left ? n : left;
    struct model_task *first = &m->tasks[m->totals.opened];
    for (uint32_t i = 0; i < n; i++) {
        first[i].view = (struct nm_queue_task){.task = m->totals.opened++, .attempt = 1};
        model_set(m, &first[i], NM_TASK_READY, NOBODY);
        if (n == 1)
            continue;
        first[i].view.share = i == 0 ? NM_SHARE_LEADS : NM_SHARE_RIDES;
        first[i].view.line = i + 1;
        first[i].view.lines = (uint32_t)n;
    }
    return first;
}

void model_give_back(struct model *m, struct model_task *t)
{
    model_set(m, t, t->view.state == NM_TASK_LEASED ? NM_TASK_READY : NM_TASK_ACCEPTED, NOBODY);
}

void model_leave(struct model *m, uint32_t worker)
{
    m->workers[worker].joined = false;
    uint64_t order = ++m->clock; /* several at once, in an order of no matter */
    for (uint64_t i = 0; i < m->totals.opened; i++)
        if (model_held(&m->tasks[i]) && m->tasks[i].view.worker == worker) {
            model_give_back(m, &m->tasks[i]);
            m->tasks[i].order = order;
        }
}

void model_fall_due(struct model *m)
{
    for (;;) { /* the earliest first; those of the same time in any order */
        int64_t due = INT64_MAX;
        for (uint64_t i = 0; i < m->totals.opened; i++)
            if (m->tasks[i].view.state == NM_TASK_DELAYED && m->tasks[i].view.due_ms < due)
                due = m->tasks[i].view.due_ms;
        if (due > m->now)
            return;
        uint64_t order = ++m->clock;
        for (uint64_t i = 0; i < m->totals.opened; i++)
            if (m->tasks[i].view.state == NM_TASK_DELAYED && m->tasks[i].view.due_ms == due) {
                model_set(m, &m->tasks[i], NM_TASK_READY, NOBODY);
                m->tasks[i].order = order;
            }
    }
}

bool model_hungry(const struct model *m, bool aligner)
{
    for (uint32_t w = 0; w < WORKERS; w++)
        if (m->workers[w].joined && m->workers[w].aligner == aligner && model_held_by(m, w) < m->workers[w].credit)
            return true;
    return false;
}

uint64_t model_count(const struct model *m, enum nm_task_state state)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < m->totals.opened; i++)
        n += m->tasks[i].view.state == state;
    return n;
}

struct model_task *model_oldest(struct model *m, enum nm_task_state state)
{
    struct model_task *best = NULL;
    for (uint64_t i = 0; i < m->totals.opened; i++)
        if (m->tasks[i].view.state == state && (!best || m->tasks[i].order < best->order))
            best = &m->tasks[i];
    return best;
}

/* Of the READY ones, those of a kind. */
struct model_task *model_oldest_ready(struct model *m, enum nm_share share, bool verify)
{
    struct model_task *best = NULL;
    for (uint64_t i = 0; i < m->totals.opened; i++) {
        struct model_task *t = &m->tasks[i];
        bool leads = t->view.share == NM_SHARE_LEADS && share == NM_SHARE_NONE;
        if (t->view.state == NM_TASK_READY && t->view.verify == verify && (t->view.share == share || leads) &&
            (!best || t->order < best->order))
            best = t;
    }
    return best;
}

bool model_may_open(const struct model *m)
{
    uint64_t credit = 0;
    for (uint32_t w = 0; w < WORKERS; w++)
        credit += m->workers[w].joined && !m->workers[w].aligner ? m->workers[w].credit : 0;
    return m->totals.opened < m->options.opened_max && model_count(m, NM_TASK_DELAYED) < credit &&
           model_count(m, NM_TASK_ACCEPTED) < m->options.backlog_max && !m->draining &&
           m->totals.opened - m->totals.dead - m->totals.dropped < m->options.goal;
}

enum nm_verdict model_took(struct model *m, bool in_time)
{
    m->totals.late += !in_time;
    return in_time ? NM_VERDICT_APPLIED : NM_VERDICT_LATE;
}

void model_kick(struct model *m, struct model_task *t, bool answered)
{
    bool dead = t->view.state == NM_TASK_DEAD;
    t->view.attempt += dead && answered;
    t->view.base = t->view.attempt - 1;
    t->view.failures = 0;
    t->buried = false;
    m->totals.dead -= dead;
    model_set(m, t, NM_TASK_READY, NOBODY);
}

enum nm_err model_save(void *ctx, const struct nm_queue_task *view)
{
    struct model *m = ctx;
    assert_true(view->task < m->totals.opened);
    struct model_task *t = &m->tasks[view->task];
    assert_true(t->changed); /* nothing is written in vain */
    assert_int_equal(t->view.state, view->state);
    assert_int_equal(t->view.attempt, view->attempt);
    assert_int_equal(t->view.worker, view->worker);
    assert_int_equal(t->view.failures, view->failures);
    assert_int_equal(t->view.base, view->base);
    assert_int_equal(t->view.verify, view->verify);
    assert_int_equal(t->view.share, view->share);
    assert_int_equal(t->view.line, view->line);
    assert_int_equal(t->view.lines, view->lines);
    if (view->state == NM_TASK_DELAYED)
        assert_int_equal(t->view.due_ms, view->due_ms);
    /* What has a text or has ended has an answer in the log, to its very attempt; what is asked for has none yet. */
    assert_true(t->buried || model_has_answer(t) == (view->state > NM_TASK_LEASED));
    t->changed = false;
    m->saved[view->task] = *t;
    return NM_OK;
}

void model_compare(struct model *m)
{
    assert_whole(m->queue);
    const struct nm_queue_totals *t = nm_queue_get_totals(m->queue);
    assert_memory_equal(t, &m->totals, sizeof *t);
    for (uint64_t i = 0; i < TASKS; i++) {
        struct nm_queue_task view;
        bool open = i < m->totals.opened && (!model_ended(&m->tasks[i]) || m->tasks[i].changed);
        assert_int_equal(nm_queue_get(m->queue, i, &view), open);
        if (open) {
            assert_int_equal(view.state, m->tasks[i].view.state);
            assert_int_equal(view.attempt, m->tasks[i].view.attempt);
            assert_int_equal(view.worker, m->tasks[i].view.worker);
            assert_int_equal(view.failures, m->tasks[i].view.failures);
            assert_int_equal(view.base, m->tasks[i].view.base);
            assert_int_equal(view.verify, m->tasks[i].view.verify);
            assert_int_equal(view.share, m->tasks[i].view.share);
            assert_int_equal(view.line, m->tasks[i].view.line);
        }
    }
    bool all_ended = m->totals.opened == m->totals.done + m->totals.dead + m->totals.dropped;
    enum nm_phase phase = m->totals.done >= m->options.goal                        ? NM_PHASE_COMPLETE
                          : all_ended && m->draining                               ? NM_PHASE_DRAINED
                          : all_ended && m->totals.opened >= m->options.opened_max ? NM_PHASE_STUCK
                                                                                   : NM_PHASE_RUNNING;
    assert_int_equal(nm_queue_phase(m->queue), phase);
}
