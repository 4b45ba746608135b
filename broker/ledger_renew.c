/* A new generation of a run: what shaped its texts has changed, and somebody has said what becomes of those there
 * are.
 *
 * Everything happens in one transaction, before anything is read into memory:
 *
 *     keep    finished samples stay (if the entity lists changed: those whose entities are all still listed), and so
 *             do accepted texts on their way to an aligner; open tasks without one are set aside
 *     fresh   every sample and every open task is set aside
 *
 * Set aside means: `ended` says ASIDE, `aside` has the range of tasks.  Responses stay in the log, whatever happens;
 * an answer to a task that was set aside is logged when it comes.  Dead letters are set aside in both cases: they
 * were the old prompt's.  The tasks of the new generation have its number in theirs, so none is mixed up.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/ledger_parts.h"
#include "broker/record.h"
#include "common/clock.h"
#include "common/log.h"

enum { TEXT_MAX = 1 << 16, RECORD_MAX = 1024 };

struct renewing {
    struct nm_ledger *ledger;
    const struct nm_ledger_renewal *how;
    bool write; /* false: only counted */
    bool entities_changed;
    uint64_t done, dropped, open, aside; /* that stay; samples set aside */
    uint32_t *covered;                   /* (entities) counted anew; NULL: not needed */
    uint64_t *samples;                   /* (workers) that each still owns */
    uint32_t n_samples;
};

/* ---- what stays ------------------------------------------------------------------------------ */

/* Whether all entities of an accepted text are still listed; if so it counts for them. */
static enum nm_err still_listed(struct nm_txn *txn, struct renewing *r, uint64_t task, uint64_t attempt, bool *listed,
                                struct nm_diag *diag)
{
    struct nm_val val;
    struct nm_arena arena;
    struct nm_msg_response response;
    *listed = true;
    if (!r->covered)
        return NM_OK;
    enum nm_err err = nm_txn_get(txn, r->ledger->responses, nm_key_u64x2(task, attempt), &val);
    if (err)
        return nm_ledger_damaged(r->ledger, "an accepted text is missing", diag);
    nm_arena_init(&arena, 0);
    err = nm_response_decode(val.data, val.len, &arena, &response, diag);
    for (size_t i = 0; !err && *listed && i < response.n_entities; i++)
        *listed = r->how->find(r->how->ctx, response.entities[i].type, response.entities[i].text) != UINT64_MAX;
    for (size_t i = 0; !err && *listed && i < response.n_entities; i++)
        r->covered[r->how->find(r->how->ctx, response.entities[i].type, response.entities[i].text)]++;
    nm_arena_clean_up(&arena);
    return err;
}

/* The place stays: shards are never rewritten. */
static enum nm_err put_aside(struct nm_txn *txn, struct renewing *r, uint64_t task, const struct nm_ledger_end *end)
{
    struct nm_buf bytes;
    nm_buf_init(&bytes, ENDED_BYTES);
    enum nm_err err = nm_record_put(&bytes, NM_TASK_ASIDE, 1);
    if (!err)
        err = nm_record_put(&bytes, end->attempt, 4);
    if (!err)
        err = nm_record_put(&bytes, end->worker, 4);
    if (!err)
        err = nm_record_put(&bytes, end->place, 8);
    if (!err && r->write)
        err = nm_txn_put(txn, r->ledger->ended, nm_key_u64(task), bytes.data, bytes.len);
    nm_buf_clean_up(&bytes);
    return err;
}

static enum nm_err put_range(struct nm_txn *txn, struct renewing *r, uint64_t first, uint64_t last)
{
    unsigned char raw[8];
    for (int i = 0; i < 8; i++)
        raw[i] = (unsigned char)(last >> (8 * i));
    return r->write ? nm_txn_put(txn, r->ledger->aside, nm_key_u64(first), raw, sizeof raw) : NM_OK;
}

