/* Each operation: its backward pass against central differences of its forward pass, for every instruction set
 * that this CPU runs and for one to three threads; and the approximations against libm in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/hash.h"
#include "workers/trainer/team.h"
#include "workers/trainer/tensor.h"

/* 37 rows: more than a unit of rows per thread, and no multiple of it. */
enum { N = 37, C = 24, O = 20, MOST = 64 * 128 };

static struct nm_rng rng;
static struct nm_team *team;

static void draw(float *x, size_t n, double scale)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((nm_rng_unit(&rng) + nm_rng_unit(&rng) + nm_rng_unit(&rng) - 1.5) * 2.0 * scale);
}

/* The call by every thread of the team between two barriers, as nm_team_run does it. */
#define ON_TEAM(...)                                                                                                 \
    do {                                                                                                             \
        _Pragma("omp parallel num_threads((int)nm_team_threads(team))")                                              \
        {                                                                                                            \
            team_barrier(team);                                                                                      \
            __VA_ARGS__;                                                                                             \
            team_barrier(team);                                                                                      \
        }                                                                                                            \
    } while (0)

/* Runs a test for each instruction set and number of threads. */
static void each_team(void (*test)(void))
{
    static const char *const isas[] = {"base", "v3", "v4"};
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++)
        for (size_t threads = 1; threads <= 3; threads++) {
            const struct nm_kernels *kernels = nm_kernels_named(isas[i]);
            if (kernels == NULL) {
                print_message("this CPU does not run %s\n", isas[i]);
                continue;
            }
            const struct nm_team_options options = {.n_threads = threads, .widest = 512, .largest = 512 * 512};
            assert_int_equal(nm_team_new(&team, &options), NM_OK);
            nm_team_set_kernels(team, kernels);
            if (strcmp(isas[i], "v4") != 0)
                nm_team_set_gemm(team, NULL); /* as that CPU multiplies: by OpenBLAS */
            nm_rng_init(&rng, 3);
            test();
            nm_team_destroy(&team);
        }
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* x (n): a variable of loss(); grad (n): what the backward pass says.  Central differences at every element, with
 * several threads at every eleventh: the sums are the same, only who makes them differs. */
static void assert_slope(const char *what, float *x, const float *grad, size_t n, double (*loss)(void))
{
    const float h = 4e-3F;
    double max = 0;
    for (size_t i = 0; i < n; i++)
        max = fmax(max, fabs((double)grad[i]));
    assert_true(max > 0);
    const size_t every = nm_team_threads(team) == 1 ? 1 : 11;
    for (size_t i = 0; i < n; i += every) {
        const float kept = x[i], up = kept + h, down = kept - h;
        x[i] = up;
        double hi = loss();
        x[i] = down;
        double lo = loss();
        x[i] = kept;
        double slope = (hi - lo) / ((double)up - (double)down);
        if (!(fabs(slope - (double)grad[i]) <= 2e-3 * max))
            fail_msg("%s[%zu] with %s, %zu threads: %g, differences say %g (largest %g)", what, i,
                     nm_team_kernels(team)->isa, nm_team_threads(team), (double)grad[i], slope, max);
    }
}

/* Variables of the operations under test; r weighs the outputs into one loss. */
static float x[MOST], w[MOST], bias[512], y[MOST], r[MOST], slope[MOST], residual[MOST], gamma_[512], beta_[512];
static float dx[MOST], dw[MOST], dbias[512], dy[MOST], xhat[MOST], rstd[512], dgamma[512], dbeta[512];
static struct nm_dropout drop;
static const struct nm_norm norm = {gamma_, beta_, 1e-5F};
static const struct nm_norm_kept kept_norm = {xhat, rstd};

static double linear_loss(void)
{
    ON_TEAM(nm_linear_forward(team, y, x, (struct nm_weight){.values = w}, bias, N, C, O));
    return dot(y, r, (size_t)N * O);
}

