/* phrases.h - phrases that name no entity: what stands around mentions in real text.
 *
 * A file of UTF-8 text, a phrase a line; blank lines and those that begin with '#' are skipped:
 *
 *     (n = 12)             an aside: stands behind a mention or another term, and before a '.' or ','
 *     acute *              a frame: its words stand around a mention, which is the '*'
 *     Disease: * therapy   a frame for mentions of that type alone
 *
 * Numbers are drawn anew whenever a phrase is used.
 */
#ifndef NM_DATASET_PHRASES_H
#define NM_DATASET_PHRASES_H

#include "common/arena.h"
#include "common/hash.h"
#include "schemas/entities.h"
#include "schemas/messages.h"

struct nm_phrase {
    struct nm_str before, after; /* of an aside all of it is before */
    size_t type;                 /* of a frame: index of the only type that it is for, or NM_ENTITIES_ANY */
};

struct nm_phrases {
    struct nm_phrase *asides, *frames; /* (n_asides), (n_frames) */
    size_t n_asides, n_frames;
    struct nm_arena arena;
};

/* nm_phrases_load - entities: the types that a frame may name.  File errors; NM_EFORMAT with file and line: not
 * UTF-8, too long, a control character, more than one '*' or nothing but one, a type that is none. */
enum nm_err nm_phrases_load(struct nm_phrases *phrases, const char *path, const struct nm_entities *entities,
                            struct nm_diag *diag);
void nm_phrases_clean_up(struct nm_phrases *phrases);

/* nm_phrases_vary - text, appended to out, with other numbers: a run of digits stays with probability 0.2; behind a
 * decimal point as many digits come in its place, elsewhere a number of at most as many; behind a letter ("CD4",
 * "m2") it is no number and stays.  NM_ENOMEM. */
enum nm_err nm_phrases_vary(struct nm_str text, struct nm_rng *rng, struct nm_buf *out);

#endif
