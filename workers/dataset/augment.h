/* augment.h - more labelled sentences out of few: mentions replaced by other names of their type.
 *
 * Each labelled mention of a copy is replaced with a given probability, at least one of them, by a name drawn from
 * the list of its type; its tokens are those that the file's own way of cutting (scheme.h, learnt from the file)
 * makes of the name.  Copies that come out like a sentence already there are left out.
 * Source: X. Dai and H. Adel, An Analysis of Simple Data Augmentation for Named Entity Recognition, COLING 2020,
 * mention replacement; there a copy may also come out unchanged, and names come from the training set.
 * Test: unit augment.
 */
#ifndef NM_DATASET_AUGMENT_H
#define NM_DATASET_AUGMENT_H

#include "schemas/entities.h"
#include "workers/dataset/import.h"

struct nm_augment_counts {
    uint64_t sentences, copies, replaced; /* replaced: mentions */
    uint64_t repeated;                    /* copies left out */
};

struct nm_augment {
    const struct nm_entities *entities;
    struct nm_import from; /* read twice, so "-" is refused */
    uint64_t copies;       /* of each sentence with a mention that can be replaced */
    double share;          /* the probability */
    uint64_t seed;         /* the copies of a sentence depend on it, on the sentence's number and on the lists */
    struct nm_augment_counts counts;
};

/* nm_augment_read - every sentence to fn, and behind them all the copies, as nm_export_read does it: from points to a
 * pointer to a struct nm_augment.  NM_EINVAL: standard input; nm_import_read's errors. */
enum nm_err nm_augment_read(const void *from, nm_record_fn fn, void *ctx, struct nm_diag *diag);

#endif
