#include "common/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 16, FIRST_BLOCK = 4096 };

struct nm_arena_block {
    struct nm_arena_block *next;
    size_t size; /* of data */
    size_t used;
    _Alignas(ALIGNMENT) unsigned char data[];
};

void nm_arena_init(struct nm_arena *arena, size_t max)
{
    *arena = (struct nm_arena){.max = max};
}

static struct nm_arena_block *add_block(struct nm_arena *arena, size_t size)
{
    size_t want = arena->head != NULL ? arena->head->size * 2 : FIRST_BLOCK;
    if (want < size)
        want = size;
    struct nm_arena_block *block = malloc(sizeof *block + want);
    if (block == NULL)
        return NULL;
    block->next = arena->head;
    block->size = want;
    block->used = 0;
    arena->head = block;
    return block;
}

/* Not zeroed. */
static void *take(struct nm_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 4)
        return NULL;
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (size == 0)
        size = ALIGNMENT;
    if (arena->max != 0 && size > arena->max - arena->used)
        return NULL;
    struct nm_arena_block *block = arena->head;
    if (block == NULL || size > block->size - block->used)
        block = add_block(arena, size);
    if (block == NULL)
        return NULL;
    void *p = block->data + block->used;
    block->used += size;
    arena->used += size;
    return p;
}

void *nm_arena_alloc(struct nm_arena *arena, size_t size)
{
    void *p = take(arena, size);
    if (p != NULL)
        memset(p, 0, size);
    return p;
}

char *nm_arena_strndup(struct nm_arena *arena, const char *s, size_t len)
{
    if (len == SIZE_MAX)
        return NULL;
    char *copy = take(arena, len + 1);
    if (copy == NULL)
        return NULL;
    if (len > 0)
        memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *nm_arena_sprintf(struct nm_arena *arena, const char *fmt, ...)
{
    va_list ap;
    va_list again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = len < 0 ? NULL : nm_arena_alloc(arena, (size_t)len + 1);
    if (s != NULL)
        (void)vsnprintf(s, (size_t)len + 1, fmt, again);
    va_end(again);
    return s;
}

void nm_arena_reset(struct nm_arena *arena)
{
    struct nm_arena_block *keep = arena->head;
    for (struct nm_arena_block *b = arena->head; b != NULL; b = b->next)
        if (b->size > keep->size)
            keep = b;
    for (struct nm_arena_block *b = arena->head, *next = NULL; b != NULL; b = next) {
        next = b->next;
        if (b != keep)
            free(b);
    }
    arena->head = keep;
    if (keep != NULL) {
        keep->next = NULL;
        keep->used = 0;
    }
    arena->used = 0;
}

void nm_arena_clean_up(struct nm_arena *arena)
{
    for (struct nm_arena_block *b = arena->head, *next = NULL; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    arena->head = NULL;
    arena->used = 0;
}
