/* config.json: read, written, read again; and what can't be used, refused with the file and the key. */
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
#include "workers/trainer/model_config.h"

static char dir[] = "/tmp/nm_config_XXXXXX";
static char path[64];
static struct nm_diag diag;
static struct nm_model_config cfg;

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/config.json", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

#define SIZES                                                                                                        \
    "\"vocab_size\": 99, \"hidden_size\": 32, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, "                \
    "\"intermediate_size\": 64, \"max_position_embeddings\": 40"

static enum nm_err read_text(const char *text)
{
    assert_int_equal(nm_file_write_atomic(path, text, strlen(text), &diag), NM_OK);
    return nm_model_config_read(dir, &cfg, &diag);
}

static void refuse(const char *text, const char *words)
{
    enum nm_err err = read_text(text);
    if (err != NM_EFORMAT || strstr(diag.text, words) == NULL || strstr(diag.text, path) == NULL)
        fail_msg("%s: %s: %s", text, nm_err_name(err), diag.text);
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(read_text("{\"model_type\": \"bert\", " SIZES "}"), NM_OK);
    assert_true(cfg.vocab_size == 99 && cfg.hidden_size == 32 && cfg.n_layers == 2 && cfg.n_heads == 4);
    assert_true(cfg.intermediate_size == 64 && cfg.max_positions == 40 && cfg.n_types == 2);
    assert_true(cfg.layer_norm_eps == 1e-12F && cfg.hidden_dropout == 0.1F && cfg.attention_dropout == 0.1F);
    assert_int_equal(cfg.n_labels, 2);
    assert_string_equal(cfg.labels[1], "LABEL_1");
    nm_model_config_clean_up(&cfg);
    assert_int_equal(read_text("{\"model_type\": \"bert\", \"num_labels\": 3, \"hidden_dropout_prob\": 0.3, "
                               "\"classifier_dropout\": null, " SIZES "}"),
                     NM_OK);
    assert_true(cfg.n_labels == 3 && cfg.classifier_dropout == 0.3F);
    nm_model_config_clean_up(&cfg);
}

static void round_trip(void **state)
{
    (void)state;
    const char *const labels[] = {"O", "B-\"odd\" name", "I-\xc3\xa9"};
    assert_int_equal(read_text("{\"model_type\": \"bert\", \"layer_norm_eps\": 1e-5, \"hidden_dropout_prob\": 0.25, "
                               "\"attention_probs_dropout_prob\": 0.0, \"classifier_dropout\": 0.1, "
                               "\"type_vocab_size\": 1, " SIZES "}"),
                     NM_OK);
    assert_int_equal(nm_model_config_set_labels(&cfg, labels, 3), NM_OK);
    struct nm_model_config first = cfg;
    assert_int_equal(nm_model_config_write(dir, &first, &diag), NM_OK);
    assert_int_equal(nm_model_config_read(dir, &cfg, &diag), NM_OK);
    assert_int_equal(cfg.n_labels, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(cfg.labels[i], labels[i]);
    char **kept = cfg.labels;
    cfg.labels = first.labels; /* all else is plain values */
    assert_memory_equal(&cfg, &first, sizeof cfg);
    cfg.labels = kept;
    nm_model_config_clean_up(&cfg);
    nm_model_config_clean_up(&first);
}

static void refused(void **state)
{
    (void)state;
    refuse("{\"model_type\": \"bert\", ", "config.json:");
    refuse("[]", "not a JSON object");
    refuse("{" SIZES "}", "\"model_type\" is missing");
    refuse("{\"model_type\": \"roberta\", " SIZES "}", "\"roberta\"");
    refuse("{\"model_type\": \"bert\", \"hidden_act\": \"relu\", " SIZES "}", "\"hidden_act\" is \"relu\"");
    refuse("{\"model_type\": \"bert\", \"hidden_act\": 3, " SIZES "}", "\"hidden_act\"");
    refuse("{\"model_type\": \"bert\", \"position_embedding_type\": \"relative_key\", " SIZES "}",
           "\"relative_key\"");
    refuse("{\"model_type\": \"bert\"}", "\"vocab_size\" is missing");
    refuse("{\"model_type\": \"bert\", \"vocab_size\": 0}", "\"vocab_size\" must be");
    refuse("{\"model_type\": \"bert\", \"vocab_size\": \"many\"}", "\"vocab_size\" must be");
    refuse("{\"model_type\": \"bert\", \"vocab_size\": 1e99}", "\"vocab_size\" must be");
    refuse("{\"model_type\": \"bert\", \"vocab_size\": 9, \"hidden_size\": 30, \"num_hidden_layers\": 2, "
           "\"num_attention_heads\": 4, \"intermediate_size\": 64, \"max_position_embeddings\": 40}",
           "no multiple");
    refuse("{\"model_type\": \"bert\", \"hidden_dropout_prob\": 1.0, " SIZES "}", "\"hidden_dropout_prob\" must be");
    refuse("{\"model_type\": \"bert\", \"layer_norm_eps\": -1, " SIZES "}", "\"layer_norm_eps\" must be");
    refuse("{\"model_type\": \"bert\", \"id2label\": {}, " SIZES "}", "\"id2label\"");
    refuse("{\"model_type\": \"bert\", \"id2label\": {\"0\": \"O\", \"2\": \"X\"}, " SIZES "}", "no name for \"1\"");
    refuse("{\"model_type\": \"bert\", \"num_labels\": 100000, " SIZES "}", "\"num_labels\" must be");
    assert_int_equal(nm_model_config_read("/nonexistent", &cfg, &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "/nonexistent/config.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults), cmocka_unit_test(round_trip),
                                       cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
