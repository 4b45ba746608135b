/* model_dir.h - what stands beside the weights in a model directory: the tokenizer's files and nermill.json. */
#ifndef NM_TRAINER_MODEL_DIR_H
#define NM_TRAINER_MODEL_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/checkpoint.h"
#include "workers/trainer/trainer.h"

/* nm_model_dir_same - true if both paths lead to one directory that is there. */
bool nm_model_dir_same(const char *a, const char *b);

/* nm_model_dir_copy_tokenizer - tokenizer.json, vocab.txt and the like, those that are there, from one directory
 * to another (nothing to do if they are the same).  File errors. */
enum nm_err nm_model_dir_copy_tokenizer(const char *from, const char *to, struct nm_diag *diag);

/* nm_model_dir_digest - a hash of config.json, model.safetensors and the tokenizer's files: which model it was.
 * A file that is not there counts as empty.  NM_EIO, NM_ENOMEM. */
enum nm_err nm_model_dir_digest(const char *dir, uint64_t *digest, struct nm_diag *diag);

/* nm_model_dir_write_card - DIR/nermill.json: recipe, data, speed, losses, scores (of types, if scores is given).
 * recipe is the hash by which the same training is known again. */
enum nm_err nm_model_dir_write_card(const char *dir, const struct nm_training *training,
                                    const struct nm_checkpoint *state, const struct nm_scores *scores,
                                    char *const *types, struct nm_diag *diag);

/* nm_model_dir_is_result - true if nermill.json says that this recipe hash was trained to the end, and the files
 * are there. */
bool nm_model_dir_is_result(const char *dir, uint64_t recipe);

#endif
