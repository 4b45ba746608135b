/* Unit tests of surface.h and its parts: each transformation by the labels that come out, and what must hold of every
 * copy whatever is drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "tests/unit/temp_dir.h"
#include "workers/aligner/write_sample.h"
#include "workers/dataset/augment.h"
#include "workers/dataset/deck.h"
#include "workers/dataset/phrases.h"

enum { OUT_MAX = 4 << 20 };

/* Everything off: a test turns on what it is about. */
static struct nm_project_augmentation nothing(void)
{
    return (struct nm_project_augmentation){.wanted = true, .copies = 1};
}

static enum nm_err add(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    const struct nm_msg_sample *s = &record->sample;
    (void)diag;
    for (size_t i = 0; i < s->n_tokens; i++) {
        assert_true(s->tokens[i].start < s->tokens[i].end && s->tokens[i].end <= s->text.len);
        assert_true(i == 0 || s->tokens[i - 1].end <= s->tokens[i].start);
    }
    for (size_t i = 0; i < s->n_mentions; i++)
        assert_true(s->mentions[i].start < s->mentions[i].end &&
                    (i == 0 || s->mentions[i - 1].end <= s->mentions[i].start));
    return nm_write_conll(s, ctx);
}

static const char chemicals[] = "zinc\nbeta-alanine\n";
static const char diseases[] = "fever\nacute renal failure\n";

static enum nm_err run(const char *corpus, struct nm_project_augmentation how, uint64_t copies, uint64_t seed,
                       struct nm_buf *out, struct nm_augment_counts *counts, struct nm_diag *diag)
{
    struct nm_augment augment = {.copies = copies, .surface = &how, .seed = seed};
    struct nm_augment *from = &augment;
    struct nm_entities *entities = nm_entities_new();
    assert_non_null(entities);
    assert_int_equal(nm_entities_load(entities, "C", temp_file("c", chemicals), diag), NM_OK);
    assert_int_equal(nm_entities_load(entities, "D", temp_file("d", diseases), diag), NM_OK);
    augment.entities = entities;
    augment.from.path = temp_file("corpus.conll", corpus);
    nm_buf_reset(out);
    const enum nm_err err = nm_augment_read(&from, add, out, diag);
    *counts = augment.counts;
    nm_entities_destroy(&entities);
    return err;
}

