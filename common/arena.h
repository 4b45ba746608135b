/* arena.h - memory that is freed all at once: what a decoded message or a parsed file lives in.
 *
 * Not thread-safe: one arena, one thread.  Allocation is zero-filled and aligned to 16 bytes.
 */
#ifndef NM_COMMON_ARENA_H
#define NM_COMMON_ARENA_H

#include <stddef.h>

struct nm_arena_block;

struct nm_arena {
    struct nm_arena_block *head;
    size_t used; /* bytes handed out since the last reset */
    size_t max;  /* 0: no limit */
};

/* nm_arena_init - an empty arena; max is the most bytes it will ever hand out (0: no limit). */
void nm_arena_init(struct nm_arena *arena, size_t max);

/* nm_arena_alloc - size zeroed bytes, valid until reset or clean-up.  NULL: out of memory or over max. */
void *nm_arena_alloc(struct nm_arena *arena, size_t size);

/* nm_arena_strndup - a NUL-terminated copy of len bytes.  NULL as above. */
char *nm_arena_strndup(struct nm_arena *arena, const char *s, size_t len);

/* nm_arena_sprintf - a formatted string in the arena.  NULL as above. */
char *nm_arena_sprintf(struct nm_arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* nm_arena_reset - free everything but the largest block, which is kept for reuse. */
void nm_arena_reset(struct nm_arena *arena);

/* nm_arena_clean_up - free everything; the arena may be initialised again. */
void nm_arena_clean_up(struct nm_arena *arena);

#endif
