#include "broker/histogram.h"

#include <string.h>

enum { SUB_BITS = 5, SUB = 1 << SUB_BITS, TOP_BITS = 36 };

static unsigned int bucket_of(uint64_t value)
{
    if (value >> TOP_BITS)
        return NM_HISTOGRAM_BUCKETS - 1;
    if (value < SUB)
        return (unsigned int)value;
    unsigned int shift = 63U - (unsigned int)__builtin_clzll(value) - SUB_BITS;
    return (shift + 1) * SUB + (unsigned int)(value >> shift) - SUB;
}

static uint64_t middle_of(unsigned int bucket)
{
    if (bucket < SUB)
        return bucket;
    unsigned int shift = bucket / SUB - 1;
    return ((uint64_t)(SUB + bucket % SUB) << shift) + (((uint64_t)1 << shift) >> 1);
}

void nm_histogram_add(struct nm_histogram *h, uint64_t value)
{
    h->counts[bucket_of(value)]++;
    h->n++;
    h->max = value > h->max ? value : h->max;
}

void nm_histogram_merge(struct nm_histogram *into, const struct nm_histogram *from)
{
    for (unsigned int i = 0; from->n && i < NM_HISTOGRAM_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    into->n += from->n;
    into->max = from->max > into->max ? from->max : into->max;
}

uint64_t nm_histogram_quantile(const struct nm_histogram *h, double q)
{
    double rank = q * (double)h->n;
    uint64_t wanted = (uint64_t)rank, seen = 0;
    wanted += (double)wanted < rank || wanted == 0; /* rounded up */
    if (h->n == 0)
        return 0;
    for (unsigned int i = 0; i < NM_HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen >= wanted) {
            uint64_t value = middle_of(i);
            return value < h->max ? value : h->max;
        }
    }
    return h->max;
}

/* Slots that have passed are emptied for those to come. */
static void move_to(struct nm_window *w, int64_t now_ms)
{
    int64_t slot = now_ms / NM_WINDOW_SLOT_MS, old = w->slot;
    if (slot - old > NM_WINDOW_SLOTS)
        old = slot - NM_WINDOW_SLOTS;
    while (old < slot)
        memset(&w->slots[++old % NM_WINDOW_SLOTS], 0, sizeof w->slots[0]);
    w->slot = slot > w->slot ? slot : w->slot;
}

void nm_window_add(struct nm_window *w, uint64_t value, int64_t now_ms)
{
    move_to(w, now_ms);
    nm_histogram_add(&w->slots[w->slot % NM_WINDOW_SLOTS], value);
    nm_histogram_add(&w->total, value);
}

void nm_window_recent(struct nm_window *w, int64_t now_ms, struct nm_histogram *out)
{
    memset(out, 0, sizeof *out);
    move_to(w, now_ms);
    for (int i = 0; i < NM_WINDOW_SLOTS; i++)
        nm_histogram_merge(out, &w->slots[i]);
}
