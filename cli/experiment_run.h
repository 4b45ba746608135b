/* experiment_run.h - the steps that are left, several at a time, until every wanted cell is done. */
#ifndef NM_CLI_EXPERIMENT_RUN_H
#define NM_CLI_EXPERIMENT_RUN_H

#include "cli/experiment_plan.h"

struct nm_exp_running {
    unsigned jobs;       /* at most so many at a time; one of them generates */
    bool keep_models;    /* do not discard what no cell needs any more */
    bool (*stop)(void);  /* polled: end the programs, and return */
    bool (*hurry)(void); /* kill them */
    int lock_fd;         /* programs keep it open; -1: none */
};

/* nm_exp_run - a step that fails is said and keeps only what needs it from being done.  *failed: how many did.
 * NM_ECANCELED: stopped. */
enum nm_err nm_exp_run(struct nm_exp *x, const struct nm_exp_running *running, unsigned *failed,
                       struct nm_diag *diag);

#endif
