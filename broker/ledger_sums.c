/* The sums of a ledger, and whether they are those of its tasks and answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/ledger_check_parts.h"
#include "broker/record.h"
#include "broker/styles.h"

enum { LISTED = 10 /* lines about coverage; the rest is counted */ };

const char *nm_check_db_name(enum nm_check_db db)
{
    static const char *const names[CHECK_DBS] = {"settings", "state",     "open",     "ended",
                                                 "dead",     "responses", "coverage", "covered_since",
                                                 "workers",  "extra",     "troubled"};
    return names[db];
}

/* ---- what is recorded ------------------------------------------------------------------------ */

typedef void (*each_fn)(struct nm_check *c, uint64_t number, struct nm_val val);

static enum nm_err each(struct nm_check *c, struct nm_txn *txn, enum nm_check_db db, each_fn fn)
{
    struct nm_cursor *cursor;
    struct nm_val key, val;
    if (!c->has[db])
        return NM_OK;
    enum nm_err err = nm_cursor_open(txn, c->db[db], &cursor);
    if (err)
        return err;
    for (err = nm_cursor_seek(cursor, NULL, &key, &val); !err; err = nm_cursor_next(cursor, &key, &val)) {
        if (key.len == 8)
            fn(c, nm_key_part(key.data, 0), val);
        else
            nm_check_fails(c, "%s: a key of %zu bytes", nm_check_db_name(db), key.len);
    }
    nm_cursor_close(&cursor);
    return err == NM_ENOENT ? NM_OK : err;
}

static enum nm_err get(const struct nm_check *c, struct nm_txn *txn, enum nm_check_db db, const char *key,
                       struct nm_val *val)
{
    *val = (struct nm_val){NULL, 0};
    enum nm_err err = c->has[db] ? nm_txn_get(txn, c->db[db], nm_key_text(key), val) : NM_ENOENT;
    return err == NM_ENOENT ? NM_OK : err;
}

static enum nm_err load_counters(struct nm_check *c, struct nm_txn *txn)
{
    struct nm_val val;
    enum nm_err err = get(c, txn, CHECK_STATE, "counters", &val);
    struct nm_record in = {val.data, val.len, false};
    if (val.len % 8)
        nm_check_fails(c, "the counters: a record of %zu bytes", val.len);
#define LOAD(name)                                                                                                   \
    if (in.left >= 8)                                                                                                \
        c->counters.name = nm_record_get(&in, 8);
    NM_LEDGER_COUNTERS(LOAD)
#undef LOAD
    return err;
}

static enum nm_err load_rules(struct nm_check *c, struct nm_txn *txn)
{
    struct nm_val val;
    enum nm_err err = get(c, txn, CHECK_STATE, "rules", &val);
    struct nm_record in = {val.data, val.len, false};
    while (in.left && c->n_rules < NM_LEDGER_RULES_MAX) {
        struct nm_check_rule *rule = &c->rules[c->n_rules];
        size_t len;
        rule->recorded = nm_record_get(&in, 8);
        const char *name = nm_record_get_text(&in, &len);
        if (!name || len > NM_NAME_MAX) {
            nm_check_fails(c, "the rules can't be read beyond the first %zu", c->n_rules);
            break;
        }
        memcpy(rule->name, name, len);
        c->n_rules++;
    }
    return err;
}

static void load_worker(struct nm_check *c, uint64_t number, struct nm_val val)
{
    struct nm_record in = {val.data, val.len, false};
    uint64_t role = nm_record_get(&in, 1), samples = nm_record_get(&in, 8);
    size_t id, endpoint;
    (void)nm_record_get_text(&in, &id);
    (void)nm_record_get_text(&in, &endpoint);
    if (in.bad || id == 0 || role >= NM_QUEUE_ROLES || number != c->n_workers) {
        nm_check_fails(c, "worker %llu: a record that can't be, or not the next number", TASK(number));
        return;
    }
    if (c->n_workers == c->cap_workers) {
        uint32_t cap = c->cap_workers ? c->cap_workers * 2 : 64;
        struct nm_check_worker *bigger = realloc(c->workers, cap * sizeof *bigger);
        if (!bigger)
            return; /* its tasks will be found to be nobody's */
        c->workers = bigger;
        c->cap_workers = cap;
    }
    c->workers[c->n_workers++] = (struct nm_check_worker){(enum nm_queue_role)role, samples, 0};
}

