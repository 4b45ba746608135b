/* grammar.h - a GBNF grammar (llama.cpp's "grammar" request field) that spells every requested entity.
 *
 * Measured with SmolLM2-135M: asked in words for two exact terms, 21 % of the sentences hold both; with this, all do.
 */
#ifndef NM_GENERATOR_GRAMMAR_H
#define NM_GENERATOR_GRAMMAR_H

#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

/* nm_grammar_sentence - append a grammar for one sentence that holds entities[0..count) in this order, each spelt
 * as given and at token boundaries, between stretches of free words, and that ends in a full stop.  Free words hold
 * no quote, no line end and no bracket, and each stretch is bounded so that the whole keeps within about max_words
 * (0: 40) and holds at least min_words where there is no entity.  NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_grammar_sentence(const char *const *entities, size_t count, size_t min_words, size_t max_words,
                                struct nm_buf *out);

/* nm_grammar_word - append a grammar that permits exactly this word: for the canary. */
enum nm_err nm_grammar_word(const char *word, struct nm_buf *out);

#endif
