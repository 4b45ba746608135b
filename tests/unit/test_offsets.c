/* A property of alignment, over random Unicode, lists, told spans, tokenisers and policies: whatever is decided,
 * offsets cut the accepted text to the mention, tokens and tags say the same as the mentions, and a listed mention is
 * its entity. NERMILL_TEST_ROUNDS sets how many texts (20,000 unless told).
 */
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
#include "workers/aligner/bio.h"
#include "workers/aligner/write_sample.h"

enum { TEXT_POINTS = 80, ENTITIES = 12, TEXTS_A_LIST = 20, TOLD = 6 };

static int32_t pick(struct nm_rng *rng, const int32_t *from, size_t n)
{
    return from[nm_rng_below(rng, n)];
}

/* Few letters, so that entities come again; and everything that makes offsets hard. */
static int32_t random_point(struct nm_rng *rng)
{
    static const int32_t letters[] = {'a', 'b', 'A', 'B', 'c', '1', '2'};
    static const int32_t blanks[] = {' ', ' ', ' ', 0xA0, '\t', 0x2003, 0x200B};
    static const int32_t marks[] = {'-', '.', ',', '(',    ')',    '[',    ']',    '\'',
                                    '"', '+', '/', 0x2010, 0x2013, 0x2212, 0x2019, 0x201C};
    static const int32_t odd[] = {0x3B1,  0x3B2,  0x392,  0xE9,   0x301,  0x308, 0xB2,    0x2070, 0x2081,
                                  0x207A, 0xFB01, 0xFB03, 0xB5,   0xDF,   0x130, 0x1C5,   0x200D, 0x200C,
                                  0xAD,   0xFEFF, 0x2060, 0x4F60, 0x5D0,  0x627, 0x1F600, 0xE000, 0x1D6FC,
                                  0xFF21, 0x212B, 0x1100, 0x1161, 0x202E, 0x85,  0x2028,  0xAC00};
    switch (nm_rng_below(rng, 8)) {
    case 0:
    case 1:
        return pick(rng, blanks, sizeof blanks / sizeof *blanks);
    case 2:
        return pick(rng, marks, sizeof marks / sizeof *marks);
    case 3:
        return pick(rng, odd, sizeof odd / sizeof *odd);
    case 4:
        if (nm_rng_below(rng, 4) == 0) { /* anything that there is */
            int32_t cp = (int32_t)nm_rng_below(rng, 0x110000);
            return cp == 0 || (cp >= 0xD800 && cp <= 0xDFFF) ? 'a' : cp;
        }
        return 'b';
    default:
        return pick(rng, letters, sizeof letters / sizeof *letters);
    }
}

static void random_text(struct nm_rng *rng, size_t points, struct nm_buf *out)
{
    char bytes[4];
    nm_buf_reset(out);
    for (size_t i = 0; i < points; i++) {
        int n = nm_utf8_put(random_point(rng), bytes);
        assert_true(n > 0);
        assert_int_equal(nm_buf_add(out, bytes, (size_t)n), NM_OK);
    }
}

/* ---- the properties -------------------------------------------------------------------------- */

static bool is_boundary(struct nm_str text, uint64_t at)
{
    return at == text.len || (at < text.len && ((unsigned char)text.ptr[at] & 0xC0) != 0x80);
}

static void check_tokens(const struct nm_msg_sample *s)
{
    uint64_t end = 0;
    for (size_t i = 0; i < s->n_tokens; i++) {
        const struct nm_msg_token *t = &s->tokens[i];
        assert_true(t->start >= end && t->start < t->end && t->end <= s->text.len);
        assert_true(is_boundary(s->text, t->start) && is_boundary(s->text, t->end));
        end = t->end;
    }
}

/* The tokens of a mention are whole, and tagged as it says. */
static void check_tags(const struct nm_msg_sample *s)
{
    size_t i = 0;
    for (size_t k = 0; k < s->n_mentions; k++) {
        const struct nm_msg_mention *m = &s->mentions[k];
        for (; i < s->n_tokens && s->tokens[i].start < m->start; i++)
            assert_string_equal(s->tokens[i].tag.ptr, "O");
        assert_true(i < s->n_tokens && s->tokens[i].start == m->start);
        for (bool first = true;; first = false, i++) {
            const char *tag = s->tokens[i].tag.ptr;
            if (m->type.len == 0)
                assert_string_equal(tag, NM_TAG_TEXT_MASKED);
            else
                assert_true(tag[0] == (first ? 'B' : 'I') && strcmp(tag + 2, m->type.ptr) == 0);
            assert_true(i < s->n_tokens && s->tokens[i].end <= m->end);
            if (s->tokens[i].end == m->end)
                break;
            assert_true(i + 1 < s->n_tokens);
        }
        i++;
    }
    for (; i < s->n_tokens; i++)
        assert_string_equal(s->tokens[i].tag.ptr, "O");
}

