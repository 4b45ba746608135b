#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "broker/queue.h"
#include "broker/recorded.h"
#include "tests/unit/temp_dir.h"

#define HEAD                                                                                                         \
    "{\"nermill\": \"responses\", \"version\": 1, \"run\": \"r\", \"project\": \"p\", \"goal\": 5, \"samples\": 4, " \
    "\"tasks\": 9, \"extra\": 1, \"dedup\": {\"exact\": true, \"near\": 0.8, \"per_template\": 2}, "                 \
    "\"unfinished\": [3, 7]}\n"
#define START(task, attempt) "{\"task\": " #task ", \"attempt\": " #attempt ", \"key\": \"00000000000000ff\", "
#define LINE(task, attempt) START(task, attempt) "\"endpoint\": \"e\", \"answer\": {\"choices\": []}}\n"

static const char whole[] = HEAD LINE(0, 1)
    START(0, 2) "\"salt\": \"fedcba9876543210\", \"endpoint\": \"e\", \"constraint\": \"grammar\", "
                "\"raw\": \"data: \\u0000x\", \"refused\": {\"rule\": \"duplicate\", \"detail\": \"d\"}}\n" START(
                    2, 1) "\"endpoint\": \"e\", \"status\": 400, \"rule\": \"context_overflow\", \"detail\": "
                          "\"long\"}\n" START(140737488355328,
                                              1) "\"endpoint\": \"e\", \"entities\": [4, 1], \"answer\": {}}";

static struct nm_recorded *parse(const char *text, enum nm_err expected, const char *words)
{
    struct nm_recorded *r = NULL;
    struct nm_diag diag = {""};
    assert_int_equal(nm_recorded_parse(text, strlen(text), "log", &r, &diag), expected);
    if (words != NULL && strstr(diag.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", diag.text, words);
    assert_true((r == NULL) == (expected != NM_OK));
    return r;
}

static void test_what_it_holds(void **state)
{
    (void)state;
    struct nm_recorded *r = parse(whole, NM_OK, NULL);
    struct nm_recorded_answer a;
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_recorded_head(r)->goal, 5);
    assert_int_equal(nm_recorded_head(r)->tasks, 9);
    assert_int_equal(nm_recorded_head(r)->per_template, 2);
    assert_true(nm_recorded_head(r)->exact);
    assert_true(nm_recorded_unfinished(r, 3) && nm_recorded_unfinished(r, 7) && !nm_recorded_unfinished(r, 4));

    assert_int_equal(nm_recorded_get(r, 0, 1, &arena, &a), NM_OK);
    assert_int_equal(a.answer.request, 255);
    assert_int_equal(a.answer.salt, 0);
    assert_int_equal(a.answer.status, 200);
    assert_string_equal(a.answer.constraint.ptr, "none");
    assert_string_equal(a.answer.body.ptr, "{\"choices\":[]}");
    assert_int_equal(a.refused.len, 0);

    assert_int_equal(nm_recorded_get(r, 0, 2, &arena, &a), NM_OK);
    assert_true(a.answer.salt == 0xfedcba9876543210);
    assert_string_equal(a.answer.constraint.ptr, "grammar");
    assert_int_equal(a.answer.body.len, 8); /* a NUL is a character like any other */
    assert_string_equal(a.refused.ptr, "duplicate");
    assert_string_equal(a.why.ptr, "d");

    assert_int_equal(nm_recorded_get(r, 2, 1, &arena, &a), NM_OK);
    assert_int_equal(a.answer.status, 400);
    assert_string_equal(a.answer.rule.ptr, "context_overflow");
    assert_int_equal(a.answer.body.len, 0);

    assert_int_equal(nm_recorded_get(r, NM_TASK_EXTRA, 1, &arena, &a), NM_OK);
    assert_int_equal(a.n_entities, 2);
    assert_int_equal(a.entities[0], 4);

    assert_int_equal(nm_recorded_get(r, 1, 1, &arena, &a), NM_ENOENT);
    assert_int_equal(nm_recorded_get(r, 0, 3, &arena, &a), NM_ENOENT);
    nm_arena_clean_up(&arena);
    nm_recorded_destroy(&r);
    assert_null(r);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "log:1: no response log"},
        {"{}\n", "log:1: no response log"},
        {LINE(0, 1), "log:1: no response log"},
        {HEAD "\n", "log:2: "},
        {HEAD "[]\n", "log:2: no answer"},
        {HEAD HEAD, "log:2: no answer"},
        {HEAD LINE(0, 0), "log:2: no answer"},
        {HEAD LINE(9, 1), "log:2: no answer"},
        {HEAD LINE(-1, 1), "log:2: no answer"},
        {HEAD LINE(140737488355329, 1), "log:2: no answer"},
        {HEAD LINE(281474976710656, 1), "log:2: no answer"},
        {HEAD LINE(1, 1) LINE(1, 1), "log:3: no answer, or one that is out of order"},
        {HEAD LINE(1, 2) LINE(1, 1), "log:3: no answer, or one that is out of order"},
        {HEAD LINE(2, 1) LINE(1, 1), "log:3: no answer, or one that is out of order"},
        {HEAD "{\"task\": 0, \"attempt\": 1, \"key\": \"ff\", \"answer\": {}}", "log:2: no answer"},
        {HEAD START(0, 1) "\"answer\": \"text\"}", "log:2: no answer"},
        {HEAD START(0, 1) "\"rule\": \"x\"}", "log:2: no answer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        (void)parse(cases[i].text, NM_EFORMAT, cases[i].words);
    (void)parse("{\"nermill\": \"responses\", \"version\": 2}", NM_EVERSION, "newer nermill");
}

static void write_gz(const char *path, const char *mode, const char *text)
{
    gzFile file = gzopen(path, mode);
    assert_non_null(file);
    assert_true(gzputs(file, text) > 0);
    assert_int_equal(gzclose(file), Z_OK);
}

static void test_packed_or_not(void **state)
{
    (void)state;
    static const char *const modes[] = {"wb9", "wbT"};
    char path[128];
    struct nm_diag diag = {""};
    struct nm_buf out;
    (void)snprintf(path, sizeof path, "%s/log", temp_dir);
    for (size_t i = 0; i < 2; i++) {
        write_gz(path, modes[i], whole);
        nm_buf_init(&out, 1 << 20);
        assert_int_equal(nm_recorded_read(path, &out, &diag), NM_OK);
        assert_int_equal(out.len, strlen(whole));
        assert_memory_equal(out.data, whole, out.len);
        nm_buf_clean_up(&out);
    }
    nm_buf_init(&out, 1 << 10);
    assert_int_equal(nm_recorded_read(path, &out, &diag), NM_ELIMIT);
    nm_buf_clean_up(&out);
    (void)snprintf(path, sizeof path, "%s/none", temp_dir);
    assert_int_equal(nm_recorded_read(path, &out, &diag), NM_ENOENT);
}

static void test_rules_by_order(void **state)
{
    (void)state;
    assert_true(nm_recorded_by_order(nm_str("near_duplicate")));
    assert_false(nm_recorded_by_order(nm_str("near")));
    assert_false(nm_recorded_by_order(nm_str("entity_missing")));
    assert_false(nm_recorded_by_order(nm_str("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_holds),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test_setup_teardown(test_packed_or_not, temp_dir_make, temp_dir_remove),
        cmocka_unit_test(test_rules_by_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
