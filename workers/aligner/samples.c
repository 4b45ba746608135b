#include "workers/aligner/samples.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"
#include "schemas/shard.h"
#include "workers/aligner/array.h"
#include "workers/aligner/samples_impl.h"

enum { SHARD_BYTES_MAX = 1 << 30, BATCH_BYTES_MAX = 1 << 30 };

/* ---- opening ----------------------------------------------------------------------------------------------------
 */

struct meta_context {
    struct nm_samples *s;
    const char *run; /* NULL: read only */
};

static uint64_t get_number(struct nm_txn *txn, struct nm_db db, const char *name)
{
    struct nm_val val;
    return nm_txn_get(txn, db, nm_key_text(name), &val) == NM_OK && val.len == 8 ? nm_key_part(val.data, 0) : 0;
}

enum nm_err nm_samples_put_number(struct nm_txn *txn, struct nm_db db, const char *name, uint64_t value)
{
    return nm_txn_put(txn, db, nm_key_text(name), nm_key_u64(value).bytes, 8);
}

static enum nm_err read_meta(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    const struct meta_context *m = ctx;
    struct nm_samples *s = m->s;
    struct nm_val run;
    enum nm_err err = nm_txn_get(txn, s->meta, nm_key_text("run"), &run);
    if (err == NM_ENOENT && m->run != NULL) {
        err = nm_txn_put(txn, s->meta, nm_key_text("run"), m->run, strlen(m->run));
        if (err == NM_OK)
            err = nm_samples_put_number(txn, s->meta, "shard_samples", s->shard_samples);
        (void)strncpy(s->run, m->run, sizeof s->run - 1);
        return err;
    }
    if (err != NM_OK || run.len >= sizeof s->run)
        return nm_fail(diag, NM_EFORMAT, "the store of samples does not say which run it is of");
    memcpy(s->run, run.data, run.len);
    s->run[run.len] = '\0';
    if (m->run != NULL && strcmp(m->run, s->run) != 0)
        return nm_fail(diag, NM_ESTATE,
                       "it holds the samples of run %s, the broker serves run %s: give --state another "
                       "directory",
                       s->run, m->run);
    s->shard_samples = get_number(txn, s->meta, "shard_samples");
    if (s->shard_samples == 0 || s->shard_samples > NM_SHARD_SAMPLES_MAX)
        return nm_fail(diag, NM_EFORMAT, "the store of samples has lost its settings");
    return nm_samples_find_end(s, txn, get_number(txn, s->meta, "next"));
}

static enum nm_err open_databases(struct nm_samples *s, struct nm_diag *diag)
{
    const struct nm_named_db list[] = {{"meta", &s->meta},
                                       {"pending", &s->pending},
                                       {"samples", &s->samples},
                                       {"tasks", &s->tasks},
                                       {"shards", &s->shards}};
    return nm_store_dbs(s->store, list, sizeof list / sizeof *list, diag);
}

