#include "broker/ledger_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/ledger_check_parts.h"
#include "broker/record.h"

enum { ARENA_MAX = 64 << 20 };

void nm_check_fails(struct nm_check *c, const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    c->findings->violations++;
    c->fn(c->ctx, line);
}

/* ---- three walks side by side, by task ------------------------------------------------------- */

struct walk {
    const char *name;
    size_t key_len;
    struct nm_cursor *cursor;
    struct nm_val key, val;
    bool there;
    uint64_t task;
};

static enum nm_err settle(struct nm_check *c, struct walk *w, enum nm_err err)
{
    while (!err && w->key.len != w->key_len) {
        nm_check_fails(c, "%s: a key of %zu bytes", w->name, w->key.len);
        err = nm_cursor_next(w->cursor, &w->key, &w->val);
    }
    w->there = !err;
    if (w->there)
        w->task = nm_key_part(w->key.data, 0);
    return err == NM_ENOENT ? NM_OK : err;
}

static enum nm_err walk_start(struct nm_check *c, struct nm_txn *txn, enum nm_check_db db, struct walk *w)
{
    w->name = nm_check_db_name(db);
    if (!c->has[db])
        return NM_OK;
    enum nm_err err = nm_cursor_open(txn, c->db[db], &w->cursor);
    return err ? err : settle(c, w, nm_cursor_seek(w->cursor, NULL, &w->key, &w->val));
}

static enum nm_err walk_on(struct nm_check *c, struct walk *w)
{
    return settle(c, w, nm_cursor_next(w->cursor, &w->key, &w->val));
}

/* ---- the answers to one task ------------------------------------------------------------------------------------
 */

/* Of the attempts 1 to n. */
struct answers {
    uint64_t n, early; /* early: the last accepted one before n; 0: none */
    bool last_accepted;
};

static void tally(struct nm_check *c, const struct nm_msg_response *r)
{
    struct nm_ledger_counters *sum = &c->sum;
    sum->calls++;
    sum->accepted += r->accepted;
    sum->rejected += nm_response_rejected(r);
    sum->reused += r->reused;
    sum->shared += r->line > 1;
    *(r->reused ? &sum->reused_in : &sum->tokens_in) += r->tokens_in;
    *(r->reused ? &sum->reused_out : &sum->tokens_out) += r->tokens_out;
    sum->cost_micros += r->cost_micros;
    if (nm_response_rejected(r))
        nm_check_count_rule(c, r->rule);
}

static void look_at_answer(struct nm_check *c, const struct walk *w, struct answers *a)
{
    struct nm_msg_response r;
    struct nm_diag why = {""};
    uint64_t attempt = nm_key_part(w->key.data, 1);
    nm_arena_reset(&c->arena);
    if (attempt != a->n + 1)
        nm_check_fails(c, "task %llu: the answer to attempt %llu follows that to attempt %llu", TASK(w->task),
                       TASK(attempt), TASK(a->n));
    if (nm_response_decode(w->val.data, w->val.len, &c->arena, &r, &why)) {
        nm_check_fails(c, "task %llu: the answer to attempt %llu can't be read: %s", TASK(w->task), TASK(attempt),
                       why.text);
        r = (struct nm_msg_response){.task = w->task, .attempt = attempt};
    } else {
        tally(c, &r);
    }
    if (r.task != w->task || r.attempt != attempt)
        nm_check_fails(c, "task %llu: the answer to attempt %llu says it is task %llu, attempt %llu", TASK(w->task),
                       TASK(attempt), TASK(r.task), TASK(r.attempt));
    if (a->last_accepted)
        a->early = a->n;
    a->last_accepted = r.accepted;
    a->n = attempt;
}

/* ---- one task ----------------------------------------------------------------------------------------------------
 */

static void check_holder(struct nm_check *c, const struct nm_queue_task *t)
{
    const char *state = nm_task_state_name(t->state);
    bool aligner = t->state == NM_TASK_ALIGNING || t->state == NM_TASK_DONE;
    if (!aligner && t->state != NM_TASK_LEASED) {
        if (t->worker != NM_QUEUE_NOBODY)
            nm_check_fails(c, "task %llu is %s, and with worker %u", TASK(t->task), state, t->worker);
        return;
    }
    const struct nm_check_worker *w = t->worker < c->n_workers ? &c->workers[t->worker] : NULL;
    if (!w)
        nm_check_fails(c, "task %llu is %s with worker %u, which there is not", TASK(t->task), state, t->worker);
    else if ((w->role == NM_QUEUE_ALIGNER) != aligner)
        nm_check_fails(c, "task %llu is %s with worker %u, which is of the other role", TASK(t->task), state,
                       t->worker);
    else if (t->state == NM_TASK_DONE)
        c->workers[t->worker].owned++;
}

