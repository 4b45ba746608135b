/* Tasks of the queue that share one call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_case.h"

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

static void rejoin(struct nm_queue *q, uint32_t worker, int64_t now)
{
    assert_int_equal(nm_queue_join(q, worker, NM_QUEUE_GENERATOR, 8, NULL, 0, now), NM_OK);
}

static void let_expire(struct nm_queue *q, uint32_t worker, int64_t now)
{
    uint32_t gone = NOBODY;
    assert_true(nm_queue_expire(q, now, &gone));
    assert_int_equal(gone, worker);
}

/* Leases lapse, of the call and of those that read its answer, and everybody answers all the same: each task has one
 * answer in the end, and none was opened in the place of another. */
static void test_a_lapsed_lease_replaces_nobody(void **state)
{
    (void)state;
    struct nm_queue *q = make_sharing(3);
    assert_int_equal(must_assign(q, 0).task.task, 0);
    let_expire(q, 0, 1000);
    rejoin(q, 1, 1000);
    assert_int_equal(must_assign(q, 1000).task.lines, 3); /* the same call, by another */
    assert_idle(q, 1000);
    assert_int_equal(nm_queue_response(q, 0, 0, 1, NM_ANSWER_ACCEPTED), NM_VERDICT_LATE);
    for (uint32_t i = 1; i < 3; i++)
        assert_int_equal(must_assign(q, 1000).task.task, i);
    let_expire(q, 1, 2000);
    assert_int_equal(nm_queue_response(q, 1, 0, 1, NM_ANSWER_ACCEPTED), NM_VERDICT_DUPLICATE);
    assert_int_equal(nm_queue_response(q, 1, 1, 1, NM_ANSWER_ACCEPTED), NM_VERDICT_LATE);
    rejoin(q, 2, 2000);
    struct nm_queue_lease lease = must_assign(q, 2000);
    assert_int_equal(lease.task.task, 2);
    assert_int_equal(lease.task.share, NM_SHARE_READS);
    assert_int_equal(nm_queue_response(q, 2, 2, 1, NM_ANSWER_ACCEPTED), NM_VERDICT_APPLIED);
    assert_int_equal(nm_queue_response(q, 1, 2, 1, NM_ANSWER_ACCEPTED), NM_VERDICT_DUPLICATE);
    assert_idle(q, 2000);
    assert_int_equal(nm_queue_count(q, NM_TASK_ACCEPTED), 3);
    assert_int_equal(nm_queue_get_totals(q)->opened, 3);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_call_for_several),
        cmocka_unit_test(test_a_lapsed_lease_replaces_nobody),
        cmocka_unit_test(test_those_that_rode_in_vain),
        cmocka_unit_test(test_restore_refuses_nonsense_of_shared_calls),
    };
    return cmocka_run_group_tests_name("queue, shared calls", tests, NULL, NULL);
}
