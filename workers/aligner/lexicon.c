#include "workers/aligner/lexicon.h"

#include <stdlib.h>
#include <string.h>

#include "workers/aligner/array.h"

enum { FIRST_SLOTS = 64 };

enum nm_err nm_lexicon_init(struct nm_lexicon *lexicon, uint64_t seed)
{
    *lexicon = (struct nm_lexicon){.seed = seed, .mask = FIRST_SLOTS - 1};
    lexicon->slots = calloc(FIRST_SLOTS, sizeof *lexicon->slots);
    lexicon->ends = nm_array_grow(NULL, &lexicon->ends_cap, 1, sizeof *lexicon->ends);
    if (lexicon->slots == NULL || lexicon->ends == NULL) {
        nm_lexicon_clean_up(lexicon);
        return NM_ENOMEM;
    }
    lexicon->ends[0] = 0;
    return NM_OK;
}

void nm_lexicon_clean_up(struct nm_lexicon *lexicon)
{
    free(lexicon->slots);
    free(lexicon->pool);
    free(lexicon->ends);
    *lexicon = (struct nm_lexicon){0};
}

const char *nm_lexicon_string(const struct nm_lexicon *lexicon, uint32_t id, size_t *len)
{
    *len = lexicon->ends[id] - lexicon->ends[id - 1];
    return lexicon->pool + lexicon->ends[id - 1];
}

/* The slot where hash is or belongs. */
static struct nm_lexicon_slot *locate(struct nm_lexicon_slot *slots, uint64_t mask, uint64_t hash)
{
    uint32_t tag = (uint32_t)(hash >> 32);
    uint64_t i = hash & mask;
    while (slots[i].id != 0 && slots[i].tag != tag)
        i = (i + 1) & mask;
    return &slots[i];
}

/* Twice the slots.  NM_EEXIST: two forms that were apart are no longer told from each other. */
static enum nm_err grow(struct nm_lexicon *lexicon)
{
    uint64_t mask = lexicon->mask * 2 + 1;
    struct nm_lexicon_slot *slots = nm_table_new(mask + 1, sizeof *slots);
    if (slots == NULL)
        return NM_ENOMEM;
    for (uint32_t id = 1; id <= lexicon->count; id++) {
        size_t len;
        const char *form = nm_lexicon_string(lexicon, id, &len);
        uint64_t hash = nm_lexicon_hash(lexicon, form, len, false);
        struct nm_lexicon_slot *slot = locate(slots, mask, hash);
        if (slot->id != 0) {
            free(slots);
            return NM_EEXIST;
        }
        *slot = (struct nm_lexicon_slot){(uint32_t)(hash >> 32), id};
    }
    free(lexicon->slots);
    lexicon->slots = slots;
    lexicon->mask = mask;
    return NM_OK;
}

/* Append the string of number count + 1. */
static enum nm_err keep(struct nm_lexicon *lexicon, const char *form, size_t len)
{
    if (len > UINT32_MAX - lexicon->pool_len || lexicon->count == NM_LEXICON_ID_MAX)
        return NM_ELIMIT;
    char *pool = nm_array_grow(lexicon->pool, &lexicon->pool_cap, lexicon->pool_len + len, 1);
    if (pool == NULL)
        return NM_ENOMEM;
    lexicon->pool = pool;
    uint32_t *ends = nm_array_grow(lexicon->ends, &lexicon->ends_cap, (size_t)lexicon->count + 2, sizeof *ends);
    if (ends == NULL)
        return NM_ENOMEM;
    lexicon->ends = ends;
    memcpy(pool + lexicon->pool_len, form, len);
    lexicon->pool_len += len;
    ends[++lexicon->count] = (uint32_t)lexicon->pool_len;
    return NM_OK;
}

enum nm_err nm_lexicon_add(struct nm_lexicon *lexicon, const char *form, size_t len, uint32_t *id)
{
    if (((uint64_t)lexicon->count + 1) * 2 > lexicon->mask + 1) {
        enum nm_err err = grow(lexicon);
        if (err != NM_OK)
            return err;
    }
    uint64_t hash = nm_lexicon_hash(lexicon, form, len, false);
    struct nm_lexicon_slot *slot = locate(lexicon->slots, lexicon->mask, hash);
    if (slot->id != 0) {
        size_t known_len;
        const char *known = nm_lexicon_string(lexicon, slot->id, &known_len);
        *id = slot->id;
        return known_len == len && memcmp(known, form, len) == 0 ? NM_OK : NM_EEXIST;
    }
    enum nm_err err = keep(lexicon, form, len);
    if (err != NM_OK)
        return err;
    *slot = (struct nm_lexicon_slot){(uint32_t)(hash >> 32), lexicon->count};
    *id = lexicon->count;
    return NM_OK;
}

void nm_lexicon_mark(struct nm_lexicon *lexicon, uint32_t id, uint32_t marks)
{
    size_t len;
    const char *form = nm_lexicon_string(lexicon, id, &len);
    locate(lexicon->slots, lexicon->mask, nm_lexicon_hash(lexicon, form, len, false))->id |= marks;
}

size_t nm_lexicon_bytes(const struct nm_lexicon *lexicon)
{
    return (lexicon->mask + 1) * sizeof *lexicon->slots + lexicon->pool_cap +
           lexicon->ends_cap * sizeof *lexicon->ends;
}
