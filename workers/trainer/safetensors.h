/* safetensors.h - read and write Hugging Face's tensor files (huggingface/safetensors, format version 0.x).
 *
 * The file: 8 bytes little-endian header length, a JSON header { name: { dtype, shape, data_offsets } }, then
 * the bytes.  Everything in it is checked at open: a name, shape, dtype or offset that lies is one clear line
 * that names the file and the tensor.  Tensors of a dtype that we don't read may stand in the file; only
 * reading one of them is an error.
 */
#ifndef NM_TRAINER_SAFETENSORS_H
#define NM_TRAINER_SAFETENSORS_H

#include <stddef.h>

#include "common/err.h"
#include "workers/trainer/stored_tensor.h"

struct nm_safetensors; /* an open file, mapped read-only; may be read from many threads */

/* nm_safetensors_open - map and check a file.  *st is set on NM_OK only.
 * NM_ENOENT, NM_EAUTH, NM_EIO, NM_ENOMEM; NM_EFORMAT: truncated, malformed header, offsets out of range or
 * overlapping, a size that does not fit shape and dtype.
 */
enum nm_err nm_safetensors_open(struct nm_safetensors **st, const char *path, struct nm_diag *diag);

/* nm_safetensors_close - unmap and free; *st becomes NULL.  NULL is allowed. */
void nm_safetensors_close(struct nm_safetensors **st);

/* The tensors, sorted by offset. */
size_t nm_safetensors_count(const struct nm_safetensors *st);
const struct nm_stored_tensor *nm_safetensors_at(const struct nm_safetensors *st, size_t i);

/* nm_safetensors_find - by name; NULL if there is none. */
const struct nm_stored_tensor *nm_safetensors_find(const struct nm_safetensors *st, const char *name);

/* nm_safetensors_meta - a value of "__metadata__"; NULL if there is none.  Lives as long as st. */
const char *nm_safetensors_meta(const struct nm_safetensors *st, const char *key);

/* nm_safetensors_read - the tensor `name` as float32 into out (product of shape), from F32, F16 or BF16.
 * NM_ENOENT: not in the file; NM_EFORMAT: another shape, or a dtype that we don't read.
 */
enum nm_err nm_safetensors_read(const struct nm_safetensors *st, const char *name, size_t rank, const size_t *shape,
                                float *out, struct nm_diag *diag);

/* What is written: float32, row-major, borrowed for the call. */
struct nm_safetensor_view {
    const char *name;
    size_t rank;
    size_t shape[NM_TENSOR_MAX_RANK];
    const float *data;
};
struct nm_safetensor_meta {
    const char *key, *value;
};

/* nm_safetensors_write - all tensors as F32 into path, atomically: written beside it, fsync'd, renamed; so
 * path holds either its old content or all of the new one.  {"format": "pt"} is in the metadata always, as
 * transformers wants it.  NM_EFULL, NM_EAUTH, NM_EIO, NM_ENOMEM; diag names the path.
 */
enum nm_err nm_safetensors_write(const char *path, const struct nm_safetensor_view *tensors, size_t n_tensors,
                                 const struct nm_safetensor_meta *meta, size_t n_meta, struct nm_diag *diag);

#endif
