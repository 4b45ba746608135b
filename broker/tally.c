/* What an operator reads of entities: how often each was asked for, accepted, and rejected by which rule. */
#include "broker/desk.h"
#include "broker/shapes.h"

enum { VERSION = 1, PAGE = 20, PAGE_MAX = 1000 };

static enum nm_err rules_json(struct nm_broker *b, uint64_t entity, json_t **out, struct nm_diag *diag)
{
    uint64_t counts[NM_LEDGER_RULES_MAX];
    const struct nm_ledger_rule *rules;
    size_t n = nm_ledger_rules(b->ledger, &rules);
    enum nm_err err = nm_ledger_read_rejections(b->ledger, entity, counts, diag);
    *out = json_object();
    for (size_t i = 0; i < n && !err; i++)
        if (counts[i])
            nm_shape_set(*out, rules[i].name, counts[i]);
    return err;
}

static enum nm_err entity_json(struct nm_broker *b, uint64_t entity, json_t *list, struct nm_diag *diag)
{
    struct nm_ledger_entity had = nm_ledger_get_entity(b->ledger, entity);
    uint64_t planned = nm_plan_uses(b->plan, nm_queue_get_totals(b->queue)->opened, entity);
    json_t *o = nm_shape_entity(b, entity), *by_rule;
    nm_shape_set(o, "entity", entity);
    nm_shape_set(o, "asked", planned + had.asked);
    nm_shape_set(o, "accepted", had.accepted);
    nm_shape_set(o, "rejected", had.rejected);
    enum nm_err err = rules_json(b, entity, &by_rule, diag);
    json_object_set_new(o, "rejected_by_rule", by_rule);
    json_array_append_new(list, o);
    return err;
}

enum nm_err nm_tally_coverage(struct nm_broker *b, const json_t *request, json_t **answer, struct nm_diag *diag)
{
    uint64_t from = 0, limit = PAGE, n = nm_entities_count(b->entities);
    bool only_rejected = json_is_true(json_object_get(request, "rejected"));
    (void)nm_desk_count(request, "from", &from);
    (void)nm_desk_count(request, "limit", &limit);
    limit = limit < 1 ? 1 : limit > PAGE_MAX ? PAGE_MAX : limit;
    json_t *list = json_array();
    enum nm_err err = NM_OK;
    uint64_t at = from;
    for (; at < n && !err; at++) {
        if (only_rejected && nm_ledger_get_entity(b->ledger, at).rejected == 0)
            continue;
        if (json_array_size(list) == limit)
            break;
        err = entity_json(b, at, list, diag);
    }
    *answer = json_pack("{s:i, s:o, s:o, s:o}", "version", VERSION, "total", nm_shape_number(n), "entities", list,
                        "next", at < n ? nm_shape_number(at) : json_null());
    return err;
}
