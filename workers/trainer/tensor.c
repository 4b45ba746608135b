#include "workers/trainer/tensor.h"

#include <math.h>
#include <string.h>

#include "common/hash.h"
#include "workers/trainer/team.h"

struct nm_dropout nm_dropout_make(float p, uint64_t key, uint64_t site)
{
    struct nm_dropout drop = {.key = nm_mix64(key ^ nm_mix64(site + 1)), .threshold = 0, .scale = 1.0F};
    if (p > 0.0F) {
        drop.threshold = (uint32_t)((double)p * 4294967296.0);
        drop.scale = 1.0F / (1.0F - p);
    }
    return drop;
}

struct nm_dropout nm_dropout_from(struct nm_dropout drop, size_t row)
{
    drop.key += row * NM_DROPOUT_ROW;
    return drop;
}

/* ---- layer norm ------------------------------------------------------------------------------ */

void nm_norm_backward(struct nm_team *team, struct nm_norm_grad grad, float *dz, float *dy, struct nm_norm_kept kept,
                      const float *gamma, const struct nm_dropout *drop, size_t n, size_t c)
{
    struct part r = part_of(n);
    float *sums = sums_of(team, 3 * c), *z = dz + r.lo * c;
    team->k->norm_backward(z, dy != NULL ? dy + r.lo * c : z, sums, sums + c,
                           grad.dbias != NULL ? sums + 2 * c : NULL, z, kept.xhat + r.lo * c, kept.rstd + r.lo, gamma,
                           drop, r.lo, r.n, c);
    team_barrier(team);
    reduce_sums(team, grad.dgamma, 0, c, grad.add);
    reduce_sums(team, grad.dbeta, c, c, grad.add);
    reduce_sums(team, grad.dbias, 2 * c, c, grad.add);
    team_barrier(team);
}

/* ---- embeddings ------------------------------------------------------------------------------ */

void nm_embedding_forward(struct nm_team *team, float *out, struct nm_norm_kept kept, struct nm_embedding table,
                          const uint32_t *ids, const uint32_t *positions, struct nm_norm norm,
                          const struct nm_dropout *drop, size_t n, size_t c)
{
    const struct nm_dropout none = {.threshold = 0, .scale = 1.0F};
    const struct nm_kernels *k = team->k;
    const float *zeros = sums_of(team, c);
    struct part r = part_of(n);
    for (size_t t = r.lo; t < r.lo + r.n; t++) {
        float *row = out + t * c;
        k->sum3(row, table.word + (size_t)ids[t] * c, table.position + (size_t)positions[t] * c, table.type, c);
        k->norm_forward(row, kept.xhat != NULL ? kept.xhat + t * c : NULL, kept.rstd != NULL ? kept.rstd + t : NULL,
                        row, zeros, zeros, norm.gamma, norm.beta, norm.eps, &none, 0, 1, c);
    }
    k->dropout(out + r.lo * c, drop, r.lo, r.n, c);
}

void nm_embedding_backward(struct nm_team *team, struct nm_embedding_grad grad, struct nm_norm_grad norm_grad,
                           float *dz, struct nm_norm_kept kept, const float *gamma, const uint32_t *ids,
                           const uint32_t *positions, const struct nm_dropout *drop, size_t n, size_t c)
{
    const struct nm_dropout none = {.threshold = 0, .scale = 1.0F};
    struct part cols = part_of(c);
    nm_dropout_apply(team, dz, dz, drop, n, c);
    nm_norm_backward(team, norm_grad, dz, NULL, kept, gamma, &none, n, c);
    /* Each thread adds its own columns of every row, so no two write the same place and the order is fixed. */
    for (size_t t = 0; t < n; t++) {
        const float *d = dz + t * c + cols.lo;
        team->k->add(grad.word + (size_t)ids[t] * c + cols.lo, d, cols.n);
        team->k->add(grad.position + (size_t)positions[t] * c + cols.lo, d, cols.n);
        team->k->add(grad.type + cols.lo, d, cols.n);
    }
    team_barrier(team);
}

/* ---- ends ------------------------------------------------------------------------------------ */

/* One labelled row: the loss, and its gradient * scale into d.  Both losses have the gradient w (softmax - target),
 * where w is p(y)^q for GCE and 1 otherwise. */
