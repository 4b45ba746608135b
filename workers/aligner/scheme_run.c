/* scheme_run.c - cutting a text by a scheme. */
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/aligner/array.h"
#include "workers/aligner/scheme_parts.h"

/* Classes: every ASCII symbol is one, letters and digits are three; beyond ASCII by Unicode's major category. */
enum { CLASS_OUTSIDE = 1, CLASS_LOWER = 'a', CLASS_UPPER = 'A', CLASS_DIGIT = '0', CLASS_BEYOND = 0x80 };

static uint64_t class_of(int32_t cp)
{
    static const char majors[] = "LNMPSC";
    if (cp == OUTSIDE)
        return CLASS_OUTSIDE;
    if (cp >= 'a' && cp <= 'z')
        return CLASS_LOWER;
    if (cp >= 'A' && cp <= 'Z')
        return CLASS_UPPER;
    if (cp >= '0' && cp <= '9')
        return CLASS_DIGIT;
    if (cp < 0x80)
        return (uint64_t)cp;
    const char *category = nm_utf8_category(cp);
    const char *major = strchr(majors, category[0]);
    if (category[0] == 'C' && category[1] == 'f')
        return CLASS_BEYOND + sizeof majors;
    return CLASS_BEYOND + (major != NULL ? (uint64_t)(major - majors) : sizeof majors + 1);
}

/* A character itself, or the class of an ASCII letter or digit. */
static uint64_t sort_of(int32_t cp)
{
    return cp >= 0x80 ? (uint64_t)cp : class_of(cp);
}

static bool is_symbol(int32_t cp)
{
    uint64_t class = class_of(cp);
    return class != CLASS_LOWER && class != CLASS_UPPER && class != CLASS_DIGIT;
}

uint64_t scheme_key(enum level level, const struct place *p)
{
    uint64_t key = (uint64_t)(level + 1) << 61; /* 1 to 5: never 0 */
    uint64_t pair = sort_of(p->left) << 29 | sort_of(p->right) << 8;
    switch (level) {
    case LEVEL_NEAR:
        return key | class_of(p->before) << 50 | pair | class_of(p->behind);
    case LEVEL_EXACT:
        return key | class_of(p->before) << 50 | (uint64_t)p->left << 29 | (uint64_t)p->right << 8 |
               class_of(p->behind);
    case LEVEL_EDGE:
        if (p->behind == OUTSIDE && is_symbol(p->right))
            return key | (uint64_t)p->right << 8;
        return p->before == OUTSIDE && is_symbol(p->left) ? key | (uint64_t)p->left << 29 : 0;
    case LEVEL_PAIR:
        return key | pair;
    default:
        return key | class_of(p->left) << 29 | class_of(p->right) << 8;
    }
}

static uint64_t mix(uint64_t key)
{
    key *= 0x9E3779B97F4A7C15U;
    return key ^ key >> 29;
}

struct evidence *scheme_slot(const struct nm_scheme *s, uint64_t key)
{
    uint64_t i = mix(key) & s->mask;
    while (s->table[i].key != 0 && s->table[i].key != key)
        i = (i + 1) & s->mask;
    return &s->table[i];
}

struct evidence *scheme_find(const struct nm_scheme *s, uint64_t key)
{
    struct evidence *e = scheme_slot(s, key);
    return e->key != 0 ? e : NULL;
}

/* What the file never showed: as tokenize.h has it. */
static bool default_cut(const struct place *p)
{
    const char *left = nm_utf8_category(p->left);
    const char *right = nm_utf8_category(p->right);
    bool word = left[0] == 'L' || left[0] == 'N' || left[0] == 'M' || strcmp(left, "Cf") == 0;
    if (right[0] == 'M' || strcmp(right, "Cf") == 0)
        return false;
    return !word || (right[0] != 'L' && right[0] != 'N');
}

static bool cuts(const struct nm_scheme *s, const struct place *p)
{
    enum verdict known = p->left < 0x80 && p->right < 0x80 ? (enum verdict)s->ascii[p->left][p->right] : VERDICT_ASK;
    if (known != VERDICT_ASK)
        return known == VERDICT_CUT;
    const struct evidence *e = scheme_find(s, scheme_key(LEVEL_NEAR, p));
    if (e != NULL && e->joined > 0 && e->cut > 0) {
        const struct evidence *exact = scheme_find(s, scheme_key(LEVEL_EXACT, p));
        e = exact != NULL ? exact : e;
    }
    for (enum level level = LEVEL_EDGE; e == NULL && level < LEVELS; level++) {
        uint64_t key = scheme_key(level, p);
        e = key != 0 ? scheme_find(s, key) : NULL;
    }
    return e != NULL ? e->cut > e->joined : default_cut(p);
}

/* ---- cutting -----------------------------------------------------------------------------------------------------
 */

/* A token that is open: where it began, and whether anything of it can be seen. */
struct open {
    size_t start;
    bool any, visible;
};

static enum nm_err add(struct nm_tokens *tokens, size_t start, size_t end)
{
    return nm_tokens_add(tokens, (struct nm_token){(uint32_t)start, (uint32_t)end, NM_TOKEN_UNICODE});
}

