/* What real models really wrote, with the verdict that a person gave it: tests/unit/data/outputs.jsonl.
 *
 * The first line holds the prompts, one a kind; each other line an output: kind, entities and their types as they
 * were asked for, the text as it came (raw), the reason for its end (finish), and rule: "none" where it is to be
 * accepted. With a file as its argument (lines as above, rule or not) it prints what each line's verdict is instead,
 * and how many each rule rejects: that is how the table in docs/generation.md is made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "workers/generator/validate.h"

enum { ENTITIES_MAX = 16, LINE_MAX_BYTES = 1 << 16, ROWS_MIN = 150 };

static const char *const types[] = {"Chemical", "Disease"};

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

/* The verdict on one line; false: it is no such line. */
static bool judge(const json_t *row, const json_t *prompts, bool every, struct nm_arena *arena,
                  struct nm_verdict *verdict)
{
    const char *entities[ENTITIES_MAX], *raw = text_of(row, "raw"), *kind = text_of(row, "kind");
    size_t entity_types[ENTITIES_MAX], i;
    const json_t *value, *list = json_object_get(row, "entities");
    if (!json_is_array(list) || json_array_size(list) > ENTITIES_MAX)
        return false;
    json_array_foreach(list, i, value)
    {
        const char *type = json_string_value(json_array_get(json_object_get(row, "types"), i));
        entities[i] = json_string_value(value);
        entity_types[i] = type != NULL && strcmp(type, types[1]) == 0;
    }
    struct nm_wording messages[2], prompt;
    const char *same = text_of(prompts, kind), *own = text_of(row, "user");
    if (nm_wording_of(same, strlen(same), arena, &messages[0]) != NM_OK ||
        nm_wording_of(own, strlen(own), arena, &messages[1]) != NM_OK ||
        nm_wording_join(messages, 2, arena, &prompt) != NM_OK)
        return false;
    struct nm_validate_input in = {.entities = entities,
                                   .entity_types = entity_types,
                                   .count = json_array_size(list),
                                   .types = types,
                                   .n_types = strcmp(kind, "markup") == 0 ? 2 : 0,
                                   .min_words = 6,
                                   .max_words = 40,
                                   .every = every,
                                   .prompt = &prompt,
                                   .raw = raw,
                                   .raw_len = strlen(raw),
                                   .finish_reason = text_of(row, "finish")};
    return nm_validate(&in, arena, verdict) == NM_OK;
}

typedef void (*row_fn)(size_t line, const json_t *row, const json_t *prompts);

static size_t each_row(const char *path, row_fn fn)
{
    static char line[LINE_MAX_BYTES];
    size_t n = 0;
    json_t *prompts = NULL;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        fail_msg("%s cannot be read", path);
    while (fgets(line, sizeof line, file) != NULL) {
        json_error_t error;
        json_t *row = json_loads(line, 0, &error);
        if (row == NULL)
            fail_msg("%s:%zu: %s", path, n + 1, error.text);
        if (n++ == 0)
            prompts = json_incref(json_object_get(row, "prompts"));
        else
            fn(n, row, prompts);
        json_decref(row);
    }
    json_decref(prompts);
    (void)fclose(file);
    return n - 1;
}

static size_t wrong;
static size_t rejects[NM_RULE_COUNT], alone[NM_RULE_COUNT];

static void check_row(size_t line, const json_t *row, const json_t *prompts)
{
    struct nm_arena arena;
    struct nm_verdict verdict;
    nm_arena_init(&arena, 0);
    assert_true(judge(row, prompts, false, &arena, &verdict));
    if (strcmp(nm_rule_name(verdict.rule), text_of(row, "rule")) != 0) {
        print_error("line %zu: expected %s, got %s (%s): %s\n", line, text_of(row, "rule"),
                    nm_rule_name(verdict.rule), verdict.detail, text_of(row, "raw"));
        wrong++;
    }
    assert_true(verdict.span_start + verdict.span_len <= verdict.text_len);
    rejects[verdict.rule]++;
    nm_arena_clean_up(&arena);
}

static void test_outputs(void **state)
{
    (void)state;
    size_t rules = 0, n = each_row(NM_OUTPUTS, check_row);
    assert_int_equal(wrong, 0);
    assert_true(n >= ROWS_MIN);
    for (int i = 0; i < NM_RULE_COUNT; i++)
        rules += rejects[i] > 0;
    assert_true(rejects[NM_RULE_NONE] >= ROWS_MIN / 4);
    assert_true(rules >= 15);
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void print_row(size_t line, const json_t *row, const json_t *prompts)
{
    struct nm_arena arena;
    struct nm_verdict verdict;
    nm_arena_init(&arena, 0);
    if (judge(row, prompts, true, &arena, &verdict)) {
        printf("%zu\t%s\t%s\t%s\n", line, nm_rule_name(verdict.rule), text_of(row, "kind"), verdict.detail);
        rejects[verdict.rule]++;
        for (int i = 1; i < NM_RULE_COUNT; i++)
            alone[i] += verdict.failed == nm_rule_bit((enum nm_rule)i);
    }
    nm_arena_clean_up(&arena);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_outputs)};
    if (argc < 2)
        return cmocka_run_group_tests(tests, NULL, NULL);
    size_t n = each_row(argv[1], print_row);
    printf("of %zu outputs: the rule that rejects, how many, and how many no other rule would\n", n);
    for (int i = 0; i < NM_RULE_COUNT; i++)
        printf("%-20s %5zu %5zu\n", nm_rule_name((enum nm_rule)i), rejects[i], alone[i]);
    return 0;
}
