/* predict.h - tag a stream of text or CoNLL and print what was found. */
#ifndef NM_TRAINER_PREDICT_H
#define NM_TRAINER_PREDICT_H

#include <stdbool.h>
#include <stdio.h>

#include "common/err.h"
#include "workers/trainer/tagger.h"

enum nm_predict_format {
    NM_PREDICT_COLOR, /* the text with its entities in colour, the type behind each */
    NM_PREDICT_PLAIN, /* the same in brackets: [Torsade de pointes|Disease] */
    NM_PREDICT_JSONL, /* {"text", "entities": [{"start", "end", "type", "text", "score"}]}, offsets in code points */
    NM_PREDICT_CONLL  /* word TAB tag, a blank line behind each sentence */
};

enum nm_predict_input {
    NM_PREDICT_FROM_TEXT,  /* each line is a text */
    NM_PREDICT_FROM_JSONL, /* each line is an object whose "text" is one; its other members come out again in JSONL */
    NM_PREDICT_FROM_CONLL  /* a word a line; its tags, if any, are ignored */
};

struct nm_predict {
    struct nm_tagger *tagger;
    enum nm_predict_format format;
    bool scores; /* conll has a third column: the probability of the tag */
    double sure; /* of conll: words whose tag is less probable, and entities that have one, are masked; 0: none */
    enum nm_predict_input input;
    bool unbuffered; /* answer each line at once: somebody types */
    FILE *in, *out;
    const char *name; /* of the input, for messages */
};

/* nm_predict_run - to the end of the input.  An entity's score is the mean probability of its words' tags.
 * NM_EFORMAT with file:line: not UTF-8, no object with a text, CoNLL without words; NM_EIO, NM_EFULL: out can't be
 * written; errors of nm_tagger_tag. */
enum nm_err nm_predict_run(const struct nm_predict *predict, struct nm_diag *diag);

#endif
