/* What an operator reads: dead letters page by page, and everything about one task. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/desk.h"
#include "broker/shapes.h"
#include "common/clock.h"
#include "common/utf8.h"

enum {
    VERSION = 1,
    PAGE = 20,
    PAGE_MAX = 200,
    PAGE_BYTES = 2 << 20,  /* of texts, roughly; then the page ends early */
    SHORT_TEXT = 2000,     /* bytes of a text in a list */
    LONG_TEXT = 64 << 10,  /* and of one that is peeked at */
    ATTEMPTS_SHOWN = 20,   /* the last ones */
    BODY_WINDOW = 1 << 20, /* bytes of a raw body at once */
};

/* ---- texts ------------------------------------------------------------------------------------------------------
 */

static void set_text(json_t *o, const char *key, struct nm_str text, size_t max)
{
    json_object_set_new(o, key, nm_shape_text(text.ptr, text.len, max));
}

/* b->task is the task; *bytes counts the texts. */
static json_t *entities_json(const struct nm_broker *b, size_t *bytes)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < b->task.n_entities; i++) {
        json_array_append_new(list, nm_shape_entity(b, b->task.entities[i]));
        *bytes += nm_entities_get(b->entities, (size_t)b->task.entities[i])->len;
    }
    return list;
}

/* ---- reading ----------------------------------------------------------------------------------------------------
 */

/* NM_ENOENT is no error here: *there tells. */
static enum nm_err read_response(struct nm_broker *b, uint64_t task, uint64_t attempt, struct nm_msg_response *out,
                                 bool *there, struct nm_diag *diag)
{
    nm_arena_reset(&b->arena);
    enum nm_err err = nm_ledger_read_response(b->ledger, task, attempt, &b->arena, out, diag);
    *there = !err;
    return err == NM_ENOENT ? NM_OK : err;
}

enum nm_err nm_letters_answered(struct nm_broker *b, uint64_t task, uint64_t attempt, bool *answered,
                                struct nm_diag *diag)
{
    struct nm_msg_response ignored;
    return read_response(b, task, attempt, &ignored, answered, diag);
}

static json_t *failure_json(const struct nm_ledger_failed *f, uint64_t attempt)
{
    json_t *o = nm_shape_failure(f->kind, f->status, f->endpoint, f->detail, f->at_ms);
    nm_shape_set(o, "attempt", attempt);
    nm_shape_set(o, "count", f->count);
    nm_shape_set(o, "tokens_in", f->tokens_in);
    nm_shape_set(o, "tokens_out", f->tokens_out);
    return o;
}

/* The first attempt that is shown. */
static uint64_t first_shown(uint64_t last)
{
    return last > ATTEMPTS_SHOWN ? last - ATTEMPTS_SHOWN + 1 : 1;
}

/* Calls without an answer, attempt by attempt; *total of those shown. */
static enum nm_err failures_json(struct nm_broker *b, uint64_t task, uint64_t last, json_t *list, uint64_t *total,
                                 struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    *total = 0;
    for (uint64_t attempt = first_shown(last); attempt <= last && !err; attempt++) {
        struct nm_ledger_failed failed;
        err = nm_ledger_read_failure(b->ledger, task, attempt, &failed, diag);
        if (err || failed.count == 0)
            continue;
        *total += failed.count;
        json_array_append_new(list, failure_json(&failed, attempt));
    }
    return err;
}

/* ---- dead -------------------------------------------------------------------------------------------------------
 */

static void set_letter(json_t *o, const struct nm_ledger_dead *letter)
{
    json_object_set_new(o, "by_hand", json_boolean(letter->by_hand));
    json_object_set_new(o, "why", nm_shape_text(letter->why, strlen(letter->why), sizeof letter->why));
    json_object_set_new(o, "at_ms", json_integer(letter->at_ms));
}

static enum nm_err letter_json(struct nm_broker *b, const struct nm_ledger_dead *letter, json_t *list, size_t *bytes,
                               struct nm_diag *diag)
{
    struct nm_msg_response r = {0};
    uint64_t attempts = letter->attempt, failures = 0;
    bool there;
    enum nm_err err = read_response(b, letter->task, attempts, &r, &there, diag);
    if (!err && !there && --attempts > 0) /* buried before that attempt was answered */
        err = read_response(b, letter->task, attempts, &r, &there, diag);
    if (err)
        return err;
    json_t *o = json_object(), *failed = json_array();
    nm_shape_set(o, "task", letter->task);
    json_object_set_new(o, "rule",
                        letter->by_hand ? json_string("buried") : nm_shape_text(r.rule.ptr, r.rule.len, NM_NAME_MAX));
    set_text(o, "detail", r.detail, SHORT_TEXT);
    nm_shape_set(o, "attempts", attempts);
    set_letter(o, letter);
    set_text(o, "prompt", r.prompt, LONG_TEXT);
    *bytes += r.prompt.len < LONG_TEXT ? r.prompt.len : LONG_TEXT;
    set_text(o, "prompt_hash", r.prompt_hash, NM_NAME_MAX);
    set_text(o, "endpoint", r.endpoint, NM_NAME_MAX);
    set_text(o, "model", r.model, NM_NAME_MAX);
    set_text(o, "text", r.text, SHORT_TEXT);
    *bytes += r.text.len < SHORT_TEXT ? r.text.len : SHORT_TEXT;
    err = failures_json(b, letter->task, letter->attempt, failed, &failures, diag);
    nm_shape_set(o, "failures", failures);
    json_t *last = json_array_get(failed, json_array_size(failed) ? json_array_size(failed) - 1 : 0);
    json_object_set(o, "error", last ? last : json_null());
    json_decref(failed);
    (void)nm_again_task(b, letter->task, diag); /* none are named where that is not known */
    json_object_set_new(o, "entities", entities_json(b, bytes));
    json_array_append_new(list, o);
    return err;
}

