#include "workers/generator/passage.h"

#include <string.h>

#include "common/buf.h"
#include "common/json.h"

enum nm_err nm_passage_make(const char *text, struct nm_arena *arena, struct nm_passage *out)
{
    struct nm_buf json;
    size_t len = strlen(text);
    nm_buf_init(&json, 6 * len + 2);
    enum nm_err err = nm_json_add_string(&json, text, len);
    if (err == NM_OK)
        err = nm_wording_of(text, len, arena, &out->wording);
    out->text = text;
    out->json = err == NM_OK ? nm_arena_strndup(arena, json.data, json.len) : NULL;
    out->json_len = json.len;
    nm_buf_clean_up(&json);
    return err == NM_OK && out->json == NULL ? NM_ENOMEM : err;
}
