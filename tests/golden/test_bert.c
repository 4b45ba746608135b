/* The encoder against PyTorch in float64: logits, loss, every gradient, the weights after ten steps of AdamW. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "workers/trainer/bert.h"
#include "workers/trainer/optimizer.h"
#include "workers/trainer/safetensors.h"

enum { BATCHES = 3, TOKENS_MAX = 256, SEQS_MAX = 16 };

struct stored_batch {
    struct nm_batch batch;
    uint32_t ids[TOKENS_MAX], seq_start[SEQS_MAX];
    int32_t labels[TOKENS_MAX];
    double loss;
};

static const char *data_dir;
static json_t *goldens;
static struct stored_batch batches[BATCHES];
static struct nm_diag diag;

/* ---- reading the goldens --------------------------------------------------------------------- */

static const char *path_of(const char *name)
{
    static char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", data_dir, name);
    return path;
}

static double number_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void read_batch(struct stored_batch *b, const json_t *stored)
{
    const json_t *ids = json_object_get(stored, "ids"), *labels = json_object_get(stored, "labels");
    size_t n = 0;
    assert_in_range(json_array_size(ids), 1, SEQS_MAX - 1);
    for (size_t s = 0; s < json_array_size(ids); s++) {
        const json_t *row = json_array_get(ids, s);
        for (size_t t = 0; t < json_array_size(row); t++, n++) {
            assert_in_range(n, 0, TOKENS_MAX - 1);
            b->ids[n] = (uint32_t)json_integer_value(json_array_get(row, t));
            b->labels[n] = (int32_t)json_integer_value(json_array_get(json_array_get(labels, s), t));
        }
        b->seq_start[s + 1] = (uint32_t)n;
    }
    b->batch = (struct nm_batch){json_array_size(ids), n, b->ids, b->seq_start, b->labels, 0, NULL, 0};
    b->loss = number_at(stored, "loss");
}

static int read_goldens(void **state)
{
    (void)state;
    goldens = json_load_file(path_of("goldens.json"), 0, NULL);
    assert_non_null(goldens);
    const json_t *stored = json_object_get(goldens, "batches");
    assert_int_equal(json_array_size(stored), BATCHES);
    for (size_t i = 0; i < BATCHES; i++)
        read_batch(&batches[i], json_array_get(stored, i));
    return 0;
}

static int free_goldens(void **state)
{
    (void)state;
    json_decref(goldens);
    return 0;
}

