/* markup.h - a text in which the model marked its mentions as [[text|TYPE]].  Internal to the generator. */
#ifndef NM_GENERATOR_MARKUP_H
#define NM_GENERATOR_MARKUP_H

#include <stddef.h>

#include "common/arena.h"
#include "common/err.h"

/* One mention in the text without marks: bytes, without white space at its ends. */
struct nm_mark {
    size_t start, end;
    size_t type; /* index into the types */
};

enum nm_markup_fault {
    NM_MARKUP_FINE,
    NM_MARKUP_OPEN,   /* [[ without ]] */
    NM_MARKUP_CLOSE,  /* ]] without [[ */
    NM_MARKUP_NESTED, /* [[ inside a mark */
    NM_MARKUP_BARE,   /* no |TYPE, or no text */
    NM_MARKUP_TYPE    /* a type that the project does not have */
};

struct nm_markup {
    const char *text; /* without the marks, NUL-terminated, in the arena */
    size_t len;
    struct nm_mark *marks; /* (n), in order, none over another */
    size_t n;
    enum nm_markup_fault fault;    /* if any, the rest is not filled in */
    size_t fault_start, fault_len; /* bytes of the marked text */
};

/* nm_markup_read - take the marks out of valid UTF-8; names of types count whatever their case.  NM_ENOMEM. */
enum nm_err nm_markup_read(const char *s, size_t len, const char *const *types, size_t n_types,
                           struct nm_arena *arena, struct nm_markup *out);

#endif
