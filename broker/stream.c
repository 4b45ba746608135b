#include "broker/stream.h"

#include <stdbool.h>

/* What turns from into to; an empty object: nothing. */
static json_t *merge_patch(const json_t *from, const json_t *to)
{
    json_t *patch = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)to, key, value) /* the macro wants it so, and only reads */
    {
        json_t *old = json_object_get(from, key);
        if (json_is_null(value) || (old && json_equal(old, value)))
            continue;
        if (!json_is_object(value) || !json_is_object(old)) {
            json_object_set(patch, key, value);
            continue;
        }
        json_t *inner = merge_patch(old, value);
        if (json_object_size(inner))
            json_object_set(patch, key, inner);
        json_decref(inner);
    }
    json_object_foreach((json_t *)(uintptr_t)from, key, value)
    {
        const json_t *new = json_object_get(to, key);
        if (!json_is_null(value) && (!new || json_is_null(new)))
            json_object_set_new(patch, key, json_null());
    }
    return patch;
}

static json_t *frame(const struct nm_stream *stream, int version, const char *kind, json_t *content)
{
    return json_pack("{s:i, s:I, s:o}", "version", version, "seq", (json_int_t)stream->seq, kind, content);
}

json_t *nm_stream_next(struct nm_stream *stream, json_t *document, int version)
{
    bool full = stream->seq % NM_STREAM_FULL_EVERY == 0;
    json_t *patch = full ? NULL : merge_patch(stream->last, document);
    json_decref(stream->last);
    stream->last = document;
    stream->seq++;
    return full ? nm_stream_last(stream, version) : frame(stream, version, "patch", patch);
}

json_t *nm_stream_last(const struct nm_stream *stream, int version)
{
    return frame(stream, version, "full", stream->last ? json_incref(stream->last) : json_object());
}

void nm_stream_clean_up(struct nm_stream *stream)
{
    json_decref(stream->last);
    stream->last = NULL;
}
