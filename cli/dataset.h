/* dataset.h - what a run on this machine has made, through nermill-aligner export. */
#ifndef NM_CLI_DATASET_H
#define NM_CLI_DATASET_H

#include "cli/place.h"
#include "common/err.h"

/* nm_dataset_export - write the data set to out (NULL: our stdout) as "conll" or "jsonl"; *code: the program's exit
 * code, whose words are on stderr.  NM_ENOENT: no aligner has a store here. */
enum nm_err nm_dataset_export(const struct nm_place *place, const char *format, const char *out, int *code,
                              struct nm_diag *diag);

#endif
