/* lines.h - a text file line by line, checked: what every reader of a corpus stands on. */
#ifndef NM_DATASET_LINES_H
#define NM_DATASET_LINES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"
#include "schemas/messages.h"

struct nm_lines {
    FILE *file;
    const char *name; /* for messages */
    char *data;       /* the present line, NUL-terminated, without its end */
    size_t len, cap;
    uint64_t number; /* of the present line, from 1 */
};

/* nm_lines_open - path, or "-" for standard input; borrowed until nm_lines_close.  NM_ENOENT, NM_EAUTH, NM_EIO. */
enum nm_err nm_lines_open(struct nm_lines *lines, const char *path, struct nm_diag *diag);
void nm_lines_close(struct nm_lines *lines);

/* nm_lines_next - the next line; LF or CRLF ends it, a byte order mark before the first is skipped.  NM_ENOENT
 * behind the last; NM_EFORMAT: not UTF-8, or with a NUL; NM_ELIMIT: over 64 MiB; NM_EIO, NM_ENOMEM. */
enum nm_err nm_lines_next(struct nm_lines *lines, struct nm_diag *diag);

/* nm_lines_split - the present line at each separator into at most max fields, borrowed; how many there are (more
 * than max: the line has more). */
size_t nm_lines_split(const struct nm_lines *lines, char separator, struct nm_str *fields, size_t max);

#endif
