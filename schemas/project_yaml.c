#include "schemas/project_yaml.h"

#include <cyaml/cyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/nearest.h"

/* ---- the schema --------------------------------------------------------------------------------------------------
 */

#define REQUIRED CYAML_FLAG_POINTER
#define OPTIONAL (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define STRING(owner, member, flags) CYAML_FIELD_STRING_PTR(#member, flags, struct owner, member, 0, 4096)
#define UINT(owner, member) CYAML_FIELD_UINT_PTR(#member, OPTIONAL, struct owner, member)
#define BOOL(owner, member) CYAML_FIELD_BOOL_PTR(#member, OPTIONAL, struct owner, member)
#define FLOAT(owner, member) CYAML_FIELD_FLOAT_PTR(#member, OPTIONAL, struct owner, member)
#define MAPPING(owner, member, fields) CYAML_FIELD_MAPPING_PTR(#member, OPTIONAL, struct owner, member, fields)
#define LIST(owner, member, item, flags) CYAML_FIELD_SEQUENCE(#member, flags, struct owner, member, &(item), 1, 1000)

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
static const cyaml_schema_field_t generation_fields[] = {STRING(raw_generation, domain, OPTIONAL),
                                                         STRING(raw_generation, template, OPTIONAL),
                                                         STRING(raw_generation, builtin, OPTIONAL),
                                                         STRING(raw_generation, guidelines, OPTIONAL),
                                                         STRING(raw_generation, mode, OPTIONAL),
                                                         MAPPING(raw_generation, exemplars, exemplars_fields),
                                                         FLOAT(raw_generation, hard_negatives),
                                                         STRING(raw_generation, constrain, OPTIONAL),
                                                         MAPPING(raw_generation, entities, range_fields),
                                                         MAPPING(raw_generation, words, range_fields),
                                                         FLOAT(raw_generation, negatives),
                                                         UINT(raw_generation, attempts),
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

static const cyaml_schema_field_t trainer_fields[] = {STRING(raw_trainer, model, OPTIONAL),
                                                      STRING(raw_trainer, gold_train, OPTIONAL),
                                                      STRING(raw_trainer, recipe, OPTIONAL),
                                                      STRING(raw_trainer, precision, OPTIONAL),
                                                      BOOL(raw_trainer, gradient_checkpointing),
                                                      BOOL(raw_trainer, crf),
                                                      UINT(raw_trainer, gold_epochs),
                                                      FLOAT(raw_trainer, gold_learning_rate),
                                                      UINT(raw_trainer, upsample),
                                                      UINT(raw_trainer, patience),
                                                      FLOAT(raw_trainer, dev_share),
                                                      FLOAT(raw_trainer, label_smoothing),
                                                      FLOAT(raw_trainer, gce),
                                                      FLOAT(raw_trainer, layer_decay),
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

static const cyaml_schema_field_t project_fields[] = {UINT(raw_project, version),
                                                      STRING(raw_project, name, OPTIONAL),
                                                      UINT(raw_project, seed),
                                                      MAPPING(raw_project, goal, goal_fields),
                                                      LIST(raw_project, entities, list_item, REQUIRED),
                                                      LIST(raw_project, endpoints, endpoint_item, REQUIRED),
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
                                                      MAPPING(raw_project, trainer, trainer_fields),
                                                      STRING(raw_project, gold, OPTIONAL),
                                                      CYAML_FIELD_END};
static const cyaml_schema_value_t project_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_project, project_fields)};

/* ---- errors: libcyaml's log made into one line ----------------------------------------------- */

struct report {
    char what[512]; /* its first line */
    long line;      /* of the innermost place it names; 0: none */
    char place[128];
};

static void on_log(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    (void)level;
    struct report *report = ctx;
    char text[512];
    (void)vsnprintf(text, sizeof text, fmt, args);
    text[strcspn(text, "\n")] = '\0';
    const char *line = strstr(text, "(line: ");
    if (report->what[0] == '\0') {
        const char *what = strncmp(text, "Load: ", 6) == 0 ? text + 6 : text;
        (void)snprintf(report->what, sizeof report->what, "%s", what);
    } else if (line != NULL && report->line == 0) {
        report->line = strtol(line + 7, NULL, 10);
        const char *field = strstr(text, "field '");
        if (field != NULL)
            (void)snprintf(report->place, sizeof report->place, "%.*s", (int)strcspn(field + 7, "'"), field + 7);
    }
}