/* What comes out of one copy of the corpus, without the corpus itself. */
static void expect(const char *corpus, struct nm_project_augmentation how, const char *first, const char *copy)
{
    struct nm_buf out;
    struct nm_augment_counts counts;
    struct nm_diag diag = {""};
    char whole[2048];
    nm_buf_init(&out, OUT_MAX);
    if (run(corpus, how, 1, 1, &out, &counts, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    (void)snprintf(whole, sizeof whole, "%s\n%s%s", first, copy, copy[0] != '\0' ? "\n" : "");
    assert_string_equal(nm_buf_str(&out), whole);
    nm_buf_clean_up(&out);
}

static void test_aside(void **state)
{
    (void)state;
    struct nm_project_augmentation how = nothing();
    how.aside = 1;
    how.asides = (char *)temp_file("a", "# about nothing\n\n(see below)\n");
    static const char corpus[] = "Zinc\tB-C\nhelps\tO\n";
    expect(corpus, how, corpus, "Zinc\tB-C\n(\tO\nsee\tO\nbelow\tO\n)\tO\nhelps\tO\n");
    /* Before a full stop that ends something, not in a number. */
    static const char stops[] = "It\tO\nwas\tO\nonly\tO\n0\tO\n.\tO\n5\tO\n%\tO\n.\tO\n";
    expect(stops, how, stops, "It\tO\nwas\tO\nonly\tO\n0\tO\n.\tO\n5\tO\n%\tO\n(\tO\nsee\tO\nbelow\tO\n)\tO\n.\tO\n");
    how.asides = (char *)temp_file("a", ", respectively,\n");
    expect(corpus, how, corpus, "Zinc\tB-C\n,\tO\nrespectively\tO\n,\tO\nhelps\tO\n");
}

static void test_frame(void **state)
{
    (void)state;
    struct nm_project_augmentation how = nothing();
    how.frame = 1;
    how.asides = (char *)temp_file("a", "D: acute * treatment\n");
    static const char corpus[] = "Zinc\tB-C\nfor\tO\nrenal\tB-D\nfailure\tI-D\n.\tO\n";
    expect(corpus, how, corpus, "Zinc\tB-C\nfor\tO\nacute\tO\nrenal\tB-D\nfailure\tI-D\ntreatment\tO\n.\tO\n");
    how.asides = (char *)temp_file("a", "non-*\n");
    expect("Zinc\tB-C\n", how, "Zinc\tB-C\n", "non\tO\n-\tO\nZinc\tB-C\n");
}

static void test_abbreviation(void **state)
{
    (void)state;
    struct nm_project_augmentation how = nothing();
    how.abbreviate = 1;
    expect("acute\tB-D\nrenal\tI-D\nfailure\tI-D\n", how, "acute\tB-D\nrenal\tI-D\nfailure\tI-D\n",
           "acute\tB-D\nrenal\tI-D\nfailure\tI-D\n(\tO\nARF\tB-D\n)\tO\n");
    expect("beta\tB-C\n-\tI-C\nalanine\tI-C\n", how, "beta\tB-C\n-\tI-C\nalanine\tI-C\n",
           "beta\tB-C\n-\tI-C\nalanine\tI-C\n(\tO\nBA\tB-C\n)\tO\n");
    expect("zinc\tB-C\n", how, "zinc\tB-C\n", ""); /* too short for one */
    expect("a\tB-C\nb\tI-C\nc\tI-C\nd\tI-C\ne\tI-C\nf\tI-C\n", how,
           "a\tB-C\nb\tI-C\nc\tI-C\nd\tI-C\ne\tI-C\nf\tI-C\n", ""); /* too many words */
    expect("zero\tB-C\nindex\tI-C\nnoise\tI-C\ncount\tI-C\n", how,  /* ZINC is a name, of this type */
           "zero\tB-C\nindex\tI-C\nnoise\tI-C\ncount\tI-C\n",
           "zero\tB-C\nindex\tI-C\nnoise\tI-C\ncount\tI-C\n(\tO\nZINC\tB-C\n)\tO\n");
    expect("zero\tB-D\nindex\tI-D\nnoise\tI-D\ncount\tI-D\n", how, /* and of this one it is not */
           "zero\tB-D\nindex\tI-D\nnoise\tI-D\ncount\tI-D\n", "");
}

static void test_row(void **state)
{
    (void)state;
    static const char *const rows[] = {"zinc\tB-X\nand\tO\n", "zinc\tB-X\n,\tO\n", "zinc\tB-X\n/\tO\n",
                                       "zinc\tB-X\n-\tO\n",   "zinc\tB-X\n(\tO\n", "zinc\tB-X\nplus\tO\n"};
    struct nm_project_augmentation how = nothing();
    struct nm_buf out;
    struct nm_augment_counts counts;
    struct nm_diag diag = {""};
    nm_buf_init(&out, OUT_MAX);
    how.coordinate = 1;
    assert_int_equal(run("zinc\tB-C\n", how, 1000, 1, &out, &counts, &diag), NM_OK);
    assert_true(counts.surface.added >= counts.copies && counts.surface.replaced == 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char row[64];
        (void)snprintf(row, sizeof row, "%s", rows[i]);
        *strchr(row, 'X') = 'C';
        if (strstr(nm_buf_str(&out), row) == NULL)
            fail_msg("no row like %s", row);
    }
    assert_non_null(strstr(nm_buf_str(&out), "beta\tB-C\n-\tI-C\nalanine\tI-C\n"));
    assert_int_equal(run("zinc\tB-X\n", how, 9, 1, &out, &counts, &diag), NM_OK); /* no list of that type */
    assert_int_equal(counts.copies, 0);
    nm_buf_clean_up(&out);
}

static void test_decoys(void **state)
{
    (void)state;
    struct nm_project_augmentation how = nothing();
    how.decoys = (char *)temp_file("y", "Fever volume\nwild-type mice\nFEVER\n"); /* the last one is a name */
    static const char corpus[] = "The\tO\nfever\tB-D\nvolume\tO\nof\tO\nwild\tO\n-\tO\ntype\tO\nmice\tO\n"
                                 "in\tO\nfever\tB-D\nand\tO\nmaybe\t-\n";
    static const char shielded[] = "The\tO\nfever\tO\nvolume\tO\nof\tO\nwild\tO\n-\tO\ntype\tO\nmice\tO\n"
                                   "in\tO\nfever\tB-D\nand\tO\nmaybe\t-\n";
    expect(corpus, how, shielded, "");
    how.decoy_share = 1; /* of two decoys each takes the place of one, as they are dealt */
    struct nm_buf out;
    struct nm_augment_counts counts;
    struct nm_diag diag = {""};
    nm_buf_init(&out, OUT_MAX);
    assert_int_equal(run(corpus, how, 8, 1, &out, &counts, &diag), NM_OK);
    assert_int_equal(counts.surface.listed, 1);
    assert_int_equal(counts.surface.shielded, 1);
    assert_int_equal(counts.surface.decoys, 16);
    assert_int_equal(counts.copies, 2); /* as there are two orders */
    nm_buf_clean_up(&out);
}

static void test_equal_exposure(void **state)
{
    (void)state;
    struct nm_deck deck;
    assert_int_equal(nm_deck_init(&deck, 7, 3), NM_OK);
    for (int round = 0; round < 5; round++) {
        unsigned seen = 0;
        for (int i = 0; i < 7; i++)
            seen |= 1U << nm_deck_deal(&deck);
        assert_int_equal(seen, 0x7f);
    }
    nm_deck_clean_up(&deck);
    assert_int_equal(nm_deck_init(&deck, 0, 3), NM_OK);
    nm_deck_clean_up(&deck);
}

static void test_numbers(void **state)
{
    (void)state;
    struct nm_rng rng;
    struct nm_buf out;
    unsigned kept = 0;
    nm_rng_init(&rng, 1);
    nm_buf_init(&out, 256);
    for (int i = 0; i < 1000; i++) {
        unsigned whole = 0, fraction = 0;
        int digits_at = 0, end = 0;
        nm_buf_reset(&out);
        assert_int_equal(nm_phrases_vary(nm_str("(CD4, 10.25 mg/m2)"), &rng, &out), NM_OK);
        assert_int_equal(sscanf(nm_buf_str(&out), "(CD4, %u.%n%u%n mg/m2)", &whole, &digits_at, &fraction, &end), 2);
        assert_true(whole >= 1 && whole <= 99);
        assert_int_equal(end - digits_at, 2);
        assert_string_equal(nm_buf_str(&out) + end, " mg/m2)");
        kept += whole == 10;
    }
    assert_true(kept > 150 && kept < 270); /* a fifth, and by chance */
    nm_buf_clean_up(&out);
}

static void test_wrong_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } wrong[] = {{"(n = 1)\nacute * and *\n", "a:2: a frame has one '*'"},
                 {"*\n", "a:1: a frame of no words"},
                 {"\nE: acute *\n", "a:2: 'E' is no type"},
                 {"# nothing\n", "there is no phrase"},
                 {"ok\nbad \xff\n", "a:2: not a line of UTF-8"},
                 {"one\x01two\n", "a:1: not a line"}};
    struct nm_buf out;
    struct nm_augment_counts counts;
    nm_buf_init(&out, OUT_MAX);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct nm_project_augmentation how = nothing();
        struct nm_diag diag = {""};
        how.asides = (char *)temp_file("a", wrong[i].text);
        assert_int_equal(run("zinc\tB-C\n", how, 1, 1, &out, &counts, &diag), NM_EFORMAT);
        if (strstr(diag.text, wrong[i].says) == NULL)
            fail_msg("'%s' instead of '%s'", diag.text, wrong[i].says);
    }
    nm_buf_clean_up(&out);
}

