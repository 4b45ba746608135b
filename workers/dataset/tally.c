#include "workers/dataset/tally.h"

#include <stdlib.h>

#include "common/hash.h"

enum { FIRST_CAP = 1024 };

/* The slot of key, or the free one where it belongs. */
static struct nm_tally_slot *find(const struct nm_tally *t, uint64_t key)
{
    size_t at = nm_mix64(key) & (t->cap - 1);
    while (t->slots[at].key != 0 && t->slots[at].key != key)
        at = (at + 1) & (t->cap - 1);
    return &t->slots[at];
}

static int grow(struct nm_tally *t)
{
    struct nm_tally larger = {.n = t->n, .cap = t->cap > 0 ? t->cap * 2 : FIRST_CAP};
    larger.slots = calloc(larger.cap, sizeof *larger.slots);
    if (larger.slots == NULL)
        return 0;
    for (size_t i = 0; i < t->cap; i++)
        if (t->slots[i].key != 0)
            *find(&larger, t->slots[i].key) = t->slots[i];
    free(t->slots);
    *t = larger;
    return 1;
}

uint64_t *nm_tally_at(struct nm_tally *tally, uint64_t key)
{
    key += key == 0; /* 0 marks a free slot */
    if (tally->n * 4 >= tally->cap * 3 && !grow(tally))
        return NULL;
    struct nm_tally_slot *slot = find(tally, key);
    tally->n += slot->key == 0;
    slot->key = key;
    return &slot->value;
}

uint64_t nm_tally_get(const struct nm_tally *tally, uint64_t key)
{
    return tally->cap > 0 ? find(tally, key + (key == 0))->value : 0;
}

void nm_tally_clean_up(struct nm_tally *tally)
{
    free(tally->slots);
    *tally = (struct nm_tally){0};
}
