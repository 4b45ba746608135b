#include "schemas/project_yaml.h"

#include "schemas/project_form.h"

/* ---- the schema --------------------------------------------------------------------------------------------------
 */

static const cyaml_schema_value_t text_item = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 4096)};

static const cyaml_schema_field_t range_fields[] = {UINT(raw_range, min), UINT(raw_range, max), CYAML_FIELD_END};

static const cyaml_schema_field_t list_fields[] = {STRING(raw_list, type, REQUIRED), STRING(raw_list, file, REQUIRED),
                                                   STRING(raw_list, definition, OPTIONAL), CYAML_FIELD_END};
static const cyaml_schema_value_t list_item = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_list, list_fields)};

static const cyaml_schema_field_t endpoint_fields[] = {STRING(raw_endpoint, name, OPTIONAL),
                                                       STRING(raw_endpoint, url, REQUIRED),
                                                       STRING(raw_endpoint, model, REQUIRED),
                                                       STRING(raw_endpoint, api_key_env, OPTIONAL),
                                                       STRING(raw_endpoint, api_key_file, OPTIONAL),
                                                       STRING(raw_endpoint, api_key_header, OPTIONAL),
                                                       STRING(raw_endpoint, proxy, OPTIONAL),
                                                       STRING(raw_endpoint, ca_file, OPTIONAL),
                                                       STRING(raw_endpoint, extra_body, OPTIONAL),
                                                       LIST(raw_endpoint, headers, text_item, OPTIONAL),
                                                       STRING(raw_endpoint, constraint, OPTIONAL),
                                                       UINT(raw_endpoint, concurrency),
                                                       UINT(raw_endpoint, max_tokens),
                                                       UINT(raw_endpoint, timeout_s),
                                                       UINT(raw_endpoint, connect_timeout_s),
                                                       UINT(raw_endpoint, first_byte_timeout_s),
                                                       UINT(raw_endpoint, stall_timeout_s),
                                                       UINT(raw_endpoint, requests_per_minute),
                                                       UINT(raw_endpoint, tokens_per_minute),
                                                       UINT(raw_endpoint, weight),
                                                       FLOAT(raw_endpoint, price_in),
                                                       FLOAT(raw_endpoint, price_out),
                                                       FLOAT(raw_endpoint, temperature),
                                                       FLOAT(raw_endpoint, top_p),
                                                       CYAML_FIELD_END};
static const cyaml_schema_value_t endpoint_item = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_endpoint, endpoint_fields)};

static const cyaml_schema_field_t exemplars_fields[] = {STRING(raw_exemplars, file, REQUIRED),
                                                        UINT(raw_exemplars, count), CYAML_FIELD_END};
static const cyaml_schema_field_t decoys_fields[] = {STRING(raw_decoys, file, REQUIRED), FLOAT(raw_decoys, share),
                                                     CYAML_FIELD_END};
static const cyaml_schema_field_t generation_fields[] = {STRING(raw_generation, domain, OPTIONAL),
                                                         STRING(raw_generation, template, OPTIONAL),
                                                         STRING(raw_generation, builtin, OPTIONAL),
                                                         STRING(raw_generation, guidelines, OPTIONAL),
                                                         STRING(raw_generation, mode, OPTIONAL),
                                                         MAPPING(raw_generation, exemplars, exemplars_fields),
                                                         FLOAT(raw_generation, hard_negatives),
                                                         MAPPING(raw_generation, decoys, decoys_fields),
                                                         STRING(raw_generation, constrain, OPTIONAL),
                                                         MAPPING(raw_generation, entities, range_fields),
                                                         MAPPING(raw_generation, words, range_fields),
                                                         FLOAT(raw_generation, negatives),
                                                         UINT(raw_generation, attempts),
                                                         UINT(raw_generation, sentences_per_call),
                                                         BOOL(raw_generation, reuse),
                                                         STRING(raw_generation, replay, OPTIONAL),
                                                         LIST(raw_generation, styles, text_item, OPTIONAL),
                                                         LIST(raw_generation, sections, text_item, OPTIONAL),
                                                         CYAML_FIELD_END};

