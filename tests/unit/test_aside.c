#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "schemas/aside.h"

static void test_ranges(void **state)
{
    (void)state;
    static const char text[] = "0 3\n7 7\n281474976710656 562949953421311\n";
    struct nm_aside aside;
    struct nm_diag diag;
    assert_int_equal(nm_aside_parse(text, strlen(text), "t", &aside, &diag), NM_OK);
    assert_int_equal(aside.n, 3);
    static const struct {
        uint64_t task;
        bool has;
    } cases[] = {{0, true},
                 {3, true},
                 {4, false},
                 {6, false},
                 {7, true},
                 {8, false},
                 {((uint64_t)1 << 48) - 1, false},
                 {(uint64_t)1 << 48, true},
                 {((uint64_t)2 << 48) - 1, true},
                 {(uint64_t)2 << 48, false},
                 {UINT64_MAX, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(nm_aside_has(&aside, cases[i].task), cases[i].has);
    nm_aside_clean_up(&aside);
    assert_int_equal(nm_aside_parse("", 0, "t", &aside, &diag), NM_OK);
    assert_false(nm_aside_has(&aside, 0));
    nm_aside_clean_up(&aside);
}

static void test_what_is_no_range(void **state)
{
    (void)state;
    static const char *const bad[] = {"1",
                                      "1 2",
                                      "1 2 3\n",
                                      "2 1\n",
                                      "a 1\n",
                                      " 1 2\n",
                                      "1  2\n",
                                      "1 2\n2 3\n",
                                      "-1 2\n",
                                      "1 2\n\n",
                                      "18446744073709551616 1\n"};
    struct nm_aside aside;
    struct nm_diag diag;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(nm_aside_parse(bad[i], strlen(bad[i]), "t", &aside, &diag), NM_EFORMAT);
        assert_null(aside.ranges);
        assert_memory_equal(diag.text, "t:", 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges), cmocka_unit_test(test_what_is_no_range)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