static void load_chunk(struct nm_check *c, uint64_t chunk, struct nm_val val)
{
    struct nm_record in = {val.data, val.len, false};
    uint64_t entity = chunk * COVERAGE_CHUNK;
    if (chunk > c->entities || val.len % 4 || entity + val.len / 4 > c->entities) {
        nm_check_fails(c, "coverage: chunk %llu holds %zu bytes, of %llu entities", TASK(chunk), val.len,
                       TASK(c->entities));
        return;
    }
    while (in.left)
        c->covered[entity++] = (uint32_t)nm_record_get(&in, 4);
}

static void load_change(struct nm_check *c, uint64_t number, struct nm_val val)
{
    struct nm_record in = {val.data, val.len, false};
    if (number != c->letters++ || val.len % 4)
        nm_check_fails(c, "covered_since: record %llu of %zu bytes follows record %llu", TASK(number), val.len,
                       TASK(c->letters - 1));
    while (in.left >= 4) {
        uint64_t one = nm_record_get(&in, 4), entity = one / 2;
        if (entity >= c->entities)
            nm_check_fails(c, "covered_since: entity %llu of %llu", TASK(entity), TASK(c->entities));
        else if (one & 1)
            c->covered[entity] -= c->covered[entity] > 0;
        else
            c->covered[entity]++;
    }
}

static void load_troubled(struct nm_check *c, uint64_t entity, struct nm_val val)
{
    struct nm_record in = {val.data, val.len, val.len < 8 || (val.len - 8) % 5 || entity >= c->entities};
    if (in.bad) {
        nm_check_fails(c, "troubled: a record of %zu bytes of entity %llu", val.len, TASK(entity));
        return;
    }
    c->again[entity] = (uint32_t)nm_record_get(&in, 4);
    uint64_t row = nm_record_get(&in, 2), alone = nm_record_get(&in, 2);
    if (alone > row)
        nm_check_fails(c, "entity %llu: of %llu answers rejected in a row, %llu asked for it alone", TASK(entity),
                       TASK(row), TASK(alone));
}

/* What an extra task asks for; false: it can't be. */
static bool read_extra(struct nm_check *c, struct nm_val val)
{
    struct nm_record in = {val.data, val.len, val.len % 8 || val.len == 0 || val.len / 8 > NM_PLAN_ENTITIES_MAX};
    c->asked.n_entities = 0;
    while (in.left && !in.bad) {
        uint64_t entity = nm_record_get(&in, 8);
        c->asked.entities[c->asked.n_entities++] = entity;
        in.bad = in.bad || entity >= c->entities;
    }
    return !in.bad;
}

/* After the troubled ones. */
static void load_extra(struct nm_check *c, uint64_t task, struct nm_val val)
{
    c->n_extra++;
    if (!nm_task_is_extra(task) || nm_task_index(task) >= c->counters.extra)
        nm_check_fails(c, "extra: task %llu, and %llu were opened", TASK(task), TASK(c->counters.extra));
    if (!read_extra(c, val)) {
        nm_check_fails(c, "extra task %llu asks for what can't be", TASK(task));
        return;
    }
    for (uint32_t i = 0; i < c->asked.n_entities; i++)
        c->again[c->asked.entities[i]]--;
}

/* ---- the plan, from the settings ------------------------------------------------------------- */

/* A setting as text; "": there is none. */
static enum nm_err setting(struct nm_check *c, struct nm_txn *txn, const char *key, char *out, size_t size)
{
    struct nm_val val;
    enum nm_err err = get(c, txn, CHECK_SETTINGS, key, &val);
    size_t len = val.len < size ? val.len : size - 1;
    if (len)
        memcpy(out, val.data, len);
    out[len] = '\0';
    return err;
}

static enum nm_err load_plan(struct nm_check *c, struct nm_txn *txn)
{
    enum { SETTINGS = 7 };
    static const char *const keys[SETTINGS] = {"seed",  "entities", "per_sample", "negatives",
                                               "words", "styles",   "sections"};
    char text[SETTINGS][128];
    struct nm_plan_options o = {0};
    struct nm_diag why = {""};
    unsigned long long seed = 0, entities = 0;
    enum nm_err err = setting(c, txn, "run", c->findings->run, sizeof c->findings->run);
    if (!err)
        err = setting(c, txn, "generation", text[0], sizeof text[0]);
    c->generation = err ? 0 : strtoull(text[0], NULL, 10);
    for (int i = 0; i < SETTINGS && !err; i++)
        err = setting(c, txn, keys[i], text[i], sizeof text[i]);
    if (err)
        return err;
    if (c->findings->run[0] == '\0')
        nm_check_fails(c, "settings: the run has no id");
    int n = sscanf(text[0], "%llu", &seed) + sscanf(text[1], "%llu entities", &entities) +
            sscanf(text[2], "%u to %u", &o.min_entities, &o.max_entities) + sscanf(text[3], "%lf", &o.negatives) +
            sscanf(text[4], "%u to %u", &o.min_words, &o.max_words) + sscanf(text[5], "%u with", &o.styles) +
            sscanf(text[6], "%u with", &o.sections);
    o.seed = seed;
    o.entities = entities;
    o.styles = o.styles ? o.styles : NM_STYLES_BUILTIN;
    if (n != 9 || nm_plan_new(&o, &c->plan, &why)) {
        nm_check_fails(c, "settings: they do not give the plan: %s", n == 9 ? why.text : "one is not there");
        return NM_OK;
    }
    c->entities = c->findings->entities = entities;
    c->covered = calloc((size_t)entities + 1, sizeof *c->covered);
    c->again = calloc((size_t)entities + 1, sizeof *c->again);
    return c->covered && c->again ? NM_OK : NM_ENOMEM;
}

