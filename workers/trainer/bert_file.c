#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "workers/trainer/bert_impl.h"
#include "workers/trainer/safetensors.h"
#include "workers/trainer/weights.h"

/* Of our names of a CRF layer's tensors: in its file they stand without. */
#define CRF_PREFIX "crf."

/* ---- loading --------------------------------------------------------------------------------- */

/* Old checkpoints, bert-base-uncased among them, call LayerNorm's weight and bias gamma and beta. */
static void old_name(char *out, size_t size, const char *name)
{
    const char *weight = strstr(name, "LayerNorm.weight"), *bias = strstr(name, "LayerNorm.bias");
    const char *end = weight != NULL ? weight : bias;
    if (end == NULL)
        (void)snprintf(out, size, "%s", name);
    else
        (void)snprintf(out, size, "%.*sLayerNorm.%s", (int)(end - name), name, weight != NULL ? "gamma" : "beta");
}

/* The file's name of our tensor: ours, or without "bert.", or with LayerNorm's old names. */
static const char *name_in_file(const struct nm_weights *weights, const char *name, bool prefixed, char *out,
                                size_t size)
{
    const char *plain = !prefixed && strncmp(name, "bert.", 5) == 0 ? name + 5 : name;
    if (!nm_weights_has(weights, plain)) {
        old_name(out, size, plain);
        if (nm_weights_has(weights, out))
            return out;
    }
    return plain;
}

static enum nm_err read_param(struct nm_bert *b, const struct nm_param *p, const struct nm_weights *weights,
                              bool prefixed, struct nm_diag *diag)
{
    char other[128];
    const size_t shape[2] = {p->rows, p->cols};
    const char *name = name_in_file(weights, p->name, prefixed, other, sizeof other);
    enum nm_err err = nm_weights_read(weights, name, p->rank, shape, nm_bert_destination(b, p), diag);
    if (err == NM_OK)
        nm_bert_was_read(b, p);
    return err;
}

/* Weights that stand in the file as they are in memory need not be copied. */
static bool borrow_words(struct nm_bert *b, const struct nm_weights *weights, bool prefixed)
{
    char other[128];
    const struct nm_param *p = &b->params.at[0];
    const size_t shape[2] = {p->rows, p->cols};
    const char *name = name_in_file(weights, p->name, prefixed, other, sizeof other);
    const float *words = b->in_place ? nm_weights_borrow(weights, name, p->rank, shape) : NULL;
    b->words = words != NULL ? words : b->words;
    return words != NULL;
}

static bool same_labels(const struct nm_model_config *a, const struct nm_model_config *b)
{
    bool same = a->n_labels == b->n_labels;
    for (size_t i = 0; same && i < a->n_labels; i++)
        same = strcmp(a->labels[i], b->labels[i]) == 0;
    return same;
}

static enum nm_err load_weights(struct nm_bert *b, const struct nm_model_config *from,
                                const struct nm_weights *weights, uint64_t seed, struct nm_diag *diag)
{
    const bool prefixed = nm_weights_has(weights, "bert.embeddings.word_embeddings.weight");
    const size_t head = b->at.head; /* classifier.weight, classifier.bias */
    enum nm_err err = NM_OK;
    for (size_t i = borrow_words(b, weights, prefixed) ? 1 : 0; err == NM_OK && i < head; i++)
        err = read_param(b, &b->params.at[i], weights, prefixed, diag);
    if (err != NM_OK)
        return err;
    b->head_loaded = same_labels(&b->cfg, from) && nm_weights_has(weights, "classifier.weight");
    if (!b->head_loaded) {
        nm_bert_init_param(b, head, seed);
        nm_bert_was_read(b, &b->params.at[head]);
        return NM_OK;
    }
    err = read_param(b, &b->params.at[head], weights, prefixed, diag);
    return err != NM_OK ? err : read_param(b, &b->params.at[head + 1], weights, prefixed, diag);
}

