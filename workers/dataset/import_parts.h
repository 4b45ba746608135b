/* import_parts.h - the readers behind import.c's table, and what they share. */
#ifndef NM_DATASET_IMPORT_PARTS_H
#define NM_DATASET_IMPORT_PARTS_H

#include "workers/dataset/import.h"
#include "workers/dataset/lines.h"

typedef enum nm_err nm_import_reader(const struct nm_import *import, nm_record_fn fn, void *ctx,
                                     struct nm_record_counts *counts, struct nm_diag *diag);
nm_import_reader nm_import_conll, nm_import_tdmsci, nm_import_jsonl, nm_import_pubtator, nm_import_bc4chemd;

/* Where finished records go. */
struct nm_import_sink {
    nm_record_fn fn;
    void *ctx;
    struct nm_record_counts *counts;
    struct nm_diag *diag;
};

/* nm_import_give - count the record, number it where it has no number, hand it on. */
enum nm_err nm_import_give(const struct nm_import_sink *sink, struct nm_record *record);

/* A title or an abstract with its spans, which are sorted; offsets are bytes of text. */
struct nm_passage {
    struct nm_str text, document;
    const char *name; /* the file, and the line that the text stands in */
    uint64_t line;
    struct nm_text_span *spans;
    size_t n;
};

/* nm_import_passage - as one record, or as one a sentence.  arena: work space, reset by the caller. */
enum nm_err nm_import_passage(const struct nm_import_sink *sink, const struct nm_passage *passage, bool sentences,
                              struct nm_arena *arena);

/* nm_import_number - a whole number that fills text. */
bool nm_import_number(struct nm_str text, uint64_t *number);

#endif
