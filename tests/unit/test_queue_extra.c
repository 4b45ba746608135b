/* Extra tasks of the queue, beyond the goal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_case.h"

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
    };
    return cmocka_run_group_tests_name("queue, extra tasks", tests, NULL, NULL);
}
