/* tokenizer.h - the ways to cut a text into the tokens of a sample, one of which a project chooses.
 *
 *     biomedical   as BC5CDR and its kin are cut: tokenize.h
 *     ptb          as the Penn Treebank is: punctuation off, hyphened words whole, contractions in two (do n't)
 *     whitespace   between white space only
 *     learned      as the tokens of a given CoNLL file are cut: scheme.h
 *
 * All give byte ranges of the text as it is, so offsets are true whatever is chosen.  Read-only once made: any
 * thread.
 */
#ifndef NM_ALIGNER_TOKENIZER_H
#define NM_ALIGNER_TOKENIZER_H

#include <stddef.h>

#include "common/err.h"
#include "schemas/project.h" /* enum nm_tokenizer_kind */
#include "workers/aligner/conll.h"
#include "workers/aligner/tokenize.h"

struct nm_tokenizer;

/* nm_tokenizer_new - one that needs no learning.  NULL: out of memory, or NM_TOKENIZER_LEARNED. */
struct nm_tokenizer *nm_tokenizer_new(enum nm_tokenizer_kind kind);

/* nm_tokenizer_learn - one that cuts as the sentences given are cut, which are not needed afterwards.
 * NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_tokenizer_learn(const struct nm_conll *conll, struct nm_tokenizer **tokenizer);
void nm_tokenizer_destroy(struct nm_tokenizer **tokenizer);

enum nm_tokenizer_kind nm_tokenizer_kind(const struct nm_tokenizer *tokenizer);

/* nm_tokenizer_run - replace the content of tokens by those of text[0..len), in order, without overlap.
 * NM_EFORMAT: not UTF-8; NM_ELIMIT: over 4 GiB; NM_ENOMEM. */
enum nm_err nm_tokenizer_run(const struct nm_tokenizer *tokenizer, const char *text, size_t len,
                             struct nm_tokens *tokens);

#endif
