#include "schemas/unpack.h"

#include <string.h>

/* By the first byte: what the item is, how many bytes of length or value follow it, whether they are a length. */
struct form {
    unsigned char kind, bytes;
    bool sized; /* the bytes are a count: of bytes, items or pairs */
};

static const struct form forms[32] = {
    /* c0 */ {NM_ITEM_NIL, 0, false},
    /* c1: reserved */ {NM_ITEM_NIL, 255, false},
    /* c2 */ {NM_ITEM_BOOL, 0, false},
    /* c3 */ {NM_ITEM_BOOL, 0, false},
    /* c4 */ {NM_ITEM_BIN, 1, true},
    /* c5 */ {NM_ITEM_BIN, 2, true},
    /* c6 */ {NM_ITEM_BIN, 4, true},
    /* c7 */ {NM_ITEM_EXT, 1, true},
    /* c8 */ {NM_ITEM_EXT, 2, true},
    /* c9 */ {NM_ITEM_EXT, 4, true},
    /* ca */ {NM_ITEM_FLOAT, 4, false},
    /* cb */ {NM_ITEM_FLOAT, 8, false},
    /* cc */ {NM_ITEM_UINT, 1, false},
    /* cd */ {NM_ITEM_UINT, 2, false},
    /* ce */ {NM_ITEM_UINT, 4, false},
    /* cf */ {NM_ITEM_UINT, 8, false},
    /* d0 */ {NM_ITEM_INT, 1, false},
    /* d1 */ {NM_ITEM_INT, 2, false},
    /* d2 */ {NM_ITEM_INT, 4, false},
    /* d3 */ {NM_ITEM_INT, 8, false},
    /* d4: ext of a fixed size, after a byte of type */ {NM_ITEM_EXT, 2, false},
    /* d5 */ {NM_ITEM_EXT, 3, false},
    /* d6 */ {NM_ITEM_EXT, 5, false},
    /* d7 */ {NM_ITEM_EXT, 9, false},
    /* d8 */ {NM_ITEM_EXT, 17, false},
    /* d9 */ {NM_ITEM_STR, 1, true},
    /* da */ {NM_ITEM_STR, 2, true},
    /* db */ {NM_ITEM_STR, 4, true},
    /* dc */ {NM_ITEM_ARRAY, 2, true},
    /* dd */ {NM_ITEM_ARRAY, 4, true},
    /* de */ {NM_ITEM_MAP, 2, true},
    /* df */ {NM_ITEM_MAP, 4, true},
};

static uint64_t big_endian(const unsigned char *p, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | p[i];
    return value;
}

/* ---- the walk ---------------------------------------------------------------------------------------------------
 */

/* How long the item at p is without what it contains, and how many items that is; false: not whole, or reserved. */
static bool measure(const unsigned char *p, size_t len, uint64_t *bytes, uint64_t *children)
{
    unsigned char c = p[0];
    *bytes = 1;
    *children = 0;
    if (c <= 0x7f || c >= 0xe0)
        return true;
    if (c >= 0xa0 && c <= 0xbf) {
        *bytes += c & 0x1fU;
        return *bytes <= len;
    }
    if (c <= 0x9f) {
        *children = c <= 0x8f ? 2U * (c & 0x0fU) : c & 0x0fU;
        return true;
    }
    const struct form *form = &forms[c - 0xc0];
    *bytes += form->bytes;
    if (form->bytes == 255 || *bytes > len)
        return false;
    uint64_t count = form->sized ? big_endian(p + 1, form->bytes) : 0;
    if (form->kind == NM_ITEM_ARRAY)
        *children = count;
    else if (form->kind == NM_ITEM_MAP)
        *children = 2 * count;
    else
        *bytes += count + (form->kind == NM_ITEM_EXT && form->sized); /* ext: one more byte, of type */
    return *bytes <= len;
}

bool nm_unpack_walk(const unsigned char *p, size_t len, size_t *used)
{
    uint64_t open[NM_UNPACK_DEPTH] = {1};
    size_t at = 0;
    int depth = 0;
    while (depth >= 0) {
        if (open[depth] == 0) {
            depth--;
            continue;
        }
        open[depth]--;
        uint64_t bytes, children;
        if (at >= len || !measure(p + at, len - at, &bytes, &children))
            return false;
        at += (size_t)bytes;
        if (children > len - at)
            return false;
        if (children > 0) {
            if (++depth == NM_UNPACK_DEPTH)
                return false;
            open[depth] = children;
        }
    }
    *used = at;
    return true;
}

/* ---- reading ----------------------------------------------------------------------------------------------------
 */

static void read_number(const unsigned char *p, size_t bytes, struct nm_item *item)
{
    uint64_t raw = big_endian(p, bytes);
    item->value = raw;
    if (item->kind == NM_ITEM_INT && bytes > 0) {
        unsigned int unused = 64 - 8 * (unsigned int)bytes;
        item->value = (uint64_t)((int64_t)(raw << unused) >> unused);
        if ((int64_t)item->value >= 0)
            item->kind = NM_ITEM_UINT;
    } else if (item->kind == NM_ITEM_FLOAT && bytes == 4) {
        uint32_t half = (uint32_t)raw;
        float single;
        memcpy(&single, &half, sizeof single);
        item->real = (double)single;
    } else if (item->kind == NM_ITEM_FLOAT) {
        memcpy(&item->real, &raw, sizeof item->real);
    }
}

static void read_form(const unsigned char **at, unsigned char c, struct nm_item *item)
{
    const struct form *form = &forms[c - 0xc0];
    item->kind = (enum nm_item_kind)form->kind;
    if (!form->sized) {
        if (form->kind != NM_ITEM_EXT)
            read_number(*at, form->bytes, item);
        if (form->kind == NM_ITEM_BOOL)
            item->value = c & 1U;
        *at += form->bytes;
        return;
    }
    item->len = (size_t)big_endian(*at, form->bytes);
    *at += form->bytes;
    item->body = (const char *)*at;
    if (form->kind == NM_ITEM_STR || form->kind == NM_ITEM_BIN)
        *at += item->len;
    else if (form->kind == NM_ITEM_EXT)
        *at += item->len + 1;
}

void nm_unpack_next(const unsigned char **at, struct nm_item *item)
{
    unsigned char c = *(*at)++;
    item->value = c;
    if (c <= 0x7f) {
        item->kind = NM_ITEM_UINT;
    } else if (c >= 0xe0) {
        item->kind = NM_ITEM_INT;
        item->value = (uint64_t)(int64_t)(int8_t)c;
    } else if (c <= 0x9f) {
        item->kind = c <= 0x8f ? NM_ITEM_MAP : NM_ITEM_ARRAY;
        item->len = c & 0x0fU;
    } else if (c <= 0xbf) {
        item->kind = NM_ITEM_STR;
        item->len = c & 0x1fU;
        item->body = (const char *)*at;
        *at += item->len;
    } else {
        read_form(at, c, item);
    }
}

void nm_unpack_skip(const unsigned char **at)
{
    for (uint64_t left = 1; left > 0; left--) {
        struct nm_item item = {.len = 0};
        nm_unpack_next(at, &item);
        if (item.kind == NM_ITEM_ARRAY)
            left += item.len;
        else if (item.kind == NM_ITEM_MAP)
            left += 2 * (uint64_t)item.len;
    }
}
