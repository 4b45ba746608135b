#include "workers/trainer/safetensors.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"

enum { HEADER_MAX = 100 << 20 }; /* the format's own limit */

struct nm_safetensors {
    char *path;
    struct nm_file_map map;
    size_t data; /* where the bytes begin */
    json_t *header;
    struct nm_stored_tensor *tensors; /* by offset */
    size_t n;
};

/* ---- opening --------------------------------------------------------------------------------- */

static enum nm_err parse_header(struct nm_safetensors *st, struct nm_diag *diag)
{
    uint64_t len = 0;
    json_error_t where;
    for (int i = 7; i >= 0; i--)
        len = len << 8 | st->map.data[i];
    if (len > HEADER_MAX)
        return nm_fail(diag, NM_EFORMAT,
                       "%s: a header of %llu bytes is over the format's limit; this is no safetensors file", st->path,
                       (unsigned long long)len);
    if (len > st->map.size - 8)
        return nm_fail(diag, NM_EFORMAT, "%s: truncated: the header is %llu bytes long, the file %zu; fetch it again",
                       st->path, (unsigned long long)len, st->map.size);
    st->data = 8 + (size_t)len;
    st->header = json_loadb((const char *)st->map.data + 8, (size_t)len, JSON_REJECT_DUPLICATES, &where);
    if (st->header == NULL)
        return nm_fail(diag, NM_EFORMAT, "%s: header, byte %d: %s", st->path, where.position, where.text);
    if (!json_is_object(st->header))
        return nm_fail(diag, NM_EFORMAT, "%s: the header is no JSON object", st->path);
    return NM_OK;
}

/* A JSON integer in 0..SIZE_MAX/2 into *out; false otherwise. */
static bool to_size(const json_t *value, size_t *out)
{
    json_int_t x = json_is_integer(value) ? json_integer_value(value) : -1;
    if (x < 0 || (uint64_t)x > SIZE_MAX / 2)
        return false;
    *out = (size_t)x;
    return true;
}

static enum nm_err parse_shape(const struct nm_safetensors *st, struct nm_stored_tensor *t, const json_t *shape,
                               struct nm_diag *diag)
{
    if (!json_is_array(shape) || json_array_size(shape) > NM_TENSOR_MAX_RANK)
        return nm_fail(diag, NM_EFORMAT, "%s: tensor %s: shape is no array of at most %d sizes", st->path, t->name,
                       NM_TENSOR_MAX_RANK);
    t->rank = json_array_size(shape);
    for (size_t i = 0; i < t->rank; i++)
        if (!to_size(json_array_get(shape, i), &t->shape[i]))
            return nm_fail(diag, NM_EFORMAT, "%s: tensor %s: size %zu of its shape is out of range", st->path,
                           t->name, i);
    if (nm_stored_tensor_count(t) != NM_OK)
        return nm_fail(diag, NM_EFORMAT, "%s: tensor %s: its shape is out of range", st->path, t->name);
    return NM_OK;
}

static enum nm_err parse_tensor(const struct nm_safetensors *st, struct nm_stored_tensor *t, const char *name,
                                const json_t *entry, struct nm_diag *diag)
{
    const json_t *dtype = json_object_get(entry, "dtype"), *offsets = json_object_get(entry, "data_offsets");
    const size_t avail = st->map.size - st->data;
    size_t begin, end, need;
    t->name = name;
    if (!json_is_string(dtype))
        return nm_fail(diag, NM_EFORMAT, "%s: tensor %s has no dtype", st->path, name);
    t->dtype = json_string_value(dtype);
    enum nm_err err = parse_shape(st, t, json_object_get(entry, "shape"), diag);
    if (err != NM_OK)
        return err;
    if (json_array_size(offsets) != 2 || !to_size(json_array_get(offsets, 0), &begin) ||
        !to_size(json_array_get(offsets, 1), &end) || begin > end)
        return nm_fail(diag, NM_EFORMAT, "%s: tensor %s: data_offsets are no ascending pair", st->path, name);
    if (end > avail)
        return nm_fail(diag, NM_EFORMAT, "%s: truncated: tensor %s ends at byte %zu of %zu; fetch the file again",
                       st->path, name, end, avail);
    t->data = st->map.data + st->data + begin;
    t->n_bytes = end - begin;
    size_t size = nm_stored_tensor_elem_size(t->dtype);
    if (size != 0 && (__builtin_mul_overflow(t->n_elems, size, &need) || need != t->n_bytes))
        return nm_fail(diag, NM_EFORMAT, "%s: tensor %s: %zu bytes do not fit its shape of %zu %s values", st->path,
                       name, t->n_bytes, t->n_elems, t->dtype);
    return NM_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct nm_stored_tensor *x = a, *y = b;
    if (x->data != y->data)
        return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return x->n_bytes < y->n_bytes ? -1 : x->n_bytes > y->n_bytes; /* empty ones first */
}

