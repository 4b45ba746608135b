#include "workers/aligner/spans.h"

#include <stdlib.h>
#include <string.h>

#include "workers/aligner/array.h"

static const struct {
    const char *name, *detail;
} notes[NM_NOTES] = {
    [NM_NOTE_LISTED] = {"", ""},
    [NM_NOTE_ABBREVIATION] = {"abbreviation", "it holds an abbreviation"},
    [NM_NOTE_UNLISTED] = {"unlisted", "it holds a mention that is on no list, and alignment.unlisted says drop"},
    [NM_NOTE_UNMARKED] = {"unmarked",
                          "it holds a listed entity that the model did not mark, and alignment.unmarked says drop"},
    [NM_NOTE_DOUBTED] =
        {"doubted", "it holds a listed entity that the model is not sure of, and alignment.conflicting says drop"},
    [NM_NOTE_TYPE] =
        {"type", "a mention has one type by the model and another by the lists, and alignment.conflicting says drop"},
    [NM_NOTE_OVERLAP] = {"overlap", "two mentions overlap, and alignment.conflicting says drop"},
    [NM_NOTE_CUT] = {"cut", "a mention begins or ends inside a token, and alignment.cut says drop"},
    [NM_NOTE_AMBIGUOUS] = {"ambiguous", "an entity has several types"},
};

const char *nm_note_name(enum nm_note note)
{
    return notes[note].name;
}

const char *nm_note_detail(enum nm_note note)
{
    return notes[note].detail;
}

size_t nm_verdict_list(const struct nm_verdict_counts *counts, struct nm_msg_count out[NM_NOTES])
{
    size_t n = 0;
    if (counts->masked > 0)
        out[n++] = (struct nm_msg_count){nm_str("masked"), counts->masked};
    for (enum nm_note note = NM_NOTE_LISTED + 1; note < NM_NOTES; note++)
        if (counts->notes[note] > 0)
            out[n++] = (struct nm_msg_count){nm_str(notes[note].name), counts->notes[note]};
    return n;
}

struct nm_verdict_counts nm_verdict_of_sample(const struct nm_msg_sample *sample)
{
    struct nm_verdict_counts counts = {0};
    for (size_t i = 0; i < sample->n_mentions; i++) {
        const struct nm_msg_mention *mention = &sample->mentions[i];
        counts.masked += mention->type.len == 0;
        for (enum nm_note note = NM_NOTE_LISTED + 1; note < NM_NOTES; note++)
            counts.notes[note] += strcmp(mention->note.ptr, notes[note].name) == 0;
    }
    return counts;
}

void nm_spans_clean_up(struct nm_spans *spans)
{
    free(spans->v);
    *spans = (struct nm_spans){0};
}

enum nm_err nm_spans_add(struct nm_spans *spans, struct nm_span span)
{
    struct nm_span *v = nm_array_grow(spans->v, &spans->cap, spans->n + 1, sizeof *v);
    if (v == NULL)
        return NM_ENOMEM;
    spans->v = v;
    v[spans->n++] = span;
    return NM_OK;
}

static int by_start(const void *a, const void *b)
{
    const struct nm_span *x = a;
    const struct nm_span *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return (x->end < y->end) - (x->end > y->end);
}

void nm_spans_sort(struct nm_spans *spans)
{
    if (spans->n > 1)
        qsort(spans->v, spans->n, sizeof *spans->v, by_start);
}

enum nm_err nm_spans_decide(struct nm_span span, enum nm_note note, enum nm_policy policy, struct nm_spans *out,
                            struct nm_verdict_counts *counts)
{
    counts->notes[note]++;
    span.note = note;
    switch (policy) {
    case NM_POLICY_IGNORE:
        return NM_OK;
    case NM_POLICY_DROP:
        if (counts->dropped == NM_NOTE_LISTED)
            counts->dropped = note;
        return NM_OK;
    case NM_POLICY_MASK:
        span.type = NM_NO_TYPE;
        break;
    case NM_POLICY_KEEP:
        break;
    }
    return nm_spans_add(out, span);
}

/* ---- two witnesses ---------------------------------------------------------------------------
 *
 * Spans that overlap, one way or another, are one cluster; what is outside of it has nothing to say about it.
 */

struct decision {
    const struct nm_project_alignment *policies;
    bool marked;
    struct nm_spans *out;
    struct nm_verdict_counts *counts;
};

static enum nm_err listed_alone(const struct decision *d, const struct nm_span *span)
{
    if (span->note == NM_NOTE_AMBIGUOUS)
        return nm_spans_decide(*span, NM_NOTE_AMBIGUOUS, NM_POLICY_MASK, d->out, d->counts);
    if (d->marked)
        return nm_spans_decide(*span, NM_NOTE_UNMARKED, d->policies->unmarked, d->out, d->counts);
    return nm_spans_add(d->out, *span);
}

