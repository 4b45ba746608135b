#include "common/utf8.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

int nm_utf8_next(const char *s, size_t len, int32_t *cp)
{
    if (len == 0)
        return 0;
    unsigned char first = (unsigned char)s[0];
    if (first < 0x80) {
        *cp = first;
        return 1;
    }
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)len, cp);
    return n > 0 ? (int)n : -1;
}

int nm_utf8_put(int32_t cp, char out[4])
{
    if (!utf8proc_codepoint_valid(cp))
        return 0;
    return (int)utf8proc_encode_char(cp, (utf8proc_uint8_t *)out);
}

bool nm_utf8_valid(const char *s, size_t len, size_t *bad)
{
    for (size_t i = 0; i < len;) {
        int32_t cp;
        uint64_t eight;
        if (len - i >= sizeof eight) { /* most text is ASCII: eight bytes at a time */
            memcpy(&eight, s + i, sizeof eight);
            if ((eight & 0x8080808080808080U) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        int n = nm_utf8_next(s + i, len - i, &cp);
        if (n < 0) {
            if (bad != NULL)
                *bad = i;
            return false;
        }
        i += (size_t)n;
    }
    return true;
}

size_t nm_utf8_length(const char *s, size_t len)
{
    size_t count = 0;
    for (size_t i = 0; i < len; i++)
        count += ((unsigned char)s[i] & 0xc0) != 0x80;
    return count;
}

size_t nm_utf8_offset(const char *s, size_t len, uint64_t point)
{
    size_t at = 0;
    for (; at < len && point > 0; point--)
        do
            at++;
        while (at < len && ((unsigned char)s[at] & 0xc0) == 0x80);
    return at;
}

uint64_t nm_utf8_count_to(struct nm_utf8_counter *counter, uint64_t byte)
{
    if (byte < counter->byte)
        *counter = (struct nm_utf8_counter){.s = counter->s};
    counter->point += nm_utf8_length(counter->s + counter->byte, byte - counter->byte);
    counter->byte = byte;
    return counter->point;
}

static bool is_ascii(const char *s, size_t len)
{
    unsigned char all = 0;
    for (size_t i = 0; i < len; i++)
        all |= (unsigned char)s[i];
    return all < 0x80;
}

static enum nm_err map(const char *s, size_t len, utf8proc_option_t options, struct nm_buf *out)
{
    if (len == 0)
        return NM_OK;
    if (is_ascii(s, len)) /* composed and decomposed as it is */
        return nm_buf_add(out, s, len);
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)len, &mapped, UTF8PROC_STABLE | options);
    if (n < 0)
        return n == UTF8PROC_ERROR_NOMEM ? NM_ENOMEM : NM_EFORMAT;
    enum nm_err err = nm_buf_add(out, mapped, (size_t)n);
    free(mapped);
    return err;
}

enum nm_err nm_utf8_nfc(const char *s, size_t len, struct nm_buf *out)
{
    return map(s, len, UTF8PROC_COMPOSE, out);
}

enum nm_err nm_utf8_nfkc(const char *s, size_t len, struct nm_buf *out)
{
    return map(s, len, UTF8PROC_COMPOSE | UTF8PROC_COMPAT, out);
}

enum nm_err nm_utf8_nfd(const char *s, size_t len, struct nm_buf *out)
{
    return map(s, len, UTF8PROC_DECOMPOSE, out);
}

const char *nm_utf8_category(int32_t cp)
{
    return utf8proc_category_string(cp);
}

bool nm_utf8_is_letter(int32_t cp)
{
    if (cp < 0x80)
        return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z');
    return utf8proc_category_string(cp)[0] == 'L';
}

bool nm_utf8_is_digit(int32_t cp)
{
    if (cp < 0x80)
        return cp >= '0' && cp <= '9';
    return utf8proc_category_string(cp)[0] == 'N';
}

bool nm_utf8_is_mark(int32_t cp)
{
    return cp >= 0x300 && utf8proc_category_string(cp)[0] == 'M';
}

bool nm_utf8_is_space(int32_t cp)
{
    if (cp < 0x80)
        return cp == ' ' || (cp >= '\t' && cp <= '\r');
    return cp == 0x85 || utf8proc_category_string(cp)[0] == 'Z';
}

bool nm_utf8_is_punct(int32_t cp)
{
    char c = utf8proc_category_string(cp)[0];
    return c == 'P' || c == 'S';
}

bool nm_utf8_is_upper(int32_t cp)
{
    if (cp < 0x80)
        return cp >= 'A' && cp <= 'Z';
    utf8proc_category_t c = utf8proc_category(cp);
    return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LT;
}

int32_t nm_utf8_lower(int32_t cp)
{
    if (cp < 0x80)
        return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    return utf8proc_tolower(cp);
}

int32_t nm_utf8_upper(int32_t cp)
{
    return utf8proc_toupper(cp);
}

bool nm_utf8_has(const char *s, size_t len, bool (*is)(int32_t cp))
{
    int32_t cp;
    for (int step; len > 0 && (step = nm_utf8_next(s, len, &cp)) > 0; s += step, len -= (size_t)step)
        if (is(cp))
            return true;
    return false;
}

enum nm_err nm_utf8_casefold(const char *s, size_t len, struct nm_buf *out)
{
    if (is_ascii(s, len)) {
        enum nm_err err = nm_buf_add(out, s, len);
        for (size_t i = out->len - (err ? 0 : len); i < out->len; i++)
            if (out->data[i] >= 'A' && out->data[i] <= 'Z')
                out->data[i] = (char)(out->data[i] - 'A' + 'a');
        return err;
    }
    for (size_t i = 0; i < len;) {
        int32_t cp;
        int n = nm_utf8_next(s + i, len - i, &cp);
        if (n < 0)
            return NM_EFORMAT;
        char folded[4];
        int m = nm_utf8_put(nm_utf8_lower(cp), folded);
        enum nm_err err = nm_buf_add(out, folded, (size_t)m);
        if (err != NM_OK)
            return err;
        i += (size_t)n;
    }
    return NM_OK;
}

const char *nm_utf8_unicode_version(void)
{
    return utf8proc_unicode_version();
}
