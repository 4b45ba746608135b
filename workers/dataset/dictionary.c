#include "workers/dataset/dictionary.h"

#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/aligner/matcher.h"
#include "workers/dataset/import_parts.h"
#include "workers/dataset/tagger_file.h"

/* A span that the lists or the tagger found: bytes of the text. */
struct found {
    struct nm_msg_mention mention;
    bool listed;
};

struct matching {
    struct nm_dictionary *dictionary;
    nm_record_fn fn;
    void *ctx;
    struct nm_matcher *matcher;
    struct nm_tokens words;
    struct nm_matches matches;
    struct nm_tagger_file with;
    struct nm_arena arena; /* of the present sentence */
    struct found *found;   /* (n), in arena */
    size_t n;
};

static enum nm_err no_memory(struct nm_diag *diag)
{
    return nm_fail(diag, NM_ENOMEM, "match: out of memory");
}

/* ---- what both found -------------------------------------------------------------------------------------------
 */

static bool has_word(const char *text, size_t len)
{
    return nm_utf8_has(text, len, nm_utf8_is_letter) || nm_utf8_has(text, len, nm_utf8_is_digit);
}

/* Onto whole tokens, which may hold brackets and full stops besides; false: there is more of a word in one of them.
 */
static bool fit(const struct nm_msg_sample *sample, uint64_t *start, uint64_t *end)
{
    const char *text = sample->text.ptr;
    bool fits = true;
    for (size_t i = 0; i < sample->n_tokens; i++) {
        const struct nm_msg_token *t = &sample->tokens[i];
        if (t->start < *start && t->end > *start) {
            fits = fits && !has_word(text + t->start, *start - t->start);
            *start = t->start;
        }
        if (t->start < *end && t->end > *end) {
            fits = fits && !has_word(text + *end, t->end - *end);
            *end = t->end;
        }
    }
    return fits;
}

static void take_matches(struct matching *m, const struct nm_msg_sample *sample)
{
    const struct nm_entities *entities = m->dictionary->entities;
    for (size_t i = 0; i < m->matches.count; i++) {
        const struct nm_match *match = &m->matches.v[i];
        const struct nm_token *first = &m->words.v[match->first];
        uint64_t start = first->start, end = first[match->count - 1].end;
        if (!fit(sample, &start, &end)) {
            m->dictionary->counts.cut++;
            continue;
        }
        const struct nm_entity *entity = nm_entities_get(entities, match->entity);
        m->found[m->n++] = (struct found){.mention = {.start = start,
                                                      .end = end,
                                                      .type = nm_str(nm_entities_type_name(entities, entity->type)),
                                                      .index = match->entity,
                                                      .note = nm_str("")},
                                          .listed = true};
        m->dictionary->counts.listed++;
    }
}

static void take_tagged(struct matching *m, const struct nm_tagger_span *spans, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (nm_mention_masked(&spans[i].mention))
            continue;
        if (spans[i].score < m->dictionary->sure) {
            m->dictionary->counts.unsure++;
            continue;
        }
        m->found[m->n++] = (struct found){.mention = spans[i].mention};
        m->dictionary->counts.tagged++;
    }
}

static enum nm_err find(struct matching *m, const struct nm_record *record, struct nm_diag *diag)
{
    const struct nm_msg_sample *sample = &record->sample;
    struct nm_tagger_span *spans = NULL;
    size_t n_spans = 0;
    enum nm_err err = nm_tokenize(sample->text.ptr, sample->text.len, &m->words);
    if (err == NM_OK)
        err = nm_matcher_run(m->matcher, sample->text.ptr, &m->words, &m->matches);
    if (err != NM_OK)
        return nm_fail(diag, err, "%s: the lists cannot be matched: %s", record->source.ptr, nm_err_name(err));
    if (m->dictionary->with != NULL)
        err = nm_tagger_file_spans(&m->with, record, &m->arena, &spans, &n_spans, diag);
    if (err != NM_OK)
        return err;
    m->n = 0;
    m->found = nm_arena_alloc(&m->arena, (m->matches.count + n_spans + 1) * sizeof *m->found);
    if (m->found == NULL)
        return no_memory(diag);
    take_matches(m, sample);
    take_tagged(m, spans, n_spans);
    return NM_OK;
}

/* ---- the union -------------------------------------------------------------------------------------------------
 */

static uint64_t length(const struct found *f)
{
    return f->mention.end - f->mention.start;
}

/* The better one first. */
static int compare(const struct found *a, const struct found *b, enum nm_prefer prefer)
{
    if (prefer != NM_PREFER_LONGEST && a->listed != b->listed)
        return a->listed == (prefer == NM_PREFER_LISTS) ? -1 : 1;
    if (length(a) != length(b))
        return length(a) > length(b) ? -1 : 1;
    if (a->listed != b->listed)
        return a->listed ? -1 : 1;
    return (a->mention.start > b->mention.start) - (a->mention.start < b->mention.start);
}

static int by_length(const void *a, const void *b)
{
    return compare(a, b, NM_PREFER_LONGEST);
}

static int by_lists(const void *a, const void *b)
{
    return compare(a, b, NM_PREFER_LISTS);
}

static int by_tagger(const void *a, const void *b)
{
    return compare(a, b, NM_PREFER_TAGGER);
}