static void nearest_in(const cyaml_schema_field_t *fields, const char *key, const char **best, size_t *best_distance)
{
    for (; fields->key != NULL; fields++) {
        size_t d = nm_edit_distance(key, fields->key);
        if (d < *best_distance) {
            *best_distance = d;
            *best = fields->key;
        }
        if (fields->value.type == CYAML_MAPPING)
            nearest_in(fields->value.mapping.fields, key, best, best_distance);
        else if (fields->value.type == CYAML_SEQUENCE && fields->value.sequence.entry->type == CYAML_MAPPING)
            nearest_in(fields->value.sequence.entry->mapping.fields, key, best, best_distance);
    }
}

/* The line, at or behind from, on which "key:" stands: libcyaml names the place before an unknown key. */
static long line_of_key(const char *yaml, size_t len, const char *key, long from)
{
    size_t key_len = strlen(key);
    long line = 1;
    const char *end = yaml + len;
    for (const char *p = yaml; p < end; line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (stop == NULL)
            stop = end;
        const char *word = p;
        while (word < stop && (*word == ' ' || *word == '-' || *word == '{' || *word == '"'))
            word++;
        if (line >= from && (size_t)(stop - word) > key_len && memcmp(word, key, key_len) == 0 &&
            strchr(": \"", word[key_len]) != NULL)
            return line;
        p = stop + 1;
    }
    return from;
}

static enum nm_err fail_load(const char *yaml, size_t len, const char *name, cyaml_err_t rc,
                             const struct report *report, struct nm_diag *diag)
{
    static const char unexpected[] = "Unexpected key: ";
    static const char missing[] = "Missing required mapping field: ";
    if (rc == CYAML_ERR_OOM)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", name);
    if (strncmp(report->what, unexpected, sizeof unexpected - 1) == 0) {
        const char *key = report->what + sizeof unexpected - 1;
        const char *best = NULL;
        size_t best_distance = nm_nearest_reach(key);
        nearest_in(project_fields, key, &best, &best_distance);
        return nm_fail(diag, NM_EFORMAT, "%s:%ld: unknown key '%s'%s%s%s", name,
                       line_of_key(yaml, len, key, report->line), key, best != NULL ? ": did you mean '" : "",
                       best != NULL ? best : "", best != NULL ? "'?" : "");
    }
    if (strncmp(report->what, missing, sizeof missing - 1) == 0)
        return nm_fail(diag, NM_EFORMAT, "%s:%ld: the key '%s' is missing here", name, report->line,
                       report->what + sizeof missing - 1);
    return nm_fail(diag, NM_EFORMAT, "%s:%ld: %s%s%s", name, report->line > 0 ? report->line : 1,
                   report->what[0] != '\0' ? report->what : cyaml_strerror(rc),
                   report->place[0] != '\0' ? ", in " : "", report->place);
}

/* ---- loading --------------------------------------------------------------------------------- */

static const cyaml_config_t *configure(cyaml_config_t *config, struct report *report)
{
    *config = (cyaml_config_t){.log_fn = report != NULL ? on_log : NULL,
                               .log_ctx = report,
                               .mem_fn = cyaml_mem,
                               .log_level = CYAML_LOG_ERROR,
                               .flags = CYAML_CFG_NO_ALIAS};
    return config;
}

enum nm_err raw_project_load(const char *yaml, size_t len, const char *name, struct raw_project **raw,
                             struct nm_diag *diag)
{
    struct report report = {0};
    cyaml_config_t config;
    *raw = NULL;
    cyaml_err_t rc = cyaml_load_data((const uint8_t *)yaml, len, configure(&config, &report), &project_value,
                                     (cyaml_data_t **)raw, NULL);
    if (rc != CYAML_OK)
        return fail_load(yaml, len, name, rc, &report, diag);
    if (*raw == NULL)
        return nm_fail(diag, NM_EFORMAT, "%s:1: the file holds no project: 'nermill init' makes one to start from",
                       name);
    return NM_OK;
}

void raw_project_free(struct raw_project **raw)
{
    cyaml_config_t config;
    if (*raw != NULL)
        (void)cyaml_free(configure(&config, NULL), &project_value, *raw, 0);
    *raw = NULL;
}
