/* Unit tests of the data set's record: random Unicode texts with random spans, through tags, JSON and every form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/hash.h"
#include "common/utf8.h"
#include "tests/unit/temp_dir.h"
#include "workers/dataset/export.h"
#include "workers/dataset/format.h"
#include "workers/dataset/likeness.h"
#include "workers/dataset/read_jsonl.h"
#include "workers/dataset/tally.h"

enum { TEXTS = 3000, SPANS_MAX = 6, PIECES_MAX = 40 };

static const char *const pieces[] = {"a", "Zar", "β",  "ß", "-",      " ", "  ",      "\n", "\"",     "\\",
                                     "💊", "日",  "12", ".", "\u200d", "é", "e\u0301", "<",  "\u2028", "\t"};

struct made {
    char text[PIECES_MAX * 8 + 1];
    size_t len;
    struct nm_text_span spans[SPANS_MAX];
    size_t n;
};

/* A text of random pieces; spans begin and end between them. */
static void make_text(struct nm_rng *rng, struct made *made)
{
    size_t ends[PIECES_MAX + 1] = {0}, n = 1 + (size_t)nm_rng_below(rng, PIECES_MAX);
    made->len = 0;
    for (size_t i = 0; i < n; i++) {
        const char *piece = pieces[nm_rng_below(rng, sizeof pieces / sizeof *pieces)];
        memcpy(made->text + made->len, piece, strlen(piece));
        made->len += strlen(piece);
        ends[i + 1] = made->len;
    }
    made->text[made->len] = '\0';
    made->n = (size_t)nm_rng_below(rng, SPANS_MAX + 1);
    for (size_t i = 0; i < made->n; i++) {
        size_t from = (size_t)nm_rng_below(rng, n), to = from + 1 + (size_t)nm_rng_below(rng, n - from);
        static const char *const types[] = {"Drug", "Cell line", ""};
        made->spans[i] = (struct nm_text_span){.start = ends[from],
                                               .end = ends[to],
                                               .type = nm_str(types[nm_rng_below(rng, 3)]),
                                               .index = NM_NO_INDEX,
                                               .note = nm_str("")};
    }
}

/* Every mention is one of the spans as it was given, or it is masked; the tags say what the mentions say. */
static void check_record(const struct made *made, const struct nm_text_span *spans, const struct nm_record *record)
{
    const struct nm_msg_sample *s = &record->sample;
    assert_int_equal(s->text.len, made->len);
    assert_memory_equal(s->text.ptr, made->text, made->len);
    for (size_t m = 0; m < s->n_mentions; m++) {
        const struct nm_msg_mention *mention = &s->mentions[m];
        bool given = nm_mention_masked(mention);
        for (size_t i = 0; i < made->n && !given; i++)
            given = spans[i].start == mention->start && spans[i].end == mention->end &&
                    strcmp(spans[i].type.ptr, mention->type.ptr) == 0;
        assert_true(given);
        assert_true(m == 0 || s->mentions[m - 1].end <= mention->start);
    }
    for (size_t i = 0, m = 0; i < s->n_tokens; i++) {
        while (m < s->n_mentions && s->mentions[m].end <= s->tokens[i].start)
            m++;
        bool inside = m < s->n_mentions && s->mentions[m].start < s->tokens[i].end;
        const char *type = inside ? s->mentions[m].type.ptr : "O";
        if (!inside || *type == '\0')
            assert_string_equal(s->tokens[i].tag.ptr, inside ? "-" : "O");
        else
            assert_string_equal(s->tokens[i].tag.ptr + 2, type);
    }
}

/* Written as JSON and read again: the same line. */
static void check_json(const struct nm_record *record, struct nm_arena *arena)
{
    struct nm_buf first, second;
    struct nm_record again;
    struct nm_record_counts counts = {0};
    struct nm_diag diag = {""};
    nm_buf_init(&first, 1 << 20);
    nm_buf_init(&second, 1 << 20);
    assert_int_equal(nm_record_write_json(record, &first), NM_OK);
    struct nm_lines lines = {.name = "line", .data = first.data, .len = first.len - 1, .number = 1};
    if (nm_jsonl_record(&lines, arena, &again, &counts, &diag) != NM_OK)
        fail_msg("%s in %s", diag.text, first.data);
    assert_int_equal(nm_record_write_json(&again, &second), NM_OK);
    assert_string_equal(nm_buf_str(&first), nm_buf_str(&second));
    nm_buf_clean_up(&first);
    nm_buf_clean_up(&second);
}

/* A copy outlives what it was made of. */
static void check_copy(const struct nm_record *record)
{
    struct nm_arena short_lived, arena;
    struct nm_buf first, second;
    struct nm_record copy, copy_of_it;
    nm_buf_init(&first, 1 << 20);
    nm_buf_init(&second, 1 << 20);
    nm_arena_init(&short_lived, 0);
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_record_write_json(record, &first), NM_OK);
    assert_int_equal(nm_record_copy(&short_lived, record, &copy), NM_OK);
    assert_int_equal(nm_record_copy(&arena, &copy, &copy_of_it), NM_OK);
    nm_arena_reset(&short_lived);
    memset(nm_arena_alloc(&short_lived, 1024), 'x', 1024);
    assert_int_equal(nm_record_write_json(&copy_of_it, &second), NM_OK);
    assert_string_equal(nm_buf_str(&first), nm_buf_str(&second));
    nm_arena_clean_up(&short_lived);
    nm_arena_clean_up(&arena);
    nm_buf_clean_up(&first);
    nm_buf_clean_up(&second);
}

