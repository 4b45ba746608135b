/* governor: against a plain model over millions of random events, and against simulated servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/governor.h"
#include "common/hash.h"

enum { ENDPOINTS = 3, LIVE_MAX = 64, HISTORY = 4096, EVENTS = 2000000 };

/* ---- the model: every call with its times, nothing summed up ----------------------------------------------------
 */

struct call {
    struct nm_grant grant;
    int64_t called; /* when it reached the endpoint */
};

struct past {
    int64_t called;
    uint64_t tokens;
};

struct model {
    struct call live[LIVE_MAX];
    size_t n;
    struct past past[ENDPOINTS][HISTORY]; /* by the time it reached the endpoint; a ring */
    size_t n_past[ENDPOINTS];
    struct nm_governor_sum spent;
};

static const struct nm_governor_limits limits[ENDPOINTS] = {
    {.concurrency = 8,
     .weight = 3,
     .max_tokens = 100,
     .requests_per_minute = 60,
     .price_in = 150000,
     .price_out = 600000},
    {.concurrency = 4,
     .weight = 1,
     .max_tokens = 50,
     .tokens_per_minute = 20000,
     .price_in = 1000000,
     .price_out = 1},
    {.concurrency = 16, .weight = 1, .max_tokens = 200, .requests_per_minute = 300, .tokens_per_minute = 90000},
};

/* What the endpoint itself counts in the minute that ends with this call. */
static void check_minute(const struct model *m, uint32_t e, int64_t now)
{
    uint64_t requests = 0, tokens = 0;
    size_t from = m->n_past[e] > HISTORY ? m->n_past[e] - HISTORY : 0;
    for (size_t i = m->n_past[e]; i-- > from;) {
        const struct past *p = &m->past[e][i % HISTORY];
        if (p->called > now - 60000 && p->called <= now) {
            requests++;
            tokens += p->tokens;
        }
    }
    if (limits[e].requests_per_minute)
        assert_in_range(requests, 0, limits[e].requests_per_minute);
    if (limits[e].tokens_per_minute)
        assert_in_range(tokens, 0, limits[e].tokens_per_minute);
}

static void end_call(struct model *m, size_t i, uint64_t tokens, uint64_t money, bool made)
{
    const struct call *c = &m->live[i];
    uint32_t e = c->grant.endpoint;
    if (made) {
        m->past[e][m->n_past[e]++ % HISTORY] = (struct past){c->called, tokens};
        m->spent.requests++;
        m->spent.tokens += tokens;
        m->spent.money += money;
        check_minute(m, e, c->called);
    }
    m->live[i] = m->live[--m->n];
}

static void end_one(struct nm_governor *g, struct model *m, struct nm_rng *rng, int64_t now)
{
    size_t i = (size_t)nm_rng_below(rng, m->n);
    struct call c = m->live[i];
    uint64_t in = nm_rng_below(rng, c.grant.tokens_in) + 1, out = nm_rng_below(rng, c.grant.tokens_out + 1);
    switch (nm_rng_below(rng, 8)) {
    case 0:
        nm_governor_release(g, &c.grant);
        end_call(m, i, 0, 0, false);
        break;
    case 1:
        nm_governor_charge(g, &c.grant, now);
        end_call(m, i, c.grant.tokens_in + c.grant.tokens_out, c.grant.money, true);
        break;
    case 2:
        nm_governor_refused(g, &c.grant, now);
        nm_governor_failed(g, c.grant.endpoint, (enum nm_governor_why)(1 + nm_rng_below(rng, 3)),
                           (int64_t)nm_rng_below(rng, 3000), now);
        end_call(m, i, 0, 0, true);
        break;
    default:
        nm_governor_settle(g, &c.grant, in, out, now);
        nm_governor_answered(g, c.grant.endpoint, 1 + (int64_t)nm_rng_below(rng, 2000), now);
        nm_governor_prompt(g, c.grant.endpoint, 300 + nm_rng_below(rng, 100));
        end_call(m, i, in + out, nm_governor_cost(g, c.grant.endpoint, in, out), true);
    }
}

