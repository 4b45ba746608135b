#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/queue.h"
#include "common/hash.h"

#define NOBODY ((uint32_t)NM_QUEUE_NOBODY)

static const struct nm_queue_options usual = {.goal = 3,
                                              .opened_max = 20,
                                              .attempts = 3,
                                              .lease_ms = 1000,
                                              .backoff_ms = 100,
                                              .backoff_max = 1600,
                                              .backlog_max = 100,
                                              .seed = 1};

static struct nm_queue *make(struct nm_queue_options options)
{
    struct nm_queue *q = nm_queue_new(&options);
    assert_non_null(q);
    return q;
}

static void join(struct nm_queue *q, uint32_t worker, enum nm_queue_role role, uint64_t credit)
{
    assert_int_equal(nm_queue_join(q, worker, role, credit, NULL, 0, 0), NM_OK);
}

static struct nm_queue_lease must_assign(struct nm_queue *q, int64_t now)
{
    struct nm_queue_lease lease;
    assert_int_equal(nm_queue_assign(q, now, &lease), NM_OK);
    return lease;
}

static void assert_idle(struct nm_queue *q, int64_t now)
{
    struct nm_queue_lease lease;
    assert_int_equal(nm_queue_assign(q, now, &lease), NM_ENOENT);
}

static enum nm_task_state state_of(struct nm_queue *q, uint64_t task)
{
    struct nm_queue_task view = {0};
    nm_queue_get(q, task, &view);
    return view.state;
}

static void assert_whole(struct nm_queue *q)
{
    struct nm_diag diag = {""};
    if (nm_queue_check(q, &diag) != NM_OK)
        fail_msg("%s", diag.text);
}

static enum nm_err ignore(void *ctx, const struct nm_queue_task *task)
{
    (void)ctx;
    (void)task;
    return NM_OK;
}

/* ---- one path after the other ---------------------------------------------------------------- */

static void test_a_task_from_ready_to_done(void **state)
{
    (void)state;
    struct nm_queue *q = make(usual);
    bool keep = false;
    join(q, 0, NM_QUEUE_GENERATOR, 1);
    struct nm_queue_lease lease = must_assign(q, 0);
    assert_int_equal(lease.task.task, 0);
    assert_int_equal(lease.task.attempt, 1);
    assert_idle(q, 0); /* no credit left */
    assert_int_equal(nm_queue_response(q, 0, 0, 1, false), NM_VERDICT_APPLIED);
    lease = must_assign(q, 0);
    assert_int_equal(lease.task.task, 0);
    assert_int_equal(lease.task.attempt, 2);
    assert_int_equal(nm_queue_response(q, 0, 0, 2, true), NM_VERDICT_APPLIED);
    assert_int_equal(nm_queue_response(q, 0, 0, 2, true), NM_VERDICT_DUPLICATE);
    assert_int_equal(nm_queue_response(q, 0, 0, 1, false), NM_VERDICT_DUPLICATE);
    assert_int_equal(state_of(q, 0), NM_TASK_ACCEPTED);
    join(q, 1, NM_QUEUE_ALIGNER, 5);
    lease = must_assign(q, 0);
    assert_int_equal(lease.role, NM_QUEUE_ALIGNER);
    assert_int_equal(lease.worker, 1);
    assert_int_equal(nm_queue_aligned(q, 1, 0, 2, false, &keep), NM_VERDICT_APPLIED);
    assert_true(keep);
    assert_int_equal(nm_queue_aligned(q, 1, 0, 2, false, &keep), NM_VERDICT_DUPLICATE);
    assert_true(keep); /* the same owner again */
    assert_int_equal(nm_queue_aligned(q, 2, 0, 2, false, &keep), NM_VERDICT_DUPLICATE);
    assert_false(keep); /* another one */
    assert_whole(q);
    assert_int_equal(nm_queue_flush(q, ignore, NULL), NM_OK);
    assert_int_equal(nm_queue_aligned(q, 1, 0, 2, false, &keep), NM_VERDICT_UNKNOWN);
    assert_int_equal(nm_queue_get_totals(q)->done, 1);
    assert_whole(q);
    nm_queue_destroy(&q);
}

static void test_attempts_end(void **state)
{
    (void)state;
    struct nm_queue *q = make(usual);
    join(q, 0, NM_QUEUE_GENERATOR, 1);
    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        assert_int_equal(must_assign(q, 0).task.attempt, attempt);
        assert_int_equal(nm_queue_response(q, 0, 0, attempt, false), NM_VERDICT_APPLIED);
    }
    assert_int_equal(nm_queue_get_totals(q)->dead, 1);
    assert_int_equal(must_assign(q, 0).task.task, 1); /* the next one takes its place */
    assert_int_equal(nm_queue_response(q, 0, 0, 4, true), NM_VERDICT_UNKNOWN);
    nm_queue_destroy(&q);
}

/* Text and look count as one attempt; a look that is refused leads to a new text, the last one to death. */
static void test_looks(void **state)
{
    (void)state;
    struct nm_queue_options options = usual;
    options.goal = 10;
    struct nm_queue *q = make(options);
    join(q, 0, NM_QUEUE_GENERATOR, 2);
    for (uint32_t text = 1; text <= 3; text++) {
        struct nm_queue_lease lease = must_assign(q, 0);
        assert_int_equal(lease.task.task, 0);
        assert_int_equal(lease.task.attempt, 2 * text - 1);
        assert_false(lease.task.verify);
        assert_int_equal(nm_queue_last_try(q, &lease.task), text == 3);
        assert_int_equal(nm_queue_response(q, 0, 0, 2 * text - 1, NM_ANSWER_UNVERIFIED), NM_VERDICT_APPLIED);
        assert_int_equal(nm_queue_response(q, 0, 0, 2 * text - 1, NM_ANSWER_UNVERIFIED), NM_VERDICT_DUPLICATE);
        nm_queue_pause(q, NM_PAUSE_VERIFIER, true);
        lease = must_assign(q, 0); /* no look now: something else */
        assert_int_equal(lease.task.task, text);
        assert_int_equal(nm_queue_response(q, 0, text, 1, NM_ANSWER_ACCEPTED), NM_VERDICT_APPLIED);
        nm_queue_pause(q, NM_PAUSE_VERIFIER, false);
        nm_queue_pause(q, NM_PAUSE_GOVERNOR, true); /* nothing can be made, but a look can be taken */
        lease = must_assign(q, 0);
        assert_int_equal(lease.task.task, 0);
        assert_int_equal(lease.task.attempt, 2 * text);
        assert_true(lease.task.verify);
        assert_idle(q, 0);
        nm_queue_pause(q, NM_PAUSE_GOVERNOR, false);
        assert_whole(q);
        assert_int_equal(nm_queue_response(q, 0, 0, 2 * text, NM_ANSWER_REJECTED), NM_VERDICT_APPLIED);
    }
    assert_int_equal(nm_queue_get_totals(q)->dead, 1);
    assert_whole(q);
    nm_queue_destroy(&q);
}

