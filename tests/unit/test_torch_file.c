/* pytorch_model.bin: what torch.save wrote in both of its forms is read, value for value; a pickle that would run a
 * command is refused and runs nothing; and damaged files, each byte and each length of them, are refused with words
 * or read, never a crash. */
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
#include "workers/trainer/torch_file.h"

#define DATA                                                                                                         \
    "tests/golden/data/torch/" /* the test's directory is the checkout; made by tests/golden/make_torch_files.py */

static char path[] = "/tmp/nm_torch_file_XXXXXX";
static struct nm_diag diag;

static int set_up(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 || close(fd) != 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static void check(const struct nm_torch_file *f, const char *name, const char *dtype, size_t rank,
                  const size_t *shape, const float *want)
{
    const struct nm_stored_tensor *t = nm_torch_file_find(f, name);
    float got[12] = {0};
    assert_non_null(t);
    assert_string_equal(t->dtype, dtype);
    assert_int_equal(t->rank, rank);
    if (want == NULL)
        return;
    assert_in_range(t->n_elems, 0, 12);
    assert_int_equal(nm_stored_tensor_read(t, "x", rank, shape, got, &diag), NM_OK);
    assert_memory_equal(got, want, t->n_elems * sizeof(float));
}

static void check_all(const char *file)
{
    static const float weight[] = {1.0F, -2.5F, 3e-30F, INFINITY, 0.0F, 7.0F}, half[] = {1.5F, -0.25F},
                       scalar[] = {42.0F}, bfloat16[] = {2.0F, -3.0F}, slice[] = {4, 5, 6, 7, 8, 9},
                       all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    struct nm_torch_file *f = NULL;
    if (nm_torch_file_open(&f, file, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    check(f, "weight", "F32", 2, (size_t[]){2, 3}, weight);
    check(f, "half", "F16", 1, (size_t[]){2}, half);
    check(f, "bfloat16", "BF16", 2, (size_t[]){2, 1}, bfloat16);
    check(f, "counts", "I64", 1, NULL, NULL);
    check(f, "scalar", "F32", 0, NULL, scalar);
    check(f, "none", "F32", 2, (size_t[]){0, 3}, NULL);
    check(f, "slice", "F32", 2, (size_t[]){2, 3}, slice);
    check(f, "all", "F32", 1, (size_t[]){12}, all);
    assert_null(nm_torch_file_find(f, "epoch"));
    assert_null(nm_torch_file_find(f, "_metadata"));
    nm_torch_file_close(&f);
    assert_null(f);
}

static void both_forms(void **state)
{
    (void)state;
    check_all(DATA "new.bin");
    check_all(DATA "old.bin");
}

static void refuse(const char *file, enum nm_err want, const char *words)
{
    struct nm_torch_file *f = NULL;
    enum nm_err err = nm_torch_file_open(&f, file, &diag);
    if (err != want || strstr(diag.text, words) == NULL || strstr(diag.text, file) == NULL)
        fail_msg("%s: %s: %s", file, nm_err_name(err), diag.text);
    assert_null(f);
}

static void hostile(void **state)
{
    (void)state;
    (void)unlink("/tmp/nermill-was-executed"); /* what evil.bin would make */
    refuse(DATA "evil.bin", NM_EFORMAT, "posix.system");
    assert_int_not_equal(access("/tmp/nermill-was-executed", F_OK), 0);
    refuse(DATA "strided.bin", NM_EFORMAT, "weight is not row-major");
    refuse(DATA "none.bin", NM_ENOENT, "none.bin");
    assert_int_equal(nm_file_write_atomic(path, "", 0, &diag), NM_OK);
    refuse(path, NM_EFORMAT, "truncated");
}

/* A pickle in the older form's first place. */
static void refuse_pickle(const char *bytes, size_t n, const char *words)
{
    assert_int_equal(nm_file_write_atomic(path, bytes, n, &diag), NM_OK);
    refuse(path, NM_EFORMAT, words);
}

static void malformed_pickles(void **state)
{
    (void)state;
    refuse_pickle("\x80\x02.", 3, "more or less than one value");
    refuse_pickle("\x80\x02t.", 4, "mark that is not there");
    refuse_pickle("\x80\x02\x85.", 4, "empty stack");
    refuse_pickle("\x80\x02(\x85.", 5, "empty stack"); /* a mark is no value */
    refuse_pickle("\x80\x02h\x05.", 5, "has not kept");
    refuse_pickle("\x80\x02NNs.", 6, "empty stack");
    refuse_pickle("\x80\x02NNNs.", 7, "takes none");
    refuse_pickle("\x80\x02](NR.", 7, "can't be called");
    refuse_pickle("\x80\x02X\xff\xff\xff\xffx.", 9, "truncated");
    refuse_pickle("\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xffx.", 13, "truncated");
    refuse_pickle("\x80\x02"
                  "cposix\nsystem\n.",
                  17, "names posix.system");
    refuse_pickle("\x80\x04\x8c\x02os\x8c\x06system\x93.", 16, "names os.system");
    refuse_pickle("\x80\x02\x81.", 4, "opcode 0x81");
    refuse_pickle("\x80\x02"
                  "I1\n.",
                  6, "opcode 0x49");
    refuse_pickle("\x80\x02N.", 4, "torch.save did not write it");
    refuse_pickle("cno newline", 11, "truncated");
}

static void open_damaged(const char *bytes, size_t n, size_t where)
{
    struct nm_torch_file *f = NULL;
    diag.text[0] = '\0';
    FILE *file = fopen(path, "wb"); /* thousands of times, so without fsync */
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
    enum nm_err err = nm_torch_file_open(&f, path, &diag);
    if (err != NM_OK && (f != NULL || diag.text[0] == '\0'))
        fail_msg("byte %zu: %s without words", where, nm_err_name(err));
    const struct nm_stored_tensor *t = err == NM_OK ? nm_torch_file_find(f, "all") : NULL;
    if (t != NULL && t->n_bytes > 0) { /* whatever it says, its bytes are there */
        volatile unsigned char last = ((const unsigned char *)t->data)[t->n_bytes - 1];
        (void)last;
    }
    nm_torch_file_close(&f);
}

static void damage(const char *file)
{
    struct nm_buf buf;
    nm_buf_init(&buf, 1 << 20);
    assert_int_equal(nm_file_read(file, &buf, &diag), NM_OK);
    for (size_t i = 0; i < buf.len; i++) {
        const char before = buf.data[i];
        static const unsigned char flips[] = {0x01, 0x80, 0xff};
        buf.data[i] = (char)((unsigned char)before ^ flips[i % 3]);
        open_damaged(buf.data, buf.len, i);
        buf.data[i] = before;
    }
    for (size_t n = 0; n < buf.len; n += 7)
        open_damaged(buf.data, n, n);
    nm_buf_clean_up(&buf);
}

static void damaged(void **state)
{
    (void)state;
    damage(DATA "new.bin");
    damage(DATA "old.bin");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms),
        cmocka_unit_test(hostile),
        cmocka_unit_test(malformed_pickles),
        cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
