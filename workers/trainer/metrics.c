#include "workers/trainer/metrics.h"

#include <stdlib.h>

static size_t find_spans(const int32_t *tags, size_t n, bool iob2, struct nm_span *spans)
{
    size_t count = 0;
    bool open = false;
    for (size_t i = 0; i < n; i++) {
        if (!nm_tag_is_entity(tags[i])) {
            open = false;
            continue;
        }
        size_t type = nm_tag_type(tags[i]);
        if (open && !nm_tag_is_begin(tags[i]) && spans[count - 1].type == type) {
            spans[count - 1].end = i + 1;
            continue;
        }
        open = nm_tag_is_begin(tags[i]) || !iob2;
        if (!open)
            continue;
        spans[count++] = (struct nm_span){.start = i, .end = i + 1, .type = type};
    }
    return count;
}

size_t nm_metrics_spans(const int32_t *tags, size_t n, struct nm_span *spans)
{
    return find_spans(tags, n, false, spans);
}

float nm_metrics_span_score(const float *scores, const struct nm_span *span)
{
    float sum = 0;
    for (size_t i = span->start; i < span->end; i++)
        sum += scores[i];
    return sum / (float)(span->end - span->start);
}

size_t nm_metrics_spans_iob2(const int32_t *tags, size_t n, struct nm_span *spans)
{
    return find_spans(tags, n, true, spans);
}

enum nm_err nm_scores_init(struct nm_scores *scores, size_t n_types)
{
    *scores = (struct nm_scores){.types = calloc(n_types + 1, sizeof(*scores->types)), .n_types = n_types};
    return scores->types != NULL ? NM_OK : NM_ENOMEM;
}

void nm_scores_clean_up(struct nm_scores *scores)
{
    free(scores->types);
    *scores = (struct nm_scores){0};
}

/* Drops the spans that have a masked word of gold; returns how many are left. */
static size_t drop_masked(struct nm_span *spans, size_t n, const int32_t *gold)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = spans[i].start;
        while (at < spans[i].end && gold[at] != NM_TAG_MASKED)
            at++;
        if (at == spans[i].end)
            spans[kept++] = spans[i];
    }
    return kept;
}

enum nm_err nm_scores_add(struct nm_scores *scores, const int32_t *gold, const int32_t *predicted, size_t n)
{
    if (n == 0)
        return NM_OK;
    struct nm_span *spans = malloc(2 * n * sizeof(*spans)), *found = spans + n;
    if (spans == NULL)
        return NM_ENOMEM;
    size_t n_gold = find_spans(gold, n, scores->iob2, spans), n_found = find_spans(predicted, n, scores->iob2, found);
    n_found = drop_masked(found, n_found, gold);
    for (size_t i = 0; i < n_gold; i++)
        scores->types[spans[i].type].gold++;
    for (size_t i = 0; i < n_found; i++)
        scores->types[found[i].type].predicted++;
    for (size_t g = 0, f = 0; g < n_gold && f < n_found;) { /* both in order of start, none overlap */
        if (spans[g].start == found[f].start && spans[g].end == found[f].end && spans[g].type == found[f].type)
            scores->types[spans[g].type].correct++;
        if (spans[g].start <= found[f].start)
            g++;
        else
            f++;
    }
    free(spans);
    for (size_t i = 0; i < n; i++) {
        scores->right_words += gold[i] == predicted[i];
        scores->words += gold[i] != NM_TAG_MASKED;
    }
    return NM_OK;
}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static void finish(struct nm_score *s)
{
    s->precision = ratio((double)s->correct, (double)s->predicted);
    s->recall = ratio((double)s->correct, (double)s->gold);
    s->f1 = ratio(2 * s->precision * s->recall, s->precision + s->recall);
}

void nm_scores_finish(struct nm_scores *scores)
{
    scores->micro = (struct nm_score){0};
    for (size_t i = 0; i < scores->n_types; i++) {
        scores->micro.correct += scores->types[i].correct;
        scores->micro.predicted += scores->types[i].predicted;
        scores->micro.gold += scores->types[i].gold;
        finish(&scores->types[i]);
    }
    finish(&scores->micro);
}