static enum nm_err close_token(const struct nm_scheme *s, struct open *open, size_t end, struct nm_tokens *tokens)
{
    struct open was = *open;
    *open = (struct open){0};
    return was.any && (was.visible || s->invisible) ? add(tokens, was.start, end) : NM_OK;
}

enum nm_err scheme_cut(const struct nm_scheme *s, const char *text, size_t len, struct nm_tokens *tokens)
{
    struct place p = {OUTSIDE, OUTSIDE, OUTSIDE, OUTSIDE};
    struct open open = {0};
    tokens->count = 0;
    size_t at = 0; /* of p.right, whose bytes are n */
    int n = nm_utf8_next(text, len, &p.right);
    enum nm_err err = len > UINT32_MAX ? NM_ELIMIT : n < 0 ? NM_EFORMAT : NM_OK;
    while (err == NM_OK && n > 0) {
        size_t next = at + (size_t)n;
        int32_t behind;
        n = nm_utf8_next(text + next, len - next, &behind);
        if (n < 0)
            return NM_EFORMAT;
        p.behind = n == 0 || nm_tokens_is_blank(behind) ? OUTSIDE : behind;
        bool blank = nm_tokens_is_blank(p.right);
        if (blank || (p.left != OUTSIDE && cuts(s, &p)))
            err = close_token(s, &open, at, tokens);
        if (!blank) {
            open.start = open.any ? open.start : at;
            open.any = true;
            open.visible = open.visible || !nm_tokens_is_gap(p.right);
        }
        p.before = blank ? OUTSIDE : p.left;
        p.left = blank ? OUTSIDE : p.right;
        p.right = behind;
        at = next;
    }
    return err == NM_OK ? close_token(s, &open, len, tokens) : err;
}

/* ---- exceptions --------------------------------------------------------------------------------------------------
 */

struct exception *scheme_exception(const struct nm_scheme *s, const char *text, const struct nm_tokens *tokens,
                                   size_t i, size_t j)
{
    const char *from = text + tokens->v[i].start;
    size_t len = tokens->v[j].end - tokens->v[i].start;
    uint32_t id = nm_lexicon_find(&s->lexicon, nm_lexicon_hash(&s->lexicon, from, len, false));
    if (id == 0)
        return NULL;
    size_t known_len;
    const char *known = nm_lexicon_string(&s->lexicon, id, &known_len);
    struct exception *e = &s->exceptions[id - 1];
    return known_len == len && memcmp(known, from, len) == 0 && !e->off ? e : NULL;
}

/* The longest exception that begins with token i, and *last, the token it ends with; or NULL and i itself. */
static const struct exception *longest(const struct nm_scheme *s, const char *text, const struct nm_tokens *tokens,
                                       size_t i, size_t *last)
{
    *last = i;
    size_t j = i;
    while (j + 1 < tokens->count && j + 1 - i < s->most_tokens && tokens->v[j + 1].start == tokens->v[j].end)
        j++;
    if (tokens->v[j].end - tokens->v[i].start < 2)
        return NULL;
    size_t bit = scheme_first_bit(text + tokens->v[i].start);
    if ((s->firsts[bit / 64] >> bit % 64 & 1) == 0)
        return NULL;
    for (;; j--) {
        const struct exception *e = scheme_exception(s, text, tokens, i, j);
        *last = e != NULL ? j : i;
        if (e != NULL || j == i)
            return e;
    }
}

/* The tokens of an exception's stretch into out. */
static enum nm_err put_exception(const struct nm_scheme *s, const struct exception *e, uint32_t start, uint32_t end,
                                 struct nm_tokens *out)
{
    enum nm_err err = NM_OK;
    uint32_t at = start;
    for (uint32_t k = 0; k <= e->count && err == NM_OK; k++) {
        uint32_t stop = k < e->count ? start + s->cuts[e->first + k] : end;
        err = add(out, at, stop);
        at = stop;
    }
    return err;
}

static enum nm_err apply_exceptions(const struct nm_scheme *s, const char *text, struct nm_tokens *tokens)
{
    struct nm_tokens out;
    enum nm_err err = NM_OK;
    bool any = false;
    nm_tokens_init(&out);
    for (size_t i = 0, last; i < tokens->count && err == NM_OK; i = last + 1) {
        const struct exception *e = longest(s, text, tokens, i, &last);
        if (e != NULL && !any) { /* until the first one nothing is copied */
            any = true;
            for (size_t k = 0; k < i && err == NM_OK; k++)
                err = nm_tokens_add(&out, tokens->v[k]);
        }
        if (err == NM_OK && e != NULL)
            err = put_exception(s, e, tokens->v[i].start, tokens->v[last].end, &out);
        else if (err == NM_OK && any)
            err = nm_tokens_add(&out, tokens->v[i]);
    }
    if (err == NM_OK && any) {
        struct nm_tokens was = *tokens;
        *tokens = out;
        out = was;
    }
    nm_tokens_clean_up(&out);
    return err;
}

enum nm_err nm_scheme_run(const struct nm_scheme *s, const char *text, size_t len, struct nm_tokens *tokens)
{
    enum nm_err err = scheme_cut(s, text, len, tokens);
    return err == NM_OK && s->most_tokens > 0 ? apply_exceptions(s, text, tokens) : err;
}
