/* tokenize.h - text into tokens, in the style of the tokenised corpora that the tagger is compared on.
 *
 * The rule, and what it was read from (BC5CDR 360,373 tokens, TDMSci 64,742: neither has one token longer than a
 * character that holds anything but letters and digits; 0.5 is "0" "." "5" 3,577 times of 3,577, Parkinson's is
 * "Parkinson" "'" "s", 12% is "12" "%", e.g. is "e" "." "g" "."; H2O and CYP3A4 stay whole):
 *
 *   word    a run of letters and digits (Unicode L*, N*), with the marks (M*) and format characters inside it
 *   symbol  any other visible character alone, hyphen, slash, bracket, quote, '.', '_' and private use included,
 *           with the marks behind it; each Han ideograph too, as BERT's own tokeniser cuts them
 *   gap     white space, control characters, zero-width space, and format characters that are not inside a word
 *
 * A format character (zero-width joiner and non-joiner, word joiner, soft hyphen, byte order mark, bidi control)
 * is part of a word where a letter, digit or mark follows it: its bytes stay in the token, so that offsets are
 * true, and nm_form leaves it out of what is compared.  Where we differ from TDMSci on purpose: its tool knew no
 * letters beyond ASCII and cut "naïve" in three (7 words); here letters are letters.
 */
#ifndef NM_ALIGNER_TOKENIZE_H
#define NM_ALIGNER_TOKENIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

enum nm_token_kind {
    NM_TOKEN_WORD,   /* ASCII letters and digits only */
    NM_TOKEN_SYMBOL, /* one ASCII character that is neither */
    NM_TOKEN_UNICODE /* anything with a byte over 0x7f; any at all, from the other tokenisers */
};

/* Bytes [start, end) of the text, on code-point boundaries, never empty. */
struct nm_token {
    uint32_t start, end;
    enum nm_token_kind kind;
};

struct nm_tokens {
    struct nm_token *v;
    size_t count, cap;
};

void nm_tokens_init(struct nm_tokens *tokens);
void nm_tokens_clean_up(struct nm_tokens *tokens);

/* nm_tokens_add - one behind the last.  nm_tokens_grow - room for one more at least.  NM_ENOMEM. */
enum nm_err nm_tokens_grow(struct nm_tokens *tokens);
static inline enum nm_err nm_tokens_add(struct nm_tokens *tokens, struct nm_token token)
{
    if (tokens->count == tokens->cap) {
        enum nm_err err = nm_tokens_grow(tokens);
        if (err != NM_OK)
            return err;
    }
    tokens->v[tokens->count++] = token;
    return NM_OK;
}

/* nm_tokenize - replace the content of tokens by those of text[0..len), in order, without overlap; what lies
 * between them is gap.  NM_EFORMAT: not UTF-8; NM_ELIMIT: over 4 GiB; NM_ENOMEM.  Any thread.
 * Test: unit tokenize (random Unicode, the corpora joined and cut again). */
enum nm_err nm_tokenize(const char *text, size_t len, struct nm_tokens *tokens);

/* nm_tokens_is_gap - true if the code point never is part of a token by itself (see "gap" above). */
bool nm_tokens_is_gap(int32_t cp);

/* nm_tokens_is_blank - true of white space, controls and the zero-width space: what parts words in every style. */
bool nm_tokens_is_blank(int32_t cp);

/* nm_form - append what a token is compared by: its text without format characters, in NFKC (a ligature is its
 * letters, a superscript its digit, UAX #15), every dash a hyphen and every quotation mark the plain one, and, if
 * folded, in lower case (simple mapping, one code point for one).  Only what is compared changes: offsets are of the
 * text as it is. NM_EFORMAT: not UTF-8; NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_form(const char *token, size_t len, bool folded, struct nm_buf *out);

#endif
