/* export.h - the data set as files: nermill-aligner export. */
#ifndef NM_ALIGNER_EXPORT_H
#define NM_ALIGNER_EXPORT_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum nm_export_format {
    NM_EXPORT_CONLL, /* token TAB tag, a blank line behind each sample */
    NM_EXPORT_JSONL  /* one object a line: schemas/sample.schema.json */
};

/* nm_export_run - the acknowledged samples of n aligners' state directories, merged by task; a task that stands in
 * several is written once, from the first.  path: the file, which is replaced when all has been written (NULL:
 * standard output).  aside: a file of task ranges whose samples are left out (see schemas/aside.h), or NULL.  Reads
 * beside live aligners, each on one snapshot.  *written: how many samples. NM_ENOENT: no store there; NM_ESTATE:
 * stores of different runs; NM_EFORMAT: a damaged one; NM_EFULL, NM_EIO, NM_EAUTH: the file. */
enum nm_err nm_export_run(const char *const *state_dirs, size_t n, enum nm_export_format format, const char *path,
                          const char *aside, uint64_t *written, struct nm_diag *diag);

#endif
