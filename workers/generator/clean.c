#include "workers/generator/clean.h"

#include <string.h>

#include "common/buf.h"
#include "common/utf8.h"
#include "workers/generator/text.h"

static bool is_dropped(int32_t cp)
{
    return cp == 0xfeff || cp == 0x200b || cp == 0x2060 || cp == 0xad || cp == '\r';
}

static bool is_control(int32_t cp)
{
    return (cp < 0x20 && cp != '\n' && cp != '\t') || (cp >= 0x7f && cp < 0xa0) || cp == 0xfffd;
}

/* Is the apostrophe between before and s[0..len) inside a word? */
static bool in_word(int32_t before, const char *s, size_t len)
{
    int32_t after = 0;
    (void)nm_utf8_next(s, len, &after);
    return nm_text_word_char(before) && nm_text_word_char(after);
}

/* What stands for cp in the cleaned text, given the glyph before it and the text behind it. */
static int32_t plain(int32_t before, int32_t cp, const char *rest, size_t len)
{
    if (cp == 0x2010 || cp == 0x2011)
        return '-';
    if (cp == 0x2019 && in_word(before, rest, len))
        return '\'';
    if (cp != '\n' && nm_utf8_is_space(cp))
        return ' ';
    return cp;
}

/* Collapse and tidy valid NFC text into out, which has room for len bytes; false at a control character. */
static bool tidy(const char *s, size_t len, char *out, size_t *out_len)
{
    size_t made = 0;
    int32_t before = '\n';
    for (size_t i = 0; i < len;) {
        int32_t cp = (unsigned char)s[i];
        i += cp < 0x80 ? 1 : (size_t)nm_utf8_next(s + i, len - i, &cp);
        if (is_dropped(cp))
            continue;
        if (is_control(cp))
            return false;
        cp = cp > ' ' && cp < 0x80 ? cp : plain(before, cp, s + i, len - i);
        bool gap = cp == ' ' || cp == '\n';
        if (gap && (before == ' ' || before == '\n')) {
            if (cp == '\n' && before == ' ')
                out[made - 1] = '\n';
            before = cp == '\n' ? '\n' : before;
            continue;
        }
        if (cp < 0x80)
            out[made++] = (char)cp;
        else
            made += (size_t)nm_utf8_put(cp, out + made);
        before = cp;
    }
    while (made > 0 && (out[made - 1] == ' ' || out[made - 1] == '\n'))
        made--;
    *out_len = made;
    return true;
}

struct pair {
    const char *open, *close;
};

/* Quotes around the whole come off where they are the only ones of their kind. */
static void strip_quotes(const char **s, size_t *len)
{
    static const struct pair pairs[] = {{"\"", "\""}, {"\xe2\x80\x9c", "\xe2\x80\x9d"},
                                        {"'", "'"},   {"\xe2\x80\x98", "\xe2\x80\x99"},
                                        {"`", "`"},   {"\xc2\xab", "\xc2\xbb"}};
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        size_t a = strlen(pairs[k].open), b = strlen(pairs[k].close);
        if (*len <= a + b || memcmp(*s, pairs[k].open, a) != 0 || memcmp(*s + *len - b, pairs[k].close, b) != 0)
            continue;
        const char *inner = *s + a;
        size_t inner_len = *len - a - b;
        if (memmem(inner, inner_len, pairs[k].open, a) != NULL || memmem(inner, inner_len, pairs[k].close, b) != NULL)
            continue;
        while (inner_len > 0 && *inner == ' ') {
            inner++;
            inner_len--;
        }
        while (inner_len > 0 && inner[inner_len - 1] == ' ')
            inner_len--;
        *s = inner;
        *len = inner_len;
        return;
    }
}

static bool is_ascii(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] >= 0x80)
            return false;
    return true;
}

enum nm_err nm_text_nfc(const char *s, size_t len, struct nm_arena *arena, const char **out, size_t *out_len)
{
    *out = s;
    *out_len = len;
    if (is_ascii(s, len))
        return NM_OK;
    struct nm_buf buf;
    nm_buf_init(&buf, 4 * len + 16);
    enum nm_err err = nm_utf8_nfc(s, len, &buf);
    if (err == NM_OK) {
        *out = nm_arena_strndup(arena, nm_buf_str(&buf), buf.len);
        *out_len = buf.len;
        err = *out == NULL ? NM_ENOMEM : NM_OK;
    }
    nm_buf_clean_up(&buf);
    return err;
}

enum nm_err nm_text_clean(const char *raw, size_t raw_len, struct nm_arena *arena, struct nm_clean *out)
{
    const char *s;
    size_t len;
    *out = (struct nm_clean){.text = ""};
    enum nm_err err = nm_text_nfc(raw, raw_len, arena, &s, &len);
    char *tidied = err == NM_OK ? nm_arena_alloc(arena, len + 1) : NULL;
    if (tidied == NULL)
        return err != NM_OK ? err : NM_ENOMEM;
    out->control = !tidy(s, len, tidied, &len);
    if (out->control)
        return NM_OK;
    s = tidied;
    strip_quotes(&s, &len);
    out->text = nm_arena_strndup(arena, s, len);
    out->len = len;
    return out->text == NULL ? NM_ENOMEM : NM_OK;
}
