/* A frozen model against the same one loaded otherwise: the same logits, whoever takes which sequences. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/hash.h"
#include "tests/unit/temp_dir.h"
#include "workers/trainer/bert.h"
#include "workers/trainer/gemm.h"

enum { VOCABULARY = 50, POSITIONS = 40, LABELS = 3, SEQUENCES = 90, MOST = SEQUENCES * POSITIONS };

static struct nm_diag diag;
static uint32_t ids[MOST], starts[SEQUENCES + 1], wanted[MOST];
static float expected[MOST * LABELS], alone[MOST * LABELS];

/* A model's directory; its panels of packed weights are not full, its rows of no whole number of vectors. */
static int set_up(void **state)
{
    static const char *const labels[] = {"O", "B-X", "I-X"};
    const struct nm_bert_options options = {.n_threads = 1, .labels = labels, .n_labels = LABELS, .crf = true};
    const struct nm_model_config cfg = {.vocab_size = VOCABULARY,
                                        .hidden_size = 24,
                                        .n_layers = 3,
                                        .n_heads = 3,
                                        .intermediate_size = 56,
                                        .max_positions = POSITIONS,
                                        .n_types = 2,
                                        .layer_norm_eps = 1e-12F,
                                        .initializer_range = 0.3F};
    struct nm_bert *bert = NULL;
    if (temp_dir_make(state) != 0 || nm_bert_new(&bert, &cfg, &options, &diag) != NM_OK)
        return -1;
    nm_bert_init_weights(bert, 3);
    const enum nm_err err = nm_bert_save(bert, temp_dir, &diag);
    nm_bert_destroy(&bert);
    return err == NM_OK ? 0 : -1;
}

