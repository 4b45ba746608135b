#include "workers/dataset/deck.h"

#include <stdlib.h>

enum nm_err nm_deck_init(struct nm_deck *deck, size_t n, uint64_t seed)
{
    *deck = (struct nm_deck){.cards = malloc((n + 1) * sizeof *deck->cards), .n = n};
    if (deck->cards == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < n; i++)
        deck->cards[i] = i;
    nm_rng_init(&deck->rng, seed);
    return NM_OK;
}

void nm_deck_clean_up(struct nm_deck *deck)
{
    free(deck->cards);
    *deck = (struct nm_deck){0};
}

/* One step of Fisher and Yates: the card that is dealt changes places with the last one of those left. */
size_t nm_deck_deal(struct nm_deck *deck)
{
    if (deck->left == 0)
        deck->left = deck->n;
    const size_t at = (size_t)nm_rng_below(&deck->rng, deck->left), card = deck->cards[at];
    deck->cards[at] = deck->cards[--deck->left];
    deck->cards[deck->left] = card;
    return card;
}
