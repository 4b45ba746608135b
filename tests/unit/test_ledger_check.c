/* A whole ledger is damaged in each way there is, and the check must find it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/ledger.h"
#include "broker/ledger_check.h"
#include "broker/plan.h"
#include "broker/record.h"
#include "common/log.h"
#include "common/store.h"
#include "tests/unit/temp_dir.h"

enum { ENTITIES = 200, ALIGNER = 1, OTHER_ALIGNER = 2 };

static struct nm_ledger *ledger;
static struct nm_plan *plan;

static const struct nm_ledger_setting settings[] = {
    {"seed", "", "7"},
    {"entities", "", "200 entities with digest 0000000000000001"},
    {"per_sample", "", "1 to 3"},
    {"negatives", "", "0.1"},
    {"words", "", "3 to 9"},
    {"styles", "", "0 with digest 0000000000000000"},
    {"sections", "", "0 with digest 0000000000000000"},
};

/* ---- a whole ledger ---------------------------------------------------------------------------------------------
 */

static void put_task(uint64_t task, uint32_t attempt, enum nm_task_state state, uint32_t worker)
{
    struct nm_queue_task t = {.task = task, .attempt = attempt, .state = state, .worker = worker};
    assert_int_equal(nm_ledger_task(ledger, &t), NM_OK);
}

static struct nm_msg_response answer(uint64_t task, uint64_t attempt, bool accepted)
{
    return (struct nm_msg_response){.task = task,
                                    .attempt = attempt,
                                    .accepted = accepted,
                                    .text = nm_str("A text."),
                                    .rule = nm_str(accepted ? "" : "too_short"),
                                    .tokens_in = 5,
                                    .tokens_out = 6,
                                    .cost_micros = 3,
                                    .body = nm_str("{}")};
}

static void put_answer(uint64_t task, uint64_t attempt, bool accepted)
{
    struct nm_msg_response r = answer(task, attempt, accepted);
    assert_int_equal(nm_ledger_response(ledger, &r), NM_OK);
}

static void cover(uint64_t task, bool less)
{
    struct nm_plan_task t;
    nm_plan_task(plan, task, &t);
    for (uint32_t i = 0; i < t.n_entities; i++)
        assert_int_equal(nm_ledger_cover(ledger, t.entities[i], less), NM_OK);
}

static void accept(uint64_t task, uint64_t attempt)
{
    put_answer(task, attempt, true);
    cover(task, false);
}

static void add_workers(void)
{
    static const struct {
        enum nm_queue_role role;
        const char *id;
    } workers[] = {{NM_QUEUE_GENERATOR, "g"}, {NM_QUEUE_ALIGNER, "a"}, {NM_QUEUE_ALIGNER, "b"}};
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t number;
        assert_int_equal(nm_ledger_worker(ledger, workers[i].role, nm_str(workers[i].id), nm_str(""), &number),
                         NM_OK);
        assert_int_equal(number, i);
    }
}

/* Tasks 0 to 9: every state there is, one that took three attempts, one buried before its answer. */
static void fill(void)
{
    add_workers();
    accept(0, 1);
    put_task(0, 1, NM_TASK_DONE, ALIGNER);
    put_answer(1, 1, false);
    put_answer(1, 2, false);
    accept(1, 3);
    put_task(1, 3, NM_TASK_DONE, ALIGNER);
    put_answer(2, 1, false);
    put_answer(2, 2, false);
    put_task(2, 2, NM_TASK_DEAD, NM_QUEUE_NOBODY);
    accept(3, 1);
    cover(3, true);
    assert_int_equal(nm_ledger_count_rule(ledger, nm_str("no_mention")), NM_OK);
    put_task(3, 1, NM_TASK_DROPPED, NM_QUEUE_NOBODY);
    put_task(4, 1, NM_TASK_READY, NM_QUEUE_NOBODY);
    put_answer(5, 1, false);
    put_task(5, 2, NM_TASK_LEASED, 0);
    put_task(6, 1, NM_TASK_DELAYED, NM_QUEUE_NOBODY);
    accept(7, 1);
    put_task(7, 1, NM_TASK_ACCEPTED, NM_QUEUE_NOBODY);
    put_answer(8, 1, false);
    accept(8, 2);
    put_task(8, 2, NM_TASK_ALIGNING, OTHER_ALIGNER);
    put_task(9, 1, NM_TASK_DEAD, NM_QUEUE_NOBODY);
    assert_int_equal(nm_ledger_bury(ledger, 9, 1, "no use"), NM_OK);
    const uint64_t again[] = {17};
    assert_int_equal(nm_ledger_extra(ledger, NM_TASK_EXTRA, again, 1), NM_OK);
    put_answer(NM_TASK_EXTRA, 1, true);
    assert_int_equal(nm_ledger_cover(ledger, 17, false), NM_OK);
    put_task(NM_TASK_EXTRA, 1, NM_TASK_DONE, OTHER_ALIGNER);
    struct nm_ledger_counters *c = nm_ledger_counters(ledger);
    c->opened = 10;
    c->extra = 1;
    c->done = 3;
    c->dead = 2;
    c->dropped = 1;
}