static void linear(void)
{
    draw(x, N * C, 1), draw(w, O * C, 1), draw(bias, O, 1), draw(r, N * O, 1);
    ON_TEAM(nm_linear_backward(team, (struct nm_linear_grad){.dw = dw, .dbias = dbias, .dx = dx}, r, x, w, N, C, O));
    assert_slope("linear x", x, dx, N * C, linear_loss);
    assert_slope("linear w", w, dw, O * C, linear_loss);
    assert_slope("linear bias", bias, dbias, O, linear_loss);
    /* added to, a gradient doubles */
    float first_w = dw[5], first_x = dx[7], first_b = dbias[3];
    ON_TEAM(nm_linear_backward(team,
                               (struct nm_linear_grad){.dw = dw, .dbias = dbias, .dx = dx, .add_dw = 1, .add_dx = 1},
                               r, x, w, N, C, O));
    assert_float_equal(dw[5], 2 * first_w, 1e-4);
    assert_float_equal(dx[7], 2 * first_x, 1e-4);
    assert_float_equal(dbias[3], 2 * first_b, 1e-4);
}

/* y = second (gelu(x w^T + bias)), the second layer's weights in residual (8, O) */
static double gelu_loss(void)
{
    ON_TEAM(nm_linear_gelu_forward(team, y, slope, x, (struct nm_weight){.values = w}, bias, N, C, O));
    ON_TEAM(nm_linear_forward(team, xhat, y, (struct nm_weight){.values = residual}, NULL, N, O, 8));
    return dot(xhat, r, (size_t)N * 8);
}

static void linear_gelu(void)
{
    draw(x, N * C, 0.5), draw(w, O * C, 0.5), draw(bias, O, 1), draw(r, N * 8, 1), draw(residual, 8 * O, 1);
    (void)gelu_loss();
    ON_TEAM(nm_linear_gelu_backward(team, (struct nm_linear_grad){.dw = dgamma, .dx = dy}, dbias, slope, r, y,
                                    residual, N, O, 8));
    ON_TEAM(nm_linear_backward(team, (struct nm_linear_grad){.dw = dw, .dx = dx}, dy, x, w, N, C, O));
    assert_slope("gelu x", x, dx, N * C, gelu_loss);
    assert_slope("gelu bias", bias, dbias, O, gelu_loss);
    assert_slope("gelu second w", residual, dgamma, 8 * O, gelu_loss);
    /* without slopes the result is the same */
    memcpy(xhat, y, sizeof(float) * N * O);
    ON_TEAM(nm_linear_gelu_forward(team, y, NULL, x, (struct nm_weight){.values = w}, bias, N, C, O));
    for (size_t i = 0; i < N * O; i++)
        assert_float_equal(y[i], xhat[i], 1e-6);
}

static double norm_loss(void)
{
    ON_TEAM(nm_linear_norm_forward(team, y, kept_norm, x, (struct nm_weight){.values = w}, bias, residual, norm,
                                   &drop, N, C, O));
    return dot(y, r, (size_t)N * O);
}

static void norm_with(float p)
{
    draw(x, N * C, 1), draw(w, O * C, 0.5), draw(bias, O, 1), draw(r, N * O, 1), draw(residual, N * O, 1);
    draw(gamma_, O, 1), draw(beta_, O, 1);
    drop = nm_dropout_make(p, 42, 1);
    (void)norm_loss();
    static float dz[MOST];
    memcpy(dz, r, sizeof(float) * N * O);
    ON_TEAM(nm_norm_backward(team, (struct nm_norm_grad){dgamma, dbeta, dbias, 0}, dz, dy, kept_norm, gamma_, &drop,
                             N, O));
    ON_TEAM(nm_linear_backward(team, (struct nm_linear_grad){.dw = dw, .dx = dx}, dy, x, w, N, C, O));
    assert_slope("norm x", x, dx, N * C, norm_loss);
    assert_slope("norm w", w, dw, O * C, norm_loss);
    assert_slope("norm bias", bias, dbias, O, norm_loss);
    assert_slope("norm gamma", gamma_, dgamma, O, norm_loss);
    assert_slope("norm beta", beta_, dbeta, O, norm_loss);
    assert_slope("norm residual", residual, dz, N * O, norm_loss);
}

