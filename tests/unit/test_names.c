/* Unit tests of names.h, heldout.h and dictionary.h: a corpus's names, what is left out of them, and matching them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/hash.h"
#include "tests/unit/temp_dir.h"
#include "workers/aligner/write_sample.h"
#include "workers/dataset/dictionary.h"
#include "workers/dataset/names.h"

enum { KINDS = 3, RANDOM_NAMES = 120 };

static struct nm_names *make(const char *corpus, struct nm_names_options options)
{
    struct nm_diag diag = {""};
    struct nm_names *names;
    options.from.path = temp_file("corpus.conll", corpus);
    if (nm_names_make(&options, &names, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return names;
}

static const struct nm_name *find(const struct nm_names *names, const char *text)
{
    size_t n;
    const struct nm_name *v = nm_names_list(names, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(v[i].text, text) == 0)
            return &v[i];
    return NULL;
}

static size_t drawn(const struct nm_names *names)
{
    size_t n, count = 0;
    const struct nm_name *v = nm_names_list(names, &n);
    for (size_t i = 0; i < n; i++)
        count += v[i].drawn;
    return count;
}

/* Times "name TAB tag" lines, a sentence each, one behind the other in buf. */
static void say(struct nm_buf *buf, const char *words, const char *type, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        bool first = true;
        for (const char *at = words; *at != '\0'; at += strspn(at, " "), first = false) {
            size_t len = strcspn(at, " ");
            if (*type == '\0')
                assert_int_equal(nm_buf_addf(buf, "%.*s\tO\n", (int)len, at), NM_OK);
            else
                assert_int_equal(nm_buf_addf(buf, "%.*s\t%c-%s\n", (int)len, at, first ? 'B' : 'I', type), NM_OK);
            at += len;
        }
        assert_int_equal(nm_buf_adds(buf, "\n"), NM_OK);
    }
}

static void test_spellings(void **state)
{
    (void)state;
    struct nm_buf buf;
    nm_buf_init(&buf, 1 << 16);
    say(&buf, "propylthio - uracil", "C", 2);
    say(&buf, "Propylthio - Uracil", "C", 1);
    say(&buf, "Lithium", "C", 1);
    say(&buf, "lithium", "C", 1);
    say(&buf, "LITHIUM", "C", 1);
    say(&buf, "AIDS", "D", 3);
    say(&buf, "Aids", "D", 1);
    say(&buf, "Pb", "C", 2);
    say(&buf, "PB", "C", 1);
    say(&buf, "Parkinson ' s disease", "D", 1);
    say(&buf, "# 5", "C", 1);
    struct nm_names *names = make(nm_buf_str(&buf), (struct nm_names_options){.seed = 1});
    size_t n;
    (void)nm_names_list(names, &n);
    assert_int_equal(n, 6);
    assert_int_equal(find(names, "propylthio-uracil")->labelled, 3);
    assert_int_equal(find(names, "lithium")->labelled, 3); /* as often as "Lithium": small letters */
    assert_int_equal(find(names, "AIDS")->labelled, 4);
    assert_int_equal(find(names, "Pb")->labelled, 2);
    assert_int_equal(find(names, "PB")->labelled, 1);
    assert_non_null(find(names, "Parkinson's disease"));
    assert_int_equal(drawn(names), 6);
    nm_names_destroy(&names);
    nm_buf_clean_up(&buf);
}

static void test_two_types(void **state)
{
    (void)state;
    struct nm_buf buf;
    nm_buf_init(&buf, 1 << 16);
    say(&buf, "mostly", "C", 4);
    say(&buf, "Mostly", "D", 2);
    say(&buf, "half", "C", 3);
    say(&buf, "half", "D", 2);
    say(&buf, "Li", "C", 1); /* of two types in all its spellings together: lists compare without case */
    say(&buf, "LI", "D", 1);
    struct nm_names *names = make(nm_buf_str(&buf), (struct nm_names_options){.seed = 1});
    size_t n;
    const struct nm_name *v = nm_names_list(names, &n);
    assert_int_equal(n, 1);
    assert_string_equal(v[0].text, "mostly");
    assert_string_equal(nm_names_type(names, v[0].type), "C");
    assert_int_equal(v[0].labelled, 4);
    nm_names_destroy(&names);
    nm_buf_clean_up(&buf);
}

