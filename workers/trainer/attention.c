#include <assert.h>
#include <cblas.h>
#include <math.h>
#include <omp.h>

#include "workers/trainer/team.h"
#include "workers/trainer/tensor.h"

/* One head of one sequence: pointers to its first row and the strides between rows. */
struct head {
    const float *q, *k, *v; /* (len, head_size), stride 3*hidden */
    float *dq, *dk, *dv;
    size_t ctx;   /* offset of its block in ctx, stride hidden */
    size_t probs; /* offset of its (len, len) in probs */
    size_t row0;  /* of its first row in the dropout mask */
    int len, size, stride, hidden;
};

size_t nm_attention_probs(const struct nm_attention *a)
{
    size_t sum = 0;
    for (size_t s = 0; s < a->n_seqs; s++) {
        size_t len = a->seq_start[s + 1] - a->seq_start[s];
        sum += len * len;
    }
    return sum * a->n_heads;
}

static struct head head_of(const struct nm_attention *a, const float *qkv, float *dqkv, size_t s, size_t h,
                           size_t probs)
{
    size_t start = a->seq_start[s], len = a->seq_start[s + 1] - start;
    size_t hidden = a->n_heads * a->head_size;
    size_t at = start * 3 * hidden + h * a->head_size;
    struct head x = {
        .q = qkv + at,
        .k = qkv + at + hidden,
        .v = qkv + at + 2 * hidden,
        .ctx = start * hidden + h * a->head_size,
        .probs = probs + h * len * len,
        .row0 = start * a->n_heads + h * len,
        .len = (int)len,
        .size = (int)a->head_size,
        .stride = (int)(3 * hidden),
        .hidden = (int)hidden,
    };
    if (dqkv != NULL) {
        x.dq = dqkv + at;
        x.dk = dqkv + at + hidden;
        x.dv = dqkv + at + 2 * hidden;
    }
    return x;
}

/* c (m,n) = alpha op(a) op(b), the small products of one head */
static void product(enum CBLAS_TRANSPOSE ta, enum CBLAS_TRANSPOSE tb, int m, int n, int k, float alpha,
                    const float *a, int lda, const float *b, int ldb, float *c, int ldc)
{
    cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, 0.0F, c, ldc);
}

static void head_forward(const struct nm_kernels *kernels, float *ctx, float *probs, float *temp,
                         const struct head *x, const struct nm_dropout *drop)
{
    const size_t len = (size_t)x->len;
    const float scale = 1.0F / sqrtf((float)x->size);
    float *p = probs != NULL ? probs + x->probs : temp;
    float *dropped = drop->threshold == 0 ? p : temp;
    product(CblasNoTrans, CblasTrans, x->len, x->len, x->size, scale, x->q, x->stride, x->k, x->stride, p, x->len);
    kernels->softmax_forward(p, dropped, p, drop, x->row0, len, len);
    product(CblasNoTrans, CblasNoTrans, x->len, x->size, x->len, 1.0F, dropped, x->len, x->v, x->stride, ctx + x->ctx,
            x->hidden);
}

static void head_backward(const struct nm_kernels *kernels, const float *dctx, const float *probs, float *temp,
                          const struct head *x, const struct nm_dropout *drop)
{
    const size_t len = (size_t)x->len;
    const float scale = 1.0F / sqrtf((float)x->size);
    float *dp = temp, *dropped = temp + len * len;
    product(CblasNoTrans, CblasTrans, x->len, x->len, x->size, 1.0F, dctx + x->ctx, x->hidden, x->v, x->stride, dp,
            x->len);
    kernels->softmax_backward(dp, dropped, probs + x->probs, drop, x->row0, len, len);
    product(CblasTrans, CblasNoTrans, x->len, x->size, x->len, 1.0F, dropped, x->len, dctx + x->ctx, x->hidden, x->dv,
            x->stride);
    product(CblasNoTrans, CblasNoTrans, x->len, x->size, x->len, scale, dp, x->len, x->k, x->stride, x->dq,
            x->stride);
    product(CblasTrans, CblasNoTrans, x->len, x->size, x->len, scale, dp, x->len, x->q, x->stride, x->dk, x->stride);
}

/* What a head of a sequence costs, in any unit: the products and the softmax grow with len^2, the calls don't. */
static size_t cost_of(size_t len, size_t head_size)
{
    return len * len * (head_size + 16) + len * head_size * 8;
}

/* Heads are dealt in order, each thread the same share of the cost: thread i takes those whose middle falls in
 * its share.  Fixed by the batch and the number of threads.
 */
static void each_head(struct nm_team *team, const struct nm_attention *a, const float *qkv, float *dqkv,
                      void (*work)(const struct nm_kernels *, void *, float *, const struct head *), void *arg)
{
    size_t total = 0;
    for (size_t s = 0; s < a->n_seqs; s++)
        total += cost_of(a->seq_start[s + 1] - a->seq_start[s], a->head_size) * a->n_heads;
    team_barrier(team);
    size_t i = (size_t)omp_get_thread_num(), threads = (size_t)omp_get_num_threads();
    size_t lo = total / threads * i, hi = i + 1 == threads ? total : total / threads * (i + 1);
    size_t done = 0, probs = 0;
    float *temp = a->scratch + i * 2 * a->max_len * a->max_len;
    for (size_t s = 0; s < a->n_seqs && done < hi; s++) {
        size_t len = a->seq_start[s + 1] - a->seq_start[s], cost = cost_of(len, a->head_size);
        assert(len > 0 && len <= a->max_len);
        for (size_t h = 0; h < a->n_heads; h++, done += cost) {
            size_t middle = done + cost / 2;
            if (middle < lo || middle >= hi)
                continue;
            struct head x = head_of(a, qkv, dqkv, s, h, probs);
            work(team->k, arg, temp, &x);
        }
        probs += a->n_heads * len * len;
    }
    team_barrier(team);
}

struct forward_arg {
    float *ctx, *probs;
    const struct nm_dropout *drop;
};

static void forward_work(const struct nm_kernels *kernels, void *arg, float *temp, const struct head *x)
{
    const struct forward_arg *f = arg;
    head_forward(kernels, f->ctx, f->probs, temp, x, f->drop);
}

void nm_attention_forward(struct nm_team *team, float *ctx, float *probs, const float *qkv,
                          const struct nm_attention *a, const struct nm_dropout *drop)
{
    struct forward_arg arg = {ctx, probs, drop};
    each_head(team, a, qkv, NULL, forward_work, &arg);
}

struct backward_arg {
    const float *dctx, *probs;
    const struct nm_dropout *drop;
};

static void backward_work(const struct nm_kernels *kernels, void *arg, float *temp, const struct head *x)
{
    const struct backward_arg *b = arg;
    head_backward(kernels, b->dctx, b->probs, temp, x, b->drop);
}

void nm_attention_backward(struct nm_team *team, float *dqkv, const float *dctx, const float *qkv, const float *probs,
                           const struct nm_attention *a, const struct nm_dropout *drop)
{
    struct backward_arg arg = {dctx, probs, drop};
    each_head(team, a, qkv, dqkv, backward_work, &arg);
}