static void linear_norm(void)
{
    norm_with(0.0F);
    norm_with(0.3F);
}

/* Three sequences, two heads of four. */
static const uint32_t starts[] = {0, 1, 12, 37};
static float scratch[3 * (2 * 32 * 32 + 4 * 32 * 16)], probs[2 * (1 * 16 + 11 * 16 + 25 * 32)], qkv[N * 24],
    dqkv[N * 24];
static struct nm_attention att = {
    .n_seqs = 3, .n_heads = 2, .head_size = 4, .seq_start = starts, .max_len = 25, .scratch = scratch};

static double attention_loss(void)
{
    ON_TEAM(nm_attention_forward(team, y, probs, qkv, &att, &drop));
    return dot(y, r, (size_t)N * 8);
}

static void attention(void)
{
    assert_int_equal(nm_attention_probs(&att), sizeof probs / sizeof *probs);
    for (int pass = 0; pass < 2; pass++) {
        drop = nm_dropout_make(pass == 0 ? 0.0F : 0.25F, 9, 4);
        draw(qkv, N * 24, 1), draw(r, N * 8, 1);
        (void)attention_loss();
        ON_TEAM(nm_attention_backward(team, dqkv, r, qkv, probs, &att, &drop));
        assert_slope("attention qkv", qkv, dqkv, N * 24, attention_loss);
    }
    drop = nm_dropout_make(0.0F, 0, 0);
    (void)attention_loss();
    memcpy(xhat, y, sizeof(float) * N * 8);
    ON_TEAM(nm_attention_forward(team, y, NULL, qkv, &att, &drop));
    assert_memory_equal(y, xhat, sizeof(float) * N * 8);
}

static uint32_t ids[N], positions[N];

static double embedding_loss(void)
{
    const struct nm_embedding table = {x, w, bias};
    ON_TEAM(nm_embedding_forward(team, y, kept_norm, table, ids, positions, norm, &drop, N, C));
    return dot(y, r, (size_t)N * C);
}

static void embedding(void)
{
    static float word[MOST], position[MOST], type[512], dz[MOST];
    draw(x, 10 * C, 1), draw(w, 40 * C, 1), draw(bias, C, 1), draw(r, N * C, 1), draw(gamma_, C, 1),
        draw(beta_, C, 1);
    memset(word, 0, sizeof word), memset(position, 0, sizeof position), memset(type, 0, sizeof type);
    for (uint32_t i = 0; i < N; i++)
        ids[i] = (uint32_t)nm_rng_below(&rng, 10), positions[i] = i;
    drop = nm_dropout_make(0.2F, 77, 0);
    (void)embedding_loss();
    memcpy(dz, r, sizeof(float) * N * C);
    ON_TEAM(nm_embedding_backward(team, (struct nm_embedding_grad){word, position, type},
                                  (struct nm_norm_grad){dgamma, dbeta, NULL, 0}, dz, kept_norm, gamma_, ids,
                                  positions, &drop, N, C));
    assert_slope("word", x, word, 10 * C, embedding_loss);
    assert_slope("position", w, position, 40 * C, embedding_loss);
    assert_slope("type", bias, type, C, embedding_loss);
    assert_slope("embedding gamma", gamma_, dgamma, C, embedding_loss);
}

static int32_t labels[N];
static struct nm_loss loss_kind;

static double entropy_loss(void)
{
    return nm_cross_entropy(NULL, x, labels, 0.0F, N, 7, &loss_kind, NULL);
}

