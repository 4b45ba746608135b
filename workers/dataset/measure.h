/* measure.h - what a data set is like, in numbers: what nermill report shows.
 *
 * Records are added one by one and not kept: memory goes with the number of different entities, texts and contexts,
 * except for a random sample (by the seed) for what can only be seen in the texts themselves.
 */
#ifndef NM_DATASET_MEASURE_H
#define NM_DATASET_MEASURE_H

#include <stdbool.h>

#include "schemas/entities.h"
#include "workers/dataset/record.h"

struct json_t;
struct nm_measure;

enum {
    NM_MEASURE_TEXTS = 1000, /* in the sample that diversity is taken of */
    NM_MEASURE_BLEU = 200,   /* of them, for self-BLEU */
    NM_MEASURE_SHOWN = 50    /* samples to look at */
};

/* nm_measure_new - lists: the project's, to be covered; borrowed; NULL: there are none.  leak_words: in a row, that
 * no gold sentence may share (schemas/leakage.h).  NULL: out of memory. */
struct nm_measure *nm_measure_new(uint64_t seed, const struct nm_entities *lists, uint32_t leak_words);
void nm_measure_destroy(struct nm_measure **measure);

/* nm_measure_add - an nm_record_fn; ctx is the measure. */
enum nm_err nm_measure_add(void *measure, const struct nm_record *record, struct nm_diag *diag);

/* nm_measure_leaks - before the first nm_measure_add: a sentence of gold text that should not be found again; an
 * nm_record_fn. */
enum nm_err nm_measure_leaks(void *measure, const struct nm_record *record, struct nm_diag *diag);

/* nm_measure_json - counts, types, coverage, length, entities_per_sample, diversity, duplicates, leakage, samples, as
 * schemas/report.schema.json says; the caller's.  NULL: out of memory. */
struct json_t *nm_measure_json(struct nm_measure *measure);

#endif
