/* shard.h - how finished samples travel: a shard of them, and the index that lists an aligner's shards.
 *
 * Both are blobs (BLOB_READ "shard/<number>", "index"); an aligner writes them, a trainer reads them.
 *
 * A shard, all integers little-endian:
 *     8 bytes  magic "NMSHARD1"      the digit is the version of this form
 *     u64      number
 *     u32      count
 *     count x  u32 length, then a sample record (nm_sample_encode) of that length, in sequence order
 *     u64      XXH3-64 of all before
 * Shards hold a fixed count each, but the last; a full one is sealed and never changes again.
 *
 * The index is UTF-8 text, fields parted by one TAB:
 *     nermill-index  1  RUN  SAMPLES_PER_SHARD  SAMPLES
 *     NUMBER  COUNT  BYTES  DIGEST  sealed|open        (one line a shard, in order; DIGEST: 16 hex digits, XXH3-64 of
 *                                                      the whole blob, as in BLOB_DATA)
 */
#ifndef NM_SCHEMAS_SHARD_H
#define NM_SCHEMAS_SHARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"

enum { NM_SHARD_SAMPLES_MAX = 1 << 20 };

/* Writing: begin an empty buffer, add each record, finish.  NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_shard_begin(struct nm_buf *out, uint64_t number);
enum nm_err nm_shard_add(struct nm_buf *out, const void *record, size_t len);
enum nm_err nm_shard_finish(struct nm_buf *out);

/* Reading; borrows the bytes given. */
struct nm_shard_reader {
    const unsigned char *data;
    size_t at, end;
    uint64_t number;
    uint32_t count, left;
};

/* nm_shard_open - check magic, checksum and lengths.  NM_EVERSION: another version; NM_EFORMAT: damaged. */
enum nm_err nm_shard_open(const void *data, size_t len, struct nm_shard_reader *reader, struct nm_diag *diag);

/* nm_shard_next - the next record, borrowed.  NM_ENOENT behind the last. */
enum nm_err nm_shard_next(struct nm_shard_reader *reader, const void **record, size_t *len);

struct nm_index_shard {
    uint64_t number, count, bytes, digest;
    bool sealed;
};

struct nm_index {
    const char *run;
    uint64_t shard_samples, samples;
    struct nm_index_shard *shards;
    size_t n_shards;
};

/* nm_index_encode - append the text to out.  NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_index_encode(const struct nm_index *index, struct nm_buf *out);

/* nm_index_decode - strings and list in arena.  NM_EVERSION: another version; NM_EFORMAT: diag says the line. */
enum nm_err nm_index_decode(const char *data, size_t len, struct nm_arena *arena, struct nm_index *index,
                            struct nm_diag *diag);

#endif
