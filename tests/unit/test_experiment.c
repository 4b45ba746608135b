/* experiment_*.h: draws, the guard's hashes, what gold a score is worth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/experiment_guard.h"
#include "cli/experiment_plot.h"
#include "cli/experiment_summary.h"
#include "common/file.h"
#include "tests/unit/temp_dir.h"

static const char *write(const char *name, const char *text)
{
    static char path[NM_FILE_PATH];
    (void)snprintf(path, sizeof path, "%s/%s", temp_dir, name);
    assert_int_equal(nm_file_write_atomic(path, text, strlen(text), NULL), NM_OK);
    return path;
}

/* ---- sentences --------------------------------------------------------------------------------- */

static void fill(struct nm_exp_corpus *corpus, size_t documents, size_t each)
{
    static char text[1 << 16];
    struct nm_diag diag = {""};
    size_t at = 0;
    for (size_t d = 0; d < documents; d++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "-DOCSTART-\tO\n\n");
        for (size_t s = 0; s < each; s++)
            at += (size_t)snprintf(text + at, sizeof text - at, "Zinc\tB-Metal\nin\tO\nd%zu\tO\ns%zu\tO\n\n", d, s);
    }
    nm_exp_corpus_init(corpus);
    assert_int_equal(nm_exp_corpus_read(corpus, write("corpus.conll", text), &diag), NM_OK);
}

static void test_corpus(void **state)
{
    (void)state;
    struct nm_exp_corpus c;
    fill(&c, 3, 2);
    assert_int_equal(c.n, 6);
    assert_int_equal(c.n_documents, 3);
    assert_int_equal(c.at[5].document, 3);
    assert_int_equal(c.at[0].n_words, 4);
    assert_int_equal(c.n_types, 1);
    assert_string_equal(c.types[0], "Metal");
    assert_string_equal(c.at[0].block, "Zinc\tB-Metal\nin\tO\nd0\tO\ns0\tO\n\n");
    struct nm_buf text;
    const uint32_t numbers[] = {1};
    char path[NM_FILE_PATH];
    (void)snprintf(path, sizeof path, "%s/words.conll", temp_dir);
    nm_buf_init(&text, 1000);
    assert_int_equal(nm_exp_corpus_write(&c, numbers, 1, true, path, NULL), NM_OK);
    assert_int_equal(nm_file_read(path, &text, NULL), NM_OK);
    assert_string_equal(nm_buf_str(&text), "Zinc\tO\nin\tO\nd0\tO\ns1\tO\n\n");
    nm_buf_clean_up(&text);
    nm_exp_corpus_clean_up(&c);
}

/* Every sentence once; by seed; documents in one piece. */
static void test_draws(void **state)
{
    (void)state;
    struct nm_exp_corpus c;
    uint32_t one[60], again[60], other[60];
    bool seen[60] = {false};
    fill(&c, 10, 6);
    assert_int_equal(nm_exp_corpus_draw(&c, 1, false, one), NM_OK);
    assert_int_equal(nm_exp_corpus_draw(&c, 1, false, again), NM_OK);
    assert_int_equal(nm_exp_corpus_draw(&c, 2, false, other), NM_OK);
    assert_memory_equal(one, again, sizeof one);
    assert_memory_not_equal(one, other, sizeof one);
    for (size_t i = 0; i < 60; i++) {
        assert_false(seen[one[i]]);
        seen[one[i]] = true;
    }
    assert_int_equal(nm_exp_corpus_draw(&c, 1, true, one), NM_OK);
    for (size_t i = 0; i < 60; i++)
        assert_int_equal(one[i], one[i - i % 6] + i % 6);
    nm_exp_corpus_clean_up(&c);
}

/* ---- the guard --------------------------------------------------------------------------------- */

static const char test_part[] = "Zinc\tB-Metal\nmay\tO\nhelp\tO\nagainst\tO\na\tO\ncommon\tO\ncold\tB-Ill\n.\tO\n\n"
                                "METHODS\tO\n:\tO\n\n";

