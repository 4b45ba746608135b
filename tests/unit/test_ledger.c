#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/ledger.h"
#include "broker/record.h"
#include "common/log.h"
#include "tests/unit/temp_dir.h"

enum { ENTITIES = 200 };

static const struct nm_ledger_setting settings[] = {{"seed", "the seed", "7"},
                                                    {"words", "generation: words", "3 to 9"}};

static struct nm_ledger *must_open(void)
{
    struct nm_ledger *ledger;
    struct nm_diag diag = {""};
    if (nm_ledger_open(temp_dir, settings, 2, ENTITIES, &ledger, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return ledger;
}

static void commit(struct nm_ledger *ledger)
{
    struct nm_diag diag = {""};
    if (nm_ledger_commit(ledger, &diag) != NM_OK)
        fail_msg("%s", diag.text);
}

/* Closing without a commit is what a kill leaves. */
static struct nm_ledger *reopen(struct nm_ledger *ledger)
{
    nm_ledger_close(&ledger);
    return must_open();
}

static struct nm_msg_response response(uint64_t task, uint64_t attempt, bool accepted)
{
    return (struct nm_msg_response){.task = task,
                                    .attempt = attempt,
                                    .accepted = accepted,
                                    .text = nm_str("A text."),
                                    .rule = nm_str(accepted ? "" : "too_short"),
                                    .tokens_in = 5,
                                    .tokens_out = 6,
                                    .body = nm_str("{}")};
}

struct seen {
    struct nm_queue_task tasks[8];
    size_t n;
};

static enum nm_err see(void *ctx, const struct nm_queue_task *task)
{
    struct seen *seen = ctx;
    seen->tasks[seen->n++] = *task;
    return NM_OK;
}

static void test_open_tasks_come_back(void **state)
{
    (void)state;
    struct nm_ledger *ledger = must_open();
    uint32_t number;
    struct nm_queue_task task = {.task = 9, .attempt = 2, .worker = 0, .state = NM_TASK_LEASED, .due_ms = -5};
    struct nm_queue_task ended;
    assert_int_equal(nm_ledger_worker(ledger, NM_QUEUE_GENERATOR, nm_str("g"), nm_str(""), &number), NM_OK);
    assert_int_equal(number, 0);
    assert_int_equal(nm_ledger_task(ledger, &task), NM_OK);
    commit(ledger);
    task.attempt = 3;
    assert_int_equal(nm_ledger_task(ledger, &task), NM_OK);
    ledger = reopen(ledger); /* not committed: the second writing never was */
    struct seen seen = {.n = 0};
    assert_int_equal(nm_ledger_restore(ledger, see, &seen, NULL), NM_OK);
    assert_int_equal(seen.n, 1);
    task.attempt = 2;
    assert_memory_equal(&seen.tasks[0], &task, sizeof task);
    assert_int_equal(nm_ledger_ended(ledger, 9, &ended, NULL), NM_ENOENT);
    task.state = NM_TASK_DONE;
    assert_int_equal(nm_ledger_task(ledger, &task), NM_OK);
    commit(ledger);
    ledger = reopen(ledger);
    seen.n = 0;
    assert_int_equal(nm_ledger_restore(ledger, see, &seen, NULL), NM_OK);
    assert_int_equal(seen.n, 0);
    assert_int_equal(nm_ledger_ended(ledger, 9, &ended, NULL), NM_OK);
    assert_int_equal(ended.state, NM_TASK_DONE);
    assert_int_equal(ended.attempt, 2);
    assert_int_equal(ended.worker, 0);
    assert_int_equal(nm_ledger_get_worker(ledger, 0)->samples, 1);
    nm_ledger_close(&ledger);
}

/* Changes are a record a commit until they are many; then they go to the chunks.  An open adds both up. */
static void test_coverage_adds_up(void **state)
{
    (void)state;
    enum { MANY = (1 << 20) + 1 };
    struct nm_ledger *ledger = must_open();
    for (int round = 0; round < 3; round++) {
        assert_int_equal(nm_ledger_cover(ledger, 2, false), NM_OK);
        assert_int_equal(nm_ledger_cover(ledger, ENTITIES - 1, false), NM_OK);
        commit(ledger);
    }
    assert_int_equal(nm_ledger_cover(ledger, 2, true), NM_OK);
    commit(ledger);
    assert_int_equal(nm_ledger_cover(ledger, 0, false), NM_OK); /* not committed: forgotten */
    ledger = reopen(ledger);
    assert_int_equal(nm_ledger_get_coverage(ledger).sum, 5);
    assert_int_equal(nm_ledger_get_coverage(ledger).max, 3);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(nm_ledger_cover(ledger, 7, false), NM_OK);
    commit(ledger); /* writes the chunks */
    assert_int_equal(nm_ledger_cover(ledger, 7, false), NM_OK);
    commit(ledger);
    for (int round = 0; round < 2; round++) {
        ledger = reopen(ledger);
        assert_int_equal(nm_ledger_get_coverage(ledger).sum, 5 + MANY + 1);
        assert_int_equal(nm_ledger_get_coverage(ledger).max, MANY + 1);
    }
    nm_ledger_close(&ledger);
}

static void test_responses_and_counts(void **state)
{
    (void)state;
    struct nm_ledger *ledger = must_open();
    struct nm_msg_response no = response(3, 1, false), yes = response(3, 2, true), back;
    struct nm_arena arena;
    struct nm_buf packed;
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_ledger_response(ledger, &no), NM_OK);
    nm_buf_init(&packed, NM_FRAME_MAX);
    assert_int_equal(nm_response_encode(&yes, &packed), NM_OK);
    assert_int_equal(nm_ledger_response_packed(ledger, &yes, (struct nm_str){packed.data, packed.len}), NM_OK);
    nm_buf_clean_up(&packed);
    for (uint64_t e = 0; e < ENTITIES; e += 65)
        assert_int_equal(nm_ledger_cover(ledger, e, false), NM_OK);
    assert_int_equal(nm_ledger_cover(ledger, 65, false), NM_OK);
    assert_int_equal(nm_ledger_cover(ledger, 130, true), NM_OK);
    assert_int_equal(nm_ledger_cover(ledger, ENTITIES, false), NM_EINVAL);
    assert_int_equal(nm_ledger_read_response(ledger, 3, 1, &arena, &back, NULL), NM_ENOENT); /* not yet durable */
    commit(ledger);
    ledger = reopen(ledger);
    assert_int_equal(nm_ledger_read_response(ledger, 3, 1, &arena, &back, NULL), NM_OK);
    assert_string_equal(back.rule.ptr, "too_short");
    assert_int_equal(nm_ledger_read_response(ledger, 3, 2, &arena, &back, NULL), NM_OK);
    assert_true(back.accepted);
    assert_int_equal(nm_ledger_read_response(ledger, 3, 3, &arena, &back, NULL), NM_ENOENT);
    const struct nm_ledger_counters *c = nm_ledger_counters(ledger);
    assert_int_equal(c->calls, 2);
    assert_int_equal(c->accepted, 1);
    assert_int_equal(c->rejected, 1);
    assert_int_equal(c->tokens_in, 10);
    assert_int_equal(c->tokens_out, 12);
    struct nm_ledger_coverage coverage = nm_ledger_get_coverage(ledger);
    assert_int_equal(coverage.min, 0);
    assert_int_equal(coverage.max, 2);
    assert_int_equal(coverage.sum, 4);
    const struct nm_ledger_rule *rules;
    assert_int_equal(nm_ledger_rules(ledger, &rules), 1);
    assert_string_equal(rules[0].name, "too_short");
    assert_int_equal(rules[0].count, 1);
    nm_arena_clean_up(&arena);
    nm_ledger_close(&ledger);
}

static void test_workers_keep_their_numbers(void **state)
{
    (void)state;
    struct nm_ledger *ledger = must_open();
    uint32_t a, b, again;
    assert_int_equal(nm_ledger_worker(ledger, NM_QUEUE_ALIGNER, nm_str("same"), nm_str("tcp://1"), &a), NM_OK);
    assert_int_equal(nm_ledger_worker(ledger, NM_QUEUE_GENERATOR, nm_str("same"), nm_str(""), &b), NM_OK);
    assert_int_not_equal(a, b); /* a role is part of the name */
    commit(ledger);
    ledger = reopen(ledger);
    assert_int_equal(nm_ledger_worker_count(ledger), 2);
    assert_int_equal(nm_ledger_worker(ledger, NM_QUEUE_ALIGNER, nm_str("same"), nm_str("tcp://2"), &again), NM_OK);
    assert_int_equal(again, a);
    commit(ledger);
    ledger = reopen(ledger);
    assert_string_equal(nm_ledger_get_worker(ledger, a)->endpoint, "tcp://2");
    assert_int_equal(nm_ledger_get_worker(ledger, b)->role, NM_QUEUE_GENERATOR);
    assert_null(nm_ledger_get_worker(ledger, 2));
    nm_ledger_close(&ledger);
}

static void test_run_and_settings(void **state)
{
    (void)state;
    struct nm_ledger *ledger = must_open();
    struct nm_diag diag = {""};
    char run[64];
    snprintf(run, sizeof run, "%s", nm_ledger_run(ledger));
    assert_true(strncmp(run, "run-", 4) == 0 && strlen(run) == 20);
    ledger = reopen(ledger);
    assert_string_equal(nm_ledger_run(ledger), run);
    nm_ledger_close(&ledger);
    struct nm_ledger_setting changed[2];
    memcpy(changed, settings, sizeof changed);
    strcpy(changed[1].value, "3 to 90");
    assert_int_equal(nm_ledger_open(temp_dir, changed, 2, ENTITIES, &ledger, &diag), NM_EINVAL);
    assert_null(ledger);
    assert_non_null(strstr(diag.text, "generation: words changed"));
    assert_non_null(strstr(diag.text, "it was 3 to 9 and is now 3 to 90"));
    assert_non_null(strstr(diag.text, "another state directory"));
    ledger = must_open(); /* and nothing was spoilt by that */
    nm_ledger_close(&ledger);
}

static void test_too_many_rules(void **state)
{
    (void)state;
    struct nm_ledger *ledger = must_open();
    char name[32];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "rule_%d", i);
        assert_int_equal(nm_ledger_count_rule(ledger, nm_str(name)), NM_OK);
    }
    assert_int_equal(nm_ledger_count_rule(ledger, nm_str("")), NM_OK);
    commit(ledger);
    ledger = reopen(ledger);
    const struct nm_ledger_rule *rules;
    assert_int_equal(nm_ledger_rules(ledger, &rules), NM_LEDGER_RULES_MAX);
    assert_string_equal(rules[NM_LEDGER_RULES_MAX - 1].name, "other");
    assert_int_equal(rules[NM_LEDGER_RULES_MAX - 1].count, 200 - (NM_LEDGER_RULES_MAX - 1) + 1);
    nm_ledger_close(&ledger);
}

