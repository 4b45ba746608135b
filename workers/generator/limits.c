#include "workers/generator/limits.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

enum { VALUE_MAX = 96 };

void nm_limits_clear(struct nm_limits *limits)
{
    const struct nm_limit unsaid = {-1, -1, -1};
    *limits = (struct nm_limits){.should_retry = -1, .retry_after_ms = -1, .requests = unsaid, .tokens = unsaid};
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Rounded up. */
static int64_t clamp_ms(double ms)
{
    if (ms <= 0 || ms > NM_LIMITS_WAIT_MAX_MS)
        return ms > 0 ? NM_LIMITS_WAIT_MAX_MS : 0;
    int64_t whole = (int64_t)ms;
    return (double)whole < ms ? whole + 1 : whole;
}

/* A plain decimal number, of which strtod takes more kinds than we mean; *end behind it.  < 0: none. */
static double number_at(const char *text, const char **end)
{
    double value = 0, place = 1;
    const char *p = text;
    for (; isdigit((unsigned char)*p); p++)
        value = value * 10 + (*p - '0');
    *end = p;
    if (p == text)
        return -1;
    if (*p == '.')
        for (p++; isdigit((unsigned char)*p); p++)
            value += (*p - '0') * (place /= 10);
    *end = p;
    return value;
}

/* Milliseconds of the unit at text, whose length goes to *len; 0: none. */
static double unit_at(const char *text, size_t *len)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ms", 1},   {"us", 1e-3},   {"\xc2\xb5s", 1e-3}, {"ns", 1e-6},
                 {"s", 1000}, {"m", 60000.0}, {"h", 3600000.0},    {"d", 86400000.0}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        *len = strlen(units[i].name);
        if (strncasecmp(text, units[i].name, *len) == 0)
            return units[i].ms;
    }
    return 0;
}

/* Without a unit: seconds, or a Unix time where it is too large for a wait. */
static int64_t plain_ms(double value, int64_t now_ms)
{
    if (value > 1e11)
        return clamp_ms(value - (double)now_ms);
    if (value > 1e9)
        return clamp_ms(value * 1000 - (double)now_ms);
    return clamp_ms(value * 1000);
}

int64_t nm_limits_duration_ms(const char *text, size_t len, int64_t now_ms)
{
    char copy[VALUE_MAX];
    if (len == 0 || len >= sizeof copy)
        return -1;
    memcpy(copy, text, len);
    copy[len] = '\0';
    double sum = 0;
    for (const char *p = copy; *p != '\0';) {
        const char *end;
        size_t unit_len;
        double value = number_at(p, &end);
        if (value < 0)
            return -1;
        if (*end == '\0')
            return p == copy ? plain_ms(value, now_ms) : -1;
        double unit = unit_at(end, &unit_len);
        if (unit == 0)
            return -1;
        sum += value * unit;
        p = end + unit_len;
    }
    return clamp_ms(sum);
}

static int64_t count_of(const char *text)
{
    const char *end;
    double value = number_at(text, &end);
    return value < 0 || *end != '\0' ? -1 : value > 1e15 ? (int64_t)1e15 : (int64_t)value;
}

/* Retry-After: seconds, or a date (RFC 9110, 10.2.3). */
static int64_t retry_after_ms(const char *text, int64_t now_ms)
{
    const char *end;
    double seconds = number_at(text, &end);
    if (seconds >= 0)
        return *end == '\0' ? clamp_ms(seconds * 1000) : -1;
    time_t when = curl_getdate(text, NULL);
    return when < 0 ? -1 : clamp_ms((double)when * 1000 - (double)now_ms);
}

/* ---- headers --------------------------------------------------------------------------------- */

