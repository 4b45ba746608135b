/* experiment.h - the file of an experiment, checked: which corpus, which grid of cells, by which project.
 *
 * Every generation of it is an ordinary project.yaml: the file's section `project`, changed by an ablation's `set`
 * and `unset`.  Read-only after loading, so any thread.  The JSON schema of the file is experiment.schema.json.
 */
#ifndef NM_SCHEMAS_EXPERIMENT_H
#define NM_SCHEMAS_EXPERIMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

/* What a tagger is made of. */
enum nm_arm {
    NM_ARM_GOLD,        /* gold sentences alone */
    NM_ARM_REPLACEMENT, /* gold, and copies of it with other entities of the lists in their places */
    NM_ARM_SYNTHETIC,   /* synthetic sentences alone */
    NM_ARM_THEN,        /* synthetic, then gold */
    NM_ARM_JOINT,       /* both in one, gold repeated */
    NM_ARM_DICTIONARY,  /* no tagger: the lists, matched */
    NM_ARM_UNION,       /* the lists, and what another arm's tagger is sure of */
    NM_ARMS
};

#define NM_ALL UINT64_MAX /* of a budget: the whole list, every gold sentence */

/* A base project or an ablation of it, and the cells that it has. */
struct nm_experiment_variant {
    const char *name; /* "base", or the ablation's */
    bool arms[NM_ARMS];
    uint32_t answers_of;                 /* the variant whose recorded answers it takes; itself: it asks */
    bool hygiene;                        /* lists that are cut leave ambiguous names out */
    uint64_t *budgets, *golds, *samples; /* (n_...) of entities a type; of gold sentences; of synthetic ones */
    uint32_t n_budgets, n_golds, n_samples;
};

struct nm_experiment_type {
    const char *name, *definition; /* definition: NULL for none */
    const char *file;              /* its list; NULL: cut from the train part */
};

struct nm_experiment {
    const char *name;
    uint64_t seed;                    /* of draws, and of the lists that are cut */
    const char *train, *devel, *test; /* files; NULL: there is none */
    double devel_share;               /* of train, where there is no devel file */
    bool documents;                   /* gold is drawn by documents, not by sentences */
    uint32_t guard_words;             /* words from which on a sentence counts as the test part's */
    bool on_test;                     /* the final evaluation */
    struct nm_experiment_type *types; /* (n_types) */
    uint32_t n_types;
    struct nm_experiment_variant *variants; /* (n_variants); the first one is the base */
    uint32_t n_variants;
    uint32_t draws;
    uint64_t *seeds; /* (n_seeds) of trainings */
    uint32_t n_seeds;
    enum nm_arm union_of;
    double union_sure; /* words that the tagger is less sure of do not count */
    uint32_t copies;   /* of each gold sentence, with other entities */
    uint32_t threads;  /* of a training */
    uint32_t bootstrap;
};

/* nm_arm_name - as the file has it.  nm_arm_is_drawn - it trains on gold.  nm_arm_is_generated - on synthetic
 * sentences, or needs a tagger that does. */
const char *nm_arm_name(enum nm_arm arm);
bool nm_arm_is_drawn(const struct nm_experiment *e, enum nm_arm arm);
bool nm_arm_is_generated(const struct nm_experiment *e, enum nm_arm arm);
bool nm_arm_is_trained(enum nm_arm arm);

/* nm_experiment_load - read and check; every ablation's project is checked, too.  File errors; NM_EFORMAT with file
 * and line; NM_ENOENT: a ${VAR} that is not set. */
enum nm_err nm_experiment_load(const char *path, struct nm_experiment **experiment, struct nm_diag *diag);
void nm_experiment_destroy(struct nm_experiment **experiment);

/* What a generation adds to its variant's project. */
struct nm_experiment_run {
    const char *const *files; /* (n_types) its lists */
    uint64_t samples;         /* its goal */
    const char *replay;       /* a file of answers, or NULL: as the project says */
};

/* nm_experiment_project - the project.yaml of a variant.  NM_ENOMEM. */
enum nm_err nm_experiment_project(const struct nm_experiment *e, uint32_t variant,
                                  const struct nm_experiment_run *run, struct nm_buf *out);

/* Which part of a variant's project a hash is of. */
enum nm_experiment_part {
    NM_PART_GENERATION, /* what texts and their labels follow from, lists and goal left out */
    NM_PART_DENOISE,    /* empty: not wanted */
    NM_PART_AUGMENT,    /* empty: not wanted; with the decoys that it takes from the generation */
    NM_PART_TRAINER,    /* the recipe, without encoder, seed, and what only the use of a tagger depends on */
};

/* nm_experiment_part - that part as text, the same for the same values; of files the hash of what they hold.  File
 * errors, NM_ENOMEM. */
enum nm_err nm_experiment_part(const struct nm_experiment *e, uint32_t variant, enum nm_experiment_part part,
                               struct nm_buf *out, struct nm_diag *diag);

/* nm_experiment_min_score - of the entities that a variant's taggers find and that count: trainer.min_score. */
double nm_experiment_min_score(const struct nm_experiment *e, uint32_t variant);

/* nm_experiment_encoder - the directory of a variant's encoder, into path. */
enum nm_err nm_experiment_encoder(const struct nm_experiment *e, uint32_t variant, char *path, size_t size,
                                  struct nm_diag *diag);

/* nm_experiment_files - each text of a variant's project that is the name of a file, with its key
 * ("generation.exemplars.file"). */
typedef enum nm_err (*nm_experiment_file_fn)(void *ctx, const char *key, const char *path, struct nm_diag *diag);
enum nm_err nm_experiment_files(const struct nm_experiment *e, uint32_t variant, nm_experiment_file_fn fn, void *ctx,
                                struct nm_diag *diag);

#endif
