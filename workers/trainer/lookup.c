#include "workers/trainer/lookup.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "workers/trainer/floats.h"
#include "workers/trainer/team.h"

struct nm_lookup {
    struct nm_lookup_options of;
    struct nm_weight u;
    float *positions;             /* (n_positions,o) U (position + type) */
    float *rows;                  /* (capacity,o) U word, of those that came first */
    atomic_size_t taken;          /* of them; more where there were not enough */
    const float *_Atomic *row_of; /* (vocabulary) NULL: not there */
};

void nm_lookup_fold(float *w, float *constant, const float *gamma, const float *beta, size_t c, size_t o)
{
    for (size_t i = 0; i < o; i++, w += c) {
        double sum = 0, shift = 0;
        for (size_t j = 0; j < c; j++) {
            shift += (double)w[j] * (double)beta[j];
            sum += (double)w[j] * (double)gamma[j];
        }
        for (size_t j = 0; j < c; j++)
            w[j] = (float)((double)w[j] * (double)gamma[j] - sum / (double)c);
        constant[i] = (float)shift;
    }
}

size_t nm_lookup_room(size_t n, size_t c, size_t o)
{
    return n * (1 + c + o);
}

/* ---- the tables ------------------------------------------------------------------------------ */

struct filling {
    struct nm_lookup *lookup;
    struct nm_team *team;
    const float *in; /* (n_positions,c) */
};

static void fill_by_team(void *arg)
{
    const struct filling *f = arg;
    const struct nm_lookup_options *of = &f->lookup->of;
    nm_linear_forward(f->team, f->lookup->positions, f->in, f->lookup->u, NULL, of->n_positions, of->c, of->o);
}

static enum nm_err fill_positions(struct nm_lookup *l, struct nm_team *team)
{
    const size_t n = l->of.n_positions, c = l->of.c;
    float *in = nm_floats_new(n * c);
    if (in == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < n * c; i++)
        in[i] = l->of.positions[i] + l->of.type[i % c];
    nm_team_run(team, fill_by_team, &(struct filling){l, team, in});
    nm_floats_free(in, n * c);
    return NM_OK;
}

enum nm_err nm_lookup_new(struct nm_lookup **lookup, struct nm_team *team, struct nm_weight u,
                          const struct nm_lookup_options *options)
{
    struct nm_lookup *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NM_ENOMEM;
    l->of = *options;
    l->u = u;
    l->positions = nm_floats_new(options->n_positions * options->o);
    l->rows = nm_floats_new_sparse(l->of.capacity * options->o);
    l->row_of = calloc(options->vocabulary, sizeof *l->row_of);
    if (l->positions == NULL || l->rows == NULL || l->row_of == NULL || fill_positions(l, team) != NM_OK) {
        nm_lookup_destroy(&l);
        return NM_ENOMEM;
    }
    *lookup = l;
    return NM_OK;
}

void nm_lookup_destroy(struct nm_lookup **lookup)
{
    struct nm_lookup *l = *lookup;
    if (l == NULL)
        return;
    nm_floats_free(l->positions, l->of.n_positions * l->of.o);
    nm_floats_free(l->rows, l->of.capacity * l->of.o);
    free((void *)l->row_of);
    free(l);
    *lookup = NULL;
}

/* ---- a thread's tokens ----------------------------------------------------------------------- */

static const float *find(struct nm_lookup *l, uint32_t id)
{
    return atomic_load_explicit(&l->row_of[id], memory_order_acquire);
}

/* Entries that the table did not have, in the order in which they came, and their rows. */
struct missing {
    uint32_t *ids;
    size_t n;
    float *in;  /* (n,c) */
    float *out; /* (n,o) where the table is full */
};

static size_t index_of(const struct missing *m, uint32_t id)
{
    size_t i = 0;
    while (i < m->n && m->ids[i] != id)
        i++;
    return i;
}

static void collect(struct nm_lookup *l, struct missing *m, const uint32_t *ids, size_t n)
{
    const size_t c = l->of.c;
    for (size_t t = 0; t < n; t++)
        if (find(l, ids[t]) == NULL && index_of(m, ids[t]) == m->n) {
            memcpy(m->in + m->n * c, l->of.words + ids[t] * c, c * sizeof *m->in);
            m->ids[m->n++] = ids[t];
        }
}

/* Their rows; into the table where it has room for all of them.  Where two threads make the same row, it has the same
 * values, and the later one stays. */
static void make_rows(struct nm_lookup *l, struct nm_team *team, const struct missing *m)
{
    const size_t o = l->of.o, at = m->n > 0 ? atomic_fetch_add(&l->taken, m->n) : 0;
    const bool kept = at <= l->of.capacity && m->n <= l->of.capacity - at;
    float *rows = kept ? l->rows + at * o : m->out;
    nm_linear_rows(team, rows, m->in, l->u, m->n, l->of.c, o);
    for (size_t i = 0; i < m->n && kept; i++)
        atomic_store_explicit(&l->row_of[m->ids[i]], rows + i * o, memory_order_release);
}

void nm_lookup_forward(struct nm_lookup *l, struct nm_team *team, float *y, const uint32_t *ids,
                       const uint32_t *positions, const float *rstd, float *room, size_t n)
{
    const size_t c = l->of.c, o = l->of.o;
    const struct part own = part_of(n);
    float *in = room + own.lo * c, *out = room + n * c + own.lo * o;
    struct missing m = {.ids = (uint32_t *)(room + n * (c + o)) + own.lo, .in = in, .out = out};
    collect(l, &m, ids + own.lo, own.n);
    make_rows(l, team, &m);
    for (size_t t = own.lo; t < own.lo + own.n; t++) {
        const float *row = find(l, ids[t]);
        if (row == NULL)
            row = m.out + index_of(&m, ids[t]) * o;
        team->k->scaled_sum(y + t * o, row, l->positions + positions[t] * o, rstd[t], l->of.constant, o);
    }
}
