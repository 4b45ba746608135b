#include "workers/aligner/match_conll.h"

#include <errno.h>
#include <string.h>

#include "common/file.h"
#include "workers/aligner/bio.h"
#include "workers/aligner/conll.h"

enum { FILE_BYTES_MAX = 1 << 30 };

/* One sentence at a time, its tokens joined by blanks. */
struct matching {
    struct nm_bio *bio;
    struct nm_arena arena;
    struct nm_buf text;
    FILE *out;
};

/* The tag that the mentions give to bytes [start, end): B where one begins in them, I where one goes on. */
static void tag_of(const struct nm_msg_sample *sample, size_t start, size_t end, size_t *at, char *tag, size_t size)
{
    while (*at < sample->n_mentions && sample->mentions[*at].end <= start)
        ++*at;
    const struct nm_msg_mention *m = *at < sample->n_mentions ? &sample->mentions[*at] : NULL;
    if (m == NULL || m->start >= end)
        (void)snprintf(tag, size, "O");
    else if (m->type.len == 0)
        (void)snprintf(tag, size, NM_TAG_TEXT_MASKED);
    else
        (void)snprintf(tag, size, "%c-%s", m->start >= start ? 'B' : 'I', m->type.ptr);
}

static enum nm_err match_sentence(struct matching *m, const struct nm_conll_token *tokens, size_t n)
{
    enum nm_err err = NM_OK;
    nm_buf_reset(&m->text);
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        err = nm_buf_adds(&m->text, i > 0 ? " " : "");
        if (err == NM_OK)
            err = nm_buf_add(&m->text, tokens[i].text.ptr, tokens[i].text.len);
    }
    struct nm_msg_align align = {.text = {nm_buf_str(&m->text), m->text.len}};
    struct nm_msg_sample sample;
    const char *rule;
    const char *detail;
    nm_arena_reset(&m->arena);
    if (err == NM_OK)
        err = nm_bio_align(m->bio, &align, &m->arena, &sample, &rule, &detail);
    size_t at = 0;
    for (size_t i = 0, start = 0; i < n && err == NM_OK; start += tokens[i++].text.len + 1) {
        const struct nm_conll_token *t = &tokens[i];
        char tag[NM_NAME_MAX + 3];
        tag_of(&sample, start, start + t->text.len, &at, tag, sizeof tag);
        if (fprintf(m->out, "%.*s\t%.*s\t%s\n", (int)t->text.len, t->text.ptr, (int)t->tag.len, t->tag.ptr, tag) < 0)
            err = NM_EIO;
    }
    return err == NM_OK && fputc('\n', m->out) == EOF ? NM_EIO : err;
}

static enum nm_err match_all(struct matching *m, const struct nm_conll *conll, const char *path, struct nm_diag *diag)
{
    for (size_t i = 0; i < conll->n_sentences; i++) {
        const struct nm_conll_sentence *s = &conll->sentences[i];
        enum nm_err err = match_sentence(m, &conll->tokens[s->first], s->n);
        if (err != NM_OK && err != NM_EIO)
            return nm_fail(diag, err, "%s:%zu: %s", path, s->line, nm_err_name(err));
        if (err == NM_EIO)
            return nm_fail(diag, err, "cannot write the tags: %s", strerror(errno));
    }
    return fflush(m->out) == 0 ? NM_OK : nm_fail(diag, NM_EIO, "cannot write the tags: %s", strerror(errno));
}

static enum nm_err read_entities(const char *blob, struct nm_entities *entities, struct nm_diag *diag)
{
    struct nm_buf file;
    struct nm_diag why = {""};
    nm_buf_init(&file, FILE_BYTES_MAX);
    enum nm_err err = nm_file_read(blob, &file, diag);
    if (err == NM_OK && (err = nm_entities_from_blob(entities, nm_buf_str(&file), file.len, &why)) != NM_OK)
        (void)nm_fail(diag, err, "%s: %s", blob, why.text);
    nm_buf_clean_up(&file);
    return err;
}

enum nm_err nm_match_conll(const char *blob, const char *path, FILE *out, struct nm_diag *diag)
{
    struct matching m = {.out = out};
    struct nm_conll conll;
    nm_arena_init(&m.arena, 0);
    nm_buf_init(&m.text, NM_TEXT_MAX);
    nm_conll_init(&conll);
    struct nm_entities *entities = nm_entities_new();
    enum nm_err err =
        entities != NULL ? read_entities(blob, entities, diag) : nm_fail(diag, NM_ENOMEM, "out of memory");
    if (err == NM_OK)
        err = nm_bio_new(entities, NULL, NULL, &m.bio, diag);
    if (err == NM_OK)
        err = nm_conll_read(&conll, path, diag);
    if (err == NM_OK)
        err = match_all(&m, &conll, path, diag);
    nm_bio_destroy(&m.bio);
    nm_entities_destroy(&entities);
    nm_conll_clean_up(&conll);
    nm_arena_clean_up(&m.arena);
    nm_buf_clean_up(&m.text);
    return err;
}
