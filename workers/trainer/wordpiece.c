#include "workers/trainer/wordpiece.h"

#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/trainer/wordpiece_impl.h"

static enum nm_err reserve(struct nm_pieces *out, size_t more)
{
    if (out->count + more <= out->cap)
        return NM_OK;
    size_t cap = (out->count + more) * 2 + 64;
    uint32_t *ids = realloc(out->ids, cap * sizeof(*ids));
    if (ids == NULL)
        return NM_ENOMEM;
    out->ids = ids;
    out->cap = cap;
    return NM_OK;
}

/* ---- ASCII: no copy, no allocation, one table load a byte ------------------------------------ */

/* The rest of a word whose first walk stopped: its pieces, or [UNK] where one has no match. */
static void encode_pieces(const struct nm_wordpiece *wp, const unsigned char *s, size_t len, struct nm_pieces *out)
{
    const struct nm_trie *trie = &wp->trie;
    size_t word = out->count;
    int32_t from = NM_TRIE_ROOT;
    for (size_t start = 0; start < len; from = wp->inside) {
        int32_t node = from, value = -1;
        size_t end = start;
        for (size_t i = start; i < len && node != NM_TRIE_NONE; i++) {
            node = nm_trie_step(trie, node, wp->ascii_lower[s[i]]);
            int32_t here = trie->nodes[node].value;
            if (here >= 0) {
                value = here;
                end = i + 1;
            }
        }
        if (value < 0) {
            out->count = word;
            out->ids[out->count++] = wp->unk;
            return;
        }
        out->ids[out->count++] = (uint32_t)value;
        start = end;
    }
}

/* One word of ASCII letters and the like at s; returns its length, or 0 where the slow path has to take it. */
static size_t encode_ascii_word(const struct nm_wordpiece *wp, const unsigned char *s, size_t len,
                                struct nm_pieces *out)
{
    const struct nm_trie *trie = &wp->trie;
    int32_t node = NM_TRIE_ROOT;
    size_t n = 0;
    for (; n < len && wp->ascii_class[s[n]] == NM_ASCII_WORD; n++)
        node = nm_trie_step(trie, node, wp->ascii_lower[s[n]]);
    if (n < len && wp->ascii_class[s[n]] == NM_ASCII_SLOW)
        return 0;
    int32_t value = trie->nodes[node].value;
    if (n > wp->max_chars)
        out->ids[out->count++] = wp->unk;
    else if (value >= 0) /* most words are one token */
        out->ids[out->count++] = (uint32_t)value;
    else
        encode_pieces(wp, s, n, out);
    return n;
}

/* ---- everything else: normalise, then split, then match -------------------------------------- */

static enum nm_err encode_word_items(const struct nm_wordpiece *wp, const uint32_t *items, size_t n,
                                     struct nm_pieces *out)
{
    const struct nm_trie *trie = &wp->trie;
    size_t word = out->count;
    int32_t from = NM_TRIE_ROOT;
    for (size_t start = 0; start < n && n <= wp->max_chars; from = wp->inside) {
        int32_t node = from, value = -1;
        size_t end = start;
        for (size_t i = start; i < n && node != NM_TRIE_NONE; i++) {
            char utf8[4];
            int bytes = nm_utf8_put(NM_NORMAL_CP(items[i]), utf8);
            for (int b = 0; b < bytes; b++)
                node = nm_trie_step(trie, node, (unsigned char)utf8[b]);
            if (trie->nodes[node].value >= 0) {
                value = trie->nodes[node].value;
                end = i + 1;
            }
        }
        if (value < 0)
            break;
        out->ids[out->count++] = (uint32_t)value;
        start = end;
        if (end == n)
            return NM_OK;
    }
    out->count = word;
    out->ids[out->count++] = wp->unk;
    return NM_OK;
}

static enum nm_err encode_items(const struct nm_wordpiece *wp, const uint32_t *items, size_t n, struct nm_pieces *out)
{
    enum nm_err err = reserve(out, n);
    for (size_t i = 0; i < n && err == NM_OK;) {
        enum nm_normal_class class = NM_NORMAL_CLASS(items[i]);
        if (class == NM_NORMAL_SPACE_CHAR) {
            i++;
            continue;
        }
        size_t end = i + 1;
        while (class == NM_NORMAL_WORD_CHAR && end < n && NM_NORMAL_CLASS(items[end]) == NM_NORMAL_WORD_CHAR)
            end++;
        err = encode_word_items(wp, items + i, end - i, out);
        i = end;
    }
    return err;
}

/* Normalise s into the scratch text.  NM_EFORMAT: not UTF-8. */
static enum nm_err normalize(const struct nm_wordpiece *wp, const char *s, size_t len, struct nm_normal_text *text)
{
    text->count = text->run = 0;
    for (size_t i = 0; i < len;) {
        int32_t cp;
        int bytes = nm_utf8_next(s + i, len - i, &cp);
        if (bytes < 0)
            return NM_EFORMAT;
        enum nm_err err = nm_normalizer_add(wp->normalizer, cp, text);
        if (err != NM_OK)
            return err;
        i += (size_t)bytes;
    }
    return NM_OK;
}

