#include "workers/trainer/model_config.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"

enum { CONFIG_MAX = 16 << 20, LABELS_MAX = 4096 };

struct reader {
    const char *path;
    const json_t *root;
    struct nm_diag *diag;
};

#define MIN_SCORE "nermill_min_score"

/* ---- values ---------------------------------------------------------------------------------- */

static enum nm_err read_size(const struct reader *r, const char *key, size_t otherwise, int limit, size_t *out)
{
    const json_t *value = json_object_get(r->root, key);
    if (value == NULL && otherwise != 0) {
        *out = otherwise;
        return NM_OK;
    }
    if (value == NULL)
        return nm_fail(r->diag, NM_EFORMAT, "%s: \"%s\" is missing; is this the config.json of a BertModel?", r->path,
                       key);
    json_int_t x = json_is_integer(value) ? json_integer_value(value) : 0;
    if (x < 1 || x > limit)
        return nm_fail(r->diag, NM_EFORMAT, "%s: \"%s\" must be a whole number from 1 to %d", r->path, key, limit);
    *out = (size_t)x;
    return NM_OK;
}

/* A number in [0, limit); absent or null: otherwise. */
static enum nm_err read_number(const struct reader *r, const char *key, float otherwise, double limit, float *out)
{
    const json_t *value = json_object_get(r->root, key);
    if (value == NULL || json_is_null(value)) {
        *out = otherwise;
        return NM_OK;
    }
    double x = json_is_number(value) ? json_number_value(value) : -1.0;
    if (!(x >= 0.0 && x < limit))
        return nm_fail(r->diag, NM_EFORMAT, "%s: \"%s\" must be a number from 0 to below %g", r->path, key, limit);
    *out = (float)x;
    return NM_OK;
}

/* The value of key has to be one of the names (NULL-terminated); absent: fine. */
static enum nm_err expect_one_of(const struct reader *r, const char *key, const char *const *names)
{
    const json_t *value = json_object_get(r->root, key);
    const char *is = json_string_value(value);
    if (value == NULL)
        return NM_OK;
    for (size_t i = 0; is != NULL && names[i] != NULL; i++)
        if (strcmp(is, names[i]) == 0)
            return NM_OK;
    return nm_fail(r->diag, NM_EFORMAT, "%s: \"%s\" is \"%s\"; only \"%s\" is computed here, take another model",
                   r->path, key, is != NULL ? is : "no string", names[0]);
}

/* ---- labels ---------------------------------------------------------------------------------- */

static void free_labels(char **labels, size_t n)
{
    for (size_t i = 0; labels != NULL && i < n; i++)
        free(labels[i]);
    free(labels);
}

enum nm_err nm_model_config_set_labels(struct nm_model_config *cfg, const char *const *labels, size_t n)
{
    char **copy = calloc(n + 1, sizeof *copy);
    if (copy == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < n; i++)
        if ((copy[i] = strdup(labels[i])) == NULL) {
            free_labels(copy, n);
            return NM_ENOMEM;
        }
    free_labels(cfg->labels, cfg->n_labels);
    cfg->labels = copy;
    cfg->n_labels = n;
    return NM_OK;
}

static enum nm_err read_id2label(const struct reader *r, const json_t *map, struct nm_model_config *cfg)
{
    const char *names[LABELS_MAX];
    size_t n = json_object_size(map);
    if (n < 1 || n > LABELS_MAX)
        return nm_fail(r->diag, NM_EFORMAT, "%s: \"id2label\" must be an object of 1 to %d names", r->path,
                       LABELS_MAX);
    for (size_t i = 0; i < n; i++) {
        char key[24];
        (void)snprintf(key, sizeof key, "%zu", i);
        names[i] = json_string_value(json_object_get(map, key));
        if (names[i] == NULL)
            return nm_fail(r->diag, NM_EFORMAT, "%s: \"id2label\" has no name for \"%zu\"", r->path, i);
    }
    return nm_model_config_set_labels(cfg, names, n);
}

