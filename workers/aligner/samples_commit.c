/* samples_commit.c - what was collected becomes durable; shards are sealed, and mended. */
#include <inttypes.h>
#include <string.h>

#include "common/hash.h"
#include "common/log.h"
#include "workers/aligner/samples_impl.h"

/* A commit as it goes: the transaction may be run a second time, so nothing else changes before its end. */
struct commit {
    struct nm_samples *s;
    struct nm_txn *txn;
    uint64_t next, end;
};

/* ---- places ------------------------------------------------------------------------------------------------------
 */

static enum nm_err put_seal(const struct commit *c, uint64_t number)
{
    struct nm_samples *s = c->s;
    uint64_t digest;
    unsigned char seal[NM_SAMPLES_SEAL_LEN];
    struct nm_shard_reader reader;
    enum nm_err err = nm_samples_build_shard(s, c->txn, number, &s->shard, &digest);
    if (err == NM_OK)
        err = nm_shard_open(s->shard.data, s->shard.len, &reader, NULL);
    if (err != NM_OK)
        return err;
    memcpy(seal, nm_key_u64(reader.count).bytes, 8);
    memcpy(seal + 8, nm_key_u64(s->shard.len).bytes, 8);
    memcpy(seal + 16, nm_key_u64(digest).bytes, 8);
    return nm_txn_put(c->txn, s->shards, nm_key_u64(number), seal, sizeof seal);
}

/* The places from next on that have samples by now; each shard that this makes full is sealed. */
static enum nm_err advance(struct commit *c)
{
    struct nm_val val;
    enum nm_err err = NM_OK;
    while (err == NM_OK && c->next < c->end) {
        err = nm_txn_get(c->txn, c->s->samples, nm_key_u64(c->next), &val);
        if (err == NM_ENOENT)
            return NM_OK;
        if (err == NM_OK && ++c->next % c->s->shard_samples == 0)
            err = put_seal(c, c->next / c->s->shard_samples - 1);
        if (err == NM_EFORMAT) { /* of a damaged sample: sealed when it is mended */
            nm_warn("shard %" PRIu64 " can't be sealed: a sample in it is damaged on disk",
                    c->next / c->s->shard_samples - 1);
            err = NM_OK;
        }
    }
    return err;
}

enum nm_err nm_samples_find_end(struct nm_samples *s, struct nm_txn *txn, uint64_t hint)
{
    struct nm_cursor *cursor;
    struct nm_val key;
    struct nm_val val;
    struct nm_key from = nm_key_u64(hint > 0 ? hint - 1 : 0);
    enum nm_err err = nm_cursor_open(txn, s->samples, &cursor);
    if (err != NM_OK)
        return err;
    err = nm_cursor_seek(cursor, &from, &key, &val);
    if (hint > 0 && (err != NM_OK || key.len != 8 || nm_key_part(key.data, 0) != hint - 1)) {
        hint = 0; /* the note is wrong: count from the start */
        err = nm_cursor_seek(cursor, NULL, &key, &val);
    }
    s->next = s->end = hint;
    for (; err == NM_OK; err = nm_cursor_next(cursor, &key, &val)) {
        uint64_t place = key.len == 8 ? nm_key_part(key.data, 0) : UINT64_MAX;
        s->next += place == s->next;
        s->end = place + 1;
    }
    nm_cursor_close(&cursor);
    return err == NM_ENOENT ? NM_OK : err;
}

/* ---- one change --------------------------------------------------------------------------------------------------
 */

/* What is pending of a task; whole: unharmed. */
static enum nm_err get_pending(const struct commit *c, uint64_t task, uint64_t *attempt, struct nm_val *value,
                               bool *whole)
{
    struct nm_val val;
    struct nm_val record;
    enum nm_err err = nm_txn_get(c->txn, c->s->pending, nm_key_u64(task), &val);
    *attempt = 0;
    if (err == NM_OK)
        *whole = nm_samples_split_pending(val, attempt, value) && nm_samples_check(c->s, *value, &record);
    return err;
}

static enum nm_err apply_put(const struct commit *c, const struct change *change)
{
    struct nm_samples *s = c->s;
    struct nm_val val;
    uint64_t attempt;
    bool whole = false;
    enum nm_err err = nm_txn_get(c->txn, s->tasks, nm_key_u64(change->task), &val);
    if (err != NM_ENOENT)
        return err; /* acknowledged already */
    err = get_pending(c, change->task, &attempt, &val, &whole);
    if (err == NM_OK && attempt == change->attempt && whole)
        return NM_OK; /* delivered again */
    if (err != NM_OK && err != NM_ENOENT)
        return err;
    return nm_txn_put(c->txn, s->pending, nm_key_u64(change->task), s->batch.data + change->at, change->len);
}

