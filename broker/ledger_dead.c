/* Dead letters, calls without an answer, and notes: what the operator's desk reads and keeps. */
#include <stdio.h>
#include <string.h>

#include "broker/ledger_parts.h"
#include "broker/record.h"
#include "common/clock.h"

/* ---- written --------------------------------------------------------------------------------- */

enum nm_err nm_ledger_put_dead(struct nm_ledger *ledger, uint64_t task, uint32_t attempt, bool by_hand,
                               const char *why)
{
    struct nm_buf *bytes = &ledger->bytes;
    size_t offset = bytes->len;
    enum nm_err err = nm_record_put(bytes, by_hand, 1);
    if (!err)
        err = nm_record_put(bytes, attempt, 4);
    if (!err)
        err = nm_record_put(bytes, (uint64_t)nm_clock_wall_ms(), 8);
    if (!err)
        err = nm_record_put_text(bytes, why, strlen(why));
    return err ? err : nm_ledger_add_put(ledger, ledger->dead, nm_key_u64(task), offset);
}

enum nm_err nm_ledger_bury(struct nm_ledger *ledger, uint64_t task, uint32_t attempt, const char *why)
{
    return nm_ledger_put_dead(ledger, task, attempt, true, why);
}

enum nm_err nm_ledger_reopen(struct nm_ledger *ledger, uint64_t task)
{
    enum nm_err err =
        nm_ledger_add_op(ledger, (struct op){.db = ledger->ended, .key = nm_key_u64(task), .del = true});
    if (err)
        return err;
    ledger->counters.kicked++;
    return nm_ledger_add_op(ledger, (struct op){.db = ledger->dead, .key = nm_key_u64(task), .del = true});
}

enum nm_err nm_ledger_failure(struct nm_ledger *ledger, const struct nm_msg_failure *failure, uint32_t count,
                              int64_t at_ms)
{
    struct nm_ledger_failed limits;
    struct nm_buf *bytes = &ledger->bytes;
    size_t offset = bytes->len;
    const struct {
        struct nm_str text;
        size_t max;
    } texts[] = {{failure->kind, sizeof limits.kind - 1},
                 {failure->endpoint, sizeof limits.endpoint - 1},
                 {failure->detail, sizeof limits.detail - 1}};
    enum nm_err err = nm_record_put(bytes, count, 4);
    if (!err)
        err = nm_record_put(bytes, (uint64_t)at_ms, 8);
    if (!err)
        err = nm_record_put(bytes, failure->status, 8);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && !err; i++)
        err = nm_record_put_text(bytes, texts[i].text.ptr,
                                 texts[i].text.len < texts[i].max ? texts[i].text.len : texts[i].max);
    if (!err)
        err = nm_record_put(bytes, failure->tokens_in, 8);
    if (!err)
        err = nm_record_put(bytes, failure->tokens_out, 8);
    return err ? err
               : nm_ledger_add_put(ledger, ledger->failures, nm_key_u64x2(failure->task, failure->attempt), offset);
}

enum nm_err nm_ledger_note(struct nm_ledger *ledger, const char *name, const void *data, size_t len)
{
    size_t offset = ledger->bytes.len;
    enum nm_err err = nm_buf_add(&ledger->bytes, data, len);
    return err ? err : nm_ledger_add_put(ledger, ledger->notes, nm_key_text(name), offset);
}

/* ---- read ------------------------------------------------------------------------------------ */

static void copy_text(char *out, size_t size, struct nm_record *in)
{
    size_t len;
    const char *text = nm_record_get_text(in, &len);
    (void)snprintf(out, size, "%.*s", text ? (int)len : 0, text ? text : "");
}

struct dead_query {
    const struct nm_ledger *ledger;
    uint64_t from;
    struct nm_ledger_dead *list;
    size_t max, n;
};

static enum nm_err damaged(const struct nm_ledger *ledger, const char *what, uint64_t task, struct nm_diag *diag)
{
    return nm_fail(diag, NM_EFORMAT, "ledger %s: %s of task %llu is damaged", ledger->path, what,
                   (unsigned long long)task);
}

