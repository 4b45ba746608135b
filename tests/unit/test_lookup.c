/* The first layer's query, key and value, looked up, against embeddings, layer norm and product in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/hash.h"
#include "workers/trainer/gemm.h"
#include "workers/trainer/lookup.h"

enum { C = 24, O = 72, VOCABULARY = 60, POSITIONS = 30, TOKENS = 400, BATCHES = 3 };

static float words[VOCABULARY * C], places[POSITIONS * C], type[C], gain[C], beta[C], w[O * C], bias[O];
static float u[O * C], folded[O], rstd[TOKENS], want[TOKENS * O], got[TOKENS * O];
static uint32_t ids[TOKENS], positions[TOKENS];

static void draw(struct nm_rng *rng, float *x, size_t n, float low, float high)
{
    for (size_t i = 0; i < n; i++)
        x[i] = low + (high - low) * (float)nm_rng_unit(rng);
}

static int set_up(void **state)
{
    (void)state;
    struct nm_rng rng;
    nm_rng_init(&rng, 5);
    draw(&rng, words, sizeof words / sizeof *words, -0.1F, 0.1F);
    draw(&rng, places, sizeof places / sizeof *places, -0.03F, 0.05F);
    draw(&rng, type, C, -0.02F, 0.02F);
    draw(&rng, gain, C, 0.3F, 1.5F);
    draw(&rng, beta, C, -0.5F, 0.5F);
    draw(&rng, w, sizeof w / sizeof *w, -0.3F, 0.3F);
    draw(&rng, bias, O, -0.5F, 0.5F);
    memcpy(u, w, sizeof u);
    nm_lookup_fold(u, folded, gain, beta, C, O);
    for (size_t i = 0; i < O; i++)
        folded[i] += bias[i];
    return 0;
}

/* Token t's row, and what its norm divides by. */
static void expect(size_t t)
{
    double x[C], mean = 0, var = 0;
    for (size_t j = 0; j < C; j++) {
        x[j] = (double)words[ids[t] * C + j] + (double)places[positions[t] * C + j] + (double)type[j];
        mean += x[j] / C;
    }
    for (size_t j = 0; j < C; j++)
        var += (x[j] - mean) * (x[j] - mean) / C;
    rstd[t] = (float)(1 / sqrt(var));
    for (size_t i = 0; i < O; i++) {
        double sum = (double)bias[i];
        for (size_t j = 0; j < C; j++)
            sum += (double)w[i * C + j] * ((x[j] - mean) / sqrt(var) * (double)gain[j] + (double)beta[j]);
        want[t * O + i] = (float)sum;
    }
}

/* The first batch has half of the vocabulary, the last all of it. */
static void make_batch(size_t number)
{
    struct nm_rng rng;
    nm_rng_init(&rng, number);
    for (size_t t = 0; t < TOKENS; t++) {
        ids[t] = (uint32_t)nm_rng_below(&rng, number == 0 ? VOCABULARY / 2 : VOCABULARY);
        positions[t] = (uint32_t)nm_rng_below(&rng, POSITIONS);
        expect(t);
    }
}

struct pass {
    struct nm_lookup *lookup;
    struct nm_team *team;
    float *room;
};

static void look_up(void *arg)
{
    const struct pass *p = arg;
    nm_lookup_forward(p->lookup, p->team, got, ids, positions, rstd, p->room, TOKENS);
}

/* Batch after batch by one table; bits (BATCHES,TOKENS,O) of the first that is checked are those of all. */
static void check(size_t threads, size_t capacity, float *bits, bool first)
{
    struct pass p = {.room = malloc(nm_lookup_room(TOKENS, C, O) * sizeof *p.room)};
    const struct nm_team_options team = {.n_threads = threads, .widest = O, .largest = (size_t)O * C};
    const struct nm_lookup_options options = {.words = words,
                                              .positions = places,
                                              .type = type,
                                              .constant = folded,
                                              .vocabulary = VOCABULARY,
                                              .n_positions = POSITIONS,
                                              .c = C,
                                              .o = O,
                                              .capacity = capacity};
    assert_int_equal(nm_team_new(&p.team, &team), NM_OK);
    const size_t units = nm_weight_units(p.team, C, O);
    uint32_t *packed = malloc((units + 1) * sizeof *packed);
    assert_true(p.room != NULL && packed != NULL);
    if (units > 0)
        nm_weight_pack(p.team, packed, u, C, O);
    assert_int_equal(nm_lookup_new(&p.lookup, p.team, (struct nm_weight){u, units > 0 ? packed : NULL}, &options),
                     NM_OK);
    for (size_t i = 0; i < BATCHES; i++, bits += TOKENS * O) {
        make_batch(i);
        nm_team_run(p.team, look_up, &p);
        for (size_t j = 0; j < (size_t)TOKENS * O; j++)
            assert_true(fabsf(got[j] - want[j]) < 3e-6F);
        if (first)
            memcpy(bits, got, sizeof got);
        else if (units > 0) /* OpenBLAS adds in another order when there are other rows */
            assert_memory_equal(got, bits, sizeof got);
    }
    nm_lookup_destroy(&p.lookup);
    nm_team_destroy(&p.team);
    free(packed);
    free(p.room);
}

/* Tables with room for all, for what comes first, for nothing. */
static void every_room(void **state)
{
    (void)state;
    const size_t capacities[] = {VOCABULARY, VOCABULARY / 2 + 3, 7, 0};
    float *bits = malloc(BATCHES * sizeof got);
    assert_non_null(bits);
    for (size_t threads = 1; threads <= 3; threads++)
        for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++)
            check(threads, capacities[i], bits, threads == 1 && i == 0);
    free(bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_room)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
