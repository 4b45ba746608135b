#include "schemas/experiment_yaml.h"

#include "schemas/project_form.h"

static const cyaml_schema_value_t text_item = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 4096)};

static const cyaml_schema_field_t corpus_fields[] = {STRING(raw_corpus, train, REQUIRED),
                                                     STRING(raw_corpus, devel, OPTIONAL),
                                                     STRING(raw_corpus, test, OPTIONAL),
                                                     STRING(raw_corpus, level, OPTIONAL),
                                                     FLOAT(raw_corpus, devel_share),
                                                     UINT(raw_corpus, guard_words),
                                                     CYAML_FIELD_END};

static const cyaml_schema_field_t grid_fields[] = {LIST(raw_grid, arms, text_item, REQUIRED),
                                                   LIST(raw_grid, entities, text_item, OPTIONAL),
                                                   LIST(raw_grid, gold, text_item, OPTIONAL),
                                                   LIST(raw_grid, samples, text_item, OPTIONAL),
                                                   LIST(raw_grid, seeds, text_item, OPTIONAL),
                                                   UINT(raw_grid, draws),
                                                   CYAML_FIELD_END};

static const cyaml_schema_field_t type_fields[] = {STRING(raw_list, type, REQUIRED), STRING(raw_list, file, OPTIONAL),
                                                   STRING(raw_list, definition, OPTIONAL), CYAML_FIELD_END};
static const cyaml_schema_value_t type_item = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_list, type_fields)};

static const cyaml_schema_field_t union_fields[] = {STRING(raw_union, of, OPTIONAL), FLOAT(raw_union, sure),
                                                    CYAML_FIELD_END};
static const cyaml_schema_field_t replacement_fields[] = {UINT(raw_replacement, copies), CYAML_FIELD_END};

static const cyaml_schema_field_t ablation_fields[] = {STRING(raw_ablation, name, REQUIRED),
                                                       MAPPING(raw_ablation, set, nm_project_fields),
                                                       BOOL(raw_ablation, hygiene),
                                                       STRING(raw_ablation, answers_of, OPTIONAL),
                                                       LIST(raw_ablation, unset, text_item, OPTIONAL),
                                                       LIST(raw_ablation, arms, text_item, OPTIONAL),
                                                       LIST(raw_ablation, entities, text_item, OPTIONAL),
                                                       LIST(raw_ablation, gold, text_item, OPTIONAL),
                                                       LIST(raw_ablation, samples, text_item, OPTIONAL),
                                                       CYAML_FIELD_END};
static const cyaml_schema_value_t ablation_item = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_ablation, ablation_fields)};

static const cyaml_schema_field_t experiment_fields[] = {
    UINT(raw_experiment, version),
    STRING(raw_experiment, name, OPTIONAL),
    UINT(raw_experiment, seed),
    BOOL(raw_experiment, hygiene),
    STRING(raw_experiment, evaluate, OPTIONAL),
    MAPPING(raw_experiment, corpus, corpus_fields),
    LIST(raw_experiment, types, type_item, REQUIRED),
    MAPPING(raw_experiment, project, nm_project_fields),
    MAPPING(raw_experiment, grid, grid_fields),
    LIST(raw_experiment, ablations, ablation_item, OPTIONAL),
    CYAML_FIELD_MAPPING_PTR("union", OPTIONAL, struct raw_experiment, union_of, union_fields),
    MAPPING(raw_experiment, replacement, replacement_fields),
    UINT(raw_experiment, threads),
    UINT(raw_experiment, bootstrap),
    CYAML_FIELD_END};
static const cyaml_schema_value_t experiment_form = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_experiment, experiment_fields)};

enum nm_err raw_experiment_load(const char *yaml, size_t len, const char *name, struct raw_experiment **raw,
                                struct nm_diag *diag)
{
    enum nm_err err = nm_yaml_load(yaml, len, name, &experiment_form, (void **)raw, diag);
    if (err == NM_OK && *raw == NULL)
        err = nm_fail(diag, NM_EFORMAT, "%s:1: the file holds no experiment: docs/experiments.md has one", name);
    const char *missing = err != NM_OK || *raw == NULL ? NULL
                          : (*raw)->corpus == NULL     ? "corpus"
                          : (*raw)->project == NULL    ? "project"
                          : (*raw)->grid == NULL       ? "grid"
                                                       : NULL;
    if (missing != NULL)
        err = nm_fail(diag, NM_EFORMAT, "%s:1: the key '%s' is missing here", name, missing);
    if (err != NM_OK)
        raw_experiment_free(raw);
    return err;
}

void raw_experiment_free(struct raw_experiment **raw)
{
    nm_yaml_free(&experiment_form, (void **)raw);
}