static const cyaml_schema_field_t validation_fields[] = {LIST(raw_validation, off, text_item, OPTIONAL),
                                                         UINT(raw_validation, max_sentences),
                                                         UINT(raw_validation, repeats),
                                                         UINT(raw_validation, echo_words),
                                                         UINT(raw_validation, foreign_letters),
                                                         FLOAT(raw_validation, distinct_words),
                                                         FLOAT(raw_validation, compression),
                                                         CYAML_FIELD_END};

static const cyaml_schema_field_t verification_fields[] = {
    STRING(raw_verification, mode, OPTIONAL), STRING(raw_verification, endpoint, OPTIONAL), CYAML_FIELD_END};

static const cyaml_schema_field_t budget_fields[] = {FLOAT(raw_budget, money), UINT(raw_budget, tokens),
                                                     UINT(raw_budget, requests), CYAML_FIELD_END};

static const cyaml_schema_field_t broker_fields[] = {STRING(raw_broker, bind, OPTIONAL),
                                                     STRING(raw_broker, stats, OPTIONAL),
                                                     STRING(raw_broker, publish, OPTIONAL),
                                                     STRING(raw_broker, log_level, OPTIONAL),
                                                     STRING(raw_broker, durability, OPTIONAL),
                                                     UINT(raw_broker, sync_interval_ms),
                                                     UINT(raw_broker, lease_s),
                                                     UINT(raw_broker, heartbeat_s),
                                                     CYAML_FIELD_END};

static const cyaml_schema_field_t aligner_fields[] = {UINT(raw_aligner, shard_samples), CYAML_FIELD_END};

static const cyaml_schema_field_t alignment_fields[] = {STRING(raw_alignment, tokenizer, OPTIONAL),
                                                        STRING(raw_alignment, learn_from, OPTIONAL),
                                                        BOOL(raw_alignment, plurals),
                                                        BOOL(raw_alignment, hyphens),
                                                        STRING(raw_alignment, abbreviations, OPTIONAL),
                                                        STRING(raw_alignment, two_types, OPTIONAL),
                                                        LIST(raw_alignment, prior, text_item, OPTIONAL),
                                                        STRING(raw_alignment, unlisted, OPTIONAL),
                                                        STRING(raw_alignment, unmarked, OPTIONAL),
                                                        STRING(raw_alignment, conflicting, OPTIONAL),
                                                        STRING(raw_alignment, cut, OPTIONAL),
                                                        CYAML_FIELD_END};

static const cyaml_schema_field_t dedup_fields[] = {BOOL(raw_dedup, exact), FLOAT(raw_dedup, near),
                                                    UINT(raw_dedup, per_template), CYAML_FIELD_END};

static const cyaml_schema_field_t leakage_fields[] = {LIST(raw_leakage, gold, text_item, OPTIONAL),
                                                      UINT(raw_leakage, ngram), CYAML_FIELD_END};

static const cyaml_schema_field_t denoise_fields[] = {
    UINT(raw_denoise, folds),   UINT(raw_denoise, train_folds),          FLOAT(raw_denoise, agree),
    FLOAT(raw_denoise, reject), STRING(raw_denoise, rejected, OPTIONAL), CYAML_FIELD_END};

static const cyaml_schema_field_t augmentation_fields[] = {UINT(raw_augmentation, copies),
                                                           STRING(raw_augmentation, asides, OPTIONAL),
                                                           STRING(raw_augmentation, decoys, OPTIONAL),
                                                           FLOAT(raw_augmentation, share),
                                                           FLOAT(raw_augmentation, coordinate),
                                                           FLOAT(raw_augmentation, abbreviate),
                                                           FLOAT(raw_augmentation, aside),
                                                           FLOAT(raw_augmentation, frame),
                                                           FLOAT(raw_augmentation, decoy_share),
                                                           CYAML_FIELD_END};

