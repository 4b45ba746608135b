/* samples_impl.h - what the files samples*.c share; for nobody else. */
#ifndef NM_ALIGNER_SAMPLES_IMPL_H
#define NM_ALIGNER_SAMPLES_IMPL_H

#include "common/store.h"
#include "workers/aligner/samples.h"

enum {
    NM_SAMPLES_SEAL_LEN = 24, /* of a record in "shards": count, bytes, digest, as keys are written */
    NM_SAMPLES_SUM_LEN = 8,   /* before a sample: its XXH3-64, as keys are written */
    NM_SAMPLES_ATTEMPT_LEN = 8
};

enum change_kind { CHANGE_PUT, CHANGE_KEEP, CHANGE_DROP };

/* One that waits for its commit. */
struct change {
    enum change_kind kind;
    uint64_t task, attempt;
    uint64_t place; /* of KEEP: from 1, or 0 */
    size_t at, len; /* of PUT: the bytes in the batch, as they stand in "pending" */
};

struct nm_samples {
    struct nm_store *store;
    struct nm_db meta, pending, samples, tasks, shards;
    char run[NM_NAME_MAX + 1];
    uint64_t shard_samples;
    uint64_t next; /* the first place without a sample, as committed */
    uint64_t end;  /* one more than the last place with one */
    bool summed;   /* records have checksums */
    bool damaged;  /* a reader found this shard so, and nobody has mended it since */
    uint64_t damaged_shard;
    struct change *changes;
    size_t n_changes, changes_cap;
    struct nm_buf batch;
    struct nm_buf record; /* a copy of what is moved inside a transaction */
    struct nm_buf shard;  /* the one being sealed */
};

/* samples.c: a value is the checksum and the record. */
void nm_samples_put_sum(const struct nm_samples *s, void *value, size_t len);
bool nm_samples_check(const struct nm_samples *s, struct nm_val value, struct nm_val *record); /* false: damaged */
bool nm_samples_split_pending(struct nm_val val, uint64_t *attempt, struct nm_val *value);
enum nm_err nm_samples_put_number(struct nm_txn *txn, struct nm_db db, const char *name, uint64_t value);

/* samples_commit.c: s->next and s->end from what is there; hint: the next that was noted last. */
enum nm_err nm_samples_find_end(struct nm_samples *s, struct nm_txn *txn, uint64_t hint);

/* samples_read.c: the blob from the samples of its range.  NM_ENOENT: there are none; NM_EFORMAT: one is damaged;
 * NM_ELIMIT, NM_ENOMEM. */
enum nm_err nm_samples_build_shard(struct nm_samples *s, struct nm_txn *txn, uint64_t number, struct nm_buf *out,
                                   uint64_t *digest);
enum nm_err nm_samples_get_seal(struct nm_samples *s, struct nm_txn *txn, uint64_t number,
                                struct nm_index_shard *shard);

#endif
