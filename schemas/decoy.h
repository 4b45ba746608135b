/* decoy.h - words that look like entities and are none: what a hard negative is made of.
 *
 * Without a file of the project's own a decoy is a word out of a listed name of several words ("failure" out of
 * "acute renal failure", "acid" out of "valproic acid"): at least four small ASCII letters, on no list itself, and
 * none of the few words that say nothing.  With generation: decoys it is a term of that file, and samples with
 * entities use one, too.
 */
#ifndef NM_SCHEMAS_DECOY_H
#define NM_SCHEMAS_DECOY_H

#include <stdbool.h>

#include "schemas/entities.h"
#include "schemas/project.h"

enum { NM_DECOY_MAX = 64 }; /* bytes of a decoy, with its NUL */

struct nm_decoys;

/* nm_decoys_new - the decoys of the project at path; entities is borrowed.  Errors are those of nm_entities_load for
 * the file, and NM_EFORMAT for a term that is not ASCII, too long, or on an entity list. */
enum nm_err nm_decoys_new(const struct nm_project *project, const char *path, const struct nm_entities *entities,
                          struct nm_decoys **decoys, struct nm_diag *diag);
void nm_decoys_destroy(struct nm_decoys **decoys);

/* nm_decoys_pick - what a sample of that seed is to use, by the seed alone; false: nothing. */
bool nm_decoys_pick(const struct nm_decoys *decoys, bool negative, uint64_t seed, char out[NM_DECOY_MAX]);

/* nm_decoys_digest - of the file's terms; 0: there is none. */
uint64_t nm_decoys_digest(const struct nm_decoys *decoys);

#endif
