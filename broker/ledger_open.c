/* Opening a ledger: its settings are checked, and what is kept in memory is read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "broker/ledger_parts.h"
#include "broker/record.h"
#include "common/hash.h"
#include "common/log.h"

struct opening {
    struct nm_ledger *ledger;
    const struct nm_ledger_setting *settings;
    size_t n;
    char fresh_run[64];
    struct nm_ledger_renewal *renewal; /* NULL: none was asked for */
    struct nm_ledger_look look;
    bool missing; /* a setting is not there yet */
};

enum nm_err nm_ledger_damaged(const struct nm_ledger *ledger, const char *what, struct nm_diag *diag)
{
    return nm_fail(diag, NM_EFORMAT,
                   "ledger %s is damaged: %s; restore a backup of it, or begin a new run with "
                   "another state directory",
                   ledger->path, what);
}

/* ---- settings -------------------------------------------------------------------------------- */

/* How the ledger's settings differ from the wanted ones; those it does not have yet, of an older build, don't. */
static enum nm_err compare_settings(struct nm_txn *txn, struct opening *o)
{
    struct nm_ledger_look *look = &o->look;
    look->n_changes = 0;
    for (size_t i = 0; i < o->n && look->n_changes < NM_LEDGER_SETTINGS_MAX; i++) {
        const struct nm_ledger_setting *setting = &o->settings[i];
        struct nm_val old;
        enum nm_err err = nm_txn_get(txn, o->ledger->settings, nm_key_text(setting->key), &old);
        o->missing = o->missing || err == NM_ENOENT;
        if (err == NM_ENOENT ||
            (!err && old.len == strlen(setting->value) && memcmp(old.data, setting->value, old.len) == 0))
            continue;
        if (err)
            return err;
        look->changes[look->n_changes].key = setting->key;
        look->changes[look->n_changes].name = setting->name;
        snprintf(look->changes[look->n_changes].was, sizeof look->changes[0].was, "%.*s", (int)old.len,
                 (const char *)old.data);
        snprintf(look->changes[look->n_changes].now, sizeof look->changes[0].now, "%s", setting->value);
        look->n_changes++;
    }
    return NM_OK;
}

static bool has_changed(const struct nm_ledger_look *look, const char *key)
{
    for (size_t i = 0; i < look->n_changes; i++)
        if (strcmp(look->changes[i].key, key) == 0)
            return true;
    return false;
}

static enum nm_err refuse(const struct opening *o, struct nm_diag *diag)
{
    char all[sizeof diag->text] = "";
    size_t used = 0;
    for (size_t i = 0; i < o->look.n_changes && used < sizeof all / 2; i++)
        used += (size_t)snprintf(all + used, sizeof all - used,
                                 "%s%s changed since this run began: it was %s and is now %s", i ? "; " : "",
                                 o->look.changes[i].name, o->look.changes[i].was, o->look.changes[i].now);
    return nm_fail(
        diag, NM_EINVAL,
        "ledger %s: %.700s; put it back to go on, or say --new-generation keep (the samples there are stay) "
        "or fresh (they are set aside), or begin a new run with another state directory",
        o->ledger->path, all);
}

/* The run's id and its generation. */
static enum nm_err load_identity(struct nm_txn *txn, struct nm_ledger *ledger, struct nm_diag *diag)
{
    struct nm_val val;
    enum nm_err err = nm_txn_get(txn, ledger->settings, nm_key_text("run"), &val);
    if (err)
        return err;
    if (val.len == 0 || val.len >= sizeof ledger->run)
        return nm_ledger_damaged(ledger, "the run's id", diag);
    memcpy(ledger->run, val.data, val.len);
    ledger->run[val.len] = '\0';
    err = nm_txn_get(txn, ledger->settings, nm_key_text("generation"), &val);
    ledger->generation = 0;
    for (size_t i = 0; !err && i < val.len; i++)
        ledger->generation = ledger->generation * 10 + (uint64_t)(((const char *)val.data)[i] - '0');
    return err == NM_ENOENT ? NM_OK : err;
}

