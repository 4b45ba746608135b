/* reduce.h - a step's gradients summed over all processes, begun layer by layer while the backward pass goes on. */
#ifndef NM_TRAINER_REDUCE_H
#define NM_TRAINER_REDUCE_H

#include <stddef.h>

#include "common/err.h"
#include "workers/trainer/comm.h"
#include "workers/trainer/params.h"

struct nm_reduce {
    struct nm_comm *comm;
    struct nm_params *params;
    size_t dense;   /* gradients from here on are dense: those of the embeddings stand before it */
    size_t pending; /* [pending, total) has begun in this step */
    float *rows;    /* (cap) the touched rows of the embeddings, packed */
    size_t cap;
};

/* nm_reduce_init - params outlive it. */
void nm_reduce_init(struct nm_reduce *reduce, struct nm_comm *comm, struct nm_params *params);
void nm_reduce_clean_up(struct nm_reduce *reduce);

/* nm_reduce_begin - a step: nothing has been summed.  nm_reduce_ready - gradients from offset to the end of the
 * vector are final: begin to sum those that have not begun (arg is the reduce; see nm_bert_on_grad). */
void nm_reduce_begin(struct nm_reduce *reduce);
void nm_reduce_ready(void *reduce, size_t offset);

/* nm_reduce_finish - sum what is left, the touched rows of the embeddings last: each process's rows become
 * everybody's. After it params->grad is the same in all.  NM_ENOMEM. */
enum nm_err nm_reduce_finish(struct nm_reduce *reduce);

#endif
