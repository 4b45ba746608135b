/* experiment_step_parts.h - what experiment_step.c and experiment_command.c share.  Internal. */
#ifndef NM_CLI_EXPERIMENT_STEP_PARTS_H
#define NM_CLI_EXPERIMENT_STEP_PARTS_H

#include "cli/experiment_step.h"

/* nm_exp_dep - a step that this one needs, or NULL. */
const struct nm_exp_step *nm_exp_dep(const struct nm_exp *x, const struct nm_exp_step *step, enum nm_exp_dep which);

/* nm_exp_list_file - STATE/dir/KEY/TYPE.txt. */
enum nm_err nm_exp_list_file(const struct nm_exp *x, const char *dir, const char *key, uint32_t type,
                             char path[NM_FILE_PATH]);

/* nm_exp_recipe_file - the project.yaml of a variant, its lists left out: for what is done with data. */
enum nm_err nm_exp_recipe_file(const struct nm_exp *x, uint32_t variant, char path[NM_FILE_PATH]);

/* nm_exp_denoises - the labels of this data set are judged. */
bool nm_exp_denoises(const struct nm_exp *x, const struct nm_exp_step *step);

#endif
