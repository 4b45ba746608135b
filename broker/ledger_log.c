#include "broker/ledger_log.h"

#include <stdlib.h>
#include <string.h>

#include "broker/ledger_parts.h"
#include "broker/record.h"

enum { ARENA_MAX = 64 << 20 };

struct reading {
    const char *path;
    struct nm_store *store;
    struct nm_db settings, open, ended, dead, responses;
    bool has_dead; /* no task of the run ever became a dead letter */
    struct nm_ledger_log log;
    size_t cap;
    struct nm_arena arena;
    nm_ledger_log_fn fn;
    void *ctx;
};

static uint64_t without_generation(uint64_t task)
{
    return task & (((uint64_t)1 << NM_TASK_GENERATION) - 1);
}

static enum nm_err damaged(const struct reading *r, uint64_t task, struct nm_diag *diag)
{
    return nm_fail(diag, NM_EFORMAT, "ledger %s is damaged: the record of task %llu can't be read", r->path,
                   (unsigned long long)task);
}

/* ---- what is known of the tasks -------------------------------------------------------------- */

static enum nm_err add_unfinished(struct reading *r, uint64_t task)
{
    struct nm_ledger_log *log = &r->log;
    if (log->n_unfinished == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 64;
        uint64_t *bigger = realloc(log->unfinished, cap * sizeof *bigger);
        if (!bigger)
            return NM_ENOMEM;
        log->unfinished = bigger;
        r->cap = cap;
    }
    log->unfinished[log->n_unfinished++] = without_generation(task);
    return NM_OK;
}

/* What was buried by hand might have become a sample. */
static enum nm_err add_dead(struct nm_txn *txn, struct reading *r, uint64_t task)
{
    struct nm_val val;
    enum nm_err err = r->has_dead ? nm_txn_get(txn, r->dead, nm_key_u64(task), &val) : NM_ENOENT;
    if (err)
        return err == NM_ENOENT ? NM_OK : err;
    struct nm_record in = {val.data, val.len, false};
    return nm_record_get(&in, 1) ? add_unfinished(r, task) : NM_OK;
}

static enum nm_err add_task(struct nm_txn *txn, struct reading *r, uint64_t task, enum nm_task_state state)
{
    uint64_t *opened = nm_task_is_extra(task) ? &r->log.extra : &r->log.tasks;
    if (nm_task_generation(task) != r->log.generation) {
        r->log.older += state == NM_TASK_DONE || state == NM_TASK_ACCEPTED || state == NM_TASK_ALIGNING;
        return NM_OK;
    }
    if (nm_task_index(task) >= *opened)
        *opened = nm_task_index(task) + 1;
    if (state == NM_TASK_DONE || state == NM_TASK_ACCEPTED || state == NM_TASK_ALIGNING)
        r->log.samples++;
    if (state == NM_TASK_READY || state == NM_TASK_DELAYED || state == NM_TASK_LEASED)
        return add_unfinished(r, task);
    return state == NM_TASK_DEAD ? add_dead(txn, r, task) : NM_OK;
}

static enum nm_err add_tasks(struct nm_txn *txn, struct reading *r, struct nm_db db, bool ended, struct nm_diag *diag)
{
    struct nm_cursor *cursor;
    struct nm_val key, val;
    enum nm_err err = nm_cursor_open(txn, db, &cursor);
    if (err)
        return err;
    for (err = nm_cursor_seek(cursor, NULL, &key, &val); !err; err = nm_cursor_next(cursor, &key, &val)) {
        struct nm_ledger_end end = {.state = 0};
        uint64_t task = key.len == 8 ? nm_key_part(key.data, 0) : 0;
        bool whole = key.len == 8 && (ended ? nm_ledger_read_end(val, &end) : nm_ledger_is_open(val.len));
        if (!ended && whole)
            end.state = (enum nm_task_state) * (const unsigned char *)val.data;
        err = whole ? add_task(txn, r, task, end.state) : damaged(r, task, diag);
        if (err)
            break;
    }
    nm_cursor_close(&cursor);
    return err == NM_ENOENT ? NM_OK : err;
}