static void test_no_more_than_the_goal_needs(void **state)
{
    (void)state;
    struct nm_queue *q = make(usual);
    bool keep;
    join(q, 0, NM_QUEUE_GENERATOR, 10);
    join(q, 1, NM_QUEUE_ALIGNER, 10);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(must_assign(q, 0).task.task, i);
    assert_idle(q, 0);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(nm_queue_response(q, 0, i, 1, true), NM_VERDICT_APPLIED);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(must_assign(q, 0).role, NM_QUEUE_ALIGNER);
        assert_int_equal(nm_queue_aligned(q, 1, i, 1, i == 1, &keep), NM_VERDICT_APPLIED);
        assert_true(keep == (i != 1));
    }
    assert_int_equal(nm_queue_phase(q), NM_PHASE_RUNNING);
    assert_int_equal(must_assign(q, 0).task.task, 3); /* for the one of no use */
    assert_idle(q, 0);
    assert_int_equal(nm_queue_response(q, 0, 3, 1, true), NM_VERDICT_APPLIED);
    must_assign(q, 0);
    assert_int_equal(nm_queue_aligned(q, 1, 3, 1, false, &keep), NM_VERDICT_APPLIED);
    assert_int_equal(nm_queue_phase(q), NM_PHASE_COMPLETE);
    assert_idle(q, 0);
    nm_queue_destroy(&q);
}

static void test_stuck(void **state)
{
    (void)state;
    struct nm_queue_options o = usual;
    o.attempts = 1;
    struct nm_queue *q = make(o);
    join(q, 0, NM_QUEUE_GENERATOR, 1);
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(nm_queue_phase(q), NM_PHASE_RUNNING);
        must_assign(q, 0);
        nm_queue_response(q, 0, i, 1, false);
    }
    assert_int_equal(nm_queue_phase(q), NM_PHASE_STUCK);
    assert_idle(q, 0);
    nm_queue_destroy(&q);
}

static void test_leases_run_out(void **state)
{
    (void)state;
    struct nm_queue *q = make(usual);
    uint32_t worker;
    join(q, 0, NM_QUEUE_GENERATOR, 2);
    join(q, 1, NM_QUEUE_GENERATOR, 1);
    assert_int_equal(must_assign(q, 0).worker, 0);
    assert_int_equal(must_assign(q, 0).worker, 1); /* in turn */
    assert_int_equal(must_assign(q, 0).worker, 0);
    nm_queue_heard(q, 1, 600);
    assert_int_equal(nm_queue_wait_ms(q, 700), 300);
    assert_false(nm_queue_expire(q, 999, &worker));
    assert_true(nm_queue_expire(q, 1000, &worker));
    assert_int_equal(worker, 0);
    assert_false(nm_queue_expire(q, 1000, &worker));
    assert_int_equal(nm_queue_get_totals(q)->expired, 2);
    assert_int_equal(state_of(q, 0), NM_TASK_READY);
    assert_idle(q, 1000); /* worker 1 is full, worker 0 gone */
    assert_int_equal(nm_queue_response(q, 0, 0, 1, true), NM_VERDICT_LATE);
    assert_int_equal(nm_queue_response(q, 0, 0, 1, true), NM_VERDICT_DUPLICATE);
    assert_int_equal(nm_queue_get_totals(q)->late, 1);
    nm_queue_leave(q, 1);
    assert_int_equal(state_of(q, 1), NM_TASK_READY);
    assert_whole(q);
    nm_queue_destroy(&q);
}

/* A batch has its tasks out for days, over restarts and without a word; only the operator's pause stops it. */
static void test_batches_keep_their_leases(void **state)
{
    (void)state;
    struct nm_queue *q = make(usual);
    struct nm_queue_lease lease;
    uint32_t worker;
    join(q, 1, NM_QUEUE_GENERATOR, 1);
    join(q, 2, NM_QUEUE_BATCH, 2);
    nm_queue_pause(q, NM_PAUSE_GOVERNOR, true);
    nm_queue_pause(q, NM_PAUSE_ENDPOINTS, true);
    assert_idle(q, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(nm_queue_assign_batch(q, 0, &lease), NM_OK);
        assert_int_equal(lease.worker, 2);
        assert_int_equal(lease.role, NM_QUEUE_BATCH);
    }
    assert_int_equal(nm_queue_assign_batch(q, 0, &lease), NM_ENOENT); /* no credit left */
    nm_queue_pause(q, NM_PAUSE_GOVERNOR, false);
    nm_queue_pause(q, NM_PAUSE_ENDPOINTS, false);
    assert_int_equal(must_assign(q, 0).task.task, 2);
    assert_idle(q, 0); /* the goal's third: two are out */
    nm_queue_mute(q, 2);
    assert_true(nm_queue_expire(q, 1000000, &worker));
    assert_int_equal(worker, 1);
    assert_false(nm_queue_expire(q, 1000000, &worker));
    assert_int_equal(state_of(q, 0), NM_TASK_LEASED);
    assert_int_equal(state_of(q, 1), NM_TASK_LEASED);
    assert_whole(q);
    /* the same after a restart */
    struct nm_queue_task view;
    assert_true(nm_queue_get(q, 0, &view));
    struct nm_queue *after = make(usual);
    nm_queue_restore_totals(after, nm_queue_get_totals(q));
    assert_int_equal(nm_queue_set_role(after, 2, NM_QUEUE_BATCH), NM_OK);
    assert_int_equal(nm_queue_restore(after, &view, 0), NM_OK);
    assert_false(nm_queue_expire(after, 1000000, &worker));
    assert_int_equal(state_of(after, 0), NM_TASK_LEASED);
    /* back with what it holds, for no more: its answer is taken, and what it gives back is another's */
    const struct nm_queue_hold hold = {0, 1};
    assert_int_equal(nm_queue_join(q, 2, NM_QUEUE_BATCH, 0, &hold, 1, 2000000), NM_OK);
    assert_int_equal(state_of(q, 1), NM_TASK_READY);
    assert_int_equal(nm_queue_response(q, 2, 0, 1, false), NM_VERDICT_APPLIED);
    assert_int_equal(nm_queue_assign_batch(q, 2000000, &lease), NM_ENOENT);
    nm_queue_pause(q, NM_PAUSE_OPERATOR, true);
    join(q, 3, NM_QUEUE_BATCH, 5);
    assert_int_equal(nm_queue_assign_batch(q, 2000000, &lease), NM_ENOENT);
    nm_queue_pause(q, NM_PAUSE_OPERATOR, false);
    assert_int_equal(nm_queue_assign_batch(q, 2000000, &lease), NM_OK);
    assert_whole(q);
    nm_queue_destroy(&q);
    nm_queue_destroy(&after);
}

