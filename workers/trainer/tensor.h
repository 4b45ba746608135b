/* tensor.h - the operations of a BERT encoder, forward and backward, by a team of threads.
 *
 * Everything is row-major float32, caller-owned, without overlap unless said.  Shapes are asserted; there are no
 * errors.  For a given number of threads the result is the same, bit for bit.
 *
 * Threads: inside nm_team_run every thread of the team calls the same operations with the same arguments, and each
 * does its own share: of a matrix product its own rows, on which it goes on with bias, GELU, dropout, residual and
 * norm while they are in its cache.  The team packs a weight together and waits until it is there; an operation that
 * needs what another thread made (attention, the gradients of weights) waits before and after.  Products are our
 * own (gemm.h) on CPUs with AVX-512, OpenBLAS's otherwise, one single-threaded product a thread, so no BLAS thread
 * spins beside ours.  Outside nm_team_run the calling thread does it all.
 * Source of the shapes: Devlin et al. 2019.  Tests: unit.tensor (finite differences), golden.bert.
 */
#ifndef NM_TRAINER_TENSOR_H
#define NM_TRAINER_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/kernels.h"

/* What dense layers multiply in; everything else, and every sum, is float32. */
enum nm_precision { NM_FP32, NM_BF16 };

/* nm_bf16_is_native - does this CPU multiply bf16?  Where it doesn't, NM_BF16 gives the same roundings, slowly. */
int nm_bf16_is_native(void);

/* Who works: a number of threads, their loops, room for packed operands, and a scratch vector each for sums over
 * rows. */
struct nm_team;

struct nm_team_options {
    size_t n_threads; /* 0: one a core */
    size_t widest;    /* the widest row of a dense layer or a norm */
    size_t largest;   /* values of the largest weight; 0: no dense layers */
    bool packed;      /* all weights come packed: no room to pack one into */
};

/* nm_team_new - multiplies in fp32.  Sets OpenBLAS to one thread, for the whole process.  NM_ENOMEM. */
enum nm_err nm_team_new(struct nm_team **team, const struct nm_team_options *options);
void nm_team_destroy(struct nm_team **team);
size_t nm_team_threads(const struct nm_team *team);

/* nm_team_count - how many threads n_threads asks for: 0 is one a core. */
size_t nm_team_count(size_t n_threads);
const struct nm_kernels *nm_team_kernels(const struct nm_team *team);

/* nm_team_set_precision - of the products from now on; outside nm_team_run. */
void nm_team_set_precision(struct nm_team *team, enum nm_precision precision);

/* For tests; gemm NULL: OpenBLAS. */
struct nm_gemm;
void nm_team_set_kernels(struct nm_team *team, const struct nm_kernels *kernels);
void nm_team_set_gemm(struct nm_team *team, const struct nm_gemm *gemm);

/* nm_team_run - work(arg) by every thread of the team; returns when all have done it. */
void nm_team_run(struct nm_team *team, void (*work)(void *arg), void *arg);

/* nm_team_memory - bytes that a team of these options takes. */
size_t nm_team_memory(const struct nm_team_options *options);

/* nm_team_share - inside nm_team_run: is this the first thread, which one is it, and which of n rows does it own? */
struct nm_share {
    int first;
    size_t thread;
    size_t lo, n;
};
struct nm_share nm_team_share(size_t n);

/* nm_team_sum - inside nm_team_run: the sum of what every thread brings, the same to all; waits for the team. */
double nm_team_sum(struct nm_team *team, double part);

/* nm_dropout_make - the mask of probability p at one place (site) of one step (key).  p 0: none. */
struct nm_dropout nm_dropout_make(float p, uint64_t key, uint64_t site);

/* nm_dropout_from - the same mask from this row on: row 0 of the result is row `row` of drop. */
struct nm_dropout nm_dropout_from(struct nm_dropout drop, size_t row);

/* ---- dense layers: y (n,o) = x (n,c) W^T (o,c) + bias (o) ------------------------------------ */

/* W for a forward product: its values, of which the team makes a packed operand each time, or one that was packed
 * before in the team's precision. */
struct nm_weight {
    const float *values;
    const uint32_t *packed; /* NULL: not packed */
};