static void cross_entropy(void)
{
    size_t n = 0;
    draw(x, N * 7, 2);
    for (size_t i = 0; i < N; i++)
        labels[i] = (int32_t)nm_rng_below(&rng, 8) - 1;
    static const struct nm_loss kinds[] = {{0, 0}, {.smoothing = 0.3F}, {.gce = 0.7F}, {.gce = 1}};
    for (size_t i = 4; i-- > 0;) {
        loss_kind = kinds[i];
        (void)nm_cross_entropy(dx, x, labels, 1.0F, N, 7, &loss_kind, &n);
        assert_slope("logits", x, dx, N * 7, entropy_loss);
    }
    /* a small q is nearly cross-entropy; q = 1 is 1 - p */
    double plain = entropy_loss();
    loss_kind.gce = 1e-6F;
    assert_float_equal(entropy_loss(), plain, 1e-3);
    size_t labelled = 0;
    for (size_t i = 0; i < N; i++) {
        labelled += labels[i] >= 0;
        if (labels[i] < 0)
            for (size_t j = 0; j < 7; j++)
                assert_true(dx[i * 7 + j] == 0.0F);
    }
    assert_int_equal(n, labelled);
    assert_in_range(n, 1, N - 1);
    const float huge[2] = {1000.0F, -1000.0F};
    const int32_t wrong = 1;
    assert_float_equal(nm_cross_entropy(NULL, huge, &wrong, 0, 1, 2, NULL, NULL), 2000.0, 1e-3);
    assert_float_equal(nm_cross_entropy(NULL, huge, &wrong, 0, 1, 2, &kinds[3], NULL), 1.0, 1e-6);
    assert_float_equal(nm_cross_entropy(NULL, huge, &wrong, 0, 1, 2, &kinds[1], NULL), 1700.0, 1e-2);
}

/* Phi and exp against libm in double. */
static void approximations(void)
{
    const float zero = 0.0F, one = 1.0F, values[2] = {0.0F, 1.0F};
    if (nm_team_threads(team) > 1)
        return; /* one thread's loops: tested above */
    for (int i = -8760; i <= 8760; i++) {
        const float v = (float)i * 0.00137F;
        float got, der, e[2] = {0.0F, v < 0 ? v * 7 : -v * 7}, p;
        double phi = 0.5 * erfc(-(double)v / sqrt(2.0)), pdf = exp(-0.5 * (double)v * (double)v) / sqrt(2 * M_PI);
        nm_team_kernels(team)->gelu_forward(&got, &der, &v, &zero, 1, 1);
        double allowed = 1e-6 * fabs((double)v) * phi * fmax(1.0, (double)v * (double)v / 16.0) + 1e-30;
        if (!(fabs((double)got - (double)v * phi) <= allowed))
            fail_msg("gelu(%g) = %.9g, not %.9g (%s)", (double)v, (double)got, (double)v * phi,
                     nm_team_kernels(team)->isa);
        if (!(fabs((double)der - (phi + (double)v * pdf)) <= 1e-6))
            fail_msg("gelu'(%g) = %.9g, not %.9g", (double)v, (double)der, phi + (double)v * pdf);
        /* a head of one number that sees two: the second's value is its probability */
        static float room[2 * 16 * 16 + 4 * 16 * 16];
        const struct nm_head head = {
            .q = &one, .k = e, .v = values, .ctx = &p, .n_queries = 1, .len = 2, .size = 1, .ld = 1, .ld_ctx = 1};
        nm_team_kernels(team)->attention->forward(&head, NULL, room);
        double want = exp((double)e[1]) / (1.0 + exp((double)e[1]));
        if (!(fabs((double)p - want) <= 1e-6 * want + 1e-37))
            fail_msg("softmax %g = %.9g, not %.9g", (double)e[1], (double)p, want);
    }
}

