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

/* ---- spaCy -----------------------------------------------------------------------------------------------------
 *
 * spaCy's tokens make up the whole text: a token may have one blank behind it, and whatever else lies between two of
 * ours is a token too, as with spaCy's own tokeniser.  Without "space" its converter would leave such text out, and
 * every offset behind it would be wrong.
 */

/* BIO as BILUO, which spaCy's converter reads: does the next token go on with this one's mention? */
static char biluo(const struct nm_msg_sample *sample, size_t i)
{
    const char *tag = sample->tokens[i].tag.ptr;
    bool goes_on = i + 1 < sample->n_tokens && sample->tokens[i + 1].tag.ptr[0] == 'I';
    if (tag[0] == 'B')
        return goes_on ? 'B' : 'U';
    return goes_on ? 'I' : 'L';
}

/* One token of spaCy's, and what is to be known about those before it. */
struct spacy {
    struct json_out o;
    const struct nm_msg_sample *sample;
    uint64_t n, at; /* tokens written; bytes of the text that they make up */
};

/* The text up to end as a token; its tag is that of our token i, with the letter given (0: without a letter). */
static void add_spacy_token(struct spacy *s, uint64_t end, char letter, struct nm_str tag)
{
    const struct nm_msg_sample *sample = s->sample;
    add_number(&s->o, s->n > 0 ? ",{\"id\":" : "{\"id\":", s->n);
    add_string(&s->o, ",\"orth\":", sample->text.ptr + s->at, end - s->at);
    if (letter == 0) {
        add_string(&s->o, ",\"ner\":", tag.ptr, tag.len);
    } else {
        char text[NM_NAME_MAX + 8];
        int n = snprintf(text, sizeof text, "%c-%.*s", letter, (int)tag.len - 2, tag.ptr + 2);
        add_string(&s->o, ",\"ner\":", text, (size_t)n);
    }
    bool blank = end < sample->text.len && sample->text.ptr[end] == ' ';
    add(&s->o, blank ? ",\"space\":true}" : ",\"space\":false}");
    s->at = end + blank;
    s->n++;
}

/* What lies between the tokens, up to end; inside: within the mention that token i goes on with. */
static void add_spacy_gap(struct spacy *s, uint64_t end, size_t i)
{
    struct nm_str tag = i < s->sample->n_tokens ? s->sample->tokens[i].tag : nm_str("O");
    bool inside = tag.len > 2 && tag.ptr[0] == 'I';
    if (s->at < end)
        add_spacy_token(s, end, inside ? 'I' : 0, inside ? tag : nm_str("O"));
}

static enum nm_err write_spacy(struct nm_writer *w, const struct nm_record *record, struct nm_diag *diag)
{
    const struct nm_msg_sample *sample = &record->sample;
    struct spacy s = {.o = {.buf = &w->buf}, .sample = sample};
    add_number(&s.o, w->written > 0 ? ",\n{\"id\":" : "\n{\"id\":", w->written);
    add_string(&s.o, ",\"paragraphs\":[{\"raw\":", sample->text.ptr, sample->text.len);
    add(&s.o, ",\"sentences\":[{\"tokens\":[");
    for (size_t i = 0; i < sample->n_tokens && s.o.err == NM_OK; i++) {
        const struct nm_msg_token *token = &sample->tokens[i];
        if (!in_text(sample, token->start, token->end)) {
            s.o.err = NM_EFORMAT;
            break;
        }
        add_spacy_gap(&s, token->start, i);
        add_spacy_token(&s, token->end, token->tag.len > 2 ? biluo(sample, i) : 0, token->tag);
    }
    add_spacy_gap(&s, sample->text.len, sample->n_tokens);
    add(&s.o, "],\"brackets\":[]}],\"cats\":[]}]}");
    return nm_format_done(w, record, s.o.err, diag);
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
