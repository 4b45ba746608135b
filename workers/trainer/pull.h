/* pull.h - a run's samples from its aligners, over the wire, as a corpus.
 *
 * The broker's directory says which aligners there are; each serves an index and shards (schemas/shard.h), which are
 * checked by their digests.  Samples are sorted by task, so that the same run gives the same corpus however its
 * samples were spread; a task that two aligners have counts once.  Threads: one.
 */
#ifndef NM_TRAINER_PULL_H
#define NM_TRAINER_PULL_H

#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"
#include "workers/trainer/corpus.h"

struct nm_pull {
    const char *broker; /* "tcp://127.0.0.1:7711" */
    int timeout_ms;     /* for each answer */
};

/* nm_pull_corpus - the broker's project file into project, all samples into corpus (initialised), which is closed.
 * NM_ETIMEOUT: the broker, or an aligner that has samples, does not answer; NM_EFORMAT: damaged, or another run's;
 * NM_ENOENT: the run has no sample yet; NM_EVERSION; NM_ECANCELED: a signal came (nm_worker_catch_signals).
 */
enum nm_err nm_pull_corpus(const struct nm_pull *pull, struct nm_buf *project, struct nm_corpus *corpus,
                           struct nm_diag *diag);

/* nm_pull_project - the broker's project file alone.  Errors as above. */
enum nm_err nm_pull_project(const struct nm_pull *pull, struct nm_buf *project, struct nm_diag *diag);

#endif
