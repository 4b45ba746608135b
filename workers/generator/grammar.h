/* grammar.h - the one form of a sentence that spells every requested entity, written as each kind of endpoint wants
 * it: a GBNF grammar (llama.cpp's "grammar"), or a regular expression (vLLM's "structured_outputs", a JSON schema's
 * "pattern").
 *
 * Measured with SmolLM2-135M: asked in words for two exact terms, 21 % of the sentences hold both; with this, all do.
 */
#ifndef NM_GENERATOR_GRAMMAR_H
#define NM_GENERATOR_GRAMMAR_H

#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

enum nm_syntax { NM_SYNTAX_GBNF, NM_SYNTAX_REGEX };

struct nm_grammar_term {
    const char *text; /* as it has to stand */
    const char *type; /* marked: "[[text|type]]"; NULL: bare */
};

struct nm_grammar_sentence {
    const struct nm_grammar_term *terms; /* (count) */
    size_t count;
    size_t min_words, max_words;
};

/* nm_grammar_sentences - append the form of n sentences; of several, each on a line that begins with its number.  A
 * sentence holds its terms in this order, each spelt as given and at token boundaries, between stretches of free
 * words, and ends in a full stop.  Free words hold no quote, no line end and no bracket, and each stretch is bounded
 * so that the whole keeps within about max_words (0: 40) and holds at least min_words where there is no term.
 * NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_grammar_sentences(enum nm_syntax syntax, const struct nm_grammar_sentence *sentences, size_t n,
                                 struct nm_buf *out);

/* nm_grammar_word - append a form that permits exactly this word: for the canary. */
enum nm_err nm_grammar_word(enum nm_syntax syntax, const char *word, struct nm_buf *out);

#endif