static int by_start(const void *a, const void *b)
{
    const struct nm_msg_mention *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

static bool same(const struct nm_msg_mention *a, const struct nm_msg_mention *b)
{
    return a->start == b->start && a->end == b->end && a->type.len == b->type.len &&
           memcmp(a->type.ptr, b->type.ptr, a->type.len) == 0;
}

/* Of what was found, what stays, into sample's mentions, in order. */
static enum nm_err unite(struct matching *m, struct nm_msg_sample *sample)
{
    static int (*const orders[])(const void *, const void *) = {by_length, by_lists, by_tagger};
    struct nm_dictionary_counts *counts = &m->dictionary->counts;
    sample->n_mentions = 0;
    sample->mentions = nm_arena_alloc(&m->arena, (m->n + 1) * sizeof *sample->mentions);
    if (sample->mentions == NULL)
        return NM_ENOMEM;
    qsort(m->found, m->n, sizeof *m->found, orders[m->dictionary->prefer]);
    for (size_t i = 0; i < m->n; i++) {
        const struct nm_msg_mention *one = &m->found[i].mention, *over = NULL;
        for (size_t k = 0; k < sample->n_mentions && over == NULL; k++)
            if (one->start < sample->mentions[k].end && sample->mentions[k].start < one->end)
                over = &sample->mentions[k];
        if (over == NULL)
            sample->mentions[sample->n_mentions++] = *one;
        else if (same(one, over))
            counts->both++;
        else
            counts->dropped++;
    }
    qsort(sample->mentions, sample->n_mentions, sizeof *sample->mentions, by_start);
    counts->written += sample->n_mentions;
    return NM_OK;
}

/* ---- reading ---------------------------------------------------------------------------------------------------
 */

static enum nm_err tag_record(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    struct matching *m = ctx;
    struct nm_record tagged = *record;
    nm_arena_reset(&m->arena);
    enum nm_err err = find(m, record, diag);
    if (err != NM_OK)
        return err;
    tagged.sample.tokens = nm_arena_alloc(&m->arena, (record->sample.n_tokens + 1) * sizeof *tagged.sample.tokens);
    if (tagged.sample.tokens == NULL)
        return no_memory(diag);
    memcpy(tagged.sample.tokens, record->sample.tokens, record->sample.n_tokens * sizeof *tagged.sample.tokens);
    if (unite(m, &tagged.sample) != NM_OK || nm_record_tag(&m->arena, &tagged.sample) != NM_OK)
        return no_memory(diag);
    m->dictionary->counts.sentences++;
    return m->fn(m->ctx, &tagged, diag);
}

/* A text a line; lines without one are passed over. */
static enum nm_err read_text(struct matching *m, struct nm_diag *diag)
{
    struct nm_record_counts counts = {0};
    struct nm_import_sink sink = {tag_record, m, &counts, diag};
    struct nm_lines lines;
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    enum nm_err err = nm_lines_open(&lines, m->dictionary->from.path, diag);
    while (err == NM_OK && (err = nm_lines_next(&lines, diag)) == NM_OK) {
        nm_arena_reset(&arena);
        struct nm_passage line = {.text = {lines.data, lines.len}, .name = lines.name, .line = lines.number};
        line.document = nm_str("");
        err = nm_import_passage(&sink, &line, false, &arena);
    }
    bool ended = err == NM_ENOENT && lines.file != NULL;
    nm_lines_close(&lines);
    nm_arena_clean_up(&arena);
    return ended ? NM_OK : err;
}

static enum nm_err make_matcher(struct matching *m, struct nm_diag *diag)
{
    size_t n = nm_entities_count(m->dictionary->entities);
    struct nm_pattern *patterns = calloc(n > 0 ? n : 1, sizeof *patterns);
    if (patterns == NULL)
        return no_memory(diag);
    for (size_t i = 0; i < n; i++) {
        const struct nm_entity *entity = nm_entities_get(m->dictionary->entities, i);
        patterns[i] = (struct nm_pattern){.text = entity->text, .len = entity->len};
    }
    enum nm_err err = nm_matcher_new(patterns, n, &m->matcher, diag);
    free(patterns);
    return err;
}

static enum nm_err read_all(struct matching *m, struct nm_diag *diag)
{
    struct nm_dictionary *d = m->dictionary;
    struct nm_record_counts counts;
    struct nm_import from = d->from;
    from.natural = true;
    enum nm_err err = d->with != NULL ? nm_tagger_file_open(&m->with, d->with, diag) : NM_OK;
    if (err == NM_OK)
        err = make_matcher(m, diag);
    if (err == NM_OK)
        err = d->text ? read_text(m, diag) : nm_import_read(&from, tag_record, m, &counts, diag);
    if (err == NM_OK && d->with != NULL)
        err = nm_tagger_file_end(&m->with, diag);
    if (err == NM_OK && d->with != NULL && d->sure > 0 && !m->with.scored)
        err = nm_fail(diag, NM_EFORMAT,
                      "%s has no probabilities: write it with 'nermill predict --format conll --scores'", d->with);
    return err;
}

enum nm_err nm_dictionary_read(const void *from, nm_record_fn fn, void *ctx, struct nm_diag *diag)
{
    struct matching m = {.dictionary = *(struct nm_dictionary *const *)from, .fn = fn, .ctx = ctx};
    m.dictionary->counts = (struct nm_dictionary_counts){0};
    nm_arena_init(&m.arena, 0);
    nm_tokens_init(&m.words);
    nm_matches_init(&m.matches);
    enum nm_err err = read_all(&m, diag);
    if (m.dictionary->with != NULL)
        nm_tagger_file_close(&m.with);
    nm_matcher_destroy(&m.matcher);
    nm_matches_clean_up(&m.matches);
    nm_tokens_clean_up(&m.words);
    nm_arena_clean_up(&m.arena);
    return err;
}
