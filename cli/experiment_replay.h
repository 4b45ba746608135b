/* experiment_replay.h - generations that are answered from the log of an earlier run. */
#ifndef NM_CLI_EXPERIMENT_REPLAY_H
#define NM_CLI_EXPERIMENT_REPLAY_H

#include "cli/experiment_plan.h"

/* nm_exp_replay_find - the file with the generation's answers into path; "" where none is replayed.  NM_ENOENT: none
 * is recorded; NM_EAUTH: it is the test part. */
enum nm_err nm_exp_replay_find(const struct nm_exp *x, const struct nm_exp_step *generation, char path[NM_FILE_PATH],
                               struct nm_diag *diag);

/* nm_exp_replay_check - after its report: every request had its answer.  NM_ESTATE: some had none, and the data set
 * is another one, whatever its size. */
enum nm_err nm_exp_replay_check(const struct nm_exp *x, const struct nm_exp_step *generation, struct nm_diag *diag);

#endif
