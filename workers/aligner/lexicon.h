/* lexicon.h - the token forms that occur in entities, each with a number, in one hash table.
 *
 * What decides the speed of matching: every token of a text is looked up once, so a look-up is one hash over the
 * folded bytes and, nearly always, one cache line: a slot is 8 bytes, 32 bits of the hash and the number, and the
 * strings are not touched.  A false hit (2^-32 a probe) is the caller's to find: nm_lexicon_find may take an unknown
 * string for a known one, so whoever acts on a number compares the bytes.  Between the known ones there is no
 * confusion: nm_lexicon_add notices two of them with the same bits and asks for another seed.
 *
 * A number has 30 bits.  The other two are marks, for whoever wants to know something of a form without another
 * look-up elsewhere: with 1,000,000 entities that would be another cache miss a token.
 */
#ifndef NM_ALIGNER_LEXICON_H
#define NM_ALIGNER_LEXICON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define NM_LEXICON_ID_MAX ((UINT32_C(1) << 30) - 1)
#define NM_LEXICON_MARK_A (UINT32_C(1) << 30)
#define NM_LEXICON_MARK_B (UINT32_C(1) << 31)

struct nm_lexicon_slot {
    uint32_t tag; /* upper half of the hash */
    uint32_t id;  /* and marks; 0: free */
};

struct nm_lexicon {
    uint64_t seed;
    struct nm_lexicon_slot *slots;
    uint64_t mask;  /* slots - 1; a power of two */
    uint32_t count; /* numbers are 1..count */
    char *pool;     /* the strings, one behind the other */
    size_t pool_len, pool_cap;
    uint32_t *ends; /* ends[id]: where string id ends in pool; ends[0] is 0 */
    size_t ends_cap;
};

/* nm_lexicon_init - empty.  NM_ENOMEM. */
enum nm_err nm_lexicon_init(struct nm_lexicon *lexicon, uint64_t seed);
void nm_lexicon_clean_up(struct nm_lexicon *lexicon);

/* nm_lexicon_add - the number of a form, a new one if it is new.  NM_EEXIST: its bits are another form's, begin
 * again with another seed; NM_ELIMIT: over 4 GiB of strings, or 2^30 of them; NM_ENOMEM. */
enum nm_err nm_lexicon_add(struct nm_lexicon *lexicon, const char *form, size_t len, uint32_t *id);

/* nm_lexicon_mark - set marks on a form, for nm_lexicon_find to tell; no form can be added from then on. */
void nm_lexicon_mark(struct nm_lexicon *lexicon, uint32_t id, uint32_t marks);

/* nm_lexicon_string - form number id (1..count), not NUL-terminated; valid until the next add. */
const char *nm_lexicon_string(const struct nm_lexicon *lexicon, uint32_t id, size_t *len);

size_t nm_lexicon_bytes(const struct nm_lexicon *lexicon); /* of memory held */

/* nm_lexicon_hash - of a form; with word set, of the lower case of len ASCII letters and digits. */
static inline uint64_t nm_lexicon_hash(const struct nm_lexicon *lexicon, const char *s, size_t len, bool word);

/* nm_lexicon_prefetch - begin to load where a hash is found: of use some tokens ahead, when the table is larger
 * than the cache (1,000,000 entities: 16 MiB). */
static inline void nm_lexicon_prefetch(const struct nm_lexicon *lexicon, uint64_t hash)
{
    __builtin_prefetch(&lexicon->slots[hash & lexicon->mask]);
}

/* nm_lexicon_find - the number that a hash stands for, with its marks; 0 if none.  See the head of this file. */
static inline uint32_t nm_lexicon_find(const struct nm_lexicon *lexicon, uint64_t hash)
{
    uint32_t tag = (uint32_t)(hash >> 32);
    for (uint64_t i = hash & lexicon->mask;; i = (i + 1) & lexicon->mask) {
        const struct nm_lexicon_slot *slot = &lexicon->slots[i];
        if (slot->id == 0 || slot->tag == tag)
            return slot->id;
    }
}

/* ---- the hash, inline because it runs once a token -------------------------------------------------------------
 * Two multiplications for up to 16 bytes, each a bijection of its input word; longer ones in steps of 16, the last
 * step overlapping.  Lower-casing is one OR: in ASCII letters and digits bit 0x20 is all that cases differ in, and
 * digits have it set.
 */
static inline uint64_t nm_lexicon_read(const char *s, size_t len)
{
    uint64_t v = 0;
    uint32_t a;
    uint32_t b;
    if (len >= 8) {
        __builtin_memcpy(&v, s, 8);
    } else if (len >= 4) {
        __builtin_memcpy(&a, s, 4);
        __builtin_memcpy(&b, s + len - 4, 4);
        v = (uint64_t)a << 32 | b;
    } else if (len > 0) {
        v = (uint64_t)(unsigned char)s[0] << 16 | (uint64_t)(unsigned char)s[len >> 1] << 8 |
            (uint64_t)(unsigned char)s[len - 1];
    }
    return v;
}

static inline uint64_t nm_lexicon_step(uint64_t h, uint64_t a, uint64_t b)
{
    h = (h ^ a) * 0x9E3779B97F4A7C15U;
    h = (h ^ h >> 29 ^ b) * 0xD6E8FEB86659FD93U;
    return h ^ h >> 32;
}

static inline uint64_t nm_lexicon_hash(const struct nm_lexicon *lexicon, const char *s, size_t len, bool word)
{
    uint64_t fold = !word ? 0 : len >= 4 ? 0x2020202020202020U : 0x202020U; /* not the padding */
    uint64_t h = lexicon->seed ^ len * 0xA0761D6478BD642FU;
    if (len <= 8)
        return nm_lexicon_step(h, nm_lexicon_read(s, len) | fold, 0);
    size_t at = 0;
    for (; at + 16 < len; at += 16)
        h = nm_lexicon_step(h, nm_lexicon_read(s + at, 8) | fold, nm_lexicon_read(s + at + 8, 8) | fold);
    size_t first = len >= 16 ? len - 16 : 0;
    return nm_lexicon_step(h, nm_lexicon_read(s + first, 8) | fold, nm_lexicon_read(s + len - 8, 8) | fold);
}

#endif
