#include "workers/generator/batch_line.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum nm_err nm_batch_line_write(const char *run, uint64_t task, uint64_t attempt, struct nm_str body,
                                struct nm_buf *out)
{
    size_t before = out->len;
    enum nm_err err = nm_buf_addf(out,
                                  "{\"custom_id\":\"%s-%llu-%llu\",\"method\":\"POST\",\"url\":"
                                  "\"/v1/chat/completions\",\"body\":",
                                  run, (unsigned long long)task, (unsigned long long)attempt);
    if (err == NM_OK)
        err = nm_buf_add(out, body.ptr, body.len);
    if (err == NM_OK)
        err = nm_buf_adds(out, "}\n");
    if (err != NM_OK)
        out->len = before;
    return err;
}

/* The number behind the last '-' of id[0..*len), which is cut off; false: there is none. */
static bool cut_number(const char *id, size_t *len, uint64_t *number)
{
    size_t at = *len;
    while (at > 0 && id[at - 1] >= '0' && id[at - 1] <= '9')
        at--;
    if (at == *len || *len - at > 19 || at < 2 || id[at - 1] != '-')
        return false;
    *number = strtoull(id + at, NULL, 10);
    *len = at - 1;
    return true;
}

/* An id that somebody else has made leaves run empty. */
static void read_id(const char *id, struct nm_batch_result *result)
{
    size_t len = strlen(id);
    if (!cut_number(id, &len, &result->attempt) || !cut_number(id, &len, &result->task) || len >= sizeof result->run)
        return;
    memcpy(result->run, id, len);
    result->run[len] = '\0';
}

static enum nm_err keep_json(const json_t *json, struct nm_arena *arena, struct nm_str *out)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text == NULL)
        return NM_ENOMEM;
    *out = (struct nm_str){nm_arena_strndup(arena, text, strlen(text)), strlen(text)};
    free(text);
    return out->ptr != NULL ? NM_OK : NM_ENOMEM;
}

static enum nm_err keep_error(const json_t *error, struct nm_arena *arena, struct nm_batch_result *result)
{
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *message = json_string_value(json_object_get(error, "message"));
    const char *text = nm_arena_sprintf(arena, "%.100s%s%.500s", code != NULL ? code : "error",
                                        message != NULL ? ": " : "", message != NULL ? message : "");
    result->error = nm_str(text);
    return text != NULL ? NM_OK : NM_ENOMEM;
}

static enum nm_err read_root(const json_t *root, struct nm_arena *arena, struct nm_batch_result *result,
                             struct nm_diag *diag)
{
    const char *id = json_string_value(json_object_get(root, "custom_id"));
    const json_t *response = json_object_get(root, "response"), *error = json_object_get(root, "error");
    const json_t *status = json_object_get(response, "status_code"), *body = json_object_get(response, "body");
    if (id == NULL)
        return nm_fail(diag, NM_EFORMAT, "it has no \"custom_id\": a line of a results file has one");
    read_id(id, result);
    if (json_is_object(error))
        return keep_error(error, arena, result);
    if (!json_is_integer(status) || json_integer_value(status) < 100 || json_integer_value(status) > 599)
        return nm_fail(
            diag, NM_EFORMAT,
            "it has neither a \"response\" with a \"status_code\" nor an \"error\": give the file of results");
    result->status = (uint64_t)json_integer_value(status);
    return body != NULL ? keep_json(body, arena, &result->body) : NM_OK;
}

enum nm_err nm_batch_line_read(const char *line, size_t len, struct nm_arena *arena, struct nm_batch_result *result,
                               struct nm_diag *diag)
{
    json_error_t error;
    *result = (struct nm_batch_result){.body = nm_str(""), .error = nm_str("")};
    json_t *root = json_loadb(line, len, JSON_ALLOW_NUL, &error);
    if (root == NULL)
        return nm_fail(diag, NM_EFORMAT, "it is not JSON (%s)", error.text);
    enum nm_err err = read_root(root, arena, result, diag);
    json_decref(root);
    return err;
}