/* A restart: everything through what is kept on disk. */
static struct nm_governor *again(struct nm_governor *old, const struct model *m, const struct nm_governor_sum *budget,
                                 int64_t later, int64_t *now)
{
    struct nm_governor *g = nm_governor_new(limits, ENDPOINTS, budget);
    struct nm_governor_sum spent = nm_governor_spent(old);
    assert_non_null(g);
    int64_t then = *now;
    *now += later + 1000000; /* another machine's clock */
    for (uint32_t e = 0; e < ENDPOINTS; e++) {
        struct nm_governor_saved saved;
        nm_governor_save(old, e, then, &saved);
        nm_governor_restore(g, e, &saved, later, *now);
    }
    nm_governor_restore_spent(g, &spent);
    for (size_t i = 0; i < m->n; i++)
        nm_governor_restore_grant(g, &m->live[i].grant);
    nm_governor_destroy(&old);
    return g;
}

static void shift(struct model *m, int64_t by)
{
    for (size_t i = 0; i < m->n; i++)
        m->live[i].called += by;
    for (int e = 0; e < ENDPOINTS; e++)
        for (size_t i = 0; i < HISTORY; i++)
            m->past[e][i].called += by;
}

static void check_sums(struct nm_governor *g, const struct model *m, const struct nm_governor_sum *budget,
                       int64_t now)
{
    struct nm_diag diag = {""};
    struct nm_governor_sum spent = nm_governor_spent(g), reserved = {0};
    uint64_t in_flight[ENDPOINTS] = {0};
    if (nm_governor_check(g, now, &diag))
        fail_msg("%s", diag.text);
    for (size_t i = 0; i < m->n; i++) {
        const struct nm_grant *grant = &m->live[i].grant;
        reserved.requests++;
        reserved.tokens += grant->tokens_in + grant->tokens_out;
        reserved.money += grant->money;
        in_flight[grant->endpoint]++;
    }
    assert_memory_equal(&spent, &m->spent, sizeof spent);
    assert_true(spent.requests + reserved.requests <= budget->requests);
    assert_true(spent.tokens + reserved.tokens <= budget->tokens);
    assert_true(spent.money + reserved.money <= budget->money);
    for (uint32_t e = 0; e < ENDPOINTS; e++) {
        struct nm_governor_view v;
        nm_governor_look(g, e, now, &v);
        assert_int_equal(v.in_flight, in_flight[e]);
        assert_true(v.window >= 1 && v.window <= limits[e].concurrency);
        assert_true(v.in_flight <= limits[e].concurrency);
    }
}

static uint64_t play(uint64_t seed, size_t events)
{
    static struct model model;
    struct model *m = &model;
    const struct nm_governor_sum budget = {.requests = 200000, .tokens = 30000000, .money = 9000000};
    struct nm_rng rng;
    struct nm_governor *g = nm_governor_new(limits, ENDPOINTS, &budget);
    int64_t now = 1000;
    uint64_t granted = 0;
    memset(m, 0, sizeof *m);
    for (int e = 0; e < ENDPOINTS; e++)
        for (size_t i = 0; i < HISTORY; i++)
            m->past[e][i].called = INT64_MIN / 2;
    nm_rng_init(&rng, seed);
    assert_non_null(g);
    for (size_t i = 0; i < events; i++) {
        uint64_t what = nm_rng_below(&rng, 100);
        if (what < 45 && m->n < LIVE_MAX) {
            struct call *c = &m->live[m->n];
            bool room = nm_governor_has_room(g, now);
            assert_int_equal(nm_governor_pick(g, now, &c->grant), room);
            c->called = now;
            granted += room;
            m->n += room;
        } else if (what < 80 && m->n > 0) {
            end_one(g, m, &rng, now);
        } else if (what < 85 && m->n > 0) { /* held up on its way */
            m->live[nm_rng_below(&rng, m->n)].called = now;
        } else if (what == 99 && nm_rng_below(&rng, 500) == 0) {
            int64_t before = now;
            g = again(g, m, &budget, (int64_t)nm_rng_below(&rng, 40000), &now);
            shift(m, now - before);
        } else {
            now += (int64_t)nm_rng_below(&rng, nm_rng_below(&rng, 50) == 0 ? 20000 : 100);
        }
        if (i % 16 == 0)
            check_sums(g, m, &budget, now);
    }
    while (m->n > 0) {
        nm_governor_release(g, &m->live[0].grant);
        end_call(m, 0, 0, 0, false);
    }
    check_sums(g, m, &budget, now);
    for (uint32_t e = 0; e < ENDPOINTS; e++) {
        struct nm_governor_view v;
        nm_governor_look(g, e, now, &v);
        assert_int_equal(v.reserved.requests + v.reserved.tokens + v.reserved.money, 0);
    }
    nm_governor_destroy(&g);
    if (getenv("NERMILL_VERBOSE"))
        printf("%zu events: %llu granted, %llu tokens spent\n", events, (unsigned long long)granted,
               (unsigned long long)m->spent.tokens);
    return granted * 1000003 + m->spent.tokens;
}

