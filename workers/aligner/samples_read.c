/* samples_read.c - what others get from the store: shards, their index, and walks in task order. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/hash.h"
#include "schemas/shard.h"
#include "workers/aligner/samples_impl.h"

/* ---- shards -----------------------------------------------------------------------------------------------------
 */

/* Kept for who mends. */
static enum nm_err note_damage(struct nm_samples *s, uint64_t number)
{
    s->damaged = true;
    s->damaged_shard = number;
    return NM_EFORMAT;
}

bool nm_samples_damaged(const struct nm_samples *s, uint64_t *number)
{
    *number = s->damaged_shard;
    return s->damaged;
}

enum nm_err nm_samples_build_shard(struct nm_samples *s, struct nm_txn *txn, uint64_t number, struct nm_buf *out,
                                   uint64_t *digest)
{
    if (number > UINT64_MAX / s->shard_samples - 1)
        return NM_ENOENT;
    struct nm_key first = nm_key_u64(number * s->shard_samples);
    struct nm_cursor *cursor;
    struct nm_val key;
    struct nm_val val;
    uint64_t count = 0;
    enum nm_err err = nm_shard_begin(out, number);
    if (err == NM_OK)
        err = nm_cursor_open(txn, s->samples, &cursor);
    if (err != NM_OK)
        return err;
    for (err = nm_cursor_seek(cursor, &first, &key, &val); err == NM_OK && count < s->shard_samples;
         err = nm_cursor_next(cursor, &key, &val)) {
        struct nm_val record;
        uint64_t place = key.len == 8 ? nm_key_part(key.data, 0) : UINT64_MAX;
        if (place != number * s->shard_samples + count)
            err = NM_ENOENT; /* a hole: what is behind it is not served */
        else if (!nm_samples_check(s, val, &record))
            err = note_damage(s, number);
        else if (record.len > 0) /* else nothing ever will stand there */
            err = nm_shard_add(out, record.data, record.len);
        if (err != NM_OK)
            break;
        count++;
    }
    nm_cursor_close(&cursor);
    if (err != NM_OK && err != NM_ENOENT)
        return err;
    if (count == 0)
        return NM_ENOENT;
    err = nm_shard_finish(out);
    *digest = nm_hash64(nm_buf_str(out), out->len, 0);
    return err;
}

enum nm_err nm_samples_get_seal(struct nm_samples *s, struct nm_txn *txn, uint64_t number,
                                struct nm_index_shard *shard)
{
    struct nm_val val;
    enum nm_err err = nm_txn_get(txn, s->shards, nm_key_u64(number), &val);
    if (err == NM_OK && val.len != NM_SAMPLES_SEAL_LEN)
        err = NM_EFORMAT;
    if (err == NM_OK)
        *shard = (struct nm_index_shard){number, nm_key_part(val.data, 0), nm_key_part(val.data, 1),
                                         nm_key_part(val.data, 2), true};
    return err;
}

struct seal_query {
    struct nm_samples *s;
    uint64_t number;
    struct nm_index_shard *seal;
};

static enum nm_err read_seal(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    const struct seal_query *q = ctx;
    (void)diag;
    return nm_samples_get_seal(q->s, txn, q->number, q->seal);
}

enum nm_err nm_samples_seal(struct nm_samples *s, uint64_t number, struct nm_index_shard *seal, struct nm_diag *diag)
{
    struct seal_query q = {s, number, seal};
    return nm_store_read(s->store, read_seal, &q, diag);
}

struct shard_context {
    struct nm_samples *s;
    uint64_t number, digest;
    struct nm_buf *out;
};

static enum nm_err read_shard(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct shard_context *c = ctx;
    struct nm_index_shard seal;
    enum nm_err err = nm_samples_build_shard(c->s, txn, c->number, c->out, &c->digest);
    if (err == NM_EFORMAT)
        return nm_fail(diag, err, "shard %" PRIu64 " is damaged on disk: a sample's checksum does not match",
                       c->number);
    if (err != NM_OK)
        return nm_fail(diag, err, "shard %" PRIu64 ": %s", c->number, nm_err_name(err));
    err = nm_samples_get_seal(c->s, txn, c->number, &seal);
    if (err == NM_ENOENT && c->number >= c->s->next / c->s->shard_samples)
        return NM_OK; /* the open one */
    if (err != NM_OK || seal.digest != c->digest || seal.bytes != c->out->len)
        return nm_fail(diag, note_damage(c->s, c->number),
                       "shard %" PRIu64 " is damaged on disk: its seal does not match", c->number);
    return NM_OK;
}

