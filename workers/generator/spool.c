#include "workers/generator/spool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/hash.h"
#include "common/store.h"

enum { SCHEMA = 1, PENDING_MAX = 256 << 20 };

/* One change that waits for the commit; value bytes stand in its group's buffer. */
struct change {
    struct nm_key key;
    size_t start, len; /* len 0: drop */
};

struct group {
    struct change *changes;
    size_t n, cap;
    struct nm_buf bytes;
};

struct nm_spool {
    pthread_mutex_t lock;    /* of pending and the scratch */
    pthread_mutex_t on_disk; /* of the store and writing; taken before lock */
    struct nm_store *store;
    struct nm_db db;
    uint64_t run;
    struct group pending, writing; /* writing holds what a failed commit has left */
    struct nm_buf task, answer;    /* scratch */
};

static struct nm_key key_of(uint64_t run, struct nm_spool_key key)
{
    struct nm_key out = nm_key_u64(run), rest = nm_key_u64x2(key.task, key.attempt);
    memcpy(out.bytes + out.len, rest.bytes, rest.len);
    out.len += rest.len;
    return out;
}

enum nm_err nm_spool_open(const char *dir, const char *run, struct nm_spool **spool, struct nm_diag *diag)
{
    *spool = NULL;
    struct nm_spool *made = calloc(1, sizeof *made);
    if (made == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", dir);
    pthread_mutex_init(&made->lock, NULL);
    pthread_mutex_init(&made->on_disk, NULL);
    nm_buf_init(&made->pending.bytes, PENDING_MAX);
    nm_buf_init(&made->writing.bytes, PENDING_MAX);
    nm_buf_init(&made->task, NM_FRAME_MAX);
    nm_buf_init(&made->answer, NM_FRAME_MAX);
    made->run = nm_hash64(run, strlen(run), 0);
    struct nm_store_options options = {.path = dir, .kind = "spool", .schema = SCHEMA};
    enum nm_err err = nm_store_open(&options, &made->store, NULL, diag);
    if (err == NM_OK)
        err = nm_store_db(made->store, "answers", &made->db, diag);
    if (err != NM_OK)
        nm_spool_close(&made);
    *spool = made;
    return err;
}

void nm_spool_close(struct nm_spool **spool)
{
    struct nm_spool *old = *spool;
    if (old == NULL)
        return;
    if (old->store != NULL)
        nm_store_close(&old->store);
    nm_buf_clean_up(&old->pending.bytes);
    nm_buf_clean_up(&old->writing.bytes);
    nm_buf_clean_up(&old->task);
    nm_buf_clean_up(&old->answer);
    free(old->pending.changes);
    free(old->writing.changes);
    pthread_mutex_destroy(&old->lock);
    pthread_mutex_destroy(&old->on_disk);
    free(old);
    *spool = NULL;
}

/* ---- writing --------------------------------------------------------------------------------- */

static enum nm_err add_change(struct group *group, struct change change)
{
    if (group->n == group->cap) {
        size_t cap = group->cap == 0 ? 64 : 2 * group->cap;
        struct change *grown = realloc(group->changes, cap * sizeof *grown);
        if (grown == NULL)
            return NM_ENOMEM;
        group->changes = grown;
        group->cap = cap;
    }
    group->changes[group->n++] = change;
    return NM_OK;
}

/* An entry on disk: the length of the task's frame in four bytes, low first; the frame; the response record. */
static enum nm_err put(struct nm_spool *spool, const struct nm_spool_entry *entry)
{
    struct nm_msg msg = {.type = NM_MSG_task, .u.task = entry->task};
    struct nm_buf *bytes = &spool->pending.bytes;
    struct nm_str task = entry->packed;
    enum nm_err err = NM_OK;
    nm_buf_reset(&spool->task);
    nm_buf_reset(&spool->answer);
    if (task.len == 0) {
        err = nm_msg_encode(&msg, &spool->task);
        task = (struct nm_str){spool->task.data, spool->task.len};
    }
    if (err == NM_OK)
        err = nm_response_encode(&entry->response, &spool->answer);
    if (err != NM_OK)
        return err;
    size_t start = bytes->len, n = task.len;
    unsigned char head[4] = {(unsigned char)n, (unsigned char)(n >> 8), (unsigned char)(n >> 16),
                             (unsigned char)(n >> 24)};
    err = nm_buf_add(bytes, head, sizeof head);
    if (err == NM_OK)
        err = nm_buf_add(bytes, task.ptr, task.len);
    if (err == NM_OK)
        err = nm_buf_add(bytes, spool->answer.data, spool->answer.len);
    struct nm_spool_key key = {entry->task.task, entry->task.attempt};
    if (err == NM_OK)
        err = add_change(&spool->pending, (struct change){key_of(spool->run, key), start, bytes->len - start});
    if (err != NM_OK)
        bytes->len = start;
    return err;
}

enum nm_err nm_spool_put(struct nm_spool *spool, const struct nm_spool_entry *entry)
{
    pthread_mutex_lock(&spool->lock);
    enum nm_err err = put(spool, entry);
    pthread_mutex_unlock(&spool->lock);
    return err;
}

enum nm_err nm_spool_drop(struct nm_spool *spool, struct nm_spool_key key)
{
    pthread_mutex_lock(&spool->lock);
    enum nm_err err = add_change(&spool->pending, (struct change){key_of(spool->run, key), 0, 0});
    pthread_mutex_unlock(&spool->lock);
    return err;
}

static enum nm_err write_changes(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    (void)diag;
    struct nm_spool *spool = ctx;
    const struct group *group = &spool->writing;
    for (size_t i = 0; i < group->n; i++) {
        const struct change *change = &group->changes[i];
        enum nm_err err;
        if (change->len > 0)
            err = nm_txn_put(txn, spool->db, change->key, group->bytes.data + change->start, change->len);
        else
            err = nm_txn_del(txn, spool->db, change->key);
        if (err != NM_OK && !(err == NM_ENOENT && change->len == 0))
            return err;
    }
    return NM_OK;
}

/* What waits, to be written: new changes go into the other group meanwhile. */
static bool swap_groups(struct nm_spool *spool)
{
    pthread_mutex_lock(&spool->lock);
    struct group full = spool->pending;
    spool->pending = spool->writing;
    spool->writing = full;
    pthread_mutex_unlock(&spool->lock);
    return full.n > 0;
}

static enum nm_err write_group(struct nm_spool *spool, struct nm_diag *diag)
{
    enum nm_err err = nm_store_write(spool->store, write_changes, spool, diag);
    if (err == NM_OK) {
        spool->writing.n = 0;
        nm_buf_reset(&spool->writing.bytes);
    }
    return err;
}

enum nm_err nm_spool_commit(struct nm_spool *spool, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    pthread_mutex_lock(&spool->on_disk);
    if (spool->writing.n > 0) /* left by a commit that failed: before what came since */
        err = write_group(spool, diag);
    if (err == NM_OK && swap_groups(spool))
        err = write_group(spool, diag);
    pthread_mutex_unlock(&spool->on_disk);
    return err;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct lookup {
    struct nm_spool *spool;
    struct nm_key key;
    struct nm_arena *arena;
    struct nm_spool_entry *entry;
};

static enum nm_err read_entry(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct lookup *look = ctx;
    struct nm_val val;
    struct nm_msg msg;
    enum nm_err err = nm_txn_get(txn, look->spool->db, look->key, &val);
    if (err != NM_OK)
        return err;
    const unsigned char *bytes = val.data;
    size_t n = val.len < 4 ? 0 : bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 24;
    if (val.len < 4 || n > val.len - 4)
        return nm_fail(diag, NM_EFORMAT, "spool: an entry is cut short");
    err = nm_msg_decode(bytes + 4, n, look->arena, &msg, diag);
    if (err == NM_OK && msg.type != NM_MSG_task)
        err = nm_fail(diag, NM_EFORMAT, "spool: an entry holds no task");
    if (err != NM_OK)
        return err;
    look->entry->task = msg.u.task;
    look->entry->packed = (struct nm_str){0};
    return nm_response_decode(bytes + 4 + n, val.len - 4 - n, look->arena, &look->entry->response, diag);
}

enum nm_err nm_spool_get(struct nm_spool *spool, struct nm_spool_key key, struct nm_arena *arena,
                         struct nm_spool_entry *entry, struct nm_diag *diag)
{
    struct lookup look = {spool, key_of(spool->run, key), arena, entry};
    pthread_mutex_lock(&spool->on_disk);
    enum nm_err err = nm_store_read(spool->store, read_entry, &look, diag);
    pthread_mutex_unlock(&spool->on_disk);
    return err;
}

struct listing {
    struct nm_spool *spool;
    struct nm_arena *arena;
    struct nm_spool_key *keys;
    size_t n, cap, others;
};

static enum nm_err add_key(struct listing *list, const struct nm_val *key)
{
    if (key->len != 24)
        return NM_EFORMAT;
    if (nm_key_part(key->data, 0) != list->spool->run) {
        list->others++;
        return NM_OK;
    }
    if (list->n == list->cap) {
        size_t cap = list->cap == 0 ? 64 : 2 * list->cap;
        struct nm_spool_key *grown = nm_arena_alloc(list->arena, cap * sizeof *grown);
        if (grown == NULL)
            return NM_ENOMEM;
        if (list->n > 0)
            memcpy(grown, list->keys, list->n * sizeof *grown);
        list->keys = grown;
        list->cap = cap;
    }
    const unsigned char *rest = (const unsigned char *)key->data + 8;
    list->keys[list->n++] = (struct nm_spool_key){nm_key_part(rest, 0), nm_key_part(rest, 1)};
    return NM_OK;
}

static enum nm_err read_keys(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    (void)diag;
    struct listing *list = ctx;
    struct nm_cursor *cursor;
    struct nm_val key, val;
    enum nm_err err = nm_cursor_open(txn, list->spool->db, &cursor);
    if (err != NM_OK)
        return err;
    err = nm_cursor_seek(cursor, NULL, &key, &val);
    while (err == NM_OK) {
        err = add_key(list, &key);
        if (err == NM_OK)
            err = nm_cursor_next(cursor, &key, &val);
    }
    nm_cursor_close(&cursor);
    return err == NM_ENOENT ? NM_OK : err;
}

enum nm_err nm_spool_keys(struct nm_spool *spool, struct nm_arena *arena, struct nm_spool_key **keys, size_t *n,
                          size_t *others, struct nm_diag *diag)
{
    struct listing list = {.spool = spool, .arena = arena};
    pthread_mutex_lock(&spool->on_disk);
    enum nm_err err = nm_store_read(spool->store, read_keys, &list, diag);
    pthread_mutex_unlock(&spool->on_disk);
    *keys = list.keys;
    *n = list.n;
    *others = list.others;
    return err;
}
