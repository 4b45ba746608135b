/* surface.h - a labelled sentence again, with the surface form of real text.
 *
 * What a small LLM's sentences lack is written around their mentions: other names, names in a row ("A, B and C",
 * "A/B", "A plus B", "A (B)"), abbreviations in parentheses, asides ("(n = 12)", "at 10 mg/kg") and frames
 * ("acute *"), while terms that name no entity (decoys) are replaced by others, enumerated, and followed by the same
 * asides: what stands around a word is no sign that it is a mention.  Names and decoys come by equal exposure
 * (deck.h).  Masked words stay as they are.
 * Test: unit surface.
 */
#ifndef NM_DATASET_SURFACE_H
#define NM_DATASET_SURFACE_H

#include "common/hash.h"
#include "schemas/project.h"
#include "workers/aligner/tokenizer.h"
#include "workers/dataset/record.h"

/* The names of a type, by their numbers in a set. */
struct nm_typed_names {
    size_t *names;
    size_t n;
};

struct nm_surface_counts {
    uint64_t replaced; /* mentions */
    uint64_t added;    /* mentions, beside others */
    uint64_t abbreviated, framed, asides;
    uint64_t decoys;   /* replaced and added */
    uint64_t shielded; /* mentions of the sentences themselves that are none, as a part of a decoy */
    uint64_t listed;   /* decoys left out, which are on an entity list */
};

struct nm_surface;

/* What a surface is made of; all is borrowed. */
struct nm_surface_parts {
    const struct nm_project_augmentation *how; /* its files as they can be opened */
    const struct nm_entities *entities;
    const struct nm_typed_names *names; /* by type of entities */
    const struct nm_tokenizer *tokenizer;
    uint64_t seed;
};

/* nm_surface_new - reads the files.  Errors of nm_entities_load and nm_phrases_load; NM_ENOMEM. */
enum nm_err nm_surface_new(const struct nm_surface_parts *parts, struct nm_surface **surface, struct nm_diag *diag);
void nm_surface_destroy(struct nm_surface **surface);

/* nm_surface_check - the files of a project's section alone, before there is anything to augment.  path: as given to
 * nm_project_load.  Errors as above, and NM_ELIMIT. */
enum nm_err nm_surface_check(const struct nm_project *project, const char *path, const struct nm_entities *entities,
                             struct nm_diag *diag);

/* nm_surface_shield - the mentions that are a part of a longer decoy ("stroke" in "stroke volume") go from the
 * sample; its tags are in the arena then, in room what nobody needs any more.  NM_ENOMEM. */
enum nm_err nm_surface_shield(struct nm_surface *surface, struct nm_msg_sample *sample, struct nm_arena *room,
                              struct nm_arena *arena);

/* nm_surface_copy - one copy of a sample that is shielded already, drawn by rng, into out: it lasts until the next
 * call, or the arena does.  NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_surface_copy(struct nm_surface *surface, const struct nm_msg_sample *sample, struct nm_rng *rng,
                            struct nm_arena *arena, struct nm_msg_sample *out);

const struct nm_surface_counts *nm_surface_counts(const struct nm_surface *surface);

#endif
