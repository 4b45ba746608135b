#include "workers/trainer/gemm.h"

#include <stdlib.h>
#include <string.h>

/* One table per build of gemm_kernels.c; CMakeLists.txt defines which there are. */
extern const struct nm_gemm nm_gemm_base_bf16;
#ifdef NM_KERNELS_X86
extern const struct nm_gemm nm_gemm_v4_fp32, nm_gemm_bf16_bf16;
#endif

const struct nm_gemm *nm_gemm_named(const char *isa, enum nm_precision precision)
{
#ifdef NM_KERNELS_X86
    __builtin_cpu_init();
    if (strcmp(isa, "v4") == 0)
        return precision == NM_FP32 && nm_kernels_named("v4") != NULL ? &nm_gemm_v4_fp32 : NULL;
    if (strcmp(isa, "bf16") == 0)
        return precision == NM_BF16 && nm_kernels_named("v4") != NULL && __builtin_cpu_supports("avx512bf16")
                   ? &nm_gemm_bf16_bf16
                   : NULL;
#endif
    return strcmp(isa, "base") == 0 && precision == NM_BF16 ? &nm_gemm_base_bf16 : NULL;
}

int nm_bf16_is_native(void)
{
    return strcmp(nm_gemm_get(NM_BF16)->isa, "bf16") == 0;
}

const struct nm_gemm *nm_gemm_get(enum nm_precision precision)
{
    /* NERMILL_ISA takes a lower one, as in kernels_pick.c */
    const char *want = getenv("NERMILL_ISA"), *best = precision == NM_BF16 ? "bf16" : "v4";
    const struct nm_gemm *g = want == NULL || strcmp(want, best) == 0 ? nm_gemm_named(best, precision) : NULL;
    return g != NULL ? g : nm_gemm_named("base", precision);
}

size_t nm_gemm_units(const struct nm_gemm *g, size_t width, size_t lanes, size_t k)
{
    return (lanes + width - 1) / width * width * ((k + g->group - 1) / g->group);
}

int nm_gemm_takes_rows(const struct nm_gemm *g, size_t k)
{
    enum { WAY = 1024 }; /* floats of a first cache's way */
    return g->tile_rows != NULL && k % WAY != 0;
}

/* b's panels in turn, each against all of a: a panel of b (36 KB at a hidden size of 384 in bf16) is used for every
 * row of the block while it is in the second cache, and meanwhile the next one is fetched, a part by each tile. Along
 * k in pieces, for the same reason. */
void nm_gemm_multiply(const struct nm_gemm *g, float *c, size_t ldc, struct nm_gemm_left a, const uint32_t *b,
                      size_t rows, size_t cols, size_t k, int add)
{
    enum { PIECE = 768 };
    const size_t units = (k + g->group - 1) / g->group, pieces = (units + PIECE - 1) / PIECE;
    const size_t tiles = (rows + NM_GEMM_ROWS - 1) / NM_GEMM_ROWS, step = NM_GEMM_COLS / (tiles > 0 ? tiles : 1);
    const size_t each = pieces > 0 ? (units + pieces - 1) / pieces : 0;
    for (size_t u = 0; u < units; u += each) {
        const size_t n = units - u < each ? units - u : each;
        for (size_t j = 0; j < cols; j += NM_GEMM_COLS) {
            const uint32_t *panel = b + j * units + u * NM_GEMM_COLS;
            const uint32_t *next = panel + (j + NM_GEMM_COLS < cols ? NM_GEMM_COLS * units : 0);
            for (size_t i = 0; i < rows; i += NM_GEMM_ROWS) {
                const size_t height = rows - i < NM_GEMM_ROWS ? rows - i : NM_GEMM_ROWS;
                const size_t width = cols - j < NM_GEMM_COLS ? cols - j : NM_GEMM_COLS;
                const uint32_t *ahead = next + i / NM_GEMM_ROWS * n * step;
                float *to = c + i * ldc + j;
                if (a.rows != NULL)
                    g->tile_rows(to, ldc, a.rows + i * k + u, k, panel, ahead, step, n, height, width, add || u > 0);
                else
                    g->tile(to, ldc, a.packed + i * units + u * NM_GEMM_ROWS, panel, ahead, step, n, height, width,
                            add || u > 0);
            }
        }
    }
}
