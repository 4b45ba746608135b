/* ledger_keys.c - the journal of the index of duplicates: what was put there since it was last forced to the disk.
 *
 * Two halves take turns: one is filled while what the other has is being written, and is emptied at once when that is
 * done.  A commit is one record: pairs of key and task.
 */
#include "broker/ledger_parts.h"
#include "broker/record.h"
#include "common/log.h"

enum { PAIR = 16 };

enum nm_err nm_ledger_add_key(struct nm_ledger *ledger, uint64_t key, uint64_t task)
{
    enum nm_err err = nm_record_put(&ledger->new_keys, key, 8);
    return err ? err : nm_record_put(&ledger->new_keys, task, 8);
}

enum nm_err nm_ledger_collect_keys(struct nm_ledger *ledger)
{
    size_t offset = ledger->bytes.len;
    if (ledger->new_keys.len == 0)
        return NM_OK;
    enum nm_err err = nm_buf_add(&ledger->bytes, ledger->new_keys.data, ledger->new_keys.len);
    return err ? err : nm_ledger_add_put(ledger, ledger->keys[ledger->keys_half], nm_key_u64(ledger->n_keys), offset);
}

void nm_ledger_forget_keys(struct nm_ledger *ledger)
{
    ledger->n_keys += ledger->new_keys.len > 0;
    nm_buf_reset(&ledger->new_keys);
}

enum nm_err nm_ledger_turn_keys(struct nm_ledger *ledger)
{
    enum nm_err err = nm_ledger_collect_keys(ledger); /* they belong to the half that ends */
    if (err)
        return err;
    nm_ledger_forget_keys(ledger);
    ledger->keys_half = !ledger->keys_half;
    return NM_OK;
}

enum nm_err nm_ledger_drop_keys(struct nm_ledger *ledger)
{
    return nm_ledger_add_op(ledger, (struct op){.db = ledger->keys[!ledger->keys_half], .clear = true});
}

struct keys_query {
    const struct nm_ledger *ledger;
    nm_ledger_key_fn fn;
    void *ctx;
};

static enum nm_err read_half(struct nm_txn *txn, const struct keys_query *q, struct nm_db db)
{
    struct nm_cursor *cursor;
    struct nm_val key, val;
    enum nm_err err = nm_cursor_open(txn, db, &cursor);
    if (err)
        return err;
    for (err = nm_cursor_seek(cursor, NULL, &key, &val); !err; err = nm_cursor_next(cursor, &key, &val)) {
        struct nm_record in = {val.data, val.len, false};
        while (in.left >= PAIR) {
            uint64_t which = nm_record_get(&in, 8);
            q->fn(q->ctx, which, nm_record_get(&in, 8));
        }
    }
    nm_cursor_close(&cursor);
    return err == NM_ENOENT ? NM_OK : err;
}

static enum nm_err read_keys(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    const struct keys_query *q = ctx;
    (void)diag;
    enum nm_err err = read_half(txn, q, q->ledger->keys[0]);
    return err ? err : read_half(txn, q, q->ledger->keys[1]);
}

enum nm_err nm_ledger_read_keys(struct nm_ledger *ledger, nm_ledger_key_fn fn, void *ctx, struct nm_diag *diag)
{
    struct keys_query q = {ledger, fn, ctx};
    return nm_store_read(ledger->store, read_keys, &q, diag);
}

/* ---- every answer ---------------------------------------------------------------------------- */

struct responses_query {
    const struct nm_ledger *ledger;
    nm_ledger_response_fn fn;
    void *ctx;
};

static enum nm_err read_responses(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    const struct responses_query *q = ctx;
    struct nm_cursor *cursor;
    struct nm_arena arena;
    struct nm_val key, val;
    enum nm_err err = nm_cursor_open(txn, q->ledger->responses, &cursor);
    if (err)
        return err;
    nm_arena_init(&arena, 0);
    for (err = nm_cursor_seek(cursor, NULL, &key, &val); !err; err = nm_cursor_next(cursor, &key, &val)) {
        struct nm_msg_response response;
        nm_arena_reset(&arena);
        err = nm_response_decode(val.data, val.len, &arena, &response, diag);
        if (!err)
            err = q->fn(q->ctx, &response);
        if (err)
            break;
    }
    nm_cursor_close(&cursor);
    nm_arena_clean_up(&arena);
    return err == NM_ENOENT ? NM_OK : err;
}

enum nm_err nm_ledger_each_response(struct nm_ledger *ledger, nm_ledger_response_fn fn, void *ctx,
                                    struct nm_diag *diag)
{
    struct responses_query q = {ledger, fn, ctx};
    return nm_store_read(ledger->store, read_responses, &q, diag);
}
