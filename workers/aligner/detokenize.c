#include "workers/aligner/detokenize.h"

#include <ctype.h>
#include <string.h>

/* ---- what a token is, for typesetting ----------------------------------------------------------------------------
 */

static bool is(struct nm_str token, const char *text)
{
    return token.len == strlen(text) && memcmp(token.ptr, text, token.len) == 0;
}

/* Whether the token is one of a list whose items are parted and enclosed by blanks: " , ; ". */
static bool among(struct nm_str token, const char *list)
{
    for (const char *item = list; *item != '\0'; item += strcspn(item, " ")) {
        item += strspn(item, " ");
        if (token.len > 0 && token.len == strcspn(item, " ") && memcmp(token.ptr, item, token.len) == 0)
            return true;
    }
    return false;
}

static bool is_number(struct nm_str token)
{
    for (size_t i = 0; i < token.len; i++)
        if (!isdigit((unsigned char)token.ptr[i]))
            return false;
    return token.len > 0;
}

static bool is_letter(struct nm_str token)
{
    return token.len == 1 && isalpha((unsigned char)token.ptr[0]);
}

/* The last or first byte is of a word: any byte over 0x7f is taken for a letter's. */
static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

static bool is_word(struct nm_str token)
{
    return token.len > 0 && is_word_byte(token.ptr[token.len - 1]) && is_word_byte(token.ptr[0]);
}

static bool is_capitals(struct nm_str token)
{
    for (size_t i = 0; i < token.len; i++)
        if (!isupper((unsigned char)token.ptr[i]) && !isdigit((unsigned char)token.ptr[i]))
            return false;
    return token.len > 0 && isupper((unsigned char)token.ptr[0]);
}

static const char hyphens[] = " - \u2010 \u2011 \u2013 \u2212 ";
static const char apostrophes[] = " ' \u2019 ";

/* ---- whether a token is glued to the one before ------------------------------------------------------------------
 */

/* Where in the sentence we are, and which quotation marks are open. */
struct place {
    const struct nm_str *tokens;
    size_t n, i;
    bool in_double, in_single;
    bool glue_next; /* the token before said so: an opening quote, an apostrophe inside a word */
};

static struct nm_str at(const struct place *p, long step)
{
    static const struct nm_str none = {"", 0};
    return (step < 0 && p->i < (size_t)-step) || p->i + (size_t)step >= p->n ? none : p->tokens[(long)p->i + step];
}

/* An opening mark stands apart and glues what follows; a closing one the other way round. */
static bool toggle(struct place *p, bool *open)
{
    bool closing = *open;
    *open = !closing;
    p->glue_next = !closing;
    return closing;
}

static bool glue_apostrophe(struct place *p)
{
    struct nm_str before = at(p, -1);
    if (is_word(before) && among(at(p, 1), " s t d m re ve ll S ")) {
        p->glue_next = true;
        return true;
    }
    if (p->in_single || !is_word(before))
        return toggle(p, &p->in_single);
    if (isdigit((unsigned char)before.ptr[before.len - 1]) || before.ptr[before.len - 1] == 's')
        return true; /* a prime, or a plural's */
    return toggle(p, &p->in_single);
}

/* Behind a mark that parts or joins numbers and letters. */
static bool glue_inside(const struct place *p)
{
    struct nm_str mark = at(p, -1);
    struct nm_str before = at(p, -2);
    struct nm_str token = at(p, 0);
    bool numbers = is_number(before) && is_number(token);
    if (is(mark, "."))
        return numbers || (is_letter(before) && is_letter(token)); /* 0.5, e.g. */
    if (is(mark, ","))
        return numbers && ((before.len <= 3 && token.len == 3) || among(at(p, 1), hyphens)); /* 1,000; 2,4-di */
    if (is(mark, ":"))
        return numbers || (is_capitals(before) && is_capitals(token));
    return false;
}

static bool glue_hyphen(const struct place *p)
{
    struct nm_str before = at(p, -1);
    struct nm_str token = at(p, 0);
    if (among(token, hyphens)) /* a sign before a number is not a hyphen behind something */
        return !(among(before, " = < > \u2264 \u2265 ~ ") && is_number(at(p, 1)));
    return !among(token, " and or "); /* short- and long-term */
}

