/* The queue: the life of a task, one path after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_case.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test(test_looks),
        cmocka_unit_test(test_restore_refuses_nonsense),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
