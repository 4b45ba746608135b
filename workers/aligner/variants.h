/* variants.h - the forms besides its own in which an entity is to be found, where the project wants that. */
#ifndef NM_ALIGNER_VARIANTS_H
#define NM_ALIGNER_VARIANTS_H

#include <stdbool.h>

#include "common/arena.h"
#include "common/err.h"
#include "workers/aligner/matcher.h"

struct nm_variants {
    struct nm_pattern *v; /* (n) variant_of is set in each; texts in arena */
    size_t n, cap;
    struct nm_arena arena;
    struct nm_tokens tokens; /* work space */
};

void nm_variants_init(struct nm_variants *variants);
void nm_variants_clean_up(struct nm_variants *variants);

/* nm_variants_add - the variants of entity number `number`.  plurals: the last word's plural, and singular, by the
 * rules of English spelling.  hyphens: each hyphen or blank between two words as the other; all combinations of up to
 * three, of more each by itself and all as one.  NM_EFORMAT: not UTF-8; NM_ENOMEM. */
enum nm_err nm_variants_add(struct nm_variants *variants, const struct nm_pattern *entity, uint32_t number,
                            bool plurals, bool hyphens);

#endif