static void test_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++)
        assert_true(play(seed, EVENTS / 4) > 1000);
}

static void test_same_seed(void **state)
{
    (void)state;
    assert_int_equal(play(7, 100000), play(7, 100000));
    assert_int_not_equal(play(7, 100000), play(8, 100000));
}

/* ---- the budget ------------------------------------------------------------------------------ */

static struct nm_governor *one(uint32_t concurrency, struct nm_governor_sum budget)
{
    const struct nm_governor_limits l = {
        .concurrency = concurrency, .weight = 1, .max_tokens = 100, .price_in = 1000000, .price_out = 2000000};
    struct nm_governor *g = nm_governor_new(&l, 1, &budget);
    assert_non_null(g);
    return g;
}

static void test_budget_to_the_last_call(void **state)
{
    (void)state;
    struct nm_grant grant;
    struct nm_governor *g = one(4, (struct nm_governor_sum){.requests = 10});
    for (int i = 0; i < 10; i++) {
        assert_true(nm_governor_pick(g, 0, &grant));
        assert_false(nm_governor_exhausted(g));
        nm_governor_settle(g, &grant, 10, 10, 0);
    }
    assert_false(nm_governor_pick(g, 0, &grant));
    assert_true(nm_governor_exhausted(g));
    const struct nm_governor_sum more = {.requests = 11};
    const struct nm_governor_limits l = {.concurrency = 4, .weight = 1, .max_tokens = 100};
    nm_governor_set(g, &l, &more);
    assert_false(nm_governor_exhausted(g));
    assert_true(nm_governor_pick(g, 0, &grant));
    assert_false(nm_governor_pick(g, 0, &grant));
    nm_governor_release(g, &grant);
    nm_governor_destroy(&g);
}

static void test_a_call_in_flight_counts_at_its_most(void **state)
{
    (void)state;
    struct nm_grant a, b;
    struct nm_governor *g = one(4, (struct nm_governor_sum){.tokens = 2 * (4096 + 100) - 1});
    assert_true(nm_governor_pick(g, 0, &a));
    assert_false(nm_governor_pick(g, 0, &b));
    nm_governor_settle(g, &a, 500, 50, 0); /* what was not used is free again */
    assert_true(nm_governor_pick(g, 0, &b));
    nm_governor_charge(g, &b, 0);
    assert_int_equal(nm_governor_spent(g).tokens, 550 + 4196);
    assert_int_equal(nm_governor_spent(g).money, 600 + 4296);
    assert_true(nm_governor_exhausted(g));
    nm_governor_destroy(&g);
}