static enum nm_err open_settings(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct opening *o = ctx;
    struct nm_ledger *ledger = o->ledger;
    enum nm_err err = load_identity(txn, ledger, diag);
    bool first = err == NM_ENOENT;
    if (first) {
        memcpy(ledger->run, o->fresh_run, sizeof ledger->run);
        err = nm_txn_put(txn, ledger->settings, nm_key_text("run"), ledger->run, strlen(ledger->run));
    }
    if (!err)
        err = compare_settings(txn, o);
    if (!err && o->look.n_changes > 0 && !o->renewal)
        return refuse(o, diag);
    if (!err && o->look.n_changes > 0) {
        err = nm_ledger_renew(txn, ledger, o->renewal, o->settings, o->n, has_changed(&o->look, "entities"), true,
                              diag);
        o->renewal->happened = !err;
    } else if (!err && o->missing) { /* an older build had fewer settings */
        err = nm_ledger_put_generation(txn, ledger, ledger->generation, "", o->settings, o->n);
    }
    return err ? err : load_identity(txn, ledger, diag);
}

static enum nm_err make_run(char *out, size_t size, struct nm_diag *diag)
{
    unsigned char random[16];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return nm_fail(diag, NM_EIO, "the system gives no random bytes for the run's id");
    char hex[33];
    nm_hash128_hex(nm_hash128(random, sizeof random), hex);
    snprintf(out, size, "run-%.16s", hex);
    return NM_OK;
}

/* ---- what is kept in memory -------------------------------------------------------------------------------------
 */

static enum nm_err load_counters(struct nm_txn *txn, struct nm_ledger *ledger, struct nm_diag *diag)
{
    struct nm_val val;
    enum nm_err err = nm_txn_get(txn, ledger->state, nm_key_text("counters"), &val);
    if (err)
        return err == NM_ENOENT ? NM_OK : err;
    struct nm_record in = {val.data, val.len, false};
    if (val.len % 8)
        return nm_ledger_damaged(ledger, "the counters", diag);
        /* An older build wrote fewer of them: the new ones begin at 0. */
#define LOAD(name)                                                                                                   \
    if (in.left)                                                                                                     \
        ledger->counters.name = nm_record_get(&in, 8);
    NM_LEDGER_COUNTERS(LOAD)
    ledger->committed = ledger->counters;
    return NM_OK;
}

static enum nm_err load_rules(struct nm_txn *txn, struct nm_ledger *ledger, struct nm_diag *diag)
{
    struct nm_val val;
    enum nm_err err = nm_txn_get(txn, ledger->state, nm_key_text("rules"), &val);
    if (err)
        return err == NM_ENOENT ? NM_OK : err;
    struct nm_record in = {val.data, val.len, false};
    while (in.left && ledger->n_rules < NM_LEDGER_RULES_MAX) {
        struct nm_ledger_rule *rule = &ledger->rules[ledger->n_rules];
        size_t len;
        rule->count = nm_record_get(&in, 8);
        const char *name = nm_record_get_text(&in, &len);
        if (!name)
            return nm_ledger_damaged(ledger, "the rules", diag);
        rule->name = strndup(name, len);
        if (!rule->name)
            return NM_ENOMEM;
        ledger->n_rules++;
    }
    return NM_OK;
}

static enum nm_err load_worker(struct nm_ledger *ledger, uint64_t number, struct nm_val val, struct nm_diag *diag)
{
    struct nm_record in = {val.data, val.len, false};
    struct nm_str id, endpoint;
    uint64_t role = nm_record_get(&in, 1), samples = nm_record_get(&in, 8);
    id.ptr = nm_record_get_text(&in, &id.len);
    endpoint.ptr = nm_record_get_text(&in, &endpoint.len);
    if (in.bad || role >= NM_QUEUE_ROLES || number != ledger->n_workers)
        return nm_ledger_damaged(ledger, "a worker", diag);
    enum nm_err err = nm_ledger_add_worker(ledger, (enum nm_queue_role)role, id, endpoint, samples);
    if (!err && in.left) { /* an older build gave no places */
        ledger->list[number].places = nm_record_get(&in, 8);
        ledger->list[number].shards = nm_record_get(&in, 8);
    }
    return err;
}

typedef enum nm_err (*load_fn)(struct nm_ledger *ledger, uint64_t key, struct nm_val val, struct nm_diag *diag);

static enum nm_err load_each(struct nm_txn *txn, struct nm_ledger *ledger, struct nm_db db, load_fn load,
                             struct nm_diag *diag)
{
    struct nm_cursor *cursor;
    struct nm_val key, val;
    enum nm_err err = nm_cursor_open(txn, db, &cursor);
    if (err)
        return err;
    for (err = nm_cursor_seek(cursor, NULL, &key, &val); !err; err = nm_cursor_next(cursor, &key, &val)) {
        err = key.len == 8 ? load(ledger, nm_key_part(key.data, 0), val, diag)
                           : nm_ledger_damaged(ledger, "a key", diag);
        if (err)
            break;
    }
    nm_cursor_close(&cursor);
    return err == NM_ENOENT ? NM_OK : err;
}

