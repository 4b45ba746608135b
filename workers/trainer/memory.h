/* memory.h - will a training fit?  Said before it starts, not by the kernel in the middle of it. */
#ifndef NM_TRAINER_MEMORY_H
#define NM_TRAINER_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/bert.h"
#include "workers/trainer/dataset.h"
#include "workers/trainer/stages.h"

/* nm_memory_free - bytes that this process can still take: what the kernel calls available, or less where a control
 * group sets a limit.  SIZE_MAX where neither can be read. */
size_t nm_memory_free(void);

/* nm_memory_largest - the largest batch of the whole training: its epochs are shuffled as the training will, in order
 * (room for the largest stage). */
struct nm_bert_extent nm_memory_largest(const struct nm_dataset *set, const struct nm_stages *stages,
                                        const struct nm_recipe *recipe, uint32_t *order);

/* nm_memory_check - NM_ELIMIT where a training with such batches needs more than `allowed` bytes: diag says how much
 * it needs, how large a batch would fit, and what gradient checkpointing would need. */
enum nm_err nm_memory_check(const struct nm_model_config *cfg, const struct nm_bert_options *options,
                            const struct nm_bert_extent *largest, size_t allowed, struct nm_diag *diag);

#endif
