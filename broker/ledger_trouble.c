/* What each entity has had beside its accepted texts: rejections by rule, and the extra tasks that ask for it again.
 *
 * In memory 12 bytes an entity; on disk only those that were ever rejected or asked for again have a record:
 * asked (4 bytes), in a row (2), alone (2), then for each rule that rejected a text: its number (1) and how often
 * (4).
 */
#include <string.h>

#include "broker/ledger_parts.h"
#include "broker/record.h"

enum { HEAD_BYTES = 8, RULE_BYTES = 5, NO_RULE = 255, RECORD_MAX = HEAD_BYTES + NM_LEDGER_RULES_MAX * RULE_BYTES };

/* ---- changes --------------------------------------------------------------------------------- */

/* rule: one more text rejected by it, or NO_RULE. */
static enum nm_err tally(struct nm_ledger *ledger, uint64_t entity, uint64_t rule)
{
    const struct nm_ledger_trouble *t = &ledger->troubles[entity];
    struct nm_buf *bytes = &ledger->bytes;
    size_t offset = bytes->len;
    enum nm_err err = nm_record_put(bytes, t->asked, 4);
    if (!err)
        err = nm_record_put(bytes, t->in_a_row, 2);
    if (!err)
        err = nm_record_put(bytes, t->alone, 2);
    if (!err)
        err = nm_record_put(bytes, rule, 1);
    struct op op = {.db = ledger->troubled,
                    .key = nm_key_u64(entity),
                    .offset = offset,
                    .len = bytes->len - offset,
                    .tally = true};
    return err ? err : nm_ledger_add_op(ledger, op);
}

/* As nm_ledger_count_rule, which comes before, has numbered it. */
static uint64_t rule_number(const struct nm_ledger *ledger, struct nm_str name)
{
    uint64_t other = NO_RULE;
    for (size_t i = 0; i < ledger->n_rules; i++) {
        const char *rule = ledger->rules[i].name;
        if (strlen(rule) == name.len && memcmp(rule, name.ptr, name.len) == 0)
            return i;
        if (strcmp(rule, "other") == 0)
            other = i;
    }
    return other;
}

enum nm_err nm_ledger_reject(struct nm_ledger *ledger, uint64_t entity, struct nm_str rule, bool alone)
{
    if (entity >= ledger->entities)
        return NM_EINVAL;
    struct nm_ledger_trouble *t = &ledger->troubles[entity];
    t->rejected += t->rejected < UINT32_MAX;
    t->in_a_row = (uint16_t)(t->in_a_row + (t->in_a_row < UINT16_MAX));
    t->alone = (uint16_t)(t->alone + (alone && t->alone < UINT16_MAX));
    return tally(ledger, entity, rule_number(ledger, rule));
}

enum nm_err nm_ledger_end_row(struct nm_ledger *ledger, uint64_t entity)
{
    if (ledger->troubles[entity].in_a_row == 0)
        return NM_OK;
    ledger->troubles[entity].in_a_row = ledger->troubles[entity].alone = 0;
    return tally(ledger, entity, NO_RULE);
}

enum nm_err nm_ledger_extra(struct nm_ledger *ledger, uint64_t task, const uint64_t *entities, uint32_t n)
{
    size_t offset = ledger->bytes.len;
    enum nm_err err = NM_OK;
    for (uint32_t i = 0; i < n && !err; i++)
        err = entities[i] < ledger->entities ? nm_record_put(&ledger->bytes, entities[i], 8) : NM_EINVAL;
    if (!err)
        err = nm_ledger_add_put(ledger, ledger->extra, nm_key_u64(task), offset);
    for (uint32_t i = 0; i < n && !err; i++) {
        struct nm_ledger_trouble *t = &ledger->troubles[entities[i]];
        t->asked += t->asked < UINT32_MAX;
        err = tally(ledger, entities[i], NO_RULE);
    }
    return err;
}

/* ---- in a commit ------------------------------------------------------------------------------------------------
 */

