#include "workers/trainer/pull_aligner.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/hash.h"
#include "common/log.h"
#include "schemas/shard.h"

enum {
    BLOB_MAX = 1 << 30,
    FIRST_WAIT_MS = 3000, /* for an answer, before the directory is asked where the aligner is; doubles */
    PAUSE_MS = 200        /* before what is not there yet is looked for again */
};

struct reading {
    struct nm_worker *broker, *aligner;
    const char *id, *run;
    bool complete;    /* the run: no sample is on its way */
    uint64_t samples; /* that the aligner owns */
    char endpoint[NM_NAME_MAX + 1];
    int timeout_ms, wait_ms;
    struct nm_index sealed; /* the broker's, in arena */
    struct nm_arena arena;
    struct nm_buf blob;
    uint64_t taken;  /* sealed shards whose samples are in */
    uint64_t listed; /* samples, by the aligner's index */
    struct nm_pulled *out;
    struct nm_diag *diag;
};

static enum nm_err add_record(struct nm_pulled *out, const void *record, size_t len, struct nm_diag *diag)
{
    if (out->n == out->cap) {
        size_t cap = out->cap * 2 + 1024;
        struct nm_msg_sample *at = realloc(out->at, cap * sizeof(*at));
        if (at == NULL)
            return nm_fail(diag, NM_ENOMEM, "%zu samples: out of memory", out->n);
        out->at = at;
        out->cap = cap;
    }
    return nm_sample_decode(record, len, &out->arena, &out->at[out->n++], diag);
}

/* The shard as the index has it.  NM_EBUSY: it has grown since the index was read. */
static enum nm_err read_shard(struct reading *r, const struct nm_index_shard *entry)
{
    char name[64];
    struct nm_shard_reader reader;
    const void *record;
    size_t len;
    (void)snprintf(name, sizeof(name), "shard/%" PRIu64, entry->number);
    enum nm_err err = nm_worker_blob(r->aligner, name, &r->blob, r->wait_ms, r->diag);
    if (err != NM_OK)
        return err;
    if (nm_hash64(nm_buf_str(&r->blob), r->blob.len, 0) != entry->digest)
        return entry->sealed ? nm_fail(r->diag, NM_EFORMAT,
                                       "aligner %s: %s is not what its index says: damaged there", r->endpoint, name)
                             : NM_EBUSY;
    err = nm_shard_open(nm_buf_str(&r->blob), r->blob.len, &reader, r->diag);
    while (err == NM_OK && (err = nm_shard_next(&reader, &record, &len)) == NM_OK)
        err = add_record(r->out, record, len, r->diag);
    return err == NM_ENOENT ? NM_OK : err;
}

/* Whether the aligner has all that the broker knows of it, unchanged.  NM_EBUSY: not yet. */
static enum nm_err check_index(struct reading *r, const struct nm_index *index)
{
    if (strcmp(index->run, r->run) != 0)
        return nm_fail(r->diag, NM_EFORMAT, "aligner %s has samples of run %s, the broker's is %s", r->endpoint,
                       index->run, r->run);
    for (size_t i = 0; i < r->sealed.n_shards && i < index->n_shards; i++)
        if (index->shards[i].sealed && index->shards[i].digest != r->sealed.shards[i].digest)
            return nm_fail(r->diag, NM_EFORMAT,
                           "aligner %s: shard %zu has digest %016" PRIx64 ", and was sealed with %016" PRIx64
                           ": it was made again with other lists or settings",
                           r->endpoint, i, index->shards[i].digest, r->sealed.shards[i].digest);
    if (index->n_shards < r->sealed.n_shards || (r->complete && index->samples < r->samples))
        return nm_fail(r->diag, NM_EBUSY,
                       "aligner %s has %" PRIu64 " samples and should have %" PRIu64 ": it has lost some, and is "
                       "making them again",
                       r->endpoint, index->samples, r->samples);
    return NM_OK;
}

/* One pass.  Sealed shards are taken once; the open one may change between index and shard. */
static enum nm_err read_once(struct reading *r)
{
    struct nm_arena arena;
    struct nm_index index;
    size_t before = r->out->n;
    nm_arena_init(&arena, 0);
    enum nm_err err = nm_worker_blob(r->aligner, "index", &r->blob, r->wait_ms, r->diag);
    if (err == NM_OK)
        err = nm_index_decode(nm_buf_str(&r->blob), r->blob.len, &arena, &index, r->diag);
    if (err == NM_OK) {
        r->listed = index.samples;
        err = check_index(r, &index);
    }
    for (uint64_t i = r->taken; err == NM_OK && i < index.n_shards; i++) {
        before = r->out->n;
        err = read_shard(r, &index.shards[i]);
        r->taken += err == NM_OK && index.shards[i].sealed;
    }
    if (err != NM_OK)
        r->out->n = before;
    nm_arena_clean_up(&arena);
    return err;
}

