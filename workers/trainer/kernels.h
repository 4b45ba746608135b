/* kernels.h - the element-wise loops, compiled once per instruction set and chosen at run time.
 *
 * Each works on the rows given, in the calling thread, and reads every value once: what stands between two matrix
 * products is one pass.  Arrays are row-major float32.  A sum over rows (a bias gradient) is added to the
 * caller's accumulator, so that threads keep their own and the order of adding is fixed.
 */
#ifndef NM_TRAINER_KERNELS_H
#define NM_TRAINER_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* A random mask that is a pure function of (key, row, column): made again in the backward pass, never stored.
 * An element is dropped where its 32 random bits are below threshold = p * 2^32; the others are scaled by
 * 1/(1-p).  threshold 0: no dropout.
 */
#define NM_DROPOUT_ROW 0x9E3779B97F4A7C15ULL /* a row's key is key + row * this, mixed */
struct nm_dropout {
    uint64_t key;
    uint32_t threshold;
    float scale;
    const uint32_t *rows; /* NULL, or the numbers of the rows that are given */
};

/* Coefficients of one AdamW step; see optimizer.c. */
struct nm_adamw {
    float grad_scale; /* the clipping factor */
    float beta1, beta2, eps;
    float keep;           /* 1 - lr * weight_decay */
    float step;           /* lr / (1 - beta1^t) */
    float inv_sqrt_corr2; /* 1 / sqrt(1 - beta2^t) */
};

/* One head of one sequence.  Rows of q, k, v and their gradients are ld apart; those of ctx and dctx, one a query,
 * ld_ctx. */
struct nm_head {
    const float *q, *k, *v; /* (len,size) */
    float *dq, *dk, *dv;
    float *ctx;        /* (n_queries,size) */
    const float *dctx; /* (n_queries,size) */
    const uint32_t
        *picked; /* (n_queries) the rows that ask, as numbers of which the sequence's first is `first`; NULL: all */
    size_t first, n_queries, len, size, ld, ld_ctx;
    struct nm_dropout drop;
    size_t row0;
};

/* Probabilities stand transposed: (len, n_queries), rows nm_attention_row(n_queries) apart. */
struct nm_attention_kernels {
    /* ctx = dropout(softmax(q k^T / sqrt(size))) v; probs: the softmax, kept, or NULL.  room: nm_attention_room
     * floats. */
    void (*forward)(const struct nm_head *head, float *probs, float *room);

    /* dq, dk, dv from dctx; dq of rows that do not ask is 0 */
    void (*backward)(const struct nm_head *head, const float *probs, float *room);
};

struct nm_kernels {
    const char *isa;
    const struct nm_attention_kernels *attention;

    /* y (n,c) += bias (c) */
    void (*bias_forward)(float *y, const float *bias, size_t n, size_t c);

    /* acc (c) += column sums of x (n,c) */
    void (*column_sum)(float *acc, const float *x, size_t n, size_t c);

    /* y = gelu(h + bias), h (n,c); slope (n,c) or NULL = gelu'(h + bias).  slope may be h; y may be h if slope
     * is not.  gelu(x) = x Phi(x), exact (erf), relative error of Phi < 1e-6 for |x| < 5. */
    void (*gelu_forward)(float *y, float *slope, const float *h, const float *bias, size_t n, size_t c);

    /* dh = dy * slope, in place in dy (n,c); dbias (c) += its column sums */
    void (*gelu_backward)(float *dy, const float *slope, float *dbias, size_t n, size_t c);

    /* z = residual + dropout(y + bias); out = LayerNorm(z) * gamma + beta.  y, residual, out (n,c).
     * xhat (n,c), rstd (n): kept for the backward pass; either may be NULL.  xhat may be y.  row0: the number
     * of the first row in the dropout mask. */
    void (*norm_forward)(float *out, float *xhat, float *rstd, const float *y, const float *bias,
                         const float *residual, const float *gamma, const float *beta, float eps,
                         const struct nm_dropout *drop, size_t row0, size_t n, size_t c);

    /* dout (n,c) in; dz (n,c) = the residual's gradient (may be dout); dy (n,c) = the gradient of y;
     * dgamma, dbeta, dbias (c) accumulate.  dbias may be NULL. */
    void (*norm_backward)(float *dz, float *dy, float *dgamma, float *dbeta, float *dbias, const float *dout,
                          const float *xhat, const float *rstd, const float *gamma, const struct nm_dropout *drop,
                          size_t row0, size_t n, size_t c);

    /* x (n,c) = dropout(x) */
    void (*dropout)(float *x, const struct nm_dropout *drop, size_t row0, size_t n, size_t c);

    /* out (c) = a + b + d, rows of the three embeddings */
    void (*sum3)(float *out, const float *a, const float *b, const float *d, size_t c);

    /* out (c) = scale * (a + b) + shift */
    void (*scaled_sum)(float *out, const float *a, const float *b, float scale, const float *shift, size_t c);

    /* acc (n) += x (n) */
    void (*add)(float *acc, const float *x, size_t n);

    /* sum of squares, in double over blocks of float */
    double (*sum_squares)(const float *x, size_t n);

    /* one AdamW step on n elements; g NULL: the gradients are zero; m and v NULL: and have always been */
    void (*adamw)(float *w, float *m, float *v, const float *g, size_t n, const struct nm_adamw *a);
};

/* nm_kernels_get - the best that this CPU runs; the environment variable NERMILL_ISA (base, v3, v4) takes a lower
 * one, for tests.  Any thread. */
const struct nm_kernels *nm_kernels_get(void);

/* nm_kernels_named - by name, NULL where it is not built in or this CPU does not run it. */
const struct nm_kernels *nm_kernels_named(const char *isa);

#endif
