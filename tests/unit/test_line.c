/* One of several sentences in one answer, by the number of its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/hash.h"
#include "workers/generator/line.h"

static void check(const char *answer, size_t number, size_t lines, const char *want, bool last)
{
    struct nm_line line;
    nm_line_find(answer, strlen(answer), number, lines, &line);
    assert_int_equal(line.there, want != NULL);
    if (want == NULL)
        return;
    if (line.len != strlen(want) || memcmp(line.text, want, line.len) != 0)
        fail_msg("line %zu is \"%.*s\"", number, (int)line.len, line.text);
    assert_int_equal(line.last, last);
}

static void test_numbers(void **state)
{
    (void)state;
    static const char *const forms[] = {"1. One.\n2. Two.\n3. Three.", "1) One.\n2) Two.\n3) Three.\n",
                                        "(1) One.\r\n(2) Two.\r\n(3) Three.\r\n",
                                        "  1: One.\n\n  2: Two.\n\n  3: Three.  \n\n"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        check(forms[i], 1, 3, "One.", false);
        check(forms[i], 2, 3, "Two.", false);
        check(forms[i], 3, 3, "Three.", true);
        check(forms[i], 3, 4, "Three.", true);
        check(forms[i], 4, 4, NULL, false);
    }
}

static void test_what_is_no_number(void **state)
{
    (void)state;
    check("1. He took\n2.5 mg of it.\n2. Two.", 1, 2, "He took\n2.5 mg of it.", false);
    check("1. One.\n2. Two.\n1. again", 2, 2, "Two.\n1. again", true); /* numbers rise */
    check("1. One.\n7. no such line\n2. Two.", 1, 2, "One.\n7. no such line", false);
    check("12 men had it.\n13 had not.", 2, 2, "13 had not.", true); /* without a mark behind it */
    check("1.\n2. Two.", 1, 2, "", false);
}

static void test_around_the_lines(void **state)
{
    (void)state;
    check("Here they are:\n1. One.\n2. Two.", 1, 2, "One.", false);
    check("Here they are:\n1. One.\n2. Two.\n\nI hope it helps.", 2, 2, "Two.\n\nI hope it helps.", true);
    check("1. One.\n3. Three.", 2, 3, NULL, false);
    check("1. One.\n3. Three.", 3, 3, "Three.", true);
    check("One.\n\nTwo.\nThree.", 2, 3, "Two.", false); /* none has a number */
    check("One.\n\nTwo.\nThree.", 3, 3, "Three.", true);
    check("One.", 2, 3, NULL, false);
    check("", 1, 3, NULL, false);
    check(" \n\t\n", 1, 3, NULL, false);
}

/* Of any bytes: every line lies in the answer, and they come one behind the other. */
static void test_any_bytes(void **state)
{
    (void)state;
    static const char alphabet[] = "12345().: \n\tab";
    struct nm_rng rng;
    nm_rng_init(&rng, 7);
    for (int i = 0; i < 20000; i++) {
        char answer[64];
        size_t len = nm_rng_below(&rng, sizeof answer);
        for (size_t k = 0; k < len; k++)
            answer[k] = alphabet[nm_rng_below(&rng, sizeof alphabet - 1)];
        const char *end = answer;
        bool last = false;
        for (size_t number = 1; number <= 5; number++) {
            struct nm_line line;
            nm_line_find(answer, len, number, 5, &line);
            if (!line.there)
                continue;
            assert_false(last);
            assert_true(line.text >= end && line.text + line.len <= answer + len);
            end = line.text + line.len;
            last = line.last;
        }
        (void)last;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_what_is_no_number),
                                       cmocka_unit_test(test_around_the_lines), cmocka_unit_test(test_any_bytes)};
    return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
