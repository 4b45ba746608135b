/* reply.c - what an answer says. */
#include <string.h>

#include <jansson.h>

#include "workers/generator/chat.h"
#include "workers/generator/skim.h"

static uint64_t count_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) && json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
}

static enum nm_err no_memory(struct nm_diag *diag)
{
    return nm_fail(diag, NM_ENOMEM, "out of memory");
}

static const char *text_of(const json_t *object, const char *key, struct nm_arena *arena)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return "";
    return nm_arena_strndup(arena, json_string_value(value), json_string_length(value));
}

/* Model and tokens, where they are said. */
static enum nm_err read_head(const json_t *root, struct nm_arena *arena, struct nm_chat_reply *reply)
{
    const json_t *usage = json_object_get(root, "usage");
    if (json_is_object(usage)) {
        reply->tokens_in = count_of(usage, "prompt_tokens");
        reply->tokens_out = count_of(usage, "completion_tokens");
    }
    if (json_is_string(json_object_get(root, "model")))
        reply->model = text_of(root, "model", arena);
    return reply->model != NULL ? NM_OK : NM_ENOMEM;
}

/* ---- content --------------------------------------------------------------------------------- */

static enum nm_err take_content(struct nm_buf *text, struct nm_arena *arena, struct nm_chat_reply *reply)
{
    reply->content_len = text->len;
    reply->content = nm_arena_strndup(arena, nm_buf_str(text), text->len);
    return reply->content != NULL ? NM_OK : NM_ENOMEM;
}

/* [{"type": "text", "text": "..."}, ...]: the text parts, one behind the other; *found: there was one. */
static enum nm_err add_parts(const json_t *parts, struct nm_buf *text, bool *found)
{
    enum nm_err err = NM_OK;
    size_t i;
    json_t *part;
    json_array_foreach((json_t *)parts, i, part)
    {
        const char *type = json_string_value(json_object_get(part, "type"));
        const json_t *value = json_object_get(part, "text");
        if (!json_is_string(value) || (type != NULL && strcmp(type, "text") != 0 && strcmp(type, "output_text") != 0))
            continue;
        *found = true;
        if (err == NM_OK)
            err = nm_buf_add(text, json_string_value(value), json_string_length(value));
    }
    return err;
}

/* A message's content, or a delta's. */
static enum nm_err add_content(const json_t *message, struct nm_buf *text, bool *found)
{
    const json_t *content = json_object_get(message, "content");
    if (json_is_array(content))
        return add_parts(content, text, found);
    if (!json_is_string(content))
        return NM_OK;
    *found = true;
    return nm_buf_add(text, json_string_value(content), json_string_length(content));
}

static enum nm_err no_content(const json_t *message, struct nm_arena *arena, struct nm_chat_reply *reply,
                              struct nm_diag *diag)
{
    const json_t *content = json_object_get(message, "content"), *refusal = json_object_get(message, "refusal");
    bool empty = content == NULL || json_is_null(content);
    if (json_is_string(refusal)) {
        reply->refusal = text_of(message, "refusal", arena);
        return reply->refusal != NULL ? NM_OK : no_memory(diag);
    }
    if (empty && (strcmp(reply->finish_reason, "content_filter") == 0 || strcmp(reply->finish_reason, "length") == 0))
        return NM_OK;
    bool calls = json_array_size(json_object_get(message, "tool_calls")) > 0;
    return nm_fail(diag, NM_EFORMAT, "the answer's message content is %s, not text%s",
                   content == NULL ? "absent"
                   : empty         ? "null"
                                   : "of another kind",
                   calls ? ": it calls a tool, though none was offered" : "");
}

static bool is_error(const json_t *root)
{
    const json_t *error = json_object_get(root, "error");
    const char *object = json_string_value(json_object_get(root, "object"));
    return json_is_object(error) || json_is_string(error) || (object != NULL && strcmp(object, "error") == 0);
}

static enum nm_err read_choice(const json_t *root, struct nm_arena *arena, struct nm_chat_reply *reply,
                               struct nm_diag *diag)
{
    const json_t *choices = json_object_get(root, "choices");
    if (!json_is_array(choices))
        return is_error(root) ? nm_fail(diag, NM_ESTATE, "the answer is an error")
                              : nm_fail(diag, NM_EFORMAT, "the answer has no \"choices\"");
    if (json_array_size(choices) == 0)
        return nm_fail(diag, NM_EFORMAT, "the answer's \"choices\" are empty");
    const json_t *choice = json_array_get(choices, 0);
    const json_t *message = json_object_get(choice, "message");
    struct nm_buf text;
    bool found = false;
    reply->finish_reason = text_of(choice, "finish_reason", arena);
    if (reply->finish_reason == NULL)
        return no_memory(diag);
    nm_buf_init(&text, SIZE_MAX / 2);
    enum nm_err err = add_content(message, &text, &found);
    if (err == NM_OK && found)
        err = take_content(&text, arena, reply);
    nm_buf_clean_up(&text);
    if (err != NM_OK)
        return no_memory(diag);
    return found ? NM_OK : no_content(message, arena, reply, diag);
}