static enum nm_err read_labels(const struct reader *r, struct nm_model_config *cfg)
{
    const json_t *map = json_object_get(r->root, "id2label");
    size_t n;
    if (map != NULL && !json_is_null(map))
        return read_id2label(r, map, cfg);
    enum nm_err err = read_size(r, "num_labels", 2, LABELS_MAX, &n);
    if (err != NM_OK)
        return err;
    char text[LABELS_MAX][32];
    const char *names[LABELS_MAX];
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(text[i], sizeof text[i], "LABEL_%zu", i);
        names[i] = text[i];
    }
    return nm_model_config_set_labels(cfg, names, n);
}

/* ---- the file -------------------------------------------------------------------------------- */

static enum nm_err check_kind(const struct reader *r)
{
    static const char *const model[] = {"bert", NULL};
    static const char *const act[] = {"gelu", "gelu_python", NULL};
    static const char *const positions[] = {"absolute", NULL};
    static const struct {
        const char *key;
        const char *const *names;
    } kinds[] = {{"model_type", model}, {"hidden_act", act}, {"position_embedding_type", positions}};
    enum nm_err err = NM_OK;
    if (!json_is_object(r->root))
        return nm_fail(r->diag, NM_EFORMAT, "%s: not a JSON object", r->path);
    if (json_object_get(r->root, "model_type") == NULL)
        return nm_fail(r->diag, NM_EFORMAT, "%s: \"model_type\" is missing; a BERT model says \"bert\" there",
                       r->path);
    for (size_t i = 0; err == NM_OK && i < sizeof kinds / sizeof *kinds; i++)
        err = expect_one_of(r, kinds[i].key, kinds[i].names);
    return err;
}

static enum nm_err read_sizes(const struct reader *r, struct nm_model_config *cfg)
{
    const struct {
        const char *key;
        size_t otherwise; /* 0: must be there */
        int limit;
        size_t *out;
    } sizes[] = {
        {"vocab_size", 0, 1 << 24, &cfg->vocab_size},
        {"hidden_size", 0, 1 << 16, &cfg->hidden_size},
        {"num_hidden_layers", 0, 1 << 10, &cfg->n_layers},
        {"num_attention_heads", 0, 1 << 12, &cfg->n_heads},
        {"intermediate_size", 0, 1 << 20, &cfg->intermediate_size},
        {"max_position_embeddings", 0, 1 << 20, &cfg->max_positions},
        {"type_vocab_size", 2, 1 << 10, &cfg->n_types},
    };
    enum nm_err err = NM_OK;
    for (size_t i = 0; err == NM_OK && i < sizeof sizes / sizeof *sizes; i++)
        err = read_size(r, sizes[i].key, sizes[i].otherwise, sizes[i].limit, sizes[i].out);
    if (err == NM_OK && cfg->hidden_size % cfg->n_heads != 0)
        err = nm_fail(r->diag, NM_EFORMAT, "%s: \"hidden_size\" %zu is no multiple of \"num_attention_heads\" %zu",
                      r->path, cfg->hidden_size, cfg->n_heads);
    return err;
}

static enum nm_err read_numbers(const struct reader *r, struct nm_model_config *cfg)
{
    enum nm_err err = read_number(r, "layer_norm_eps", 1e-12F, 1.0, &cfg->layer_norm_eps);
    if (err == NM_OK)
        err = read_number(r, "hidden_dropout_prob", 0.1F, 1.0, &cfg->hidden_dropout);
    if (err == NM_OK)
        err = read_number(r, "attention_probs_dropout_prob", 0.1F, 1.0, &cfg->attention_dropout);
    if (err == NM_OK)
        err = read_number(r, "classifier_dropout", cfg->hidden_dropout, 1.0, &cfg->classifier_dropout);
    if (err == NM_OK)
        err = read_number(r, "initializer_range", 0.02F, 100.0, &cfg->initializer_range);
    if (err == NM_OK)
        err = read_number(r, MIN_SCORE, 0, 1.0 + 1e-6, &cfg->min_score);
    return err;
}

