#include "schemas/project_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The line of "key:" inside the nth "section:" item; the section's own line where the key is not there. */
static long find_line(const struct nm_checker *c, const char *section, size_t nth, const char *key)
{
    long line = 1;
    long section_line = 1;
    bool inside = section == NULL;
    size_t item = 0;
    const char *end = c->yaml + c->len;
    for (const char *p = c->yaml; p < end; line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (stop == NULL)
            stop = end;
        const char *word = p;
        bool dash = false;
        while (word < stop && (*word == ' ' || *word == '-')) {
            dash = dash || *word == '-';
            word++;
        }
        size_t key_len = strcspn(word, ":\n");
        bool at_left = word == p && word < stop && *word != '#';
        if (section != NULL && at_left) {
            inside = strlen(section) == key_len && strncmp(word, section, key_len) == 0;
            if (inside)
                section_line = line;
        } else if (inside) {
            item += dash;
            if (item >= nth && strlen(key) == key_len && strncmp(word, key, key_len) == 0)
                return line;
        }
        if (section == NULL && at_left && strlen(key) == key_len && strncmp(word, key, key_len) == 0)
            return line;
        p = stop + 1;
    }
    return section_line;
}

void nm_value_complain(struct nm_checker *c, const char *section, size_t nth, const char *key, const char *fmt, ...)
{
    if (c->err != NM_OK)
        return;
    char what[768];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    c->err = nm_fail(c->diag, NM_EFORMAT, "%s:%ld: %s%s%s: %s", c->name, find_line(c, section, nth, key),
                     section != NULL ? section : "", section != NULL ? "." : "", key, what);
}

char *nm_value_copy(struct nm_checker *c, const char *s)
{
    if (s == NULL)
        return NULL;
    char *out = nm_arena_strndup(c->arena, s, strlen(s));
    if (out == NULL && c->err == NM_OK)
        c->err = nm_fail(c->diag, NM_ENOMEM, "%s: out of memory", c->name);
    return out;
}

char *nm_value_text(struct nm_checker *c, const char *s, const char *fallback)
{
    return nm_value_copy(c, s != NULL ? s : fallback);
}

/* "" is as good as absent. */
char *nm_value_filled(struct nm_checker *c, const char *s)
{
    return s != NULL && s[0] != '\0' ? nm_value_copy(c, s) : NULL;
}

uint32_t nm_value_uint(struct nm_checker *c, const char *section, size_t nth, const char *key, const uint32_t *value,
                       uint32_t fallback, uint32_t low, uint32_t high)
{
    uint32_t v = value != NULL ? *value : fallback;
    if (v < low || v > high)
        nm_value_complain(c, section, nth, key, "%u is not between %u and %u", v, low, high);
    return v;
}

double nm_value_float(struct nm_checker *c, const char *section, size_t nth, const char *key, const double *value,
                      double fallback, double low, double high)
{
    double v = value != NULL ? *value : fallback;
    if (!(v >= low && v <= high)) /* also NaN */
        nm_value_complain(c, section, nth, key, "%g is not between %g and %g", v, low, high);
    return v;
}

int nm_value_one_of(struct nm_checker *c, const char *section, size_t nth, const char *key, const char *value,
                    int fallback, const char *const *names, int n)
{
    if (value == NULL)
        return fallback;
    char all[512] = "";
    for (int i = 0; i < n; i++) {
        if (strcmp(value, names[i]) == 0)
            return i;
        (void)snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i > 0 ? ", " : "", names[i]);
    }
    nm_value_complain(c, section, nth, key, "'%s' is not one of %s", value, all);
    return fallback;
}

struct nm_range nm_value_range(struct nm_checker *c, const char *key, const struct raw_range *raw,
                               struct nm_range fallback, uint32_t low, uint32_t high)
{
    struct nm_range r = fallback;
    if (raw == NULL)
        return r;
    r.min = nm_value_uint(c, "generation", 0, key, raw->min, fallback.min, low, high);
    r.max = nm_value_uint(c, "generation", 0, key, raw->max, r.min > fallback.max ? r.min : fallback.max, low, high);
    if (r.max < r.min)
        nm_value_complain(c, "generation", 0, key, "min %u is larger than max %u", r.min, r.max);
    return r;
}

char **nm_value_list(struct nm_checker *c, char **items, uint32_t n)
{
    char **out = nm_arena_alloc(c->arena, (n + 1) * sizeof *out);
    for (uint32_t i = 0; i < n && out != NULL; i++)
        out[i] = nm_value_copy(c, items[i]);
    return out;
}
