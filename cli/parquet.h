/* parquet.h - a directory that Hugging Face's datasets loads: Parquet by Apache Arrow's Python package. */
#ifndef NM_CLI_PARQUET_H
#define NM_CLI_PARQUET_H

#include <stddef.h>

#include "common/err.h"
#include "workers/dataset/source.h"

/* One split of the data set; name as datasets calls it: train, validation, test. */
struct nm_parquet_split {
    const char *name;
    const struct nm_source *source;
};

/* nm_parquet_export - the splits into dir, which must not be there yet.  Python is $NERMILL_EXPORT_PYTHON, the one
 * that deploy/setup-export.sh made, or python3.  *code: its exit code, whose words are on stderr.  As nm_export_run.
 */
enum nm_err nm_parquet_export(const struct nm_parquet_split *splits, size_t n, const char *title, const char *dir,
                              int *code, struct nm_diag *diag);

#endif