/* The words of some bytes as they are compared, case left out, one behind the other. */
static void forms_of(const char *bytes, size_t len, struct nm_buf *out)
{
    struct nm_tokens tokens;
    nm_tokens_init(&tokens);
    nm_buf_reset(out);
    assert_int_equal(nm_tokenize(bytes, len, &tokens), NM_OK);
    for (size_t i = 0; i < tokens.count; i++) {
        assert_int_equal(nm_form(bytes + tokens.v[i].start, tokens.v[i].end - tokens.v[i].start, true, out), NM_OK);
        assert_int_equal(nm_buf_addc(out, '\n'), NM_OK);
    }
    nm_tokens_clean_up(&tokens);
}

/* What the text is cut to by a listed mention's offsets is its entity. */
static void check_mentions(const struct nm_msg_sample *s, const struct nm_entities *entities, bool words)
{
    struct nm_buf got;
    struct nm_buf want;
    nm_buf_init(&got, 1 << 16);
    nm_buf_init(&want, 1 << 16);
    for (size_t k = 0; k < s->n_mentions && words; k++) {
        const struct nm_msg_mention *m = &s->mentions[k];
        if (m->note.len > 0 || m->index == NM_NO_INDEX)
            continue;
        const struct nm_entity *entity = nm_entities_get(entities, m->index);
        assert_non_null(entity);
        assert_string_equal(m->type.ptr, nm_entities_type_name(entities, entity->type));
        forms_of(s->text.ptr + m->start, m->end - m->start, &got);
        forms_of(entity->text, entity->len, &want);
        assert_string_equal(nm_buf_str(&got), nm_buf_str(&want));
    }
    nm_buf_clean_up(&got);
    nm_buf_clean_up(&want);
}

/* The offsets that are written out, in characters, cut the text to the same bytes. */
static void check_json(const struct nm_msg_sample *s)
{
    struct nm_buf json;
    nm_buf_init(&json, 1 << 20);
    assert_int_equal(nm_write_json(s, &json), NM_OK);
    const char *at = strstr(nm_buf_str(&json), "\"entities\":[");
    assert_non_null(at);
    for (size_t k = 0; k < s->n_mentions; k++) {
        unsigned long start;
        unsigned long end;
        at = strstr(at, "{\"start\":");
        assert_non_null(at);
        assert_int_equal(sscanf(at, "{\"start\":%lu,\"end\":%lu,", &start, &end), 2);
        assert_int_equal(nm_utf8_length(s->text.ptr, s->mentions[k].start), start);
        assert_int_equal(nm_utf8_length(s->text.ptr, s->mentions[k].end), end);
        at += 9;
    }
    nm_buf_clean_up(&json);
}

/* ---- random projects and texts ---------------------------------------------------------------- */

struct world {
    struct nm_entities *entities;
    struct nm_project_alignment alignment;
    struct nm_tokenizer *tokenizer;
    struct nm_bio *bio;
    size_t mentions, masked, dropped; /* found in all */
};

