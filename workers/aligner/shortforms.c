#include "workers/aligner/shortforms.h"

#include <string.h>

#include "workers/aligner/abbreviation.h"

struct search {
    struct nm_str text;
    const struct nm_tokens *words;
    struct nm_spans *spans;
    struct nm_verdict_counts *counts;
};

/* The first span that lies over [start, end), NULL if none does. */
static struct nm_span *over(const struct nm_spans *spans, size_t start, size_t end)
{
    for (size_t i = 0; i < spans->n; i++)
        if (spans->v[i].start < end && start < spans->v[i].end)
            return &spans->v[i];
    return NULL;
}

/* Whether words begin at start and end at end. */
static bool on_words(const struct nm_tokens *words, size_t start, size_t end)
{
    size_t low = 0;
    for (size_t high = words->count; low < high;) { /* the first word that does not begin before start */
        size_t middle = low + (high - low) / 2;
        if (words->v[middle].start < start)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == words->count || words->v[low].start != start)
        return false;
    while (low < words->count && words->v[low].end < end)
        low++;
    return low < words->count && words->v[low].end == end;
}

/* The short form wherever it stands and nothing else does. */
static enum nm_err add_everywhere(const struct search *s, const struct nm_span *like, size_t start, size_t end,
                                  enum nm_policy policy)
{
    size_t len = end - start;
    enum nm_err err = NM_OK;
    const char *from = s->text.ptr;
    const char *stop = s->text.ptr + s->text.len;
    for (const char *hit;
         err == NM_OK && (hit = memmem(from, (size_t)(stop - from), s->text.ptr + start, len)) != NULL;
         from = hit + len) {
        struct nm_span span = {.start = (size_t)(hit - s->text.ptr), .type = like->type, .index = like->index};
        span.end = span.start + len;
        if (on_words(s->words, span.start, span.end) && over(s->spans, span.start, span.end) == NULL)
            err = nm_spans_decide(span, NM_NOTE_ABBREVIATION, policy, s->spans, s->counts);
    }
    return err;
}

/* Span *i becomes one from the beginning of the definition to its end, in place of those of its type that stand
 * there; *i: where it is now.  False: something else stands in the way. */
static bool join(const struct search *s, size_t *i, const struct nm_definition *d)
{
    struct nm_span *v = s->spans->v;
    struct nm_span joined = v[*i];
    joined.start = d->start;
    joined.end = d->end;
    for (size_t k = 0; k < s->spans->n; k++) {
        bool here = v[k].start < joined.end && joined.start < v[k].end;
        if (here && (v[k].start < joined.start || v[k].end > joined.end || v[k].type != joined.type))
            return false;
        joined.requested = joined.requested || (here && v[k].requested);
    }
    size_t n = 0;
    size_t place = 0;
    for (size_t k = 0; k < s->spans->n; k++) {
        if (k == *i)
            place = n;
        if (k == *i || v[k].end <= joined.start || v[k].start >= joined.end)
            v[n++] = k == *i ? joined : v[k];
    }
    s->spans->n = n;
    *i = place;
    return true;
}

enum nm_err nm_shortforms_add(struct nm_str text, const struct nm_tokens *words, enum nm_abbreviations how,
                              struct nm_spans *spans, struct nm_verdict_counts *counts)
{
    struct search s = {text, words, spans, counts};
    enum nm_err err = NM_OK;
    if (memchr(text.ptr, '(', text.len) == NULL && memchr(text.ptr, '[', text.len) == NULL)
        return NM_OK;
    for (size_t i = 0; i < spans->n && err == NM_OK; i++) {
        struct nm_span span = spans->v[i];
        struct nm_definition d;
        if (span.type == NM_NO_TYPE || span.note == NM_NOTE_ABBREVIATION ||
            !nm_abbreviation_find(text.ptr, text.len, span.start, span.end, &d) ||
            !on_words(words, d.short_start, d.short_end))
            continue;
        bool masked = how == NM_ABBREVIATIONS_MASK || d.partial;
        if (how == NM_ABBREVIATIONS_JOINED && !d.partial && join(&s, &i, &d))
            counts->notes[NM_NOTE_ABBREVIATION]++;
        err = add_everywhere(&s, &span, d.short_start, d.short_end, masked ? NM_POLICY_MASK : NM_POLICY_KEEP);
    }
    nm_spans_sort(spans);
    return err;
}
