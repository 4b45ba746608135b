/* surface_spots.h - the places of a sentence where its surface may change.  Internal to surface.c. */
#ifndef NM_DATASET_SURFACE_SPOTS_H
#define NM_DATASET_SURFACE_SPOTS_H

#include "workers/dataset/record.h"
#include "workers/dataset/terms.h"

enum nm_spot_kind {
    NM_SPOT_MENTION,
    NM_SPOT_DECOY,
    NM_SPOT_COMMA, /* an aside may stand before it */
    NM_SPOT_STOP
};

struct nm_spot {
    enum nm_spot_kind kind;
    uint64_t start, end; /* bytes */
    const struct nm_msg_mention *mention;
};

/* nm_spots_find - into the arena, in order, without overlap: every mention; decoys outside of mentions; commas and
 * full stops behind which a blank or nothing stands.  NM_ENOMEM. */
enum nm_err nm_spots_find(const struct nm_terms *decoys, const struct nm_msg_sample *sample, struct nm_arena *arena,
                          struct nm_spot **spots, size_t *n);

/* nm_spots_shield - of the sample's mentions those stay that no longer decoy holds, with tags anew, of the arena;
 * room: what the search takes; *shielded: how many went, added.  NM_ENOMEM. */
enum nm_err nm_spots_shield(const struct nm_terms *decoys, struct nm_msg_sample *sample, struct nm_arena *room,
                            struct nm_arena *arena, uint64_t *shielded);

#endif
