#include "cli/experiment_corpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/hash.h"
#include "schemas/folded.h"
#include "workers/dataset/import.h"
#include "workers/dataset/lines.h"

enum { BLOCK_MAX = 64 << 20, FILE_BYTES_MAX = 1 << 30 };

/* What a reading needs beside the corpus. */
struct reading {
    struct nm_exp_corpus *corpus;
    struct nm_arena scratch;
    struct nm_buf block, text;
    char document[256];
};

void nm_exp_corpus_init(struct nm_exp_corpus *corpus)
{
    *corpus = (struct nm_exp_corpus){0};
    nm_arena_init(&corpus->arena, 0);
}

void nm_exp_corpus_clean_up(struct nm_exp_corpus *corpus)
{
    free(corpus->at);
    free(corpus->types);
    nm_arena_clean_up(&corpus->arena);
    *corpus = (struct nm_exp_corpus){0};
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum nm_err add_type(struct nm_exp_corpus *c, struct nm_str tag, uint64_t *types)
{
    if (tag.len < 3 || tag.ptr[1] != '-')
        return NM_OK;
    const char *name = tag.ptr + 2;
    const size_t len = tag.len - 2;
    size_t i = 0;
    while (i < c->n_types && (strlen(c->types[i]) != len || memcmp(c->types[i], name, len) != 0))
        i++;
    if (i == NM_EXP_TYPES_MAX)
        return NM_ELIMIT;
    if (i == c->n_types) {
        const char **all = realloc(c->types, (i + 1) * sizeof *all);
        if (all == NULL)
            return NM_ENOMEM;
        c->types = all;
        if ((all[i] = nm_arena_strndup(&c->arena, name, len)) == NULL)
            return NM_ENOMEM;
        c->n_types++;
    }
    *types |= UINT64_C(1) << i;
    return NM_OK;
}

/* The words joined by blanks, and the block of lines. */
static enum nm_err write_words(struct reading *r, const struct nm_msg_sample *sample, uint64_t *types)
{
    enum nm_err err = NM_OK;
    nm_buf_reset(&r->block);
    nm_buf_reset(&r->text);
    for (size_t i = 0; i < sample->n_tokens && err == NM_OK; i++) {
        const struct nm_msg_token *t = &sample->tokens[i];
        const char *word = sample->text.ptr + t->start;
        const int len = (int)(t->end - t->start);
        err = nm_buf_addf(&r->block, "%.*s\t%.*s\n", len, word, (int)t->tag.len, t->tag.ptr);
        if (err == NM_OK)
            err = nm_buf_addf(&r->text, "%.*s ", len, word);
        if (err == NM_OK)
            err = add_type(r->corpus, t->tag, types);
    }
    return err == NM_OK ? nm_buf_addc(&r->block, '\n') : err;
}

static enum nm_err add(struct reading *r, const struct nm_record *record)
{
    struct nm_exp_corpus *c = r->corpus;
    struct nm_folded_text words;
    struct nm_exp_sentence s = {0};
    enum nm_err err = write_words(r, &record->sample, &s.types);
    nm_arena_reset(&r->scratch);
    if (err == NM_OK)
        err = nm_folded_split((struct nm_str){nm_buf_str(&r->text), r->text.len}, &r->scratch, &words);
    if (err != NM_OK)
        return err;
    s.n_words = (uint32_t)words.n;
    s.words = nm_folded_hash(words.at, words.n, 0);
    s.len = r->block.len;
    s.block = nm_arena_strndup(&c->arena, nm_buf_str(&r->block), r->block.len);
    if (record->document.len > 0) {
        char name[sizeof r->document];
        (void)snprintf(name, sizeof name, "%.*s", (int)record->document.len, record->document.ptr);
        c->n_documents += strcmp(name, r->document) != 0;
        memcpy(r->document, name, sizeof name);
        s.document = c->n_documents;
    }
    if (c->n == c->cap) {
        size_t cap = c->cap * 2 + 1024;
        struct nm_exp_sentence *at = realloc(c->at, cap * sizeof *at);
        if (at == NULL)
            return NM_ENOMEM;
        c->at = at;
        c->cap = cap;
    }
    c->at[c->n++] = s;
    return s.block != NULL ? NM_OK : NM_ENOMEM;
}

static enum nm_err take(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    enum nm_err err = add(ctx, record);
    return err == NM_OK
               ? NM_OK
               : nm_fail(diag, err, "%.*s: %s", (int)record->source.len, record->source.ptr, nm_err_name(err));
}

enum nm_err nm_exp_corpus_read(struct nm_exp_corpus *corpus, const char *path, struct nm_diag *diag)
{
    const struct nm_import import = {.format = "conll", .path = path};
    struct nm_record_counts counts = {0};
    struct reading r = {.corpus = corpus};
    nm_arena_init(&r.scratch, 0);
    nm_buf_init(&r.block, BLOCK_MAX);
    nm_buf_init(&r.text, BLOCK_MAX);
    enum nm_err err = nm_import_read(&import, take, &r, &counts, diag);
    nm_buf_clean_up(&r.text);
    nm_buf_clean_up(&r.block);
    nm_arena_clean_up(&r.scratch);
    return err == NM_OK && corpus->n == 0 ? nm_fail(diag, NM_EFORMAT, "%s: no sentence in it", path) : err;
}

/* ---- writing --------------------------------------------------------------------------------- */

static enum nm_err add_words_only(const struct nm_exp_sentence *s, struct nm_buf *out)
{
    enum nm_err err = NM_OK;
    for (const char *at = s->block; err == NM_OK && *at != '\n' && *at != '\0';) {
        const char *end = strchr(at, '\n');
        const char *tab = memrchr(at, '\t', (size_t)(end - at));
        err = nm_buf_addf(out, "%.*s\tO\n", (int)(tab - at), at);
        at = end + 1;
    }
    return err == NM_OK ? nm_buf_addc(out, '\n') : err;
}

enum nm_err nm_exp_corpus_write(const struct nm_exp_corpus *corpus, const uint32_t *numbers, size_t n,
                                bool words_only, const char *path, struct nm_diag *diag)
{
    struct nm_buf out;
    enum nm_err err = NM_OK;
    nm_buf_init(&out, FILE_BYTES_MAX);
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        const struct nm_exp_sentence *s = &corpus->at[numbers[i]];
        err = words_only ? add_words_only(s, &out) : nm_buf_add(&out, s->block, s->len);
    }
    err = err == NM_OK ? nm_file_write_atomic(path, nm_buf_str(&out), out.len, diag)
                       : nm_fail(diag, err, "%s: %s", path, nm_err_name(err));
    nm_buf_clean_up(&out);
    return err;
}

