/* The second look at a text: what both looks saw is labelled, what only one saw is masked, whatever the model writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "workers/generator/verify.h"

static const char *const types[] = {"Chemical", "Disease"};

#define TEXT "In \xc3\xa9lderly men, aspirin relieved abdominal pain and NO failed in gout; aspirin, again."
/* in characters:   0123456789012345678901234567890123456789012345678901234567890123456789012345678
 * aspirin 16-23 and 68-75, abdominal pain 33-47, pain 43-47, NO 52-54, gout 65-69 */

struct row {
    const char *first; /* "start-end:type ..." */
    const char *answer;
    bool readable;
    const char *spans; /* the same, with * behind masked ones */
};

static const struct row rows[] = {
    {"16-23:0 ", "Chemical: aspirin", true, "16-23:0 71-78:0* "}, /* each place of what is listed */
    {"16-23:0 33-47:1 ", "Disease: abdominal pain", true, "16-23:0* 33-47:1 "},
    {"16-23:0 ", "none", true, "16-23:0* "},
    {"", "None.", true, ""},
    {"", "- disease: Gout\n* CHEMICAL: \"NO\"\n", true, "52-54:0* 65-69:1* "},
    {"33-47:1 ", "Disease: pain", true, "33-47:1* "}, /* the borders differ: nobody knows */
    {"33-47:1 ", "Disease: abdominal pain\nDisease: pain", true, "33-47:1 "},
    {"33-47:1 ", "Chemical: abdominal pain", true, "33-47:1* "},
    {"52-54:0 ", "Chemical: no", true, "52-54:0* "}, /* case counts in a short name */
    {"16-23:0 ", "Chemical: ibuprofen", true, "16-23:0* "},
    {"65-69:1 ", "Disease: out", true, "65-69:1* "},
    {"", "Here are the entities that I found in your text:\nI see a few.\nDisease: gout", false, "65-69:1* "},
    {"16-23:0 ", "The text names no entity at all.", false, "16-23:0* "},
    {"", "", false, ""},
    {"", "Gene: TP53", false, ""},
    {"", ":\n::\nDisease:\nDisease: \nDisease: none", true, ""},
};

static size_t read_spans(const char *s, struct nm_msg_span *out)
{
    size_t n = 0;
    unsigned long start, end, type;
    for (int used = 0; sscanf(s, "%lu-%lu:%lu %n", &start, &end, &type, &used) == 3; s += used)
        out[n++] = (struct nm_msg_span){.start = start, .end = end, .type = type};
    return n;
}

static void run(const struct row *row, const struct nm_entities *lists, struct nm_arena *arena, char *shown,
                size_t size, struct nm_verify_result *result)
{
    struct nm_msg_span first[8];
    struct nm_verify_input in = {.types = types,
                                 .n_types = 2,
                                 .lists = lists,
                                 .text = nm_str(TEXT),
                                 .first = first,
                                 .n_first = read_spans(row->first, first),
                                 .answer = nm_str(row->answer)};
    assert_int_equal(nm_verify(&in, arena, result), NM_OK);
    *shown = '\0';
    for (size_t i = 0; i < result->n; i++)
        (void)snprintf(shown + strlen(shown), size - strlen(shown), "%lu-%lu:%lu%s ",
                       (unsigned long)result->spans[i].start, (unsigned long)result->spans[i].end,
                       (unsigned long)result->spans[i].type, result->spans[i].state == NM_SPAN_MASKED ? "*" : "");
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct nm_arena arena;
        struct nm_verify_result result;
        char shown[256];
        nm_arena_init(&arena, 0);
        run(&rows[i], NULL, &arena, shown, sizeof shown, &result);
        if (strcmp(shown, rows[i].spans) != 0 || result.readable != rows[i].readable)
            fail_msg("row %zu (\"%s\"): %s, readable %d", i, rows[i].answer, shown, result.readable);
        assert_int_equal(result.unsure_end > result.unsure_start, strchr(shown, '*') != NULL);
        nm_arena_clean_up(&arena);
    }
}

/* The lists are a reader too, by the casing policy. */
static void test_lists(void **state)
{
    (void)state;
    struct nm_arena arena;
    struct nm_verify_result result;
    struct nm_diag diag;
    char shown[256];
    static const char blob[] = "Chemical\tno\nChemical\tAspirin\nDisease\tgout\n";
    struct nm_entities *lists = nm_entities_new();
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_entities_from_blob(lists, blob, sizeof blob - 1, &diag), NM_OK);
    run(&(struct row){"65-69:1 ", "Chemical: aspirin\nChemical: NO\nDisease: abdominal pain", true, NULL}, lists,
        &arena, shown, sizeof shown, &result);
    assert_string_equal(shown, "16-23:0 33-47:1* 52-54:0* 65-69:1* 71-78:0 ");
    nm_entities_destroy(&lists);
    nm_arena_clean_up(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