static void test_faults(void **state)
{
    (void)state;
    struct nm_buf buf;
    nm_buf_init(&buf, 1 << 16);
    say(&buf, "ALL", "D", 2);
    say(&buf, "all of them", "", 3);
    say(&buf, "salt", "C", 2);
    say(&buf, "salt water", "", 3);
    say(&buf, "salt water", "C", 1); /* the longer name takes the salt of those three: */
    say(&buf, "12", "C", 1);
    say(&buf, "pain", "D", 2);
    say(&buf, "chest pain", "D", 1);
    say(&buf, "pain", "", 2); /* no more often than with a label */
    struct nm_names *names = make(nm_buf_str(&buf), (struct nm_names_options){.seed = 1, .hygiene = true});
    assert_int_equal(find(names, "ALL")->fault, NM_NAME_WORD);
    assert_int_equal(find(names, "ALL")->unlabelled, 0);
    assert_int_equal(find(names, "ALL")->unlabelled_any_case, 3);
    assert_int_equal(find(names, "salt")->fault, NM_NAME_GOOD);
    assert_int_equal(find(names, "salt water")->fault, NM_NAME_UNLABELLED);
    assert_int_equal(find(names, "salt water")->unlabelled, 3);
    assert_int_equal(find(names, "12")->fault, NM_NAME_NO_LETTER);
    assert_int_equal(find(names, "pain")->fault, NM_NAME_GOOD);
    assert_int_equal(find(names, "pain")->unlabelled, 2);
    assert_false(find(names, "ALL")->drawn || find(names, "salt water")->drawn || find(names, "12")->drawn);
    assert_int_equal(drawn(names), 3);
    nm_names_destroy(&names);
    nm_buf_clean_up(&buf);
}

/* Of random corpora: the K of a seed are among its K + 1, every type has one, frequent and rare ones are drawn alike,
 * and another seed draws others. */
static void test_draw(void **state)
{
    (void)state;
    static const char *const types[KINDS] = {"A", "B", "C"};
    struct nm_buf buf;
    nm_buf_init(&buf, 1 << 20);
    for (size_t i = 0; i < RANDOM_NAMES; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "name%zu", i);
        say(&buf, name, types[i % 7 == 0 ? 1 : i % 11 == 0 ? 2 : 0], i % 4 == 0 ? 20 : 1);
    }
    bool before[RANDOM_NAMES] = {false}, other = false;
    for (size_t budget = 1; budget <= RANDOM_NAMES + 8; budget += budget < 4 ? 1 : 8) {
        struct nm_names *names = make(nm_buf_str(&buf), (struct nm_names_options){.seed = 5, .budget = budget});
        struct nm_names *others = make(nm_buf_str(&buf), (struct nm_names_options){.seed = 6, .budget = budget});
        size_t n, of_type[KINDS] = {0}, frequent = 0;
        const struct nm_name *v = nm_names_list(names, &n), *w = nm_names_list(others, &n);
        assert_int_equal(n, RANDOM_NAMES);
        assert_int_equal(drawn(names), budget < n ? budget : n);
        for (size_t i = 0; i < n; i++) {
            assert_true(v[i].drawn || !before[i]);
            before[i] = v[i].drawn;
            other = other || v[i].drawn != w[i].drawn;
            of_type[v[i].type] += v[i].drawn;
            frequent += v[i].drawn && v[i].labelled > 1;
        }
        for (size_t t = 0; t < KINDS && budget >= KINDS; t++)
            assert_true(of_type[t] > 0);
        if (budget == 20)
            assert_in_range(frequent, 8, 12);
        nm_names_destroy(&names);
        nm_names_destroy(&others);
    }
    assert_true(other);
    nm_buf_clean_up(&buf);
}

