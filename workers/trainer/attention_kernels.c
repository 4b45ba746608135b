/* Attention of one head of one sequence, compiled several times like kernels.c; NM_ATTENTION names the table.
 *
 * Its products are too small for packed panels (a head of MiniLM is 32 wide, a sentence some 36 tokens long): here
 * one operand is read a vector of 16 at a time from rows that are padded to that with zeros, and of the other one
 * value after the other is spread over a vector, in whatever order it lies.  So no loop has a remainder along a row.
 */
#include <math.h>
#include <stdbool.h>

#include "workers/trainer/kernels_inline.h"
#include "workers/trainer/vectors.h"

/* A tile of sums stays in registers. */
#if defined(__AVX512F__)
enum { TILE_ROWS = 8, TILE_VECTORS = 3 };
#elif defined(__AVX2__)
enum { TILE_ROWS = 5, TILE_VECTORS = 1 };
#else
enum { TILE_ROWS = 2, TILE_VECTORS = 1 };
#endif

static size_t padded(size_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

/* ---- products -------------------------------------------------------------------------------- */

/* The left operand (m,k): its value (i,j) is at[i * row + j * col]. */
struct left {
    const float *at;
    size_t row, col;
};

/* rows of a times `vectors` vectors of each of the k rows of b; inlined for each number of vectors */
static inline __attribute__((always_inline)) void tile(float *c, size_t ldc, struct left a, const float *b,
                                                       size_t ldb, size_t rows, size_t k, const int vectors)
{
    vec acc[TILE_ROWS][TILE_VECTORS] = {0};
    const float *row[TILE_ROWS];
    for (size_t i = 0; i < TILE_ROWS; i++) /* beyond the last one the last one again: not stored */
        row[i] = a.at + (i < rows ? i : rows - 1) * a.row;
    for (size_t j = 0; j < k; j++, b += ldb) {
        vec right[TILE_VECTORS];
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++)
            right[v] = load(b + v * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < TILE_ROWS; i++) {
            const vec left = (vec){0} + row[i][j * a.col];
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++)
                acc[i][v] += left * right[v];
        }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < TILE_ROWS; i++)
        if (i < rows)
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++)
                memcpy(c + i * ldc + v * LANES, &acc[i][v], sizeof(vec));
}

/* c (m,n) = a (m,k) b (k,n); n, ldb and ldc are multiples of LANES */
static void product(float *c, size_t ldc, struct left a, const float *b, size_t ldb, size_t m, size_t n, size_t k)
{
    for (size_t j = 0; j < n; j += TILE_VECTORS * LANES)
        for (size_t i = 0; i < m; i += TILE_ROWS) {
            const struct left from = {a.at + i * a.row, a.row, a.col};
            const size_t rows = m - i, vectors = (n - j) / LANES;
            if (vectors >= TILE_VECTORS)
                tile(c + i * ldc + j, ldc, from, b + j, ldb, rows, k, TILE_VECTORS);
            else if (vectors == 2)
                tile(c + i * ldc + j, ldc, from, b + j, ldb, rows, k, TILE_VECTORS > 1 ? 2 : 1);
            else
                tile(c + i * ldc + j, ldc, from, b + j, ldb, rows, k, 1);
        }
}

/* ---- softmax ----------------------------------------------------------------------------------
 *
 * Of scores that stand transposed: a row a key, a lane a query.  So maximum and sum are lane by lane, and nothing is
 * ever added across a vector.  Lanes behind the last query hold what does no harm.
 */

/* The 16 queries' keys of the mask, of those from i on. */
static uvec keys_of(const struct nm_head *h, size_t i)
{
    uint32_t keys[LANES] = {0};
    uvec v;
    for (size_t l = 0; l < LANES && i + l < h->n_queries; l++)
        keys[l] = row_key(&h->drop, h->row0 + i + l);
    memcpy(&v, keys, sizeof v);
    return v;
}

