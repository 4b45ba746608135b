/* utf8.h - checked UTF-8 and the Unicode properties that tokenising needs (over utf8proc).
 *
 * Offsets and lengths are bytes unless a name says code points.  All functions: any thread.
 */
#ifndef NM_COMMON_UTF8_H
#define NM_COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

/* nm_utf8_next - decode one code point of s[0..len); returns its length in bytes, 0 if len is 0, and -1 where
 * the bytes are not UTF-8 (overlong, surrogate, > U+10FFFF, cut short).
 */
int nm_utf8_next(const char *s, size_t len, int32_t *cp);

/* nm_utf8_put - encode cp into out (4 bytes); returns the length, 0 if cp is no scalar value. */
int nm_utf8_put(int32_t cp, char out[4]);

/* nm_utf8_valid - true if all of s is UTF-8; otherwise *bad (may be NULL) is the offset of the first bad
 * byte. */
bool nm_utf8_valid(const char *s, size_t len, size_t *bad);

/* nm_utf8_length - code points in valid UTF-8. */
size_t nm_utf8_length(const char *s, size_t len);

/* nm_utf8_offset - the byte at which the code point of that number begins, len where there are not so many. */
size_t nm_utf8_offset(const char *s, size_t len, uint64_t point);

/* Byte offsets into code points of valid UTF-8, each counted from the last one asked for: cheap in rising order. */
struct nm_utf8_counter {
    const char *s; /* set this, the rest zero */
    uint64_t byte, point;
};
uint64_t nm_utf8_count_to(struct nm_utf8_counter *counter, uint64_t byte);

/* Normal forms, appended to out.  NM_EFORMAT: not UTF-8.  NM_ENOMEM, NM_ELIMIT.  Source: UAX #15. */
enum nm_err nm_utf8_nfc(const char *s, size_t len, struct nm_buf *out);
enum nm_err nm_utf8_nfkc(const char *s, size_t len, struct nm_buf *out);
enum nm_err nm_utf8_nfd(const char *s, size_t len, struct nm_buf *out);

/* General category as two letters ("Lu", "Mn", "Zs"), by Unicode; "Cn" where unassigned. */
const char *nm_utf8_category(int32_t cp);

bool nm_utf8_is_letter(int32_t cp); /* L* */
bool nm_utf8_is_digit(int32_t cp);  /* N* */
bool nm_utf8_is_mark(int32_t cp);   /* M* */
bool nm_utf8_is_space(int32_t cp);  /* Z*, and the ASCII white space */
bool nm_utf8_is_punct(int32_t cp);  /* P* and S* */
bool nm_utf8_is_upper(int32_t cp);  /* Lu, Lt */
int32_t nm_utf8_lower(int32_t cp);  /* simple lower-case mapping */
int32_t nm_utf8_upper(int32_t cp);  /* simple upper-case mapping */

/* nm_utf8_has - whether a code point of valid UTF-8 is what is asked for (nm_utf8_is_letter ...). */
bool nm_utf8_has(const char *s, size_t len, bool (*is)(int32_t cp));

/* nm_utf8_casefold - simple lower-casing of each code point, appended to out: keeps the code point count. */
enum nm_err nm_utf8_casefold(const char *s, size_t len, struct nm_buf *out);

/* nm_utf8_unicode_version - of the tables ("15.0.0"). */
const char *nm_utf8_unicode_version(void);

#endif
