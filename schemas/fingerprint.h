/* fingerprint.h - what duplicates are searched by: of a text, a few numbers that equal or similar texts share.
 *
 * A text is looked at as its words: runs of letters, digits and marks, lower-cased.  Three questions:
 *     duplicate        the same words in the same order                            exact, a hash of them
 *     near duplicate   Jaccard similarity of the sets of word 5-grams              MinHash, in bands (LSH)
 *     template         the same words once every mention is one blank              template, a hash of that
 *
 * MinHash: BANDS x ROWS independent minima of a hashed 5-gram; a band is the hash of its rows.  Two texts of
 * similarity s share a band with probability 1 - (1 - s^ROWS)^BANDS: 0.985 at 0.8, 0.9998 at 0.9, 0.40 at 0.5, 0.06
 * at 0.3.  Who shares one is then compared by its true similarity, so bands never decide alone. Sources: Broder, "On
 * the resemblance and containment of documents", 1997; bands: Indyk, Motwani 1998, as in Leskovec, Rajaraman, Ullman,
 * "Mining of Massive Datasets", 3.4.  Test: unit "fingerprint", against naive sets.
 *
 * The generator computes it and sends it with the answer, so that the broker only looks up.  Pure; any thread.
 */
#ifndef NM_SCHEMAS_FINGERPRINT_H
#define NM_SCHEMAS_FINGERPRINT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"
#include "schemas/messages.h"

enum { NM_FINGERPRINT_BANDS = 8, NM_FINGERPRINT_ROWS = 4, NM_FINGERPRINT_GRAM = 5 };

struct nm_fingerprint {
    uint64_t exact;
    uint64_t template; /* 0: the text has no mention, so it is nobody's template */
    uint64_t bands[NM_FINGERPRINT_BANDS];
};

/* What is known of a text and its mentions: of a response, or of what was sent to an aligner. */
struct nm_fingerprint_text {
    struct nm_str text;
    const struct nm_msg_entity *entities; /* asked for: blank wherever their words stand */
    size_t n_entities;
    const struct nm_msg_span *mentions; /* told by the model: blank too */
    size_t n_mentions;
};

/* nm_fingerprint_make - NM_EFORMAT: the text is not UTF-8; NM_ENOMEM.  arena: for work space. */
enum nm_err nm_fingerprint_make(const struct nm_fingerprint_text *text, struct nm_arena *arena,
                                struct nm_fingerprint *print);

/* The bytes of a response's field.  decode: false where they are of another form, or none. */
enum nm_err nm_fingerprint_encode(const struct nm_fingerprint *print, struct nm_buf *out);
bool nm_fingerprint_decode(struct nm_str bytes, struct nm_fingerprint *print);

/* nm_fingerprint_jaccard - of the sets of word 5-grams (a shorter text is one gram), from 0 to 1.  NM_EFORMAT,
 * NM_ENOMEM. */
enum nm_err nm_fingerprint_jaccard(struct nm_str a, struct nm_str b, struct nm_arena *arena, double *similarity);

#endif
