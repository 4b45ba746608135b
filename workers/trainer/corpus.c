#include "workers/trainer/corpus.h"

#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/utf8.h"
#include "workers/trainer/metrics.h"

enum { TYPES_MAX = 4096 };

void nm_corpus_init(struct nm_corpus *corpus)
{
    *corpus = (struct nm_corpus){0};
    nm_arena_init(&corpus->arena, 0);
}

void nm_corpus_clean_up(struct nm_corpus *corpus)
{
    nm_arena_clean_up(&corpus->arena);
    free(corpus->sentences);
    free(corpus->types);
    free(corpus->words);
    free(corpus->tags);
    nm_corpus_init(corpus);
}

/* The index of this type's name, added if it is new. */
static enum nm_err find_type(struct nm_corpus *corpus, const char *name, size_t len, size_t *index)
{
    for (*index = 0; *index < corpus->n_types; (*index)++) {
        const char *known = corpus->types[*index];
        if (strncmp(known, name, len) == 0 && known[len] == '\0')
            return NM_OK;
    }
    if (corpus->n_types == TYPES_MAX)
        return NM_ELIMIT;
    const char **types = realloc(corpus->types, (corpus->n_types + 1) * sizeof(*types));
    if (types == NULL)
        return NM_ENOMEM;
    corpus->types = types;
    types[corpus->n_types] = nm_arena_strndup(&corpus->arena, name, len);
    if (types[corpus->n_types] == NULL)
        return NM_ENOMEM;
    corpus->n_types++;
    return NM_OK;
}

static enum nm_err parse_tag(struct nm_corpus *corpus, const char *tag, size_t len, const char *name, size_t line,
                             int32_t *out, struct nm_diag *diag)
{
    *out = NM_TAG_O;
    if (tag == NULL) {
        corpus->untagged = true;
        return NM_OK;
    }
    if (len == 1 && tag[0] == 'O')
        return NM_OK;
    if (len == 1 && tag[0] == '-') {
        *out = NM_TAG_MASKED;
        corpus->n_masked++;
        return NM_OK;
    }
    if (len < 3 || (tag[0] != 'B' && tag[0] != 'I') || tag[1] != '-' || memchr(tag, '\0', len) != NULL)
        return nm_fail(diag, NM_EFORMAT,
                       "%s:%zu: \"%.*s\" is no BIO tag: write O, B-TYPE, I-TYPE, or - for a masked word", name, line,
                       (int)(len < 60 ? len : 60), tag);
    size_t type;
    enum nm_err err = find_type(corpus, tag + 2, len - 2, &type);
    if (err == NM_ELIMIT)
        return nm_fail(diag, err, "%s:%zu: more than %d entity types: is the last column the tag?", name, line,
                       TYPES_MAX);
    if (err != NM_OK)
        return nm_fail(diag, err, "%s:%zu: out of memory", name, line);
    int32_t before = corpus->n_open > 0 ? corpus->tags[corpus->n_open - 1] : NM_TAG_O;
    bool inside = tag[0] == 'I' && nm_tag_is_entity(before) && nm_tag_type(before) == type;
    if (tag[0] == 'I' && !inside && corpus->orphans++ == 0)
        corpus->first_orphan_line = line;
    *out = inside ? NM_TAG_I(type) : NM_TAG_B(type);
    return NM_OK;
}

static enum nm_err reserve_word(struct nm_corpus *corpus)
{
    if (corpus->n_open < corpus->cap_open)
        return NM_OK;
    size_t cap = corpus->cap_open * 2 + 64;
    struct nm_word *words = realloc(corpus->words, cap * sizeof(*words));
    if (words == NULL)
        return NM_ENOMEM;
    corpus->words = words;
    int32_t *tags = realloc(corpus->tags, cap * sizeof(*tags));
    if (tags == NULL)
        return NM_ENOMEM;
    corpus->tags = tags;
    corpus->cap_open = cap;
    return NM_OK;
}

