/* Dense layers.  Each thread makes its own rows, a block at a time, and does what follows on a block while it is in
 * its cache; weights are packed by the whole team, once for all rows.
 */
#include <assert.h>
#include <cblas.h>
#include <omp.h>

#include "workers/trainer/team.h"
#include "workers/trainer/tensor.h"

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static struct own *own_of(struct nm_team *team)
{
    return &team->own[omp_get_thread_num()];
}

/* This thread's panels of a right operand. */
static void pack_share(const struct nm_gemm *g, uint32_t *dst, const float *src, size_t ld, int down, size_t lanes,
                       size_t k)
{
    const size_t threads = (size_t)omp_get_num_threads(), i = (size_t)omp_get_thread_num();
    const size_t panels = (lanes + NM_GEMM_COLS - 1) / NM_GEMM_COLS;
    const size_t lo = panels * i / threads * NM_GEMM_COLS;
    const size_t hi = min_size(panels * (i + 1) / threads * NM_GEMM_COLS, lanes);
    if (lo >= hi)
        return;
    dst += nm_gemm_units(g, NM_GEMM_COLS, lo, k);
    if (down)
        g->pack_down(dst, NM_GEMM_COLS, src + lo, ld, hi - lo, k);
    else
        g->pack_along(dst, NM_GEMM_COLS, src + lo * ld, ld, hi - lo, k);
}

/* share - the right operand of a product, packed by the team; NULL where OpenBLAS multiplies.  Waits for the team. It
 * may be read until the second call from here: who makes that one knows that all have made the next, and have read
 * this one. */
static const uint32_t *share(struct nm_team *team, const float *src, size_t ld, int down, size_t lanes, size_t k)
{
    const struct nm_gemm *g = team->gemm;
    if (g == NULL) {
        team_barrier(team);
        return NULL;
    }
    uint32_t *dst = team->shared[own_of(team)->turn++ % 2];
    assert(nm_gemm_units(g, NM_GEMM_COLS, lanes, k) <= team->shared_units);
    pack_share(g, dst, src, ld, down, lanes, k);
    team_barrier(team);
    return dst;
}

/* Blocks of rows: for (r = first_block(...); r.n > 0; r = next_block(r)).  OpenBLAS makes its own. */
struct block {
    size_t lo, n, end, most;
};

static struct block next_block(struct block b)
{
    b.lo += b.n;
    b.n = min_size(b.end - b.lo, b.most);
    return b;
}

static struct block first_of(const struct nm_team *team, size_t lo, size_t n)
{
    return next_block((struct block){lo, 0, lo + n, team->gemm != NULL ? NM_GEMM_BLOCK : n});
}

/* Of this thread's rows. */
static struct block first_block(const struct nm_team *team, size_t rows)
{
    const struct part own = part_of(rows);
    return first_of(team, own.lo, own.n);
}

/* A weight (o,c), as the right operand of y = x W^T (forward) or of dx = dy W. */
struct weight {
    const float *w;
    const uint32_t *packed;
    size_t c, o;
    int forward;
};

static struct weight share_weight(struct nm_team *team, const float *w, int forward, size_t c, size_t o)
{
    struct weight weight = {.w = w, .c = c, .o = o, .forward = forward};
    weight.packed = share(team, w, c, !forward, forward ? o : c, forward ? c : o);
    return weight;
}

/* That of a forward product; where it was packed before, nobody waits. */
static struct weight forward_weight(struct nm_team *team, struct nm_weight w, size_t c, size_t o)
{
    if (w.packed == NULL)
        return share_weight(team, w.values, 1, c, o);
    return (struct weight){.packed = w.packed, .c = c, .o = o, .forward = 1};
}

size_t nm_weight_units(const struct nm_team *team, size_t c, size_t o)
{
    return team->gemm != NULL ? nm_gemm_units(team->gemm, NM_GEMM_COLS, o, c) : 0;
}

void nm_weight_pack(struct nm_team *team, uint32_t *packed, const float *values, size_t c, size_t o)
{
    pack_share(team->gemm, packed, values, c, 0, o, c);
}

/* out (a block's rows) = or += in (its rows) times the weight */
static void multiply(struct nm_team *team, float *out, int add, const float *in, const struct weight *w,
                     struct block r)
{
    const size_t k = w->forward ? w->c : w->o, cols = w->forward ? w->o : w->c;
    out += r.lo * cols;
    in += r.lo * k;
    if (team->gemm == NULL) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, w->forward ? CblasTrans : CblasNoTrans, (int)r.n, (int)cols, (int)k,
                    1.0F, in, (int)k, w->w, (int)w->c, add ? 1.0F : 0.0F, out, (int)cols);
        return;
    }
    struct nm_gemm_left a = {.rows = in};
    if (!nm_gemm_takes_rows(team->gemm, k)) {
        uint32_t *packed = own_of(team)->packed;
        assert(nm_gemm_units(team->gemm, NM_GEMM_ROWS, r.n, k) <= team->own_units);
        team->gemm->pack_along(packed, NM_GEMM_ROWS, in, k, r.n, k);
        a = (struct nm_gemm_left){.packed = packed};
    }
    nm_gemm_multiply(team->gemm, out, cols, a, w->packed, r.n, cols, k, add);
}

/* ---- forward --------------------------------------------------------------------------------- */

void nm_linear_forward(struct nm_team *team, float *y, const float *x, struct nm_weight w, const float *bias,
                       size_t n, size_t c, size_t o)
{
    const struct weight weight = forward_weight(team, w, c, o);
    for (struct block r = first_block(team, n); r.n > 0; r = next_block(r)) {
        multiply(team, y, 0, x, &weight, r);
        if (bias != NULL)
            team->k->bias_forward(y + r.lo * o, bias, r.n, o);
    }
}

