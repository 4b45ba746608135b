/* record.h - numbers and texts in the ledger's records, little-endian, with checked reading. */
#ifndef NM_BROKER_RECORD_H
#define NM_BROKER_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/buf.h"

/* Append value in bytes bytes (1 to 8). */
static inline enum nm_err nm_record_put(struct nm_buf *out, uint64_t value, size_t bytes)
{
    unsigned char raw[8];
    for (size_t i = 0; i < bytes; i++)
        raw[i] = (unsigned char)(value >> (8 * i));
    return nm_buf_add(out, raw, bytes);
}

/* A 16-bit length, then the bytes.  NM_ELIMIT: longer than that. */
static inline enum nm_err nm_record_put_text(struct nm_buf *out, const char *text, size_t len)
{
    if (len > UINT16_MAX)
        return NM_ELIMIT;
    enum nm_err err = nm_record_put(out, len, 2);
    return err ? err : nm_buf_add(out, text, len);
}

/* What is left to read; bad once more was asked for than there is. */
struct nm_record {
    const unsigned char *at;
    size_t left;
    bool bad;
};

static inline uint64_t nm_record_get(struct nm_record *in, size_t bytes)
{
    uint64_t value = 0;
    if (in->left < bytes) {
        in->bad = true;
        in->left = 0;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)in->at[i] << (8 * i);
    in->at += bytes;
    in->left -= bytes;
    return value;
}

/* Borrowed from the record; NULL when bad. */
static inline const char *nm_record_get_text(struct nm_record *in, size_t *len)
{
    *len = (size_t)nm_record_get(in, 2);
    if (in->bad || in->left < *len) {
        in->bad = true;
        return NULL;
    }
    const char *text = (const char *)in->at;
    in->at += *len;
    in->left -= *len;
    return text;
}

#endif
