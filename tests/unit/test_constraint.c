/* Constraints: the form of a sentence in both syntaxes, how it is asked for, unwrapped, and found out to be honoured.
 */
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "workers/generator/chat.h"
#include "workers/generator/constraint.h"

static struct nm_buf out;

static const char *form(enum nm_syntax syntax, const struct nm_grammar_term *terms, size_t n, size_t max)
{
    const struct nm_grammar_sentence sentence = {terms, n, 6, max};
    nm_buf_reset(&out);
    assert_int_equal(nm_grammar_sentences(syntax, &sentence, 1, &out), NM_OK);
    return nm_buf_str(&out);
}

/* Words of the longest sentence that the form allows beside its terms: the upper bounds of the stretches, a link for
 * each term, the first word. */
static size_t most_words(const char *gbnf, size_t n)
{
    size_t sum = 1 + n;
    const char *end = strchr(gbnf, '\n');
    for (const char *at = strstr(gbnf, "){"); at != NULL && at < end; at = strstr(at + 1, "){"))
        sum += strtoul(strchr(at, ',') + 1, NULL, 10);
    return sum;
}

/* What the grammar allows is never longer than the validator does. */
static void test_bounds(void **state)
{
    (void)state;
    static const struct nm_grammar_term terms[] = {
        {"abdominal pain", NULL}, {"aspirin", NULL}, {"acute renal failure", NULL}};
    for (size_t n = 1; n <= 3; n++)
        for (size_t max = 24; max <= 60; max++) {
            const char *gbnf = form(NM_SYNTAX_GBNF, terms, n, max);
            size_t own = n == 1 ? 2 : n == 2 ? 3 : 6;
            assert_true(most_words(gbnf, n) + own <= max);
            assert_true(most_words(gbnf, n) + own + n + 3 > max); /* and not needlessly short */
        }
}

/* Terms stand in order, spelt as they are; the server's own parser is the integration test. */
static void test_gbnf(void **state)
{
    (void)state;
    const char *gbnf =
        form(NM_SYNTAX_GBNF, (const struct nm_grammar_term[]){{"aspirin", NULL}, {"5\" \\ DNR", NULL}}, 2, 30);
    assert_non_null(strstr(gbnf, "root ::= (\"A\" \"spirin\" |cap (sep word ){0,"));
    assert_true(strstr(gbnf, "\"aspirin\" )") < strstr(gbnf, "\"5\\\" \\\\ DNR\" "));
    assert_non_null(
        strstr(form(NM_SYNTAX_GBNF, (const struct nm_grammar_term[]){{"NO", NULL}}, 1, 30), "root ::= (\"NO\" |"));
    assert_non_null(strstr(form(NM_SYNTAX_GBNF, (const struct nm_grammar_term[]){{"gout", "Disease"}}, 1, 30),
                           "(\"[[\" \"G\" \"out\" \"|\" \"Disease\" \"]]\" |"));
    assert_non_null(strstr(form(NM_SYNTAX_GBNF, NULL, 0, 30), "root ::= cap (sep word ){5,29}\".\" \n"));
    struct nm_buf small;
    nm_buf_init(&small, 16);
    const struct nm_grammar_term term = {"aspirin", NULL};
    const struct nm_grammar_sentence sentence = {&term, 1, 8, 30};
    assert_int_equal(nm_grammar_sentences(NM_SYNTAX_GBNF, &sentence, 1, &small), NM_ELIMIT);
    nm_buf_reset(&out);
    assert_int_equal(nm_grammar_word(NM_SYNTAX_GBNF, "quokka", &out), NM_OK);
    assert_string_equal(nm_buf_str(&out), "root ::= \"quokka\" \n");
    nm_buf_clean_up(&small);
}

static bool matches(const char *pattern, const char *text)
{
    char whole[8192];
    regex_t regex;
    (void)snprintf(whole, sizeof whole, "^%s$", pattern);
    assert_int_equal(regcomp(&regex, whole, REG_EXTENDED | REG_NOSUB), 0);
    bool yes = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return yes;
}

static void test_regex(void **state)
{
    (void)state;
    static const struct nm_grammar_term bare[] = {{"TGF-beta (1.5)", NULL}, {"gout", NULL}};
    static const struct nm_grammar_term marked[] = {{"gout", "Disease"}};
    const char *re = form(NM_SYNTAX_REGEX, bare, 2, 30);
    assert_true(matches(re, "We gave 12.5% of TGF-beta (1.5) in severe gout, and it helped."));
    assert_true(matches(re, "TGF-beta (1.5) cured gout."));
    assert_false(matches(re, "We gave TGF-beta (115) in severe gout, and it helped."));
    assert_false(matches(re, "We gave gout to TGF-beta (1.5) for a month."));
    assert_false(matches(re, "We gave TGF-beta (1.5) in severe gout, and it helped"));
    re = form(NM_SYNTAX_REGEX, marked, 1, 30);
    assert_true(matches(re, "[[Gout|Disease]] is common in men."));
    assert_true(matches(re, "We saw [[gout|Disease]] in five men."));
    assert_false(matches(re, "We saw gout in five men."));
}

