/* hash.h - content keys and checksums (XXH3), and seeded randomness that is the same everywhere. */
#ifndef NM_COMMON_HASH_H
#define NM_COMMON_HASH_H

#include <stddef.h>
#include <stdint.h>

struct nm_hash128 {
    uint64_t hi, lo;
};

/* XXH3-64 and XXH3-128 of len bytes: stable across machines and versions.  Not for secrets. */
uint64_t nm_hash64(const void *data, size_t len, uint64_t seed);
struct nm_hash128 nm_hash128(const void *data, size_t len);

/* nm_hash128_hex - 32 lower-case hex digits and a NUL. */
void nm_hash128_hex(struct nm_hash128 hash, char out[33]);

/* A stream over many pieces; equal to nm_hash64 with seed 0 of their concatenation. */
struct nm_hash_stream;
struct nm_hash_stream *nm_hash_stream_new(void); /* NULL: out of memory */
void nm_hash_stream_add(struct nm_hash_stream *stream, const void *data, size_t len);
uint64_t nm_hash_stream_digest(const struct nm_hash_stream *stream);
void nm_hash_stream_destroy(struct nm_hash_stream **stream);

/* nm_mix64 - splitmix64's finaliser, a bijection on 64 bits (Steele, Lea, Flood 2014). */
uint64_t nm_mix64(uint64_t x);

/* xoshiro256** (Blackman, Vigna 2018), seeded by splitmix64: the same sequence on every machine. */
struct nm_rng {
    uint64_t s[4];
};
void nm_rng_init(struct nm_rng *rng, uint64_t seed);
uint64_t nm_rng_next(struct nm_rng *rng);
uint64_t nm_rng_below(struct nm_rng *rng, uint64_t n); /* uniform in [0,n), unbiased; n > 0 */
double nm_rng_unit(struct nm_rng *rng);                /* uniform in [0,1), 53 bits */

#endif