static void test_random_texts(void **state)
{
    (void)state;
    struct nm_rng rng;
    struct nm_arena arena;
    struct nm_record_counts counts = {0};
    nm_rng_init(&rng, 11);
    nm_arena_init(&arena, 0);
    for (int i = 0; i < TEXTS; i++) {
        struct made made;
        struct nm_text_span spans[SPANS_MAX];
        struct nm_record record = {.document = nm_str(i % 2 == 0 ? "" : "d\"1"), .source = nm_str("")};
        make_text(&rng, &made);
        memcpy(spans, made.spans, sizeof spans);
        nm_arena_reset(&arena);
        struct nm_str text = {made.text, made.len};
        assert_int_equal(nm_record_from_spans(&arena, text, made.spans, made.n, &record, &counts), NM_OK);
        check_record(&made, spans, &record);
        check_json(&record, &arena);
        check_copy(&record);
    }
    assert_true(counts.cut > 100 && counts.overlapping > 100); /* the hard cases were among them */
    struct nm_text_span outside = {.start = 0, .end = 4, .type = nm_str("Drug")};
    struct nm_record record = {0};
    assert_int_equal(nm_record_from_spans(&arena, nm_str("abc"), &outside, 1, &record, &counts), NM_EFORMAT);
    nm_arena_clean_up(&arena);
}

/* ---- every form -------------------------------------------------------------------------------------------------
 */

static enum nm_err read_random(const void *from, nm_record_fn fn, void *ctx, struct nm_diag *diag)
{
    struct nm_rng rng;
    struct nm_arena arena;
    struct nm_record_counts counts = {0};
    enum nm_err err = NM_OK;
    nm_rng_init(&rng, *(const uint64_t *)from);
    nm_arena_init(&arena, 0);
    for (int i = 0; i < 200 && err == NM_OK; i++) {
        struct made made;
        struct nm_record record = {.document = nm_str(""), .source = nm_str("")};
        make_text(&rng, &made);
        nm_arena_reset(&arena);
        struct nm_str text = {made.text, made.len};
        err = nm_record_from_spans(&arena, text, made.spans, made.n, &record, &counts);
        if (err == NM_OK && record.sample.n_tokens > 0)
            err = fn(ctx, &record, diag);
    }
    nm_arena_clean_up(&arena);
    return err;
}

static void test_every_form(void **state)
{
    (void)state;
    char path[128];
    for (size_t i = 0; nm_formats[i] != NULL; i++) {
        uint64_t seed = 5, written = 0;
        struct nm_diag diag = {""};
        (void)snprintf(path, sizeof path, "%s/%s", temp_dir, nm_formats[i]->name);
        enum nm_err err = nm_export_records(read_random, &seed, nm_formats[i], path, &written, &diag);
        if (nm_formats[i] == &nm_format_conll2003) { /* "Cell line" does not fit between its blanks */
            assert_int_equal(err, NM_EFORMAT);
            assert_non_null(strstr(diag.text, "holds a blank"));
            continue;
        }
        if (err != NM_OK)
            fail_msg("%s: %s", nm_formats[i]->name, diag.text);
        assert_true(written > 150);
        assert_ptr_equal(nm_format_find(nm_formats[i]->name), nm_formats[i]);
    }
    assert_null(nm_format_find("none"));
}

/* ---- what reports are counted with ------------------------------------------------------------------------------
 */

static void test_tally(void **state)
{
    (void)state;
    struct nm_tally tally = {0};
    for (uint64_t round = 1; round <= 3; round++)
        for (uint64_t key = 0; key < 5000; key++)
            ++*nm_tally_at(&tally, key * key);
    for (uint64_t key = 2; key < 5000; key++)
        assert_int_equal(nm_tally_get(&tally, key * key), 3);
    assert_int_equal(nm_tally_get(&tally, 3), 0);
    assert_int_equal(tally.n, 4999); /* 0 stands for a free slot, and is counted as 1 */
    nm_tally_clean_up(&tally);
}

static void test_likeness(void **state)
{
    (void)state;
    struct nm_likeness *likeness = nm_likeness_new();
    uint64_t words[60];
    size_t near;
    assert_non_null(likeness);
    for (uint64_t text = 0; text < 50; text++) { /* texts that share nothing */
        for (uint64_t i = 0; i < 60; i++)
            words[i] = nm_mix64(text * 1000 + i);
        assert_int_equal(nm_likeness_add(likeness, words, 60), NM_OK);
    }
    assert_int_equal(nm_likeness_count(likeness, 0.8, &near), NM_OK);
    assert_int_equal(near, 0);
    words[59] = 1; /* the last one with another end: 55 grams of 56 are shared, similarity 55 / 57 */
    assert_int_equal(nm_likeness_add(likeness, words, 60), NM_OK);
    assert_int_equal(nm_likeness_count(likeness, 55.0 / 57.0, &near), NM_OK);
    assert_int_equal(near, 2);
    assert_int_equal(nm_likeness_count(likeness, 0.97, &near), NM_OK);
    assert_int_equal(near, 0);
    assert_int_equal(nm_likeness_add(likeness, words, 2), NM_OK); /* shorter than a gram, twice; and empty */
    assert_int_equal(nm_likeness_add(likeness, words, 2), NM_OK);
    assert_int_equal(nm_likeness_add(likeness, words, 0), NM_OK);
    assert_int_equal(nm_likeness_count(likeness, 0.97, &near), NM_OK);
    assert_int_equal(near, 2);
    nm_likeness_destroy(&likeness);
    assert_null(likeness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_texts),
        cmocka_unit_test_setup_teardown(test_every_form, temp_dir_make, temp_dir_remove),
        cmocka_unit_test(test_tally),
        cmocka_unit_test(test_likeness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