enum nm_err nm_check_load(struct nm_check *c, struct nm_txn *txn)
{
    enum nm_err err = load_plan(c, txn);
    if (!err)
        err = load_counters(c, txn);
    if (!err)
        err = load_rules(c, txn);
    if (!err)
        err = each(c, txn, CHECK_WORKERS, load_worker);
    if (!err && c->plan)
        err = each(c, txn, CHECK_COVERAGE, load_chunk);
    if (!err && c->plan)
        err = each(c, txn, CHECK_SINCE, load_change);
    if (!err && c->plan)
        err = each(c, txn, CHECK_TROUBLED, load_troubled);
    if (!err && c->plan)
        err = each(c, txn, CHECK_EXTRA, load_extra);
    c->letters = 0;
    return err;
}

/* ---- what the walk finds ----------------------------------------------------------------------------------------
 */

void nm_check_number(struct nm_check *c, uint64_t task)
{
    if (nm_task_generation(task) > c->generation)
        nm_check_fails(c, "task %llu is of generation %llu, and the run's is %llu", TASK(task),
                       TASK(nm_task_generation(task)), TASK(c->generation));
    if (nm_task_generation(task) < c->generation)
        return; /* its index is another plan's */
    if (nm_task_is_extra(task) && nm_task_index(task) >= c->counters.extra)
        nm_check_fails(c, "extra task %llu is there, and only %llu were opened", TASK(task), TASK(c->counters.extra));
    if (!nm_task_is_extra(task) && nm_task_index(task) >= c->counters.opened)
        nm_check_fails(c, "task %llu is there, and only %llu were taken from the plan", TASK(task),
                       TASK(c->counters.opened));
}

void nm_check_count_rule(struct nm_check *c, struct nm_str name)
{
    struct nm_check_rule *other = NULL;
    for (size_t i = 0; i < c->n_rules; i++) {
        struct nm_check_rule *rule = &c->rules[i];
        if (strlen(rule->name) == name.len && memcmp(rule->name, name.ptr, name.len) == 0) {
            rule->found++;
            return;
        }
        if (strcmp(rule->name, "other") == 0)
            other = rule;
    }
    if (other)
        other->found++;
    else
        nm_check_fails(c, "an answer was rejected by %.*s, which is not counted", (int)name.len, name.ptr);
}

static enum nm_err find_asked(struct nm_check *c, struct nm_txn *txn, uint64_t task)
{
    struct nm_val val;
    c->asked.n_entities = 0;
    if (!nm_task_is_extra(task)) {
        nm_plan_task(c->plan, nm_task_index(task), &c->asked);
        return NM_OK;
    }
    enum nm_err err = c->has[CHECK_EXTRA] ? nm_txn_get(txn, c->db[CHECK_EXTRA], nm_key_u64(task), &val) : NM_ENOENT;
    if (err == NM_ENOENT)
        nm_check_fails(c, "extra task %llu: what it asks for is not there", TASK(task));
    if (!err && !read_extra(c, val))
        c->asked.n_entities = 0; /* said already */
    return err == NM_ENOENT ? NM_OK : err;
}

/* A text that is kept counts for what it was asked for.  Numbers wrap at 0: what is left over tells it. */
enum nm_err nm_check_cover(struct nm_check *c, struct nm_txn *txn, const struct nm_queue_task *t)
{
    bool kept = t->state == NM_TASK_ACCEPTED || t->state == NM_TASK_ALIGNING || t->state == NM_TASK_DONE;
    if (nm_task_generation(t->task) !=
        c->generation) { /* kept from another plan: only its text knows what it asked */
        c->mixed = c->mixed || kept;
        return NM_OK;
    }
    if (!c->plan || t->state == NM_TASK_ASIDE || (!kept && !nm_task_is_extra(t->task)))
        return NM_OK;
    enum nm_err err = find_asked(c, txn, t->task);
    for (uint32_t i = 0; kept && i < c->asked.n_entities; i++)
        c->covered[c->asked.entities[i]]--;
    return err;
}

