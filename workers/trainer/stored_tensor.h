/* stored_tensor.h - a tensor as a file holds it: what all readers of weights hand out. */
#ifndef NM_TRAINER_STORED_TENSOR_H
#define NM_TRAINER_STORED_TENSOR_H

#include <stddef.h>

#include "common/err.h"

enum { NM_TENSOR_MAX_RANK = 8 };

/* Row-major, without gaps; valid as long as its file is open. */
struct nm_stored_tensor {
    const char *name;
    const char *dtype; /* as safetensors calls them: "F32", "BF16", "I64" ... */
    size_t rank;
    size_t shape[NM_TENSOR_MAX_RANK];
    size_t n_elems;   /* product of shape; 1 for rank 0 */
    const void *data; /* mapped bytes, little-endian, not necessarily aligned */
    size_t n_bytes;
};

/* nm_stored_tensor_elem_size - bytes of an element of this dtype; 0 where we don't know it. */
size_t nm_stored_tensor_elem_size(const char *dtype);

/* nm_stored_tensor_count - n_elems from rank and shape.  NM_ELIMIT: more than memory could hold. */
enum nm_err nm_stored_tensor_count(struct nm_stored_tensor *tensor);

/* nm_stored_tensor_read - its values as float32 into out, which has room for the product of shape (rank).  F32, F16
 * and BF16 are read.  NM_EFORMAT: another shape or dtype; diag names path and tensor. */
enum nm_err nm_stored_tensor_read(const struct nm_stored_tensor *tensor, const char *path, size_t rank,
                                  const size_t *shape, float *out, struct nm_diag *diag);

/* nm_stored_tensor_borrow - the same values where they stand; NULL where they are not float32 as this machine has it,
 * or of another shape. */
const float *nm_stored_tensor_borrow(const struct nm_stored_tensor *tensor, size_t rank, const size_t *shape);

#endif
