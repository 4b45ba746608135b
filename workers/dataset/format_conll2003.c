/* format_conll2003.c - four columns, as in CoNLL-2003's shared task: word, part of speech, chunk, entity.
 *
 * The middle two are not known and hold what Label Studio's own export writes there.  Documents begin with
 * -DOCSTART-.  Tags are BIO (IOB2), as everybody's readers of that corpus expect by now.
 */
#include <stdlib.h>
#include <string.h>

#include "workers/dataset/format.h"

struct own {
    char *document; /* of the record before; NULL: there was none */
};

static enum nm_err begin(struct nm_writer *w, struct nm_diag *diag)
{
    w->own = calloc(1, sizeof(struct own));
    return w->own != NULL ? NM_OK : nm_fail(diag, NM_ENOMEM, "export: out of memory");
}

static enum nm_err add_document(struct nm_writer *w, struct nm_str document)
{
    struct own *own = w->own;
    if (own->document != NULL && strlen(own->document) == document.len &&
        memcmp(own->document, document.ptr, document.len) == 0)
        return NM_OK;
    free(own->document);
    own->document = strndup(document.ptr, document.len);
    return own->document != NULL ? nm_buf_adds(&w->buf, "-DOCSTART- -X- -X- O\n\n") : NM_ENOMEM;
}

static enum nm_err add_sample(struct nm_writer *w, const struct nm_msg_sample *sample)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < sample->n_tokens && err == NM_OK; i++) {
        const struct nm_msg_token *token = &sample->tokens[i];
        err = nm_buf_add(&w->buf, sample->text.ptr + token->start, token->end - token->start);
        if (err == NM_OK)
            err = nm_buf_addf(&w->buf, " -X- _ %.*s\n", (int)token->tag.len, token->tag.ptr);
    }
    return err == NM_OK ? nm_buf_addc(&w->buf, '\n') : err;
}

static enum nm_err record(struct nm_writer *w, const struct nm_record *record, struct nm_diag *diag)
{
    if (!nm_format_fits(&record->sample, " \t\n\v\f\r"))
        return nm_format_misfit(record, "holds a blank, which parts the columns of conll2003: use conll", diag);
    enum nm_err err = add_document(w, record->document);
    if (err == NM_OK)
        err = add_sample(w, &record->sample);
    return nm_format_done(w, record, err, diag);
}

static enum nm_err end(struct nm_writer *w, struct nm_diag *diag)
{
    (void)diag;
    struct own *own = w->own;
    if (own != NULL)
        free(own->document);
    free(own);
    w->own = NULL;
    return NM_OK;
}

const struct nm_format nm_format_conll2003 = {.name = "conll2003",
                                              .summary = "four columns by blanks, as CoNLL-2003: token -X- _ tag",
                                              .begin = begin,
                                              .record = record,
                                              .end = end};
