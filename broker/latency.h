/* latency.h - how long a broker's work takes: per endpoint, and per step; microseconds. */
#ifndef NM_BROKER_LATENCY_H
#define NM_BROKER_LATENCY_H

#include "broker/histogram.h"
#include "broker/map.h"

enum nm_step {
    NM_STEP_LEASE, /* a task sent to a generator, until its answer is there */
    NM_STEP_ALIGN, /* a text sent to an aligner, until it is aligned */
    NM_STEP_FSYNC, /* one commit, on the disk */
    NM_STEPS
};

struct nm_latency {
    struct nm_map sent;          /* task -> when it was leased, as long as no answer came */
    struct nm_window *steps;     /* (NM_STEPS) */
    struct nm_window *endpoints; /* (n_endpoints) of the calls, as generators measured them */
};

enum nm_err nm_latency_init(struct nm_latency *l, uint32_t endpoints);
void nm_latency_clean_up(struct nm_latency *l);

/* nm_latency_sent, nm_latency_answered - a lease of task begins and ends; without memory it is not measured. */
void nm_latency_sent(struct nm_latency *l, uint64_t task, int64_t now_us);
void nm_latency_answered(struct nm_latency *l, enum nm_step step, uint64_t task, int64_t now_us);

#endif
