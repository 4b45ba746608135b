/* wording.h - what an answer is held against: the words of its prompt in their order, and the scripts they are in.
 *
 * Most of a prompt is the same in every call: its words are hashed once, and a call's are put together of those.
 * Internal to the generator.  Threads: any, one arena each.
 */
#ifndef NM_GENERATOR_WORDING_H
#define NM_GENERATOR_WORDING_H

#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"

struct nm_wording {
    const uint64_t *words; /* (n) hashes, as in struct nm_word */
    size_t n;
    unsigned scripts; /* as nm_text_scripts says; 0: there is no text at all */
};

/* nm_wording_of - of one text.  NM_EFORMAT: not UTF-8.  NM_ENOMEM. */
enum nm_err nm_wording_of(const char *text, size_t len, struct nm_arena *arena, struct nm_wording *out);

/* nm_wording_join - of n texts, one behind the other on lines of their own.  NM_ENOMEM. */
enum nm_err nm_wording_join(const struct nm_wording *parts, size_t n, struct nm_arena *arena, struct nm_wording *out);

#endif
