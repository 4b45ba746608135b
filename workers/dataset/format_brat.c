/* format_brat.c - brat's standoff: a directory of NAME.txt and NAME.ann, and annotation.conf with the types.
 *
 * A text file holds a sample a line, for brat shows a line as a sentence: an imported document as it was, or
 * SAMPLES_PER_FILE generated samples, more than which brat draws slowly.  brat's names are letters, digits, '-' and
 * '_'; other characters of a type become '_'.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/utf8.h"
#include "workers/dataset/format.h"

enum { SAMPLES_PER_FILE = 50, PATH_BYTES = 4096 };

struct own {
    char *document; /* whose pair is open; NULL: none is */
    FILE *text, *marks;
    uint64_t samples, points, marked; /* in the open pair */
    uint64_t files;
};

static void add_name(char *out, size_t size, const char *type, size_t len)
{
    size_t n = len < size - 1 ? len : size - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = isalnum((unsigned char)type[i]) || type[i] == '-' || type[i] == '_' ? type[i] : '_';
    out[n] = '\0';
}

/* The types as brat spells them; two that it would spell alike are refused. */
static enum nm_err add_types(struct nm_writer *w, struct nm_buf *conf, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    char name[NM_NAME_MAX + 1], other[NM_NAME_MAX + 1];
    for (size_t i = 0; i < w->types->n && err == NM_OK; i++) {
        add_name(name, sizeof name, w->types->names[i], strlen(w->types->names[i]));
        for (size_t k = 0; k < i; k++) {
            add_name(other, sizeof other, w->types->names[k], strlen(w->types->names[k]));
            if (strcmp(name, other) == 0)
                return nm_fail(diag, NM_EFORMAT,
                               "brat knows letters, digits, - and _ only: the types '%s' and '%s' "
                               "would both be %s",
                               w->types->names[k], w->types->names[i], name);
        }
        err = nm_buf_addf(conf, "%s\n", name);
    }
    return err == NM_OK && w->types->masked ? nm_buf_adds(conf, NM_MASKED_LABEL "\n") : err;
}

static enum nm_err begin(struct nm_writer *w, struct nm_diag *diag)
{
    char path[PATH_BYTES];
    struct nm_buf conf;
    nm_buf_init(&conf, 1 << 20);
    w->own = calloc(1, sizeof(struct own));
    enum nm_err err = w->own != NULL ? NM_OK : NM_ENOMEM;
    if (err == NM_OK)
        err = nm_buf_adds(&conf, "[entities]\n");
    diag->text[0] = '\0';
    if (err == NM_OK)
        err = add_types(w, &conf, diag);
    if (err == NM_OK)
        err = nm_buf_adds(&conf, "\n[relations]\n\n[events]\n\n[attributes]\n");
    if (err == NM_OK)
        err = nm_file_join(w->dir, "annotation.conf", path, sizeof path);
    if (err == NM_OK)
        err = nm_file_write_atomic(path, nm_buf_str(&conf), conf.len, diag);
    nm_buf_clean_up(&conf);
    return err == NM_OK || diag->text[0] != '\0' ? err : nm_fail(diag, err, "%s: %s", w->name, nm_err_name(err));
}

static enum nm_err close_pair(struct nm_writer *w, struct nm_diag *diag)
{
    struct own *own = w->own;
    bool failed = false;
    if (own->text != NULL && fclose(own->text) != 0)
        failed = true;
    if (own->marks != NULL && fclose(own->marks) != 0)
        failed = true;
    int errnum = errno;
    free(own->document);
    own->text = own->marks = NULL;
    own->document = NULL;
    own->samples = own->points = own->marked = 0;
    return failed ? nm_fail(diag, nm_err_from_errno(errnum), "cannot write %s: %s", w->name, strerror(errnum))
                  : NM_OK;
}

static FILE *open_in(const struct nm_writer *w, const char *name, const char *suffix)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/%s%s", w->dir, name, suffix);
    return n > 0 && (size_t)n < sizeof path ? fopen(path, "wxe") : NULL;
}

