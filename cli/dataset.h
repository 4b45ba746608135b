/* dataset.h - the data set that a person names: a project's, from the stores of its run on this machine, or a file.
 */
#ifndef NM_CLI_DATASET_H
#define NM_CLI_DATASET_H

#include <stdbool.h>

#include "cli/place.h"
#include "common/err.h"
#include "workers/dataset/source.h"

struct nm_dataset;

/* nm_dataset_open - of PROJECT (a directory, or its project.yaml), with its run's state where the user put it (NULL:
 * default); of a file of JSON lines or CoNLL; or of "-".  NM_ENOENT: no aligner has a store there; NM_ENOMEM. */
enum nm_err nm_dataset_open(const char *named, const char *state, struct nm_dataset **dataset, struct nm_diag *diag);

/* nm_dataset_open_place - of a project's place. */
enum nm_err nm_dataset_open_place(const struct nm_place *place, struct nm_dataset **dataset, struct nm_diag *diag);
void nm_dataset_close(struct nm_dataset **dataset);

/* What to read; where the project is, or NULL for a file.  Both last until nm_dataset_close. */
const struct nm_source *nm_dataset_source(const struct nm_dataset *dataset);
const struct nm_place *nm_dataset_place(const struct nm_dataset *dataset);

#endif