/* nm_weight_units - what W takes packed, in units of 32 bits; 0: OpenBLAS multiplies, which takes the values. */
size_t nm_weight_units(const struct nm_team *team, size_t c, size_t o);

/* nm_weight_pack - W packed, by the team together. */
void nm_weight_pack(struct nm_team *team, uint32_t *packed, const float *values, size_t c, size_t o);

void nm_linear_forward(struct nm_team *team, float *y, const float *x, struct nm_weight w, const float *bias,
                       size_t n, size_t c, size_t o);

/* nm_linear_rows - y = x W^T by the calling thread alone, with nobody waiting; w packed, unless OpenBLAS multiplies.
 */
void nm_linear_rows(struct nm_team *team, float *y, const float *x, struct nm_weight w, size_t n, size_t c, size_t o);

/* y = gelu(x W^T + bias); slope (n,o) keeps gelu' for the backward pass, or NULL. */
void nm_linear_gelu_forward(struct nm_team *team, float *y, float *slope, const float *x, struct nm_weight w,
                            const float *bias, size_t n, size_t c, size_t o);

/* What a layer norm keeps for its backward pass: (n,o) and (n); NULL: not kept. */
struct nm_norm_kept {
    float *xhat, *rstd;
};
struct nm_norm {
    const float *gamma, *beta;
    float eps;
};

/* out = LayerNorm(residual + dropout(x W^T + bias)).  out is not residual. */
void nm_linear_norm_forward(struct nm_team *team, float *out, struct nm_norm_kept kept, const float *x,
                            struct nm_weight w, const float *bias, const float *residual, struct nm_norm norm,
                            const struct nm_dropout *drop, size_t n, size_t c, size_t o);

/* A gradient that is added to if `add`, otherwise set: the first micro-batch of a step overwrites. */
struct nm_linear_grad {
    float *dw;          /* (o,c) */
    float *dbias;       /* (o), or NULL: already made by the operation above */
    float *dx;          /* (n,c) */
    int add_dw, add_dx; /* 0 or 1 */
};

/* Backward of y = x W^T + bias from dy (n,o). */
void nm_linear_backward(struct nm_team *team, struct nm_linear_grad grad, const float *dy, const float *x,
                        const float *w, size_t n, size_t c, size_t o);

/* The same where x was gelu(h + b) of the layer below: dx becomes the gradient of h, dbias_below (c) of b. */
void nm_linear_gelu_backward(struct nm_team *team, struct nm_linear_grad grad, float *dbias_below, const float *slope,
                             const float *dy, const float *x, const float *w, size_t n, size_t c, size_t o);

/* ---- layer norm ------------------------------------------------------------------------------ */

struct nm_norm_grad {
    float *dgamma, *dbeta; /* (c) */
    float *dbias;          /* (c) of the layer under the dropout, or NULL */
    int add;
};

/* dz (n,c): in, the gradient of the norm's output; out, of the residual.  dy (n,c) out: of the layer under the
 * dropout; NULL where there is none. */
void nm_norm_backward(struct nm_team *team, struct nm_norm_grad grad, float *dz, float *dy, struct nm_norm_kept kept,
                      const float *gamma, const struct nm_dropout *drop, size_t n, size_t c);

/* ---- embeddings: word + position + type, norm, dropout --------------------------------------- */

struct nm_embedding {
    const float *word, *position, *type; /* (vocab,c), (max positions,c), (types,c) */
};
struct nm_embedding_grad {
    float *word, *position, *type; /* added to; the caller clears the rows that it lists as touched */
};

void nm_embedding_forward(struct nm_team *team, float *out, struct nm_norm_kept kept, struct nm_embedding table,
                          const uint32_t *ids, const uint32_t *positions, struct nm_norm norm,
                          const struct nm_dropout *drop, size_t n, size_t c);

/* dz (n,c): gradient of the output, overwritten. */
void nm_embedding_backward(struct nm_team *team, struct nm_embedding_grad grad, struct nm_norm_grad norm_grad,
                           float *dz, struct nm_norm_kept kept, const float *gamma, const uint32_t *ids,
                           const uint32_t *positions, const struct nm_dropout *drop, size_t n, size_t c);

