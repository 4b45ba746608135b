/* pull_aligner.h - the samples of one aligner, checked against what the broker says that it must have.
 *
 * A chunk that is damaged on the wire is asked for again.  A shard that is damaged on the aligner's disk is waited
 * for: the aligner makes it again.  An aligner that dies and comes back elsewhere is found by the broker's directory,
 * and reading goes on behind the sealed shards that are in already.  One thread.
 */
#ifndef NM_TRAINER_PULL_ALIGNER_H
#define NM_TRAINER_PULL_ALIGNER_H

#include "common/arena.h"
#include "common/err.h"
#include "schemas/messages.h"
#include "workers/worker/worker.h"

struct nm_pulled {
    struct nm_msg_sample *at; /* strings and lists in arena */
    size_t n, cap;
    struct nm_arena arena;
};

/* nm_pull_aligner - append the samples of the aligner number i of directory.  timeout_ms: how long it may make no
 * progress.  NM_ETIMEOUT: it is gone, or its samples are; NM_EFORMAT: damaged for good, or another run's; NM_ENOMEM.
 */
enum nm_err nm_pull_aligner(struct nm_worker *broker, const struct nm_msg_directory *directory, size_t i,
                            int timeout_ms, struct nm_pulled *samples, struct nm_diag *diag);

#endif