static enum nm_err load_all(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct nm_ledger *ledger = ctx;
    enum nm_err err = load_counters(txn, ledger, diag);
    if (!err)
        err = load_rules(txn, ledger, diag);
    if (!err)
        err = load_each(txn, ledger, ledger->workers, load_worker, diag);
    if (!err)
        err = load_each(txn, ledger, ledger->coverage, nm_ledger_load_chunk, diag);
    if (!err)
        err = load_each(txn, ledger, ledger->covered_since, nm_ledger_load_changes, diag);
    if (!err)
        err = load_each(txn, ledger, ledger->troubled, nm_ledger_load_troubled, diag);
    return err;
}

/* ---- open and close -------------------------------------------------------------------------- */

static enum nm_err open_databases(struct nm_ledger *ledger, struct nm_diag *diag)
{
    const struct nm_named_db all[] = {{"settings", &ledger->settings},
                                      {"state", &ledger->state},
                                      {"open", &ledger->open},
                                      {"ended", &ledger->ended},
                                      {"responses", &ledger->responses},
                                      {"coverage", &ledger->coverage},
                                      {"covered_since", &ledger->covered_since},
                                      {"workers", &ledger->workers},
                                      {"dead", &ledger->dead},
                                      {"failures", &ledger->failures},
                                      {"notes", &ledger->notes},
                                      {"grants", &ledger->grants},
                                      {"extra", &ledger->extra},
                                      {"troubled", &ledger->troubled},
                                      {"generations", &ledger->generations},
                                      {"aside", &ledger->aside},
                                      {"shards", &ledger->shards},
                                      {"keys_a", &ledger->keys[0]},
                                      {"keys_b", &ledger->keys[1]}};
    return nm_store_dbs(ledger->store, all, sizeof all / sizeof all[0], diag);
}

static enum nm_err allocate(struct nm_ledger *ledger, const char *path, uint64_t entities)
{
    size_t chunks = (size_t)(entities / COVERAGE_CHUNK + 1);
    ledger->entities = entities;
    ledger->path = strdup(path);
    ledger->covered = calloc((size_t)entities + 1, sizeof *ledger->covered);
    ledger->troubles = calloc((size_t)entities + 1, sizeof *ledger->troubles);
    ledger->chunks = calloc(chunks, sizeof *ledger->chunks);
    ledger->chunk_changed = calloc(chunks, sizeof *ledger->chunk_changed);
    nm_buf_init(&ledger->bytes, COMMIT_MAX);
    nm_map_init(&ledger->worker_of);
    nm_map_init(&ledger->placing);
    nm_buf_init(&ledger->new_keys, COMMIT_MAX);
    return ledger->path && ledger->covered && ledger->troubles && ledger->chunks && ledger->chunk_changed ? NM_OK
                                                                                                          : NM_ENOMEM;
}

enum nm_err nm_ledger_open_renewing(const char *path, const struct nm_ledger_setting *settings, size_t n_settings,
                                    uint64_t entities, struct nm_ledger_renewal *renewal, struct nm_ledger **out,
                                    struct nm_diag *diag)
{
    *out = NULL;
    struct nm_ledger *ledger = calloc(1, sizeof *ledger);
    if (!ledger)
        return nm_fail(diag, NM_ENOMEM, "no memory for the ledger");
    struct nm_store_options options = {.path = path, .kind = "ledger", .schema = NM_LEDGER_SCHEMA};
    struct opening opening = {.ledger = ledger, .settings = settings, .n = n_settings, .renewal = renewal};
    enum nm_err err = allocate(ledger, path, entities);
    if (err)
        nm_fail(diag, err, "no memory for the ledger of %llu entities", (unsigned long long)entities);
    if (!err)
        err = make_run(opening.fresh_run, sizeof opening.fresh_run, diag);
    if (!err)
        err = nm_store_open(&options, &ledger->store, NULL, diag);
    if (!err)
        err = open_databases(ledger, diag);
    if (!err)
        err = nm_store_write(ledger->store, open_settings, &opening, diag);
    if (!err)
        err = nm_store_read(ledger->store, load_all, ledger, diag);
    if (err)
        nm_ledger_close(&ledger);
    *out = ledger;
    return err;
}