static enum nm_err against(const char *corpus, const char *unseen, struct nm_diag *diag)
{
    const char *files[] = {temp_file("unseen.tsv", unseen)};
    struct nm_names_options options = {
        .from = {.path = temp_file("corpus.conll", corpus)}, .unseen = files, .n_unseen = 1};
    struct nm_names *names;
    enum nm_err err = nm_names_make(&options, &names, diag);
    nm_names_destroy(&names);
    return err;
}

/* The test part is known by its sentences, in any form and however it is tokenised. */
static void test_unseen(void **state)
{
    (void)state;
    static const char unseen[] = "The\tO\nold\tO\n-\tO\nworld\tO\nmonkeys\tB-D\ndied\tO\n\n";
    struct nm_diag diag;
    assert_int_equal(against(unseen, unseen, &diag), NM_EINVAL);
    assert_non_null(strstr(diag.text, "unseen.tsv"));
    assert_int_equal(against("The -X- O\r\nold-world -X- O\r\nmonkeys -X- B-X\r\ndied -X- O\r\n", unseen, &diag),
                     NM_EINVAL);
    assert_int_equal(against("a\tB-C\n\nThe\tO\nold\tO\n-\tO\nworld\tO\nmonkeys\tO\ndied\tO\n\n", unseen, &diag),
                     NM_EINVAL); /* a part of it among other text */
    assert_non_null(strstr(diag.text, "1 sentences"));
    assert_int_equal(against("The\tO\nold\tO\n-\tO\nworld\tO\nmonkeys\tB-D\nlived\tO\n", unseen, &diag), NM_OK);
    assert_int_equal(against("a\tB-D\n\nshort\tO\n", "short\tO\n", &diag), NM_OK); /* too short to be told */
    assert_int_equal(against("short\tB-D\n", "short\tO\n", &diag), NM_EINVAL);     /* but this is the file */
}

/* ---- matching ---------------------------------------------------------------------------------------------------
 */

static enum nm_err add(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    (void)diag;
    return nm_write_conll(&record->sample, ctx);
}

/* corpus matched by three lists, and with a tagger's file where that is given: what is written, into out. */
static enum nm_err match(const char *corpus, const char *tagger, struct nm_dictionary d, struct nm_buf *out,
                         struct nm_diag *diag)
{
    struct nm_dictionary *from = &d;
    struct nm_entities *entities = nm_entities_new();
    assert_non_null(entities);
    nm_entities_take_two_types(entities);
    assert_int_equal(
        nm_entities_load(entities, "C", temp_file("c", "beta-alanine\nPb\nna\xc3\xafve acid\nsalt\n"), diag), NM_OK);
    assert_int_equal(nm_entities_load(entities, "D", temp_file("d", "heart failure\nsalt\n"), diag), NM_OK);
    d.entities = entities;
    d.from.path = temp_file("text.conll", corpus);
    d.with = tagger != NULL ? temp_file("tagger.conll", tagger) : NULL;
    nm_buf_reset(out);
    enum nm_err err = nm_dictionary_read(&from, add, out, diag);
    nm_entities_destroy(&entities);
    return err;
}

static void test_match(void **state)
{
    (void)state;
    struct nm_buf out;
    struct nm_diag diag;
    nm_buf_init(&out, 1 << 16);
    assert_int_equal(match("Beta\tO\n-\tO\nalanine\tO\npb\tB-C\nPb\tO\n\nbeta-alanine O\n(heart O\nfailure) O\nheart "
                           "O\nfailure-like O\n",
                           NULL, (struct nm_dictionary){.sure = 0}, &out, &diag),
                     NM_OK);
    assert_string_equal(nm_buf_str(&out),
                        "Beta\tB-C\n-\tI-C\nalanine\tI-C\npb\tO\nPb\tB-C\n\n"
                        "beta-alanine\tB-C\n(heart\tB-D\nfailure)\tI-D\nheart\tO\nfailure-like\tO\n\n");
    /* TDMSci's offsets say that the letters belong together */
    assert_int_equal(match("na\t0\tO\n\xc3\xaf\t2\tO\nve\t3\tO\nacid\t6\tO\nsalt\t11\tO\n", NULL,
                           (struct nm_dictionary){.sure = 0}, &out, &diag),
                     NM_OK);
    assert_string_equal(nm_buf_str(&out), "na\tB-C\n\xc3\xaf\tI-C\nve\tI-C\nacid\tI-C\nsalt\tB-C\n\n");
    assert_int_equal(
        match("heart failure, then salt\n\n  \nsalt.\n", NULL, (struct nm_dictionary){.text = true}, &out, &diag),
        NM_OK);
    assert_string_equal(nm_buf_str(&out),
                        "heart\tB-D\nfailure\tI-D\n,\tO\nthen\tO\nsalt\tB-C\n\nsalt\tB-C\n.\tO\n\n");
    assert_int_equal(match("one\tO\n\nalone\n", NULL, (struct nm_dictionary){.sure = 0}, &out, &diag), NM_EFORMAT);
    nm_buf_clean_up(&out);
}

