#include "workers/trainer/tagged.h"

#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

enum nm_err nm_tagged_init(struct nm_tagged *tagged, const char *text, size_t len, const struct nm_extent *words,
                           size_t n)
{
    *tagged = (struct nm_tagged){.text = malloc(len + 1), .len = len, .extents = calloc(n + 1, sizeof(*words))};
    tagged->sentence.words = malloc((n + 1) * sizeof(*tagged->sentence.words));
    if (tagged->text == NULL || tagged->extents == NULL || tagged->sentence.words == NULL) {
        nm_tagged_clean_up(tagged);
        return NM_ENOMEM;
    }
    memcpy(tagged->text, text, len);
    tagged->text[len] = '\0';
    for (size_t i = 0; i < n; i++) {
        tagged->extents[i] = words[i];
        tagged->sentence.words[i] =
            (struct nm_word){.text = tagged->text + words[i].start, .len = words[i].end - words[i].start};
    }
    tagged->sentence.n = n;
    return NM_OK;
}

void nm_tagged_clean_up(struct nm_tagged *tagged)
{
    free(tagged->text);
    free(tagged->extents);
    free(tagged->sentence.words);
    json_decref(tagged->object);
    *tagged = (struct nm_tagged){0};
}

json_t *nm_tagged_json(const struct nm_tagged *tagged, const struct nm_tagset *types, const struct nm_span *spans,
                       size_t n, const float *scores)
{
    json_t *entities = json_array();
    for (size_t i = 0; i < n; i++) {
        const size_t start = tagged->extents[spans[i].start].start, end = tagged->extents[spans[i].end - 1].end;
        const size_t first = nm_utf8_length(tagged->text, start);
        const size_t length = nm_utf8_length(tagged->text + start, end - start);
        json_array_append_new(entities,
                              json_pack("{s:I, s:I, s:s, s:o, s:f}", "start", (json_int_t)first, "end",
                                        (json_int_t)first + (json_int_t)length, "type", types->types[spans[i].type],
                                        "text", json_stringn(tagged->text + start, end - start), "score",
                                        (double)nm_metrics_span_score(scores, &spans[i])));
    }
    json_t *root = tagged->object != NULL ? json_copy(tagged->object) : json_object();
    json_object_set_new(root, "text", json_stringn(tagged->text, tagged->len));
    json_object_set_new(root, "entities", entities);
    return root;
}
