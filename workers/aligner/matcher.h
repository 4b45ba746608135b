/* matcher.h - every listed entity in a tokenised text: leftmost, longest, on whole tokens.
 *
 * The rule.  An entity matches where the forms (nm_form) of its own tokens follow each other in the text; what is
 * between tokens does not count: "a - b" and "a-b" are equal, "a b" is not.  Where several begin at a token the one
 * of most tokens wins; matching goes on behind it.  Case counts for an entity of at most three characters (code
 * points of its NFC text) or whose letters are all capitals (`Pb`, `5-HT`, not `TNF-alpha`); otherwise it does not
 * (simple lower-casing).  Of entities that match the same tokens the case-sensitive one goes before the others, then
 * the first of the list; variants go behind them in the same order.
 *
 * How.  Token forms have numbers (lexicon.h), a trie of those numbers lies in one hash table of edges, and the
 * numbers that begin an entity come first, so that "no entity begins here" is one comparison.  The trie is over
 * folded forms; only at its ends are bytes and case compared.  Read-only after building: any thread, each with its
 * own struct nm_matches.
 * Test: unit matcher, against a naive search.
 */
#ifndef NM_ALIGNER_MATCHER_H
#define NM_ALIGNER_MATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "workers/aligner/tokenize.h"

struct nm_matcher;

/* What to look for; index in the array given is the entity's number.  variant_of: not 0 where this is another form of
 * entity variant_of - 1, which stands before it: case counts if it does there, and entities go before variants. */
struct nm_pattern {
    const char *text;
    size_t len;
    uint32_t variant_of;
};

/* Tokens [first, first + count) are entity number entity. */
struct nm_match {
    uint32_t first, count, entity;
};

struct nm_matches {
    struct nm_match *v;
    size_t count, cap;
    uint64_t *hashes; /* work space, one per token */
    uint32_t *ids;
    size_t hashes_cap, ids_cap;
    struct nm_buf form;
};

void nm_matches_init(struct nm_matches *matches);
void nm_matches_clean_up(struct nm_matches *matches);

/* nm_matcher_new - build from n entities; their texts are copied.
 * NM_EINVAL: one has no token (empty or white space only); NM_EFORMAT: one is not UTF-8; diag says which number.
 * NM_ELIMIT: over 4 GiB of text or 2^32 tokens; NM_ENOMEM. */
enum nm_err nm_matcher_new(const struct nm_pattern *patterns, size_t n, struct nm_matcher **matcher,
                           struct nm_diag *diag);
void nm_matcher_destroy(struct nm_matcher **matcher);

/* nm_matcher_run - replace the content of matches by those in text, whose tokens are given, in order.
 * NM_ENOMEM. */
enum nm_err nm_matcher_run(const struct nm_matcher *matcher, const char *text, const struct nm_tokens *tokens,
                           struct nm_matches *matches);

/* nm_matcher_twin - the next pattern that matches wherever this one does and has the same right to ("a-b" and "a -
 * b", or the same text twice); NM_NO_ENTITY if there is none.  nm_matcher_origin - the entity that a pattern is a
 * form of. */
#define NM_NO_ENTITY UINT32_MAX
uint32_t nm_matcher_twin(const struct nm_matcher *matcher, uint32_t pattern);
uint32_t nm_matcher_origin(const struct nm_matcher *matcher, uint32_t pattern);

/* nm_matcher_is_cased - whether case counts for a text, by the rule above.  NM_EFORMAT, NM_ENOMEM. */
enum nm_err nm_matcher_is_cased(const char *text, size_t len, bool *cased);

size_t nm_matcher_bytes(const struct nm_matcher *matcher); /* of memory held */

#endif
