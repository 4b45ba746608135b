#include "schemas/fingerprint.h"

#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "schemas/folded.h"

enum { FORM = 1, BYTES = 1 + 8 * (2 + NM_FINGERPRINT_BANDS) };

/* ---- templates ------------------------------------------------------------------------------- */

static bool stands_at(const struct nm_folded_text *text, size_t at, const struct nm_folded_text *entity)
{
    if (entity->n == 0 || at + entity->n > text->n)
        return false;
    for (size_t i = 0; i < entity->n; i++)
        if (text->at[at + i].hash != entity->at[i].hash)
            return false;
    return true;
}

static bool is_told(const struct nm_fingerprint_text *text, const struct nm_folded_word *word)
{
    for (size_t i = 0; i < text->n_mentions; i++)
        if (text->mentions[i].start < word->end && word->start < text->mentions[i].end)
            return true;
    return false;
}

/* Which words belong to a mention. */
static enum nm_err find_mentions(const struct nm_fingerprint_text *text, const struct nm_folded_text *words,
                                 struct nm_arena *arena, bool *blank, bool *any)
{
    *any = false;
    for (size_t i = 0; i < words->n; i++)
        *any |= blank[i] = is_told(text, &words->at[i]);
    for (size_t e = 0; e < text->n_entities; e++) {
        struct nm_folded_text entity;
        enum nm_err err = nm_folded_split(text->entities[e].text, arena, &entity);
        if (err)
            return err;
        for (size_t i = 0; i < words->n; i++)
            if (stands_at(words, i, &entity)) {
                memset(blank + i, true, entity.n);
                *any = true;
            }
    }
    return NM_OK;
}

/* One blank for each run of words that belong to mentions. */
static enum nm_err hash_template(const struct nm_fingerprint_text *text, const struct nm_folded_text *words,
                                 struct nm_arena *arena, uint64_t *template)
{
    static const struct nm_folded_word gap = {.hash = 1};
    bool *blank = nm_arena_alloc(arena, words->n + 1);
    struct nm_folded_word *kept = nm_arena_alloc(arena, (words->n + 1) * sizeof *kept);
    bool any;
    size_t n = 0;
    if (!blank || !kept)
        return NM_ENOMEM;
    enum nm_err err = find_mentions(text, words, arena, blank, &any);
    for (size_t i = 0; i < words->n; i++)
        if (!blank[i])
            kept[n++] = words->at[i];
        else if (i == 0 || !blank[i - 1])
            kept[n++] = gap;
    *template = any ? nm_folded_hash(kept, n, 2) | 1 : 0;
    return err;
}

/* ---- MinHash --------------------------------------------------------------------------------- */

/* The hashed 5-grams in order; a text with fewer words is one gram. */
static enum nm_err hash_grams(const struct nm_folded_text *words, struct nm_arena *arena, uint64_t **grams, size_t *n)
{
    size_t length = words->n < NM_FINGERPRINT_GRAM ? words->n : NM_FINGERPRINT_GRAM;
    *n = words->n - length + 1;
    *grams = nm_arena_alloc(arena, *n * sizeof **grams);
    if (!*grams)
        return NM_ENOMEM;
    for (size_t i = 0; i < *n; i++)
        (*grams)[i] = nm_folded_hash(words->at + i, length, 3);
    return NM_OK;
}

/* A permutation is a multiplication by its own odd number, and the high half of the product: the compiler makes
 * vectors of the loop, at 32 permutations of 20 grams about 0.5 us. */
