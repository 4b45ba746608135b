/* export.h - a data set as files of another form. */
#ifndef NM_DATASET_EXPORT_H
#define NM_DATASET_EXPORT_H

#include "workers/dataset/format.h"
#include "workers/dataset/source.h"

/* nm_export_run - every record of source, by format's writer.  path: the file, which is replaced when all has been
 * written (NULL: standard output), or the directory, which must not be there yet, or be empty.  *written: how many
 * records.  As nm_source_read; NM_EINVAL: a directory that is not named; NM_EEXIST: it holds something; NM_EFULL,
 * NM_EIO, NM_EAUTH: what is written. */
enum nm_err nm_export_run(const struct nm_source *source, const struct nm_format *format, const char *path,
                          uint64_t *written, struct nm_diag *diag);

/* nm_export_records - the same for records that read gives (it calls fn for each, as often as it is asked to). */
typedef enum nm_err (*nm_export_read)(const void *from, nm_record_fn fn, void *ctx, struct nm_diag *diag);
enum nm_err nm_export_records(nm_export_read read, const void *from, const struct nm_format *format, const char *path,
                              uint64_t *written, struct nm_diag *diag);

#endif
