#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "workers/trainer/corpus.h"
#include "workers/trainer/metrics.h"

static enum nm_err parse(struct nm_corpus *c, const char *text, bool tagged, struct nm_diag *diag)
{
    nm_corpus_init(c);
    return nm_corpus_parse_conll(c, "f.conll", text, strlen(text), tagged, diag);
}

static void check_tags(const struct nm_sentence *s, const int32_t *expected, size_t n)
{
    assert_int_equal(s->n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(s->tags[i], expected[i]);
}

static void test_two_columns(void **state)
{
    (void)state;
    struct nm_corpus c;
    struct nm_diag diag = {""};
    assert_int_equal(parse(&c, "Torsade\tB-Disease\nde\tI-Disease\n.\tO\n\n\nZinc\tB-Chemical\n", true, &diag),
                     NM_OK);
    assert_int_equal(c.n, 2);
    assert_int_equal(c.n_words, 4);
    assert_int_equal(c.n_types, 2);
    assert_string_equal(c.types[0], "Chemical");
    assert_string_equal(c.types[1], "Disease");
    check_tags(&c.sentences[0], (int32_t[]){NM_TAG_B(1), NM_TAG_I(1), NM_TAG_O}, 3);
    check_tags(&c.sentences[1], (int32_t[]){NM_TAG_B(0)}, 1);
    assert_string_equal(c.sentences[0].words[0].text, "Torsade");
    assert_int_equal(c.sentences[1].line, 6);
    nm_corpus_clean_up(&c);
}

static void test_other_shapes(void **state)
{
    (void)state;
    struct nm_corpus c;
    struct nm_diag diag = {""};
    const char *text = "\xef\xbb\xbf-DOCSTART- -X- O O\r\n\r\nEU NNP I-NP B-ORG\r\nrejects  VBZ  I-VP  O  \r\n \t\r\n"
                       "three words\t12\tB-TASK\r\nx\t\tI-TASK";
    assert_int_equal(parse(&c, text, true, &diag), NM_OK);
    assert_int_equal(c.n, 2);
    check_tags(&c.sentences[0], (int32_t[]){NM_TAG_B(0), NM_TAG_O}, 2);
    check_tags(&c.sentences[1], (int32_t[]){NM_TAG_B(1), NM_TAG_I(1)}, 2);
    assert_string_equal(c.sentences[1].words[0].text, "three words");
    nm_corpus_clean_up(&c);
}

static void test_orphans_become_b(void **state)
{
    (void)state;
    struct nm_corpus c;
    struct nm_diag diag = {""};
    assert_int_equal(parse(&c, "a I-X\nb I-X\nc I-Y\nd O\n\ne I-Y\n", true, &diag), NM_OK);
    check_tags(&c.sentences[0], (int32_t[]){NM_TAG_B(0), NM_TAG_I(0), NM_TAG_B(1), NM_TAG_O}, 4);
    check_tags(&c.sentences[1], (int32_t[]){NM_TAG_B(1)}, 1);
    assert_int_equal(c.orphans, 3);
    assert_int_equal(c.first_orphan_line, 1);
    nm_corpus_clean_up(&c);
}

static void test_masked(void **state)
{
    (void)state;
    struct nm_corpus c;
    struct nm_diag diag = {""};
    assert_int_equal(parse(&c, "a B-X\nb -\nc I-X\n- O\n", true, &diag), NM_OK);
    check_tags(&c.sentences[0], (int32_t[]){NM_TAG_B(0), NM_TAG_MASKED, NM_TAG_B(0), NM_TAG_O}, 4);
    assert_int_equal(c.n_masked, 1);
    nm_corpus_clean_up(&c);
}

/* Masked words count neither as words nor as mistakes, nor does an entity that reaches into one. */
static void test_scores_of_masked(void **state)
{
    (void)state;
    struct nm_scores scores;
    const int32_t gold[] = {NM_TAG_B(0), NM_TAG_MASKED, NM_TAG_O, NM_TAG_B(0), NM_TAG_MASKED};
    const int32_t predicted[] = {NM_TAG_B(0), NM_TAG_O, NM_TAG_B(0), NM_TAG_B(0), NM_TAG_I(0)};
    assert_int_equal(nm_scores_init(&scores, 1), NM_OK);
    assert_int_equal(nm_scores_add(&scores, gold, predicted, 5), NM_OK);
    nm_scores_finish(&scores);
    assert_int_equal(scores.words, 3);
    assert_int_equal(scores.right_words, 2);
    assert_int_equal(scores.micro.gold, 2);
    assert_int_equal(scores.micro.predicted, 2); /* word 0, word 2; the one over words 3 and 4 is not counted */
    assert_int_equal(scores.micro.correct, 1);
    nm_scores_clean_up(&scores);
}

static void test_untagged(void **state)
{
    (void)state;
    struct nm_corpus c;
    struct nm_diag diag = {""};
    assert_int_equal(parse(&c, "one\ntwo\n\nthree\n", false, &diag), NM_OK);
    assert_int_equal(c.n, 2);
    assert_true(c.untagged);
    nm_corpus_clean_up(&c);
}

static void test_errors_name_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *where;
    } cases[] = {
        {"a O\nb\n", "f.conll:2: no tag"},
        {"a O\n\nb X-Y\n", "f.conll:3: \"X-Y\" is no BIO tag"},
        {"a B-\n", "f.conll:1: \"B-\" is no BIO tag"},
        {"a O\nb\xff O\n", "f.conll:2: not UTF-8 at byte 2"},
        {"\tO\n", "f.conll:1: the first column"},
        {"\n\n", "f.conll: no sentence"},
        {"", "f.conll: no sentence"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nm_corpus c;
        struct nm_diag diag = {""};
        assert_int_equal(parse(&c, cases[i].text, true, &diag), NM_EFORMAT);
        if (strstr(diag.text, cases[i].where) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", diag.text, cases[i].where);
        nm_corpus_clean_up(&c);
    }
    struct nm_corpus c;
    struct nm_diag diag = {""};
    nm_corpus_init(&c);
    assert_int_equal(nm_corpus_read_conll(&c, "/nonexistent/x.conll", true, &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "/nonexistent/x.conll"));
    nm_corpus_clean_up(&c);
}

static void test_digest_sees_every_part(void **state)
{
    (void)state;
    static const char *const texts[] = {"a O\nb O\n",  "a O\n\nb O\n",   "a B-X\nb O\n",  "a B-Y\nb O\n",
                                        "ab O\nb O\n", "a B-X\nb I-X\n", "a B-X\nb B-X\n"};
    uint64_t seen[sizeof(texts) / sizeof(texts[0])];
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct nm_corpus c;
        assert_int_equal(parse(&c, texts[i], true, NULL), NM_OK);
        seen[i] = nm_corpus_digest(&c);
        nm_corpus_clean_up(&c);
        for (size_t k = 0; k < i; k++)
            assert_true(seen[i] != seen[k]);
    }
}

static void test_spans(void **state)
{
    (void)state;
    const int32_t tags[] = {NM_TAG_I(0), NM_TAG_I(0), NM_TAG_I(1), NM_TAG_B(1), NM_TAG_O, NM_TAG_B(2)};
    struct nm_span spans[6];
    assert_int_equal(nm_metrics_spans(tags, 6, spans), 4);
    assert_int_equal(spans[0].end, 2);
    assert_int_equal(spans[1].start, 2);
    assert_int_equal(spans[2].start, 3);
    assert_int_equal(spans[3].type, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_columns),
        cmocka_unit_test(test_other_shapes),
        cmocka_unit_test(test_orphans_become_b),
        cmocka_unit_test(test_masked),
        cmocka_unit_test(test_scores_of_masked),
        cmocka_unit_test(test_untagged),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_errors_name_file_and_line),
        cmocka_unit_test(test_digest_sees_every_part),
    };
    return cmocka_run_group_tests_name("unit.corpus", tests, NULL, NULL);
}
