/* names_draw.c - which names a budget buys: one order of all names, of which the first K are taken.
 *
 * Within a stratum (type, band) the names are shuffled; name i is at i + u, u the stratum's own random number.  By
 * that place the strata of a type are merged, so each band gives as many names as any other while it lasts: drawn in
 * proportion, 50 names of BC5CDR were nearly all mentioned once, and found 2 % of the mentions.  The types are merged
 * by rank / names of the type, in proportion: any first part of the order has of each type its share, but for less
 * than one, and one name of each at least.
 */
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "workers/dataset/names_parts.h"

struct place {
    double at;
    size_t name; /* its number */
    size_t type, band;
};

size_t name_band(uint64_t mentions)
{
    size_t band = 0;
    while (mentions > 1 && band + 1 < NAME_BANDS) {
        mentions /= 2;
        band++;
    }
    return band;
}

static int by_stratum(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    if (x->band != y->band)
        return x->band < y->band ? -1 : 1;
    return (x->name > y->name) - (x->name < y->name);
}

static int by_place(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return by_stratum(a, b);
}

static void shuffle(struct place *v, size_t n, struct nm_rng *rng)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)nm_rng_below(rng, i);
        size_t kept = v[i - 1].name;
        v[i - 1].name = v[k].name;
        v[k].name = kept;
    }
}

/* A type's names, sorted by stratum, into the order in which they are drawn. */
static void order_type(const struct nm_names *names, struct place *v, size_t n)
{
    const char *type = names->types[v[0].type].name;
    for (size_t first = 0, end; first < n; first = end) {
        struct nm_rng rng;
        for (end = first; end < n && v[end].band == v[first].band;)
            end++;
        nm_rng_init(&rng, names->seed ^ nm_mix64(nm_hash64(type, strlen(type), v[first].band)));
        double offset = nm_rng_unit(&rng);
        shuffle(v + first, end - first, &rng);
        for (size_t i = first; i < end; i++)
            v[i].at = (double)(i - first) + offset;
    }
    qsort(v, n, sizeof *v, by_place);
    for (size_t i = 0; i < n; i++)
        v[i].at = (double)i / (double)n;
}

enum nm_err names_draw(struct nm_names *names)
{
    size_t n = 0;
    struct place *v = calloc(names->n > 0 ? names->n : 1, sizeof *v);
    if (v == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < names->n; i++)
        if (names->v[i].wanted)
            v[n++] = (struct place){.name = i, .type = names->v[i].type, .band = name_band(names->v[i].labelled)};
    qsort(v, n, sizeof *v, by_stratum);
    for (size_t first = 0, end; first < n; first = end) {
        for (end = first; end < n && v[end].type == v[first].type;)
            end++;
        order_type(names, v + first, end - first);
    }
    qsort(v, n, sizeof *v, by_place);
    size_t take = names->budget > 0 && names->budget < n ? (size_t)names->budget : n;
    for (size_t i = 0; i < take; i++)
        names->v[v[i].name].drawn = true;
    free(v);
    return NM_OK;
}