static void test_a_late_answer_beats_the_new_lease(void **state)
{
    (void)state;
    struct nm_queue *q = make(usual);
    join(q, 0, NM_QUEUE_GENERATOR, 1);
    must_assign(q, 0);
    nm_queue_leave(q, 0);
    join(q, 1, NM_QUEUE_GENERATOR, 1);
    assert_int_equal(must_assign(q, 0).worker, 1);
    assert_int_equal(nm_queue_response(q, 0, 0, 1, true), NM_VERDICT_LATE);
    assert_int_equal(nm_queue_in_flight(q, 1), 0);
    assert_int_equal(nm_queue_response(q, 1, 0, 1, true), NM_VERDICT_DUPLICATE);
    assert_whole(q);
    nm_queue_destroy(&q);
}

static void test_hello_keeps_what_is_held(void **state)
{
    (void)state;
    struct nm_queue *q = make(usual);
    join(q, 0, NM_QUEUE_GENERATOR, 3);
    for (int i = 0; i < 3; i++)
        must_assign(q, 0);
    const struct nm_queue_hold holds[] = {{1, 1}, {2, 2}, {77, 1}};
    assert_int_equal(nm_queue_join(q, 0, NM_QUEUE_GENERATOR, 1, holds, 3, 0), NM_OK);
    assert_int_equal(state_of(q, 0), NM_TASK_READY);
    assert_int_equal(state_of(q, 1), NM_TASK_LEASED);
    assert_int_equal(state_of(q, 2), NM_TASK_READY); /* another attempt than the one it holds */
    assert_idle(q, 0);
    nm_queue_leave(q, 0);
    assert_int_equal(nm_queue_join(q, 5, NM_QUEUE_GENERATOR, 1, holds, 1, 0), NM_OK);
    assert_int_equal(nm_queue_in_flight(q, 5), 1); /* free, and in its hands: no call is made twice */
    assert_whole(q);
    nm_queue_destroy(&q);
}

static void test_failures_wait_longer_and_longer(void **state)
{
    (void)state;
    struct nm_queue_options o = usual;
    o.goal = 1;
    struct nm_queue *q = make(o);
    join(q, 0, NM_QUEUE_GENERATOR, 1);
    int64_t now = 0, step = 100;
    for (int i = 0; i < 8; i++) {
        nm_queue_heard(q, 0, now);
        assert_int_equal(must_assign(q, now).task.attempt, 1);
        assert_true(nm_queue_failure(q, 0, 0, 1, 0, now));
        assert_false(nm_queue_failure(q, 0, 0, 1, 0, now)); /* it holds it no more */
        struct nm_queue_task view;
        assert_true(nm_queue_get(q, 0, &view));
        assert_in_range(view.due_ms - now, 1, step); /* full jitter */
        assert_idle(q, view.due_ms - 1);
        now = view.due_ms;
        step = step < 1600 ? step * 2 : 1600;
    }
    must_assign(q, now);
    assert_true(nm_queue_failure(q, 0, 0, 1, 30000, now)); /* as the server asked */
    struct nm_queue_task view;
    assert_true(nm_queue_get(q, 0, &view));
    assert_in_range(view.due_ms - now, 30000, 33000);
    now = view.due_ms;
    must_assign(q, now);
    assert_true(nm_queue_failure(q, 0, 0, 1, -1, now)); /* shut down: another may have it at once */
    must_assign(q, now);
    assert_whole(q);
    nm_queue_destroy(&q);
}

/* An endpoint that is down must not make the queue open the whole plan. */
static void test_failures_do_not_open_tasks_without_end(void **state)
{
    (void)state;
    struct nm_queue_options o = usual;
    o.goal = 1000;
    o.opened_max = 5000;
    struct nm_queue *q = make(o);
    join(q, 0, NM_QUEUE_GENERATOR, 4);
    for (int i = 0; i < 500; i++) {
        struct nm_queue_lease lease;
        if (nm_queue_assign(q, 0, &lease) == NM_OK)
            assert_true(nm_queue_failure(q, 0, lease.task.task, 1, 0, 0));
    }
    assert_in_range(nm_queue_get_totals(q)->opened, 4, 8);
    nm_queue_destroy(&q);
}

static void test_pause(void **state)
{
    (void)state;
    struct nm_queue *q = make(usual);
    join(q, 0, NM_QUEUE_GENERATOR, 4);
    nm_queue_pause(q, NM_PAUSE_OPERATOR, true);
    nm_queue_pause(q, NM_PAUSE_ENDPOINTS, true);
    assert_idle(q, 0);
    nm_queue_pause(q, NM_PAUSE_ENDPOINTS, false); /* a generator said hello: the operator's switch stays */
    assert_idle(q, 0);
    nm_queue_pause(q, NM_PAUSE_OPERATOR, false);
    must_assign(q, 0);
    nm_queue_return(q, 0, 0); /* could not be sent */
    assert_int_equal(state_of(q, 0), NM_TASK_READY);
    nm_queue_return(q, 0, 0);
    assert_whole(q);
    nm_queue_destroy(&q);
}

static void test_drain(void **state)
{
    (void)state;
    struct nm_queue *q = make(usual);
    bool keep;
    join(q, 0, NM_QUEUE_GENERATOR, 1);
    must_assign(q, 0);
    nm_queue_drain(q, true);
    assert_int_equal(nm_queue_phase(q), NM_PHASE_RUNNING); /* one is open still */
    nm_queue_response(q, 0, 0, 1, false);
    assert_int_equal(must_assign(q, 0).task.attempt, 2); /* and is finished */
    nm_queue_response(q, 0, 0, 2, true);
    assert_idle(q, 0);
    join(q, 1, NM_QUEUE_ALIGNER, 1);
    must_assign(q, 0);
    nm_queue_aligned(q, 1, 0, 2, false, &keep);
    assert_int_equal(nm_queue_phase(q), NM_PHASE_DRAINED);
    assert_idle(q, 0);
    nm_queue_drain(q, false);
    assert_int_equal(nm_queue_phase(q), NM_PHASE_RUNNING);
    assert_int_equal(must_assign(q, 0).task.task, 1);
    assert_whole(q);
    nm_queue_destroy(&q);
}

