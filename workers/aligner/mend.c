#include "workers/aligner/mend.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/log.h"

enum { BLOB_BYTES_MAX = 1 << 30 };

enum nm_err nm_mend_index(struct nm_worker *worker, int timeout_ms, struct nm_arena *arena, struct nm_index *index,
                          struct nm_diag *diag)
{
    char name[NM_NAME_MAX];
    struct nm_buf blob;
    *index = (struct nm_index){0};
    (void)snprintf(name, sizeof name, "index/%s", nm_worker_id(worker));
    nm_buf_init(&blob, BLOB_BYTES_MAX);
    enum nm_err err = nm_worker_blob(worker, name, &blob, timeout_ms, diag);
    if (err == NM_OK)
        err = nm_index_decode(nm_buf_str(&blob), blob.len, arena, index, diag);
    nm_buf_clean_up(&blob);
    return err == NM_ENOENT ? NM_OK : err; /* we are new, or the broker is older than directories */
}

/* What is made again, as it grows. */
struct making {
    const struct nm_mend *mend;
    struct nm_buf texts, record, made;
    struct nm_arena arena;
    uint64_t lost; /* places of which the broker has lost the text */
};

/* One more record of the shard from an ALIGN frame; an empty one from none. */
static enum nm_err make_sample(struct making *m, const void *frame, size_t len, struct nm_diag *diag)
{
    struct nm_msg msg;
    struct nm_msg_sample sample;
    const char *rule = "";
    const char *detail = "";
    nm_arena_reset(&m->arena);
    nm_buf_reset(&m->record);
    m->lost += len == 0;
    enum nm_err err = len > 0 ? nm_msg_decode(frame, len, &m->arena, &msg, diag) : NM_OK;
    if (err == NM_OK && len > 0 && msg.type != NM_MSG_align)
        err = NM_EFORMAT;
    if (err == NM_OK && len > 0)
        err = nm_bio_align(m->mend->bio, &msg.u.align, &m->arena, &sample, &rule, &detail);
    if (err == NM_OK && *rule != '\0')
        return nm_fail(diag, NM_EFORMAT, "the text of task %" PRIu64 " gives no sample any more: %s",
                       msg.u.align.task, detail);
    if (err == NM_OK && len > 0)
        err = nm_sample_encode(&sample, &m->record);
    return err == NM_OK ? nm_shard_add(&m->made, nm_buf_str(&m->record), m->record.len) : err;
}

/* The texts from a place on, as many as come at once, but no more than max; *n: how many. */
static enum nm_err make_some(struct making *m, uint64_t place, uint64_t max, uint64_t *n, struct nm_diag *diag)
{
    char name[NM_NAME_MAX];
    struct nm_shard_reader reader;
    const void *frame;
    size_t len;
    (void)snprintf(name, sizeof name, "made/%s/%" PRIu64, nm_worker_id(m->mend->worker), place);
    enum nm_err err = nm_worker_blob(m->mend->worker, name, &m->texts, m->mend->timeout_ms, diag);
    if (err == NM_OK)
        err = nm_shard_open(m->texts.data, m->texts.len, &reader, diag);
    for (*n = 0; err == NM_OK && *n < max; ++*n) {
        err = nm_shard_next(&reader, &frame, &len);
        if (err == NM_ENOENT)
            break;
        if (err == NM_OK)
            err = make_sample(m, frame, len, diag);
    }
    if (err == NM_ENOENT && *n > 0)
        err = NM_OK;
    return err;
}

static enum nm_err make(struct making *m, uint64_t number, struct nm_diag *diag)
{
    uint64_t size = nm_samples_shard_size(m->mend->samples);
    uint64_t place = number * size;
    uint64_t end = m->mend->places - place < size ? m->mend->places : place + size;
    enum nm_err err = nm_shard_begin(&m->made, number);
    while (err == NM_OK && place < end) {
        uint64_t n;
        err = make_some(m, place, end - place, &n, diag);
        place += n;
    }
    return err == NM_OK ? nm_shard_finish(&m->made) : err;
}

enum nm_err nm_mend_shard(const struct nm_mend *mend, uint64_t number, struct nm_diag *diag)
{
    if (number > mend->places / nm_samples_shard_size(mend->samples) ||
        number * nm_samples_shard_size(mend->samples) >= mend->places)
        return nm_fail(diag, NM_ENOENT, "shard %" PRIu64 ": the broker knows of no sample in it", number);
    struct making m = {.mend = mend};
    nm_buf_init(&m.texts, BLOB_BYTES_MAX);
    nm_buf_init(&m.record, NM_FRAME_MAX);
    nm_buf_init(&m.made, BLOB_BYTES_MAX);
    nm_arena_init(&m.arena, 0);
    const uint64_t *digest = number < mend->sealed->n_shards ? &mend->sealed->shards[number].digest : NULL;
    enum nm_err err = make(&m, number, diag);
    if (err == NM_OK)
        err = nm_samples_mend(mend->samples, number, &m.made, digest, diag);
    if (err == NM_OK)
        nm_info("shard %" PRIu64 " is whole again%s", number, digest != NULL ? ", as it was sealed" : "");
    if (m.lost > 0)
        nm_warn("shard %" PRIu64 ": the broker has lost %" PRIu64 " of its texts; their places stay empty", number,
                m.lost);
    nm_buf_clean_up(&m.texts);
    nm_buf_clean_up(&m.record);
    nm_buf_clean_up(&m.made);
    nm_arena_clean_up(&m.arena);
    return err;
}