/* ---- events ---------------------------------------------------------------------------------- */

struct stream {
    struct nm_buf text;
    bool found, ended;
};

/* One event's data: a chunk, or the end. */
static enum nm_err read_event(const char *data, size_t len, struct stream *stream, struct nm_arena *arena,
                              struct nm_chat_reply *reply)
{
    if (len == 6 && memcmp(data, "[DONE]", 6) == 0) {
        stream->ended = true;
        return NM_OK;
    }
    json_t *chunk = json_loadb(data, len, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(chunk)) {
        json_decref(chunk);
        return NM_EFORMAT;
    }
    const json_t *choice = json_array_get(json_object_get(chunk, "choices"), 0);
    const json_t *delta = json_object_get(choice, "delta");
    enum nm_err err = read_head(chunk, arena, reply);
    if (err == NM_OK)
        err = add_content(delta != NULL ? delta : json_object_get(choice, "message"), &stream->text, &stream->found);
    if (err == NM_OK && json_is_string(json_object_get(choice, "finish_reason"))) {
        reply->finish_reason = text_of(choice, "finish_reason", arena);
        stream->ended = true;
        err = reply->finish_reason != NULL ? NM_OK : NM_ENOMEM;
    }
    json_decref(chunk);
    return err;
}

/* Server-sent events (WHATWG HTML, 9.2), as with "stream": true. */
static enum nm_err read_stream(const char *body, size_t len, struct nm_arena *arena, struct nm_chat_reply *reply,
                               struct nm_diag *diag)
{
    struct stream stream = {.found = false};
    enum nm_err err = NM_OK;
    nm_buf_init(&stream.text, SIZE_MAX / 2);
    for (const char *line = body, *end = body + len, *stop; line < end && err == NM_OK; line = stop + 1) {
        stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop != NULL ? stop : end;
        const char *to = stop > line && stop[-1] == '\r' ? stop - 1 : stop;
        if (to - line < 5 || memcmp(line, "data:", 5) != 0)
            continue;
        const char *data = line + 5;
        while (data < to && *data == ' ')
            data++;
        err = read_event(data, (size_t)(to - data), &stream, arena, reply);
    }
    if (err == NM_OK && stream.found && stream.ended)
        err = take_content(&stream.text, arena, reply);
    else if (err == NM_OK || err == NM_EFORMAT)
        err = nm_fail(diag, NM_EFORMAT, "the answer is a stream of events that was not asked for%s",
                      err == NM_EFORMAT || stream.found ? ", and is broken off" : ", and holds no text");
    nm_buf_clean_up(&stream.text);
    return err == NM_ENOMEM ? no_memory(diag) : err;
}

static bool is_stream(const char *body, size_t len)
{
    static const char *const starts[] = {"data:", "event:", "id:", "retry:", ":"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (len >= strlen(starts[i]) && memcmp(body, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

/* ---- the face -------------------------------------------------------------------------------- */

enum nm_err nm_chat_read(const char *body, size_t len, struct nm_arena *arena, struct nm_chat_reply *reply,
                         struct nm_diag *diag)
{
    *reply = (struct nm_chat_reply){.finish_reason = "", .model = ""};
    if (nm_skim(body, len, arena, reply))
        return NM_OK;
    *reply = (struct nm_chat_reply){.finish_reason = "", .model = ""};
    if (is_stream(body, len))
        return read_stream(body, len, arena, reply, diag);
    json_error_t error;
    json_t *root = json_loadb(body, len, JSON_ALLOW_NUL, &error);
    if (root == NULL)
        return nm_fail(diag, NM_EFORMAT, "the answer is not JSON (%s)", len == 0 ? "it is empty" : error.text);
    enum nm_err err = NM_OK;
    if (!json_is_object(root))
        err = nm_fail(diag, NM_EFORMAT, "the answer is JSON, but no object");
    else if (read_head(root, arena, reply) != NM_OK)
        err = no_memory(diag);
    else
        err = read_choice(root, arena, reply, diag);
    json_decref(root);
    return err;
}

bool nm_chat_lists_model(const char *body, size_t len, const char *model)
{
    json_t *root = json_loadb(body, len, 0, NULL);
    const json_t *data = json_object_get(root, "data"), *item;
    size_t i;
    bool found = false;
    json_array_foreach(data, i, item)
    {
        const char *id = json_string_value(json_object_get(item, "id"));
        found |= id != NULL && strcmp(id, model) == 0;
    }
    json_decref(root);
    return found;
}
