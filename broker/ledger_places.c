/* ledger_places.c - which sample of an aligner stands at which place, and its sealed shards: the directory.
 *
 * A sample is given the next place of its aligner's when it is done, in the record of its end.  So what an aligner
 * has at each place is known as long as the ledger is, and its shards can be made again from the response log.
 */
#include <stdlib.h>
#include <string.h>

#include "broker/ledger_parts.h"
#include "broker/record.h"
#include "common/log.h"

enum { SHARD_BYTES = 24, WINDOW = 1 << 20 /* places looked up in one walk over all ended tasks: 16 MiB */ };

/* ---- giving places ------------------------------------------------------------------------------------------------
 */

enum nm_err nm_ledger_give_place(struct nm_ledger *ledger, uint64_t task, uint32_t worker, uint64_t *place)
{
    struct nm_ledger_worker *w = &ledger->list[worker];
    enum nm_err err = nm_map_put(&ledger->placing, task, (void *)(uintptr_t)(w->places + 1));
    if (err)
        return err;
    *place = ++w->places;
    ledger->worker_changed[worker] = true;
    return NM_OK;
}

uint64_t nm_ledger_placing(const struct nm_ledger *ledger, uint64_t task)
{
    return (uint64_t)(uintptr_t)nm_map_get(&ledger->placing, task);
}

/* Reads an end: its length says whether it was written with a place. */
bool nm_ledger_read_end(struct nm_val val, struct nm_ledger_end *end)
{
    struct nm_record in = {val.data, val.len, val.len != ENDED_BYTES && val.len != ENDED_BYTES_BEFORE};
    end->state = (enum nm_task_state)nm_record_get(&in, 1);
    end->attempt = (uint32_t)nm_record_get(&in, 4);
    end->worker = (uint32_t)nm_record_get(&in, 4);
    end->place = in.left ? nm_record_get(&in, 8) : 0;
    return !in.bad;
}

struct place_query {
    struct nm_ledger *ledger;
    uint64_t task;
    struct nm_ledger_end end;
};

static enum nm_err read_place(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct place_query *q = ctx;
    struct nm_val val;
    enum nm_err err = nm_txn_get(txn, q->ledger->ended, nm_key_u64(q->task), &val);
    if (!err && !nm_ledger_read_end(val, &q->end))
        err = nm_ledger_damaged(q->ledger, "the end of a task", diag);
    return err;
}

enum nm_err nm_ledger_get_place(struct nm_ledger *ledger, uint64_t task, uint64_t *place, struct nm_diag *diag)
{
    struct place_query q = {.ledger = ledger, .task = task};
    *place = nm_ledger_placing(ledger, task);
    if (*place)
        return NM_OK;
    enum nm_err err = nm_store_read(ledger->store, read_place, &q, diag);
    *place = q.end.place;
    return err == NM_ENOENT ? NM_OK : err;
}

void nm_ledger_skip_places(struct nm_ledger *ledger, uint32_t worker, uint64_t places)
{
    struct nm_ledger_worker *w = &ledger->list[worker];
    if (places <= w->places)
        return;
    nm_warn("ledger %s: aligner %s has %llu samples, the ledger knows of %llu: it has lost some of its last commits",
            ledger->path, w->id, (unsigned long long)places, (unsigned long long)w->places);
    w->places = places;
    ledger->worker_changed[worker] = true;
}

/* ---- what stands at each place ------------------------------------------------------------------------------------
 */

static bool window_has(const struct nm_ledger *ledger, uint32_t worker, uint64_t place)
{
    const struct nm_ledger_window *w = &ledger->window;
    return w->made && w->worker == worker && place >= w->first && place - w->first < WINDOW &&
           w->made[place - w->first].attempt != 0;
}

static enum nm_err fill_window(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct nm_ledger *ledger = ctx;
    struct nm_ledger_window *w = &ledger->window;
    struct nm_ledger_end end;
    struct nm_cursor *cursor;
    struct nm_val key, val;
    enum nm_err err = nm_cursor_open(txn, ledger->ended, &cursor);
    if (err)
        return err;
    for (err = nm_cursor_seek(cursor, NULL, &key, &val); !err; err = nm_cursor_next(cursor, &key, &val)) {
        if (key.len != 8 || !nm_ledger_read_end(val, &end)) {
            err = nm_ledger_damaged(ledger, "the end of a task", diag);
            break;
        }
        if (end.place > w->first && end.place - 1 - w->first < WINDOW && end.worker == w->worker)
            w->made[end.place - 1 - w->first] = (struct nm_ledger_made){nm_key_part(key.data, 0), end.attempt};
    }
    nm_cursor_close(&cursor);
    return err == NM_ENOENT ? NM_OK : err;
}

