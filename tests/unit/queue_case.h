/* queue_case.h - a queue, and what its tests say of it in a word.  Include cmocka's headers first. */
#ifndef NM_TESTS_UNIT_QUEUE_CASE_H
#define NM_TESTS_UNIT_QUEUE_CASE_H

#include "broker/queue.h"

#define NOBODY ((uint32_t)NM_QUEUE_NOBODY)

static const struct nm_queue_options usual = {.goal = 3,
                                              .opened_max = 20,
                                              .attempts = 3,
                                              .lease_ms = 1000,
                                              .backoff_ms = 100,
                                              .backoff_max = 1600,
                                              .backlog_max = 100,
                                              .seed = 1};

static inline struct nm_queue *make(struct nm_queue_options options)
{
    struct nm_queue *q = nm_queue_new(&options);
    assert_non_null(q);
    return q;
}

static inline void join(struct nm_queue *q, uint32_t worker, enum nm_queue_role role, uint64_t credit)
{
    assert_int_equal(nm_queue_join(q, worker, role, credit, NULL, 0, 0), NM_OK);
}

static inline struct nm_queue_lease must_assign(struct nm_queue *q, int64_t now)
{
    struct nm_queue_lease lease;
    assert_int_equal(nm_queue_assign(q, now, &lease), NM_OK);
    return lease;
}

static inline void assert_idle(struct nm_queue *q, int64_t now)
{
    struct nm_queue_lease lease;
    assert_int_equal(nm_queue_assign(q, now, &lease), NM_ENOENT);
}

static inline enum nm_task_state state_of(struct nm_queue *q, uint64_t task)
{
    struct nm_queue_task view = {0};
    nm_queue_get(q, task, &view);
    return view.state;
}

static inline void assert_whole(struct nm_queue *q)
{
    struct nm_diag diag = {""};
    if (nm_queue_check(q, &diag) != NM_OK)
        fail_msg("%s", diag.text);
}

static inline enum nm_err ignore(void *ctx, const struct nm_queue_task *task)
{
    (void)ctx;
    (void)task;
    return NM_OK;
}

#endif
