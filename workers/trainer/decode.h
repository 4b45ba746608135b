/* decode.h - the best labels of a sentence that are BIO: no I- but after B- or I- of its type.
 *
 * Viterbi over the sum of logits, which is that of log-probabilities but for a constant a word.  Threads: any, one an
 * object.
 */
#ifndef NM_TRAINER_DECODE_H
#define NM_TRAINER_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct nm_decoder {
    float *sums;    /* (2, n_labels) */
    uint16_t *from; /* (words, n_labels) */
    size_t cap;     /* elements of from */
    size_t n_labels;
};

/* nm_decode_bio - rows (n): a word's logits (n_labels), or NULL for a word that has none and is O.  tags (n_labels):
 * the tag of each label, as in metrics.h.  best (n) gets the labels' numbers.  A set without O or without B- of a
 * type works: what can't be reached isn't.  NM_ENOMEM. */
enum nm_err nm_decode_bio(struct nm_decoder *decoder, const float *const *rows, size_t n, const int32_t *tags,
                          size_t n_labels, size_t *best);
void nm_decoder_clean_up(struct nm_decoder *decoder);

#endif
