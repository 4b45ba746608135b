/* kernels_inline.h - inside nm_tensor: what the loops of kernels.c and attention_kernels.c share, inlined so that it
 * becomes the vectors of the instruction set that they are compiled for.
 */
#ifndef NM_TRAINER_KERNELS_INLINE_H
#define NM_TRAINER_KERNELS_INLINE_H

#include "common/hash.h"
#include "workers/trainer/kernels.h"
#include "workers/trainer/vectors.h"

static inline float bits_to_float(uint32_t bits)
{
    union {
        uint32_t u;
        float f;
    } v = {.u = bits};
    return v.f;
}

static inline uint32_t float_to_bits(float x)
{
    union {
        float f;
        uint32_t u;
    } v = {.f = x};
    return v.u;
}

/* exp on [-87.3, 88], relative error < 2e-7: x = n ln2 + r, a polynomial in r (Cephes), 2^n by the exponent. */
static inline float fast_exp(float x)
{
    x = x < -87.3F ? -87.3F : x;
    x = x > 88.0F ? 88.0F : x;
    const float magic = 12582912.0F; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    float shifted = x * 1.44269504F + magic;
    uint32_t n = float_to_bits(shifted) - 0x4B400000U;
    float k = shifted - magic;
    float r = x - k * 0.693359375F;
    r = r + k * 2.12194440e-4F;
    float p = 1.9875691500e-4F;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * r * r + r + 1.0F;
    return bits_to_float(float_to_bits(p) + (n << 23));
}

/* fast_exp of each lane, x <= 0 */
static inline vec exp_lanes(vec x)
{
    x = larger(x, (vec){0} - 87.3F);
    const vec shifted = x * 1.44269504F + 12582912.0F, k = shifted - 12582912.0F;
    const uvec n = (uvec)shifted - 0x4B400000U;
    const vec r = x - k * 0.693359375F + k * 2.12194440e-4F;
    vec p = r * 1.9875691500e-4F + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * r * r + r + 1.0F;
    return (vec)((uvec)p + (n << 23));
}

/* lowbias32 (Wellons 2018): a bijection on 32 bits with low bias, two multiplications. */
#define MIX32(type, name)                                                                                            \
    static inline type name(type x)                                                                                  \
    {                                                                                                                \
        x ^= x >> 16;                                                                                                \
        x *= 0x7feb352dU;                                                                                            \
        x ^= x >> 15;                                                                                                \
        x *= 0x846ca68bU;                                                                                            \
        return x ^ x >> 16;                                                                                          \
    }
MIX32(uint32_t, mix32)
MIX32(uvec, mix32_lanes)

static inline uint32_t row_key(const struct nm_dropout *drop, size_t row)
{
    row = drop->rows != NULL ? drop->rows[row] : row;
    return (uint32_t)(nm_mix64(drop->key + row * NM_DROPOUT_ROW) >> 32);
}

/* 0 or scale */
static inline float drop_factor(uint32_t key, size_t j, uint32_t threshold, float scale)
{
    uint32_t bits = mix32(key ^ ((uint32_t)j * 0x9E3779B9U));
    return bits < threshold ? 0.0F : scale;
}

#endif