/* ---- whatever is drawn ------------------------------------------------------------------------------------------
 */

static const char *const words[] = {"The", "rate", "of", "is", ",", ".", "mice", "stroke", "(", ")", "1", "x-ray"};
static const char *const tags[] = {"O", "O", "O", "B-C", "B-D", "-"};

/* Random words under random labels, hostile to nothing but sense. */
static void draw_corpus(struct nm_rng *rng, struct nm_buf *out)
{
    nm_buf_reset(out);
    for (uint64_t s = 1 + nm_rng_below(rng, 6); s > 0; s--) {
        for (uint64_t n = 1 + nm_rng_below(rng, 12); n > 0; n--)
            assert_int_equal(nm_buf_addf(out, "%s\t%s\n", words[nm_rng_below(rng, sizeof words / sizeof *words)],
                                         tags[nm_rng_below(rng, sizeof tags / sizeof *tags)]),
                             NM_OK);
        assert_int_equal(nm_buf_addc(out, '\n'), NM_OK);
    }
}

static bool is_one_of(const char *word, const char *const *of, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(word, of[i]) == 0)
            return true;
    return word[strspn(word, "0123456789")] == '\0'; /* of an aside */
}

/* A word outside of mentions is one of the corpus, of an aside, a frame, a decoy, or joins a row; one inside is of a
 * mention of the corpus or of a name, or a short form of one. */
