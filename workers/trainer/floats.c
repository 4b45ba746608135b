#include "workers/trainer/floats.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 4096, HUGE = 2 << 20 };

#ifdef __SANITIZE_ADDRESS__
/* From malloc, so that the sanitizer sees a write beyond the end. */
float *nm_floats_new(size_t n)
{
    return n > SIZE_MAX / 8 ? NULL : calloc(n + 1, sizeof(float));
}

float *nm_floats_new_sparse(size_t n)
{
    return nm_floats_new(n);
}

void nm_floats_free(float *p, size_t n)
{
    (void)n;
    free(p);
}

void nm_floats_touch(float *p, size_t n)
{
    (void)p;
    (void)n;
}
#else
static size_t bytes_of(size_t n)
{
    return (n * sizeof(float) + PAGE) / PAGE * PAGE;
}

static float *new_on(size_t n, int pages)
{
    if (n > SIZE_MAX / 8)
        return NULL;
    void *p = mmap(NULL, bytes_of(n), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (bytes_of(n) >= HUGE)
        (void)madvise(p, bytes_of(n), pages); /* a no changes nothing but the speed */
    return p;
}

float *nm_floats_new(size_t n)
{
    return new_on(n, MADV_HUGEPAGE); /* AdamW walks hundreds of megabytes a step */
}

float *nm_floats_new_sparse(size_t n)
{
    return new_on(n, MADV_NOHUGEPAGE);
}

void nm_floats_touch(float *p, size_t n)
{
#ifdef MADV_POPULATE_WRITE
    if (p != NULL)
        (void)madvise(p, bytes_of(n),
                      MADV_POPULATE_WRITE); /* an older kernel's no: they come when they are written */
#else
    (void)p;
    (void)n;
#endif
}

void nm_floats_free(float *p, size_t n)
{
    if (p != NULL)
        (void)munmap(p, bytes_of(n));
}
#endif
