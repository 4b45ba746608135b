/* Limits set by hand: an endpoint's calls, requests and tokens a minute, and the run's budget.
 *
 * They are written into the project as it is loaded, and the governor takes them from there.  The note "limits" keeps
 * each with what was configured when it was set: where project.yaml says another thing later, it is the newer one.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "broker/desk.h"
#include "broker/govern.h"
#include "common/log.h"

enum { NOTE_MAX = 1 << 20 };

static const double most = 9007199254740992.0; /* 2^53: exact as JSON everywhere */

/* ---- one table of what can be set -------------------------------------------------------------------------------
 */

enum of {
    OF_CONCURRENCY,
    OF_REQUESTS,
    OF_TOKENS,
    OF_ENDPOINT,
    BUDGET_REQUESTS = OF_ENDPOINT,
    BUDGET_TOKENS,
    BUDGET_MONEY,
    LIMITS
};

static const struct {
    const char *key;
    double low, high;
    bool whole;
} limits[LIMITS] = {
    [OF_CONCURRENCY] = {"concurrency", 1, 10000, true},
    [OF_REQUESTS] = {"requests_per_minute", 0, UINT32_MAX, true},
    [OF_TOKENS] = {"tokens_per_minute", 0, UINT32_MAX, true},
    [BUDGET_REQUESTS] = {"budget_requests", 0, most, true},
    [BUDGET_TOKENS] = {"budget_tokens", 0, most, true},
    [BUDGET_MONEY] = {"budget_money", 0, 1e12, false},
};

/* endpoint: for the first three. */
static double get(const struct nm_project *p, uint32_t endpoint, enum of of)
{
    const struct nm_project_endpoint *e = &p->endpoints[endpoint];
    switch (of) {
    case OF_CONCURRENCY:
        return e->concurrency;
    case OF_REQUESTS:
        return e->requests_per_minute;
    case OF_TOKENS:
        return e->tokens_per_minute;
    case BUDGET_REQUESTS:
        return (double)p->budget.requests;
    case BUDGET_TOKENS:
        return (double)p->budget.tokens;
    default:
        return p->budget.money;
    }
}

static void put(struct nm_project *p, uint32_t endpoint, enum of of, double value)
{
    struct nm_project_endpoint *e = &p->endpoints[endpoint];
    if (of == OF_CONCURRENCY)
        e->concurrency = (uint32_t)value;
    else if (of == OF_REQUESTS)
        e->requests_per_minute = (uint32_t)value;
    else if (of == OF_TOKENS)
        e->tokens_per_minute = (uint32_t)value;
    else if (of == BUDGET_REQUESTS)
        p->budget.requests = (uint64_t)value;
    else if (of == BUDGET_TOKENS)
        p->budget.tokens = (uint64_t)value;
    else
        p->budget.money = value;
}

/* ---- what is set by hand: {"ENDPOINT" or "": {"key": [by hand, configured]}} -------------------------------------
 */

static const char *place_of(const struct nm_broker *b, uint32_t endpoint, enum of of)
{
    return of < OF_ENDPOINT ? b->endpoints[endpoint].name : "";
}

static json_t *entry(const struct nm_broker *b, uint32_t endpoint, enum of of)
{
    return json_object_get(json_object_get(b->by_hand, place_of(b, endpoint, of)), limits[of].key);
}

/* What the file said when it was last looked at. */
static double configured(const struct nm_broker *b, uint32_t endpoint, enum of of)
{
    const json_t *set = entry(b, endpoint, of);
    return set ? json_number_value(json_array_get(set, 1)) : get(b->project, endpoint, of);
}

static enum nm_err set_entry(struct nm_broker *b, uint32_t endpoint, enum of of, double value)
{
    const char *place = place_of(b, endpoint, of);
    json_t *pair = json_pack("[f, f]", value, configured(b, endpoint, of));
    if (!b->by_hand)
        b->by_hand = json_object();
    json_t *object = json_object_get(b->by_hand, place);
    if (!object) {
        object = json_object();
        if (json_object_set_new(b->by_hand, place, object))
            object = NULL;
    }
    if (!pair || !object || json_object_set_new(object, limits[of].key, pair))
        return NM_ENOMEM;
    put(b->project, endpoint, of, value);
    return NM_OK;
}

/* For each limit there is: fn(b, endpoint, of, ctx). */
static void for_each(struct nm_broker *b, void (*fn)(struct nm_broker *, uint32_t, enum of, const void *),
                     const void *ctx)
{
    for (uint32_t i = 0; i < b->project->n_endpoints; i++)
        for (enum of of = 0; of < OF_ENDPOINT; of++)
            fn(b, i, of, ctx);
    for (enum of of = OF_ENDPOINT; of < LIMITS; of++)
        fn(b, 0, of, ctx);
}

static enum nm_err keep(struct nm_broker *b)
{
    char *text = json_dumps(b->by_hand, JSON_COMPACT);
    if (!text)
        return NM_ENOMEM;
    enum nm_err err = nm_ledger_note(b->ledger, "limits", text, strlen(text));
    free(text);
    return err;
}

