/* gemm.h - inside nm_tensor: matrix products on packed operands, in fp32 or in bf16 with sums in fp32.
 *
 * c (m,n) = or += a (m,k) b (k,n).  Along k the values are grouped into units of 32 bits: one float, or two bf16 that
 * are neighbours along k, which is what vdpbf16ps multiplies.  A packed operand is a row of panels; a panel is
 * NM_GEMM_ROWS (of a) or NM_GEMM_COLS (of b) lanes wide and holds, for each unit along k, one unit of each lane.  So
 * a tile of c is made from two streams of memory read once from front to back, whatever the shapes were: the tile
 * kernel reaches 97 % of a Zen 4 core's peak in both precisions (OpenBLAS's sgemm 84 %).  Lanes and values beyond
 * the operand are zeros.  In fp32 rows of a need not be packed: eight of them are eight such streams.
 *
 * bf16 is rounded to nearest even while packing.  Threads: any; no state.  Test: unit.gemm.
 */
#ifndef NM_TRAINER_GEMM_H
#define NM_TRAINER_GEMM_H

#include <stddef.h>
#include <stdint.h>

#include "workers/trainer/tensor.h"

enum {
    NM_GEMM_ROWS = 8,  /* a tile of c: 8 rows of three vectors of 16, 24 of the 32 registers */
    NM_GEMM_COLS = 48, /* and the widest panel */
    NM_GEMM_BLOCK = 96 /* rows of c that are made at once: a's panels and what follows stay in the second cache */
};

struct nm_gemm {
    const char *isa;
    enum nm_precision precision;
    size_t group; /* values along k in a unit: 1 fp32, 2 bf16 */

    /* So many lanes of src, k values from each, into panels of `width` lanes.  along: the source (row-major, rows ld
     * apart) has a lane a row; down: a lane a column. */
    void (*pack_along)(uint32_t *dst, size_t width, const float *src, size_t ld, size_t lanes, size_t k);
    void (*pack_down)(uint32_t *dst, size_t width, const float *src, size_t ld, size_t lanes, size_t k);

    /* c (rows,cols) = or += one panel of a times one of b; rows <= NM_GEMM_ROWS, cols <= NM_GEMM_COLS.  Meanwhile it
     * fetches step values a unit from next on into the second cache. */
    void (*tile)(float *c, size_t ldc, const uint32_t *a, const uint32_t *b, const uint32_t *next, size_t step,
                 size_t units, size_t rows, size_t cols, int add);

    /* The same from rows of a as they are, lda apart; NULL: its values must be packed. */
    void (*tile_rows)(float *c, size_t ldc, const float *a, size_t lda, const uint32_t *b, const uint32_t *next,
                      size_t step, size_t units, size_t rows, size_t cols, int add);
};

/* nm_gemm_get - the best of this precision that the CPU runs.  fp32: NULL where OpenBLAS is the best; bf16: where the
 * CPU has none, the same roundings by plain arithmetic, slower than fp32. */
const struct nm_gemm *nm_gemm_get(enum nm_precision precision);

/* nm_gemm_named - for tests: "base", "v4", "bf16"; NULL where it is not built in or this CPU does not run it. */
const struct nm_gemm *nm_gemm_named(const char *isa, enum nm_precision precision);

/* nm_gemm_units - the room that a packed operand takes. */
size_t nm_gemm_units(const struct nm_gemm *g, size_t width, size_t lanes, size_t k);

/* A left operand: packed, or rows (.,k) that lie one behind the other, where nm_gemm_takes_rows. */
struct nm_gemm_left {
    const uint32_t *packed;
    const float *rows;
};

/* nm_gemm_takes_rows - no need to pack them: one float is a unit, and eight rows do not all want the same lines of
 * the first cache. */
int nm_gemm_takes_rows(const struct nm_gemm *g, size_t k);

/* nm_gemm_multiply - c (rows,cols) = or += a times packed b. */
void nm_gemm_multiply(const struct nm_gemm *g, float *c, size_t ldc, struct nm_gemm_left a, const uint32_t *b,
                      size_t rows, size_t cols, size_t k, int add);

#endif
