/* The queue under random events, held against a plain model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue_case.h"
#include "queue_model.h"

enum { EVENTS = 3000000 };

static void event_join(struct model *m)
{
    uint32_t worker = (uint32_t)model_below(m, WORKERS);
    bool aligner = worker % 2;
    struct nm_queue_hold holds[8];
    size_t n = model_below(m, 8);
    for (size_t i = 0; i < n; i++)
        holds[i] = (struct nm_queue_hold){model_below(m, TASKS), (uint32_t)model_below(m, 4)};
    uint64_t credit = model_below(m, 6);
    assert_int_equal(
        nm_queue_join(m->queue, worker, aligner ? NM_QUEUE_ALIGNER : NM_QUEUE_GENERATOR, credit, holds, n, m->now),
        NM_OK);
    model_leave(m, worker);
    for (size_t i = 0; i < n; i++) {
        if (holds[i].task >= m->totals.opened)
            continue;
        struct model_task *t = &m->tasks[holds[i].task];
        bool is_free = aligner ? t->view.state == NM_TASK_ACCEPTED
                               : t->view.state == NM_TASK_READY || t->view.state == NM_TASK_DELAYED;
        if (is_free && t->view.attempt == holds[i].attempt)
            model_set(m, t, aligner ? NM_TASK_ALIGNING : NM_TASK_LEASED, worker);
    }
    m->workers[worker].joined = true;
    m->workers[worker].aligner = aligner;
    m->workers[worker].credit = credit;
    m->workers[worker].seen = m->now;
}

static void event_expire(struct model *m)
{
    uint32_t worker;
    while (nm_queue_expire(m->queue, m->now, &worker)) {
        assert_true(worker < WORKERS);
        assert_true(m->now - m->workers[worker].seen >= m->options.lease_ms);
        m->totals.expired += model_held_by(m, worker);
        model_leave(m, worker);
    }
    for (uint32_t w = 0; w < WORKERS; w++)
        assert_false((m->workers[w].joined || model_held_by(m, w)) &&
                     m->now - m->workers[w].seen >= m->options.lease_ms);
}

static void event_assign(struct model *m)
{
    struct nm_queue_lease lease;
    enum nm_err err = nm_queue_assign(m->queue, m->now, &lease);
    struct model_task *expected = model_hungry(m, true) ? model_oldest(m, NM_TASK_ACCEPTED) : NULL;
    bool aligner = expected != NULL;
    if (!aligner) {
        model_fall_due(m);
        uint64_t secured = m->totals.done + model_count(m, NM_TASK_ACCEPTED) + model_count(m, NM_TASK_ALIGNING) +
                           model_count(m, NM_TASK_LEASED);
        bool wanted = model_hungry(m, false) && secured < m->options.goal;
        if (wanted && !m->paused[1]) /* what was answered comes first, and needs no endpoint */
            expected = model_oldest_ready(m, NM_SHARE_READS, false);
        if (wanted && !expected && !m->paused[0] && !m->paused[1]) {
            expected = model_oldest_ready(m, NM_SHARE_NONE, true); /* then texts to be verified */
            if (!expected)
                expected = model_oldest_ready(m, NM_SHARE_NONE, false);
            if (!expected && model_may_open(m))
                expected = model_open(m);
        }
    }
    assert_int_equal(err, expected ? NM_OK : NM_ENOENT);
    if (!expected)
        return;
    struct model_task *t = &m->tasks[lease.task.task];
    assert_int_equal(lease.role == NM_QUEUE_ALIGNER, aligner);
    assert_true(lease.task.task < m->totals.opened && t->view.state == expected->view.state);
    assert_int_equal(t->order, expected->order); /* the same one, or of the same moment */
    assert_true(lease.worker < WORKERS && m->workers[lease.worker].joined);
    assert_int_equal(m->workers[lease.worker].aligner, aligner);
    assert_true(model_held_by(m, lease.worker) < m->workers[lease.worker].credit);
    model_set(m, t, aligner ? NM_TASK_ALIGNING : NM_TASK_LEASED, lease.worker);
}

