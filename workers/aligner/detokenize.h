/* detokenize.h - natural text from the tokens of a corpus: `propylthio - uracil ( PTU ) .` becomes
 * `propylthio-uracil (PTU).`  A model that is shown tokens writes tokens, and offsets need a text to point into.
 *
 * What a text looked like before it was cut cannot be known where the corpus does not say, so blanks are guessed by
 * the rules of typesetting (punctuation, brackets, quotes in pairs, hyphens, decimals, `e.g.`, contractions).  With a
 * tokenizer given, a guess is taken only where that tokenizer cuts the text into the same tokens again: then the way
 * back is exact, whatever was guessed.
 */
#ifndef NM_ALIGNER_DETOKENIZE_H
#define NM_ALIGNER_DETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "schemas/messages.h"
#include "workers/aligner/tokenizer.h"

/* nm_detokenize - gaps[i] (n of them): how many blanks, 0 or 1, stand before token i; gaps[0] is 0. */
void nm_detokenize(const struct nm_str *tokens, size_t n, uint32_t *gaps);

/* nm_detokenize_fit - widen gaps where tokenizer would not give the tokens back from the text.  *exact: it does now;
 * if not, some token alone is cut by it.  work: work space.  NM_ENOMEM, NM_ELIMIT; NM_EFORMAT: not UTF-8. */
enum nm_err nm_detokenize_fit(const struct nm_str *tokens, size_t n, const struct nm_tokenizer *tokenizer,
                              uint32_t *gaps, struct nm_tokens *work, bool *exact);

/* nm_detokenize_join - append the text to out; starts[i] (n of them, or NULL): where token i begins in out. */
enum nm_err nm_detokenize_join(const struct nm_str *tokens, size_t n, const uint32_t *gaps, struct nm_buf *out,
                               size_t *starts);

#endif