static void read_ratelimit(struct nm_limits *limits, const char *name, const char *value, int64_t now_ms)
{
    static const struct {
        const char *suffix;
        bool tokens;
    } kinds[] = {{"", false}, {"-requests", false}, {"-tokens", true}};
    static const char *const fields[] = {"limit", "remaining", "reset"};
    for (size_t f = 0; f < 3; f++) {
        size_t len = strlen(fields[f]);
        if (strncmp(name, fields[f], len) != 0)
            continue;
        for (size_t k = 0; k < 3; k++) {
            if (strcmp(name + len, kinds[k].suffix) != 0)
                continue;
            struct nm_limit *limit = kinds[k].tokens ? &limits->tokens : &limits->requests;
            if (f == 0)
                limit->limit = count_of(value);
            else if (f == 1)
                limit->remaining = count_of(value);
            else
                limit->reset_ms = nm_limits_duration_ms(value, strlen(value), now_ms);
        }
    }
}

static void read_retry(struct nm_limits *limits, const char *name, const char *value, int64_t now_ms)
{
    bool exact = strcmp(name, "retry-after-ms") == 0;
    if (!exact && (strcmp(name, "retry-after") != 0 || limits->exact))
        return;
    const char *end;
    double ms = exact ? number_at(value, &end) : 0;
    int64_t wait = !exact ? retry_after_ms(value, now_ms) : ms >= 0 && *end == '\0' ? clamp_ms(ms) : -1;
    if (wait < 0)
        return;
    limits->retry_after_ms = wait;
    limits->exact = exact;
}

void nm_limits_read(struct nm_limits *limits, const char *line, size_t len, int64_t now_ms)
{
    static const char rate[] = "x-ratelimit-";
    char name[VALUE_MAX], value[VALUE_MAX];
    const char *colon = memchr(line, ':', len);
    if (colon == NULL || colon == line || strchr("xXrR", line[0]) == NULL || (size_t)(colon - line) >= sizeof name)
        return;
    size_t n = 0;
    for (const char *p = line; p < colon; p++)
        name[n++] = (char)tolower((unsigned char)*p);
    name[n] = '\0';
    const char *from = colon + 1, *to = line + len;
    while (from < to && isspace((unsigned char)*from))
        from++;
    while (to > from && isspace((unsigned char)to[-1]))
        to--;
    if (to == from || (size_t)(to - from) >= sizeof value || memchr(from, '\0', (size_t)(to - from)) != NULL)
        return;
    (void)snprintf(value, sizeof value, "%.*s", (int)(to - from), from);
    if (strcmp(name, "x-should-retry") == 0)
        limits->should_retry = strcasecmp(value, "true") == 0 ? 1 : strcasecmp(value, "false") == 0 ? 0 : -1;
    else if (strncmp(name, rate, sizeof rate - 1) == 0)
        read_ratelimit(limits, name + sizeof rate - 1, value, now_ms);
    else
        read_retry(limits, name, value, now_ms);
}

/* ---- what follows ---------------------------------------------------------------------------- */

static int64_t longer(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* A bucket that is full again after its reset gains (limit - remaining) in that time; a window that begins anew gains
 * all at its end, which the call that finds out then learns. */
static int64_t until_free(const struct nm_limit *l, uint64_t need)
{
    if (l->remaining < 0 || (uint64_t)l->remaining >= need || l->reset_ms < 0)
        return -1;
    if (l->limit <= l->remaining || (uint64_t)l->limit < need)
        return l->reset_ms;
    return clamp_ms((double)l->reset_ms * (double)(need - (uint64_t)l->remaining) /
                    (double)(l->limit - l->remaining));
}

int64_t nm_limits_wait_ms(const struct nm_limits *limits, bool refused, uint64_t tokens)
{
    const struct nm_limit *r = &limits->requests, *t = &limits->tokens;
    if (limits->retry_after_ms >= 0)
        return limits->retry_after_ms;
    if (refused)
        return longer(r->remaining > 0 ? -1 : r->reset_ms, t->remaining > 0 ? -1 : t->reset_ms);
    return longer(until_free(r, 1), until_free(t, tokens));
}