static void make_world(struct nm_rng *rng, struct world *w)
{
    static const char file[] = "A\tO\nb-c\tB-X\n.\tO\n\n(\tO\na\tO\n)\tO\nca\tO\nn't\tO\n.\tO\n";
    struct nm_conll conll;
    struct nm_diag diag = {""};
    struct nm_buf blob;
    struct nm_buf entity;
    nm_buf_init(&blob, 1 << 16);
    nm_buf_init(&entity, 1 << 10);
    nm_conll_init(&conll);
    for (size_t i = 0; i < ENTITIES; i++) {
        struct nm_tokens tokens;
        nm_tokens_init(&tokens);
        random_text(rng, 1 + nm_rng_below(rng, 5), &entity);
        assert_int_equal(nm_tokenize(nm_buf_str(&entity), entity.len, &tokens), NM_OK);
        if (tokens.count > 0 && memchr(entity.data, '\t', entity.len) == NULL)
            assert_int_equal(nm_buf_addf(&blob, "T%d\t%s\n", (int)nm_rng_below(rng, 3), nm_buf_str(&entity)), NM_OK);
        nm_tokens_clean_up(&tokens);
    }
    assert_int_equal(nm_buf_adds(&blob, "T0\ta\nT1\tab 1\nT2\tb\n"), NM_OK);
    w->alignment = (struct nm_project_alignment){.plurals = nm_rng_below(rng, 2) == 0,
                                                 .hyphens = nm_rng_below(rng, 2) == 0,
                                                 .abbreviations = (enum nm_abbreviations)nm_rng_below(rng, 4),
                                                 .unlisted = (enum nm_policy)nm_rng_below(rng, 4),
                                                 .unmarked = (enum nm_policy)nm_rng_below(rng, 4),
                                                 .conflicting = (enum nm_policy)nm_rng_below(rng, 4),
                                                 .cut = (enum nm_policy)nm_rng_below(rng, 4)};
    enum nm_tokenizer_kind kind = (enum nm_tokenizer_kind)nm_rng_below(rng, 4);
    if (kind == NM_TOKENIZER_LEARNED) {
        assert_int_equal(nm_conll_parse(&conll, file, sizeof file - 1, "file", &diag), NM_OK);
        assert_int_equal(nm_tokenizer_learn(&conll, &w->tokenizer), NM_OK);
    } else {
        w->tokenizer = nm_tokenizer_new(kind);
    }
    w->entities = nm_entities_new();
    assert_non_null(w->entities);
    if (nm_entities_from_blob(w->entities, nm_buf_str(&blob), blob.len, &diag) != NM_OK ||
        nm_bio_new(w->entities, &w->alignment, w->tokenizer, &w->bio, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    nm_conll_clean_up(&conll);
    nm_buf_clean_up(&blob);
    nm_buf_clean_up(&entity);
}

static void one_text(struct nm_rng *rng, struct world *w, struct nm_arena *arena, struct nm_buf *text)
{
    struct nm_msg_span told[TOLD];
    struct nm_msg_sample sample;
    const char *rule;
    const char *detail;
    size_t points = 1 + nm_rng_below(rng, TEXT_POINTS);
    random_text(rng, points, text);
    struct nm_msg_align align = {
        .text = {nm_buf_str(text), text->len}, .mentions = told, .marked = nm_rng_below(rng, 2) == 0};
    align.n_mentions = nm_rng_below(rng, TOLD + 1);
    for (size_t i = 0; i < align.n_mentions; i++) {
        told[i].start = nm_rng_below(rng, points);
        told[i].end = told[i].start + 1 + nm_rng_below(rng, points - told[i].start);
        told[i].type = nm_rng_below(rng, nm_entities_type_count(w->entities));
        told[i].state = nm_rng_below(rng, 2);
    }
    nm_arena_reset(arena);
    assert_int_equal(nm_bio_align(w->bio, &align, arena, &sample, &rule, &detail), NM_OK);
    w->dropped += *rule != '\0';
    if (*rule != '\0')
        return;
    check_tokens(&sample);
    check_tags(&sample);
    check_mentions(&sample, w->entities,
                   nm_tokenizer_kind(w->tokenizer) == NM_TOKENIZER_BIOMEDICAL && !w->alignment.plurals &&
                       !w->alignment.hyphens);
    check_json(&sample);
    w->mentions += sample.n_mentions;
    w->masked += nm_bio_counts(w->bio)->masked;
}

static void test_offsets(void **state)
{
    (void)state;
    const char *rounds = getenv("NERMILL_TEST_ROUNDS");
    long n = rounds != NULL ? atol(rounds) : 20000;
    struct nm_rng rng;
    struct nm_arena arena;
    struct nm_buf text;
    struct world w = {0};
    nm_rng_init(&rng, 6);
    nm_arena_init(&arena, 0);
    nm_buf_init(&text, 1 << 16);
    for (long i = 0; i < n; i++) {
        if (i % TEXTS_A_LIST == 0) {
            nm_bio_destroy(&w.bio);
            nm_tokenizer_destroy(&w.tokenizer);
            nm_entities_destroy(&w.entities);
            make_world(&rng, &w);
        }
        one_text(&rng, &w, &arena, &text);
    }
    assert_true(w.mentions > (size_t)n && w.masked > (size_t)n / 10 &&
                w.dropped > (size_t)n / 50); /* there was something to see */
    nm_bio_destroy(&w.bio);
    nm_tokenizer_destroy(&w.tokenizer);
    nm_entities_destroy(&w.entities);
    nm_arena_clean_up(&arena);
    nm_buf_clean_up(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_offsets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
