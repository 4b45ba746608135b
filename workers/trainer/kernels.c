/* Compiled several times with different -march flags; NM_KERNELS names the table, NM_ISA_NAME the flags.
 *
 * Written as plain loops with `omp simd`, which gcc and clang turn into the vectors of the target; there is no
 * intrinsic here, so another CPU only needs its flags in CMakeLists.txt.
 */
#include <math.h>
#include <string.h>

#include "workers/trainer/kernels_inline.h"

enum { BLOCK = 4096 }; /* floats that are summed in float before they go into a double */

/* Phi(-a) e^(a^2/2) for a >= 0: a polynomial in t = 1/(1 + 0.35 a), fitted by Lawson's iteration to
 * erfcx(a / sqrt 2) / 2 on [0, 14]; relative error 2.4e-7 in float32. */
static inline float scaled_tail(float a)
{
    float t = 1.0F / (1.0F + 0.35F * a);
    float p = -2.914471373e-02F;
    p = p * t + 1.439662074e-01F;
    p = p * t - 2.557037314e-01F;
    p = p * t + 1.591629943e-01F;
    p = p * t - 2.310267407e-02F;
    p = p * t + 1.055051675e-01F;
    p = p * t + 1.198335438e-01F;
    p = p * t + 1.398617812e-01F;
    p = p * t + 1.396214091e-01F;
    return p * t;
}

static void bias_forward(float *y, const float *bias, size_t n, size_t c)
{
    for (size_t i = 0; i < n; i++, y += c)
#pragma omp simd
        for (size_t j = 0; j < c; j++)
            y[j] += bias[j];
}

static void scaled_sum(float *out, const float *a, const float *b, float scale, const float *shift, size_t c)
{
#pragma omp simd
    for (size_t j = 0; j < c; j++)
        out[j] = scale * (a[j] + b[j]) + shift[j];
}

static void add(float *acc, const float *x, size_t n)
{
#pragma omp simd
    for (size_t j = 0; j < n; j++)
        acc[j] += x[j];
}

static void column_sum(float *acc, const float *x, size_t n, size_t c)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4, x += 4 * c)
#pragma omp simd
        for (size_t j = 0; j < c; j++)
            acc[j] += (x[j] + x[c + j]) + (x[2 * c + j] + x[3 * c + j]);
    for (; i < n; i++, x += c)
        add(acc, x, c);
}

static void gelu_forward(float *y, float *slope, const float *h, const float *bias, size_t n, size_t c)
{
    for (size_t i = 0; i < n; i++, y += c, h += c) {
        if (slope == NULL) {
#pragma omp simd
            for (size_t j = 0; j < c; j++) {
                float x = h[j] + bias[j];
                float a = fabsf(x);
                float tail = scaled_tail(a) * fast_exp(-0.5F * a * a);
                y[j] = x * (x > 0.0F ? 1.0F - tail : tail);
            }
            continue;
        }
#pragma omp simd
        for (size_t j = 0; j < c; j++) {
            float x = h[j] + bias[j];
            float a = fabsf(x);
            float e = fast_exp(-0.5F * a * a);
            float tail = scaled_tail(a) * e;
            float phi = x > 0.0F ? 1.0F - tail : tail;
            y[j] = x * phi;
            slope[j] = phi + x * e * 0.398942280F;
        }
        slope += c;
    }
}

static void gelu_backward(float *dy, const float *slope, float *dbias, size_t n, size_t c)
{
    for (size_t i = 0; i < n; i++, dy += c, slope += c)
#pragma omp simd
        for (size_t j = 0; j < c; j++) {
            float d = dy[j] * slope[j];
            dy[j] = d;
            dbias[j] += d;
        }
}

/* z into out; returns its sum */
static inline float residual_row(float *out, const float *y, const float *bias, const float *residual,
                                 const struct nm_dropout *drop, size_t row, size_t c)
{
    float sum = 0;
    if (drop->threshold == 0) {
#pragma omp simd reduction(+ : sum)
        for (size_t j = 0; j < c; j++) {
            float z = residual[j] + y[j] + bias[j];
            out[j] = z;
            sum += z;
        }
        return sum;
    }
    const uint32_t key = row_key(drop, row), threshold = drop->threshold;
    const float scale = drop->scale;
#pragma omp simd reduction(+ : sum)
    for (size_t j = 0; j < c; j++) {
        float z = residual[j] + (y[j] + bias[j]) * drop_factor(key, j, threshold, scale);
        out[j] = z;
        sum += z;
    }
    return sum;
}

