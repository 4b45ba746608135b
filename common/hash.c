#include "common/hash.h"

#include <stdio.h>
#include <xxhash.h>

uint64_t nm_hash64(const void *data, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

struct nm_hash128 nm_hash128(const void *data, size_t len)
{
    XXH128_hash_t h = XXH3_128bits(data, len);
    return (struct nm_hash128){.hi = h.high64, .lo = h.low64};
}

void nm_hash128_hex(struct nm_hash128 hash, char out[33])
{
    (void)snprintf(out, 33, "%016llx%016llx", (unsigned long long)hash.hi, (unsigned long long)hash.lo);
}

struct nm_hash_stream *nm_hash_stream_new(void)
{
    XXH3_state_t *state = XXH3_createState();
    if (state != NULL)
        (void)XXH3_64bits_reset(state);
    return (struct nm_hash_stream *)state;
}

void nm_hash_stream_add(struct nm_hash_stream *stream, const void *data, size_t len)
{
    (void)XXH3_64bits_update((XXH3_state_t *)stream, data, len);
}

uint64_t nm_hash_stream_digest(const struct nm_hash_stream *stream)
{
    return XXH3_64bits_digest((const XXH3_state_t *)stream);
}

void nm_hash_stream_destroy(struct nm_hash_stream **stream)
{
    (void)XXH3_freeState((XXH3_state_t *)*stream);
    *stream = NULL;
}

uint64_t nm_mix64(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

void nm_rng_init(struct nm_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15U;
        rng->s[i] = nm_mix64(seed);
    }
}

static uint64_t rotate_left(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t nm_rng_next(struct nm_rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t nm_rng_below(struct nm_rng *rng, uint64_t n)
{
    uint64_t threshold = -n % n; /* values below it would make small results likelier */
    for (;;) {
        uint64_t x = nm_rng_next(rng);
        if (x >= threshold)
            return x % n;
    }
}

double nm_rng_unit(struct nm_rng *rng)
{
    return (double)(nm_rng_next(rng) >> 11) * 0x1.0p-53;
}