/* A batch has the budget to keep to, and nothing else. */
static void test_batches_count_in_the_budget_alone(void **state)
{
    (void)state;
    static const struct nm_governor_limits tight = {
        .concurrency = 1, .weight = 1, .max_tokens = 100, .requests_per_minute = 1, .price_out = 1000000};
    const struct nm_governor_sum budget = {.requests = 4};
    struct nm_governor *g = nm_governor_new(&tight, 1, &budget);
    struct nm_grant batch[3], call;
    struct nm_governor_view view;
    struct nm_diag diag = {""};
    nm_governor_failed(g, 0, NM_WHY_QUOTA, 0, 0);
    assert_false(nm_governor_pick(g, 0, &call));
    for (int i = 0; i < 3; i++)
        assert_true(nm_governor_pick_batch(g, 0, &batch[i]));
    nm_governor_revive(g);
    assert_true(nm_governor_pick(g, 1, &call)); /* the window of one and the minute's one are still free */
    struct nm_grant none;
    assert_false(nm_governor_pick_batch(g, 0, &none)); /* the budget's four are out */
    assert_int_equal(nm_governor_check(g, 1, &diag), NM_OK);
    nm_governor_settle(g, &batch[0], 50, 20, 2);
    nm_governor_release(g, &batch[1]);
    nm_governor_charge(g, &batch[2], 2);
    nm_governor_look(g, 0, 2, &view);
    assert_int_equal(view.in_flight, 1);
    assert_int_equal(view.requests_last_minute, 1);
    assert_int_equal(view.spent.requests, 2);
    assert_int_equal(nm_governor_spent(g).money, 20 + 100);
    assert_true(nm_governor_pick_batch(g, 0, &none));
    assert_false(nm_governor_pick_batch(g, 0, &batch[0]));
    assert_int_equal(nm_governor_check(g, 2, &diag), NM_OK);
    nm_governor_destroy(&g);
}

static void test_uncounted_answers_cost_the_most(void **state)
{
    (void)state;
    struct nm_grant a;
    struct nm_governor *g = one(4, (struct nm_governor_sum){0});
    assert_true(nm_governor_pick(g, 0, &a));
    nm_governor_settle(g, &a, 0, 0, 0);
    assert_int_equal(nm_governor_spent(g).tokens, 4196);
    nm_governor_destroy(&g);
}

/* ---- pauses ------------------------------------------------------------------------------------------------------
 */

static void test_retry_after_holds(void **state)
{
    (void)state;
    struct nm_grant a, b;
    struct nm_governor *g = one(8, (struct nm_governor_sum){0});
    struct nm_governor_view v;
    assert_true(nm_governor_pick(g, 0, &a));
    assert_true(nm_governor_pick(g, 0, &b));
    nm_governor_refused(g, &a, 10);
    nm_governor_failed(g, 0, NM_WHY_RATE, 7000, 10);
    nm_governor_settle(g, &b, 1, 1, 20); /* was on its way: the wait is not over */
    nm_governor_answered(g, 0, 20, 20);
    assert_false(nm_governor_has_room(g, 7009));
    assert_int_equal(nm_governor_wait_ms(g, 20), 6990);
    assert_true(nm_governor_has_room(g, 7010));
    nm_governor_look(g, 0, 7010, &v);
    assert_true(fabs(v.window - 2) < 1);
    nm_governor_destroy(&g);
}

static void test_quota_is_found_out_by_one_call(void **state)
{
    (void)state;
    struct nm_grant a, b;
    struct nm_governor *g = one(8, (struct nm_governor_sum){0});
    assert_true(nm_governor_pick(g, 0, &a));
    nm_governor_refused(g, &a, 0);
    nm_governor_failed(g, 0, NM_WHY_QUOTA, 0, 0);
    assert_false(nm_governor_has_room(g, 299999));
    assert_true(nm_governor_pick(g, 300000, &a));
    assert_false(nm_governor_pick(g, 300000, &b));
    nm_governor_settle(g, &a, 1, 1, 300100);
    nm_governor_answered(g, 0, 100, 300100);
    assert_true(nm_governor_pick(g, 300100, &a));
    assert_true(nm_governor_pick(g, 300100, &b));
    nm_governor_destroy(&g);
}

