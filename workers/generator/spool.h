/* spool.h - answers that were paid for and are not yet acknowledged, on disk before anything looks at them.
 *
 * An entry is the task it answers and the raw answer, both as messages; its key is (run, task, attempt), so that
 * writing it twice is writing it once.  Entries of other runs stay until a worker of that run hands them in.
 * Any thread may put and drop while another one commits; whatever reads or commits waits for the commit before it.
 */
#ifndef NM_GENERATOR_SPOOL_H
#define NM_GENERATOR_SPOOL_H

#include "common/arena.h"
#include "common/err.h"
#include "schemas/messages.h"

struct nm_spool;

struct nm_spool_entry {
    struct nm_msg_task task;
    struct nm_msg_response response; /* body, status, endpoint, ...: nothing that parsing tells */
    struct nm_str packed;            /* put: the task as a message, where it is at hand; "": it is made.  get: "" */
};

struct nm_spool_key {
    uint64_t task, attempt;
};

/* nm_spool_open - the store in dir, for this run.  Errors as nm_store_open. */
enum nm_err nm_spool_open(const char *dir, const char *run, struct nm_spool **spool, struct nm_diag *diag);
void nm_spool_close(struct nm_spool **spool);

/* nm_spool_put, nm_spool_drop - part of the next commit; the entry is copied.  NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_spool_put(struct nm_spool *spool, const struct nm_spool_entry *entry);
enum nm_err nm_spool_drop(struct nm_spool *spool, struct nm_spool_key key);

/* nm_spool_commit - everything put and dropped since the last one, in one fsync'd transaction; nothing to do is
 * NM_OK.  NM_EFULL, NM_EIO: nothing was changed on disk, and what was put stays for the next commit. */
enum nm_err nm_spool_commit(struct nm_spool *spool, struct nm_diag *diag);

/* nm_spool_get - one committed entry, decoded into arena.  NM_ENOENT; NM_EFORMAT: damaged. */
enum nm_err nm_spool_get(struct nm_spool *spool, struct nm_spool_key key, struct nm_arena *arena,
                         struct nm_spool_entry *entry, struct nm_diag *diag);

/* nm_spool_keys - all committed entries of this run, in arena; *others: how many belong to other runs. */
enum nm_err nm_spool_keys(struct nm_spool *spool, struct nm_arena *arena, struct nm_spool_key **keys, size_t *n,
                          size_t *others, struct nm_diag *diag);

#endif
