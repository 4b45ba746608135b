#include "workers/dataset/read_jsonl.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "common/utf8.h"

struct reading {
    const struct nm_lines *lines;
    struct nm_arena *arena;
    struct nm_diag *diag;
    struct nm_record *record;
    uint64_t *bytes; /* of the text's code points */
    size_t n_points;
};

static enum nm_err fail(const struct reading *r, const char *what)
{
    return nm_fail(r->diag, NM_EFORMAT, "%s:%" PRIu64 ": %s", r->lines->name, r->lines->number, what);
}

static enum nm_err no_memory(const struct reading *r)
{
    return nm_fail(r->diag, NM_ENOMEM, "%s:%" PRIu64 ": out of memory", r->lines->name, r->lines->number);
}

/* A string of the tree, copied: the tree does not outlive the line. */
static enum nm_err take_text(const struct reading *r, const json_t *value, struct nm_str *out)
{
    *out = nm_str("");
    if (!json_is_string(value))
        return NM_OK;
    size_t len = json_string_length(value);
    const char *copy = nm_arena_strndup(r->arena, json_string_value(value), len);
    *out = (struct nm_str){copy, len};
    return copy != NULL ? NM_OK : no_memory(r);
}

static uint64_t take_count(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static enum nm_err take_provenance(const struct reading *r, const json_t *root)
{
    struct nm_msg_sample *sample = &r->record->sample;
    const json_t *from = json_object_get(root, "provenance");
    sample->attempt = take_count(from, "attempt");
    sample->seed = take_count(from, "seed");
    const struct {
        const json_t *value;
        struct nm_str *out;
    } texts[] = {
        {json_object_get(from, "prompt_hash"), &sample->prompt_hash},
        {json_object_get(from, "model"), &sample->model},
        {json_object_get(from, "constraint"), &sample->constraint},
        {json_object_get(root, "document"), &r->record->document},
        {json_object_get(root, "source"), &r->record->source},
    };
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && err == NM_OK; i++)
        err = take_text(r, texts[i].value, texts[i].out);
    return err;
}

static const json_t *first_of(const json_t *object, const char *const *keys)
{
    const json_t *value = NULL;
    for (; *keys != NULL && value == NULL; keys++)
        value = json_object_get(object, *keys);
    return value;
}

/* Two offsets in code points, rising, as bytes. */
static bool take_range(const struct reading *r, const json_t *start, const json_t *end, uint64_t *from, uint64_t *to)
{
    json_int_t a = json_integer_value(start), b = json_integer_value(end);
    if (!json_is_integer(start) || !json_is_integer(end) || a < 0 || b <= a || (uint64_t)b > r->n_points)
        return false;
    *from = r->bytes[a];
    *to = r->bytes[b];
    return true;
}

static enum nm_err take_span(const struct reading *r, const json_t *item, struct nm_text_span *span)
{
    static const char *const starts[] = {"start", "start_offset", "begin", NULL};
    static const char *const ends[] = {"end", "end_offset", NULL};
    static const char *const types[] = {"type", "label", NULL};
    bool list = json_is_array(item);
    const json_t *start = list ? json_array_get(item, 0) : first_of(item, starts);
    const json_t *end = list ? json_array_get(item, 1) : first_of(item, ends);
    const json_t *type = list ? json_array_get(item, 2) : first_of(item, types);
    if (!take_range(r, start, end, &span->start, &span->end))
        return fail(r, "a span needs whole numbers start < end within the text, in characters");
    if (!json_is_null(type) && (!json_is_string(type) || json_string_length(type) == 0))
        return fail(r, "a span needs a type: a name, or null where it is masked");
    span->requested = json_is_true(json_object_get(item, "requested"));
    span->index = json_is_integer(json_object_get(item, "index")) ? take_count(item, "index") : NM_NO_INDEX;
    enum nm_err err = take_text(r, json_object_get(item, "note"), &span->note);
    return err == NM_OK ? take_text(r, type, &span->type) : err;
}

/* Is there a list of spans?  Of those that are, with the tokens to be found. */
static enum nm_err from_spans(const struct reading *r, const json_t *list, struct nm_record_counts *counts)
{
    size_t n = json_array_size(list), i;
    const json_t *item;
    struct nm_text_span *spans = nm_arena_alloc(r->arena, (n + 1) * sizeof *spans);
    if (spans == NULL)
        return no_memory(r);
    if (list != NULL && !json_is_array(list))
        return fail(r, "the spans are no array");
    enum nm_err err = NM_OK;
    json_array_foreach(list, i, item)
    {
        err = take_span(r, item, &spans[i]);
        if (err != NM_OK)
            return err;
    }
    err = nm_record_from_spans(r->arena, r->record->sample.text, spans, n, r->record, counts);
    return err == NM_ENOMEM ? no_memory(r) : err != NM_OK ? fail(r, "a span is not within the text") : NM_OK;
}

static enum nm_err from_words(const struct reading *r, const json_t *tokens, const json_t *tags)
{
    size_t n = json_array_size(tokens), bad = 0;
    struct nm_tagged_word *words = nm_arena_alloc(r->arena, (n + 1) * sizeof *words);
    if (words == NULL)
        return no_memory(r);
    for (size_t i = 0; i < n; i++) {
        const json_t *word = json_array_get(tokens, i), *tag = json_array_get(tags, i);
        if (!json_is_string(word) || json_string_length(word) == 0 || !json_is_string(tag))
            return fail(r, "tokens and tags have to be strings, and no token empty");
        enum nm_err err = take_text(r, word, &words[i].text);
        if (err == NM_OK)
            err = take_text(r, tag, &words[i].tag);
        if (err != NM_OK)
            return err;
    }
    enum nm_err err = nm_record_from_words(r->arena, words, n, NULL, r->record, &bad);
    return err == NM_EFORMAT ? fail(r, "a tag is neither O nor - nor like B-TYPE")
           : err != NM_OK    ? no_memory(r)
                             : NM_OK;
}

