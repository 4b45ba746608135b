#include "broker/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "broker/ledger_parts.h"
#include "broker/record.h"
#include "common/hash.h"

/* ---- the changes of the next commit ---------------------------------------------------------- */

enum nm_err nm_ledger_add_op(struct nm_ledger *ledger, struct op op)
{
    if (ledger->n_ops == ledger->cap_ops) {
        size_t cap = ledger->cap_ops ? ledger->cap_ops * 2 : 256;
        struct op *bigger = realloc(ledger->ops, cap * sizeof *bigger);
        if (!bigger)
            return NM_ENOMEM;
        ledger->ops = bigger;
        ledger->cap_ops = cap;
    }
    ledger->ops[ledger->n_ops++] = op;
    return NM_OK;
}

/* The bytes added since offset become the value of key. */
enum nm_err nm_ledger_add_put(struct nm_ledger *ledger, struct nm_db db, struct nm_key key, size_t offset)
{
    return nm_ledger_add_op(ledger,
                            (struct op){.db = db, .key = key, .offset = offset, .len = ledger->bytes.len - offset});
}

static enum nm_err apply(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    (void)diag;
    const struct nm_ledger *ledger = ctx;
    for (size_t i = 0; i < ledger->n_ops; i++) {
        const struct op *op = &ledger->ops[i];
        const unsigned char *data = (const unsigned char *)ledger->bytes.data + op->offset;
        enum nm_err err = op->clear   ? nm_txn_clear(txn, op->db)
                          : op->del   ? nm_txn_del(txn, op->db, op->key)
                          : op->tally ? nm_ledger_apply_tally(txn, op->db, op->key, data, op->len)
                                      : nm_txn_put(txn, op->db, op->key, data, op->len);
        if (err && !(op->del && err == NM_ENOENT)) /* opened and ended within one commit */
            return err;
    }
    return NM_OK;
}

/* ---- tasks ------------------------------------------------------------------------------------------------------
 */

/* What the records of open and of ended tasks begin with. */
static enum nm_err put_head(struct nm_buf *bytes, const struct nm_queue_task *task)
{
    enum nm_err err = nm_record_put(bytes, (uint64_t)task->state, 1);
    if (!err)
        err = nm_record_put(bytes, task->attempt, 4);
    return err ? err : nm_record_put(bytes, task->worker, 4);
}

static enum nm_err put_open(struct nm_ledger *ledger, const struct nm_queue_task *task)
{
    struct nm_buf *bytes = &ledger->bytes;
    size_t offset = bytes->len;
    enum nm_err err = put_head(bytes, task);
    if (!err)
        err = nm_record_put(bytes, task->failures, 4);
    if (!err)
        err = nm_record_put(bytes, (uint64_t)task->due_ms, 8);
    if (!err)
        err = nm_record_put(bytes, task->base, 4);
    if (!err)
        err = nm_record_put(bytes, task->verify, 1);
    if (!err && task->share != NM_SHARE_NONE)
        err = nm_record_put(bytes, (uint64_t)task->share | task->line << 8 | task->lines << 16, 3);
    return err ? err : nm_ledger_add_put(ledger, ledger->open, nm_key_u64(task->task), offset);
}

static enum nm_err put_ended(struct nm_ledger *ledger, const struct nm_queue_task *task)
{
    struct nm_buf *bytes = &ledger->bytes;
    size_t offset = bytes->len;
    enum nm_err err = put_head(bytes, task);
    if (!err)
        err = nm_record_put(bytes, nm_ledger_placing(ledger, task->task), 8);
    if (!err)
        err = nm_ledger_add_put(ledger, ledger->ended, nm_key_u64(task->task), offset);
    if (!err)
        err = nm_ledger_add_op(ledger, (struct op){.db = ledger->open, .key = nm_key_u64(task->task), .del = true});
    if (!err && task->state == NM_TASK_DEAD)
        err = nm_ledger_put_dead(ledger, task->task, task->attempt, false, "");
    if (!err && task->state == NM_TASK_DONE && task->worker < ledger->n_workers) {
        ledger->list[task->worker].samples++;
        ledger->worker_changed[task->worker] = true;
    }
    return err;
}

