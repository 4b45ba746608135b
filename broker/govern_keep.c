/* The governor's figures: in the ledger, as the note "governor", and in the statistics. */
#include <stdlib.h>
#include <string.h>

#include "broker/govern.h"
#include "broker/record.h"
#include "broker/shapes.h"
#include "common/clock.h"

enum { FORM = 1, NOTE_MAX = 16 << 20 };

static const char note[] = "governor";

/* ---- written -----------------------------------------------------------------------------------------------------
 */

static enum nm_err put_sum(struct nm_buf *out, struct nm_governor_sum sum)
{
    enum nm_err err = nm_record_put(out, sum.requests, 8);
    if (!err)
        err = nm_record_put(out, sum.tokens, 8);
    return err ? err : nm_record_put(out, sum.money, 8);
}

static enum nm_err put_endpoint(struct nm_buf *out, const char *name, const struct nm_governor_saved *s)
{
    enum nm_err err = nm_record_put_text(out, name, strlen(name));
    if (!err)
        err = put_sum(out, s->spent);
    if (!err)
        err = put_sum(out, s->overrun);
    const uint64_t numbers[] = {s->window_milli, s->prompt, s->failures, (uint64_t)s->why, (uint64_t)s->pause_ms};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && !err; i++)
        err = nm_record_put(out, numbers[i], 8);
    for (size_t i = 0; i < NM_GOVERNOR_SLOTS && !err; i++) {
        err = nm_record_put(out, s->slots[i].requests, 8);
        if (!err)
            err = nm_record_put(out, s->slots[i].tokens, 8);
    }
    return err;
}

enum nm_err nm_govern_record(struct nm_broker *b)
{
    bool changed = false;
    for (uint32_t i = 0; i < b->project->n_endpoints; i++)
        changed = changed || nm_governor_changed(b->governor, i);
    if (!changed)
        return NM_OK;
    struct nm_buf *out = &b->note;
    nm_buf_reset(out);
    enum nm_err err = nm_record_put(out, FORM, 1);
    if (!err)
        err = nm_record_put(out, (uint64_t)nm_clock_wall_ms(), 8);
    if (!err)
        err = put_sum(out, nm_governor_spent(b->governor));
    for (uint32_t i = 0; i < b->project->n_endpoints && !err; i++) {
        struct nm_governor_saved saved;
        nm_governor_save(b->governor, i, b->now, &saved);
        err = put_endpoint(out, b->endpoints[i].name, &saved);
    }
    return err ? err : nm_ledger_note(b->ledger, note, out->data, out->len);
}

/* ---- read --------------------------------------------------------------------------------------------------------
 */

static struct nm_governor_sum get_sum(struct nm_record *in)
{
    struct nm_governor_sum sum;
    sum.requests = nm_record_get(in, 8);
    sum.tokens = nm_record_get(in, 8);
    sum.money = nm_record_get(in, 8);
    return sum;
}

static void get_endpoint(struct nm_broker *b, struct nm_record *in, int64_t later_ms)
{
    struct nm_governor_saved s;
    size_t len;
    const char *name = nm_record_get_text(in, &len);
    s.spent = get_sum(in);
    s.overrun = get_sum(in);
    s.window_milli = nm_record_get(in, 8);
    s.prompt = nm_record_get(in, 8);
    s.failures = (uint32_t)nm_record_get(in, 8);
    s.why = (enum nm_governor_why)nm_record_get(in, 8);
    s.pause_ms = (int64_t)nm_record_get(in, 8);
    for (size_t i = 0; i < NM_GOVERNOR_SLOTS; i++) {
        s.slots[i].requests = nm_record_get(in, 8);
        s.slots[i].tokens = nm_record_get(in, 8);
    }
    for (uint32_t i = 0; i < b->project->n_endpoints && !in->bad; i++)
        if (strlen(b->endpoints[i].name) == len && memcmp(b->endpoints[i].name, name, len) == 0)
            nm_governor_restore(b->governor, i, &s, later_ms, b->now);
}

static enum nm_err load_note(struct nm_broker *b, struct nm_diag *diag)
{
    nm_buf_reset(&b->note);
    enum nm_err err = nm_ledger_read_note(b->ledger, note, &b->note, diag);
    if (err == NM_ENOENT) { /* a run that began before there was a governor */
        const struct nm_ledger_counters *c = nm_ledger_counters(b->ledger);
        const struct nm_governor_sum spent = {c->calls, c->tokens_in + c->tokens_out, c->cost_micros};
        nm_governor_restore_spent(b->governor, &spent);
        return NM_OK;
    }
    if (err)
        return err;
    struct nm_record in = {(const unsigned char *)nm_buf_str(&b->note), b->note.len, false};
    uint64_t form = nm_record_get(&in, 1);
    int64_t later = nm_clock_wall_ms() - (int64_t)nm_record_get(&in, 8);
    struct nm_governor_sum spent = get_sum(&in);
    nm_governor_restore_spent(b->governor, &spent);
    while (in.left && !in.bad && form == FORM)
        get_endpoint(b, &in, later);
    return in.bad || form != FORM
               ? nm_fail(diag, NM_EFORMAT, "ledger %s is damaged: what was spent is not to be read",
                         nm_ledger_path(b->ledger))
               : NM_OK;
}

enum nm_err nm_govern_load(struct nm_broker *b, struct nm_diag *diag)
{
    nm_buf_init(&b->note, NOTE_MAX);
    enum nm_err err = load_note(b, diag);
    return err ? err : nm_govern_load_grants(b, diag);
}

/* ---- shown -------------------------------------------------------------------------------------------------------
 */

static json_t *sum_json(struct nm_governor_sum sum)
{
    json_t *o = json_object();
    nm_shape_set(o, "requests", sum.requests);
    nm_shape_set(o, "tokens", sum.tokens);
    nm_shape_set(o, "money_micros", sum.money);
    return o;
}

json_t *nm_govern_budget_json(const struct nm_broker *b)
{
    json_t *o = json_object();
    json_object_set_new(o, "limit", sum_json(nm_governor_budget(b->governor)));
    json_object_set_new(o, "spent", sum_json(nm_governor_spent(b->governor)));
    json_object_set_new(o, "reserved", sum_json(nm_governor_reserved(b->governor)));
    json_object_set_new(o, "exhausted", json_boolean(nm_governor_exhausted(b->governor)));
    return o;
}

void nm_govern_endpoint_json(const struct nm_broker *b, uint32_t endpoint, json_t *o)
{
    struct nm_governor_view v;
    nm_governor_look(b->governor, endpoint, b->now, &v);
    json_object_set_new(o, "window", json_real(v.window));
    nm_shape_set(o, "in_flight", v.in_flight);
    nm_shape_set(o, "requests_last_minute", v.requests_last_minute);
    nm_shape_set(o, "tokens_last_minute", v.tokens_last_minute);
    nm_shape_set(o, "spent_requests", v.spent.requests);
    nm_shape_set(o, "spent_tokens", v.spent.tokens);
    nm_shape_set(o, "spent_money_micros", v.spent.money);
    nm_shape_set(o, "overruns", v.overrun.requests);
    nm_shape_set(o, "waits_ms", (uint64_t)v.pause_ms);
    json_object_set_new(o, "why", json_string(nm_governor_why_name(v.why)));
}
