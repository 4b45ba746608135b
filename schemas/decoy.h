/* decoy.h - words that look like entities and are none: what a hard negative is made of.
 *
 * A decoy is a word out of a listed name of several words ("failure" out of "acute renal failure", "acid" out of
 * "valproic acid"): at least four small ASCII letters, on no list itself, and none of the few words that say nothing.
 */
#ifndef NM_SCHEMAS_DECOY_H
#define NM_SCHEMAS_DECOY_H

#include <stdbool.h>

#include "schemas/entities.h"

enum { NM_DECOY_MAX = 64 }; /* bytes of a decoy, with its NUL */

/* nm_decoy_pick - one, by the seed alone; false: among the names that were looked at is none. */
bool nm_decoy_pick(const struct nm_entities *entities, uint64_t seed, char out[NM_DECOY_MAX]);

#endif
