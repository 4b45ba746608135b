/* tag_queue.h - one tagger for many threads: what waits together is tagged in one go.
 *
 * A thread of its own holds the tagger.  It takes all texts that wait, up to a batch, whenever it has done the one
 * before.
 */
#ifndef NM_TRAINER_TAG_QUEUE_H
#define NM_TRAINER_TAG_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/err.h"
#include "workers/trainer/tagger.h"

struct nm_tag_queue;

struct nm_tag_counts {
    uint64_t texts, words, batches, errors;
    double seconds; /* spent tagging */
    size_t waiting; /* texts, now */
};

/* nm_tag_queue_new - starts the thread; tagger must outlive it and is its alone.  NM_ENOMEM. */
enum nm_err nm_tag_queue_new(struct nm_tag_queue **queue, struct nm_tagger *tagger);

/* nm_tag_queue_destroy - after the last text that waits was tagged. */
void nm_tag_queue_destroy(struct nm_tag_queue **queue);

/* nm_tag_queue_tag - tag texts (n) and wait; results (n) are predict's objects, the caller's.  Any thread.
 * NM_EFORMAT: a text is not UTF-8; NM_ENOMEM and errors of nm_tagger_tag, with no result set. */
enum nm_err nm_tag_queue_tag(struct nm_tag_queue *queue, const char *const *texts, const size_t *lens, size_t n,
                             json_t **results);

/* nm_tag_queue_counts - since its start.  Any thread. */
struct nm_tag_counts nm_tag_queue_counts(struct nm_tag_queue *queue);

#endif
