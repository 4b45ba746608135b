/* experiment_corpus.h - the sentences of a labelled corpus, as blocks of CoNLL, with what draws and the guard ask of
 * them.
 */
#ifndef NM_CLI_EXPERIMENT_CORPUS_H
#define NM_CLI_EXPERIMENT_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"

struct nm_exp_sentence {
    const char *block; /* (len) "word TAB tag" lines and the blank line behind them */
    size_t len;
    uint32_t document; /* counted from 1; 0: of none */
    uint32_t n_words;  /* as in folded.h: letters and digits alone */
    uint64_t words;    /* their hash */
    uint64_t types;    /* a bit for each type (of nm_exp_corpus) that it has */
};

struct nm_exp_corpus {
    struct nm_exp_sentence *at; /* (n) */
    size_t n, cap;
    uint32_t n_documents;
    const char **types; /* (n_types) as they come */
    size_t n_types;
    struct nm_arena arena;
};

enum { NM_EXP_TYPES_MAX = 64 };

void nm_exp_corpus_init(struct nm_exp_corpus *corpus);
void nm_exp_corpus_clean_up(struct nm_exp_corpus *corpus);

/* nm_exp_corpus_read - any form of CoNLL that nermill import reads.  File errors, NM_EFORMAT; NM_ELIMIT: more types
 * than bits. */
enum nm_err nm_exp_corpus_read(struct nm_exp_corpus *corpus, const char *path, struct nm_diag *diag);

/* nm_exp_corpus_write - the sentences of numbers (n) to path, atomically; words_only: each tagged O. */
enum nm_err nm_exp_corpus_write(const struct nm_exp_corpus *corpus, const uint32_t *numbers, size_t n,
                                bool words_only, const char *path, struct nm_diag *diag);

/* nm_exp_corpus_draw - a seeded order (n) of all sentences: the first N are the draw of N, so a smaller one lies in a
 * larger one.  documents: their sentences stay together. */
enum nm_err nm_exp_corpus_draw(const struct nm_exp_corpus *corpus, uint64_t seed, bool documents, uint32_t *order);

/* nm_exp_file_hash - of a file's bytes, as hex. */
enum nm_err nm_exp_file_hash(const char *path, char hex[33], struct nm_diag *diag);

#endif
