/* model_config.h - config.json of a Hugging Face BertModel directory, checked. */
#ifndef NM_TRAINER_MODEL_CONFIG_H
#define NM_TRAINER_MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define NM_CRF_FILE "crf.safetensors"

struct nm_model_config {
    size_t vocab_size;
    size_t hidden_size;
    size_t n_layers;
    size_t n_heads;
    size_t intermediate_size;
    size_t max_positions;
    size_t n_types; /* token types */
    float layer_norm_eps;
    float hidden_dropout;
    float attention_dropout;
    float classifier_dropout; /* hidden_dropout where the file has none */
    float initializer_range;
    size_t n_labels;
    char **labels;   /* n_labels names, by id; owned */
    float min_score; /* of an entity that counts (tagger.h), a key of our own; 0: any does */
    bool crf;        /* has a CRF layer: no key of config.json, NM_CRF_FILE stands beside it */
};

/* nm_model_config_read - DIR/config.json.  Labels are those of id2label, or LABEL_0, LABEL_1 where it has
 * none. NM_ENOENT and file errors; NM_EFORMAT: not JSON, a model_type other than bert, a missing key or one
 * out of range, an activation or position embedding that we don't compute.  On error *cfg needs no clean-up.
 */
enum nm_err nm_model_config_read(const char *dir, struct nm_model_config *cfg, struct nm_diag *diag);

/* nm_model_config_write - DIR/config.json, such that transformers' AutoModelForTokenClassification takes it.
 * Atomic.  File errors as nm_file_write_atomic.
 */
enum nm_err nm_model_config_write(const char *dir, const struct nm_model_config *cfg, struct nm_diag *diag);

/* nm_model_config_set_labels - replace the labels by copies.  NM_ENOMEM leaves the old ones. */
enum nm_err nm_model_config_set_labels(struct nm_model_config *cfg, const char *const *labels, size_t n);

/* nm_model_config_clean_up - free the labels. */
void nm_model_config_clean_up(struct nm_model_config *cfg);

#endif
