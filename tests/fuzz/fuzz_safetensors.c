/* A safetensors file of anybody's making: it is refused with words, or every tensor lies in it and reads as its
 * shape. */
#include "fuzz_file.h"
#include "workers/trainer/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nm_safetensors *st = NULL;
    struct nm_diag diag = {""};
    enum nm_err err = nm_safetensors_open(&st, fuzz_file(data, size), &diag);
    if ((err == NM_OK) != (st != NULL) || (err != NM_OK && diag.text[0] == '\0'))
        abort();
    for (size_t i = 0; st != NULL && i < nm_safetensors_count(st); i++) {
        const struct nm_stored_tensor *t = nm_safetensors_at(st, i);
        if (t->n_elems > size) /* of a dtype that we don't know, or empty: not read */
            continue;
        float *out = malloc(t->n_elems * sizeof(float) + 1);
        if (out != NULL)
            (void)nm_safetensors_read(st, t->name, t->rank, t->shape, out, &diag);
        free(out);
    }
    nm_safetensors_close(&st);
    return 0;
}
