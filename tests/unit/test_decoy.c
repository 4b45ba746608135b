/* Words that look like entities and are none: out of listed names, never listed themselves, by the seed alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "schemas/decoy.h"

static struct nm_entities *load(const char *blob)
{
    struct nm_diag diag;
    struct nm_entities *entities = nm_entities_new();
    assert_int_equal(nm_entities_from_blob(entities, blob, strlen(blob), &diag), NM_OK);
    return entities;
}

static void test_find(void **state)
{
    (void)state;
    struct nm_entities *e = load("Chemical\tAspirin\nDisease\tgout\nDisease\tS\xc3\xa9zary syndrome\n");
    assert_int_equal(nm_entities_find(e, 0, "aspirin", 7), 0);
    assert_int_equal(nm_entities_find(e, NM_ENTITIES_ANY, "GOUT", 4), 1);
    assert_int_equal(nm_entities_find(e, 1, "s\xc3\x89zary SYNDROME", 16), 2);
    assert_true(nm_entities_find(e, 1, "aspirin", 7) == NM_ENTITIES_NONE);
    assert_true(nm_entities_find(e, NM_ENTITIES_ANY, "aspiri", 6) == NM_ENTITIES_NONE);
    assert_true(nm_entities_find(e, NM_ENTITIES_ANY, "", 0) == NM_ENTITIES_NONE);
    nm_entities_destroy(&e);
}

static void test_pick(void **state)
{
    (void)state;
    static const char *const good[] = {"acute", "renal", "acid", "valproic", "failure"};
    struct nm_entities *e =
        load("Disease\tacute renal failure\nDisease\tpain\nDisease\tpain with swelling\nDisease\tswelling\n"
             "Chemical\tvalproic acid\nDisease\tTNF alpha-1 DNR\nChemical\taspirin\n");
    unsigned seen = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        char one[NM_DECOY_MAX], two[NM_DECOY_MAX];
        size_t k = 0;
        assert_true(nm_decoy_pick(e, seed, one));
        assert_true(nm_decoy_pick(e, seed, two));
        assert_string_equal(one, two);
        while (k < 5 && strcmp(good[k], one) != 0)
            k++;
        if (k == 5)
            fail_msg("\"%s\" is no decoy", one);
        seen |= 1U << k;
    }
    assert_int_equal(seen, 31);
    nm_entities_destroy(&e);
    e = load("Disease\tpain\nDisease\tleg pain\nDisease\tleg\n");
    char none[NM_DECOY_MAX];
    assert_false(nm_decoy_pick(e, 1, none));
    nm_entities_destroy(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find), cmocka_unit_test(test_pick)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
