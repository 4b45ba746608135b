#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "workers/trainer/safetensors.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors are little-endian; this writer hands out memory as it is"
#endif

static size_t elems_of(const struct nm_safetensor_view *t)
{
    size_t n = 1;
    for (size_t i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

static int put_tensor(json_t *header, const struct nm_safetensor_view *t, size_t begin, size_t end)
{
    json_t *shape = json_array();
    for (size_t i = 0; i < t->rank; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)t->shape[i])) != 0) {
            json_decref(shape);
            return -1;
        }
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", shape, "data_offsets",
                              (json_int_t)begin, (json_int_t)end);
    return json_object_set_new(header, t->name, entry);
}

/* The header as text padded with blanks to a multiple of 8, as the format wants it; NULL: out of memory. */
static char *make_header(const struct nm_safetensor_view *tensors, size_t n_tensors,
                         const struct nm_safetensor_meta *meta, size_t n_meta, size_t *len)
{
    json_t *header = json_object(), *metadata = json_pack("{s:s}", "format", "pt");
    int bad = 0;
    size_t at = 0;
    for (size_t i = 0; i < n_meta; i++)
        bad |= json_object_set_new(metadata, meta[i].key, json_string(meta[i].value));
    bad |= json_object_set_new(header, "__metadata__", metadata);
    for (size_t i = 0; i < n_tensors; i++) {
        size_t end = at + elems_of(&tensors[i]) * sizeof(float);
        bad |= put_tensor(header, &tensors[i], at, end);
        at = end;
    }
    char *text = bad == 0 ? json_dumps(header, JSON_COMPACT) : NULL, *padded = NULL;
    json_decref(header);
    if (text != NULL) {
        *len = (strlen(text) + 7) / 8 * 8;
        padded = malloc(*len + 1);
    }
    if (padded != NULL)
        (void)snprintf(padded, *len + 1, "%-*s", (int)*len, text);
    free(text);
    return padded;
}

enum nm_err nm_safetensors_write(const char *path, const struct nm_safetensor_view *tensors, size_t n_tensors,
                                 const struct nm_safetensor_meta *meta, size_t n_meta, struct nm_diag *diag)
{
    unsigned char prefix[8];
    size_t len = 0;
    char *header = make_header(tensors, n_tensors, meta, n_meta, &len);
    struct nm_file_part *parts = calloc(n_tensors + 2, sizeof *parts);
    enum nm_err err;
    if (header == NULL || parts == NULL) {
        err = nm_fail(diag, NM_ENOMEM, "cannot write %s: out of memory", path);
        goto out;
    }
    for (size_t i = 0; i < sizeof prefix; i++)
        prefix[i] = (unsigned char)((uint64_t)len >> (8 * i));
    parts[0] = (struct nm_file_part){prefix, sizeof prefix};
    parts[1] = (struct nm_file_part){header, len};
    for (size_t i = 0; i < n_tensors; i++)
        parts[i + 2] = (struct nm_file_part){tensors[i].data, elems_of(&tensors[i]) * sizeof(float)};
    err = nm_file_write_atomic_parts(path, parts, n_tensors + 2, diag);
out:
    free(parts);
    free(header);
    return err;
}
