/* likeness.h - texts that are nearly the same: exactly, by a set-similarity join with prefix filtering.
 *
 * A text is the set of its word 5-grams (a shorter one is one gram).  Two sets of Jaccard similarity of at least t
 * share one of the first |x| - ceil(t |x|) + 1 grams of each, whatever the order of grams, so only texts that meet
 * there are compared; with rare grams first, few do.  Source: Chaudhuri, Ganti, Kaushik, "A primitive operator for
 * similarity joins in data cleaning", 2006; Bayardo, Ma, Srikant, "Scaling up all pairs similarity search", 2007.
 */
#ifndef NM_DATASET_LIKENESS_H
#define NM_DATASET_LIKENESS_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { NM_LIKENESS_GRAM = 5 };

struct nm_likeness;
struct nm_likeness *nm_likeness_new(void); /* NULL: out of memory */
void nm_likeness_destroy(struct nm_likeness **likeness);

/* nm_likeness_add - a text of n words, as hashes.  NM_ENOMEM. */
enum nm_err nm_likeness_add(struct nm_likeness *likeness, const uint64_t *words, size_t n);

/* nm_likeness_count - *near: how many texts have another one of at least that similarity (0 to 1).  NM_ENOMEM. */
enum nm_err nm_likeness_count(struct nm_likeness *likeness, double threshold, size_t *near);

#endif
