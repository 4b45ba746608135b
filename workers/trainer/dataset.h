/* dataset.h - labelled sentences as token ids, and the batches of an epoch.
 *
 * As the usual recipe has it: [CLS] and [SEP] around each sentence, the label on the first sub-token of a word,
 * NM_LABEL_NONE elsewhere, NM_LABEL_UNKNOWN on the first one of a masked word.  A batch is n sentences packed end to
 * end, so there is no padding, and no reason to keep sentences of like length together.  Threads: one a data set.
 */
#ifndef NM_TRAINER_DATASET_H
#define NM_TRAINER_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/bert.h"
#include "workers/trainer/corpus.h"
#include "workers/trainer/wordpiece.h"

struct nm_dataset {
    uint32_t *ids;   /* (starts[n]) */
    int32_t *labels; /* (starts[n]) */
    size_t *starts;  /* (n+1) */
    size_t n;
    size_t truncated; /* sentences that were longer than max_length */
    /* the batch being handed out */
    uint32_t *batch_ids, *batch_starts;
    int32_t *batch_labels;
    size_t cap_tokens, cap_seqs;
};

/* nm_dataset_init - encode corpus; label_of_tag (1 + 2 n_types of the corpus) gives the model's label of a tag.
 * A sentence keeps its first max_length tokens, [SEP] the last of them.  NM_ENOMEM. */
enum nm_err nm_dataset_init(struct nm_dataset *set, const struct nm_wordpiece *wp, const struct nm_corpus *corpus,
                            const int32_t *label_of_tag, size_t max_length, struct nm_diag *diag);
void nm_dataset_clean_up(struct nm_dataset *set);

/* nm_dataset_batch - pack the sentences order[0..n) into batch, which borrows from the set until the next call.
 * NM_ENOMEM. */
enum nm_err nm_dataset_batch(struct nm_dataset *set, const uint32_t *order, size_t n, struct nm_batch *batch);

#endif
