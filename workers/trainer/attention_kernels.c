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

/* ---- softmax --------------------------------------------------------------------------------- */

static void softmax_forward(float *p, float *dropped, const float *s, const struct nm_dropout *drop, size_t row0,
                            size_t n, size_t c, size_t ld)
{
    const uint32_t threshold = drop->threshold;
    const float scale = drop->scale;
    for (size_t i = 0; i < n; i++, p += ld, dropped += ld, s += ld) {
        float max = s[0], sum = 0;
#pragma omp simd reduction(max : max)
        for (size_t j = 0; j < ld; j++)
            max = j < c && s[j] > max ? s[j] : max;
#pragma omp simd reduction(+ : sum)
        for (size_t j = 0; j < ld; j++) {
            float e = fast_exp(s[j] - max);
            e = j < c ? e : 0.0F;
            p[j] = e;
            sum += e;
        }
        const float inv = 1.0F / sum;
        if (threshold == 0) {
#pragma omp simd
            for (size_t j = 0; j < ld; j++)
                p[j] *= inv;
            if (dropped != p)
                memcpy(dropped, p, ld * sizeof *p);
            continue;
        }
        const uint32_t key = row_key(drop, row0 + i);
#pragma omp simd
        for (size_t j = 0; j < ld; j++) {
            p[j] *= inv;
            dropped[j] = p[j] * drop_factor(key, j, threshold, scale);
        }
    }
}

static void softmax_backward(float *dp, float *dropped, const float *p, const struct nm_dropout *drop, size_t row0,
                             size_t n, size_t ld)
{
    const uint32_t threshold = drop->threshold;
    const float scale = drop->scale;
    for (size_t i = 0; i < n; i++, dp += ld, dropped += ld, p += ld) {
        float dot = 0;
        if (threshold == 0) {
#pragma omp simd reduction(+ : dot)
            for (size_t j = 0; j < ld; j++) {
                dropped[j] = p[j];
                dot += dp[j] * p[j];
            }
        } else {
            const uint32_t key = row_key(drop, row0 + i);
#pragma omp simd reduction(+ : dot)
            for (size_t j = 0; j < ld; j++) {
                float f = drop_factor(key, j, threshold, scale);
                dropped[j] = p[j] * f;
                dp[j] *= f;
                dot += dp[j] * p[j];
            }
        }
#pragma omp simd
        for (size_t j = 0; j < ld; j++)
            dp[j] = p[j] * (dp[j] - dot);
    }
}

/* ---- rows in and out -------------------------------------------------------------------------- */

/* The sequence's row that query i is. */
static size_t query(const struct nm_head *h, size_t i)
{
    return h->picked != NULL ? h->picked[i] - h->first : i;
}

/* to (n,padded size) = from * scale, row i from row i or, of queries that were picked, from that of query i */
static void gather(float *to, const float *from, size_t ld, const struct nm_head *h, bool picked, size_t n,
                   float scale)
{
    const size_t size = h->size, width = padded(size);
    for (size_t i = 0; i < n; i++, to += width) {
        const float *row = from + (picked ? query(h, i) : i) * ld;
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
#pragma omp simd
        for (size_t j = 0; j < size; j++)
            row[j] = from[j] * scale;
    }
}

/* to (padded size, padded n) = from (n, padded size) transposed, with zeros behind column n */
static void turn(float *to, const float *from, size_t n, size_t width)
{
    const size_t ld = padded(n);
    for (size_t j = 0; j < ld; j += STRIP)
        for (size_t d = 0; d < width; d += LANES) {
            uvec v[STRIP];
            for (size_t i = 0; i < STRIP; i++)
                v[i] = j + i < n ? (uvec)load(from + (j + i) * width + d) : (uvec){0};
            transpose(v);
            for (size_t u = 0; u < LANES; u++)
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
    const size_t len = h->len, n = h->n_queries, width = padded(h->size), ld = padded(len);
    float *rows = take(&room, len * width), *q = take(&room, n * width), *turned = take(&room, width * ld);
    float *temp = take(&room, n * ld), *p = probs != NULL ? probs : temp;
    float *dropped = h->drop.threshold == 0 ? p : temp;
    gather(q, h->q, h->ld, h, true, n, 1.0F / sqrtf((float)h->size));
    gather(rows, h->k, h->ld, h, false, len, 1.0F);
    turn(turned, rows, len, width);
    product(p, ld, (struct left){q, width, 1}, turned, ld, n, ld, h->size);
    softmax_forward(p, dropped, p, &h->drop, h->row0, n, len, ld);
    gather(rows, h->v, h->ld, h, false, len, 1.0F);
    product(q, width, (struct left){dropped, ld, 1}, rows, width, n, width, len);
    scatter(h->ctx, h->ld_ctx, q, h, false, n, 1.0F);
}

static void head_backward(const struct nm_head *h, const float *probs, float *room)
{
    const size_t len = h->len, n = h->n_queries, width = padded(h->size), ld = padded(len);
    const float scale = 1.0F / sqrtf((float)h->size);
    float *rows = take(&room, len * width), *out = take(&room, len * width), *turned = take(&room, width * ld);
    float *dctx = take(&room, n * width), *dp = take(&room, n * ld), *dropped = take(&room, n * ld);
    gather(dctx, h->dctx, h->ld_ctx, h, false, n, 1.0F);
    gather(rows, h->v, h->ld, h, false, len, 1.0F);
    turn(turned, rows, len, width);
    product(dp, ld, (struct left){dctx, width, 1}, turned, ld, n, ld, h->size);
    softmax_backward(dp, dropped, probs, &h->drop, h->row0, n, ld);
    product(out, width, (struct left){dropped, 1, ld}, dctx, width, len, width, n);
    scatter(h->dv, h->ld, out, h, false, len, 1.0F);
    gather(rows, h->k, h->ld, h, false, len, 1.0F);
    product(out, width, (struct left){dp, ld, 1}, rows, width, n, width, len);
    if (h->picked != NULL)
        for (size_t i = 0; i < len; i++)
            memset(h->dq + i * h->ld, 0, h->size * sizeof *h->dq);
    scatter(h->dq, h->ld, out, h, true, n, scale);
    gather(rows, h->q, h->ld, h, true, n, scale);
    product(out, width, (struct left){dp, 1, ld}, rows, width, len, width, n);
    scatter(h->dk, h->ld, out, h, false, len, 1.0F);
}

const struct nm_attention_kernels NM_ATTENTION;
const struct nm_attention_kernels NM_ATTENTION = {
    .forward = head_forward,
    .backward = head_backward,
    .softmax = softmax_forward,
};
