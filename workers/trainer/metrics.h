/* metrics.h - entity scores equal to seqeval's (default mode): an entity counts if type and both ends agree.
 *
 * Tags are numbers: 0 is O, 1 + 2t is B- and 2 + 2t is I- of type t, -1 is masked: nobody knows.  Source:
 * seqeval 1.2.2, get_entities and precision_recall_fscore_support; after conlleval.  Test: golden.metrics.  Threads:
 * any, one an object.
 */
#ifndef NM_TRAINER_METRICS_H
#define NM_TRAINER_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define NM_TAG_MASKED (-1) /* written "-", as spaCy's missing value; of data, never of a prediction */
#define NM_TAG_O 0
#define NM_TAG_B(type) ((int32_t)(1 + 2 * (type)))
#define NM_TAG_I(type) ((int32_t)(2 + 2 * (type)))

static inline bool nm_tag_is_entity(int32_t tag) /* B- or I-: the only tags that have a type */
{
    return tag > NM_TAG_O;
}

static inline bool nm_tag_is_begin(int32_t tag)
{
    return nm_tag_is_entity(tag) && (tag & 1) != 0;
}

static inline size_t nm_tag_type(int32_t tag) /* of an entity's tag */
{
    return (size_t)(tag - 1) / 2;
}

/* An entity's tag, B- or I- as it is, of another type number; O and masked stay. */
static inline int32_t nm_tag_with_type(int32_t tag, size_t type)
{
    if (!nm_tag_is_entity(tag))
        return tag;
    return nm_tag_is_begin(tag) ? NM_TAG_B(type) : NM_TAG_I(type);
}

/* Words start .. end-1 are one entity. */
struct nm_span {
    size_t start, end;
    size_t type;
};

/* nm_metrics_spans - the entities of tags (n), in order, into spans (room for n); returns how many.
 * An I- after O or after another type begins an entity, as in seqeval.
 */
size_t nm_metrics_spans(const int32_t *tags, size_t n, struct nm_span *spans);

/* nm_metrics_spans_iob2 - the same by IOB2's letter, as seqeval's strict mode has it: an entity begins with B- only,
 * and an I- that continues none of its type is no part of any. */
size_t nm_metrics_spans_iob2(const int32_t *tags, size_t n, struct nm_span *spans);

/* nm_metrics_span_score - the mean of its words' scores. */
float nm_metrics_span_score(const float *scores, const struct nm_span *span);

struct nm_score {
    size_t correct, predicted, gold;
    double precision, recall, f1; /* 0 where undefined */
};

struct nm_scores {
    struct nm_score micro;
    struct nm_score *types; /* (n_types), owned */
    size_t n_types;
    size_t words, right_words; /* token accuracy, O among them */
    bool iob2;                 /* set after nm_scores_init: count by nm_metrics_spans_iob2 */
};

/* nm_scores_init - zero counts.  NM_ENOMEM. */
enum nm_err nm_scores_init(struct nm_scores *scores, size_t n_types);
void nm_scores_clean_up(struct nm_scores *scores);

/* nm_scores_add - count one sentence; tags of types below n_types.  Masked words of gold are left out, and so is a
 * predicted entity that has one of them: nobody knows whether it is right.  NM_ENOMEM. */
enum nm_err nm_scores_add(struct nm_scores *scores, const int32_t *gold, const int32_t *predicted, size_t n);

/* nm_scores_finish - the ratios from the counts; may be called again after more sentences. */
void nm_scores_finish(struct nm_scores *scores);

#endif
