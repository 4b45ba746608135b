/* experiment_cell.h - the result of a cell: CELLS/KEY.json, written last, and KEY.conll, the predicted tags. */
#ifndef NM_CLI_EXPERIMENT_CELL_H
#define NM_CLI_EXPERIMENT_CELL_H

#include <jansson.h>

#include "cli/experiment_plan.h"

/* nm_exp_eval_name - "devel" or "test": of STATE/corpus/NAME.conll and NAME.words.conll. */
const char *nm_exp_eval_name(const struct nm_exp *x);

/* nm_exp_cell_columns - KEY.columns: words, gold tags, predicted tags (of KEY.new).  NM_EFORMAT: other words. */
enum nm_err nm_exp_cell_columns(const struct nm_exp *x, const struct nm_exp_step *cell, struct nm_diag *diag);

/* nm_exp_cell_finish - KEY.json from KEY.scores, and the work files gone. */
enum nm_err nm_exp_cell_finish(const struct nm_exp *x, const struct nm_exp_step *cell, double seconds,
                               struct nm_diag *diag);

/* nm_exp_cell_read - what was written; the caller's.  NULL: it is not there, or no result. */
json_t *nm_exp_cell_read(const struct nm_exp *x, const struct nm_exp_step *cell);

#endif