static void test_single_failures_pause_nobody(void **state)
{
    (void)state;
    struct nm_grant a;
    struct nm_governor *g = one(8, (struct nm_governor_sum){0});
    for (int i = 0; i < 6; i++) {
        assert_true(nm_governor_pick(g, i, &a));
        nm_governor_release(g, &a);
        nm_governor_failed(g, 0, NM_WHY_TROUBLE, 0, i);
    }
    assert_false(nm_governor_has_room(g, 100)); /* six in a row do */
    nm_governor_revive(g);
    assert_true(nm_governor_has_room(g, 100));
    nm_governor_destroy(&g);
}

static void test_weights(void **state)
{
    (void)state;
    const struct nm_governor_limits l[2] = {{.concurrency = 1000, .weight = 3, .max_tokens = 1},
                                            {.concurrency = 1000, .weight = 1, .max_tokens = 1}};
    const struct nm_governor_sum none = {0};
    struct nm_governor *g = nm_governor_new(l, 2, &none);
    for (int i = 0; i < 1000; i++) {
        nm_governor_answered(g, 0, 1, 0);
        nm_governor_answered(g, 1, 1, 0);
    }
    struct nm_grant grant;
    int count[2] = {0, 0};
    for (int i = 0; i < 400; i++) {
        assert_true(nm_governor_pick(g, 0, &grant));
        count[grant.endpoint]++;
    }
    assert_int_equal(count[0], 300);
    nm_governor_block(g, 0, true);
    assert_true(nm_governor_pick(g, 0, &grant));
    assert_int_equal(grant.endpoint, 1);
    nm_governor_set_apart(g, 1); /* only by its number now */
    assert_false(nm_governor_has_room(g, 0));
    assert_false(nm_governor_pick(g, 0, &grant));
    assert_true(nm_governor_has_room_at(g, 1, 0));
    assert_true(nm_governor_pick_at(g, 1, 0, &grant));
    assert_int_equal(grant.endpoint, 1);
    assert_false(nm_governor_pick_at(g, 0, 0, &grant)); /* blocked */
    nm_governor_destroy(&g);
}

/* ---- the window beside simulated servers -------------------------------------------------------------------------
 */

/* A server that works on `slots` calls at once and queues the others; each call takes work_ms, and `drag` of it more
 * for each other call that is worked on (0: none, 1: no gain from more than one). */
static double simulate(uint32_t concurrency, int slots, double work_ms, double drag, int64_t duration, double *rate)
{
    struct job {
        struct nm_grant grant;
        int64_t began;
        double left;
        bool used;
    };
    static struct job jobs[512];
    memset(jobs, 0, sizeof jobs);
    struct nm_governor *g = one(concurrency, (struct nm_governor_sum){0});
    uint64_t answers = 0;
    for (int64_t now = 1; now < duration; now += 10) {
        int working = 0;
        for (int i = 0; i < 512; i++)
            working += jobs[i].used;
        working = working < slots ? working : slots;
        double speed = working ? 10 / (1 + drag * (working - 1)) : 0;
        for (int served = 0; served < working; served++) { /* the oldest are served */
            struct job *oldest = NULL;
            for (int i = 0; i < 512; i++)
                if (jobs[i].used && jobs[i].left > 0 && (!oldest || jobs[i].began < oldest->began))
                    oldest = &jobs[i];
            if (!oldest)
                break;
            oldest->left = oldest->left > speed ? -(oldest->left - speed) : 0; /* negative: served in this step */
        }
        for (int i = 0; i < 512; i++) {
            struct job *j = &jobs[i];
            if (j->left < 0)
                j->left = -j->left;
            if (j->used && j->left == 0) {
                nm_governor_settle(g, &j->grant, 1, 1, now);
                nm_governor_answered(g, 0, now - j->began, now);
                j->used = false;
                answers += now > duration / 2;
            }
        }
        for (int i = 0; i < 512; i++)
            if (!jobs[i].used && nm_governor_pick(g, now, &jobs[i].grant)) {
                jobs[i].used = true;
                jobs[i].began = now;
                jobs[i].left = work_ms;
            }
    }
    struct nm_governor_view v;
    nm_governor_look(g, 0, duration, &v);
    *rate = (double)answers * 1000 / ((double)duration / 2);
    nm_governor_destroy(&g);
    return v.window;
}