enum nm_err nm_ledger_made_at(struct nm_ledger *ledger, uint32_t worker, uint64_t place, struct nm_ledger_made *made,
                              struct nm_diag *diag)
{
    struct nm_ledger_window *w = &ledger->window;
    if (worker >= ledger->n_workers || place >= ledger->list[worker].places)
        return NM_ENOENT;
    if (!window_has(ledger, worker, place)) {
        if (!w->made)
            w->made = malloc(WINDOW * sizeof *w->made);
        if (!w->made)
            return nm_fail(diag, NM_ENOMEM, "ledger %s: no memory for the places of samples", ledger->path);
        memset(w->made, 0, WINDOW * sizeof *w->made);
        w->worker = worker;
        w->first = place;
        enum nm_err err = nm_store_read(ledger->store, fill_window, ledger, diag);
        if (err)
            return err;
    }
    *made = w->made[place - w->first];
    return made->attempt ? NM_OK : NM_ENOENT;
}

/* ---- sealed shards ------------------------------------------------------------------------------------------------
 */

enum nm_err nm_ledger_seal(struct nm_ledger *ledger, uint32_t worker, const struct nm_msg_sealed *sealed)
{
    struct nm_ledger_worker *w = &ledger->list[worker];
    if (sealed->shard > w->shards)
        return NM_OK; /* told of again after its next welcome, in order */
    size_t offset = ledger->bytes.len;
    enum nm_err err = nm_record_put(&ledger->bytes, sealed->count, 8);
    if (!err)
        err = nm_record_put(&ledger->bytes, sealed->bytes, 8);
    if (!err)
        err = nm_record_put(&ledger->bytes, sealed->digest, 8);
    if (!err)
        err = nm_ledger_add_put(ledger, ledger->shards, nm_key_u64x2(worker, sealed->shard), offset);
    if (!err && sealed->shard == w->shards) {
        w->shards++;
        ledger->worker_changed[worker] = true;
    }
    return err;
}

struct shards_query {
    const struct nm_ledger *ledger;
    uint32_t worker;
    struct nm_index *index;
    struct nm_arena *arena;
};

static enum nm_err read_shards(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    const struct shards_query *q = ctx;
    struct nm_index *index = q->index;
    enum nm_err err = NM_OK;
    uint64_t n = q->ledger->list[q->worker].shards;
    index->shards = nm_arena_alloc(q->arena, n * sizeof *index->shards + 1);
    if (!index->shards)
        return NM_ENOMEM;
    for (; index->n_shards < n; index->n_shards++) {
        struct nm_val val;
        err = nm_txn_get(txn, q->ledger->shards, nm_key_u64x2(q->worker, index->n_shards), &val);
        if (err == NM_ENOENT) /* not committed yet */
            break;
        struct nm_record in = {val.data, err ? 0 : val.len, val.len != SHARD_BYTES};
        struct nm_index_shard *shard = &index->shards[index->n_shards];
        *shard = (struct nm_index_shard){.number = index->n_shards, .sealed = true};
        shard->count = nm_record_get(&in, 8);
        shard->bytes = nm_record_get(&in, 8);
        shard->digest = nm_record_get(&in, 8);
        index->samples += shard->count;
        if (err || in.bad)
            return err ? err : nm_ledger_damaged(q->ledger, "a shard of the directory", diag);
    }
    index->shard_samples = index->n_shards ? index->shards[0].count : 0;
    return NM_OK;
}

enum nm_err nm_ledger_list_shards(struct nm_ledger *ledger, uint32_t worker, struct nm_arena *arena,
                                  struct nm_index *index, struct nm_diag *diag)
{
    *index = (struct nm_index){.run = ledger->run};
    struct shards_query q = {ledger, worker, index, arena};
    return nm_store_read(ledger->store, read_shards, &q, diag);
}

uint32_t nm_ledger_find_worker(const struct nm_ledger *ledger, enum nm_queue_role role, struct nm_str id)
{
    void *place = nm_map_get(&ledger->worker_of, nm_ledger_worker_key(role, id));
    uint32_t number = (uint32_t)((uintptr_t)place - 1);
    if (!place || ledger->list[number].role != role || strlen(ledger->list[number].id) != id.len ||
        memcmp(ledger->list[number].id, id.ptr, id.len) != 0)
        return NM_QUEUE_NOBODY;
    return number;
}
