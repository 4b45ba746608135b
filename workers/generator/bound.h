/* bound.h - how many tokens a prompt can have at most, learnt from what an endpoint counted for others.
 *
 * Every token of a byte-level or byte-fallback vocabulary stands for one byte at least, so bytes are a bound, four
 * times too large for most text.  But prompts of one template are the same in most of their lines, and tokens do not
 * reach over the end of a line: a prompt has at most the tokens that were counted for another one, and a token for
 * each byte of the lines that the other one has not.  An endpoint that counts more than such a bound once is taken at
 * its bytes from then on.
 *
 * One thread.
 */
#ifndef NM_GENERATOR_BOUND_H
#define NM_GENERATOR_BOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/generator/prompt.h"

enum { NM_BOUND_SAMPLES = 4, NM_BOUND_LINES_MAX = 512 };

/* All zero: nothing learnt. */
struct nm_bound {
    struct nm_bound_sample {
        uint64_t tokens;
        size_t n, messages;
        uint64_t *lines; /* (n) hashes, sorted; NULL: no sample */
    } samples[NM_BOUND_SAMPLES];
    unsigned int next;
    bool off; /* its counts are not to be trusted */
};

/* nm_bound_bytes - by the prompt's bytes alone. */
uint64_t nm_bound_bytes(const struct nm_prompt_text *prompt);

/* nm_bound_tokens - the best there is. */
uint64_t nm_bound_tokens(const struct nm_bound *bound, const struct nm_prompt_text *prompt);

/* nm_bound_learn - the endpoint counted so many tokens (0: it does not count) for a prompt that was bounded by that.
 */
void nm_bound_learn(struct nm_bound *bound, const struct nm_prompt_text *prompt, uint64_t bounded, uint64_t tokens);

void nm_bound_clean_up(struct nm_bound *bound);

#endif
