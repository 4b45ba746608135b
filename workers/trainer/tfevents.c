#include "workers/trainer/tfevents.h"

#include <stdbool.h>
#include <string.h>

enum { RECORD_MAX = 512, TAG_MAX = 200 };

/* A message being written, in protobuf's wire format. */
struct message {
    unsigned char data[RECORD_MAX];
    size_t len;
};

uint32_t nm_crc32c(const void *data, size_t len)
{
    const unsigned char *p = data;
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < len; i++) { /* bit by bit: a few hundred bytes a second */
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78U : 0U);
    }
    return ~crc;
}

static void put_little(unsigned char *out, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static void add_varint(struct message *m, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        m->data[m->len++] = (unsigned char)(value | 0x80);
    m->data[m->len++] = (unsigned char)value;
}

/* A field's key: its number and how its value is written (0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes).
 */
static void add_key(struct message *m, unsigned number, unsigned wire)
{
    add_varint(m, number << 3 | wire);
}

static void add_bytes(struct message *m, unsigned number, const void *data, size_t len)
{
    add_key(m, number, 2);
    add_varint(m, len);
    memcpy(m->data + m->len, data, len);
    m->len += len;
}

static void add_time(struct message *m, double time)
{
    uint64_t bits;
    memcpy(&bits, &time, sizeof(bits));
    add_key(m, 1, 1);
    put_little(m->data + m->len, bits, 8);
    m->len += 8;
}

static bool write_record(FILE *out, const struct message *m)
{
    unsigned char head[12], tail[4];
    uint32_t crc;
    put_little(head, m->len, 8);
    crc = nm_crc32c(head, 8);
    put_little(head + 8, (uint32_t)((crc >> 15 | crc << 17) + 0xA282EAD8U), 4);
    crc = nm_crc32c(m->data, m->len);
    put_little(tail, (uint32_t)((crc >> 15 | crc << 17) + 0xA282EAD8U), 4);
    return fwrite(head, 1, sizeof(head), out) == sizeof(head) && fwrite(m->data, 1, m->len, out) == m->len &&
           fwrite(tail, 1, sizeof(tail), out) == sizeof(tail);
}

bool nm_tfevents_begin(FILE *out, double time)
{
    static const char version[] = "brain.Event:2";
    struct message event = {.len = 0};
    add_time(&event, time);
    add_bytes(&event, 3, version, sizeof(version) - 1);
    return write_record(out, &event);
}

bool nm_tfevents_scalar(FILE *out, double time, uint64_t step, const char *tag, float value)
{
    struct message event = {.len = 0}, summary = {.len = 0}, v = {.len = 0};
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    add_bytes(&v, 1, tag, strnlen(tag, TAG_MAX));
    add_key(&v, 2, 5);
    put_little(v.data + v.len, bits, 4);
    v.len += 4;
    add_bytes(&summary, 1, v.data, v.len);
    add_time(&event, time);
    add_key(&event, 2, 0);
    add_varint(&event, step);
    add_bytes(&event, 5, summary.data, summary.len);
    return write_record(out, &event);
}
