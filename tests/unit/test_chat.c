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
    static const struct nm_prompt_message messages[] = {{.role = NM_PROMPT_SYSTEM, .text = "Be \"brief\"."},
                                                        {.role = NM_PROMPT_USER, .text = "\xc3\xb6\n"}};
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
    /* further fields: objects merged, null takes out, the rest replaces */
    request.extra = "{\"top_p\":null,\"seed\":7,\"top_k\":40,\"provider\":{\"order\":[\"x\"]}}";
    nm_buf_reset(&out);
    assert_int_equal(nm_chat_write(&request, &out), NM_OK);
    root = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_null(json_object_get(root, "top_p"));
    assert_int_equal(json_integer_value(json_object_get(root, "seed")), 7);
    assert_int_equal(json_integer_value(json_object_get(root, "top_k")), 40);
    assert_int_equal(json_array_size(json_object_get(json_object_get(root, "provider"), "order")), 1);
    assert_int_equal(json_array_size(json_object_get(root, "messages")), 2);
    json_decref(root);
    request.constraint = NM_CONSTRAINT_RESPONSE_FORMAT;
    request.form = "^x$";
    request.extra = "{\"response_format\":{\"further\":true}}";
    nm_buf_reset(&out);
    assert_int_equal(nm_chat_write(&request, &out), NM_OK);
    assert_non_null(strstr(nm_buf_str(&out), "json_schema"));
    assert_non_null(strstr(nm_buf_str(&out), "\"further\":true"));
    request.extra = NULL;
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

/* Forms of content that are not asked for and can be read all the same. */
static void test_odd_replies(void **state)
{
    (void)state;
    static const struct {
        const char *body, *content, *finish;
        uint64_t tokens_out;
    } rows[] = {
        {"{\"choices\":[{\"message\":{\"content\":[{\"type\":\"thinking\",\"text\":\"no\"},{\"type\":\"text\","
         "\"text\":\"A \"},"
         "{\"text\":\"b.\"},7]}}]}",
         "A b.", "", 0},
        {"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n: ping\n"
         "data: {\"choices\":[{\"delta\":{\"content\":\"A \"}}]}\r\n\r\nevent: x\n"
         "data:{\"choices\":[{\"delta\":{\"content\":\"b.\"},\"finish_reason\":\"stop\"}]}\n\n"
         "data: {\"choices\":[],\"usage\":{\"completion_tokens\":5}}\n\ndata: [DONE]\n\n",
         "A b.", "stop", 5},
        {": OPENROUTER PROCESSING\n\ndata: {\"choices\":[{\"message\":{\"content\":\"A.\"}}]}\n\ndata: [DONE]", "A.",
         "", 0},
        {"\n\n  {\"choices\":[{\"message\":{\"content\":\"A.\",\"content\":\"B.\"}}]}", "B.", "", 0},
        {"{\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":7}],\"usage\":[1],\"model\":{}}", "", "",
         0},
        {"{\"choices\":[{\"message\":{\"content\":\"A.\"}}],\"usage\":{\"completion_tokens\":\"9\"}}", "A.", "", 0},
        {"{\"choices\":[{\"message\":{\"content\":\"A.\"}},{\"message\":{\"content\":\"B.\"}}],\"error\":null}", "A.",
         "", 0},
    };
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct nm_chat_reply reply;
        struct nm_diag diag = {""};
        if (nm_chat_read(rows[i].body, strlen(rows[i].body), &arena, &reply, &diag) != NM_OK)
            fail_msg("row %zu: %s", i, diag.text);
        assert_string_equal(reply.content, rows[i].content);
        assert_int_equal(reply.content_len, strlen(rows[i].content));
        assert_string_equal(reply.finish_reason, rows[i].finish);
        assert_int_equal(reply.tokens_out, rows[i].tokens_out);
    }
    struct nm_chat_reply reply;
    static const char refused[] = "{\"choices\":[{\"message\":{\"content\":null,\"refusal\":\"I can't.\"}}]}";
    assert_int_equal(nm_chat_read(refused, sizeof refused - 1, &arena, &reply, NULL), NM_OK);
    assert_null(reply.content);
    assert_string_equal(reply.refusal, "I can't.");
    static const char cut[] = "{\"choices\":[{\"message\":{\"content\":null},\"finish_reason\":\"length\"}]}";
    assert_int_equal(nm_chat_read(cut, sizeof cut - 1, &arena, &reply, NULL), NM_OK);
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
        {"{\"choices\":[{\"message\":{\"content\":{\"text\":\"A\"}}}]}", "another kind"},
        {"{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]}", "not JSON"},
        {"{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[{}]}}],\"usage\":{\"prompt_tokens\":3}}",
         "calls a tool"},
        {"{\"choices\":[{\"message\":{\"content\":[{\"type\":\"image_url\"}]}}]}", "another kind"},
        {"{\"choices\":[{\"message\":7}]}", "absent"},
        {"{\"object\":\"chat.completion\"}", "no \"choices\""},
        {"data: {\"choices\":[]}", "no text"},
        {"data: {\"choices\":[{\"delta\":{\"content\":\"A\"}}]}\n\n", "broken off"},
        {"data: {\"choices\":[{\"delta\":{\"content\":\"A\"}}]}\n\ndata: {\"cho", "broken off"},
        {"event: error\n", "no text"},
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