/* ---- added tokens ---------------------------------------------------------------------------- */

static bool is_word_cp(int32_t cp) /* \w of Rust's regex, near enough for the edges of an added token */
{
    return cp == '_' || nm_utf8_is_letter(cp) || nm_utf8_is_digit(cp) || nm_utf8_is_mark(cp);
}

/* Positions in normalised items: the longest added token that starts at i, or NULL. */
static const struct nm_added_token *match_items(const struct nm_wordpiece *wp, const uint32_t *items, size_t n,
                                                size_t i)
{
    const struct nm_added_token *best = NULL;
    for (size_t k = 0; k < wp->n_added; k++) {
        const struct nm_added_token *token = &wp->added[k];
        if (!token->normalized || token->n_items == 0 || token->n_items > n - i ||
            (best != NULL && best->n_items >= token->n_items))
            continue;
        size_t same = 0;
        while (same < token->n_items && NM_NORMAL_CP(items[i + same]) == NM_NORMAL_CP(token->items[same]))
            same++;
        if (same == token->n_items)
            best = token;
    }
    return best;
}

static enum nm_err encode_normalized(const struct nm_wordpiece *wp, const uint32_t *items, size_t n,
                                     struct nm_pieces *out)
{
    size_t from = 0;
    for (size_t i = 0; wp->any_normalized && i < n;) {
        const struct nm_added_token *token = match_items(wp, items, n, i);
        if (token == NULL) {
            i++;
            continue;
        }
        size_t end = i + token->n_items;
        bool inside_word =
            (i > 0 && is_word_cp(NM_NORMAL_CP(items[i - 1]))) || (end < n && is_word_cp(NM_NORMAL_CP(items[end])));
        if (!token->single_word || !inside_word) {
            enum nm_err err = encode_items(wp, items + from, i - from, out);
            if (err == NM_OK)
                err = reserve(out, 1);
            if (err != NM_OK)
                return err;
            out->ids[out->count++] = token->id;
            from = end;
        }
        i = end;
    }
    return encode_items(wp, items + from, n - from, out);
}

static enum nm_err encode_slow(const struct nm_wordpiece *wp, const char *s, size_t len, struct nm_pieces *out)
{
    enum nm_err err = normalize(wp, s, len, &out->scratch);
    return err == NM_OK ? encode_normalized(wp, out->scratch.items, out->scratch.count, out) : err;
}

/* How many bytes the slow path takes at s: up to an ASCII space or punctuation, across which no mark moves. */
static size_t slow_length(const struct nm_wordpiece *wp, const unsigned char *s, size_t len)
{
    size_t n = 1;
    while (n < len && wp->ascii_class[s[n]] != NM_ASCII_SPACE && wp->ascii_class[s[n]] != NM_ASCII_PUNCT)
        n++;
    return n;
}

/* Text between added tokens. */
static enum nm_err encode_segment(const struct nm_wordpiece *wp, const char *text, size_t len, struct nm_pieces *out)
{
    if (wp->any_normalized)
        return encode_slow(wp, text, len, out);
    enum nm_err err = reserve(out, len);
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < len && err == NM_OK;) {
        size_t n = 0;
        switch ((enum nm_ascii_class)wp->ascii_class[s[i]]) {
        case NM_ASCII_SPACE:
            i++;
            continue;
        case NM_ASCII_PUNCT:
            out->ids[out->count++] = wp->punct_id[s[i++]];
            continue;
        case NM_ASCII_WORD:
            n = encode_ascii_word(wp, s + i, len - i, out);
            break;
        case NM_ASCII_SLOW:
            break;
        }
        if (n == 0) {
            n = slow_length(wp, s + i, len - i);
            err = encode_slow(wp, text + i, n, out);
            if (err == NM_OK)
                err = reserve(out, len - i - n);
        }
        i += n;
    }
    return err;
}

static const struct nm_added_token *match_bytes(const struct nm_wordpiece *wp, const char *s, size_t len)
{
    const struct nm_added_token *best = NULL;
    for (size_t k = 0; k < wp->n_added; k++) {
        const struct nm_added_token *token = &wp->added[k];
        if (!token->normalized && token->len <= len && (best == NULL || token->len > best->len) &&
            memcmp(s, token->content, token->len) == 0)
            best = token;
    }
    return best;
}

/* The next place at or after i where an added token could start; len if none. */
static size_t next_candidate(const struct nm_wordpiece *wp, const char *s, size_t i, size_t len)
{
    if (wp->only_first != 0) {
        const char *at = memchr(s + i, wp->only_first, len - i);
        return at != NULL ? (size_t)(at - s) : len;
    }
    while (i < len && !wp->added_first[(unsigned char)s[i]])
        i++;
    return i;
}

