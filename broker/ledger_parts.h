/* ledger_parts.h - the insides of a ledger, shared by the files ledger*.c only. */
#ifndef NM_BROKER_LEDGER_PARTS_H
#define NM_BROKER_LEDGER_PARTS_H

#include "broker/ledger.h"
#include "broker/map.h"
#include "broker/record.h"
#include "common/buf.h"
#include "common/store.h"

enum {
    COVERAGE_CHUNK = 64,
    ENDED_BYTES = 17,
    ENDED_BYTES_BEFORE = 9, /* without place */
    OPEN_BYTES = 26,
    OPEN_BYTES_SHARED = 29, /* with share, line and lines */
    OPEN_BYTES_KICKED = 25, /* without verify */
    OPEN_BYTES_BEFORE = 21 /* without base */,
    COMMIT_MAX = 1 << 30 /* bytes in one */
};

/* An open task's record, of this build or an older one. */
static inline bool nm_ledger_is_open(size_t bytes)
{
    return bytes == OPEN_BYTES || bytes == OPEN_BYTES_SHARED || bytes == OPEN_BYTES_KICKED ||
           bytes == OPEN_BYTES_BEFORE;
}

/* One change of the next commit; the data is in the ledger's bytes. */
struct op {
    struct nm_db db;
    struct nm_key key;
    size_t offset, len;
    bool del, clear; /* delete that key, or all of them */
    bool tally;      /* the data is what ledger_trouble.c merges with what is there */
};

/* Of an entity, beside its accepted texts. */
struct nm_ledger_trouble {
    uint32_t rejected, asked;
    uint16_t in_a_row, alone;
};

/* How a task ended. */
struct nm_ledger_end {
    enum nm_task_state state;
    uint32_t attempt, worker;
    uint64_t place; /* from 1; 0: it is no sample, or older than places */
};

/* What stands at some consecutive places of one aligner; attempt 0: not looked up, or not yet there. */
struct nm_ledger_window {
    struct nm_ledger_made *made; /* NULL: nothing was asked for */
    uint32_t worker;
    uint64_t first;
};

struct nm_ledger {
    struct nm_store *store;
    char *path;
    char run[64];
    struct nm_db settings, state, open, ended, dead, failures, notes, grants, responses, coverage, covered_since,
        workers;
    struct nm_db extra, troubled, generations, aside, shards, keys[2];
    uint64_t generation;
    uint64_t n_open, n_waiting; /* counted by nm_ledger_look */

    struct op *ops; /* of the next commit */
    size_t n_ops, cap_ops;
    struct nm_buf bytes;

    struct nm_ledger_counters counters, committed;
    struct nm_ledger_rule rules[NM_LEDGER_RULES_MAX];
    size_t n_rules;
    bool rules_changed;

    struct nm_ledger_worker *list; /* the workers, by number */
    uint32_t n_workers, cap_workers;
    bool *worker_changed;
    struct nm_map worker_of; /* hash of role and id -> number + 1 */
    struct nm_buf new_keys;  /* of the next commit: pairs of key and task */
    uint64_t n_keys;         /* records of them since the start */
    int keys_half;           /* which of keys takes them */
    struct nm_map placing;   /* task -> place, of the next commit */
    struct nm_ledger_window window;

    uint64_t entities;
    uint32_t *covered;                  /* (entities) accepted texts */
    struct nm_ledger_trouble *troubles; /* (entities) */
    uint64_t *chunks;                   /* (n_chunks) changed since they were last written */
    size_t n_chunks;
    bool *chunk_changed;
    uint32_t *changes; /* (n_changes) of the next commit: 2 x entity, + 1 for one less */
    size_t n_changes, cap_changes;
    size_t n_since, n_records; /* changes, and records of them, in covered_since */
    bool folds;                /* the next commit writes the chunks */
};

/* ledger_places.c */
bool nm_ledger_read_end(struct nm_val val, struct nm_ledger_end *end);      /* false: damaged */
void nm_ledger_read_open(struct nm_record *in, struct nm_queue_task *task); /* the task is the key's */
uint64_t nm_ledger_placing(const struct nm_ledger *ledger, uint64_t task);  /* 0: none in the next commit */

/* ledger_keys.c: into the next commit; what was collected is committed */
enum nm_err nm_ledger_collect_keys(struct nm_ledger *ledger);
void nm_ledger_forget_keys(struct nm_ledger *ledger);

/* ledger_dead.c */
enum nm_err nm_ledger_put_dead(struct nm_ledger *ledger, uint64_t task, uint32_t attempt, bool by_hand,
                               const char *why); /* the last one of a commit counts */

/* ledger_trouble.c: within a commit; at opening; an accepted text ends the row */
enum nm_err nm_ledger_apply_tally(struct nm_txn *txn, struct nm_db db, struct nm_key key, const unsigned char *data,
                                  size_t len);
enum nm_err nm_ledger_load_troubled(struct nm_ledger *ledger, uint64_t entity, struct nm_val val,
                                    struct nm_diag *diag);
enum nm_err nm_ledger_end_row(struct nm_ledger *ledger, uint64_t entity);

/* A worker's place in the list, without noting it as changed. */
enum nm_err nm_ledger_add_worker(struct nm_ledger *ledger, enum nm_queue_role role, struct nm_str id,
                                 struct nm_str endpoint, uint64_t samples);
uint64_t nm_ledger_worker_key(enum nm_queue_role role, struct nm_str id);

/* A change of the next commit; of a put, the bytes added since offset become the value of key. */
enum nm_err nm_ledger_add_op(struct nm_ledger *ledger, struct op op);
enum nm_err nm_ledger_add_put(struct nm_ledger *ledger, struct nm_db db, struct nm_key key, size_t offset);

/* ledger_renew.c: inside a transaction; write false: only what it would do */
enum nm_err nm_ledger_renew(struct nm_txn *txn, struct nm_ledger *ledger, struct nm_ledger_renewal *how,
                            const struct nm_ledger_setting *settings, size_t n, bool entities_changed, bool write,
                            struct nm_diag *diag);
enum nm_err nm_ledger_put_generation(struct nm_txn *txn, struct nm_ledger *ledger, uint64_t generation,
                                     const char *how, const struct nm_ledger_setting *settings, size_t n);

/* ledger_coverage.c */
enum nm_err nm_ledger_collect_coverage(struct nm_ledger *ledger);
void nm_ledger_forget_coverage(struct nm_ledger *ledger); /* what was collected is committed */
enum nm_err nm_ledger_load_chunk(struct nm_ledger *ledger, uint64_t chunk, struct nm_val val, struct nm_diag *diag);
enum nm_err nm_ledger_load_changes(struct nm_ledger *ledger, uint64_t number, struct nm_val val,
                                   struct nm_diag *diag);
enum nm_err nm_ledger_damaged(const struct nm_ledger *ledger, const char *what, struct nm_diag *diag);

#endif
