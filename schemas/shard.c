#include "schemas/shard.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"

enum { MAGIC_LEN = 8, HEAD_LEN = MAGIC_LEN + 8 + 4, COUNT_AT = MAGIC_LEN + 8, SUM_LEN = 8 };
static const char magic[MAGIC_LEN + 1] = "NMSHARD1";

static void put_le(unsigned char *p, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        p[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get_le(const unsigned char *p, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)p[i] << (8 * i);
    return value;
}

static enum nm_err add_le(struct nm_buf *out, uint64_t value, size_t bytes)
{
    unsigned char le[8];
    put_le(le, value, bytes);
    return nm_buf_add(out, le, bytes);
}

enum nm_err nm_shard_begin(struct nm_buf *out, uint64_t number)
{
    nm_buf_reset(out);
    enum nm_err err = nm_buf_add(out, magic, MAGIC_LEN);
    if (err == NM_OK)
        err = add_le(out, number, 8);
    return err == NM_OK ? add_le(out, 0, 4) : err;
}

enum nm_err nm_shard_add(struct nm_buf *out, const void *record, size_t len)
{
    unsigned char *count_le = (unsigned char *)out->data + COUNT_AT;
    uint64_t count = get_le(count_le, 4);
    if (len > UINT32_MAX || count >= NM_SHARD_SAMPLES_MAX)
        return NM_ELIMIT;
    enum nm_err err = nm_buf_reserve(out, 4 + len);
    if (err == NM_OK)
        err = add_le(out, len, 4);
    if (err == NM_OK)
        err = nm_buf_add(out, record, len);
    if (err == NM_OK)
        put_le((unsigned char *)out->data + COUNT_AT, count + 1, 4);
    return err;
}

enum nm_err nm_shard_finish(struct nm_buf *out)
{
    return add_le(out, nm_hash64(out->data, out->len, 0), SUM_LEN);
}

/* The lengths must add up to the end before anyone walks along them. */
static enum nm_err check_lengths(const struct nm_shard_reader *r, struct nm_diag *diag)
{
    size_t at = r->at;
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->end - at < 4 || get_le(r->data + at, 4) > r->end - at - 4)
            return nm_fail(diag, NM_EFORMAT, "shard %" PRIu64 ": record %" PRIu32 " of %" PRIu32 " is cut off",
                           r->number, i + 1, r->count);
        at += 4 + (size_t)get_le(r->data + at, 4);
    }
    if (at != r->end)
        return nm_fail(diag, NM_EFORMAT, "shard %" PRIu64 ": bytes follow its %" PRIu32 " records", r->number,
                       r->count);
    return NM_OK;
}

enum nm_err nm_shard_open(const void *data, size_t len, struct nm_shard_reader *r, struct nm_diag *diag)
{
    *r = (struct nm_shard_reader){.data = data};
    if (len < HEAD_LEN + SUM_LEN || memcmp(data, magic, MAGIC_LEN - 1) != 0)
        return nm_fail(diag, NM_EFORMAT, "these %zu bytes are no shard", len);
    if (r->data[MAGIC_LEN - 1] != (unsigned char)magic[MAGIC_LEN - 1])
        return nm_fail(diag, NM_EVERSION, "the shard has version %c, this nermill reads %c: use the same version",
                       r->data[MAGIC_LEN - 1], magic[MAGIC_LEN - 1]);
    r->number = get_le(r->data + MAGIC_LEN, 8);
    r->count = r->left = (uint32_t)get_le(r->data + COUNT_AT, 4);
    r->at = HEAD_LEN;
    r->end = len - SUM_LEN;
    if (nm_hash64(data, r->end, 0) != get_le(r->data + r->end, SUM_LEN))
        return nm_fail(diag, NM_EFORMAT, "shard %" PRIu64 " is damaged: its checksum does not match", r->number);
    return check_lengths(r, diag);
}

