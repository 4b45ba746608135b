/* broker_clients.h - generators and aligners that answer at once, or at a given pace, and measure how long leases
 * take.
 *
 * They speak the real protocol over TCP, hold no more than they must, and are meant to cost little: they share the
 * machine with the broker that is measured.
 */
#ifndef NM_TESTS_BENCH_BROKER_CLIENTS_H
#define NM_TESTS_BENCH_BROKER_CLIENTS_H

#include <stdatomic.h>
#include <stdint.h>

/* Times in microseconds, in buckets of a sixteenth of a power of two. */
enum { TIMES_BUCKETS = 512 };
struct times {
    _Atomic uint64_t counts[TIMES_BUCKETS];
};

/* Shared by the parent and its clients. */
struct measures {
    _Atomic int recording;   /* times are counted only then */
    struct times lease;      /* an answer sent -> the lease that takes its place has come: two commits at most */
    struct times align;      /* a generator's answer sent -> its text is with an aligner */
    _Atomic uint64_t cpu_us; /* of the clients */
};

struct load {
    const char *endpoint;
    int number;      /* of this process */
    uint64_t credit; /* leases held at once, by the generator and by the aligner */
    double rate;     /* answers a second of the generator; 0: as fast as it can */
    struct measures *measures;
};

/* broker_clients_run - one generator and one aligner in this process, for ever. */
_Noreturn void broker_clients_run(const struct load *load);

/* times_quantile - in microseconds, the upper end of the bucket; 0: none were counted. */
double times_quantile(struct times *times, double q);
uint64_t times_count(struct times *times);

#endif