static enum nm_err list_dead(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct dead_query *q = ctx;
    struct nm_cursor *cursor;
    struct nm_val key, val;
    struct nm_key from = nm_key_u64(q->from);
    enum nm_err err = nm_cursor_open(txn, q->ledger->dead, &cursor);
    if (err)
        return err;
    q->n = 0;
    for (err = nm_cursor_seek(cursor, &from, &key, &val); !err && q->n < q->max;
         err = nm_cursor_next(cursor, &key, &val)) {
        struct nm_record in = {val.data, val.len, key.len != 8};
        struct nm_ledger_dead *dead = &q->list[q->n++];
        *dead = (struct nm_ledger_dead){.task = in.bad ? 0 : nm_key_part(key.data, 0)};
        dead->by_hand = nm_record_get(&in, 1) != 0;
        dead->attempt = nm_record_get(&in, 4);
        dead->at_ms = (int64_t)nm_record_get(&in, 8);
        copy_text(dead->why, sizeof dead->why, &in);
        if (in.bad) {
            err = damaged(q->ledger, "the dead letter", dead->task, diag);
            break;
        }
    }
    nm_cursor_close(&cursor);
    return err == NM_ENOENT ? NM_OK : err;
}

enum nm_err nm_ledger_list_dead(struct nm_ledger *ledger, uint64_t from, struct nm_ledger_dead *list, size_t max,
                                size_t *n, struct nm_diag *diag)
{
    struct dead_query q = {.ledger = ledger, .from = from, .list = list, .max = max};
    enum nm_err err = nm_store_read(ledger->store, list_dead, &q, diag);
    *n = q.n;
    return err;
}

struct failure_query {
    const struct nm_ledger *ledger;
    uint64_t task, attempt;
    struct nm_ledger_failed *failed;
};

static enum nm_err read_failure(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    const struct failure_query *q = ctx;
    struct nm_val val;
    *q->failed = (struct nm_ledger_failed){0};
    enum nm_err err = nm_txn_get(txn, q->ledger->failures, nm_key_u64x2(q->task, q->attempt), &val);
    if (err)
        return err == NM_ENOENT ? NM_OK : err;
    struct nm_record in = {val.data, val.len, false};
    q->failed->count = (uint32_t)nm_record_get(&in, 4);
    q->failed->at_ms = (int64_t)nm_record_get(&in, 8);
    q->failed->status = nm_record_get(&in, 8);
    copy_text(q->failed->kind, sizeof q->failed->kind, &in);
    copy_text(q->failed->endpoint, sizeof q->failed->endpoint, &in);
    copy_text(q->failed->detail, sizeof q->failed->detail, &in);
    if (in.left > 0) { /* records of earlier versions end here */
        q->failed->tokens_in = nm_record_get(&in, 8);
        q->failed->tokens_out = nm_record_get(&in, 8);
    }
    return in.bad ? damaged(q->ledger, "a failure", q->task, diag) : NM_OK;
}

enum nm_err nm_ledger_read_failure(struct nm_ledger *ledger, uint64_t task, uint64_t attempt,
                                   struct nm_ledger_failed *failed, struct nm_diag *diag)
{
    struct failure_query q = {ledger, task, attempt, failed};
    return nm_store_read(ledger->store, read_failure, &q, diag);
}

struct note_query {
    const struct nm_ledger *ledger;
    const char *name;
    struct nm_buf *out;
};

static enum nm_err read_note(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    (void)diag;
    const struct note_query *q = ctx;
    struct nm_val val;
    enum nm_err err = nm_txn_get(txn, q->ledger->notes, nm_key_text(q->name), &val);
    return err ? err : nm_buf_add(q->out, val.data, val.len);
}

enum nm_err nm_ledger_read_note(struct nm_ledger *ledger, const char *name, struct nm_buf *out, struct nm_diag *diag)
{
    struct note_query q = {ledger, name, out};
    nm_buf_reset(out);
    return nm_store_read(ledger->store, read_note, &q, diag);
}
