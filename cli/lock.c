#include "cli/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "cli/process.h"
#include "common/clock.h"
#include "common/file.h"

static enum nm_err open_lock(const char *state, const char *name, int *fd, struct nm_diag *diag)
{
    char path[NM_PATH_MAX];
    enum nm_err err = nm_file_join(state, name, path, sizeof path);
    if (err != NM_OK)
        return nm_fail(diag, err, "%.200s: the path is too long", state);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    return *fd >= 0 ? NM_OK : nm_fail(diag, nm_err_from_errno(errno), "%s: %s", path, strerror(errno));
}

enum nm_err nm_run_lock_take(const char *state, int limit_ms, bool (*stop)(void), struct nm_run_lock *lock,
                             struct nm_diag *diag)
{
    lock->own_fd = lock->crew_fd = -1;
    enum nm_err err = open_lock(state, "run.lock", &lock->own_fd, diag);
    if (err == NM_OK && flock(lock->own_fd, LOCK_EX | LOCK_NB) != 0) {
        char pid[32] = "";
        ssize_t len = pread(lock->own_fd, pid, sizeof pid - 1, 0);
        pid[len > 0 ? strcspn(pid, "\n") : 0] = '\0';
        err = nm_fail(diag, NM_EBUSY, "a run is already at work in %s (process %s); 'nermill status' shows it", state,
                      pid);
    }
    if (err == NM_OK)
        err = open_lock(state, "crew.lock", &lock->crew_fd, diag);
    if (err != NM_OK)
        goto out;
    char pid[32];
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(lock->own_fd, 0) != 0 || pwrite(lock->own_fd, pid, (size_t)len, 0) != len) {
        err = nm_fail(diag, nm_err_from_errno(errno), "%s/run.lock: %s", state, strerror(errno));
        goto out;
    }
    int64_t end_ms = nm_clock_mono_ms() + limit_ms;
    bool told = false;
    while (flock(lock->crew_fd, LOCK_EX | LOCK_NB) != 0) {
        if (!told)
            fprintf(stderr, "nermill run: waiting for the processes of an earlier run to end\n");
        told = true;
        if (stop != NULL && stop()) {
            err = nm_fail(diag, NM_ECANCELED, "stopped");
            goto out;
        }
        if (nm_clock_mono_ms() > end_ms) {
            err = nm_fail(diag, NM_EBUSY,
                          "processes of an earlier run still work in %s after %d s (fuser %s/crew.lock lists them)",
                          state, limit_ms / 1000, state);
            goto out;
        }
        nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    }
out:
    if (err != NM_OK)
        nm_run_lock_release(lock);
    return err;
}

void nm_run_lock_release(struct nm_run_lock *lock)
{
    if (lock->crew_fd >= 0)
        close(lock->crew_fd);
    if (lock->own_fd >= 0)
        close(lock->own_fd);
    lock->own_fd = lock->crew_fd = -1;
}
