/* vectors.h - inside nm_tensor: vectors of 16 lanes in GNU C, which every target has; a file that includes this is
 * compiled once per instruction set.
 */
#ifndef NM_TRAINER_VECTORS_H
#define NM_TRAINER_VECTORS_H

#include <stdint.h>
#include <string.h>

enum {
    LANES = 16,
    STRIP = LANES / 2 /* vectors that are transposed at once */
};

typedef float vec __attribute__((vector_size(64)));
typedef uint32_t uvec __attribute__((vector_size(64)));

static inline vec load(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

/* The lanes of v where mask has all bits, elsewhere 0. */
static inline vec keep_lanes(uvec mask, vec v)
{
    return (vec)((uvec)v & mask);
}

static inline vec larger(vec a, vec b)
{
    const uvec mask = (uvec)(a > b);
    return (vec)(((uvec)a & mask) | ((uvec)b & ~mask));
}

/* 8 lanes of 16 units become 16 units of 8 lanes: interleaving the first half of all values with the second rotates
 * the bits of their places by one, so three times transposes. */
static inline void transpose(uvec v[STRIP])
{
    for (int round = 0; round < 3; round++) {
        uvec from[STRIP];
        memcpy(from, v, sizeof from);
#pragma GCC unroll 4
        for (int i = 0; i < STRIP / 2; i++) {
            const uvec a = from[i], b = from[i + STRIP / 2];
            v[2 * i] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            v[2 * i + 1] =
                __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
    }
}

#endif
