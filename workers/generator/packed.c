/* packed.c - the size of a deflated text.
 *
 * The bound (RFC 1951), for a text that is one block, of literals and of matches, which copy three bytes or more from
 * before:
 *  - a byte is a literal for certain where none of the three-byte strings that it is part of has stood before;
 *  - a prefix code spends on the certain literals at least their entropy (Shannon);
 *  - each stretch between them costs a match, of two codes and the extra bits of its distance, or its bytes one by
 * one;
 *  - every byte value that occurs is a literal at its first place, so the code's own description tells a length of
 * each, and how many values without one lie between them. Where two strings share a place in the table, a literal is
 * less certain and a distance shorter: the bound is lower.
 */
#include "workers/generator/packed.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <zlib.h>

enum { BOUND_MAX = 1024, STRINGS = 4096, END_OF_BLOCK = 256, FIXED_MATCH = 12, FIXED_LITERAL = 8 };

size_t nm_packed_size(const char *text, size_t len)
{
    /* A sentence gets tables of its size: clearing zlib's usual 268 KB takes longer than packing it. */
    enum { SMALL = 3500, SMALL_WINDOW = 12, SMALL_MEMORY = 5, WINDOW = 15, MEMORY = 8 };
    bool small = len <= SMALL;
    unsigned char packed[4096];
    z_stream z = {
        .next_in = (unsigned char *)text, .avail_in = (uInt)len, .next_out = packed, .avail_out = sizeof packed};
    if (deflateInit2(&z, 9, Z_DEFLATED, small ? -SMALL_WINDOW : -WINDOW, small ? SMALL_MEMORY : MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    bool whole = deflate(&z, Z_FINISH) == Z_STREAM_END;
    (void)deflateEnd(&z);
    return whole ? z.total_out : 0;
}

/* ---- the bound ------------------------------------------------------------------------------- */

static unsigned least_of(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Per byte: may it be part of a match; and where a string begins that stood before, how far back at least, else 0. */
static void find_matches(const unsigned char *s, size_t len, bool *copied, uint16_t *distance)
{
    uint16_t last[STRINGS] = {0}; /* places, + 1 */
    for (size_t i = 0; i + 3 <= len; i++) {
        uint32_t string = s[i] | (uint32_t)s[i + 1] << 8 | (uint32_t)s[i + 2] << 16;
        uint16_t *place = &last[string * 2654435761U >> 20];
        if (*place > 0) {
            distance[i] = (uint16_t)(i + 1 - *place);
            copied[i] = copied[i + 1] = copied[i + 2] = true;
        }
        *place = (uint16_t)(i + 1);
    }
}

/* Bits of a distance that its code does not hold. */
static unsigned extra_bits(unsigned distance)
{
    unsigned bits = 0;
    for (unsigned rest = (distance - 1) / 4; rest > 0; rest /= 2)
        bits++;
    return bits;
}

/* Bits of what may be copied, by a code of the text's own and by the fixed one. */
static void add_stretches(const bool *copied, const uint16_t *distance, size_t len, double *own, double *fixed)
{
    for (size_t i = 0; i < len; i++) {
        unsigned nearest = UINT16_MAX, n = 0;
        for (; i < len && copied[i]; i++, n++)
            if (distance[i] > 0)
                nearest = least_of(nearest, distance[i]);
        if (n == 0)
            continue;
        *own += least_of(n, 2 + extra_bits(nearest));
        *fixed += FIXED_MATCH;
    }
}

/* Bits to tell n lengths in a row: a bit for each, or three for a repeat of up to six. */
static unsigned told(unsigned n)
{
    return n == 0 ? 0 : 1 + (n - 1) / 6 * 3 + least_of((n - 1) % 6, 3);
}

/* Bits to pass over n values that have none: the same, or four for up to ten, or eight for up to 138. */
static unsigned passed(unsigned n)
{
    return n / 138 * 8 + least_of(n % 138 / 10 * 4 + least_of(n % 138 % 10, 3), 8);
}

/* Bits of the description of a text's own code. */
static unsigned description(const unsigned char *s, size_t len)
{
    bool used[END_OF_BLOCK + 1] = {[END_OF_BLOCK] = true};
    unsigned bits = 0, with = 0, without = 0;
    for (size_t i = 0; i < len; i++)
        used[s[i]] = true;
    for (size_t value = 0; value <= END_OF_BLOCK; value++) {
        bits += used[value] ? passed(without) : told(with);
        with = used[value] ? with + 1 : 0;
        without = used[value] ? 0 : without + 1;
    }
    return bits + told(with);
}

/* Bits of the certain literals, by the best code for them and by the fixed one. */
static void add_literals(const unsigned char *s, const bool *copied, size_t len, double *own, double *fixed)
{
    unsigned count[256] = {0}, all = 0;
    for (size_t i = 0; i < len; i++)
        if (!copied[i]) {
            count[s[i]]++;
            all++;
        }
    for (size_t value = 0; value < 256; value++)
        if (count[value] > 0)
            *own += count[value] * log2((double)all / count[value]);
    *fixed += FIXED_LITERAL * all;
}

double nm_packed_least(const char *text, size_t len)
{
    enum { BLOCK = 3, COUNTS = 14, CODE_LENGTHS = 4 * 3, END = 1, FIXED_END = 7 }; /* bits that are always there */
    const unsigned char *s = (const unsigned char *)text;
    bool copied[BOUND_MAX] = {false};
    uint16_t distance[BOUND_MAX] = {0};
    if (len > BOUND_MAX)
        return 0;
    double own = BLOCK + COUNTS + CODE_LENGTHS + END + description(s, len), fixed = BLOCK + FIXED_END;
    find_matches(s, len, copied, distance);
    add_literals(s, copied, len, &own, &fixed);
    add_stretches(copied, distance, len, &own, &fixed);
    double least = own < fixed ? own : fixed, stored = 8 * (double)len;
    return least < stored ? least : stored;
}

bool nm_packed_over(const char *text, size_t len, double ratio)
{
    const double rounding = 1e-6;
    if (8 * (double)len <= ratio * (1 - rounding) * nm_packed_least(text, len))
        return false;
    size_t packed = nm_packed_size(text, len);
    return packed > 0 && (double)len / (double)packed > ratio;
}