/* As many as a batch server serves at a time, each slower: the window stays open, for throughput would fall. */
static void test_a_batching_server_is_kept_busy(void **state)
{
    (void)state;
    double rate, window = simulate(16, 16, 400, 0.3, 120000, &rate);
    double ideal = 16 * 1000.0 / (400 * (1 + 0.3 * 15));
    assert_true(window > 12);
    assert_true(rate > 0.9 * ideal);
}

/* Calls beyond what the server works on only wait there: the window closes on it, and throughput stays. */
static void test_a_queueing_server_is_not_flooded(void **state)
{
    (void)state;
    double rate, window = simulate(128, 8, 400, 0, 240000, &rate);
    assert_in_range((int)window, 8, 40);
    assert_true(rate > 0.93 * 8 * 1000 / 410);
}

static void test_cut_and_recovery(void **state)
{
    (void)state;
    struct nm_governor *g = one(64, (struct nm_governor_sum){0});
    struct nm_governor_view v;
    struct nm_grant grant;
    int64_t now = 10000;
    for (int i = 0; i < 128; i++)
        nm_governor_answered(g, 0, 500, now);
    for (int i = 0; i < 5; i++) { /* a burst of refusals is one reason to halve it, not five */
        assert_true(i > 0 || nm_governor_pick(g, now, &grant));
        nm_governor_failed(g, 0, NM_WHY_RATE, 100, now);
    }
    nm_governor_look(g, 0, now, &v);
    assert_true(fabs(v.window - 32) < 0.01);
    int answers = 0;
    for (now += 1000; v.window < 64; answers++, now += 20) {
        nm_governor_answered(g, 0, 500, now);
        nm_governor_look(g, 0, now, &v);
    }
    assert_in_range(answers, 200, 1000); /* a sixteenth of it for each window of answers */
    nm_governor_destroy(&g);
}

/* What a grant reserves for the prompt: more at once when a larger one was seen, less after some that were smaller.
 */
static void test_the_largest_prompt_of_late(void **state)
{
    (void)state;
    const struct nm_governor_limits one = {.concurrency = 4, .weight = 1, .max_tokens = 100};
    const struct nm_governor_sum budget = {.tokens = 1000000};
    struct nm_governor *g = nm_governor_new(&one, 1, &budget);
    assert_int_equal(nm_governor_most(g, 0).tokens_in, 4096); /* before any */
    nm_governor_prompt(g, 0, 0);                              /* not known */
    assert_int_equal(nm_governor_most(g, 0).tokens_in, 4096);
    nm_governor_prompt(g, 0, 1600);
    assert_int_equal(nm_governor_most(g, 0).tokens_in, 1800);
    for (int i = 0; i < 62; i++)
        nm_governor_prompt(g, 0, 400);
    assert_int_equal(nm_governor_most(g, 0).tokens_in, 1800);
    for (int i = 0; i < 65; i++)
        nm_governor_prompt(g, 0, 400);
    assert_int_equal(nm_governor_most(g, 0).tokens_in, 450);
    nm_governor_prompt(g, 0, 800);
    assert_int_equal(nm_governor_most(g, 0).tokens_in, 900);
    nm_governor_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_same_seed),
        cmocka_unit_test(test_budget_to_the_last_call),
        cmocka_unit_test(test_a_call_in_flight_counts_at_its_most),
        cmocka_unit_test(test_batches_count_in_the_budget_alone),
        cmocka_unit_test(test_uncounted_answers_cost_the_most),
        cmocka_unit_test(test_retry_after_holds),
        cmocka_unit_test(test_quota_is_found_out_by_one_call),
        cmocka_unit_test(test_single_failures_pause_nobody),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_a_batching_server_is_kept_busy),
        cmocka_unit_test(test_a_queueing_server_is_not_flooded),
        cmocka_unit_test(test_cut_and_recovery),
        cmocka_unit_test(test_the_largest_prompt_of_late),
    };
    return cmocka_run_group_tests_name("governor", tests, NULL, NULL);
}
