/* deck.h - equal exposure: each of n things is dealt once before any is dealt a second time, in shuffled order. */
#ifndef NM_DATASET_DECK_H
#define NM_DATASET_DECK_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/hash.h"

struct nm_deck {
    size_t *cards; /* (n) 0 to n - 1; those before left are still to be dealt in this round */
    size_t n, left;
    struct nm_rng rng;
};

/* nm_deck_init - of n things; the same seed deals the same.  NM_ENOMEM. */
enum nm_err nm_deck_init(struct nm_deck *deck, size_t n, uint64_t seed);
void nm_deck_clean_up(struct nm_deck *deck);

/* nm_deck_deal - the next one; n > 0. */
size_t nm_deck_deal(struct nm_deck *deck);

#endif
