#include "workers/generator/skim.h"

#include <string.h>

#include "common/utf8.h"

enum { DEPTH_MAX = 32, INTEGER_DIGITS = 18, FRACTION_DIGITS = 24, EXPONENT_DIGITS = 2 };

/* A string of the body: what stands between the quotes. */
struct span {
    const char *s;
    size_t len;
    bool escaped;
};

struct walk {
    const char *at, *end;
    unsigned depth;
};

/* What was found; a count is 0 where it is none, a string NULL where it is none. */
struct found {
    struct span content, finish_reason, model;
    uint64_t tokens_in, tokens_out;
    unsigned told; /* a bit for each member that was there */
};

enum {
    TOLD_MODEL = 1,
    TOLD_USAGE = 2,
    TOLD_IN = 4,
    TOLD_OUT = 8,
    TOLD_CHOICES = 16,
    TOLD_MESSAGE = 32,
    TOLD_FINISH = 64,
    TOLD_CONTENT = 128
};

/* Each false: leave it to jansson. */
typedef bool (*member_fn)(struct walk *w, const struct span *key, struct found *found);

static bool skip_value(struct walk *w);

static bool is_next(const struct walk *w, char c)
{
    return w->at < w->end && *w->at == c;
}

static void skip_blanks(struct walk *w)
{
    while (w->at < w->end && (*w->at == ' ' || *w->at == '\n' || *w->at == '\t' || *w->at == '\r'))
        w->at++;
}

static bool take(struct walk *w, char c)
{
    skip_blanks(w);
    if (!is_next(w, c))
        return false;
    w->at++;
    return true;
}

static bool read_string(struct walk *w, struct span *out)
{
    if (!take(w, '"'))
        return false;
    bool ascii = true;
    out->s = w->at;
    out->escaped = false;
    for (; w->at < w->end && *w->at != '"'; w->at++) {
        unsigned char c = (unsigned char)*w->at;
        ascii = ascii && c < 0x80;
        if (c < 0x20)
            return false;
        if (c != '\\')
            continue;
        out->escaped = true;
        w->at++;
        if (w->at == w->end || *w->at == '\0' || strchr("\"\\/bfnrt", *w->at) == NULL)
            return false;
    }
    out->len = (size_t)(w->at - out->s);
    return take(w, '"') && (ascii || nm_utf8_valid(out->s, out->len, NULL));
}

static size_t skip_digits(struct walk *w)
{
    const char *from = w->at;
    while (w->at < w->end && *w->at >= '0' && *w->at <= '9')
        w->at++;
    return (size_t)(w->at - from);
}

/* A number that fits whatever it is read into; *count: where it is an integer above 0, else 0. */
static bool read_number(struct walk *w, uint64_t *count)
{
    bool negative = is_next(w, '-');
    w->at += negative;
    const char *digits = w->at;
    size_t n = skip_digits(w);
    *count = 0;
    if (n == 0 || n > INTEGER_DIGITS || (n > 1 && *digits == '0'))
        return false;
    bool whole = true;
    if (is_next(w, '.')) {
        w->at++;
        size_t places = skip_digits(w);
        if (places == 0 || places > FRACTION_DIGITS)
            return false;
        whole = false;
    }
    if (is_next(w, 'e') || is_next(w, 'E')) {
        w->at++;
        w->at += is_next(w, '+') || is_next(w, '-');
        size_t places = skip_digits(w);
        if (places == 0 || places > EXPONENT_DIGITS)
            return false;
        whole = false;
    }
    for (size_t i = 0; i < n && whole && !negative; i++)
        *count = *count * 10 + (uint64_t)(digits[i] - '0');
    return true;
}

static bool skip_word(struct walk *w, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(w->end - w->at) < len || memcmp(w->at, word, len) != 0)
        return false;
    w->at += len;
    return true;
}

/* An object from behind its brace, each member's value by fn. */
static bool read_members(struct walk *w, member_fn fn, struct found *found)
{
    struct span key;
    if (w->depth == DEPTH_MAX)
        return false;
    w->depth++;
    if (!take(w, '}')) {
        do {
            if (!read_string(w, &key) || key.escaped || !take(w, ':') || !fn(w, &key, found))
                return false;
        } while (take(w, ','));
        if (!take(w, '}'))
            return false;
    }
    w->depth--;
    return true;
}

static bool read_object(struct walk *w, member_fn fn, struct found *found)
{
    return take(w, '{') && read_members(w, fn, found);
}

/* An array, its first item by first, which may be NULL. */
static bool read_array(struct walk *w, bool (*first)(struct walk *w, struct found *found), struct found *found)
{
    if (w->depth == DEPTH_MAX || !take(w, '['))
        return false;
    w->depth++;
    if (!take(w, ']')) {
        do {
            if (!(first != NULL ? first(w, found) : skip_value(w)))
                return false;
            first = NULL;
        } while (take(w, ','));
        if (!take(w, ']'))
            return false;
    }
    w->depth--;
    return true;
}