static struct nm_bert *load(struct nm_bert_options options)
{
    struct nm_bert *bert = NULL;
    if (nm_bert_load(&bert, temp_dir, &options, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return bert;
}

/* n sequences of 1 to `longest` tokens; two in three are wanted. */
static struct nm_batch make_batch(size_t n, size_t longest)
{
    struct nm_rng rng;
    struct nm_batch batch = {.n_seqs = n, .ids = ids, .seq_start = starts, .wanted = wanted};
    nm_rng_init(&rng, n);
    for (size_t s = 0; s < n; s++)
        starts[s + 1] = starts[s] + (uint32_t)(s == 0 ? longest : 1 + nm_rng_below(&rng, longest));
    batch.n_tokens = starts[n];
    for (size_t t = 0; t < batch.n_tokens; t++) {
        ids[t] = (uint32_t)nm_rng_below(&rng, VOCABULARY);
        if (nm_rng_below(&rng, 3) > 0)
            wanted[batch.n_wanted++] = (uint32_t)t;
    }
    return batch;
}

/* Each sequence by itself, all of its tokens. */
static void one_by_one(float *out, const struct nm_batch *batch, struct nm_bert_options options)
{
    struct nm_bert *bert = load(options);
    const float *logits;
    for (size_t s = 0; s < batch->n_seqs; s++) {
        const uint32_t own[2] = {0, starts[s + 1] - starts[s]};
        const struct nm_batch one = {.n_seqs = 1, .n_tokens = own[1], .ids = ids + starts[s], .seq_start = own};
        assert_int_equal(nm_bert_forward(bert, &one, &logits, &diag), NM_OK);
        memcpy(out + starts[s] * LABELS, logits, own[1] * LABELS * sizeof *logits);
    }
    nm_bert_destroy(&bert);
}

/* By a model whose weights are packed for every product, which multiplies what this one looks up; and by a frozen
 * one. */
static void expect(const struct nm_batch *batch, enum nm_precision precision)
{
    one_by_one(expected, batch, (struct nm_bert_options){.n_threads = 1, .precision = precision, .inference = true});
    one_by_one(alone, batch, (struct nm_bert_options){.n_threads = 1, .precision = precision, .frozen = true});
}

/* Bit for bit where the products are our own; OpenBLAS adds in another order when there are other rows. */
static void assert_expected(const float *logits, size_t t, enum nm_precision precision)
{
    const float *want = expected + t * LABELS, *got = logits + t * LABELS;
    if (nm_gemm_get(precision) != NULL)
        assert_memory_equal(got, alone + t * LABELS, LABELS * sizeof *got);
    if (precision == NM_BF16) /* nothing is looked up */
        assert_memory_equal(got, want, LABELS * sizeof *got);
    for (size_t i = 0; i < LABELS; i++)
        assert_true(fabsf(got[i] - want[i]) < 1e-5F);
}

static void check(struct nm_bert *bert, const struct nm_batch *batch, enum nm_precision precision)
{
    static const float zeros[LABELS];
    struct nm_batch all = *batch;
    const float *logits;
    size_t next = 0;
    all.wanted = NULL;
    all.n_wanted = 0;
    assert_int_equal(nm_bert_forward(bert, &all, &logits, &diag), NM_OK);
    for (size_t t = 0; t < batch->n_tokens; t++)
        assert_expected(logits, t, precision);
    assert_int_equal(nm_bert_forward(bert, batch, &logits, &diag), NM_OK);
    for (size_t t = 0; t < batch->n_tokens; t++)
        if (next < batch->n_wanted && wanted[next] == t) {
            assert_expected(logits, t, precision);
            next++;
        } else
            assert_memory_equal(logits + t * LABELS, zeros, sizeof zeros);
    assert_int_equal(next, batch->n_wanted);
}

/* Batches of many slices, of a few sequences, and of one that all threads share; every number of threads. */
static void same_logits(void **state)
{
    (void)state;
    const size_t sizes[] = {SEQUENCES, 5, 2, 1};
    for (int p = NM_FP32; p <= NM_BF16; p++)
        for (size_t threads = 1; threads <= 3; threads++) {
            const enum nm_precision precision = (enum nm_precision)p;
            struct nm_bert *bert =
                load((struct nm_bert_options){.n_threads = threads, .precision = precision, .frozen = true});
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                const struct nm_batch batch = make_batch(sizes[i], POSITIONS);
                expect(&batch, precision);
                check(bert, &batch, precision);
            }
            nm_bert_destroy(&bert);
        }
}

/* Embeddings that can't stay in the file: its header is one byte longer, so that no tensor is aligned. */
static void misaligned(void **state)
{
    (void)state;
    char path[128];
    struct nm_buf buf;
    (void)snprintf(path, sizeof path, "%s/model.safetensors", temp_dir);
    nm_buf_init(&buf, 1 << 20);
    assert_int_equal(nm_file_read(path, &buf, &diag), NM_OK);
    const char *file = nm_buf_str(&buf);
    uint64_t len;
    memcpy(&len, file, sizeof len);
    const size_t header = (size_t)len + sizeof len;
    const struct nm_batch batch = make_batch(SEQUENCES, POSITIONS);
    expect(&batch, NM_FP32);
    len++;
    const struct nm_file_part parts[] = {
        {&len, sizeof len}, {file + sizeof len, header - sizeof len}, {" ", 1}, {file + header, buf.len - header}};
    assert_int_equal(nm_file_write_atomic_parts(path, parts, 4, &diag), NM_OK);
    struct nm_bert *bert = load((struct nm_bert_options){.n_threads = 2, .frozen = true});
    check(bert, &batch, NM_FP32);
    nm_bert_destroy(&bert);
    assert_int_equal(nm_file_write_atomic(path, file, buf.len, &diag), NM_OK);
    nm_buf_clean_up(&buf);
}

/* Those of a server don't: its file may be overwritten. */
static void lasting(void **state)
{
    (void)state;
    const struct nm_batch batch = make_batch(SEQUENCES, POSITIONS);
    const char zeros[4096] = {0};
    char path[128];
    struct nm_buf buf;
    (void)snprintf(path, sizeof path, "%s/model.safetensors", temp_dir);
    nm_buf_init(&buf, 1 << 20);
    assert_int_equal(nm_file_read(path, &buf, &diag), NM_OK);
    expect(&batch, NM_FP32);
    struct nm_bert *bert = load((struct nm_bert_options){.n_threads = 2, .frozen = true, .lasting = true});
    FILE *file = fopen(path, "we"); /* truncated: its pages are gone */
    assert_non_null(file);
    assert_int_equal(fwrite(zeros, 1, sizeof zeros, file), sizeof zeros);
    assert_int_equal(fclose(file), 0);
    check(bert, &batch, NM_FP32);
    nm_bert_destroy(&bert);
    assert_int_equal(nm_file_write_atomic(path, nm_buf_str(&buf), buf.len, &diag), NM_OK);
    nm_buf_clean_up(&buf);
}

/* What stays of it, and what it refuses. */
static void only_tags(void **state)
{
    (void)state;
    struct nm_bert *bert = load((struct nm_bert_options){.n_threads = 2, .frozen = true});
    struct nm_bert *other = load((struct nm_bert_options){.n_threads = 1});
    assert_true(nm_bert_head_loaded(bert));
    assert_memory_equal(nm_bert_crf(bert)->transitions, nm_bert_crf(other)->transitions,
                        LABELS * LABELS * sizeof(float));
    assert_true(nm_bert_batch(bert) > nm_bert_batch(other));
    struct nm_batch batch = make_batch(SEQUENCES, POSITIONS);
    const float *logits;
    ids[700] = VOCABULARY;
    assert_int_equal(nm_bert_forward(bert, &batch, &logits, &diag), NM_EINVAL);
    assert_non_null(strstr(diag.text, "token 700"));
    const int32_t labels[MOST] = {0};
    ids[700] = 0;
    batch.labels = labels;
    assert_int_equal(nm_bert_train(bert, &batch, 1.0F, 0, NULL, NULL, &diag), NM_ESTATE);
    assert_int_equal(nm_bert_save(bert, temp_dir, &diag), NM_ESTATE);
    nm_bert_destroy(&bert);
    nm_bert_destroy(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_logits),
        cmocka_unit_test(misaligned),
        cmocka_unit_test(lasting),
        cmocka_unit_test(only_tags),
    };
    return cmocka_run_group_tests(tests, set_up, temp_dir_remove);
}
