/* scheme.h - a way of cutting text into tokens, learnt from tokens.
 *
 * What is learnt is where, between two characters with no white space between, there is a cut.  The text of the file
 * is made natural first (detokenize.h; its offset column goes before any guess), and every place in it is counted, by
 * the two characters and their neighbours, letters and digits as classes.  A place is decided by its neighbourhood,
 * if the file is of one mind about it, else by its neighbourhood with the very letters; where the file does not know
 * it, by less and less of it (scheme_parts.h), and what the file never showed at all is cut as by tokenize.h. What
 * that gets wrong in the file itself (`U.S.` whole, `can` `not` in two) becomes an exception by its text, if it is
 * right more often than wrong. Test: unit scheme (every sentence of BC5CDR and TDMSci back, from a scheme of its own
 * file).
 */
#ifndef NM_ALIGNER_SCHEME_H
#define NM_ALIGNER_SCHEME_H

#include "common/err.h"
#include "workers/aligner/conll.h"
#include "workers/aligner/tokenize.h"

struct nm_scheme;

/* nm_scheme_learn - NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_scheme_learn(const struct nm_conll *conll, struct nm_scheme **scheme);
void nm_scheme_destroy(struct nm_scheme **scheme);

/* nm_scheme_run - as nm_tokenizer_run. */
enum nm_err nm_scheme_run(const struct nm_scheme *scheme, const char *text, size_t len, struct nm_tokens *tokens);

/* nm_scheme_gaps - the blanks before each token of a sentence: by its offsets where they can be right, else guessed.
 */
void nm_scheme_gaps(const struct nm_conll_token *tokens, const struct nm_str *texts, size_t n, uint32_t *gaps);

#endif
