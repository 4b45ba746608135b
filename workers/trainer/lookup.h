/* lookup.h - the first layer's query, key and value of a model that only tags: looked up, not multiplied.
 *
 * What that layer multiplies is LayerNorm(e) of e = word + position + type.  For each row a layer norm is linear but
 * for one factor, so W LayerNorm(e) + bias = rstd (U word + U (position + type)) + (W beta + bias) U = W diag(gamma)
 * (I - 11^T / c),  rstd = 1 / sqrt(var(e) + eps): one product for each entry of the vocabulary that ever comes, and
 * one for each position.  A text of 70,000 tokens has 5,000 of them.  The same numbers as the product has but for
 * rounding, and the same bits for a token whatever else is in its batch. Threads: one table, any number of them.
 * Test: unit.frozen.
 */
#ifndef NM_TRAINER_LOOKUP_H
#define NM_TRAINER_LOOKUP_H

#include "workers/trainer/tensor.h"

struct nm_lookup;

/* Of the model, borrowed. */
struct nm_lookup_options {
    const float *words;     /* (vocabulary,c) */
    const float *positions; /* (n_positions,c) */
    const float *type;      /* (c) */
    const float *constant;  /* (o) */
    size_t vocabulary, n_positions, c, o;
    size_t capacity; /* entries that are kept, the first ones; others are multiplied each time */
};

/* nm_lookup_fold - W (o,c) becomes U, in place; constant (o) = W beta. */
void nm_lookup_fold(float *w, float *constant, const float *gamma, const float *beta, size_t c, size_t o);

/* nm_lookup_new - u: packed in the team's precision, or not; borrowed.  NM_ENOMEM. */
enum nm_err nm_lookup_new(struct nm_lookup **lookup, struct nm_team *team, struct nm_weight u,
                          const struct nm_lookup_options *options);
void nm_lookup_destroy(struct nm_lookup **lookup);

/* nm_lookup_room - floats that nm_lookup_forward wants for n tokens. */
size_t nm_lookup_room(size_t n, size_t c, size_t o);

/* nm_lookup_forward - y (n,o) of tokens (n) at positions (n) whose embeddings' norm has rstd (n).  Each thread reads
 * rstd of its own rows alone, and waits for nobody. */
void nm_lookup_forward(struct nm_lookup *lookup, struct nm_team *team, float *y, const uint32_t *ids,
                       const uint32_t *positions, const float *rstd, float *room, size_t n);

#endif
