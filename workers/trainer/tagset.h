/* tagset.h - a model's labels ("O", "B-Disease") as the tag numbers of metrics.h. */
#ifndef NM_TRAINER_TAGSET_H
#define NM_TRAINER_TAGSET_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct nm_tagset {
    char **types; /* (n_types), owned; those of the labels in order of their name, then those added */
    size_t n_types;
    int32_t *tags; /* (n_labels) the tag of each label */
    size_t n_labels;
};

/* nm_tagset_init - from label names.  where names the model in messages.  NM_EFORMAT: a label that is none of
 * O, B-TYPE, I-TYPE, as those of a model that is no tagger are; NM_ENOMEM.  On error nothing to clean up. */
enum nm_err nm_tagset_init(struct nm_tagset *set, const char *const *labels, size_t n, const char *where,
                           struct nm_diag *diag);
void nm_tagset_clean_up(struct nm_tagset *set);

/* nm_tagset_type - the index of a type by name, added behind the others where it is new.  NM_ENOMEM. */
enum nm_err nm_tagset_type(struct nm_tagset *set, const char *name, size_t *type);

/* nm_tagset_copy_types - the names in one block, to be freed by free().  NULL: out of memory. */
char **nm_tagset_copy_types(const struct nm_tagset *set);

/* nm_tagset_labels - O, then B- and I- of each type: label i is tag i.  2 n + 1 strings and the array in one
 * block, to be freed by free().  NULL: out of memory. */
char **nm_tagset_labels(const char *const *types, size_t n);

#endif
