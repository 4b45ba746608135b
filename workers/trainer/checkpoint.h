/* checkpoint.h - a training's state on disk, so that one that is killed goes on where it was.
 *
 * DIR/checkpoint.json names the directory beside it (checkpoint-STEP) that holds weights and optimizer state; it
 * is written last and atomically, so a kill at any moment leaves either the old state or the new one whole.
 * Batches and dropout masks follow from seed and step, so the step count is all that random state there is.
 */
#ifndef NM_TRAINER_CHECKPOINT_H
#define NM_TRAINER_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/file.h"
#include "workers/trainer/bert.h"
#include "workers/trainer/optimizer.h"

enum { NM_CHECKPOINT_EPOCHS = 1000 };

struct nm_checkpoint {
    uint64_t recipe;                     /* a hash of all that decides the result: options, data, model */
    size_t step;                         /* updates done */
    double seconds;                      /* spent training until then */
    uint64_t tokens;                     /* read until then */
    double loss_sum;                     /* of the present epoch's steps */
    double losses[NM_CHECKPOINT_EPOCHS]; /* mean of each finished epoch */
    size_t n_losses;
    size_t best_epoch; /* from 1, by its dev score; its weights are in DIR/best.  0: none is kept */
    double best_f1;
};

/* nm_checkpoint_save - write everything, then remove all but the newest keep checkpoints.  NM_EFULL, NM_EIO, ...: the
 * last good checkpoint stays. */
enum nm_err nm_checkpoint_save(const char *dir, const struct nm_checkpoint *checkpoint, const struct nm_bert *bert,
                               const struct nm_optimizer *optimizer, size_t keep, struct nm_diag *diag);

/* nm_checkpoint_find - read checkpoint.json; model_dir (of size bytes) gets the directory of the weights.
 * NM_ENOENT: there is none (diag is untouched); NM_EFORMAT: damaged. */
enum nm_err nm_checkpoint_find(const char *dir, struct nm_checkpoint *checkpoint, char *model_dir, size_t size,
                               struct nm_diag *diag);

/* nm_checkpoint_save_best - the model of the best epoch so far, in DIR/best.  nm_checkpoint_best - that directory. */
enum nm_err nm_checkpoint_save_best(const char *dir, const struct nm_bert *bert, struct nm_diag *diag);
enum nm_err nm_checkpoint_best(const char *dir, char path[NM_FILE_PATH], struct nm_diag *diag);

/* nm_checkpoint_load_optimizer - the optimizer state of that directory. */
enum nm_err nm_checkpoint_load_optimizer(const char *model_dir, struct nm_optimizer *optimizer, struct nm_diag *diag);

/* nm_checkpoint_remove - all of it, once the training is done.  Best effort. */
void nm_checkpoint_remove(const char *dir);

#endif
