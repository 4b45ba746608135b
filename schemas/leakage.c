#include "schemas/leakage.h"

#include <stdlib.h>
#include <string.h>

#include "schemas/folded.h"

enum { SEED = 7, HEAD_BYTES = 8 + 4 + NM_LEAKAGE_NGRAM_MAX + 1 };
static const char magic[8] = "NMLEAK1";

void nm_leakage_init(struct nm_leakage *leakage, uint32_t ngram)
{
    *leakage = (struct nm_leakage){.ngram = ngram < NM_LEAKAGE_NGRAM_MAX ? ngram : NM_LEAKAGE_NGRAM_MAX};
}

void nm_leakage_clean_up(struct nm_leakage *leakage)
{
    free(leakage->hashes);
    leakage->hashes = NULL;
    leakage->n = leakage->cap = 0;
}

/* ---- making ---------------------------------------------------------------------------------- */

static enum nm_err add(struct nm_leakage *l, const struct nm_folded_word *words, size_t n)
{
    if (l->n == l->cap) {
        size_t cap = l->cap * 2 + 1024;
        uint64_t *hashes = realloc(l->hashes, cap * sizeof *hashes);
        if (!hashes)
            return NM_ENOMEM;
        l->hashes = hashes;
        l->cap = cap;
    }
    l->hashes[l->n++] = nm_folded_hash(words, n, SEED);
    l->lengths[n] = true;
    return NM_OK;
}

static enum nm_err add_sentence(struct nm_leakage *l, struct nm_str text, struct nm_arena *arena)
{
    struct nm_folded_text words;
    nm_arena_reset(arena);
    enum nm_err err = nm_folded_split(text, arena, &words);
    if (!err && words.n > 0 && words.n < l->ngram)
        return add(l, words.at, words.n);
    for (size_t i = 0; !err && i + l->ngram <= words.n; i++)
        err = add(l, words.at + i, l->ngram);
    return err;
}

enum nm_err nm_leakage_add_conll(struct nm_leakage *l, const char *name, const char *data, size_t len,
                                 struct nm_diag *diag)
{
    struct nm_buf sentence;
    struct nm_arena arena;
    size_t before = l->n;
    enum nm_err err = NM_OK;
    nm_buf_init(&sentence, NM_TEXT_MAX);
    nm_arena_init(&arena, 0);
    for (const char *at = data, *end = data + len; !err && at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t line = (size_t)((stop ? stop : end) - at);
        size_t word = 0;
        while (word < line && at[word] != '\t' && at[word] != ' ' && at[word] != '\r')
            word++;
        if (word > 0 && !(word == 10 && memcmp(at, "-DOCSTART-", word) == 0)) {
            err = nm_buf_add(&sentence, at, word);
            if (!err)
                err = nm_buf_addc(&sentence, ' ');
        }
        at += line + 1;
        if (!err && (word == 0 || at >= end)) {
            err = add_sentence(l, (struct nm_str){nm_buf_str(&sentence), sentence.len}, &arena);
            nm_buf_reset(&sentence);
        }
    }
    nm_buf_clean_up(&sentence);
    nm_arena_clean_up(&arena);
    if (!err && l->n == before)
        err = NM_EFORMAT;
    return err ? nm_fail(diag, err, "%s: no sentences to be kept out can be read from it: %s", name,
                         err == NM_EFORMAT ? "not UTF-8, or empty" : nm_err_name(err))
               : NM_OK;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void nm_leakage_close(struct nm_leakage *l)
{
    size_t n = 0;
    if (l->n > 0)
        qsort(l->hashes, l->n, sizeof *l->hashes, by_number);
    for (size_t i = 0; i < l->n; i++)
        if (i == 0 || l->hashes[i] != l->hashes[i - 1])
            l->hashes[n++] = l->hashes[i];
    l->n = n;
}

/* ---- travelling ------------------------------------------------------------------------------ */

static enum nm_err add_number(struct nm_buf *out, uint64_t value, size_t bytes)
{
    unsigned char raw[8];
    for (size_t i = 0; i < bytes; i++)
        raw[i] = (unsigned char)(value >> (8 * i));
    return nm_buf_add(out, raw, bytes);
}

static uint64_t get_number(const char *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return value;
}

enum nm_err nm_leakage_encode(const struct nm_leakage *l, struct nm_buf *out)
{
    enum nm_err err = nm_buf_add(out, magic, sizeof magic);
    if (!err)
        err = add_number(out, l->ngram, 4);
    for (size_t i = 0; !err && i <= NM_LEAKAGE_NGRAM_MAX; i++)
        err = nm_buf_addc(out, (char)l->lengths[i]);
    for (size_t i = 0; !err && i < l->n; i++)
        err = add_number(out, l->hashes[i], 8);
    return err;
}

enum nm_err nm_leakage_decode(const char *data, size_t len, struct nm_leakage *l, struct nm_diag *diag)
{
    if (len < HEAD_BYTES || memcmp(data, magic, sizeof magic) != 0 || (len - HEAD_BYTES) % 8 != 0)
        return nm_fail(diag, NM_EFORMAT, "these %zu bytes are no hashes of test sentences", len);
    l->ngram = (uint32_t)get_number(data + sizeof magic, 4);
    l->n = l->cap = (len - HEAD_BYTES) / 8;
    l->hashes = malloc(l->n * sizeof *l->hashes + 1);
    if (!l->hashes)
        return nm_fail(diag, NM_ENOMEM, "no memory for the hashes of test sentences");
    for (size_t i = 0; i <= NM_LEAKAGE_NGRAM_MAX; i++)
        l->lengths[i] = data[sizeof magic + 4 + i] != 0;
    for (size_t i = 0; i < l->n; i++)
        l->hashes[i] = get_number(data + HEAD_BYTES + 8 * i, 8);
    nm_leakage_close(l);
    return NM_OK;
}

/* ---- looking --------------------------------------------------------------------------------- */

static bool has(const struct nm_leakage *l, uint64_t hash)
{
    return l->n > 0 && bsearch(&hash, l->hashes, l->n, sizeof hash, by_number) != NULL;
}

enum nm_err nm_leakage_finds(const struct nm_leakage *l, struct nm_str text, struct nm_arena *arena, size_t *found)
{
    struct nm_folded_text words;
    *found = 0;
    enum nm_err err = nm_folded_split(text, arena, &words);
    if (err)
        return err;
    for (size_t n = 1; n <= NM_LEAKAGE_NGRAM_MAX && n <= words.n; n++) {
        if (!l->lengths[n] || (n < NM_LEAKAGE_SHORT && n < l->ngram && n < words.n))
            continue;
        for (size_t i = 0; i + n <= words.n && *found == 0; i++)
            if (has(l, nm_folded_hash(words.at + i, n, SEED)))
                *found = n;
    }
    return NM_OK;
}
