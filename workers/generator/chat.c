#include "workers/generator/chat.h"

#include <stdio.h>
#include <stdlib.h>
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

static enum nm_err add_messages(const struct nm_chat_request *request, struct nm_buf *out)
{
    enum nm_err err = nm_buf_adds(out, ",\"messages\":[");
    for (size_t i = 0; i < request->n_messages && err == NM_OK; i++) {
        err =
            nm_buf_addf(out, "%s{\"role\":\"%s\"", i > 0 ? "," : "", nm_prompt_role_name(request->messages[i].role));
        if (err == NM_OK)
            err = add_text(out, ",\"content\":", request->messages[i].text);
        if (err == NM_OK)
            err = nm_buf_addc(out, '}');
    }
    return err == NM_OK ? nm_buf_addc(out, ']') : err;
}

/* What stands around the form. */
static enum nm_err add_constraint(const struct nm_chat_request *request, struct nm_buf *out)
{
    static const char *const before[NM_CONSTRAINT_NONE] = {
        [NM_CONSTRAINT_GRAMMAR] = ",\"grammar\":",
        [NM_CONSTRAINT_STRUCTURED_OUTPUTS] = ",\"structured_outputs\":{\"regex\":",
        [NM_CONSTRAINT_RESPONSE_FORMAT] =
            ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
            "\"answer\",\"strict\":true,\"schema\":{\"type\":\"object\",\"properties\":{"
            "\"sentence\":{\"type\":\"string\",\"pattern\":"};
    static const char *const after[NM_CONSTRAINT_NONE] = {
        [NM_CONSTRAINT_GRAMMAR] = "",
        [NM_CONSTRAINT_STRUCTURED_OUTPUTS] = "}",
        [NM_CONSTRAINT_RESPONSE_FORMAT] = "}},\"required\":[\"sentence\"],\"additionalProperties\":false}}}"};
    if (request->constraint == NM_CONSTRAINT_AUTO || request->constraint == NM_CONSTRAINT_NONE)
        return NM_OK;
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

enum nm_err nm_chat_write(const struct nm_chat_request *request, struct nm_buf *out)
{
    bool valid = is_utf8(request->model) && is_utf8(request->form);
    for (size_t i = 0; i < request->n_messages && valid; i++)
        valid = is_utf8(request->messages[i].text);
    if (!valid)
        return NM_EFORMAT;
    size_t before = out->len;
    enum nm_err err = add_request(request, out);
    if (err != NM_OK)
        out->len = before;
    return err;
}

/* ---- reply ----------------------------------------------------------------------------------- */

static uint64_t count_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) && json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
}

static const char *text_of(const json_t *object, const char *key, struct nm_arena *arena)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return "";
    return nm_arena_strndup(arena, json_string_value(value), json_string_length(value));
}