static enum nm_err told_alone(const struct decision *d, const struct nm_span *span)
{
    return nm_spans_decide(*span, NM_NOTE_UNLISTED, d->policies->unlisted, d->out, d->counts);
}

/* Both name the same characters. */
static enum nm_err both(const struct decision *d, const struct nm_span *listed, const struct nm_span *told)
{
    if (listed->note == NM_NOTE_AMBIGUOUS)
        return listed_alone(d, listed);
    if (told->type == NM_NO_TYPE)
        return nm_spans_decide(*listed, NM_NOTE_DOUBTED, d->policies->conflicting, d->out, d->counts);
    if (told->type != listed->type)
        return nm_spans_decide(*listed, NM_NOTE_TYPE, d->policies->conflicting, d->out, d->counts);
    return nm_spans_add(d->out, *listed);
}

static bool overlap(const struct nm_span *a, const struct nm_span *b)
{
    return a->start < b->end && b->start < a->end;
}

/* A cluster: v[0..n_listed) of the lists, told[0..n_told) of the model. */
struct cluster {
    const struct nm_span *listed, *told;
    size_t n_listed, n_told;
    size_t start, end;
};

/* The longest span of a cluster that lies over none already taken; the lists' before the model's, then the first. */
static const struct nm_span *longest_left(const struct cluster *c, const struct nm_spans *out, size_t taken,
                                          bool *is_told)
{
    const struct nm_span *best = NULL;
    for (size_t i = 0; i < c->n_listed + c->n_told; i++) {
        const struct nm_span *span = i < c->n_listed ? &c->listed[i] : &c->told[i - c->n_listed];
        bool free_of_others = best == NULL || span->end - span->start > best->end - best->start;
        for (size_t k = taken; k < out->n && free_of_others; k++)
            free_of_others = !overlap(span, &out->v[k]);
        if (free_of_others) {
            best = span;
            *is_told = i >= c->n_listed;
        }
    }
    return best;
}

/* The longest spans stay, each decided as if it were alone. */
static enum nm_err keep_longest(const struct decision *d, const struct cluster *c)
{
    struct nm_spans taken = {0};
    enum nm_err err = NM_OK;
    bool is_told = false;
    for (const struct nm_span *span; err == NM_OK && (span = longest_left(c, &taken, 0, &is_told)) != NULL;) {
        err = nm_spans_add(&taken, *span);
        if (err == NM_OK)
            err = is_told ? told_alone(d, span) : nm_spans_add(d->out, *span);
    }
    nm_spans_clean_up(&taken);
    return err;
}

static enum nm_err decide(const struct decision *d, const struct cluster *c)
{
    if (c->n_listed == 1 && c->n_told == 0)
        return listed_alone(d, c->listed);
    if (c->n_listed == 0 && c->n_told == 1)
        return told_alone(d, c->told);
    bool same =
        c->n_listed == 1 && c->n_told == 1 && c->listed->start == c->told->start && c->listed->end == c->told->end;
    if (same)
        return both(d, c->listed, c->told);
    if (d->policies->conflicting == NM_POLICY_KEEP) {
        d->counts->notes[NM_NOTE_OVERLAP]++;
        return keep_longest(d, c);
    }
    struct nm_span all = {.start = c->start, .end = c->end, .type = NM_NO_TYPE, .index = NM_NO_INDEX};
    for (size_t i = 0; i < c->n_listed; i++)
        all.requested = all.requested || c->listed[i].requested;
    return nm_spans_decide(all, NM_NOTE_OVERLAP, d->policies->conflicting, d->out, d->counts);
}

/* Take up the next span of a list into the cluster if it begins inside; the first one always. */
static bool take(struct cluster *c, const struct nm_spans *from, size_t *at, size_t *n)
{
    bool first = c->end == 0;
    if (*at == from->n || (!first && from->v[*at].start >= c->end))
        return false;
    const struct nm_span *span = &from->v[(*at)++];
    ++*n;
    c->start = first ? span->start : c->start;
    c->end = span->end > c->end ? span->end : c->end;
    return true;
}

enum nm_err nm_spans_combine(const struct nm_spans *listed, const struct nm_spans *told, bool marked,
                             const struct nm_project_alignment *policies, struct nm_spans *out,
                             struct nm_verdict_counts *counts)
{
    struct decision d = {policies, marked, out, counts};
    enum nm_err err = NM_OK;
    for (size_t l = 0, t = 0; (l < listed->n || t < told->n) && err == NM_OK;) {
        struct cluster c = {.listed = listed->v + l, .told = told->v + t};
        bool told_first = l == listed->n || (t < told->n && told->v[t].start < listed->v[l].start);
        (void)(told_first ? take(&c, told, &t, &c.n_told) : take(&c, listed, &l, &c.n_listed));
        while (take(&c, listed, &l, &c.n_listed) || take(&c, told, &t, &c.n_told))
            ;
        err = decide(&d, &c);
    }
    nm_spans_sort(out); /* the longest of a cluster came first */
    return err;
}
