#include "workers/trainer/stored_tensor.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {{"F32", 4}, {"F16", 2},  {"BF16", 2},    {"F64", 8},     {"I64", 8}, {"I32", 4}, {"I16", 2}, {"I8", 1},
              {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"U16", 2}, {"U32", 4}, {"U64", 8}};

size_t nm_stored_tensor_elem_size(const char *dtype)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, dtype) == 0)
            return dtypes[i].size;
    return 0;
}

enum nm_err nm_stored_tensor_count(struct nm_stored_tensor *tensor)
{
    tensor->n_elems = 1;
    for (size_t i = 0; i < tensor->rank; i++)
        if (__builtin_mul_overflow(tensor->n_elems, tensor->shape[i], &tensor->n_elems))
            return NM_ELIMIT;
    return NM_OK;
}

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

static enum nm_err convert(const struct nm_stored_tensor *t, const char *path, float *out, struct nm_diag *diag)
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
                       path, t->name, t->dtype);
    return NM_OK;
}

static bool has_shape(const struct nm_stored_tensor *tensor, size_t rank, const size_t *shape)
{
    bool same = tensor->rank == rank;
    for (size_t i = 0; same && i < rank; i++)
        same = tensor->shape[i] == shape[i];
    return same;
}

enum nm_err nm_stored_tensor_read(const struct nm_stored_tensor *tensor, const char *path, size_t rank,
                                  const size_t *shape, float *out, struct nm_diag *diag)
{
    if (!has_shape(tensor, rank, shape)) {
        char is[160], wanted[160];
        format_shape(is, sizeof is, tensor->rank, tensor->shape);
        format_shape(wanted, sizeof wanted, rank, shape);
        return nm_fail(diag, NM_EFORMAT, "%s: tensor %s has shape %s, but config.json asks for %s", path,
                       tensor->name, is, wanted);
    }
    return convert(tensor, path, out, diag);
}

const float *nm_stored_tensor_borrow(const struct nm_stored_tensor *tensor, size_t rank, const size_t *shape)
{
    const bool as_here = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && strcmp(tensor->dtype, "F32") == 0 &&
                         (uintptr_t)tensor->data % _Alignof(float) == 0;
    return as_here && has_shape(tensor, rank, shape) ? tensor->data : NULL;
}
