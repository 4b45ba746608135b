#include "workers/aligner/tokenize.h"

#include <stdlib.h>

#include "common/utf8.h"
#include "workers/aligner/array.h"

enum shape {
    SHAPE_GAP,    /* between tokens */
    SHAPE_WORD,   /* letter or digit */
    SHAPE_SYMBOL, /* a token alone */
    SHAPE_MARK,   /* belongs to what is before it */
    SHAPE_FORMAT, /* invisible: part of a word, or gap */
    SHAPE_HIGH    /* in the byte table only: look at the code point */
};

/* What an ASCII byte is; SHAPE_HIGH for the rest.  Zero is SHAPE_GAP: the controls and the space.
 * (Ranges of designators are GNU C; gcc and clang have them.) */
static const unsigned char byte_shape[256] = {
    ['!' ... '/'] = SHAPE_SYMBOL, ['0' ... '9'] = SHAPE_WORD,   [':' ... '@'] = SHAPE_SYMBOL,
    ['A' ... 'Z'] = SHAPE_WORD,   ['[' ... '`'] = SHAPE_SYMBOL, ['a' ... 'z'] = SHAPE_WORD,
    ['{' ... '~'] = SHAPE_SYMBOL, [128 ... 255] = SHAPE_HIGH,
};

void nm_tokens_init(struct nm_tokens *tokens)
{
    *tokens = (struct nm_tokens){0};
}

void nm_tokens_clean_up(struct nm_tokens *tokens)
{
    free(tokens->v);
    *tokens = (struct nm_tokens){0};
}

enum nm_err nm_tokens_grow(struct nm_tokens *tokens)
{
    struct nm_token *v = nm_array_grow(tokens->v, &tokens->cap, tokens->count + 1, sizeof *v);
    if (v == NULL)
        return NM_ENOMEM;
    tokens->v = v;
    return NM_OK;
}

/* The ideographs that BERT's BasicTokenizer sets apart (Devlin et al. 2019, tokenization.py). */
static bool is_ideograph(int32_t cp)
{
    return (cp >= 0x4E00 && cp <= 0x9FFF) || (cp >= 0x3400 && cp <= 0x4DBF) || (cp >= 0x20000 && cp <= 0x2A6DF) ||
           (cp >= 0x2A700 && cp <= 0x2CEAF) || (cp >= 0xF900 && cp <= 0xFAFF) || (cp >= 0x2F800 && cp <= 0x2FA1F);
}

static enum shape shape_of(int32_t cp)
{
    if (cp < 0x80)
        return (enum shape)byte_shape[cp];
    if (cp == 0x200B) /* zero-width space: a word boundary (UAX #29) */
        return SHAPE_GAP;
    if (is_ideograph(cp))
        return SHAPE_SYMBOL;
    const char *category = nm_utf8_category(cp);
    switch (category[0]) {
    case 'L':
    case 'N':
        return SHAPE_WORD;
    case 'M':
        return SHAPE_MARK;
    case 'Z':
        return SHAPE_GAP;
    case 'C':
        return category[1] == 'f' ? SHAPE_FORMAT : category[1] == 'c' ? SHAPE_GAP : SHAPE_SYMBOL;
    default:
        return SHAPE_SYMBOL;
    }
}

bool nm_tokens_is_gap(int32_t cp)
{
    enum shape shape = shape_of(cp);
    return shape == SHAPE_GAP || shape == SHAPE_FORMAT;
}

bool nm_tokens_is_blank(int32_t cp)
{
    return shape_of(cp) == SHAPE_GAP;
}

/* Decode at *at and step over it.  False: not UTF-8. */
static bool take(const char *text, size_t len, size_t *at, enum shape *shape)
{
    int32_t cp;
    int n = nm_utf8_next(text + *at, len - *at, &cp);
    if (n <= 0)
        return false;
    *at += (size_t)n;
    *shape = shape_of(cp);
    return true;
}

/* Extend a token that ends at *end by the marks, and by letters and digits if it is a word; format characters only
 * where one of those follows.  False: not UTF-8. */
static bool extend(const char *text, size_t len, bool word, size_t *end)
{
    for (size_t at = *end; at < len;) {
        enum shape shape;
        if (!take(text, len, &at, &shape))
            return false;
        if (shape == SHAPE_MARK || (word && shape == SHAPE_WORD))
            *end = at;
        else if (shape != SHAPE_FORMAT)
            break;
    }
    return true;
}

