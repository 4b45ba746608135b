#include "workers/generator/wording.h"

#include <string.h>

#include "workers/generator/text.h"

static enum nm_err keep(const struct nm_text *text, struct nm_arena *arena, struct nm_wording *out)
{
    uint64_t *words = nm_arena_alloc(arena, (text->nwords + 1) * sizeof *words);
    if (words == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < text->nwords; i++)
        words[i] = text->words[i].hash;
    *out = (struct nm_wording){words, text->nwords, nm_text_scripts(text)};
    return NM_OK;
}

enum nm_err nm_wording_of(const char *text, size_t len, struct nm_arena *arena, struct nm_wording *out)
{
    struct nm_text decoded;
    struct nm_arena scratch;
    nm_arena_init(&scratch, 0);
    enum nm_err err = nm_text_decode(text, len, &scratch, &decoded);
    if (err == NM_OK)
        err = keep(&decoded, arena, out);
    nm_arena_clean_up(&scratch);
    return err;
}

enum nm_err nm_wording_join(const struct nm_wording *parts, size_t n, struct nm_arena *arena, struct nm_wording *out)
{
    size_t all = 0;
    for (size_t i = 0; i < n; i++)
        all += parts[i].n;
    uint64_t *words = nm_arena_alloc(arena, (all + 1) * sizeof *words);
    if (words == NULL)
        return NM_ENOMEM;
    *out = (struct nm_wording){.words = words};
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n > 0)
            memcpy(words + out->n, parts[i].words, parts[i].n * sizeof *words);
        out->n += parts[i].n;
        out->scripts |= parts[i].scripts;
    }
    return NM_OK;
}
