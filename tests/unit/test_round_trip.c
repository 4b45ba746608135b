/* The way of a sample, backwards and forwards: every sentence of a labelled file becomes natural text with its
 * mentions, as character offsets and as markup, and aligned again by the scheme learnt from the file it has the
 * file's own tokens and tags.  NERMILL_GOLD names the committed file, NERMILL_DATA the corpora.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/utf8.h"
#include "workers/aligner/bio.h"
#include "workers/aligner/conll.h"
#include "workers/aligner/detokenize.h"
#include "workers/aligner/scheme.h"
#include "workers/generator/markup.h"

enum { TYPES = 8, TOKENS = 1024, SPANS = 256 };

struct way {
    struct nm_conll conll;
    struct nm_tokenizer *tokenizer;
    struct nm_entities *entities;
    struct nm_project_alignment alignment;
    struct nm_bio *bio;
    const char *types[TYPES];
    char names[TYPES][64];
    size_t n_types;
    struct nm_arena arena;
    struct nm_tokens work;
    size_t sentences, mentions, lost;
};

/* One sentence as text. */
struct text {
    struct nm_str tokens[TOKENS];
    uint32_t gaps[TOKENS];
    size_t starts[TOKENS];
    struct nm_buf bytes;
    struct nm_msg_span spans[SPANS];  /* in characters */
    size_t first[SPANS], last[SPANS]; /* tokens of each */
    size_t n_spans;
};

static size_t type_of(struct way *w, struct nm_str tag)
{
    struct nm_str name = {tag.ptr + 2, tag.len - 2};
    for (size_t i = 0; i < w->n_types; i++)
        if (strlen(w->names[i]) == name.len && memcmp(w->names[i], name.ptr, name.len) == 0)
            return i;
    assert_true(w->n_types < TYPES && name.len < sizeof w->names[0]);
    memcpy(w->names[w->n_types], name.ptr, name.len);
    w->types[w->n_types] = w->names[w->n_types];
    return w->n_types++;
}

