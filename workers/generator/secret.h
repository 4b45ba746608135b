/* secret.h - API keys: read from where they may stand, and kept out of everything that comes back. */
#ifndef NM_GENERATOR_SECRET_H
#define NM_GENERATOR_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

enum { NM_SECRET_MIN = 8 }; /* bytes: shorter ones ("none", "EMPTY") are no secrets, and occur in texts */

/* nm_secret_file - append the first line of a file that nobody but its owner may read.
 * NM_EINVAL: group or others may (diag says chmod 600), or it is no regular file; NM_ENOENT, NM_EIO; NM_EFORMAT: the
 * line is empty.  label names the endpoint in diag, which never holds what was read. */
enum nm_err nm_secret_file(const char *label, const char *path, struct nm_buf *out, struct nm_diag *diag);

/* nm_secret_is_plain - no white space, no control character: it can't add a header of its own. */
bool nm_secret_is_plain(const char *key);

/* nm_secret_mask - put '*' over every occurrence, as it is or with '/' escaped as JSON may have it. */
void nm_secret_mask(char *text, size_t len, const char *secret);

#endif