static void check_lines(char *conll)
{
    static const char *const outside[] = {"The",   "rate",   "of",   "is",   ",",   ".",     "mice",     "stroke",
                                          "(",     ")",      "1",    "x",    "-",   "ray",   "n",        "=",
                                          "acute", "volume", "wild", "type", "and", "or",    "/",        "plus",
                                          "with",  "versus", "vs",   "than", "+",   "x-ray", "wild-type"};
    static const char *const inside[] = {"The",    "rate", "of",      "is",    ",",     ".",     "mice",
                                         "stroke", "(",    ")",       "x-ray", "x",     "-",     "ray",
                                         "zinc",   "beta", "alanine", "fever", "acute", "renal", "failure",
                                         "BA",     "ARF",  "ST",      "STR",   "STRO",  "XR",    "beta-alanine"};
    char before = 'O';
    for (char *line = conll; *line != '\0';) {
        char *end = strchr(line, '\n'), *tag = strchr(line, '\t');
        *end = '\0';
        if (tag == NULL || tag > end) {
            assert_int_equal(*line, '\0');
            before = 'O';
        } else {
            *tag++ = '\0';
            assert_true(strchr("BIO-", tag[0]) != NULL && (strlen(tag) == 1 || strlen(tag) == 3));
            if (tag[0] == 'I') /* goes on with the mention of its type */
                assert_int_equal(before, tag[2]);
            before = tag[0] == 'B' || tag[0] == 'I' ? tag[2] : 'O';
            const bool labelled = before != 'O';
            if (!is_one_of(line, labelled ? inside : outside,
                           labelled ? sizeof inside / sizeof *inside : sizeof outside / sizeof *outside))
                fail_msg("'%s' as %s", line, tag);
        }
        line = end + 1;
    }
}

static void test_whatever_is_drawn(void **state)
{
    (void)state;
    struct nm_rng rng;
    struct nm_buf corpus, one, two, more;
    struct nm_augment_counts counts;
    struct nm_diag diag = {""};
    struct nm_project_augmentation how = nm_project_augmentation_default();
    nm_rng_init(&rng, 8);
    nm_buf_init(&corpus, OUT_MAX);
    nm_buf_init(&one, OUT_MAX);
    nm_buf_init(&two, OUT_MAX);
    nm_buf_init(&more, OUT_MAX);
    how.frame = 0.5;
    for (uint64_t i = 0; i < 200; i++) {
        draw_corpus(&rng, &corpus);
        how.asides = (char *)temp_file("a", "(n = 12)\nacute *\n* rate\n");
        how.decoys = (char *)temp_file("y", "stroke volume\nwild-type mice\nrate of\n");
        assert_int_equal(run(nm_buf_str(&corpus), how, 3, i, &one, &counts, &diag), NM_OK);
        assert_int_equal(run(nm_buf_str(&corpus), how, 3, i, &two, &counts, &diag), NM_OK);
        assert_string_equal(nm_buf_str(&one), nm_buf_str(&two));
        assert_int_equal(run(nm_buf_str(&corpus), how, 4, i, &more, &counts, &diag), NM_OK);
        assert_memory_equal(nm_buf_str(&more), nm_buf_str(&one), one.len);
        check_lines(more.data);
    }
    nm_buf_clean_up(&corpus);
    nm_buf_clean_up(&one);
    nm_buf_clean_up(&two);
    nm_buf_clean_up(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aside),   cmocka_unit_test(test_frame),       cmocka_unit_test(test_abbreviation),
        cmocka_unit_test(test_row),     cmocka_unit_test(test_decoys),      cmocka_unit_test(test_equal_exposure),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_wrong_files), cmocka_unit_test(test_whatever_is_drawn)};
    return cmocka_run_group_tests(tests, temp_dir_make, temp_dir_remove);
}
