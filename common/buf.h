/* buf.h - a growing byte buffer that declares its maximum (after curl's dynbuf).
 *
 * The content is always followed by a NUL that does not count, so that text can be read as a C string.
 * A failed call leaves the content as it was.  Not thread-safe.
 */
#ifndef NM_COMMON_BUF_H
#define NM_COMMON_BUF_H

#include <stddef.h>

#include "common/err.h"

struct nm_buf {
    char *data; /* "" or NULL-terminated content; owned */
    size_t len;
    size_t cap;
    size_t max;
};

/* nm_buf_init - empty, holding at most max bytes. */
void nm_buf_init(struct nm_buf *buf, size_t max);

/* nm_buf_clean_up - free; may be initialised again. */
void nm_buf_clean_up(struct nm_buf *buf);

/* nm_buf_reset - empty it, keep the memory. */
void nm_buf_reset(struct nm_buf *buf);

/* nm_buf_reserve - make room for more bytes behind len.  NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_buf_reserve(struct nm_buf *buf, size_t more) __attribute__((warn_unused_result));

/* Append bytes, a C string, a formatted string, one byte.  NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_buf_add(struct nm_buf *buf, const void *data, size_t len) __attribute__((warn_unused_result));
enum nm_err nm_buf_adds(struct nm_buf *buf, const char *s) __attribute__((warn_unused_result));
enum nm_err nm_buf_addc(struct nm_buf *buf, char c) __attribute__((warn_unused_result));
enum nm_err nm_buf_addf(struct nm_buf *buf, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));

/* nm_buf_str - the content as a C string; valid until the next change; never NULL. */
const char *nm_buf_str(const struct nm_buf *buf);

#endif
