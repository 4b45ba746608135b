#include "workers/aligner/ptb.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Bytes [start, end) of text are a word in the making; what is finished goes to out. */
struct cutter {
    const char *text;
    size_t end;  /* of the chunk between white space */
    size_t last; /* where the text's last chunk ends */
    size_t word; /* where the open word begins */
    struct nm_tokens *out;
};

static enum nm_err put(struct cutter *c, size_t start, size_t end)
{
    return start < end ? nm_tokens_add(c->out, (struct nm_token){(uint32_t)start, (uint32_t)end, NM_TOKEN_UNICODE})
                       : NM_OK;
}

/* The length of one of the blank-parted items that stands at p, 0 if none does. */
static size_t starts_with(const char *p, size_t len, const char *items)
{
    for (const char *item = items; *item != '\0'; item += strcspn(item, " ")) {
        item += strspn(item, " ");
        size_t n = strcspn(item, " ");
        if (n > 0 && n <= len && memcmp(p, item, n) == 0)
            return n;
    }
    return 0;
}

/* The length of a mark that is a token wherever it stands; longer ones first. */
static size_t mark_at(const struct cutter *c, size_t i)
{
    static const char marks[] =
        " ... `` '' \u2026 \u2014 \u201c \u201d \u00ab \u00bb \u201e ( ) [ ] { } < > \" ; @ # $ % & ? ! ";
    const char *p = c->text + i;
    size_t left = c->end - i;
    if (*p == '-' && left > 1 && p[1] == '-') {
        size_t n = 2;
        while (n < left && p[n] == '-')
            n++;
        return n;
    }
    if (*p == ',' || *p == ':') /* 1,000 and 10:30 stay */
        return left == 1 || !isdigit((unsigned char)p[1]);
    return starts_with(p, left, marks);
}

static size_t apostrophe_at(const struct cutter *c, size_t i)
{
    return starts_with(c->text + i, c->end - i, " ' \u2019 \u2018 ` ");
}

/* Whether a word goes on at i. */
static bool is_word_at(const struct cutter *c, size_t i)
{
    unsigned char b = i < c->end ? (unsigned char)c->text[i] : ' ';
    return isalnum(b) || (b >= 0x80 && mark_at(c, i) == 0 && apostrophe_at(c, i) == 0);
}

/* Where the letters behind i end. */
static size_t letters_end(const struct cutter *c, size_t i)
{
    while (i < c->end && isalpha((unsigned char)c->text[i]))
        i++;
    return i;
}

static bool is_item(const char *p, size_t len, const char *const *items)
{
    for (; *items != NULL; items++)
        if (strlen(*items) == len && strncasecmp(p, *items, len) == 0)
            return true;
    return false;
}

/* Where the second half of a contraction begins whose apostrophe (of n bytes) is at i; 0: it is none. */
static size_t contraction(const struct cutter *c, size_t i, size_t n)
{
    static const char *const halves[] = {"s", "m", "d", "ll", "re", "ve", NULL};
    size_t end = letters_end(c, i + n);
    if (is_word_at(c, end))
        return 0;
    if (is_item(c->text + i + n, end - i - n, halves))
        return i;
    bool not = end - i - n == 1 && tolower((unsigned char)c->text[i + n]) == 't' && i > c->word + 1 &&
               tolower((unsigned char)c->text[i - 1]) == 'n';
    return not ? i - 1 : 0;
}

/* Whether nothing but closing marks stands between i and the end of the text. */
static bool ends_text(const struct cutter *c, size_t i)
{
    if (c->end != c->last)
        return false;
    while (i < c->end) {
        size_t n = starts_with(c->text + i, c->end - i, " ) ] } > \" ' \u201d \u2019 \u00bb ");
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

/* Whether the period at i is a token: not inside a word, nor the end of an abbreviation inside the text. */
static bool is_period(const struct cutter *c, size_t i)
{
    static const char *const abbreviations[] = {"dr",   "mr", "mrs", "ms", "prof",   "st",  "vs",  "cf",  "fig",
                                                "figs", "no", "nos", "al", "approx", "ca",  "inc", "ltd", "co",
                                                "corp", "jr", "sr",  "eq", "sect",   "vol", "pp",  "etc", NULL};
    if (is_word_at(c, i + 1))
        return false;
    if (ends_text(c, i + 1) || i == c->word)
        return true;
    size_t len = i - c->word;
    bool initial = len == 1 && isalpha((unsigned char)c->text[c->word]);
    return !initial && memchr(c->text + c->word, '.', len) == NULL && !is_item(c->text + c->word, len, abbreviations);
}

/* End the open word at i: words that were written as one are cut in two. */
static enum nm_err end_word(struct cutter *c, size_t i)
{
    static const char *const pairs[] = {"cannot", "gonna", "gotta", "wanna", "gimme", "lemme", NULL};
    const char *word = c->text + c->word;
    size_t half = is_item(word, i - c->word, pairs) ? 3 : 0;
    enum nm_err err = half > 0 ? put(c, c->word, c->word + half) : NM_OK;
    if (err == NM_OK)
        err = put(c, c->word + half, i);
    c->word = i;
    return err;
}

/* What stands at i: how far to go, and whether it is a token of its own. */
static size_t step(struct cutter *c, size_t i, bool *alone, size_t *cut)
{
    size_t n = mark_at(c, i);
    *alone = n > 0;
    *cut = 0;
    if (n > 0)
        return n;
    n = apostrophe_at(c, i);
    if (n > 0) {
        bool inside = i > c->word && is_word_at(c, i + n);
        *cut = i > c->word ? contraction(c, i, n) : 0;
        *alone = *cut == 0 && !inside;
        return n;
    }
    *alone = c->text[i] == '.' && is_period(c, i);
    return 1;
}

static enum nm_err cut_chunk(struct cutter *c, size_t start)
{
    enum nm_err err = NM_OK;
    c->word = start;
    for (size_t i = start; i < c->end && err == NM_OK;) {
        bool alone;
        size_t cut;
        size_t n = step(c, i, &alone, &cut);
        if (alone || cut > 0)
            err = end_word(c, alone ? i : cut);
        if (err == NM_OK && alone)
            err = put(c, i, i + n);
        i += n;
        if (alone)
            c->word = i;
    }
    return err == NM_OK ? end_word(c, c->end) : err;
}

enum nm_err nm_ptb_cut(const char *text, struct nm_tokens *tokens)
{
    struct nm_tokens out;
    nm_tokens_init(&out);
    struct cutter c = {.text = text, .out = &out};
    enum nm_err err = NM_OK;
    c.last = tokens->count > 0 ? tokens->v[tokens->count - 1].end : 0;
    for (size_t i = 0; i < tokens->count && err == NM_OK; i++) {
        c.end = tokens->v[i].end;
        err = cut_chunk(&c, tokens->v[i].start);
    }
    struct nm_tokens was = *tokens;
    *tokens = out;
    nm_tokens_clean_up(&was);
    return err;
}
