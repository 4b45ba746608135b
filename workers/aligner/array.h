/* array.h - growing plain arrays, for the aligner's own files. */
#ifndef NM_ALIGNER_ARRAY_H
#define NM_ALIGNER_ARRAY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/err.h"

/* nm_array_grow - make room for need elements of size bytes each behind v; *cap is in elements.
 * Returns the array (perhaps moved), or NULL: out of memory, and v is as it was. */
static inline void *nm_array_grow(void *v, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap && v != NULL)
        return v;
    size_t want = *cap < 16 ? 16 : *cap;
    while (want < need && want <= SIZE_MAX / 2)
        want *= 2;
    if (want < need || want > SIZE_MAX / size)
        return NULL;
    void *moved = realloc(v, want * size);
    if (moved != NULL)
        *cap = want;
    return moved;
}

/* nm_table_new - n zeroed elements for a table that is read at random, to be freed with free.  A large one is laid on
 * huge pages where the kernel has them: with 1,000,000 entities every look-up would miss the TLB, too.
 * NULL: out of memory. */
static inline void *nm_table_new(size_t n, size_t size)
{
    enum { HUGE_PAGE = 2 << 20 };
    void *table = NULL;
    if (n > SIZE_MAX / size)
        return NULL;
    if (n * size < HUGE_PAGE)
        return calloc(n > 0 ? n : 1, size);
    if (posix_memalign(&table, HUGE_PAGE, n * size) != 0)
        return NULL;
    (void)madvise(table, n * size, MADV_HUGEPAGE); /* a wish: refused, it is only slower */
    memset(table, 0, n * size);
    return table;
}

#endif
