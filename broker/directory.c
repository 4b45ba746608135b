/* Who has which samples: the aligners, the sealed shards of each, and what stands at each of their places. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker_parts.h"
#include "common/hash.h"
#include "common/log.h"
#include "schemas/shard.h"

enum {
    ALIGNERS_MAX = 4096,
    MADE_BYTES = 4 << 20, /* in one blob of what samples were made from; one text more at most */
    BLOB_BYTES_MAX = 1 << 30
};

/* The blob built last: the next chunks of it are cut from there. */
struct nm_directory {
    struct blob blob;
    char name[NM_NAME_MAX + 1];
    struct nm_arena arena; /* one record at a time */
    struct nm_buf record;
    struct nm_diag why;
};

struct nm_directory *nm_directory_new(void)
{
    struct nm_directory *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    nm_buf_init(&d->blob.data, BLOB_BYTES_MAX);
    nm_buf_init(&d->record, NM_FRAME_MAX);
    nm_arena_init(&d->arena, 0);
    d->blob.name = d->name;
    return d;
}

void nm_directory_destroy(struct nm_directory **directory)
{
    struct nm_directory *d = *directory;
    *directory = NULL;
    if (!d)
        return;
    nm_buf_clean_up(&d->blob.data);
    nm_buf_clean_up(&d->record);
    nm_arena_clean_up(&d->arena);
    free(d);
}

/* Every aligner that has samples or could have, connected or not: its samples wait for it to come back. */
void nm_directory_answer(struct nm_broker *b, const struct nm_peer *peer)
{
    struct nm_msg msg = {.type = NM_MSG_directory,
                         .u.directory = {.run = nm_str(nm_ledger_run(b->ledger)),
                                         .complete = nm_queue_phase(b->queue) == NM_PHASE_COMPLETE,
                                         .aligned = nm_queue_get_totals(b->queue)->done}};
    struct nm_msg_directory *d = &msg.u.directory;
    uint32_t workers = nm_ledger_worker_count(b->ledger);
    d->aligners = nm_arena_alloc(&b->arena, workers * sizeof *d->aligners + 1);
    for (uint32_t i = 0; d->aligners && i < workers && d->n_aligners < ALIGNERS_MAX; i++) {
        const struct nm_ledger_worker *w = nm_ledger_get_worker(b->ledger, i);
        if (w->role == NM_QUEUE_ALIGNER)
            d->aligners[d->n_aligners++] = (struct nm_msg_aligner){
                .worker = nm_str(w->id), .endpoint = nm_str(w->endpoint), .samples = w->samples, .shards = w->shards};
    }
    nm_broker_reply(b, peer, &msg);
}

enum nm_err nm_directory_sealed(struct nm_broker *b, const struct session *s, const struct nm_msg_sealed *sealed)
{
    return nm_ledger_seal(b->ledger, s->number, sealed);
}

/* ---- blobs ------------------------------------------------------------------------------------------------------
 */

static enum nm_err build_index(struct nm_broker *b, uint32_t worker)
{
    struct nm_directory *d = b->directory;
    struct nm_index index;
    enum nm_err err = nm_ledger_list_shards(b->ledger, worker, &b->arena, &index, &d->why);
    nm_buf_reset(&d->blob.data);
    return err ? err : nm_index_encode(&index, &d->blob.data);
}

/* The ALIGN frame of the sample at that place, as it was and will be, into d->record; nothing where the ledger has
 * lost it (an aligner's commit outlived ours). */
static enum nm_err encode_made(struct nm_broker *b, uint32_t worker, uint64_t place)
{
    struct nm_directory *d = b->directory;
    struct nm_ledger_made made;
    struct nm_msg_response response;
    nm_arena_reset(&d->arena);
    nm_buf_reset(&d->record);
    enum nm_err err = nm_ledger_made_at(b->ledger, worker, place, &made, &d->why);
    if (err == NM_ENOENT)
        return NM_OK;
    if (!err)
        err = nm_ledger_read_response(b->ledger, made.task, made.attempt, &d->arena, &response, &d->why);
    if (err)
        return err == NM_ENOENT ? NM_EFORMAT : err;
    struct nm_msg msg = {.type = NM_MSG_align};
    err = nm_lease_align(b->ledger, &response, &d->arena, &msg.u.align, &d->why);
    return err ? err : nm_msg_encode(&msg, &d->record);
}

static enum nm_err build_made(struct nm_broker *b, uint32_t worker, uint64_t first)
{
    struct nm_directory *d = b->directory;
    uint64_t places = nm_ledger_get_worker(b->ledger, worker)->places, place = first;
    enum nm_err err = first < places ? nm_shard_begin(&d->blob.data, first) : NM_ENOENT;
    while (!err && place < places && d->blob.data.len < MADE_BYTES && place - first < NM_SHARD_SAMPLES_MAX) {
        err = encode_made(b, worker, place++);
        if (!err)
            err = nm_shard_add(&d->blob.data, nm_buf_str(&d->record), d->record.len);
    }
    return err ? err : nm_shard_finish(&d->blob.data);
}

/* The aligner of a name like "made/WORKER/7" or "index/WORKER"; false: there is none. */
static bool read_name(const struct nm_broker *b, const char *name, uint32_t *worker, bool *made, uint64_t *place)
{
    char id[NM_NAME_MAX + 1], rest[2];
    unsigned long long number = 0;
    *made = sscanf(name, "made/%256[^/]/%19llu%1s", id, &number, rest) == 2;
    *place = number;
    if (!*made && sscanf(name, "index/%256[^/]%1s", id, rest) != 1)
        return false;
    *worker = nm_ledger_find_worker(b->ledger, NM_QUEUE_ALIGNER, nm_str(id));
    return *worker != NM_QUEUE_NOBODY;
}

const struct blob *nm_directory_blob(struct nm_broker *b, const struct nm_msg_blob_read *read)
{
    struct nm_directory *d = b->directory;
    uint32_t worker;
    uint64_t place;
    bool made;
    if (read->offset > 0 && strcmp(d->name, read->name.ptr) == 0)
        return &d->blob;
    if (!read_name(b, read->name.ptr, &worker, &made, &place))
        return NULL;
    memcpy(d->name, read->name.ptr, read->name.len + 1);
    d->why.text[0] = '\0';
    d->blob.missing = NULL;
    enum nm_err err = made ? build_made(b, worker, place) : build_index(b, worker);
    d->blob.digest = nm_hash64(nm_buf_str(&d->blob.data), d->blob.data.len, 0);
    if (err) {
        d->blob.missing = err == NM_ENOENT ? "that aligner has been given no such place" : nm_err_name(err);
        nm_warn("blob %s can't be given: %s", d->name, d->why.text[0] ? d->why.text : d->blob.missing);
        d->name[0] = '\0';
    }
    return &d->blob;
}