static void test_one_process_at_a_time(void **state)
{
    (void)state;
    struct nm_ledger *ledger = must_open(), *other;
    struct nm_diag diag = {""};
    assert_int_equal(nm_ledger_open(temp_dir, settings, 2, ENTITIES, &other, &diag), NM_EBUSY);
    nm_ledger_close(&ledger);
}

static void test_records_are_checked(void **state)
{
    (void)state;
    struct nm_buf buf;
    size_t len;
    nm_buf_init(&buf, 64);
    assert_int_equal(nm_record_put(&buf, 0x1234567890, 5), NM_OK);
    assert_int_equal(nm_record_put_text(&buf, "abc", 3), NM_OK);
    struct nm_record in = {(const unsigned char *)buf.data, buf.len, false};
    assert_int_equal(nm_record_get(&in, 5), 0x1234567890);
    assert_memory_equal(nm_record_get_text(&in, &len), "abc", 3);
    assert_false(in.bad);
    assert_int_equal(nm_record_get(&in, 1), 0);
    assert_true(in.bad);
    in = (struct nm_record){(const unsigned char *)"\xff\xff"
                                                   "ab",
                            4, false};
    assert_null(nm_record_get_text(&in, &len)); /* a length beyond the record */
    assert_true(in.bad);
    nm_buf_clean_up(&buf);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_dir_make, temp_dir_remove)

