/* measure_json.c - what was counted, as JSON; schemas/report.schema.json says what each figure is. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "workers/dataset/measure_parts.h"

enum { LISTED = 10 /* entities by name */, LENGTH_BIN = 5, LENGTH_BINS = 16, PER_SAMPLE_BINS = 9, OFTEN_BINS = 8 };

static const double near_threshold = 0.8;

static void set(json_t *object, const char *key, uint64_t n)
{
    json_object_set_new(object, key, json_integer((json_int_t)n));
}

/* part of whole; null where there is nothing to have a share of. */
static void set_share(json_t *object, const char *key, uint64_t part, uint64_t whole)
{
    json_object_set_new(object, key, whole > 0 ? json_real((double)part / (double)whole) : json_null());
}

static void add_bin(json_t *bins, uint64_t from, uint64_t to, bool open, uint64_t n)
{
    json_array_append_new(bins, json_pack("{s:I, s:o, s:I}", "from", (json_int_t)from, "to",
                                          open ? json_null() : json_integer((json_int_t)to), "count", (json_int_t)n));
}

/* ---- histograms -------------------------------------------------------------------------------------------------
 */

static uint64_t quantile(const struct histogram *h, double q)
{
    uint64_t seen = 0, value = 0;
    double want = q * (double)h->n;
    if (h->n == 0)
        return 0;
    for (; value < HISTOGRAM_MAX; value++) {
        seen += h->counts[value];
        if ((double)seen >= want && seen > 0)
            break;
    }
    return value;
}

/* Bins of the width given, from first on, the last one open. */
static json_t *histogram_json(const struct histogram *h, uint64_t first, uint64_t width, size_t n)
{
    json_t *o = json_object(), *bins = json_array();
    for (size_t b = 0; b < n; b++) {
        uint64_t from = first + b * width, to = from + width - 1, sum = 0;
        bool open = b + 1 == n;
        for (uint64_t v = from; v <= HISTOGRAM_MAX && (open || v <= to); v++)
            sum += h->counts[v];
        add_bin(bins, from, to, open, sum);
    }
    json_object_set_new(o, "mean", h->n > 0 ? json_real((double)h->sum / (double)h->n) : json_null());
    set(o, "median", quantile(h, 0.5));
    set(o, "p90", quantile(h, 0.9));
    set(o, "max", h->max);
    json_object_set_new(o, "bins", bins);
    return o;
}

/* 1, 2, 3-4, 5-8 and so on: how often things that are seen often or seldom are seen. */
static json_t *doubling_json(const struct nm_measure *m, bool contexts)
{
    uint64_t counts[OFTEN_BINS] = {0};
    json_t *bins = json_array();
    for (size_t i = 0; i < m->n_entities; i++) {
        uint64_t value = contexts ? m->entities[i].contexts : m->entities[i].mentions;
        size_t bin = 0;
        while (bin + 1 < OFTEN_BINS && value > UINT64_C(1) << bin)
            bin++;
        counts[bin]++;
    }
    for (size_t b = 0; b < OFTEN_BINS; b++)
        add_bin(bins, b < 2 ? b + 1 : (UINT64_C(1) << (b - 1)) + 1, UINT64_C(1) << b, b + 1 == OFTEN_BINS, counts[b]);
    return bins;
}

/* ---- entities ---------------------------------------------------------------------------------------------------
 */

struct ranked {
    const struct measured_entity *entity;
};

static int often_first(const void *a, const void *b)
{
    const struct measured_entity *x = ((const struct ranked *)a)->entity, *y = ((const struct ranked *)b)->entity;
    if (x->mentions != y->mentions)
        return x->mentions > y->mentions ? -1 : 1;
    int order = strcmp(x->text, y->text);
    return order != 0 ? order : (x->type > y->type) - (x->type < y->type);
}