/* The layer that was trained with this classifier; of another one it would be noise. */
static enum nm_err load_crf(struct nm_bert *b, const char *dir, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    struct nm_safetensors *st = NULL;
    enum nm_err err = nm_file_path(dir, NM_CRF_FILE, path, diag);
    if (err == NM_OK)
        err = nm_safetensors_open(&st, path, diag);
    for (size_t i = b->at.head + 2; err == NM_OK && i < b->params.n; i++) {
        const struct nm_param *p = &b->params.at[i];
        const size_t shape[2] = {p->rows, p->cols};
        err = nm_safetensors_read(st, p->name + strlen(CRF_PREFIX), p->rank, shape, b->params.data + p->offset, diag);
    }
    nm_safetensors_close(&st);
    return err;
}

enum nm_err nm_bert_load(struct nm_bert **bert, const char *dir, const struct nm_bert_options *options,
                         struct nm_diag *diag)
{
    struct nm_model_config cfg;
    struct nm_weights *weights = NULL;
    struct nm_bert *b = NULL;
    enum nm_err err = nm_model_config_read(dir, &cfg, diag);
    if (err != NM_OK)
        return err;
    err = nm_weights_open(&weights, dir, diag);
    if (err == NM_OK)
        err = nm_bert_new(&b, &cfg, options, diag);
    if (err == NM_OK && options->frozen)
        err = nm_bert_freeze(b, diag);
    if (err == NM_OK)
        err = load_weights(b, &cfg, weights, options->seed, diag);
    if (err == NM_OK && b->cfg.crf && cfg.crf && b->head_loaded)
        err = load_crf(b, dir, diag);
    if (err == NM_OK && b->frozen)
        err = nm_bert_make_parts(b, diag);
    if (err == NM_OK && b->words != b->params.data + b->at.word)
        b->file = weights;
    else
        nm_weights_close(&weights);
    nm_model_config_clean_up(&cfg);
    if (err != NM_OK)
        nm_bert_destroy(&b);
    else
        *bert = b;
    return err;
}

/* ---- saving ---------------------------------------------------------------------------------- */

/* The parameters [from, to), named by their names behind `prefix`. */
static enum nm_err save_params(const struct nm_bert *bert, const char *path, size_t from, size_t to,
                               const char *prefix, struct nm_diag *diag)
{
    struct nm_safetensor_view *views = calloc(to - from, sizeof *views);
    if (views == NULL)
        return nm_fail(diag, NM_ENOMEM, "cannot write %s: out of memory", path);
    for (size_t i = from; i < to; i++) {
        const struct nm_param *p = &bert->params.at[i];
        views[i - from] = (struct nm_safetensor_view){.name = p->name + strlen(prefix),
                                                      .rank = p->rank,
                                                      .shape = {p->rows, p->cols},
                                                      .data = bert->params.data + p->offset};
    }
    enum nm_err err = nm_safetensors_write(path, views, to - from, NULL, 0, diag);
    free(views);
    return err;
}

/* The layer's file; one that an earlier model has left is removed. */
static enum nm_err save_crf(const struct nm_bert *bert, const char *dir, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    enum nm_err err = nm_file_path(dir, NM_CRF_FILE, path, diag);
    if (err != NM_OK)
        return err;
    if (bert->cfg.crf)
        return save_params(bert, path, bert->at.head + 2, bert->params.n, CRF_PREFIX, diag);
    if (unlink(path) != 0 && errno != ENOENT)
        return nm_fail(diag, nm_err_from_errno(errno), "%s: cannot be removed: %s", path, strerror(errno));
    return NM_OK;
}

enum nm_err nm_bert_save(const struct nm_bert *bert, const char *dir, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    if (bert->frozen)
        return nm_fail(diag, NM_ESTATE, "a model opened for tagging cannot be saved");
    enum nm_err err = nm_file_path(dir, "model.safetensors", path, diag);
    if (err == NM_OK)
        err = save_crf(bert, dir, diag);
    if (err == NM_OK)
        err = save_params(bert, path, 0, bert->at.head + 2, "", diag);
    return err == NM_OK ? nm_model_config_write(dir, &bert->cfg, diag) : err;
}
