#include "workers/aligner/conll.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/utf8.h"
#include "workers/aligner/array.h"

enum { FILE_BYTES_MAX = 1 << 30, COLUMNS = 3 };

void nm_conll_init(struct nm_conll *conll)
{
    *conll = (struct nm_conll){0};
    nm_buf_init(&conll->file, FILE_BYTES_MAX);
}

void nm_conll_clean_up(struct nm_conll *conll)
{
    free(conll->tokens);
    free(conll->sentences);
    nm_buf_clean_up(&conll->file);
    nm_conll_init(conll);
}

/* The next column of line[*at..len), cut at separator; runs of spaces are one. */
static struct nm_str column(const char *line, size_t len, size_t *at, char separator)
{
    while (separator == ' ' && *at < len && line[*at] == ' ')
        ++*at;
    const char *start = line + *at;
    const char *stop = memchr(start, separator, len - *at);
    struct nm_str text = {start, stop != NULL ? (size_t)(stop - start) : len - *at};
    *at += text.len + (stop != NULL);
    return text;
}

static bool number(struct nm_str text, uint64_t *value)
{
    enum { DIGITS = 18 };
    *value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        *value = *value * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return text.len > 0 && text.len <= DIGITS;
}

/* False: it has one column only. */
static bool read_token(const char *line, size_t len, struct nm_conll_token *token)
{
    char separator = memchr(line, '\t', len) != NULL ? '\t' : ' ';
    struct nm_str columns[COLUMNS];
    size_t n = 0;
    for (size_t at = 0; at < len; n++) { /* of more than three the last one counts */
        size_t place = n < COLUMNS ? n : COLUMNS - 1;
        columns[place] = column(line, len, &at, separator);
        if (separator == ' ' && columns[place].len == 0)
            break;
    }
    if (n < 2 || columns[0].len == 0)
        return false;
    *token = (struct nm_conll_token){columns[0], columns[n < COLUMNS ? n - 1 : COLUMNS - 1], NM_CONLL_NO_OFFSET};
    if (n == COLUMNS && !number(columns[1], &token->offset))
        token->offset = NM_CONLL_NO_OFFSET;
    return token->tag.len > 0;
}

static enum nm_err add_token(struct nm_conll *c, const struct nm_conll_token *token, size_t line, bool *open)
{
    struct nm_conll_token *tokens = nm_array_grow(c->tokens, &c->tokens_cap, c->n_tokens + 1, sizeof *tokens);
    if (tokens == NULL)
        return NM_ENOMEM;
    c->tokens = tokens;
    if (!*open) {
        struct nm_conll_sentence *sentences =
            nm_array_grow(c->sentences, &c->sentences_cap, c->n_sentences + 1, sizeof *sentences);
        if (sentences == NULL)
            return NM_ENOMEM;
        c->sentences = sentences;
        sentences[c->n_sentences++] = (struct nm_conll_sentence){c->n_tokens, 0, line};
        *open = true;
    }
    tokens[c->n_tokens++] = *token;
    c->sentences[c->n_sentences - 1].n++;
    return NM_OK;
}

static bool ends_sentence(const char *line, size_t len)
{
    size_t blank = 0;
    while (blank < len && (line[blank] == ' ' || line[blank] == '\t'))
        blank++;
    return blank == len || (len >= 10 && memcmp(line, "-DOCSTART-", 10) == 0);
}

enum nm_err nm_conll_parse(struct nm_conll *c, const char *data, size_t len, const char *name, struct nm_diag *diag)
{
    size_t before = c->n_sentences;
    size_t bad;
    bool open = false;
    if (!nm_utf8_valid(data, len, &bad))
        return nm_fail(diag, NM_EFORMAT, "%s: not UTF-8 at byte %zu", name, bad);
    size_t at = len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    for (size_t line = 1; at < len; line++) {
        const char *stop = memchr(data + at, '\n', len - at);
        size_t length = stop != NULL ? (size_t)(stop - data) - at : len - at;
        size_t used = length > 0 && data[at + length - 1] == '\r' ? length - 1 : length;
        struct nm_conll_token token;
        if (ends_sentence(data + at, used))
            open = false;
        else if (!read_token(data + at, used, &token))
            return nm_fail(diag, NM_EFORMAT, "%s:%zu: this line is not a token and a tag", name, line);
        else if (add_token(c, &token, line, &open) != NM_OK)
            return nm_fail(diag, NM_ENOMEM, "%s:%zu: out of memory", name, line);
        at += length + (stop != NULL);
    }
    return c->n_sentences > before ? NM_OK : nm_fail(diag, NM_EFORMAT, "%s: no sentence in it", name);
}

enum nm_err nm_conll_read(struct nm_conll *c, const char *path, struct nm_diag *diag)
{
    enum nm_err err = nm_file_read(path, &c->file, diag);
    return err == NM_OK ? nm_conll_parse(c, nm_buf_str(&c->file), c->file.len, path, diag) : err;
}