static void norm_forward(float *out, float *xhat, float *rstd, const float *y, const float *bias,
                         const float *residual, const float *gamma, const float *beta, float eps,
                         const struct nm_dropout *drop, size_t row0, size_t n, size_t c)
{
    for (size_t i = 0; i < n; i++, out += c, y += c, residual += c) {
        float mean = residual_row(out, y, bias, residual, drop, row0 + i, c) / (float)c;
        float var = 0;
#pragma omp simd reduction(+ : var)
        for (size_t j = 0; j < c; j++) {
            float d = out[j] - mean;
            var += d * d;
        }
        float r = 1.0F / sqrtf(var / (float)c + eps);
        if (rstd != NULL)
            rstd[i] = r;
        if (xhat == NULL) {
#pragma omp simd
            for (size_t j = 0; j < c; j++)
                out[j] = (out[j] - mean) * r * gamma[j] + beta[j];
            continue;
        }
#pragma omp simd
        for (size_t j = 0; j < c; j++) {
            float h = (out[j] - mean) * r;
            xhat[j] = h;
            out[j] = h * gamma[j] + beta[j];
        }
        xhat += c;
    }
}

static void norm_backward(float *dz, float *dy, float *dgamma, float *dbeta, float *dbias, const float *dout,
                          const float *xhat, const float *rstd, const float *gamma, const struct nm_dropout *drop,
                          size_t row0, size_t n, size_t c)
{
    for (size_t i = 0; i < n; i++, dz += c, dy += c, dout += c, xhat += c) {
        float sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
        for (size_t j = 0; j < c; j++) {
            float d = dout[j] * gamma[j];
            sum += d;
            dot += d * xhat[j];
            dgamma[j] += dout[j] * xhat[j];
            dbeta[j] += dout[j];
        }
        const float mean = sum / (float)c, slope = dot / (float)c, r = rstd[i];
        const uint32_t key = row_key(drop, row0 + i), threshold = drop->threshold;
        const float scale = drop->scale;
#pragma omp simd
        for (size_t j = 0; j < c; j++)
            dz[j] = r * (dout[j] * gamma[j] - mean - xhat[j] * slope);
        if (threshold == 0 && dy != dz)
            memcpy(dy, dz, c * sizeof *dy);
        else if (threshold != 0)
#pragma omp simd
            for (size_t j = 0; j < c; j++)
                dy[j] = dz[j] * drop_factor(key, j, threshold, scale);
        if (dbias != NULL)
            add(dbias, dy, c);
    }
}

static void dropout(float *x, const struct nm_dropout *drop, size_t row0, size_t n, size_t c)
{
    const uint32_t threshold = drop->threshold;
    const float scale = drop->scale;
    if (threshold == 0)
        return;
    for (size_t i = 0; i < n; i++, x += c) {
        const uint32_t key = row_key(drop, row0 + i);
#pragma omp simd
        for (size_t j = 0; j < c; j++)
            x[j] *= drop_factor(key, j, threshold, scale);
    }
}

static void sum3(float *out, const float *a, const float *b, const float *d, size_t c)
{
#pragma omp simd
    for (size_t j = 0; j < c; j++)
        out[j] = a[j] + b[j] + d[j];
}

static double sum_squares(const float *x, size_t n)
{
    double total = 0;
    while (n > 0) {
        size_t m = n < BLOCK ? n : BLOCK;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t j = 0; j < m; j++)
            sum += x[j] * x[j];
        total += (double)sum;
        x += m;
        n -= m;
    }
    return total;
}

/* torch.optim.AdamW: decay first, then the moments, then the step. */
static void adamw(float *w, float *m, float *v, const float *g, size_t n, const struct nm_adamw *a)
{
    const float b1 = a->beta1, b2 = a->beta2, keep = a->keep, step = a->step, corr = a->inv_sqrt_corr2;
    const float eps = a->eps, gs = a->grad_scale, c1 = 1.0F - b1, c2 = 1.0F - b2;
    if (m == NULL) { /* so the moments are zero, too, and the step is its decay alone */
#pragma omp simd
        for (size_t j = 0; j < n; j++)
            w[j] *= keep;
        return;
    }
    if (g == NULL) {
#pragma omp simd
        for (size_t j = 0; j < n; j++) {
            m[j] *= b1;
            v[j] *= b2;
            w[j] = w[j] * keep - step * m[j] / (sqrtf(v[j]) * corr + eps);
        }
        return;
    }
#pragma omp simd
    for (size_t j = 0; j < n; j++) {
        float d = g[j] * gs;
        m[j] = b1 * m[j] + c1 * d;
        v[j] = b2 * v[j] + c2 * d * d;
        w[j] = w[j] * keep - step * m[j] / (sqrtf(v[j]) * corr + eps);
    }
}

extern const struct nm_attention_kernels NM_ATTENTION;
const struct nm_kernels NM_KERNELS;
const struct nm_kernels NM_KERNELS = {
    .isa = NM_ISA_NAME,
    .attention = &NM_ATTENTION,
    .bias_forward = bias_forward,
    .column_sum = column_sum,
    .gelu_forward = gelu_forward,
    .gelu_backward = gelu_backward,
    .norm_forward = norm_forward,
    .norm_backward = norm_backward,
    .dropout = dropout,
    .sum3 = sum3,
    .scaled_sum = scaled_sum,
    .add = add,
    .sum_squares = sum_squares,
    .adamw = adamw,
};
