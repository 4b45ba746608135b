/* experiment_yaml.h - an experiment's file as libcyaml reads it; private to experiment.c.
 *
 * Every optional scalar is a pointer, NULL where the file does not say: defaults are experiment.c's.
 */
#ifndef NM_SCHEMAS_EXPERIMENT_YAML_H
#define NM_SCHEMAS_EXPERIMENT_YAML_H

#include "schemas/project_yaml.h"

struct raw_corpus {
    char *train, *devel, *test, *level;
    double *devel_share;
    uint32_t *guard_words;
};

struct raw_grid {
    char **arms, **entities, **gold, **samples, **seeds;
    uint32_t arms_count, entities_count, gold_count, samples_count, seeds_count;
    uint32_t *draws;
};

struct raw_ablation {
    char *name;
    bool *hygiene;
    char *answers_of;
    struct raw_project *set;
    char **unset, **arms, **entities, **gold, **samples;
    uint32_t unset_count, arms_count, entities_count, gold_count, samples_count;
};

struct raw_union {
    char *of;
    double *sure;
};

struct raw_replacement {
    uint32_t *copies;
};

struct raw_experiment {
    uint32_t *version;
    char *name, *evaluate;
    uint64_t *seed;
    bool *hygiene;
    struct raw_corpus *corpus;
    struct raw_list *types;
    uint32_t types_count;
    struct raw_project *project;
    struct raw_grid *grid;
    struct raw_ablation *ablations;
    uint32_t ablations_count;
    struct raw_union *union_of;
    struct raw_replacement *replacement;
    uint32_t *threads, *bootstrap;
};

/* raw_experiment_load - as raw_project_load. */
enum nm_err raw_experiment_load(const char *yaml, size_t len, const char *name, struct raw_experiment **raw,
                                struct nm_diag *diag);
void raw_experiment_free(struct raw_experiment **raw);

#endif
