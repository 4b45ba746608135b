/* conll.c - the CoNLL reader of corpus.h. */
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "workers/trainer/corpus.h"

enum { FILE_MAX = 1 << 30 };

struct columns {
    const char *first, *last; /* last is NULL where there is one column only */
    size_t first_len, last_len;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct columns split(const char *line, size_t len)
{
    while (len > 0 && is_blank(line[len - 1]))
        len--;
    struct columns c = {.first = line};
    const char *tab = memchr(line, '\t', len);
    const char separator = tab != NULL ? '\t' : ' ';
    if (tab == NULL)
        while (c.first_len + (size_t)(c.first - line) < len && *c.first == ' ')
            c.first++;
    const char *end = line + len, *cut = memchr(c.first, separator, (size_t)(end - c.first));
    c.first_len = (size_t)((cut != NULL ? cut : end) - c.first);
    if (cut == NULL)
        return c;
    c.last = end;
    while (c.last[-1] != separator)
        c.last--;
    c.last_len = (size_t)(end - c.last);
    return c;
}

static enum nm_err parse_line(struct nm_corpus *corpus, const char *name, size_t number, const char *line, size_t len,
                              bool tagged, struct nm_diag *diag)
{
    size_t blank = 0;
    while (blank < len && is_blank(line[blank]))
        blank++;
    if (blank == len || (len >= 10 && memcmp(line, "-DOCSTART-", 10) == 0))
        return nm_corpus_end_sentence(corpus) == NM_OK ? NM_OK : nm_fail(diag, NM_ENOMEM, "%s: out of memory", name);
    struct columns c = split(line, len);
    if (c.last == NULL && tagged)
        return nm_fail(diag, NM_EFORMAT, "%s:%zu: no tag in this line: it needs two columns, a word and its tag",
                       name, number);
    return nm_corpus_add_word(corpus, c.first, c.first_len, c.last, c.last_len, name, number, diag);
}

enum nm_err nm_corpus_parse_conll(struct nm_corpus *corpus, const char *name, const char *data, size_t len,
                                  bool tagged, struct nm_diag *diag)
{
    const char *at = data, *end = data + len;
    size_t before = corpus->n;
    if (len >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    for (size_t number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t line = (size_t)((newline != NULL ? newline : end) - at);
        enum nm_err err =
            parse_line(corpus, name, number, at, line > 0 && at[line - 1] == '\r' ? line - 1 : line, tagged, diag);
        if (err != NM_OK)
            return err;
        at += line + (newline != NULL);
    }
    if (nm_corpus_close(corpus) != NM_OK)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", name);
    if (corpus->n == before)
        return nm_fail(diag, NM_EFORMAT, "%s: no sentence in it", name);
    return NM_OK;
}

enum nm_err nm_corpus_read_conll(struct nm_corpus *corpus, const char *path, bool tagged, struct nm_diag *diag)
{
    struct nm_buf buf;
    nm_buf_init(&buf, FILE_MAX);
    enum nm_err err = nm_file_read(path, &buf, diag);
    if (err == NM_OK)
        err = nm_corpus_parse_conll(corpus, path, nm_buf_str(&buf), buf.len, tagged, diag);
    nm_buf_clean_up(&buf);
    return err;
}
