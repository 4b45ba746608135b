/* format_json.c - the JSON forms of other tools: spaCy's, Label Studio's, doccano's. */
#include <inttypes.h>

#include "common/json.h"
#include "common/utf8.h"
#include "workers/dataset/format.h"

/* Appending that stops at the first error. */
struct json_out {
    struct nm_buf *buf;
    enum nm_err err;
};

static void add(struct json_out *o, const char *s)
{
    if (o->err == NM_OK)
        o->err = nm_buf_adds(o->buf, s);
}

static void add_number(struct json_out *o, const char *before, uint64_t number)
{
    if (o->err == NM_OK)
        o->err = nm_buf_addf(o->buf, "%s%" PRIu64, before, number);
}

static void add_string(struct json_out *o, const char *before, const char *s, size_t len)
{
    add(o, before);
    if (o->err == NM_OK)
        o->err = nm_json_add_string(o->buf, s, len);
}

static bool in_text(const struct nm_msg_sample *sample, uint64_t start, uint64_t end)
{
    return start < end && end <= sample->text.len;
}

static enum nm_err begin_array(struct nm_writer *w, struct nm_diag *diag)
{
    return nm_buf_addc(&w->buf, '[') == NM_OK ? nm_format_flush(w, diag)
                                              : nm_fail(diag, NM_ENOMEM, "export: out of memory");
}

static enum nm_err end_array(struct nm_writer *w, struct nm_diag *diag)
{
    return nm_buf_adds(&w->buf, "\n]\n") == NM_OK ? nm_format_flush(w, diag)
                                                  : nm_fail(diag, NM_ENOMEM, "export: out of memory");
}

/* ---- spaCy ----------------------------------------------------------------------------------------------------- */

/* BIO as BILUO, which spaCy's converter reads: does the next token go on with this one's mention? */
static char biluo(const struct nm_msg_sample *sample, size_t i)
{
    const char *tag = sample->tokens[i].tag.ptr;
    bool goes_on = i + 1 < sample->n_tokens && sample->tokens[i + 1].tag.ptr[0] == 'I';
    if (tag[0] == 'B')
        return goes_on ? 'B' : 'U';
    return goes_on ? 'I' : 'L';
}

static enum nm_err write_spacy(struct nm_writer *w, const struct nm_record *record, struct nm_diag *diag)
{
    const struct nm_msg_sample *sample = &record->sample;
    struct json_out o = {.buf = &w->buf};
    add_number(&o, w->written > 0 ? ",\n{\"id\":" : "\n{\"id\":", w->written);
    add_string(&o, ",\"paragraphs\":[{\"raw\":", sample->text.ptr, sample->text.len);
    add(&o, ",\"sentences\":[{\"tokens\":[");
    for (size_t i = 0; i < sample->n_tokens && o.err == NM_OK; i++) {
        const struct nm_msg_token *token = &sample->tokens[i];
        if (!in_text(sample, token->start, token->end)) {
            o.err = NM_EFORMAT;
            break;
        }
        add_number(&o, i > 0 ? ",{\"id\":" : "{\"id\":", i);
        add_string(&o, ",\"orth\":", sample->text.ptr + token->start, token->end - token->start);
        if (token->tag.len < 3) {
            add_string(&o, ",\"ner\":", token->tag.ptr, token->tag.len);
        } else {
            char tag[NM_NAME_MAX + 8];
            int n =
                snprintf(tag, sizeof tag, "%c-%.*s", biluo(sample, i), (int)token->tag.len - 2, token->tag.ptr + 2);
            add_string(&o, ",\"ner\":", tag, (size_t)n);
        }
        add(&o, "}");
    }
    add(&o, "],\"brackets\":[]}],\"cats\":[]}]}");
    return nm_format_done(w, record, o.err, diag);
}

const struct nm_format nm_format_spacy = {
    .name = "spacy",
    .summary = "spaCy's JSON: 'spacy convert FILE.json DIR --converter json' makes a DocBin of it",
    .begin = begin_array,
    .record = write_spacy,
    .end = end_array};

/* ---- Label Studio ---------------------------------------------------------------------------------------------- */

