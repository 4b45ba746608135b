/* Few-shot examples: out of a corpus's tokens natural text again, marked and listed, drawn by the seed alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "workers/generator/exemplars.h"

static struct nm_project_list lists[] = {{.type = "Chemical"}, {.type = "Disease"}};
static const struct nm_project project = {.lists = lists, .n_lists = 2};

static const char gold[] =
    "-DOCSTART-\tO\n\n"
    "Severe\tO\nabdominal\tB-Disease\npain\tI-Disease\n(\tO\ngrade\tO\n3\tO\n)\tO\nfollowed\tO\n"
    "propylthio\tB-Chemical\n-\tI-Chemical\nuracil\tI-Chemical\n,\tO\nor\tO\npain\tB-Disease\n"
    "gout\tB-Disease\n.\tO\n\n"
    "Too\tO\nshort\tO\n.\tO\n\n"
    "No\tO\nchange\tO\nwas\tO\nseen\tO\n.\tO\n";

static struct nm_exemplars *parse(const char *data, enum nm_err want, const char *words)
{
    struct nm_exemplars *out;
    struct nm_diag diag = {""};
    assert_int_equal(nm_exemplars_parse(&project, "gold.conll", data, strlen(data), &out, &diag), want);
    if (words != NULL && strstr(diag.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", diag.text, words);
    return out;
}

static void test_forms(void **state)
{
    (void)state;
    struct nm_arena arena;
    const struct nm_prompt_exemplar *drawn;
    size_t n;
    struct nm_exemplars *all = parse(gold, NM_OK, NULL);
    nm_arena_init(&arena, 0);
    for (uint64_t seed = 0; seed < 4; seed++) {
        assert_int_equal(nm_exemplars_draw(all, seed, 5, NM_EXEMPLAR_MARKED, &arena, &drawn, &n), NM_OK);
        assert_int_equal(n, 2);
        const struct nm_prompt_exemplar *full = drawn[0].n > 0 ? &drawn[0] : &drawn[1];
        const struct nm_prompt_exemplar *empty = drawn[0].n > 0 ? &drawn[1] : &drawn[0];
        assert_string_equal(full->text, "Severe abdominal pain (grade 3) followed propylthio-uracil, or pain gout.");
        assert_string_equal(full->answer, "Severe [[abdominal pain|Disease]] (grade 3) followed "
                                          "[[propylthio-uracil|Chemical]], or [[pain|Disease]] [[gout|Disease]].");
        assert_int_equal(full->n, 4);
        assert_string_equal(full->entities[1].text, "propylthio-uracil");
        assert_string_equal(full->entities[1].note, "Chemical");
        assert_string_equal(empty->answer, "No change was seen.");
    }
    assert_int_equal(nm_exemplars_draw(all, 1, 2, NM_EXEMPLAR_LISTED, &arena, &drawn, &n), NM_OK);
    const char *listed = drawn[0].n > 0 ? drawn[0].answer : drawn[1].answer;
    assert_string_equal(listed, "Disease: abdominal pain\nChemical: propylthio-uracil\nDisease: pain\nDisease: gout");
    assert_string_equal(drawn[0].n > 0 ? drawn[1].answer : drawn[0].answer, "none");
    nm_arena_clean_up(&arena);
    nm_exemplars_destroy(&all);
}

static void test_draw(void **state)
{
    (void)state;
    char many[4096] = "";
    struct nm_arena arena;
    const struct nm_prompt_exemplar *a, *b;
    size_t n, differ = 0;
    for (int i = 0; i < 20; i++) {
        char line[64] = "Case\tO\nnumber\tO\nX\tO\nhere\tO\n.\tO\n\n";
        *strchr(line, 'X') = (char)('a' + i);
        strcat(many, line);
    }
    struct nm_exemplars *all = parse(many, NM_OK, NULL);
    nm_arena_init(&arena, 0);
    for (uint64_t seed = 0; seed < 20; seed++) {
        assert_int_equal(nm_exemplars_draw(all, seed, 3, NM_EXEMPLAR_PLAIN, &arena, &a, &n), NM_OK);
        assert_int_equal(n, 3);
        assert_int_equal(nm_exemplars_draw(all, seed, 3, NM_EXEMPLAR_PLAIN, &arena, &b, &n), NM_OK);
        for (size_t i = 0; i < 3; i++) {
            assert_ptr_equal(a[i].text, b[i].text);
            assert_true(a[i].text != a[(i + 1) % 3].text);
        }
        assert_int_equal(nm_exemplars_draw(all, seed + 100, 3, NM_EXEMPLAR_PLAIN, &arena, &b, &n), NM_OK);
        differ += a[0].text != b[0].text;
    }
    assert_true(differ > 10);
    nm_arena_clean_up(&arena);
    nm_exemplars_destroy(&all);
}

static void test_bad(void **state)
{
    (void)state;
    assert_null(parse("One\tO\ntwo\tO\nthree\tB-Gene\nfour\tO\n", NM_EFORMAT, "gold.conll:3: the tag \"B-Gene\""));
    assert_null(parse("One\tO\ntwo\tO\n", NM_EFORMAT, "no sentence"));
    assert_null(parse("One\n", NM_EFORMAT, "gold.conll:1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_draw),
                                       cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