static void test_troubles_of_entities(void **state)
{
    (void)state;
    struct nm_ledger *ledger = must_open();
    struct nm_diag diag = {""};
    const uint64_t pair[] = {3, 7}, alone[] = {7};
    uint64_t counts[NM_LEDGER_RULES_MAX], read[4];
    uint32_t n;
    for (int i = 0; i < 300; i++) { /* a count of more than one byte */
        assert_int_equal(nm_ledger_count_rule(ledger, nm_str("length")), NM_OK);
        assert_int_equal(nm_ledger_reject(ledger, 7, nm_str("length"), i < 9), NM_OK);
        if (i % 100 == 0)
            commit(ledger);
    }
    assert_int_equal(nm_ledger_count_rule(ledger, nm_str("entity")), NM_OK);
    assert_int_equal(nm_ledger_reject(ledger, 7, nm_str("entity"), false), NM_OK);
    assert_int_equal(nm_ledger_reject(ledger, 3, nm_str("entity"), true), NM_OK);
    assert_int_equal(nm_ledger_extra(ledger, NM_TASK_EXTRA, pair, 2), NM_OK);
    assert_int_equal(nm_ledger_extra(ledger, NM_TASK_EXTRA + 1, alone, 1), NM_OK);
    assert_int_equal(nm_ledger_cover(ledger, 3, false), NM_OK);
    assert_int_equal(nm_ledger_reject(ledger, ENTITIES, nm_str("entity"), true), NM_EINVAL);
    commit(ledger);
    for (int round = 0; round < 2; round++) {
        struct nm_ledger_entity e = nm_ledger_get_entity(ledger, 7);
        assert_int_equal(e.rejected, 301);
        assert_int_equal(e.in_a_row, 301);
        assert_int_equal(e.asked, 2);
        assert_int_equal(e.alone, 9);
        assert_int_equal(e.accepted, 0);
        e = nm_ledger_get_entity(ledger, 3);
        assert_int_equal(e.rejected, 1);
        assert_int_equal(e.in_a_row, 0);
        assert_int_equal(e.asked, 1);
        assert_int_equal(e.alone, 0);
        assert_int_equal(e.accepted, 1);
        assert_int_equal(nm_ledger_read_rejections(ledger, 7, counts, &diag), NM_OK);
        assert_int_equal(counts[0], 300);
        assert_int_equal(counts[1], 1);
        assert_int_equal(counts[2], 0);
        assert_int_equal(nm_ledger_read_extra(ledger, NM_TASK_EXTRA, read, 4, &n, &diag), NM_OK);
        assert_int_equal(n, 2);
        assert_int_equal(read[1], 7);
        assert_int_equal(nm_ledger_read_extra(ledger, NM_TASK_EXTRA, read, 1, &n, &diag), NM_EFORMAT);
        assert_int_equal(nm_ledger_read_extra(ledger, 5, read, 4, &n, &diag), NM_ENOENT);
        ledger = reopen(ledger);
    }
    nm_ledger_close(&ledger);
}

