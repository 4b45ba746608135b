#include "workers/trainer/words.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/utf8.h"

enum kind { GAP, WORD, MARK, FORMAT, SYMBOL };

static bool is_ideograph(int32_t cp) /* one word each, as BERT's normaliser sets them apart */
{
    return (cp >= 0x3400 && cp <= 0x4DBF) || (cp >= 0x4E00 && cp <= 0x9FFF) || (cp >= 0xF900 && cp <= 0xFAFF) ||
           (cp >= 0x20000 && cp <= 0x2CEAF) || (cp >= 0x2F800 && cp <= 0x2FA1F);
}

static enum kind kind_of(int32_t cp)
{
    if (nm_utf8_is_space(cp) || cp == 0x200B)
        return GAP;
    if (is_ideograph(cp))
        return SYMBOL;
    if (nm_utf8_is_letter(cp) || nm_utf8_is_digit(cp))
        return WORD;
    if (nm_utf8_is_mark(cp))
        return MARK;
    const char *category = nm_utf8_category(cp);
    if (category[0] == 'C' && category[1] == 'f')
        return FORMAT;
    return category[0] == 'C' && category[1] == 'c' ? GAP : SYMBOL;
}

static enum nm_err add(struct nm_extents *words, size_t start, size_t end)
{
    if (words->n == words->cap) {
        size_t cap = words->cap * 2 + 64;
        struct nm_extent *at = realloc(words->at, cap * sizeof(*at));
        if (at == NULL)
            return NM_ENOMEM;
        words->at = at;
        words->cap = cap;
    }
    words->at[words->n++] = (struct nm_extent){.start = start, .end = end};
    return NM_OK;
}

enum nm_err nm_words_split(const char *text, size_t len, struct nm_extents *words)
{
    words->n = 0;
    enum kind open = GAP; /* of the word that may go on; SYMBOL takes marks only */
    bool joined = false;  /* nothing but format characters since its end */
    for (size_t i = 0; i < len;) {
        int32_t cp;
        int bytes = nm_utf8_next(text + i, len - i, &cp);
        if (bytes < 0)
            return NM_EFORMAT;
        size_t end = i + (size_t)bytes;
        enum kind kind = kind_of(cp);
        enum nm_err err = NM_OK;
        if (joined && (kind == MARK || (kind == WORD && open == WORD))) {
            words->at[words->n - 1].end = end;
        } else if (kind == WORD || kind == MARK || kind == SYMBOL) {
            err = add(words, i, end);
            open = kind == WORD ? WORD : SYMBOL;
            joined = true;
        } else if (kind == GAP) {
            joined = false;
        }
        if (err != NM_OK)
            return err;
        i = end;
    }
    return NM_OK;
}