static void open_ledger(void)
{
    struct nm_diag diag = {""};
    if (nm_ledger_open(temp_dir, settings, sizeof settings / sizeof settings[0], ENTITIES, &ledger, &diag) != NM_OK)
        fail_msg("%s", diag.text);
}

static void commit(void)
{
    struct nm_diag diag = {""};
    if (nm_ledger_commit(ledger, &diag) != NM_OK)
        fail_msg("%s", diag.text);
}

static int make(void **state)
{
    (void)state;
    const struct nm_plan_options o = {.seed = 7,
                                      .entities = ENTITIES,
                                      .min_entities = 1,
                                      .max_entities = 3,
                                      .negatives = 0.1,
                                      .min_words = 3,
                                      .max_words = 9,
                                      .styles = 8};
    assert_int_equal(temp_dir_make(state), 0);
    assert_int_equal(nm_plan_new(&o, &plan, NULL), NM_OK);
    open_ledger();
    fill();
    commit();
    return 0;
}

static int clean_up(void **state)
{
    nm_ledger_close(&ledger);
    nm_plan_destroy(&plan);
    return temp_dir_remove(state);
}

/* ---- damage ---------------------------------------------------------------------------------- */

struct edit {
    struct nm_db db;
    struct nm_key key;
    const unsigned char *data; /* NULL: delete it */
    size_t len;
};

static enum nm_err apply(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    (void)diag;
    const struct edit *e = ctx;
    return e->data ? nm_txn_put(txn, e->db, e->key, e->data, e->len) : nm_txn_del(txn, e->db, e->key);
}

static void edit(const char *db, struct nm_key key, const void *data, size_t len)
{
    struct nm_store_options options = {.path = temp_dir, .kind = "ledger", .schema = NM_LEDGER_SCHEMA};
    struct nm_store *store;
    struct edit e = {.key = key, .data = data, .len = len};
    struct nm_diag diag = {""};
    nm_ledger_close(&ledger);
    assert_int_equal(nm_store_open(&options, &store, NULL, &diag), NM_OK);
    assert_int_equal(nm_store_db(store, db, &e.db, &diag), NM_OK);
    assert_int_equal(nm_store_write(store, apply, &e, &diag), NM_OK);
    nm_store_close(&store);
}

static void edit_task(const char *db, uint64_t task, int state, uint32_t attempt, uint32_t worker)
{
    struct nm_buf bytes;
    nm_buf_init(&bytes, 64);
    assert_int_equal(nm_record_put(&bytes, (uint64_t)state, 1), NM_OK);
    assert_int_equal(nm_record_put(&bytes, attempt, 4), NM_OK);
    assert_int_equal(nm_record_put(&bytes, worker, 4), NM_OK);
    if (strcmp(db, "open") == 0) {
        assert_int_equal(nm_record_put(&bytes, 0, 8), NM_OK);
        assert_int_equal(nm_record_put(&bytes, 0, 8), NM_OK);
    }
    edit(db, nm_key_u64(task), bytes.data, bytes.len);
    nm_buf_clean_up(&bytes);
}

static void edit_answer(uint64_t task, uint64_t attempt, const struct nm_msg_response *r)
{
    struct nm_buf bytes;
    nm_buf_init(&bytes, 4096);
    assert_int_equal(nm_response_encode(r, &bytes), NM_OK);
    edit("responses", nm_key_u64x2(task, attempt), bytes.data, bytes.len);
    nm_buf_clean_up(&bytes);
}

/* ---- looking -----------------------------------------------------------------------------------------------------
 */

static char lines[1 << 16];

static void note(void *ctx, const char *line)
{
    (void)ctx;
    size_t len = strlen(lines);
    snprintf(lines + len, sizeof lines - len, "%s\n", line);
}

