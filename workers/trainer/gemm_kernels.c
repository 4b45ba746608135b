/* Compiled several times with different -march flags; NM_GEMM names the table, NM_GEMM_BF16 makes the unit a pair of
 * bf16.  Only vdpbf16ps is an intrinsic, and where the target has none the pair is multiplied as two floats.
 */
#include "workers/trainer/gemm.h"

#include <string.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#include "workers/trainer/vectors.h"

enum { VECTORS = NM_GEMM_COLS / LANES }; /* STRIP divides both widths of panels */

/* ---- units of 32 bits ------------------------------------------------------------------------ */

#if defined(NM_GEMM_BF16) && defined(__AVX512BF16__)
enum { GROUP = 2 };

/* 16 units of 32 neighbouring values */
static inline uvec units_along(const float *x)
{
    return (uvec)_mm512_cvtne2ps_pbh((__m512)load(x + LANES), (__m512)load(x));
}

/* 16 units, each of the values at one place of two rows */
static inline uvec units_down(const float *first, const float *second)
{
    const __m512i order =
        (__m512i)(uvec){0x100000, 0x110001, 0x120002, 0x130003, 0x140004, 0x150005, 0x160006, 0x170007,
                        0x180008, 0x190009, 0x1a000a, 0x1b000b, 0x1c000c, 0x1d000d, 0x1e000e, 0x1f000f};
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)load(second), (__m512)load(first));
    return (uvec)_mm512_permutexvar_epi16(order, both);
}

static inline vec multiply_add(vec acc, uvec a, uvec b)
{
    return (vec)_mm512_dpbf16_ps((__m512)acc, (__m512bh)a, (__m512bh)b);
}
#elif defined(NM_GEMM_BF16)
enum { GROUP = 2 };

/* The float nearest to x that has zeros only in its lower half; ties to even.  A NaN stays one. */
static inline uvec round_bf16(vec x)
{
    const uvec u = (uvec)x, rounded = u + 0x7FFFU + (u >> 16 & 1U);
    const uvec nan = (uvec)((u & 0x7FFFFFFFU) > 0x7F800000U);
    return ((rounded & ~nan) | ((u | 0x400000U) & nan)) & 0xFFFF0000U;
}

static inline uvec units_down(const float *first, const float *second)
{
    return round_bf16(load(first)) >> 16 | round_bf16(load(second));
}

static inline uvec units_along(const float *x)
{
    float even[LANES], odd[LANES];
    for (size_t i = 0; i < LANES; i++) {
        even[i] = x[2 * i];
        odd[i] = x[2 * i + 1];
    }
    return units_down(even, odd);
}

static inline vec multiply_add(vec acc, uvec a, uvec b)
{
    acc += (vec)(a & 0xFFFF0000U) * (vec)(b & 0xFFFF0000U);
    return acc + (vec)(a << 16) * (vec)(b << 16);
}
#else
enum { GROUP = 1 };

static inline uvec units_along(const float *x)
{
    return (uvec)load(x);
}

static inline uvec units_down(const float *first, const float *second)
{
    (void)second;
    return (uvec)load(first);
}

static inline vec multiply_add(vec acc, uvec a, uvec b)
{
    return acc + (vec)a * (vec)b;
}
#endif

/* ---- packing --------------------------------------------------------------------------------- */

/* What is left of a row, n values, behind it zeros. */
static inline const float *padded(float *room, size_t size, const float *x, size_t n)
{
    memset(room, 0, size * sizeof *room);
    return memcpy(room, x, n * sizeof *room);
}

static void pack_along(uint32_t *dst, size_t width, const float *src, size_t ld, size_t lanes, size_t k)
{
    const size_t units = (k + GROUP - 1) / GROUP, all = (lanes + width - 1) / width * width;
    for (size_t lane = 0; lane < all; lane += STRIP) {
        uint32_t *to = dst + lane / width * width * units + lane % width;
        for (size_t at = 0; at < k; at += LANES * GROUP, to += LANES * width) {
            const size_t n = k - at < LANES * GROUP ? k - at : LANES * GROUP;
            float room[LANES * GROUP];
            uvec v[STRIP];
            for (size_t i = 0; i < STRIP; i++) {
                const float *x = src + (lane + i) * ld + at;
                __builtin_prefetch(x + STRIP * ld, 0, 2); /* the next strip, for the second cache */
                if (lane + i >= lanes)
                    v[i] = (uvec){0};
                else
                    v[i] = units_along(n == LANES * GROUP ? x : padded(room, LANES * GROUP, x, n));
            }
            transpose(v);
            for (size_t u = 0; u < (n + GROUP - 1) / GROUP; u++)
                memcpy(to + u * width, (const uint32_t *)v + u * STRIP, STRIP * sizeof *to);
        }
    }
}

enum { AHEAD = 8 }; /* rows that are fetched before they are needed; even */

