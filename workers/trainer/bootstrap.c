#include "workers/trainer/bootstrap.h"

#include <stdlib.h>

#include "common/hash.h"

struct sums {
    uint64_t correct, predicted, gold;
};

static void add(struct sums *s, const struct nm_tally *t)
{
    s->correct += t->correct;
    s->predicted += t->predicted;
    s->gold += t->gold;
}

static double f1(const struct sums *s)
{
    const double both = (double)s->predicted + (double)s->gold;
    return both > 0 ? 2 * (double)s->correct / both : 0;
}

double nm_tally_f1(const struct nm_tally *tallies, size_t n)
{
    struct sums s = {0};
    for (size_t i = 0; i < n; i++)
        add(&s, &tallies[i]);
    return f1(&s);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

enum nm_err nm_bootstrap_paired(const struct nm_tally *a, const struct nm_tally *b, size_t n, size_t rounds,
                                uint64_t seed, struct nm_bootstrap *result)
{
    double *differences = malloc(rounds * sizeof(*differences));
    struct nm_rng rng;
    size_t not_better = 0;
    if (differences == NULL)
        return NM_ENOMEM;
    nm_rng_init(&rng, seed);
    for (size_t r = 0; r < rounds; r++) {
        struct sums of_a = {0}, of_b = {0};
        for (size_t i = 0; i < n; i++) {
            const size_t drawn = (size_t)nm_rng_below(&rng, n);
            add(&of_a, &a[drawn]);
            add(&of_b, &b[drawn]);
        }
        differences[r] = f1(&of_b) - f1(&of_a);
        not_better += differences[r] <= 0;
    }
    qsort(differences, rounds, sizeof(*differences), ascending);
    *result = (struct nm_bootstrap){.f1_a = nm_tally_f1(a, n),
                                    .f1_b = nm_tally_f1(b, n),
                                    .low = differences[(size_t)(0.025 * (double)(rounds - 1) + 0.5)],
                                    .high = differences[(size_t)(0.975 * (double)(rounds - 1) + 0.5)],
                                    .p = (double)not_better / (double)rounds};
    result->difference = result->f1_b - result->f1_a;
    free(differences);
    return NM_OK;
}
