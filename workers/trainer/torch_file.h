/* torch_file.h - a state_dict that torch.save wrote (pytorch_model.bin): its tensors, and nothing executed.
 *
 * Both forms are read: the ZIP archive of PyTorch 1.6 and later, and the older one, a row of pickles with the
 * storages behind them, in which the early published models still are (BioBERT's and SciBERT's among them). Source:
 * torch/serialization.py.  Tests: unit.torch_file, integration.torch_file (against PyTorch), fuzz_torch_file.
 */
#ifndef NM_TRAINER_TORCH_FILE_H
#define NM_TRAINER_TORCH_FILE_H

#include "common/err.h"
#include "workers/trainer/stored_tensor.h"

struct nm_torch_file;

/* nm_torch_file_open - map and check a file.  *file is set on NM_OK only.  Values that are no tensors are left out.
 * NM_ENOENT, NM_EAUTH, NM_EIO, NM_ENOMEM; NM_EFORMAT: truncated, malformed, a tensor that reaches beyond its storage
 * or is not row-major, or a pickle that names anything but tensors (diag says what). */
enum nm_err nm_torch_file_open(struct nm_torch_file **file, const char *path, struct nm_diag *diag);
void nm_torch_file_close(struct nm_torch_file **file);

/* nm_torch_file_find - by name; NULL if there is none. */
const struct nm_stored_tensor *nm_torch_file_find(const struct nm_torch_file *file, const char *name);

#endif
