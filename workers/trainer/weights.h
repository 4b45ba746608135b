/* weights.h - the weights of a Hugging Face directory, in whichever of its forms they are there.
 *
 * In this order: model.safetensors; its shards, listed by model.safetensors.index.json; pytorch_model.bin; its
 * shards, listed by pytorch_model.bin.index.json.  Source: transformers' save_pretrained.
 */
#ifndef NM_TRAINER_WEIGHTS_H
#define NM_TRAINER_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

struct nm_weights;

/* nm_weights_open - open and check all files.  *weights is set on NM_OK only.  NM_ENOENT: none of the forms, or a
 * shard is missing; NM_EFORMAT: an index that lists no files of this directory; errors of nm_safetensors_open and
 * nm_torch_file_open. */
enum nm_err nm_weights_open(struct nm_weights **weights, const char *dir, struct nm_diag *diag);
void nm_weights_close(struct nm_weights **weights);

bool nm_weights_has(const struct nm_weights *weights, const char *name);

/* nm_weights_read - the tensor as float32 into out (product of shape).  NM_ENOENT: no file has it; NM_EFORMAT:
 * another shape, or a dtype that is not read. */
enum nm_err nm_weights_read(const struct nm_weights *weights, const char *name, size_t rank, const size_t *shape,
                            float *out, struct nm_diag *diag);

/* nm_weights_borrow - the tensor's values where they stand in the mapped file, as long as weights is open; NULL where
 * they are not there just as nm_weights_read would write them, float32 and aligned.  Errors: none; it says no more
 * than that. */
const float *nm_weights_borrow(const struct nm_weights *weights, const char *name, size_t rank, const size_t *shape);

/* nm_weights_each_file - the files' paths in order, the index first where there is one: all that the weights are.
 * use returns an error to stop.  Errors as nm_weights_open's, but no file is opened. */
enum nm_err nm_weights_each_file(const char *dir,
                                 enum nm_err (*use)(void *arg, const char *path, struct nm_diag *diag), void *arg,
                                 struct nm_diag *diag);

#endif