/* Where the aligner is by now, and what it must have. */
static enum nm_err look_up(struct reading *r)
{
    struct nm_arena arena;
    struct nm_msg_directory directory;
    char name[NM_NAME_MAX];
    const struct nm_worker_role role = {.name = "trainer", .peer = "aligner"};
    nm_arena_init(&arena, 0);
    nm_arena_reset(&r->arena);
    r->sealed = (struct nm_index){0};
    enum nm_err err = nm_worker_directory(r->broker, &arena, &directory, r->timeout_ms, r->diag);
    for (size_t i = 0; err == NM_OK && i < directory.n_aligners; i++) {
        const struct nm_msg_aligner *entry = &directory.aligners[i];
        if (strcmp(entry->worker.ptr, r->id) != 0)
            continue;
        r->samples = entry->samples;
        r->complete = directory.complete;
        if (r->aligner == NULL || strcmp(r->endpoint, entry->endpoint.ptr) != 0) {
            nm_worker_destroy(&r->aligner);
            (void)snprintf(r->endpoint, sizeof r->endpoint, "%s", entry->endpoint.ptr);
            err = nm_worker_new(&role, r->endpoint, NULL, &r->aligner, r->diag);
        }
        (void)snprintf(name, sizeof name, "index/%s", r->id);
        if (err == NM_OK && entry->shards > 0)
            err = nm_worker_blob(r->broker, name, &r->blob, r->timeout_ms, r->diag);
        if (err == NM_OK && entry->shards > 0)
            err = nm_index_decode(nm_buf_str(&r->blob), r->blob.len, &r->arena, &r->sealed, r->diag);
        break;
    }
    nm_arena_clean_up(&arena);
    return err;
}

static enum nm_err give_up(struct reading *r)
{
    struct nm_diag last = *r->diag;
    return nm_fail(
        r->diag, NM_ETIMEOUT,
        "%.500s; if aligner %s is gone for good, nermill-aligner --adopt %s --state NEWDIR makes its samples "
        "again from the broker's response log",
        last.text, r->id, r->id);
}

static enum nm_err read_all(struct reading *r)
{
    int64_t end = nm_clock_mono_ms() + r->timeout_ms;
    for (;;) {
        uint64_t taken = r->taken;
        uint64_t listed = r->listed;
        enum nm_err err = look_up(r);
        if (err == NM_OK)
            err = read_once(r);
        if (err != NM_ETIMEOUT && err != NM_EBUSY)
            return err;
        int64_t now = nm_clock_mono_ms();
        if (r->taken > taken || r->listed > listed)
            end = now + r->timeout_ms;
        if (now >= end)
            return give_up(r);
        if (err == NM_ETIMEOUT) /* a damaged frame may have stopped the connection: begin with a new one */
            nm_worker_destroy(&r->aligner);
        if (err == NM_ETIMEOUT)
            r->wait_ms = r->wait_ms * 2 < r->timeout_ms ? r->wait_ms * 2 : r->timeout_ms;
        (void)nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    }
}

enum nm_err nm_pull_aligner(struct nm_worker *broker, const struct nm_msg_directory *directory, size_t i,
                            int timeout_ms, struct nm_pulled *samples, struct nm_diag *diag)
{
    size_t before = samples->n;
    struct reading r = {.broker = broker,
                        .id = directory->aligners[i].worker.ptr,
                        .run = directory->run.ptr,
                        .timeout_ms = timeout_ms,
                        .wait_ms = timeout_ms < FIRST_WAIT_MS ? timeout_ms : FIRST_WAIT_MS,
                        .out = samples,
                        .diag = diag};
    nm_buf_init(&r.blob, BLOB_MAX);
    nm_arena_init(&r.arena, 0);
    enum nm_err err = read_all(&r);
    if (err == NM_OK)
        nm_info("%zu samples from aligner %s", samples->n - before, r.endpoint);
    nm_worker_destroy(&r.aligner);
    nm_buf_clean_up(&r.blob);
    nm_arena_clean_up(&r.arena);
    return err;
}