/* A dead letter comes back with attempts anew; their numbers go on, so no answer in the log is overwritten. */
static void test_kick(void **state)
{
    (void)state;
    struct nm_queue_options o = usual;
    o.attempts = 2;
    struct nm_queue *q = make(o);
    join(q, 0, NM_QUEUE_GENERATOR, 1);
    for (uint32_t attempt = 1; attempt <= 2; attempt++) {
        must_assign(q, 0);
        nm_queue_response(q, 0, 0, attempt, false);
    }
    struct nm_queue_task dead = {.task = 0, .attempt = 2, .worker = NOBODY, .state = NM_TASK_DEAD};
    assert_int_equal(nm_queue_get_totals(q)->dead, 1);
    assert_int_equal(nm_queue_flush(q, ignore, NULL), NM_OK);
    assert_int_equal(nm_queue_kick(q, 0, NULL, true), NM_ENOENT);
    assert_int_equal(nm_queue_kick(q, 0, &dead, true), NM_OK);
    assert_int_equal(nm_queue_kick(q, 0, &dead, true), NM_ESTATE); /* it is open now */
    assert_int_equal(nm_queue_get_totals(q)->dead, 0);
    assert_whole(q);
    for (uint32_t attempt = 3; attempt <= 4; attempt++) {
        struct nm_queue_lease lease = must_assign(q, 0);
        assert_int_equal(lease.task.task, 0);
        assert_int_equal(lease.task.attempt, attempt);
        assert_int_equal(nm_queue_last_try(q, &lease.task), attempt == 4);
        assert_int_equal(nm_queue_response(q, 0, 0, attempt, false), NM_VERDICT_APPLIED);
    }
    assert_int_equal(nm_queue_get_totals(q)->dead, 1);
    assert_int_equal(nm_queue_kick(q, 0, NULL, true), NM_OK); /* before it was forgotten, too */
    assert_int_equal(must_assign(q, 0).task.attempt, 5);
    assert_true(nm_queue_failure(q, 0, 0, 5, 60000, 0));
    assert_int_equal(nm_queue_kick(q, 0, NULL, false), NM_OK); /* from delayed: at once, the same attempt */
    assert_int_equal(must_assign(q, 0).task.attempt, 5);
    assert_int_equal(nm_queue_kick(q, 0, NULL, false), NM_ESTATE);
    assert_false(nm_queue_kick_delayed(q));
    assert_true(nm_queue_failure(q, 0, 0, 5, 60000, 0));
    assert_true(nm_queue_kick_delayed(q));
    assert_int_equal(state_of(q, 0), NM_TASK_READY);
    dead.state = NM_TASK_DONE;
    assert_int_equal(nm_queue_kick(q, 19, &dead, true), NM_ESTATE);
    assert_whole(q);
    nm_queue_destroy(&q);
}

static void test_bury(void **state)
{
    (void)state;
    struct nm_queue *q = make(usual);
    bool keep = true;
    join(q, 0, NM_QUEUE_GENERATOR, 2);
    join(q, 1, NM_QUEUE_ALIGNER, 1);
    assert_int_equal(nm_queue_bury(q, 0), NM_ENOENT);
    must_assign(q, 0);
    assert_int_equal(nm_queue_bury(q, 0), NM_OK); /* leased */
    assert_int_equal(nm_queue_in_flight(q, 0), 0);
    assert_int_equal(nm_queue_response(q, 0, 0, 1, true), NM_VERDICT_DUPLICATE); /* on its way then */
    must_assign(q, 0);
    nm_queue_response(q, 0, 1, 1, true);
    assert_int_equal(must_assign(q, 0).role, NM_QUEUE_ALIGNER);
    assert_int_equal(nm_queue_bury(q, 1), NM_OK); /* aligning */
    assert_int_equal(nm_queue_aligned(q, 1, 1, 1, false, &keep), NM_VERDICT_DUPLICATE);
    assert_false(keep);
    assert_int_equal(nm_queue_bury(q, 1), NM_ENOENT);
    assert_int_equal(nm_queue_get_totals(q)->dead, 2);
    struct nm_queue_task dead = {.task = 0, .attempt = 1, .worker = NOBODY, .state = NM_TASK_DEAD};
    assert_int_equal(nm_queue_flush(q, ignore, NULL), NM_OK);
    assert_int_equal(nm_queue_kick(q, 0, &dead, false), NM_OK); /* never answered: the same attempt again */
    assert_int_equal(nm_queue_response(q, 0, 0, 1, true), NM_VERDICT_LATE);
    assert_whole(q);
    nm_queue_destroy(&q);
}

/* More is open than the goal needs: no more calls are under way than it needs. */
static void test_set_goal(void **state)
{
    (void)state;
    struct nm_queue *q = make(usual);
    join(q, 0, NM_QUEUE_GENERATOR, 9);
    for (int i = 0; i < 3; i++)
        must_assign(q, 0);
    assert_idle(q, 0);
    nm_queue_set_goal(q, 5, 100);
    must_assign(q, 0);
    must_assign(q, 0);
    assert_idle(q, 0);
    nm_queue_set_goal(q, 2, 100);
    nm_queue_response(q, 0, 0, 1, false);
    assert_idle(q, 0); /* four others are under way */
    for (uint64_t i = 1; i < 4; i++)
        nm_queue_response(q, 0, i, 1, false);
    assert_int_equal(must_assign(q, 0).task.task, 0);
    assert_idle(q, 0);
    assert_whole(q);
    nm_queue_destroy(&q);
}

/* The goal was lowered between two lives: what is under way is finished, and nothing beyond it is asked for. */
static void test_lower_goal(void **state)
{
    (void)state;
    struct nm_queue_options o = usual;
    o.goal = 2;
    struct nm_queue *q = make(o);
    struct nm_queue_totals totals = {.opened = 5};
    nm_queue_restore_totals(q, &totals);
    for (uint64_t i = 0; i < 5; i++) {
        struct nm_queue_task task = {
            .task = i, .attempt = 1, .worker = NOBODY, .state = i < 2 ? NM_TASK_ACCEPTED : NM_TASK_READY};
        assert_int_equal(nm_queue_restore(q, &task, 0), NM_OK);
    }
    join(q, 0, NM_QUEUE_GENERATOR, 9);
    assert_idle(q, 0);
    join(q, 1, NM_QUEUE_ALIGNER, 9);
    for (uint64_t i = 0; i < 2; i++) {
        bool keep;
        assert_int_equal(must_assign(q, 0).role, NM_QUEUE_ALIGNER);
        nm_queue_aligned(q, 1, i, 1, false, &keep);
    }
    assert_int_equal(nm_queue_phase(q), NM_PHASE_COMPLETE);
    nm_queue_destroy(&q);
}

