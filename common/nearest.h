/* nearest.h - the word that was meant: for unknown commands, options and keys. */
#ifndef NM_COMMON_NEAREST_H
#define NM_COMMON_NEAREST_H

#include <stddef.h>

/* nm_edit_distance - Levenshtein's, with a swap of neighbours as one edit (optimal string alignment); only the first
 * 64 bytes of each count.  Any thread. */
size_t nm_edit_distance(const char *a, const char *b);

/* nm_nearest_reach - the distance from which on a word is no longer near: two edits in a short one, more in a long.
 */
size_t nm_nearest_reach(const char *word);

/* nm_nearest - the entry of words[0..n) that begins with word, else the one with the least edit distance to it; NULL
 * where none is within reach. */
const char *nm_nearest(const char *word, const char *const *words, size_t n);

#endif
