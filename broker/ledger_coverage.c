/* How many accepted texts each entity has.
 *
 * The numbers are kept in memory, and on disk in chunks of 64.  A text changes as many chunks as it has entities, all
 * over the lists: written at every commit, a million entities halved the rate of completions.  So a commit writes
 * one record with the entities that changed, and the chunks only when there are many such records; the next open adds
 * them up.
 */
#include <stdlib.h>
#include <string.h>

#include "broker/ledger_parts.h"
#include "broker/record.h"

/* Written to the chunks when there are more: 4 MB to add up at an open, at most. */
enum { CHANGES_MAX = 1 << 20, RECORDS_MAX = 1 << 16 };

static void change(struct nm_ledger *ledger, uint64_t entity, bool less)
{
    uint64_t chunk = entity / COVERAGE_CHUNK;
    if (less)
        ledger->covered[entity] -= ledger->covered[entity] > 0;
    else
        ledger->covered[entity] += ledger->covered[entity] < UINT32_MAX;
    if (!ledger->chunk_changed[chunk]) {
        ledger->chunk_changed[chunk] = true;
        ledger->chunks[ledger->n_chunks++] = chunk;
    }
}

enum nm_err nm_ledger_cover(struct nm_ledger *ledger, uint64_t entity, bool less)
{
    if (entity >= ledger->entities || entity > UINT32_MAX / 2)
        return NM_EINVAL;
    if (ledger->n_changes == ledger->cap_changes) {
        size_t cap = ledger->cap_changes ? ledger->cap_changes * 2 : 256;
        uint32_t *bigger = realloc(ledger->changes, cap * sizeof *bigger);
        if (!bigger)
            return NM_ENOMEM;
        ledger->changes = bigger;
        ledger->cap_changes = cap;
    }
    ledger->changes[ledger->n_changes++] = (uint32_t)entity * 2 + less;
    change(ledger, entity, less);
    return less ? NM_OK : nm_ledger_end_row(ledger, entity);
}

struct nm_ledger_coverage nm_ledger_get_coverage(const struct nm_ledger *ledger)
{
    struct nm_ledger_coverage c = {.entities = ledger->entities, .min = ledger->entities ? UINT64_MAX : 0};
    for (uint64_t i = 0; i < ledger->entities; i++) {
        uint64_t n = ledger->covered[i];
        c.sum += n;
        c.min = n < c.min ? n : c.min;
        c.max = n > c.max ? n : c.max;
    }
    return c;
}

/* ---- writing ----------------------------------------------------------------------------------------------------
 */

static enum nm_err put_chunk(struct nm_ledger *ledger, uint64_t chunk)
{
    size_t offset = ledger->bytes.len;
    uint64_t entity = chunk * COVERAGE_CHUNK, end = entity + COVERAGE_CHUNK;
    enum nm_err err = NM_OK;
    for (; entity < end && entity < ledger->entities && !err; entity++)
        err = nm_record_put(&ledger->bytes, ledger->covered[entity], 4);
    return err ? err : nm_ledger_add_put(ledger, ledger->coverage, nm_key_u64(chunk), offset);
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static enum nm_err put_chunks(struct nm_ledger *ledger)
{
    enum nm_err err = NM_OK;
    qsort(ledger->chunks, ledger->n_chunks, sizeof *ledger->chunks, by_number);
    for (size_t i = 0; i < ledger->n_chunks && !err; i++)
        err = put_chunk(ledger, ledger->chunks[i]);
    return err ? err : nm_ledger_add_op(ledger, (struct op){.db = ledger->covered_since, .clear = true});
}

enum nm_err nm_ledger_collect_coverage(struct nm_ledger *ledger)
{
    size_t offset = ledger->bytes.len;
    enum nm_err err = NM_OK;
    ledger->folds = false;
    if (ledger->n_changes == 0)
        return NM_OK;
    ledger->folds = ledger->n_since + ledger->n_changes > CHANGES_MAX || ledger->n_records >= RECORDS_MAX;
    if (ledger->folds)
        return put_chunks(ledger);
    for (size_t i = 0; i < ledger->n_changes && !err; i++)
        err = nm_record_put(&ledger->bytes, ledger->changes[i], 4);
    return err ? err : nm_ledger_add_put(ledger, ledger->covered_since, nm_key_u64(ledger->n_records), offset);
}

void nm_ledger_forget_coverage(struct nm_ledger *ledger)
{
    if (ledger->folds) {
        for (size_t i = 0; i < ledger->n_chunks; i++)
            ledger->chunk_changed[ledger->chunks[i]] = false;
        ledger->n_chunks = ledger->n_since = ledger->n_records = 0;
    } else if (ledger->n_changes) {
        ledger->n_since += ledger->n_changes;
        ledger->n_records++;
    }
    ledger->folds = false;
    ledger->n_changes = 0;
}

/* ---- loading: chunks first ------------------------------------------------------------------- */

enum nm_err nm_ledger_load_chunk(struct nm_ledger *ledger, uint64_t chunk, struct nm_val val, struct nm_diag *diag)
{
    struct nm_record in = {val.data, val.len, false};
    uint64_t entity = chunk * COVERAGE_CHUNK;
    if (chunk > ledger->entities || val.len % 4)
        return nm_ledger_damaged(ledger, "the coverage", diag);
    for (; in.left && entity < ledger->entities; entity++)
        ledger->covered[entity] = (uint32_t)nm_record_get(&in, 4);
    return NM_OK;
}

enum nm_err nm_ledger_load_changes(struct nm_ledger *ledger, uint64_t number, struct nm_val val, struct nm_diag *diag)
{
    struct nm_record in = {val.data, val.len, false};
    if (number != ledger->n_records || val.len % 4)
        return nm_ledger_damaged(ledger, "the coverage", diag);
    while (in.left) {
        uint64_t one = nm_record_get(&in, 4);
        if (one / 2 < ledger->entities)
            change(ledger, one / 2, one & 1);
        ledger->n_since++;
    }
    ledger->n_records++;
    return NM_OK;
}