static enum nm_err renew_ended(struct nm_txn *txn, struct renewing *r, uint64_t task, struct nm_val val,
                               struct nm_diag *diag)
{
    struct nm_ledger_end end;
    if (!nm_ledger_read_end(val, &end))
        return nm_ledger_damaged(r->ledger, "the end of a task", diag);
    enum nm_task_state state = end.state;
    bool stays = state == NM_TASK_DROPPED || (!r->how->fresh && state != NM_TASK_DEAD);
    enum nm_err err = NM_OK;
    if (state == NM_TASK_ASIDE)
        return NM_OK;
    if (state == NM_TASK_DONE && stays)
        err = still_listed(txn, r, task, end.attempt, &stays, diag);
    if (err)
        return err;
    r->done += stays && state == NM_TASK_DONE;
    r->dropped += stays && state == NM_TASK_DROPPED;
    r->aside += !stays && state == NM_TASK_DONE;
    if (stays && state == NM_TASK_DONE && end.worker < r->n_samples)
        r->samples[end.worker]++;
    if (!stays)
        err = put_aside(txn, r, task, &end);
    if (!err && !stays && state == NM_TASK_DONE && !r->how->fresh)
        err = put_range(txn, r, task, task);
    return err;
}

static enum nm_err renew_open(struct nm_txn *txn, struct renewing *r, uint64_t task, struct nm_val val,
                              struct nm_diag *diag)
{
    struct nm_record in = {val.data, val.len, false};
    struct nm_ledger_end end = {.state = NM_TASK_ASIDE};
    uint64_t state = nm_record_get(&in, 1);
    end.attempt = (uint32_t)nm_record_get(&in, 4);
    end.worker = (uint32_t)nm_record_get(&in, 4);
    bool stays = !r->how->fresh && (state == NM_TASK_ACCEPTED || state == NM_TASK_ALIGNING);
    enum nm_err err = NM_OK;
    if (in.bad)
        return nm_ledger_damaged(r->ledger, "an open task", diag);
    if (stays)
        err = still_listed(txn, r, task, end.attempt, &stays, diag);
    r->open += stays;
    if (err || stays)
        return err;
    err = put_aside(txn, r, task, &end);
    if (!err && r->write)
        err = nm_txn_del(txn, r->ledger->open, nm_key_u64(task));
    return err;
}

typedef enum nm_err (*renew_fn)(struct nm_txn *txn, struct renewing *r, uint64_t task, struct nm_val val,
                                struct nm_diag *diag);

/* Each record once: the key is copied, as fn may write or delete it. */
static enum nm_err renew_each(struct nm_txn *txn, struct renewing *r, struct nm_db db, renew_fn fn,
                              struct nm_diag *diag)
{
    struct nm_key from = nm_key_u64(0);
    for (bool more = true; more;) {
        struct nm_cursor *cursor;
        struct nm_val key, val;
        unsigned char copy[RECORD_MAX];
        uint64_t task = 0;
        enum nm_err err = nm_cursor_open(txn, db, &cursor);
        if (!err)
            err = nm_cursor_seek(cursor, &from, &key, &val);
        if (!err && (key.len != 8 || val.len > sizeof copy))
            err = NM_EFORMAT;
        if (!err) {
            task = nm_key_part(key.data, 0);
            memcpy(copy, val.data, val.len);
            val.data = copy;
        }
        nm_cursor_close(&cursor);
        if (err)
            return err == NM_ENOENT ? NM_OK : err;
        err = fn(txn, r, task, val, diag);
        if (err)
            return err;
        more = task < UINT64_MAX;
        from = nm_key_u64(task + 1);
    }
    return NM_OK;
}

/* ---- the rest of the ledger ---------------------------------------------------------------------------------------
 */

