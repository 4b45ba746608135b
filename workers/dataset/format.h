/* format.h - the forms that a data set is taken away in: one writer a form, behind one table.
 *
 * What becomes of a masked span (labels have three states) is each form's own business:
 *     conll, conll2003   the tag "-"                      spacy        the tag "-", spaCy's missing value
 *     jsonl              "type": null, and the tag "-"    labelstudio, doccano, brat   a span of the type MASKED,
 *                                                         so that a person can decide
 * Offsets count code points in all of them: spaCy and brat index Python strings, Label Studio stores code points
 * (since its frontend's pull request 308), and doccano checks spans against Python strings.
 */
#ifndef NM_DATASET_FORMAT_H
#define NM_DATASET_FORMAT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/buf.h"
#include "workers/dataset/record.h"

#define NM_MASKED_LABEL "MASKED"

/* The types of a data set, sorted by bytes, each once. */
struct nm_types {
    char **names;
    size_t n;
    bool masked; /* there are masked spans */
};

/* nm_types_add - every type of the record's mentions; the types of the tags are the same.  NM_ENOMEM. */
enum nm_err nm_types_add(struct nm_types *types, const struct nm_record *record);
void nm_types_clean_up(struct nm_types *types);

struct nm_writer {
    FILE *file;       /* of a form that is one file */
    const char *dir;  /* of a form that is a directory: where its files go */
    const char *name; /* the file or directory, for messages */
    const struct nm_types *types;
    uint64_t written;
    struct nm_buf buf; /* work space */
    void *own;         /* the form's; its end frees it */
};

struct nm_format {
    const char *name, *summary;
    bool directory;
    bool wants_types; /* needs to know all types before the first record */
    enum nm_err (*begin)(struct nm_writer *w, struct nm_diag *diag); /* NULL: nothing to do */
    enum nm_err (*record)(struct nm_writer *w, const struct nm_record *record, struct nm_diag *diag);
    enum nm_err (*end)(struct nm_writer *w, struct nm_diag *diag); /* NULL; also called after an error */
};

/* nm_format_find - NULL: there is none of that name. */
const struct nm_format *nm_format_find(const char *name);
/* nm_format_find_stream - only one that is written in one reading, into one file: NM_FORMAT_STREAMS; NULL: no such.
 */
const struct nm_format *nm_format_find_stream(const char *name);
#define NM_FORMAT_STREAMS "conll, conll2003, jsonl, spacy, labelstudio or doccano"
extern const struct nm_format *const nm_formats[]; /* ends with NULL */

/* nm_record_write_json - append the record as one line of schemas/sample.schema.json.  NM_EFORMAT, NM_ENOMEM. */
enum nm_err nm_record_write_json(const struct nm_record *record, struct nm_buf *out);

/* nm_format_flush - the buffer to the file, and emptied.  NM_EFULL, NM_EIO: diag names the file. */
enum nm_err nm_format_flush(struct nm_writer *w, struct nm_diag *diag);

/* nm_format_done - the end of a writer's record: err as a line about that record, or the buffer to the file. */
enum nm_err nm_format_done(struct nm_writer *w, const struct nm_record *record, enum nm_err err,
                           struct nm_diag *diag);

/* nm_format_fits - false: a token or a tag of the sample is empty, or holds one of the separators that would end its
 * column.  nm_format_misfit - the line about that, and NM_EFORMAT. */
bool nm_format_fits(const struct nm_msg_sample *sample, const char *separators);
enum nm_err nm_format_misfit(const struct nm_record *record, const char *what, struct nm_diag *diag);

/* The writers, a file each. */
extern const struct nm_format nm_format_conll, nm_format_conll2003, nm_format_jsonl, nm_format_spacy,
    nm_format_labelstudio, nm_format_doccano, nm_format_brat;

#endif