static void test_request(void **state)
{
    (void)state;
    static const struct nm_prompt_message message = {.role = NM_PROMPT_USER, .text = "x"};
    struct nm_chat_request request = {.model = "m", .messages = &message, .n_messages = 1, .form = "a\\.b"};
    nm_buf_reset(&out);
    request.constraint = NM_CONSTRAINT_STRUCTURED_OUTPUTS;
    assert_int_equal(nm_chat_write(&request, &out), NM_OK);
    assert_non_null(strstr(nm_buf_str(&out), "\"structured_outputs\":{\"regex\":\"a\\\\.b\"}"));
    nm_buf_reset(&out);
    request.constraint = NM_CONSTRAINT_RESPONSE_FORMAT;
    request.form = "^a\\.b$";
    assert_int_equal(nm_chat_write(&request, &out), NM_OK);
    json_t *root = json_loadb(out.data, out.len, 0, NULL);
    const json_t *format = json_object_get(root, "response_format");
    const json_t *asked = json_object_get(format, "json_schema");
    const json_t *schema = json_object_get(asked, "schema");
    const json_t *sentence = json_object_get(json_object_get(schema, "properties"), "sentence");
    assert_string_equal(json_string_value(json_object_get(format, "type")), "json_schema");
    assert_true(json_is_true(json_object_get(asked, "strict")));
    assert_string_equal(json_string_value(json_object_get(sentence, "pattern")), "^a\\.b$");
    json_decref(root);
    const struct nm_grammar_term odd = {"5\" wide", NULL};
    const struct nm_grammar_sentence asked_for = {&odd, 1, 6, 30};
    assert_int_equal(nm_constraint_form(NM_CONSTRAINT_RESPONSE_FORMAT, &asked_for, 1, &out), NM_EINVAL);
    assert_int_equal(nm_constraint_form(NM_CONSTRAINT_GRAMMAR, &asked_for, 1, &out), NM_OK);
    assert_int_equal(nm_constraint_form(NM_CONSTRAINT_NONE, &asked_for, 1, &out), NM_EINVAL);
}

/* Several sentences, each with its own terms: numbered lines, or members of an object. */
static void test_several(void **state)
{
    (void)state;
    static const struct nm_grammar_term gout = {"gout", NULL}, aspirin = {"aspirin", NULL};
    static const struct nm_grammar_sentence two[] = {{&gout, 1, 6, 30}, {&aspirin, 1, 6, 30}};
    static const struct nm_prompt_message message = {NM_PROMPT_USER, "x", NULL};
    nm_buf_reset(&out);
    assert_int_equal(nm_constraint_form(NM_CONSTRAINT_STRUCTURED_OUTPUTS, two, 2, &out), NM_OK);
    const char *re = nm_buf_str(&out);
    assert_true(matches(re, "1. Five men had gout in one year.\n2. They were given aspirin for a month."));
    assert_false(matches(re, "1. Five men had gout in one year.\n2. They were given gout for a month."));
    assert_false(matches(re, "1. Five men had gout in one year."));
    nm_buf_reset(&out);
    assert_int_equal(nm_constraint_form(NM_CONSTRAINT_GRAMMAR, two, 2, &out), NM_OK);
    const char *gbnf = nm_buf_str(&out);
    assert_memory_equal(gbnf, "root ::= \"1. \" (", strlen("root ::= \"1. \" ("));
    assert_true(strstr(gbnf, "\"gout\"") < strstr(gbnf, "\"\\n2. \""));
    assert_true(strstr(gbnf, "\"\\n2. \"") < strstr(gbnf, "\"aspirin\""));
    assert_true(strstr(gbnf, "\"aspirin\"") < strchr(gbnf, '\n')); /* all of it one rule */
    struct nm_buf form_of_two;
    nm_buf_init(&form_of_two, 1 << 16);
    assert_int_equal(nm_constraint_form(NM_CONSTRAINT_RESPONSE_FORMAT, two, 2, &form_of_two), NM_OK);
    struct nm_chat_request request = {.model = "m",
                                      .messages = &message,
                                      .n_messages = 1,
                                      .constraint = NM_CONSTRAINT_RESPONSE_FORMAT,
                                      .form = nm_buf_str(&form_of_two)};
    nm_buf_reset(&out);
    assert_int_equal(nm_chat_write(&request, &out), NM_OK);
    json_t *root = json_loadb(out.data, out.len, 0, NULL);
    json_t *properties = NULL, *required = NULL;
    assert_int_equal(json_unpack(root, "{s:{s:{s:{s:o, s:o}}}}", "response_format", "json_schema", "schema",
                                 "properties", &properties, "required", &required),
                     0);
    assert_int_equal(json_object_size(properties), 2);
    assert_int_equal(json_array_size(required), 2);
    assert_string_equal(json_string_value(json_array_get(required, 1)), "sentence_2");
    const char *second = json_string_value(json_object_get(json_object_get(properties, "sentence_2"), "pattern"));
    assert_non_null(strstr(second, "aspirin"));
    assert_null(strstr(second, "gout"));
    json_decref(root);
    nm_buf_clean_up(&form_of_two);
}

