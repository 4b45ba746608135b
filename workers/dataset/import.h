/* import.h - corpora as records: the forms that other people's labelled text comes in. */
#ifndef NM_DATASET_IMPORT_H
#define NM_DATASET_IMPORT_H

#include <stdbool.h>

#include "workers/dataset/record.h"

struct nm_import {
    const char *format;      /* one of nm_import_formats; NULL: JSON lines where the first byte is '{', else CoNLL */
    const char *path;        /* "-": standard input */
    const char *annotations; /* bc4chemd: its second file; NULL: none */
    bool sentences;          /* pubtator, bc4chemd: cut titles and abstracts into sentences */
    bool natural;            /* conll: blanks as in print, even where our tokeniser would cut other words there */
    bool classes;            /* bc4chemd: FORMULA, TRIVIAL and so on as types, not Chemical for all */
};

/* One form, its reader and a line about it. */
struct nm_import_format {
    const char *name, *summary;
    enum nm_err (*read)(const struct nm_import *import, nm_record_fn fn, void *ctx, struct nm_record_counts *counts,
                        struct nm_diag *diag);
};
extern const struct nm_import_format nm_import_formats[];
extern const size_t nm_import_n_formats;

/* nm_import_read - every sentence of the corpus to fn; *counts: what became of it.  NM_EINVAL: no such format, or an
 * option that it does not have; file errors; NM_EFORMAT: diag has file, line and what is wrong there. */
enum nm_err nm_import_read(const struct nm_import *import, nm_record_fn fn, void *ctx,
                           struct nm_record_counts *counts, struct nm_diag *diag);

#endif
