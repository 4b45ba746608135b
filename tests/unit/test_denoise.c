/* Verdicts of models on one record, word by word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "workers/dataset/denoise.h"

enum { WORDS = 8, MODELS_MAX = 4 };

static struct nm_denoise_counts counts;

/* Tags apart by blanks: what comes out of own by the models' columns, and behind a bar the mentions. */
static const char *judge(const struct nm_project_denoise *how, const char *own, const char *const *models, size_t n)
{
    static char out[512];
    static char words[WORDS][8], columns[MODELS_MAX][WORDS][8];
    static char *tags[MODELS_MAX][WORDS], **judges[MODELS_MAX];
    struct nm_msg_token tokens[WORDS];
    struct nm_msg_mention mentions[WORDS];
    struct nm_record record = {
        .sample = {.text = nm_str("aa bb cc dd ee ff gg hh"), .tokens = tokens, .mentions = mentions}};
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    for (int at = 0, used; sscanf(own + at, "%7s%n", words[record.sample.n_tokens], &used) == 1; at += used) {
        size_t i = record.sample.n_tokens++;
        tokens[i] = (struct nm_msg_token){.start = 3 * i, .end = 3 * i + 2, .tag = nm_str(words[i])};
        if (words[i][0] == 'B' || words[i][0] == '-')
            mentions[record.sample.n_mentions++] = (struct nm_msg_mention){
                .start = 3 * i, .end = 3 * i + 2, .type = nm_str(words[i][0] == 'B' ? words[i] + 2 : "")};
        else if (words[i][0] == 'I')
            mentions[record.sample.n_mentions - 1].end = 3 * i + 2;
    }
    for (size_t m = 0; m < n; m++) {
        judges[m] = tags[m];
        for (int at = 0, used, i = 0; sscanf(models[m] + at, "%7s%n", columns[m][i], &used) == 1; at += used, i++)
            tags[m][i] = columns[m][i];
    }
    counts = (struct nm_denoise_counts){0};
    assert_int_equal(nm_denoise_record(how, &record, judges, n, &arena, &counts), NM_OK);
    int len = 0;
    for (size_t i = 0; i < record.sample.n_tokens; i++)
        len += snprintf(out + len, sizeof out - (size_t)len, "%s%s", i ? " " : "", record.sample.tokens[i].tag.ptr);
    for (size_t i = 0; i < record.sample.n_mentions; i++) {
        const struct nm_msg_mention *m = &record.sample.mentions[i];
        len += snprintf(out + len, sizeof out - (size_t)len, " |%d-%d%s", (int)m->start, (int)m->end,
                        m->type.len ? m->type.ptr : "?");
    }
    nm_arena_clean_up(&arena);
    assert_ptr_not_equal(record.sample.tokens, tokens); /* the caller's are as they were */
    return out;
}

static const struct nm_project_denoise all = {.agree = 1, .reject = 1};

static void test_labels(void **state)
{
    (void)state;
    const char *const none[] = {"O O O O", "O O O O"};
    const char *const one[] = {"O O O O", "O I-X O O"};
    assert_string_equal(judge(&all, "B-X I-X O B-Y", none, 2), "O O O O");
    assert_int_equal(counts.labels, 2);
    assert_int_equal(counts.rejected, 2);
    /* a model that sees anything of a label, of whatever type, is not against it */
    assert_string_equal(judge(&all, "B-X I-X O B-Y", one, 2), "B-X I-X O O |0-5X");
    struct nm_project_denoise half = all;
    half.reject = 0.5;
    assert_string_equal(judge(&half, "B-X I-X O B-Y", one, 2), "O O O O");
    half.rejected = NM_REJECTED_MASK;
    assert_string_equal(judge(&half, "B-X I-X O B-Y", one, 2), "- - O - |0-5? |9-11?");
    half.rejected = NM_REJECTED_KEEP;
    assert_string_equal(judge(&half, "B-X I-X O B-Y", one, 2), "B-X I-X O B-Y |0-5X |9-11Y");
    assert_int_equal(counts.rejected, 2);
}

static void test_unlabelled_runs(void **state)
{
    (void)state;
    const char *const models[] = {"O B-X I-X O B-Y O", "O B-Y O O B-X B-X"};
    assert_string_equal(judge(&all, "O O O O O O", models, 2), "O - O O - O |3-5? |12-14?");
    assert_int_equal(counts.masked, 2);
    assert_int_equal(counts.masked_words, 2);
    assert_int_equal(counts.unlabelled, 6);
    struct nm_project_denoise half = all;
    half.agree = 0.5;
    assert_string_equal(judge(&half, "O O O O O O", models, 2), "O - - O - - |3-8? |12-17?");
    /* beside a label, and a mask that stays one; a dropped label is no unlabelled run */
    assert_string_equal(judge(&half, "O B-X O - B-Y O", models, 2),
                        "O B-X - - B-Y - |3-5X |6-8? |9-11? |12-14Y |15-17?");
    assert_string_equal(judge(&all, "B-X O O O O O", models, 2), "O - O O - O |3-5? |12-14?");
}

static void test_without_judges_nothing_changes(void **state)
{
    (void)state;
    assert_string_equal(judge(&all, "B-X O - O", NULL, 0), "B-X O - O |0-2X |6-8?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_unlabelled_runs),
        cmocka_unit_test(test_without_judges_nothing_changes),
    };
    return cmocka_run_group_tests_name("unit.denoise", tests, NULL, NULL);
}
