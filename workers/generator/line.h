/* line.h - one of several sentences in one answer, each on a line that begins with its number. */
#ifndef NM_GENERATOR_LINE_H
#define NM_GENERATOR_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct nm_line {
    const char *text; /* into the answer: without number, and without white space around it */
    size_t len;
    bool there; /* else the answer has no such line */
    bool last;  /* nothing comes behind it: where the answer was cut off, so was this */
};

/* nm_line_find - the line of that number, from 1 to lines.  A number is "2.", "2)", "2:" or "(2)"; numbers only rise,
 * so that what looks like one inside a sentence is none; whatever stands before the first is passed over, and a line
 * without a number belongs to the one before it.  Where no line has a number, they count as they stand. */
void nm_line_find(const char *text, size_t len, size_t number, size_t lines, struct nm_line *out);

#endif
