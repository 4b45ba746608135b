/* experiment_summary.h - the cells that are done, put together: means over draws and seeds, comparisons with gold
 * alone.
 */
#ifndef NM_CLI_EXPERIMENT_SUMMARY_H
#define NM_CLI_EXPERIMENT_SUMMARY_H

#include <jansson.h>

#include "cli/experiment_plan.h"

/* What of a cell is averaged. */
enum nm_exp_figure { NM_EXP_F1, NM_EXP_PRECISION, NM_EXP_RECALL, NM_EXP_SEEN, NM_EXP_UNSEEN, NM_EXP_FIGURES };

struct nm_exp_mean {
    size_t n;               /* cells that have the figure */
    double mean, deviation; /* of a sample: 0 of one cell */
};

/* How many gold sentences alone are as good; of a mean beyond the curve's ends, the end. */
struct nm_exp_equivalent {
    bool known; /* there is a curve: two and more amounts of gold */
    int beyond; /* -1: fewer than the fewest; 1: more than the most; 0: in between */
    double gold;
};

/* Every draw and seed of one point of the grid. */
struct nm_exp_group {
    const struct nm_exp_cell *first; /* its coordinates, but for draw and seed */
    size_t n, done;                  /* cells */
    struct nm_exp_mean figures[NM_EXP_FIGURES];
    bool compared; /* with gold alone, of the same draws and seeds */
    size_t pairs;
    double difference, low, high, p; /* in F1: the middle 95 % of a paired bootstrap over sentences */
    struct nm_exp_equivalent equivalent;
};

struct nm_exp_summary {
    const struct nm_exp *x;
    json_t **cells;              /* (x->n_cells) results, NULL: left */
    struct nm_exp_group *groups; /* (n) in the order of the grid */
    size_t n;
};

/* nm_exp_summarise - from STATE/cells.  Errors of files, NM_ENOMEM. */
enum nm_err nm_exp_summarise(const struct nm_exp *x, struct nm_exp_summary *summary, struct nm_diag *diag);
void nm_exp_summary_clean_up(struct nm_exp_summary *summary);

/* nm_exp_figure_of - one figure of a cell's result; false: it has none. */
bool nm_exp_figure_of(const json_t *cell, enum nm_exp_figure figure, double *value);

/* nm_exp_gold_size - of a budget of gold sentences: all of them as a number. */
double nm_exp_gold_size(const struct nm_exp *x, uint64_t gold);

/* nm_exp_equivalent_of - where a curve of n points (gold, f1), by rising gold, first reaches f1: between two points
 * linear in the logarithm of gold, which is how learning curves run. */
struct nm_exp_equivalent nm_exp_equivalent_of(const double *gold, const double *f1, size_t n, double wanted);

#endif
