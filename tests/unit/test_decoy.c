/* Words that look like entities and are none: out of listed names, never listed themselves, by the seed alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/decoy.h"

static const char always[] = "hard_negatives: 1";
static struct nm_diag said; /* by the last call that failed */

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

static struct nm_decoys *take(const char *generation, const struct nm_entities *entities)
{
    struct nm_diag diag;
    struct nm_project *project;
    struct nm_decoys *decoys;
    char text[512];
    snprintf(text, sizeof text,
             "version: 1\nname: x\nentities: [{type: Disease, file: d.txt}]\n"
             "endpoints: [{name: e, url: 'http://127.0.0.1:1/v1', model: m}]\ngeneration: {%s}\n",
             generation);
    if (nm_project_parse(text, strlen(text), "project.yaml", &project, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    enum nm_err err = nm_decoys_new(project, "project.yaml", entities, &decoys, &diag);
    nm_project_destroy(&project); /* not borrowed but for the call */
    said = diag;
    return err == NM_OK ? decoys : NULL;
}

static void test_pick(void **state)
{
    (void)state;
    static const char *const good[] = {"acute", "renal", "acid", "valproic", "failure"};
    struct nm_entities *e =
        load("Disease\tacute renal failure\nDisease\tpain\nDisease\tpain with swelling\nDisease\tswelling\n"
             "Chemical\tvalproic acid\nDisease\tTNF alpha-1 DNR\nChemical\taspirin\n");
    struct nm_decoys *decoys = take(always, e);
    unsigned seen = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        char one[NM_DECOY_MAX], two[NM_DECOY_MAX];
        size_t k = 0;
        assert_true(nm_decoys_pick(decoys, true, seed, one));
        assert_true(nm_decoys_pick(decoys, true, seed, two));
        assert_false(nm_decoys_pick(decoys, false, seed, two)); /* not without terms of the project's own */
        assert_string_equal(one, two);
        while (k < 5 && strcmp(good[k], one) != 0)
            k++;
        if (k == 5)
            fail_msg("\"%s\" is no decoy", one);
        seen |= 1U << k;
    }
    assert_int_equal(seen, 31);
    nm_decoys_destroy(&decoys);
    nm_entities_destroy(&e);
    e = load("Disease\tpain\nDisease\tleg pain\nDisease\tleg\n");
    char none[NM_DECOY_MAX];
    decoys = take(always, e);
    assert_false(nm_decoys_pick(decoys, true, 1, none));
    nm_decoys_destroy(&decoys);
    nm_entities_destroy(&e);
}

static void write_terms(const char *terms)
{
    FILE *f = fopen("decoys.txt", "w");
    assert_non_null(f);
    assert_true(fputs(terms, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void test_own_terms(void **state)
{
    (void)state;
    static const char own[] = "hard_negatives: 0.5, decoys: {file: decoys.txt, share: 0.25}";
    char dir[] = "/tmp/test_decoy.XXXXXX", one[NM_DECOY_MAX];
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    struct nm_entities *e = load("Disease\tliver failure\nDisease\tgout\n");
    write_terms("# species and organs\nWistar rats\nliver\n");
    struct nm_decoys *decoys = take(own, e);
    assert_non_null(decoys);
    unsigned negatives = 0, others = 0, wistar = 0;
    for (uint64_t seed = 0; seed < 4000; seed++) {
        if (nm_decoys_pick(decoys, true, seed, one)) {
            negatives++;
            wistar += strcmp(one, "Wistar rats") == 0;
            assert_true(strcmp(one, "Wistar rats") == 0 || strcmp(one, "liver") == 0);
        }
        others += nm_decoys_pick(decoys, false, seed, one);
    }
    assert_in_range(negatives, 1800, 2200);
    assert_in_range(others, 850, 1150);
    assert_in_range(wistar, negatives / 2 - 150, negatives / 2 + 150);
    const uint64_t digest = nm_decoys_digest(decoys);
    nm_decoys_destroy(&decoys);
    write_terms("liver\n");
    decoys = take(own, e);
    assert_true(nm_decoys_digest(decoys) != digest);
    nm_decoys_destroy(&decoys);
    write_terms("liver\nGOUT\n");
    assert_null(take(own, e));
    assert_non_null(strstr(said.text, "on an entity list"));
    write_terms("na\xc3\xafve\n");
    assert_null(take(own, e));
    assert_non_null(strstr(said.text, "ASCII"));
    assert_int_equal(remove("decoys.txt"), 0);
    assert_null(take(own, e));
    nm_entities_destroy(&e);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find), cmocka_unit_test(test_pick),
                                       cmocka_unit_test(test_own_terms)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