static void test_guard(void **state)
{
    (void)state;
    struct nm_diag diag = {""};
    struct nm_guard *guard = NULL;
    assert_int_equal(nm_guard_new(write("test.conll", test_part), 5, &guard, &diag), NM_OK);
    static const struct {
        const char *name, *text;
        enum nm_err err;
    } files[] = {
        {"copy.conll", test_part, NM_EAUTH},
        {"case.conll", "zinc O\nMAY O\nhelp O\nagainst O\na O\ncommon O\ncold O\n", NM_EAUTH},
        {"cut.conll", "Zinc\tO\nmay\tO\nhelp\tO\nagainst\tO\n", NM_OK},
        {"short.conll", "METHODS\tO\n:\tO\n", NM_OK},
        {"prompt.txt", "Write like this: \"Zinc may help\nagainst a common cold.\"", NM_EAUTH},
        {"other.txt", "Zinc may not help against a common cold.", NM_OK},
        {"answers.jsonl", "{\"text\": \"zinc may help, against a (common) cold\"}\n", NM_EAUTH},
        {"bytes.bin", "\xff\xfe\x01", NM_OK},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const enum nm_err err = nm_guard_check_file(guard, "a file", write(files[i].name, files[i].text), &diag);
        if (err != files[i].err)
            fail_msg("%s: %s, %s", files[i].name, nm_err_name(err), diag.text);
    }
    nm_guard_destroy(&guard);
    assert_null(guard);
    assert_int_equal(nm_guard_check_file(NULL, "a file", "/nowhere", &diag), NM_OK); /* there is no test part */
}

/* ---- what a score is worth --------------------------------------------------------------------- */

static void check_worth(double wanted, int beyond, double gold)
{
    static const double sizes[] = {50, 100, 200, 400}, f1[] = {0.4, 0.5, 0.48, 0.7};
    const struct nm_exp_equivalent e = nm_exp_equivalent_of(sizes, f1, 4, wanted);
    assert_true(e.known);
    assert_int_equal(e.beyond, beyond);
    assert_true(e.gold > gold - 0.01 && e.gold < gold + 0.01);
}

static void test_equivalents(void **state)
{
    (void)state;
    static const double one[] = {50};
    check_worth(0.3, -1, 50);
    check_worth(0.4, 0, 50);
    check_worth(0.45, 0, 70.71); /* half-way in the logarithm */
    check_worth(0.5, 0, 100);
    check_worth(0.59, 0, 282.84); /* behind the dent */
    check_worth(0.7, 0, 400);
    check_worth(0.8, 1, 400);
    assert_false(nm_exp_equivalent_of(one, one, 1, 0.5).known);
}

/* ---- figures ----------------------------------------------------------------------------------- */

static void test_plots(void **state)
{
    (void)state;
    static struct nm_plot plot = {.title = "t", .x_label = "x", .y_label = "y", .log_x = true};
    struct nm_buf svg;
    nm_buf_init(&svg, 1 << 20);
    assert_int_equal(nm_plot_lines(&plot, &svg), NM_OK); /* nothing in it is a figure, too */
    nm_plot_add(&plot.series[0], 200, 0.6, 0.01);
    nm_plot_add(&plot.series[0], 50, 0.4, 0.02);
    nm_plot_add(&plot.series[0], 100, 0.5, 0);
    plot.n = 1;
    assert_true(plot.series[0].x[0] < 51 && plot.series[0].y[0] < 0.41 && plot.series[0].x[2] > 199);
    nm_buf_reset(&svg);
    assert_int_equal(nm_plot_lines(&plot, &svg), NM_OK);
    assert_non_null(strstr(nm_buf_str(&svg), "</svg>"));
    assert_null(strstr(nm_buf_str(&svg), "nan"));
    assert_null(strstr(nm_buf_str(&svg), "inf"));
    for (size_t i = 0; i < 2 * NM_PLOT_POINTS; i++)
        nm_plot_add(&plot.series[0], (double)i, 0, 0);
    assert_int_equal(plot.series[0].n, NM_PLOT_POINTS);
    nm_buf_clean_up(&svg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),      cmocka_unit_test(test_draws), cmocka_unit_test(test_guard),
        cmocka_unit_test(test_equivalents), cmocka_unit_test(test_plots),
    };
    return cmocka_run_group_tests(tests, temp_dir_make, temp_dir_remove);
}
