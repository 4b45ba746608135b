/* The encoder as a whole: loading and saving in every form, packing, determinism, gradients under dropout, the
 * optimizer's state.  golden.bert holds its figures against PyTorch. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/hash.h"
#include "workers/trainer/bert.h"
#include "workers/trainer/optimizer.h"
#include "workers/trainer/safetensors.h"

static const char *const golden_model = "tests/golden/data/model"; /* the test's directory is the checkout */
static const char *const labels[] = {"O", "B-X", "I-X"};
static char dir[] = "/tmp/nm_bert_XXXXXX";
static struct nm_diag diag;

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL;
}

static const char *in_dir(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(in_dir("config.json"));
    (void)unlink(in_dir("model.safetensors"));
    (void)unlink(in_dir("crf.safetensors"));
    (void)unlink(in_dir("optimizer.safetensors"));
    return rmdir(dir);
}

static struct nm_bert *load(const char *from, struct nm_bert_options options)
{
    struct nm_bert *bert = NULL;
    if (nm_bert_load(&bert, from, &options, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return bert;
}

/* A model with dropout. */
static struct nm_bert *make_model_of(struct nm_bert_options options)
{
    const struct nm_model_config cfg = {.vocab_size = 50,
                                        .hidden_size = 24,
                                        .n_layers = 3,
                                        .n_heads = 3,
                                        .intermediate_size = 40,
                                        .max_positions = 30,
                                        .n_types = 2,
                                        .layer_norm_eps = 1e-12F,
                                        .hidden_dropout = 0.2F,
                                        .attention_dropout = 0.15F,
                                        .classifier_dropout = 0.1F,
                                        .initializer_range = 0.3F};
    struct nm_bert *bert = NULL;
    options.labels = labels;
    options.n_labels = 3;
    assert_int_equal(nm_bert_new(&bert, &cfg, &options, &diag), NM_OK);
    nm_bert_init_weights(bert, 17);
    return bert;
}

static struct nm_bert *make_model(size_t n_threads)
{
    return make_model_of((struct nm_bert_options){.n_threads = n_threads});
}

enum { TOKENS = 61 };
static const uint32_t starts[] = {0, 9, 10, 40, 61};
static uint32_t ids[TOKENS];
static int32_t tags[TOKENS];
static const struct nm_batch batch = {4, TOKENS, ids, starts, tags, 0, NULL, 0};

static void fill_batch(void)
{
    struct nm_rng rng;
    nm_rng_init(&rng, 2);
    for (size_t i = 0; i < TOKENS; i++) {
        ids[i] = (uint32_t)nm_rng_below(&rng, 50);
        tags[i] = (int32_t)nm_rng_below(&rng, 5) + NM_LABEL_UNKNOWN;
    }
}

/* ---- files ----------------------------------------------------------------------------------- */

static void assert_same_weights(struct nm_bert *a, struct nm_bert *b)
{
    const struct nm_params *x = nm_bert_params(a), *y = nm_bert_params(b);
    assert_int_equal(x->total, y->total);
    assert_memory_equal(x->data, y->data, x->total * sizeof(float));
}

static void save_and_load(void **state)
{
    (void)state;
    struct nm_bert *a = make_model(1);
    assert_int_equal(nm_bert_save(a, dir, &diag), NM_OK);
    struct nm_bert *b = load(dir, (struct nm_bert_options){.n_threads = 1});
    assert_true(nm_bert_head_loaded(b));
    assert_same_weights(a, b);
    assert_string_equal(nm_bert_config(b)->labels[2], "I-X");
    nm_bert_destroy(&b);
    /* other labels: a new head, the same encoder */
    const char *const other[] = {"O", "I-X", "B-X"};
    b = load(dir, (struct nm_bert_options){.labels = other, .n_labels = 3, .seed = 5, .n_threads = 1});
    assert_false(nm_bert_head_loaded(b));
    const struct nm_param *head = nm_params_find(nm_bert_params(b), "classifier.weight");
    assert_memory_equal(nm_bert_params(a)->data, nm_bert_params(b)->data, head->offset * sizeof(float));
    assert_memory_not_equal(nm_bert_params(a)->data + head->offset, nm_bert_params(b)->data + head->offset,
                            head->n * sizeof(float));
    struct nm_bert *c =
        load(dir, (struct nm_bert_options){.labels = other, .n_labels = 3, .seed = 5, .n_threads = 1});
    assert_same_weights(b, c);
    nm_bert_destroy(&a);
    nm_bert_destroy(&b);
    nm_bert_destroy(&c);
}

static void refuse_model(enum nm_err want, const char *words)
{
    struct nm_bert *b = NULL;
    const struct nm_bert_options options = {.n_threads = 1};
    enum nm_err err = nm_bert_load(&b, dir, &options, &diag);
    if (err != want || strstr(diag.text, words) == NULL || strstr(diag.text, dir) == NULL)
        fail_msg("%s: %s", nm_err_name(err), diag.text);
    assert_null(b);
}

/* A CRF layer is a file of its own, which belongs to the classifier beside it and goes with it. */
static void save_and_load_crf(void **state)
{
    (void)state;
    struct nm_bert *a = make_model_of((struct nm_bert_options){.n_threads = 1, .crf = true});
    assert_non_null(nm_bert_crf(a)->transitions);
    assert_int_equal(nm_bert_save(a, dir, &diag), NM_OK);
    struct nm_bert *b = load(dir, (struct nm_bert_options){.n_threads = 1});
    assert_same_weights(a, b);
    nm_bert_destroy(&b);
    struct nm_bert_options options = {.labels = labels, .n_labels = 3, .n_threads = 1, .crf = true};
    b = load(dir, options); /* to train on */
    assert_same_weights(a, b);
    nm_bert_destroy(&b);
    const char *const other[] = {"O", "I-X", "B-X"};
    options.labels = other;
    b = load(dir, options);
    for (size_t i = 0; i < 9; i++)
        assert_true(nm_bert_crf(b)->transitions[i] == 0);
    nm_bert_destroy(&b);
    options = (struct nm_bert_options){.labels = labels, .n_labels = 3, .n_threads = 1};
    b = load(dir, options); /* to train on without the layer: its file goes */
    assert_null(nm_bert_crf(b)->transitions);
    assert_int_equal(nm_bert_save(b, dir, &diag), NM_OK);
    assert_false(nm_file_exists(in_dir("crf.safetensors")));
    nm_bert_destroy(&b);
    const struct nm_safetensor_view wrong = {"transitions", 1, {2}, (const float[]){1, 2}};
    assert_int_equal(nm_safetensors_write(in_dir("crf.safetensors"), &wrong, 1, NULL, 0, &diag), NM_OK);
    refuse_model(NM_EFORMAT, "transitions has shape (2)");
    assert_int_equal(unlink(in_dir("crf.safetensors")), 0);
    nm_bert_destroy(&a);
}

enum form { WITHOUT_PREFIX, OLD_NORM_NAMES, NO_HEAD, MISSING, WRONG_SHAPE };

/* The golden model's file in another form, with a pooler beside it. */
static void write_form(enum form form)
{
    struct nm_bert *a = load(golden_model, (struct nm_bert_options){.n_threads = 1});
    const struct nm_params *params = nm_bert_params(a);
    struct nm_safetensor_view *views = calloc(params->n + 1, sizeof *views);
    char(*names)[128] = calloc(params->n, sizeof *names);
    size_t n = 0;
    for (size_t i = 0; i < params->n; i++) {
        const struct nm_param *p = &params->at[i];
        bool head = strncmp(p->name, "classifier.", 11) == 0;
        if ((head && form == NO_HEAD) || (form == MISSING && strstr(p->name, "layer.1.output.dense.bias") != NULL))
            continue;
        (void)snprintf(names[n], sizeof names[n], "%s", p->name + (form == WITHOUT_PREFIX && !head ? 5 : 0));
        char *norm = strstr(names[n], "LayerNorm.");
        if (form == OLD_NORM_NAMES && norm != NULL)
            (void)snprintf(norm + 10, 8, "%s", strcmp(norm + 10, "weight") == 0 ? "gamma" : "beta");
        views[n] = (struct nm_safetensor_view){names[n], p->rank, {p->rows, p->cols}, params->data + p->offset};
        if (form == WRONG_SHAPE && strstr(p->name, "layer.0.intermediate.dense.weight") != NULL) {
            views[n].shape[0] = p->cols;
            views[n].shape[1] = p->rows;
        }
        n++;
    }
    views[n++] = (struct nm_safetensor_view){"pooler.dense.bias", 1, {3}, params->data};
    assert_int_equal(nm_safetensors_write(in_dir("model.safetensors"), views, n, NULL, 0, &diag), NM_OK);
    assert_int_equal(nm_model_config_write(dir, nm_bert_config(a), &diag), NM_OK);
    free(names);
    free(views);
    nm_bert_destroy(&a);
}

static void forms(void **state)
{
    (void)state;
    struct nm_bert *a = load(golden_model, (struct nm_bert_options){.n_threads = 1}), *b = NULL;
    for (enum form form = WITHOUT_PREFIX; form <= OLD_NORM_NAMES; form++) {
        write_form(form);
        b = load(dir, (struct nm_bert_options){.n_threads = 1});
        assert_true(nm_bert_head_loaded(b));
        assert_same_weights(a, b);
        nm_bert_destroy(&b);
    }
    write_form(NO_HEAD);
    b = load(dir, (struct nm_bert_options){.n_threads = 1});
    assert_false(nm_bert_head_loaded(b));
    nm_bert_destroy(&b);
    nm_bert_destroy(&a);
}

static void bad_models(void **state)
{
    (void)state;
    write_form(MISSING);
    refuse_model(NM_ENOENT, "bert.encoder.layer.1.output.dense.bias");
    write_form(WRONG_SHAPE);
    refuse_model(NM_EFORMAT, "bert.encoder.layer.0.intermediate.dense.weight has shape (32, 48)");
    assert_int_equal(truncate(in_dir("model.safetensors"), 50000), 0);
    refuse_model(NM_EFORMAT, "truncated");
    assert_int_equal(unlink(in_dir("model.safetensors")), 0);
    refuse_model(NM_ENOENT, "model.safetensors");
    assert_int_equal(nm_file_write_atomic(in_dir("pytorch_model.bin"), "x", 1, &diag), NM_OK);
    refuse_model(NM_EFORMAT, "pytorch_model.bin");
    assert_int_equal(unlink(in_dir("pytorch_model.bin")), 0);
}

/* ---- passes ---------------------------------------------------------------------------------- */

static void packed_equals_single(void **state)
{
    (void)state;
    struct nm_bert *bert = make_model(2);
    const float *logits;
    float packed[TOKENS * 3];
    fill_batch();
    assert_int_equal(nm_bert_forward(bert, &batch, &logits, &diag), NM_OK);
    memcpy(packed, logits, sizeof packed);
    for (size_t s = 0; s < batch.n_seqs; s++) {
        const uint32_t own[2] = {0, starts[s + 1] - starts[s]};
        const struct nm_batch one = {1, own[1], ids + starts[s], own, NULL, 0, NULL, 0};
        assert_int_equal(nm_bert_forward(bert, &one, &logits, &diag), NM_OK);
        for (size_t i = 0; i < one.n_tokens * 3; i++)
            assert_true(fabsf(logits[i] - packed[starts[s] * 3 + i]) <= 1e-5F);
    }
    nm_bert_destroy(&bert);
}

/* Wanted tokens get the logits that they have among all; the last layer leaves the others out.  One sequence has
 * none, the last try wants nothing at all. */
static void wanted_tokens(void **state)
{
    (void)state;
    static const uint32_t wanted[] = {0, 3, 4, 8, 40, 41, 50, 60};
    float all[TOKENS * 3];
    const float *logits;
    fill_batch();
    for (size_t n_threads = 1; n_threads <= 3; n_threads++)
        for (size_t n = sizeof wanted / sizeof *wanted + 1; n-- > 0;) {
            struct nm_bert *bert = make_model(n_threads);
            struct nm_batch some = batch;
            size_t next = 0;
            some.wanted = wanted;
            some.n_wanted = n;
            assert_int_equal(nm_bert_forward(bert, &batch, &logits, &diag), NM_OK);
            memcpy(all, logits, sizeof all);
            assert_int_equal(nm_bert_forward(bert, &some, &logits, &diag), NM_OK);
            for (size_t t = 0; t < TOKENS; t++) {
                const bool is_wanted = next < n && wanted[next] == t;
                next += is_wanted;
                for (size_t i = t * 3; i < (t + 1) * 3; i++)
                    assert_true(is_wanted ? fabsf(logits[i] - all[i]) <= 1e-5F : logits[i] == 0.0F);
            }
            assert_int_equal(next, n);
            nm_bert_destroy(&bert);
        }
}

static void bad_batches(void **state)
{
    (void)state;
    struct nm_bert *bert = make_model(1);
    const float *logits;
    fill_batch();
    struct nm_batch b = batch;
    ids[7] = 50;
    assert_int_equal(nm_bert_forward(bert, &b, &logits, &diag), NM_EINVAL);
    assert_non_null(strstr(diag.text, "token 7"));
    ids[7] = 0;
    tags[3] = 3;
    assert_int_equal(nm_bert_train(bert, &b, 1.0F, 0, NULL, NULL, &diag), NM_EINVAL);
    tags[3] = NM_LABEL_UNKNOWN - 1;
    assert_int_equal(nm_bert_train(bert, &b, 1.0F, 0, NULL, NULL, &diag), NM_EINVAL);
    tags[3] = 0;
    b.seq_start = (const uint32_t[]){0, 9, 9, 40, 61};
    assert_int_equal(nm_bert_forward(bert, &b, &logits, &diag), NM_EINVAL);
    b.seq_start = (const uint32_t[]){0, 9, 10, 20, 61}; /* 41 tokens, 30 positions */
    assert_int_equal(nm_bert_forward(bert, &b, &logits, &diag), NM_EINVAL);
    assert_non_null(strstr(diag.text, "sequence 3"));
    b.seq_start = (const uint32_t[]){0, 9, 10, 40, 60};
    assert_int_equal(nm_bert_forward(bert, &b, &logits, &diag), NM_EINVAL);
    nm_bert_destroy(&bert);
    const struct nm_bert_options options = {.n_threads = 1, .inference = true};
    bert = load(golden_model, options);
    assert_int_equal(nm_bert_train(bert, &batch, 1.0F, 0, NULL, NULL, &diag), NM_ESTATE);
    assert_int_equal(nm_bert_forward(bert, &batch, &logits, &diag), NM_OK);
    nm_bert_destroy(&bert);
}

static double loss_of(struct nm_bert *bert, uint64_t key)
{
    double loss;
    nm_bert_zero_grad(bert);
    assert_int_equal(nm_bert_train(bert, &batch, 1.0F, key, &loss, NULL, &diag), NM_OK);
    return loss;
}

/* Along any direction the loss changes as the gradient says, with the masks of one key in both passes. */
static void gradient_under_dropout_of(struct nm_bert *bert)
{
    struct nm_params *params = nm_bert_params(bert);
    float *grad = calloc(params->total, sizeof *grad), *kept = calloc(params->total, sizeof *kept);
    struct nm_rng rng;
    fill_batch();
    assert_true(fabs(loss_of(bert, 1) - loss_of(bert, 2)) > 1e-4); /* dropout acts */
    (void)loss_of(bert, 1);
    memcpy(grad, params->grad, params->total * sizeof *grad);
    memcpy(kept, params->data, params->total * sizeof *kept);
    nm_rng_init(&rng, 8);
    for (size_t i = 0; i < params->n; i++) { /* each tensor: along its gradient, plus some noise */
        const struct nm_param *p = &params->at[i];
        double norm = 0, slope = 0, losses[2];
        if (strstr(p->name, "key.bias") != NULL) /* no influence on the softmax */
            continue;
        for (size_t j = p->offset; j < p->offset + p->n; j++)
            norm += (double)grad[j] * (double)grad[j];
        norm = sqrt(norm);
        assert_true(norm > 0);
        float *direction = calloc(p->n, sizeof *direction);
        for (size_t j = 0; j < p->n; j++) {
            direction[j] =
                (float)((double)grad[p->offset + j] / norm + (nm_rng_unit(&rng) - 0.5) / sqrt((double)p->n));
            slope += (double)direction[j] * (double)grad[p->offset + j];
        }
        for (int side = 0; side < 2; side++) {
            const float h = side == 0 ? 2e-3F : -2e-3F;
            for (size_t j = 0; j < p->n; j++)
                params->data[p->offset + j] = kept[p->offset + j] + h * direction[j];
            losses[side] = loss_of(bert, 1);
        }
        memcpy(params->data, kept, params->total * sizeof *kept);
        double measured = (losses[0] - losses[1]) / 4e-3;
        if (!(fabs(measured - slope) <= 0.01 * fabs(slope) + 2e-4))
            fail_msg("%s: slope %g, measured %g", p->name, slope, measured);
        free(direction);
    }
    free(kept);
    free(grad);
    nm_bert_destroy(&bert);
}

static void gradient_under_dropout(void **state)
{
    (void)state;
    gradient_under_dropout_of(make_model(2));
    gradient_under_dropout_of(make_model_of((struct nm_bert_options){.n_threads = 3, .crf = true}));
}

/* Trains some steps; the weights at the end. */
static void train_some(struct nm_bert *bert, struct nm_optimizer *opt, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        (void)loss_of(bert, nm_mix64(i));
        assert_true(isfinite(nm_optimizer_step(opt)));
    }
}

static struct nm_optimizer *make_optimizer(struct nm_bert *bert)
{
    struct nm_optimizer *opt = NULL;
    struct nm_optimizer_options options = nm_optimizer_defaults();
    options.lr = 1e-2F;
    options.warmup_steps = 2;
    options.total_steps = 8;
    options.n_threads = 1;
    assert_int_equal(nm_optimizer_new(&opt, nm_bert_params(bert), &options, &diag), NM_OK);
    return opt;
}

static void same_bits_in(enum nm_precision precision, bool crf)
{
    const struct nm_bert_options options = {.n_threads = 1, .precision = precision, .crf = crf};
    struct nm_bert *a = make_model_of(options), *b = make_model_of(options);
    struct nm_optimizer *x = make_optimizer(a), *y = make_optimizer(b);
    fill_batch();
    train_some(a, x, 0, 6);
    train_some(b, y, 0, 6);
    assert_same_weights(a, b);
    nm_optimizer_destroy(&x);
    nm_optimizer_destroy(&y);
    nm_bert_destroy(&a);
    nm_bert_destroy(&b);
}

static void same_bits(void **state)
{
    (void)state;
    for (int crf = 0; crf < 2; crf++) {
        same_bits_in(NM_FP32, crf != 0);
        same_bits_in(NM_BF16, crf != 0);
    }
}

/* Layers made again in the backward pass: every gradient the same, bit for bit, dropout and all. */
static void checkpointing(void **state)
{
    (void)state;
    fill_batch();
    for (int i = 0; i < 4; i++) {
        struct nm_bert_options options = {.n_threads = 1 + (size_t)(i & 1), .precision = i < 2 ? NM_FP32 : NM_BF16};
        struct nm_bert *a = make_model_of(options);
        options.checkpointing = true;
        struct nm_bert *b = make_model_of(options);
        for (uint64_t key = 1; key <= 3; key++) {
            assert_true(loss_of(a, key) == loss_of(b, key));
            const struct nm_params *x = nm_bert_params(a), *y = nm_bert_params(b);
            assert_memory_equal(x->grad, y->grad, x->total * sizeof *x->grad);
        }
        nm_bert_destroy(&a);
        nm_bert_destroy(&b);
    }
}

/* BERT-base in training: weights, gradients and two moments of 109 million, and activations by the batch. */
static void memory(void **state)
{
    (void)state;
    const struct nm_model_config base = {.vocab_size = 30522,
                                         .hidden_size = 768,
                                         .n_layers = 12,
                                         .n_heads = 12,
                                         .intermediate_size = 3072,
                                         .max_positions = 512,
                                         .n_types = 2,
                                         .n_labels = 5};
    struct nm_bert_options options = {.n_threads = 2};
    const struct nm_bert_extent none = {0};
    const struct nm_bert_extent some = {.n_tokens = 1024, .max_len = 64, .probs = 1024 * 64};
    const struct nm_bert_extent more = {.n_tokens = 2048, .max_len = 64, .probs = 2048 * 64};
    const size_t params = 108895493, bare = nm_bert_memory(&base, &options, &none);
    assert_in_range(bare, 16 * params, 16 * params + (100 << 20)); /* and what products are packed into */
    /* per token and layer: 8 rows of the hidden size, two of the intermediate, probabilities of 64 in 12 heads, 2
     * sums; per token: 8 rows (embedded, its norm's, final, two gradients, the widest gradient 4 of them), some more
     */
    const size_t token = 4 * (12 * (8 * 768 + 2 * 3072 + 12 * 64 + 2) + 9 * 768 + 14);
    const size_t first = nm_bert_memory(&base, &options, &some), second = nm_bert_memory(&base, &options, &more);
    assert_int_equal((second - first) / 1024, token);
    const char *const five[] = {"O", "B-X", "I-X", "B-Y", "I-Y"};
    const struct nm_bert_options crf = {.n_threads = 2, .labels = five, .n_labels = 5, .crf = true};
    assert_int_equal(nm_bert_memory(&base, &crf, &some) - first, /* its room, and four times its weights */
                     4 * nm_crf_team_room(2, 64, 5) + 4 * 4 * (32 + 16 + 16));
    options.checkpointing = true;
    const size_t less = nm_bert_memory(&base, &options, &some);
    assert_int_equal((first - less) / 1024, 4 * 11 * (7 * 768 + 2 * 3072 + 12 * 64 + 2));
    options.inference = true;
    assert_in_range(nm_bert_memory(&base, &options, &none), 4 * params, 4 * params + (100 << 20));
}

static void optimizer_resumes(void **state)
{
    (void)state;
    char path[128];
    struct nm_bert *a = make_model(1);
    struct nm_optimizer *x = make_optimizer(a);
    fill_batch();
    train_some(a, x, 0, 3);
    (void)snprintf(path, sizeof path, "%s", in_dir("optimizer.safetensors"));
    assert_int_equal(nm_optimizer_save(x, path, &diag), NM_OK);
    assert_int_equal(nm_bert_save(a, dir, &diag), NM_OK);
    train_some(a, x, 3, 6);
    struct nm_bert *b = load(dir, (struct nm_bert_options){.n_threads = 1});
    struct nm_optimizer *y = make_optimizer(b);
    assert_int_equal(nm_optimizer_load(y, path, &diag), NM_OK);
    assert_int_equal(nm_optimizer_steps(y), 3);
    train_some(b, y, 3, 6);
    assert_same_weights(a, b);
    /* the state of another model is refused and changes nothing */
    struct nm_bert *c = load(golden_model, (struct nm_bert_options){.n_threads = 1});
    struct nm_optimizer *z = make_optimizer(c);
    assert_int_not_equal(nm_optimizer_load(z, path, &diag), NM_OK);
    assert_int_equal(nm_optimizer_steps(z), 0);
    assert_int_equal(nm_optimizer_load(z, in_dir("model.safetensors"), &diag), NM_EFORMAT);
    nm_optimizer_destroy(&x);
    nm_optimizer_destroy(&y);
    nm_optimizer_destroy(&z);
    nm_bert_destroy(&a);
    nm_bert_destroy(&b);
    nm_bert_destroy(&c);
}

static void nothing_labelled(void **state)
{
    (void)state;
    struct nm_bert *bert = make_model(2);
    const struct nm_params *params = nm_bert_params(bert);
    double loss = 1;
    size_t n = 1;
    fill_batch();
    (void)loss_of(bert, 1);
    for (size_t i = 0; i < TOKENS; i++)
        tags[i] = -1;
    nm_bert_zero_grad(bert);
    assert_int_equal(nm_bert_train(bert, &batch, 1.0F, 1, &loss, &n, &diag), NM_OK);
    assert_true(loss == 0.0 && n == 0);
    for (size_t i = 0; i < params->total; i++)
        assert_true(params->grad[i] == 0.0F);
    nm_bert_destroy(&bert);
}

static void schedule(void **state)
{
    (void)state;
    struct nm_bert *bert = make_model(1);
    struct nm_optimizer *opt = make_optimizer(bert);
    const float want[] = {0.0F,          5e-3F,         1e-2F,         1e-2F * 5 / 6, 1e-2F * 4 / 6,
                          1e-2F * 3 / 6, 1e-2F * 2 / 6, 1e-2F * 1 / 6, 0.0F,          0.0F};
    fill_batch();
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_true(fabsf(nm_optimizer_lr(opt) - want[i]) < 1e-8F);
        train_some(bert, opt, i, i + 1);
    }
    nm_optimizer_destroy(&opt);
    nm_bert_destroy(&bert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(save_and_load),
        cmocka_unit_test(save_and_load_crf),
        cmocka_unit_test(forms),
        cmocka_unit_test(bad_models),
        cmocka_unit_test(packed_equals_single),
        cmocka_unit_test(wanted_tokens),
        cmocka_unit_test(bad_batches),
        cmocka_unit_test(gradient_under_dropout),
        cmocka_unit_test(same_bits),
        cmocka_unit_test(checkpointing),
        cmocka_unit_test(memory),
        cmocka_unit_test(optimizer_resumes),
        cmocka_unit_test(nothing_labelled),
        cmocka_unit_test(schedule),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