/* Whether token i, which is not the first, is glued to the one before.  Keeps count of quotation marks. */
static bool glue(struct place *p)
{
    struct nm_str before = at(p, -1);
    struct nm_str token = at(p, 0);
    bool asked = p->glue_next;
    p->glue_next = false;
    if (is(token, "\""))
        return toggle(p, &p->in_double) || asked || among(before, " ( [ { ");
    if (among(token, apostrophes))
        return glue_apostrophe(p) || asked || among(before, " ( [ { ");
    if (asked || among(token, " , ; : . ! ? ) ] } % ... \u2026 '' \u201d n't 's 'S 're 've 'll 'd 'm \u00ae \u2122 "))
        return true;
    if (among(before, " ( [ { `` \u201c $ \u00a3 \u20ac # ~ @ _ \\ / ^ ") || among(token, " / _ @ \\ ^ "))
        return true;
    if (among(token, hyphens) || among(before, hyphens))
        return glue_hyphen(p);
    if (is(token, "\u00b0"))
        return is_number(before);
    if (is(before, "\u00b0"))
        return among(token, " C F ");
    if (is(token, "+")) /* Na+ */
        return isupper((unsigned char)before.ptr[0]) && before.len <= 4 && !is_number(at(p, 1));
    return glue_inside(p);
}

void nm_detokenize(const struct nm_str *tokens, size_t n, uint32_t *gaps)
{
    struct place p = {.tokens = tokens, .n = n};
    for (p.i = 0; p.i < n; p.i++)
        if (p.i > 0)
            gaps[p.i] = !glue(&p);
        else {
            gaps[0] = 0;
            p.in_double = p.glue_next = is(tokens[0], "\"");
            if (among(tokens[0], apostrophes))
                p.in_single = p.glue_next = true;
        }
}

/* ---- the way back ------------------------------------------------------------------------------------------------
 */

enum nm_err nm_detokenize_join(const struct nm_str *tokens, size_t n, const uint32_t *gaps, struct nm_buf *out,
                               size_t *starts)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        for (uint32_t k = 0; k < gaps[i] && err == NM_OK; k++)
            err = nm_buf_addc(out, ' ');
        if (starts != NULL)
            starts[i] = out->len;
        if (err == NM_OK)
            err = nm_buf_add(out, tokens[i].ptr, tokens[i].len);
    }
    return err;
}

/* Widen a gap at the first token that differs.  False: there is none to widen. */
static bool widen(const struct nm_str *tokens, size_t n, const struct nm_tokens *got, uint32_t *gaps, bool *exact)
{
    size_t start = 0;
    for (size_t i = 0; i < n; start += tokens[i++].len) {
        start += gaps[i];
        bool same = i < got->count && got->v[i].start == start && got->v[i].end == start + tokens[i].len;
        if (same)
            continue;
        bool behind = i + 1 < n && gaps[i + 1] == 0;
        bool longer = i < got->count && got->v[i].start == start && got->v[i].end > start + tokens[i].len;
        if (behind)
            gaps[i + 1] = 1;
        if (!longer && i > 0 && gaps[i] == 0) { /* cut by what stands before it */
            gaps[i] = 1;
            behind = true;
        }
        return behind;
    }
    *exact = got->count == n;
    return false;
}

enum nm_err nm_detokenize_fit(const struct nm_str *tokens, size_t n, const struct nm_tokenizer *tokenizer,
                              uint32_t *gaps, struct nm_tokens *work, bool *exact)
{
    struct nm_buf text;
    enum nm_err err;
    nm_buf_init(&text, SIZE_MAX / 4);
    *exact = false;
    do {
        nm_buf_reset(&text);
        err = nm_detokenize_join(tokens, n, gaps, &text, NULL);
        if (err == NM_OK)
            err = nm_tokenizer_run(tokenizer, nm_buf_str(&text), text.len, work);
    } while (err == NM_OK && widen(tokens, n, work, gaps, exact));
    nm_buf_clean_up(&text);
    return err;
}
