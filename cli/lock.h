/* lock.h - one run a state directory, and no run before the last one's processes are gone.
 *
 * STATE/run.lock is held by nermill run itself: while it is, a second run is refused.  STATE/crew.lock is inherited
 * by every process of the run: a run whose predecessor was killed waits until the last of those has ended.  Both are
 * flock(2) locks, so the kernel lets go of them whatever dies.
 */
#ifndef NM_CLI_LOCK_H
#define NM_CLI_LOCK_H

#include <stdbool.h>

#include "common/err.h"

struct nm_run_lock {
    int own_fd, crew_fd; /* -1: not held */
};

/* nm_run_lock_take - waits up to limit_ms for the processes of an earlier run; stop (polled) cuts that short.
 * NM_EBUSY: a run is at work there, or an earlier one's processes do not end; diag has the pid.  NM_ECANCELED. */
enum nm_err nm_run_lock_take(const char *state, int limit_ms, bool (*stop)(void), struct nm_run_lock *lock,
                             struct nm_diag *diag);
void nm_run_lock_release(struct nm_run_lock *lock);

#endif