static enum nm_err put_chunks(struct nm_txn *txn, struct renewing *r)
{
    struct nm_buf bytes;
    enum nm_err err = nm_txn_clear(txn, r->ledger->coverage);
    if (!err)
        err = nm_txn_clear(txn, r->ledger->covered_since);
    nm_buf_init(&bytes, (size_t)COVERAGE_CHUNK * 4);
    for (uint64_t entity = 0; !err && r->covered && entity < r->ledger->entities; entity++) {
        err = nm_record_put(&bytes, r->covered[entity], 4);
        bool last = entity % COVERAGE_CHUNK == COVERAGE_CHUNK - 1 || entity + 1 == r->ledger->entities;
        if (err || !last)
            continue;
        err = nm_txn_put(txn, r->ledger->coverage, nm_key_u64(entity / COVERAGE_CHUNK), bytes.data, bytes.len);
        nm_buf_reset(&bytes);
    }
    nm_buf_clean_up(&bytes);
    return err;
}

/* opened is what is left, so that opened + extra = done + dead + dropped + the open ones; all that was paid stays
 * counted. */
static enum nm_err put_counters(struct nm_txn *txn, const struct renewing *r)
{
    struct nm_ledger *ledger = r->ledger;
    struct nm_ledger_counters c = {0};
    struct nm_val val;
    struct nm_buf bytes;
    enum nm_err err = nm_txn_get(txn, ledger->state, nm_key_text("counters"), &val);
    if (err && err != NM_ENOENT)
        return err;
    struct nm_record in = {val.data, err ? 0 : val.len, false};
#define TAKE(name)                                                                                                   \
    if (in.left)                                                                                                     \
        c.name = nm_record_get(&in, 8);
    NM_LEDGER_COUNTERS(TAKE)
    c.done = r->done;
    c.dropped = r->dropped;
    c.dead = c.extra = 0;
    c.opened = r->done + r->dropped + r->open;
    nm_buf_init(&bytes, 4096);
    err = NM_OK;
#define PUT(name)                                                                                                    \
    if (!err)                                                                                                        \
        err = nm_record_put(&bytes, c.name, 8);
    NM_LEDGER_COUNTERS(PUT)
    if (!err)
        err = nm_txn_put(txn, ledger->state, nm_key_text("counters"), bytes.data, bytes.len);
    nm_buf_clean_up(&bytes);
    return err;
}

static enum nm_err renew_worker(struct nm_txn *txn, struct renewing *r, uint64_t number, struct nm_val val,
                                struct nm_diag *diag)
{
    unsigned char record[RECORD_MAX];
    (void)diag;
    if (!r->write || number >= r->n_samples || val.len < 9 || val.len > sizeof record)
        return NM_OK;
    memcpy(record, val.data, val.len);
    for (int i = 0; i < 8; i++)
        record[1 + i] = (unsigned char)(r->samples[number] >> (8 * i));
    return nm_txn_put(txn, r->ledger->workers, nm_key_u64(number), record, val.len);
}

/* ---- the generation itself ------------------------------------------------------------------- */

enum nm_err nm_ledger_put_generation(struct nm_txn *txn, struct nm_ledger *ledger, uint64_t generation,
                                     const char *how, const struct nm_ledger_setting *settings, size_t n)
{
    char number[24];
    struct nm_buf text;
    nm_buf_init(&text, TEXT_MAX);
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)generation);
    enum nm_err err = nm_buf_addf(&text, "how\t%s\nsince_ms\t%lld\n", how, (long long)nm_clock_wall_ms());
    for (size_t i = 0; i < n && !err; i++) {
        err = nm_buf_addf(&text, "%s\t%s\n", settings[i].key, settings[i].value);
        if (!err)
            err = nm_txn_put(txn, ledger->settings, nm_key_text(settings[i].key), settings[i].value,
                             strlen(settings[i].value));
    }
    if (!err)
        err = nm_txn_put(txn, ledger->settings, nm_key_text("generation"), number, strlen(number));
    if (!err)
        err = nm_txn_put(txn, ledger->generations, nm_key_u64(generation), text.data, text.len);
    nm_buf_clean_up(&text);
    return err;
}

