#include "workers/generator/text.h"

#include <assert.h>
#include <string.h>

#include "common/hash.h"
#include "common/utf8.h"

static bool is_ascii_alnum(int32_t cp)
{
    return (cp >= '0' && cp <= '9') || (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z');
}

bool nm_text_word_char(int32_t cp)
{
    if (cp < 0x80)
        return is_ascii_alnum(cp);
    return nm_utf8_is_letter(cp) || nm_utf8_is_digit(cp) || nm_utf8_is_mark(cp);
}

static bool is_space(int32_t cp)
{
    return cp < 0x80 ? cp == ' ' || (cp >= '\t' && cp <= '\r') : nm_utf8_is_space(cp);
}

static int32_t lower(int32_t cp)
{
    if (cp < 0x80)
        return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    return nm_utf8_lower(cp);
}

/* The run [start,end) holds no white space: cut its punctuation off and keep it if something is left. */
static void add_word(struct nm_text *text, size_t start, size_t end)
{
    while (start < end && !nm_text_word_char(text->cp[start]))
        start++;
    while (end > start && !nm_text_word_char(text->cp[end - 1]))
        end--;
    if (start == end)
        return;
    struct nm_word *word = &text->words[text->nwords++];
    word->start = start;
    word->end = end;
    word->hash = nm_hash64(text->fold + start, (end - start) * sizeof *text->fold, 0);
}

static void split_words(struct nm_text *text)
{
    for (size_t i = 0; i < text->n;) {
        while (i < text->n && is_space(text->cp[i]))
            i++;
        size_t start = i;
        while (i < text->n && !is_space(text->cp[i]))
            i++;
        if (i > start)
            add_word(text, start, i);
    }
}

enum nm_err nm_text_decode(const char *s, size_t len, struct nm_arena *arena, struct nm_text *out)
{
    memset(out, 0, sizeof *out);
    out->s = s;
    out->len = len;
    out->cp = nm_arena_alloc(arena, (len + 1) * sizeof *out->cp);
    out->fold = nm_arena_alloc(arena, (len + 1) * sizeof *out->fold);
    out->off = nm_arena_alloc(arena, (len + 1) * sizeof *out->off);
    out->words = nm_arena_alloc(arena, (len / 2 + 1) * sizeof *out->words);
    if (out->cp == NULL || out->fold == NULL || out->off == NULL || out->words == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < len;) {
        int32_t cp = (unsigned char)s[i];
        int n = cp < 0x80 ? 1 : nm_utf8_next(s + i, len - i, &cp); /* most is ASCII: no call for each letter */
        if (n <= 0)
            return NM_EFORMAT;
        out->cp[out->n] = cp;
        out->fold[out->n] = lower(cp);
        out->off[out->n++] = i;
        i += (size_t)n;
    }
    out->off[out->n] = len;
    split_words(out);
    return NM_OK;
}

enum nm_script nm_text_script(int32_t cp)
{
    if (cp < 0x80)
        return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') ? NM_SCRIPT_LATIN : NM_SCRIPT_COMMON;
    if (!nm_utf8_is_letter(cp))
        return NM_SCRIPT_COMMON;
    if (cp < 0x250 || (cp >= 0x1e00 && cp < 0x1f00))
        return NM_SCRIPT_LATIN;
    if ((cp >= 0x370 && cp < 0x400) || (cp >= 0x1f00 && cp < 0x2000))
        return NM_SCRIPT_GREEK;
    if (cp >= 0x400 && cp < 0x530)
        return NM_SCRIPT_CYRILLIC;
    if (cp >= 0x590 && cp < 0x800)
        return NM_SCRIPT_SEMITIC;
    if (cp >= 0x900 && cp < 0x1000)
        return NM_SCRIPT_INDIC;
    if ((cp >= 0x1100 && cp < 0x1200) || (cp >= 0x2e80 && cp < 0xd7b0) || (cp >= 0xf900 && cp < 0xfb00) ||
        cp >= 0x20000)
        return NM_SCRIPT_CJK;
    return NM_SCRIPT_COMMON;
}

unsigned nm_text_scripts(const struct nm_text *text)
{
    unsigned set = 0;
    for (size_t i = 0; i < text->n; i++)
        set |= nm_text_script(text->cp[i]);
    return set;
}

size_t nm_text_find(const struct nm_text *text, size_t from, const struct nm_text *needle, bool fold)
{
    const int32_t *hay = fold ? text->fold : text->cp;
    const int32_t *pin = fold ? needle->fold : needle->cp;
    if (needle->n == 0)
        return NM_TEXT_NONE;
    for (size_t i = from; i + needle->n <= text->n; i++)
        if (hay[i] == pin[0] && memcmp(hay + i, pin, needle->n * sizeof *pin) == 0)
            return i;
    return NM_TEXT_NONE;
}

size_t nm_text_glyph(const struct nm_text *text, size_t byte)
{
    size_t low = 0, high = text->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (text->off[mid] < byte)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool nm_text_at_ascii(const struct nm_text *text, size_t pos, const char *phrase)
{
    for (; *phrase != '\0'; phrase++, pos++)
        if (pos >= text->n || text->fold[pos] != (unsigned char)*phrase)
            return false;
    return true;
}

size_t nm_text_find_ascii(const struct nm_text *text, size_t from, const char *phrase)
{
    int32_t first = (unsigned char)phrase[0]; /* looked for alone */
    for (size_t i = from; i < text->n; i++)
        if (text->fold[i] == first && nm_text_at_ascii(text, i, phrase))
            return i;
    return NM_TEXT_NONE;
}

static uint16_t two_letters(int32_t a, int32_t b)
{
    return (uint16_t)(a & 0x7f) << 8 | (uint16_t)(b & 0x7f);
}

/* A letter has a token boundary before it where no word goes on: one walk from word to word finds all phrases, of
 * which a hundred are sought in every answer.  Their first two letters are compared all at once. */
const char *nm_text_find_phrase(const struct nm_text *text, const char *const *phrases, size_t *at)
{
    uint16_t begins[NM_TEXT_PHRASES_MAX];
    const char *hit = NULL;
    size_t n = 0;
    for (; phrases[n] != NULL && n < NM_TEXT_PHRASES_MAX; n++)
        begins[n] = two_letters(phrases[n][0], phrases[n][1]);
    assert(phrases[n] == NULL);
    for (size_t i = 0; i + 1 < text->n; i++) {
        if (i > 0 && nm_text_word_char(text->cp[i - 1]))
            continue;
        uint16_t here = two_letters(text->fold[i], text->fold[i + 1]), same = 0;
        for (size_t k = 0; k < n; k++)
            same |= begins[k] == here;
        for (size_t k = 0; same != 0 && k < n; k++) {
            if (begins[k] != here || !nm_text_at_ascii(text, i, phrases[k]) ||
                !nm_text_bounded(text, i, i + strlen(phrases[k])))
                continue;
            hit = phrases[k];
            *at = i;
            n = k; /* from here on only an earlier one counts */
        }
    }
    return hit;
}

bool nm_text_bounded(const struct nm_text *text, size_t start, size_t end)
{
    const int32_t *cp = text->cp;
    bool left = start == 0 || !nm_text_word_char(cp[start - 1]) || !nm_text_word_char(cp[start]);
    bool right = end >= text->n || !nm_text_word_char(cp[end - 1]) || !nm_text_word_char(cp[end]);
    return left && right;
}

bool nm_text_case_matters(const struct nm_text *entity)
{
    if (entity->n <= 3)
        return true;
    bool capital = false;
    for (size_t i = 0; i < entity->n; i++) {
        int32_t cp = entity->cp[i];
        if (nm_utf8_is_upper(cp))
            capital = true;
        else if (nm_utf8_is_letter(cp))
            return false; /* a small letter, or a script without case */
    }
    return capital;
}