static const struct nm_project_endpoint config = {.model = (char *)"m", .api_key_env = (char *)"KEY_VAR"};

struct judged {
    enum nm_llm_fault fault;
    long status;
    int should_retry;
    const char *body, *kind;
    bool fatal;
    const char *rule;
    enum nm_breaker_why why;
    const char *words; /* in the line, beside the endpoint */
};

static void check_judged(size_t i, const struct judged *row)
{
    struct nm_llm_outcome outcome = {.fault = row->fault,
                                     .status = row->status,
                                     .text = "curl's words",
                                     .body = row->body,
                                     .body_len = strlen(row->body)};
    struct nm_chat_fault fault;
    nm_limits_clear(&outcome.limits);
    outcome.limits.retry_after_ms = 1234;
    outcome.limits.should_retry = row->should_retry;
    assert_false(nm_chat_judge(&outcome, "e1 (http://h/v1)", &config, &fault));
    if (strcmp(fault.kind, row->kind) != 0 || fault.fatal != row->fatal || fault.why != row->why ||
        strcmp(fault.rule != NULL ? fault.rule : "", row->rule != NULL ? row->rule : "") != 0)
        fail_msg("row %zu: kind %s, fatal %d, rule %s, why %d", i, fault.kind, fault.fatal,
                 fault.rule != NULL ? fault.rule : "none", (int)fault.why);
    assert_int_equal(fault.status, row->status);
    assert_int_equal(fault.retry_after_ms, 1234);
    assert_non_null(strstr(fault.detail, "endpoint e1 (http://h/v1)"));
    if (strstr(fault.detail, row->words) == NULL)
        fail_msg("row %zu: \"%s\" lacks \"%s\"", i, fault.detail, row->words);
    assert_null(strchr(fault.detail, '\n'));
}

