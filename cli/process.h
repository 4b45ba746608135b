/* process.h - our other programs: find them as git finds its own, become one, start one.
 *
 * A started process is in a process group of its own (Ctrl-C reaches it through us alone) and gets SIGTERM from the
 * kernel when the thread that started it dies, whatever kills us: call from the main thread.
 */
#ifndef NM_CLI_PROCESS_H
#define NM_CLI_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

enum { NM_PATH_MAX = 4096 };

/* nm_program_find - where program name ("nermill-broker") is: in the directory of this executable, then in PATH;
 * a name that begins with / is taken as it is.
 * NM_ENOENT: diag says where it was looked for. */
enum nm_err nm_program_find(const char *name, char *out, size_t size, struct nm_diag *diag);

/* nm_program_become - replace this process by program name; argv[0] is set to its path.  Returns only on failure,
 * with the exit code, after a line on stderr. */
int nm_program_become(const char *name, char **argv);

struct nm_spawn {
    const char *const *argv;   /* argv[0]: a program name for nm_program_find; ends with NULL */
    int in_fd, out_fd, err_fd; /* what it gets as 0, 1, 2; -1: /dev/null for 0 and 1, ours for 2 */
    int inherit_fd;            /* one more descriptor that it keeps open; -1: none */
};

/* nm_process_start - NM_ENOENT: no such program; else errno of fork or exec; diag says which. */
enum nm_err nm_process_start(const struct nm_spawn *spawn, pid_t *pid, struct nm_diag *diag);

/* nm_process_wait - until pid has ended; its exit code, or 128 + the signal that killed it. */
int nm_process_wait(pid_t pid);

/* nm_process_capture - run argv to its end, what it prints on stdout appended to out (on stderr: passed through).
 * *code: its exit code.  Errors: as nm_process_start, NM_ELIMIT where out is full. */
enum nm_err nm_process_capture(const char *const *argv, struct nm_buf *out, int *code, struct nm_diag *diag);

/* nm_process_capture_from - the same with in_fd as its stdin (-1: /dev/null). */
enum nm_err nm_process_capture_from(int in_fd, const char *const *argv, struct nm_buf *out, int *code,
                                    struct nm_diag *diag);

#endif
