#include "workers/aligner/variants.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/aligner/array.h"

enum { SEPARATORS_ALL = 3, SEPARATORS_MAX = 24, WORD_MIN = 3 };

void nm_variants_init(struct nm_variants *variants)
{
    *variants = (struct nm_variants){0};
    nm_arena_init(&variants->arena, 0);
    nm_tokens_init(&variants->tokens);
}

void nm_variants_clean_up(struct nm_variants *variants)
{
    free(variants->v);
    nm_tokens_clean_up(&variants->tokens);
    nm_arena_clean_up(&variants->arena);
    nm_variants_init(variants);
}

/* Keep a variant that holds anything to be found: `-` between invisible characters leaves nothing. */
static enum nm_err keep(struct nm_variants *variants, const char *text, size_t len, uint32_t number)
{
    enum nm_err err = nm_tokenize(text, len, &variants->tokens);
    if (err != NM_OK || variants->tokens.count == 0)
        return err;
    struct nm_pattern *v = nm_array_grow(variants->v, &variants->cap, variants->n + 1, sizeof *v);
    if (v == NULL)
        return NM_ENOMEM;
    variants->v = v;
    char *copy = nm_arena_strndup(&variants->arena, text, len);
    if (copy == NULL)
        return NM_ENOMEM;
    v[variants->n++] = (struct nm_pattern){copy, len, number + 1};
    return NM_OK;
}

/* ---- plurals ---------------------------------------------------------------------------------- */

static bool ends_in(const char *word, size_t len, const char *endings)
{
    for (const char *e = endings; *e != '\0'; e += strcspn(e, " ")) {
        e += strspn(e, " ");
        size_t n = strcspn(e, " ");
        if (n > 0 && len >= n && strncasecmp(word + len - n, e, n) == 0)
            return true;
    }
    return false;
}

/* text[0..len) without its last `cut` bytes, and an ending. */
static enum nm_err add_ending(struct nm_variants *variants, const char *text, size_t len, size_t cut,
                              const char *ending, uint32_t number)
{
    char *changed = nm_arena_sprintf(&variants->arena, "%.*s%s", (int)(len - cut), text, ending);
    return changed != NULL ? keep(variants, changed, strlen(changed), number) : NM_ENOMEM;
}

/* The other number of a text whose last word is letters; capitals (`NSAID`) only take an s. */
static enum nm_err add_plural(struct nm_variants *variants, const char *text, size_t len, uint32_t number)
{
    size_t start = len;
    size_t capitals = 0;
    while (start > 0 && isalpha((unsigned char)text[start - 1]))
        capitals += isupper((unsigned char)text[--start]) != 0;
    const char *word = text + start;
    size_t n = len - start;
    if (n < WORD_MIN || (start > 0 && (unsigned char)text[start - 1] >= 0x80))
        return NM_OK;
    if (capitals == n)
        return add_ending(variants, text, len, 0, "s", number);
    if (capitals == n - 1 && capitals > 1 && word[n - 1] == 's')
        return add_ending(variants, text, len, 1, "", number);
    if (ends_in(word, n, "sis"))
        return add_ending(variants, text, len, 2, "es", number);
    if (ends_in(word, n, "ies") && n > 4)
        return add_ending(variants, text, len, 3, "y", number);
    if (ends_in(word, n, "sses xes ches shes zes"))
        return add_ending(variants, text, len, 2, "", number);
    if (ends_in(word, n, "ss us is x z ch sh"))
        return add_ending(variants, text, len, 0, "es", number);
    if (ends_in(word, n, "s"))
        return add_ending(variants, text, len, 1, "", number);
    if (ends_in(word, n, "y") && strchr("aeiou", tolower((unsigned char)word[n - 2])) == NULL)
        return add_ending(variants, text, len, 1, "ies", number);
    return add_ending(variants, text, len, 0, "s", number);
}

/* ---- hyphens ---------------------------------------------------------------------------------- */

/* An entity in words: where each separator that can be either stands, blanks around a hyphen included. */
struct separators {
    size_t start[SEPARATORS_MAX], end[SEPARATORS_MAX];
    size_t n;
    uint64_t hyphens; /* a bit each: what the entity has itself */
};

static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

static void find_separators(const char *text, size_t len, struct separators *s)
{
    *s = (struct separators){0};
    for (size_t i = 1; i < len && s->n < SEPARATORS_MAX; i++) {
        size_t end = i;
        size_t hyphens = 0;
        while (end < len && (text[end] == ' ' || text[end] == '-'))
            hyphens += text[end++] == '-';
        if (end > i && end < len && hyphens <= 1 && is_word_byte(text[i - 1]) && is_word_byte(text[end])) {
            s->hyphens |= (uint64_t)hyphens << s->n;
            s->start[s->n] = i;
            s->end[s->n++] = end;
        }
        i = end > i ? end : i;
    }
}

/* The text with its separators as the bits say. */
static const char *with_separators(struct nm_variants *variants, const char *text, size_t len,
                                   const struct separators *s, uint64_t hyphens)
{
    char *out = nm_arena_alloc(&variants->arena, len + 1);
    size_t n = 0;
    size_t at = 0;
    for (size_t i = 0; i < s->n && out != NULL; i++) {
        memcpy(out + n, text + at, s->start[i] - at);
        n += s->start[i] - at;
        out[n++] = (hyphens >> i & 1) != 0 ? '-' : ' ';
        at = s->end[i];
    }
    if (out != NULL)
        memcpy(out + n, text + at, len - at);
    return out;
}

static enum nm_err add_hyphens(struct nm_variants *variants, const struct nm_pattern *entity, uint32_t number,
                               bool plurals)
{
    struct separators s;
    enum nm_err err = NM_OK;
    find_separators(entity->text, entity->len, &s);
    uint64_t few = s.n <= SEPARATORS_ALL ? (uint64_t)1 << s.n : s.n + 2; /* of many: each changed, none, all */
    for (uint64_t k = 0; k < few && err == NM_OK; k++) {
        uint64_t hyphens = s.n <= SEPARATORS_ALL ? k
                           : k < s.n             ? s.hyphens ^ (uint64_t)1 << k
                           : k == s.n            ? 0
                                                 : ((uint64_t)1 << s.n) - 1;
        if (hyphens == s.hyphens)
            continue;
        const char *text = with_separators(variants, entity->text, entity->len, &s, hyphens);
        err = text != NULL ? keep(variants, text, strlen(text), number) : NM_ENOMEM;
        if (err == NM_OK && plurals)
            err = add_plural(variants, text, strlen(text), number);
    }
    return err;
}

enum nm_err nm_variants_add(struct nm_variants *variants, const struct nm_pattern *entity, uint32_t number,
                            bool plurals, bool hyphens)
{
    enum nm_err err = plurals ? add_plural(variants, entity->text, entity->len, number) : NM_OK;
    return err == NM_OK && hyphens ? add_hyphens(variants, entity, number, plurals) : err;
}
