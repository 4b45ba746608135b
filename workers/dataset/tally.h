/* tally.h - how often each of many things was seen; a thing is its 64-bit hash. */
#ifndef NM_DATASET_TALLY_H
#define NM_DATASET_TALLY_H

#include <stddef.h>
#include <stdint.h>

struct nm_tally_slot {
    uint64_t key; /* 0: free */
    uint64_t value;
};

/* Zero one to begin with. */
struct nm_tally {
    struct nm_tally_slot *slots;
    size_t n, cap; /* cap: a power of two, or 0 */
};

/* nm_tally_at - the value of key, 0 at first; valid until the next call.  NULL: out of memory. */
uint64_t *nm_tally_at(struct nm_tally *tally, uint64_t key);

/* nm_tally_get - its value, 0 if it was never asked for. */
uint64_t nm_tally_get(const struct nm_tally *tally, uint64_t key);

void nm_tally_clean_up(struct nm_tally *tally);

#endif