enum nm_err nm_letters_dead(struct nm_broker *b, const json_t *request, json_t **answer, struct nm_diag *diag)
{
    uint64_t from = 0, limit = PAGE;
    (void)nm_desk_count(request, "from", &from);
    (void)nm_desk_count(request, "limit", &limit);
    limit = limit < 1 ? 1 : limit > PAGE_MAX ? PAGE_MAX : limit;
    struct nm_ledger_dead *letters = calloc((size_t)limit + 1, sizeof *letters);
    if (!letters)
        return NM_ENOMEM;
    size_t n = 0, bytes = 0, shown = 0;
    json_t *list = json_array();
    enum nm_err err = nm_ledger_list_dead(b->ledger, from, letters, (size_t)limit + 1, &n, diag);
    for (; shown < n && shown < limit && bytes < PAGE_BYTES && !err; shown++)
        err = letter_json(b, &letters[shown], list, &bytes, diag);
    *answer = json_pack("{s:i, s:I, s:o}", "version", VERSION, "total",
                        (json_int_t)nm_queue_get_totals(b->queue)->dead, "dead", list);
    json_object_set_new(*answer, "next", shown < n ? json_integer((json_int_t)letters[shown].task) : json_null());
    free(letters);
    return err;
}

/* ---- peek -------------------------------------------------------------------------------------------------------
 */

/* Each as start, end, type and state, as in a span. */
static json_t *mentions_json(const struct nm_msg_response *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_mentions; i++) {
        const struct nm_msg_span *m = &r->mentions[i];
        json_array_append_new(list, json_pack("[I, I, I, I]", (json_int_t)m->start, (json_int_t)m->end,
                                              (json_int_t)m->type, (json_int_t)m->state));
    }
    return list;
}

static json_t *response_json(const struct nm_msg_response *r)
{
    json_t *o = json_object();
    nm_shape_set(o, "attempt", r->attempt);
    json_object_set_new(o, "accepted", json_boolean(r->accepted));
    set_text(o, "rule", r->rule, NM_NAME_MAX);
    set_text(o, "detail", r->detail, NM_LINE_MAX);
    set_text(o, "text", r->text, LONG_TEXT);
    set_text(o, "prompt", r->prompt, LONG_TEXT);
    set_text(o, "prompt_hash", r->prompt_hash, NM_NAME_MAX);
    set_text(o, "endpoint", r->endpoint, NM_NAME_MAX);
    set_text(o, "model", r->model, NM_NAME_MAX);
    set_text(o, "constraint", r->constraint, NM_NAME_MAX);
    nm_shape_set(o, "seed", r->seed);
    nm_shape_set(o, "status", r->status);
    nm_shape_set(o, "tokens_in", r->tokens_in);
    nm_shape_set(o, "tokens_out", r->tokens_out);
    nm_shape_set(o, "latency_ms", r->latency_ms);
    nm_shape_set(o, "created_ms", r->created_ms);
    nm_shape_set(o, "cost_micros", r->cost_micros);
    nm_shape_set(o, "body_bytes", r->body.len);
    json_object_set_new(o, "verifies", json_boolean(r->verifies));
    json_object_set_new(o, "reused", json_boolean(r->reused));
    if (r->reused || r->line > 1)
        nm_shape_set(o, "reused_from", r->reused_from);
    if (r->lines > 1) {
        nm_shape_set(o, "line", r->line);
        nm_shape_set(o, "lines", r->lines);
    }
    json_object_set_new(o, "mentions", mentions_json(r));
    json_object_set_new(o, "span", json_pack("[I, I]", (json_int_t)r->span_start, (json_int_t)r->span_end));
    return o;
}

