/* What people see: one JSON document, asked for or published each second.  PROTOCOL.md lists its fields. */
#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "broker/dedup.h"
#include "broker/desk.h"
#include "broker/govern.h"
#include "broker/shapes.h"
#include "broker/stream.h"
#include "common/clock.h"
#include "common/log.h"

enum { STATS_VERSION = 1, ANSWERS_A_TURN = 64, GIVEN_UP_LISTED = 10 };

const char *nm_broker_state(const struct nm_broker *b)
{
    enum nm_phase phase = nm_queue_phase(b->queue);
    if (b->stopping)
        return "draining";
    if (phase == NM_PHASE_COMPLETE)
        return "complete";
    if (phase == NM_PHASE_DRAINED)
        return "drained";
    if (b->desk.paused)
        return "paused";
    if (b->desk.draining)
        return "draining";
    if (nm_govern_exhausted(b))
        return "budget";
    if (nm_endpoints_failed(b))
        return "endpoints_failed";
    return phase == NM_PHASE_STUCK ? "stuck" : "running";
}

/* ---- the parts ------------------------------------------------------------------------------- */

static json_t *tasks_json(const struct nm_broker *b)
{
    const struct nm_queue_totals *t = nm_queue_get_totals(b->queue);
    json_t *o = json_object();
    nm_shape_set(o, "opened", t->opened);
    for (int state = NM_TASK_READY; state <= NM_TASK_ALIGNING; state++)
        nm_shape_set(o, nm_task_state_name((enum nm_task_state)state),
                     nm_queue_count(b->queue, (enum nm_task_state)state));
    nm_shape_set(o, "done", t->done);
    nm_shape_set(o, "dead", t->dead);
    nm_shape_set(o, "dropped", t->dropped);
    return o;
}

/* Events a second between the last snapshot and the one before that many seconds, or the oldest there is. */
static json_t *rate_json(const struct nm_broker *b, size_t member)
{
    json_t *o = json_object();
    const size_t spans[] = {1, 60, RATE_SECONDS - 1};
    const char *const names[] = {"1s", "1m", "1h"};
    for (int i = 0; i < 3; i++) {
        size_t have = b->n_rates ? b->n_rates - 1 : 0;
        size_t span = spans[i] < have ? spans[i] : have;
        double rate = 0;
        if (span) {
            uint64_t now, before;
            memcpy(&now, (const char *)&b->rates[(b->n_rates - 1) % RATE_SECONDS] + member, sizeof now);
            memcpy(&before, (const char *)&b->rates[(b->n_rates - 1 - span) % RATE_SECONDS] + member, sizeof before);
            rate = (double)(now - before) / (double)span;
        }
        json_object_set_new(o, names[i], json_real(rate));
    }
    return o;
}

static json_t *rates_json(const struct nm_broker *b)
{
    json_t *o = json_object();
    json_object_set_new(o, "calls", rate_json(b, offsetof(struct snapshot, calls)));
    json_object_set_new(o, "accepted", rate_json(b, offsetof(struct snapshot, accepted)));
    json_object_set_new(o, "done", rate_json(b, offsetof(struct snapshot, done)));
    return o;
}

static json_t *histogram_json(const struct nm_histogram *h)
{
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};
    json_t *o = json_object();
    nm_shape_set(o, "count", h->n);
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++)
        nm_shape_set(o, quantiles[i].name, nm_histogram_quantile(h, quantiles[i].q));
    nm_shape_set(o, "max", h->max);
    return o;
}

static json_t *window_json(struct nm_window *w)
{
    struct nm_histogram recent;
    nm_window_recent(w, nm_clock_mono_ms(), &recent);
    json_t *o = json_object();
    json_object_set_new(o, "1m", histogram_json(&recent));
    json_object_set_new(o, "total", histogram_json(&w->total));
    return o;
}

static json_t *latency_json(const struct nm_broker *b)
{
    static const char *const names[NM_STEPS] = {
        [NM_STEP_LEASE] = "lease", [NM_STEP_ALIGN] = "align", [NM_STEP_FSYNC] = "fsync"};
    json_t *o = json_object();
    for (int i = 0; i < NM_STEPS; i++)
        json_object_set_new(o, names[i], window_json(&b->latency.steps[i]));
    return o;
}

static json_t *rules_json(const struct nm_broker *b)
{
    const struct nm_ledger_rule *rules;
    size_t n = nm_ledger_rules(b->ledger, &rules);
    json_t *o = json_object();
    for (size_t i = 0; i < n; i++)
        nm_shape_set(o, rules[i].name, rules[i].count);
    return o;
}

