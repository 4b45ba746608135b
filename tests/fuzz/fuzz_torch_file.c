/* pytorch_model.bin of anybody's making: it is refused with words, or every tensor that is found lies in the file.
 * Seeds: tests/golden/data/torch. */
#include <string.h>

#include "fuzz_file.h"
#include "workers/trainer/torch_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"weight", "half", "slice", "all", "scalar"};
    struct nm_torch_file *f = NULL;
    struct nm_diag diag = {""};
    enum nm_err err = nm_torch_file_open(&f, fuzz_file(data, size), &diag);
    if ((err == NM_OK) != (f != NULL) || (err != NM_OK && diag.text[0] == '\0'))
        abort();
    for (size_t i = 0; i < 5 && f != NULL; i++) {
        const struct nm_stored_tensor *t = nm_torch_file_find(f, names[i]);
        if (t == NULL || t->n_bytes == 0)
            continue;
        void *copy = malloc(t->n_bytes);
        if (copy != NULL)
            memcpy(copy, t->data, t->n_bytes);
        free(copy);
    }
    nm_torch_file_close(&f);
    return 0;
}
