/* augment.h - more labelled sentences out of few: by mention replacement, or with the surface form of real text.
 *
 * Replacement: each labelled mention of a copy is replaced with a given probability, at least one of them, by a name
 * drawn from the list of its type; its tokens are those that the file's own way of cutting (scheme.h, learnt from the
 * file) makes of the name.  Copies that come out like a sentence already there are left out. Source: X. Dai and H.
 * Adel, An Analysis of Simple Data Augmentation for Named Entity Recognition, COLING 2020, mention replacement; there
 * a copy may also come out unchanged, and names come from the training set. Surface: see surface.h.  The sentences
 * themselves come without the mentions that a decoy shields; then a first copy of each, a second one of each, and so
 * on: those of N copies are the beginning of those of N + 1. Test: unit augment, unit surface.
 */
#ifndef NM_DATASET_AUGMENT_H
#define NM_DATASET_AUGMENT_H

#include "schemas/entities.h"
#include "workers/dataset/import.h"
#include "workers/dataset/surface.h"

struct nm_augment_counts {
    uint64_t sentences, copies, replaced; /* replaced: mentions */
    uint64_t repeated;                    /* copies left out */
    struct nm_surface_counts surface;
};

struct nm_augment {
    const struct nm_entities *entities;
    struct nm_import from; /* read once: all of it is in memory while the copies are made */
    uint64_t copies;       /* of each sentence; of replacement: of each with a mention that can be replaced */
    double share;          /* of replacement: the probability */
    const struct nm_project_augmentation *surface; /* NULL: replacement */
    uint64_t seed; /* the copies of a sentence depend on it, on the sentence's number and on the lists */
    struct nm_augment_counts counts;
};

/* nm_augment_read - every sentence to fn, and behind them all the copies, as nm_export_read does it: from points to a
 * pointer to a struct nm_augment.  Errors of nm_import_read and nm_surface_new. */
enum nm_err nm_augment_read(const void *from, nm_record_fn fn, void *ctx, struct nm_diag *diag);

#endif