enum nm_err nm_ledger_task(struct nm_ledger *ledger, const struct nm_queue_task *task)
{
    return task->state >= NM_TASK_DONE ? put_ended(ledger, task) : put_open(ledger, task);
}

void nm_ledger_read_open(struct nm_record *in, struct nm_queue_task *task)
{
    task->state = (enum nm_task_state)nm_record_get(in, 1);
    task->attempt = (uint32_t)nm_record_get(in, 4);
    task->worker = (uint32_t)nm_record_get(in, 4);
    task->failures = (uint32_t)nm_record_get(in, 4);
    task->due_ms = (int64_t)nm_record_get(in, 8);
    task->base = in->left ? (uint32_t)nm_record_get(in, 4) : 0;
    task->verify = in->left && nm_record_get(in, 1) != 0;
    if (in->left == 0)
        return;
    task->share = (enum nm_share)nm_record_get(in, 1);
    task->line = (uint32_t)nm_record_get(in, 1);
    task->lines = (uint32_t)nm_record_get(in, 1);
}

struct restoring {
    struct nm_ledger *ledger;
    nm_ledger_restore_fn fn;
    void *ctx;
};

static enum nm_err restore_one(const struct restoring *r, struct nm_val key, struct nm_val val, struct nm_diag *diag)
{
    bool known = nm_ledger_is_open(val.len);
    struct nm_record in = {val.data, val.len, key.len != 8 || !known};
    struct nm_queue_task task = {.task = in.bad ? 0 : nm_key_part(key.data, 0)};
    nm_ledger_read_open(&in, &task);
    if (task.worker != NM_QUEUE_NOBODY && task.worker >= r->ledger->n_workers)
        in.bad = true;
    enum nm_err err = in.bad ? NM_EFORMAT : r->fn(r->ctx, &task);
    if (err)
        nm_fail(diag, err, "ledger %s: open task %llu can't be restored: %s", r->ledger->path,
                (unsigned long long)task.task, nm_err_name(err));
    return err;
}

static enum nm_err restore_all(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    const struct restoring *r = ctx;
    struct nm_cursor *cursor;
    struct nm_val key, val;
    enum nm_err err = nm_cursor_open(txn, r->ledger->open, &cursor);
    if (err)
        return err;
    for (err = nm_cursor_seek(cursor, NULL, &key, &val); !err; err = nm_cursor_next(cursor, &key, &val)) {
        err = restore_one(r, key, val, diag);
        if (err)
            break;
    }
    nm_cursor_close(&cursor);
    return err == NM_ENOENT ? NM_OK : err;
}

enum nm_err nm_ledger_restore(struct nm_ledger *ledger, nm_ledger_restore_fn fn, void *ctx, struct nm_diag *diag)
{
    struct restoring r = {ledger, fn, ctx};
    return nm_store_read(ledger->store, restore_all, &r, diag);
}

struct ended_query {
    const struct nm_ledger *ledger;
    struct nm_queue_task *task;
};

static enum nm_err read_ended(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct ended_query *q = ctx;
    struct nm_val val;
    enum nm_err err = nm_txn_get(txn, q->ledger->ended, nm_key_u64(q->task->task), &val);
    if (err)
        return err;
    struct nm_ledger_end end;
    if (!nm_ledger_read_end(val, &end))
        return nm_fail(diag, NM_EFORMAT, "ledger %s: the end of task %llu is damaged", q->ledger->path,
                       (unsigned long long)q->task->task);
    q->task->state = end.state;
    q->task->attempt = end.attempt;
    q->task->worker = end.worker;
    return NM_OK;
}

enum nm_err nm_ledger_ended(struct nm_ledger *ledger, uint64_t task, struct nm_queue_task *ended,
                            struct nm_diag *diag)
{
    *ended = (struct nm_queue_task){.task = task};
    struct ended_query q = {ledger, ended};
    return nm_store_read(ledger->store, read_ended, &q, diag);
}

