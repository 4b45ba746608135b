#include "workers/trainer/evaluation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/hash.h"
#include "common/utf8.h"

/* ---- known entities --------------------------------------------------------------------------- */

/* The hash so far, and some more text: white space out, small letters. */
static uint64_t add_text(uint64_t hash, const char *text, size_t len)
{
    int32_t cp;
    for (int n; (n = nm_utf8_next(text, len, &cp)) > 0; text += n, len -= (size_t)n)
        if (!nm_utf8_is_space(cp))
            hash = nm_mix64(hash ^ (uint64_t)(uint32_t)nm_utf8_lower(cp)) + 1;
    return hash;
}

static uint64_t hash_span(const struct nm_sentence *s, const struct nm_span *span)
{
    uint64_t hash = 0;
    for (size_t i = span->start; i < span->end; i++)
        hash = add_text(hash, s->words[i].text, s->words[i].len);
    return hash;
}

static enum nm_err add_hash(struct nm_known *known, uint64_t hash)
{
    if (known->n == known->cap) {
        size_t cap = known->cap * 2 + 256;
        uint64_t *hashes = realloc(known->hashes, cap * sizeof(*hashes));
        if (hashes == NULL)
            return NM_ENOMEM;
        known->hashes = hashes;
        known->cap = cap;
    }
    known->hashes[known->n++] = hash;
    return NM_OK;
}

enum nm_err nm_known_add_text(struct nm_known *known, const char *text, size_t len)
{
    return add_hash(known, add_text(0, text, len));
}

enum nm_err nm_known_add_corpus(struct nm_known *known, const struct nm_corpus *corpus)
{
    enum nm_err err = NM_OK;
    for (size_t s = 0; s < corpus->n && err == NM_OK; s++) {
        const struct nm_sentence *sentence = &corpus->sentences[s];
        struct nm_span *spans = malloc((sentence->n + 1) * sizeof(*spans));
        if (spans == NULL)
            return NM_ENOMEM;
        size_t n = nm_metrics_spans(sentence->tags, sentence->n, spans);
        for (size_t i = 0; i < n && err == NM_OK; i++)
            err = add_hash(known, hash_span(sentence, &spans[i]));
        free(spans);
    }
    return err;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void nm_known_close(struct nm_known *known)
{
    if (known->n > 0)
        qsort(known->hashes, known->n, sizeof(*known->hashes), by_value);
}

void nm_known_clean_up(struct nm_known *known)
{
    free(known->hashes);
    *known = (struct nm_known){0};
}

static bool is_known(const struct nm_known *known, uint64_t hash)
{
    return known->n > 0 && bsearch(&hash, known->hashes, known->n, sizeof(hash), by_value) != NULL;
}

/* ---- counting --------------------------------------------------------------------------------- */

const char *nm_mistake_name(enum nm_mistake_kind kind)
{
    static const char *const names[] = {"missed", "spurious", "boundary", "type"};
    return names[kind];
}

enum nm_err nm_evaluation_init(struct nm_evaluation *e, size_t n_types)
{
    *e = (struct nm_evaluation){.n_types = n_types,
                                .confusion = calloc((n_types + 1) * (n_types + 1), sizeof(size_t))};
    enum nm_err err = e->confusion != NULL ? nm_scores_init(&e->exact, n_types) : NM_ENOMEM;
    if (err == NM_OK)
        err = nm_scores_init(&e->iob2, n_types);
    e->overlap = calloc(n_types + 1, sizeof(*e->overlap));
    if (err == NM_OK && e->overlap == NULL)
        err = NM_ENOMEM;
    e->iob2.iob2 = true;
    if (err != NM_OK)
        nm_evaluation_clean_up(e);
    return err;
}

void nm_evaluation_clean_up(struct nm_evaluation *e)
{
    nm_scores_clean_up(&e->exact);
    nm_scores_clean_up(&e->iob2);
    free(e->overlap);
    free(e->confusion);
    *e = (struct nm_evaluation){0};
}

static void count_words(struct nm_evaluation *e, const int32_t *gold, const int32_t *predicted, const float *scores,
                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (gold[i] == NM_TAG_MASKED)
            continue;
        size_t g = nm_tag_is_entity(gold[i]) ? nm_tag_type(gold[i]) : e->n_types;
        size_t p = nm_tag_is_entity(predicted[i]) ? nm_tag_type(predicted[i]) : e->n_types;
        e->confusion[g * (e->n_types + 1) + p]++;
        if (scores == NULL)
            continue;
        size_t bin = scores[i] > 0 ? (size_t)(scores[i] * NM_CALIBRATION_BINS) : 0;
        bin = bin < NM_CALIBRATION_BINS ? bin : NM_CALIBRATION_BINS - 1;
        e->bins[bin].words++;
        e->bins[bin].right += gold[i] == predicted[i];
        e->bins[bin].probability += (double)scores[i];
    }
}

static bool same_ends(const struct nm_span *a, const struct nm_span *b)
{
    return a->start == b->start && a->end == b->end;
}

