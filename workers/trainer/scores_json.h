/* scores_json.h - scores as JSON and as a table: one form in files, on standard output and in a model's record. */
#ifndef NM_TRAINER_SCORES_JSON_H
#define NM_TRAINER_SCORES_JSON_H

#include <stdio.h>

#include <jansson.h>

#include "workers/trainer/evaluation.h"

/* nm_scores_json - {precision, recall, f1, correct, predicted, gold, words, word_accuracy, types: {...}}.  NULL: out
 * of memory. */
json_t *nm_scores_json(const struct nm_scores *scores, char *const *types);

/* nm_evaluation_json - the same of exact, and iob2_strict, overlap, seen and unseen (where there is a list of known
 * ones), confusion, calibration, mistakes. */
json_t *nm_evaluation_json(const struct nm_evaluation *e, char *const *types);

/* For people. */
void nm_scores_print(const struct nm_scores *scores, char *const *types, FILE *out);
void nm_evaluation_print(const struct nm_evaluation *e, char *const *types, FILE *out);

#endif