static json_t *frequent_json(const struct nm_measure *m)
{
    json_t *list = json_array();
    struct ranked *ranked = calloc(m->n_entities + 1, sizeof *ranked);
    if (ranked == NULL)
        return list;
    for (size_t i = 0; i < m->n_entities; i++)
        ranked[i].entity = &m->entities[i];
    qsort(ranked, m->n_entities, sizeof *ranked, often_first);
    for (size_t i = 0; i < m->n_entities && i < LISTED; i++) {
        const struct measured_entity *e = ranked[i].entity;
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:I, s:I}", "text", e->text, "type", m->types[e->type].name,
                                        "mentions", (json_int_t)e->mentions, "contexts", (json_int_t)e->contexts));
    }
    free(ranked);
    return list;
}

/* The lists: how much of them is there; null where there are none. */
static json_t *lists_json(const struct nm_measure *m)
{
    if (m->lists == NULL)
        return json_null();
    size_t n = nm_entities_count(m->lists), seen = 0;
    json_t *o = json_object(), *missing = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct nm_entity *e = nm_entities_get(m->lists, i);
        seen += m->listed_seen[i];
        if (!m->listed_seen[i] && json_array_size(missing) < LISTED)
            json_array_append_new(
                missing, json_pack("{s:s, s:s}", "text", e->text, "type", nm_entities_type_name(m->lists, e->type)));
    }
    set(o, "entities", n);
    set(o, "seen", seen);
    set_share(o, "seen_share", seen, n);
    json_object_set_new(o, "first_missing", missing);
    return o;
}

static json_t *coverage_json(const struct nm_measure *m)
{
    json_t *o = json_object();
    uint64_t contexts = 0, single = 0;
    for (size_t i = 0; i < m->n_entities; i++) {
        contexts += m->entities[i].contexts;
        single += m->entities[i].contexts == 1;
    }
    set(o, "entities", m->n_entities);
    set_share(o, "mentions_per_entity", m->mentions, m->n_entities);
    set_share(o, "contexts_per_entity", contexts, m->n_entities);
    set_share(o, "one_context_share", single, m->n_entities);
    json_object_set_new(o, "mentions", doubling_json(m, false));
    json_object_set_new(o, "contexts", doubling_json(m, true));
    json_object_set_new(o, "frequent", frequent_json(m));
    json_object_set_new(o, "lists", lists_json(m));
    if (m->lists != NULL || m->with_index > 0)
        set_share(o, "out_of_list_share", m->unlisted, m->mentions);
    else
        json_object_set_new(o, "out_of_list_share", json_null());
    return o;
}

static int types_by_name(const void *a, const void *b)
{
    return strcmp(((const struct measured_type *)a)->name, ((const struct measured_type *)b)->name);
}

static json_t *types_json(const struct nm_measure *m)
{
    json_t *list = json_array();
    struct measured_type *types = calloc(m->n_types + 1, sizeof *types);
    if (types == NULL)
        return list;
    if (m->n_types > 0)
        memcpy(types, m->types, m->n_types * sizeof *types);
    qsort(types, m->n_types, sizeof *types, types_by_name);
    for (size_t i = 0; i < m->n_types; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:I, s:I}", "type", types[i].name, "mentions",
                                        (json_int_t)types[i].mentions, "entities", (json_int_t)types[i].entities));
    free(types);
    return list;
}

/* ---- texts ------------------------------------------------------------------------------------------------------
 */

static json_t *diversity_json(const struct nm_measure *m)
{
    struct nm_diverse_text texts[NM_MEASURE_TEXTS];
    struct nm_diversity d = {0};
    size_t n = m->samples < NM_MEASURE_TEXTS ? (size_t)m->samples : NM_MEASURE_TEXTS;
    for (size_t i = 0; i < n; i++)
        texts[i] = (struct nm_diverse_text){m->kept[i].words, m->kept[i].n, m->kept[i].text, m->kept[i].len};
    if (nm_diversity_measure(texts, n, NM_MEASURE_BLEU, &d) != NM_OK)
        return NULL;
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:I, s:f, s:f, s:i}", "samples", (json_int_t)n, "distinct_1",
                     d.distinct[0], "distinct_2", d.distinct[1], "distinct_3", d.distinct[2], "self_bleu",
                     d.self_bleu, "self_bleu_samples", (json_int_t)d.self_bleu_n, "compression_ratio", d.compression,
                     "self_repetition_share", d.self_repetition, "self_repetition_words",
                     (int)NM_DIVERSITY_LONG_GRAM);
}

