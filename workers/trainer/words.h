/* words.h - plain text into the words that a tagger is trained on, in the corpora's style.
 *
 * A word is a run of letters and digits with the marks on them; every other visible character is a word of its
 * own (hyphen, slash, bracket, quote, full stop: "0.5" is three words); white space and control characters part
 * words; a format character counts only inside a word.  The aligner cuts generated text by the same rule.
 */
#ifndef NM_TRAINER_WORDS_H
#define NM_TRAINER_WORDS_H

#include <stddef.h>

#include "common/err.h"

struct nm_extent {
    size_t start, end; /* bytes of the text */
};

struct nm_extents {
    struct nm_extent *at;
    size_t n, cap;
};

/* nm_words_split - replace the content of words by those of text.  NM_EFORMAT: not UTF-8; NM_ENOMEM.  free(words->at)
 * when done. */
enum nm_err nm_words_split(const char *text, size_t len, struct nm_extents *words);

#endif
