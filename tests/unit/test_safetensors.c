/* safetensors: what is written is read back; F16 and BF16; and files that lie, each refused with words that name the
 * file and, where there is one, the tensor. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "workers/trainer/safetensors.h"

static char dir[] = "/tmp/nm_safetensors_XXXXXX";
static char path[64];
static struct nm_diag diag;

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/x.safetensors", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

/* A file of this header and this many bytes of data (0, 1, 2 ...). */
static void put_file(const char *header, uint64_t claimed, size_t n_data)
{
    unsigned char prefix[8], data[256];
    for (size_t i = 0; i < sizeof prefix; i++)
        prefix[i] = (unsigned char)(claimed >> (8 * i));
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)i;
    assert_in_range(n_data, 0, sizeof data);
    const struct nm_file_part parts[] = {{prefix, sizeof prefix}, {header, strlen(header)}, {data, n_data}};
    assert_int_equal(nm_file_write_atomic_parts(path, parts, 3, &diag), NM_OK);
}

static void refuse(const char *header, size_t n_data, enum nm_err want, const char *words)
{
    struct nm_safetensors *st = NULL;
    put_file(header, strlen(header), n_data);
    enum nm_err err = nm_safetensors_open(&st, path, &diag);
    if (err != want || strstr(diag.text, words) == NULL || strstr(diag.text, path) == NULL)
        fail_msg("%s: %s: %s", header, nm_err_name(err), diag.text);
    assert_null(st);
}

static void round_trip(void **state)
{
    (void)state;
    const float a[6] = {1.0F, -2.5F, 3e-30F, INFINITY, 0.0F, 7.0F}, b[1] = {42.0F};
    const struct nm_safetensor_view views[] = {
        {"layer.weight", 2, {2, 3}, a}, {"scalar", 0, {0}, b}, {"none", 1, {0}, b}};
    const struct nm_safetensor_meta meta = {"nermill.steps", "12"};
    struct nm_safetensors *st = NULL;
    float out[6] = {0};
    assert_int_equal(nm_safetensors_write(path, views, 3, &meta, 1, &diag), NM_OK);
    assert_int_equal(nm_safetensors_open(&st, path, &diag), NM_OK);
    assert_int_equal(nm_safetensors_count(st), 3);
    assert_string_equal(nm_safetensors_meta(st, "nermill.steps"), "12");
    assert_string_equal(nm_safetensors_meta(st, "format"), "pt");
    assert_null(nm_safetensors_meta(st, "other"));
    const struct nm_stored_tensor *t = nm_safetensors_find(st, "layer.weight");
    assert_non_null(t);
    assert_true(t->rank == 2 && t->shape[0] == 2 && t->shape[1] == 3 && t->n_elems == 6);
    assert_int_equal(nm_safetensors_read(st, "layer.weight", 2, (size_t[]){2, 3}, out, &diag), NM_OK);
    assert_memory_equal(out, a, sizeof a);
    assert_int_equal(nm_safetensors_read(st, "scalar", 0, NULL, out, &diag), NM_OK);
    assert_true(out[0] == 42.0F);
    assert_int_equal(nm_safetensors_read(st, "none", 1, (size_t[]){0}, out, &diag), NM_OK);
    assert_int_equal(nm_safetensors_read(st, "missing", 1, (size_t[]){1}, out, &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "missing"));
    assert_int_equal(nm_safetensors_read(st, "layer.weight", 2, (size_t[]){3, 2}, out, &diag), NM_EFORMAT);
    assert_non_null(strstr(diag.text, "(2, 3)"));
    assert_non_null(strstr(diag.text, "(3, 2)"));
    assert_int_equal(nm_safetensors_read(st, "layer.weight", 1, (size_t[]){6}, out, &diag), NM_EFORMAT);
    nm_safetensors_close(&st);
    assert_null(st);
}

