/* The bytes of a chat call: the request, replies good and bad, and what each failure means for its endpoint. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "workers/generator/chat.h"

static void test_request(void **state)
{
    (void)state;
    struct nm_buf out;
    nm_buf_init(&out, 65536);
    static const struct nm_prompt_message messages[] = {{NM_PROMPT_SYSTEM, "Be \"brief\"."},
                                                        {NM_PROMPT_USER, "\xc3\xb6\n"}};
    struct nm_chat_request request = {.model = "m",
                                      .messages = messages,
                                      .n_messages = 2,
                                      .temperature = 0.8,
                                      .top_p = 0.95,
                                      .max_tokens = 60,
                                      .seed = 0xffffffffffffffffULL,
                                      .constraint = NM_CONSTRAINT_GRAMMAR,
                                      .form = "root ::= \"x\""};
    assert_int_equal(nm_chat_write(&request, &out), NM_OK);
    json_t *root = json_loadb(out.data, out.len, 0, NULL);
    assert_non_null(root);
    const json_t *second = json_array_get(json_object_get(root, "messages"), 1);
    assert_string_equal(json_string_value(json_object_get(second, "role")), "user");
    assert_string_equal(json_string_value(json_object_get(second, "content")), "\xc3\xb6\n");
    assert_string_equal(json_string_value(json_object_get(root, "grammar")), "root ::= \"x\"");
    assert_int_equal(json_integer_value(json_object_get(root, "seed")), 0x7fffffff);
    assert_int_equal(json_integer_value(json_object_get(root, "max_tokens")), 60);
    assert_true(json_real_value(json_object_get(root, "temperature")) > 0.79);
    json_decref(root);
    request.constraint = NM_CONSTRAINT_NONE;
    nm_buf_reset(&out);
    assert_int_equal(nm_chat_write(&request, &out), NM_OK);
    assert_null(strstr(nm_buf_str(&out), "grammar"));
    request.model = "\xff";
    size_t before = out.len;
    assert_int_equal(nm_chat_write(&request, &out), NM_EFORMAT);
    assert_int_equal(out.len, before);
    nm_buf_clean_up(&out);
}

static void test_reply(void **state)
{
    (void)state;
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    struct nm_chat_reply reply;
    struct nm_diag diag = {""};
    static const char good[] = "{\"model\":\"m1\",\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"content\":"
                               "\"Hi\\u0000.\"}}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}";
    assert_int_equal(nm_chat_read(good, sizeof good - 1, &arena, &reply, &diag), NM_OK);
    assert_int_equal(reply.content_len, 4);
    assert_memory_equal(reply.content, "Hi\0.", 4);
    assert_string_equal(reply.finish_reason, "stop");
    assert_string_equal(reply.model, "m1");
    assert_int_equal(reply.tokens_in, 7);
    assert_int_equal(reply.tokens_out, 3);
    static const char filtered[] =
        "{\"choices\":[{\"finish_reason\":\"content_filter\",\"message\":{\"content\":null}}]}";
    assert_int_equal(nm_chat_read(filtered, sizeof filtered - 1, &arena, &reply, &diag), NM_OK);
    assert_null(reply.content);
    nm_arena_clean_up(&arena);
}

static void test_bad_replies(void **state)
{
    (void)state;
    static const struct {
        const char *body, *words;
    } rows[] = {
        {"", "empty"},
        {"<html>", "not JSON"},
        {"{\"choices\":", "not JSON"},
        {"[]", "no object"},
        {"{}", "no \"choices\""},
        {"{\"choices\":{}}", "no \"choices\""},
        {"{\"choices\":[]}", "are empty"},
        {"{\"choices\":[7]}", "absent"},
        {"{\"choices\":[{\"message\":{}}]}", "absent"},
        {"{\"choices\":[{\"message\":{\"content\":null}}]}", "null"},
        {"{\"choices\":[{\"message\":{\"content\":[1]}}]}", "another kind"},
        {"{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]}", "not JSON"},
        {"data: {\"choices\":[]}", "not JSON"},
    };
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct nm_chat_reply reply;
        struct nm_diag diag = {""};
        assert_int_equal(nm_chat_read(rows[i].body, strlen(rows[i].body), &arena, &reply, &diag), NM_EFORMAT);
        if (strstr(diag.text, rows[i].words) == NULL)
            fail_msg("row %zu: \"%s\" lacks \"%s\"", i, diag.text, rows[i].words);
    }
    nm_arena_clean_up(&arena);
}

static void test_judge(void **state)
{
    (void)state;
    static const struct {
        enum nm_llm_fault fault;
        long status;
        const char *body, *kind;
        bool fatal, loading;
        const char *words; /* in the line, beside the endpoint */
    } rows[] = {
        {NM_LLM_CONNECT, 0, "", "connect", false, false, "cannot be reached"},
        {NM_LLM_TIMEOUT, 0, "", "timeout", false, false, "timeout_s"},
        {NM_LLM_CUT, 200, "{", "cut", false, false, "cut the connection"},
        {NM_LLM_TOO_LARGE, 200, "", "garbage", false, false, "over the limit"},
        {NM_LLM_CANCELED, 0, "", "shutdown", false, false, "shutdown"},
        {NM_LLM_ANSWERED, 401, "{\"error\":{\"message\":\"bad key\"}}", "http", true, false, "KEY_VAR"},
        {NM_LLM_ANSWERED, 403, "", "http", true, false, "KEY_VAR"},
        {NM_LLM_ANSWERED, 404, "", "http", true, false, "/v1"},
        {NM_LLM_ANSWERED, 422, "", "http", true, false, "does not take our request"},
        {NM_LLM_ANSWERED, 429, "{}", "http", false, false, "slowing down"},
        {NM_LLM_ANSWERED, 429, "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"x\"}}", "quota", false,
         false, "quota"},
        {NM_LLM_ANSWERED, 500, "oops", "http", false, false, "500"},
        {NM_LLM_ANSWERED, 502, "", "http", false, false, "502"},
        {NM_LLM_ANSWERED, 503, "{\"error\":{\"message\":\"Loading model\",\"code\":503}}", "http", false, true,
         "Loading"},
        {NM_LLM_ANSWERED, 302, "", "http", true, false, "redirects"},
        {NM_LLM_ANSWERED, 204, "", "garbage", true, false, "no chat completion"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct nm_llm_outcome outcome = {.fault = rows[i].fault,
                                         .status = rows[i].status,
                                         .text = "curl's words",
                                         .body = rows[i].body,
                                         .body_len = strlen(rows[i].body),
                                         .retry_after_ms = 1234};
        struct nm_chat_fault fault;
        assert_false(nm_chat_judge(&outcome, "e1 (http://h/v1)", "m", "KEY_VAR", &fault));
        assert_string_equal(fault.kind, rows[i].kind);
        assert_int_equal(fault.fatal, rows[i].fatal);
        assert_int_equal(fault.loading, rows[i].loading);
        assert_int_equal(fault.retry_after_ms, 1234);
        assert_non_null(strstr(fault.detail, "endpoint e1 (http://h/v1)"));
        if (strstr(fault.detail, rows[i].words) == NULL)
            fail_msg("row %zu: \"%s\" lacks \"%s\"", i, fault.detail, rows[i].words);
        assert_null(strchr(fault.detail, '\n'));
    }
    struct nm_llm_outcome good = {.fault = NM_LLM_ANSWERED, .status = 200, .body = "", .text = ""};
    struct nm_chat_fault fault;
    assert_true(nm_chat_judge(&good, "e", "m", NULL, &fault));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_request), cmocka_unit_test(test_reply),
                                       cmocka_unit_test(test_bad_replies), cmocka_unit_test(test_judge)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
