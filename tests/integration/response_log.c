/* response_log LEDGER - what the ledger knows of calls, a JSON line each: the answers of the response log, and of
 * every attempt the last call without one.  Beside a live broker. */
#include <stdio.h>

#include <jansson.h>

#include "broker/ledger.h"
#include "broker/record.h"
#include "common/store.h"

static void put_text(json_t *o, const char *key, const char *text, size_t len)
{
    json_t *value = json_stringn(text != NULL ? text : "", text != NULL ? len : 0);
    json_object_set_new(o, key, value != NULL ? value : json_string("(no UTF-8)"));
}

static void put_number(json_t *o, const char *key, uint64_t n)
{
    json_object_set_new(o, key, json_integer((json_int_t)n));
}

static enum nm_err print(json_t *o)
{
    int rc = json_dumpf(o, stdout, JSON_COMPACT);
    json_decref(o);
    return rc == 0 && putchar('\n') == '\n' ? NM_OK : NM_EIO;
}

static json_t *begin(const char *what, struct nm_val key)
{
    json_t *o = json_object();
    json_object_set_new(o, "what", json_string(what));
    put_number(o, "task", nm_key_part(key.data, 0));
    put_number(o, "attempt", nm_key_part(key.data, 1));
    return o;
}

static enum nm_err print_response(struct nm_val key, struct nm_val val, struct nm_diag *diag)
{
    struct nm_arena arena;
    struct nm_msg_response r;
    nm_arena_init(&arena, 0);
    enum nm_err err = nm_response_decode(val.data, val.len, &arena, &r, diag);
    if (err == NM_OK) {
        json_t *o = begin("response", key);
        put_text(o, "endpoint", r.endpoint.ptr, r.endpoint.len);
        put_number(o, "status", r.status);
        json_object_set_new(o, "accepted", json_boolean(r.accepted));
        put_text(o, "rule", r.rule.ptr, r.rule.len);
        put_text(o, "detail", r.detail.ptr, r.detail.len);
        put_text(o, "text", r.text.ptr, r.text.len);
        put_number(o, "tokens_in", r.tokens_in);
        put_number(o, "tokens_out", r.tokens_out);
        put_number(o, "created_ms", r.created_ms);
        put_number(o, "body_bytes", r.body.len);
        err = print(o);
    }
    nm_arena_clean_up(&arena);
    return err;
}

static enum nm_err print_failure(struct nm_val key, struct nm_val val, struct nm_diag *diag)
{
    static const char *const texts[] = {"kind", "endpoint", "detail"};
    struct nm_record in = {val.data, val.len, false};
    json_t *o = begin("failure", key);
    put_number(o, "count", nm_record_get(&in, 4));
    put_number(o, "at_ms", nm_record_get(&in, 8));
    put_number(o, "status", nm_record_get(&in, 8));
    for (size_t i = 0; i < 3; i++) {
        size_t len;
        const char *text = nm_record_get_text(&in, &len);
        put_text(o, texts[i], text, len);
    }
    put_number(o, "tokens_in", nm_record_get(&in, 8));
    put_number(o, "tokens_out", nm_record_get(&in, 8));
    if (in.bad) {
        json_decref(o);
        return nm_fail(diag, NM_EFORMAT, "a failure's record is cut short");
    }
    return print(o);
}

struct table {
    const char *name;
    enum nm_err (*print)(struct nm_val key, struct nm_val val, struct nm_diag *diag);
    struct nm_db db;
};

static enum nm_err walk(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    const struct table *table = ctx;
    struct nm_cursor *cursor;
    struct nm_val key, val;
    enum nm_err err = nm_cursor_open(txn, table->db, &cursor);
    if (err != NM_OK)
        return err;
    for (err = nm_cursor_seek(cursor, NULL, &key, &val); err == NM_OK; err = nm_cursor_next(cursor, &key, &val)) {
        err = table->print(key, val, diag);
        if (err != NM_OK)
            break;
    }
    nm_cursor_close(&cursor);
    return err == NM_ENOENT ? NM_OK : err;
}

int main(int argc, char **argv)
{
    struct table tables[] = {{"responses", print_response, {0}}, {"failures", print_failure, {0}}};
    struct nm_store *store = NULL;
    struct nm_diag diag = {""};
    if (argc != 2) {
        fputs("usage: response_log LEDGER\n", stderr);
        return 2;
    }
    const struct nm_store_options options = {
        .path = argv[1], .kind = "ledger", .schema = NM_LEDGER_SCHEMA, .read_only = true};
    enum nm_err err = nm_store_open(&options, &store, NULL, &diag);
    for (size_t i = 0; i < 2 && err == NM_OK; i++)
        err = nm_store_db(store, tables[i].name, &tables[i].db, &diag);
    for (size_t i = 0; i < 2 && err == NM_OK; i++)
        err = nm_store_read(store, walk, &tables[i], &diag);
    if (err != NM_OK)
        fprintf(stderr, "response_log: %s\n", diag.text);
    nm_store_close(&store);
    return err == NM_OK ? 0 : 1;
}
