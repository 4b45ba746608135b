#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/page_parts.h"

enum { COLORS = 8 };

void nm_page_add(struct nm_page *page, const char *markup)
{
    if (page->err == NM_OK)
        page->err = nm_buf_adds(page->out, markup);
}

void nm_page_addf(struct nm_page *page, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text)
        page->err = page->err == NM_OK ? NM_ELIMIT : page->err;
    nm_page_add(page, text);
}

/* Escaped for text and for attributes; XML has no control characters, not even escaped. */
void nm_page_text(struct nm_page *page, const char *text, size_t len)
{
    for (size_t i = 0; i < len && page->err == NM_OK; i++) {
        unsigned char c = (unsigned char)text[i];
        bool other = c == 0xEF && i + 2 < len && (unsigned char)text[i + 1] == 0xBF &&
                     ((unsigned char)text[i + 2] & 0xFE) == 0xBE; /* U+FFFE, U+FFFF: no XML either */
        if (c == '&')
            nm_page_add(page, "&amp;");
        else if (c == '<')
            nm_page_add(page, "&lt;");
        else if (c == '>')
            nm_page_add(page, "&gt;");
        else if (c == '"')
            nm_page_add(page, "&quot;");
        else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f || other)
            nm_page_add(page, "\xEF\xBF\xBD");
        else
            page->err = nm_buf_addc(page->out, (char)c);
        i += other ? 2 : 0;
    }
}

void nm_page_string(struct nm_page *page, const json_t *string)
{
    if (json_is_string(string))
        nm_page_text(page, json_string_value(string), json_string_length(string));
}

/* 1234567 as 1,234,567 */
static void add_count(struct nm_page *page, json_int_t n)
{
    char digits[32], grouped[48];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)(n < 0 ? -n : n));
    size_t at = 0;
    if (n < 0)
        grouped[at++] = '-';
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            grouped[at++] = ',';
        grouped[at++] = digits[i];
    }
    grouped[at] = '\0';
    nm_page_add(page, grouped);
}

void nm_page_figure(struct nm_page *page, const json_t *value, bool share)
{
    double number = json_number_value(value);
    if (!json_is_number(value))
        nm_page_add(page, "<span class=\"none\">not measured</span>");
    else if (share)
        nm_page_addf(page, number > 0 && number < 0.001 ? "&lt; 0.1 %%" : "%.1f %%", 100 * number);
    else if (json_is_integer(value))
        add_count(page, json_integer_value(value));
    else
        nm_page_addf(page, number < 1 ? "%.3f" : "%.2f", number);
}

unsigned nm_page_type_color(const struct nm_page *page, const char *type)
{
    size_t i;
    const json_t *known;
    json_array_foreach(page->types, i, known)
    {
        const char *name = json_string_value(json_object_get(known, "type"));
        if (name != NULL && type != NULL && strcmp(name, type) == 0)
            return (unsigned)(i % COLORS);
    }
    return COLORS;
}
