#include "schemas/aside.h"

#include <stdlib.h>
#include <string.h>

/* A number at *at, which is moved behind it. */
static bool take_number(const char **at, const char *end, uint64_t *value)
{
    const char *start = *at;
    *value = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        uint64_t digit = (uint64_t)(**at - '0');
        if (*value > (UINT64_MAX - digit) / 10)
            return false;
        *value = *value * 10 + digit;
    }
    return *at > start;
}

static bool take_line(const char **at, const char *end, struct nm_aside_range *range)
{
    if (!take_number(at, end, &range->first) || *at == end || *(*at)++ != ' ')
        return false;
    return take_number(at, end, &range->last) && *at < end && *(*at)++ == '\n' && range->first <= range->last;
}

enum nm_err nm_aside_parse(const char *text, size_t len, const char *name, struct nm_aside *aside,
                           struct nm_diag *diag)
{
    size_t lines = 0;
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    *aside = (struct nm_aside){.ranges = calloc(lines + 1, sizeof *aside->ranges)};
    if (aside->ranges == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", name);
    const char *at = text, *end = text + len;
    while (at < end) {
        struct nm_aside_range *range = &aside->ranges[aside->n];
        if (aside->n == lines || !take_line(&at, end, range) || (aside->n > 0 && range->first <= range[-1].last)) {
            enum nm_err err =
                nm_fail(diag, NM_EFORMAT, "%s:%zu: not a range of tasks behind the last one", name, aside->n + 1);
            nm_aside_clean_up(aside);
            return err;
        }
        aside->n++;
    }
    return NM_OK;
}

void nm_aside_clean_up(struct nm_aside *aside)
{
    free(aside->ranges);
    *aside = (struct nm_aside){NULL, 0};
}

bool nm_aside_has(const struct nm_aside *aside, uint64_t task)
{
    size_t low = 0, high = aside->n; /* the first range that ends at or behind task */
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (aside->ranges[mid].last < task)
            low = mid + 1;
        else
            high = mid;
    }
    return low < aside->n && aside->ranges[low].first <= task;
}
