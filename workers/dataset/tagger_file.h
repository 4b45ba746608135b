/* tagger_file.h - what a tagger said of a text, word for word: nermill predict --format conll --scores.
 *
 * A line is a word, its tag and, maybe, a probability, by tabs or blanks; empty lines and -DOCSTART- are passed over,
 * so it does not matter where sentences end.
 */
#ifndef NM_DATASET_TAGGER_FILE_H
#define NM_DATASET_TAGGER_FILE_H

#include "common/arena.h"
#include "workers/dataset/lines.h"
#include "workers/dataset/record.h"

struct nm_tagger_file {
    struct nm_lines lines;
    bool scored; /* every word so far has a probability */
};

/* nm_tagger_file_open - path is borrowed.  The file's errors. */
enum nm_err nm_tagger_file_open(struct nm_tagger_file *file, const char *path, struct nm_diag *diag);
void nm_tagger_file_close(struct nm_tagger_file *file);

/* A mention that the tagger found, and the least probability of its words (1: the file has none). */
struct nm_tagger_span {
    struct nm_msg_mention mention;
    double score;
};

/* nm_tagger_file_spans - what it found in the next sentence, whose words have to be the record's: *spans (*n) in
 * arena, masked ones included.  NM_EFORMAT: other words, or no tag; diag has file and line; NM_ENOMEM. */
enum nm_err nm_tagger_file_spans(struct nm_tagger_file *file, const struct nm_record *record, struct nm_arena *arena,
                                 struct nm_tagger_span **spans, size_t *n, struct nm_diag *diag);

/* nm_tagger_file_end - NM_EFORMAT: there are words behind the last sentence. */
enum nm_err nm_tagger_file_end(struct nm_tagger_file *file, struct nm_diag *diag);

#endif
