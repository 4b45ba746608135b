/* folded.h - a text as its words alone: what texts are compared by, whoever wrote them and however they were
 * tokenised.
 *
 * A word is a run of letters, digits and marks, lower-cased; all else only stands between words.  So a sentence and
 * its tokens joined by spaces have the same words.  Pure; any thread.
 */
#ifndef NM_SCHEMAS_FOLDED_H
#define NM_SCHEMAS_FOLDED_H

#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"
#include "schemas/messages.h"

/* By its hash, and where it stands, in characters. */
struct nm_folded_word {
    uint64_t hash;
    size_t start, end;
};

struct nm_folded_text {
    struct nm_folded_word *at; /* (n) in the caller's arena */
    size_t n;
};

/* nm_folded_split - NM_EFORMAT: not UTF-8; NM_ENOMEM. */
enum nm_err nm_folded_split(struct nm_str text, struct nm_arena *arena, struct nm_folded_text *words);

/* nm_folded_hash - of n words in their order; seed parts it from hashes for another purpose. */
uint64_t nm_folded_hash(const struct nm_folded_word *words, size_t n, uint64_t seed);

#endif
