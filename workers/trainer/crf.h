/* crf.h - a linear-chain conditional random field over the words of a sentence, whose labels are BIO.
 *
 * A sequence of labels scores start[first] + its emissions (the classifier's logits of each word) + transitions[a][b]
 * of neighbours + end[last]; one that BIO rules out, with an I- that no B- or I- of its type stands before, scores
 * -inf, in training as in decoding.  Its probability is exp(score) over the sum of all sequences'.  The loss of a
 * sentence is -log of the probability of all sequences that agree with what is known of its labels: a word whose
 * label is not known may have any (a partial CRF).  Sums are in log space and in double; gradients are exact.
 * Sources: Lafferty, McCallum, Pereira 2001; Tsuboi et al. 2008 and Jie et al. 2019 for unknown labels.
 * Tests: golden.crf, unit.crf, unit.bert.
 */
#ifndef NM_TRAINER_CRF_H
#define NM_TRAINER_CRF_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/tensor.h"

/* Labels of tokens that are below 0. */
enum {
    NM_LABEL_NONE = -1,   /* not the first token of a word: in no loss */
    NM_LABEL_UNKNOWN = -2 /* of a masked word: in the loss of a CRF alone, which sums over all that it may be */
};

struct nm_crf {
    size_t k;                 /* labels */
    const float *transitions; /* (k,k) from, to; NULL: no layer, all three are 0 and only BIO counts */
    const float *start, *end; /* (k) */
    uint8_t *may;             /* (k+1,k) 1: may this label follow that one; last row: may it begin */
    size_t outside;           /* the label O; k: there is none */
};

/* nm_crf_init - what BIO says of these labels; no layer yet.  NM_ENOMEM. */
enum nm_err nm_crf_init(struct nm_crf *crf, const char *const *labels, size_t k);
void nm_crf_clean_up(struct nm_crf *crf);

/* nm_crf_room - doubles that one of the calls below needs as its room, for a sentence of n words at most. */
size_t nm_crf_room(size_t n, size_t k);

/* nm_crf_decode - the most probable labels, best (n).  rows (n): a word's logits (k), or NULL for a word that has
 * none and is O.  What can't be reached where a set lacks O or a B- isn't. */
void nm_crf_decode(const struct nm_crf *crf, double *room, const float *const *rows, size_t n, size_t *best);

/* nm_crf_marginals - the probability of each label of each word, out (n,k), by forward-backward. */
void nm_crf_marginals(const struct nm_crf *crf, double *room, const float *const *rows, size_t n, float *out);

/* nm_crf_loss - of one sentence; labels (n) as above, none NM_LABEL_NONE.  rows become the gradients of the logits
 * times scale; to sums (k*k + 2*k: transitions, start, end) theirs are added.  An I- that can't stand where it does
 * counts as unknown. */
double nm_crf_loss(const struct nm_crf *crf, double *room, float *const *rows, const int32_t *labels, size_t n,
                   double scale, double *sums);

/* ---- a batch, by a team ----------------------------------------------------------------------- */

struct nm_crf_batch {
    float *logits;             /* (tokens,k) in; out: their gradients, 0 where a token is no word's first */
    const int32_t *labels;     /* (tokens) */
    const uint32_t *seq_start; /* (n_seqs+1) */
    size_t n_seqs, max_len;
    float scale; /* of the gradients */
    float *room; /* nm_crf_team_room */
};
struct nm_crf_grad {
    float *transitions, *start, *end; /* added to if add, otherwise set */
    int add;
};

/* nm_crf_team_room - floats that a team needs for sequences of max_len tokens. */
size_t nm_crf_team_room(size_t n_threads, size_t max_len, size_t k);

/* nm_crf_train - inside nm_team_run: the summed loss of the sequences that have a known label, and the gradients.
 * Every thread has whole sequences, so it waits for the team before and after. */
double nm_crf_train(struct nm_team *team, const struct nm_crf *crf, struct nm_crf_grad grad,
                    const struct nm_crf_batch *batch);

#endif