/* A value (which may be LMDB's own memory) at a place. */
static enum nm_err put_at(struct commit *c, uint64_t place, struct nm_val value)
{
    nm_buf_reset(&c->s->record); /* what LMDB lent does not outlive the next write */
    enum nm_err err = nm_buf_add(&c->s->record, value.data, value.len);
    if (err == NM_OK)
        err = nm_txn_put(c->txn, c->s->samples, nm_key_u64(place), c->s->record.data, c->s->record.len);
    if (err == NM_OK && place >= c->end)
        c->end = place + 1;
    return err;
}

/* The place that an ack names, unless another sample stands there (the broker has lost its last commits). */
static enum nm_err find_place(const struct commit *c, const struct change *change, uint64_t *place)
{
    struct nm_val val;
    *place = change->place > 0 ? change->place - 1 : c->next;
    enum nm_err err = nm_txn_get(c->txn, c->s->samples, nm_key_u64(*place), &val);
    if (err == NM_OK) {
        nm_warn("task %" PRIu64 " was given place %" PRIu64 ", where another sample stands: it stands at %" PRIu64,
                change->task, *place, c->end);
        *place = c->end;
    }
    return err == NM_ENOENT ? NM_OK : err;
}

static enum nm_err apply_keep(struct commit *c, const struct change *change, struct nm_val value)
{
    uint64_t place;
    enum nm_err err = find_place(c, change, &place);
    if (err == NM_OK)
        err = put_at(c, place, value);
    if (err == NM_OK)
        err = nm_txn_put_new(c->txn, c->s->tasks, nm_key_u64(change->task), nm_key_u64(place).bytes, 8);
    if (err == NM_OK)
        err = nm_txn_del(c->txn, c->s->pending, nm_key_u64(change->task));
    return err == NM_OK ? advance(c) : err;
}

/* An ack of what is not pending: given again; or with another place than before, by a broker that has lost its last
 * commits and had the task done once more.  Then it stands at both: no place may stay empty, and readers take a task
 * once. */
static enum nm_err keep_again(struct commit *c, const struct change *change)
{
    struct nm_val val;
    if (change->place == 0)
        return NM_OK;
    enum nm_err err = nm_txn_get(c->txn, c->s->samples, nm_key_u64(change->place - 1), &val);
    if (err != NM_ENOENT)
        return err;
    err = nm_txn_get(c->txn, c->s->tasks, nm_key_u64(change->task), &val);
    if (err == NM_OK && val.len == 8)
        err = nm_txn_get(c->txn, c->s->samples, nm_key_u64(nm_key_part(val.data, 0)), &val);
    if (err != NM_OK)
        return err == NM_ENOENT ? NM_OK : err; /* we never had it, or lost it: nm_samples_mend is for that */
    err = put_at(c, change->place - 1, val);
    return err == NM_OK ? advance(c) : err;
}

static enum nm_err apply_settle(struct commit *c, const struct change *change)
{
    struct nm_val value;
    uint64_t attempt;
    bool whole = false;
    enum nm_err err = get_pending(c, change->task, &attempt, &value, &whole);
    if (err == NM_ENOENT)
        return change->kind == CHANGE_KEEP ? keep_again(c, change) : NM_OK;
    if (err == NM_OK && attempt != change->attempt)
        return NM_OK; /* of an attempt that a later one has replaced */
    if (err != NM_OK)
        return err;
    return change->kind == CHANGE_KEEP && whole ? apply_keep(c, change, value)
                                                : nm_txn_del(c->txn, c->s->pending, nm_key_u64(change->task));
}

/* ---- commit ------------------------------------------------------------------------------------------------------
 */

static enum nm_err apply_all(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct commit *c = ctx;
    struct nm_samples *s = c->s;
    *c = (struct commit){s, txn, s->next, s->end};
    for (size_t i = 0; i < s->n_changes; i++) {
        const struct change *change = &s->changes[i];
        enum nm_err err = change->kind == CHANGE_PUT ? apply_put(c, change) : apply_settle(c, change);
        if (err != NM_OK)
            return nm_fail(diag, err, "the sample of task %" PRIu64 " cannot be stored: %s", change->task,
                           nm_err_name(err));
    }
    return c->next != s->next ? nm_samples_put_number(txn, s->meta, "next", c->next) : NM_OK;
}

