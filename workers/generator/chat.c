#include "workers/generator/chat.h"

#include <string.h>

#include <jansson.h>

#include "common/json.h"
#include "common/utf8.h"

/* ---- request --------------------------------------------------------------------------------- */

static bool is_utf8(const char *s)
{
    return s == NULL || nm_utf8_valid(s, strlen(s), NULL);
}

static enum nm_err add_text(struct nm_buf *out, const char *before, const char *text)
{
    enum nm_err err = nm_buf_adds(out, before);
    return err == NM_OK ? nm_json_add_string(out, text, strlen(text)) : err;
}

static enum nm_err add_content(const struct nm_prompt_message *message, struct nm_buf *out)
{
    static const char before[] = "\",\"content\":";
    if (message->passage == NULL)
        return add_text(out, before, message->text);
    enum nm_err err = nm_buf_adds(out, before);
    return err == NM_OK ? nm_buf_add(out, message->passage->json, message->passage->json_len) : err;
}

static enum nm_err add_messages(const struct nm_chat_request *request, struct nm_buf *out)
{
    enum nm_err err = nm_buf_adds(out, ",\"messages\":[");
    for (size_t i = 0; i < request->n_messages && err == NM_OK; i++) {
        err = nm_buf_adds(out, i > 0 ? ",{\"role\":\"" : "{\"role\":\"");
        if (err == NM_OK)
            err = nm_buf_adds(out, nm_prompt_role_name(request->messages[i].role));
        if (err == NM_OK)
            err = add_content(&request->messages[i], out);
        if (err == NM_OK)
            err = nm_buf_addc(out, '}');
    }
    return err == NM_OK ? nm_buf_addc(out, ']') : err;
}

/* The nth member's name; of one, without a number. */
static enum nm_err add_member(struct nm_buf *out, size_t nth, bool several)
{
    return several ? nm_buf_addf(out, "%s\"" NM_CHAT_MEMBER "_%zu\"", nth > 1 ? "," : "", nth)
                   : nm_buf_adds(out, "\"" NM_CHAT_MEMBER "\"");
}

/* A strict object whose members each match their line of the form. */
static enum nm_err add_schema(const char *form, struct nm_buf *out)
{
    bool several = strchr(form, '\n') != NULL;
    size_t n = 0;
    enum nm_err err = nm_buf_adds(out, ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
                                       "\"answer\",\"strict\":true,\"schema\":{\"type\":\"object\",\"properties\":{");
    for (const char *next = form; next != NULL && err == NM_OK; n++) {
        size_t len = strcspn(next, "\n");
        err = add_member(out, n + 1, several);
        if (err == NM_OK)
            err = nm_buf_adds(out, ":{\"type\":\"string\",\"pattern\":");
        if (err == NM_OK)
            err = nm_json_add_string(out, next, len);
        if (err == NM_OK)
            err = nm_buf_addc(out, '}');
        next = next[len] == '\n' ? next + len + 1 : NULL;
    }
    if (err == NM_OK)
        err = nm_buf_adds(out, "},\"required\":[");
    for (size_t i = 0; i < n && err == NM_OK; i++)
        err = add_member(out, i + 1, several);
    return err == NM_OK ? nm_buf_adds(out, "],\"additionalProperties\":false}}}") : err;
}

/* What stands around the form. */
static enum nm_err add_constraint(const struct nm_chat_request *request, struct nm_buf *out)
{
    static const char *const before[NM_CONSTRAINT_NONE] = {
        [NM_CONSTRAINT_GRAMMAR] = ",\"grammar\":",
        [NM_CONSTRAINT_STRUCTURED_OUTPUTS] = ",\"structured_outputs\":{\"regex\":",
    };
    static const char *const after[NM_CONSTRAINT_NONE] = {
        [NM_CONSTRAINT_GRAMMAR] = "", [NM_CONSTRAINT_STRUCTURED_OUTPUTS] = "}"};
    if (request->constraint == NM_CONSTRAINT_AUTO || request->constraint == NM_CONSTRAINT_NONE)
        return NM_OK;
    if (request->constraint == NM_CONSTRAINT_RESPONSE_FORMAT)
        return add_schema(request->form, out);
    enum nm_err err = add_text(out, before[request->constraint], request->form);
    return err == NM_OK ? nm_buf_adds(out, after[request->constraint]) : err;
}

/* Written piece by piece: a tree of it, built and dumped, was a tenth of the generator's time. */
static enum nm_err add_request(const struct nm_chat_request *request, struct nm_buf *out)
{
    enum nm_err err = add_text(out, "{\"model\":", request->model);
    if (err == NM_OK)
        err = add_messages(request, out);
    if (err == NM_OK)
        err =
            nm_buf_addf(out, ",\"temperature\":%.6g,\"top_p\":%.6g,\"max_tokens\":%u,\"seed\":%llu,\"stream\":false",
                        request->temperature, request->top_p, request->max_tokens,
                        (unsigned long long)(request->seed & 0x7fffffff));
    if (err == NM_OK)
        err = add_constraint(request, out);
    return err == NM_OK ? nm_buf_addc(out, '}') : err;
}

/* As RFC 7386 says: objects are merged, null takes a field out, anything else takes its place. */
static json_t *patched(json_t *target, const json_t *patch)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)patch, key, value)
    {
        json_t *old = json_object_get(target, key);
        if (json_is_null(value))
            (void)json_object_del(target, key);
        else if (json_is_object(value) && json_is_object(old))
            (void)patched(old, value);
        else
            (void)json_object_set(target, key, value);
    }
    return target;
}

static int append(const char *data, size_t len, void *ctx)
{
    return nm_buf_add(ctx, data, len) == NM_OK ? 0 : -1;
}

static enum nm_err merge(const char *extra, size_t from, struct nm_buf *out)
{
    json_t *patch = json_loads(extra, 0, NULL);
    json_t *body = json_loadb(out->data + from, out->len - from, JSON_ALLOW_NUL, NULL);
    enum nm_err err = json_is_object(patch) ? NM_OK : NM_EFORMAT;
    if (err == NM_OK && body == NULL)
        err = NM_ENOMEM;
    if (err == NM_OK) {
        out->len = from;
        if (json_dump_callback(patched(body, patch), append, out, JSON_COMPACT | JSON_REAL_PRECISION(6)) != 0)
            err = NM_ELIMIT;
    }
    json_decref(body);
    json_decref(patch);
    return err;
}

enum nm_err nm_chat_write(const struct nm_chat_request *request, struct nm_buf *out)
{
    bool valid = is_utf8(request->model) && is_utf8(request->form);
    for (size_t i = 0; i < request->n_messages && valid; i++)
        valid = request->messages[i].passage != NULL || is_utf8(request->messages[i].text);
    if (!valid)
        return NM_EFORMAT;
    size_t before = out->len;
    enum nm_err err = add_request(request, out);
    if (err == NM_OK && request->extra != NULL)
        err = merge(request->extra, before, out);
    if (err != NM_OK)
        out->len = before;
    return err;
}
