/* Templates: what is rendered, and the line that says what is wrong with one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "workers/generator/prompt.h"

static const struct nm_prompt_pair entities[] = {{"aspirin", "Chemical"}, {"stroke", "Disease"}, {"pain", "Disease"}};
static const struct nm_prompt_pair types[] = {{"Chemical", "drugs and other substances"}, {"Disease", NULL}};

static struct nm_prompt_vars base_vars(void)
{
    return (struct nm_prompt_vars){.entities = entities,
                                   .n_entities = 2,
                                   .types = types,
                                   .n_types = 2,
                                   .domain = "biomedical",
                                   .style = "a case report",
                                   .section = "Results",
                                   .min_words = 8,
                                   .max_words = 30};
}

static struct nm_prompt_text render(const char *source, const struct nm_prompt_vars *vars, struct nm_arena *arena)
{
    struct nm_prompt *prompt;
    struct nm_prompt_text text;
    struct nm_diag diag = {""};
    if (nm_prompt_parse("t.txt", source, strlen(source), &prompt, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(nm_prompt_render(prompt, vars, arena, &text), NM_OK);
    nm_prompt_destroy(&prompt);
    assert_null(prompt);
    return text;
}

static const char *last(const struct nm_prompt_text *text)
{
    return text->messages[text->n - 1].text;
}

static void check(const char *source, const struct nm_prompt_vars *vars, const char *system, const char *user)
{
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    struct nm_prompt_text text = render(source, vars, &arena);
    assert_string_equal(text.messages[text.n - 1].text, user);
    assert_int_equal(text.messages[text.n - 1].role, NM_PROMPT_USER);
    assert_int_equal(text.n, system[0] != '\0' ? 2 : 1);
    if (system[0] != '\0')
        assert_string_equal(text.messages[0].text, system);
    nm_arena_clean_up(&arena);
}

static void test_values(void **state)
{
    (void)state;
    struct nm_prompt_vars vars = base_vars();
    check("%system\nOn {{domain}} texts.\n%user\n{{terms}} | {{entities}} | {{types}}\n{{words}} {{min_words}} "
          "{{max_words}} {{style}} {{section}}\n",
          &vars, "On biomedical texts.",
          "\"aspirin\" and \"stroke\" | \"aspirin\" (Chemical), \"stroke\" (Disease) | Chemical and Disease\n8 to 30 "
          "8 30 a case report Results");
    vars.n_entities = 3;
    check("%user\n{{terms}}", &vars, "", "\"aspirin\", \"stroke\" and \"pain\"");
    check("%user\n{{definitions}}", &vars, "", "Chemical: drugs and other substances");
}

static void test_sections(void **state)
{
    (void)state;
    struct nm_prompt_vars vars = base_vars();
    const char *source =
        "{{! says what }}\n%user\n{{^negative}}has {{terms}}{{#feedback}}; was: {{detail}} [{{rule}}] "
        "{{previous}}{{/feedback}}{{/negative}}{{#negative}}has no {{types}}{{/negative}}";
    check(source, &vars, "", "has \"aspirin\" and \"stroke\"");
    vars.rule = "entity_missing";
    vars.detail = "the term \"stroke\" is missing";
    vars.previous = "Aspirin works {{style}}.";
    check(source, &vars, "",
          "has \"aspirin\" and \"stroke\"; was: the term \"stroke\" is missing [entity_missing] Aspirin works "
          "{{style}}.");
    vars.negative = true;
    check(source, &vars, "", "has no Chemical and Disease");
    vars.rule = "";
    check("%user\n{{#rule}}x{{/rule}}{{^feedback}}y{{/feedback}}\n\n\n\nz\n", &vars, "", "y\n\nz");
}

static void test_examples(void **state)
{
    (void)state;
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    struct nm_prompt_vars vars = base_vars();
    struct nm_prompt_text text =
        render("%system\n{{#rule}}gone{{/rule}}\n%user\nQ\n%assistant\nA {{domain}}\n%user\nlast\n", &vars, &arena);
    assert_int_equal(text.n, 3);
    assert_int_equal(text.messages[0].role, NM_PROMPT_USER);
    assert_int_equal(text.messages[1].role, NM_PROMPT_ASSISTANT);
    assert_string_equal(text.messages[1].text, "A biomedical");
    assert_string_equal(last(&text), "last");
    nm_arena_clean_up(&arena);
}

static void bad(const char *source, const char *message)
{
    struct nm_prompt *prompt;
    struct nm_diag diag = {""};
    assert_int_equal(nm_prompt_parse("t.txt", source, strlen(source), &prompt, &diag), NM_EFORMAT);
    assert_null(prompt);
    if (strstr(diag.text, message) == NULL)
        fail_msg("expected \"%s\" in \"%s\"", message, diag.text);
}

static void test_errors(void **state)
{
    (void)state;
    bad("%user\nline\n{{entites}}\n", "t.txt:3: unknown name \"entites\"");
    bad("%user\n{{#style}}\nx\n", "t.txt:2: section \"style\" is not closed");
    bad("%user\n{{#style}}{{/section}}\n", "t.txt:2: {{/section}} stands where {{/style}} is due");
    bad("%user\n\n{{/style}}\n", "t.txt:3: {{/style}} closes nothing");
    bad("%user\nx {{terms\n", "t.txt:2: {{ without }}");
    bad("%system\nx\n", "there is no %user part");
    bad("hello\n%user\nx\n", "t.txt:1: text before");
    bad("%user\nx\n%other\n", "t.txt:3: \"%other\"");
    bad("%user\nx\n%system\ny\n%user\nz", "t.txt:3: %system is the first part or none");
    bad("%user\nx\n%assistant\ny\n", "no %user part at the end");
    bad("%user\n\xff\n", "is not UTF-8");
    bad("", "there is no %user part");
    bad("%user\n{{#a", "t.txt:2: {{ without }}");
    bad("%user\n{{}}", "t.txt:2: unknown name \"\"");
    struct nm_prompt *prompt;
    struct nm_diag diag;
    assert_int_equal(nm_prompt_load("/nonexistent/template.txt", NM_BUILTIN_BIOMEDICAL, &prompt, &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "/nonexistent/template.txt"));
}

static void test_builtin(void **state)
{
    (void)state;
    struct nm_prompt *prompt;
    struct nm_diag diag = {""};
    struct nm_arena arena;
    struct nm_prompt_text plain, retry, negative, again;
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_prompt_load(NULL, NM_BUILTIN_BIOMEDICAL, &prompt, &diag), NM_OK);
    struct nm_prompt_vars vars = base_vars();
    assert_int_equal(nm_prompt_render(prompt, &vars, &arena, &plain), NM_OK);
    assert_int_equal(nm_prompt_render(prompt, &vars, &arena, &again), NM_OK);
    assert_memory_equal(&plain.hash, &again.hash, sizeof plain.hash);
    assert_non_null(strstr(last(&plain), "\"aspirin\""));
    assert_non_null(strstr(last(&plain), "a case report"));
    assert_null(strstr(last(&plain), "{{"));
    vars.rule = "repetition";
    vars.detail = "it repeats \"of pain\"";
    vars.previous = "PREVIOUS TEXT";
    assert_int_equal(nm_prompt_render(prompt, &vars, &arena, &retry), NM_OK);
    assert_non_null(strstr(last(&retry), "it repeats \"of pain\""));
    assert_non_null(strstr(last(&retry), "repetition"));
    assert_non_null(strstr(last(&retry), "PREVIOUS TEXT"));
    assert_memory_not_equal(&plain.hash, &retry.hash, sizeof plain.hash);
    vars = base_vars();
    vars.negative = true;
    vars.n_entities = 0;
    assert_int_equal(nm_prompt_render(prompt, &vars, &arena, &negative), NM_OK);
    assert_non_null(strstr(last(&negative), "no Chemical"));
    assert_string_equal(negative.messages[0].text, plain.messages[0].text); /* the cached beginning stays the same */
    nm_prompt_destroy(&prompt);
    nm_arena_clean_up(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),   cmocka_unit_test(test_sections), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_examples), cmocka_unit_test(test_builtin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
