#include "workers/trainer/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_MAX = 100 << 20 }; /* the format's own limit */

struct nm_safetensors {
    char *path;
    const unsigned char *map;
    size_t size;
    size_t data; /* where the bytes begin */
    json_t *header;
    struct nm_safetensor *tensors; /* by offset */
    size_t n;
};

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {{"F32", 4}, {"F16", 2},  {"BF16", 2},    {"F64", 8},     {"I64", 8}, {"I32", 4}, {"I16", 2}, {"I8", 1},
              {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"U16", 2}, {"U32", 4}, {"U64", 8}};

/* Bytes of an element; 0 where we don't know the type. */
static size_t dtype_size(const char *name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return dtypes[i].size;
    return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

static enum nm_err map_file(struct nm_safetensors *st, struct nm_diag *diag)
{
    struct stat info;
    enum nm_err err = NM_OK;
    int fd = open(st->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return nm_fail(diag, nm_err_from_errno(errno), "cannot read %s: %s", st->path, strerror(errno));
    if (fstat(fd, &info) != 0)
        err = nm_fail(diag, nm_err_from_errno(errno), "cannot read %s: %s", st->path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        err = nm_fail(diag, NM_EINVAL, "cannot read %s: not a regular file", st->path);
    else if (info.st_size < 8)
        err = nm_fail(diag, NM_EFORMAT, "%s: %lld bytes are too few for a safetensors file; fetch it again", st->path,
                      (long long)info.st_size);
    if (err == NM_OK) {
        st->size = (size_t)info.st_size;
        void *map = mmap(NULL, st->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            err = nm_fail(diag, nm_err_from_errno(errno), "cannot map %s: %s", st->path, strerror(errno));
        else
            st->map = map;
    }
    close(fd);
    return err;
}

static enum nm_err parse_header(struct nm_safetensors *st, struct nm_diag *diag)
{
    uint64_t len = 0;
    json_error_t where;
    for (int i = 7; i >= 0; i--)
        len = len << 8 | st->map[i];
    if (len > HEADER_MAX)
        return nm_fail(diag, NM_EFORMAT,
                       "%s: a header of %llu bytes is over the format's limit; this is no safetensors file", st->path,
                       (unsigned long long)len);
    if (len > st->size - 8)
        return nm_fail(diag, NM_EFORMAT, "%s: truncated: the header is %llu bytes long, the file %zu; fetch it again",
                       st->path, (unsigned long long)len, st->size);
    st->data = 8 + (size_t)len;
    st->header = json_loadb((const char *)st->map + 8, (size_t)len, JSON_REJECT_DUPLICATES, &where);
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

static enum nm_err parse_shape(const struct nm_safetensors *st, struct nm_safetensor *t, const json_t *shape,
                               struct nm_diag *diag)
{
    if (!json_is_array(shape) || json_array_size(shape) > NM_SAFETENSORS_MAX_RANK)
        return nm_fail(diag, NM_EFORMAT, "%s: tensor %s: shape is no array of at most %d sizes", st->path, t->name,
                       NM_SAFETENSORS_MAX_RANK);
    t->rank = json_array_size(shape);
    t->n_elems = 1;
    for (size_t i = 0; i < t->rank; i++)
        if (!to_size(json_array_get(shape, i), &t->shape[i]) ||
            __builtin_mul_overflow(t->n_elems, t->shape[i], &t->n_elems))
            return nm_fail(diag, NM_EFORMAT, "%s: tensor %s: size %zu of its shape is out of range", st->path,
                           t->name, i);
    return NM_OK;
}

static enum nm_err parse_tensor(const struct nm_safetensors *st, struct nm_safetensor *t, const char *name,
                                const json_t *entry, struct nm_diag *diag)
{
    const json_t *dtype = json_object_get(entry, "dtype"), *offsets = json_object_get(entry, "data_offsets");
    const size_t avail = st->size - st->data;
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
    t->data = st->map + st->data + begin;
    t->n_bytes = end - begin;
    size_t size = dtype_size(t->dtype);
    if (size != 0 && (__builtin_mul_overflow(t->n_elems, size, &need) || need != t->n_bytes))
        return nm_fail(diag, NM_EFORMAT, "%s: tensor %s: %zu bytes do not fit its shape of %zu %s values", st->path,
                       name, t->n_bytes, t->n_elems, t->dtype);
    return NM_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct nm_safetensor *x = a, *y = b;
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
        const struct nm_safetensor *a = &st->tensors[i - 1], *b = &st->tensors[i];
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
    enum nm_err err = map_file(st, diag);
    if (err == NM_OK && st->map != NULL)
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
    if ((*st)->map != NULL)
        munmap((void *)(uintptr_t)(*st)->map, (*st)->size);
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

const struct nm_safetensor *nm_safetensors_at(const struct nm_safetensors *st, size_t i)
{
    return &st->tensors[i];
}

const struct nm_safetensor *nm_safetensors_find(const struct nm_safetensors *st, const char *name)
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

/* ---- reading --------------------------------------------------------------------------------- */

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t little16(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

/* IEEE 754 binary16 to binary32, subnormals, infinities and NaN as they are. */
static float from_half(uint32_t h)
{
    uint32_t sign = (h & 0x8000U) << 16, exponent = h >> 10 & 31U, fraction = h & 0x3ffU;
    if (exponent == 0) {
        float x = (float)fraction * 0x1p-24F;
        return sign != 0 ? -x : x;
    }
    if (exponent == 31)
        return from_bits(sign | 0x7f800000U | fraction << 13);
    return from_bits(sign | (exponent + 112U) << 23 | fraction << 13);
}

static void format_shape(char *out, size_t size, size_t rank, const size_t *shape)
{
    size_t at = (size_t)snprintf(out, size, "(");
    for (size_t i = 0; i < rank && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%zu", i > 0 ? ", " : "", shape[i]);
    if (at < size)
        (void)snprintf(out + at, size - at, ")");
}

static enum nm_err convert(const struct nm_safetensors *st, const struct nm_safetensor *t, float *out,
                           struct nm_diag *diag)
{
    const unsigned char *p = t->data;
    if (strcmp(t->dtype, "F32") == 0)
        for (size_t i = 0; i < t->n_elems; i++)
            out[i] = from_bits(little16(p + 4 * i) | little16(p + 4 * i + 2) << 16);
    else if (strcmp(t->dtype, "BF16") == 0)
        for (size_t i = 0; i < t->n_elems; i++)
            out[i] = from_bits(little16(p + 2 * i) << 16);
    else if (strcmp(t->dtype, "F16") == 0)
        for (size_t i = 0; i < t->n_elems; i++)
            out[i] = from_half(little16(p + 2 * i));
    else
        return nm_fail(diag, NM_EFORMAT,
                       "%s: tensor %s has dtype %s; F32, F16 and BF16 are read: convert the model to one of these",
                       st->path, t->name, t->dtype);
    return NM_OK;
}

enum nm_err nm_safetensors_read(const struct nm_safetensors *st, const char *name, size_t rank, const size_t *shape,
                                float *out, struct nm_diag *diag)
{
    const struct nm_safetensor *t = nm_safetensors_find(st, name);
    if (t == NULL)
        return nm_fail(diag, NM_ENOENT, "%s: no tensor %s in this file", st->path, name);
    bool same = t->rank == rank;
    for (size_t i = 0; same && i < rank; i++)
        same = t->shape[i] == shape[i];
    if (!same) {
        char is[160], wanted[160];
        format_shape(is, sizeof is, t->rank, t->shape);
        format_shape(wanted, sizeof wanted, rank, shape);
        return nm_fail(diag, NM_EFORMAT, "%s: tensor %s has shape %s, but config.json asks for %s", st->path, name,
                       is, wanted);
    }
    return convert(st, t, out, diag);
}
