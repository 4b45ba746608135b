#include "workers/trainer/zip.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Sizes of the fixed parts, and what a field holds whose value stands in the ZIP64 record. */
enum { LOCAL = 30, CENTRAL = 46, END = 22, LOCATOR = 20, END64 = 56, COMMENT_MAX = 65535, ENTRIES_MAX = 1 << 20 };
static const uint64_t elsewhere = 0xFFFFFFFF;

struct archive {
    const unsigned char *data;
    size_t size;
    const char *path;
    struct nm_diag *diag;
};

static uint64_t little(const unsigned char *p, size_t n)
{
    uint64_t x = 0;
    while (n-- > 0)
        x = x << 8 | p[n];
    return x;
}

static enum nm_err malformed(const struct archive *a, const char *what)
{
    return nm_fail(a->diag, NM_EFORMAT, "%s: %s: fetch it again", a->path, what);
}

/* length bytes at offset lie in the archive. */
static bool inside(const struct archive *a, uint64_t offset, uint64_t length)
{
    return offset <= a->size && length <= a->size - offset;
}

bool nm_zip_is(const unsigned char *data, size_t size)
{
    return size >= 4 && memcmp(data, "PK\3\4", 4) == 0;
}

struct directory {
    uint64_t offset, size, entries;
};

static enum nm_err find_directory(const struct archive *a, struct directory *d)
{
    const unsigned char *end = NULL;
    for (size_t back = END; back <= a->size && back <= END + COMMENT_MAX && end == NULL; back++)
        if (memcmp(a->data + a->size - back, "PK\5\6", 4) == 0)
            end = a->data + a->size - back;
    if (end == NULL)
        return malformed(a, "no end of a ZIP archive: it is truncated");
    *d = (struct directory){
        .entries = little(end + 10, 2), .size = little(end + 12, 4), .offset = little(end + 16, 4)};
    if (d->entries != 0xFFFF && d->size != elsewhere && d->offset != elsewhere)
        return NM_OK;
    const unsigned char *locator = end - LOCATOR;
    if (end - a->data < LOCATOR || memcmp(locator, "PK\6\7", 4) != 0)
        return NM_OK; /* no ZIP64: the values are meant */
    uint64_t at = little(locator + 8, 8);
    if (!inside(a, at, END64) || memcmp(a->data + at, "PK\6\6", 4) != 0)
        return malformed(a, "its ZIP64 directory is not where it should be");
    const unsigned char *end64 = a->data + at;
    *d = (struct directory){
        .entries = little(end64 + 32, 8), .size = little(end64 + 40, 8), .offset = little(end64 + 48, 8)};
    return NM_OK;
}

/* Sizes and offset that the fixed fields have no room for, from the entry's extra fields, in this order. */
static void take_zip64(const unsigned char *extra, size_t len, uint64_t *fields[3])
{
    for (size_t at = 0; at + 4 <= len;) {
        size_t id = (size_t)little(extra + at, 2), n = (size_t)little(extra + at + 2, 2), from = at + 4;
        for (size_t i = 0; i < 3 && id == 1; i++)
            if (*fields[i] == elsewhere && from + 8 <= at + 4 + n && from + 8 <= len) {
                *fields[i] = little(extra + from, 8);
                from += 8;
            }
        at += 4 + n;
    }
}

static enum nm_err read_entry(const struct archive *a, uint64_t *at, struct nm_zip_entry *entry)
{
    const unsigned char *c = a->data + *at;
    if (!inside(a, *at, CENTRAL) || memcmp(c, "PK\1\2", 4) != 0)
        return malformed(a, "its ZIP directory is damaged");
    uint64_t flags = little(c + 8, 2), method = little(c + 10, 2), packed = little(c + 20, 4),
             size = little(c + 24, 4);
    uint64_t name_len = little(c + 28, 2), extra_len = little(c + 30, 2), comment = little(c + 32, 2);
    uint64_t offset = little(c + 42, 4);
    if (!inside(a, *at, CENTRAL + name_len + extra_len + comment))
        return malformed(a, "its ZIP directory is damaged");
    take_zip64(c + CENTRAL + name_len, (size_t)extra_len, (uint64_t *[]){&size, &packed, &offset});
    entry->name = (const char *)c + CENTRAL;
    entry->name_len = (size_t)name_len;
    if (method != 0 || (flags & 1) != 0 || packed != size)
        return nm_fail(a->diag, NM_EFORMAT, "%s: entry %.*s is compressed or encrypted, which PyTorch never writes",
                       a->path, (int)name_len, entry->name);
    if (!inside(a, offset, LOCAL) || memcmp(a->data + offset, "PK\3\4", 4) != 0)
        return malformed(a, "an entry of its ZIP directory is not where it should be");
    uint64_t data = offset + LOCAL + little(a->data + offset + 26, 2) + little(a->data + offset + 28, 2);
    if (!inside(a, data, size))
        return malformed(a, "truncated");
    entry->data = a->data + data;
    entry->size = (size_t)size;
    *at += CENTRAL + name_len + extra_len + comment;
    return NM_OK;
}

enum nm_err nm_zip_read(const unsigned char *data, size_t size, const char *path, struct nm_zip_entry **entries,
                        size_t *n, struct nm_diag *diag)
{
    const struct archive a = {.data = data, .size = size, .path = path, .diag = diag};
    struct directory d = {0};
    enum nm_err err = find_directory(&a, &d);
    if (err != NM_OK)
        return err;
    if (d.entries > ENTRIES_MAX || !inside(&a, d.offset, d.size))
        return malformed(&a, "its ZIP directory is not where it should be");
    struct nm_zip_entry *found = calloc((size_t)d.entries + 1, sizeof(*found));
    if (found == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", path);
    uint64_t at = d.offset;
    for (size_t i = 0; i < d.entries && err == NM_OK; i++)
        err = read_entry(&a, &at, &found[i]);
    if (err != NM_OK) {
        free(found);
        return err;
    }
    *entries = found;
    *n = (size_t)d.entries;
    return NM_OK;
}

const struct nm_zip_entry *nm_zip_find(const struct nm_zip_entry *entries, size_t n, const char *name, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (entries[i].name_len == len && memcmp(entries[i].name, name, len) == 0)
            return &entries[i];
    return NULL;
}
