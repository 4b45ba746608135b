/* memory.h - will a training fit?  Said before it starts, not by the kernel in the middle of it. */
#ifndef NM_TRAINER_MEMORY_H
#define NM_TRAINER_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/bert.h"
#include "workers/trainer/comm.h"
#include "workers/trainer/dataset.h"
#include "workers/trainer/stages.h"

/* nm_memory_free - bytes that this process can still take: what the kernel calls available, or less where a control
 * group sets a limit.  SIZE_MAX where neither can be read. */
size_t nm_memory_free(void);

/* nm_memory_largest - the largest batch of the whole training, of this process's part of each step: its epochs are
 * shuffled as the training will, in order (room for the largest stage). */
struct nm_bert_extent nm_memory_largest(const struct nm_dataset *set, const struct nm_stages *stages,
                                        const struct nm_recipe *recipe, const struct nm_comm *comm, uint32_t *order);

/* What takes memory in a training. */
struct nm_memory_need {
    const struct nm_model_config *cfg;
    const struct nm_bert_options *options;
    struct nm_bert_extent largest; /* batches of one process */
    size_t processes, here;        /* that train together; so many of them on this machine */
};

/* nm_memory_needed - bytes of one process, beside what it takes before the model is loaded. */
size_t nm_memory_needed(const struct nm_memory_need *need);

/* nm_memory_check - NM_ELIMIT where the processes on this machine need more than `allowed` bytes: diag says how much
 * they need, how large a batch would fit, and what gradient checkpointing would need. */
enum nm_err nm_memory_check(const struct nm_memory_need *need, size_t allowed, struct nm_diag *diag);

#endif
