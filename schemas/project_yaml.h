/* project_yaml.h - project.yaml as libcyaml reads it; private to project.c.
 *
 * Every optional scalar is a pointer, NULL where the file does not say: defaults are project.c's.
 */
#ifndef NM_SCHEMAS_PROJECT_YAML_H
#define NM_SCHEMAS_PROJECT_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct raw_range {
    uint32_t *min, *max;
};

struct raw_list {
    char *type, *file, *definition;
};

struct raw_endpoint {
    char *name, *url, *model, *api_key_env, *api_key_file, *api_key_header, *constraint;
    char *proxy, *ca_file, *extra_body;
    char **headers;
    uint32_t headers_count;
    uint32_t *concurrency, *max_tokens, *timeout_s, *requests_per_minute, *tokens_per_minute, *weight;
    uint32_t *connect_timeout_s, *first_byte_timeout_s, *stall_timeout_s;
    double *temperature, *top_p, *price_in, *price_out;
};

struct raw_exemplars {
    char *file;
    uint32_t *count;
};

struct raw_decoys {
    char *file;
    double *share;
};

struct raw_generation {
    char *domain, *template, *builtin, *guidelines, *mode, *constrain;
    bool *reuse;
    char *replay;
    struct raw_exemplars *exemplars;
    struct raw_decoys *decoys;
    struct raw_range *entities, *words;
    double *negatives, *hard_negatives;
    uint32_t *attempts, *sentences_per_call;
    char **styles, **sections;
    uint32_t styles_count, sections_count;
};

struct raw_validation {
    char **off;
    uint32_t off_count;
    uint32_t *max_sentences, *repeats, *echo_words, *foreign_letters;
    double *distinct_words, *compression;
};

struct raw_verification {
    char *mode, *endpoint;
};

struct raw_budget {
    double *money;
    uint64_t *tokens, *requests;
};

struct raw_broker {
    char *bind, *stats, *publish, *log_level, *durability;
    uint32_t *lease_s, *heartbeat_s, *sync_interval_ms;
};

struct raw_aligner {
    uint32_t *shard_samples;
};

struct raw_alignment {
    char *tokenizer, *learn_from, *abbreviations, *two_types, *unlisted, *unmarked, *conflicting, *cut;
    bool *plurals, *hyphens;
    char **prior;
    uint32_t prior_count;
};

struct raw_dedup {
    bool *exact;
    double *near;
    uint32_t *per_template;
};

struct raw_leakage {
    char **gold;
    uint32_t gold_count;
    uint32_t *ngram;
};

struct raw_denoise {
    uint32_t *folds, *train_folds;
    double *agree, *reject;
    char *rejected;
};

struct raw_augmentation {
    uint32_t *copies;
    char *asides, *decoys;
    double *share, *coordinate, *abbreviate, *aside, *frame, *decoy_share;
};

struct raw_trainer {
    char *model, *gold_train, *recipe, *precision;
    bool *gradient_checkpointing, *crf;
    uint32_t *epochs, *gold_epochs, *gold_steps, *batch, *max_length, *upsample, *patience;
    double *learning_rate, *synthetic_learning_rate, *gold_learning_rate, *warmup, *weight_decay, *clip, *dropout;
    double *dev_share, *label_smoothing, *gce, *layer_decay, *min_score;
    uint64_t *seed;
};

struct raw_coverage {
    uint32_t *min_per_entity, *give_up;
};

struct raw_goal {
    uint64_t *samples;
    struct raw_coverage *coverage;
};

struct raw_project {
    uint32_t *version;
    char *name, *gold;
    uint64_t *seed;
    struct raw_goal *goal;
    struct raw_list *entities;
    struct raw_endpoint *endpoints;
    uint32_t entities_count, endpoints_count;
    struct raw_generation *generation;
    struct raw_validation *validation;
    struct raw_verification *verification;
    struct raw_budget *budget;
    struct raw_broker *broker;
    struct raw_aligner *aligner;
    struct raw_alignment *alignment;
    struct raw_dedup *dedup;
    struct raw_leakage *leakage;
    struct raw_denoise *denoise;
    struct raw_augmentation *augmentation;
    struct raw_trainer *trainer;
};

/* raw_project_load - NM_EFORMAT: bad YAML, an unknown key (the nearest valid one is named), a missing key, a value
 * of the wrong kind; diag begins with "name:line:".  NM_ENOMEM. */
enum nm_err raw_project_load(const char *yaml, size_t len, const char *name, struct raw_project **raw,
                             struct nm_diag *diag);
void raw_project_free(struct raw_project **raw);

/* raw_endpoint_fault - how it is reached: the key that is wrong, and in what the reason; NULL: none is. */
const char *raw_endpoint_fault(const struct raw_endpoint *endpoint, char *what, size_t size);

#endif
