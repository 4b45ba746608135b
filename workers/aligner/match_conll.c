#include "workers/aligner/match_conll.h"

#include <errno.h>
#include <string.h>

#include "common/file.h"
#include "common/utf8.h"
#include "workers/aligner/array.h"
#include "workers/aligner/bio.h"

enum { FILE_BYTES_MAX = 1 << 30 };

/* A token of the file: its place in the joined text, and its tag's in the file. */
struct row {
    size_t start, end;
    struct nm_str tag;
};

struct matching {
    struct nm_bio *bio;
    struct nm_arena arena;
    struct nm_buf text;
    struct row *rows;
    size_t n_rows, rows_cap;
    FILE *out;
};

/* One line's first and last column into the sentence. */
static enum nm_err add_row(struct matching *m, const char *line, size_t len)
{
    struct row *rows = nm_array_grow(m->rows, &m->rows_cap, m->n_rows + 1, sizeof *rows);
    if (rows == NULL)
        return NM_ENOMEM;
    m->rows = rows;
    size_t token = 0;
    while (token < len && line[token] != '\t' && line[token] != ' ')
        token++;
    size_t tag = len;
    while (tag > 0 && line[tag - 1] != '\t' && line[tag - 1] != ' ')
        tag--;
    if (token == 0 || tag <= token || tag == len)
        return NM_EFORMAT;
    enum nm_err err = m->n_rows > 0 ? nm_buf_addc(&m->text, ' ') : NM_OK;
    size_t start = m->text.len;
    if (err == NM_OK)
        err = nm_buf_add(&m->text, line, token);
    rows[m->n_rows++] = (struct row){start, m->text.len, {line + tag, len - tag}};
    return err;
}

/* The tag that the mentions give to a row: B where one begins in it, I where one goes on. */
static void row_tag(const struct nm_msg_sample *sample, const struct row *row, size_t *at, char *tag, size_t size)
{
    while (*at < sample->n_mentions && sample->mentions[*at].end <= row->start)
        ++*at;
    const struct nm_msg_mention *m = *at < sample->n_mentions ? &sample->mentions[*at] : NULL;
    if (m == NULL || m->start >= row->end)
        (void)snprintf(tag, size, "O");
    else if (m->type.len == 0)
        (void)snprintf(tag, size, NM_TAG_TEXT_MASKED);
    else
        (void)snprintf(tag, size, "%c-%s", m->start >= row->start ? 'B' : 'I', m->type.ptr);
}

static enum nm_err end_sentence(struct matching *m)
{
    if (m->n_rows == 0)
        return NM_OK;
    struct nm_msg_align align = {.text = {nm_buf_str(&m->text), m->text.len}};
    struct nm_msg_sample sample;
    const char *rule;
    const char *detail;
    nm_arena_reset(&m->arena);
    enum nm_err err = nm_bio_align(m->bio, &align, &m->arena, &sample, &rule, &detail);
    size_t at = 0;
    for (size_t i = 0; i < m->n_rows && err == NM_OK; i++) {
        const struct row *row = &m->rows[i];
        char tag[NM_NAME_MAX + 3];
        row_tag(&sample, row, &at, tag, sizeof tag);
        if (fprintf(m->out, "%.*s\t%.*s\t%s\n", (int)(row->end - row->start), m->text.data + row->start,
                    (int)row->tag.len, row->tag.ptr, tag) < 0)
            err = NM_EIO;
    }
    m->n_rows = 0;
    nm_buf_reset(&m->text);
    return err;
}

static enum nm_err walk_lines(struct matching *m, const char *path, const struct nm_buf *file, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    size_t number = 0;
    const char *end = file->data + file->len;
    for (const char *line = file->data; line != NULL && line < end && err == NM_OK;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t len = (size_t)((stop != NULL ? stop : end) - line);
        size_t used = len > 0 && line[len - 1] == '\r' ? len - 1 : len;
        number++;
        if (used > 0)
            err = add_row(m, line, used);
        else if ((err = end_sentence(m)) == NM_OK && fputc('\n', m->out) == EOF)
            err = NM_EIO;
        line += len + (stop != NULL);
    }
    if (err == NM_OK)
        err = end_sentence(m);
    if (err == NM_OK && fflush(m->out) != 0)
        err = NM_EIO;
    if (err == NM_EFORMAT)
        return nm_fail(diag, err, "%s:%zu: this line is not a token and a tag", path, number);
    if (err == NM_EIO)
        return nm_fail(diag, err, "cannot write the tags: %s", strerror(errno));
    return err == NM_OK ? NM_OK : nm_fail(diag, err, "%s:%zu: %s", path, number, nm_err_name(err));
}

enum nm_err nm_match_conll(const char *blob, const char *conll, FILE *out, struct nm_diag *diag)
{
    struct matching m = {.out = out};
    struct nm_buf file;
    size_t bad;
    nm_arena_init(&m.arena, 0);
    nm_buf_init(&m.text, NM_TEXT_MAX);
    nm_buf_init(&file, FILE_BYTES_MAX);
    struct nm_entities *entities = nm_entities_new();
    enum nm_err err = entities != NULL ? nm_file_read(blob, &file, diag) : nm_fail(diag, NM_ENOMEM, "out of memory");
    if (err == NM_OK) {
        struct nm_diag why = {""};
        err = nm_entities_from_blob(entities, nm_buf_str(&file), file.len, &why);
        if (err != NM_OK)
            (void)nm_fail(diag, err, "%s: %s", blob, why.text);
    }
    if (err == NM_OK)
        err = nm_bio_new(entities, NULL, NULL, &m.bio, diag);
    nm_buf_reset(&file);
    if (err == NM_OK)
        err = nm_file_read(conll, &file, diag);
    if (err == NM_OK && !nm_utf8_valid(nm_buf_str(&file), file.len, &bad))
        err = nm_fail(diag, NM_EFORMAT, "%s: not UTF-8 at byte %zu", conll, bad);
    if (err == NM_OK)
        err = walk_lines(&m, conll, &file, diag);
    nm_bio_destroy(&m.bio);
    nm_entities_destroy(&entities);
    nm_arena_clean_up(&m.arena);
    nm_buf_clean_up(&m.text);
    nm_buf_clean_up(&file);
    free(m.rows);
    return err;
}
