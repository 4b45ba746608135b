/* Products on packed operands against sums in double, whatever the shape; and dense layers made with them against the
 * same layers made with OpenBLAS. */
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

static struct nm_rng rng;

static const struct {
    const char *isa;
    enum nm_precision precision;
} kinds[] = {{"v4", NM_FP32}, {"base", NM_BF16}, {"bf16", NM_BF16}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static float *floats(size_t n)
{
    float *x = calloc(n, sizeof *x);
    assert_non_null(x);
    return x;
}

static float *drawn(size_t n)
{
    float *x = floats(n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(nm_rng_unit(&rng) * 2.0 - 1.0);
    return x;
}

/* The nearest bf16, ties to even, by arithmetic on the value and not on its bits. */
static float nearest_bf16(float x)
{
    int exponent;
    if (!isfinite(x) || x == 0.0F)
        return x;
    const double fraction = frexp((double)x, &exponent); /* in [0.5, 1): eight bits of it are kept */
    return (float)ldexp(nearbyint(ldexp(fraction, 8)), exponent - 8);
}

static float as(enum nm_precision precision, float x)
{
    return precision == NM_BF16 ? nearest_bf16(x) : x;
}

/* ---- the product ----------------------------------------------------------------------------- */

struct shape {
    size_t m, n, k;
};

/* An operand of `lanes` lanes, packed from a source that has a lane a row, or a lane a column. */
static uint32_t *packed(const struct nm_gemm *g, size_t width, const float *x, size_t lanes, size_t k, int down)
{
    const size_t units = nm_gemm_units(g, width, lanes, k);
    uint32_t *p = malloc((units + 1) * sizeof *p);
    memset(p, 0xEE, (units + 1) * sizeof *p); /* what is not written would be seen */
    if (down) {
        float *t = floats(lanes * k);
        for (size_t i = 0; i < lanes; i++)
            for (size_t j = 0; j < k; j++)
                t[j * lanes + i] = x[i * k + j];
        g->pack_down(p, width, t, lanes, lanes, k);
        free(t);
    } else {
        g->pack_along(p, width, x, k, lanes, k);
    }
    assert_int_equal(p[units], 0xEEEEEEEEU);
    return p;
}

static void check_product(const struct nm_gemm *g, struct shape s, int down, int add)
{
    const size_t ldc = s.n + 3;
    float *x = drawn(s.m * s.k), *y = drawn(s.n * s.k), *c = drawn(s.m * ldc), *before = floats(s.m * ldc);
    uint32_t *a = packed(g, NM_GEMM_ROWS, x, s.m, s.k, down), *b = packed(g, NM_GEMM_COLS, y, s.n, s.k, down);
    memcpy(before, c, s.m * ldc * sizeof *c);
    nm_gemm_multiply(g, c, ldc, (struct nm_gemm_left){.packed = a}, b, s.m, s.n, s.k, add);
    if (g->tile_rows != NULL) { /* from rows as they are: the same bits */
        float *again = floats(s.m * ldc);
        memcpy(again, before, s.m * ldc * sizeof *c);
        nm_gemm_multiply(g, again, ldc, (struct nm_gemm_left){.rows = x}, b, s.m, s.n, s.k, add);
        assert_memory_equal(again, c, s.m * ldc * sizeof *c);
        free(again);
    }
    for (size_t i = 0; i < s.m; i++)
        for (size_t j = 0; j < ldc; j++) {
            double sum = add ? (double)before[i * ldc + j] : 0.0, size = fabs(sum);
            for (size_t k = 0; k < s.k && j < s.n; k++) {
                double term = (double)as(g->precision, x[i * s.k + k]) * (double)as(g->precision, y[j * s.k + k]);
                sum += term;
                size += fabs(term);
            }
            if (j >= s.n) /* behind the row: not ours */
                assert_true(c[i * ldc + j] == before[i * ldc + j]);
            else if (!(fabs((double)c[i * ldc + j] - sum) <= 1e-6 * size))
                fail_msg("%s %zu x %zu x %zu: (%zu,%zu) is %g, not %g", g->isa, s.m, s.n, s.k, i, j,
                         (double)c[i * ldc + j], sum);
        }
    free(a), free(b), free(c), free(x), free(y), free(before);
}

static void products(void **state)
{
    (void)state;
    static const struct shape shapes[] = {{1, 1, 1},    {8, 48, 2},   {9, 49, 3},    {7, 47, 31},
                                          {16, 96, 64}, {23, 5, 385}, {96, 144, 33}, {5, 50, 1999}};
    for (size_t kind = 0; kind < KINDS; kind++) {
        const struct nm_gemm *g = nm_gemm_named(kinds[kind].isa, kinds[kind].precision);
        if (g == NULL) {
            print_message("this CPU does not run the products of %s\n", kinds[kind].isa);
            continue;
        }
        nm_rng_init(&rng, 5);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (int form = 0; form < 4; form++)
                check_product(g, shapes[i], form & 1, form >> 1);
        for (int i = 0; i < 40; i++) {
            const struct shape s = {1 + nm_rng_below(&rng, 40), 1 + nm_rng_below(&rng, 110),
                                    1 + nm_rng_below(&rng, 70)};
            check_product(g, s, i & 1, i >> 1 & 1);
        }
    }
}

/* One value through a product with 1. */
static float through(const struct nm_gemm *g, float x)
{
    const float one = 1.0F;
    float c;
    uint32_t *a = packed(g, NM_GEMM_ROWS, &x, 1, 1, 0), *b = packed(g, NM_GEMM_COLS, &one, 1, 1, 1);
    nm_gemm_multiply(g, &c, 1, (struct nm_gemm_left){.packed = a}, b, 1, 1, 1, 0);
    free(a), free(b);
    return c;
}

static void rounding(void **state)
{
    (void)state;
    static const float values[] = {1.0F,      1.00390625F, 1.01171875F, -1.00390625F, 1.0039063F, 3.0e38F,
                                   -1.5e-30F, 0.1F,        65535.0F,    0x1.FFp127F,  0x1.FEp127F};
    for (size_t kind = 1; kind < KINDS; kind++) {
        const struct nm_gemm *g = nm_gemm_named(kinds[kind].isa, NM_BF16);
        if (g == NULL)
            continue;
        for (size_t i = 0; i < sizeof values / sizeof *values; i++)
            if (through(g, values[i]) != nearest_bf16(values[i]))
                fail_msg("%s: %a becomes %a, not %a", g->isa, (double)values[i], (double)through(g, values[i]),
                         (double)nearest_bf16(values[i]));
        assert_true(isnan(through(g, NAN)));
        assert_true(through(g, INFINITY) == INFINITY);
        const uint32_t narrow_nan = 0x7F800001U; /* one whose upper half alone would be infinity */
        float x;
        memcpy(&x, &narrow_nan, sizeof x);
        assert_true(isnan(through(g, x)));
    }
}

/* ---- dense layers ---------------------------------------------------------------------------- */

struct layer {
    size_t n, c, o;
    float *x, *w, *bias, *dy, *slope;               /* in */
    float *y, *dx, *dw, *dbias, *up, *dup, *dbelow; /* out */
};

static struct layer make_layer(size_t n, size_t c, size_t o, enum nm_precision precision)
{
    struct layer l = {.n = n, .c = c, .o = o};
    l.x = drawn(n * c), l.w = drawn(o * c), l.bias = drawn(o), l.dy = drawn(n * o), l.slope = drawn(n * c);
    l.y = floats(n * o), l.dx = floats(n * c), l.dw = floats(o * c), l.dbias = floats(o);
    l.up = floats(n * o), l.dup = floats(n * c), l.dbelow = floats(c);
    for (size_t i = 0; i < n * c; i++)
        l.x[i] = as(precision, l.x[i]);
    for (size_t i = 0; i < o * c; i++)
        l.w[i] = as(precision, l.w[i]);
    for (size_t i = 0; i < n * o; i++)
        l.dy[i] = as(precision, l.dy[i]);
    return l;
}

static void free_layer(struct layer *l)
{
    free(l->x), free(l->w), free(l->bias), free(l->dy), free(l->slope);
    free(l->y), free(l->dx), free(l->dw), free(l->dbias), free(l->up), free(l->dup), free(l->dbelow);
}

static struct nm_team *the_team;

static void passes(void *arg)
{
    const struct layer *l = arg;
    struct nm_linear_grad grad = {.dw = l->dw, .dbias = l->dbias, .dx = l->dx};
    nm_linear_forward(the_team, l->y, l->x, (struct nm_weight){.values = l->w}, l->bias, l->n, l->c, l->o);
    nm_linear_gelu_forward(the_team, l->up, NULL, l->x, (struct nm_weight){.values = l->w}, l->bias, l->n, l->c,
                           l->o);
    nm_linear_backward(the_team, grad, l->dy, l->x, l->w, l->n, l->c, l->o);
    grad.add_dw = grad.add_dx = 1;
    nm_linear_backward(the_team, grad, l->dy, l->x, l->w, l->n, l->c, l->o);
    nm_linear_gelu_backward(the_team, (struct nm_linear_grad){.dw = l->dw, .dx = l->dup, .add_dw = 1}, l->dbelow,
                            l->slope, l->dy, l->x, l->w, l->n, l->c, l->o);
}

static void assert_same(const char *what, const char *isa, const float *a, const float *b, size_t n)
{
    double diff = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        diff += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        norm += (double)b[i] * (double)b[i];
    }
    if (!(sqrt(diff) <= 2e-6 * sqrt(norm)))
        fail_msg("%s by %s: relative error %g", what, isa, sqrt(diff / norm));
}

/* Inputs that bf16 holds exactly: then only the order of the sums differs, in either precision. */
static void check_layer(const struct nm_gemm *g, size_t threads, size_t n, size_t c, size_t o)
{
    const size_t widest = c > o ? c : o;
    const struct nm_team_options options = {.n_threads = threads, .widest = widest, .largest = c * o};
    struct layer ours = make_layer(n, c, o, g->precision), blas = ours;
    blas.y = floats(n * o), blas.dx = floats(n * c), blas.dw = floats(o * c), blas.dbias = floats(o);
    blas.up = floats(n * o), blas.dup = floats(n * c), blas.dbelow = floats(c);
    assert_int_equal(nm_team_new(&the_team, &options), NM_OK);
    nm_team_set_gemm(the_team, g);
    nm_team_run(the_team, passes, &ours);
    nm_team_set_gemm(the_team, NULL);
    nm_team_run(the_team, passes, &blas);
    nm_team_destroy(&the_team);
    assert_same("y", g->isa, ours.y, blas.y, n * o);
    assert_same("gelu", g->isa, ours.up, blas.up, n * o);
    assert_same("dx", g->isa, ours.dx, blas.dx, n * c);
    assert_same("dw", g->isa, ours.dw, blas.dw, o * c);
    assert_same("dbias", g->isa, ours.dbias, blas.dbias, o);
    assert_same("gelu's dx", g->isa, ours.dup, blas.dup, n * c);
    assert_same("gelu's dbias", g->isa, ours.dbelow, blas.dbelow, c);
    free(blas.y), free(blas.dx), free(blas.dw), free(blas.dbias), free(blas.up), free(blas.dup), free(blas.dbelow);
    free_layer(&ours);
}

/* Fewer rows than threads, rows that no block divides, more rows than a weight's gradient is summed over at once. */
static void layers(void **state)
{
    (void)state;
    static const size_t shapes[][3] = {{1, 3, 5}, {37, 24, 20}, {200, 49, 97}, {1061, 33, 50}, {96, 130, 8}};
    for (size_t kind = 0; kind < KINDS; kind++) {
        const struct nm_gemm *g = nm_gemm_named(kinds[kind].isa, kinds[kind].precision);
        nm_rng_init(&rng, 6);
        for (size_t i = 0; g != NULL && i < sizeof shapes / sizeof *shapes; i++)
            for (size_t threads = 1; threads <= 3; threads++)
                check_layer(g, threads, shapes[i][0], shapes[i][1], shapes[i][2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(products), cmocka_unit_test(rounding),
                                       cmocka_unit_test(layers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
