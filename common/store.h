/* store.h - LMDB with typed keys, one fsync a group, a map that grows, and a schema version (owns LMDB).
 *
 * All writing goes through nm_store_write: the function given runs inside one write transaction and may be run
 * again from the start (the map was full and has been grown), so it must not change anything outside the
 * transaction that a second run would spoil.  Put many changes into one call: that is the group commit.
 * A store is one directory, opened for writing by one process at a time; readers in other processes never block.
 * One thread at a time a store.
 */
#ifndef NM_COMMON_STORE_H
#define NM_COMMON_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct nm_store;
struct nm_txn;
struct nm_cursor;

struct nm_store_options {
    const char *path;   /* a directory; made if absent and not read_only */
    const char *kind;   /* "ledger": kept in the store, another kind is refused */
    uint32_t schema;    /* of the records in it; a newer one is refused in words, an older one handed to the caller */
    bool read_only;     /* beside a live writer */
    bool no_sync;       /* commits survive the process but not the machine */
    uint64_t map_bytes; /* first size of the map; 0: 64 MiB; doubles when full */
};

/* A named database in a store. */
struct nm_db {
    unsigned int id;
};

/* Keys sort as numbers do. */
struct nm_key {
    unsigned char bytes[24];
    size_t len;
};
struct nm_key nm_key_u64(uint64_t a);
struct nm_key nm_key_u64x2(uint64_t a, uint64_t b);
uint64_t nm_key_part(const void *key, size_t part); /* part 0 or 1 of such a key's bytes */

/* Borrowed bytes, valid until the transaction ends or the next write in it. */
struct nm_val {
    const void *data;
    size_t len;
};

/* nm_store_open - NM_EVERSION: of a newer nermill; NM_EBUSY: another process writes here (diag says which);
 * NM_EFORMAT: not a store, or of another kind; NM_EFULL, NM_EAUTH, NM_EIO, NM_ENOENT (read_only).
 * schema_found (may be NULL) receives the version on disk, so that the caller can migrate an older one. */
enum nm_err nm_store_open(const struct nm_store_options *options, struct nm_store **store, uint32_t *schema_found,
                          struct nm_diag *diag);
void nm_store_close(struct nm_store **store);

/* nm_store_dbs - open (or make) named databases, all of them by one commit, or none.  Before any transaction.
 * read_only and absent: NM_ENOENT.  nm_store_db - the same for one. */
struct nm_named_db {
    const char *name;
    struct nm_db *db;
};
enum nm_err nm_store_dbs(struct nm_store *store, const struct nm_named_db *list, size_t n, struct nm_diag *diag);
enum nm_err nm_store_db(struct nm_store *store, const char *name, struct nm_db *db, struct nm_diag *diag);

/* nm_store_write - run fn in one durable write transaction; any error from fn aborts it and is returned.
 * NM_EFULL: the disk is full, nothing was changed.  nm_store_read - the same, reading one consistent snapshot. */
typedef enum nm_err (*nm_txn_fn)(struct nm_txn *txn, void *ctx, struct nm_diag *diag);
enum nm_err nm_store_write(struct nm_store *store, nm_txn_fn fn, void *ctx, struct nm_diag *diag);
enum nm_err nm_store_read(struct nm_store *store, nm_txn_fn fn, void *ctx, struct nm_diag *diag);

/* nm_store_set_sync - whether each commit is forced to the disk from now on (as opened: unless no_sync).
 * nm_store_sync - force what is committed to the disk.  NM_EIO, NM_EFULL. */
enum nm_err nm_store_set_sync(struct nm_store *store, bool each_commit, struct nm_diag *diag);
enum nm_err nm_store_sync(struct nm_store *store, struct nm_diag *diag);

/* nm_store_copy - the store as of one moment, compacted, into the new directory `to`, beside a live writer too: it is
 * there whole and on the disk, or not at all (a copy that was cut off is left as to.partial, and removed by the
 * next).  Old pages are kept from reuse meanwhile.  NM_EEXIST: to is there; NM_EFULL, NM_EAUTH, NM_EIO. */
enum nm_err nm_store_copy(struct nm_store *store, const char *to, struct nm_diag *diag);

/* Inside a transaction.  get and del: NM_ENOENT where there is none.  put replaces; put_new: NM_EEXIST. */
enum nm_err nm_txn_put(struct nm_txn *txn, struct nm_db db, struct nm_key key, const void *data, size_t len);
enum nm_err nm_txn_put_new(struct nm_txn *txn, struct nm_db db, struct nm_key key, const void *data, size_t len);
enum nm_err nm_txn_get(struct nm_txn *txn, struct nm_db db, struct nm_key key, struct nm_val *val);
enum nm_err nm_txn_del(struct nm_txn *txn, struct nm_db db, struct nm_key key);
/* nm_txn_clear - delete everything in db. */
enum nm_err nm_txn_clear(struct nm_txn *txn, struct nm_db db);
enum nm_err nm_txn_count(struct nm_txn *txn, struct nm_db db, uint64_t *count);

/* Short text keys, for settings ("run"). At most 24 bytes. */
struct nm_key nm_key_text(const char *s);

/* Walk in key order: seek to the first key >= from (NULL: the first), then next; NM_ENOENT behind the last. */
enum nm_err nm_cursor_open(struct nm_txn *txn, struct nm_db db, struct nm_cursor **cursor);
enum nm_err nm_cursor_seek(struct nm_cursor *cursor, const struct nm_key *from, struct nm_val *key,
                           struct nm_val *val);
enum nm_err nm_cursor_next(struct nm_cursor *cursor, struct nm_val *key, struct nm_val *val);
void nm_cursor_close(struct nm_cursor **cursor);

/* nm_store_commits, nm_store_commit_us - how many commits so far, and the last one's time in microseconds. */
uint64_t nm_store_commits(const struct nm_store *store);
int64_t nm_store_commit_us(const struct nm_store *store);

#endif
