#include "schemas/entities.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/utf8.h"

enum { TEXT_MAX = 512, TYPES_MAX = 1000 };
static const size_t LIST_BYTES_MAX = (size_t)1 << 31;

/* Where an entity came from, to name both places of a clash. */
struct origin {
    uint32_t source; /* index into sources */
    uint32_t line;
    uint32_t hash; /* of the lower-cased text */
};

struct nm_entities {
    struct nm_arena arena;
    struct nm_entity *items;
    struct origin *origins;
    size_t n, cap;
    uint32_t *slots; /* open addressing over lower-cased text; index + 1, 0 is free */
    size_t n_slots;
    char **types;
    size_t n_types;
    char **sources;
    size_t n_sources;
    size_t duplicates;
    bool two_types; /* an entity may stand in several */
    struct nm_buf folded, normal;
};

struct nm_entities *nm_entities_new(void)
{
    struct nm_entities *e = calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    nm_arena_init(&e->arena, 0);
    nm_buf_init(&e->folded, 8 * TEXT_MAX);
    nm_buf_init(&e->normal, 8 * TEXT_MAX);
    return e;
}

void nm_entities_destroy(struct nm_entities **entities)
{
    struct nm_entities *e = *entities;
    if (e == NULL)
        return;
    nm_arena_clean_up(&e->arena);
    nm_buf_clean_up(&e->folded);
    nm_buf_clean_up(&e->normal);
    free(e->items);
    free(e->origins);
    free(e->slots);
    free(e->types);
    free(e->sources);
    free(e);
    *entities = NULL;
}

/* ---- small tables of names ------------------------------------------------------------------- */

static enum nm_err intern(struct nm_entities *e, char ***names, size_t *n, const char *s, size_t len, size_t *index)
{
    for (size_t i = 0; i < *n; i++)
        if (strlen((*names)[i]) == len && memcmp((*names)[i], s, len) == 0) {
            *index = i;
            return NM_OK;
        }
    if (*n == TYPES_MAX)
        return NM_ELIMIT;
    char **grown = realloc(*names, (*n + 1) * sizeof *grown);
    char *copy = nm_arena_strndup(&e->arena, s, len);
    if (grown != NULL)
        *names = grown;
    if (grown == NULL || copy == NULL)
        return NM_ENOMEM;
    grown[*n] = copy;
    *index = (*n)++;
    return NM_OK;
}

/* ---- the set, keyed by lower-cased text ------------------------------------------------------ */

static enum nm_err fold(struct nm_entities *e, const char *s, size_t len)
{
    nm_buf_reset(&e->folded);
    return nm_utf8_casefold(s, len, &e->folded);
}