static json_t *spans_json(const struct nm_broker *b)
{
    const struct nm_ledger_counters *c = nm_ledger_counters(b->ledger);
    json_t *o = json_object();
#define SET(name) nm_shape_set(o, #name + sizeof "span_" - 1, c->name);
    NM_LEDGER_SPANS(SET)
#undef SET
    return o;
}

static json_t *worker_json(const struct nm_broker *b, uint32_t i)
{
    const struct nm_ledger_worker *w = nm_ledger_get_worker(b->ledger, i);
    const struct session *s = i < b->n_sessions ? b->sessions[i] : NULL;
    json_t *o = json_object();
    json_object_set_new(o, "id", json_string(w->id));
    json_object_set_new(o, "role", json_string(nm_queue_role_name(w->role)));
    json_object_set_new(o, "connected", json_boolean(s && s->connected));
    nm_shape_set(o, "in_flight", nm_queue_in_flight(b->queue, i));
    if (w->role == NM_QUEUE_ALIGNER) {
        json_object_set_new(o, "endpoint", json_string(w->endpoint));
        nm_shape_set(o, "samples", w->samples);
    }
    if (s) {
        json_object_set_new(o, "host", json_string(s->host));
        nm_shape_set(o, "pid", s->pid);
        json_object_set_new(o, "software", json_string(s->software));
        json_object_set_new(o, "last_seen_ms", json_integer(nm_clock_mono_ms() - s->seen));
    }
    return o;
}

json_t *nm_stats_workers(const struct nm_broker *b)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < nm_ledger_worker_count(b->ledger); i++)
        json_array_append_new(list, worker_json(b, i));
    return list;
}

/* How many, and the first few with their words. */
static json_t *given_up_json(const struct nm_broker *b)
{
    uint64_t first[GIVEN_UP_LISTED];
    size_t n = b->coverage ? nm_coverage_list_given_up(b->coverage, first, GIVEN_UP_LISTED) : 0;
    json_t *o = json_object(), *list = json_array();
    for (size_t i = 0; i < n; i++) {
        struct nm_ledger_entity had = nm_ledger_get_entity(b->ledger, first[i]);
        json_t *e = nm_shape_entity(b, first[i]);
        nm_shape_set(e, "accepted", had.accepted);
        nm_shape_set(e, "rejected", had.rejected);
        json_array_append_new(list, e);
    }
    nm_shape_set(o, "count", b->coverage ? nm_coverage_given_up(b->coverage) : 0);
    json_object_set_new(o, "first", list);
    return o;
}

static json_t *coverage_json(const struct nm_broker *b)
{
    struct nm_ledger_coverage c = nm_ledger_get_coverage(b->ledger);
    uint64_t asked = nm_plan_slots(b->plan, nm_queue_get_totals(b->queue)->opened);
    json_t *o = json_object();
    nm_shape_set(o, "entities", c.entities);
    nm_shape_set(o, "asked", asked);
    nm_shape_set(o, "min", c.min);
    nm_shape_set(o, "max", c.max);
    json_object_set_new(o, "mean", json_real(c.entities ? (double)c.sum / (double)c.entities : 0));
    nm_shape_set(o, "min_per_entity", b->project->goal.min_per_entity);
    nm_shape_set(o, "asked_again", nm_queue_get_totals(b->queue)->extra);
    nm_shape_set(o, "short", b->coverage ? nm_coverage_short(b->coverage) : 0);
    json_object_set_new(o, "given_up", given_up_json(b));
    return o;
}