static const cyaml_schema_field_t trainer_fields[] = {STRING(raw_trainer, model, OPTIONAL),
                                                      STRING(raw_trainer, gold_train, OPTIONAL),
                                                      STRING(raw_trainer, recipe, OPTIONAL),
                                                      STRING(raw_trainer, precision, OPTIONAL),
                                                      BOOL(raw_trainer, gradient_checkpointing),
                                                      BOOL(raw_trainer, crf),
                                                      UINT(raw_trainer, gold_epochs),
                                                      FLOAT(raw_trainer, synthetic_learning_rate),
                                                      UINT(raw_trainer, gold_steps),
                                                      FLOAT(raw_trainer, gold_learning_rate),
                                                      UINT(raw_trainer, upsample),
                                                      UINT(raw_trainer, patience),
                                                      FLOAT(raw_trainer, dev_share),
                                                      FLOAT(raw_trainer, label_smoothing),
                                                      FLOAT(raw_trainer, gce),
                                                      FLOAT(raw_trainer, layer_decay),
                                                      FLOAT(raw_trainer, min_score),
                                                      UINT(raw_trainer, epochs),
                                                      UINT(raw_trainer, batch),
                                                      UINT(raw_trainer, max_length),
                                                      FLOAT(raw_trainer, learning_rate),
                                                      FLOAT(raw_trainer, warmup),
                                                      FLOAT(raw_trainer, weight_decay),
                                                      FLOAT(raw_trainer, clip),
                                                      FLOAT(raw_trainer, dropout),
                                                      UINT(raw_trainer, seed),
                                                      CYAML_FIELD_END};

static const cyaml_schema_field_t coverage_fields[] = {UINT(raw_coverage, min_per_entity),
                                                       UINT(raw_coverage, give_up), CYAML_FIELD_END};
static const cyaml_schema_field_t goal_fields[] = {UINT(raw_goal, samples),
                                                   MAPPING(raw_goal, coverage, coverage_fields), CYAML_FIELD_END};

const cyaml_schema_field_t nm_project_fields[] = {UINT(raw_project, version),
                                                  STRING(raw_project, name, OPTIONAL),
                                                  UINT(raw_project, seed),
                                                  MAPPING(raw_project, goal, goal_fields),
                                                  LIST(raw_project, entities, list_item, OPTIONAL),
                                                  LIST(raw_project, endpoints, endpoint_item, OPTIONAL),
                                                  MAPPING(raw_project, generation, generation_fields),
                                                  MAPPING(raw_project, validation, validation_fields),
                                                  MAPPING(raw_project, verification, verification_fields),
                                                  MAPPING(raw_project, budget, budget_fields),
                                                  MAPPING(raw_project, broker, broker_fields),
                                                  MAPPING(raw_project, aligner, aligner_fields),
                                                  MAPPING(raw_project, alignment, alignment_fields),
                                                  MAPPING(raw_project, dedup, dedup_fields),
                                                  MAPPING(raw_project, leakage, leakage_fields),
                                                  MAPPING(raw_project, denoise, denoise_fields),
                                                  MAPPING(raw_project, augmentation, augmentation_fields),
                                                  MAPPING(raw_project, trainer, trainer_fields),
                                                  STRING(raw_project, gold, OPTIONAL),
                                                  CYAML_FIELD_END};
const cyaml_schema_value_t nm_project_form = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_project, nm_project_fields)};

/* ---- loading --------------------------------------------------------------------------------- */

enum nm_err raw_project_load(const char *yaml, size_t len, const char *name, struct raw_project **raw,
                             struct nm_diag *diag)
{
    enum nm_err err = nm_yaml_load(yaml, len, name, &nm_project_form, (void **)raw, diag);
    if (err == NM_OK && *raw == NULL)
        err = nm_fail(diag, NM_EFORMAT, "%s:1: the file holds no project: 'nermill init' makes one to start from",
                      name);
    /* Not libcyaml's to say: a part of a project, as an experiment has it, lacks them. */
    else if (err == NM_OK && ((*raw)->entities == NULL || (*raw)->endpoints == NULL))
        err = nm_fail(diag, NM_EFORMAT, "%s:1: the key '%s' is missing here", name,
                      (*raw)->entities == NULL ? "entities" : "endpoints");
    if (err != NM_OK)
        raw_project_free(raw);
    return err;
}

void raw_project_free(struct raw_project **raw)
{
    nm_yaml_free(&nm_project_form, (void **)raw);
}
