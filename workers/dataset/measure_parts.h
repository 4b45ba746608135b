/* measure_parts.h - what measure.c counts and measure_json.c says. */
#ifndef NM_DATASET_MEASURE_PARTS_H
#define NM_DATASET_MEASURE_PARTS_H

#include "common/buf.h"
#include "common/hash.h"
#include "schemas/leakage.h"
#include "workers/dataset/diversity.h"
#include "workers/dataset/likeness.h"
#include "workers/dataset/measure.h"
#include "workers/dataset/tally.h"

enum {
    HISTOGRAM_MAX = 1000,  /* larger values count as this one */
    LIKENESS_MAX = 100000, /* samples that near duplicates are searched among: the first ones */
};

/* How often each value was seen. */
struct histogram {
    uint64_t counts[HISTOGRAM_MAX + 1];
    uint64_t n, sum, max;
};

struct measured_type {
    const char *name; /* of the arena */
    uint64_t mentions, entities;
};

/* A text that was labelled with a type: differences of case do not count. */
struct measured_entity {
    const char *text; /* as it was first seen; of the arena */
    uint32_t type;
    uint64_t mentions, contexts;
};

/* A text of the random sample. */
struct measured_text {
    uint64_t *words;
    size_t n;
    char *text;
    size_t len;
};

/* A sample to be shown, as a line of JSON. */
struct measured_sample {
    char *line;
    uint64_t number;
};

struct nm_measure {
    const struct nm_entities *lists;
    bool *listed_seen; /* of each entity of the lists */
    struct nm_rng rng;
    struct nm_arena arena;
    uint64_t samples, tokens, characters, mentions, masked_spans, masked_tokens, samples_without, documents;
    uint64_t unlisted, with_index; /* mentions that are on no list; that are on one */
    struct histogram length, per_sample;
    struct measured_type *types;
    size_t n_types;
    struct measured_entity *entities;
    size_t n_entities, entities_cap;
    struct nm_tally known;     /* type and text -> entity + 1 */
    struct nm_tally contexts;  /* entity and words around it -> 1 */
    struct nm_tally texts;     /* words -> samples that are just these */
    struct nm_tally templates; /* words with mentions blanked -> samples */
    uint64_t template_samples; /* that hold a mention */
    struct nm_tally seen_documents;
    struct nm_likeness *likeness;
    struct nm_leakage leakage; /* gold sentences */
    bool leakage_closed;
    uint64_t gold_sentences, leaked;
    struct measured_text kept[NM_MEASURE_TEXTS];
    struct measured_sample shown[NM_MEASURE_SHOWN];
    uint64_t *words, *plain; /* of the present record: all tokens; without punctuation */
    size_t words_cap, n_plain;
    struct nm_buf buf;
};

#endif