static void hash_bands(const uint64_t *grams, size_t n, uint64_t bands[NM_FINGERPRINT_BANDS])
{
    enum { PERMUTATIONS = NM_FINGERPRINT_BANDS * NM_FINGERPRINT_ROWS };
    uint64_t factor[PERMUTATIONS];
    uint64_t least[PERMUTATIONS];
    for (size_t p = 0; p < PERMUTATIONS; p++) {
        factor[p] = nm_mix64(p + 1) | 1;
        least[p] = UINT64_MAX;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t p = 0; p < PERMUTATIONS; p++) {
            uint64_t value = grams[i] * factor[p];
            value ^= value >> 32;
            value *= factor[p];
            least[p] = value < least[p] ? value : least[p];
        }
    for (size_t b = 0; b < NM_FINGERPRINT_BANDS; b++)
        bands[b] = nm_hash64(least + b * NM_FINGERPRINT_ROWS, NM_FINGERPRINT_ROWS * sizeof *least, b + 1);
}

enum nm_err nm_fingerprint_make(const struct nm_fingerprint_text *text, struct nm_arena *arena,
                                struct nm_fingerprint *print)
{
    struct nm_folded_text words;
    uint64_t *grams;
    size_t n;
    enum nm_err err = nm_folded_split(text->text, arena, &words);
    if (!err)
        err = hash_template(text, &words, arena, &print->template);
    if (!err)
        err = hash_grams(&words, arena, &grams, &n);
    if (err)
        return err;
    print->exact = nm_folded_hash(words.at, words.n, 1);
    hash_bands(grams, n, print->bands);
    return NM_OK;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

enum nm_err nm_fingerprint_encode(const struct nm_fingerprint *print, struct nm_buf *out)
{
    unsigned char bytes[BYTES] = {FORM};
    uint64_t numbers[2 + NM_FINGERPRINT_BANDS] = {print->exact, print->template};
    memcpy(numbers + 2, print->bands, sizeof print->bands);
    for (size_t i = 0; i + 1 < BYTES; i++)
        bytes[1 + i] = (unsigned char)(numbers[i / 8] >> (8 * (i % 8)));
    return nm_buf_add(out, bytes, sizeof bytes);
}

bool nm_fingerprint_decode(struct nm_str bytes, struct nm_fingerprint *print)
{
    uint64_t numbers[2 + NM_FINGERPRINT_BANDS] = {0};
    if (bytes.len != BYTES || bytes.ptr[0] != FORM)
        return false;
    for (size_t i = 0; i + 1 < BYTES; i++)
        numbers[i / 8] |= (uint64_t)(unsigned char)bytes.ptr[1 + i] << (8 * (i % 8));
    print->exact = numbers[0];
    print->template = numbers[1];
    memcpy(print->bands, numbers + 2, sizeof print->bands);
    return true;
}

/* ---- true similarity ------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The set of grams, sorted, each once. */
static enum nm_err gram_set(struct nm_str text, struct nm_arena *arena, uint64_t **set, size_t *n)
{
    struct nm_folded_text words;
    size_t all = 0;
    *n = 0;
    enum nm_err err = nm_folded_split(text, arena, &words);
    if (!err)
        err = hash_grams(&words, arena, set, &all);
    if (err)
        return err;
    qsort(*set, all, sizeof **set, by_number);
    for (size_t i = 0; i < all; i++)
        if (i == 0 || (*set)[i] != (*set)[i - 1])
            (*set)[(*n)++] = (*set)[i];
    return NM_OK;
}

enum nm_err nm_fingerprint_jaccard(struct nm_str a, struct nm_str b, struct nm_arena *arena, double *similarity)
{
    uint64_t *x = NULL;
    uint64_t *y = NULL;
    size_t nx = 0;
    size_t ny = 0;
    size_t both = 0;
    *similarity = 0;
    enum nm_err err = gram_set(a, arena, &x, &nx);
    if (!err)
        err = gram_set(b, arena, &y, &ny);
    if (err)
        return err;
    for (size_t i = 0, j = 0; i < nx && j < ny;) {
        both += x[i] == y[j];
        bool left = x[i] <= y[j];
        bool right = y[j] <= x[i];
        i += left;
        j += right;
    }
    *similarity = (double)both / (double)(nx + ny - both);
    return NM_OK;
}