/* The span of others that is this one, or else the first that shares a word with it and its type, or else with it. */
static const struct nm_span *partner(const struct nm_span *span, const struct nm_span *others, size_t n)
{
    const struct nm_span *best = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct nm_span *o = &others[i];
        if (o->start >= span->end || o->end <= span->start)
            continue;
        if (o->type == span->type && same_ends(o, span))
            return o;
        if (best == NULL || (best->type != span->type && o->type == span->type))
            best = o;
    }
    return best;
}

static bool is_masked(const struct nm_span *span, const int32_t *gold)
{
    for (size_t i = span->start; i < span->end; i++)
        if (gold[i] == NM_TAG_MASKED)
            return true;
    return false;
}

static void report(struct nm_evaluation *e, const struct nm_sentence *sentence, const struct nm_span *gold,
                   const struct nm_span *predicted, const float *scores)
{
    const struct nm_mistake m = {
        .kind = gold == NULL                    ? NM_MISTAKE_SPURIOUS
                : predicted == NULL             ? NM_MISTAKE_MISSED
                : gold->type != predicted->type ? NM_MISTAKE_TYPE
                                                : NM_MISTAKE_BOUNDARY,
        .gold = gold,
        .predicted = predicted,
        .sentence = sentence,
        .score = predicted != NULL && scores != NULL ? nm_metrics_span_score(scores, predicted) : 0};
    e->mistakes[m.kind]++;
    if (e->mistake != NULL)
        e->mistake(e->arg, &m);
}

struct sides {
    const struct nm_span *gold, *predicted;
    size_t n_gold, n_predicted;
};

static void count_gold(struct nm_evaluation *e, const struct nm_sentence *sentence, const struct sides *s,
                       const float *scores)
{
    for (size_t i = 0; i < s->n_gold; i++) {
        const struct nm_span *g = &s->gold[i], *p = partner(g, s->predicted, s->n_predicted);
        const bool typed = p != NULL && p->type == g->type, right = typed && same_ends(p, g);
        e->overlap[g->type].gold++;
        e->overlap[g->type].found += typed;
        if (e->known != NULL) {
            struct nm_found *f = is_known(e->known, hash_span(sentence, g)) ? &e->seen : &e->unseen;
            f->gold++;
            f->found += right;
        }
        if (!right)
            report(e, sentence, g, p, scores);
    }
}

static void count_predicted(struct nm_evaluation *e, const struct nm_sentence *sentence, const struct sides *s,
                            const int32_t *gold, const float *scores)
{
    for (size_t i = 0; i < s->n_predicted; i++) {
        const struct nm_span *p = &s->predicted[i], *g = partner(p, s->gold, s->n_gold);
        if (is_masked(p, gold))
            continue;
        e->overlap[p->type].predicted++;
        e->overlap[p->type].right += g != NULL && g->type == p->type;
        if (g == NULL)
            report(e, sentence, NULL, p, scores);
    }
}

enum nm_err nm_evaluation_add(struct nm_evaluation *e, const struct nm_sentence *sentence, const int32_t *gold,
                              const int32_t *predicted, const float *scores)
{
    const size_t n = sentence->n;
    struct nm_span *spans = malloc((2 * n + 1) * sizeof(*spans));
    enum nm_err err = spans != NULL ? nm_scores_add(&e->exact, gold, predicted, n) : NM_ENOMEM;
    if (err == NM_OK)
        err = nm_scores_add(&e->iob2, gold, predicted, n);
    if (err == NM_OK) {
        const struct sides s = {.gold = spans,
                                .predicted = spans + n,
                                .n_gold = nm_metrics_spans(gold, n, spans),
                                .n_predicted = nm_metrics_spans(predicted, n, spans + n)};
        count_words(e, gold, predicted, scores, n);
        count_gold(e, sentence, &s, scores);
        count_predicted(e, sentence, &s, gold, scores);
    }
    free(spans);
    return err;
}

static double ratio(size_t part, size_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0;
}

static void finish_overlap(struct nm_overlap *all, size_t n_types)
{
    struct nm_overlap *micro = &all[n_types];
    *micro = (struct nm_overlap){0};
    for (size_t i = 0; i <= n_types; i++) {
        struct nm_overlap *o = &all[i];
        o->precision = ratio(o->right, o->predicted);
        o->recall = ratio(o->found, o->gold);
        o->f1 = o->precision + o->recall > 0 ? 2 * o->precision * o->recall / (o->precision + o->recall) : 0;
        micro->gold += i < n_types ? o->gold : 0;
        micro->found += i < n_types ? o->found : 0;
        micro->predicted += i < n_types ? o->predicted : 0;
        micro->right += i < n_types ? o->right : 0;
    }
}

void nm_evaluation_finish(struct nm_evaluation *e)
{
    double error = 0, words = 0;
    nm_scores_finish(&e->exact);
    nm_scores_finish(&e->iob2);
    finish_overlap(e->overlap, e->n_types);
    for (size_t i = 0; i < NM_CALIBRATION_BINS; i++) {
        error += fabs((double)e->bins[i].right - e->bins[i].probability);
        words += (double)e->bins[i].words;
    }
    e->calibration_error = words > 0 ? error / words : 0;
}
