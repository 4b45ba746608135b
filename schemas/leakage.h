/* leakage.h - the sentences of a test set as hashes, so that no text that repeats them is taken, and nobody who looks
 * for such texts ever sees the test set.
 *
 * A text leaks if it shares a run of `ngram` words with a sentence, or all the words of a shorter one (of at least
 * NM_LEAKAGE_SHORT; one that is shorter still only counts if it is the whole text).
 * Source of the 13: Brown et al., "Language Models are Few-Shot Learners", 2020, appendix C.
 */
#ifndef NM_SCHEMAS_LEAKAGE_H
#define NM_SCHEMAS_LEAKAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"
#include "schemas/messages.h"

enum { NM_LEAKAGE_NGRAM_MAX = 100, NM_LEAKAGE_SHORT = 5 };

struct nm_leakage {
    uint64_t *hashes; /* (n) sorted once closed */
    size_t n, cap;
    uint32_t ngram;
    bool lengths[NM_LEAKAGE_NGRAM_MAX + 1]; /* of the runs there are, in words */
};

void nm_leakage_init(struct nm_leakage *leakage, uint32_t ngram);
void nm_leakage_clean_up(struct nm_leakage *leakage);

/* nm_leakage_add_conll - every sentence of a CoNLL file: the first column, a blank line between sentences.  name is
 * for messages.  NM_EFORMAT: not UTF-8, or no sentence; NM_ENOMEM. */
enum nm_err nm_leakage_add_conll(struct nm_leakage *leakage, const char *name, const char *data, size_t len,
                                 struct nm_diag *diag);

/* nm_leakage_close - after the last one. */
void nm_leakage_close(struct nm_leakage *leakage);

/* The form in which it travels.  decode: into an initialised one; NM_EFORMAT, NM_ENOMEM. */
enum nm_err nm_leakage_encode(const struct nm_leakage *leakage, struct nm_buf *out);
enum nm_err nm_leakage_decode(const char *data, size_t len, struct nm_leakage *leakage, struct nm_diag *diag);

/* nm_leakage_finds - *words: how many words in a row the text shares with a sentence; 0: it does not leak.
 * NM_EFORMAT: not UTF-8; NM_ENOMEM.  Any thread. */
enum nm_err nm_leakage_finds(const struct nm_leakage *leakage, struct nm_str text, struct nm_arena *arena,
                             size_t *words);

#endif
