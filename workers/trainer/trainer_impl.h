/* trainer_impl.h - inside nm_trainer: what setting a training up and running it share. */
#ifndef NM_TRAINER_TRAINER_IMPL_H
#define NM_TRAINER_TRAINER_IMPL_H

#include "workers/trainer/bert.h"
#include "workers/trainer/checkpoint.h"
#include "workers/trainer/dataset.h"
#include "workers/trainer/optimizer.h"
#include "workers/trainer/reduce.h"
#include "workers/trainer/stages.h"
#include "workers/trainer/train_log.h"
#include "workers/trainer/trainer.h"
#include "workers/trainer/wordpiece.h"

struct trainer {
    const struct nm_training *training;
    struct nm_wordpiece *wp;
    struct nm_bert *bert;
    struct nm_optimizer *optimizer;
    struct nm_dataset set;
    struct nm_bert_extent largest; /* of all batches */
    struct nm_stages stages;
    const struct nm_stage *stage; /* whose optimizer this is */
    uint32_t *order;              /* (longest stage) of the present epoch */
    struct nm_corpus held_out;    /* the recipe's dev share: borrows the training data's sentences */
    const struct nm_corpus *dev;  /* that, or the caller's, or NULL */
    struct nm_checkpoint state;
    struct nm_train_log *log; /* of rank 0 */
    struct nm_reduce reduce;
    struct nm_training_news news;
    /* since the last progress line */
    int64_t reported_ms;
    double loss_sum;
    size_t loss_steps;
    int64_t saved_ms;   /* the last checkpoint, or the start */
    int64_t started_ms; /* of this process's training */
    double seconds_before;
    struct nm_diag *diag;
};

/* Is this the process that reads checkpoints, writes, scores and speaks? */
static inline bool is_first(const struct trainer *tr)
{
    return nm_comm_rank(tr->training->comm) == 0;
}

static inline bool is_alone(const struct trainer *tr)
{
    return nm_comm_size(tr->training->comm) == 1;
}

/* nm_trainer_load - data, model and, from a checkpoint, the optimizer; tr->stages are there.  recipe: the hash by
 * which a checkpoint of this training is known. */
enum nm_err nm_trainer_load(struct trainer *tr, uint64_t recipe);

/* nm_trainer_begin_stage - the optimizer of this stage, its schedule at the beginning. */
enum nm_err nm_trainer_begin_stage(struct trainer *tr, const struct nm_stage *stage);

#endif
