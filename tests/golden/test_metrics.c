/* golden.metrics - scores equal to seqeval's; make_metrics.py wrote the data. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "workers/trainer/metrics.h"

enum { N_TYPES = 4 };

static size_t parse(const char *letters, int32_t *tags)
{
    size_t n = strlen(letters);
    for (size_t i = 0; i < n; i++)
        tags[i] = (int32_t)(strchr(".AaBbCcDd", letters[i]) - ".AaBbCcDd");
    return n;
}

static void assert_close(double a, double b)
{
    if (fabs(a - b) > 1e-9)
        fail_msg("%.12f is not seqeval's %.12f", a, b);
}

static void test_against_seqeval(void **state)
{
    (void)state;
    FILE *file = fopen("tests/golden/data/metrics.txt", "r");
    assert_non_null(file);
    char line[256], gold[64], predicted[64];
    int32_t g[64], p[64];
    size_t sentences = 0, groups = 0, strict_groups = 0, types = 0, n, tp, pred, support, type;
    double precision, recall, f1;
    struct nm_scores scores = {0}, done = {0}, strict = {0};
    assert_int_equal(nm_scores_init(&scores, N_TYPES), NM_OK);
    assert_int_equal(nm_scores_init(&strict, N_TYPES), NM_OK);
    strict.iob2 = true;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "s %63s %63s", gold, predicted) == 2) {
            n = parse(gold, g);
            assert_int_equal(parse(predicted, p), n);
            assert_int_equal(nm_scores_add(&scores, g, p, n), NM_OK);
            assert_int_equal(nm_scores_add(&strict, g, p, n), NM_OK);
            sentences++;
        } else if (sscanf(line, "= %zu %lf %lf %lf %zu %zu %zu", &n, &precision, &recall, &f1, &tp, &pred,
                          &support) == 7) {
            nm_scores_clean_up(&done);
            done = scores;
            assert_int_equal(nm_scores_init(&scores, N_TYPES), NM_OK);
            nm_scores_finish(&done);
            assert_close(done.micro.precision, precision);
            assert_close(done.micro.recall, recall);
            assert_close(done.micro.f1, f1);
            assert_int_equal(done.micro.correct, tp);
            assert_int_equal(done.micro.predicted, pred);
            assert_int_equal(done.micro.gold, support);
            groups++;
        } else if (sscanf(line, "i %lf %lf %lf", &precision, &recall, &f1) == 3) {
            nm_scores_finish(&strict);
            assert_close(strict.micro.precision, precision);
            assert_close(strict.micro.recall, recall);
            assert_close(strict.micro.f1, f1);
            nm_scores_clean_up(&strict);
            assert_int_equal(nm_scores_init(&strict, N_TYPES), NM_OK);
            strict.iob2 = true;
            strict_groups++;
        } else if (sscanf(line, "t %zu %lf %lf %lf %zu", &type, &precision, &recall, &f1, &support) == 5) {
            assert_true(done.types != NULL && type < done.n_types);
            if (done.types == NULL) /* for the analyser, which does not know that the assertion leaves */
                break;
            assert_close(done.types[type].precision, precision);
            assert_close(done.types[type].recall, recall);
            assert_close(done.types[type].f1, f1);
            assert_int_equal(done.types[type].gold, support);
            types++;
        } else {
            fail_msg("unreadable line: %s", line);
        }
    }
    fclose(file);
    nm_scores_clean_up(&done);
    nm_scores_clean_up(&scores);
    nm_scores_clean_up(&strict);
    assert_true(sentences >= 2000 && groups == 150 && strict_groups == 150 && types > 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_seqeval)};
    return cmocka_run_group_tests_name("golden.metrics", tests, NULL, NULL);
}