/* An aligner for the file: its types, with lists that no text can match, and what the model tells is kept. */
static void set_up(struct way *w, const char *path)
{
    struct nm_diag diag = {""};
    struct nm_buf blob;
    *w = (struct way){.alignment = {.tokenizer = NM_TOKENIZER_LEARNED,
                                    .unlisted = NM_POLICY_KEEP,
                                    .cut = NM_POLICY_DROP,
                                    .conflicting = NM_POLICY_DROP}};
    nm_conll_init(&w->conll);
    nm_arena_init(&w->arena, 0);
    nm_tokens_init(&w->work);
    nm_buf_init(&blob, 1 << 16);
    if (nm_conll_read(&w->conll, path, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    for (size_t i = 0; i < w->conll.n_tokens; i++)
        if (w->conll.tokens[i].tag.len > 2)
            (void)type_of(w, w->conll.tokens[i].tag);
    for (size_t i = 0; i < w->n_types; i++)
        assert_int_equal(nm_buf_addf(&blob, "%s\tqzxqzxqzx%zu\n", w->names[i], i), NM_OK);
    w->entities = nm_entities_new();
    assert_non_null(w->entities);
    assert_int_equal(nm_entities_from_blob(w->entities, nm_buf_str(&blob), blob.len, &diag), NM_OK);
    assert_int_equal(nm_tokenizer_learn(&w->conll, &w->tokenizer), NM_OK);
    assert_int_equal(nm_bio_new(w->entities, &w->alignment, w->tokenizer, &w->bio, &diag), NM_OK);
    nm_buf_clean_up(&blob);
}

static void tear_down(struct way *w)
{
    nm_bio_destroy(&w->bio);
    nm_tokenizer_destroy(&w->tokenizer);
    nm_entities_destroy(&w->entities);
    nm_conll_clean_up(&w->conll);
    nm_tokens_clean_up(&w->work);
    nm_arena_clean_up(&w->arena);
}

static void make_text(struct way *w, const struct nm_conll_sentence *s, struct text *t)
{
    const struct nm_conll_token *tokens = &w->conll.tokens[s->first];
    bool exact;
    assert_true(s->n <= TOKENS);
    for (size_t i = 0; i < s->n; i++)
        t->tokens[i] = tokens[i].text;
    nm_scheme_gaps(tokens, t->tokens, s->n, t->gaps);
    for (size_t i = 1; i < s->n; i++) /* brackets side by side would be a mark: a blank parts them */
        if (t->tokens[i].ptr[0] == t->tokens[i - 1].ptr[t->tokens[i - 1].len - 1] &&
            strchr("[]", t->tokens[i].ptr[0]))
            t->gaps[i] = 1;
    assert_int_equal(nm_detokenize_fit(t->tokens, s->n, w->tokenizer, t->gaps, &w->work, &exact), NM_OK);
    nm_buf_reset(&t->bytes);
    assert_int_equal(nm_detokenize_join(t->tokens, s->n, t->gaps, &t->bytes, t->starts), NM_OK);
    t->n_spans = 0;
    for (size_t i = 0, j; i < s->n; i = j) {
        for (j = i + 1; tokens[i].tag.ptr[0] == 'B' && j < s->n && tokens[j].tag.ptr[0] == 'I'; j++)
            ;
        if (tokens[i].tag.ptr[0] != 'B')
            continue;
        assert_true(t->n_spans < SPANS);
        t->first[t->n_spans] = i;
        t->last[t->n_spans] = j - 1;
        const char *bytes = nm_buf_str(&t->bytes);
        t->spans[t->n_spans++] = (struct nm_msg_span){nm_utf8_length(bytes, t->starts[i]),
                                                      nm_utf8_length(bytes, t->starts[j - 1] + t->tokens[j - 1].len),
                                                      type_of(w, tokens[i].tag), NM_SPAN_LABELLED};
    }
}

/* Whether text with spans, aligned, has the sentence's tokens and tags. */
static bool aligns(struct way *w, const struct nm_conll_sentence *s, const struct text *t, const char *text,
                   size_t len, struct nm_msg_span *spans, size_t n)
{
    struct nm_msg_align align = {.text = {text, len}, .mentions = spans, .n_mentions = n, .marked = true};
    struct nm_msg_sample sample;
    const char *rule;
    const char *detail;
    if (nm_bio_align(w->bio, &align, &w->arena, &sample, &rule, &detail) != NM_OK || *rule != '\0' ||
        sample.n_tokens != s->n || sample.n_mentions != t->n_spans)
        return false;
    for (size_t i = 0; i < s->n; i++) {
        const struct nm_conll_token *gold = &w->conll.tokens[s->first + i];
        const struct nm_msg_token *token = &sample.tokens[i];
        if (token->end - token->start != gold->text.len ||
            memcmp(text + token->start, gold->text.ptr, gold->text.len) != 0 || token->tag.len != gold->tag.len ||
            memcmp(token->tag.ptr, gold->tag.ptr, gold->tag.len) != 0)
            return false;
    }
    return true;
}

/* [[mention|TYPE]] around every mention. */
static void mark(const struct way *w, const struct nm_conll_sentence *s, const struct text *t, struct nm_buf *out)
{
    size_t span = 0;
    nm_buf_reset(out);
    for (size_t i = 0; i < s->n; i++) {
        bool begins = span < t->n_spans && t->first[span] == i;
        bool ends = span < t->n_spans && t->last[span] == i;
        assert_int_equal(nm_buf_adds(out, t->gaps[i] > 0 ? " " : ""), NM_OK);
        assert_int_equal(nm_buf_adds(out, begins ? "[[" : ""), NM_OK);
        assert_int_equal(nm_buf_add(out, t->tokens[i].ptr, t->tokens[i].len), NM_OK);
        if (ends)
            assert_int_equal(nm_buf_addf(out, "|%s]]", w->types[t->spans[span++].type]), NM_OK);
    }
}

/* The same from markup. */
static bool aligns_marked(struct way *w, const struct nm_conll_sentence *s, const struct text *t)
{
    struct nm_msg_span spans[SPANS];
    struct nm_markup markup;
    struct nm_buf marked;
    nm_buf_init(&marked, 1 << 20);
    mark(w, s, t, &marked);
    assert_int_equal(nm_markup_read(nm_buf_str(&marked), marked.len, w->types, w->n_types, &w->arena, &markup),
                     NM_OK);
    bool fine = markup.fault == NM_MARKUP_FINE && markup.n == t->n_spans;
    for (size_t i = 0; fine && i < markup.n; i++)
        spans[i] = (struct nm_msg_span){nm_utf8_length(markup.text, markup.marks[i].start),
                                        nm_utf8_length(markup.text, markup.marks[i].end), markup.marks[i].type,
                                        NM_SPAN_LABELLED};
    fine = fine && aligns(w, s, t, markup.text, markup.len, spans, markup.n);
    nm_buf_clean_up(&marked);
    return fine;
}

/* There and back for every sentence of a file. */
static void travel(struct way *w, const char *path)
{
    static struct text t;
    set_up(w, path);
    nm_buf_init(&t.bytes, 1 << 20);
    for (size_t i = 0; i < w->conll.n_sentences; i++) {
        const struct nm_conll_sentence *s = &w->conll.sentences[i];
        nm_arena_reset(&w->arena);
        make_text(w, s, &t);
        bool by_offsets = aligns(w, s, &t, nm_buf_str(&t.bytes), t.bytes.len, t.spans, t.n_spans);
        bool by_marks = aligns_marked(w, s, &t);
        w->sentences++;
        w->mentions += t.n_spans;
        if ((!by_offsets || !by_marks) && w->lost++ < 5)
            print_message("%s:%zu: lost by %s: %s\n", path, s->line, by_offsets ? "markup" : "offsets",
                          nm_buf_str(&t.bytes));
    }
    nm_buf_clean_up(&t.bytes);
    print_message("%s: %zu sentences, %zu mentions, %zu lost\n", path, w->sentences, w->mentions, w->lost);
    tear_down(w);
}

static void test_committed(void **state)
{
    (void)state;
    struct way w;
    const char *gold = getenv("NERMILL_GOLD");
    assert_non_null(gold);
    travel(&w, gold);
    assert_true(w.sentences >= 50 && w.mentions >= 50);
    assert_int_equal(w.lost, 0);
}

static void test_corpora(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        size_t sentences, mentions;
    } files[] = {{"bc5cdr/train.tsv", 4560, 9385},
                 {"bc5cdr/devel.tsv", 4581, 9593},
                 {"bc5cdr/test.tsv", 4797, 9809},
                 {"tdmsci/train_1500_v2.conll", 1523, 2175},
                 {"tdmsci/test_500_v2.conll", 487, 762}};
    const char *dir = getenv("NERMILL_DATA");
    if (dir == NULL) {
        print_message("skipped: set NERMILL_DATA to the directory that holds bc5cdr/ and tdmsci/\n");
        skip();
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[4096];
        struct way w;
        assert_int_equal(nm_file_join(dir, files[i].file, path, sizeof path), NM_OK);
        travel(&w, path);
        assert_int_equal(w.sentences, files[i].sentences);
        assert_int_equal(w.mentions, files[i].mentions);
        assert_int_equal(w.lost, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_committed), cmocka_unit_test(test_corpora)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
