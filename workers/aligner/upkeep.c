#include "workers/aligner/upkeep.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"

enum {
    SHARD_BYTES_MAX = 1 << 30,
    TELL_MAX = 64,    /* sealed shards in one step */
    GRACE_MS = 500,   /* acks on their way may still fill a hole */
    AGAIN_MS = 30000, /* after one that could not be mended */
    BROKER_MS = 10000 /* for an answer */
};

struct nm_upkeep {
    struct nm_worker *worker;
    struct nm_bio *bio;
    struct nm_samples *samples;
    uint64_t places;    /* that the broker had given us at the last welcome */
    uint64_t told;      /* sealed shards that it knows of */
    uint64_t read;      /* shards read since the start */
    uint64_t hole;      /* the first one, as seen last */
    int64_t since;      /* when it was seen first */
    int64_t not_before; /* nothing is mended earlier */
    bool failed;        /* the last try to mend */
    bool has_index;
    struct nm_index index; /* the broker's, in arena */
    struct nm_arena arena;
    struct nm_buf shard;
};

struct nm_upkeep *nm_upkeep_new(struct nm_worker *worker, struct nm_bio *bio, struct nm_samples *samples)
{
    struct nm_upkeep *u = calloc(1, sizeof *u);
    if (u == NULL)
        return NULL;
    *u = (struct nm_upkeep){.worker = worker, .bio = bio, .samples = samples, .hole = UINT64_MAX};
    nm_arena_init(&u->arena, 0);
    nm_buf_init(&u->shard, SHARD_BYTES_MAX);
    return u;
}

void nm_upkeep_destroy(struct nm_upkeep **upkeep)
{
    struct nm_upkeep *u = *upkeep;
    *upkeep = NULL;
    if (u == NULL)
        return;
    nm_arena_clean_up(&u->arena);
    nm_buf_clean_up(&u->shard);
    free(u);
}

void nm_upkeep_welcome(struct nm_upkeep *u, const struct nm_msg_welcome *welcome)
{
    u->places = welcome->places;
    u->told = welcome->shards;
    u->has_index = false;
    u->hole = UINT64_MAX;
    u->not_before = 0;
}

bool nm_upkeep_hopes(const struct nm_upkeep *u)
{
    return !u->failed;
}

/* The broker's directory has every sealed shard, in order. */
static enum nm_err tell(struct nm_upkeep *u, struct nm_diag *diag)
{
    uint64_t sealed = nm_samples_count(u->samples) / nm_samples_shard_size(u->samples);
    for (int i = 0; i < TELL_MAX && u->told < sealed; i++) {
        struct nm_index_shard seal;
        enum nm_err err = nm_samples_seal(u->samples, u->told, &seal, diag);
        struct nm_msg msg = {.type = NM_MSG_sealed};
        if (err == NM_ENOENT || err == NM_EFORMAT)
            return NM_OK; /* to be mended first */
        msg.u.sealed = (struct nm_msg_sealed){
            .shard = seal.number, .count = seal.count, .bytes = seal.bytes, .digest = seal.digest};
        if (err == NM_OK)
            err = nm_worker_send(u->worker, &msg);
        if (err != NM_OK)
            return err == NM_EBUSY ? NM_OK : err;
        u->told++;
    }
    return NM_OK;
}

/* The shard to be mended now. */
static bool find_harm(struct nm_upkeep *u, uint64_t *number)
{
    uint64_t next = nm_samples_count(u->samples);
    uint64_t wanted = nm_samples_end(u->samples) > u->places ? nm_samples_end(u->samples) : u->places;
    int64_t now = nm_clock_mono_ms();
    if (now < u->not_before)
        return false;
    if (nm_samples_damaged(u->samples, number))
        return true;
    if (next >= wanted) {
        u->hole = UINT64_MAX;
        return false;
    }
    if (u->hole != next) { /* it is being filled */
        u->hole = next;
        u->since = now;
    }
    *number = next / nm_samples_shard_size(u->samples);
    return now - u->since >= GRACE_MS;
}

static enum nm_err mend(struct nm_upkeep *u, uint64_t number)
{
    struct nm_diag why = {""};
    uint64_t end = nm_samples_end(u->samples);
    struct nm_mend m = {.worker = u->worker,
                        .bio = u->bio,
                        .samples = u->samples,
                        .sealed = &u->index,
                        .places = end > u->places ? end : u->places,
                        .timeout_ms = BROKER_MS};
    enum nm_err err = NM_OK;
    if (!u->has_index) {
        nm_arena_reset(&u->arena);
        err = nm_mend_index(u->worker, BROKER_MS, &u->arena, &u->index, &why);
        u->has_index = err == NM_OK;
    }
    if (err == NM_OK)
        err = nm_mend_shard(&m, number, &why);
    u->failed = err != NM_OK;
    u->not_before = err != NM_OK ? nm_clock_mono_ms() + AGAIN_MS : 0;
    u->since = 0; /* the next hole, if it follows, is no matter of acks */
    if (err != NM_OK && err != NM_ECANCELED)
        nm_error("shard %" PRIu64 " lacks samples or is damaged, and can't be made again: %s", number, why.text);
    return err == NM_ENOMEM || err == NM_EFULL || err == NM_EIO ? err : NM_OK;
}

/* The next shard since the start; damage stays noted in the store. */
static enum nm_err read_one(struct nm_upkeep *u)
{
    uint64_t digest;
    struct nm_diag why = {""};
    enum nm_err err = nm_samples_shard(u->samples, u->read, &u->shard, &digest, &why);
    if (err != NM_OK && err != NM_ENOENT)
        nm_warn("%s", why.text);
    u->read++;
    nm_buf_clean_up(&u->shard);
    nm_buf_init(&u->shard, SHARD_BYTES_MAX);
    return err == NM_ENOMEM ? err : NM_OK;
}

enum nm_err nm_upkeep_step(struct nm_upkeep *u, bool idle, bool *busy, int *wait_ms, struct nm_diag *diag)
{
    uint64_t number;
    *busy = false;
    if (!nm_worker_connected(u->worker))
        return NM_OK;
    enum nm_err err = tell(u, diag);
    if (err != NM_OK)
        return nm_fail(diag, err, "telling the broker of sealed shards: %s", nm_err_name(err));
    if (find_harm(u, &number)) {
        *busy = true;
        return mend(u, number);
    }
    if (u->hole != UINT64_MAX && *wait_ms > GRACE_MS / 2)
        *wait_ms = GRACE_MS / 2;
    if (!idle || u->read * nm_samples_shard_size(u->samples) >= nm_samples_count(u->samples))
        return NM_OK;
    *busy = true;
    return read_one(u);
}