enum nm_err nm_model_config_read(const char *dir, struct nm_model_config *cfg, struct nm_diag *diag)
{
    char path[4096];
    struct nm_buf text;
    json_error_t where;
    json_t *root = NULL;
    memset(cfg, 0, sizeof *cfg);
    if (nm_file_join(dir, "config.json", path, sizeof path) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", dir);
    nm_buf_init(&text, CONFIG_MAX);
    enum nm_err err = nm_file_read(path, &text, diag);
    if (err != NM_OK)
        goto out;
    root = json_loadb(text.data, text.len, 0, &where);
    if (root == NULL) {
        err = nm_fail(diag, NM_EFORMAT, "%s:%d: %s", path, where.line, where.text);
        goto out;
    }
    const struct reader r = {path, root, diag};
    if ((err = check_kind(&r)) == NM_OK && (err = read_sizes(&r, cfg)) == NM_OK &&
        (err = read_numbers(&r, cfg)) == NM_OK)
        err = read_labels(&r, cfg);
    if (err == NM_OK && nm_file_join(dir, NM_CRF_FILE, path, sizeof path) == NM_OK)
        cfg->crf = nm_file_exists(path);
    if (err == NM_ENOMEM)
        (void)nm_fail(diag, err, "%s: out of memory", path);
out:
    if (err != NM_OK)
        nm_model_config_clean_up(cfg);
    json_decref(root);
    nm_buf_clean_up(&text);
    return err;
}

/* 0.1F is 0.100000001490116 as a double; a person wrote 0.1, so write the shortest that reads back the same. */
static json_t *number(float x)
{
    char text[32];
    double value = (double)x;
    for (int digits = 1; digits <= 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)x);
        value = strtod(text, NULL);
        if ((float)value == x)
            break;
    }
    return json_real(value);
}

static json_t *make_json(const struct nm_model_config *cfg)
{
    json_t *id2label = json_object(), *label2id = json_object();
    for (size_t i = 0; i < cfg->n_labels; i++) {
        char key[24];
        (void)snprintf(key, sizeof key, "%zu", i);
        (void)json_object_set_new(id2label, key, json_string(cfg->labels[i]));
        (void)json_object_set_new(label2id, cfg->labels[i], json_integer((json_int_t)i));
    }
    json_t *root =
        json_pack("{s:[s], s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:o, s:o, s:o, s:o, s:o, s:o, "
                  "s:o}",
                  "architectures", "BertForTokenClassification", "model_type", "bert", "hidden_act", "gelu",
                  "position_embedding_type", "absolute", "vocab_size", (json_int_t)cfg->vocab_size, "hidden_size",
                  (json_int_t)cfg->hidden_size, "num_hidden_layers", (json_int_t)cfg->n_layers, "num_attention_heads",
                  (json_int_t)cfg->n_heads, "intermediate_size", (json_int_t)cfg->intermediate_size,
                  "max_position_embeddings", (json_int_t)cfg->max_positions, "type_vocab_size",
                  (json_int_t)cfg->n_types, "pad_token_id", 0, "layer_norm_eps", number(cfg->layer_norm_eps),
                  "hidden_dropout_prob", number(cfg->hidden_dropout), "attention_probs_dropout_prob",
                  number(cfg->attention_dropout), "classifier_dropout", number(cfg->classifier_dropout),
                  "initializer_range", number(cfg->initializer_range), "id2label", id2label, "label2id", label2id);
    if (root != NULL && cfg->min_score > 0) /* others need not know of it */
        (void)json_object_set_new(root, MIN_SCORE, number(cfg->min_score));
    return root;
}

enum nm_err nm_model_config_write(const char *dir, const struct nm_model_config *cfg, struct nm_diag *diag)
{
    char path[4096];
    if (nm_file_join(dir, "config.json", path, sizeof path) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", dir);
    json_t *root = make_json(cfg);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    if (text == NULL)
        return nm_fail(diag, NM_ENOMEM, "cannot write %s: out of memory", path);
    enum nm_err err = nm_file_write_atomic(path, text, strlen(text), diag);
    free(text);
    return err;
}

void nm_model_config_clean_up(struct nm_model_config *cfg)
{
    free_labels(cfg->labels, cfg->n_labels);
    memset(cfg, 0, sizeof *cfg);
}
