/* bootstrap.h - is one tagger better than another, or was it luck?  Paired bootstrap over sentences.
 *
 * Sources: Efron 1979; Berg-Kirkpatrick, Burkett, Klein 2012.  Threads: any.
 */
#ifndef NM_TRAINER_BOOTSTRAP_H
#define NM_TRAINER_BOOTSTRAP_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* What one sentence adds to the counts of an F1. */
struct nm_tally {
    uint32_t correct, predicted, gold;
};

struct nm_bootstrap {
    double f1_a, f1_b, difference; /* b - a, on the sentences as they are */
    double low, high;              /* of the difference: the middle 95 % of the resamples */
    double p;                      /* share of the resamples in which b is not better than a */
};

/* nm_tally_f1 - micro F1 of n sentences; 0 where undefined. */
double nm_tally_f1(const struct nm_tally *tallies, size_t n);

/* nm_bootstrap_paired - the same n sentences by a and by b, drawn n at a time with replacement, rounds times (at
 * least 1). The same seed gives the same result.  NM_ENOMEM. */
enum nm_err nm_bootstrap_paired(const struct nm_tally *a, const struct nm_tally *b, size_t n, size_t rounds,
                                uint64_t seed, struct nm_bootstrap *result);

#endif
