#include "common/store.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/store_parts.h"

enum { MAX_READERS = 64 };
static const uint64_t FIRST_MAP = 64ULL << 20;
static const uint64_t LARGEST_MAP = 1ULL << 42;

struct nm_store {
    MDB_env *env;
    char *path;
    int lock_fd; /* -1: read only */
    bool read_only;
    MDB_dbi meta;
    uint64_t commits;
    int64_t commit_us;
};

enum nm_err nm_store_translate(int rc)
{
    switch (rc) {
    case MDB_SUCCESS:
        return NM_OK;
    case MDB_NOTFOUND:
        return NM_ENOENT;
    case MDB_KEYEXIST:
        return NM_EEXIST;
    case MDB_MAP_FULL:
        return NM_EFULL;
    case MDB_VERSION_MISMATCH:
        return NM_EVERSION;
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
        return NM_EFORMAT;
    case MDB_READERS_FULL:
    case MDB_DBS_FULL:
        return NM_ELIMIT;
    case MDB_BAD_VALSIZE:
    case MDB_INCOMPATIBLE:
        return NM_EINVAL;
    default:
        return rc > 0 ? nm_err_from_errno(rc) : NM_EIO;
    }
}

static enum nm_err fail(struct nm_diag *diag, const struct nm_store *store, const char *what, int rc)
{
    enum nm_err err = nm_store_translate(rc);
    const char *advice = "";
    if (err == NM_EVERSION)
        advice = "; it was written by another LMDB format: use the nermill that made it";
    else if (err == NM_EFULL)
        advice = "; nothing was changed: free some space and start again";
    else if (err == NM_EFORMAT)
        advice = "; the file is damaged, or is no store: restore a backup";
    return nm_fail(diag, err, "store %s: cannot %s: %s%s", store->path, what, mdb_strerror(rc), advice);
}

struct nm_key nm_key_u64(uint64_t a)
{
    struct nm_key key = {.len = 8};
    for (int i = 0; i < 8; i++)
        key.bytes[i] = (unsigned char)(a >> (56 - 8 * i));
    return key;
}

struct nm_key nm_key_u64x2(uint64_t a, uint64_t b)
{
    struct nm_key key = nm_key_u64(a);
    memcpy(key.bytes + 8, nm_key_u64(b).bytes, 8);
    key.len = 16;
    return key;
}

uint64_t nm_key_part(const void *key, size_t part)
{
    const unsigned char *p = (const unsigned char *)key + 8 * part;
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | p[i];
    return value;
}

struct nm_key nm_key_text(const char *s)
{
    struct nm_key key = {.len = strnlen(s, sizeof key.bytes)};
    memcpy(key.bytes, s, key.len);
    return key;
}

/* ---- opening ----------------------------------------------------------------------------------------------------
 */

/* One writer a store, also across machines' restarts: flock goes with the process, whatever kills it. */
static enum nm_err lock(struct nm_store *store, struct nm_diag *diag)
{
    char path[4096];
    char owner[32] = "";
    if (nm_file_join(store->path, "owner.pid", path, sizeof path) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "store %s: the path is too long", store->path);
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (store->lock_fd < 0)
        return nm_fail(diag, nm_err_from_errno(errno), "store %s: cannot write there: %s", store->path,
                       strerror(errno));
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = pread(store->lock_fd, owner, sizeof owner - 1, 0);
        owner[n > 0 ? n : 0] = '\0';
        owner[strcspn(owner, "\n")] = '\0';
        return nm_fail(diag, NM_EBUSY, "store %s is in use by process %s: stop it first, or use another directory",
                       store->path, owner);
    }
    int n = snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
    if (ftruncate(store->lock_fd, 0) != 0 || pwrite(store->lock_fd, owner, (size_t)n, 0) != n)
        return nm_fail(diag, nm_err_from_errno(errno), "store %s: cannot write there: %s", store->path,
                       strerror(errno));
    return NM_OK;
}