/* ---- drawing --------------------------------------------------------------------------------- */

/* A number to sort by: of the sentence, or of its document. */
struct lot {
    uint64_t lot;
    uint32_t number;
};

static int by_lot(const void *a, const void *b)
{
    const struct lot *x = a, *y = b;
    if (x->lot != y->lot)
        return x->lot < y->lot ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

enum nm_err nm_exp_corpus_draw(const struct nm_exp_corpus *corpus, uint64_t seed, bool documents, uint32_t *order)
{
    struct lot *lots = malloc((corpus->n + 1) * sizeof *lots);
    if (lots == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < corpus->n; i++) {
        const uint64_t unit = documents ? corpus->at[i].document : i;
        lots[i] = (struct lot){nm_mix64(nm_mix64(seed) ^ nm_mix64(unit + 1)), (uint32_t)i};
    }
    qsort(lots, corpus->n, sizeof *lots, by_lot);
    for (size_t i = 0; i < corpus->n; i++)
        order[i] = lots[i].number;
    free(lots);
    return NM_OK;
}

enum nm_err nm_exp_file_hash(const char *path, char hex[33], struct nm_diag *diag)
{
    struct nm_file_map map;
    enum nm_err err = nm_file_map(path, &map, diag);
    if (err != NM_OK)
        return err;
    nm_hash128_hex(nm_hash128(map.data, map.size), hex);
    nm_file_unmap(&map);
    return NM_OK;
}