/* The mentions as they are told, where they are; else as the tags tell. */
static enum nm_err take_mentions(const struct reading *r, const json_t *list)
{
    struct nm_msg_sample *sample = &r->record->sample;
    size_t i, bad = 0;
    const json_t *item;
    enum nm_err err = NM_OK;
    if (!json_is_array(list)) {
        err = nm_record_mark(r->arena, r->record, &bad);
        return err == NM_EFORMAT ? fail(r, "a tag is neither O nor - nor like B-TYPE")
               : err != NM_OK    ? no_memory(r)
                                 : NM_OK;
    }
    sample->mentions = nm_arena_alloc(r->arena, (json_array_size(list) + 1) * sizeof *sample->mentions);
    if (sample->mentions == NULL)
        return no_memory(r);
    uint64_t end = 0; /* of the one before */
    json_array_foreach(list, i, item)
    {
        struct nm_text_span span = {0};
        err = take_span(r, item, &span);
        if (err != NM_OK)
            return err;
        if (span.start < end)
            return fail(r, "beside tokens and offsets, entities have to be in order and may not overlap");
        end = span.end;
        sample->mentions[sample->n_mentions++] = (struct nm_msg_mention){.start = span.start,
                                                                         .end = span.end,
                                                                         .type = span.type,
                                                                         .requested = span.requested,
                                                                         .index = span.index,
                                                                         .note = span.note};
    }
    return NM_OK;
}

/* Our own form: the tokens are there, with their offsets. */
static enum nm_err from_offsets(const struct reading *r, const json_t *root)
{
    struct nm_msg_sample *sample = &r->record->sample;
    const json_t *offsets = json_object_get(root, "offsets"), *tags = json_object_get(root, "tags");
    const json_t *tokens = json_object_get(root, "tokens");
    size_t n = json_array_size(offsets);
    if (n != json_array_size(tags) || n != json_array_size(tokens))
        return fail(r, "tokens, tags and offsets have to be as many");
    sample->tokens = nm_arena_alloc(r->arena, (n + 1) * sizeof *sample->tokens);
    if (sample->tokens == NULL)
        return no_memory(r);
    for (size_t i = 0; i < n; i++) {
        struct nm_msg_token *token = &sample->tokens[i];
        const json_t *pair = json_array_get(offsets, i), *word = json_array_get(tokens, i);
        if (!take_range(r, json_array_get(pair, 0), json_array_get(pair, 1), &token->start, &token->end) ||
            (i > 0 && token->start < sample->tokens[i - 1].end))
            return fail(r, "offsets have to be [start, end] of each token, rising, within the text");
        if (json_string_length(word) != token->end - token->start ||
            memcmp(json_string_value(word), sample->text.ptr + token->start, token->end - token->start) != 0)
            return fail(r, "a token is not what the text has at its offsets");
        enum nm_err err = take_text(r, json_array_get(tags, i), &token->tag);
        if (err != NM_OK)
            return err;
    }
    sample->n_tokens = n;
    return take_mentions(r, json_object_get(root, "entities"));
}

static enum nm_err from_object(struct reading *r, const json_t *root, struct nm_record_counts *counts)
{
    static const char *const span_keys[] = {"entities", "spans", "label", "labels", NULL};
    static const char *const tag_keys[] = {"tags", "ner_tags", NULL};
    const json_t *text = json_object_get(root, "text"), *tags = first_of(root, tag_keys);
    const json_t *tokens = json_object_get(root, "tokens"), *offsets = json_object_get(root, "offsets");
    struct nm_msg_sample *sample = &r->record->sample;
    enum nm_err err = take_text(r, text, &sample->text);
    if (err == NM_OK)
        err = take_provenance(r, root);
    if (err != NM_OK)
        return err;
    r->bytes = nm_points_to_bytes(r->arena, sample->text, &r->n_points);
    if (r->bytes == NULL)
        return no_memory(r);
    if (json_is_string(text) && json_is_array(tokens) && json_is_array(offsets))
        return from_offsets(r, root);
    if (json_is_string(text))
        return from_spans(r, first_of(root, span_keys), counts);
    if (!json_is_array(tokens) || json_array_size(tokens) != json_array_size(tags))
        return fail(r, "an object needs \"text\" with its spans, or \"tokens\" with as many \"tags\"");
    return from_words(r, tokens, tags);
}

enum nm_err nm_jsonl_record(const struct nm_lines *lines, struct nm_arena *arena, struct nm_record *record,
                            struct nm_record_counts *counts, struct nm_diag *diag)
{
    struct reading r = {.lines = lines, .arena = arena, .diag = diag, .record = record};
    json_error_t where;
    *record = (struct nm_record){.document = nm_str(""), .source = nm_str("")};
    json_t *root = json_loadb(lines->data, lines->len, 0, &where);
    if (!json_is_object(root)) {
        json_decref(root);
        return fail(&r, root == NULL ? where.text : "this is no JSON object");
    }
    record->sample.task = take_count(root, "id");
    enum nm_err err = from_object(&r, root, counts);
    json_decref(root);
    return err;
}