enum nm_err nm_samples_shard(struct nm_samples *s, uint64_t number, struct nm_buf *out, uint64_t *digest,
                             struct nm_diag *diag)
{
    struct shard_context c = {.s = s, .number = number, .out = out};
    enum nm_err err = nm_store_read(s->store, read_shard, &c, diag);
    *digest = c.digest;
    return err;
}

static enum nm_err read_index(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct shard_context *c = ctx;
    struct nm_samples *s = c->s;
    struct nm_index index = {.run = s->run, .shard_samples = s->shard_samples, .samples = s->next};
    struct nm_shard_reader reader = {0};
    uint64_t sealed = s->next / s->shard_samples;
    index.shards = calloc(sealed + 1, sizeof *index.shards);
    enum nm_err err = index.shards != NULL ? NM_OK : NM_ENOMEM;
    for (; index.n_shards < sealed && err == NM_OK; index.n_shards++) {
        err = nm_samples_get_seal(s, txn, index.n_shards, &index.shards[index.n_shards]);
        if (err != NM_OK)
            err = note_damage(s, index.n_shards);
    }
    if (err == NM_OK && s->next % s->shard_samples > 0) {
        struct nm_index_shard *open = &index.shards[index.n_shards++];
        err = nm_samples_build_shard(s, txn, sealed, &s->shard, &open->digest);
        open->number = sealed;
        open->bytes = s->shard.len;
        if (err == NM_OK)
            err = nm_shard_open(s->shard.data, s->shard.len, &reader, diag);
        open->count = reader.count;
    }
    nm_buf_reset(c->out);
    if (err == NM_OK)
        err = nm_index_encode(&index, c->out);
    free(index.shards);
    return err == NM_OK ? NM_OK : nm_fail(diag, err, "the index of shards: %s", nm_err_name(err));
}

enum nm_err nm_samples_index(struct nm_samples *s, struct nm_buf *out, struct nm_diag *diag)
{
    struct shard_context c = {.s = s, .out = out};
    return nm_store_read(s->store, read_index, &c, diag);
}

/* ---- walking in task order --------------------------------------------------------------------------------------
 */

struct nm_samples_walk {
    struct nm_samples *s;
    struct nm_txn *txn;
    struct nm_cursor *cursor; /* over tasks */
    struct nm_val key, val;
    bool end;
    nm_samples_walk_fn fn;
    void *ctx;
};

static enum nm_err walk_in(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct nm_samples_walk *walk = ctx;
    walk->txn = txn;
    enum nm_err err = nm_cursor_open(txn, walk->s->tasks, &walk->cursor);
    if (err == NM_OK) {
        err = nm_cursor_seek(walk->cursor, NULL, &walk->key, &walk->val);
        walk->end = err == NM_ENOENT;
    }
    if (err != NM_OK && err != NM_ENOENT)
        (void)nm_fail(diag, err, "the samples cannot be read: %s", nm_err_name(err));
    else
        err = walk->fn(walk, walk->ctx, diag);
    nm_cursor_close(&walk->cursor);
    return err;
}

enum nm_err nm_samples_walk(struct nm_samples *s, nm_samples_walk_fn fn, void *ctx, struct nm_diag *diag)
{
    struct nm_samples_walk walk = {.s = s, .fn = fn, .ctx = ctx};
    return nm_store_read(s->store, walk_in, &walk, diag);
}

bool nm_samples_walk_task(const struct nm_samples_walk *walk, uint64_t *task)
{
    if (!walk->end)
        *task = nm_key_part(walk->key.data, 0);
    return !walk->end;
}

enum nm_err nm_samples_walk_get(struct nm_samples_walk *walk, struct nm_arena *arena, struct nm_msg_sample *sample,
                                struct nm_diag *diag)
{
    struct nm_val value;
    struct nm_val record;
    uint64_t task = nm_key_part(walk->key.data, 0);
    enum nm_err err = walk->val.len == 8 ? nm_txn_get(walk->txn, walk->s->samples,
                                                      nm_key_u64(nm_key_part(walk->val.data, 0)), &value)
                                         : NM_EFORMAT;
    if (err == NM_OK && nm_samples_check(walk->s, value, &record))
        err = nm_sample_decode(record.data, record.len, arena, sample, diag);
    else
        err = NM_EFORMAT;
    if (err == NM_EFORMAT || (err == NM_OK && sample->task != task))
        return nm_fail(diag, NM_EFORMAT,
                       "the sample of task %" PRIu64 " is damaged or missing on disk: start its aligner beside the "
                       "run's broker (nermill run does), and it makes it again",
                       task);
    return err;
}

enum nm_err nm_samples_walk_next(struct nm_samples_walk *walk)
{
    enum nm_err err = nm_cursor_next(walk->cursor, &walk->key, &walk->val);
    walk->end = err == NM_ENOENT;
    return walk->end ? NM_OK : err;
}
