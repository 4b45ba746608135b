/* options.h, progress.h and stats.h: parsing a command line, nearest words, rates, durations, a broker's answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "cli/options.h"
#include "cli/progress.h"
#include "cli/stats.h"
#include "common/err.h"
#include "common/nearest.h"

static struct {
    bool flag;
    const char *text;
    uint64_t count;
} got;

static int parse(int argc, char **argv, size_t *n)
{
    static const struct nm_opt opts[] = {
        {'f', "flag", NM_OPT_FLAG, &got.flag, NULL, "a flag"},
        {0, "text", NM_OPT_TEXT, &got.text, "TEXT", "a text"},
        {'n', "count", NM_OPT_COUNT, &got.count, "N", "a number"},
        {0, "counter", NM_OPT_COUNT, &got.count, "N", "a longer name with the same beginning"},
    };
    static const struct nm_command command = {
        .name = "try", .usage = "A [B]", .summary = "s", .min_args = 1, .max_args = 2, .opts = opts, .n_opts = 4};
    memset(&got, 0, sizeof got);
    return nm_opts_parse(&command, argc, argv, n);
}

#define PARSE(...)                                                                                                   \
    char *argv[] = {"try", __VA_ARGS__};                                                                             \
    size_t n = 0;                                                                                                    \
    int code = parse((int)(sizeof argv / sizeof *argv), argv, &n)

static void test_forms(void **state)
{
    (void)state;
    PARSE("a", "-n5", "--text=x y", "-f", "b");
    assert_int_equal(code, -1);
    assert_int_equal(n, 2);
    assert_string_equal(argv[1], "a");
    assert_string_equal(argv[2], "b");
    assert_true(got.flag);
    assert_string_equal(got.text, "x y");
    assert_int_equal(got.count, 5);
}

static void test_separate_values_and_dashes(void **state)
{
    (void)state;
    PARSE("--count", "7", "--text", "-f", "--", "--flag");
    assert_int_equal(code, -1);
    assert_int_equal(n, 1);
    assert_string_equal(argv[1], "--flag");
    assert_string_equal(got.text, "-f");
    assert_false(got.flag);
    assert_int_equal(got.count, 7);
}

static void test_longer_name(void **state)
{
    (void)state;
    PARSE("a", "--counter=9");
    assert_int_equal(code, -1);
    assert_int_equal(got.count, 9);
}

static void test_refusals(void **state)
{
    (void)state;
    {
        PARSE("a", "--count", "-3");
        assert_int_equal(code, NM_EXIT_USAGE);
    }
    {
        PARSE("a", "--count", "99999999999999999999999");
        assert_int_equal(code, NM_EXIT_USAGE);
    }
    {
        PARSE("a", "--count", "");
        assert_int_equal(code, NM_EXIT_USAGE);
    }
    {
        PARSE("a", "--flag=yes");
        assert_int_equal(code, NM_EXIT_USAGE);
    }
    {
        PARSE("a", "--text");
        assert_int_equal(code, NM_EXIT_USAGE);
    }
    {
        PARSE("-f");
        assert_int_equal(code, NM_EXIT_USAGE);
    }
    {
        PARSE("a", "b", "c");
        assert_int_equal(code, NM_EXIT_USAGE);
    }
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const words[] = {"export", "evaluate", "status", "run", "preview", "predict"};
    enum { N = sizeof words / sizeof *words };
    assert_string_equal(nm_nearest("exprot", words, N), "export");
    assert_string_equal(nm_nearest("stat", words, N), "status");
    assert_string_equal(nm_nearest("rnu", words, N), "run");
    assert_string_equal(nm_nearest("previw", words, N), "preview");
    assert_null(nm_nearest("zzzzzzzz", words, N));
    assert_null(nm_nearest("", words, 0));
    assert_int_equal(nm_edit_distance("", "abc"), 3);
    assert_int_equal(nm_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(nm_edit_distance("abcd", "abdc"), 1);
    assert_int_equal(nm_edit_distance("same", "same"), 0);
    char longest[300];
    memset(longest, 'x', sizeof longest);
    longest[299] = '\0';
    assert_null(nm_nearest(longest, (const char *const[]){"run"}, 1));
}

static void test_rate(void **state)
{
    (void)state;
    struct nm_progress progress;
    nm_progress_init(&progress);
    assert_true(nm_progress_rate(&progress, 1000, 10) < 1e-9); /* one point is no rate */
    double rate = 0;
    for (int64_t s = 2; s <= 300; s++)
        rate = nm_progress_rate(&progress, s * 1000, 10 + (uint64_t)(s < 200 ? s : 2 * s - 200));
    assert_true(rate > 119.9 && rate < 120.1);                  /* the last minute only: 2 a second */
    assert_true(nm_progress_rate(&progress, 301000, 0) < 1e-9); /* another broker: no negative rate */
}

static void test_duration(void **state)
{
    (void)state;
    char text[32];
    nm_duration(8.4, text, sizeof text);
    assert_string_equal(text, "8 s");
    nm_duration(130, text, sizeof text);
    assert_string_equal(text, "2 min 10 s");
    nm_duration(3900, text, sizeof text);
    assert_string_equal(text, "1 h 05 min");
    nm_duration(-1, text, sizeof text);
    assert_string_equal(text, "?");
}

static void test_stats(void **state)
{
    (void)state;
    struct nm_stats stats;
    struct nm_diag diag;
    assert_int_equal(
        nm_stats_parse("{\"run\":\"r1\",\"goal\":200,\"accepted\":7,\"complete\":false,\"new\":[1]}", &stats, &diag),
        NM_OK);
    assert_string_equal(stats.run, "r1");
    assert_int_equal(stats.goal, 200);
    assert_int_equal(stats.accepted, 7);
    assert_false(stats.complete);
    assert_int_equal(nm_stats_parse("[]", &stats, &diag), NM_EFORMAT);
    assert_int_equal(nm_stats_parse("", &stats, &diag), NM_EFORMAT);
    assert_int_equal(nm_stats_parse("{\"goal\":-4,\"run\":5}", &stats, &diag), NM_OK);
    assert_int_equal(stats.goal, 0);
    assert_string_equal(stats.run, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),       cmocka_unit_test(test_separate_values_and_dashes),
        cmocka_unit_test(test_longer_name), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_nearest),     cmocka_unit_test(test_rate),
        cmocka_unit_test(test_duration),    cmocka_unit_test(test_stats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