static struct nm_ledger_findings check(void)
{
    struct nm_ledger_findings findings;
    struct nm_diag diag = {""};
    lines[0] = '\0';
    if (nm_ledger_check(temp_dir, note, NULL, &findings, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return findings;
}

static void expect_whole(void)
{
    struct nm_ledger_findings f = check();
    if (f.violations)
        fail_msg("%llu violations:\n%s", (unsigned long long)f.violations, lines);
}

static void expect(const char *words)
{
    struct nm_ledger_findings f = check();
    assert_true(f.violations > 0);
    if (!strstr(lines, words))
        fail_msg("nothing about \"%s\" in:\n%s", words, lines);
}

/* ---- tests -------------------------------------------------------------------------------------------------------
 */

static void test_whole(void **state)
{
    (void)state;
    struct nm_ledger_findings f = check(); /* beside the open ledger */
    if (f.violations)
        fail_msg("%s", lines);
    assert_int_equal(f.open, 5);
    assert_int_equal(f.done, 3);
    assert_int_equal(f.dead, 2);
    assert_int_equal(f.dropped, 1);
    assert_int_equal(f.answers, 12);
    assert_int_equal(f.accepted, 6);
    assert_int_equal(f.workers, 3);
    assert_int_equal(f.entities, ENTITIES);
    assert_int_equal(f.aside, 0);
}

static void test_fresh(void **state)
{
    (void)state;
    char command[256];
    nm_ledger_close(&ledger);
    snprintf(command, sizeof command, "rm -rf %s/data.mdb %s/lock.mdb", temp_dir, temp_dir);
    assert_int_equal(system(command), 0);
    open_ledger();
    expect_whole();
}

/* An accepted text is buried and the task kicked: it goes on after the answer it had. */
static void test_kicked(void **state)
{
    (void)state;
    cover(7, true);
    put_task(7, 1, NM_TASK_DEAD, NM_QUEUE_NOBODY);
    assert_int_equal(nm_ledger_bury(ledger, 7, 1, ""), NM_OK);
    nm_ledger_counters(ledger)->dead++;
    commit();
    expect_whole();
    assert_int_equal(nm_ledger_reopen(ledger, 7), NM_OK);
    struct nm_queue_task t = {.task = 7, .attempt = 2, .base = 1, .state = NM_TASK_READY, .worker = NM_QUEUE_NOBODY};
    assert_int_equal(nm_ledger_task(ledger, &t), NM_OK);
    nm_ledger_counters(ledger)->dead--;
    commit();
    assert_int_equal(check().aside, 1);
    expect_whole();
    accept(7, 2);
    put_task(7, 2, NM_TASK_DONE, ALIGNER);
    nm_ledger_counters(ledger)->done++;
    commit();
    assert_int_equal(check().aside, 1);
    expect_whole();
    nm_ledger_counters(ledger)->kicked = 0;
    commit();
    expect("1 tasks went on after an accepted answer, and 0 were kicked");
}

static void test_open_tasks(void **state)
{
    (void)state;
    edit_task("open", 4, 9, 1, NM_QUEUE_NOBODY);
    expect("open task 4: a record that can't be");
    edit_task("open", 4, NM_TASK_READY, 0, NM_QUEUE_NOBODY);
    expect("open task 4: a record that can't be");
    edit("open", nm_key_u64(4), "abc", 3);
    expect("open task 4: a record that can't be");
    edit_task("open", 4, NM_TASK_READY, 1, 0);
    expect("task 4 is ready, and with worker 0");
    edit_task("open", 4, NM_TASK_LEASED, 1, NM_QUEUE_NOBODY);
    expect("task 4 is leased with worker 4294967295, which there is not");
    edit_task("open", 4, NM_TASK_LEASED, 1, ALIGNER);
    expect("task 4 is leased with worker 1, which is of the other role");
    edit_task("open", 4, NM_TASK_LEASED, 1, 0);
    expect_whole();
    edit("open", nm_key_text("four"), "", 0);
    expect("open: a key of 4 bytes");
    edit("open", nm_key_text("four"), NULL, 0);
    edit("open", nm_key_u64(4), NULL, 0);
    expect("counter opened and extra is 11, and the databases hold 10");
    edit_task("open", 10, NM_TASK_READY, 1, NM_QUEUE_NOBODY);
    expect("task 10 is there, and only 10 were taken from the plan");
}

static void test_ended_tasks(void **state)
{
    (void)state;
    edit_task("open", 0, NM_TASK_READY, 1, NM_QUEUE_NOBODY);
    expect("task 0 is both open and ended");
    edit("open", nm_key_u64(0), NULL, 0);
    edit("ended", nm_key_u64(0), "\x06", 1);
    expect("ended task 0: a record that can't be");
    edit_task("ended", 0, NM_TASK_DONE, 1, 0);
    expect("task 0 is done with worker 0, which is of the other role");
    edit_task("ended", 0, NM_TASK_DONE, 1, OTHER_ALIGNER);
    expect("worker 1 is said to own 2 samples, and 1 tasks are done with it");
    edit_task("ended", 0, NM_TASK_DROPPED, 1, NM_QUEUE_NOBODY);
    expect("counter done is 3, and the databases hold 2");
    edit("ended", nm_key_u64(0), NULL, 0);
    expect("task 0 has answers, and is neither open nor ended");
}

static void test_dead_letters(void **state)
{
    (void)state;
    edit("dead", nm_key_u64(2), NULL, 0);
    expect("task 2 is dead, and there is no letter of it");
    edit("dead", nm_key_u64(2), "\0\0", 2);
    edit("dead", nm_key_u64(0), "\0\0", 2);
    expect("task 0 is done, and there is a dead letter of it");
    edit("dead", nm_key_u64(0), NULL, 0);
    edit("dead", nm_key_u64(90), "\0\0", 2);
    expect("there are 3 dead letters, and 2 of them");
}

static void test_answers(void **state)
{
    (void)state;
    struct nm_msg_response r = answer(1, 2, true);
    edit_answer(1, 2, &r);
    expect("1 tasks went on after an accepted answer, and 0 were kicked");
    r = answer(1, 2, false);
    edit_answer(1, 2, &r);
    expect_whole();
    edit("responses", nm_key_u64x2(1, 2), NULL, 0);
    expect("task 1: the answer to attempt 3 follows that to attempt 1");
    r = answer(3, 2, false);
    edit_answer(1, 2, &r);
    expect("task 1: the answer to attempt 2 says it is task 3, attempt 2");
    edit("responses", nm_key_u64x2(1, 2), "\xff\xff", 2);
    expect("task 1: the answer to attempt 2 can't be read");
    r = answer(1, 2, false);
    edit_answer(1, 2, &r);
    edit("responses", nm_key_u64x2(0, 1), NULL, 0);
    expect("task 0 is done at attempt 1, and the last answer is to attempt 0");
}

static void test_verdicts(void **state)
{
    (void)state;
    struct nm_msg_response r = answer(0, 1, false);
    edit_answer(0, 1, &r);
    expect("task 0 is done, and its answer to attempt 1 was rejected");
    r = answer(0, 1, true);
    edit_answer(0, 1, &r);
    r = answer(2, 2, true);
    edit_answer(2, 2, &r);
    expect("task 2 is dead, and its answer to attempt 2 was accepted");
    r = answer(2, 2, false);
    edit_answer(2, 2, &r);
    r = answer(5, 1, true);
    edit_answer(5, 1, &r);
    expect("task 5 is leased at attempt 2, though its answer to attempt 1 was accepted");
}

static void test_counters(void **state)
{
    (void)state;
    struct nm_ledger_counters *c = nm_ledger_counters(ledger);
    const struct nm_ledger_counters right = *c;
    const struct {
        uint64_t *counter;
        const char *words;
    } each[] = {{&c->done, "counter done is 4, and the databases hold 3"},
                {&c->dead, "counter dead is 3, and the databases hold 2"},
                {&c->dropped, "counter dropped is 2, and the databases hold 1"},
                {&c->calls, "counter calls is 13, and the databases hold 12"},
                {&c->accepted, "counter accepted is 7, and the databases hold 6"},
                {&c->rejected, "counter rejected is 7, and the databases hold 6"},
                {&c->tokens_in, "counter tokens_in is 61, and the databases hold 60"},
                {&c->tokens_out, "counter tokens_out is 73, and the databases hold 72"},
                {&c->cost_micros, "counter cost_micros is 37, and the databases hold 36"}};
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        ++*each[i].counter;
        commit();
        expect(each[i].words);
        *c = right;
    }
    commit();
    expect_whole();
    edit("state", nm_key_text("counters"), "abc", 3);
    expect("the counters: a record of 3 bytes");
}

static void test_rules(void **state)
{
    (void)state;
    assert_int_equal(nm_ledger_count_rule(ledger, nm_str("too_short")), NM_OK);
    commit();
    expect("counter of all rules is 8, and the databases hold 7");
    edit("state", nm_key_text("rules"), "\5\0\0\0\0\0\0\0\011\0too_short\2\0\0\0\0\0\0\0\012\0no_mention", 39);
    expect("rule too_short is counted 5 times, and rejected 6 answers");
    edit("state", nm_key_text("rules"), NULL, 0);
    expect("an answer was rejected by too_short, which is not counted");
    edit("state", nm_key_text("rules"), "\5\0", 2);
    expect("the rules can't be read");
}

static void test_workers(void **state)
{
    (void)state;
    edit("workers", nm_key_u64(2), NULL, 0);
    expect("task 8 is aligning with worker 2, which there is not");
    edit("workers", nm_key_u64(5), "x", 1);
    expect("worker 5: a record that can't be");
}

static void test_coverage(void **state)
{
    (void)state;
    struct nm_plan_task t;
    nm_plan_task(plan, 0, &t);
    assert_true(t.n_entities > 0);
    char words[64];
    snprintf(words, sizeof words, "entity %llu is covered by 1 more", (unsigned long long)t.entities[0]);
    assert_int_equal(nm_ledger_cover(ledger, t.entities[0], false), NM_OK);
    commit();
    expect(words);
    assert_int_equal(nm_ledger_cover(ledger, t.entities[0], true), NM_OK);
    commit();
    expect_whole();
    edit("covered_since", nm_key_u64(9), "abcd", 4);
    expect("covered_since: record 9");
    edit("covered_since", nm_key_u64(9), NULL, 0);
    edit("coverage", nm_key_u64(3),
         "abcd"
         "abcd"
         "abcd"
         "abcd"
         "abcd"
         "abcd"
         "abcd"
         "abcd"
         "abcd",
         36);
    expect("coverage: chunk 3 holds 36 bytes, of 200 entities");
    edit("coverage", nm_key_u64(3), NULL, 0);
    edit("covered_since", nm_key_u64(0), NULL, 0);
    expect("is covered by -1 more");
}

static void test_extra(void **state)
{
    (void)state;
    edit("extra", nm_key_u64(NM_TASK_EXTRA), NULL, 0);
    expect("extra task 140737488355328: what it asks for is not there");
    expect("entity 17 is asked for again by 1 more");
    expect("counter extra is 1, and the databases hold 0");
    edit("extra", nm_key_u64(NM_TASK_EXTRA), "\xff\0\0\0\0\0\0\0", 8);
    expect("extra task 140737488355328 asks for what can't be");
    edit("extra", nm_key_u64(NM_TASK_EXTRA), "\x11\0\0\0\0\0\0\0", 8);
    expect_whole();
    edit("extra", nm_key_u64(NM_TASK_EXTRA + 1), "\x11\0\0\0\0\0\0\0", 8);
    expect("extra: task 140737488355329, and 1 were opened");
    edit("extra", nm_key_u64(NM_TASK_EXTRA + 1), NULL, 0);
    edit("troubled", nm_key_u64(17), "abc", 3);
    expect("troubled: a record of 3 bytes of entity 17");
    edit("troubled", nm_key_u64(17), "\x01\0\0\0\x02\0\x03\0", 8);
    expect("entity 17: of 2 answers rejected in a row, 3 asked for it alone");
    edit_task("open", NM_TASK_EXTRA + 1, NM_TASK_READY, 1, NM_QUEUE_NOBODY);
    expect("extra task 140737488355329 is there, and only 1 were opened");
}

static void test_settings(void **state)
{
    (void)state;
    edit("settings", nm_key_text("seed"), NULL, 0);
    expect("settings: they do not give the plan");
    edit("settings", nm_key_text("seed"), "8", 1);
    expect("is covered by");
    edit("settings", nm_key_text("run"), NULL, 0);
    expect("settings: the run has no id");
}

static uint64_t never_listed(void *ctx, struct nm_str type, struct nm_str text)
{
    (void)ctx;
    (void)type;
    (void)text;
    return UINT64_MAX;
}

static struct nm_ledger_renewal renew(const char *seed, bool fresh)
{
    struct nm_ledger_setting changed[sizeof settings / sizeof settings[0]];
    struct nm_ledger_renewal renewal = {.fresh = fresh, .find = never_listed};
    struct nm_diag diag = {""};
    memcpy(changed, settings, sizeof changed);
    strcpy(changed[0].value, seed);
    nm_ledger_close(&ledger);
    assert_int_equal(
        nm_ledger_open(temp_dir, changed, sizeof settings / sizeof settings[0], ENTITIES, &ledger, &diag), NM_EINVAL);
    struct nm_ledger_look look;
    assert_int_equal(nm_ledger_look(temp_dir, changed, sizeof settings / sizeof settings[0], ENTITIES, never_listed,
                                    NULL, &look, &diag),
                     NM_OK);
    free(look.covered);
    assert_int_equal(look.n_changes, 1);
    assert_string_equal(look.changes[0].now, seed);
    if (nm_ledger_open_renewing(temp_dir, changed, sizeof settings / sizeof settings[0], ENTITIES, &renewal, &ledger,
                                &diag) != NM_OK)
        fail_msg("%s", diag.text);
    assert_true(renewal.happened);
    struct nm_ledger_renewal said = fresh ? look.fresh : look.keep;
    assert_int_equal(said.stay, renewal.stay); /* what it would do is what it does */
    assert_int_equal(said.aside, renewal.aside);
    assert_int_equal(said.open, renewal.open);
    return renewal;
}

static enum nm_err never_open(void *ctx, const struct nm_queue_task *task)
{
    (void)ctx;
    fail_msg("task %llu is open", (unsigned long long)task->task);
    return NM_EINVAL;
}

/* Every answer stays, every sum holds, and nothing that was open without a text still is. */
static void test_new_generations(void **state)
{
    (void)state;
    struct nm_ledger_findings before = check(), after;
    struct nm_diag diag = {""};
    struct nm_buf aside;
    nm_buf_init(&aside, 1 << 16);
    struct nm_ledger_renewal kept = renew("8", false);
    assert_int_equal(kept.stay, before.done);
    assert_int_equal(kept.aside, 0);
    expect_whole();
    after = check();
    assert_int_equal(after.answers, before.answers);
    assert_int_equal(after.done, before.done);
    assert_int_equal(after.dead, 0);
    assert_int_equal(after.open, kept.open);
    assert_int_equal(nm_ledger_generation(ledger), 1);
    assert_int_equal(nm_ledger_list_aside(ledger, &aside, &diag), NM_OK);
    assert_string_equal(nm_buf_str(&aside), "");
    struct nm_ledger_renewal gone = renew("9", true);
    assert_int_equal(gone.stay, 0);
    assert_int_equal(gone.aside, before.done);
    assert_int_equal(gone.open, 0);
    expect_whole();
    after = check();
    assert_int_equal(after.answers, before.answers);
    assert_int_equal(after.done, 0);
    assert_int_equal(nm_ledger_restore(ledger, never_open, NULL, &diag), NM_OK);
    assert_int_equal(nm_ledger_get_coverage(ledger).sum, 0);
    assert_int_equal(nm_ledger_list_aside(ledger, &aside, &diag), NM_OK);
    assert_string_equal(nm_buf_str(&aside), "0 562949953421311\n"); /* generations 0 and 1 */
    nm_buf_clean_up(&aside);
}

static void test_version(void **state)
{
    (void)state;
    struct nm_ledger_findings findings;
    struct nm_diag diag = {""};
    struct nm_key newer = nm_key_u64(NM_LEDGER_SCHEMA + 1);
    edit("nermill", nm_key_text("schema"), newer.bytes, 8);
    assert_int_equal(nm_ledger_check(temp_dir, note, NULL, &findings, &diag), NM_EVERSION);
    assert_non_null(strstr(diag.text, "newer nermill"));
    assert_int_equal(nm_ledger_check("/nonexistent", note, NULL, &findings, &diag), NM_ENOENT);
}

int main(void)
{
    nm_log_set_level("error");
#define ROUND(test) cmocka_unit_test_setup_teardown(test, make, clean_up)
    const struct CMUnitTest tests[] = {
        ROUND(test_whole),       ROUND(test_fresh),        ROUND(test_kicked),          ROUND(test_open_tasks),
        ROUND(test_ended_tasks), ROUND(test_dead_letters), ROUND(test_answers),         ROUND(test_verdicts),
        ROUND(test_counters),    ROUND(test_rules),        ROUND(test_workers),         ROUND(test_coverage),
        ROUND(test_extra),       ROUND(test_settings),     ROUND(test_new_generations), ROUND(test_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
