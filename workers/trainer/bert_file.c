#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "workers/trainer/bert_impl.h"
#include "workers/trainer/safetensors.h"

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
static const char *name_in_file(const struct nm_safetensors *st, const char *name, bool prefixed, char *out,
                                size_t size)
{
    const char *plain = !prefixed && strncmp(name, "bert.", 5) == 0 ? name + 5 : name;
    if (nm_safetensors_find(st, plain) == NULL) {
        old_name(out, size, plain);
        if (nm_safetensors_find(st, out) != NULL)
            return out;
    }
    return plain;
}

static enum nm_err read_param(struct nm_bert *b, const struct nm_param *p, const struct nm_safetensors *st,
                              bool prefixed, struct nm_diag *diag)
{
    char other[128];
    const size_t shape[2] = {p->rows, p->cols};
    const char *name = name_in_file(st, p->name, prefixed, other, sizeof other);
    return nm_safetensors_read(st, name, p->rank, shape, b->params.data + p->offset, diag);
}

static bool same_labels(const struct nm_model_config *a, const struct nm_model_config *b)
{
    bool same = a->n_labels == b->n_labels;
    for (size_t i = 0; same && i < a->n_labels; i++)
        same = strcmp(a->labels[i], b->labels[i]) == 0;
    return same;
}

static enum nm_err load_weights(struct nm_bert *b, const struct nm_model_config *from,
                                const struct nm_safetensors *st, uint64_t seed, struct nm_diag *diag)
{
    const bool prefixed = nm_safetensors_find(st, "bert.embeddings.word_embeddings.weight") != NULL;
    const size_t head = b->params.n - 2; /* classifier.weight, classifier.bias stand last */
    enum nm_err err = NM_OK;
    for (size_t i = 0; err == NM_OK && i < head; i++)
        err = read_param(b, &b->params.at[i], st, prefixed, diag);
    if (err != NM_OK)
        return err;
    b->head_loaded = same_labels(&b->cfg, from) && nm_safetensors_find(st, "classifier.weight") != NULL;
    if (!b->head_loaded) {
        nm_bert_init_param(b, head, seed);
        return NM_OK;
    }
    err = read_param(b, &b->params.at[head], st, prefixed, diag);
    return err != NM_OK ? err : read_param(b, &b->params.at[head + 1], st, prefixed, diag);
}

static enum nm_err open_weights(const char *dir, struct nm_safetensors **st, struct nm_diag *diag)
{
    char path[4096], other[4096];
    if (nm_file_join(dir, "model.safetensors", path, sizeof path) != NM_OK ||
        nm_file_join(dir, "pytorch_model.bin", other, sizeof other) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", dir);
    if (!nm_file_exists(path) && nm_file_exists(other))
        return nm_fail(diag, NM_ENOENT,
                       "%s is not there and %s is not read: save the model again with transformers, which writes "
                       "safetensors",
                       path, other);
    return nm_safetensors_open(st, path, diag);
}

enum nm_err nm_bert_load(struct nm_bert **bert, const char *dir, const struct nm_bert_options *options,
                         struct nm_diag *diag)
{
    struct nm_model_config cfg;
    struct nm_safetensors *st = NULL;
    struct nm_bert *b = NULL;
    enum nm_err err = nm_model_config_read(dir, &cfg, diag);
    if (err != NM_OK)
        return err;
    err = open_weights(dir, &st, diag);
    if (err == NM_OK)
        err = nm_bert_new(&b, &cfg, options, diag);
    if (err == NM_OK)
        err = load_weights(b, &cfg, st, options->seed, diag);
    nm_safetensors_close(&st);
    nm_model_config_clean_up(&cfg);
    if (err != NM_OK)
        nm_bert_destroy(&b);
    else
        *bert = b;
    return err;
}

/* ---- saving ---------------------------------------------------------------------------------- */

enum nm_err nm_bert_save(const struct nm_bert *bert, const char *dir, struct nm_diag *diag)
{
    char path[4096];
    if (nm_file_join(dir, "model.safetensors", path, sizeof path) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", dir);
    struct nm_safetensor_view *views = calloc(bert->params.n, sizeof *views);
    if (views == NULL)
        return nm_fail(diag, NM_ENOMEM, "cannot write %s: out of memory", path);
    for (size_t i = 0; i < bert->params.n; i++) {
        const struct nm_param *p = &bert->params.at[i];
        views[i] = (struct nm_safetensor_view){
            .name = p->name, .rank = p->rank, .shape = {p->rows, p->cols}, .data = bert->params.data + p->offset};
    }
    enum nm_err err = nm_safetensors_write(path, views, bert->params.n, NULL, 0, diag);
    free(views);
    return err != NM_OK ? err : nm_model_config_write(dir, &bert->cfg, diag);
}