static enum nm_err open_env(struct nm_store *store, uint64_t map_bytes, bool no_sync, struct nm_diag *diag)
{
    int rc = mdb_env_create(&store->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(store->env, NM_STORE_DBS);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(store->env, MAX_READERS);
    if (rc == 0)
        rc = mdb_env_set_mapsize(store->env, (size_t)(map_bytes != 0 ? map_bytes : FIRST_MAP));
    unsigned int flags = MDB_NOTLS | MDB_NORDAHEAD;
    if (store->read_only)
        flags |= MDB_RDONLY;
    if (no_sync)
        flags |= MDB_NOSYNC;
    if (rc == 0)
        rc = mdb_env_open(store->env, store->path, flags, 0644);
    if (rc != 0)
        return fail(diag, store, "open it", rc);
    int dead = 0;
    if (mdb_reader_check(store->env, &dead) == 0 && dead > 0) /* killed readers would keep old pages from reuse */
        nm_debug("store %s: cleared %d reader slots of dead processes", store->path, dead);
    return NM_OK;
}

struct meta_context {
    struct nm_store *store;
    const struct nm_store_options *options;
    uint32_t found;
};

static enum nm_err check_meta(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct meta_context *m = ctx;
    const struct nm_store_options *o = m->options;
    struct nm_db db = {.id = m->store->meta};
    struct nm_val kind = {0};
    struct nm_val schema = {0};
    enum nm_err err = nm_txn_get(txn, db, nm_key_text("kind"), &kind);
    if (err == NM_ENOENT && !o->read_only) {
        struct nm_key version = nm_key_u64(o->schema);
        m->found = o->schema;
        err = nm_txn_put(txn, db, nm_key_text("kind"), o->kind, strlen(o->kind));
        return err == NM_OK ? nm_txn_put(txn, db, nm_key_text("schema"), version.bytes, 8) : err;
    }
    if (err == NM_OK)
        err = nm_txn_get(txn, db, nm_key_text("schema"), &schema);
    if (err != NM_OK || schema.len != 8)
        return nm_fail(diag, NM_EFORMAT, "store %s was not made by nermill", o->path);
    if (kind.data == NULL || kind.len != strlen(o->kind) || memcmp(kind.data, o->kind, kind.len) != 0)
        return nm_fail(diag, NM_EFORMAT, "store %s holds a %.*s, not a %s: give another directory", o->path,
                       (int)kind.len, (const char *)kind.data, o->kind);
    uint64_t version = nm_key_part(schema.data, 0);
    if (version > o->schema)
        return nm_fail(
            diag, NM_EVERSION,
            "store %s has version %llu, this nermill reads up to %u: install the newer nermill that made it", o->path,
            (unsigned long long)version, o->schema);
    m->found = (uint32_t)version;
    return NM_OK;
}

static enum nm_err open_meta(struct nm_store *store, const struct nm_store_options *options, uint32_t *found,
                             struct nm_diag *diag)
{
    struct nm_db meta = {0};
    enum nm_err err = nm_store_db(store, "nermill", &meta, diag);
    if (err == NM_ENOENT)
        return nm_fail(diag, NM_EFORMAT, "store %s was not made by nermill", store->path);
    if (err != NM_OK)
        return err;
    store->meta = meta.id;
    struct meta_context m = {.store = store, .options = options};
    err =
        options->read_only ? nm_store_read(store, check_meta, &m, diag) : nm_store_write(store, check_meta, &m, diag);
    if (err == NM_OK && found != NULL)
        *found = m.found;
    return err;
}

enum nm_err nm_store_open(const struct nm_store_options *options, struct nm_store **out, uint32_t *schema_found,
                          struct nm_diag *diag)
{
    *out = NULL;
    char data[4096];
    struct nm_store *store = calloc(1, sizeof *store);
    if (store == NULL || (store->path = strdup(options->path)) == NULL) {
        free(store);
        return nm_fail(diag, NM_ENOMEM, "store %s: out of memory", options->path);
    }
    store->lock_fd = -1;
    store->read_only = options->read_only;
    enum nm_err err = NM_OK;
    if (!options->read_only)
        err = nm_file_make_dirs(options->path, diag);
    else if (nm_file_join(options->path, "data.mdb", data, sizeof data) != NM_OK || !nm_file_exists(data))
        err = nm_fail(diag, NM_ENOENT, "no store at %s", options->path);
    if (err == NM_OK && !options->read_only)
        err = lock(store, diag);
    if (err == NM_OK && !options->read_only)
        err = nm_store_make(options->path, diag);
    if (err == NM_OK)
        err = open_env(store, options->map_bytes, options->no_sync, diag);
    if (err == NM_OK)
        err = open_meta(store, options, schema_found, diag);
    if (err != NM_OK) {
        nm_store_close(&store);
        return err;
    }
    *out = store;
    return NM_OK;
}

void nm_store_close(struct nm_store **store)
{
    struct nm_store *s = *store;
    if (s == NULL)
        return;
    if (s->env != NULL)
        mdb_env_close(s->env);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    free(s->path);
    free(s);
    *store = NULL;
}

enum nm_err nm_store_dbs(struct nm_store *store, const struct nm_named_db *list, size_t n, struct nm_diag *diag)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(store->env, NULL, store->read_only ? MDB_RDONLY : 0, &txn);
    if (rc != 0)
        return fail(diag, store, "begin a transaction", rc);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = mdb_dbi_open(txn, list[i].name, store->read_only ? 0 : MDB_CREATE, &list[i].db->id);
    if (rc != 0)
        mdb_txn_abort(txn);
    else
        rc = mdb_txn_commit(txn);
    return rc == 0 ? NM_OK : fail(diag, store, "open a database", rc);
}

