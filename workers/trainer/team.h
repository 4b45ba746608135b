/* team.h - inside nm_tensor: how work is divided among threads. */
#ifndef NM_TRAINER_TEAM_H
#define NM_TRAINER_TEAM_H

#include <pthread.h>
#include <stdatomic.h>

#include "workers/trainer/gemm.h"
#include "workers/trainer/tensor.h"

/* The gradient of a weight is summed over so many rows at once: what its packed operand has room for. */
enum { GRAD_ROWS = 2048 };

/* One thread's own; a cache line, so that no two write into the same. */
struct own {
    uint32_t *packed; /* its rows of a product's left operand */
    unsigned turn;    /* which of the two shared operands comes next: the same number in every thread */
    char pad[64 - sizeof(uint32_t *) - sizeof(unsigned)];
};

struct nm_team {
    int n_threads;
    const struct nm_kernels *k;
    const struct nm_gemm *gemm;  /* NULL: OpenBLAS */
    const struct nm_gemm *of[2]; /* by precision */
    struct own *own;             /* (n_threads) */
    uint32_t *shared[2];         /* packed right operands: one is packed while the other may still be read */
    size_t shared_units, own_units;
    float *memory; /* what all of these are parts of */
    size_t memory_floats;
    size_t scratch; /* floats a thread */
    float *sums;    /* (n_threads, scratch) */
    double *parts;  /* (n_threads) */

    /* the barrier */
    atomic_uint arrived, generation;
    pthread_mutex_t lock;
    pthread_cond_t passed;
};

/* Which thread of the region this is, and which of n rows are its own. */
struct part {
    int i, threads;
    size_t lo, n; /* first row, number of rows */
};

/* part_of - called by every thread of a region.  Rows come in multiples of a tile's. */
struct part part_of(size_t n);

/* team_barrier - no thread goes on before all have come. */
void team_barrier(struct nm_team *team);

/* sums_of - this thread's scratch, n zeros. */
float *sums_of(struct nm_team *team, size_t n);

/* reduce_sums - out (n) = or += the threads' scratch from offset on, in the threads' order; each thread its own
 * columns.  Between two barriers.  out may be NULL. */
void reduce_sums(struct nm_team *team, float *out, size_t offset, size_t n, int add);

#endif
