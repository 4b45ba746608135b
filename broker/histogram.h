/* histogram.h - how long things took: counts in logarithmic buckets, quantiles within 2 %.
 *
 * Values below 32 have a bucket each; above, each power of two is cut into 32 (as in HdrHistogram, Tene 2012), and a
 * quantile is told as its bucket's middle: at most 1/64 off.  Values from 2^36 on count as the largest.  Pure.
 */
#ifndef NM_BROKER_HISTOGRAM_H
#define NM_BROKER_HISTOGRAM_H

#include <stdint.h>

enum { NM_HISTOGRAM_BUCKETS = 1024, NM_WINDOW_SLOTS = 7, NM_WINDOW_SLOT_MS = 10000 };

struct nm_histogram {
    uint64_t n, max;
    uint64_t counts[NM_HISTOGRAM_BUCKETS];
};

/* All zero is empty. */
void nm_histogram_add(struct nm_histogram *h, uint64_t value);
void nm_histogram_merge(struct nm_histogram *into, const struct nm_histogram *from);

/* nm_histogram_quantile - the value that a share q (0..1) of all does not exceed; 0 when empty. */
uint64_t nm_histogram_quantile(const struct nm_histogram *h, double q);

/* The whole time, and the last minute in slots of 10 s.  All zero is empty; now never runs backwards. */
struct nm_window {
    struct nm_histogram total, slots[NM_WINDOW_SLOTS];
    int64_t slot; /* the latest: now / NM_WINDOW_SLOT_MS */
};

void nm_window_add(struct nm_window *w, uint64_t value, int64_t now_ms);

/* nm_window_recent - what was added in the last 60 to 70 s, into out. */
void nm_window_recent(struct nm_window *w, int64_t now_ms, struct nm_histogram *out);

#endif