static enum nm_err rehash(struct nm_entities *e)
{
    size_t n_slots = e->n_slots != 0 ? e->n_slots * 2 : 1024;
    uint32_t *slots = calloc(n_slots, sizeof *slots);
    if (slots == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < e->n; i++) {
        size_t at = e->origins[i].hash & (n_slots - 1);
        while (slots[at] != 0)
            at = (at + 1) & (n_slots - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(e->slots);
    e->slots = slots;
    e->n_slots = n_slots;
    return NM_OK;
}

static enum nm_err grow(struct nm_entities *e)
{
    if (e->n == UINT32_MAX - 1)
        return NM_ELIMIT;
    if (e->n == e->cap) {
        size_t cap = e->cap != 0 ? e->cap * 2 : 256;
        struct nm_entity *items = realloc(e->items, cap * sizeof *items);
        if (items == NULL)
            return NM_ENOMEM;
        e->items = items;
        struct origin *origins = realloc(e->origins, cap * sizeof *origins);
        if (origins == NULL)
            return NM_ENOMEM;
        e->origins = origins;
        e->cap = cap;
    }
    return (e->n + 1) * 2 > e->n_slots ? rehash(e) : NM_OK;
}

/* Add one normal-form text; the same text in the same type is counted, in another type refused. */
static enum nm_err add(struct nm_entities *e, size_t type, const char *text, size_t len, struct origin origin,
                       struct nm_diag *diag)
{
    enum nm_err err = grow(e);
    if (err == NM_OK)
        err = fold(e, text, len);
    if (err != NM_OK)
        return nm_fail(diag, err, "%s:%u: %s", e->sources[origin.source], origin.line, nm_err_name(err));
    struct nm_buf wanted = e->folded;
    origin.hash = (uint32_t)nm_hash64(wanted.data, wanted.len, 0);
    size_t at = origin.hash & (e->n_slots - 1);
    for (; e->slots[at] != 0; at = (at + 1) & (e->n_slots - 1)) {
        size_t i = e->slots[at] - 1;
        const struct nm_entity *other = &e->items[i];
        bool same = other->len == len && memcmp(other->text, text, len) == 0;
        if (e->origins[i].hash != origin.hash)
            continue;
        if (other->type == type && same) {
            e->duplicates++;
            return NM_OK;
        }
        if (other->type == type || e->two_types)
            continue; /* another casing of its own type is an entity of its own: 'cAMP' and 'CAMP' */
        nm_buf_init(&e->normal, e->normal.max);
        err = nm_utf8_casefold(other->text, other->len, &e->normal);
        bool clash =
            err == NM_OK && e->normal.len == wanted.len && memcmp(e->normal.data, wanted.data, wanted.len) == 0;
        nm_buf_clean_up(&e->normal);
        if (clash)
            return nm_fail(diag, NM_EFORMAT,
                           "%s:%u: '%.*s' is %s here but %s in %s:%u: an entity has one type, unless "
                           "alignment.two_types says resolve",
                           e->sources[origin.source], origin.line, (int)len, text, e->types[type],
                           e->types[other->type], e->sources[e->origins[i].source], e->origins[i].line);
    }
    char *copy = nm_arena_strndup(&e->arena, text, len);
    if (copy == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s:%u: out of memory", e->sources[origin.source], origin.line);
    e->slots[at] = (uint32_t)e->n + 1;
    e->origins[e->n] = origin;
    e->items[e->n++] = (struct nm_entity){.text = copy, .len = (uint32_t)len, .type = (uint32_t)type};
    return NM_OK;
}

static size_t find_folded(const struct nm_entities *e, size_t type, const struct nm_buf *wanted, struct nm_buf *other)
{
    uint32_t hash = (uint32_t)nm_hash64(wanted->data, wanted->len, 0);
    for (size_t at = hash & (e->n_slots - 1); e->slots[at] != 0; at = (at + 1) & (e->n_slots - 1)) {
        size_t i = e->slots[at] - 1;
        if (e->origins[i].hash != hash || (type != NM_ENTITIES_ANY && e->items[i].type != type))
            continue;
        nm_buf_reset(other);
        if (nm_utf8_casefold(e->items[i].text, e->items[i].len, other) == NM_OK && other->len == wanted->len &&
            memcmp(other->data, wanted->data, other->len) == 0)
            return i;
    }
    return NM_ENTITIES_NONE;
}

size_t nm_entities_find(const struct nm_entities *e, size_t type, const char *text, size_t len)
{
    struct nm_buf wanted, other;
    size_t found = NM_ENTITIES_NONE;
    nm_buf_init(&wanted, e->folded.max);
    nm_buf_init(&other, e->folded.max);
    if (e->n > 0 && nm_utf8_casefold(text, len, &wanted) == NM_OK)
        found = find_folded(e, type, &wanted, &other);
    nm_buf_clean_up(&wanted);
    nm_buf_clean_up(&other);
    return found;
}

/* ---- reading a list -------------------------------------------------------------------------- */

enum nm_err nm_entities_normal(const char *line, size_t len, struct nm_buf *out)
{
    char flat[TEXT_MAX * 4];
    size_t n = 0;
    bool gap = false;
    for (size_t i = 0; i < len;) {
        int32_t cp;
        int step = nm_utf8_next(line + i, len - i, &cp);
        if (step < 0)
            return NM_EFORMAT;
        if (nm_utf8_is_space(cp) || cp == 0xfeff) {
            gap = n > 0;
        } else {
            if (n + (size_t)step + 1 > sizeof flat)
                return NM_ELIMIT;
            if (gap)
                flat[n++] = ' ';
            gap = false;
            memcpy(flat + n, line + i, (size_t)step);
            n += (size_t)step;
        }
        i += (size_t)step;
    }
    nm_buf_reset(out);
    enum nm_err err = nm_utf8_nfc(flat, n, out);
    return err == NM_OK && out->len > TEXT_MAX ? NM_ELIMIT : err;
}

/* text: to work in. */
static enum nm_err add_line(struct nm_entities *e, size_t type, const char *line, size_t len, struct origin origin,
                            struct nm_buf *text, struct nm_diag *diag)
{
    const char *source = e->sources[origin.source];
    enum nm_err err = nm_entities_normal(line, len, text);
    if (err == NM_EFORMAT)
        err = nm_fail(diag, err, "%s:%u: not valid UTF-8", source, origin.line);
    else if (err == NM_ELIMIT)
        err = nm_fail(diag, NM_EFORMAT, "%s:%u: an entity of more than %d bytes", source, origin.line, TEXT_MAX);
    else if (err != NM_OK)
        err = nm_fail(diag, err, "%s:%u: %s", source, origin.line, nm_err_name(err));
    else if (text->len > 0 && text->data[0] != '#')
        err = add(e, type, text->data, text->len, origin, diag);
    return err;
}

/* Call on_line for each line of data. */
static enum nm_err load_lines(struct nm_entities *e, const char *data, size_t len, size_t type, size_t source,
                              struct nm_diag *diag)
{
    uint32_t number = 1;
    struct nm_buf text;
    enum nm_err err = NM_OK;
    nm_buf_init(&text, 8 * TEXT_MAX);
    for (size_t at = 0; at < len && err == NM_OK; number++) {
        const char *stop = memchr(data + at, '\n', len - at);
        size_t end = stop != NULL ? (size_t)(stop - data) : len;
        struct origin origin = {.source = (uint32_t)source, .line = number};
        err = add_line(e, type, data + at, end - at, origin, &text, diag);
        at = end + 1;
    }
    nm_buf_clean_up(&text);
    return err;
}

void nm_entities_take_two_types(struct nm_entities *e)
{
    e->two_types = true;
}

enum nm_err nm_entities_load(struct nm_entities *e, const char *type, const char *path, struct nm_diag *diag)
{
    struct nm_buf buf;
    size_t type_index;
    size_t source;
    nm_buf_init(&buf, LIST_BYTES_MAX);
    size_t before = e->n + e->duplicates;
    enum nm_err err = nm_file_read(path, &buf, diag);
    if (err != NM_OK)
        goto out;
    err = intern(e, &e->types, &e->n_types, type, strlen(type), &type_index);
    if (err == NM_OK)
        err = intern(e, &e->sources, &e->n_sources, path, strlen(path), &source);
    if (err != NM_OK) {
        (void)nm_fail(diag, err, "%s: %s", path, nm_err_name(err));
        goto out;
    }
    err = load_lines(e, nm_buf_str(&buf), buf.len, type_index, source, diag);
    if (err == NM_OK && e->n + e->duplicates == before)
        err = nm_fail(diag, NM_EFORMAT, "%s: no entity in the list of type %s: write one a line", path, type);
out:
    nm_buf_clean_up(&buf);
    return err;
}

/* ---- the blob -------------------------------------------------------------------------------- */

enum nm_err nm_entities_to_blob(const struct nm_entities *e, struct nm_buf *out)
{
    for (size_t i = 0; i < e->n; i++) {
        enum nm_err err = nm_buf_adds(out, e->types[e->items[i].type]);
        if (err == NM_OK)
            err = nm_buf_addc(out, '\t');
        if (err == NM_OK)
            err = nm_buf_add(out, e->items[i].text, e->items[i].len);
        if (err == NM_OK)
            err = nm_buf_addc(out, '\n');
        if (err != NM_OK)
            return err;
    }
    return NM_OK;
}

enum nm_err nm_entities_from_blob(struct nm_entities *e, const char *data, size_t len, struct nm_diag *diag)
{
    size_t source;
    e->two_types = true; /* whoever made the blob has decided that */
    enum nm_err err = intern(e, &e->sources, &e->n_sources, "entities", 8, &source);
    uint32_t number = 1;
    for (size_t at = 0; at < len && err == NM_OK; number++) {
        const char *stop = memchr(data + at, '\n', len - at);
        size_t end = stop != NULL ? (size_t)(stop - data) : len;
        const char *tab = memchr(data + at, '\t', end - at);
        size_t type;
        if (tab == NULL)
            return nm_fail(diag, NM_EFORMAT, "entities:%u: no type in this line", number);
        err = intern(e, &e->types, &e->n_types, data + at, (size_t)(tab - data) - at, &type);
        struct origin origin = {.source = (uint32_t)source, .line = number};
        if (err == NM_OK)
            err = add(e, type, tab + 1, end - (size_t)(tab + 1 - data), origin, diag);
        else
            (void)nm_fail(diag, err, "entities:%u: %s", number, nm_err_name(err));
        at = end + 1;
    }
    return err;
}

/* ---- reading the set ------------------------------------------------------------------------- */

size_t nm_entities_count(const struct nm_entities *e)
{
    return e->n;
}

const struct nm_entity *nm_entities_get(const struct nm_entities *e, size_t index)
{
    return index < e->n ? &e->items[index] : NULL;
}

size_t nm_entities_type_count(const struct nm_entities *e)
{
    return e->n_types;
}

size_t nm_entities_type_find(const struct nm_entities *e, const char *name, size_t len)
{
    for (size_t i = 0; i < e->n_types; i++)
        if (strlen(e->types[i]) == len && memcmp(e->types[i], name, len) == 0)
            return i;
    return NM_ENTITIES_NONE;
}

const char *nm_entities_type_name(const struct nm_entities *e, size_t type)
{
    return type < e->n_types ? e->types[type] : NULL;
}

size_t nm_entities_duplicates(const struct nm_entities *e)
{
    return e->duplicates;
}
