/* The queue of a replay: what is accepted in the end does not depend on who answers first, or is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/queue.h"
#include "common/hash.h"

enum { TASKS = 60, GENERATORS = 3, ALIGNER = GENERATORS, HELD_MAX = 64, NEVER = 99 };

/* Each task's fate is its own: accepted at that attempt, refused by the aligner then, or hopeless at it. */
struct fate {
    uint32_t attempt;
    bool useless, hopeless;
};

static struct fate fate_of(uint64_t task)
{
    const struct fate fates[] = {{1, false, false}, {2, false, false}, {NEVER, false, false}, {3, false, false},
                                 {1, true, false},  {2, false, true},  {1, false, false}};
    return fates[nm_mix64(task + 7) % (sizeof fates / sizeof fates[0])];
}

static bool becomes_a_sample(uint64_t task)
{
    struct fate fate = fate_of(task);
    return fate.attempt != NEVER && !fate.useless && !fate.hopeless;
}

struct scene {
    struct nm_queue *q;
    struct nm_rng rng;
    struct nm_queue_lease held[HELD_MAX]; /* out with a worker */
    size_t n;
    bool done[TASKS];
    int64_t now;
};

static enum nm_err ignore(void *ctx, const struct nm_queue_task *task)
{
    (void)ctx;
    (void)task;
    return NM_OK;
}

static void answer(struct scene *s, const struct nm_queue_lease *lease)
{
    const struct fate fate = fate_of(lease->task.task);
    const uint64_t task = lease->task.task, attempt = lease->task.attempt;
    bool keep = false, due = attempt == fate.attempt;
    if (lease->role == NM_QUEUE_ALIGNER) {
        (void)nm_queue_aligned(s->q, lease->worker, task, attempt, fate.useless, &keep);
        s->done[task] = s->done[task] || keep;
        return;
    }
    enum nm_answer said = !due ? NM_ANSWER_REJECTED : fate.hopeless ? NM_ANSWER_HOPELESS : NM_ANSWER_ACCEPTED;
    (void)nm_queue_response(s->q, lease->worker, task, attempt, said);
}

/* One thing happens: a lease, an answer in any order, or a worker that loses all it has. */
static void step(struct scene *s)
{
    struct nm_diag diag = {""};
    uint64_t dice = nm_rng_below(&s->rng, 10);
    s->now++;
    if (dice < 5 && s->n < HELD_MAX && nm_queue_assign(s->q, s->now, &s->held[s->n]) == NM_OK) {
        s->n++;
    } else if (dice < 9 && s->n > 0) {
        size_t i = nm_rng_below(&s->rng, s->n);
        answer(s, &s->held[i]);
        s->held[i] = s->held[--s->n];
    } else if (dice == 9) {
        uint32_t worker = (uint32_t)nm_rng_below(&s->rng, GENERATORS);
        assert_int_equal(nm_queue_join(s->q, worker, NM_QUEUE_GENERATOR, 7, NULL, 0, s->now), NM_OK);
    }
    assert_int_equal(nm_queue_flush(s->q, ignore, NULL), NM_OK);
    if (nm_queue_check(s->q, &diag) != NM_OK)
        fail_msg("%s", diag.text);
}

static void play(uint64_t goal, uint64_t seed)
{
    const struct nm_queue_options options = {.goal = goal,
                                             .opened_max = TASKS,
                                             .attempts = 3,
                                             .lease_ms = 1 << 20,
                                             .backoff_ms = 1,
                                             .backoff_max = 2,
                                             .backlog_max = 100,
                                             .seed = seed,
                                             .finishes = true};
    struct scene s = {.q = nm_queue_new(&options)};
    uint64_t wanted = 0;
    assert_non_null(s.q);
    nm_rng_init(&s.rng, seed);
    for (uint32_t i = 0; i < GENERATORS; i++)
        assert_int_equal(nm_queue_join(s.q, i, NM_QUEUE_GENERATOR, 7, NULL, 0, 0), NM_OK);
    assert_int_equal(nm_queue_join(s.q, ALIGNER, NM_QUEUE_ALIGNER, 3, NULL, 0, 0), NM_OK);
    for (int i = 0; i < 100000 && nm_queue_phase(s.q) != NM_PHASE_COMPLETE; i++)
        step(&s);
    assert_int_equal(nm_queue_phase(s.q), NM_PHASE_COMPLETE);
    for (uint64_t task = 0; task < TASKS; task++) {
        bool expected = becomes_a_sample(task) && wanted < goal;
        assert_int_equal(s.done[task], expected);
        wanted += expected;
    }
    assert_int_equal(nm_queue_get_totals(s.q)->done, wanted);
    nm_queue_destroy(&s.q);
}

static void test_the_first_so_many(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++)
        play(10, seed);
}

static void test_all_that_is_recorded(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++)
        play(UINT64_MAX / 2, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_so_many),
        cmocka_unit_test(test_all_that_is_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