static enum nm_err parse_tensors(struct nm_safetensors *st, struct nm_diag *diag)
{
    const char *name;
    json_t *entry;
    st->tensors = calloc(json_object_size(st->header) + 1, sizeof *st->tensors);
    if (st->tensors == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", st->path);
    json_object_foreach(st->header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        enum nm_err err = parse_tensor(st, &st->tensors[st->n], name, entry, diag);
        if (err != NM_OK)
            return err;
        st->n++;
    }
    qsort(st->tensors, st->n, sizeof *st->tensors, by_offset);
    for (size_t i = 1; i < st->n; i++) {
        const struct nm_stored_tensor *a = &st->tensors[i - 1], *b = &st->tensors[i];
        if ((const char *)a->data + a->n_bytes > (const char *)b->data)
            return nm_fail(diag, NM_EFORMAT, "%s: tensors %s and %s overlap", st->path, a->name, b->name);
    }
    return NM_OK;
}

enum nm_err nm_safetensors_open(struct nm_safetensors **out, const char *path, struct nm_diag *diag)
{
    struct nm_safetensors *st = calloc(1, sizeof *st);
    if (st == NULL || (st->path = strdup(path)) == NULL) {
        free(st);
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", path);
    }
    enum nm_err err = nm_file_map(path, &st->map, diag);
    if (err == NM_OK && st->map.size < 8)
        err = nm_fail(diag, NM_EFORMAT, "%s: %zu bytes are too few for a safetensors file; fetch it again", path,
                      st->map.size);
    if (err == NM_OK)
        err = parse_header(st, diag);
    if (err == NM_OK)
        err = parse_tensors(st, diag);
    if (err != NM_OK)
        nm_safetensors_close(&st);
    else
        *out = st;
    return err;
}

void nm_safetensors_close(struct nm_safetensors **st)
{
    if (*st == NULL)
        return;
    nm_file_unmap(&(*st)->map);
    json_decref((*st)->header);
    free((*st)->tensors);
    free((*st)->path);
    free(*st);
    *st = NULL;
}

size_t nm_safetensors_count(const struct nm_safetensors *st)
{
    return st->n;
}

const struct nm_stored_tensor *nm_safetensors_at(const struct nm_safetensors *st, size_t i)
{
    return &st->tensors[i];
}

const struct nm_stored_tensor *nm_safetensors_find(const struct nm_safetensors *st, const char *name)
{
    for (size_t i = 0; i < st->n; i++)
        if (strcmp(st->tensors[i].name, name) == 0)
            return &st->tensors[i];
    return NULL;
}

const char *nm_safetensors_meta(const struct nm_safetensors *st, const char *key)
{
    return json_string_value(json_object_get(json_object_get(st->header, "__metadata__"), key));
}

enum nm_err nm_safetensors_read(const struct nm_safetensors *st, const char *name, size_t rank, const size_t *shape,
                                float *out, struct nm_diag *diag)
{
    const struct nm_stored_tensor *t = nm_safetensors_find(st, name);
    if (t == NULL)
        return nm_fail(diag, NM_ENOENT, "%s: no tensor %s in this file", st->path, name);
    return nm_stored_tensor_read(t, st->path, rank, shape, out, diag);
}
