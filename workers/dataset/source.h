/* source.h - where a data set is read from: the stores of a run's aligners, or a file. */
#ifndef NM_DATASET_SOURCE_H
#define NM_DATASET_SOURCE_H

#include <stddef.h>

#include "workers/dataset/record.h"

struct nm_source {
    const char *const *states; /* aligners' state directories, merged by task; or none, and */
    size_t n_states;
    const char *aside; /* a file of task ranges whose samples are left out (schemas/aside.h), or NULL */
    const char *path;  /* JSON lines, or CoNLL; "-": standard input */
};

/* nm_source_read - every record to fn, in order, each once.  Stores: by task; a task that stands in several comes
 * from the first; read beside live aligners, each on one snapshot.  counts may be NULL.  NM_ENOENT: no store or file
 * there; NM_ESTATE: stores of different runs; NM_EFORMAT: a damaged one, or file and line; what fn returned. */
enum nm_err nm_source_read(const struct nm_source *source, nm_record_fn fn, void *ctx,
                           struct nm_record_counts *counts, struct nm_diag *diag);

#endif