static int32_t cp_before(const char *s, size_t i)
{
    size_t start = i - 1;
    while (start > 0 && ((unsigned char)s[start] & 0xc0) == 0x80)
        start--;
    int32_t cp = 0;
    return nm_utf8_next(s + start, i - start, &cp) > 0 ? cp : 0;
}

static bool stands_alone(const char *s, size_t len, size_t start, size_t end)
{
    int32_t after = 0;
    if (start > 0 && is_word_cp(cp_before(s, start)))
        return false;
    return end >= len || nm_utf8_next(s + end, len - end, &after) <= 0 || !is_word_cp(after);
}

enum nm_err nm_wordpiece_encode(const struct nm_wordpiece *wp, const char *text, size_t len, struct nm_pieces *out)
{
    size_t from = 0, i = 0;
    while ((i = next_candidate(wp, text, i, len)) < len) {
        const struct nm_added_token *token = match_bytes(wp, text + i, len - i);
        size_t end = token != NULL ? i + token->len : i + 1;
        if (token == NULL || (token->single_word && !stands_alone(text, len, i, end))) {
            i = end;
            continue;
        }
        /* lstrip and rstrip only take white space away, which gives no ids anyway: nothing to do for them. */
        enum nm_err err = encode_segment(wp, text + from, i - from, out);
        if (err == NM_OK)
            err = reserve(out, 1);
        if (err != NM_OK)
            return err;
        out->ids[out->count++] = token->id;
        from = i = end;
    }
    return encode_segment(wp, text + from, len - from, out);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static uint32_t id_of_char(const struct nm_wordpiece *wp, uint32_t item)
{
    char utf8[4];
    int bytes = nm_utf8_put(NM_NORMAL_CP(item), utf8);
    int32_t value = wp->max_chars < 1 ? -1 : nm_trie_find(&wp->trie, NM_TRIE_ROOT, utf8, (size_t)bytes);
    return value >= 0 ? (uint32_t)value : wp->unk;
}

enum nm_err nm_wordpiece_prepare(struct nm_wordpiece *wp)
{
    wp->normalizer = nm_normalizer_new(&wp->options);
    if (wp->normalizer == NULL)
        return NM_ENOMEM;
    memset(wp->ascii_class, NM_ASCII_SLOW, sizeof(wp->ascii_class));
    for (unsigned c = 0; c < 128; c++) {
        uint32_t item = nm_normalizer_ascii(wp->normalizer, (unsigned char)c);
        static const uint8_t classes[] = {NM_ASCII_WORD, NM_ASCII_SPACE, NM_ASCII_PUNCT, NM_ASCII_SLOW};
        wp->ascii_class[c] = item == 0 ? NM_ASCII_SLOW : classes[NM_NORMAL_CLASS(item)];
        wp->ascii_lower[c] = (unsigned char)NM_NORMAL_CP(item);
        wp->punct_id[c] = wp->ascii_class[c] == NM_ASCII_PUNCT ? id_of_char(wp, item) : wp->unk;
    }
    size_t distinct = 0;
    for (size_t i = 0; i < wp->n_added; i++) {
        struct nm_added_token *token = &wp->added[i];
        unsigned char first = (unsigned char)token->content[0];
        if (!token->normalized) {
            distinct += !wp->added_first[first];
            wp->added_first[first] = true;
            wp->only_first = first;
            continue;
        }
        wp->any_normalized = true;
        struct nm_normal_text text = {0};
        enum nm_err err = normalize(wp, token->content, token->len, &text);
        token->items = text.items;
        token->n_items = text.count;
        if (err != NM_OK)
            return err;
    }
    if (distinct != 1)
        wp->only_first = 0;
    return NM_OK;
}

size_t nm_wordpiece_vocab_size(const struct nm_wordpiece *wp)
{
    return wp->vocab_size;
}

uint32_t nm_wordpiece_cls(const struct nm_wordpiece *wp)
{
    return wp->cls;
}

uint32_t nm_wordpiece_sep(const struct nm_wordpiece *wp)
{
    return wp->sep;
}

void nm_wordpiece_destroy(struct nm_wordpiece **wp)
{
    if (*wp == NULL)
        return;
    for (size_t i = 0; i < (*wp)->n_added; i++) {
        free((*wp)->added[i].content);
        free((*wp)->added[i].items);
    }
    free((*wp)->added);
    nm_trie_clean_up(&(*wp)->trie);
    nm_normalizer_destroy(&(*wp)->normalizer);
    free(*wp);
    *wp = NULL;
}

void nm_pieces_clean_up(struct nm_pieces *tokens)
{
    free(tokens->ids);
    free(tokens->scratch.items);
    *tokens = (struct nm_pieces){0};
}
