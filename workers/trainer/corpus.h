/* corpus.h - labelled sentences in memory: read from CoNLL, or added one by one.
 *
 * Tags are those of metrics.h, of types that are sorted by name once the corpus is closed; "-" is a masked word,
 * which neither loss nor scores look at.  An I- tag that no entity of its type stands before is read as B-, as
 * seqeval counts it, and reported.  Threads: one.
 */
#ifndef NM_TRAINER_CORPUS_H
#define NM_TRAINER_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"

struct nm_word {
    const char *text; /* NUL-terminated UTF-8, in the corpus's arena */
    size_t len;
};

struct nm_sentence {
    struct nm_word *words; /* (n) */
    int32_t *tags;         /* (n) */
    size_t n;
    size_t line; /* of its first word in the file; 0 if it came from none */
};

struct nm_corpus {
    struct nm_sentence *sentences;
    size_t n, cap;
    size_t n_words, n_masked;
    const char **types; /* (n_types) sorted by nm_corpus_close; of the corpus's arena */
    size_t n_types;
    size_t orphans;           /* I- tags read as B- */
    size_t first_orphan_line; /* of the file */
    bool untagged;            /* a line had no tag: read as O */
    struct nm_arena arena;
    /* the sentence that is being added */
    struct nm_word *words;
    int32_t *tags;
    size_t n_open, cap_open, line_open;
};

void nm_corpus_init(struct nm_corpus *corpus);
void nm_corpus_clean_up(struct nm_corpus *corpus);

/* nm_corpus_add_word - one word of the present sentence, with its tag as text ("O", "B-Disease"), or NULL
 * where it has none.  name and line are for messages.  NM_EFORMAT: not UTF-8, empty, or no BIO tag.
 * NM_ENOMEM.  After an error the corpus can only be cleaned up. */
enum nm_err nm_corpus_add_word(struct nm_corpus *corpus, const char *word, size_t word_len, const char *tag,
                               size_t tag_len, const char *name, size_t line, struct nm_diag *diag);

/* nm_corpus_end_sentence - nothing if no word was added since the last one.  NM_ENOMEM. */
enum nm_err nm_corpus_end_sentence(struct nm_corpus *corpus);

/* nm_corpus_close - the last sentence ended, types sorted by bytes, tags renumbered.  NM_ENOMEM. */
enum nm_err nm_corpus_close(struct nm_corpus *corpus);

/* nm_corpus_read_conll - two or more columns by tabs (or, in a line without one, by spaces): the first is the
 * word, the last the tag.  Blank lines and -DOCSTART- end a sentence; CRLF and a byte order mark are taken.
 * tagged: every line must have a tag; otherwise lines of one column are words without one.
 * Adds to corpus and closes it.  File errors; NM_EFORMAT with file:line, also where there is no sentence.
 */
enum nm_err nm_corpus_read_conll(struct nm_corpus *corpus, const char *path, bool tagged, struct nm_diag *diag);

/* nm_corpus_parse_conll - the same from memory; name stands for the path in messages. */
enum nm_err nm_corpus_parse_conll(struct nm_corpus *corpus, const char *name, const char *data, size_t len,
                                  bool tagged, struct nm_diag *diag);

/* nm_corpus_digest - a hash of all words and tags in order: which data a model was trained on. */
uint64_t nm_corpus_digest(const struct nm_corpus *corpus);

#endif
