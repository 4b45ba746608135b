/* crew.h - the processes of a run: started, watched, started again where a signal killed them, stopped in order.
 *
 *   new -> RUNNING --(killed by a signal)--> WAITING --(back-off over)--> RUNNING
 *             |  \--(exit 0)--> ENDED          \--(too often)--> failed: the run ends
 *             |   \--(exit code)--> failed: the run ends with the last error line of its log
 *             \--(nm_crew_stop)--> ENDED
 *
 * One that was killed and then, started again, ends with NM_EXIT_STORAGE at once (its port or its store is not free
 * yet) waits like one that was killed.  A process that ran for a minute starts again with no back-off.  Not
 * thread-safe: main thread only.
 */
#ifndef NM_CLI_CREW_H
#define NM_CLI_CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct nm_crew;

enum nm_member_state { NM_MEMBER_RUNNING, NM_MEMBER_WAITING, NM_MEMBER_ENDED };

/* nm_crew_new - logs go to log_dir/NAME.log (appended); lock_fd (-1: none) stays open in every process, so that a
 * lock on it is held as long as one of them lives.  NULL: out of memory. */
struct nm_crew *nm_crew_new(const char *log_dir, int lock_fd);

/* nm_crew_on_notice - say is called with a line for the person at the terminal: who was killed and is started again.
 * It is logged anyway. */
void nm_crew_on_notice(struct nm_crew *crew, void (*say)(void *ctx, const char *line), void *ctx);

/* nm_crew_destroy - kills what still runs, at once, and waits for it. */
void nm_crew_destroy(struct nm_crew **crew);

/* nm_crew_start - a process "ROLE" or "ROLE-NUMBER" (number 0: the plain role); argv is copied.
 * Errors: as nm_process_start. */
enum nm_err nm_crew_start(struct nm_crew *crew, const char *role, unsigned number, const char *const *argv,
                          struct nm_diag *diag);

/* nm_crew_set_args - what the next start of role uses; argv is copied. */
enum nm_err nm_crew_set_args(struct nm_crew *crew, const char *role, unsigned number, const char *const *argv);

/* nm_crew_watch - look after everyone, without waiting.  An error means that a process failed for good; diag has
 * its name and its last words, *code the exit code to end with. */
enum nm_err nm_crew_watch(struct nm_crew *crew, int64_t now_ms, int *code, struct nm_diag *diag);

/* nm_crew_state, nm_crew_pid - of one process; ENDED and 0 where there is none. */
enum nm_member_state nm_crew_state(const struct nm_crew *crew, const char *role, unsigned number);
int nm_crew_pid(const struct nm_crew *crew, const char *role, unsigned number);

/* nm_crew_all_ended - true when no process of role (NULL: of any) runs or waits. */
bool nm_crew_all_ended(const struct nm_crew *crew, const char *role);

/* nm_crew_stop - SIGTERM to every process of role (NULL: all); wait for them up to limit_ms, then SIGKILL.
 * hurry (may be NULL) is polled: true cuts the waiting short. */
void nm_crew_stop(struct nm_crew *crew, const char *role, int64_t limit_ms, bool (*hurry)(void));

/* nm_crew_last_message - the last message that a process has logged since its start, for progress; warnings: the last
 * one of at least that level.  false: none. */
bool nm_crew_last_message(const struct nm_crew *crew, const char *role, unsigned number, bool warnings, char *out,
                          size_t size);

/* nm_last_words - the last error line written to the log at path behind offset: the message of a JSON line of
 * level error, else the last line that is no JSON.  false: none. */
bool nm_last_words(const char *path, long offset, char *out, size_t size);

#endif