static void test_unwrap(void **state)
{
    (void)state;
    static const char *const bad[] = {"plain", "{\"sentence\": 3}", "{}", "[\"x\"]", "{\"sentence\": \"x\"", ""};
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    const char *text = " {\"sentence\": \"A \\\"b\\\".\"}";
    size_t len = strlen(text);
    assert_int_equal(nm_constraint_unwrap(NM_CONSTRAINT_RESPONSE_FORMAT, 0, 0, &text, &len, &arena), NM_OK);
    assert_string_equal(text, "A \"b\".");
    assert_int_equal(len, 6);
    static const char several[] = "{\"sentence_1\": \"One.\", \"sentence_2\": \"Two.\"}";
    text = several;
    len = strlen(text);
    assert_int_equal(nm_constraint_unwrap(NM_CONSTRAINT_RESPONSE_FORMAT, 2, 3, &text, &len, &arena), NM_OK);
    assert_string_equal(text, "Two.");
    text = several;
    len = strlen(text);
    assert_int_equal(nm_constraint_unwrap(NM_CONSTRAINT_RESPONSE_FORMAT, 3, 3, &text, &len, &arena), NM_EFORMAT);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        text = bad[i];
        len = strlen(text);
        assert_int_equal(nm_constraint_unwrap(NM_CONSTRAINT_RESPONSE_FORMAT, 0, 0, &text, &len, &arena), NM_EFORMAT);
        assert_int_equal(nm_constraint_unwrap(NM_CONSTRAINT_GRAMMAR, 0, 0, &text, &len, &arena), NM_OK);
        assert_ptr_equal(text, bad[i]);
    }
    nm_arena_clean_up(&arena);
}

static void answer(struct nm_endpoint *e, const char *content, enum nm_canary canary, enum nm_constraint honours)
{
    char body[256];
    struct nm_diag diag = {""};
    (void)snprintf(body, sizeof body, "{\"choices\":[{\"message\":{\"content\":\"%s\"}}]}", content);
    assert_int_equal(nm_canary_read(e, body, strlen(body), &diag), NM_OK);
    assert_int_equal(e->canary, canary);
    assert_int_equal(e->honours, honours);
}

/* Kind after kind, until one is honoured; one that is ignored or refused is passed over. */
static void test_canary(void **state)
{
    (void)state;
    struct nm_project_endpoint config = {.name = "e", .url = "http://127.0.0.1:9/v1", .model = "m", .timeout_s = 1};
    struct nm_project project = {.endpoints = &config, .n_endpoints = 1, .generation.constrain = NM_CONSTRAIN_LAST};
    struct nm_pool pool;
    struct nm_diag diag = {""};
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(nm_pool_init(&pool, &project, NULL, 1, &diag), NM_OK);
        struct nm_endpoint *e = &pool.endpoints[0];
        assert_int_equal(e->canary, NM_CANARY_DUE);
        nm_buf_reset(&out);
        assert_int_equal(nm_canary_body(e, &out), NM_OK);
        assert_non_null(strstr(nm_buf_str(&out), "\"grammar\":"));
        answer(e, "Hello!", NM_CANARY_DUE, NM_CONSTRAINT_NONE);
        nm_canary_refused(e);
        assert_int_equal(e->canary, NM_CANARY_DUE);
        nm_buf_reset(&out);
        assert_int_equal(nm_canary_body(e, &out), NM_OK);
        assert_non_null(strstr(nm_buf_str(&out), "\"response_format\":"));
        if (turn == 0)
            answer(e, "{\\\"sentence\\\": \\\"zyzzyva\\\"}", NM_CANARY_DONE, NM_CONSTRAINT_RESPONSE_FORMAT);
        else
            answer(e, "The word zyzzyva.", NM_CANARY_DONE, NM_CONSTRAINT_NONE);
        assert_int_equal(nm_constraint_due(&project, e, false), NM_CONSTRAINT_NONE);
        assert_int_equal(nm_constraint_due(&project, e, true), e->honours);
        nm_pool_clean_up(&pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),  cmocka_unit_test(test_gbnf),    cmocka_unit_test(test_regex),
        cmocka_unit_test(test_request), cmocka_unit_test(test_several), cmocka_unit_test(test_unwrap),
        cmocka_unit_test(test_canary),
    };
    nm_buf_init(&out, 1 << 16);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nm_buf_clean_up(&out);
    return failed;
}