/* A mask keeps 1-p of the elements, keeps the mean, and depends on key and row. */
static void dropout(void)
{
    size_t kept = 0, same = 0;
    double sum = 0;
    drop = nm_dropout_make(0.1F, 123, 5);
    for (size_t i = 0; i < MOST; i++)
        x[i] = 1.0F, y[i] = 1.0F;
    ON_TEAM(nm_dropout_apply(team, x, x, &drop, MOST / 64, 64));
    drop = nm_dropout_make(0.1F, 124, 5);
    ON_TEAM(nm_dropout_apply(team, y, y, &drop, MOST / 64, 64));
    for (size_t i = 0; i < MOST; i++) {
        kept += x[i] != 0.0F;
        same += x[i] == y[i];
        sum += (double)x[i];
    }
    assert_in_range(kept, MOST * 88 / 100, MOST * 92 / 100);
    assert_in_range(same, MOST * 79 / 100, MOST * 85 / 100); /* 0.9^2 + 0.1^2 = 0.82: independent */
    assert_float_equal(sum / MOST, 1.0, 0.02);
    assert_memory_not_equal(x, x + 64, 64 * sizeof *x); /* rows differ */
}

static void sums_and_adamw(void)
{
    const struct nm_adamw a = {.grad_scale = 0.5F,
                               .beta1 = 0.9F,
                               .beta2 = 0.99F,
                               .eps = 1e-6F,
                               .keep = 0.999F,
                               .step = 0.01F,
                               .inv_sqrt_corr2 = 1.25F};
    static float weights[MOST], m[MOST], v[MOST], g[MOST], w0[MOST], m0[MOST], v0[MOST];
    uint8_t marked[MOST / 64], moved[MOST / 64], before[MOST / 64];
    draw(weights, MOST, 1), draw(m, MOST, 1), draw(g, MOST, 1), draw(v, MOST, 1);
    for (size_t i = 0; i < MOST; i++)
        v[i] = fabsf(v[i]);
    for (size_t i = 0; i < MOST / 64; i++)
        marked[i] = (uint8_t)nm_rng_below(&rng, 2), moved[i] = (uint8_t)nm_rng_below(&rng, 2);
    for (size_t i = 0; i < MOST; i++) { /* what has never moved has no moments */
        const uint8_t has = moved[i / 64];
        m[i] *= has, v[i] *= has;
    }
    memcpy(before, moved, sizeof before);
    static double total;
    ON_TEAM({
        double sum = nm_team_sum(team, nm_sum_squares_part(team, g, MOST));
        if (nm_team_share(1).first)
            total = sum;
    });
    assert_true(fabs(total - dot(g, g, MOST)) <= 1e-6 * dot(g, g, MOST));
    memcpy(w0, weights, sizeof w0), memcpy(m0, m, sizeof m0), memcpy(v0, v, sizeof v0);
    ON_TEAM(nm_adamw_rows(team, weights, m, v, g, marked, moved, MOST / 64, 64, &a));
    for (size_t i = 0; i < MOST / 64; i++)
        assert_int_equal(moved[i], before[i] | marked[i]);
    for (size_t i = 0; i < MOST; i++) {
        double d = marked[i / 64] ? 0.5 * (double)g[i] : 0.0;
        double mi = 0.9 * (double)m0[i] + 0.1 * d, vi = 0.99 * (double)v0[i] + 0.01 * d * d;
        double wi = (double)w0[i] * 0.999 - 0.01 * mi / (sqrt(vi) * 1.25 + 1e-6);
        assert_float_equal(m[i], mi, 1e-6);
        assert_float_equal(v[i], vi, 1e-6);
        assert_true(fabs((double)weights[i] - wi) <= 1e-5 * (1.0 + fabs(wi)));
    }
}

#define OP_TEST(op)                                                                                                  \
    static void test_##op(void **state)                                                                              \
    {                                                                                                                \
        (void)state;                                                                                                 \
        each_team(op);                                                                                               \
    }
OP_TEST(linear)
OP_TEST(linear_gelu)
OP_TEST(linear_norm)
OP_TEST(attention)
OP_TEST(embedding)
OP_TEST(cross_entropy)
OP_TEST(approximations)
OP_TEST(dropout)
OP_TEST(sums_and_adamw)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),         cmocka_unit_test(test_linear_gelu),
        cmocka_unit_test(test_linear_norm),    cmocka_unit_test(test_attention),
        cmocka_unit_test(test_embedding),      cmocka_unit_test(test_cross_entropy),
        cmocka_unit_test(test_approximations), cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_sums_and_adamw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