/* Inlined for either width. */
static inline void pack_down_by(uint32_t *dst, size_t width, const float *src, size_t ld, size_t lanes, size_t k)
{
    static const float zeros[LANES];
    const size_t units = (k + GROUP - 1) / GROUP, all = (lanes + width - 1) / width * width;
    for (size_t lo = 0; lo < all; lo += NM_GEMM_BLOCK) { /* some panels at once: whole cache lines of the source */
        const size_t hi = all - lo < NM_GEMM_BLOCK ? all : lo + NM_GEMM_BLOCK;
        for (size_t u = 0; u < units; u++) {
            const float *row = src + u * GROUP * ld;
            for (size_t lane = lo; lane < hi; lane += LANES) {
                const size_t n = lane >= lanes ? 0 : lanes - lane < LANES ? lanes - lane : LANES;
                __builtin_prefetch(row + lane + AHEAD * ld); /* rows are far apart, which hides them from the CPU */
                if (GROUP > 1)
                    __builtin_prefetch(row + lane + (AHEAD + 1) * ld);
                const float *first = row + lane, *second = GROUP > 1 && u * GROUP + 1 < k ? first + ld : zeros;
                float room[2][LANES];
                if (n < LANES) {
                    first = padded(room[0], LANES, first, n);
                    second = second == zeros ? zeros : padded(room[1], LANES, second, n);
                }
                const uvec v = units_down(first, second);
                for (size_t half = 0; half < LANES && lane + half < hi; half += STRIP)
                    memcpy(dst + (lane + half) / width * width * units + u * width + (lane + half) % width,
                           (const uint32_t *)&v + half, STRIP * sizeof *dst);
            }
        }
    }
}

static void pack_down(uint32_t *dst, size_t width, const float *src, size_t ld, size_t lanes, size_t k)
{
    if (width == NM_GEMM_ROWS)
        pack_down_by(dst, NM_GEMM_ROWS, src, ld, lanes, k);
    else
        pack_down_by(dst, NM_GEMM_COLS, src, ld, lanes, k);
}

/* ---- the product ----------------------------------------------------------------------------- */

static void store_tile(float *c, size_t ldc, const vec acc[NM_GEMM_ROWS][VECTORS], int add)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < NM_GEMM_ROWS; i++)
#pragma GCC unroll 3
        for (size_t j = 0; j < VECTORS; j++) {
            float *to = c + i * ldc + j * LANES;
            const vec v = add ? load(to) + acc[i][j] : acc[i][j];
            memcpy(to, &v, sizeof v);
        }
}

/* A tile at an edge: only its part inside. */
static void store_part(float *c, size_t ldc, const vec acc[NM_GEMM_ROWS][VECTORS], size_t rows, size_t cols, int add)
{
    float values[NM_GEMM_ROWS][NM_GEMM_COLS];
    memcpy(values, acc, sizeof values);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            c[i * ldc + j] = values[i][j] + (add ? c[i * ldc + j] : 0.0F);
}

static inline void store_sums(float *c, size_t ldc, const vec acc[NM_GEMM_ROWS][VECTORS], size_t rows, size_t cols,
                              int add)
{
    if (rows == NM_GEMM_ROWS && cols == NM_GEMM_COLS)
        store_tile(c, ldc, acc, add);
    else
        store_part(c, ldc, acc, rows, cols, add);
}

static void tile(float *c, size_t ldc, const uint32_t *a, const uint32_t *b, const uint32_t *next, size_t step,
                 size_t units, size_t rows, size_t cols, int add)
{
    vec acc[NM_GEMM_ROWS][VECTORS] = {0};
    for (size_t u = 0; u < units; u++, a += NM_GEMM_ROWS, b += NM_GEMM_COLS, next += step) {
        uvec right[VECTORS];
        __builtin_prefetch(next, 0, 2);
        memcpy(right, b, sizeof right);
#pragma GCC unroll 8
        for (size_t i = 0; i < NM_GEMM_ROWS; i++) {
            const uvec left = (uvec){0} + a[i];
#pragma GCC unroll 3
            for (size_t j = 0; j < VECTORS; j++)
                acc[i][j] = multiply_add(acc[i][j], left, right[j]);
        }
    }
    store_sums(c, ldc, acc, rows, cols, add);
}

#ifdef NM_GEMM_BF16
enum { TAKES_ROWS = 0 };
#else
enum { TAKES_ROWS = 1 };
#endif

/* The same sums in the same order. */
static void tile_rows(float *c, size_t ldc, const float *a, size_t lda, const uint32_t *b, const uint32_t *next,
                      size_t step, size_t units, size_t rows, size_t cols, int add)
{
    vec acc[NM_GEMM_ROWS][VECTORS] = {0};
    const float *row[NM_GEMM_ROWS];
    for (size_t i = 0; i < NM_GEMM_ROWS; i++) /* beyond the last one the last one again: not stored */
        row[i] = a + (i < rows ? i : rows - 1) * lda;
    for (size_t u = 0; u < units; u++, b += NM_GEMM_COLS, next += step) {
        uvec right[VECTORS];
        __builtin_prefetch(next, 0, 2);
#pragma GCC unroll 3
        for (size_t j = 0; j < VECTORS; j++)
            memcpy(&right[j], b + j * LANES, sizeof right[j]);
#pragma GCC unroll 8
        for (size_t i = 0; i < NM_GEMM_ROWS; i++) {
            uint32_t value;
            memcpy(&value, row[i] + u, sizeof value);
            const uvec left = (uvec){0} + value;
#pragma GCC unroll 3
            for (size_t j = 0; j < VECTORS; j++)
                acc[i][j] = multiply_add(acc[i][j], left, right[j]);
        }
    }
    store_sums(c, ldc, acc, rows, cols, add);
}

const struct nm_gemm NM_GEMM;
const struct nm_gemm NM_GEMM = {
    .isa = NM_ISA_NAME,
#ifdef NM_GEMM_BF16
    .precision = NM_BF16,
#else
    .precision = NM_FP32,
#endif
    .group = GROUP,
    .pack_along = pack_along,
    .pack_down = pack_down,
    .tile = tile,
    .tile_rows = TAKES_ROWS ? tile_rows : NULL,
};
