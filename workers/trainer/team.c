#include "workers/trainer/team.h"

#include <assert.h>
#include <cblas.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "workers/trainer/floats.h"

enum {
    ROW_UNIT = NM_GEMM_ROWS,
    SPIN = 2000 /* looks at the barrier before a thread sleeps: some 20 us, what waking it would cost */
};

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

size_t nm_team_count(size_t n_threads)
{
    return n_threads == 0 ? (size_t)omp_get_num_procs() : n_threads;
}

/* Where the parts of a team's memory stand, in floats; returns their sum. */
struct room {
    size_t threads, sums, own, shared;
};

static size_t room_of(struct room *room, const struct nm_team_options *o)
{
    const size_t wide = (o->widest + NM_GEMM_COLS) / 16 * 16;
    room->threads = nm_team_count(o->n_threads);
    room->sums = 3 * wide;
    room->own = room->shared = 0;
    if (o->largest > 0) { /* in units of fp32, which are the most */
        room->own = NM_GEMM_BLOCK * (o->packed ? wide : max_size(wide, GRAD_ROWS));
        room->shared = max_size(o->largest + (size_t)NM_GEMM_COLS * (wide + 1), (size_t)GRAD_ROWS * wide);
        room->shared = o->packed ? 0 : (room->shared + 31) / 16 * 16;
    }
    return room->threads * (room->sums + room->own) + 2 * room->shared;
}

size_t nm_team_memory(const struct nm_team_options *options)
{
    struct room room;
    return room_of(&room, options) * sizeof(float);
}

enum nm_err nm_team_new(struct nm_team **team, const struct nm_team_options *options)
{
    struct room room;
    struct nm_team *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NM_ENOMEM;
    t->k = nm_kernels_get();
    t->gemm = t->of[NM_FP32] = nm_gemm_get(NM_FP32);
    t->of[NM_BF16] = nm_gemm_get(NM_BF16);
    t->memory_floats = room_of(&room, options);
    t->n_threads = (int)room.threads;
    t->scratch = room.sums;
    t->own_units = room.own;
    t->shared_units = room.shared;
    t->memory = nm_floats_new(t->memory_floats);
    t->own = aligned_alloc(sizeof *t->own, room.threads * sizeof *t->own);
    t->parts = calloc(room.threads, sizeof *t->parts);
    if (t->memory == NULL || t->own == NULL || t->parts == NULL) {
        nm_floats_free(t->memory, t->memory_floats);
        free(t->own);
        free(t->parts);
        free(t);
        return NM_ENOMEM;
    }
    t->sums = t->memory;
    uint32_t *units = (uint32_t *)(t->memory + room.threads * room.sums);
    for (size_t i = 0; i < room.threads; i++)
        t->own[i] = (struct own){.packed = units + i * room.own};
    for (size_t i = 0; i < 2; i++)
        t->shared[i] = units + room.threads * room.own + i * room.shared;
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_cond_init(&t->passed, NULL);
    openblas_set_num_threads(1);
    *team = t;
    return NM_OK;
}

void nm_team_destroy(struct nm_team **team)
{
    struct nm_team *t = *team;
    if (t == NULL)
        return;
    (void)pthread_mutex_destroy(&t->lock);
    (void)pthread_cond_destroy(&t->passed);
    nm_floats_free(t->memory, t->memory_floats);
    free(t->own);
    free(t->parts);
    free(t);
    *team = NULL;
}

size_t nm_team_threads(const struct nm_team *team)
{
    return (size_t)team->n_threads;
}

const struct nm_kernels *nm_team_kernels(const struct nm_team *team)
{
    return team->k;
}

void nm_team_set_kernels(struct nm_team *team, const struct nm_kernels *kernels)
{
    team->k = kernels;
}

void nm_team_set_precision(struct nm_team *team, enum nm_precision precision)
{
    team->gemm = team->of[precision];
}

void nm_team_set_gemm(struct nm_team *team, const struct nm_gemm *gemm)
{
    team->gemm = gemm;
}

/* The first barrier costs nothing and lets the thread sanitizer see what libgomp's start of a region hides from it:
 * that the team reads only what the caller has written before.  The last one keeps anybody from waiting long in
 * OpenMP's own, which spins for milliseconds.
 */
void nm_team_run(struct nm_team *team, void (*work)(void *arg), void *arg)
{
#pragma omp parallel num_threads(team->n_threads)
    {
        team_barrier(team);
        work(arg);
        team_barrier(team);
    }
}

struct nm_share nm_team_share(size_t n)
{
    struct part p = part_of(n);
    return (struct nm_share){p.i == 0, (size_t)p.i, p.lo, p.n};
}

struct part part_of(size_t n)
{
    const size_t i = (size_t)omp_get_thread_num(), threads = (size_t)omp_get_num_threads();
    const size_t units = (n + ROW_UNIT - 1) / ROW_UNIT;
    size_t lo = units * i / threads * ROW_UNIT, hi = units * (i + 1) / threads * ROW_UNIT;
    lo = lo < n ? lo : n;
    hi = hi < n ? hi : n;
    return (struct part){(int)i, (int)threads, lo, hi - lo};
}

/* OpenMP's barrier spins for milliseconds, which on two busy cores takes the time from the thread that is waited
 * for (measured: a third of the speed beside three other processes); this one spins briefly and then sleeps.
 */
void team_barrier(struct nm_team *team)
{
    const unsigned threads = (unsigned)omp_get_num_threads();
    if (threads == 1)
        return;
    const unsigned mine = atomic_load(&team->generation);
    if (atomic_fetch_add(&team->arrived, 1) + 1 == threads) {
        atomic_store(&team->arrived, 0);
        (void)pthread_mutex_lock(&team->lock);
        atomic_store(&team->generation, mine + 1);
        (void)pthread_cond_broadcast(&team->passed);
        (void)pthread_mutex_unlock(&team->lock);
        return;
    }
    for (int i = 0; i < SPIN; i++) {
        if (atomic_load_explicit(&team->generation, memory_order_acquire) != mine)
            return;
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
    (void)pthread_mutex_lock(&team->lock);
    while (atomic_load(&team->generation) == mine)
        (void)pthread_cond_wait(&team->passed, &team->lock);
    (void)pthread_mutex_unlock(&team->lock);
}

float *sums_of(struct nm_team *team, size_t n)
{
    assert(n <= team->scratch);
    return memset(team->sums + (size_t)omp_get_thread_num() * team->scratch, 0, n * sizeof(float));
}

void reduce_sums(struct nm_team *team, float *out, size_t offset, size_t n, int add)
{
    struct part cols = part_of(n);
    if (out == NULL || cols.n == 0)
        return;
    if (!add)
        memset(out + cols.lo, 0, cols.n * sizeof *out);
    for (int i = 0; i < cols.threads; i++)
        team->k->add(out + cols.lo, team->sums + (size_t)i * team->scratch + offset + cols.lo, cols.n);
}

double nm_team_sum(struct nm_team *team, double part)
{
    const int threads = omp_get_num_threads();
    double total = 0;
    team->parts[omp_get_thread_num()] = part;
    team_barrier(team);
    for (int i = 0; i < threads; i++)
        total += team->parts[i];
    team_barrier(team);
    return total;
}
