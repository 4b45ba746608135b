#include "workers/trainer/kernels.h"

#include <stdlib.h>
#include <string.h>

/* One table per build of kernels.c; CMakeLists.txt defines which there are. */
extern const struct nm_kernels nm_kernels_base;
#ifdef NM_KERNELS_X86
extern const struct nm_kernels nm_kernels_v3, nm_kernels_v4;

static int runs_v3(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int runs_v4(void)
{
    return runs_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

const struct nm_kernels *nm_kernels_named(const char *isa)
{
#ifdef NM_KERNELS_X86
    __builtin_cpu_init();
    if (strcmp(isa, "v4") == 0)
        return runs_v4() ? &nm_kernels_v4 : NULL;
    if (strcmp(isa, "v3") == 0)
        return runs_v3() ? &nm_kernels_v3 : NULL;
#endif
    return strcmp(isa, "base") == 0 ? &nm_kernels_base : NULL;
}

const struct nm_kernels *nm_kernels_get(void)
{
    const char *want = getenv("NERMILL_ISA");
    const struct nm_kernels *k = want != NULL ? nm_kernels_named(want) : NULL;
    const char *const order[] = {"v4", "v3", "base"};
    for (size_t i = 0; k == NULL && i < sizeof order / sizeof *order; i++)
        k = nm_kernels_named(order[i]);
    return k;
}