enum nm_err nm_tokenize(const char *text, size_t len, struct nm_tokens *tokens)
{
    tokens->count = 0;
    if (len > UINT32_MAX)
        return NM_ELIMIT;
    for (size_t at = 0; at < len;) {
        size_t start = at;
        enum shape shape = (enum shape)byte_shape[(unsigned char)text[at]];
        enum nm_token_kind kind = shape == SHAPE_WORD ? NM_TOKEN_WORD : NM_TOKEN_SYMBOL;
        if (shape == SHAPE_HIGH) {
            kind = NM_TOKEN_UNICODE;
            if (!take(text, len, &at, &shape))
                return NM_EFORMAT;
        } else {
            at++;
        }
        if (shape == SHAPE_GAP || shape == SHAPE_FORMAT)
            continue;
        if (shape == SHAPE_WORD)
            while (at < len && byte_shape[(unsigned char)text[at]] == SHAPE_WORD)
                at++;
        if (at < len && byte_shape[(unsigned char)text[at]] == SHAPE_HIGH) {
            size_t end = at;
            if (!extend(text, len, shape == SHAPE_WORD, &end))
                return NM_EFORMAT;
            if (end != at)
                kind = NM_TOKEN_UNICODE;
            at = end;
        }
        enum nm_err err = nm_tokens_add(tokens, (struct nm_token){(uint32_t)start, (uint32_t)at, kind});
        if (err != NM_OK)
            return err;
    }
    return NM_OK;
}

/* Dashes, primes and quotation marks that people and models write for the ones on a keyboard, one for one. */
static int32_t plain_mark(int32_t cp)
{
    if ((cp >= 0x2010 && cp <= 0x2015) || cp == 0x2212 || cp == 0x2043) /* hyphens, dashes, minus */
        return '-';
    if ((cp >= 0x2018 && cp <= 0x201B) || cp == 0x2032 || cp == 0x02BC)
        return '\'';
    return (cp >= 0x201C && cp <= 0x201F) || cp == 0x2033 || cp == 0xAB || cp == 0xBB ? '"' : cp;
}

/* The token's code points that can be seen, dashes and quotes plain. */
static enum nm_err visible_form(const char *token, size_t len, struct nm_buf *out)
{
    enum nm_err err = NM_OK;
    for (size_t at = 0; at < len && err == NM_OK;) {
        int32_t cp;
        int n = nm_utf8_next(token + at, len - at, &cp);
        if (n <= 0)
            return NM_EFORMAT;
        int32_t plain = plain_mark(cp);
        if (plain != cp)
            err = nm_buf_addc(out, (char)plain);
        else if (shape_of(cp) != SHAPE_FORMAT)
            err = nm_buf_add(out, token + at, (size_t)n);
        at += (size_t)n;
    }
    return err;
}

/* The slow path of nm_form: some byte is over 0x7f. */
static enum nm_err form_unicode(const char *token, size_t len, bool folded, struct nm_buf *out)
{
    size_t was = out->len;
    struct nm_buf visible;
    nm_buf_init(&visible, len);
    enum nm_err err = visible_form(token, len, &visible);
    if (err == NM_OK)
        err = nm_utf8_nfkc(nm_buf_str(&visible), visible.len, out);
    nm_buf_clean_up(&visible);
    if (err != NM_OK || !folded)
        return err;
    struct nm_buf lower;
    nm_buf_init(&lower, out->max);
    err = nm_utf8_casefold(out->data + was, out->len - was, &lower);
    if (err == NM_OK) {
        out->len = was;
        err = nm_buf_add(out, nm_buf_str(&lower), lower.len);
    }
    nm_buf_clean_up(&lower);
    return err;
}

enum nm_err nm_form(const char *token, size_t len, bool folded, struct nm_buf *out)
{
    enum nm_err err = nm_buf_reserve(out, len);
    if (err != NM_OK)
        return err;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)token[i];
        if (c >= 0x80) {
            out->data[out->len] = '\0';
            return form_unicode(token, len, folded, out);
        }
        out->data[out->len + i] = (char)(folded && c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    out->len += len;
    out->data[out->len] = '\0';
    return NM_OK;
}