/* ---- what is left over ------------------------------------------------------------------------------------------
 */

static void equal(struct nm_check *c, const char *what, uint64_t counted, uint64_t found)
{
    if (counted != found)
        nm_check_fails(c, "counter %s is %llu, and the databases hold %llu", what, TASK(counted), TASK(found));
}

static void check_rules(struct nm_check *c)
{
    uint64_t recorded = 0;
    for (size_t i = 0; i < c->n_rules; i++) {
        const struct nm_check_rule *rule = &c->rules[i];
        recorded += rule->recorded;
        if (rule->found > rule->recorded)
            nm_check_fails(c, "rule %s is counted %llu times, and rejected %llu answers", rule->name,
                           TASK(rule->recorded), TASK(rule->found));
    }
    /* Aligners' rules are in no answer: each counts for one dropped text. */
    equal(c, "of all rules", recorded, c->sum.rejected + c->findings->dropped);
}

static void check_workers(struct nm_check *c)
{
    for (uint32_t i = 0; i < c->n_workers; i++)
        if (c->workers[i].samples != c->workers[i].owned)
            nm_check_fails(c, "worker %u is said to own %llu samples, and %llu tasks are done with it", i,
                           TASK(c->workers[i].samples), TASK(c->workers[i].owned));
}

static void check_each_entity(struct nm_check *c, const uint32_t *left, const char *what)
{
    uint64_t wrong = 0;
    for (uint64_t i = 0; c->plan && i < c->entities; i++) {
        if (left[i] == 0)
            continue;
        if (++wrong <= LISTED)
            nm_check_fails(c, "entity %llu is %s by %lld more than there are", TASK(i), what,
                           (long long)(int32_t)left[i]);
    }
    if (wrong > LISTED)
        nm_check_fails(c, "and %llu more entities are %s by a wrong number", TASK(wrong - LISTED), what);
}

enum nm_err nm_check_sums(struct nm_check *c, struct nm_txn *txn)
{
    struct nm_ledger_findings *f = c->findings;
    const struct nm_ledger_counters *n = &c->counters;
    uint64_t letters = 0;
    enum nm_err err = c->has[CHECK_DEAD] ? nm_txn_count(txn, c->db[CHECK_DEAD], &letters) : NM_OK;
    f->answers = c->sum.calls;
    f->accepted = c->sum.accepted;
    f->workers = c->n_workers;
    equal(c, "extra", n->extra, c->n_extra);
    equal(c, "opened and extra", n->opened + n->extra, f->open + f->done + f->dead + f->dropped);
    equal(c, "done", n->done, f->done);
    equal(c, "dead", n->dead, f->dead);
    equal(c, "dropped", n->dropped, f->dropped);
    equal(c, "calls", n->calls, c->sum.calls);
    equal(c, "accepted", n->accepted, c->sum.accepted);
    equal(c, "rejected", n->rejected, c->sum.rejected);
    equal(c, "reused", n->reused, c->sum.reused);
    equal(c, "reused_in", n->reused_in, c->sum.reused_in);
    equal(c, "reused_out", n->reused_out, c->sum.reused_out);
    equal(c, "shared", n->shared, c->sum.shared);
    equal(c, "tokens_in", n->tokens_in, c->sum.tokens_in);
    equal(c, "tokens_out", n->tokens_out, c->sum.tokens_out);
    equal(c, "cost_micros", n->cost_micros, c->sum.cost_micros);
    if (letters != c->letters)
        nm_check_fails(c, "there are %llu dead letters, and %llu of them are tasks that have ended", TASK(letters),
                       TASK(c->letters));
    if (f->aside > n->kicked)
        nm_check_fails(c, "%llu tasks went on after an accepted answer, and %llu were kicked", TASK(f->aside),
                       TASK(n->kicked));
    check_rules(c);
    check_workers(c);
    if (!c->mixed)
        check_each_entity(c, c->covered, "covered");
    check_each_entity(c, c->again, "asked for again");
    return err;
}

void nm_check_clean_up(struct nm_check *c)
{
    nm_plan_destroy(&c->plan);
    nm_arena_clean_up(&c->arena);
    free(c->workers);
    free(c->covered);
    free(c->again);
}
