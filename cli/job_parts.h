/* job_parts.h - what job*.c share.  Internal. */
#ifndef NM_CLI_JOB_PARTS_H
#define NM_CLI_JOB_PARTS_H

#include "cli/job.h"

enum { NM_JOB_TICK_MS = 250 };

/* nm_job_tick - one turn of any waiting: look after the processes, sleep a little.  NM_ECANCELED: we are to stop. */
enum nm_err nm_job_tick(struct nm_job *job, int ms, struct nm_diag *diag);

#endif
