/* tagged.h - a text, the words that a tagger sees of it, and what was found as JSON. */
#ifndef NM_TRAINER_TAGGED_H
#define NM_TRAINER_TAGGED_H

#include <stddef.h>

#include <jansson.h>

#include "common/err.h"
#include "workers/trainer/corpus.h"
#include "workers/trainer/metrics.h"
#include "workers/trainer/tagset.h"
#include "workers/trainer/words.h"

struct nm_tagged {
    char *text; /* (len), NUL-terminated */
    size_t len;
    struct nm_extent *extents;   /* (sentence.n) bytes of text */
    struct nm_sentence sentence; /* its words lie in text; no tags */
    json_t *object;              /* that the text came in; NULL: in none */
};

/* nm_tagged_init - a copy of text and of its words (n).  NM_ENOMEM, with nothing to clean up. */
enum nm_err nm_tagged_init(struct nm_tagged *tagged, const char *text, size_t len, const struct nm_extent *words,
                           size_t n);
void nm_tagged_clean_up(struct nm_tagged *tagged);

/* nm_tagged_json - the members of object, "text", and "entities": start and end in code points, type, text, score
 * (the mean probability of its words' tags).  spans (n) are of words.  NULL: out of memory. */
json_t *nm_tagged_json(const struct nm_tagged *tagged, const struct nm_tagset *types, const struct nm_span *spans,
                       size_t n, const float *scores);

#endif
