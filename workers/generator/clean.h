/* clean.h - what a model wrote, made plain: NFC; zero-width characters dropped; white space collapsed; typographic
 * hyphens and apostrophes inside words made plain; quotation marks around the whole taken off.  Internal to the
 * generator. */
#ifndef NM_GENERATOR_CLEAN_H
#define NM_GENERATOR_CLEAN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/arena.h"
#include "common/err.h"

struct nm_clean {
    const char *text; /* NUL-terminated, in the arena */
    size_t len;
    bool control; /* it holds control characters: there is no text */
};

/* nm_text_clean - of valid UTF-8.  NM_ENOMEM. */
enum nm_err nm_text_clean(const char *raw, size_t raw_len, struct nm_arena *arena, struct nm_clean *out);

/* nm_text_nfc - s in NFC, in the arena (or s itself where it is ASCII).  NM_ENOMEM; NM_EFORMAT: not UTF-8. */
enum nm_err nm_text_nfc(const char *s, size_t len, struct nm_arena *arena, const char **out, size_t *out_len);

#endif
