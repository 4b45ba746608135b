/* How the circuit breakers of the generators stand, as each of them tells.  Kept in memory alone: after a start of
 * the broker, and after each hello, they tell again. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker_parts.h"
#include "broker/shapes.h"
#include "common/clock.h"

struct circuit {
    char state[16], why[16], detail[FAILURE_LINE];
    uint64_t failures;
    int64_t until_ms; /* Unix time; 0: it waits for nothing */
};

static void copy(char *out, size_t size, struct nm_str text)
{
    (void)snprintf(out, size, "%.*s", (int)text.len, text.len ? text.ptr : "");
}

static bool is_state(struct nm_str text)
{
    static const char *const states[] = {"closed", "open", "half-open", "stopped"};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(text.ptr, states[i]) == 0)
            return true;
    return false;
}

enum nm_err nm_circuits_heard(struct nm_broker *b, struct session *s, const struct nm_msg_circuits *told)
{
    enum { LONGEST_MS = 24 * 3600 * 1000 };
    if (!s->circuits)
        s->circuits = calloc(b->project->n_endpoints + 1, sizeof *s->circuits);
    if (!s->circuits)
        return NM_ENOMEM;
    for (size_t i = 0; i < told->n_list; i++) {
        const struct nm_msg_circuit *from = &told->list[i];
        uint32_t e = 0;
        while (e < b->project->n_endpoints && strcmp(b->endpoints[e].name, from->endpoint.ptr) != 0)
            e++;
        if (e == b->project->n_endpoints || !is_state(from->state))
            continue; /* of another project, or newer than we are */
        struct circuit *c = &s->circuits[e];
        int64_t wait = from->wait_ms < LONGEST_MS ? (int64_t)from->wait_ms : LONGEST_MS;
        copy(c->state, sizeof c->state, from->state);
        copy(c->why, sizeof c->why, from->why);
        copy(c->detail, sizeof c->detail, from->detail);
        c->failures = from->failures;
        c->until_ms = wait > 0 ? nm_clock_wall_ms() + wait : 0;
    }
    return NM_OK;
}

void nm_circuits_forget(struct session *s)
{
    free(s->circuits);
    s->circuits = NULL;
}

json_t *nm_circuits_json(const struct nm_broker *b, uint32_t endpoint)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < b->n_sessions; i++) {
        const struct session *s = b->sessions[i];
        const struct circuit *c = s && s->connected && s->circuits ? &s->circuits[endpoint] : NULL;
        if (!c || c->state[0] == '\0')
            continue;
        json_t *o = json_object();
        json_object_set_new(o, "worker", json_string(nm_ledger_get_worker(b->ledger, i)->id));
        json_object_set_new(o, "state", json_string(c->state));
        json_object_set_new(o, "why", json_string(c->why));
        json_object_set_new(o, "until_ms", c->until_ms ? json_integer(c->until_ms) : json_null());
        nm_shape_set(o, "failures", c->failures);
        json_object_set_new(o, "detail", nm_shape_text(c->detail, strlen(c->detail), sizeof c->detail));
        json_array_append_new(list, o);
    }
    return list;
}
