/* map.h - numbers to pointers: the open tasks by index, the peers by the hash of their routing id.
 *
 * Open addressing with linear probing, deletion by shifting back (Knuth, TAOCP 6.4, algorithm R); at most 3/4 full.
 * One thread.
 */
#ifndef NM_BROKER_MAP_H
#define NM_BROKER_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct nm_map_slot {
    uint64_t key;
    void *value; /* NULL: empty */
};

struct nm_map {
    struct nm_map_slot *slots;
    size_t n, cap; /* cap is 0 or a power of two */
};

/* nm_map_init - empty; allocates nothing.  nm_map_clean_up - free the table, not what it points to. */
void nm_map_init(struct nm_map *map);
void nm_map_clean_up(struct nm_map *map);
void nm_map_clear(struct nm_map *map); /* empty, its memory kept */

/* nm_map_put - key -> value (not NULL), replacing what was there.  NM_ENOMEM: nothing was changed. */
enum nm_err nm_map_put(struct nm_map *map, uint64_t key, void *value) __attribute__((warn_unused_result));

/* nm_map_get - NULL: no such key. */
void *nm_map_get(const struct nm_map *map, uint64_t key);

/* nm_map_del - the value that was there, or NULL. */
void *nm_map_del(struct nm_map *map, uint64_t key);

#endif