/* ---- responses ---------------------------------------------------------------------------------------------------
 */

static struct nm_ledger_rule *find_rule(struct nm_ledger *ledger, struct nm_str name)
{
    for (size_t i = 0; i < ledger->n_rules; i++) {
        struct nm_ledger_rule *rule = &ledger->rules[i];
        if (strlen(rule->name) == name.len && memcmp(rule->name, name.ptr, name.len) == 0)
            return rule;
    }
    return NULL;
}

enum nm_err nm_ledger_count_rule(struct nm_ledger *ledger, struct nm_str name)
{
    struct nm_ledger_rule *rule = name.len ? find_rule(ledger, name) : NULL;
    if (!rule && (name.len == 0 || ledger->n_rules >= NM_LEDGER_RULES_MAX - 1)) { /* the last place is for the rest */
        name = nm_str("other");
        rule = find_rule(ledger, name);
    }
    if (!rule) {
        char *copy = strndup(name.ptr, name.len);
        if (!copy)
            return NM_ENOMEM;
        rule = &ledger->rules[ledger->n_rules++];
        *rule = (struct nm_ledger_rule){.name = copy};
    }
    rule->count++;
    ledger->rules_changed = true;
    return NM_OK;
}

enum nm_err nm_ledger_response(struct nm_ledger *ledger, const struct nm_msg_response *response)
{
    return nm_ledger_response_packed(ledger, response, (struct nm_str){NULL, 0});
}

enum nm_err nm_ledger_response_packed(struct nm_ledger *ledger, const struct nm_msg_response *response,
                                      struct nm_str packed)
{
    struct nm_ledger_counters *c = &ledger->counters;
    c->calls++;
    c->accepted += response->accepted;
    c->rejected += nm_response_rejected(response);
    c->reused += response->reused;
    c->shared += response->line > 1;
    *(response->reused ? &c->reused_in : &c->tokens_in) += response->tokens_in;
    *(response->reused ? &c->reused_out : &c->tokens_out) += response->tokens_out;
    c->cost_micros += response->cost_micros;
    size_t offset = ledger->bytes.len;
    enum nm_err err = packed.len ? nm_buf_add(&ledger->bytes, packed.ptr, packed.len)
                                 : nm_response_encode(response, &ledger->bytes);
    if (!err)
        err = nm_ledger_add_put(ledger, ledger->responses, nm_key_u64x2(response->task, response->attempt), offset);
    if (!err && nm_response_rejected(response))
        err = nm_ledger_count_rule(ledger, response->rule);
    return err;
}

struct response_query {
    const struct nm_ledger *ledger;
    uint64_t task, attempt;
    struct nm_arena *arena;
    struct nm_msg_response *response;
};

static enum nm_err read_response(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct response_query *q = ctx;
    struct nm_val val;
    enum nm_err err = nm_txn_get(txn, q->ledger->responses, nm_key_u64x2(q->task, q->attempt), &val);
    return err ? err : nm_response_decode(val.data, val.len, q->arena, q->response, diag);
}

enum nm_err nm_ledger_read_response(struct nm_ledger *ledger, uint64_t task, uint64_t attempt, struct nm_arena *arena,
                                    struct nm_msg_response *response, struct nm_diag *diag)
{
    struct response_query q = {ledger, task, attempt, arena, response};
    return nm_store_read(ledger->store, read_response, &q, diag);
}

/* ---- workers --------------------------------------------------------------------------------- */

uint64_t nm_ledger_worker_key(enum nm_queue_role role, struct nm_str id)
{
    return nm_hash64(id.ptr, id.len, (uint64_t)role + 1);
}