/* Dead letters in order and by pages; a kicked one is gone; failed calls and notes come back. */
static void test_dead_letters(void **state)
{
    (void)state;
    struct nm_ledger *ledger = must_open();
    struct nm_ledger_dead list[8];
    struct nm_ledger_failed failed;
    struct nm_queue_task ended;
    struct nm_buf note;
    char endless[700];
    size_t n = 9;
    memset(endless, 'x', sizeof endless);
    endless[sizeof endless - 1] = '\0';
    nm_buf_init(&note, 1000);
    for (uint64_t task = 0; task < 5; task++) {
        struct nm_queue_task dead = {
            .task = task * 10, .attempt = 3, .worker = NM_QUEUE_NOBODY, .state = NM_TASK_DEAD};
        assert_int_equal(nm_ledger_task(ledger, &dead), NM_OK);
    }
    assert_int_equal(nm_ledger_bury(ledger, 20, 3, "no use"), NM_OK); /* the last word of a commit counts */
    struct nm_msg_failure failure = {.task = 7,
                                     .attempt = 2,
                                     .kind = nm_str("http"),
                                     .endpoint = nm_str("local"),
                                     .detail = nm_str(endless),
                                     .status = 503};
    assert_int_equal(nm_ledger_failure(ledger, &failure, 1, 1000), NM_OK);
    assert_int_equal(nm_ledger_failure(ledger, &failure, 2, 2000), NM_OK);
    assert_int_equal(nm_ledger_note(ledger, "desk", "old", 3), NM_OK);
    assert_int_equal(nm_ledger_note(ledger, "desk", "new\0bytes", 9), NM_OK);
    assert_int_equal(nm_ledger_list_dead(ledger, 0, list, 8, &n, NULL), NM_OK);
    assert_int_equal(n, 0); /* not yet durable */
    commit(ledger);
    ledger = reopen(ledger);
    assert_int_equal(nm_ledger_list_dead(ledger, 5, list, 2, &n, NULL), NM_OK);
    assert_int_equal(n, 2);
    assert_int_equal(list[0].task, 10);
    assert_false(list[0].by_hand);
    assert_int_equal(list[1].task, 20);
    assert_true(list[1].by_hand);
    assert_string_equal(list[1].why, "no use");
    assert_int_equal(list[1].attempt, 3);
    assert_true(list[1].at_ms > 0);
    assert_int_equal(nm_ledger_reopen(ledger, 20), NM_OK);
    struct nm_queue_task open = {
        .task = 20, .attempt = 4, .base = 3, .worker = NM_QUEUE_NOBODY, .state = NM_TASK_READY};
    assert_int_equal(nm_ledger_task(ledger, &open), NM_OK);
    commit(ledger);
    ledger = reopen(ledger);
    struct seen seen = {.n = 0};
    assert_int_equal(nm_ledger_restore(ledger, see, &seen, NULL), NM_OK);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.tasks[0].base, 3);
    assert_int_equal(nm_ledger_ended(ledger, 20, &ended, NULL), NM_ENOENT);
    assert_int_equal(nm_ledger_list_dead(ledger, 0, list, 8, &n, NULL), NM_OK);
    assert_int_equal(n, 4);
    assert_int_equal(nm_ledger_list_dead(ledger, 41, list, 8, &n, NULL), NM_OK);
    assert_int_equal(n, 0);
    assert_int_equal(nm_ledger_read_failure(ledger, 7, 2, &failed, NULL), NM_OK);
    assert_int_equal(failed.count, 2);
    assert_int_equal(failed.at_ms, 2000);
    assert_int_equal(failed.status, 503);
    assert_string_equal(failed.kind, "http");
    assert_int_equal(strlen(failed.detail), sizeof failed.detail - 1);
    assert_int_equal(nm_ledger_read_failure(ledger, 7, 1, &failed, NULL), NM_OK);
    assert_int_equal(failed.count, 0);
    assert_int_equal(nm_ledger_read_note(ledger, "desk", &note, NULL), NM_OK);
    assert_int_equal(note.len, 9);
    assert_memory_equal(note.data, "new\0bytes", 9);
    assert_int_equal(nm_ledger_read_note(ledger, "none", &note, NULL), NM_ENOENT);
    nm_buf_clean_up(&note);
    nm_ledger_close(&ledger);
}

int main(void)
{
    nm_log_init("test");
    nm_log_set_level("error");
    const struct CMUnitTest tests[] = {
        TEST(test_dead_letters),         TEST(test_troubles_of_entities),       TEST(test_open_tasks_come_back),
        TEST(test_responses_and_counts), TEST(test_workers_keep_their_numbers), TEST(test_run_and_settings),
        TEST(test_too_many_rules),       TEST(test_one_process_at_a_time),      TEST(test_records_are_checked),
        TEST(test_coverage_adds_up),
    };
    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
