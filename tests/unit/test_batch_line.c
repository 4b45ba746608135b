/* Lines of batch files: what is written is JSON with its parts, what is read is told apart, whatever it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/hash.h"
#include "workers/generator/batch_line.h"

static const char run[] = "run-6ac28cb64726378d";

static void test_request(void **state)
{
    (void)state;
    static const char body[] = "{\"model\":\"m\",\"messages\":[]}";
    struct nm_buf out;
    nm_buf_init(&out, 1 << 16);
    assert_int_equal(nm_batch_line_write(run, 281474976710659, 12, (struct nm_str){body, sizeof body - 1}, &out),
                     NM_OK);
    assert_int_equal(out.data[out.len - 1], '\n');
    assert_ptr_equal(strchr(out.data, '\n'), out.data + out.len - 1); /* one line */
    json_t *line = json_loadb(out.data, out.len, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(line, "custom_id")),
                        "run-6ac28cb64726378d-281474976710659-12");
    assert_string_equal(json_string_value(json_object_get(line, "method")), "POST");
    assert_string_equal(json_string_value(json_object_get(line, "url")), "/v1/chat/completions");
    assert_string_equal(json_string_value(json_object_get(json_object_get(line, "body"), "model")), "m");
    json_decref(line);
    nm_buf_clean_up(&out);
    nm_buf_init(&out, 20);
    assert_int_equal(nm_batch_line_write(run, 1, 1, nm_str(body), &out), NM_ELIMIT);
    assert_int_equal(out.len, 0);
    nm_buf_clean_up(&out);
}

struct expected {
    const char *line;
    enum nm_err err;
    const char *run;
    uint64_t task, attempt, status;
    const char *body, *error;
};

static const struct expected table[] = {
    {"{\"custom_id\":\"run-6ac28cb64726378d-7-2\",\"response\":{\"status_code\":200,\"body\":{\"a\": "
     "[1]}},\"error\":null}",
     NM_OK, run, 7, 2, 200, "{\"a\":[1]}", ""},
    {"{\"custom_id\":\"run-6ac28cb64726378d-7-2\",\"response\":{\"status_code\":400,\"body\":{}}}", NM_OK, run, 7, 2,
     400, "{}", ""},
    {"{\"custom_id\":\"run-6ac28cb64726378d-7-2\",\"response\":null,\"error\":{\"code\":\"batch_expired\","
     "\"message\":\"late\"}}",
     NM_OK, run, 7, 2, 0, "", "batch_expired: late"},
    {"{\"custom_id\":\"run-6ac28cb64726378d-7-2\",\"error\":{}}", NM_OK, run, 7, 2, 0, "", "error"},
    {"{\"custom_id\":\"request-1\",\"response\":{\"status_code\":200,\"body\":null}}", NM_OK, "", 0, 0, 200, "null",
     ""},
    {"{\"custom_id\":\"\",\"response\":{\"status_code\":200}}", NM_OK, "", 0, 0, 200, "", ""},
    {"{\"custom_id\":\"-7-2\",\"response\":{\"status_code\":200}}", NM_OK, "", 0, 0, 200, "", ""},
    {"{\"custom_id\":\"a-99999999999999999999-2\",\"response\":{\"status_code\":200}}", NM_OK, "", 0, 0, 200, "", ""},
    {"{\"custom_id\":5,\"response\":{\"status_code\":200}}", NM_EFORMAT, "", 0, 0, 0, "", ""},
    {"{\"custom_id\":\"a-1-1\",\"response\":{\"status_code\":\"200\"}}", NM_EFORMAT, "a", 0, 0, 0, "", ""},
    {"{\"custom_id\":\"a-1-1\",\"response\":{\"status_code\":7}}", NM_EFORMAT, "a", 0, 0, 0, "", ""},
    {"{\"custom_id\":\"a-1-1\",\"method\":\"POST\",\"body\":{}}", NM_EFORMAT, "a", 0, 0, 0, "", ""},
    {"{\"custom_id\":\"a-1-1\",\"respo", NM_EFORMAT, "", 0, 0, 0, "", ""},
    {"[]", NM_EFORMAT, "", 0, 0, 0, "", ""},
    {"\xff", NM_EFORMAT, "", 0, 0, 0, "", ""},
};

static void test_results(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct expected *e = &table[i];
        struct nm_arena arena;
        struct nm_batch_result result;
        struct nm_diag why = {""};
        nm_arena_init(&arena, 0);
        assert_int_equal(nm_batch_line_read(e->line, strlen(e->line), &arena, &result, &why), e->err);
        if (e->err == NM_OK) {
            assert_string_equal(result.run, e->run);
            assert_int_equal(result.task, e->run[0] != '\0' ? e->task : result.task);
            assert_int_equal(result.attempt, e->run[0] != '\0' ? e->attempt : result.attempt);
            assert_int_equal(result.status, e->status);
            assert_string_equal(result.body.ptr, e->body);
            assert_string_equal(result.error.ptr, e->error);
        } else {
            assert_string_not_equal(why.text, "");
        }
        nm_arena_clean_up(&arena);
    }
}

/* Every line cut and with every byte changed: an answer or an error, nothing else. */
static void test_damaged(void **state)
{
    (void)state;
    struct nm_rng rng;
    char line[512];
    nm_rng_init(&rng, 5);
    for (size_t i = 0; i < 20000; i++) {
        const char *from = table[nm_rng_below(&rng, sizeof table / sizeof *table)].line;
        size_t len = strlen(from);
        (void)snprintf(line, sizeof line, "%s", from);
        line[nm_rng_below(&rng, len)] = (char)nm_rng_below(&rng, 256);
        len -= nm_rng_below(&rng, 3) == 0 ? nm_rng_below(&rng, len) : 0;
        struct nm_arena arena;
        struct nm_batch_result result;
        nm_arena_init(&arena, 0);
        enum nm_err err = nm_batch_line_read(line, len, &arena, &result, NULL);
        assert_true(err == NM_OK || err == NM_EFORMAT);
        nm_arena_clean_up(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_request), cmocka_unit_test(test_results),
                                       cmocka_unit_test(test_damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
