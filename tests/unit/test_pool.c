/* Endpoints through failure and back, on a clock of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "workers/generator/pool.h"

static struct nm_project_endpoint configs[] = {
    {.name = (char *)"one",
     .url = (char *)"http://127.0.0.1:1/v1",
     .model = (char *)"m",
     .concurrency = 4,
     .weight = 1,
     .timeout_s = 5,
     .constraint = NM_CONSTRAINT_NONE},
    {.name = (char *)"two",
     .url = (char *)"http://user:secret@127.0.0.1:2/v1?key=secret",
     .model = (char *)"m",
     .concurrency = 2,
     .weight = 1,
     .timeout_s = 5,
     .constraint = NM_CONSTRAINT_NONE},
};

static struct nm_project project(uint32_t n)
{
    return (struct nm_project){.name = (char *)"p", .endpoints = configs, .n_endpoints = n};
}

static struct nm_pool make(uint32_t n)
{
    struct nm_pool pool;
    struct nm_diag diag = {""};
    struct nm_project p = project(n);
    if (nm_pool_init(&pool, &p, NULL, 1, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return pool;
}

static const struct nm_chat_fault down = {.kind = "connect", .retry_after_ms = -1, .detail = "it is down"};

static void test_concurrency(void **state)
{
    (void)state;
    struct nm_pool pool = make(2);
    size_t picks[2] = {0, 0};
    struct nm_endpoint *e;
    assert_int_equal(nm_pool_capacity(&pool), 6);
    while ((e = nm_pool_pick(&pool, 0)) != NULL) {
        e->in_flight++;
        picks[e - pool.endpoints]++;
    }
    assert_int_equal(picks[0], 4);
    assert_int_equal(picks[1], 2);
    nm_pool_clean_up(&pool);
}

/* Weights are kept to as exactly as whole calls allow. */
static void test_weights(void **state)
{
    (void)state;
    configs[0].weight = 3;
    configs[0].concurrency = 1000;
    configs[1].concurrency = 1000;
    struct nm_pool pool = make(2);
    size_t picks[2] = {0, 0};
    for (int i = 0; i < 400; i++) {
        picks[nm_pool_pick(&pool, 0) - pool.endpoints]++;
        assert_true(picks[0] <= 3 * (picks[1] + 1) && picks[1] <= picks[0] / 3 + 1);
    }
    assert_int_equal(picks[0], 300);
    nm_pool_clean_up(&pool);
    configs[0].weight = 1;
    configs[0].concurrency = 4;
    configs[1].concurrency = 2;
}

static void test_dead(void **state)
{
    (void)state;
    struct nm_pool pool = make(1);
    struct nm_endpoint *e = &pool.endpoints[0];
    int64_t now = 1000;
    for (int i = 0; i < 12; i++) {
        int64_t pause = nm_pool_failure(&pool, e, &down, now);
        assert_int_equal(nm_pool_wait_ms(&pool, now), pause);
        assert_null(nm_pool_pick(&pool, now + pause - 1));
        now += pause;
        assert_ptr_equal(nm_pool_pick(&pool, now), e);
        e->in_flight = 1; /* one call finds out */
        assert_null(nm_pool_pick(&pool, now));
        e->in_flight = 0;
    }
    assert_null(nm_pool_dead(&pool, 0, now + 1000000));
    assert_null(nm_pool_dead(&pool, now - 1000 + 1, now));
    assert_string_equal(nm_pool_dead(&pool, now - 1000, now), "it is down");
    nm_pool_success(&pool, e, now);
    assert_null(nm_pool_dead(&pool, 1, now));
    e->in_flight = 3;
    assert_ptr_equal(nm_pool_pick(&pool, now), e);
    nm_pool_clean_up(&pool);
}

static void test_fatal(void **state)
{
    (void)state;
    struct nm_pool pool = make(2);
    struct nm_chat_fault fault = {.kind = "http", .fatal = true, .detail = "401"};
    assert_true(nm_pool_other(&pool, &pool.endpoints[1], 1000));
    nm_pool_failure(&pool, &pool.endpoints[0], &fault, 1000);
    assert_false(nm_pool_other(&pool, &pool.endpoints[1], 1000));
    assert_null(nm_pool_dead(&pool, 1, 1000)); /* the other one is left */
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(nm_pool_pick(&pool, 1000000), &pool.endpoints[1]);
    nm_pool_failure(&pool, &pool.endpoints[1], &fault, 1000);
    assert_non_null(nm_pool_dead(&pool, 0, 1000));
    assert_null(nm_pool_pick(&pool, 1000000));
    nm_pool_clean_up(&pool);
}