enum nm_err nm_corpus_add_word(struct nm_corpus *corpus, const char *word, size_t word_len, const char *tag,
                               size_t tag_len, const char *name, size_t line, struct nm_diag *diag)
{
    size_t bad;
    if (word_len == 0)
        return nm_fail(diag, NM_EFORMAT, "%s:%zu: the first column, the word, is empty", name, line);
    if (!nm_utf8_valid(word, word_len, &bad))
        return nm_fail(diag, NM_EFORMAT, "%s:%zu: not UTF-8 at byte %zu of the line: convert the file", name, line,
                       bad + 1);
    if (tag != NULL && !nm_utf8_valid(tag, tag_len, &bad))
        return nm_fail(diag, NM_EFORMAT, "%s:%zu: the tag is not UTF-8: convert the file", name, line);
    char *copy = nm_arena_strndup(&corpus->arena, word, word_len);
    if (copy == NULL || reserve_word(corpus) != NM_OK)
        return nm_fail(diag, NM_ENOMEM, "%s:%zu: out of memory", name, line);
    int32_t number;
    enum nm_err err = parse_tag(corpus, tag, tag_len, name, line, &number, diag);
    if (err != NM_OK)
        return err;
    if (corpus->n_open == 0)
        corpus->line_open = line;
    corpus->words[corpus->n_open] = (struct nm_word){.text = copy, .len = word_len};
    corpus->tags[corpus->n_open++] = number;
    return NM_OK;
}

enum nm_err nm_corpus_end_sentence(struct nm_corpus *corpus)
{
    size_t n = corpus->n_open;
    if (n == 0)
        return NM_OK;
    if (corpus->n == corpus->cap) {
        size_t cap = corpus->cap * 2 + 256;
        struct nm_sentence *sentences = realloc(corpus->sentences, cap * sizeof(*sentences));
        if (sentences == NULL)
            return NM_ENOMEM;
        corpus->sentences = sentences;
        corpus->cap = cap;
    }
    struct nm_sentence s = {.n = n, .line = corpus->line_open};
    s.words = nm_arena_alloc(&corpus->arena, n * sizeof(*s.words));
    s.tags = nm_arena_alloc(&corpus->arena, n * sizeof(*s.tags));
    if (s.words == NULL || s.tags == NULL)
        return NM_ENOMEM;
    memcpy(s.words, corpus->words, n * sizeof(*s.words));
    memcpy(s.tags, corpus->tags, n * sizeof(*s.tags));
    corpus->sentences[corpus->n++] = s;
    corpus->n_words += n;
    corpus->n_open = 0;
    return NM_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum nm_err nm_corpus_close(struct nm_corpus *corpus)
{
    enum nm_err err = nm_corpus_end_sentence(corpus);
    if (err != NM_OK || corpus->n_types < 2)
        return err;
    const char **before = malloc(corpus->n_types * sizeof(*before));
    size_t *rank = malloc(corpus->n_types * sizeof(*rank));
    if (before != NULL && rank != NULL) {
        memcpy(before, corpus->types, corpus->n_types * sizeof(*before));
        qsort(corpus->types, corpus->n_types, sizeof(*corpus->types), by_name);
        for (size_t i = 0; i < corpus->n_types; i++)
            for (size_t k = 0; k < corpus->n_types; k++)
                if (before[i] == corpus->types[k])
                    rank[i] = k;
        for (size_t s = 0; s < corpus->n; s++)
            for (size_t i = 0; i < corpus->sentences[s].n; i++) {
                int32_t *tag = &corpus->sentences[s].tags[i];
                if (nm_tag_is_entity(*tag))
                    *tag = nm_tag_with_type(*tag, rank[nm_tag_type(*tag)]);
            }
    } else {
        err = NM_ENOMEM;
    }
    free(before);
    free(rank);
    return err;
}

uint64_t nm_corpus_digest(const struct nm_corpus *corpus)
{
    uint64_t h = 0;
    for (size_t s = 0; s < corpus->n; s++) {
        const struct nm_sentence *sentence = &corpus->sentences[s];
        h = nm_mix64(h + sentence->n);
        for (size_t i = 0; i < sentence->n; i++) {
            int32_t tag = sentence->tags[i];
            h = nm_hash64(sentence->words[i].text, sentence->words[i].len, h);
            if (tag == NM_TAG_MASKED)
                h = nm_mix64(h + 2);
            else if (nm_tag_is_entity(tag))
                h = nm_hash64(corpus->types[nm_tag_type(tag)], strlen(corpus->types[nm_tag_type(tag)]),
                              h + nm_tag_is_begin(tag));
        }
    }
    return h;
}