static enum nm_err prepare(struct renewing *r, uint32_t workers)
{
    r->n_samples = workers;
    r->samples = calloc(workers + 1, sizeof *r->samples);
    r->covered = r->entities_changed && !r->how->fresh ? calloc(r->ledger->entities + 1, sizeof *r->covered) : NULL;
    return r->samples && (r->covered || !r->entities_changed || r->how->fresh) ? NM_OK : NM_ENOMEM;
}

static enum nm_err write_rest(struct nm_txn *txn, struct renewing *r, struct nm_diag *diag)
{
    struct nm_ledger *ledger = r->ledger;
    enum nm_err err = nm_txn_clear(txn, ledger->dead);
    if (!err)
        err = nm_txn_clear(txn, ledger->extra);
    if (!err)
        err = nm_txn_clear(txn, ledger->troubled); /* with another prompt or list, the blame is another */
    if (!err && r->how->fresh)
        err = nm_txn_clear(txn, ledger->aside);
    if (!err && r->how->fresh)
        err = put_range(txn, r, 0, ((ledger->generation + 1) << NM_TASK_GENERATION) - 1);
    if (!err && (r->covered || r->how->fresh))
        err = put_chunks(txn, r);
    if (!err)
        err = put_counters(txn, r);
    return err ? err : renew_each(txn, r, ledger->workers, renew_worker, diag);
}

enum nm_err nm_ledger_renew(struct nm_txn *txn, struct nm_ledger *ledger, struct nm_ledger_renewal *how,
                            const struct nm_ledger_setting *settings, size_t n, bool entities_changed, bool write,
                            struct nm_diag *diag)
{
    struct renewing r = {.ledger = ledger, .how = how, .write = write, .entities_changed = entities_changed};
    uint64_t workers = 0;
    enum nm_err err = nm_txn_count(txn, ledger->workers, &workers);
    if (!err)
        err = prepare(&r, (uint32_t)workers);
    if (!err)
        err = renew_each(txn, &r, ledger->ended, renew_ended, diag);
    if (!err)
        err = renew_each(txn, &r, ledger->open, renew_open, diag);
    if (!err && write)
        err = write_rest(txn, &r, diag);
    if (!err && write)
        err =
            nm_ledger_put_generation(txn, ledger, ledger->generation + 1, how->fresh ? "fresh" : "keep", settings, n);
    if (!write && r.covered)
        memcpy(ledger->covered, r.covered, ledger->entities * sizeof *r.covered);
    how->stay = r.done;
    how->aside = r.aside;
    how->open = r.open;
    free(r.samples);
    free(r.covered);
    return err;
}

/* ---- what is set aside ----------------------------------------------------------------------- */

struct listing {
    const struct nm_ledger *ledger;
    struct nm_buf *out;
};

static enum nm_err list_aside(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    const struct listing *l = ctx;
    struct nm_cursor *cursor;
    struct nm_val key, val;
    nm_buf_reset(l->out);
    enum nm_err err = nm_cursor_open(txn, l->ledger->aside, &cursor);
    if (err)
        return err;
    for (err = nm_cursor_seek(cursor, NULL, &key, &val); !err; err = nm_cursor_next(cursor, &key, &val)) {
        struct nm_record in = {val.data, val.len, key.len != 8 || val.len != 8};
        unsigned long long last = nm_record_get(&in, 8);
        err = in.bad ? nm_ledger_damaged(l->ledger, "what is set aside", diag)
                     : nm_buf_addf(l->out, "%llu %llu\n", (unsigned long long)nm_key_part(key.data, 0), last);
        if (err)
            break;
    }
    nm_cursor_close(&cursor);
    return err == NM_ENOENT ? NM_OK : err;
}

enum nm_err nm_ledger_list_aside(struct nm_ledger *ledger, struct nm_buf *out, struct nm_diag *diag)
{
    struct listing l = {ledger, out};
    return nm_store_read(ledger->store, list_aside, &l, diag);
}

uint64_t nm_ledger_generation(const struct nm_ledger *ledger)
{
    return ledger->generation;
}