static struct nm_bert *load_model_as(size_t n_threads, enum nm_precision precision)
{
    struct nm_bert *bert = NULL;
    const struct nm_bert_options options = {.n_threads = n_threads, .precision = precision};
    if (nm_bert_load(&bert, path_of("model"), &options, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    assert_true(nm_bert_head_loaded(bert));
    return bert;
}

static struct nm_bert *load_model(size_t n_threads)
{
    return load_model_as(n_threads, NM_FP32);
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* Norm-wise and element-wise relative error at most 1e-4.  An element far below its tensor's largest is the small
 * rest of large terms and has their rounding error, some 1e-6 of the largest in float32; so below a tenth of the
 * largest the error counts against that tenth.  A tensor whose true value is zero (scale says what is large here)
 * must be small.
 */
static void assert_close(const char *what, const float *ours, const float *golden, size_t n, double scale)
{
    double diff = 0, norm = 0, max = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)ours[i] - (double)golden[i];
        diff += d * d;
        norm += (double)golden[i] * (double)golden[i];
        max = fmax(max, fabs((double)golden[i]));
    }
    if (max < 1e-9 * scale) {
        for (size_t i = 0; i < n; i++)
            if (!(fabs((double)ours[i]) <= 1e-6 * scale))
                fail_msg("%s[%zu]: %g, PyTorch has 0", what, i, (double)ours[i]);
        return;
    }
    if (!(sqrt(diff) <= 1e-4 * sqrt(norm)))
        fail_msg("%s: relative error %g", what, sqrt(diff / norm));
    for (size_t i = 0; i < n; i++) {
        double g = (double)golden[i], floor = fmax(fabs(g), 0.1 * max);
        if (!(fabs((double)ours[i] - g) <= 1e-4 * floor))
            fail_msg("%s[%zu]: %.9g, PyTorch has %.9g (largest %g)", what, i, (double)ours[i], g, max);
    }
}

/* values: the flat vector (weights or gradients) of all tensors, against the file's. */
static void assert_all_close(const struct nm_params *params, const float *values, const char *file, double scale)
{
    struct nm_safetensors *st = NULL;
    if (nm_safetensors_open(&st, path_of(file), &diag) != NM_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(nm_safetensors_count(st), params->n);
    for (size_t i = 0; i < params->n; i++) {
        const struct nm_param *p = &params->at[i];
        const size_t shape[2] = {p->rows, p->cols};
        float *golden = calloc(p->n, sizeof *golden);
        assert_non_null(golden);
        if (nm_safetensors_read(st, p->name, p->rank, shape, golden, &diag) != NM_OK)
            fail_msg("%s", diag.text);
        assert_close(p->name, values + p->offset, golden, p->n, scale);
        free(golden);
    }
    nm_safetensors_close(&st);
}

/* Rounding a product's operands to bf16 is an error of at most 2^-9 a value, so of some 2^-9 of the product's norm.
 * On its way a gradient goes through up to 26 products (six a layer and the classifier, forward and backward): as
 * noise that adds up to sqrt(26) 2^-9 = 0.01.  Measured: 0.008 to 0.019, the more the nearer to the first layer. */
static const double BF16_ERROR = 0.03;

/* ---- the tests ------------------------------------------------------------------------------- */

static void logits_and_loss(void **state)
{
    (void)state;
    struct nm_bert *bert = load_model(2);
    struct nm_safetensors *st = NULL;
    const struct nm_batch *batch = &batches[0].batch;
    const size_t shape[2] = {batch->n_tokens, nm_bert_config(bert)->n_labels};
    float *golden = calloc(shape[0] * shape[1], sizeof *golden);
    const float *logits;
    assert_int_equal(nm_safetensors_open(&st, path_of("logits.safetensors"), &diag), NM_OK);
    assert_int_equal(nm_safetensors_read(st, "logits", 2, shape, golden, &diag), NM_OK);
    assert_int_equal(nm_bert_forward(bert, batch, &logits, &diag), NM_OK);
    assert_close("logits", logits, golden, shape[0] * shape[1], 1.0);
    for (size_t i = 0; i < BATCHES; i++) {
        assert_int_equal(nm_bert_forward(bert, &batches[i].batch, &logits, &diag), NM_OK);
        assert_true(fabs(nm_bert_loss(bert, &batches[i].batch, NULL) - batches[i].loss) <= 1e-5 * batches[i].loss);
    }
    free(golden);
    nm_safetensors_close(&st);
    nm_bert_destroy(&bert);
}

static void every_gradient(void **state)
{
    (void)state;
    for (size_t threads = 1; threads <= 3; threads++) {
        struct nm_bert *bert = load_model(threads);
        double loss;
        assert_int_equal(nm_bert_train(bert, &batches[0].batch, 1.0F, 1, &loss, NULL, &diag), NM_OK);
        assert_true(fabs(loss - batches[0].loss) <= 1e-5 * loss);
        assert_all_close(nm_bert_params(bert), nm_bert_params(bert)->grad, "grads.safetensors", 1.0);
        nm_bert_destroy(&bert);
    }
}

/* The gradient of a batch is the sum of its sequences' ones, each weighed by its labelled tokens. */
static void accumulated_gradient(void **state)
{
    (void)state;
    struct nm_bert *bert = load_model(2);
    const struct nm_batch *whole = &batches[0].batch;
    const uint32_t *start = whole->seq_start;
    size_t all = 0;
    for (size_t t = 0; t < whole->n_tokens; t++)
        all += whole->labels[t] >= 0;
    for (size_t s = 0; s < whole->n_seqs; s++) {
        const uint32_t ends[2] = {0, start[s + 1] - start[s]};
        const struct nm_batch one = {1, ends[1], whole->ids + start[s], ends, whole->labels + start[s], 0, NULL, 0};
        size_t own = 0;
        for (size_t t = 0; t < one.n_tokens; t++)
            own += one.labels[t] >= 0;
        assert_int_equal(nm_bert_train(bert, &one, (float)own / (float)all, 1, NULL, NULL, &diag), NM_OK);
    }
    assert_all_close(nm_bert_params(bert), nm_bert_params(bert)->grad, "grads.safetensors", 1.0);
    nm_bert_destroy(&bert);
}

/* file: the weights afterwards; NULL: the losses alone, to what rounding to bf16 allows. */
static void ten_steps(const char *run, const char *file, bool decay_all, size_t n_threads,
                      enum nm_precision precision)
{
    const json_t *steps = json_object_get(goldens, "steps");
    const json_t *stored = json_object_get(json_object_get(goldens, "runs"), run);
    const json_t *losses = json_object_get(stored, "losses"), *norms = json_object_get(stored, "norms");
    struct nm_bert *bert = load_model_as(n_threads, precision);
    const double allowed = precision == NM_FP32 ? 1e-4 : BF16_ERROR; /* of a norm; of a loss a quarter */
    struct nm_optimizer *opt = NULL;
    struct nm_optimizer_options options = nm_optimizer_defaults();
    options.lr = (float)number_at(steps, "lr");
    options.eps = (float)number_at(steps, "eps");
    options.weight_decay = (float)number_at(steps, "weight_decay");
    options.clip_norm = (float)number_at(steps, "clip_norm");
    options.warmup_steps = (size_t)number_at(steps, "warmup");
    options.total_steps = (size_t)number_at(steps, "total");
    options.decay_all = decay_all;
    options.n_threads = n_threads;
    assert_int_equal(nm_optimizer_new(&opt, nm_bert_params(bert), &options, &diag), NM_OK);
    for (size_t i = 0; i < (size_t)number_at(steps, "n"); i++) {
        double loss, golden = json_number_value(json_array_get(losses, i));
        nm_bert_zero_grad(bert);
        assert_int_equal(nm_bert_train(bert, &batches[i % BATCHES].batch, 1.0F, i, &loss, NULL, &diag), NM_OK);
        double norm = nm_optimizer_step(opt), golden_norm = json_number_value(json_array_get(norms, i));
        printf("%g %g\n", loss / golden - 1, norm / golden_norm - 1);
        if (!(fabs(loss - golden) <= allowed / 4 * golden) || !(fabs(norm - golden_norm) <= allowed * golden_norm))
            fail_msg("step %zu: loss %.9g norm %.9g, PyTorch has %.9g and %.9g", i, loss, norm, golden, golden_norm);
    }
    if (file != NULL)
        assert_all_close(nm_bert_params(bert), nm_bert_params(bert)->data, file, 1.0);
    nm_optimizer_destroy(&opt);
    nm_bert_destroy(&bert);
}

static void ten_steps_decay_on_all(void **state)
{
    (void)state;
    ten_steps("all", "steps_all.safetensors", true, 1, NM_FP32);
    ten_steps("all", "steps_all.safetensors", true, 2, NM_FP32);
}

static void ten_steps_usual_decay(void **state)
{
    (void)state;
    ten_steps("usual", "steps_usual.safetensors", false, 2, NM_FP32);
}

/* ---- bf16 ------------------------------------------------------------------------------------ */

static double relative_error(const float *ours, const float *golden, size_t n)
{
    double diff = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        diff += ((double)ours[i] - (double)golden[i]) * ((double)ours[i] - (double)golden[i]);
        norm += (double)golden[i] * (double)golden[i];
    }
    return sqrt(diff / norm);
}

static void gradients_in_bf16(size_t n_threads)
{
    struct nm_bert *bert = load_model_as(n_threads, NM_BF16);
    struct nm_safetensors *st = NULL;
    const struct nm_params *params = nm_bert_params(bert);
    double loss;
    assert_int_equal(nm_bert_train(bert, &batches[0].batch, 1.0F, 1, &loss, NULL, &diag), NM_OK);
    assert_true(fabs(loss - batches[0].loss) <= 0.003 * loss);
    assert_int_equal(nm_safetensors_open(&st, path_of("grads.safetensors"), &diag), NM_OK);
    for (size_t i = 0; i < params->n; i++) {
        const struct nm_param *p = &params->at[i];
        const size_t shape[2] = {p->rows, p->cols};
        float *golden = calloc(p->n, sizeof *golden);
        assert_non_null(golden);
        assert_int_equal(nm_safetensors_read(st, p->name, p->rank, shape, golden, &diag), NM_OK);
        const double error = relative_error(params->grad + p->offset, golden, p->n);
        if (strstr(p->name, "key.bias") == NULL && !(error <= BF16_ERROR)) /* of a key's bias it is 0 */
            fail_msg("%s in bf16: relative error %g", p->name, error);
        if (p->rank == 2 && !(error >= 0.001))
            fail_msg("%s: relative error %g: was that bf16?", p->name, error);
        free(golden);
    }
    nm_safetensors_close(&st);
    nm_bert_destroy(&bert);
}

/* The losses of ten steps stay with PyTorch's float64. */
static void losses_in_bf16(void)
{
    ten_steps("all", NULL, true, 2, NM_BF16);
}

static void bf16_of_this_cpu(void **state)
{
    (void)state;
    gradients_in_bf16(1);
    gradients_in_bf16(3);
    losses_in_bf16();
}

/* The same roundings where a CPU has no instruction for them. */
static void bf16_of_any_cpu(void **state)
{
    (void)state;
    assert_int_equal(setenv("NERMILL_ISA", "base", 1), 0);
    gradients_in_bf16(1);
    gradients_in_bf16(3);
    losses_in_bf16();
    assert_int_equal(unsetenv("NERMILL_ISA"), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_and_loss),       cmocka_unit_test(every_gradient),
        cmocka_unit_test(accumulated_gradient),  cmocka_unit_test(ten_steps_decay_on_all),
        cmocka_unit_test(ten_steps_usual_decay), cmocka_unit_test(bf16_of_this_cpu),
        cmocka_unit_test(bf16_of_any_cpu),
    };
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s GOLDEN_DATA_DIR\n", argv[0]);
        return 2;
    }
    data_dir = argv[1];
    return cmocka_run_group_tests(tests, read_goldens, free_goldens);
}
