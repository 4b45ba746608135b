/* batch_parts.h - what the files of the offline batches share.  Internal. */
#ifndef NM_GENERATOR_BATCH_PARTS_H
#define NM_GENERATOR_BATCH_PARTS_H

#include "workers/generator/batch.h"
#include "workers/generator/generator_parts.h"

/* A job is QUEUED while it is out, ANSWERED with the judge, SENT until the broker acknowledges it. */
struct nm_batch {
    const struct nm_batch_options *options;
    struct nm_worker *worker;
    struct nm_project *project;
    struct nm_recipe *recipe;
    struct nm_spool *asked; /* what is out: task, and response without a body; created_ms 0: in no file yet */
    struct nm_spool *spool; /* answers that are not acknowledged */
    struct nm_judge *judge;
    struct nm_job_table jobs;
    struct nm_job_queue answered;
    struct nm_endpoint endpoint; /* no connection: configuration alone */
    struct nm_buf body;          /* scratch */
    size_t taken, reused, unsent;
    size_t unacknowledged; /* SENT */
};

/* nm_batch_open - join the run, open the stores; as a worker who asks for credit tasks more.  nm_batch_start - say
 * hello, and wait for the welcome. */
enum nm_err nm_batch_open(struct nm_batch *batch, const struct nm_batch_options *options, struct nm_diag *diag);
enum nm_err nm_batch_start(struct nm_batch *batch, size_t more, struct nm_diag *diag);
void nm_batch_close(struct nm_batch *batch);

/* nm_batch_ask - the body of the job's request into batch->body.  nm_batch_endpoint - use the configuration of that
 * name. NM_ENOENT: the project has none. */
enum nm_err nm_batch_ask(struct nm_batch *batch, struct nm_job *job);
enum nm_err nm_batch_endpoint(struct nm_batch *batch, const char *name, struct nm_diag *diag);

/* nm_batch_answered - the job's response is complete: to the judge, with the others.
 * nm_batch_settle - wait until every answer is in the spool, judged, and acknowledged; NM_ETIMEOUT. */
void nm_batch_answered(struct nm_batch *batch, struct nm_job *job);
enum nm_err nm_batch_settle(struct nm_batch *batch, struct nm_diag *diag);

/* nm_batch_give_back - no answer will come: out of the stores, and told to the broker. */
enum nm_err nm_batch_give_back(struct nm_batch *batch, struct nm_job *job, const struct nm_msg_failure *failure,
                               struct nm_diag *diag);

#endif
