/* page_samples.c - sentences with their spans in colour. */
#include <string.h>

#include "cli/page_parts.h"

/* Text, where the offsets of a document count code points. */
struct cursor {
    const char *text;
    size_t len, byte;
    json_int_t point;
};

/* The bytes up to a code point, and the cursor there. */
static size_t advance(struct cursor *c, json_int_t point)
{
    size_t from = c->byte;
    while (c->byte < c->len && c->point < point) {
        c->byte++;
        while (c->byte < c->len && ((unsigned char)c->text[c->byte] & 0xc0) == 0x80)
            c->byte++;
        c->point++;
    }
    return c->byte - from;
}

static void add_span(struct nm_page *page, struct cursor *c, const json_t *span)
{
    size_t plain = advance(c, json_integer_value(json_object_get(span, "start")));
    nm_page_text(page, c->text + c->byte - plain, plain);
    size_t covered = advance(c, json_integer_value(json_object_get(span, "end")));
    const json_t *type = json_object_get(span, "type");
    if (json_is_string(type))
        nm_page_addf(page, "<mark class=\"m%u\">", nm_page_type_color(page, json_string_value(type)));
    else
        nm_page_add(page, "<mark class=\"masked\">");
    nm_page_text(page, c->text + c->byte - covered, covered);
    nm_page_add(page, "<small>");
    if (json_is_string(type))
        nm_page_string(page, type);
    else
        nm_page_add(page, "masked");
    nm_page_add(page, "</small></mark>");
}

/* Where it comes from: a task of a run and who wrote it, or a place in a corpus. */
static void add_origin(struct nm_page *page, const json_t *sample)
{
    const json_t *from = json_object_get(sample, "provenance"), *source = json_object_get(sample, "source");
    const json_t *document = json_object_get(sample, "document"), *model = json_object_get(from, "model");
    nm_page_add(page, "<p class=\"origin\">");
    if (json_is_string(source)) {
        const char *name = strrchr(json_string_value(source), '/');
        name = name != NULL ? name + 1 : json_string_value(source);
        nm_page_text(page, name, strlen(name));
    } else {
        nm_page_addf(page, "%lld", (long long)json_integer_value(json_object_get(sample, "id")));
    }
    if (json_is_string(document)) {
        nm_page_add(page, " · ");
        nm_page_string(page, document);
    }
    if (json_string_length(model) > 0) {
        nm_page_add(page, " · ");
        nm_page_string(page, model);
    }
    nm_page_add(page, "</p>");
}

void nm_page_samples(struct nm_page *page, const json_t *samples)
{
    size_t i, k;
    const json_t *sample, *span;
    nm_page_add(page, "<ol class=\"samples\">");
    json_array_foreach(samples, i, sample)
    {
        const json_t *text = json_object_get(sample, "text");
        struct cursor c = {.text = json_string_value(text), .len = json_string_length(text)};
        nm_page_add(page, "<li><p>");
        json_array_foreach(json_object_get(sample, "entities"), k, span)
        {
            add_span(page, &c, span);
        }
        nm_page_text(page, c.text + c.byte, c.len - c.byte);
        nm_page_add(page, "</p>");
        add_origin(page, sample);
        nm_page_add(page, "</li>");
    }
    nm_page_add(page, "</ol>");
}