static enum nm_err read_identity(struct nm_txn *txn, struct reading *r, struct nm_diag *diag)
{
    struct nm_val val;
    enum nm_err err = nm_txn_get(txn, r->settings, nm_key_text("run"), &val);
    if (err || val.len >= sizeof r->log.run)
        return nm_fail(diag, NM_EFORMAT, "ledger %s is damaged: the run's id", r->path);
    memcpy(r->log.run, val.data, val.len);
    err = nm_txn_get(txn, r->settings, nm_key_text("generation"), &val);
    for (size_t i = 0; !err && i < val.len; i++)
        r->log.generation = r->log.generation * 10 + (uint64_t)(((const char *)val.data)[i] - '0');
    return err == NM_ENOENT ? NM_OK : err;
}

/* ---- the answers ----------------------------------------------------------------------------- */

static enum nm_err hand_over(struct reading *r, struct nm_val key, struct nm_val val, struct nm_diag *diag)
{
    struct nm_msg_response response;
    uint64_t task = key.len == 16 ? nm_key_part(key.data, 0) : 0;
    nm_arena_reset(&r->arena);
    if (key.len != 16 || nm_response_decode(val.data, val.len, &r->arena, &response, diag))
        return damaged(r, task, diag);
    if (nm_task_generation(task) != r->log.generation)
        return NM_OK;
    response.task = without_generation(task);
    return r->fn(r->ctx, &r->log, &response, diag);
}

static enum nm_err read_answers(struct nm_txn *txn, struct reading *r, struct nm_diag *diag)
{
    struct nm_cursor *cursor;
    struct nm_val key, val;
    const struct nm_key first = nm_key_u64x2(r->log.generation << NM_TASK_GENERATION, 0);
    enum nm_err err = nm_cursor_open(txn, r->responses, &cursor);
    if (err)
        return err;
    for (err = nm_cursor_seek(cursor, &first, &key, &val); !err; err = nm_cursor_next(cursor, &key, &val)) {
        err = hand_over(r, key, val, diag);
        if (err)
            break;
    }
    nm_cursor_close(&cursor);
    return err == NM_ENOENT ? NM_OK : err;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static enum nm_err read_all(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct reading *r = ctx;
    enum nm_err err = read_identity(txn, r, diag);
    if (!err)
        err = add_tasks(txn, r, r->ended, true, diag);
    if (!err)
        err = add_tasks(txn, r, r->open, false, diag);
    if (!err && r->log.n_unfinished)
        qsort(r->log.unfinished, r->log.n_unfinished, sizeof *r->log.unfinished, by_number);
    if (!err)
        err = r->fn(r->ctx, &r->log, NULL, diag);
    return err ? err : read_answers(txn, r, diag);
}

static enum nm_err open_databases(struct reading *r, struct nm_diag *diag)
{
    enum nm_err err = nm_store_db(r->store, "settings", &r->settings, diag);
    if (!err)
        err = nm_store_db(r->store, "open", &r->open, diag);
    if (!err)
        err = nm_store_db(r->store, "ended", &r->ended, diag);
    if (!err)
        err = nm_store_db(r->store, "responses", &r->responses, diag);
    if (err)
        return err;
    err = nm_store_db(r->store, "dead", &r->dead, diag);
    r->has_dead = err == NM_OK;
    return err == NM_ENOENT ? NM_OK : err;
}

enum nm_err nm_ledger_read_log(const char *path, nm_ledger_log_fn fn, void *ctx, struct nm_diag *diag)
{
    struct nm_store_options options = {.path = path, .kind = "ledger", .schema = NM_LEDGER_SCHEMA, .read_only = true};
    struct reading r = {.path = path, .fn = fn, .ctx = ctx};
    nm_arena_init(&r.arena, ARENA_MAX);
    diag->text[0] = '\0';
    enum nm_err err = nm_store_open(&options, &r.store, NULL, diag);
    if (!err)
        err = open_databases(&r, diag);
    if (!err)
        err = nm_store_read(r.store, read_all, &r, diag);
    if (err && diag->text[0] == '\0')
        nm_fail(diag, err, "ledger %s: it can't be read to its end: %s", path, nm_err_name(err));
    nm_store_close(&r.store);
    nm_arena_clean_up(&r.arena);
    free(r.log.unfinished);
    return err;
}