enum nm_err nm_store_db(struct nm_store *store, const char *name, struct nm_db *db, struct nm_diag *diag)
{
    const struct nm_named_db one = {name, db};
    return nm_store_dbs(store, &one, 1, diag);
}

/* ---- transactions ------------------------------------------------------------------------------------------------
 */

static enum nm_err grow(struct nm_store *store, struct nm_diag *diag)
{
    MDB_envinfo info;
    int rc = mdb_env_info(store->env, &info);
    if (rc == 0 && info.me_mapsize >= LARGEST_MAP)
        rc = MDB_MAP_FULL;
    if (rc == 0)
        rc = mdb_env_set_mapsize(store->env, info.me_mapsize * 2);
    if (rc != 0)
        return fail(diag, store, "grow its map", rc);
    nm_debug("store %s: map grown to %zu MiB", store->path, (info.me_mapsize * 2) >> 20);
    return NM_OK;
}

/* LMDB reports the short write of a disk that has just become full, or of a file size limit, as EIO. */
static bool out_of_space(const struct nm_store *store)
{
    enum { NEARLY = 4 << 20 }; /* bytes; a commit writes its pages in pieces of up to 256 KiB */
    struct statvfs fs;
    struct rlimit limit;
    MDB_envinfo info;
    MDB_stat stat;
    if (statvfs(store->path, &fs) == 0 && fs.f_bavail * fs.f_frsize < NEARLY)
        return true;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        mdb_env_info(store->env, &info) != 0 || mdb_env_stat(store->env, &stat) != 0)
        return false;
    return (info.me_last_pgno + 1) * stat.ms_psize + NEARLY > limit.rlim_cur;
}

static enum nm_err write_once(struct nm_store *store, nm_txn_fn fn, void *ctx, bool *map_full, struct nm_diag *diag)
{
    struct nm_txn txn = {0};
    *map_full = false;
    int rc = mdb_txn_begin(store->env, NULL, 0, &txn.mdb);
    if (rc == MDB_MAP_RESIZED) { /* another process grew it */
        rc = mdb_env_set_mapsize(store->env, 0);
        if (rc == 0)
            rc = mdb_txn_begin(store->env, NULL, 0, &txn.mdb);
    }
    if (rc != 0)
        return fail(diag, store, "begin a transaction", rc);
    enum nm_err err = fn(&txn, ctx, diag);
    if (err != NM_OK || txn.map_full) {
        mdb_txn_abort(txn.mdb);
        *map_full = txn.map_full;
        return txn.map_full ? NM_EFULL : err;
    }
    int64_t start = nm_clock_mono_us();
    rc = mdb_txn_commit(txn.mdb);
    if (rc == MDB_MAP_FULL)
        *map_full = true;
    if (rc == EIO && out_of_space(store))
        rc = ENOSPC;
    if (rc != 0)
        return fail(diag, store, "commit", rc);
    store->commit_us = nm_clock_mono_us() - start;
    store->commits++;
    return NM_OK;
}

enum nm_err nm_store_write(struct nm_store *store, nm_txn_fn fn, void *ctx, struct nm_diag *diag)
{
    for (;;) {
        bool map_full;
        enum nm_err err = write_once(store, fn, ctx, &map_full, diag);
        if (!map_full)
            return err;
        err = grow(store, diag);
        if (err != NM_OK)
            return err;
    }
}

