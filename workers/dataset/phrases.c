#include "workers/dataset/phrases.h"

#include <stdbool.h>
#include <string.h>

#include "common/file.h"
#include "common/utf8.h"

enum { FILE_BYTES_MAX = 16 << 20, PHRASE_BYTES_MAX = 256, KEPT_OF_10 = 2 };

/* A line that is being read. */
struct reading {
    const char *path;
    size_t line;
    const struct nm_entities *entities;
    struct nm_diag *diag;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct nm_str trim(struct nm_str s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = (struct nm_str){s.ptr + 1, s.len - 1};
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static bool has_control(struct nm_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return true;
    return false;
}

/* "Disease: acute *": the words before a frame's colon are a type. */
static enum nm_err take_type(const struct reading *r, struct nm_str *text, size_t *type)
{
    const char *colon = memchr(text->ptr, ':', text->len);
    *type = NM_ENTITIES_ANY;
    if (colon == NULL || memchr(text->ptr, '*', (size_t)(colon - text->ptr)) != NULL)
        return NM_OK;
    const struct nm_str name = trim((struct nm_str){text->ptr, (size_t)(colon - text->ptr)});
    *type = nm_entities_type_find(r->entities, name.ptr, name.len);
    if (*type == NM_ENTITIES_NONE)
        return nm_fail(r->diag, NM_EFORMAT, "%s:%zu: '%.*s' is no type of the lists: what stands before ':' is one",
                       r->path, r->line, (int)name.len, name.ptr);
    *text = trim((struct nm_str){colon + 1, text->len - (size_t)(colon + 1 - text->ptr)});
    return NM_OK;
}

static enum nm_err take_frame(const struct reading *r, struct nm_str text, struct nm_phrase *frame)
{
    enum nm_err err = take_type(r, &text, &frame->type);
    if (err != NM_OK)
        return err;
    const char *star = memchr(text.ptr, '*', text.len);
    frame->before = (struct nm_str){text.ptr, (size_t)(star - text.ptr)};
    frame->after = (struct nm_str){star + 1, text.len - frame->before.len - 1};
    if (memchr(frame->after.ptr, '*', frame->after.len) != NULL)
        return nm_fail(r->diag, NM_EFORMAT, "%s:%zu: a frame has one '*', where the mention stands", r->path,
                       r->line);
    if (trim(frame->before).len + trim(frame->after).len == 0)
        return nm_fail(r->diag, NM_EFORMAT, "%s:%zu: a frame of no words", r->path, r->line);
    return NM_OK;
}

static enum nm_err take_line(struct nm_phrases *phrases, const struct reading *r, struct nm_str line)
{
    struct nm_str text = trim(line);
    if (text.len == 0 || text.ptr[0] == '#')
        return NM_OK;
    if (text.len > PHRASE_BYTES_MAX)
        return nm_fail(r->diag, NM_EFORMAT, "%s:%zu: a phrase has %d bytes at most", r->path, r->line,
                       PHRASE_BYTES_MAX);
    if (!nm_utf8_valid(text.ptr, text.len, NULL) || has_control(text))
        return nm_fail(r->diag, NM_EFORMAT, "%s:%zu: not a line of UTF-8 text", r->path, r->line);
    text.ptr = nm_arena_strndup(&phrases->arena, text.ptr, text.len);
    if (text.ptr == NULL)
        return nm_fail(r->diag, NM_ENOMEM, "%s: out of memory", r->path);
    if (memchr(text.ptr, '*', text.len) == NULL) {
        phrases->asides[phrases->n_asides++] = (struct nm_phrase){.before = text, .type = NM_ENTITIES_ANY};
        return NM_OK;
    }
    return take_frame(r, text, &phrases->frames[phrases->n_frames++]);
}

static enum nm_err parse(struct nm_phrases *phrases, struct reading *r, const char *text, size_t len)
{
    size_t lines = 1;
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    phrases->asides = nm_arena_alloc(&phrases->arena, lines * sizeof *phrases->asides);
    phrases->frames = nm_arena_alloc(&phrases->arena, lines * sizeof *phrases->frames);
    if (phrases->asides == NULL || phrases->frames == NULL)
        return nm_fail(r->diag, NM_ENOMEM, "%s: out of memory", r->path);
    for (size_t at = 0; at < len && err == NM_OK; r->line++) {
        const char *end = memchr(text + at, '\n', len - at);
        const size_t stop = end != NULL ? (size_t)(end - text) : len;
        err = take_line(phrases, r, (struct nm_str){text + at, stop - at});
        at = stop + 1;
    }
    if (err == NM_OK && phrases->n_asides + phrases->n_frames == 0)
        err = nm_fail(r->diag, NM_EFORMAT, "%s: there is no phrase in it", r->path);
    return err;
}

enum nm_err nm_phrases_load(struct nm_phrases *phrases, const char *path, const struct nm_entities *entities,
                            struct nm_diag *diag)
{
    struct nm_buf text;
    struct reading r = {.path = path, .line = 1, .entities = entities, .diag = diag};
    *phrases = (struct nm_phrases){0};
    nm_arena_init(&phrases->arena, 0);
    nm_buf_init(&text, FILE_BYTES_MAX);
    enum nm_err err = nm_file_read(path, &text, diag);
    if (err == NM_OK)
        err = parse(phrases, &r, nm_buf_str(&text), text.len);
    nm_buf_clean_up(&text);
    if (err != NM_OK)
        nm_phrases_clean_up(phrases);
    return err;
}

void nm_phrases_clean_up(struct nm_phrases *phrases)
{
    nm_arena_clean_up(&phrases->arena);
    *phrases = (struct nm_phrases){0};
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Behind a letter: "CD4". */
static bool is_named(struct nm_str text, size_t at)
{
    size_t before = at;
    int32_t cp = ' ';
    while (before > 0 && ((unsigned char)text.ptr[--before] & 0xc0) == 0x80)
        continue;
    return nm_utf8_next(text.ptr + before, at - before, &cp) > 0 && nm_utf8_is_letter(cp);
}

/* n digits: each by itself behind a decimal point, else a number from 1 up that begins with no zero. */
static enum nm_err add_number(struct nm_buf *out, size_t n, bool fraction, struct nm_rng *rng)
{
    enum nm_err err = NM_OK;
    bool begun = fraction;
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        const char digit = (char)('0' + nm_rng_below(rng, 10));
        begun = begun || digit != '0';
        if (begun)
            err = nm_buf_addc(out, digit);
    }
    return err == NM_OK && !begun ? nm_buf_addc(out, '1') : err;
}

enum nm_err nm_phrases_vary(struct nm_str text, struct nm_rng *rng, struct nm_buf *out)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0, n; i < text.len && err == NM_OK; i += n) {
        for (n = 0; i + n < text.len && is_digit(text.ptr[i + n]);)
            n++;
        if (n == 0)
            err = nm_buf_addc(out, text.ptr[i + n++]);
        else if (is_named(text, i) || nm_rng_below(rng, 10) < KEPT_OF_10)
            err = nm_buf_add(out, text.ptr + i, n);
        else
            err = add_number(out, n, i > 0 && text.ptr[i - 1] == '.', rng);
    }
    return err;
}
