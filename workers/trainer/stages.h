/* stages.h - the order of a training: which sentences each step takes, and by which schedule.
 *
 * A stage is a pass of its own: its sentences, epochs, peak rate, warm-up and decay.  The training data are one
 * corpus, synthetic sentences first, gold behind them; a mix makes one stage of them or two.  Pure: everything
 * follows from the recipe and the counts.
 */
#ifndef NM_TRAINER_STAGES_H
#define NM_TRAINER_STAGES_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/recipe.h"

enum { NM_STAGES_MAX = 2 };

struct nm_stage {
    uint32_t *entries; /* (n) numbers of sentences, some more than once */
    size_t n;
    size_t epochs, steps_per_epoch, steps; /* steps: of all its epochs */
    size_t first_step, first_epoch;        /* of the whole training */
    double lr;
};

struct nm_stages {
    struct nm_stage at[NM_STAGES_MAX];
    size_t n, steps, epochs;
    uint32_t *dev; /* (n_dev) gold sentences that are held out, ascending */
    size_t n_dev;
};

/* nm_stages_init - for n_synthetic sentences and n_gold behind them.  Of the gold ones, dev_share are drawn by seed
 * and are in no stage.  NM_EINVAL: the mix lacks its sentences; NM_ENOMEM.  On error nothing to clean up. */
enum nm_err nm_stages_init(struct nm_stages *stages, const struct nm_recipe *recipe, size_t n_synthetic,
                           size_t n_gold, struct nm_diag *diag);
void nm_stages_clean_up(struct nm_stages *stages);

/* nm_stages_of_step - the stage of this step (below stages->steps). */
const struct nm_stage *nm_stages_of_step(const struct nm_stages *stages, size_t step);

/* nm_stage_shuffle - the order (stage->n) of this epoch of the stage, from seed alone: the same on every machine. */
void nm_stage_shuffle(const struct nm_stage *stage, uint64_t seed, size_t epoch, uint32_t *order);

#endif