static enum nm_err peek_body(struct nm_broker *b, const json_t *request, uint64_t task, uint64_t attempt,
                             json_t **answer, struct nm_diag *diag)
{
    struct nm_msg_response r;
    uint64_t offset = 0;
    bool there;
    (void)nm_desk_count(request, "offset", &offset);
    enum nm_err err = read_response(b, task, attempt, &r, &there, diag);
    if (!err && there && r.line > 1) /* of the call that it shared */
        err = read_response(b, r.reused_from, attempt, &r, &there, diag);
    if (err)
        return err;
    if (!there || offset > r.body.len) {
        *answer = there ? nm_desk_complain("the body has %zu bytes", r.body.len)
                        : nm_desk_complain("attempt %llu of task %llu has no answer", (unsigned long long)attempt,
                                           (unsigned long long)task);
        return NM_OK;
    }
    const char *data = r.body.ptr + offset;
    size_t left = r.body.len - (size_t)offset, len = left < BODY_WINDOW ? left : BODY_WINDOW;
    json_t *o = json_pack("{s:i, s:I, s:I, s:I, s:I}", "version", VERSION, "task", (json_int_t)task, "attempt",
                          (json_int_t)attempt, "offset", (json_int_t)offset, "total", (json_int_t)r.body.len);
    size_t cut = len; /* between characters */
    while (cut > 0 && len - cut < 4 && !nm_utf8_valid(data, cut, NULL))
        cut--;
    if (cut == 0 || len - cut < 4) {
        json_object_set_new(o, "body", json_stringn(data, cut));
        *answer = o;
        return NM_OK;
    }
    char *hex = nm_arena_alloc(&b->arena, 2 * len + 1);
    for (size_t i = 0; hex && i < len; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", (unsigned char)data[i]);
    json_object_set_new(o, "body_hex", json_string(hex ? hex : ""));
    *answer = o;
    return hex ? NM_OK : NM_ENOMEM;
}

/* The state, who has it, and why it is dead; *last: the attempt up to which there may be answers. */
static enum nm_err set_state(struct nm_broker *b, json_t *o, uint64_t task, uint64_t *last, struct nm_diag *diag)
{
    struct nm_queue_task view = {.attempt = 0};
    enum nm_err err = NM_OK;
    bool open = nm_queue_get(b->queue, task, &view);
    if (!open)
        err = nm_ledger_ended(b->ledger, task, &view, diag);
    if (err && err != NM_ENOENT)
        return err;
    *last = err ? 0 : view.attempt;
    json_object_set_new(o, "state", json_string(err ? "unopened" : nm_task_state_name(view.state)));
    if (err)
        return NM_OK;
    const struct nm_ledger_worker *worker = nm_ledger_get_worker(b->ledger, view.worker);
    nm_shape_set(o, "attempt", view.attempt);
    json_object_set_new(o, "worker", worker ? json_string(worker->id) : json_null());
    if (open)
        json_object_set_new(o, "last_try", json_boolean(nm_queue_last_try(b->queue, &view)));
    if (view.state == NM_TASK_DELAYED)
        json_object_set_new(o, "due_in_ms", json_integer(view.due_ms - nm_clock_mono_ms()));
    struct nm_ledger_dead letter;
    size_t n = 0;
    if (view.state != NM_TASK_DEAD)
        return NM_OK;
    err = nm_ledger_list_dead(b->ledger, task, &letter, 1, &n, diag);
    if (!err && n == 1 && letter.task == task)
        set_letter(o, &letter);
    return err;
}

static void set_asked(struct nm_broker *b, json_t *o, uint64_t task)
{
    size_t bytes = 0;
    struct nm_diag diag = {""};
    (void)nm_again_task(b, task, &diag); /* an extra task that was never opened asks for nothing */
    json_object_set_new(o, "entities", entities_json(b, &bytes));
    json_object_set_new(o, "negative", json_boolean(b->task.negative));
    json_object_set_new(o, "style", json_string(b->styles[b->task.style]));
    if (b->project->generation.n_sections)
        json_object_set_new(o, "section", json_string(b->project->generation.sections[b->task.section]));
    nm_shape_set(o, "min_words", b->task.min_words);
    nm_shape_set(o, "max_words", b->task.max_words);
}

enum nm_err nm_letters_peek(struct nm_broker *b, const json_t *request, json_t **answer, struct nm_diag *diag)
{
    uint64_t task, attempt, last = 0, failures;
    if (!nm_desk_count(request, "task", &task)) {
        *answer = nm_desk_complain("peek takes \"task\", a number");
        return NM_OK;
    }
    if (nm_desk_count(request, "body", &attempt))
        return peek_body(b, request, task, attempt, answer, diag);
    json_t *o = json_pack("{s:i, s:I}", "version", VERSION, "task", (json_int_t)task);
    json_t *responses = json_array(), *failed = json_array();
    enum nm_err err = set_state(b, o, task, &last, diag);
    set_asked(b, o, task);
    for (uint64_t i = first_shown(last); i <= last && !err; i++) {
        struct nm_msg_response r;
        bool there;
        err = read_response(b, task, i, &r, &there, diag);
        if (!err && there)
            json_array_append_new(responses, response_json(&r));
    }
    json_object_set_new(o, "responses", responses);
    if (!err)
        err = failures_json(b, task, last, failed, &failures, diag);
    nm_shape_set(o, "failures", err ? 0 : failures);
    json_object_set_new(o, "failed_calls", failed);
    *answer = o;
    return err;
}
