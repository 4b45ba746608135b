#include "workers/generator/markup.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct reader {
    const char *s;
    size_t len, at;
    const char *const *types;
    size_t n_types;
    char *text; /* what is out so far */
    struct nm_markup *out;
};

static bool stands_at(const struct reader *r, size_t at, const char *two)
{
    return at + 1 < r->len && r->s[at] == two[0] && r->s[at + 1] == two[1];
}

static bool fault(struct reader *r, enum nm_markup_fault what, size_t start, size_t end)
{
    r->out->fault = what;
    r->out->fault_start = start;
    r->out->fault_len = end - start;
    return false;
}

/* A space beside a space that is out already would double it. */
static void put(struct reader *r, char c)
{
    if (c != ' ' || r->out->len == 0 || r->text[r->out->len - 1] != ' ')
        r->text[r->out->len++] = c;
}

static bool find_type(const struct reader *r, const char *s, size_t len, size_t *type)
{
    while (len > 0 && *s == ' ') {
        s++;
        len--;
    }
    while (len > 0 && s[len - 1] == ' ')
        len--;
    for (*type = 0; *type < r->n_types; ++*type)
        if (strlen(r->types[*type]) == len && strncasecmp(r->types[*type], s, len) == 0)
            return true;
    return false;
}

/* The mark that opens at r->at. */
static bool read_mark(struct reader *r)
{
    size_t open = r->at, inner = open + 2, close = inner, bar = 0;
    while (close < r->len && !stands_at(r, close, "]]")) {
        if (close > inner && stands_at(r, close, "[["))
            return fault(r, NM_MARKUP_NESTED, close, close + 2);
        if (r->s[close] == '|')
            bar = close;
        close++;
    }
    if (close >= r->len)
        return fault(r, NM_MARKUP_OPEN, open, r->len);
    struct nm_mark mark = {.start = r->out->len};
    for (size_t i = inner; i < bar; i++)
        if (r->s[i] != ' ' || r->out->len > mark.start) /* spaces at its ends stay outside of it */
            put(r, r->s[i]);
        else
            put(r, ' '), mark.start = r->out->len;
    for (mark.end = r->out->len; mark.end > mark.start && r->text[mark.end - 1] == ' ';)
        mark.end--;
    if (bar == 0 || mark.end == mark.start)
        return fault(r, NM_MARKUP_BARE, open, close + 2);
    if (!find_type(r, r->s + bar + 1, close - bar - 1, &mark.type))
        return fault(r, NM_MARKUP_TYPE, bar + 1, close);
    r->out->marks[r->out->n++] = mark;
    r->at = close + 2;
    return true;
}

/* Whether the first of three brackets stands before a mark, as in [[[Na|Chemical]]]; in [[[3H]-naloxone|Chemical]] it
 * is the mention's, which closes it. */
static bool is_bracket(const struct reader *r)
{
    size_t at = r->at + 3;
    if (!stands_at(r, r->at, "[[") || !stands_at(r, r->at + 1, "[["))
        return false;
    size_t open = 1; /* brackets that the mention would have to close */
    for (; at < r->len && r->s[at] != '|' && open > 0; at++)
        open = r->s[at] == '[' ? open + 1 : open - (r->s[at] == ']');
    return open > 0;
}

/* "[text|Type]": a mark with a bracket too few. */
static bool looks_marked(const struct reader *r)
{
    size_t bar = r->at + 1, close, type;
    if (r->s[r->at] != '[')
        return false;
    while (bar < r->len && strchr("[]|", r->s[bar]) == NULL)
        bar++;
    for (close = bar; close < r->len && close - bar < 80 && r->s[close] != ']';) /* a type has 64 bytes at most */
        close++;
    return bar < close && close < r->len && r->s[close] == ']' && r->s[bar] == '|' &&
           find_type(r, r->s + bar + 1, close - bar - 1, &type);
}

enum nm_err nm_markup_read(const char *s, size_t len, const char *const *types, size_t n_types,
                           struct nm_arena *arena, struct nm_markup *out)
{
    *out = (struct nm_markup){.fault = NM_MARKUP_FINE};
    struct reader r = {.s = s, .len = len, .types = types, .n_types = n_types, .out = out};
    r.text = nm_arena_alloc(arena, len + 1);
    out->marks = nm_arena_alloc(arena, (len / 6 + 1) * sizeof *out->marks); /* [[a|T]] has 7 bytes */
    if (r.text == NULL || out->marks == NULL)
        return NM_ENOMEM;
    while (r.at < len) {
        if (is_bracket(&r)) {
            put(&r, s[r.at++]);
        } else if (stands_at(&r, r.at, "[[")) {
            if (!read_mark(&r))
                return NM_OK;
        } else if (stands_at(&r, r.at, "]]")) {
            (void)fault(&r, NM_MARKUP_CLOSE, r.at, r.at + 2);
            return NM_OK;
        } else if (looks_marked(&r)) {
            (void)fault(&r, NM_MARKUP_BARE, r.at, r.at + 1);
            return NM_OK;
        } else {
            put(&r, s[r.at++]);
        }
    }
    r.text[out->len] = '\0';
    out->text = r.text;
    return NM_OK;
}
