#include "broker/shapes.h"

#include <string.h>

#include "common/utf8.h"

json_t *nm_shape_number(uint64_t n)
{
    return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

void nm_shape_set(json_t *object, const char *key, uint64_t n)
{
    json_object_set_new(object, key, nm_shape_number(n));
}

json_t *nm_shape_text(const char *text, size_t len, size_t max)
{
    if (len > max)
        len = max;
    for (int tries = 0; tries < 4 && len > 0; tries++, len--)
        if (nm_utf8_valid(text, len, NULL))
            break;
    json_t *o = json_stringn(text ? text : "", len);
    return o ? o : json_string("");
}

json_t *nm_shape_entity(const struct nm_broker *b, uint64_t entity)
{
    const struct nm_entity *e = nm_entities_get(b->entities, (size_t)entity);
    json_t *o = json_object();
    json_object_set_new(o, "text", nm_shape_text(e->text, e->len, NM_LINE_MAX));
    json_object_set_new(o, "type", json_string(nm_entities_type_name(b->entities, e->type)));
    return o;
}

json_t *nm_shape_failure(const char *kind, uint64_t status, const char *endpoint, const char *detail, int64_t at_ms)
{
    json_t *o = json_object();
    json_object_set_new(o, "kind", nm_shape_text(kind, strlen(kind), NM_LINE_MAX));
    nm_shape_set(o, "status", status);
    json_object_set_new(o, "endpoint", nm_shape_text(endpoint, strlen(endpoint), NM_LINE_MAX));
    json_object_set_new(o, "detail", nm_shape_text(detail, strlen(detail), NM_LINE_MAX));
    json_object_set_new(o, "at_ms", json_integer(at_ms));
    return o;
}
