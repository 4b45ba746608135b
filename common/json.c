#include "common/json.h"

#include <stdbool.h>

enum nm_err nm_json_add_string(struct nm_buf *out, const char *s, size_t len)
{
    enum nm_err err = nm_buf_addc(out, '"');
    size_t plain = 0; /* where what needs no escape begins */
    for (size_t i = 0; i < len && err == NM_OK; i++) {
        unsigned char c = (unsigned char)s[i];
        bool separator = c == 0xE2 && i + 2 < len && (unsigned char)s[i + 1] == 0x80 && (s[i + 2] & 0xFE) == 0xA8;
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && !separator)
            continue;
        err = nm_buf_add(out, s + plain, i - plain);
        if (err == NM_OK && (c == '"' || c == '\\' || c == '\n'))
            err = nm_buf_add(out, (const char[]){'\\', c == '\n' ? 'n' : (char)c}, 2);
        else if (err == NM_OK)
            err = nm_buf_addf(out, "\\u%04x", separator ? 0x2000u + ((unsigned char)s[i + 2] & 0x3Fu) : c);
        i += separator ? 2 : 0;
        plain = i + 1;
    }
    if (err == NM_OK)
        err = nm_buf_add(out, s + plain, len - plain);
    return err == NM_OK ? nm_buf_addc(out, '"') : err;
}