static void test_judge(void **state)
{
    (void)state;
    const enum nm_llm_fault OK = NM_LLM_ANSWERED;
    const enum nm_breaker_why TROUBLE = NM_BREAKER_TROUBLE, BUSY = NM_BREAKER_BUSY, QUOTA = NM_BREAKER_QUOTA;
    static const char *const refused = NM_RULE_REQUEST_REFUSED, *const overflow = NM_RULE_CONTEXT_OVERFLOW;
    const struct judged rows[] = {
        {NM_LLM_CONNECT, 0, -1, "", "connect", false, NULL, TROUBLE, "cannot be reached"},
        {NM_LLM_UNTRUSTED, 0, -1, "", "connect", true, NULL, TROUBLE, "ca_file"},
        {NM_LLM_TIMEOUT, 0, -1, "", "timeout", false, NULL, TROUBLE, "timeout_s"},
        {NM_LLM_CUT, 200, -1, "{", "cut", false, NULL, TROUBLE, "cut the connection"},
        {NM_LLM_TOO_LARGE, 200, -1, "", "garbage", false, NM_RULE_TOO_LARGE, TROUBLE, "over the limit"},
        {NM_LLM_TOO_LARGE, 500, -1, "", "garbage", false, NULL, TROUBLE, "over the limit"},
        {NM_LLM_UNPACKABLE, 200, -1, "", "garbage", false, NM_RULE_UNREADABLE, TROUBLE, "unpacked"},
        {NM_LLM_CANCELED, 0, -1, "", "shutdown", false, NULL, TROUBLE, "shutdown"},
        {OK, 400, -1, "{\"detail\":[{\"msg\":\"bad\\nfield\"}]}", "http", true, refused, TROUBLE,
         "saying \"bad field\""},
        {OK, 400, -1, "{\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"x\"}}", "http", true, overflow,
         TROUBLE, "too long"},
        {OK, 400, -1, "{\"object\":\"error\",\"message\":\"This model's maximum context length is 4096 tokens.\"}",
         "http", true, overflow, TROUBLE, "4096"},
        {OK, 400, -1, "{\"error\":{\"code\":400,\"type\":\"exceed_context_size_error\",\"message\":\"x\"}}", "http",
         true, overflow, TROUBLE, "too long"},
        {OK, 413, -1, "", "http", true, overflow, TROUBLE, "too long"},
        {OK, 422, -1, "", "http", true, refused, TROUBLE, "does not take our request"},
        {OK, 401, -1, "{\"error\":{\"message\":\"bad key\"}}", "http", true, NULL, TROUBLE, "KEY_VAR"},
        {OK, 403, -1, "", "http", true, NULL, TROUBLE, "KEY_VAR"},
        {OK, 403, -1, "{\"error\":{\"code\":\"insufficient_quota\"}}", "quota", false, NULL, QUOTA, "quota"},
        {OK, 402, -1, "", "quota", false, NULL, QUOTA, "top it up"},
        {OK, 404, -1, "{\"error\":\"model not found\"}", "http", true, NULL, TROUBLE, "/v1"},
        {OK, 405, -1, "", "http", true, NULL, TROUBLE, "/v1"},
        {OK, 418, -1, "", "http", true, NULL, TROUBLE, "does not take our requests"},
        {OK, 408, -1, "", "http", false, NULL, TROUBLE, "408"},
        {OK, 409, -1, "", "http", false, NULL, TROUBLE, "409"},
        {OK, 429, -1, "{}", "http", false, NULL, BUSY, "slowing down"},
        {OK, 429, -1, "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"x\"}}", "quota", false, NULL, QUOTA,
         "quota"},
        {OK, 500, -1, "oops", "http", false, NULL, TROUBLE, "500"},
        {OK, 504, -1, "", "http", false, NULL, TROUBLE, "504"},
        {OK, 503, -1, "{\"error\":{\"message\":\"Loading model\",\"code\":503}}", "http", false, NULL,
         NM_BREAKER_LOADING, "Loading"},
        {OK, 529, -1, "", "http", false, NULL, BUSY, "overloaded"},
        {OK, 302, -1, "", "http", true, NULL, TROUBLE, "redirects"},
        {OK, 204, -1, "", "garbage", true, NULL, TROUBLE, "no chat completion"},
        /* the server's own say */
        {OK, 400, 1, "", "http", false, NULL, TROUBLE, "400"},
        {OK, 500, 0, "", "http", false, refused, TROUBLE, "500"},
        {OK, 429, 0, "", "http", false, refused, BUSY, "429"},
        {OK, 401, 0, "", "http", true, NULL, TROUBLE, "KEY_VAR"},
        {OK, 500, 1, "", "http", false, NULL, TROUBLE, "500"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_judged(i, &rows[i]);
    struct nm_llm_outcome good = {.fault = NM_LLM_ANSWERED, .status = 200, .body = "", .text = ""};
    struct nm_chat_fault fault;
    assert_true(nm_chat_judge(&good, "e", &config, &fault));
}

/* Gateways that wrap an error in a 200; what a failed call used is told. */
static void test_errors_in_200(void **state)
{
    (void)state;
    static const char busy[] = "{\"error\":{\"code\":429,\"message\":\"slow\"},\"usage\":{\"prompt_tokens\":4}}";
    static const char plain[] = "{\"object\":\"error\",\"message\":\"boom\"}";
    struct nm_arena arena;
    struct nm_chat_reply reply;
    struct nm_chat_fault fault;
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_chat_read(busy, sizeof busy - 1, &arena, &reply, NULL), NM_ESTATE);
    assert_int_equal(reply.tokens_in, 4);
    nm_chat_judge_error(busy, sizeof busy - 1, "e", &config, &fault);
    assert_int_equal(fault.status, 429);
    assert_int_equal(fault.why, NM_BREAKER_BUSY);
    assert_int_equal(fault.tokens_in, 4);
    assert_int_equal(nm_chat_read(plain, sizeof plain - 1, &arena, &reply, NULL), NM_ESTATE);
    nm_chat_judge_error(plain, sizeof plain - 1, "e", &config, &fault);
    assert_int_equal(fault.status, 500);
    assert_non_null(strstr(fault.detail, "boom"));
    nm_arena_clean_up(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_request),     cmocka_unit_test(test_reply),
                                       cmocka_unit_test(test_odd_replies), cmocka_unit_test(test_bad_replies),
                                       cmocka_unit_test(test_judge),       cmocka_unit_test(test_errors_in_200)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
