/* zip.h - the directory of a ZIP archive whose entries are stored, not compressed: what PyTorch writes.
 *
 * Source: PKWARE's APPNOTE 6.3 (end of central directory, ZIP64, local headers).  Every offset is checked.
 */
#ifndef NM_TRAINER_ZIP_H
#define NM_TRAINER_ZIP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

struct nm_zip_entry {
    const char *name; /* (name_len), not terminated */
    size_t name_len;
    const unsigned char *data; /* (size) */
    size_t size;
};

/* nm_zip_is - do these bytes begin as an archive does? */
bool nm_zip_is(const unsigned char *data, size_t size);

/* nm_zip_read - all entries of the archive data (size), from which they borrow; free(*entries).  path is for
 * messages. NM_EFORMAT: truncated, malformed, compressed or encrypted; NM_ENOMEM. */
enum nm_err nm_zip_read(const unsigned char *data, size_t size, const char *path, struct nm_zip_entry **entries,
                        size_t *n, struct nm_diag *diag);

/* nm_zip_find - by name; NULL if there is none. */
const struct nm_zip_entry *nm_zip_find(const struct nm_zip_entry *entries, size_t n, const char *name, size_t len);

#endif