/* by_hand: buried by an operator, so that the answer to the attempt may be absent. */
static void check_answers(struct nm_check *c, const struct nm_queue_task *t, const struct answers *a, bool by_hand)
{
    const char *state = nm_task_state_name(t->state);
    bool waits = t->state == NM_TASK_READY || t->state == NM_TASK_DELAYED || t->state == NM_TASK_LEASED;
    bool wants_text = !waits && t->state != NM_TASK_DEAD;
    uint64_t expected = waits || (by_hand && a->n + 1 == t->attempt) ? (uint64_t)t->attempt - 1 : t->attempt;
    uint64_t aside = waits && a->last_accepted ? a->n : a->early;
    if (a->n != expected)
        nm_check_fails(c, "task %llu is %s at attempt %u, and the last answer is to attempt %llu", TASK(t->task),
                       state, t->attempt, TASK(a->n));
    else if (wants_text && !a->last_accepted)
        nm_check_fails(c, "task %llu is %s, and its answer to attempt %u was rejected", TASK(t->task), state,
                       t->attempt);
    else if (t->state == NM_TASK_DEAD && a->last_accepted && !by_hand)
        nm_check_fails(c, "task %llu is dead, and its answer to attempt %u was accepted", TASK(t->task), t->attempt);
    if (aside && waits && aside > t->base)
        nm_check_fails(c, "task %llu is %s at attempt %u, though its answer to attempt %llu was accepted",
                       TASK(t->task), state, t->attempt, TASK(aside));
    c->findings->aside += aside != 0;
}

static void read_open(struct nm_check *c, const struct walk *w, struct nm_queue_task *t)
{
    struct nm_record in = {w->val.data, w->val.len, !nm_ledger_is_open(w->val.len)};
    nm_ledger_read_open(&in, t);
    bool state = t->state >= NM_TASK_READY && t->state < NM_TASK_DONE;
    if (in.bad || !state || t->attempt == 0 || t->base >= t->attempt) {
        nm_check_fails(c, "open task %llu: a record that can't be (state %d, attempt %u after %u)", TASK(w->task),
                       (int)t->state, t->attempt, t->base);
        t->state = 0;
    }
}

static void read_ended(struct nm_check *c, const struct walk *w, struct nm_queue_task *t)
{
    struct nm_ledger_end end;
    bool whole = nm_ledger_read_end(w->val, &end);
    t->state = end.state;
    t->attempt = end.attempt;
    t->worker = end.worker;
    bool state = t->state >= NM_TASK_DONE && t->state < NM_TASK_STATES;
    if (!whole || !state || t->attempt == 0) {
        nm_check_fails(c, "ended task %llu: a record that can't be (state %d, attempt %u)", TASK(w->task),
                       (int)t->state, t->attempt);
        t->state = 0;
    }
    c->findings->done += t->state == NM_TASK_DONE;
    c->findings->dead += t->state == NM_TASK_DEAD;
    c->findings->dropped += t->state == NM_TASK_DROPPED;
}

/* A dead letter has its record, and nothing else has. */
static enum nm_err check_letter(struct nm_check *c, struct nm_txn *txn, const struct nm_queue_task *t, bool *by_hand)
{
    struct nm_val val = {NULL, 0};
    enum nm_err err = c->has[CHECK_DEAD] ? nm_txn_get(txn, c->db[CHECK_DEAD], nm_key_u64(t->task), &val) : NM_ENOENT;
    if (err && err != NM_ENOENT)
        return err;
    if (t->state == NM_TASK_DEAD && err)
        nm_check_fails(c, "task %llu is dead, and there is no letter of it", TASK(t->task));
    if (t->state != NM_TASK_DEAD && !err)
        nm_check_fails(c, "task %llu is %s, and there is a dead letter of it", TASK(t->task),
                       nm_task_state_name(t->state));
    struct nm_record in = {val.data, val.len, false};
    *by_hand = !err && nm_record_get(&in, 1) != 0;
    c->letters += !err;
    return NM_OK;
}

