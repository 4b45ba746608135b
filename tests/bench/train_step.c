/* Tokens/s of forward + backward + AdamW on random packed batches; or the rate of plain OpenBLAS products of a
 * model's shapes, which is the roof of a training in fp32 that multiplies with OpenBLAS.
 *
 * usage: train_step MODEL_DIR|base [steps 20] [sequences 32] [mean length 36] [threads 0] [fp32|bf16]
 *        train_step sgemm HIDDEN INTERMEDIATE ROWS THREADS
 * "base" is BERT-base's shape with random weights; a length of =36 gives every sequence just that.  Last line: one
 * JSON object.
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/hash.h"
#include "workers/trainer/bert.h"
#include "workers/trainer/optimizer.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct random_batch {
    struct nm_batch batch;
    uint32_t *ids, *seq_start;
    int32_t *labels;
};

/* Every length the mean, or spread evenly from half to one and a half of it. */
static struct random_batch make_batch(struct nm_rng *rng, size_t n_seqs, size_t mean, bool exact, size_t vocab)
{
    struct random_batch b = {.seq_start = calloc(n_seqs + 1, sizeof *b.seq_start)};
    for (size_t s = 0; s < n_seqs; s++)
        b.seq_start[s + 1] = b.seq_start[s] + (uint32_t)(exact ? mean : mean / 2 + nm_rng_below(rng, mean + 1));
    size_t n = b.seq_start[n_seqs];
    b.ids = calloc(n, sizeof *b.ids);
    b.labels = calloc(n, sizeof *b.labels);
    for (size_t t = 0; t < n; t++) {
        b.ids[t] = (uint32_t)nm_rng_below(rng, vocab);
        b.labels[t] = (int32_t)nm_rng_below(rng, 6) - 1;
    }
    b.batch = (struct nm_batch){n_seqs, n, b.ids, b.seq_start, b.labels, 0, NULL, 0};
    return b;
}

static void fail(const struct nm_diag *diag)
{
    (void)fprintf(stderr, "train_step: %s\n", diag->text);
    exit(1);
}

static struct nm_bert *make_model(const char *from, size_t threads, enum nm_precision precision)
{
    static const char *const labels[] = {"O", "B-Chemical", "I-Chemical", "B-Disease", "I-Disease"};
    struct nm_bert_options options = {
        .labels = labels, .n_labels = 5, .seed = 1, .n_threads = threads, .precision = precision};
    struct nm_model_config base = {.vocab_size = 30522,
                                   .hidden_size = 768,
                                   .n_layers = 12,
                                   .n_heads = 12,
                                   .intermediate_size = 3072,
                                   .max_positions = 512,
                                   .n_types = 2,
                                   .layer_norm_eps = 1e-12F,
                                   .hidden_dropout = 0.1F,
                                   .attention_dropout = 0.1F,
                                   .classifier_dropout = 0.1F,
                                   .initializer_range = 0.02F};
    struct nm_bert *bert = NULL;
    struct nm_diag diag;
    enum nm_err err = strcmp(from, "base") == 0 ? nm_bert_new(&bert, &base, &options, &diag)
                                                : nm_bert_load(&bert, from, &options, &diag);
    if (err != NM_OK)
        fail(&diag);
    if (strcmp(from, "base") == 0)
        nm_bert_init_weights(bert, 1);
    return bert;
}

/* GFLOP/s of a layer's two large products, forward, by OpenBLAS with its own threads: the best of some. */
static double sgemm_rate(size_t h, size_t m, size_t n, int threads)
{
    float *x = calloc(n * m, sizeof *x), *w = calloc(m * h, sizeof *w), *y = calloc(n * m, sizeof *y);
    double best = 0;
    for (size_t i = 0; i < n * m; i++)
        x[i] = (float)(i % 13);
    for (size_t i = 0; i < m * h; i++)
        w[i] = (float)(i % 11);
    openblas_set_num_threads(threads);
    for (int rep = 0; rep < 40; rep++) {
        double t = now();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)m, (int)h, 1.0F, x, (int)h, w, (int)h, 0.0F,
                    y, (int)m);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)h, (int)m, 1.0F, x, (int)m, w, (int)m, 0.0F,
                    y, (int)h);
        t = now() - t;
        double rate = 4e-9 * (double)n * (double)m * (double)h / t;
        best = rate > best ? rate : best;
    }
    free(x);
    free(w);
    free(y);
    return best;
}

static int usage(const char *program)
{
    (void)fprintf(stderr,
                  "usage: %s MODEL_DIR|base [steps] [sequences] [length|=length] [threads] [fp32|bf16]\n"
                  "       %s sgemm HIDDEN INTERMEDIATE ROWS THREADS\n",
                  program, program);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "sgemm") == 0) {
        size_t n[4];
        for (int i = 0; i < 4; i++)
            n[i] = strtoul(argv[i + 2], NULL, 10);
        printf("{\"gflops\": %.1f}\n", sgemm_rate(n[0], n[1], n[2], (int)n[3]));
        return 0;
    }
    if (argc < 2)
        return usage(argv[0]);
    const char *length = argc > 4 ? argv[4] : "36";
    const bool exact = *length == '=';
    size_t steps = argc > 2 ? strtoul(argv[2], NULL, 10) : 20, seqs = argc > 3 ? strtoul(argv[3], NULL, 10) : 32;
    size_t mean = strtoul(length + exact, NULL, 10), threads = argc > 5 ? strtoul(argv[5], NULL, 10) : 0;
    struct nm_bert *bert = make_model(argv[1], threads, argc > 6 && strcmp(argv[6], "bf16") == 0 ? NM_BF16 : NM_FP32);
    const struct nm_model_config *c = nm_bert_config(bert);
    struct nm_optimizer_options options = nm_optimizer_defaults();
    struct nm_optimizer *opt = NULL;
    struct nm_diag diag;
    struct nm_rng rng;
    double loss = 0, train_time = 0, step_time = 0, tokens = 0;
    options.n_threads = threads;
    nm_rng_init(&rng, 5);
    if (nm_optimizer_new(&opt, nm_bert_params(bert), &options, &diag) != NM_OK)
        fail(&diag);
    for (size_t i = 0; i < steps + 1; i++) {
        struct random_batch b = make_batch(&rng, seqs, mean, exact, c->vocab_size);
        double t0 = now();
        nm_bert_zero_grad(bert);
        if (nm_bert_train(bert, &b.batch, 1.0F, i, &loss, NULL, &diag) != NM_OK)
            fail(&diag);
        double t1 = now();
        (void)nm_optimizer_step(opt);
        if (i > 0) { /* the first touches memory for the first time */
            train_time += t1 - t0;
            step_time += now() - t1;
            tokens += (double)b.batch.n_tokens;
        }
        free(b.ids);
        free(b.labels);
        free(b.seq_start);
    }
    printf("%.0f tokens/s (forward and backward %.1f ms, step %.1f ms a batch), loss %.4f\n",
           tokens / (train_time + step_time), 1e3 * train_time / (double)steps, 1e3 * step_time / (double)steps,
           loss);
    printf("{\"tokens\": %.0f, \"seconds\": %.4f}\n", tokens, train_time + step_time);
    nm_optimizer_destroy(&opt);
    nm_bert_destroy(&bert);
    return 0;
}
