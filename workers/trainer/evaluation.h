/* evaluation.h - predictions against gold, in more than one number: three ways to count, entities that were seen
 * before and that were not, confusion between types, calibration, and every mistake with its words.
 *
 * Types are those of a tagset, gold's tags renumbered to it.  Masked words are left out as in metrics.h.  Threads:
 * one.
 */
#ifndef NM_TRAINER_EVALUATION_H
#define NM_TRAINER_EVALUATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/corpus.h"
#include "workers/trainer/metrics.h"

enum { NM_CALIBRATION_BINS = 10 };

enum nm_mistake_kind {
    NM_MISTAKE_MISSED,   /* nothing was predicted there */
    NM_MISTAKE_SPURIOUS, /* gold has nothing there */
    NM_MISTAKE_BOUNDARY, /* the type, but other ends */
    NM_MISTAKE_TYPE      /* another type, the same ends or others */
};

/* One gold entity or prediction that is wrong; both where they overlap.  Words are indexes of the sentence. */
struct nm_mistake {
    enum nm_mistake_kind kind;
    const struct nm_span *gold, *predicted; /* one may be NULL */
    const struct nm_sentence *sentence;
    float score; /* mean probability of the prediction's words; 0 without one */
};

/* Names of the kinds: "missed", "spurious", "boundary", "type". */
const char *nm_mistake_name(enum nm_mistake_kind kind);

/* Entities by their words, without white space and case: "propylthio - uracil" is "Propylthio-uracil". */
struct nm_known {
    uint64_t *hashes; /* (n), ascending once it is closed */
    size_t n, cap;
};
enum nm_err nm_known_add_text(struct nm_known *known, const char *text, size_t len); /* NM_ENOMEM */
enum nm_err nm_known_add_corpus(struct nm_known *known, const struct nm_corpus *corpus);
/* nm_known_add_file - a list (.txt) of one entity a line, or labelled sentences.  File errors, NM_EFORMAT. */
enum nm_err nm_known_add_file(struct nm_known *known, const char *path, struct nm_diag *diag);
void nm_known_close(struct nm_known *known);
void nm_known_clean_up(struct nm_known *known);

struct nm_found {
    size_t gold, found;
};

/* An entity is found, a prediction right, if one of its type shares a word with it. */
struct nm_overlap {
    size_t gold, found, predicted, right;
    double precision, recall, f1;
};

struct nm_evaluation {
    struct nm_scores exact;       /* as seqeval counts by default */
    struct nm_scores iob2;        /* as seqeval's strict mode counts under IOB2 */
    struct nm_overlap *overlap;   /* (n_types+1) of each type, and last of all */
    struct nm_found seen, unseen; /* of exact, by known; both 0 without one */
    size_t *confusion;            /* (n_types+1, n_types+1) words: gold type by predicted, O last */
    struct {
        size_t words, right;
        double probability; /* summed */
    } bins[NM_CALIBRATION_BINS];
    double calibration_error; /* expected, over words (Guo et al. 2017); set by finish */
    size_t mistakes[4];       /* by kind */
    size_t n_types;
    const struct nm_known *known;                                 /* may be NULL */
    void (*mistake)(void *arg, const struct nm_mistake *mistake); /* called for each; may be NULL */
    void *arg;
};

/* nm_evaluation_init - zero counts.  NM_ENOMEM. */
enum nm_err nm_evaluation_init(struct nm_evaluation *e, size_t n_types);
void nm_evaluation_clean_up(struct nm_evaluation *e);

/* nm_evaluation_add - one sentence: gold and predicted tags (n), the predictions' probabilities or NULL.  NM_ENOMEM.
 */
enum nm_err nm_evaluation_add(struct nm_evaluation *e, const struct nm_sentence *sentence, const int32_t *gold,
                              const int32_t *predicted, const float *scores);
void nm_evaluation_finish(struct nm_evaluation *e);

#endif
