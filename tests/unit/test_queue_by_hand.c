/* The queue in an operator's hands: what stops it, what brings a task back, another goal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_case.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pause), cmocka_unit_test(test_drain),    cmocka_unit_test(test_kick),
        cmocka_unit_test(test_bury),  cmocka_unit_test(test_set_goal), cmocka_unit_test(test_lower_goal),
    };
    return cmocka_run_group_tests_name("queue by hand", tests, NULL, NULL);
}