/* A refused request is its own trouble at an endpoint that takes others, until it refuses one after the other. */
static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        long status;
        const char *rule;
        bool served;
        unsigned absorbed;
    } rows[] = {
        {422, NM_RULE_REQUEST_REFUSED, true, 2},   {422, NM_RULE_REQUEST_REFUSED, false, 0},
        {400, NM_RULE_REQUEST_REFUSED, true, 19},  {400, NM_RULE_REQUEST_REFUSED, false, 0},
        {413, NM_RULE_CONTEXT_OVERFLOW, true, 19}, {400, NM_RULE_CONTEXT_OVERFLOW, false, 7},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct nm_pool pool = make(1);
        struct nm_endpoint *e = &pool.endpoints[0];
        struct nm_chat_fault fault = {.kind = "http", .fatal = true, .rule = rows[i].rule, .status = rows[i].status};
        if (rows[i].served)
            nm_pool_success(&pool, e, 0);
        for (int round = 0; round < (rows[i].served ? 2 : 1); round++) {
            unsigned n = 0;
            while (n < 100 && nm_pool_absorbs(e, &fault))
                n++;
            assert_int_equal(n, rows[i].absorbed);
            nm_pool_success(&pool, e, 0); /* one that it takes, and the count begins anew */
        }
        fault.came = true; /* an answer that came is logged in any case */
        nm_breaker_stop(&e->breaker);
        assert_true(nm_pool_absorbs(e, &fault));
        fault = down;
        assert_false(nm_pool_absorbs(e, &fault));
        nm_pool_clean_up(&pool);
    }
}

/* What the headers of a good answer say pauses an endpoint without any failure. */
static void test_heed(void **state)
{
    (void)state;
    struct nm_pool pool = make(1);
    struct nm_endpoint *e = &pool.endpoints[0];
    struct nm_limits limits;
    nm_limits_clear(&limits);
    nm_pool_heed(e, &limits, 100, 1000);
    assert_ptr_equal(nm_pool_pick(&pool, 1000), e);
    limits.tokens = (struct nm_limit){.limit = 1000, .remaining = 50, .reset_ms = 9500};
    nm_pool_heed(e, &limits, 100, 1000); /* 950 come back in 9.5 s, 50 more in 0.5 s */
    assert_null(nm_pool_pick(&pool, 1499));
    nm_pool_success(&pool, e, 1400); /* of the call that said so */
    assert_null(nm_pool_pick(&pool, 1499));
    assert_ptr_equal(nm_pool_pick(&pool, 1500), e);
    assert_null(nm_pool_dead(&pool, 1, 100000));
    nm_pool_clean_up(&pool);
}

/* What is shown holds no user, password or query; what cannot work is said at once. */
static void test_targets(void **state)
{
    (void)state;
    struct nm_pool pool = make(2);
    assert_string_equal(nm_llm_target_shown(pool.endpoints[1].target), "two (http://127.0.0.1:2/v1)");
    nm_pool_clean_up(&pool);
    struct nm_diag diag = {""};
    struct nm_project p = project(1);
    char *url = configs[0].url;
    static const char *const bad[] = {"ftp://h/v1", "127.0.0.1:8080", "http://", "http:///v1", "http://a b/v1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        configs[0].url = (char *)bad[i];
        assert_int_equal(nm_pool_init(&pool, &p, NULL, 1, &diag), NM_EINVAL);
        assert_non_null(strstr(diag.text, "one"));
    }
    configs[0].url = url;
    configs[0].api_key_env = (char *)"NM_TEST_NO_SUCH_KEY";
    unsetenv("NM_TEST_NO_SUCH_KEY");
    assert_int_equal(nm_pool_init(&pool, &p, NULL, 1, &diag), NM_EINVAL);
    assert_non_null(strstr(diag.text, "NM_TEST_NO_SUCH_KEY"));
    setenv("NM_TEST_NO_SUCH_KEY", "sk-1\r\nX-Evil: 1", 1);
    assert_int_equal(nm_pool_init(&pool, &p, NULL, 1, &diag), NM_EINVAL);
    assert_null(strstr(diag.text, "sk-1"));
    configs[0].api_key_env = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_concurrency), cmocka_unit_test(test_weights),
                                       cmocka_unit_test(test_dead),        cmocka_unit_test(test_fatal),
                                       cmocka_unit_test(test_refusals),    cmocka_unit_test(test_heed),
                                       cmocka_unit_test(test_targets)};
    (void)nm_log_set_level("error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