static json_t *endpoints_json(const struct nm_broker *b)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < b->project->n_endpoints; i++) {
        const struct endpoint *e = &b->endpoints[i];
        json_t *o = json_object();
        json_object_set_new(o, "name", json_string(e->name));
        json_object_set_new(o, "failed", json_boolean(e->failed));
        json_object_set_new(o, "paused", json_boolean(e->paused));
        json_object_set_new(o, "detail", e->failed ? json_string(e->detail) : json_null());
        json_object_set_new(o, "latency_us", window_json(&b->latency.endpoints[i]));
        nm_govern_endpoint_json(b, i, o);
        json_object_set_new(o, "circuits", nm_circuits_json(b, i));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *failure_json(const struct nm_broker *b)
{
    const struct failure *f = &b->failure;
    if (!f->at_ms)
        return json_null();
    json_t *o = nm_shape_failure(f->kind, f->status, f->endpoint, f->detail, f->at_ms);
    nm_shape_set(o, "task", f->task);
    return o;
}

static json_t *ledger_json(const struct nm_broker *b)
{
    json_t *o = json_object();
    json_object_set_new(o, "path", json_string(nm_ledger_path(b->ledger)));
    nm_shape_set(o, "commits", nm_ledger_commits(b->ledger));
    json_object_set_new(o, "fsync_us", json_integer((json_int_t)nm_ledger_commit_us(b->ledger)));
    json_object_set_new(o, "slowest_fsync_us", json_integer((json_int_t)b->slowest_commit_us));
    return o;
}

static void set_counters(const struct nm_broker *b, json_t *o)
{
    const struct nm_ledger_counters *c = nm_ledger_counters(b->ledger);
    nm_shape_set(o, "responses", c->calls);
    nm_shape_set(o, "accepted", c->accepted);
    nm_shape_set(o, "rejected", c->rejected);
    nm_shape_set(o, "reused", c->reused);
    nm_shape_set(o, "reused_tokens_in", c->reused_in);
    nm_shape_set(o, "reused_tokens_out", c->reused_out);
    nm_shape_set(o, "shared", c->shared);
    json_object_set_new(o, "accepted_share", json_real(c->calls ? (double)c->accepted / (double)c->calls : 0));
    json_object_set_new(o, "rejected_by_rule", rules_json(b));
    if (b->dedup)
        json_object_set_new(o, "dedup", nm_dedup_describe(b->dedup));
    nm_shape_set(o, "aligned", nm_queue_get_totals(b->queue)->done);
    nm_shape_set(o, "leased", nm_queue_count(b->queue, NM_TASK_LEASED));
    nm_shape_set(o, "dead", nm_queue_get_totals(b->queue)->dead);
    nm_shape_set(o, "failures", c->failures);
    nm_shape_set(o, "late", c->late);
    nm_shape_set(o, "duplicates", c->duplicates);
    nm_shape_set(o, "foreign", c->foreign);
    nm_shape_set(o, "expired", c->expired);
    nm_shape_set(o, "malformed", b->malformed);
    nm_shape_set(o, "unknown_senders", b->unknown);
    nm_shape_set(o, "tokens_in", c->tokens_in);
    nm_shape_set(o, "tokens_out", c->tokens_out);
    nm_shape_set(o, "cost_micros", c->cost_micros);
}

/* Each section is one function; a new one is one line here. */
static const struct {
    const char *name;
    json_t *(*make)(const struct nm_broker *b);
} sections[] = {
    {"tasks", tasks_json},         {"rates", rates_json},          {"latency_us", latency_json},
    {"workers", nm_stats_workers}, {"endpoints", endpoints_json},  {"budget", nm_govern_budget_json},
    {"coverage", coverage_json},   {"last_failure", failure_json}, {"ledger", ledger_json},
    {"spans", spans_json},         {"training", nm_training_json},
};

static json_t *document(const struct nm_broker *b)
{
    json_t *o = json_object();
    json_object_set_new(o, "version", json_integer(STATS_VERSION));
    json_object_set_new(o, "software", json_string(NM_VERSION));
    json_object_set_new(o, "run", json_string(nm_ledger_run(b->ledger)));
    nm_shape_set(o, "generation", nm_ledger_generation(b->ledger));
    json_object_set_new(o, "project", json_string(b->project->name));
    json_object_set_new(o, "time_ms", json_integer(nm_clock_wall_ms()));
    json_object_set_new(o, "uptime_ms", json_integer(nm_clock_mono_ms() - b->started_ms));
    json_object_set_new(o, "state", json_string(nm_broker_state(b)));
    json_object_set_new(o, "complete", json_boolean(nm_queue_phase(b->queue) == NM_PHASE_COMPLETE));
    nm_shape_set(o, "goal", b->goal);
    set_counters(b, o);
    json_object_set_new(o, "oldest_ready_ms",
                        json_integer((json_int_t)nm_queue_oldest_ms(b->queue, nm_clock_mono_ms())));
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        json_object_set_new(o, sections[i].name, sections[i].make(b));
    const json_t *minute = json_object_get(json_object_get(json_object_get(o, "rates"), "accepted"), "1m");
    json_object_set_new(o, "rate_per_min", json_real(60 * json_number_value(minute)));
    return o;
}

/* ---- asked and published --------------------------------------------------------------------- */

static void send_json(struct nm_socket *socket, const struct nm_peer *peer, json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(o);
    if (!text)
        return;
    enum nm_err err = nm_socket_send(socket, peer, text, strlen(text));
    if (err)
        nm_debug("stats were not sent: %s", nm_err_name(err));
    free(text);
}

/* An answer that waits for the commit. */
struct late {
    struct nm_peer peer;
    json_t *answer;
};

/* Who asks found this port in the file of a run whose broker had it before us: NULL, where that run is ours. */
static json_t *of_another_run(const struct nm_broker *b, const json_t *request)
{
    const char *run = json_string_value(json_object_get(request, "run"));
    if (!run || strcmp(run, nm_ledger_run(b->ledger)) == 0)
        return NULL;
    json_t *answer = nm_desk_complain("this is the broker of another run");
    json_object_set_new(answer, "run", json_string(nm_ledger_run(b->ledger)));
    json_object_set_new(answer, "project", json_string(b->project->name));
    return answer;
}

static enum nm_err obey(struct nm_broker *b, const json_t *request, json_t **answer, bool *changed,
                        struct nm_diag *diag)
{
    const char *command = json_string_value(json_object_get(request, "command"));
    *changed = false;
    *answer = of_another_run(b, request);
    if (*answer)
        return NM_OK;
    if (!command) {
        *answer = nm_desk_complain("a request is one frame of JSON like {\"command\":\"stats\"}");
    } else if (strcmp(command, "stats") == 0) {
        *answer = document(b);
    } else if (strcmp(command, "published") == 0) {
        *answer = nm_stream_last(b->stream, STATS_VERSION);
    } else if (strcmp(command, "shutdown") == 0) {
        nm_info("shutdown was asked for on the stats socket");
        b->stopping = true;
        *answer = json_pack("{s:i, s:s}", "version", STATS_VERSION, "state", "draining");
    } else {
        enum nm_err err = nm_desk_obey(b, command, request, answer, changed, diag);
        if (err)
            return err;
        if (!*answer)
            *answer = nm_desk_complain(
                "unknown command: there are stats, published, shutdown, pause, resume, drain, limit, "
                "dead, peek, kick, bury, coverage and workers");
    }
    return *answer ? NM_OK : nm_fail(diag, NM_ENOMEM, "no memory for an answer");
}

/* The next request, answered at once or put into *late.  NM_EBUSY: there is none. */
static enum nm_err answer_one(struct nm_broker *b, struct late *late, struct nm_diag *diag)
{
    struct nm_peer peer;
    json_t *answer;
    bool changed;
    enum nm_err err = nm_socket_recv(b->stats, &peer, &b->in);
    if (err == NM_EBUSY || err == NM_ECANCELED)
        return NM_EBUSY;
    if (err) {
        b->malformed++;
        return NM_OK;
    }
    if (strcmp(nm_buf_str(&b->in), "stats") == 0) {
        send_json(b->stats, &peer, document(b));
        return NM_OK;
    }
    json_t *request = json_loadb(nm_buf_str(&b->in), b->in.len, 0, NULL);
    err = obey(b, request, &answer, &changed, diag);
    json_decref(request);
    if (err) {
        json_decref(answer);
        return err;
    }
    if (changed)
        *late = (struct late){.peer = peer, .answer = answer};
    else
        send_json(b->stats, &peer, answer);
    return NM_OK;
}

enum nm_err nm_stats_answer(struct nm_broker *b, bool *changed, struct nm_diag *diag)
{
    struct late late[ANSWERS_A_TURN] = {{.answer = NULL}};
    size_t n = 0;
    enum nm_err err = NM_OK;
    for (int i = 0; i < ANSWERS_A_TURN && !err; i++) {
        err = answer_one(b, &late[n], diag);
        n += late[n].answer != NULL;
    }
    if (err == NM_EBUSY)
        err = NM_OK;
    *changed = n > 0;
    if (!err && n > 0)
        err = nm_broker_commit(b, diag);
    for (size_t i = 0; i < n; i++) {
        if (err)
            json_decref(late[i].answer);
        else
            send_json(b->stats, &late[i].peer, late[i].answer);
    }
    return err;
}

void nm_stats_tick(struct nm_broker *b)
{
    const struct nm_ledger_counters *c = nm_ledger_counters(b->ledger);
    b->rates[b->n_rates++ % RATE_SECONDS] =
        (struct snapshot){c->calls, c->accepted, nm_queue_get_totals(b->queue)->done};
    json_t *frame = nm_stream_next(b->stream, document(b), STATS_VERSION);
    if (frame)
        send_json(b->publish, NULL, frame);
}