/* ---- attention, each sequence for itself ----------------------------------------------------- */

/* Where rows are picked, only these ask: ctx has a row for each of them, in their order.  Every row is asked. */
struct nm_attention {
    size_t n_seqs, n_heads, head_size;
    const uint32_t *seq_start; /* (n_seqs+1) */
    const uint32_t *picked,
        *picked_start; /* rows of the batch, ascending; (n_seqs+1) each sequence's in it; or NULL */
    size_t max_len;
    float *scratch; /* (threads, nm_attention_room) */
};

/* nm_attention_room - floats that one thread needs for sequences of at most max_len. */
size_t nm_attention_room(size_t max_len, size_t head_size);

/* nm_attention_row - floats that a row of n probabilities takes: a whole number of vectors. */
size_t nm_attention_row(size_t n);

/* nm_attention_probs - floats that probs holds for this batch. */
size_t nm_attention_probs(const struct nm_attention *a);

/* qkv (n, 3*heads*head_size) = query | key | value; ctx (n or picked, heads*head_size) out.
 * probs: kept for the backward pass, or NULL. */
void nm_attention_forward(struct nm_team *team, float *ctx, float *probs, const float *qkv,
                          const struct nm_attention *a, const struct nm_dropout *drop);

/* dqkv (n, ...) out, from dctx, as ctx. */
void nm_attention_backward(struct nm_team *team, float *dqkv, const float *dctx, const float *qkv, const float *probs,
                           const struct nm_attention *a, const struct nm_dropout *drop);

/* ---- ends ------------------------------------------------------------------------------------ */

/* Of one label y with probability p(y), of k: cross-entropy, -log p(y), where both are 0.
 * smoothing e: the target is 1 - e + e/k for y and e/k for the others (Szegedy et al. 2016).
 * gce q: (1 - p(y)^q) / q, between cross-entropy (q to 0) and mean absolute error (1): a label that the model finds
 * unlikely, as a wrong one mostly is, weighs less (Zhang, Sabuncu 2018).  One of the two at most.
 */
struct nm_loss {
    float smoothing, gce;
};

/* nm_cross_entropy - of all rows given, in the calling thread: logits (n,k), labels (n), -1 ignored.  Returns the
 * summed loss; *n_labelled (may be NULL) is how many had a label.  dlogits (n,k) or NULL = its gradient * scale,
 * (softmax - target) for cross-entropy, zero where ignored; may be logits.  loss: NULL for plain cross-entropy.
 */
double nm_cross_entropy(float *dlogits, const float *logits, const int32_t *labels, float scale, size_t n, size_t k,
                        const struct nm_loss *loss, size_t *n_labelled);

/* nm_pick_rows - to (n_rows,c) = these rows of from.  nm_spread_rows - to (n,c) = 0 but in these rows, which are
 * from's (n_rows,c), ascending.  Both wait for the team before. */
void nm_pick_rows(struct nm_team *team, float *to, const float *from, const uint32_t *rows, size_t n_rows, size_t c);
void nm_spread_rows(struct nm_team *team, float *to, const float *from, const uint32_t *rows, size_t n_rows, size_t n,
                    size_t c);

/* y (n,c) = dropout(x); y may be x. */
void nm_dropout_apply(struct nm_team *team, float *y, const float *x, const struct nm_dropout *drop, size_t n,
                      size_t c);

/* nm_sum_squares_part - of this thread's share of x (n); see nm_team_sum. */
double nm_sum_squares_part(struct nm_team *team, const float *x, size_t n);

/* nm_adamw_update - one step on n elements. */
void nm_adamw_update(struct nm_team *team, float *w, float *m, float *v, const float *g, size_t n,
                     const struct nm_adamw *a);

/* nm_adamw_rows - the same on (rows,cols) where only the marked rows have a gradient: the others' is not read.  moved
 * (rows): 1 where a row has ever had one, in and out; of the others the moments are zero and are not touched. */
void nm_adamw_rows(struct nm_team *team, float *w, float *m, float *v, const float *g, const uint8_t *marked,
                   uint8_t *moved, size_t rows, size_t cols, const struct nm_adamw *a);

#endif
