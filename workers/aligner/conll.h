/* conll.h - labelled sentences as CoNLL files hold them: what schemes are learnt from, and what is turned into text.
 *
 * A line is a token: two or more columns by tabs (or, in a line without one, by spaces), the first the token, the
 * last its tag.  Where there are three and the middle one is a number, it is the offset of the token's first
 * character in the text that the file was made from, as TDMSci writes it.  Blank lines and -DOCSTART- end a sentence;
 * CRLF and a byte order mark are taken.
 */
#ifndef NM_ALIGNER_CONLL_H
#define NM_ALIGNER_CONLL_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "schemas/messages.h"

#define NM_CONLL_NO_OFFSET UINT64_MAX

struct nm_conll_token {
    struct nm_str text, tag; /* bytes of the file, not NUL-terminated */
    uint64_t offset;         /* in characters; NM_CONLL_NO_OFFSET: the file does not say */
};

struct nm_conll_sentence {
    size_t first, n; /* tokens [first, first + n) */
    size_t line;     /* of the first */
};

struct nm_conll {
    struct nm_conll_token *tokens;
    struct nm_conll_sentence *sentences;
    size_t n_tokens, n_sentences, tokens_cap, sentences_cap;
    struct nm_buf file; /* of nm_conll_read */
};

void nm_conll_init(struct nm_conll *conll);
void nm_conll_clean_up(struct nm_conll *conll);

/* nm_conll_parse - add the sentences of data, which is borrowed; name stands for the file in messages.
 * NM_EFORMAT: not UTF-8, a line of one column, no sentence at all: diag says file and line; NM_ENOMEM. */
enum nm_err nm_conll_parse(struct nm_conll *conll, const char *data, size_t len, const char *name,
                           struct nm_diag *diag);

/* nm_conll_read - the same from a file, into an empty conll, which keeps its bytes.  Also the file's errors. */
enum nm_err nm_conll_read(struct nm_conll *conll, const char *path, struct nm_diag *diag);

#endif
