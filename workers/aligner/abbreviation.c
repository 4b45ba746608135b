#include "workers/aligner/abbreviation.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "common/utf8.h"

enum { SHORT_MIN = 2, SHORT_MAX = 10, SHORT_WORDS = 2, MORE_WORDS = 5 };

/* Bytes beyond ASCII are letters here: what they are compared with is bytes, too. */
static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

bool nm_abbreviation_is_short(const char *s, size_t len)
{
    size_t characters = nm_utf8_length(s, len);
    size_t words = 1;
    bool letter = false;
    if (characters < SHORT_MIN || characters > SHORT_MAX || !is_word_byte(s[0]))
        return false;
    for (size_t i = 0; i < len; i++) {
        words += s[i] == ' ';
        letter = letter || isalpha((unsigned char)s[i]) || (unsigned char)s[i] >= 0x80;
    }
    return letter && words <= SHORT_WORDS;
}

/* Where the last words of the text begin that a long form may have: min(|A| + 5, 2 |A|) of them. */
static size_t reach(const char *text, size_t len, size_t short_len)
{
    size_t most = short_len + MORE_WORDS < 2 * short_len ? short_len + MORE_WORDS : 2 * short_len;
    size_t at = len;
    for (size_t words = 0; at > 0; at--)
        if (text[at - 1] == ' ' && ++words == most)
            break;
    return at;
}

size_t nm_abbreviation_begin(const char *text, size_t len, const char *short_form, size_t short_len)
{
    size_t first = reach(text, len, nm_utf8_length(short_form, short_len));
    size_t at = len; /* behind the character that was matched last */
    for (size_t s = short_len; s-- > 0;) {
        int want = tolower((unsigned char)short_form[s]);
        if (!is_word_byte(short_form[s]))
            continue;
        do { /* the first character must begin a word */
            if (at == first)
                return SIZE_MAX;
            at--;
        } while (tolower((unsigned char)text[at]) != want || (s == 0 && at > first && is_word_byte(text[at - 1])));
    }
    while (at > first && text[at - 1] != ' ')
        at--;
    return len - at > short_len ? at : SIZE_MAX;
}

/* What a bracket that opens at text[open] holds, without blanks at its ends.  False: it does not close on this side
 * of another one. */
static bool inside(const char *text, size_t len, size_t open, size_t *start, size_t *end, size_t *close)
{
    size_t at = open + 1;
    while (at < len && strchr("()[]", text[at]) == NULL)
        at++;
    if (at == len || text[at] != (text[open] == '(' ? ')' : ']'))
        return false;
    *close = at;
    for (*start = open + 1; *start < at && text[*start] == ' '; ++*start)
        ;
    for (*end = at; *end > *start && text[*end - 1] == ' '; --*end)
        ;
    return *start < *end;
}

/* `long form (short)`, the mention before the bracket. */
static bool find_behind(const char *text, size_t len, size_t start, size_t end, struct nm_definition *d)
{
    size_t open = end;
    size_t close;
    while (open < len && text[open] == ' ')
        open++;
    if (open == len || (text[open] != '(' && text[open] != '[') ||
        !inside(text, len, open, &d->short_start, &d->short_end, &close))
        return false;
    const char *form = text + d->short_start;
    for (size_t i = d->short_start; i < d->short_end; i++) /* (NLX; 10 mg) */
        if (text[i] == ';' || text[i] == ',')
            d->short_end = i;
    size_t form_len = d->short_end - d->short_start;
    if (!nm_abbreviation_is_short(form, form_len))
        return false;
    size_t begin = nm_abbreviation_begin(text, end, form, form_len);
    d->partial = begin != SIZE_MAX && begin < start;
    d->start = start;
    d->end = close + 1;
    return begin != SIZE_MAX;
}

/* `short (long form)`, the mention in the brackets. */
static bool find_before(const char *text, size_t len, size_t start, size_t end, struct nm_definition *d)
{
    size_t open = start;
    size_t inner_start;
    size_t inner_end;
    size_t close;
    while (open > 0 && text[open - 1] == ' ')
        open--;
    if (open == 0 || (text[open - 1] != '(' && text[open - 1] != '['))
        return false;
    open--;
    if (!inside(text, len, open, &inner_start, &inner_end, &close) || inner_start != start || inner_end != end)
        return false;
    for (d->short_end = open; d->short_end > 0 && text[d->short_end - 1] == ' '; d->short_end--)
        ;
    for (d->short_start = d->short_end; d->short_start > 0 && text[d->short_start - 1] != ' '; d->short_start--)
        ;
    const char *form = text + d->short_start;
    size_t form_len = d->short_end - d->short_start;
    d->partial = false;
    d->start = d->short_start;
    d->end = close + 1;
    return nm_abbreviation_is_short(form, form_len) &&
           nm_abbreviation_begin(text + start, end - start, form, form_len) == 0;
}

bool nm_abbreviation_find(const char *text, size_t len, size_t start, size_t end, struct nm_definition *definition)
{
    return find_behind(text, len, start, end, definition) || find_before(text, len, start, end, definition);
}