enum nm_err nm_store_read(struct nm_store *store, nm_txn_fn fn, void *ctx, struct nm_diag *diag)
{
    struct nm_txn txn = {0};
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn.mdb);
    if (rc == MDB_MAP_RESIZED) {
        rc = mdb_env_set_mapsize(store->env, 0);
        if (rc == 0)
            rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn.mdb);
    }
    if (rc != 0)
        return fail(diag, store, "read", rc);
    enum nm_err err = fn(&txn, ctx, diag);
    mdb_txn_abort(txn.mdb);
    return err;
}

static enum nm_err put(struct nm_txn *txn, struct nm_db db, struct nm_key key, const void *data, size_t len,
                       unsigned int flags)
{
    MDB_val k = nm_store_key(&key);
    MDB_val v = {.mv_size = len, .mv_data = (void *)(uintptr_t)data}; /* LMDB only reads it */
    bool kept = db.id < sizeof txn->cursors / sizeof txn->cursors[0]; /* a cursor is kept for it */
    int rc = kept && !txn->cursors[db.id] ? mdb_cursor_open(txn->mdb, db.id, &txn->cursors[db.id]) : 0;
    if (rc == 0)
        rc = kept ? mdb_cursor_put(txn->cursors[db.id], &k, &v, flags) : mdb_put(txn->mdb, db.id, &k, &v, flags);
    if (rc == MDB_MAP_FULL)
        txn->map_full = true;
    else if (rc != 0 && rc != MDB_KEYEXIST)
        nm_error("store: put failed: %s", mdb_strerror(rc));
    return nm_store_translate(rc);
}

enum nm_err nm_txn_put(struct nm_txn *txn, struct nm_db db, struct nm_key key, const void *data, size_t len)
{
    return put(txn, db, key, data, len, 0);
}

enum nm_err nm_txn_put_new(struct nm_txn *txn, struct nm_db db, struct nm_key key, const void *data, size_t len)
{
    return put(txn, db, key, data, len, MDB_NOOVERWRITE);
}

enum nm_err nm_txn_get(struct nm_txn *txn, struct nm_db db, struct nm_key key, struct nm_val *val)
{
    MDB_val k = nm_store_key(&key);
    MDB_val v;
    int rc = mdb_get(txn->mdb, db.id, &k, &v);
    if (rc == 0)
        *val = (struct nm_val){.data = v.mv_data, .len = v.mv_size};
    return nm_store_translate(rc);
}

enum nm_err nm_txn_del(struct nm_txn *txn, struct nm_db db, struct nm_key key)
{
    MDB_val k = nm_store_key(&key);
    int rc = mdb_del(txn->mdb, db.id, &k, NULL);
    if (rc == MDB_MAP_FULL)
        txn->map_full = true;
    return nm_store_translate(rc);
}

enum nm_err nm_txn_clear(struct nm_txn *txn, struct nm_db db)
{
    int rc = mdb_drop(txn->mdb, db.id, 0);
    if (rc == MDB_MAP_FULL)
        txn->map_full = true;
    return nm_store_translate(rc);
}

enum nm_err nm_txn_count(struct nm_txn *txn, struct nm_db db, uint64_t *count)
{
    MDB_stat stat;
    int rc = mdb_stat(txn->mdb, db.id, &stat);
    if (rc == 0)
        *count = stat.ms_entries;
    return nm_store_translate(rc);
}

enum nm_err nm_store_set_sync(struct nm_store *store, bool each_commit, struct nm_diag *diag)
{
    int rc = mdb_env_set_flags(store->env, MDB_NOSYNC, !each_commit);
    return rc == 0 ? NM_OK : fail(diag, store, "change how it is synced", rc);
}

enum nm_err nm_store_sync(struct nm_store *store, struct nm_diag *diag)
{
    int rc = mdb_env_sync(store->env, 1);
    return rc == 0 ? NM_OK : fail(diag, store, "sync it", rc);
}

enum nm_err nm_store_copy(struct nm_store *store, const char *to, struct nm_diag *diag)
{
    return nm_store_copy_env(store->env, store->path, to, diag);
}

uint64_t nm_store_commits(const struct nm_store *store)
{
    return store->commits;
}

int64_t nm_store_commit_us(const struct nm_store *store)
{
    return store->commit_us;
}