enum nm_err nm_samples_commit(struct nm_samples *s, struct nm_diag *diag)
{
    if (s->n_changes == 0)
        return NM_OK;
    struct commit c = {.s = s};
    enum nm_err err = nm_store_write(s->store, apply_all, &c, diag);
    if (err != NM_OK)
        return err;
    s->next = c.next;
    s->end = c.end;
    s->n_changes = 0;
    nm_buf_reset(&s->batch);
    return NM_OK;
}

/* ---- mending -----------------------------------------------------------------------------------------------------
 */

struct mending {
    struct commit c;
    uint64_t number;
    const struct nm_buf *made;
    const uint64_t *digest;
    struct nm_arena arena;
};

/* A record that was made again at its place, if what stands there is not whole. */
static enum nm_err mend_place(struct mending *m, uint64_t place, const void *record, size_t len, struct nm_diag *diag)
{
    struct nm_samples *s = m->c.s;
    struct nm_val val;
    struct nm_val whole;
    struct nm_msg_sample sample;
    enum nm_err err = nm_txn_get(m->c.txn, s->samples, nm_key_u64(place), &val);
    if (err == NM_OK && nm_samples_check(s, val, &whole))
        return NM_OK;
    if (err != NM_OK && err != NM_ENOENT)
        return err;
    nm_buf_reset(&s->record);
    err = s->summed ? nm_buf_add(&s->record, "\0\0\0\0\0\0\0", NM_SAMPLES_SUM_LEN) : NM_OK;
    if (err == NM_OK)
        err = nm_buf_add(&s->record, record, len);
    if (err != NM_OK)
        return err;
    nm_samples_put_sum(s, s->record.data, s->record.len);
    err = nm_txn_put(m->c.txn, s->samples, nm_key_u64(place), nm_buf_str(&s->record), s->record.len);
    if (place >= m->c.end)
        m->c.end = place + 1;
    if (err != NM_OK || len == 0)
        return err;
    nm_arena_reset(&m->arena);
    err = nm_sample_decode(record, len, &m->arena, &sample, diag);
    if (err == NM_OK)
        err = nm_txn_put(m->c.txn, s->tasks, nm_key_u64(sample.task), nm_key_u64(place).bytes, 8);
    if (err == NM_OK)
        err = nm_txn_del(m->c.txn, s->pending, nm_key_u64(sample.task));
    return err == NM_ENOENT ? NM_OK : err;
}

static enum nm_err mend(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    struct mending *m = ctx;
    struct nm_samples *s = m->c.s;
    struct nm_shard_reader reader;
    const void *record;
    size_t len;
    uint64_t digest = 0;
    uint64_t place = m->number * s->shard_samples;
    m->c = (struct commit){s, txn, s->next, s->end};
    enum nm_err err = nm_shard_open(m->made->data, m->made->len, &reader, diag);
    if (err == NM_OK && reader.count > s->shard_samples)
        err = NM_ELIMIT;
    while (err == NM_OK && (err = nm_shard_next(&reader, &record, &len)) == NM_OK)
        err = mend_place(m, place++, record, len, diag);
    if (err == NM_ENOENT)
        err = advance(&m->c);
    if (err == NM_OK && m->digest != NULL)
        err = nm_samples_build_shard(s, txn, m->number, &s->shard, &digest);
    if (err == NM_OK && m->digest != NULL && digest != *m->digest)
        return nm_fail(diag, NM_EFORMAT,
                       "shard %" PRIu64 " was made again and is another: digest %016" PRIx64
                       ", sealed with %016" PRIx64
                       " (have the entity lists or the alignment settings changed since?)",
                       m->number, digest, *m->digest);
    if (err == NM_OK && (m->number + 1) * s->shard_samples <= m->c.next)
        err = put_seal(&m->c, m->number);
    return err == NM_OK ? nm_samples_put_number(txn, s->meta, "next", m->c.next)
                        : nm_fail(diag, err, "shard %" PRIu64 " cannot be mended: %s", m->number, nm_err_name(err));
}

enum nm_err nm_samples_mend(struct nm_samples *s, uint64_t number, const struct nm_buf *made, const uint64_t *digest,
                            struct nm_diag *diag)
{
    struct mending m = {.c.s = s, .number = number, .made = made, .digest = digest};
    nm_arena_init(&m.arena, 0);
    enum nm_err err = nm_store_write(s->store, mend, &m, diag);
    if (err == NM_OK) {
        s->next = m.c.next;
        s->end = m.c.end;
        s->damaged = s->damaged && s->damaged_shard != number;
    }
    nm_arena_clean_up(&m.arena);
    return err;
}
