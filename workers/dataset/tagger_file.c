#include "workers/dataset/tagger_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 4 };

enum nm_err nm_tagger_file_open(struct nm_tagger_file *file, const char *path, struct nm_diag *diag)
{
    *file = (struct nm_tagger_file){.scored = true};
    return nm_lines_open(&file->lines, path, diag);
}

void nm_tagger_file_close(struct nm_tagger_file *file)
{
    nm_lines_close(&file->lines);
}

static size_t split(const struct nm_lines *lines, struct nm_str columns[COLUMNS])
{
    static const char separators[] = " \t";
    size_t n = 0;
    for (const char *at = lines->data + strspn(lines->data, separators); *at != '\0' && n < COLUMNS;) {
        size_t len = strcspn(at, separators);
        columns[n++] = (struct nm_str){at, len};
        at += len + strspn(at + len, separators);
    }
    return n;
}

/* The columns of the next word; *n 0: the file has ended. */
static enum nm_err next_word(struct nm_tagger_file *file, struct nm_str columns[COLUMNS], size_t *n,
                             struct nm_diag *diag)
{
    enum nm_err err;
    *n = 0;
    while (*n == 0 && (err = nm_lines_next(&file->lines, diag)) == NM_OK)
        if (strncmp(file->lines.data, "-DOCSTART-", 10) != 0)
            *n = split(&file->lines, columns);
    return *n > 0 || err == NM_ENOENT ? NM_OK : err;
}

/* The last column as a probability. */
static bool is_score(struct nm_str column, double *score)
{
    char *end;
    *score = strtod(column.ptr, &end);
    return end == column.ptr + column.len && *score >= 0 && *score <= 1;
}

static enum nm_err fail(const struct nm_tagger_file *file, const struct nm_record *record, struct nm_str word,
                        struct nm_diag *diag)
{
    return nm_fail(diag, NM_EFORMAT,
                   "%s:%" PRIu64 ": this is not the word \"%.*s\" and its tag: a tagger's file has to hold the words "
                   "of the file that is matched (%s)",
                   file->lines.name, file->lines.number, (int)word.len, word.ptr, record->source.ptr);
}

/* One word's tag, copied, and its probability. */
static enum nm_err read_word(struct nm_tagger_file *file, const struct nm_record *record, struct nm_str word,
                             struct nm_arena *arena, struct nm_str *tag, double *score, struct nm_diag *diag)
{
    struct nm_str columns[COLUMNS];
    size_t n;
    enum nm_err err = next_word(file, columns, &n, diag);
    if (err != NM_OK)
        return err;
    if (n < 2 || columns[0].len != word.len || memcmp(columns[0].ptr, word.ptr, word.len) != 0)
        return fail(file, record, word, diag);
    bool scored = n > 2 && is_score(columns[n - 1], score);
    file->scored = file->scored && scored;
    *score = scored ? *score : 1;
    const struct nm_str *column = &columns[n - 1 - scored];
    const char *copy = nm_arena_strndup(arena, column->ptr, column->len);
    *tag = (struct nm_str){copy, column->len};
    return copy != NULL ? NM_OK : nm_fail(diag, NM_ENOMEM, "out of memory");
}

enum nm_err nm_tagger_file_spans(struct nm_tagger_file *file, const struct nm_record *record, struct nm_arena *arena,
                                 struct nm_tagger_span **spans, size_t *n, struct nm_diag *diag)
{
    struct nm_record tagged = *record;
    struct nm_msg_sample *sample = &tagged.sample;
    size_t bad = 0;
    double *scores = nm_arena_alloc(arena, (sample->n_tokens + 1) * sizeof *scores);
    sample->tokens = nm_arena_alloc(arena, (sample->n_tokens + 1) * sizeof *sample->tokens);
    if (scores == NULL || sample->tokens == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < sample->n_tokens && err == NM_OK; i++) {
        struct nm_msg_token *t = &sample->tokens[i];
        *t = record->sample.tokens[i];
        struct nm_str word = {sample->text.ptr + t->start, t->end - t->start};
        err = read_word(file, record, word, arena, &t->tag, &scores[i], diag);
    }
    if (err == NM_OK && (err = nm_record_mark(arena, &tagged, &bad)) == NM_EFORMAT)
        return nm_fail(diag, err, "%s:%" PRIu64 ": \"%s\", in the sentence that ends here, is no tag",
                       file->lines.name, file->lines.number, sample->tokens[bad].tag.ptr);
    *n = err == NM_OK ? sample->n_mentions : 0;
    *spans = nm_arena_alloc(arena, (*n + 1) * sizeof **spans);
    if (err != NM_OK || *spans == NULL)
        return err != NM_OK ? err : nm_fail(diag, NM_ENOMEM, "out of memory");
    for (size_t i = 0, k = 0; i < *n; i++) {
        struct nm_tagger_span *span = &(*spans)[i];
        *span = (struct nm_tagger_span){sample->mentions[i], 1};
        for (; k < sample->n_tokens && sample->tokens[k].start < span->mention.end; k++)
            if (sample->tokens[k].start >= span->mention.start && scores[k] < span->score)
                span->score = scores[k];
    }
    return NM_OK;
}

enum nm_err nm_tagger_file_end(struct nm_tagger_file *file, struct nm_diag *diag)
{
    struct nm_str columns[COLUMNS];
    size_t n;
    enum nm_err err = next_word(file, columns, &n, diag);
    return err == NM_OK && n > 0 ? nm_fail(diag, NM_EFORMAT,
                                           "%s:%" PRIu64 ": words behind the last sentence of the "
                                           "file that is matched",
                                           file->lines.name, file->lines.number)
                                 : err;
}
