/* The live grants of the governor: calls that may be on their way. */
#include "broker/ledger_parts.h"
#include "broker/record.h"

enum { GRANT_BYTES = 36 };

enum nm_err nm_ledger_put_grant(struct nm_ledger *ledger, const struct nm_ledger_grant *grant)
{
    struct nm_buf *bytes = &ledger->bytes;
    size_t offset = bytes->len;
    enum nm_err err = nm_record_put(bytes, grant->worker, 4);
    if (!err)
        err = nm_record_put(bytes, grant->endpoint, 8);
    if (!err)
        err = nm_record_put(bytes, grant->tokens_in, 8);
    if (!err)
        err = nm_record_put(bytes, grant->tokens_out, 8);
    if (!err)
        err = nm_record_put(bytes, grant->money, 8);
    return err ? err : nm_ledger_add_put(ledger, ledger->grants, nm_key_u64x2(grant->task, grant->attempt), offset);
}

enum nm_err nm_ledger_del_grant(struct nm_ledger *ledger, uint64_t task, uint32_t attempt)
{
    return nm_ledger_add_op(ledger,
                            (struct op){.db = ledger->grants, .key = nm_key_u64x2(task, attempt), .del = true});
}

struct reading {
    struct nm_ledger *ledger;
    nm_ledger_grant_fn fn;
    void *ctx;
};

static enum nm_err read_one(const struct reading *r, struct nm_val key, struct nm_val val, struct nm_diag *diag)
{
    struct nm_record in = {val.data, val.len, key.len != 16 || val.len != GRANT_BYTES};
    struct nm_ledger_grant grant = {.task = 0};
    if (!in.bad) {
        grant.task = nm_key_part(key.data, 0);
        grant.attempt = (uint32_t)nm_key_part(key.data, 1);
    }
    grant.worker = (uint32_t)nm_record_get(&in, 4);
    grant.endpoint = nm_record_get(&in, 8);
    grant.tokens_in = nm_record_get(&in, 8);
    grant.tokens_out = nm_record_get(&in, 8);
    grant.money = nm_record_get(&in, 8);
    return in.bad ? nm_ledger_damaged(r->ledger, "a grant", diag) : r->fn(r->ctx, &grant);
}

static enum nm_err read_all(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    const struct reading *r = ctx;
    struct nm_cursor *cursor;
    struct nm_val key, val;
    enum nm_err err = nm_cursor_open(txn, r->ledger->grants, &cursor);
    if (err)
        return err;
    for (err = nm_cursor_seek(cursor, NULL, &key, &val); !err; err = nm_cursor_next(cursor, &key, &val)) {
        err = read_one(r, key, val, diag);
        if (err)
            break;
    }
    nm_cursor_close(&cursor);
    return err == NM_ENOENT ? NM_OK : err;
}

enum nm_err nm_ledger_read_grants(struct nm_ledger *ledger, nm_ledger_grant_fn fn, void *ctx, struct nm_diag *diag)
{
    struct reading r = {ledger, fn, ctx};
    return nm_store_read(ledger->store, read_all, &r, diag);
}