static enum nm_err open_store(const char *state_dir, const char *run, uint64_t shard_samples, struct nm_samples **out,
                              struct nm_diag *diag)
{
    char path[4096];
    *out = NULL;
    if (nm_file_join(state_dir, "samples", path, sizeof path) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", state_dir);
    struct nm_samples *s = calloc(1, sizeof *s);
    if (s == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", path);
    s->shard_samples = shard_samples;
    nm_buf_init(&s->batch, BATCH_BYTES_MAX);
    nm_buf_init(&s->record, NM_FRAME_MAX + NM_SAMPLES_SUM_LEN);
    nm_buf_init(&s->shard, SHARD_BYTES_MAX);
    struct nm_store_options options = {
        .path = path, .kind = "samples", .schema = NM_SAMPLES_SCHEMA, .read_only = run == NULL};
    struct meta_context meta = {s, run};
    uint32_t schema = 0;
    enum nm_err err = nm_store_open(&options, &s->store, &schema, diag);
    s->summed = schema >= NM_SAMPLES_SCHEMA;
    if (err == NM_OK)
        err = open_databases(s, diag);
    if (err == NM_OK) {
        struct nm_diag why = {""};
        err = run != NULL ? nm_store_write(s->store, read_meta, &meta, &why)
                          : nm_store_read(s->store, read_meta, &meta, &why);
        if (err != NM_OK)
            (void)nm_fail(diag, err, "%s: %s", path, why.text);
    }
    if (err != NM_OK)
        nm_samples_close(&s);
    *out = s;
    return err;
}

enum nm_err nm_samples_open(const char *state_dir, const char *run, uint64_t shard_samples,
                            struct nm_samples **samples, struct nm_diag *diag)
{
    if (shard_samples == 0 || shard_samples > NM_SHARD_SAMPLES_MAX)
        return nm_fail(diag, NM_EINVAL, "%" PRIu64 " samples a shard: 1 to %d are possible", shard_samples,
                       NM_SHARD_SAMPLES_MAX);
    return open_store(state_dir, run, shard_samples, samples, diag);
}

enum nm_err nm_samples_open_read(const char *state_dir, struct nm_samples **samples, struct nm_diag *diag)
{
    return open_store(state_dir, NULL, 0, samples, diag);
}

void nm_samples_close(struct nm_samples **samples)
{
    struct nm_samples *s = *samples;
    if (s == NULL)
        return;
    nm_store_close(&s->store);
    nm_buf_clean_up(&s->batch);
    nm_buf_clean_up(&s->record);
    nm_buf_clean_up(&s->shard);
    free(s->changes);
    free(s);
    *samples = NULL;
}

uint64_t nm_samples_count(const struct nm_samples *s)
{
    return s->next;
}

uint64_t nm_samples_end(const struct nm_samples *s)
{
    return s->end;
}

uint64_t nm_samples_shard_size(const struct nm_samples *s)
{
    return s->shard_samples;
}

const char *nm_samples_run(const struct nm_samples *s)
{
    return s->run;
}

/* ---- records ----------------------------------------------------------------------------------------------------
 */

void nm_samples_put_sum(const struct nm_samples *s, void *value, size_t len)
{
    if (!s->summed)
        return;
    unsigned char *sum = value;
    memcpy(sum, nm_key_u64(nm_hash64(sum + NM_SAMPLES_SUM_LEN, len - NM_SAMPLES_SUM_LEN, 0)).bytes,
           NM_SAMPLES_SUM_LEN);
}

bool nm_samples_check(const struct nm_samples *s, struct nm_val value, struct nm_val *record)
{
    size_t skip = s->summed ? NM_SAMPLES_SUM_LEN : 0;
    if (value.len < skip)
        return false;
    *record = (struct nm_val){(const char *)value.data + skip, value.len - skip};
    return !s->summed || nm_key_part(value.data, 0) == nm_hash64(record->data, record->len, 0);
}

bool nm_samples_split_pending(struct nm_val val, uint64_t *attempt, struct nm_val *value)
{
    if (val.len < NM_SAMPLES_ATTEMPT_LEN)
        return false;
    *attempt = nm_key_part(val.data, 0);
    *value = (struct nm_val){(const char *)val.data + NM_SAMPLES_ATTEMPT_LEN, val.len - NM_SAMPLES_ATTEMPT_LEN};
    return true;
}

/* ---- collecting -------------------------------------------------------------------------------------------------
 */

static struct change *add_change(struct nm_samples *s)
{
    struct change *changes = nm_array_grow(s->changes, &s->changes_cap, s->n_changes + 1, sizeof *changes);
    if (changes == NULL)
        return NULL;
    s->changes = changes;
    return &changes[s->n_changes];
}

enum nm_err nm_samples_put(struct nm_samples *s, const struct nm_msg_sample *sample)
{
    struct change *change = add_change(s);
    if (change == NULL)
        return NM_ENOMEM;
    size_t at = s->batch.len;
    enum nm_err err = nm_buf_add(&s->batch, nm_key_u64(sample->attempt).bytes, NM_SAMPLES_ATTEMPT_LEN);
    size_t value = s->batch.len;
    if (err == NM_OK && s->summed)
        err = nm_buf_add(&s->batch, "\0\0\0\0\0\0\0", NM_SAMPLES_SUM_LEN);
    if (err == NM_OK)
        err = nm_sample_encode(sample, &s->batch);
    if (err == NM_OK && s->batch.len - at > NM_FRAME_MAX)
        err = NM_ELIMIT;
    if (err == NM_OK)
        nm_samples_put_sum(s, s->batch.data + value, s->batch.len - value);
    if (err != NM_OK) {
        s->batch.len = at;
        return err;
    }
    *change = (struct change){CHANGE_PUT, sample->task, sample->attempt, 0, at, s->batch.len - at};
    s->n_changes++;
    return NM_OK;
}

enum nm_err nm_samples_settle(struct nm_samples *s, const struct nm_msg_hold *hold)
{
    struct change *change = add_change(s);
    if (change == NULL)
        return NM_ENOMEM;
    *change = (struct change){hold->keep ? CHANGE_KEEP : CHANGE_DROP, hold->task, hold->attempt, hold->place, 0, 0};
    s->n_changes++;
    return NM_OK;
}

size_t nm_samples_uncommitted(const struct nm_samples *s)
{
    return s->batch.len + s->n_changes * sizeof *s->changes;
}

/* ---- pending ----------------------------------------------------------------------------------------------------
 */

struct pending_context {
    struct nm_samples *s;
    nm_samples_fn fn;
    void *ctx;
};

static enum nm_err each_pending(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    const struct pending_context *p = ctx;
    struct nm_cursor *cursor;
    struct nm_arena arena;
    struct nm_val key;
    struct nm_val val;
    nm_arena_init(&arena, 0);
    enum nm_err err = nm_cursor_open(txn, p->s->pending, &cursor);
    if (err != NM_OK)
        return nm_fail(diag, err, "pending samples cannot be read: %s", nm_err_name(err));
    for (err = nm_cursor_seek(cursor, NULL, &key, &val); err == NM_OK; err = nm_cursor_next(cursor, &key, &val)) {
        struct nm_msg_sample sample;
        nm_arena_reset(&arena);
        uint64_t attempt;
        struct nm_val value;
        struct nm_val record;
        if (!nm_samples_split_pending(val, &attempt, &value) || !nm_samples_check(p->s, value, &record)) {
            nm_warn("a pending sample is damaged on disk: it is left to the broker to have its text aligned again");
            continue;
        }
        err = nm_sample_decode(record.data, record.len, &arena, &sample, diag);
        if (err == NM_OK)
            err = p->fn(p->ctx, &sample);
        if (err != NM_OK)
            break;
    }
    nm_cursor_close(&cursor);
    nm_arena_clean_up(&arena);
    return err == NM_ENOENT ? NM_OK : err;
}

enum nm_err nm_samples_pending(struct nm_samples *s, nm_samples_fn fn, void *ctx, struct nm_diag *diag)
{
    struct pending_context p = {s, fn, ctx};
    return nm_store_read(s->store, each_pending, &p, diag);
}