/* Mostly the right worker and attempt of an open task, sometimes any. */
static struct model_task *pick(struct model *m, bool aligner, uint32_t *worker, uint64_t *task, uint64_t *attempt)
{
    *task = model_below(m, TASKS);
    for (int tries = 0; tries < 20 && model_below(m, 10); tries++) {
        *task = model_below(m, TASKS);
        enum nm_task_state wanted = aligner ? NM_TASK_ALIGNING : NM_TASK_LEASED;
        if (*task < m->totals.opened && m->tasks[*task].view.state == wanted)
            break;
    }
    struct model_task *t = *task < m->totals.opened ? &m->tasks[*task] : NULL;
    bool right = t && model_below(m, 8);
    *worker = right && model_held(t) ? t->view.worker : (uint32_t)model_below(m, WORKERS);
    *attempt = right ? t->view.attempt : model_below(m, m->options.attempts + 2 + (t ? t->view.base : 0));
    return t;
}

static void event_response(struct model *m)
{
    uint32_t worker;
    uint64_t task, attempt;
    struct model_task *t = pick(m, false, &worker, &task, &attempt);
    static const enum nm_answer answers[] = {NM_ANSWER_ACCEPTED, NM_ANSWER_REJECTED, NM_ANSWER_REJECTED,
                                             NM_ANSWER_UNVERIFIED};
    enum nm_answer answer = answers[model_below(m, 4)];
    enum nm_verdict got = nm_queue_response(m->queue, worker, task, attempt, answer), expected;
    bool gone = !t || (model_ended(t) && !t->changed);
    if (gone || attempt == 0 || attempt > t->view.attempt) {
        expected = NM_VERDICT_UNKNOWN;
    } else if (attempt < t->view.attempt || t->view.state > NM_TASK_LEASED) {
        expected = NM_VERDICT_DUPLICATE;
        m->totals.duplicates++;
    } else {
        expected = model_took(m, t->view.state == NM_TASK_LEASED && t->view.worker == worker);
        model_share_end(m, t, true);
        assert_true(t->answered < attempt); /* none is logged twice */
        t->answered = (uint32_t)attempt;
        t->view.failures = 0;
        bool look = answer == NM_ANSWER_UNVERIFIED && !t->view.verify;
        t->view.verify = look;
        t->view.base += look;
        if (answer == NM_ANSWER_ACCEPTED) {
            model_set(m, t, NM_TASK_ACCEPTED, NOBODY);
        } else if (look || t->view.attempt - t->view.base < m->options.attempts) {
            t->view.attempt++;
            model_set(m, t, NM_TASK_READY, NOBODY);
        } else {
            model_set(m, t, NM_TASK_DEAD, NOBODY);
            m->totals.dead++;
        }
    }
    assert_int_equal(got, expected);
}

static void event_failure(struct model *m)
{
    uint32_t worker;
    uint64_t task, attempt;
    struct model_task *t = pick(m, false, &worker, &task, &attempt);
    int64_t retry = (int64_t)model_below(m, 3) * 200 - 200;
    bool got = nm_queue_failure(m->queue, worker, task, attempt, retry, m->now);
    bool expected = t && t->view.state == NM_TASK_LEASED && t->view.worker == worker && t->view.attempt == attempt;
    assert_int_equal(got, expected);
    if (!expected)
        return;
    if (retry < 0) {
        model_set(m, t, NM_TASK_READY, NOBODY);
        return;
    }
    struct nm_queue_task view;
    assert_true(nm_queue_get(m->queue, task, &view));
    assert_true(view.due_ms >= m->now + retry && view.due_ms > m->now);
    assert_true(view.due_ms <= m->now + m->options.backoff_max + retry);
    t->view.failures++;
    t->view.due_ms = view.due_ms;
    model_set(m, t, NM_TASK_DELAYED, NOBODY);
}

static void event_aligned(struct model *m)
{
    uint32_t worker;
    uint64_t task, attempt;
    struct model_task *t = pick(m, true, &worker, &task, &attempt);
    bool useless = model_below(m, 6) == 0, keep = false, expect_keep = false;
    enum nm_verdict got = nm_queue_aligned(m->queue, worker, task, attempt, useless, &keep), expected;
    bool gone = !t || (model_ended(t) && !t->changed);
    if (gone || attempt != t->view.attempt || t->view.state <= NM_TASK_LEASED) {
        expected = NM_VERDICT_UNKNOWN;
    } else if (model_ended(t)) {
        expected = NM_VERDICT_DUPLICATE;
        m->totals.duplicates++;
        expect_keep = t->view.state == NM_TASK_DONE && t->view.worker == worker;
    } else {
        expected = model_took(m, t->view.state == NM_TASK_ALIGNING && t->view.worker == worker);
        model_set(m, t, useless ? NM_TASK_DROPPED : NM_TASK_DONE, useless ? NM_QUEUE_NOBODY : worker);
        m->totals.dropped += useless;
        m->totals.done += !useless;
        expect_keep = !useless;
    }
    assert_int_equal(got, expected);
    assert_int_equal(keep, expect_keep);
}