static void half_precision(void **state)
{
    (void)state;
    /* 1, -2, smallest subnormal 2^-24, largest 65504, infinity, -0 */
    const uint16_t half[6] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x8000};
    const uint16_t brain[6] = {0x3f80, 0xc000, 0x0001, 0x7f7f, 0x7f80, 0x8000};
    const char *header = "{\"h\":{\"dtype\":\"F16\",\"shape\":[6],\"data_offsets\":[0,12]},"
                         "\"b\":{\"dtype\":\"BF16\",\"shape\":[6],\"data_offsets\":[12,24]},"
                         "\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[24,32]}}";
    struct nm_safetensors *st = NULL;
    float out[6];
    struct nm_buf file;
    put_file(header, strlen(header), 32);
    nm_buf_init(&file, 1 << 20);
    assert_int_equal(nm_file_read(path, &file, &diag), NM_OK);
    memcpy(file.data + 8 + strlen(header), half, sizeof half);
    memcpy(file.data + 8 + strlen(header) + 12, brain, sizeof brain);
    assert_int_equal(nm_file_write_atomic(path, file.data, file.len, &diag), NM_OK);
    nm_buf_clean_up(&file);
    assert_int_equal(nm_safetensors_open(&st, path, &diag), NM_OK);
    assert_int_equal(nm_safetensors_read(st, "h", 1, (size_t[]){6}, out, &diag), NM_OK);
    assert_true(out[0] == 1.0F && out[1] == -2.0F && out[2] == 0x1p-24F && out[3] == 65504.0F && isinf(out[4]));
    assert_true(out[5] == 0.0F && signbit(out[5]));
    assert_int_equal(nm_safetensors_read(st, "b", 1, (size_t[]){6}, out, &diag), NM_OK);
    assert_true(out[0] == 1.0F && out[1] == -2.0F && out[2] == 0x1p-133F && out[3] == 0x1.fep127F && isinf(out[4]));
    /* a dtype that we don't read may stand in the file */
    assert_int_equal(nm_safetensors_read(st, "i", 1, (size_t[]){1}, out, &diag), NM_EFORMAT);
    assert_non_null(strstr(diag.text, "tensor i has dtype I64"));
    nm_safetensors_close(&st);
}

static void lies(void **state)
{
    (void)state;
    struct nm_safetensors *st = NULL;
    const char *good = "{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    put_file(good, strlen(good), 8);
    assert_int_equal(nm_safetensors_open(&st, path, &diag), NM_OK);
    nm_safetensors_close(&st);
    refuse(good, 7, NM_EFORMAT, "truncated: tensor t");
    refuse("not json", 8, NM_EFORMAT, "header");
    refuse("[1]", 8, NM_EFORMAT, "no JSON object");
    refuse("{\"t\":7}", 8, NM_EFORMAT, "tensor t has no dtype");
    refuse("{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, NM_EFORMAT, "tensor t: shape");
    refuse("{\"t\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, NM_EFORMAT, "tensor t: size 0");
    refuse("{\"t\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, NM_EFORMAT,
           "at most 8");
    refuse("{\"t\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", 8, NM_EFORMAT,
           "out of range");
    refuse("{\"t\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, NM_EFORMAT, "do not fit its shape");
    refuse("{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, NM_EFORMAT, "no ascending pair");
    refuse("{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, NM_EFORMAT, "no ascending pair");
    refuse("{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, NM_EFORMAT, "no ascending pair");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
           "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
           12, NM_EFORMAT, "a and b overlap");
}

static void wrong_lengths(void **state)
{
    (void)state;
    struct nm_safetensors *st = NULL;
    put_file("{}", 3, 0);
    assert_int_equal(nm_safetensors_open(&st, path, &diag), NM_EFORMAT);
    assert_non_null(strstr(diag.text, "truncated"));
    put_file("{}", UINT64_MAX, 100);
    assert_int_equal(nm_safetensors_open(&st, path, &diag), NM_EFORMAT);
    assert_non_null(strstr(diag.text, "limit"));
    assert_int_equal(nm_file_write_atomic(path, "short", 5, &diag), NM_OK);
    assert_int_equal(nm_safetensors_open(&st, path, &diag), NM_EFORMAT);
    assert_int_equal(nm_file_write_atomic(path, "", 0, &diag), NM_OK);
    assert_int_equal(nm_safetensors_open(&st, path, &diag), NM_EFORMAT);
    assert_int_equal(nm_safetensors_open(&st, dir, &diag), NM_EINVAL);
    assert_int_equal(nm_safetensors_open(&st, "/nonexistent/x", &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "/nonexistent/x"));
    assert_null(st);
}

static void write_fails(void **state)
{
    (void)state;
    const float a[1] = {1.0F};
    const struct nm_safetensor_view view = {"a", 1, {1}, a};
    assert_int_equal(nm_safetensors_write("/nonexistent/x", &view, 1, NULL, 0, &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "/nonexistent/x"));
    assert_int_not_equal(nm_safetensors_write("/dev/full/x", &view, 1, NULL, 0, &diag), NM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),    cmocka_unit_test(half_precision), cmocka_unit_test(lies),
        cmocka_unit_test(wrong_lengths), cmocka_unit_test(write_fails),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