/* A pair of a new name: the document's, with its place behind it where that one is taken already. */
static enum nm_err open_pair(struct nm_writer *w, struct nm_str document, struct nm_diag *diag)
{
    struct own *own = w->own;
    char name[160], stem[120] = "samples";
    own->files++;
    if (document.len > 0)
        add_name(stem, sizeof stem, document.ptr, document.len);
    (void)snprintf(name, sizeof name, "%s", stem);
    own->text = document.len > 0 ? open_in(w, name, ".txt") : NULL;
    if (own->text == NULL && (document.len == 0 || errno == EEXIST)) {
        (void)snprintf(name, sizeof name, "%s-%06" PRIu64, stem, own->files);
        own->text = open_in(w, name, ".txt");
    }
    own->marks = own->text != NULL ? open_in(w, name, ".ann") : NULL;
    own->document = strndup(document.ptr, document.len);
    if (own->marks == NULL || own->document == NULL)
        return nm_fail(diag, nm_err_from_errno(errno), "cannot write %s/%s.ann: %s", w->name, name, strerror(errno));
    return NM_OK;
}

static bool belongs(const struct own *own, struct nm_str document)
{
    if (own->document == NULL || strlen(own->document) != document.len)
        return false;
    return memcmp(own->document, document.ptr, document.len) == 0 &&
           (document.len > 0 || own->samples < SAMPLES_PER_FILE);
}

/* Bytes of the text with line ends as blanks: one for one, so offsets stay. */
static void put_text(FILE *file, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        (void)putc(s[i] == '\n' || s[i] == '\r' ? ' ' : s[i], file);
}

static enum nm_err record(struct nm_writer *w, const struct nm_record *record, struct nm_diag *diag)
{
    const struct nm_msg_sample *sample = &record->sample;
    struct nm_utf8_counter points = {.s = sample->text.ptr};
    struct own *own = w->own;
    enum nm_err err = NM_OK;
    if (!belongs(own, record->document)) {
        err = close_pair(w, diag);
        if (err == NM_OK)
            err = open_pair(w, record->document, diag);
        if (err != NM_OK)
            return err;
    }
    for (size_t i = 0; i < sample->n_mentions; i++) {
        const struct nm_msg_mention *mention = &sample->mentions[i];
        char name[NM_NAME_MAX + 1] = NM_MASKED_LABEL;
        if (mention->start >= mention->end || mention->end > sample->text.len)
            return nm_format_done(w, record, NM_EFORMAT, diag);
        if (!nm_mention_masked(mention))
            add_name(name, sizeof name, mention->type.ptr, mention->type.len);
        uint64_t start = own->points + nm_utf8_count_to(&points, mention->start);
        uint64_t end = own->points + nm_utf8_count_to(&points, mention->end);
        fprintf(own->marks, "T%" PRIu64 "\t%s %" PRIu64 " %" PRIu64 "\t", ++own->marked, name, start, end);
        put_text(own->marks, sample->text.ptr + mention->start, mention->end - mention->start);
        (void)putc('\n', own->marks);
    }
    put_text(own->text, sample->text.ptr, sample->text.len);
    (void)putc('\n', own->text);
    own->points += nm_utf8_count_to(&points, sample->text.len) + 1;
    own->samples++;
    if (ferror(own->text) || ferror(own->marks))
        return nm_fail(diag, nm_err_from_errno(errno), "cannot write %s: %s", w->name, strerror(errno));
    return NM_OK;
}

static enum nm_err end(struct nm_writer *w, struct nm_diag *diag)
{
    enum nm_err err = w->own != NULL ? close_pair(w, diag) : NM_OK;
    free(w->own);
    w->own = NULL;
    return err;
}

const struct nm_format nm_format_brat = {.name = "brat",
                                         .summary = "a directory of brat's .txt and .ann, and annotation.conf",
                                         .directory = true,
                                         .wants_types = true,
                                         .begin = begin,
                                         .record = record,
                                         .end = end};
