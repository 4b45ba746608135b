#include "workers/dataset/format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "workers/aligner/write_sample.h"

const struct nm_format *const nm_formats[] = {
    &nm_format_conll,       &nm_format_conll2003, &nm_format_jsonl, &nm_format_spacy,
    &nm_format_labelstudio, &nm_format_doccano,   &nm_format_brat,  NULL,
};

const struct nm_format *nm_format_find(const char *name)
{
    for (size_t i = 0; nm_formats[i] != NULL; i++)
        if (strcmp(nm_formats[i]->name, name) == 0)
            return nm_formats[i];
    return NULL;
}

const struct nm_format *nm_format_find_stream(const char *name)
{
    const struct nm_format *format = nm_format_find(name);
    return format != NULL && !format->directory && !format->wants_types ? format : NULL;
}

/* ---- types ----------------------------------------------------------------------------------------------------- */

static enum nm_err add_type(struct nm_types *types, struct nm_str name)
{
    size_t low = 0, high = types->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strncmp(types->names[mid], name.ptr, name.len);
        if (order == 0 && types->names[mid][name.len] == '\0')
            return NM_OK;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    char **names = realloc(types->names, (types->n + 1) * sizeof *names);
    char *copy = strndup(name.ptr, name.len);
    if (names != NULL)
        types->names = names;
    if (names == NULL || copy == NULL) {
        free(copy);
        return NM_ENOMEM;
    }
    memmove(names + low + 1, names + low, (types->n - low) * sizeof *names);
    names[low] = copy;
    types->n++;
    return NM_OK;
}

enum nm_err nm_types_add(struct nm_types *types, const struct nm_record *record)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < record->sample.n_mentions && err == NM_OK; i++) {
        const struct nm_msg_mention *mention = &record->sample.mentions[i];
        if (nm_mention_masked(mention))
            types->masked = true;
        else
            err = add_type(types, mention->type);
    }
    return err;
}

void nm_types_clean_up(struct nm_types *types)
{
    for (size_t i = 0; i < types->n; i++)
        free(types->names[i]);
    free(types->names);
    *types = (struct nm_types){0};
}

/* ---- what writers share ---------------------------------------------------------------------------------------- */

enum nm_err nm_format_flush(struct nm_writer *w, struct nm_diag *diag)
{
    bool whole = fwrite(nm_buf_str(&w->buf), 1, w->buf.len, w->file) == w->buf.len;
    int errnum = errno;
    nm_buf_reset(&w->buf);
    return whole ? NM_OK : nm_fail(diag, nm_err_from_errno(errnum), "cannot write %s: %s", w->name, strerror(errnum));
}

enum nm_err nm_format_done(struct nm_writer *w, const struct nm_record *record, enum nm_err err, struct nm_diag *diag)
{
    if (err == NM_OK)
        return nm_format_flush(w, diag);
    if (record->source.len > 0)
        return nm_fail(diag, err, "%s cannot be written: %s", record->source.ptr, nm_err_name(err));
    return nm_fail(diag, err, "the sample of task %" PRIu64 " cannot be written: %s", record->sample.task,
                   nm_err_name(err));
}

static bool is_column(const char *s, size_t len, const char *separators)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] != '\0' && strchr(separators, s[i]) != NULL)
            return false;
    return len > 0;
}

bool nm_format_fits(const struct nm_msg_sample *sample, const char *separators)
{
    for (size_t i = 0; i < sample->n_tokens; i++) {
        const struct nm_msg_token *token = &sample->tokens[i];
        if (token->start >= token->end || token->end > sample->text.len ||
            !is_column(sample->text.ptr + token->start, token->end - token->start, separators) ||
            !is_column(token->tag.ptr, token->tag.len, separators))
            return false;
    }
    return true;
}

enum nm_err nm_format_misfit(const struct nm_record *record, const char *what, struct nm_diag *diag)
{
    return nm_fail(diag, NM_EFORMAT, "%s%stask %" PRIu64 ": a token or type %s",
                   record->source.len > 0 ? record->source.ptr : "", record->source.len > 0 ? ": " : "",
                   record->sample.task, what);
}

/* ---- CoNLL, two columns; JSON lines ---------------------------------------------------------------------------- */

static enum nm_err write_conll(struct nm_writer *w, const struct nm_record *record, struct nm_diag *diag)
{
    if (!nm_format_fits(&record->sample, "\t\n\r"))
        return nm_format_misfit(record, "holds a tab or a line end, which no column can", diag);
    return nm_format_done(w, record, nm_write_conll(&record->sample, &w->buf), diag);
}

const struct nm_format nm_format_conll = {
    .name = "conll", .summary = "token TAB tag, a blank line behind each sample", .record = write_conll};

enum nm_err nm_record_write_json(const struct nm_record *record, struct nm_buf *out)
{
    enum nm_err err = nm_write_json(&record->sample, out);
    const struct nm_str texts[] = {record->document, record->source};
    for (size_t i = 0; i < 2 && err == NM_OK; i++) {
        if (texts[i].len == 0)
            continue;
        out->len -= 2; /* "}\n" comes again */
        err = nm_buf_adds(out, i == 0 ? ",\"document\":" : ",\"source\":");
        if (err == NM_OK)
            err = nm_json_add_string(out, texts[i].ptr, texts[i].len);
        if (err == NM_OK)
            err = nm_buf_adds(out, "}\n");
    }
    return err;
}

static enum nm_err write_jsonl(struct nm_writer *w, const struct nm_record *record, struct nm_diag *diag)
{
    return nm_format_done(w, record, nm_record_write_json(record, &w->buf), diag);
}

const struct nm_format nm_format_jsonl = {
    .name = "jsonl",
    .summary = "one object a line, with offsets and provenance: schemas/sample.schema.json",
    .record = write_jsonl};
