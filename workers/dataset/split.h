/* split.h - a data set cut into train, dev and test, the same cut for the same seed. */
#ifndef NM_DATASET_SPLIT_H
#define NM_DATASET_SPLIT_H

#include "workers/dataset/format.h"
#include "workers/dataset/source.h"

enum nm_split_by {
    NM_SPLIT_SAMPLE,   /* samples of the same text stay together */
    NM_SPLIT_DOCUMENT, /* so do those of a document */
    NM_SPLIT_ENTITY    /* no entity of one part stands in another one */
};

enum { NM_SPLIT_TRAIN, NM_SPLIT_DEV, NM_SPLIT_TEST, NM_SPLIT_LEFT_OUT, NM_SPLIT_PARTS };

struct nm_split {
    enum nm_split_by by;
    uint64_t shares[3]; /* of train, dev and test, in any unit; not all 0 */
    uint64_t seed;
};

/* nm_split_run - source into dir (made if absent): train, dev and test with the format's name behind the dot, and
 * left-out where there is any: samples whose entities belong to several parts, when cut by entity.
 *
 * By entity (its text, case aside, whatever the type): samples that share an entity hang together, and groups of them
 * go to a part as a whole, as long as they are small.  A large group, which most of a data set usually is, is cut
 * between its entities: each goes to a part, by the shares, and samples with entities of several parts are left out.
 * counts: samples in each part.  The source must not change meanwhile (NM_ESTATE).  NM_EINVAL: standard input, which
 * can't be read twice; as nm_export_run. */
enum nm_err nm_split_run(const struct nm_source *source, const struct nm_split *split, const struct nm_format *format,
                         const char *dir, uint64_t counts[NM_SPLIT_PARTS], struct nm_diag *diag);

#endif