static enum nm_err read_choice(const json_t *root, struct nm_arena *arena, struct nm_chat_reply *reply,
                               struct nm_diag *diag)
{
    const json_t *choices = json_object_get(root, "choices");
    if (!json_is_array(choices))
        return nm_fail(diag, NM_EFORMAT, "the answer has no \"choices\"");
    if (json_array_size(choices) == 0)
        return nm_fail(diag, NM_EFORMAT, "the answer's \"choices\" are empty");
    const json_t *choice = json_array_get(choices, 0);
    const json_t *message = json_object_get(choice, "message");
    const json_t *content = json_object_get(message, "content");
    reply->finish_reason = text_of(choice, "finish_reason", arena);
    if (reply->finish_reason == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    if (!json_is_string(content)) {
        bool filtered = strcmp(reply->finish_reason, "content_filter") == 0;
        if (filtered && (content == NULL || json_is_null(content)))
            return NM_OK;
        return nm_fail(diag, NM_EFORMAT, "the answer's message content is %s, not text",
                       content == NULL         ? "absent"
                       : json_is_null(content) ? "null"
                                               : "of another kind");
    }
    reply->content_len = json_string_length(content);
    reply->content = nm_arena_strndup(arena, json_string_value(content), reply->content_len);
    return reply->content != NULL ? NM_OK : nm_fail(diag, NM_ENOMEM, "out of memory");
}

enum nm_err nm_chat_read(const char *body, size_t len, struct nm_arena *arena, struct nm_chat_reply *reply,
                         struct nm_diag *diag)
{
    *reply = (struct nm_chat_reply){.finish_reason = "", .model = ""};
    json_error_t error;
    json_t *root = json_loadb(body, len, JSON_ALLOW_NUL, &error);
    if (root == NULL)
        return nm_fail(diag, NM_EFORMAT, "the answer is not JSON (%s)", len == 0 ? "it is empty" : error.text);
    enum nm_err err = NM_OK;
    if (!json_is_object(root))
        err = nm_fail(diag, NM_EFORMAT, "the answer is JSON, but no object");
    else
        err = read_choice(root, arena, reply, diag);
    if (err == NM_OK) {
        const json_t *usage = json_object_get(root, "usage");
        reply->tokens_in = count_of(usage, "prompt_tokens");
        reply->tokens_out = count_of(usage, "completion_tokens");
        reply->model = text_of(root, "model", arena);
        err = reply->model == NULL ? NM_ENOMEM : NM_OK;
    }
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

/* ---- failures -------------------------------------------------------------------------------- */

/* The server's own words out of an error body, as one line of printable text. */
static void server_words(const struct nm_llm_outcome *outcome, char *out, size_t size, char *code, size_t code_size)
{
    out[0] = code[0] = '\0';
    json_t *root = json_loadb(outcome->body, outcome->body_len, 0, NULL);
    const json_t *error = json_object_get(root, "error");
    const char *text = json_string_value(json_is_object(error) ? json_object_get(error, "message") : error);
    const char *word = json_string_value(json_object_get(error, "code"));
    if (word == NULL || word[0] == '\0')
        word = json_string_value(json_object_get(error, "type"));
    if (word != NULL)
        (void)snprintf(code, code_size, "%s", word);
    if (text != NULL && text[0] != '\0') {
        (void)snprintf(out, size, ", saying \"%.200s\"", text);
        for (char *c = out; *c != '\0'; c++)
            if ((unsigned char)*c < 0x20)
                *c = ' ';
        size_t bad;
        if (!nm_utf8_valid(out, strlen(out), &bad))
            out[bad] = '\0';
    }
    json_decref(root);
}

static void judge_status(const struct nm_llm_outcome *outcome, const char *endpoint, const char *model,
                         const char *api_key_env, struct nm_chat_fault *fault)
{
    char words[256], code[64];
    long status = outcome->status;
    server_words(outcome, words, sizeof words, code, sizeof code);
    const char *advice;
    char own[256];
    fault->kind = "http";
    fault->fatal = true;
    if (status == 401 || status == 403) {
        if (api_key_env != NULL && api_key_env[0] != '\0')
            (void)snprintf(own, sizeof own, "check the API key in the environment variable %s", api_key_env);
        else
            (void)snprintf(own, sizeof own, "it wants an API key: name its environment variable as api_key_env");
        advice = own;
    } else if (status == 404 || status == 405) {
        (void)snprintf(own, sizeof own, "check the url (it mostly ends in /v1) and the model \"%.100s\"", model);
        advice = own;
    } else if (status == 429 && (strcmp(code, "insufficient_quota") == 0 || strstr(words, "quota") != NULL)) {
        fault->kind = "quota";
        fault->fatal = false;
        advice = "the account's quota is used up: no call is made until the pause is over; top it up";
    } else if (status == 429) {
        fault->fatal = false;
        advice = "too many requests: slowing down";
    } else if (status == 503) {
        fault->fatal = false;
        fault->loading = true;
        advice = "it is loading its model or overloaded: waiting";
    } else if (status >= 500 || status == 408 || status == 409) {
        fault->fatal = false;
        advice = "the server's own trouble: trying again later";
    } else if (status >= 200 && status < 300) {
        fault->kind = "garbage";
        advice = "that is no chat completion: check the url";
    } else if (status >= 300 && status < 400) {
        advice = "it redirects: put the final address into url";
    } else {
        advice = "it does not take our request: check model, max_tokens and constraint";
    }
    (void)snprintf(fault->detail, sizeof fault->detail, "endpoint %s answers %ld%s: %s", endpoint, status, words,
                   advice);
}

bool nm_chat_judge(const struct nm_llm_outcome *outcome, const char *endpoint, const char *model,
                   const char *api_key_env, struct nm_chat_fault *fault)
{
    *fault = (struct nm_chat_fault){.kind = "", .retry_after_ms = outcome->retry_after_ms};
    const char *what = "", *advice = "";
    switch (outcome->fault) {
    case NM_LLM_ANSWERED:
        if (outcome->status == 200)
            return true;
        judge_status(outcome, endpoint, model, api_key_env, fault);
        return false;
    case NM_LLM_CONNECT:
        fault->kind = "connect";
        what = "cannot be reached";
        advice = "is its server running, and is the url right?";
        break;
    case NM_LLM_TIMEOUT:
        fault->kind = "timeout";
        what = "gave no answer in time";
        advice = "raise timeout_s or lower concurrency";
        break;
    case NM_LLM_CUT:
        fault->kind = "cut";
        what = "cut the connection";
        advice = "see the server's own log";
        break;
    case NM_LLM_TOO_LARGE:
        fault->kind = "garbage";
        what = "sent an answer over the limit";
        advice = "check the url and max_tokens";
        break;
    case NM_LLM_CANCELED:
        fault->kind = "shutdown";
        what = "was still answering";
        advice = "the call was given up at shutdown";
        break;
    }
    (void)snprintf(fault->detail, sizeof fault->detail, "endpoint %s %s (%.200s): %s", endpoint, what, outcome->text,
                   advice);
    return false;
}

void nm_chat_garbage(const char *endpoint, const char *why, struct nm_chat_fault *fault)
{
    *fault = (struct nm_chat_fault){.kind = "garbage", .retry_after_ms = -1};
    (void)snprintf(fault->detail, sizeof fault->detail,
                   "endpoint %s answers 200, but %.300s: check that the url is an OpenAI-compatible /v1", endpoint,
                   why);
}
