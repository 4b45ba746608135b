/* tallies.h - what each sentence adds to an F1, of predictions held against gold: what a bootstrap draws from. */
#ifndef NM_TRAINER_TALLIES_H
#define NM_TRAINER_TALLIES_H

#include "workers/trainer/bootstrap.h"
#include "workers/trainer/corpus.h"
#include "workers/trainer/tagset.h"

/* nm_tallies_read - out (gold->n) of the tags in a CoNLL file with the words of gold.  File errors; NM_EFORMAT: it
 * has other words. */
enum nm_err nm_tallies_read(const char *path, const struct nm_corpus *gold, struct nm_tally *out,
                            struct nm_diag *diag);

/* nm_tallies_renumber - the tags of all words of a corpus, their types by set's numbers (new ones are added).
 * NM_ENOMEM. */
enum nm_err nm_tallies_renumber(const struct nm_corpus *corpus, struct nm_tagset *set, int32_t *tags);

/* nm_tallies_count - out (gold->n) of two columns of tags (gold->n_words) of types below n_types.  NM_ENOMEM. */
enum nm_err nm_tallies_count(const struct nm_corpus *gold, const int32_t *right, const int32_t *found, size_t n_types,
                             struct nm_tally *out);

#endif