static double cross_entropy_row(float *d, const float *row, size_t label, float scale, size_t k,
                                const struct nm_loss *kind)
{
    float max = row[0], sum = 0;
    for (size_t j = 1; j < k; j++)
        max = row[j] > max ? row[j] : max;
    for (size_t j = 0; j < k; j++)
        sum += expf(row[j] - max);
    const float spread = kind->smoothing / (float)k;
    double loss = (double)logf(sum) - (double)(row[label] - max);
    const float weight = kind->gce > 0 ? (float)exp(-(double)kind->gce * loss) : 1.0F;
    if (kind->gce > 0)
        loss = -expm1(-(double)kind->gce * loss) / (double)kind->gce;
    else if (kind->smoothing > 0) {
        double others = 0;
        for (size_t j = 0; j < k; j++)
            others += (double)logf(sum) - (double)(row[j] - max);
        loss = (1 - (double)kind->smoothing) * loss + (double)spread * others;
    }
    if (d != NULL)
        for (size_t j = 0; j < k; j++)
            d[j] =
                (expf(row[j] - max) / sum - spread - (j == label ? 1.0F - kind->smoothing : 0.0F)) * weight * scale;
    return loss;
}

double nm_cross_entropy(float *dlogits, const float *logits, const int32_t *labels, float scale, size_t n, size_t k,
                        const struct nm_loss *loss, size_t *n_labelled)
{
    static const struct nm_loss plain = {0};
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        float *d = dlogits != NULL ? dlogits + i * k : NULL;
        if (labels[i] < 0) {
            if (d != NULL)
                memset(d, 0, k * sizeof *d);
            continue;
        }
        count++;
        sum += cross_entropy_row(d, logits + i * k, (size_t)labels[i], scale, k, loss != NULL ? loss : &plain);
    }
    if (n_labelled != NULL)
        *n_labelled = count;
    return sum;
}

void nm_pick_rows(struct nm_team *team, float *to, const float *from, const uint32_t *rows, size_t n_rows, size_t c)
{
    const struct part own = part_of(n_rows);
    team_barrier(team);
    for (size_t i = own.lo; i < own.lo + own.n; i++)
        memcpy(to + i * c, from + rows[i] * c, c * sizeof *to);
}

void nm_spread_rows(struct nm_team *team, float *to, const float *from, const uint32_t *rows, size_t n_rows, size_t n,
                    size_t c)
{
    const struct part own = part_of(n);
    size_t i = 0;
    team_barrier(team);
    while (i < n_rows && rows[i] < own.lo)
        i++;
    for (size_t t = own.lo; t < own.lo + own.n; t++)
        if (i < n_rows && rows[i] == t)
            memcpy(to + t * c, from + i++ * c, c * sizeof *to);
        else
            memset(to + t * c, 0, c * sizeof *to);
}

void nm_dropout_apply(struct nm_team *team, float *y, const float *x, const struct nm_dropout *drop, size_t n,
                      size_t c)
{
    struct part r = part_of(n);
    if (y != x && r.n > 0)
        memcpy(y + r.lo * c, x + r.lo * c, r.n * c * sizeof *y);
    team->k->dropout(y + r.lo * c, drop, r.lo, r.n, c);
}

double nm_sum_squares_part(struct nm_team *team, const float *x, size_t n)
{
    struct part r = part_of(n);
    return team->k->sum_squares(x + r.lo, r.n);
}

void nm_adamw_update(struct nm_team *team, float *w, float *m, float *v, const float *g, size_t n,
                     const struct nm_adamw *a)
{
    struct part r = part_of(n);
    team->k->adamw(w + r.lo, m + r.lo, v + r.lo, g + r.lo, r.n, a);
}

void nm_adamw_rows(struct nm_team *team, float *w, float *m, float *v, const float *g, const uint8_t *marked,
                   uint8_t *moved, size_t rows, size_t cols, const struct nm_adamw *a)
{
    struct part r = part_of(rows);
    for (size_t t = r.lo; t < r.lo + r.n; t++)
        moved[t] |= marked[t];
    for (size_t lo = r.lo, hi; lo < r.lo + r.n; lo = hi) { /* a run of rows of one kind */
        for (hi = lo + 1; hi < r.lo + r.n && marked[hi] == marked[lo] && moved[hi] == moved[lo]; hi++)
            ;
        const size_t at = lo * cols, n = (hi - lo) * cols;
        if (moved[lo])
            team->k->adamw(w + at, m + at, v + at, marked[lo] ? g + at : NULL, n, a);
        else
            team->k->adamw(w + at, NULL, NULL, NULL, n, a);
    }
}
