#include "workers/dataset/record.h"

#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/aligner/tokenize.h"

bool nm_mention_masked(const struct nm_msg_mention *mention)
{
    return mention->type.len == 0;
}

uint64_t *nm_points_to_bytes(struct nm_arena *arena, struct nm_str text, size_t *n_points)
{
    *n_points = nm_utf8_length(text.ptr, text.len);
    uint64_t *bytes = nm_arena_alloc(arena, (*n_points + 1) * sizeof *bytes);
    size_t at = 0;
    for (size_t i = 0; bytes != NULL && i < text.len; i++)
        if (((unsigned char)text.ptr[i] & 0xc0) != 0x80)
            bytes[at++] = i;
    if (bytes != NULL)
        bytes[at] = text.len;
    return bytes;
}

/* ---- copies ---------------------------------------------------------------------------------------------------- */

static bool same(struct nm_str a, struct nm_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* False: out of memory. */
static bool copy_text(struct nm_arena *arena, struct nm_str *text)
{
    text->ptr = text->len > 0 ? nm_arena_strndup(arena, text->ptr, text->len) : "";
    return text->ptr != NULL;
}

/* Neighbours mostly have the same tag: one copy for all of them. */
static bool copy_tokens(struct nm_arena *arena, struct nm_msg_sample *sample)
{
    const struct nm_msg_token *from = sample->tokens;
    struct nm_msg_token *to = sample->tokens = nm_arena_alloc(arena, (sample->n_tokens + 1) * sizeof *to);
    bool ok = to != NULL;
    for (size_t i = 0; i < sample->n_tokens && ok; i++) {
        to[i] = from[i];
        if (i > 0 && same(from[i].tag, to[i - 1].tag))
            to[i].tag = to[i - 1].tag;
        else
            ok = copy_text(arena, &to[i].tag);
    }
    return ok;
}

static bool copy_mentions(struct nm_arena *arena, struct nm_msg_sample *sample)
{
    const struct nm_msg_mention *from = sample->mentions;
    struct nm_msg_mention *to = sample->mentions = nm_arena_alloc(arena, (sample->n_mentions + 1) * sizeof *to);
    bool ok = to != NULL;
    for (size_t i = 0; i < sample->n_mentions && ok; i++) {
        to[i] = from[i];
        ok = copy_text(arena, &to[i].type) && copy_text(arena, &to[i].note);
    }
    return ok;
}

enum nm_err nm_record_copy(struct nm_arena *arena, const struct nm_record *from, struct nm_record *to)
{
    struct nm_msg_sample *sample = &to->sample;
    *to = *from;
    const bool ok = copy_text(arena, &to->document) && copy_text(arena, &to->source) &&
                    copy_text(arena, &sample->text) && copy_text(arena, &sample->prompt_hash) &&
                    copy_text(arena, &sample->model) && copy_text(arena, &sample->constraint) &&
                    copy_tokens(arena, sample) && copy_mentions(arena, sample);
    return ok ? NM_OK : NM_ENOMEM;
}

/* ---- tags ------------------------------------------------------------------------------------------------------ */

/* One tag taken apart: prefix 'O', '-' (masked) or a letter of its scheme. */
struct tag {
    char prefix;
    struct nm_str type;
};

static bool parse_tag(struct nm_str text, struct tag *tag)
{
    *tag = (struct tag){.prefix = text.len > 0 ? text.ptr[0] : '\0'};
    if (text.len == 1)
        return tag->prefix == 'O' || tag->prefix == '-';
    tag->type = (struct nm_str){text.ptr + 2, text.len - 2};
    return text.len > 2 && text.ptr[1] == '-' && strchr("BIESLU", tag->prefix) != NULL;
}

/* The tags as a run of mentions; open is the one that the next token may continue. */
struct marking {
    struct nm_msg_sample *sample;
    struct nm_msg_mention *open;
    char before; /* the prefix before */
};

static void mark_token(struct marking *m, const struct nm_msg_token *token, const struct tag *tag)
{
    char before = m->before;
    m->before = tag->prefix;
    if (tag->prefix == 'O') {
        m->open = NULL;
        return;
    }
    bool closed = before != '\0' && strchr("ESLU", before) != NULL;
    bool begins = m->open == NULL || closed || (tag->prefix != '\0' && strchr("BSU", tag->prefix) != NULL) ||
                  !same(m->open->type, tag->type);
    if (begins) {
        m->open = &m->sample->mentions[m->sample->n_mentions++];
        *m->open = (struct nm_msg_mention){
            .start = token->start, .type = tag->type, .index = NM_NO_INDEX, .note = nm_str("")};
    }
    m->open->end = token->end;
}

enum nm_err nm_record_mark(struct nm_arena *arena, struct nm_record *record, size_t *bad)
{
    struct nm_msg_sample *sample = &record->sample;
    struct marking m = {.sample = sample};
    sample->n_mentions = 0;
    sample->mentions = nm_arena_alloc(arena, (sample->n_tokens + 1) * sizeof *sample->mentions);
    if (sample->mentions == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < sample->n_tokens; i++) {
        struct tag tag;
        *bad = i;
        if (!parse_tag(sample->tokens[i].tag, &tag))
            return NM_EFORMAT;
        mark_token(&m, &sample->tokens[i], &tag);
    }
    return NM_OK;
}

enum nm_err nm_record_tag(struct nm_arena *arena, struct nm_msg_sample *sample)
{
    size_t at = 0;
    for (size_t i = 0; i < sample->n_tokens; i++)
        sample->tokens[i].tag = nm_str("O");
    for (size_t k = 0; k < sample->n_mentions; k++) {
        const struct nm_msg_mention *mention = &sample->mentions[k];
        const char *begin = NM_TAG_TEXT_MASKED, *inside = NM_TAG_TEXT_MASKED;
        if (!nm_mention_masked(mention)) {
            begin = nm_arena_sprintf(arena, "B-%.*s", (int)mention->type.len, mention->type.ptr);
            inside = nm_arena_sprintf(arena, "I-%.*s", (int)mention->type.len, mention->type.ptr);
        }
        if (begin == NULL || inside == NULL)
            return NM_ENOMEM;
        while (at < sample->n_tokens && sample->tokens[at].end <= mention->start)
            at++;
        for (; at < sample->n_tokens && sample->tokens[at].start < mention->end; at++)
            sample->tokens[at].tag = nm_str(sample->tokens[at].start <= mention->start ? begin : inside);
    }
    return NM_OK;
}

enum nm_err nm_record_from_words(struct nm_arena *arena, const struct nm_tagged_word *words, size_t n,
                                 const uint32_t *gaps, struct nm_record *record, size_t *bad)
{
    struct nm_msg_sample *sample = &record->sample;
    size_t len = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        len += words[i].text.len + (gaps != NULL ? gaps[i] : i > 0);
    char *text = nm_arena_alloc(arena, len + 1);
    sample->tokens = nm_arena_alloc(arena, (n + 1) * sizeof *sample->tokens);
    if (text == NULL || sample->tokens == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        size_t gap = gaps != NULL ? gaps[i] : i > 0;
        memset(text + at, ' ', gap);
        at += gap;
        memcpy(text + at, words[i].text.ptr, words[i].text.len);
        sample->tokens[i] = (struct nm_msg_token){.start = at, .end = at + words[i].text.len, .tag = words[i].tag};
        at += words[i].text.len;
    }
    sample->n_tokens = n;
    sample->text = (struct nm_str){text, len};
    enum nm_err err = nm_record_mark(arena, record, bad);
    return err == NM_OK ? nm_record_tag(arena, sample) : err;
}

/* ---- spans ----------------------------------------------------------------------------------------------------- */

static int longest_first(const void *a, const void *b)
{
    const struct nm_text_span *x = a, *y = b;
    uint64_t lx = x->end - x->start, ly = y->end - y->start;
    return lx != ly ? (lx < ly) - (lx > ly) : (x->start > y->start) - (x->start < y->start);
}

static int in_order(const void *a, const void *b)
{
    const struct nm_text_span *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

/* The spans that stay, in order; how many. */
static size_t without_overlaps(struct nm_text_span *spans, size_t n, struct nm_record_counts *counts)
{
    qsort(spans, n, sizeof *spans, longest_first);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool over = false;
        for (size_t k = 0; k < kept && !over; k++)
            over = spans[i].start < spans[k].end && spans[k].start < spans[i].end;
        if (over)
            counts->overlapping++;
        else
            spans[kept++] = spans[i];
    }
    qsort(spans, kept, sizeof *spans, in_order);
    return kept;
}

/* The span as a mention of whole tokens; first is where to look from.  False: it holds no token. */
static bool fit(const struct nm_msg_sample *sample, const struct nm_text_span *span, size_t *first,
                struct nm_msg_mention *mention, struct nm_record_counts *counts)
{
    size_t at = *first;
    while (at < sample->n_tokens && sample->tokens[at].end <= span->start)
        at++;
    *first = at;
    if (at == sample->n_tokens || sample->tokens[at].start >= span->end)
        return false;
    size_t last = at;
    while (last + 1 < sample->n_tokens && sample->tokens[last + 1].start < span->end)
        last++;
    bool cut = sample->tokens[at].start < span->start || sample->tokens[last].end > span->end;
    *mention = (struct nm_msg_mention){.start = cut ? sample->tokens[at].start : span->start,
                                       .end = cut ? sample->tokens[last].end : span->end,
                                       .type = cut ? nm_str("") : span->type,
                                       .requested = span->requested,
                                       .index = span->index,
                                       .note = cut ? nm_str("cut") : span->note};
    counts->cut += cut;
    return true;
}

static enum nm_err tokenize(struct nm_arena *arena, struct nm_msg_sample *sample)
{
    struct nm_tokens tokens;
    nm_tokens_init(&tokens);
    enum nm_err err = nm_tokenize(sample->text.ptr, sample->text.len, &tokens);
    if (err == NM_OK) {
        sample->n_tokens = tokens.count;
        sample->tokens = nm_arena_alloc(arena, (tokens.count + 1) * sizeof *sample->tokens);
        err = sample->tokens != NULL ? NM_OK : NM_ENOMEM;
    }
    for (size_t i = 0; i < tokens.count && err == NM_OK; i++)
        sample->tokens[i] = (struct nm_msg_token){.start = tokens.v[i].start, .end = tokens.v[i].end};
    nm_tokens_clean_up(&tokens);
    return err;
}

enum nm_err nm_record_from_spans(struct nm_arena *arena, struct nm_str text, struct nm_text_span *spans, size_t n,
                                 struct nm_record *record, struct nm_record_counts *counts)
{
    struct nm_msg_sample *sample = &record->sample;
    sample->text = text;
    for (size_t i = 0; i < n; i++)
        if (spans[i].start >= spans[i].end || spans[i].end > text.len)
            return NM_EFORMAT;
    enum nm_err err = tokenize(arena, sample);
    sample->mentions = nm_arena_alloc(arena, (n + 1) * sizeof *sample->mentions);
    sample->n_mentions = 0;
    if (err != NM_OK || sample->mentions == NULL)
        return err != NM_OK ? err : NM_ENOMEM;
    n = without_overlaps(spans, n, counts);
    size_t first = 0;
    for (size_t i = 0; i < n; i++) {
        struct nm_msg_mention mention;
        if (!fit(sample, &spans[i], &first, &mention, counts))
            continue;
        /* Two that cut the same token: one masked run. */
        struct nm_msg_mention *last = sample->n_mentions > 0 ? &sample->mentions[sample->n_mentions - 1] : NULL;
        if (last != NULL && mention.start < last->end) {
            last->type = nm_str("");
            last->end = mention.end > last->end ? mention.end : last->end;
        } else {
            sample->mentions[sample->n_mentions++] = mention;
        }
    }
    return nm_record_tag(arena, sample);
}