static void event_flush(struct model *m)
{
    assert_int_equal(nm_queue_flush(m->queue, model_save, m), NM_OK);
    for (uint64_t i = 0; i < m->totals.opened; i++)
        assert_false(m->tasks[i].changed);
    m->saved_totals = m->totals;
}

/* Killed: what was flushed is there again, and nothing else. */
static void event_restart(struct model *m)
{
    nm_queue_destroy(&m->queue);
    m->queue = make(m->options);
    m->paused[0] = m->paused[1] = m->draining = false; /* the broker keeps them, not the queue */
    m->totals = m->saved_totals;
    m->totals.late = m->totals.duplicates = m->totals.expired = 0;
    memcpy(m->tasks, m->saved, sizeof m->tasks);
    nm_queue_restore_totals(m->queue, &m->totals);
    m->clock++;
    for (uint32_t w = 0; w < WORKERS; w++) {
        m->workers[w].joined = false;
        m->workers[w].seen = m->now;
    }
    for (uint64_t i = 0; i < m->totals.opened; i++) {
        m->tasks[i].order = 0;
        if (!model_ended(&m->tasks[i]))
            assert_int_equal(nm_queue_restore(m->queue, &m->tasks[i].view, m->now), NM_OK);
    }
}

/* As the broker does it: a task that was forgotten is known from the ledger. */
static void event_kick(struct model *m)
{
    uint64_t task = model_below(m, TASKS);
    struct model_task *t = task < m->totals.opened ? &m->tasks[task] : NULL;
    bool answered = t && model_has_answer(t);
    bool forgotten = t && model_ended(t) && !t->changed;
    struct nm_queue_task view = t ? t->view : (struct nm_queue_task){.task = task};
    enum nm_err got = nm_queue_kick(m->queue, task, forgotten ? &view : NULL, answered);
    bool can = t && (t->view.state == NM_TASK_DEAD || t->view.state == NM_TASK_DELAYED);
    assert_int_equal(got, !t ? NM_ENOENT : can ? NM_OK : NM_ESTATE);
    if (can)
        model_kick(m, t, answered);
}

static void event_kick_delayed(struct model *m)
{
    struct model_task *first = NULL;
    struct nm_queue_task view;
    for (uint64_t i = 0; i < m->totals.opened; i++)
        if (m->tasks[i].view.state == NM_TASK_DELAYED && (!first || m->tasks[i].view.due_ms < first->view.due_ms))
            first = &m->tasks[i];
    int64_t due = first ? first->view.due_ms : 0;
    assert_int_equal(nm_queue_kick_delayed(m->queue), first != NULL);
    for (uint64_t i = 0; first && i < m->totals.opened; i++) /* of the same time, any */
        if (m->tasks[i].view.state == NM_TASK_DELAYED && m->tasks[i].view.due_ms == due &&
            nm_queue_get(m->queue, i, &view) && view.state == NM_TASK_READY) {
            model_kick(m, &m->tasks[i], false);
            return;
        }
    assert_null(first);
}

static void event_bury(struct model *m)
{
    uint64_t task = model_below(m, TASKS);
    struct model_task *t = task < m->totals.opened ? &m->tasks[task] : NULL;
    bool can = t && !model_ended(t);
    assert_int_equal(nm_queue_bury(m->queue, task), can ? NM_OK : NM_ENOENT);
    if (!can)
        return;
    model_share_end(m, t, false);
    t->view.verify = false;
    t->buried = true;
    model_set(m, t, NM_TASK_DEAD, NOBODY);
    m->totals.dead++;
}

/* Its answer is to hold no sentences. */
static void event_part(struct model *m)
{
    uint64_t task = model_below(m, TASKS);
    nm_queue_part(m->queue, task);
    if (task < m->totals.opened && m->tasks[task].view.share == NM_SHARE_LEADS) {
        model_share_end(m, &m->tasks[task], false);
        m->tasks[task].changed = true;
    }
}