static bool skip_member(struct walk *w, const struct span *key, struct found *found)
{
    (void)key;
    (void)found;
    return skip_value(w);
}

static bool skip_value(struct walk *w)
{
    struct span ignored;
    uint64_t count;
    skip_blanks(w);
    switch (w->at < w->end ? *w->at : '\0') {
    case '{':
        return read_object(w, skip_member, NULL);
    case '[':
        return read_array(w, NULL, NULL);
    case '"':
        return read_string(w, &ignored);
    case 't':
        return skip_word(w, "true");
    case 'f':
        return skip_word(w, "false");
    case 'n':
        return skip_word(w, "null");
    default:
        return read_number(w, &count);
    }
}

/* ---- what is wanted -------------------------------------------------------------------------- */

static bool is(const struct span *key, const char *name)
{
    return key->len == strlen(name) && memcmp(key->s, name, key->len) == 0;
}

/* Of a member told twice the last one counts: that is left to jansson. */
static bool tell(struct found *found, unsigned member)
{
    bool before = (found->told & member) != 0;
    found->told |= member;
    return !before;
}

/* A string goes to *out; another value is as if it were not there. */
static bool read_text(struct walk *w, struct span *out)
{
    skip_blanks(w);
    return is_next(w, '"') ? read_string(w, out) : skip_value(w);
}

static bool read_count(struct walk *w, uint64_t *out)
{
    skip_blanks(w);
    bool number = w->at < w->end && (*w->at == '-' || (*w->at >= '0' && *w->at <= '9'));
    return number ? read_number(w, out) : skip_value(w);
}

static bool read_usage(struct walk *w, const struct span *key, struct found *found)
{
    if (is(key, "prompt_tokens"))
        return tell(found, TOLD_IN) && read_count(w, &found->tokens_in);
    if (is(key, "completion_tokens"))
        return tell(found, TOLD_OUT) && read_count(w, &found->tokens_out);
    return skip_value(w);
}

static bool read_message(struct walk *w, const struct span *key, struct found *found)
{
    return is(key, "content") ? tell(found, TOLD_CONTENT) && read_string(w, &found->content) : skip_value(w);
}

static bool read_choice(struct walk *w, const struct span *key, struct found *found)
{
    if (is(key, "message"))
        return tell(found, TOLD_MESSAGE) && read_object(w, read_message, found);
    if (is(key, "finish_reason"))
        return tell(found, TOLD_FINISH) && read_text(w, &found->finish_reason);
    return skip_value(w);
}

static bool read_first(struct walk *w, struct found *found)
{
    return read_object(w, read_choice, found);
}

static bool read_root(struct walk *w, const struct span *key, struct found *found)
{
    if (is(key, "choices"))
        return tell(found, TOLD_CHOICES) && read_array(w, read_first, found);
    if (is(key, "usage"))
        return tell(found, TOLD_USAGE) && (take(w, '{') ? read_members(w, read_usage, found) : skip_value(w));
    if (is(key, "model"))
        return tell(found, TOLD_MODEL) && read_text(w, &found->model);
    return skip_value(w);
}

/* What the string says, in the arena; NULL: no memory. */
static char *text_of(const struct span *span, struct nm_arena *arena, size_t *len)
{
    static const char letters[] = "bfnrt", bytes[] = "\b\f\n\r\t";
    char *text = nm_arena_strndup(arena, span->s != NULL ? span->s : "", span->len), *to = text;
    *len = span->len;
    if (text == NULL || !span->escaped)
        return text;
    for (const char *from = text; from < text + span->len; from++) {
        const char *letter = *from == '\\' ? strchr(letters, *++from) : NULL;
        *to++ = letter != NULL ? bytes[letter - letters] : *from;
    }
    *to = '\0';
    *len = (size_t)(to - text);
    return text;
}

bool nm_skim(const char *body, size_t len, struct nm_arena *arena, struct nm_chat_reply *reply)
{
    struct walk w = {.at = body, .end = body + len};
    struct found found = {.told = 0};
    size_t ignored;
    if (!read_object(&w, read_root, &found) || (found.told & TOLD_CONTENT) == 0)
        return false;
    skip_blanks(&w);
    if (w.at != w.end)
        return false;
    reply->content = text_of(&found.content, arena, &reply->content_len);
    reply->finish_reason = text_of(&found.finish_reason, arena, &ignored);
    reply->model = text_of(&found.model, arena, &ignored);
    reply->tokens_in = found.tokens_in;
    reply->tokens_out = found.tokens_out;
    return reply->content != NULL && reply->finish_reason != NULL && reply->model != NULL;
}
