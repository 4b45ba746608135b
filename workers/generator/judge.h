/* judge.h - the thread on which answers reach the disk and get their verdicts, while the calls go on.
 *
 * One batch at a time.  Between give and take the jobs of the batch are the thread's alone: it puts them into the
 * spool, commits, and only then parses and validates them.  What arrives meanwhile is the next batch, so that a slow
 * disk makes groups larger and keeps no endpoint waiting.
 *
 *     IDLE --give--> BUSY --commit, verdicts--> FINISHED --take--> IDLE
 *
 * give, take and busy: one thread.  Internal to the generator.
 */
#ifndef NM_GENERATOR_JUDGE_H
#define NM_GENERATOR_JUDGE_H

#include "workers/generator/job.h"
#include "workers/generator/recipe.h"
#include "workers/generator/spool.h"

struct nm_judge;

/* nm_judge_new - spool and recipe are borrowed.  NM_ENOMEM, NM_EIO: no thread can be had. */
enum nm_err nm_judge_new(struct nm_spool *spool, const struct nm_recipe *recipe, struct nm_judge **judge,
                         struct nm_diag *diag);

/* nm_judge_destroy - waits for the batch, which is then in the spool; its jobs are the caller's again. */
void nm_judge_destroy(struct nm_judge **judge);

/* nm_judge_busy - a batch was given and not yet taken. */
bool nm_judge_busy(const struct nm_judge *judge);

/* nm_judge_give - all of batch, which is empty afterwards; not while busy.  Without a job, only the spool is
 * committed: what was dropped leaves it. */
void nm_judge_give(struct nm_judge *judge, struct nm_job_queue *batch);

/* nm_judge_take - the batch, if it is finished (true): each job's response says the verdict, or its judged why there
 * is none.  spooled: NM_OK, or why the batch is not on the disk (why says it to a person). */
bool nm_judge_take(struct nm_judge *judge, struct nm_job_queue *batch, enum nm_err *spooled, struct nm_diag *why);

int nm_judge_fd(const struct nm_judge *judge); /* readable when a batch is finished */

#endif
