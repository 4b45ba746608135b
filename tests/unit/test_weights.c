/* The weights of a directory in each of their forms: one file or shards, safetensors or torch.save's; which of them
 * is taken; and an index that is wrong. */
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
#include "workers/trainer/weights.h"

#define DATA "tests/golden/data/torch/" /* the test's directory is the checkout */

static char dir[] = "/tmp/nm_weights_XXXXXX";
static struct nm_diag diag;

static const char *const files[] = {
    "model.safetensors", "model.safetensors.index.json", "a.safetensors", "b.safetensors",
    "pytorch_model.bin", "pytorch_model.bin.index.json", "a.bin"};
enum { N_FILES = sizeof files / sizeof *files };

static const char *in_dir(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL;
}

static int clear(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FILES; i++)
        (void)unlink(in_dir(files[i]));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(dir);
}

static void put(const char *file, const char *tensor, float value)
{
    const float values[] = {value, value + 1};
    const struct nm_safetensor_view view = {tensor, 1, {2}, values};
    assert_int_equal(nm_safetensors_write(in_dir(file), &view, 1, NULL, 0, &diag), NM_OK);
}

static void put_text(const char *file, const char *text)
{
    assert_int_equal(nm_file_write_atomic(in_dir(file), text, strlen(text), &diag), NM_OK);
}

static void copy(const char *from, const char *to)
{
    struct nm_buf buf;
    nm_buf_init(&buf, 1 << 20);
    assert_int_equal(nm_file_read(from, &buf, &diag), NM_OK);
    assert_int_equal(nm_file_write_atomic(in_dir(to), nm_buf_str(&buf), buf.len, &diag), NM_OK);
    nm_buf_clean_up(&buf);
}

static struct nm_weights *open_weights(void)
{
    struct nm_weights *w = NULL;
    if (nm_weights_open(&w, dir, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return w;
}

static float first(const struct nm_weights *w, const char *name, size_t n)
{
    float values[12];
    if (nm_weights_read(w, name, 1, &n, values, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return values[0];
}

static void shards(void **state)
{
    (void)state;
    put("a.safetensors", "x", 1);
    put("b.safetensors", "y", 5);
    put_text("model.safetensors.index.json",
             "{\"metadata\": {}, \"weight_map\": {\"x\": \"a.safetensors\", \"y\": \"b.safetensors\"}}");
    struct nm_weights *w = open_weights();
    assert_true(first(w, "x", 2) == 1 && first(w, "y", 2) == 5);
    assert_false(nm_weights_has(w, "z"));
    assert_int_equal(nm_weights_read(w, "z", 1, (size_t[]){2}, NULL, &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "no tensor z in its 2 files"));
    nm_weights_close(&w);
    put("model.safetensors", "x", 9); /* goes before its shards */
    w = open_weights();
    assert_true(first(w, "x", 2) == 9);
    nm_weights_close(&w);
    assert_null(w);
}

static void torch_forms(void **state)
{
    (void)state;
    copy(DATA "new.bin", "pytorch_model.bin");
    struct nm_weights *w = open_weights();
    assert_true(first(w, "half", 2) == 1.5F);
    nm_weights_close(&w);
    (void)unlink(in_dir("pytorch_model.bin"));
    copy(DATA "old.bin", "a.bin");
    put_text("pytorch_model.bin.index.json", "{\"weight_map\": {\"half\": \"a.bin\", \"all\": \"a.bin\"}}");
    w = open_weights();
    assert_true(first(w, "half", 2) == 1.5F && first(w, "all", 12) == 0);
    nm_weights_close(&w);
}

static void refuse(enum nm_err want, const char *words)
{
    struct nm_weights *w = NULL;
    enum nm_err err = nm_weights_open(&w, dir, &diag);
    if (err != want || strstr(diag.text, words) == NULL || strstr(diag.text, dir) == NULL)
        fail_msg("%s: %s", nm_err_name(err), diag.text);
    assert_null(w);
}

static void wrong(void **state)
{
    (void)state;
    refuse(NM_ENOENT, "no weights");
    static const char index[] = "model.safetensors.index.json";
    put_text(index, "{");
    refuse(NM_EFORMAT, "index.json:1");
    put_text(index, "{\"weight_map\": {}}");
    refuse(NM_EFORMAT, "no \"weight_map\"");
    put_text(index, "{\"weight_map\": {\"x\": 3}}");
    refuse(NM_EFORMAT, "tensor x is in no file of this directory");
    put_text(index, "{\"weight_map\": {\"x\": \"../../etc/passwd\"}}");
    refuse(NM_EFORMAT, "tensor x is in no file of this directory");
    put_text(index, "{\"weight_map\": {\"x\": \"a.safetensors\"}}");
    refuse(NM_ENOENT, "a.safetensors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(shards, clear),
        cmocka_unit_test_teardown(torch_forms, clear),
        cmocka_unit_test_teardown(wrong, clear),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