static void add_meta(struct json_out *o, const struct nm_record *record)
{
    add_number(o, ",\"nermill_task\":", record->sample.task);
    if (record->document.len > 0)
        add_string(o, ",\"document\":", record->document.ptr, record->document.len);
    if (record->source.len > 0)
        add_string(o, ",\"source\":", record->source.ptr, record->source.len);
}

static void add_label(struct json_out *o, const char *before, const struct nm_msg_mention *mention)
{
    struct nm_str type = nm_mention_masked(mention) ? nm_str(NM_MASKED_LABEL) : mention->type;
    add_string(o, before, type.ptr, type.len);
}

/* A task: the text, and our labels as a prediction, which annotators start from. */
static enum nm_err write_labelstudio(struct nm_writer *w, const struct nm_record *record, struct nm_diag *diag)
{
    const struct nm_msg_sample *sample = &record->sample;
    struct nm_utf8_counter points = {.s = sample->text.ptr};
    struct json_out o = {.buf = &w->buf};
    add(&o, w->written > 0 ? ",\n" : "\n");
    add_string(&o, "{\"data\":{\"text\":", sample->text.ptr, sample->text.len);
    add(&o, "},\"meta\":{\"tool\":\"nermill\"");
    add_meta(&o, record);
    add_string(&o, "},\"predictions\":[{\"model_version\":", sample->model.len > 0 ? sample->model.ptr : "nermill",
               sample->model.len > 0 ? sample->model.len : 7);
    add(&o, ",\"result\":[");
    for (size_t i = 0; i < sample->n_mentions && o.err == NM_OK; i++) {
        const struct nm_msg_mention *mention = &sample->mentions[i];
        if (!in_text(sample, mention->start, mention->end)) {
            o.err = NM_EFORMAT;
            break;
        }
        add_number(&o, i > 0 ? ",{\"id\":\"m" : "{\"id\":\"m", i);
        add(&o, "\",\"from_name\":\"label\",\"to_name\":\"text\",\"type\":\"labels\",");
        add_number(&o, "\"value\":{\"start\":", nm_utf8_count_to(&points, mention->start));
        add_number(&o, ",\"end\":", nm_utf8_count_to(&points, mention->end));
        add_string(&o, ",\"text\":", sample->text.ptr + mention->start, mention->end - mention->start);
        add_label(&o, ",\"labels\":[", mention);
        add(&o, "]}}");
    }
    add(&o, "]}]}");
    return nm_format_done(w, record, o.err, diag);
}

const struct nm_format nm_format_labelstudio = {
    .name = "labelstudio",
    .summary = "Label Studio tasks with our labels as predictions (controls: label, text)",
    .begin = begin_array,
    .record = write_labelstudio,
    .end = end_array};

/* ---- doccano --------------------------------------------------------------------------------------------------- */

static enum nm_err write_doccano(struct nm_writer *w, const struct nm_record *record, struct nm_diag *diag)
{
    const struct nm_msg_sample *sample = &record->sample;
    struct nm_utf8_counter points = {.s = sample->text.ptr};
    struct json_out o = {.buf = &w->buf};
    add_string(&o, "{\"text\":", sample->text.ptr, sample->text.len);
    add(&o, ",\"label\":[");
    for (size_t i = 0; i < sample->n_mentions && o.err == NM_OK; i++) {
        const struct nm_msg_mention *mention = &sample->mentions[i];
        if (!in_text(sample, mention->start, mention->end)) {
            o.err = NM_EFORMAT;
            break;
        }
        add_number(&o, i > 0 ? ",[" : "[", nm_utf8_count_to(&points, mention->start));
        add_number(&o, ",", nm_utf8_count_to(&points, mention->end));
        add_label(&o, ",", mention);
        add(&o, "]");
    }
    add(&o, "]");
    add_meta(&o, record); /* doccano keeps further members as the example's meta data */
    add(&o, "}\n");
    return nm_format_done(w, record, o.err, diag);
}

const struct nm_format nm_format_doccano = {
    .name = "doccano", .summary = "doccano's JSONL for sequence labelling: text, label", .record = write_doccano};