/* 0 or scale, as drop_factor has it */
static inline vec drop_factors(uvec keys, size_t j, uint32_t threshold, float scale)
{
    const uvec bits = mix32_lanes(keys ^ (uint32_t)j * 0x9E3779B9U);
    return keep_lanes(bits >= threshold, (vec){0} + scale);
}

/* p (len,ld) in: scores; out: their softmax; dropped: after dropout */
static void softmax_forward(const struct nm_head *h, float *p, float *dropped, size_t ld)
{
    const uint32_t threshold = h->drop.threshold;
    for (size_t i = 0; i < ld; i += LANES) {
        vec max = load(p + i), sum = {0};
        for (size_t j = 1; j < h->len; j++)
            max = larger(max, load(p + j * ld + i));
        for (size_t j = 0; j < h->len; j++) {
            const vec e = exp_lanes(load(p + j * ld + i) - max);
            store(p + j * ld + i, e);
            sum += e;
        }
        const vec inverse = 1.0F / sum;
        const uvec keys = threshold != 0 ? keys_of(h, i) : (uvec){0};
        for (size_t j = 0; j < h->len; j++) {
            const vec v = load(p + j * ld + i) * inverse;
            store(p + j * ld + i, v);
            if (threshold != 0)
                store(dropped + j * ld + i, v * drop_factors(keys, j, threshold, h->drop.scale));
        }
    }
}

/* dp (len,ld) in: the gradient of the dropped probabilities; out: of the scores; dropped: those probabilities again
 */
static void softmax_backward(const struct nm_head *h, float *dp, float *dropped, const float *p, size_t ld)
{
    const uint32_t threshold = h->drop.threshold;
    for (size_t i = 0; i < ld; i += LANES) {
        const uvec keys = threshold != 0 ? keys_of(h, i) : (uvec){0};
        vec dot = {0};
        for (size_t j = 0; j < h->len; j++) {
            const vec v = load(p + j * ld + i);
            vec f = (vec){0} + 1.0F;
            if (threshold != 0)
                f = drop_factors(keys, j, threshold, h->drop.scale);
            const vec d = load(dp + j * ld + i) * f;
            store(dp + j * ld + i, d);
            store(dropped + j * ld + i, v * f);
            dot += d * v;
        }
        for (size_t j = 0; j < h->len; j++)
            store(dp + j * ld + i, load(p + j * ld + i) * (load(dp + j * ld + i) - dot));
    }
}

/* ---- rows in and out -------------------------------------------------------------------------- */

/* The sequence's row that query i is. */
static size_t query(const struct nm_head *h, size_t i)
{
    return h->picked != NULL ? h->picked[i] - h->first : i;
}

/* The same rows of the next head, which are far apart: the CPU does not see them coming. */
static void fetch_next(const float *rows, size_t ld, size_t n, size_t size)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = size; j < 2 * size; j += LANES)
            __builtin_prefetch(rows + i * ld + j);
}

/* to (n,padded size) = from * scale, row i from row i or, of queries that were picked, from that of query i */
static void gather(float *to, const float *from, size_t ld, const struct nm_head *h, bool picked, size_t n,
                   float scale)
{
    const size_t size = h->size, width = padded(size);
    for (size_t i = 0; i < n; i++, to += width) {
        const float *row = from + (picked ? query(h, i) : i) * ld;
        fetch_next(row, ld, 1, size);
#pragma omp simd
        for (size_t j = 0; j < size; j++)
            to[j] = row[j] * scale;
        if (width > size)
            memset(to + size, 0, (width - size) * sizeof *to);
    }
}

static void scatter(float *to, size_t ld, const float *from, const struct nm_head *h, bool picked, size_t n,
                    float scale)
{
    const size_t size = h->size, width = padded(size);
    for (size_t i = 0; i < n; i++, from += width) {
        float *row = to + (picked ? query(h, i) : i) * ld;
        for (size_t j = 0; j < size; j += LANES)
            __builtin_prefetch(row + size + j, 1);
#pragma omp simd
        for (size_t j = 0; j < size; j++)
            row[j] = from[j] * scale;
    }
}

