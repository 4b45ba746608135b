/* ptb.h - words as the Penn Treebank cuts them.
 *
 * Source: R. MacIntyre's tokenizer.sed of the Penn Treebank and NLTK's TreebankWordTokenizer, whose rules these are:
 * punctuation, quotes and brackets stand alone, `...`, `--` and doubled quotes as one; a comma or colon before a
 * digit stays in its number; hyphens and slashes stay in their words; `don't` is do n't, `Parkinson's` Parkinson 's,
 * `cannot` can not.  A period ends a word where the text ends or the word is no abbreviation (`e.g.`, `Dr.`, an
 * initial).
 */
#ifndef NM_ALIGNER_PTB_H
#define NM_ALIGNER_PTB_H

#include "common/err.h"
#include "workers/aligner/tokenize.h"

/* nm_ptb_cut - cut further the tokens given, which white space parts.  NM_ENOMEM. */
enum nm_err nm_ptb_cut(const char *text, struct nm_tokens *tokens);

#endif