static void test_restore_refuses_nonsense(void **state)
{
    (void)state;
    struct nm_queue *q = make(usual);
    struct nm_queue_task task = {.task = 1, .attempt = 1, .worker = NOBODY, .state = NM_TASK_LEASED};
    assert_int_equal(nm_queue_restore(q, &task, 0), NM_EFORMAT);
    task.state = NM_TASK_DONE;
    assert_int_equal(nm_queue_restore(q, &task, 0), NM_EFORMAT);
    task.state = (enum nm_task_state)42;
    assert_int_equal(nm_queue_restore(q, &task, 0), NM_EFORMAT);
    task.state = NM_TASK_READY;
    task.attempt = 0;
    assert_int_equal(nm_queue_restore(q, &task, 0), NM_EFORMAT);
    task.attempt = task.base = 1;
    assert_int_equal(nm_queue_restore(q, &task, 0), NM_EFORMAT);
    task.base = 0;
    assert_int_equal(nm_queue_restore(q, &task, 0), NM_OK);
    assert_int_equal(nm_queue_restore(q, &task, 0), NM_EEXIST);
    nm_queue_destroy(&q);
}

/* ---- random events against a plain model ----------------------------------------------------- */

enum { WORKERS = 6, TASKS = 64, EVENTS = 3000000 };

struct model_task {
    struct nm_queue_task view;
    uint64_t order; /* when it became ready or accepted: the oldest is leased first */
    bool changed;   /* since the last flush */
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

static uint64_t below(struct model *m, uint64_t n)
{
    return nm_rng_below(&m->rng, n);
}

static bool ended(const struct model_task *t)
{
    return t->view.state >= NM_TASK_DONE;
}

static bool held(const struct model_task *t)
{
    return t->view.state == NM_TASK_LEASED || t->view.state == NM_TASK_ALIGNING;
}

static uint64_t held_by(const struct model *m, uint32_t worker)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < m->totals.opened; i++)
        n += held(&m->tasks[i]) && m->tasks[i].view.worker == worker;
    return n;
}

static void set(struct model *m, struct model_task *t, enum nm_task_state state, uint32_t worker)
{
    t->view.state = state;
    t->view.worker = worker;
    t->order = ++m->clock;
    t->changed = true;
}

/* Those that ride with it go on their own way, or to its answer. */
static void model_share_end(struct model *m, struct model_task *t, bool answered)
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
static struct model_task *model_open(struct model *m)
{
    uint64_t lines = m->options.lines > 1 ? m->options.lines : 1, n = lines - m->totals.opened % lines;
    uint64_t needed = m->options.goal - (m->totals.opened - m->totals.dead - m->totals.dropped);
    uint64_t left = m->options.opened_max - m->totals.opened;
    n = n < needed ? n : needed;
    n = n < left ? n : left;
    struct model_task *first = &m->tasks[m->totals.opened];
    for (uint32_t i = 0; i < n; i++) {
        first[i].view = (struct nm_queue_task){.task = m->totals.opened++, .attempt = 1};
        set(m, &first[i], NM_TASK_READY, NOBODY);
        if (n == 1)
            continue;
        first[i].view.share = i == 0 ? NM_SHARE_LEADS : NM_SHARE_RIDES;
        first[i].view.line = i + 1;
        first[i].view.lines = (uint32_t)n;
    }
    return first;
}

static void model_give_back(struct model *m, struct model_task *t)
{
    set(m, t, t->view.state == NM_TASK_LEASED ? NM_TASK_READY : NM_TASK_ACCEPTED, NOBODY);
}

static void model_leave(struct model *m, uint32_t worker)
{
    m->workers[worker].joined = false;
    uint64_t order = ++m->clock; /* several at once, in an order of no matter */
    for (uint64_t i = 0; i < m->totals.opened; i++)
        if (held(&m->tasks[i]) && m->tasks[i].view.worker == worker) {
            model_give_back(m, &m->tasks[i]);
            m->tasks[i].order = order;
        }
}

static void event_join(struct model *m)
{
    uint32_t worker = (uint32_t)below(m, WORKERS);
    bool aligner = worker % 2;
    struct nm_queue_hold holds[8];
    size_t n = below(m, 8);
    for (size_t i = 0; i < n; i++)
        holds[i] = (struct nm_queue_hold){below(m, TASKS), (uint32_t)below(m, 4)};
    uint64_t credit = below(m, 6);
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
            set(m, t, aligner ? NM_TASK_ALIGNING : NM_TASK_LEASED, worker);
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
        m->totals.expired += held_by(m, worker);
        model_leave(m, worker);
    }
    for (uint32_t w = 0; w < WORKERS; w++)
        assert_false((m->workers[w].joined || held_by(m, w)) && m->now - m->workers[w].seen >= m->options.lease_ms);
}

static void model_fall_due(struct model *m)
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
                set(m, &m->tasks[i], NM_TASK_READY, NOBODY);
                m->tasks[i].order = order;
            }
    }
}

static bool model_hungry(const struct model *m, bool aligner)
{
    for (uint32_t w = 0; w < WORKERS; w++)
        if (m->workers[w].joined && m->workers[w].aligner == aligner && held_by(m, w) < m->workers[w].credit)
            return true;
    return false;
}

static uint64_t count(const struct model *m, enum nm_task_state state)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < m->totals.opened; i++)
        n += m->tasks[i].view.state == state;
    return n;
}

static struct model_task *oldest(struct model *m, enum nm_task_state state)
{
    struct model_task *best = NULL;
    for (uint64_t i = 0; i < m->totals.opened; i++)
        if (m->tasks[i].view.state == state && (!best || m->tasks[i].order < best->order))
            best = &m->tasks[i];
    return best;
}

/* Of the READY ones, those of a kind. */
static struct model_task *oldest_ready(struct model *m, enum nm_share share, bool verify)
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

static bool model_may_open(const struct model *m)
{
    uint64_t credit = 0;
    for (uint32_t w = 0; w < WORKERS; w++)
        credit += m->workers[w].joined && !m->workers[w].aligner ? m->workers[w].credit : 0;
    return m->totals.opened < m->options.opened_max && count(m, NM_TASK_DELAYED) < credit &&
           count(m, NM_TASK_ACCEPTED) < m->options.backlog_max && !m->draining &&
           m->totals.opened - m->totals.dead - m->totals.dropped < m->options.goal;
}

