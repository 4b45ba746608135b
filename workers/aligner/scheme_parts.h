/* scheme_parts.h - what scheme.c (learning) and scheme_run.c (cutting) share; for nobody else. */
#ifndef NM_ALIGNER_SCHEME_PARTS_H
#define NM_ALIGNER_SCHEME_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/aligner/lexicon.h"
#include "workers/aligner/scheme.h"

/* How often there was no cut, and a cut, at places of one kind. */
struct evidence {
    uint64_t key; /* 0: free */
    uint32_t joined, cut;
};

/* The true cuts of a stretch of text that the rule cuts otherwise. */
struct exception {
    uint32_t first, count; /* inner cuts, byte offsets, in struct nm_scheme's cuts */
    uint32_t right, wrong;
    bool fresh; /* just made */
    bool told;  /* offsets say that the cut ones stood together: no guess */
    bool off;
};

enum { FIRSTS = 1 << 16 };

struct nm_scheme {
    struct evidence *table;
    uint64_t mask;
    size_t n_keys;
    struct nm_lexicon lexicon; /* texts of exceptions */
    struct exception *exceptions;
    size_t exceptions_cap;
    uint32_t *cuts;
    size_t n_cuts, cuts_cap;
    uint32_t most_tokens;          /* that an exception spans, as the rule cuts it; 0: there are none */
    uint64_t firsts[FIRSTS / 64];  /* the first two bytes of exceptions, a bit each: most look-ups end here */
    bool invisible;                /* some token of the file is of invisible characters only */
    unsigned char ascii[128][128]; /* enum verdict of two letters or digits */
};

/* A place between two characters, with theirs; OUTSIDE: there is none. */
struct place {
    int32_t before, left, right, behind;
};
enum { OUTSIDE = -1 };

enum verdict { VERDICT_ASK, VERDICT_JOIN, VERDICT_CUT };

/* What a place is looked up by, letters and digits as classes but where it says otherwise: its neighbourhood; the
 * same with the very characters; a symbol and the blank beside it; the pair; the classes of both. */
enum level { LEVEL_NEAR, LEVEL_EXACT, LEVEL_EDGE, LEVEL_PAIR, LEVEL_CLASS, LEVELS };
uint64_t scheme_key(enum level level, const struct place *place); /* 0: there is no such place at this level */

/* The place of a key in the table, free or not. */
struct evidence *scheme_slot(const struct nm_scheme *scheme, uint64_t key);

/* The bit of a text of two bytes at least, in struct nm_scheme's firsts. */
static inline size_t scheme_first_bit(const char *text)
{
    return (size_t)(unsigned char)text[0] << 8 | (unsigned char)text[1];
}

/* The evidence at a key, NULL if there is none. */
struct evidence *scheme_find(const struct nm_scheme *scheme, uint64_t key);

/* By the rule alone, without exceptions; the tokens replace those given. */
enum nm_err scheme_cut(const struct nm_scheme *scheme, const char *text, size_t len, struct nm_tokens *tokens);

/* The exception for the text of tokens [i, j] as the rule cut them, NULL if there is none. */
struct exception *scheme_exception(const struct nm_scheme *scheme, const char *text, const struct nm_tokens *tokens,
                                   size_t i, size_t j);

#endif
