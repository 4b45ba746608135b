/* What a training says about its memory: what would fit does fit, and what is stated is what the process takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "workers/trainer/memory.h"
#include "workers/trainer/optimizer.h"

static const struct nm_model_config base = {.vocab_size = 30522,
                                            .hidden_size = 768,
                                            .n_layers = 12,
                                            .n_heads = 12,
                                            .intermediate_size = 3072,
                                            .max_positions = 512,
                                            .n_types = 2,
                                            .n_labels = 5};
static const struct nm_bert_options options = {.n_threads = 2};
static struct nm_diag diag;

static struct nm_bert_extent extent_of(size_t tokens, size_t length, size_t scored)
{
    return (struct nm_bert_extent){.n_tokens = tokens,
                                   .max_len = length,
                                   .probs = tokens * length,
                                   .scored_tokens = scored,
                                   .scored_len = scored > 0 ? length : 0};
}

static struct nm_memory_need need_of(size_t tokens)
{
    return (struct nm_memory_need){
        .cfg = &base, .options = &options, .largest = extent_of(tokens, 128, 0), .processes = 1, .here = 1};
}

/* The words of the issue, and the number in them: the largest batch that fits, not one token more. */
static void a_batch_that_would_fit(void **state)
{
    (void)state;
    const struct nm_memory_need need = need_of(4096);
    size_t needed = nm_memory_needed(&need), hundreds = 0, ones = 0;
    assert_int_equal(nm_memory_check(&need, needed, &diag), NM_OK);
    assert_int_equal(nm_memory_check(&need, needed - 1, &diag), NM_ELIMIT);
    assert_non_null(strstr(diag.text, "a batch of 4,095 tokens would fit"));
    const size_t allowed = (size_t)3 << 30;
    assert_int_equal(nm_memory_check(&need, allowed, &diag), NM_ELIMIT);
    assert_non_null(strstr(diag.text, "3.2 GB is free"));
    assert_non_null(strstr(diag.text, "the largest of this training has 4,096"));
    assert_non_null(strstr(diag.text, "or checkpoint gradients, which needs"));
    const char *at = strstr(diag.text, "a batch of ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "a batch of %zu,%zu tokens", &hundreds, &ones), 2);
    const size_t fits = hundreds * 1000 + ones;
    const struct nm_memory_need same = need_of(fits), more = need_of(fits + 1);
    assert_true(nm_memory_needed(&same) <= allowed);
    assert_true(nm_memory_needed(&more) > allowed);
}

static void a_model_that_does_not_fit(void **state)
{
    (void)state;
    const struct nm_memory_need need = need_of(4096);
    assert_int_equal(nm_memory_check(&need, (size_t)1 << 30, &diag), NM_ELIMIT);
    assert_non_null(strstr(diag.text, "the model alone does not fit"));
    assert_null(strstr(diag.text, "checkpoint"));
}

/* Two processes on one machine want twice as much of it, and some for what they sum; two on two machines don't. */
static void processes_that_share(void **state)
{
    (void)state;
    struct nm_memory_need need = need_of(4096);
    const size_t alone = nm_memory_needed(&need);
    need.processes = 2;
    const size_t each = nm_memory_needed(&need);
    assert_in_range(each, alone + (4 * 768) * (size_t)8192, alone + (4 * 768 * 5 / 4) * (size_t)(8192 + 200));
    assert_int_equal(nm_memory_check(&need, each, &diag), NM_OK);
    need.here = 2;
    assert_int_equal(nm_memory_check(&need, 2 * each, &diag), NM_OK);
    assert_int_equal(nm_memory_check(&need, 2 * each - 1, &diag), NM_ELIMIT);
    assert_non_null(strstr(diag.text, "for the 2 processes on this machine"));
    assert_non_null(strstr(diag.text, "a batch of 4,095 tokens would fit"));
}

static void what_is_free(void **state)
{
    (void)state;
    const size_t unused = nm_memory_free();
    assert_in_range(unused, (size_t)1 << 20, (size_t)1 << 50); /* a terabyte at most, and not "unknown" */
}

/* Every epoch's batches are looked at: with two sentences a batch, the two long ones meet in some epoch. */
static void largest_of_all_epochs(void **state)
{
    (void)state;
    size_t starts[] = {0, 5, 12, 15, 16, 66, 116};
    const struct nm_dataset set = {.starts = starts, .n = 6};
    uint32_t entries[] = {0, 1, 2, 3, 4, 5}, order[6];
    struct nm_stages stages = {.n = 1};
    struct nm_recipe recipe = nm_recipe_defaults();
    recipe.batch = 2;
    stages.at[0] = (struct nm_stage){.entries = entries, .n = 6, .epochs = 50};
    struct nm_bert_extent x = nm_memory_largest(&set, &stages, &recipe, NULL, order);
    assert_int_equal(x.n_tokens, 100);
    assert_int_equal(x.max_len, 50);
    assert_int_equal(x.probs, 2 * 50 * 64); /* rows of 50 take 64 */
    recipe.batch = 100;
    x = nm_memory_largest(&set, &stages, &recipe, NULL, order);
    assert_int_equal(x.n_tokens, 116);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* A line of /proc/self/status, in bytes. */
static size_t status_of(const char *key)
{
    char line[256];
    size_t kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtoull(line + strlen(key), NULL, 10);
    (void)fclose(file);
    return kib << 10;
}

struct shape {
    const char *name;
    size_t layers, train_tokens, scored_tokens, n_labels;
    bool bf16, checkpointing, crf;
};

enum { VOCABULARY = 12000, LENGTH = 64, TOKENS_MAX = 4096, LABELS = 81 };

static const char *const *label_names(void)
{
    static char names[LABELS][8];
    static const char *labels[LABELS];
    for (int i = 0; i < LABELS; i++) {
        (void)snprintf(names[i], sizeof names[i], i == 0 ? "O" : i % 2 == 1 ? "B-%d" : "I-%d", (i - 1) / 2);
        labels[i] = names[i];
    }
    return labels;
}

/* Some steps of training, and a batch that is scored, as the trainer has them; 0: it took what was stated. */
static int train_and_look(const struct shape *shape)
{
    static uint32_t ids[TOKENS_MAX], starts[TOKENS_MAX / LENGTH + 1];
    static int32_t tags[TOKENS_MAX];
    const struct nm_model_config cfg = {.vocab_size = VOCABULARY,
                                        .hidden_size = 256,
                                        .n_layers = shape->layers,
                                        .n_heads = 4,
                                        .intermediate_size = 1024,
                                        .max_positions = 128,
                                        .n_types = 2,
                                        .layer_norm_eps = 1e-12F};
    const struct nm_bert_options o = {.labels = label_names(),
                                      .n_labels = shape->n_labels,
                                      .n_threads = 2,
                                      .precision = shape->bf16 ? NM_BF16 : NM_FP32,
                                      .checkpointing = shape->checkpointing,
                                      .crf = shape->crf};
    struct nm_bert *bert = NULL;
    struct nm_optimizer *opt = NULL;
    struct nm_optimizer_options adamw = nm_optimizer_defaults();
    const float *logits;
    for (uint32_t i = 0; i <= TOKENS_MAX / LENGTH; i++)
        starts[i] = i * LENGTH;
    adamw.n_threads = 2;
    const struct nm_memory_need need = {.cfg = &cfg,
                                        .options = &o,
                                        .largest = extent_of(shape->train_tokens, LENGTH, shape->scored_tokens),
                                        .processes = 1,
                                        .here = 1};
    const size_t before = status_of("VmRSS:"), stated = nm_memory_needed(&need);
    bool done = nm_bert_new(&bert, &cfg, &o, &diag) == NM_OK &&
                nm_bert_reserve(bert, &need.largest, &diag) == NM_OK &&
                nm_optimizer_new(&opt, nm_bert_params(bert), &adamw, &diag) == NM_OK;
    struct nm_batch b = {.ids = ids, .seq_start = starts, .labels = tags};
    for (uint32_t step = 0; done && step * shape->train_tokens < VOCABULARY / 4; step++) {
        for (uint32_t i = 0; i < TOKENS_MAX; i++) /* one row of four is a page: all of them, as a long training has */
            ids[i] = (uint32_t)(step * shape->train_tokens + i) * 4 % VOCABULARY;
        b.n_tokens = shape->train_tokens;
        b.n_seqs = b.n_tokens / LENGTH;
        nm_bert_zero_grad(bert);
        done = nm_bert_train(bert, &b, 1.0F, step, NULL, NULL, &diag) == NM_OK;
        (void)nm_optimizer_step(opt);
    }
    b.n_tokens = shape->scored_tokens;
    b.n_seqs = b.n_tokens / LENGTH;
    done = done && (b.n_tokens == 0 || nm_bert_forward(bert, &b, &logits, &diag) == NM_OK);
    const size_t taken = status_of("VmHWM:") - before;
    const double ratio = (double)stated / (double)taken;
    if (!done || ratio < 0.9 || ratio > 1.1)
        fprintf(stderr, "%s: stated %zu MB, taken %zu MB %s\n", shape->name, stated >> 20, taken >> 20, diag.text);
    nm_optimizer_destroy(&opt);
    nm_bert_destroy(&bert);
    return done && ratio >= 0.9 && ratio <= 1.1 ? 0 : 1;
}

/* Each in a process of its own, whose highest mark is its own. */
static void taken_as_stated(void **state)
{
    static const struct shape shapes[] = {
        {"fp32", 4, 2048, 0, 5, false, false, false},
        {"bf16", 4, 2048, 0, 5, true, false, false},
        {"checkpointing", 4, 2048, 0, 5, false, true, false},
        {"CRF", 2, 2048, 0, LABELS, false, false, true},
        {"scored batches are the larger ones", 1, 512, 4096, 5, false, false, false},
        {"a model alone", 4, 256, 0, 5, false, false, false}};
    int failed = 0;
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        int status = 0;
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(train_and_look(&shapes[i]));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    }
    assert_int_equal(failed, 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_that_would_fit),
        cmocka_unit_test(a_model_that_does_not_fit),
        cmocka_unit_test(processes_that_share),
        cmocka_unit_test(what_is_free),
        cmocka_unit_test(largest_of_all_epochs),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(taken_as_stated),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
