/* samples_impl.h - what samples.c (writing) and samples_read.c (shards, walks) share; for nobody else. */
#ifndef NM_ALIGNER_SAMPLES_IMPL_H
#define NM_ALIGNER_SAMPLES_IMPL_H

#include "common/store.h"
#include "workers/aligner/samples.h"

enum { NM_SAMPLES_SEAL_LEN = 24 }; /* of a record in "shards": count, bytes, digest, as keys are written */

struct change; /* one that waits for its commit */

struct nm_samples {
    struct nm_store *store;
    struct nm_db meta, pending, samples, tasks, shards;
    char run[NM_NAME_MAX + 1];
    uint64_t shard_samples;
    uint64_t next; /* sequence of the next sample, as committed */
    struct change *changes;
    size_t n_changes, changes_cap;
    struct nm_buf batch;
    struct nm_buf record; /* a copy of what is moved inside a transaction */
    struct nm_buf shard;  /* the one being sealed */
};

/* nm_samples_build_shard - the blob from the samples of its range.  NM_ENOENT: there are none; NM_ELIMIT, NM_ENOMEM.
 */
enum nm_err nm_samples_build_shard(struct nm_samples *s, struct nm_txn *txn, uint64_t number, struct nm_buf *out,
                                   uint64_t *digest);

#endif
