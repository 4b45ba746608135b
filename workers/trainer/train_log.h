/* train_log.h - how a training goes, in files beside the model: for programs, for TensorBoard, for a look.
 *
 * metrics.jsonl: one object a line, {"step", "epoch", "loss", "lr", "grad_norm", "tokens_per_s"} for a stretch of
 * steps (loss and norm are means of it) and {"step", "epoch", "dev": {"precision", "recall", "f1"}} after an epoch.
 * events.out.tfevents.*: the same for TensorBoard.  curve.svg: loss and dev F1.  A training that goes on from a
 * checkpoint takes back what was logged after it.  Threads: one.
 */
#ifndef NM_TRAINER_TRAIN_LOG_H
#define NM_TRAINER_TRAIN_LOG_H

#include <stddef.h>

#include "common/err.h"
#include "workers/trainer/metrics.h"

struct nm_train_log;

/* What a step tells. */
struct nm_train_step {
    size_t step; /* done, from 1 */
    double epoch, loss, lr, grad_norm, tokens_per_s;
};

/* nm_train_log_open - in dir, for a training of total steps of which done are behind it.  File errors; NM_ENOMEM. */
enum nm_err nm_train_log_open(struct nm_train_log **log, const char *dir, size_t done, size_t total,
                              struct nm_diag *diag);

/* nm_train_log_step, nm_train_log_scores - note it.  Writing errors are kept for nm_train_log_flush. */
void nm_train_log_step(struct nm_train_log *log, const struct nm_train_step *step);
void nm_train_log_scores(struct nm_train_log *log, size_t step, double epoch, const struct nm_score *dev);

/* nm_train_log_flush - to the files, the curve drawn anew.  NM_EFULL, NM_EIO: also of what was noted before. */
enum nm_err nm_train_log_flush(struct nm_train_log *log, struct nm_diag *diag);
void nm_train_log_close(struct nm_train_log **log);

#endif
