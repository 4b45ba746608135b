/* Unit tests of augment.h: what is replaced, what stays, and that a file's own tokens are kept to. */
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

/* Offsets on tokens, each token's text as it is in the text, mentions on tokens: whatever was replaced. */
static enum nm_err add(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    (void)diag;
    const struct nm_msg_sample *s = &record->sample;
    for (size_t i = 0; i < s->n_tokens; i++) {
        assert_true(s->tokens[i].start < s->tokens[i].end && s->tokens[i].end <= s->text.len);
        assert_true(i == 0 || s->tokens[i - 1].end <= s->tokens[i].start);
    }
    return nm_write_conll(s, ctx);
}

static void run(const char *corpus, struct nm_augment augment, const char *chemicals, struct nm_buf *out,
                struct nm_augment_counts *counts)
{
    struct nm_diag diag = {""};
    struct nm_augment *from = &augment;
    struct nm_entities *entities = nm_entities_new();
    assert_non_null(entities);
    assert_int_equal(nm_entities_load(entities, "C", temp_file("c", chemicals), &diag), NM_OK);
    augment.entities = entities;
    augment.from.path = temp_file("corpus.conll", corpus);
    nm_buf_reset(out);
    if (nm_augment_read(&from, add, out, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    *counts = augment.counts;
    nm_entities_destroy(&entities);
}

static void test_replace(void **state)
{
    (void)state;
    struct nm_buf out;
    struct nm_augment_counts counts;
    nm_buf_init(&out, 1 << 20);
    run("Old\tB-C\n-\tO\ninduced\tO\nfever\tB-D\nand\tO\nmaybe\t-\n.\tO\n\nNothing\tO\n",
        (struct nm_augment){.copies = 3, .share = 0, .seed = 1}, "old\nbeta-alanine\n", &out, &counts);
    static const char first[] = "Old\tB-C\n-\tO\ninduced\tO\nfever\tB-D\nand\tO\nmaybe\t-\n.\tO\n\nNothing\tO\n\n";
    assert_memory_equal(nm_buf_str(&out), first, sizeof first - 1);
    assert_int_equal(counts.sentences, 2);
    assert_int_equal(counts.copies + counts.repeated, 3); /* at least one mention, even where none is drawn */
    assert_int_equal(counts.replaced, counts.copies);
    assert_non_null(strstr(nm_buf_str(&out), "\n\nbeta\tB-C\n-\tI-C\nalanine\tI-C\n-\tO\ninduced\tO\nfever\tB-D\n"
                                             "and\tO\nmaybe\t-\n.\tO\n\n"));
    run("Old\tB-C\n", (struct nm_augment){.copies = 2, .share = 1, .seed = 1}, "Old\n", &out, &counts);
    assert_int_equal(counts.copies, 0); /* there is no other name */
    run("Old\tB-X\n", (struct nm_augment){.copies = 2, .share = 1, .seed = 1}, "a\nb\n", &out, &counts);
    assert_int_equal(counts.copies, 0); /* no list of that type */
    nm_buf_clean_up(&out);
}

/* A file that leaves hyphenated words whole gets them whole. */
static void test_tokens(void **state)
{
    (void)state;
    struct nm_buf out;
    struct nm_augment_counts counts;
    nm_buf_init(&out, 1 << 20);
    run("A\tO\nlong-term\tO\nwell-known\tO\ncis-retinal\tB-C\nco-factor\tO\n.\tO\n",
        (struct nm_augment){.copies = 1, .share = 1, .seed = 1}, "beta-alanine\n", &out, &counts);
    assert_non_null(strstr(nm_buf_str(&out), "well-known\tO\nbeta-alanine\tB-C\nco-factor\tO\n"));
    nm_buf_clean_up(&out);
}

/* The same again from the same seed; one copy more changes none of the others; another seed draws others. */
static void test_seed(void **state)
{
    (void)state;
    static const char corpus[] = "one\tB-C\nand\tO\ntwo\tB-C\nand\tO\nthree\tB-C\n\nfour\tB-C\n";
    static const char names[] = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n";
    struct nm_buf first, again;
    struct nm_augment_counts counts;
    nm_buf_init(&first, 1 << 20);
    nm_buf_init(&again, 1 << 20);
    run(corpus, (struct nm_augment){.copies = 4, .share = 0.5, .seed = 7}, names, &first, &counts);
    assert_int_equal(counts.copies + counts.repeated, 8);
    assert_true(counts.replaced > counts.copies);
    run(corpus, (struct nm_augment){.copies = 4, .share = 0.5, .seed = 7}, names, &again, &counts);
    assert_string_equal(nm_buf_str(&first), nm_buf_str(&again));
    run(corpus, (struct nm_augment){.copies = 4, .share = 0.5, .seed = 8}, names, &again, &counts);
    assert_string_not_equal(nm_buf_str(&first), nm_buf_str(&again));
    run("one\tB-C\n", (struct nm_augment){.copies = 40, .share = 0.5, .seed = 7}, names, &again, &counts);
    assert_int_equal(counts.copies, 12); /* there are no more different ones */
    assert_int_equal(counts.repeated, 28);
    nm_buf_clean_up(&first);
    nm_buf_clean_up(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_replace), cmocka_unit_test(test_tokens),
                                       cmocka_unit_test(test_seed)};
    return cmocka_run_group_tests(tests, temp_dir_make, temp_dir_remove);
}