enum nm_err nm_ledger_open(const char *path, const struct nm_ledger_setting *settings, size_t n_settings,
                           uint64_t entities, struct nm_ledger **out, struct nm_diag *diag)
{
    return nm_ledger_open_renewing(path, settings, n_settings, entities, NULL, out, diag);
}

/* ---- looking, beside a live broker ----------------------------------------------------------- */

static enum nm_err count_open(struct nm_ledger *ledger, uint64_t task, struct nm_val val, struct nm_diag *diag)
{
    (void)task;
    (void)diag;
    const unsigned char *state = val.data;
    ledger->n_open++;
    ledger->n_waiting += val.len > 0 && (*state == NM_TASK_ACCEPTED || *state == NM_TASK_ALIGNING);
    return NM_OK;
}

static enum nm_err look_around(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct opening *o = ctx;
    struct nm_ledger *ledger = o->ledger;
    bool entities;
    enum nm_err err = load_identity(txn, ledger, diag);
    if (!err)
        err = compare_settings(txn, o);
    entities = has_changed(&o->look, "entities");
    if (!err) /* of other lists, the numbers of entities mean nothing; keep counts them anew */
        err = entities ? load_counters(txn, ledger, diag) : load_all(txn, ledger, diag);
    if (!err && entities)
        err = load_rules(txn, ledger, diag);
    if (!err)
        err = load_each(txn, ledger, ledger->open, count_open, diag);
    if (!err && o->look.n_changes)
        err = nm_ledger_renew(txn, ledger, &o->look.keep, o->settings, o->n, entities, false, diag);
    if (!err && o->look.n_changes)
        err = nm_ledger_renew(txn, ledger, &o->look.fresh, o->settings, o->n, entities, false, diag);
    return err;
}

enum nm_err nm_ledger_look(const char *path, const struct nm_ledger_setting *settings, size_t n_settings,
                           uint64_t entities, uint64_t (*find)(void *ctx, struct nm_str type, struct nm_str text),
                           void *ctx, struct nm_ledger_look *look, struct nm_diag *diag)
{
    struct nm_ledger *ledger = calloc(1, sizeof *ledger);
    struct opening *o = calloc(1, sizeof *o);
    struct nm_store_options options = {.path = path, .kind = "ledger", .schema = NM_LEDGER_SCHEMA, .read_only = true};
    memset(look, 0, sizeof *look);
    enum nm_err err = ledger && o ? allocate(ledger, path, entities) : NM_ENOMEM;
    if (err) {
        nm_fail(diag, err, "no memory for the ledger of %llu entities", (unsigned long long)entities);
        goto out;
    }
    *o = (struct opening){.ledger = ledger, .settings = settings, .n = n_settings};
    o->look.keep = (struct nm_ledger_renewal){.find = find, .ctx = ctx};
    o->look.fresh = (struct nm_ledger_renewal){.fresh = true, .find = find, .ctx = ctx};
    err = nm_store_open(&options, &ledger->store, NULL, diag);
    if (!err)
        err = open_databases(ledger, diag);
    if (!err)
        err = nm_store_read(ledger->store, look_around, o, diag);
    if (err)
        goto out;
    *look = o->look;
    memcpy(look->run, ledger->run, sizeof look->run);
    look->generation = ledger->generation;
    look->counters = ledger->counters;
    look->open = ledger->n_open;
    look->waiting = ledger->n_waiting;
    look->covered = ledger->covered;
    ledger->covered = NULL;
    memcpy(look->rules, ledger->rules, sizeof look->rules);
    look->n_rules = ledger->n_rules;
    ledger->n_rules = 0;
out:
    free(o);
    nm_ledger_close(&ledger);
    return err;
}

void nm_ledger_close(struct nm_ledger **ledger)
{
    struct nm_ledger *l = *ledger;
    *ledger = NULL;
    if (!l)
        return;
    nm_store_close(&l->store);
    for (size_t i = 0; i < l->n_rules; i++)
        free(l->rules[i].name);
    for (uint32_t i = 0; i < l->n_workers; i++) {
        free(l->list[i].id);
        free(l->list[i].endpoint);
    }
    free(l->list);
    free(l->worker_changed);
    nm_map_clean_up(&l->worker_of);
    nm_map_clean_up(&l->placing);
    nm_buf_clean_up(&l->new_keys);
    free(l->window.made);
    free(l->ops);
    nm_buf_clean_up(&l->bytes);
    free(l->covered);
    free(l->troubles);
    free(l->chunks);
    free(l->chunk_changed);
    free(l->changes);
    free(l->path);
    free(l);
}
