/* json.h - JSON text piece by piece, where a tree of a whole data set would be too much. */
#ifndef NM_COMMON_JSON_H
#define NM_COMMON_JSON_H

#include <stddef.h>

#include "common/buf.h"

/* nm_json_add_string - append s[0..len), valid UTF-8, in quotes; control characters and the two that JavaScript
 * takes for line ends are escaped.  NM_ENOMEM, NM_ELIMIT.  Any thread. */
enum nm_err nm_json_add_string(struct nm_buf *out, const char *s, size_t len) __attribute__((warn_unused_result));

#endif
