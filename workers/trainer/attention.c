#include <assert.h>
#include <omp.h>

#include "workers/trainer/team.h"
#include "workers/trainer/tensor.h"

enum { LANES = 16 };

size_t nm_attention_row(size_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

size_t nm_attention_room(size_t max_len, size_t head_size)
{
    const size_t len = nm_attention_row(max_len), size = nm_attention_row(head_size);
    return 2 * len * len + 4 * len * size; /* as attention_kernels.c takes it */
}

static size_t len_of(const struct nm_attention *a, size_t s)
{
    return a->seq_start[s + 1] - a->seq_start[s];
}

static size_t queries_of(const struct nm_attention *a, size_t s)
{
    return a->picked != NULL ? a->picked_start[s + 1] - a->picked_start[s] : len_of(a, s);
}

size_t nm_attention_probs(const struct nm_attention *a)
{
    size_t sum = 0;
    for (size_t s = 0; s < a->n_seqs; s++)
        sum += len_of(a, s) * nm_attention_row(queries_of(a, s));
    return sum * a->n_heads;
}

static struct nm_head head_of(const struct nm_attention *a, const float *qkv, const struct nm_dropout *drop, size_t s,
                              size_t h)
{
    const size_t start = a->seq_start[s], len = len_of(a, s), hidden = a->n_heads * a->head_size;
    const float *q = qkv + start * 3 * hidden + h * a->head_size;
    struct nm_head x = {.q = q,
                        .k = q + hidden,
                        .v = q + 2 * hidden,
                        .first = start,
                        .n_queries = queries_of(a, s),
                        .len = len,
                        .size = a->head_size,
                        .ld = 3 * hidden,
                        .ld_ctx = hidden,
                        .drop = *drop,
                        .row0 = start * a->n_heads + h * len};
    if (a->picked != NULL) { /* in the mask, row t of the batch has the number that it has without picking */
        x.picked = a->picked + a->picked_start[s];
        x.drop = nm_dropout_from(*drop, start * (a->n_heads - 1) + h * len);
        x.drop.rows = x.picked;
        x.row0 = 0;
    }
    return x;
}

/* What a head of a sequence costs, in any unit: the products and the softmax grow with both numbers, rows come in and
 * go out once. */
static size_t cost_of(const struct nm_attention *a, size_t s)
{
    const size_t len = len_of(a, s);
    return len * nm_attention_row(queries_of(a, s)) * (a->head_size + 16) + len * a->head_size * 8;
}

/* What a pass is given: forward without dctx, backward with it. */
struct pass {
    float *ctx, *probs, *dqkv;
    const float *qkv, *dctx;
    const struct nm_dropout *drop;
};

static void one_head(const struct nm_team *team, const struct nm_attention *a, const struct pass *pass, size_t s,
                     size_t h, size_t probs, float *room)
{
    const size_t hidden = a->n_heads * a->head_size;
    const size_t ctx = (a->picked != NULL ? a->picked_start[s] : a->seq_start[s]) * hidden + h * a->head_size;
    struct nm_head x = head_of(a, pass->qkv, pass->drop, s, h);
    if (pass->dctx == NULL) {
        x.ctx = pass->ctx + ctx;
        team->k->attention->forward(&x, pass->probs != NULL ? pass->probs + probs : NULL, room);
        return;
    }
    x.dctx = pass->dctx + ctx;
    x.dq = pass->dqkv + (x.q - pass->qkv);
    x.dk = x.dq + hidden;
    x.dv = x.dk + hidden;
    team->k->attention->backward(&x, pass->probs + probs, room);
}

/* Heads are dealt in order, each thread the same share of the cost: thread i takes those whose middle falls in
 * its share.  Fixed by the batch and the number of threads.
 */
static void each_head(struct nm_team *team, const struct nm_attention *a, const struct pass *pass)
{
    size_t total = 0;
    for (size_t s = 0; s < a->n_seqs; s++)
        total += cost_of(a, s) * a->n_heads;
    team_barrier(team);
    size_t i = (size_t)omp_get_thread_num(), threads = (size_t)omp_get_num_threads();
    size_t lo = total / threads * i, hi = i + 1 == threads ? total : total / threads * (i + 1);
    size_t done = 0, probs = 0;
    float *room = a->scratch + i * nm_attention_room(a->max_len, a->head_size);
    for (size_t s = 0; s < a->n_seqs && done < hi; s++) {
        const size_t cost = cost_of(a, s), head_probs = len_of(a, s) * nm_attention_row(queries_of(a, s));
        assert(len_of(a, s) > 0 && len_of(a, s) <= a->max_len);
        for (size_t h = 0; h < a->n_heads; h++, done += cost, probs += head_probs) {
            size_t middle = done + cost / 2;
            if (middle >= lo && middle < hi)
                one_head(team, a, pass, s, h, probs, room);
        }
    }
    team_barrier(team);
}

void nm_attention_forward(struct nm_team *team, float *ctx, float *probs, const float *qkv,
                          const struct nm_attention *a, const struct nm_dropout *drop)
{
    const struct pass pass = {.ctx = ctx, .probs = probs, .qkv = qkv, .drop = drop};
    each_head(team, a, &pass);
}

void nm_attention_backward(struct nm_team *team, float *dqkv, const float *dctx, const float *qkv, const float *probs,
                           const struct nm_attention *a, const struct nm_dropout *drop)
{
    const struct pass pass = {
        .dqkv = dqkv, .dctx = dctx, .qkv = qkv, .probs = (float *)probs /* only read */, .drop = drop};
    each_head(team, a, &pass);
}