/* ---- restart and reload -------------------------------------------------------------------------------------------
 */

/* The file's value, unless it is the one that was overruled by hand.  ctx: the project as it is in the file now. */
static void follow_file(struct nm_broker *b, uint32_t endpoint, enum of of, const void *ctx)
{
    double now = get(ctx, endpoint, of), before = configured(b, endpoint, of);
    const json_t *set = entry(b, endpoint, of);
    bool stays = set && now == before;
    if (set && !stays) {
        nm_warn("%s%s%s is %g as configured now; the limit of %g that was set by hand no longer counts",
                of < OF_ENDPOINT ? place_of(b, endpoint, of) : "", of < OF_ENDPOINT ? ": " : "", limits[of].key, now,
                json_number_value(json_array_get(set, 0)));
        json_object_del(json_object_get(b->by_hand, place_of(b, endpoint, of)), limits[of].key);
    }
    double old = get(b->project, endpoint, of), new = stays ? json_number_value(json_array_get(set, 0)) : now;
    if (ctx != b->project && old != new)
        nm_info("reload: %s%s%s was %g and is %g", of < OF_ENDPOINT ? place_of(b, endpoint, of) : "",
                of < OF_ENDPOINT ? ": " : "", limits[of].key, old, new);
    put(b->project, endpoint, of, new);
}

static void follow_price(const struct nm_project_endpoint *new, struct nm_project_endpoint *old)
{
    if (new->weight != old->weight || new->price_in != old->price_in || new->price_out != old->price_out)
        nm_info("reload: %s: weight was %u and is %u, price_in %g and %g, price_out %g and %g", new->name,
                old->weight, new->weight, old->price_in, new->price_in, old->price_out, new->price_out);
    old->weight = new->weight;
    old->price_in = new->price_in;
    old->price_out = new->price_out;
}

enum nm_err nm_limits_restore(struct nm_broker *b, struct nm_diag *diag)
{
    struct nm_buf text;
    nm_buf_init(&text, NOTE_MAX);
    enum nm_err err = nm_ledger_read_note(b->ledger, "limits", &text, diag);
    b->by_hand = err ? NULL : json_loadb(nm_buf_str(&text), text.len, 0, NULL);
    nm_buf_clean_up(&text);
    if (err)
        return err == NM_ENOENT ? NM_OK : err;
    if (!json_is_object(b->by_hand))
        return nm_fail(diag, NM_EFORMAT, "ledger %s is damaged: the limits set by hand", nm_ledger_path(b->ledger));
    for_each(b, follow_file, b->project);
    nm_govern_reload(b, b->project);
    return NM_OK;
}

enum nm_err nm_limits_reload(struct nm_broker *b, const struct nm_project *new)
{
    if (new->n_endpoints != b->project->n_endpoints)
        return NM_OK; /* told already: it needs a start */
    for_each(b, follow_file, new);
    for (uint32_t i = 0; i < new->n_endpoints; i++)
        follow_price(&new->endpoints[i], &b->project->endpoints[i]);
    nm_govern_reload(b, b->project);
    return b->by_hand ? keep(b) : NM_OK;
}

/* ---- the command --------------------------------------------------------------------------------------------------
 */

/* NULL: it may be set to that. */
static json_t *objection(const json_t *value, enum of of)
{
    double v = json_number_value(value);
    bool fits = json_is_number(value) && v >= limits[of].low && v <= limits[of].high;
    if (fits && (!limits[of].whole || v == floor(v)))
        return NULL;
    return nm_desk_complain("%s is %s from %g to %g", limits[of].key,
                            limits[of].whole ? "a whole number" : "a number", limits[of].low, limits[of].high);
}

enum nm_err nm_limits_set(struct nm_broker *b, const json_t *request, bool *any, json_t **answer)
{
    const char *name = json_string_value(json_object_get(request, "endpoint"));
    uint32_t endpoint = 0;
    bool found = false;
    for (uint32_t i = 0; name && i < b->project->n_endpoints && !found; i++) {
        found = strcmp(b->endpoints[i].name, name) == 0;
        endpoint = found ? i : 0;
    }
    *any = false;
    if (name && !found)
        *answer = nm_desk_complain("there is no endpoint \"%.200s\" in this project", name);
    for (enum of of = 0; of < LIMITS && !*answer; of++) {
        const json_t *value = json_object_get(request, limits[of].key);
        if (!value)
            continue;
        *any = true;
        *answer = of < OF_ENDPOINT && !name ? nm_desk_complain("%s needs \"endpoint\", a name", limits[of].key)
                                            : objection(value, of);
    }
    enum nm_err err = NM_OK;
    if (*answer || !*any)
        return NM_OK;
    for (enum of of = 0; of < LIMITS && !err; of++) {
        const json_t *value = json_object_get(request, limits[of].key);
        if (value)
            err = set_entry(b, endpoint, of, json_number_value(value));
    }
    nm_govern_reload(b, b->project);
    return err ? err : keep(b);
}
