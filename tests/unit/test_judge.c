/* The judge: a batch is in the spool before its verdicts are taken, whatever is dropped meanwhile; garbage is named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <poll.h>

#include "workers/generator/judge.h"

enum { BATCH = 200 };

static const char yaml[] =
    "version: 1\nname: t\ngoal: {samples: 1}\nentities: [{type: Drug, file: drugs.txt}]\n"
    "endpoints: [{name: e, url: 'http://127.0.0.1:9/v1', model: m, price_in: 1, price_out: 1}]\n";

struct fixture {
    char dir[64];
    struct nm_project *project;
    struct nm_recipe *recipe;
    struct nm_spool *spool;
    struct nm_judge *judge;
};

static int set_up(void **state)
{
    static struct fixture f;
    struct nm_diag diag = {""};
    (void)snprintf(f.dir, sizeof f.dir, "/tmp/nm-judge-XXXXXX");
    if (mkdtemp(f.dir) == NULL || nm_project_parse(yaml, sizeof yaml - 1, "t", &f.project, &diag) != NM_OK ||
        nm_recipe_new(f.project, NULL, NULL, &f.recipe, &diag) != NM_OK || /* it needs no file */
        nm_spool_open(f.dir, "run", &f.spool, &diag) != NM_OK ||
        nm_judge_new(f.spool, f.recipe, &f.judge, &diag) != NM_OK) {
        print_error("%s\n", diag.text);
        return -1;
    }
    *state = &f;
    return 0;
}

static int clean_up(void **state)
{
    struct fixture *f = *state;
    char command[128];
    nm_judge_destroy(&f->judge);
    nm_spool_close(&f->spool);
    nm_recipe_destroy(&f->recipe);
    nm_project_destroy(&f->project);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    return system(command);
}

static const char good[] =
    "{\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"content\":\"Low doses of aspirin "
    "lowered the risk of stroke in older adults.\"}}],\"usage\":{\"prompt_tokens\":7,"
    "\"completion_tokens\":3}}";

/* Every third answer is an error with status 200; others can't be read. */
static bool is_error(uint64_t number)
{
    return number % 3 == 2;
}

static bool is_garbage(uint64_t number)
{
    return number % 3 == 1;
}

static struct nm_job *answered(uint64_t number)
{
    struct nm_job *job = nm_job_new();
    struct nm_msg_entity *entity = nm_arena_alloc(&job->arena, sizeof *entity);
    const char *body = is_error(number) ? "{\"error\":\"boom\"}" : is_garbage(number) ? "<html>" : good;
    *entity = (struct nm_msg_entity){.text = nm_str("aspirin"), .type = nm_str("Drug")};
    job->number = number;
    job->attempt = 1;
    job->state = NM_JOB_ANSWERED;
    job->task = (struct nm_msg_task){
        .task = number, .attempt = 1, .entities = entity, .n_entities = 1, .min_words = 3, .max_words = 40};
    job->response = (struct nm_msg_response){.task = number,
                                             .attempt = 1,
                                             .endpoint = nm_str("e"),
                                             .constraint = nm_str("none"),
                                             .status = 200,
                                             .body = {body, strlen(body)}};
    return job;
}

static void take(struct fixture *f, struct nm_job_queue *batch)
{
    struct pollfd finished = {.fd = nm_judge_fd(f->judge), .events = POLLIN};
    enum nm_err spooled;
    struct nm_diag why;
    assert_int_equal(poll(&finished, 1, -1), 1);
    assert_true(nm_judge_take(f->judge, batch, &spooled, &why));
    assert_int_equal(spooled, NM_OK);
    assert_false(nm_judge_busy(f->judge));
    assert_false(nm_judge_take(f->judge, batch, &spooled, &why));
}

static void check_verdict(const struct nm_job *job)
{
    struct nm_arena arena;
    struct nm_msg msg;
    nm_arena_init(&arena, 0);
    if (is_error(job->number)) {
        assert_int_equal(job->judged, NM_ESTATE);
        assert_non_null(strstr(job->why, "error"));
    } else if (is_garbage(job->number)) {
        assert_int_equal(job->judged, NM_OK);
        assert_true(job->unreadable && !job->accepted);
        assert_non_null(strstr(job->why, "not JSON"));
        assert_int_equal(nm_msg_decode(job->frame.ptr, job->frame.len, &arena, &msg, NULL), NM_OK);
        assert_string_equal(msg.u.response.rule.ptr, NM_RULE_UNREADABLE);
    } else {
        assert_int_equal(job->judged, NM_OK);
        assert_true(job->accepted);
        assert_int_equal(nm_msg_decode(job->frame.ptr, job->frame.len, &arena, &msg, NULL), NM_OK);
        assert_int_equal(msg.u.response.task, job->number);
        assert_true(msg.u.response.accepted);
        assert_int_equal(msg.u.response.tokens_in, 7);
        assert_int_equal(msg.u.response.cost_micros, 10);
        assert_string_equal(msg.u.response.body.ptr, good);
    }
    nm_arena_clean_up(&arena);
}

/* Entries in the spool, and whether that one is among them. */
static size_t spooled(struct fixture *f, uint64_t task, bool *has)
{
    struct nm_arena arena;
    struct nm_spool_key *keys;
    size_t n, others;
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_spool_keys(f->spool, &arena, &keys, &n, &others, NULL), NM_OK);
    *has = false;
    for (size_t i = 0; i < n; i++)
        *has |= keys[i].task == task;
    nm_arena_clean_up(&arena);
    return n;
}

static void test_batches(void **state)
{
    struct fixture *f = *state;
    bool has;
    for (uint64_t round = 0; round < 5; round++) {
        struct nm_job_queue batch = {0};
        struct nm_job *job;
        for (uint64_t i = 0; i < BATCH; i++)
            nm_job_push(&batch, answered(round * BATCH + i));
        nm_judge_give(f->judge, &batch);
        assert_true(nm_judge_busy(f->judge));
        assert_int_equal(batch.n, 0);
        if (round > 0) /* acknowledged while the thread writes */
            for (uint64_t i = 0; i < BATCH; i++)
                assert_int_equal(nm_spool_drop(f->spool, (struct nm_spool_key){(round - 1) * BATCH + i, 1}), NM_OK);
        take(f, &batch);
        assert_int_equal(batch.n, BATCH);
        size_t n = spooled(f, round * BATCH + 7, &has);
        assert_true(has);
        assert_true(n >= BATCH && n <= 2 * BATCH);
        for (uint64_t i = 0; (job = nm_job_pop(&batch)) != NULL; i++) {
            assert_int_equal(job->number, round * BATCH + i);
            check_verdict(job);
            nm_job_destroy(&job);
        }
    }
}

/* Without an answer a batch only commits what was dropped. */
static void test_nothing_but_drops(void **state)
{
    struct fixture *f = *state;
    struct nm_job_queue batch = {0};
    bool has;
    for (uint64_t i = 0; i < 5 * BATCH; i++)
        assert_int_equal(nm_spool_drop(f->spool, (struct nm_spool_key){i, 1}), NM_OK);
    nm_judge_give(f->judge, &batch);
    take(f, &batch);
    assert_int_equal(batch.n, 0);
    assert_int_equal(spooled(f, 0, &has), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_batches), cmocka_unit_test(test_nothing_but_drops)};
    return cmocka_run_group_tests(tests, set_up, clean_up);
}
