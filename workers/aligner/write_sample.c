#include "workers/aligner/write_sample.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "common/json.h"
#include "common/utf8.h"

static bool is_range(const struct nm_msg_sample *sample, uint64_t start, uint64_t end)
{
    return start <= end && end <= sample->text.len;
}

enum nm_err nm_write_conll(const struct nm_msg_sample *sample, struct nm_buf *out)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < sample->n_tokens && err == NM_OK; i++) {
        const struct nm_msg_token *token = &sample->tokens[i];
        if (!is_range(sample, token->start, token->end))
            return NM_EFORMAT;
        err = nm_buf_add(out, sample->text.ptr + token->start, token->end - token->start);
        if (err == NM_OK)
            err = nm_buf_addf(out, "\t%s\n", token->tag.ptr);
    }
    return err == NM_OK ? nm_buf_addc(out, '\n') : err;
}

static enum nm_err add_member(struct nm_buf *out, const char *name, struct nm_str value)
{
    enum nm_err err = nm_buf_addf(out, "\"%s\":", name);
    return err == NM_OK ? nm_json_add_string(out, value.ptr != NULL ? value.ptr : "", value.len) : err;
}

static enum nm_err add_tokens(const struct nm_msg_sample *sample, struct nm_buf *out)
{
    enum nm_err err = nm_buf_adds(out, ",\"tokens\":[");
    for (size_t i = 0; i < sample->n_tokens && err == NM_OK; i++) {
        const struct nm_msg_token *token = &sample->tokens[i];
        if (!is_range(sample, token->start, token->end))
            return NM_EFORMAT;
        err = nm_buf_add(out, ",", i > 0);
        if (err == NM_OK)
            err = nm_json_add_string(out, sample->text.ptr + token->start, token->end - token->start);
    }
    if (err == NM_OK)
        err = nm_buf_adds(out, "],\"tags\":[");
    for (size_t i = 0; i < sample->n_tokens && err == NM_OK; i++) {
        err = nm_buf_add(out, ",", i > 0);
        if (err == NM_OK)
            err = nm_json_add_string(out, sample->tokens[i].tag.ptr, sample->tokens[i].tag.len);
    }
    return err;
}

static enum nm_err add_offsets(const struct nm_msg_sample *sample, struct nm_buf *out)
{
    struct nm_utf8_counter counter = {.s = sample->text.ptr};
    enum nm_err err = nm_buf_adds(out, "],\"offsets\":[");
    for (size_t i = 0; i < sample->n_tokens && err == NM_OK; i++) {
        uint64_t start = nm_utf8_count_to(&counter, sample->tokens[i].start);
        uint64_t end = nm_utf8_count_to(&counter, sample->tokens[i].end);
        err = nm_buf_addf(out, "%s[%" PRIu64 ",%" PRIu64 "]", i > 0 ? "," : "", start, end);
    }
    return err;
}

static enum nm_err add_origin(const struct nm_msg_mention *mention, struct nm_buf *out)
{
    enum nm_err err = nm_buf_addf(out, ",\"requested\":%s,\"index\":", mention->requested ? "true" : "false");
    if (err == NM_OK)
        err = mention->index != NM_NO_INDEX ? nm_buf_addf(out, "%" PRIu64, mention->index) : nm_buf_adds(out, "null");
    if (err != NM_OK || mention->note.len == 0)
        return err;
    err = nm_buf_addc(out, ',');
    return err == NM_OK ? add_member(out, "note", mention->note) : err;
}

static enum nm_err add_entities(const struct nm_msg_sample *sample, struct nm_buf *out)
{
    struct nm_utf8_counter counter = {.s = sample->text.ptr};
    enum nm_err err = nm_buf_adds(out, "],\"entities\":[");
    for (size_t i = 0; i < sample->n_mentions && err == NM_OK; i++) {
        const struct nm_msg_mention *mention = &sample->mentions[i];
        if (!is_range(sample, mention->start, mention->end))
            return NM_EFORMAT;
        uint64_t start = nm_utf8_count_to(&counter, mention->start);
        uint64_t end = nm_utf8_count_to(&counter, mention->end);
        err = nm_buf_addf(out, "%s{\"start\":%" PRIu64 ",\"end\":%" PRIu64 ",", i > 0 ? "," : "", start, end);
        if (err == NM_OK) /* masked: no type */
            err = mention->type.len > 0 ? add_member(out, "type", mention->type) : nm_buf_adds(out, "\"type\":null");
        if (err == NM_OK)
            err = nm_buf_addc(out, ',');
        if (err == NM_OK)
            err = add_member(out, "text",
                             (struct nm_str){sample->text.ptr + mention->start, mention->end - mention->start});
        if (err == NM_OK)
            err = add_origin(mention, out);
        if (err == NM_OK)
            err = nm_buf_addc(out, '}');
    }
    return err;
}

static enum nm_err add_provenance(const struct nm_msg_sample *sample, struct nm_buf *out)
{
    enum nm_err err = nm_buf_addf(out, "],\"provenance\":{\"task\":%" PRIu64 ",\"attempt\":%" PRIu64 ",",
                                  sample->task, sample->attempt);
    if (err == NM_OK)
        err = add_member(out, "prompt_hash", sample->prompt_hash);
    if (err == NM_OK)
        err = nm_buf_addc(out, ',');
    if (err == NM_OK)
        err = add_member(out, "model", sample->model);
    if (err == NM_OK)
        err = nm_buf_addf(out, ",\"seed\":%" PRIu64 ",", sample->seed);
    return err == NM_OK ? add_member(out, "constraint", sample->constraint) : err;
}

enum nm_err nm_write_json(const struct nm_msg_sample *sample, struct nm_buf *out)
{
    enum nm_err err = nm_buf_addf(out, "{\"id\":%" PRIu64 ",", sample->task);
    if (err == NM_OK)
        err = add_member(out, "text", sample->text);
    if (err == NM_OK)
        err = add_tokens(sample, out);
    if (err == NM_OK)
        err = add_offsets(sample, out);
    if (err == NM_OK)
        err = add_entities(sample, out);
    if (err == NM_OK)
        err = add_provenance(sample, out);
    return err == NM_OK ? nm_buf_adds(out, "}}\n") : err;
}