void nm_linear_rows(struct nm_team *team, float *y, const float *x, struct nm_weight w, size_t n, size_t c, size_t o)
{
    const struct weight weight = {.w = w.values, .packed = w.packed, .c = c, .o = o, .forward = 1};
    assert(w.packed != NULL || team->gemm == NULL);
    for (struct block r = first_of(team, 0, n); r.n > 0; r = next_block(r))
        multiply(team, y, 0, x, &weight, r);
}

void nm_linear_gelu_forward(struct nm_team *team, float *y, float *slope, const float *x, struct nm_weight w,
                            const float *bias, size_t n, size_t c, size_t o)
{
    const struct weight weight = forward_weight(team, w, c, o);
    float *h = slope != NULL ? slope : y;
    for (struct block r = first_block(team, n); r.n > 0; r = next_block(r)) {
        multiply(team, h, 0, x, &weight, r);
        team->k->gelu_forward(y + r.lo * o, slope != NULL ? slope + r.lo * o : NULL, h + r.lo * o, bias, r.n, o);
    }
}

void nm_linear_norm_forward(struct nm_team *team, float *out, struct nm_norm_kept kept, const float *x,
                            struct nm_weight w, const float *bias, const float *residual, struct nm_norm norm,
                            const struct nm_dropout *drop, size_t n, size_t c, size_t o)
{
    const struct weight weight = forward_weight(team, w, c, o);
    float *y = kept.xhat != NULL ? kept.xhat : out;
    for (struct block r = first_block(team, n); r.n > 0; r = next_block(r)) {
        multiply(team, y, 0, x, &weight, r);
        team->k->norm_forward(out + r.lo * o, kept.xhat != NULL ? kept.xhat + r.lo * o : NULL,
                              kept.rstd != NULL ? kept.rstd + r.lo : NULL, y + r.lo * o, bias, residual + r.lo * o,
                              norm.gamma, norm.beta, norm.eps, drop, r.lo, r.n, o);
    }
}

/* ---- backward -------------------------------------------------------------------------------- */

/* This thread's rows of dw (o,c) = or += dy^T x, over the rows [from, from + n) of both. */
static void weight_grad_part(struct nm_team *team, float *dw, int add, const float *dy, const float *x,
                             const uint32_t *packed_x, size_t from, size_t n, size_t c, size_t o)
{
    dy += from * o;
    x += from * c;
    for (struct block r = first_block(team, o); r.n > 0; r = next_block(r)) {
        if (team->gemm == NULL) {
            cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)r.n, (int)c, (int)n, 1.0F, dy + r.lo, (int)o, x,
                        (int)c, add ? 1.0F : 0.0F, dw + r.lo * c, (int)c);
            continue;
        }
        uint32_t *a = own_of(team)->packed;
        assert(nm_gemm_units(team->gemm, NM_GEMM_ROWS, r.n, n) <= team->own_units);
        team->gemm->pack_down(a, NM_GEMM_ROWS, dy + r.lo, o, r.n, n);
        nm_gemm_multiply(team->gemm, dw + r.lo * c, c, (struct nm_gemm_left){.packed = a}, packed_x, r.n, c, n, add);
    }
}

/* dw, and from the threads' sums over their rows the gradient of a bias (NULL: none).  Waits for the team before, so
 * that dy and the sums are there, and after, so that dy and x may be overwritten. */
static void weight_grad(struct nm_team *team, float *dw, float *dbias, size_t bias_width, int add, const float *dy,
                        const float *x, size_t n, size_t c, size_t o)
{
    const size_t pieces = (n + GRAD_ROWS - 1) / GRAD_ROWS, each = pieces > 0 ? (n + pieces - 1) / pieces : 0;
    for (size_t from = 0; from < n; from += each) { /* like pieces: a short one would cost as much of dw's memory */
        const size_t rows = min_size(n - from, each);
        const uint32_t *packed_x = share(team, x + from * c, c, 1, c, rows);
        if (from == 0)
            reduce_sums(team, dbias, 0, bias_width, add);
        weight_grad_part(team, dw, add || from > 0, dy, x, packed_x, from, rows, c, o);
    }
    team_barrier(team);
}

void nm_linear_backward(struct nm_team *team, struct nm_linear_grad grad, const float *dy, const float *x,
                        const float *w, size_t n, size_t c, size_t o)
{
    const struct weight weight = share_weight(team, w, 0, c, o);
    float *sums = grad.dbias != NULL ? sums_of(team, o) : NULL;
    for (struct block r = first_block(team, n); r.n > 0; r = next_block(r)) {
        multiply(team, grad.dx, grad.add_dx, dy, &weight, r);
        if (sums != NULL)
            team->k->column_sum(sums, dy + r.lo * o, r.n, o);
    }
    weight_grad(team, grad.dw, grad.dbias, o, grad.add_dw, dy, x, n, c, o);
}

void nm_linear_gelu_backward(struct nm_team *team, struct nm_linear_grad grad, float *dbias_below, const float *slope,
                             const float *dy, const float *x, const float *w, size_t n, size_t c, size_t o)
{
    assert(grad.dbias == NULL && !grad.add_dx);
    const struct weight weight = share_weight(team, w, 0, c, o);
    float *sums = sums_of(team, c);
    for (struct block r = first_block(team, n); r.n > 0; r = next_block(r)) {
        multiply(team, grad.dx, 0, dy, &weight, r);
        team->k->gelu_backward(grad.dx + r.lo * c, slope + r.lo * c, sums, r.n, c);
    }
    weight_grad(team, grad.dw, dbias_below, c, grad.add_dw, dy, x, n, c, o);
}