/* to (size, padded n) = from (n, padded size) transposed, with zeros behind column n */
static void turn(float *to, const float *from, size_t n, size_t size)
{
    const size_t ld = padded(n), width = padded(size);
    for (size_t j = 0; j < ld; j += STRIP)
        for (size_t d = 0; d < width; d += LANES) {
            uvec v[STRIP];
            for (size_t i = 0; i < STRIP; i++)
                v[i] = j + i < n ? (uvec)load(from + (j + i) * width + d) : (uvec){0};
            transpose(v);
            for (size_t u = 0; u < LANES && d + u < size; u++)
                memcpy(to + (d + u) * ld + j, (const uint32_t *)v + u * STRIP, STRIP * sizeof *to);
        }
}

/* ---- a head ----------------------------------------------------------------------------------- */

/* n floats of the room */
static float *take(float **room, size_t n)
{
    float *p = *room;
    *room += n;
    return p;
}

static void head_forward(const struct nm_head *h, float *probs, float *room)
{
    const size_t len = h->len, n = h->n_queries, width = padded(h->size), ld = padded(n);
    float *rows = take(&room, (len > n ? len : n) * width), *out = take(&room, n * width);
    float *turned = take(&room, h->size * ld), *temp = take(&room, len * ld), *p = probs != NULL ? probs : temp;
    float *dropped = h->drop.threshold == 0 ? p : temp;
    gather(rows, h->q, h->ld, h, true, n, 1.0F / sqrtf((float)h->size));
    turn(turned, rows, n, h->size);
    fetch_next(h->k, h->ld, len, h->size);
    product(p, ld, (struct left){h->k, h->ld, 1}, turned, ld, len, ld, h->size);
    softmax_forward(h, p, dropped, ld);
    gather(rows, h->v, h->ld, h, false, len, 1.0F);
    product(out, width, (struct left){dropped, 1, ld}, rows, width, n, width, len);
    scatter(h->ctx, h->ld_ctx, out, h, false, n, 1.0F);
}

static void head_backward(const struct nm_head *h, const float *probs, float *room)
{
    const size_t len = h->len, n = h->n_queries, width = padded(h->size), ld = padded(n);
    const float scale = 1.0F / sqrtf((float)h->size);
    float *rows = take(&room, (len > n ? len : n) * width), *out = take(&room, len * width);
    float *turned = take(&room, h->size * ld), *dctx = take(&room, n * width);
    float *dp = take(&room, len * ld), *dropped = take(&room, len * ld);
    gather(dctx, h->dctx, h->ld_ctx, h, false, n, 1.0F);
    turn(turned, dctx, n, h->size);
    fetch_next(h->v, h->ld, len, h->size);
    product(dp, ld, (struct left){h->v, h->ld, 1}, turned, ld, len, ld, h->size);
    softmax_backward(h, dp, dropped, probs, ld);
    product(out, width, (struct left){dropped, ld, 1}, dctx, width, len, width, n);
    scatter(h->dv, h->ld, out, h, false, len, 1.0F);
    gather(rows, h->k, h->ld, h, false, len, 1.0F);
    product(out, width, (struct left){dp, 1, ld}, rows, width, n, width, len);
    if (h->picked != NULL)
        for (size_t i = 0; i < len; i++)
            memset(h->dq + i * h->ld, 0, h->size * sizeof *h->dq);
    scatter(h->dq, h->ld, out, h, true, n, scale);
    gather(rows, h->q, h->ld, h, true, n, scale);
    product(out, width, (struct left){dp, ld, 1}, rows, width, len, width, n);
    scatter(h->dk, h->ld, out, h, false, len, 1.0F);
}

const struct nm_attention_kernels NM_ATTENTION;
const struct nm_attention_kernels NM_ATTENTION = {
    .forward = head_forward,
    .backward = head_backward,
};
