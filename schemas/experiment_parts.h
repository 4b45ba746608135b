/* experiment_parts.h - what experiment*.c share.  Internal. */
#ifndef NM_SCHEMAS_EXPERIMENT_PARTS_H
#define NM_SCHEMAS_EXPERIMENT_PARTS_H

#include "common/arena.h"
#include "common/file.h"
#include "schemas/experiment.h"
#include "schemas/experiment_yaml.h"

/* The experiment with all its strings, and each variant's project: whole but for its lists, its files absolute. */
struct owned_experiment {
    struct nm_experiment experiment; /* first: it is freed as what it is part of */
    struct nm_arena arena;
    struct raw_project **projects; /* (n_variants) */
    char path[NM_FILE_PATH];
};

/* nm_each_file - fn for every file that a project names, with its key; *text may be replaced (malloc'd). */
typedef enum nm_err (*nm_file_text_fn)(void *ctx, const char *key, char **text);
enum nm_err nm_each_file(struct raw_project *p, nm_file_text_fn fn, void *ctx);

#endif