/* The head is replaced; the rule's count, if there is one, grows by 1. */
enum nm_err nm_ledger_apply_tally(struct nm_txn *txn, struct nm_db db, struct nm_key key, const unsigned char *data,
                                  size_t len)
{
    unsigned char record[RECORD_MAX];
    struct nm_val old = {NULL, 0};
    enum nm_err err = nm_txn_get(txn, db, key, &old);
    if (err && err != NM_ENOENT)
        return err;
    if (len != HEAD_BYTES + 1 || old.len > RECORD_MAX || (!err && (old.len - HEAD_BYTES) % RULE_BYTES))
        return NM_EFORMAT;
    size_t size = err ? HEAD_BYTES : old.len;
    if (!err)
        memcpy(record, old.data, old.len);
    memcpy(record, data, HEAD_BYTES);
    unsigned char rule = data[HEAD_BYTES];
    size_t at = HEAD_BYTES;
    while (at < size && record[at] != rule)
        at += RULE_BYTES;
    if (rule == NO_RULE)
        return nm_txn_put(txn, db, key, record, size);
    if (at == size) {
        if (size + RULE_BYTES > RECORD_MAX)
            return NM_EFORMAT;
        memset(record + size, 0, RULE_BYTES);
        record[size] = rule;
        size += RULE_BYTES;
    }
    for (size_t i = 1; i < RULE_BYTES && ++record[at + i] == 0; i++) { /* plus one, little-endian */
    }
    return nm_txn_put(txn, db, key, record, size);
}

/* ---- reading --------------------------------------------------------------------------------- */

enum nm_err nm_ledger_load_troubled(struct nm_ledger *ledger, uint64_t entity, struct nm_val val,
                                    struct nm_diag *diag)
{
    struct nm_record in = {val.data, val.len, val.len < HEAD_BYTES || entity >= ledger->entities};
    if (in.bad)
        return nm_fail(diag, NM_EFORMAT, "ledger %s is damaged: an entity's rejections", ledger->path);
    struct nm_ledger_trouble *t = &ledger->troubles[entity];
    t->asked = (uint32_t)nm_record_get(&in, 4);
    t->in_a_row = (uint16_t)nm_record_get(&in, 2);
    t->alone = (uint16_t)nm_record_get(&in, 2);
    while (in.left && !in.bad) {
        (void)nm_record_get(&in, 1);
        t->rejected += (uint32_t)nm_record_get(&in, 4);
    }
    return NM_OK;
}

struct nm_ledger_entity nm_ledger_get_entity(const struct nm_ledger *ledger, uint64_t entity)
{
    const struct nm_ledger_trouble *t = &ledger->troubles[entity];
    return (struct nm_ledger_entity){.accepted = ledger->covered[entity],
                                     .rejected = t->rejected,
                                     .asked = t->asked,
                                     .in_a_row = t->in_a_row,
                                     .alone = t->alone};
}

struct query {
    const struct nm_ledger *ledger;
    uint64_t key;
    uint64_t *out;
    uint32_t max, n;
};

static enum nm_err read_extra(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct query *q = ctx;
    struct nm_val val;
    enum nm_err err = nm_txn_get(txn, q->ledger->extra, nm_key_u64(q->key), &val);
    if (err)
        return err;
    struct nm_record in = {val.data, val.len, val.len % 8 || val.len / 8 > q->max};
    if (in.bad)
        return nm_fail(diag, NM_EFORMAT, "ledger %s is damaged: the entities of task %llu", q->ledger->path,
                       (unsigned long long)q->key);
    for (q->n = 0; in.left; q->n++)
        q->out[q->n] = nm_record_get(&in, 8);
    return NM_OK;
}

enum nm_err nm_ledger_read_extra(struct nm_ledger *ledger, uint64_t task, uint64_t *entities, uint32_t max,
                                 uint32_t *n, struct nm_diag *diag)
{
    struct query q = {ledger, task, entities, max, 0};
    enum nm_err err = nm_store_read(ledger->store, read_extra, &q, diag);
    *n = q.n;
    return err;
}

static enum nm_err read_rejections(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    (void)diag;
    struct query *q = ctx;
    struct nm_val val;
    enum nm_err err = nm_txn_get(txn, q->ledger->troubled, nm_key_u64(q->key), &val);
    if (err)
        return err == NM_ENOENT ? NM_OK : err;
    struct nm_record in = {val.data, val.len, false};
    (void)nm_record_get(&in, HEAD_BYTES);
    while (in.left && !in.bad) {
        uint64_t rule = nm_record_get(&in, 1), count = nm_record_get(&in, 4);
        if (rule < NM_LEDGER_RULES_MAX)
            q->out[rule] += count;
    }
    return NM_OK;
}

enum nm_err nm_ledger_read_rejections(struct nm_ledger *ledger, uint64_t entity, uint64_t *counts,
                                      struct nm_diag *diag)
{
    struct query q = {ledger, entity, counts, NM_LEDGER_RULES_MAX, 0};
    memset(counts, 0, NM_LEDGER_RULES_MAX * sizeof *counts);
    return nm_store_read(ledger->store, read_rejections, &q, diag);
}
