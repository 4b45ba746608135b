/* pickle.h - Python's pickle read as data: what a file of tensors needs of it, and nothing that could run.
 *
 * A pickle is a program for a small stack machine; Python's own executes whatever it names.  This one builds a tree
 * of values.  A global (module.name) has to be on the caller's list, or the pickle is refused with its name in the
 * message; a call of one becomes a value that says so, and is never made.  Every length and count is checked, values
 * are bounded. Source: CPython's Lib/pickletools.py (protocols 2 to 5).  Tests: unit.torch_file, fuzz_torch_file.
 * Threads: any.
 */
#ifndef NM_TRAINER_PICKLE_H
#define NM_TRAINER_PICKLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"

enum nm_pickle_kind {
    NM_PICKLE_NONE,
    NM_PICKLE_INT,    /* a bool, too */
    NM_PICKLE_LONG,   /* an int of more than 8 bytes: text holds them, little-endian */
    NM_PICKLE_FLOAT,  /* of which only that it is one is kept */
    NM_PICKLE_TEXT,   /* str or bytes */
    NM_PICKLE_GLOBAL, /* text: "module.name" */
    NM_PICKLE_TUPLE,
    NM_PICKLE_LIST,
    NM_PICKLE_DICT,   /* items: key, value, key, value; an OrderedDict, too */
    NM_PICKLE_CALL,   /* items: the global, the tuple of its arguments */
    NM_PICKLE_PERSID, /* items: what the persistent id is made of */
    NM_PICKLE_MARK    /* inside the reader only */
};

struct nm_pickle {
    enum nm_pickle_kind kind;
    int64_t integer;
    const char *text; /* (len), in the pickle's own bytes; of a global in the arena */
    size_t len;
    struct nm_pickle **items; /* (n) */
    size_t n, cap;
};

/* nm_pickle_read - one pickle at the start of data (size); *used is how many bytes it takes.  allowed: (n_allowed)
 * the globals that may be named; "collections.OrderedDict" always may.  name is for messages.  The tree lives in
 * arena, whose max bounds it, and borrows from data.  A value may hold itself: follow it to a fixed depth only.
 * NM_EFORMAT: truncated, malformed, or it names another global; NM_ENOMEM: out of memory, or more than arena's max.
 */
enum nm_err nm_pickle_read(const unsigned char *data, size_t size, const char *const *allowed, size_t n_allowed,
                           struct nm_arena *arena, const char *name, struct nm_pickle **root, size_t *used,
                           struct nm_diag *diag);

#endif
