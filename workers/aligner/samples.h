/* samples.h - an aligner's finished samples on disk: what exactly-one-effect rests on.
 *
 * One LMDB store, four databases:
 *     pending  task -> attempt, checksum, record      committed here, the broker has not said yet whether they count
 *     samples  place -> checksum, record    acknowledged: what is served and exported
 *     tasks    task -> place                where it stands
 *     shards   number -> count, bytes, digest    the sealed ones
 *
 *     (none) --put--> pending --settle(keep, place)--> samples, for ever
 *                        \-----settle(drop)--> (none)
 *
 * The broker gives each sample its place, so it knows what must stand where, and a lost or damaged shard is made
 * again to the byte (mend.h).  Acks may be lost and come later: served is what stands before the first hole.  A full
 * shard is sealed: its count, bytes and digest are kept, and from then on it is served as it was or not at all.
 *
 * Every step can be done again with no effect: put of a task that is there, settle of a task that is not pending.
 * Changes are collected and become durable together, at nm_samples_commit: one transaction, one fsync.  A commit
 * that fails (a full disk) changes nothing and may be tried again.  One thread a store.
 */
#ifndef NM_ALIGNER_SAMPLES_H
#define NM_ALIGNER_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"
#include "schemas/messages.h"
#include "schemas/shard.h"

struct nm_samples;

enum { NM_SAMPLES_SCHEMA = 2 }; /* 1 had no checksums; such a store is read and goes on without them */

/* nm_samples_open - the store in state_dir/samples, made if absent, for the given run and samples per shard (an
 * existing store keeps its own number).  NM_ESTATE: it belongs to another run; NM_EVERSION: of a newer nermill;
 * NM_EBUSY: another process writes there; NM_EFULL, NM_EAUTH, NM_EIO, NM_EFORMAT.  diag says what to do. */
enum nm_err nm_samples_open(const char *state_dir, const char *run, uint64_t shard_samples,
                            struct nm_samples **samples, struct nm_diag *diag);

/* nm_samples_open_read - to read only, beside a live aligner.  NM_ENOENT: there is none. */
enum nm_err nm_samples_open_read(const char *state_dir, struct nm_samples **samples, struct nm_diag *diag);
void nm_samples_close(struct nm_samples **samples);

/* nm_samples_put - collect a sample as pending.  NM_ELIMIT, NM_ENOMEM, NM_EFORMAT: as nm_sample_encode. */
enum nm_err nm_samples_put(struct nm_samples *samples, const struct nm_msg_sample *sample);

/* nm_samples_settle - collect the broker's word on a task's attempt, and its place (0: the next free one). NM_ENOMEM.
 */
enum nm_err nm_samples_settle(struct nm_samples *samples, const struct nm_msg_hold *hold);

/* nm_samples_uncommitted - how many bytes wait for nm_samples_commit; 0: none. */
size_t nm_samples_uncommitted(const struct nm_samples *samples);

/* nm_samples_commit - make all that was collected durable, in order.  NM_EFULL and others of nm_store_write. */
enum nm_err nm_samples_commit(struct nm_samples *samples, struct nm_diag *diag);

/* nm_samples_pending - call fn for each pending sample, by task; what it gets lasts until it returns. */
typedef enum nm_err (*nm_samples_fn)(void *ctx, const struct nm_msg_sample *sample);
enum nm_err nm_samples_pending(struct nm_samples *samples, nm_samples_fn fn, void *ctx, struct nm_diag *diag);

uint64_t nm_samples_count(const struct nm_samples *samples); /* those before the first hole, as of the last commit */
uint64_t nm_samples_end(const struct nm_samples *samples);   /* one more than the last place that has a sample */
uint64_t nm_samples_shard_size(const struct nm_samples *samples);
const char *nm_samples_run(const struct nm_samples *samples);

/* nm_samples_shard - replace out by the blob of a shard (schemas/shard.h); *digest is its XXH3-64.  NM_ENOENT: there
 * is no such shard; NM_EFORMAT: a sealed one is not what it was (damaged on disk); NM_ELIMIT, NM_ENOMEM. */
enum nm_err nm_samples_shard(struct nm_samples *samples, uint64_t number, struct nm_buf *out, uint64_t *digest,
                             struct nm_diag *diag);

/* nm_samples_index - replace out by the index of all shards.  NM_EFORMAT: as above, of the open one. */
enum nm_err nm_samples_index(struct nm_samples *samples, struct nm_buf *out, struct nm_diag *diag);

/* nm_samples_seal - what is known of a sealed shard.  NM_ENOENT: it is not sealed. */
enum nm_err nm_samples_seal(struct nm_samples *samples, uint64_t number, struct nm_index_shard *seal,
                            struct nm_diag *diag);

/* nm_samples_damaged - whether a shard was found damaged and has not been mended since: which. */
bool nm_samples_damaged(const struct nm_samples *samples, uint64_t *number);

/* nm_samples_mend - make a shard whole, durable when it returns: made has what must stand at its places from the
 * first on, in the form of a shard (an empty record: nothing ever will).  A record that is there and unharmed stays.
 * digest: of the shard that must come out, NULL: any.  NM_EFORMAT: another came out, nothing is changed. */
enum nm_err nm_samples_mend(struct nm_samples *samples, uint64_t number, const struct nm_buf *made,
                            const uint64_t *digest, struct nm_diag *diag);

/* A walk over the acknowledged samples in task order, on one snapshot: valid while fn runs. */
struct nm_samples_walk;
typedef enum nm_err (*nm_samples_walk_fn)(struct nm_samples_walk *walk, void *ctx, struct nm_diag *diag);
enum nm_err nm_samples_walk(struct nm_samples *samples, nm_samples_walk_fn fn, void *ctx, struct nm_diag *diag);
bool nm_samples_walk_task(const struct nm_samples_walk *walk, uint64_t *task); /* false: behind the last */
/* nm_samples_walk_get - NM_EFORMAT: it is damaged or missing on the disk. */
enum nm_err nm_samples_walk_get(struct nm_samples_walk *walk, struct nm_arena *arena, struct nm_msg_sample *sample,
                                struct nm_diag *diag);
enum nm_err nm_samples_walk_next(struct nm_samples_walk *walk);

#endif
