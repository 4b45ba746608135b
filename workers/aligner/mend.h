/* mend.h - what an aligner must have and has not, or not whole, made again from the broker's response log.
 *
 * The broker knows which text stands at each place (its blob made/WORKER/PLACE) and what the sealed shards are
 * (index/WORKER).  Aligning the same texts by the same lists gives the same samples, so a shard that is made again is
 * the old one to the byte, which its digest proves; one that is not is refused.  No LLM is asked.  One thread.
 */
#ifndef NM_ALIGNER_MEND_H
#define NM_ALIGNER_MEND_H

#include "common/err.h"
#include "schemas/shard.h"
#include "workers/aligner/bio.h"
#include "workers/aligner/samples.h"
#include "workers/worker/worker.h"

/* Borrowed, all of it. */
struct nm_mend {
    struct nm_worker *worker;
    struct nm_bio *bio;
    struct nm_samples *samples;
    const struct nm_index *sealed; /* the broker's index of our shards, as nm_mend_index gave it */
    uint64_t places;               /* that the broker has given us */
    int timeout_ms;
};

/* nm_mend_index - what the broker says of our sealed shards; in arena. */
enum nm_err nm_mend_index(struct nm_worker *worker, int timeout_ms, struct nm_arena *arena, struct nm_index *index,
                          struct nm_diag *diag);

/* nm_mend_shard - make that shard whole, durable at return.  NM_EFORMAT: what comes out is not what was sealed;
 * NM_ENOENT: none of it has been given to us; NM_ETIMEOUT: the broker does not answer; others of nm_samples_mend. */
enum nm_err nm_mend_shard(const struct nm_mend *mend, uint64_t number, struct nm_diag *diag);

#endif