/* Mostly off, or nothing would happen. */
static void event_switch(struct model *m)
{
    bool on = model_below(m, 4) == 0;
    uint64_t which = model_below(m, 3);
    if (which == 2) {
        m->draining = on;
        nm_queue_drain(m->queue, on);
        return;
    }
    m->paused[which] = on;
    nm_queue_pause(m->queue, which ? NM_PAUSE_OPERATOR : NM_PAUSE_ENDPOINTS, on);
}

static void event_goal(struct model *m)
{
    m->options.goal = 1 + model_below(m, 30);
    m->options.opened_max = m->options.goal + model_below(m, TASKS - m->options.goal);
    nm_queue_set_goal(m->queue, m->options.goal, m->options.opened_max);
}

static void event_leave(struct model *m)
{
    uint32_t worker = (uint32_t)model_below(m, WORKERS);
    nm_queue_leave(m->queue, worker);
    model_leave(m, worker);
}

static void event_mute(struct model *m)
{
    uint32_t worker = (uint32_t)model_below(m, WORKERS);
    nm_queue_mute(m->queue, worker);
    m->workers[worker].joined = false;
}

static void event_heard(struct model *m)
{
    uint32_t worker = (uint32_t)model_below(m, WORKERS);
    nm_queue_heard(m->queue, worker, m->now);
    if (m->workers[worker].joined)
        m->workers[worker].seen = m->now;
}

static void event_return(struct model *m)
{
    uint32_t worker;
    uint64_t task, attempt;
    struct model_task *t = pick(m, model_below(m, 2), &worker, &task, &attempt);
    nm_queue_return(m->queue, worker, task);
    if (t && model_held(t) && t->view.worker == worker)
        model_give_back(m, t);
}

static void one_event(struct model *m)
{
    uint64_t dice = model_below(m, 1000);
    if (dice < 400)
        event_assign(m);
    else if (dice < 600)
        event_response(m);
    else if (dice < 720)
        event_aligned(m);
    else if (dice < 770)
        event_failure(m);
    else if (dice < 800)
        event_join(m);
    else if (dice < 870)
        event_heard(m);
    else if (dice < 890)
        event_return(m);
    else if (dice < 900)
        event_leave(m);
    else if (dice < 905)
        event_mute(m);
    else if (dice < 930)
        event_flush(m);
    else if (dice < 933)
        event_restart(m);
    else if (dice < 937)
        event_kick(m);
    else if (dice < 939)
        event_kick_delayed(m);
    else if (dice < 941)
        event_bury(m);
    else if (dice < 942)
        event_part(m);
    else if (dice < 945)
        event_switch(m);
    else if (dice < 946 && model_below(m, 4) == 0)
        event_goal(m);
    else
        m->now += (int64_t)model_below(m, 60);
    if (dice >= 933)
        event_expire(m);
}

static void test_random_events(void **state)
{
    (void)state;
    uint64_t complete = 0, stuck = 0, drained = 0;
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    nm_rng_init(&m->rng, 20);
    for (uint64_t events = 0; events < EVENTS;) {
        struct nm_rng rng = m->rng;
        *m = (struct model){.options = usual, .rng = rng};
        m->options.goal = 1 + model_below(m, 30);
        m->options.opened_max = m->options.goal + model_below(m, TASKS - m->options.goal);
        m->options.attempts = 1 + (uint32_t)model_below(m, 4);
        m->options.backlog_max = 1 + model_below(m, 8);
        m->options.lines = (uint32_t)model_below(m, 6);
        m->queue = make(m->options);
        for (int i = 0; i < 1000; i++, events++) {
            one_event(m);
            if (i % 16 == 0)
                model_compare(m);
        }
        model_compare(m);
        complete += nm_queue_phase(m->queue) == NM_PHASE_COMPLETE;
        stuck += nm_queue_phase(m->queue) == NM_PHASE_STUCK;
        drained += nm_queue_phase(m->queue) == NM_PHASE_DRAINED;
        nm_queue_destroy(&m->queue);
    }
    free(m);
    assert_true(complete > 50 && stuck > 50 && drained > 5); /* the events reach every end */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_events),
    };
    return cmocka_run_group_tests_name("queue, random events", tests, NULL, NULL);
}