static void test_union(void **state)
{
    (void)state;
    static const char text[] = "acute\tO\nheart\tO\nfailure\tO\nand\tO\nsalt\tO\n,\tO\nwater\tO\n";
    static const char tagger[] = "acute\tB-D\t0.9\nheart\tI-D\t0.8\nfailure\tI-D\t0.9\nand\tO\t1\nsalt\tB-D\t0.99\n\n"
                                 ",\tO\t0.5\nwater\tB-C\t0.7\n";
    struct nm_buf out;
    struct nm_diag diag;
    nm_buf_init(&out, 1 << 16);
    static const struct {
        struct nm_dictionary how;
        const char *tags; /* of acute heart failure, salt, water */
    } cases[] = {
        {{.prefer = NM_PREFER_LONGEST}, "B-D I-D I-D B-C B-C"},
        {{.prefer = NM_PREFER_LISTS}, "O B-D I-D B-C B-C"},
        {{.prefer = NM_PREFER_TAGGER}, "B-D I-D I-D B-D B-C"},
        {{.prefer = NM_PREFER_TAGGER, .sure = 0.75}, "B-D I-D I-D B-D O"},
        {{.prefer = NM_PREFER_TAGGER, .sure = 0.85}, "O B-D I-D B-D O"}, /* its least sure word counts */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char tags[5][8], want[256];
        assert_int_equal(sscanf(cases[i].tags, "%7s %7s %7s %7s %7s", tags[0], tags[1], tags[2], tags[3], tags[4]),
                         5);
        (void)snprintf(want, sizeof want, "acute\t%s\nheart\t%s\nfailure\t%s\nand\tO\nsalt\t%s\n,\tO\nwater\t%s\n\n",
                       tags[0], tags[1], tags[2], tags[3], tags[4]);
        assert_int_equal(match(text, tagger, cases[i].how, &out, &diag), NM_OK);
        assert_string_equal(nm_buf_str(&out), want);
    }
    struct nm_dictionary sure = {.sure = 0.5};
    assert_int_equal(match(text, "acute\tO\nheart\tO\nfailures\tO\n", sure, &out, &diag), NM_EFORMAT);
    assert_non_null(strstr(diag.text, "tagger.conll:3"));
    assert_int_equal(match("a\tO\n", "a\tO\t1\nb\tO\t1\n", sure, &out, &diag), NM_EFORMAT); /* a word too many */
    assert_int_equal(match("a\tO\n", "a\tB-C\n", sure, &out, &diag), NM_EFORMAT);           /* how sure? */
    assert_non_null(strstr(diag.text, "--scores"));
    assert_int_equal(match("a\tO\n", "a\tnonsense\t1\n", sure, &out, &diag), NM_EFORMAT);
    nm_buf_clean_up(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings), cmocka_unit_test(test_two_types), cmocka_unit_test(test_faults),
        cmocka_unit_test(test_draw),      cmocka_unit_test(test_unseen),    cmocka_unit_test(test_match),
        cmocka_unit_test(test_union),
    };
    return cmocka_run_group_tests(tests, temp_dir_make, temp_dir_remove);
}
