#include "broker/map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"

void nm_map_init(struct nm_map *map)
{
    *map = (struct nm_map){0};
}

void nm_map_clean_up(struct nm_map *map)
{
    free(map->slots);
    nm_map_init(map);
}

void nm_map_clear(struct nm_map *map)
{
    if (map->n)
        memset(map->slots, 0, map->cap * sizeof *map->slots);
    map->n = 0;
}

/* Where key is, or the empty slot where it would go; the table has one. */
static size_t find(const struct nm_map *map, uint64_t key)
{
    size_t i = (size_t)nm_mix64(key) & (map->cap - 1);
    while (map->slots[i].value && map->slots[i].key != key)
        i = (i + 1) & (map->cap - 1);
    return i;
}

static enum nm_err grow(struct nm_map *map)
{
    struct nm_map bigger = {.n = map->n, .cap = map->cap ? map->cap * 2 : 64};
    bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots)
        return NM_ENOMEM;
    for (size_t i = 0; i < map->cap; i++)
        if (map->slots[i].value)
            bigger.slots[find(&bigger, map->slots[i].key)] = map->slots[i];
    free(map->slots);
    *map = bigger;
    return NM_OK;
}

enum nm_err nm_map_put(struct nm_map *map, uint64_t key, void *value)
{
    assert(value);
    if (4 * (map->n + 1) > 3 * map->cap) {
        enum nm_err err = grow(map);
        if (err)
            return err;
    }
    size_t i = find(map, key);
    if (!map->slots[i].value)
        map->n++;
    map->slots[i] = (struct nm_map_slot){key, value};
    return NM_OK;
}

void *nm_map_get(const struct nm_map *map, uint64_t key)
{
    return map->n ? map->slots[find(map, key)].value : NULL;
}

void *nm_map_del(struct nm_map *map, uint64_t key)
{
    if (!map->n)
        return NULL;
    size_t mask = map->cap - 1, hole = find(map, key);
    void *value = map->slots[hole].value;
    if (!value)
        return NULL;
    for (size_t i = (hole + 1) & mask; map->slots[i].value; i = (i + 1) & mask) {
        size_t home = (size_t)nm_mix64(map->slots[i].key) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) { /* its probe passes the hole: it may move there */
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole].value = NULL;
    map->n--;
    return value;
}
