/* generator_parts.h - what the files of the generator's loop share.  Internal. */
#ifndef NM_GENERATOR_PARTS_H
#define NM_GENERATOR_PARTS_H

#include "common/buf.h"
#include "workers/generator/constraint.h"
#include "workers/generator/generator.h"
#include "workers/generator/job.h"
#include "workers/generator/judge.h"
#include "workers/generator/llm.h"
#include "workers/generator/pool.h"
#include "workers/generator/recipe.h"
#include "workers/generator/spool.h"
#include "workers/worker/worker.h"

struct nm_generator {
    const struct nm_generator_options *options;
    struct nm_worker *worker;
    struct nm_project *project;
    struct nm_recipe *recipe;
    struct nm_pool pool;
    struct nm_llm *llm;
    struct nm_spool *spool;
    struct nm_judge *judge;
    struct nm_job_table jobs;
    struct nm_job_queue waiting;  /* QUEUED, for any endpoint */
    struct nm_job_queue *named;   /* (pool.n) QUEUED, for that one */
    struct nm_job_queue answered; /* ANSWERED: the judge's next batch */
    struct nm_job_queue failed;   /* FAILED: not yet sent */
    struct nm_buf body;           /* scratch: request bodies, frames */
    size_t most;                  /* calls in flight at most */
    int64_t lease_ms;             /* how long the broker waits for a silent worker */
    bool hand_in;                 /* something SENT has not gone out, or has to go out again */
    bool drops;                   /* acknowledged entries wait to leave the spool */
    bool leaving, done;
    bool told_circuits; /* since the last welcome */
    bool replays;       /* the project does: no call is ever made */
    int64_t leave_by, quiet_since, tick_at, report_at;
    enum nm_err fatal; /* why it leaves, if not at will */
    struct nm_diag why;
    uint64_t calls, answers, accepted, failures;
};

/* generator.c: nm_generator_fetch - the broker's project, and the recipe made of it, which borrows it. */
enum nm_err nm_generator_fetch(struct nm_worker *worker, struct nm_project **project, struct nm_recipe **recipe,
                               struct nm_diag *diag);

/* calls.c: from a queued job to its verdict. */
void nm_generator_start_calls(struct nm_generator *g);
/* nm_generator_queue - where a job waits; nm_generator_waiting - how many do; nm_generator_unsent - all of those back
 * to the broker, which gets back what it had reserved for their calls. */
struct nm_job_queue *nm_generator_queue(struct nm_generator *g, const struct nm_job *job);
size_t nm_generator_waiting(const struct nm_generator *g);
void nm_generator_unsent(struct nm_generator *g, struct nm_job_queue *queue, const char *why, bool fatal);
void nm_generator_on_done(void *ctx, void *call, const struct nm_llm_outcome *outcome);
/* nm_generator_settle - pass on what the judge has finished and give it what was answered; where nothing was, and
 * drops is set, what waits to leave the spool.  nm_generator_settle_all - and wait until nothing is left. */
void nm_generator_settle(struct nm_generator *g, bool drops);
void nm_generator_settle_all(struct nm_generator *g);

/* nm_generator_ask - the body of the job's request to that endpoint into g->body; the rest that is to be remembered
 * into the job.  nm_generator_keep_answer - what is known of an answer before its body is parsed, into the job; rule:
 * of an answer that is not to be judged; "": it is.  NM_ENOMEM. */
enum nm_err nm_generator_ask(struct nm_generator *g, struct nm_job *job, struct nm_endpoint *endpoint);
enum nm_err nm_generator_keep_answer(struct nm_job *job, const struct nm_llm_outcome *outcome, const char *rule,
                                     const char *detail);

/* reuse.c: what is on record.  nm_generator_key_request - the keys of a request with that body to that endpoint, into
 * the job.  nm_generator_reuse - true: the task came with the answer to its very request, and is ANSWERED by that.
 * nm_generator_replay - it is ANSWERED by what the task came with, or by that there is nothing; no call is made. */
void nm_generator_key_request(struct nm_job *job, const struct nm_project_endpoint *endpoint, struct nm_str body);
bool nm_generator_reuse(struct nm_generator *g, struct nm_job *job);
void nm_generator_replay(struct nm_generator *g, struct nm_job *job);
/* nm_generator_read_shared - true: its sentence is in the answer to a call that it shared, and it is ANSWERED by
 * that. */
bool nm_generator_read_shared(struct nm_generator *g, struct nm_job *job);

/* circuits.c: nm_generator_tell_circuits - the broker how the circuit breakers stand, where that is news. */
void nm_generator_tell_circuits(struct nm_generator *g, int64_t now);

/* intake.c: what the broker says, and handing in. */
enum nm_err nm_generator_holding(void *ctx, struct nm_arena *arena, struct nm_msg_hold **items, size_t *n);
enum nm_err nm_generator_welcome(void *ctx, const struct nm_msg_welcome *welcome);
enum nm_err nm_generator_message(void *ctx, const struct nm_msg *msg);
enum nm_err nm_generator_recover(struct nm_generator *g, struct nm_diag *diag); /* the spool's entries become jobs */
void nm_generator_send_failed(struct nm_generator *g);
void nm_generator_hand_in(struct nm_generator *g, int64_t now); /* again what was not acknowledged */
void nm_generator_fail(struct nm_generator *g, struct nm_job *job, const struct nm_chat_fault *fault,
                       int64_t pause_ms, long status);
enum nm_err nm_generator_send_response(struct nm_generator *g, struct nm_job *job, struct nm_str frame);

#endif
