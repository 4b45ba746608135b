#include "workers/generator/line.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The number that the line s[0..len) begins with, and how long it is with what follows it; 0: it begins with none. */
static size_t number_at(const char *s, size_t len, size_t *used)
{
    size_t i = 0, number = 0, digits = 0;
    bool bracket = i < len && s[i] == '(';
    i += bracket;
    for (; i < len && s[i] >= '0' && s[i] <= '9' && digits < 3; i++, digits++)
        number = 10 * number + (size_t)(s[i] - '0');
    if (digits == 0 || i == len || strchr(bracket ? ")" : ".):", s[i]) == NULL)
        return 0;
    i++;
    if (i < len && !is_blank(s[i])) /* "2.5 mg" */
        return 0;
    *used = i;
    return number;
}

static void trim(struct nm_line *line)
{
    while (line->len > 0 && (is_blank(*line->text) || *line->text == '\n')) {
        line->text++;
        line->len--;
    }
    while (line->len > 0 && (is_blank(line->text[line->len - 1]) || line->text[line->len - 1] == '\n'))
        line->len--;
}

/* The next line that is not empty, without blanks before it; false: there is none. */
static bool next_line(const char **at, const char *end, const char **line, size_t *len)
{
    while (*at < end && (is_blank(**at) || **at == '\n'))
        (*at)++;
    *line = *at;
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    *at = stop != NULL ? stop : end;
    *len = (size_t)(*at - *line);
    return *len > 0;
}

static bool is_numbered(const char *text, const char *end, size_t lines)
{
    const char *line;
    size_t len, used;
    while (next_line(&text, end, &line, &len)) {
        size_t number = number_at(line, len, &used);
        if (number >= 1 && number <= lines)
            return true;
    }
    return false;
}

void nm_line_find(const char *text, size_t len, size_t number, size_t lines, struct nm_line *out)
{
    const char *at = text, *end = text + len, *line;
    bool numbered = is_numbered(text, end, lines);
    size_t present = 0, n, used;
    *out = (struct nm_line){.text = ""};
    while (next_line(&at, end, &line, &n)) {
        size_t found = numbered ? number_at(line, n, &used) : present + 1;
        if (found <= present || found > lines)
            continue;
        if (out->there) { /* where the one that was looked for ends */
            out->len = (size_t)(line - out->text);
            out->last = false;
            break;
        }
        present = found;
        if (present != number)
            continue;
        out->text = line + (numbered ? used : 0);
        out->len = (size_t)(end - out->text);
        out->there = out->last = true;
    }
    trim(out);
}