static enum nm_err check_task(struct nm_check *c, struct nm_txn *txn, uint64_t task, struct walk *open,
                              struct walk *ended, struct walk *log)
{
    struct nm_queue_task t = {.task = task, .worker = NM_QUEUE_NOBODY};
    struct answers a = {0};
    bool is_open = open->there && open->task == task, is_ended = ended->there && ended->task == task, by_hand = false;
    enum nm_err err = NM_OK;
    while (!err && log->there && log->task == task) {
        look_at_answer(c, log, &a);
        err = walk_on(c, log);
    }
    if (is_ended)
        read_ended(c, ended, &t);
    else if (is_open)
        read_open(c, open, &t);
    if (is_open && is_ended)
        nm_check_fails(c, "task %llu is both open and ended", TASK(task));
    if (!is_open && !is_ended)
        nm_check_fails(c, "task %llu has answers, and is neither open nor ended", TASK(task));
    if (t.state) {
        if (!err)
            err = check_letter(c, txn, &t, &by_hand);
        if (t.state != NM_TASK_ASIDE) { /* that one is as its generation left it */
            check_holder(c, &t);
            check_answers(c, &t, &a, by_hand);
        }
        if (!err)
            err = nm_check_cover(c, txn, &t);
    }
    c->findings->open += is_open;
    if (!err && is_open)
        err = walk_on(c, open);
    return err || !is_ended ? err : walk_on(c, ended);
}

static enum nm_err check_tasks(struct nm_check *c, struct nm_txn *txn)
{
    struct walk walks[3] = {{.key_len = 8}, {.key_len = 8}, {.key_len = 16}};
    const enum nm_check_db dbs[3] = {CHECK_OPEN, CHECK_ENDED, CHECK_RESPONSES};
    enum nm_err err = NM_OK;
    for (int i = 0; i < 3 && !err; i++)
        err = walk_start(c, txn, dbs[i], &walks[i]);
    while (!err && (walks[0].there || walks[1].there || walks[2].there)) {
        uint64_t task = UINT64_MAX;
        for (int i = 0; i < 3; i++)
            if (walks[i].there && walks[i].task < task)
                task = walks[i].task;
        nm_check_number(c, task);
        err = check_task(c, txn, task, &walks[0], &walks[1], &walks[2]);
    }
    for (int i = 0; i < 3; i++)
        if (walks[i].cursor)
            nm_cursor_close(&walks[i].cursor);
    return err;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------
 */

static enum nm_err check_all(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct nm_check *c = ctx;
    (void)diag;
    enum nm_err err = nm_check_load(c, txn);
    if (!err)
        err = check_tasks(c, txn);
    if (!err)
        err = nm_check_sums(c, txn);
    return err;
}

enum nm_err nm_ledger_check(const char *path, nm_ledger_violation_fn fn, void *ctx,
                            struct nm_ledger_findings *findings, struct nm_diag *diag)
{
    struct nm_store_options options = {.path = path, .kind = "ledger", .schema = NM_LEDGER_SCHEMA, .read_only = true};
    struct nm_check c = {.fn = fn, .ctx = ctx, .findings = findings};
    struct nm_store *store = NULL;
    *findings = (struct nm_ledger_findings){.run = ""};
    nm_arena_init(&c.arena, ARENA_MAX);
    enum nm_err err = nm_store_open(&options, &store, NULL, diag);
    for (int i = 0; i < CHECK_DBS && !err; i++) {
        err = nm_store_db(store, nm_check_db_name((enum nm_check_db)i), &c.db[i], diag);
        c.has[i] = !err;
        err = err == NM_ENOENT ? NM_OK : err; /* of a run that has not needed it */
    }
    struct nm_diag why = {""};
    if (!err) {
        err = nm_store_read(store, check_all, &c, &why);
        if (err)
            nm_fail(diag, err, "ledger %s: it can't be read to its end: %s", path,
                    why.text[0] ? why.text : nm_err_name(err));
    }
    nm_check_clean_up(&c);
    nm_store_close(&store);
    return err;
}
