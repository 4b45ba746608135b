/* terms.h - terms of a list found in a sentence's tokens: word by word, case aside (nm_form), the longest first.
 *
 * Not the aligner's matcher: a decoy's case never counts, and it is cut as the sentences are, whatever cut those. */
#ifndef NM_DATASET_TERMS_H
#define NM_DATASET_TERMS_H

#include "schemas/entities.h"
#include "workers/aligner/tokenizer.h"
#include "workers/dataset/record.h"
#include "workers/dataset/tally.h"

/* Zero one to begin with. */
struct nm_terms {
    struct nm_tally known; /* hashes of terms */
    size_t longest;        /* tokens */
};

/* nm_terms_add - a term.  NM_ENOMEM. */
enum nm_err nm_terms_add(struct nm_terms *terms, const struct nm_tokenizer *tokenizer, const char *text, size_t len);
void nm_terms_clean_up(struct nm_terms *terms);

/* Tokens [first, end) of a sample. */
struct nm_token_span {
    size_t first, end;
};

/* nm_terms_find - the terms in the sample, in order and without overlap, at most one a token: into spans
 * (n_tokens); *n: how many.  NM_ENOMEM. */
enum nm_err nm_terms_find(const struct nm_terms *terms, const struct nm_msg_sample *sample,
                          struct nm_token_span *spans, size_t *n);

#endif
