#include "workers/trainer/normalizer.h"

#include <stdlib.h>
#include <string.h>

#include "workers/trainer/normalizer_tables.h"

enum {
    CODE_POINTS = 0x110000,
    BLOCK = 256,
    BLOCKS = CODE_POINTS / BLOCK,
    STRING_MAX = 8, /* code points one code point can become; the longest NFD has 4 */
    HANGUL_FIRST = 0xAC00,
    HANGUL_LAST = 0xD7A3
};

/* An entry: kind, whether spaces go around it, and for STRING the pool's offset << 8 (count there first). */
enum kind { SELF, SPACE, PUNCT, DROP, STRING, HANGUL };
enum { KIND_MASK = 7, CJK = 8 };

struct nm_normalizer {
    uint16_t block[BLOCKS];
    uint32_t *entries; /* n_blocks x BLOCK */
    size_t n_blocks, cap_blocks;
    uint32_t *pool;
    size_t pool_count, pool_cap;
};

/* The tables walked in step with the code points, so that building them costs no search. */
struct cursor {
    const struct nm_normalizer_options *options;
    uint16_t *props; /* CODE_POINTS */
    size_t decomposition;
};

static uint32_t lower(uint32_t cp)
{
    size_t lo = 0, hi = nm_normalizer_lower_runs_count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (nm_normalizer_lower_runs[mid].last < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    const struct nm_normalizer_lower_run *run = &nm_normalizer_lower_runs[lo];
    if (lo < nm_normalizer_lower_runs_count && cp >= run->first && (cp - run->first) % run->step == 0)
        return (uint32_t)((int32_t)cp + run->delta);
    return cp;
}

static uint32_t item(uint32_t cp, enum nm_normal_class class, uint32_t ccc)
{
    return cp | (uint32_t) class << 21 | ccc << 24;
}

static enum nm_normal_class class_of(uint32_t props)
{
    if ((props & NM_NORMAL_SPACE) != 0)
        return NM_NORMAL_SPACE_CHAR;
    return (props & NM_NORMAL_PUNCT) != 0 ? NM_NORMAL_PUNCT_CHAR : NM_NORMAL_WORD_CHAR;
}

/* One code point of the decomposed text, lower-cased and appended to out; returns how many were added. */
static size_t finish(const struct cursor *c, uint32_t cp, uint32_t out[2])
{
    uint32_t ccc = c->options->strip_accents ? (uint32_t)c->props[cp] >> 8 : 0;
    if (c->options->strip_accents && (c->props[cp] & NM_NORMAL_NONSPACING) != 0) {
        out[0] = item(0, NM_NORMAL_BOUNDARY, 0);
        return ccc == 0; /* a removed starter still ends the run of marks; a removed mark leaves no trace */
    }
    if (c->options->lowercase && cp == 0x130) {
        out[0] = item('i', NM_NORMAL_WORD_CHAR, 0);
        out[1] = item(0x307, NM_NORMAL_WORD_CHAR, 0);
        return 2;
    }
    uint32_t to = c->options->lowercase ? lower(cp) : cp;
    out[0] = item(to, class_of(c->props[to]), ccc);
    return 1;
}

static bool add_string(struct nm_normalizer *map, const uint32_t *items, size_t count, uint32_t *entry)
{
    if (map->pool == NULL || map->pool_count + count + 1 > map->pool_cap) {
        size_t cap = map->pool_cap * 2 + 4096;
        uint32_t *pool = realloc(map->pool, cap * sizeof(*pool));
        if (pool == NULL)
            return false;
        map->pool = pool;
        map->pool_cap = cap;
    }
    *entry = STRING | (uint32_t)map->pool_count << 8;
    map->pool[map->pool_count++] = (uint32_t)count;
    memcpy(map->pool + map->pool_count, items, count * sizeof(*items));
    map->pool_count += count;
    return true;
}

static bool make_entry(struct nm_normalizer *map, struct cursor *c, uint32_t cp, uint32_t *entry)
{
    const struct nm_normalizer_decomposition *nfd = &nm_normalizer_decompositions[c->decomposition];
    bool decomposes = c->decomposition < nm_normalizer_decompositions_count && nfd->cp == cp;
    c->decomposition += decomposes;
    uint32_t props = c->props[cp];
    if (c->options->clean_text && (props & (NM_NORMAL_CLEAN_DROP | NM_NORMAL_CLEAN_SPACE)) != 0) {
        *entry = (props & NM_NORMAL_CLEAN_DROP) != 0 ? DROP : SPACE;
        return true;
    }
    uint32_t cjk = c->options->handle_chinese_chars && (props & NM_NORMAL_CJK) != 0 ? CJK : 0;
    if (c->options->strip_accents && cp >= HANGUL_FIRST && cp <= HANGUL_LAST) {
        *entry = HANGUL;
        return true;
    }
    uint32_t items[STRING_MAX];
    size_t count = 0;
    if (c->options->strip_accents && decomposes)
        for (size_t i = 0; i < nfd->count; i++)
            count += finish(c, nm_normalizer_decomposed[nfd->offset + i], items + count);
    else
        count = finish(c, cp, items);
    if (count == 0)
        *entry = DROP;
    else if (count == 1 && items[0] == item(cp, NM_NORMAL_WORD_CHAR, 0))
        *entry = SELF;
    else if (count == 1 && items[0] == item(cp, NM_NORMAL_PUNCT_CHAR, 0))
        *entry = PUNCT;
    else if (count == 1 && items[0] == item(' ', NM_NORMAL_SPACE_CHAR, 0))
        *entry = SPACE;
    else if (!add_string(map, items, count, entry))
        return false;
    *entry |= cjk;
    return true;
}

static bool add_block(struct nm_normalizer *map, const uint32_t entries[BLOCK], uint16_t *index)
{
    for (size_t i = map->n_blocks; i-- > 0;) {
        if (memcmp(map->entries + i * BLOCK, entries, BLOCK * sizeof(*entries)) == 0) {
            *index = (uint16_t)i;
            return true;
        }
    }
    if (map->n_blocks == map->cap_blocks) {
        size_t cap = map->cap_blocks * 2 + 64;
        uint32_t *grown = realloc(map->entries, cap * BLOCK * sizeof(*grown));
        if (grown == NULL)
            return false;
        map->entries = grown;
        map->cap_blocks = cap;
    }
    memcpy(map->entries + map->n_blocks * BLOCK, entries, BLOCK * sizeof(*entries));
    *index = (uint16_t)map->n_blocks++;
    return true;
}

/* True if all code points of the block have one and the same entry, of a kind that does not depend on the code point:
 * equal properties, no decomposition, no lower case, and all or none of them Hangul. */
static bool is_uniform(const struct cursor *c, uint32_t first)
{
    const uint16_t *props = c->props + first;
    uint32_t last = first + BLOCK - 1;
    if (memcmp(props, props + 1, (BLOCK - 1) * sizeof(*props)) != 0 || props[0] >> 8 != 0)
        return false;
    if (c->decomposition < nm_normalizer_decompositions_count &&
        nm_normalizer_decompositions[c->decomposition].cp <= last)
        return false;
    for (size_t i = 0; i < nm_normalizer_lower_runs_count; i++)
        if (nm_normalizer_lower_runs[i].first <= last && nm_normalizer_lower_runs[i].last >= first)
            return false;
    return (first >= HANGUL_FIRST && last <= HANGUL_LAST) || last < HANGUL_FIRST || first > HANGUL_LAST;
}

static bool build(struct nm_normalizer *map, struct cursor *c)
{
    for (size_t i = 0; i < nm_normalizer_ranges_count; i++)
        for (uint32_t cp = nm_normalizer_ranges[i].first; cp <= nm_normalizer_ranges[i].last; cp++)
            c->props[cp] = (uint16_t)nm_normalizer_ranges[i].props;
    uint32_t entries[BLOCK];
    for (uint32_t b = 0; b < BLOCKS; b++) {
        uint32_t first = b * BLOCK;
        if (is_uniform(c, first)) { /* most of Unicode, in a fraction of the time */
            if (!make_entry(map, c, first, &entries[0]))
                return false;
            for (uint32_t i = 1; i < BLOCK; i++)
                entries[i] = entries[0];
        } else {
            for (uint32_t i = 0; i < BLOCK; i++)
                if (!make_entry(map, c, first + i, &entries[i]))
                    return false;
        }
        if (!add_block(map, entries, &map->block[b]))
            return false;
    }
    return true;
}

struct nm_normalizer *nm_normalizer_new(const struct nm_normalizer_options *options)
{
    struct nm_normalizer *map = calloc(1, sizeof(*map));
    struct cursor c = {.options = options, .props = calloc(CODE_POINTS, sizeof(*c.props))};
    if (map == NULL || c.props == NULL || !build(map, &c))
        nm_normalizer_destroy(&map);
    free(c.props);
    return map;
}

void nm_normalizer_destroy(struct nm_normalizer **map)
{
    if (*map == NULL)
        return;
    free((*map)->entries);
    free((*map)->pool);
    free(*map);
    *map = NULL;
}

static uint32_t entry_of(const struct nm_normalizer *map, uint32_t cp)
{
    return map->entries[(size_t)map->block[cp / BLOCK] * BLOCK + cp % BLOCK];
}

uint32_t nm_normalizer_ascii(const struct nm_normalizer *map, unsigned char c)
{
    uint32_t entry = entry_of(map, c);
    switch ((enum kind)(entry & KIND_MASK)) {
    case SELF:
        return item(c, NM_NORMAL_WORD_CHAR, 0);
    case SPACE:
        return item(' ', NM_NORMAL_SPACE_CHAR, 0);
    case PUNCT:
        return item(c, NM_NORMAL_PUNCT_CHAR, 0);
    case STRING: /* lower-cased, or white space that clean_text left as it is: always one */
        return map->pool[(entry >> 8) + 1];
    case DROP:
    case HANGUL:
        break;
    }
    return 0;
}

/* Canonical ordering (UAX #15): a mark moves before those of a higher class in its run; equals keep order. */
static void put(struct nm_normal_text *text, uint32_t it)
{
    if (NM_NORMAL_CLASS(it) == NM_NORMAL_BOUNDARY) {
        text->run = text->count;
        return;
    }
    uint32_t ccc = it >> 24;
    size_t at = text->count++;
    if (ccc == 0)
        text->run = text->count;
    else
        for (; at > text->run && text->items[at - 1] >> 24 > ccc; at--)
            text->items[at] = text->items[at - 1];
    text->items[at] = it;
}

static void put_hangul(struct nm_normal_text *text, uint32_t cp)
{
    enum { L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11A7, V_COUNT = 21, T_COUNT = 28 };
    uint32_t s = cp - HANGUL_FIRST, t = s % T_COUNT;
    put(text, item(L_BASE + s / (V_COUNT * T_COUNT), NM_NORMAL_WORD_CHAR, 0));
    put(text, item(V_BASE + s / T_COUNT % V_COUNT, NM_NORMAL_WORD_CHAR, 0));
    if (t != 0)
        put(text, item(T_BASE + t, NM_NORMAL_WORD_CHAR, 0));
}

enum nm_err nm_normalizer_add(const struct nm_normalizer *map, int32_t cp, struct nm_normal_text *text)
{
    if (text->count + STRING_MAX + 2 > text->cap) {
        size_t cap = text->cap * 2 + 256;
        uint32_t *items = realloc(text->items, cap * sizeof(*items));
        if (items == NULL)
            return NM_ENOMEM;
        text->items = items;
        text->cap = cap;
    }
    const uint32_t space = item(' ', NM_NORMAL_SPACE_CHAR, 0);
    uint32_t u = (uint32_t)cp, entry = entry_of(map, u);
    if ((entry & CJK) != 0)
        put(text, space);
    switch ((enum kind)(entry & KIND_MASK)) {
    case SELF:
        put(text, item(u, NM_NORMAL_WORD_CHAR, 0));
        break;
    case SPACE:
        put(text, space);
        break;
    case PUNCT:
        put(text, item(u, NM_NORMAL_PUNCT_CHAR, 0));
        break;
    case STRING:
        for (uint32_t i = 0, at = entry >> 8; i < map->pool[at]; i++)
            put(text, map->pool[at + 1 + i]);
        break;
    case HANGUL:
        put_hangul(text, u);
        break;
    case DROP:
        break;
    }
    if ((entry & CJK) != 0)
        put(text, space);
    return NM_OK;
}