enum nm_err nm_shard_next(struct nm_shard_reader *r, const void **record, size_t *len)
{
    if (r->left == 0)
        return NM_ENOENT;
    *len = (size_t)get_le(r->data + r->at, 4);
    *record = r->data + r->at + 4;
    r->at += 4 + *len;
    r->left--;
    return NM_OK;
}

/* ---- the index ------------------------------------------------------------------------------- */

enum nm_err nm_index_encode(const struct nm_index *index, struct nm_buf *out)
{
    enum nm_err err = nm_buf_addf(out, "nermill-index\t1\t%s\t%" PRIu64 "\t%" PRIu64 "\n", index->run,
                                  index->shard_samples, index->samples);
    for (size_t i = 0; i < index->n_shards && err == NM_OK; i++) {
        const struct nm_index_shard *s = &index->shards[i];
        err = nm_buf_addf(out, "%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%016" PRIx64 "\t%s\n", s->number, s->count,
                          s->bytes, s->digest, s->sealed ? "sealed" : "open");
    }
    return err;
}

/* The next TAB- or line-ended field, as a string in arena; NULL: there is none or no memory. */
static char *field(const char **at, const char *end, char stop, struct nm_arena *arena)
{
    const char *hit = *at < end ? memchr(*at, stop, (size_t)(end - *at)) : NULL;
    if (hit == NULL)
        return NULL;
    char *s = nm_arena_strndup(arena, *at, (size_t)(hit - *at));
    *at = hit + 1;
    return s;
}

static bool number(const char *s, int base, uint64_t *value)
{
    char *rest;
    if (s == NULL || *s == '\0' || strspn(s, base == 16 ? "0123456789abcdef" : "0123456789") != strlen(s) ||
        strlen(s) > 20)
        return false;
    *value = strtoull(s, &rest, base);
    return *rest == '\0';
}

static bool shard_line(const char **at, const char *end, struct nm_arena *arena, struct nm_index_shard *shard)
{
    if (!number(field(at, end, '\t', arena), 10, &shard->number) ||
        !number(field(at, end, '\t', arena), 10, &shard->count) ||
        !number(field(at, end, '\t', arena), 10, &shard->bytes) ||
        !number(field(at, end, '\t', arena), 16, &shard->digest))
        return false;
    const char *state = field(at, end, '\n', arena);
    shard->sealed = state != NULL && strcmp(state, "sealed") == 0;
    return shard->sealed || (state != NULL && strcmp(state, "open") == 0);
}

enum nm_err nm_index_decode(const char *data, size_t len, struct nm_arena *arena, struct nm_index *index,
                            struct nm_diag *diag)
{
    *index = (struct nm_index){0};
    const char *at = data;
    const char *end = data + len;
    const char *name = field(&at, end, '\t', arena);
    const char *version = field(&at, end, '\t', arena);
    if (name == NULL || version == NULL || strcmp(name, "nermill-index") != 0)
        return nm_fail(diag, NM_EFORMAT, "these %zu bytes are no index of shards", len);
    if (strcmp(version, "1") != 0)
        return nm_fail(diag, NM_EVERSION, "the index has version %s, this nermill reads 1: use the same version",
                       version);
    index->run = field(&at, end, '\t', arena);
    if (index->run == NULL || !number(field(&at, end, '\t', arena), 10, &index->shard_samples) ||
        !number(field(&at, end, '\n', arena), 10, &index->samples))
        return nm_fail(diag, NM_EFORMAT, "index of shards, line 1: malformed");
    size_t lines = 0;
    for (const char *p = at; p < end; p++)
        lines += *p == '\n';
    index->shards = nm_arena_alloc(arena, (lines + 1) * sizeof *index->shards); /* the last may be cut off */
    if (index->shards == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory for an index of %zu shards", lines);
    while (at < end) {
        if (!shard_line(&at, end, arena, &index->shards[index->n_shards]))
            return nm_fail(diag, NM_EFORMAT, "index of shards, line %zu: malformed", index->n_shards + 2);
        index->n_shards++;
    }
    return NM_OK;
}
