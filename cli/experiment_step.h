/* experiment_step.h - how each step is done: what is made before, which programs run, what is made of their output.
 *
 * Each may be done again from its beginning or from wherever it was killed: programs go on by themselves, and the
 * product (nm_exp_product) is renamed into its place last.
 */
#ifndef NM_CLI_EXPERIMENT_STEP_H
#define NM_CLI_EXPERIMENT_STEP_H

#include "cli/experiment_plan.h"

enum { NM_EXP_ARGS = 72 };

struct nm_exp_command {
    const char *argv[NM_EXP_ARGS]; /* ends with NULL */
    size_t n;
    char out[NM_FILE_PATH]; /* where its output goes; "": to the log */
    struct nm_arena arena;  /* of argv */
};

/* nm_exp_prepare - what the step's programs read. */
enum nm_err nm_exp_prepare(const struct nm_exp *x, const struct nm_exp_step *step, struct nm_diag *diag);

/* nm_exp_command - the program to run in this phase, counted from 0; command->n is 0 where there is none any more.
 * command: zeroed; the caller cleans up its arena.  NM_EAUTH: an argument is the test part. */
enum nm_err nm_exp_command(const struct nm_exp *x, const struct nm_exp_step *step, unsigned phase,
                           struct nm_exp_command *command, struct nm_diag *diag);

/* nm_exp_finish - the product, from what the programs made in so many seconds. */
enum nm_err nm_exp_finish(const struct nm_exp *x, const struct nm_exp_step *step, double seconds,
                          struct nm_diag *diag);

/* nm_exp_discard - the files of a model that nothing needs any more. */
void nm_exp_discard(const struct nm_exp *x, const struct nm_exp_step *model);

#endif
