/* What a training says about its memory: what would fit does fit, and what is stated is what the process takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
static const struct nm_bert_extent batch = {4096, 128, (size_t)4096 * 128};
static struct nm_diag diag;

/* The words of the issue, and the number in them: the largest batch that fits, not one token more. */
static void a_batch_that_would_fit(void **state)
{
    (void)state;
    size_t needed = nm_bert_memory(&base, &options, &batch), hundreds = 0, ones = 0;
    assert_int_equal(nm_memory_check(&base, &options, &batch, needed, &diag), NM_OK);
    assert_int_equal(nm_memory_check(&base, &options, &batch, needed - 1, &diag), NM_ELIMIT);
    assert_non_null(strstr(diag.text, "a batch of 4,095 tokens would fit"));
    const size_t allowed = (size_t)3 << 30;
    assert_int_equal(nm_memory_check(&base, &options, &batch, allowed, &diag), NM_ELIMIT);
    assert_non_null(strstr(diag.text, "3.2 GB is free"));
    assert_non_null(strstr(diag.text, "the largest of this training has 4,096"));
    assert_non_null(strstr(diag.text, "or checkpoint gradients, which needs"));
    const char *at = strstr(diag.text, "a batch of ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "a batch of %zu,%zu tokens", &hundreds, &ones), 2);
    const size_t fits = hundreds * 1000 + ones;
    const struct nm_bert_extent same = {fits, 128, fits * 128}, more = {fits + 1, 128, (fits + 1) * 128};
    assert_true(nm_bert_memory(&base, &options, &same) <= allowed);
    assert_true(nm_bert_memory(&base, &options, &more) > allowed);
}

static void a_model_that_does_not_fit(void **state)
{
    (void)state;
    assert_int_equal(nm_memory_check(&base, &options, &batch, (size_t)1 << 30, &diag), NM_ELIMIT);
    assert_non_null(strstr(diag.text, "the model alone does not fit"));
    assert_null(strstr(diag.text, "checkpoint"));
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
    struct nm_bert_extent x = nm_memory_largest(&set, &stages, &recipe, order);
    assert_int_equal(x.n_tokens, 100);
    assert_int_equal(x.max_len, 50);
    assert_int_equal(x.probs, 2 * 50 * 64); /* rows of 50 take 64 */
    recipe.batch = 100;
    x = nm_memory_largest(&set, &stages, &recipe, order);
    assert_int_equal(x.n_tokens, 116);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static size_t resident(void)
{
    char line[256];
    size_t kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmRSS: %zu", &kib) == 1)
            break;
    (void)fclose(file);
    return kib << 10;
}

static void as_stated(bool checkpointing)
{
    static const char *const labels[] = {"O", "B-X", "I-X"};
    const struct nm_model_config cfg = {.vocab_size = 20000,
                                        .hidden_size = 256,
                                        .n_layers = 6,
                                        .n_heads = 4,
                                        .intermediate_size = 1024,
                                        .max_positions = 128,
                                        .n_types = 2,
                                        .layer_norm_eps = 1e-12F};
    enum { TOKENS = 2048, LENGTH = 64 };
    const struct nm_bert_options o = {
        .labels = labels, .n_labels = 3, .n_threads = 2, .checkpointing = checkpointing};
    const struct nm_bert_extent x = {TOKENS, LENGTH, (size_t)TOKENS * LENGTH};
    uint32_t *ids = calloc(TOKENS, sizeof *ids), starts[TOKENS / LENGTH + 1];
    int32_t *tags = calloc(TOKENS, sizeof *tags);
    struct nm_bert *bert = NULL;
    struct nm_optimizer *opt = NULL;
    struct nm_optimizer_options adamw = nm_optimizer_defaults();
    for (uint32_t i = 0; i < TOKENS; i++)
        ids[i] = i * 9;
    for (uint32_t i = 0; i <= TOKENS / LENGTH; i++)
        starts[i] = i * LENGTH;
    adamw.n_threads = 2;
    const size_t before = resident(), stated = nm_bert_memory(&cfg, &o, &x);
    assert_int_equal(nm_bert_new(&bert, &cfg, &o, &diag), NM_OK);
    assert_int_equal(nm_optimizer_new(&opt, nm_bert_params(bert), &adamw, &diag), NM_OK);
    const struct nm_batch b = {
        .n_seqs = TOKENS / LENGTH, .n_tokens = TOKENS, .ids = ids, .seq_start = starts, .labels = tags};
    assert_int_equal(nm_bert_train(bert, &b, 1.0F, 1, NULL, NULL, &diag), NM_OK);
    (void)nm_optimizer_step(opt);
    const size_t taken = resident() - before;
    if (taken > stated + stated / 8 || taken < stated - stated / 4)
        fail_msg("stated %zu MB, taken %zu MB", stated >> 20, taken >> 20);
    nm_optimizer_destroy(&opt);
    nm_bert_destroy(&bert);
    free(ids), free(tags);
}

static void taken_as_stated(void **state)
{
    (void)state;
    as_stated(false);
    as_stated(true);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_that_would_fit),
        cmocka_unit_test(a_model_that_does_not_fit),
        cmocka_unit_test(what_is_free),
        cmocka_unit_test(largest_of_all_epochs),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(taken_as_stated),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