static void event_assign(struct model *m)
{
    struct nm_queue_lease lease;
    enum nm_err err = nm_queue_assign(m->queue, m->now, &lease);
    struct model_task *expected = model_hungry(m, true) ? oldest(m, NM_TASK_ACCEPTED) : NULL;
    bool aligner = expected != NULL;
    if (!aligner) {
        model_fall_due(m);
        uint64_t secured =
            m->totals.done + count(m, NM_TASK_ACCEPTED) + count(m, NM_TASK_ALIGNING) + count(m, NM_TASK_LEASED);
        bool wanted = model_hungry(m, false) && secured < m->options.goal;
        if (wanted && !m->paused[1]) /* what was answered comes first, and needs no endpoint */
            expected = oldest_ready(m, NM_SHARE_READS, false);
        if (wanted && !expected && !m->paused[0] && !m->paused[1]) {
            expected = oldest_ready(m, NM_SHARE_NONE, true); /* then texts to be verified */
            if (!expected)
                expected = oldest_ready(m, NM_SHARE_NONE, false);
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
    assert_true(held_by(m, lease.worker) < m->workers[lease.worker].credit);
    set(m, t, aligner ? NM_TASK_ALIGNING : NM_TASK_LEASED, lease.worker);
}

/* Mostly the right worker and attempt of an open task, sometimes any. */
static struct model_task *pick(struct model *m, bool aligner, uint32_t *worker, uint64_t *task, uint64_t *attempt)
{
    *task = below(m, TASKS);
    for (int tries = 0; tries < 20 && below(m, 10); tries++) {
        *task = below(m, TASKS);
        enum nm_task_state wanted = aligner ? NM_TASK_ALIGNING : NM_TASK_LEASED;
        if (*task < m->totals.opened && m->tasks[*task].view.state == wanted)
            break;
    }
    struct model_task *t = *task < m->totals.opened ? &m->tasks[*task] : NULL;
    bool right = t && below(m, 8);
    *worker = right && held(t) ? t->view.worker : (uint32_t)below(m, WORKERS);
    *attempt = right ? t->view.attempt : below(m, m->options.attempts + 2 + (t ? t->view.base : 0));
    return t;
}

static enum nm_verdict model_took(struct model *m, bool in_time)
{
    m->totals.late += !in_time;
    return in_time ? NM_VERDICT_APPLIED : NM_VERDICT_LATE;
}

static void event_response(struct model *m)
{
    uint32_t worker;
    uint64_t task, attempt;
    struct model_task *t = pick(m, false, &worker, &task, &attempt);
    static const enum nm_answer answers[] = {NM_ANSWER_ACCEPTED, NM_ANSWER_REJECTED, NM_ANSWER_REJECTED,
                                             NM_ANSWER_UNVERIFIED};
    enum nm_answer answer = answers[below(m, 4)];
    enum nm_verdict got = nm_queue_response(m->queue, worker, task, attempt, answer), expected;
    bool gone = !t || (ended(t) && !t->changed);
    if (gone || attempt == 0 || attempt > t->view.attempt) {
        expected = NM_VERDICT_UNKNOWN;
    } else if (attempt < t->view.attempt || t->view.state > NM_TASK_LEASED) {
        expected = NM_VERDICT_DUPLICATE;
        m->totals.duplicates++;
    } else {
        expected = model_took(m, t->view.state == NM_TASK_LEASED && t->view.worker == worker);
        model_share_end(m, t, true);
        t->view.failures = 0;
        bool look = answer == NM_ANSWER_UNVERIFIED && !t->view.verify;
        t->view.verify = look;
        t->view.base += look;
        if (answer == NM_ANSWER_ACCEPTED) {
            set(m, t, NM_TASK_ACCEPTED, NOBODY);
        } else if (look || t->view.attempt - t->view.base < m->options.attempts) {
            t->view.attempt++;
            set(m, t, NM_TASK_READY, NOBODY);
        } else {
            set(m, t, NM_TASK_DEAD, NOBODY);
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
    int64_t retry = (int64_t)below(m, 3) * 200 - 200;
    bool got = nm_queue_failure(m->queue, worker, task, attempt, retry, m->now);
    bool expected = t && t->view.state == NM_TASK_LEASED && t->view.worker == worker && t->view.attempt == attempt;
    assert_int_equal(got, expected);
    if (!expected)
        return;
    if (retry < 0) {
        set(m, t, NM_TASK_READY, NOBODY);
        return;
    }
    struct nm_queue_task view;
    assert_true(nm_queue_get(m->queue, task, &view));
    assert_true(view.due_ms >= m->now + retry && view.due_ms > m->now);
    assert_true(view.due_ms <= m->now + m->options.backoff_max + retry);
    t->view.failures++;
    t->view.due_ms = view.due_ms;
    set(m, t, NM_TASK_DELAYED, NOBODY);
}

static void event_aligned(struct model *m)
{
    uint32_t worker;
    uint64_t task, attempt;
    struct model_task *t = pick(m, true, &worker, &task, &attempt);
    bool useless = below(m, 6) == 0, keep = false, expect_keep = false;
    enum nm_verdict got = nm_queue_aligned(m->queue, worker, task, attempt, useless, &keep), expected;
    bool gone = !t || (ended(t) && !t->changed);
    if (gone || attempt != t->view.attempt || t->view.state <= NM_TASK_LEASED) {
        expected = NM_VERDICT_UNKNOWN;
    } else if (ended(t)) {
        expected = NM_VERDICT_DUPLICATE;
        m->totals.duplicates++;
        expect_keep = t->view.state == NM_TASK_DONE && t->view.worker == worker;
    } else {
        expected = model_took(m, t->view.state == NM_TASK_ALIGNING && t->view.worker == worker);
        set(m, t, useless ? NM_TASK_DROPPED : NM_TASK_DONE, useless ? NM_QUEUE_NOBODY : worker);
        m->totals.dropped += useless;
        m->totals.done += !useless;
        expect_keep = !useless;
    }
    assert_int_equal(got, expected);
    assert_int_equal(keep, expect_keep);
}

static enum nm_err save(void *ctx, const struct nm_queue_task *view)
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
    t->changed = false;
    m->saved[view->task] = *t;
    return NM_OK;
}

static void event_flush(struct model *m)
{
    assert_int_equal(nm_queue_flush(m->queue, save, m), NM_OK);
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
        if (!ended(&m->tasks[i]))
            assert_int_equal(nm_queue_restore(m->queue, &m->tasks[i].view, m->now), NM_OK);
    }
}

static void model_kick(struct model *m, struct model_task *t, bool answered)
{
    bool dead = t->view.state == NM_TASK_DEAD;
    t->view.attempt += dead && answered;
    t->view.base = t->view.attempt - 1;
    t->view.failures = 0;
    m->totals.dead -= dead;
    set(m, t, NM_TASK_READY, NOBODY);
}

/* As the broker does it: a task that was forgotten is known from the ledger. */
static void event_kick(struct model *m)
{
    uint64_t task = below(m, TASKS);
    bool answered = below(m, 2);
    struct model_task *t = task < m->totals.opened ? &m->tasks[task] : NULL;
    bool forgotten = t && ended(t) && !t->changed;
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
    uint64_t task = below(m, TASKS);
    struct model_task *t = task < m->totals.opened ? &m->tasks[task] : NULL;
    bool can = t && !ended(t);
    assert_int_equal(nm_queue_bury(m->queue, task), can ? NM_OK : NM_ENOENT);
    if (!can)
        return;
    model_share_end(m, t, false);
    t->view.verify = false;
    set(m, t, NM_TASK_DEAD, NOBODY);
    m->totals.dead++;
}

/* Its answer is to hold no sentences. */
static void event_part(struct model *m)
{
    uint64_t task = below(m, TASKS);
    nm_queue_part(m->queue, task);
    if (task < m->totals.opened && m->tasks[task].view.share == NM_SHARE_LEADS) {
        model_share_end(m, &m->tasks[task], false);
        m->tasks[task].changed = true;
    }
}

/* Mostly off, or nothing would happen. */
static void event_switch(struct model *m)
{
    bool on = below(m, 4) == 0;
    uint64_t which = below(m, 3);
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
    m->options.goal = 1 + below(m, 30);
    m->options.opened_max = m->options.goal + below(m, TASKS - m->options.goal);
    nm_queue_set_goal(m->queue, m->options.goal, m->options.opened_max);
}

static void event_leave(struct model *m)
{
    uint32_t worker = (uint32_t)below(m, WORKERS);
    nm_queue_leave(m->queue, worker);
    model_leave(m, worker);
}

static void event_mute(struct model *m)
{
    uint32_t worker = (uint32_t)below(m, WORKERS);
    nm_queue_mute(m->queue, worker);
    m->workers[worker].joined = false;
}

static void event_heard(struct model *m)
{
    uint32_t worker = (uint32_t)below(m, WORKERS);
    nm_queue_heard(m->queue, worker, m->now);
    if (m->workers[worker].joined)
        m->workers[worker].seen = m->now;
}

static void event_return(struct model *m)
{
    uint32_t worker;
    uint64_t task, attempt;
    struct model_task *t = pick(m, below(m, 2), &worker, &task, &attempt);
    nm_queue_return(m->queue, worker, task);
    if (t && held(t) && t->view.worker == worker)
        model_give_back(m, t);
}

static void compare(struct model *m)
{
    assert_whole(m->queue);
    const struct nm_queue_totals *t = nm_queue_get_totals(m->queue);
    assert_memory_equal(t, &m->totals, sizeof *t);
    for (uint64_t i = 0; i < TASKS; i++) {
        struct nm_queue_task view;
        bool open = i < m->totals.opened && (!ended(&m->tasks[i]) || m->tasks[i].changed);
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

static void one_event(struct model *m)
{
    uint64_t dice = below(m, 1000);
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
    else if (dice < 946 && below(m, 4) == 0)
        event_goal(m);
    else
        m->now += (int64_t)below(m, 60);
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
        m->options.goal = 1 + below(m, 30);
        m->options.opened_max = m->options.goal + below(m, TASKS - m->options.goal);
        m->options.attempts = 1 + (uint32_t)below(m, 4);
        m->options.backlog_max = 1 + below(m, 8);
        m->options.lines = (uint32_t)below(m, 6);
        m->queue = make(m->options);
        for (int i = 0; i < 1000; i++, events++) {
            one_event(m);
            if (i % 16 == 0)
                compare(m);
        }
        compare(m);
        complete += nm_queue_phase(m->queue) == NM_PHASE_COMPLETE;
        stuck += nm_queue_phase(m->queue) == NM_PHASE_STUCK;
        drained += nm_queue_phase(m->queue) == NM_PHASE_DRAINED;
        nm_queue_destroy(&m->queue);
    }
    free(m);
    assert_true(complete > 50 && stuck > 50 && drained > 5); /* the events reach every end */
}

/* ---- one call for several ------------------------------------------------------------------------ */

static struct nm_queue *make_sharing(uint64_t goal)
{
    struct nm_queue_options o = usual;
    o.goal = goal;
    o.lines = 3;
    struct nm_queue *q = make(o);
    join(q, 0, NM_QUEUE_GENERATOR, 8);
    return q;
}

static enum nm_share share_of(struct nm_queue *q, uint64_t task)
{
    struct nm_queue_task view = {0};
    nm_queue_get(q, task, &view);
    return view.share;
}

/* One lease, one answer; then those beside it are leased to be read, whatever holds up calls. */
static void test_one_call_for_several(void **state)
{
    (void)state;
    struct nm_queue *q = make_sharing(5);
    struct nm_queue_lease lease = must_assign(q, 0);
    assert_int_equal(lease.task.task, 0);
    assert_int_equal(lease.task.share, NM_SHARE_LEADS);
    assert_int_equal(lease.task.lines, 3);
    lease = must_assign(q, 0); /* the goal needs two more */
    assert_int_equal(lease.task.task, 3);
    assert_int_equal(lease.task.lines, 2);
    assert_idle(q, 0); /* three of them ride */
    assert_int_equal(nm_queue_failure(q, 0, 0, 1, -1, 0), true);
    lease = must_assign(q, 0);
    assert_int_equal(lease.task.task, 0); /* still for all of them */
    assert_int_equal(lease.task.lines, 3);
    assert_whole(q);
    nm_queue_pause(q, NM_PAUSE_GOVERNOR, true);
    assert_int_equal(nm_queue_response(q, 0, 0, 1, NM_ANSWER_REJECTED), NM_VERDICT_APPLIED);
    for (uint32_t i = 1; i < 3; i++) {
        lease = must_assign(q, 0);
        assert_int_equal(lease.task.task, i);
        assert_int_equal(lease.task.share, NM_SHARE_READS);
        assert_int_equal(lease.task.line, i + 1);
        assert_int_equal(nm_task_leader(&lease.task), 0);
    }
    assert_idle(q, 0); /* the rejected one takes a call */
    assert_int_equal(nm_queue_response(q, 0, 1, 1, NM_ANSWER_ACCEPTED), NM_VERDICT_APPLIED);
    assert_int_equal(nm_queue_response(q, 0, 2, 1, NM_ANSWER_REJECTED), NM_VERDICT_APPLIED);
    nm_queue_pause(q, NM_PAUSE_GOVERNOR, false);
    for (int i = 0; i < 2; i++) {
        lease = must_assign(q, 0);
        assert_int_equal(lease.task.attempt, 2);
        assert_int_equal(lease.task.share, NM_SHARE_NONE);
    }
    assert_whole(q);
    nm_queue_destroy(&q);
}

/* Where the leader ends without an answer, or with one that holds no sentences, the others ask alone; a batch asks
 * for one at a time. */
static void test_those_that_rode_in_vain(void **state)
{
    (void)state;
    struct nm_queue *q = make_sharing(9);
    (void)must_assign(q, 0);
    assert_int_equal(nm_queue_bury(q, 0), NM_OK);
    assert_int_equal(share_of(q, 1), NM_SHARE_NONE);
    assert_int_equal(must_assign(q, 0).task.task, 1);
    assert_int_equal(must_assign(q, 0).task.task, 2);
    assert_int_equal(must_assign(q, 0).task.task, 3);
    nm_queue_part(q, 3);
    assert_int_equal(nm_queue_response(q, 0, 3, 1, NM_ANSWER_REJECTED), NM_VERDICT_APPLIED);
    assert_int_equal(share_of(q, 4), NM_SHARE_NONE);
    assert_whole(q);
    struct nm_queue_lease lease;
    join(q, 1, NM_QUEUE_BATCH, 8);
    while (nm_queue_assign_batch(q, 0, &lease) == NM_OK) {
        assert_int_equal(lease.task.share, NM_SHARE_NONE);
        assert_int_equal(lease.task.lines, 0);
    }
    assert_whole(q);
    nm_queue_destroy(&q);
}

static void test_restore_refuses_nonsense_of_shared_calls(void **state)
{
    (void)state;
    static const struct nm_queue_task bad[] = {
        {.share = NM_SHARE_LEADS, .line = 2, .lines = 3},   {.share = NM_SHARE_RIDES, .line = 1, .lines = 3},
        {.share = NM_SHARE_READS, .line = 4, .lines = 3},   {.share = NM_SHARE_LEADS, .line = 1, .lines = 1},
        {.share = (enum nm_share)4, .line = 2, .lines = 3}, {.share = NM_SHARE_NONE, .line = 1, .lines = 3}};
    struct nm_queue *q = make(usual);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct nm_queue_task task = bad[i];
        task.task = 5;
        task.attempt = 1;
        task.state = NM_TASK_READY;
        task.worker = NOBODY;
        assert_int_equal(nm_queue_restore(q, &task, 0), NM_EFORMAT);
    }
    nm_queue_destroy(&q);
}

/* ---- extra tasks ----------------------------------------------------------------------------- */

static struct nm_queue *make_secured(void)
{
    struct nm_queue_options o = usual;
    bool keep;
    o.goal = 1;
    o.generation = 2;
    struct nm_queue *q = make(o);
    nm_queue_hold_phase(q, true);
    join(q, 0, NM_QUEUE_GENERATOR, 2);
    join(q, 1, NM_QUEUE_ALIGNER, 2);
    assert_false(nm_queue_wants_extra(q)); /* the plan's come first */
    struct nm_queue_lease lease = must_assign(q, 0);
    assert_int_equal(nm_task_generation(lease.task.task), 2);
    assert_int_equal(nm_task_index(lease.task.task), 0);
    assert_false(nm_queue_wants_extra(q));
    assert_int_equal(nm_queue_response(q, 0, lease.task.task, 1, true), NM_VERDICT_APPLIED);
    lease = must_assign(q, 0);
    assert_int_equal(nm_queue_aligned(q, 1, lease.task.task, 1, false, &keep), NM_VERDICT_APPLIED);
    assert_int_equal(nm_queue_flush(q, ignore, NULL), NM_OK);
    return q;
}

static void test_extra_tasks_go_beyond_the_goal(void **state)
{
    (void)state;
    struct nm_queue *q = make_secured();
    uint64_t task;
    bool keep;
    assert_int_equal(nm_queue_phase(q), NM_PHASE_RUNNING); /* held */
    assert_idle(q, 0);
    assert_true(nm_queue_wants_extra(q));
    assert_int_equal(nm_queue_open_extra(q, &task), NM_OK);
    assert_true(nm_task_is_extra(task));
    assert_int_equal(nm_task_index(task), 0);
    assert_int_equal(nm_task_generation(task), 2);
    assert_false(nm_queue_wants_extra(q)); /* one waits */
    struct nm_queue_lease lease = must_assign(q, 0);
    assert_true(lease.task.task == task);
    assert_true(nm_queue_wants_extra(q));
    assert_whole(q);
    nm_queue_hold_phase(q, false);
    assert_int_equal(nm_queue_phase(q), NM_PHASE_RUNNING); /* the extra one is open */
    assert_int_equal(nm_queue_response(q, 0, task, 1, false), NM_VERDICT_APPLIED);
    lease = must_assign(q, 0); /* again, though the goal is secured */
    assert_int_equal(lease.task.attempt, 2);
    assert_int_equal(nm_queue_response(q, 0, task, 2, true), NM_VERDICT_APPLIED);
    lease = must_assign(q, 0);
    assert_int_equal(lease.role, NM_QUEUE_ALIGNER);
    assert_int_equal(nm_queue_phase(q), NM_PHASE_RUNNING);
    assert_int_equal(nm_queue_aligned(q, 1, task, 2, false, &keep), NM_VERDICT_APPLIED);
    assert_whole(q);
    assert_int_equal(nm_queue_flush(q, ignore, NULL), NM_OK);
    assert_int_equal(nm_queue_phase(q), NM_PHASE_COMPLETE);
    assert_int_equal(nm_queue_get_totals(q)->done, 2);
    assert_int_equal(nm_queue_get_totals(q)->extra, 1);
    assert_whole(q);
    nm_queue_destroy(&q);
}

static void test_paused_or_draining_opens_no_extra_task(void **state)
{
    (void)state;
    struct nm_queue *q = make_secured();
    nm_queue_pause(q, NM_PAUSE_OPERATOR, true);
    assert_false(nm_queue_wants_extra(q));
    nm_queue_pause(q, NM_PAUSE_OPERATOR, false);
    nm_queue_drain(q, true);
    assert_false(nm_queue_wants_extra(q));
    assert_int_equal(nm_queue_phase(q), NM_PHASE_DRAINED);
    nm_queue_destroy(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extra_tasks_go_beyond_the_goal),
        cmocka_unit_test(test_paused_or_draining_opens_no_extra_task),
        cmocka_unit_test(test_a_task_from_ready_to_done),
        cmocka_unit_test(test_attempts_end),
        cmocka_unit_test(test_no_more_than_the_goal_needs),
        cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_leases_run_out),
        cmocka_unit_test(test_batches_keep_their_leases),
        cmocka_unit_test(test_a_late_answer_beats_the_new_lease),
        cmocka_unit_test(test_hello_keeps_what_is_held),
        cmocka_unit_test(test_failures_wait_longer_and_longer),
        cmocka_unit_test(test_failures_do_not_open_tasks_without_end),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_looks),
        cmocka_unit_test(test_kick),
        cmocka_unit_test(test_bury),
        cmocka_unit_test(test_set_goal),
        cmocka_unit_test(test_lower_goal),
        cmocka_unit_test(test_restore_refuses_nonsense),
        cmocka_unit_test(test_one_call_for_several),
        cmocka_unit_test(test_those_that_rode_in_vain),
        cmocka_unit_test(test_restore_refuses_nonsense_of_shared_calls),
        cmocka_unit_test(test_random_events),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