enum nm_err nm_ledger_add_worker(struct nm_ledger *ledger, enum nm_queue_role role, struct nm_str id,
                                 struct nm_str endpoint, uint64_t samples)
{
    if (ledger->n_workers == ledger->cap_workers) {
        uint32_t cap = ledger->cap_workers ? ledger->cap_workers * 2 : 16;
        struct nm_ledger_worker *list = realloc(ledger->list, cap * sizeof *list);
        if (!list)
            return NM_ENOMEM;
        ledger->list = list;
        bool *changed = realloc(ledger->worker_changed, cap * sizeof *changed);
        if (!changed)
            return NM_ENOMEM;
        ledger->worker_changed = changed;
        ledger->cap_workers = cap;
    }
    struct nm_ledger_worker worker = {.role = role, .samples = samples};
    worker.id = strndup(id.len ? id.ptr : "", id.len);
    worker.endpoint = strndup(endpoint.len ? endpoint.ptr : "", endpoint.len);
    void *place = (void *)((uintptr_t)ledger->n_workers + 1); /* a number in a pointer's place: never NULL */
    if (!worker.id || !worker.endpoint ||
        nm_map_put(&ledger->worker_of, nm_ledger_worker_key(role, id), place) != NM_OK) {
        free(worker.id);
        free(worker.endpoint);
        return NM_ENOMEM;
    }
    ledger->worker_changed[ledger->n_workers] = false;
    ledger->list[ledger->n_workers++] = worker;
    return NM_OK;
}

static enum nm_err set_endpoint(struct nm_ledger *ledger, uint32_t number, struct nm_str endpoint)
{
    struct nm_ledger_worker *worker = &ledger->list[number];
    if (strlen(worker->endpoint) == endpoint.len && memcmp(worker->endpoint, endpoint.ptr, endpoint.len) == 0)
        return NM_OK;
    char *copy = strndup(endpoint.len ? endpoint.ptr : "", endpoint.len);
    if (!copy)
        return NM_ENOMEM;
    free(worker->endpoint);
    worker->endpoint = copy;
    ledger->worker_changed[number] = true;
    return NM_OK;
}

enum nm_err nm_ledger_worker(struct nm_ledger *ledger, enum nm_queue_role role, struct nm_str id,
                             struct nm_str endpoint, uint32_t *number)
{
    void *place = nm_map_get(&ledger->worker_of, nm_ledger_worker_key(role, id));
    if (place) {
        *number = (uint32_t)((uintptr_t)place - 1);
        const struct nm_ledger_worker *worker = &ledger->list[*number];
        if (worker->role != role || strlen(worker->id) != id.len || memcmp(worker->id, id.ptr, id.len) != 0)
            return NM_EEXIST; /* two ids of one hash: 2^-64 for honest ones */
        return set_endpoint(ledger, *number, endpoint);
    }
    enum nm_err err = nm_ledger_add_worker(ledger, role, id, endpoint, 0);
    if (err)
        return err;
    *number = ledger->n_workers - 1;
    ledger->worker_changed[*number] = true;
    return NM_OK;
}

static enum nm_err put_worker(struct nm_ledger *ledger, uint32_t number)
{
    const struct nm_ledger_worker *worker = &ledger->list[number];
    struct nm_buf *bytes = &ledger->bytes;
    size_t offset = bytes->len;
    enum nm_err err = nm_record_put(bytes, (uint64_t)worker->role, 1);
    if (!err)
        err = nm_record_put(bytes, worker->samples, 8);
    if (!err)
        err = nm_record_put_text(bytes, worker->id, strlen(worker->id));
    if (!err)
        err = nm_record_put_text(bytes, worker->endpoint, strlen(worker->endpoint));
    if (!err)
        err = nm_record_put(bytes, worker->places, 8);
    if (!err)
        err = nm_record_put(bytes, worker->shards, 8);
    return err ? err : nm_ledger_add_put(ledger, ledger->workers, nm_key_u64(number), offset);
}

/* ---- commit ---------------------------------------------------------------------------------- */

static enum nm_err put_counters(struct nm_ledger *ledger)
{
    size_t offset = ledger->bytes.len;
    enum nm_err err = NM_OK;
#define STORE(name)                                                                                                  \
    if (!err)                                                                                                        \
        err = nm_record_put(&ledger->bytes, ledger->counters.name, 8);
    NM_LEDGER_COUNTERS(STORE)
    return err ? err : nm_ledger_add_put(ledger, ledger->state, nm_key_text("counters"), offset);
}