static json_t *duplicates_json(const struct nm_measure *m)
{
    size_t near;
    uint64_t most = 0, repeated = 0;
    if (nm_likeness_count(m->likeness, near_threshold, &near) != NM_OK)
        return NULL;
    uint64_t searched = m->samples < LIKENESS_MAX ? m->samples : LIKENESS_MAX;
    for (size_t i = 0; i < m->templates.cap; i++) {
        uint64_t n = m->templates.slots[i].key != 0 ? m->templates.slots[i].value : 0;
        most = n > most ? n : most;
        repeated += n > 1 ? n : 0;
    }
    json_t *o = json_object();
    set_share(o, "exact_share", m->samples - m->texts.n, m->samples);
    set_share(o, "near_share", near, searched);
    json_object_set_new(o, "near_threshold", json_real(near_threshold));
    set(o, "near_samples", searched);
    set_share(o, "template_share", repeated, m->template_samples);
    set(o, "largest_template", most);
    return o;
}

static json_t *leakage_json(const struct nm_measure *m)
{
    if (m->gold_sentences == 0)
        return json_null();
    json_t *o = json_object();
    set(o, "gold_sentences", m->gold_sentences);
    set(o, "samples", m->leaked);
    set(o, "words", m->leakage.ngram);
    set_share(o, "share", m->leaked, m->samples);
    return o;
}

static int by_number(const void *a, const void *b)
{
    const struct measured_sample *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static json_t *samples_json(struct nm_measure *m)
{
    size_t n = m->samples < NM_MEASURE_SHOWN ? (size_t)m->samples : NM_MEASURE_SHOWN;
    json_t *list = json_array();
    qsort(m->shown, n, sizeof *m->shown, by_number);
    for (size_t i = 0; i < n; i++) {
        json_t *sample = json_loads(m->shown[i].line, 0, NULL);
        json_object_del(sample, "tokens"); /* as many figures as all the rest of the report */
        json_object_del(sample, "tags");
        json_object_del(sample, "offsets");
        json_array_append_new(list, sample);
    }
    return list;
}

static json_t *counts_json(const struct nm_measure *m)
{
    json_t *o = json_object();
    set(o, "samples", m->samples);
    set(o, "tokens", m->tokens);
    set(o, "characters", m->characters);
    set(o, "mentions", m->mentions);
    set(o, "samples_without_entity", m->samples_without);
    set(o, "documents", m->seen_documents.n);
    set(o, "masked_spans", m->masked_spans);
    set(o, "masked_tokens", m->masked_tokens);
    set_share(o, "masked_share", m->masked_tokens, m->tokens);
    return o;
}

json_t *nm_measure_json(struct nm_measure *measure)
{
    const struct {
        const char *key;
        json_t *value;
    } parts[] = {
        {"counts", counts_json(measure)},
        {"types", types_json(measure)},
        {"coverage", coverage_json(measure)},
        {"length", histogram_json(&measure->length, 1, LENGTH_BIN, LENGTH_BINS)},
        {"entities_per_sample", histogram_json(&measure->per_sample, 0, 1, PER_SAMPLE_BINS)},
        {"diversity", diversity_json(measure)},
        {"duplicates", duplicates_json(measure)},
        {"leakage", leakage_json(measure)},
        {"samples", samples_json(measure)},
    };
    json_t *o = json_object();
    bool whole = o != NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        whole = json_object_set_new(o, parts[i].key, parts[i].value) == 0 && whole;
    if (whole)
        return o;
    json_decref(o);
    return NULL;
}
