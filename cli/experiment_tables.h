/* experiment_tables.h - what came of an experiment, as files: results.csv, results.json, tables.md, and figures.
 *
 * All of them are made of STATE/cells alone, of what is done so far, and replaced as wholes, in STATE/devel, or
 * STATE/test.
 */
#ifndef NM_CLI_EXPERIMENT_TABLES_H
#define NM_CLI_EXPERIMENT_TABLES_H

#include "cli/experiment_summary.h"

enum nm_err nm_exp_write_csv(const struct nm_exp_summary *s, struct nm_diag *diag);
enum nm_err nm_exp_write_json(const struct nm_exp_summary *s, struct nm_diag *diag);
enum nm_err nm_exp_write_tables(const struct nm_exp_summary *s, struct nm_diag *diag);
enum nm_err nm_exp_write_figures(const struct nm_exp_summary *s, struct nm_diag *diag);

/* nm_exp_write_all - all four. */
enum nm_err nm_exp_write_all(const struct nm_exp *x, struct nm_diag *diag);

/* nm_exp_write - text as STATE/devel/name (or test/); err is what making it has come to, and is passed on. */
enum nm_err nm_exp_write(const struct nm_exp *x, const char *name, const struct nm_buf *text, enum nm_err err,
                         struct nm_diag *diag);

/* nm_exp_budget - "all" or the number; "" for 0. */
void nm_exp_budget(uint64_t budget, char out[24]);

#endif