static enum nm_err put_rules(struct nm_ledger *ledger)
{
    size_t offset = ledger->bytes.len;
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < ledger->n_rules && !err; i++) {
        err = nm_record_put(&ledger->bytes, ledger->rules[i].count, 8);
        if (!err)
            err = nm_record_put_text(&ledger->bytes, ledger->rules[i].name, strlen(ledger->rules[i].name));
    }
    return err ? err : nm_ledger_add_put(ledger, ledger->state, nm_key_text("rules"), offset);
}

/* What is kept in memory and changed joins the collected changes. */
static enum nm_err collect(struct nm_ledger *ledger)
{
    enum nm_err err = nm_ledger_collect_coverage(ledger);
    if (!err)
        err = nm_ledger_collect_keys(ledger);
    for (uint32_t i = 0; i < ledger->n_workers && !err; i++)
        if (ledger->worker_changed[i])
            err = put_worker(ledger, i);
    if (!err && ledger->rules_changed)
        err = put_rules(ledger);
    if (!err && memcmp(&ledger->counters, &ledger->committed, sizeof ledger->counters) != 0)
        err = put_counters(ledger);
    return err;
}

static void forget_changes(struct nm_ledger *ledger)
{
    nm_ledger_forget_coverage(ledger);
    nm_ledger_forget_keys(ledger);
    for (uint32_t i = 0; i < ledger->n_workers; i++)
        ledger->worker_changed[i] = false;
    ledger->rules_changed = false;
    nm_map_clear(&ledger->placing);
    ledger->committed = ledger->counters;
    ledger->n_ops = 0;
    nm_buf_reset(&ledger->bytes);
}

enum nm_err nm_ledger_commit(struct nm_ledger *ledger, struct nm_diag *diag)
{
    size_t ops = ledger->n_ops, bytes = ledger->bytes.len;
    enum nm_err err = collect(ledger);
    if (err)
        nm_fail(diag, err, "ledger %s: %s while preparing a commit", ledger->path, nm_err_name(err));
    if (!err && ledger->n_ops > 0)
        err = nm_store_write(ledger->store, apply, ledger, diag);
    if (err) { /* tried again, what is kept in memory is collected anew */
        ledger->n_ops = ops;
        ledger->bytes.len = bytes;
        return err;
    }
    forget_changes(ledger);
    return NM_OK;
}

/* ---- looking --------------------------------------------------------------------------------- */

struct nm_ledger_counters *nm_ledger_counters(struct nm_ledger *ledger)
{
    return &ledger->counters;
}

const char *nm_ledger_run(const struct nm_ledger *ledger)
{
    return ledger->run;
}

const char *nm_ledger_path(const struct nm_ledger *ledger)
{
    return ledger->path;
}

uint32_t nm_ledger_worker_count(const struct nm_ledger *ledger)
{
    return ledger->n_workers;
}

const struct nm_ledger_worker *nm_ledger_get_worker(const struct nm_ledger *ledger, uint32_t number)
{
    return number < ledger->n_workers ? &ledger->list[number] : NULL;
}

size_t nm_ledger_rules(const struct nm_ledger *ledger, const struct nm_ledger_rule **rules)
{
    *rules = ledger->rules;
    return ledger->n_rules;
}

enum nm_err nm_ledger_set_sync(struct nm_ledger *ledger, bool each_commit, struct nm_diag *diag)
{
    return nm_store_set_sync(ledger->store, each_commit, diag);
}

enum nm_err nm_ledger_sync(struct nm_ledger *ledger, struct nm_diag *diag)
{
    return nm_store_sync(ledger->store, diag);
}

uint64_t nm_ledger_commits(const struct nm_ledger *ledger)
{
    return nm_store_commits(ledger->store);
}

int64_t nm_ledger_commit_us(const struct nm_ledger *ledger)
{
    return nm_store_commit_us(ledger->store);
}
