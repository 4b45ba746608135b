/* Unit tests of the ways out: one sample as text, several stores merged, the lists' own tags, this machine's address.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/file.h"
#include "workers/aligner/host.h"
#include "workers/aligner/samples.h"
#include "workers/aligner/write_sample.h"
#include "workers/dataset/export.h"

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    (void)strcpy(dir, "/tmp/nermill-export-XXXXXX");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command); /* NOLINT: a directory of our own */
}

/* A path in the test's directory; the buffer of one name lives until the 64th call from now. */
static const char *in_dir(const char *name)
{
    static char paths[64][128];
    static size_t next;
    char *path = paths[next++ % 64];
    (void)snprintf(path, 128, "%s/%s", dir, name);
    return path;
}

/* ---- one sample --------------------------------------------------------------------------------------------------
 */

static void test_write(void **state)
{
    (void)state;
    static const char text[] = "α \"\\\t\u2028𝛼β\x7f";
    struct nm_msg_token tokens[] = {
        {0, 2, nm_str("O")}, {3, 4, nm_str("O")}, {4, 5, nm_str("O")}, {9, 15, nm_str("B-\"x\"")}};
    struct nm_msg_mention mentions[] = {
        {.start = 9, .end = 15, .type = nm_str("\"x\""), .requested = true, .index = 3}};
    struct nm_msg_sample sample = {.task = UINT64_MAX,
                                   .attempt = 2,
                                   .text = nm_str(text),
                                   .tokens = tokens,
                                   .n_tokens = 4,
                                   .mentions = mentions,
                                   .n_mentions = 1};
    struct nm_buf out;
    nm_buf_init(&out, 1 << 16);
    assert_int_equal(nm_write_conll(&sample, &out), NM_OK);
    assert_string_equal(nm_buf_str(&out), "α\tO\n\"\tO\n\\\tO\n𝛼β\tB-\"x\"\n\n");
    nm_buf_reset(&out);
    assert_int_equal(nm_write_json(&sample, &out), NM_OK);
    assert_string_equal(
        nm_buf_str(&out),
        "{\"id\":18446744073709551615,\"text\":\"α \\\"\\\\\\u0009\\u2028𝛼β\\u007f\","
        "\"tokens\":[\"α\",\"\\\"\",\"\\\\\",\"𝛼β\"],\"tags\":[\"O\",\"O\",\"O\",\"B-\\\"x\\\"\"],"
        "\"offsets\":[[0,1],[2,3],[3,4],[6,8]],"
        "\"entities\":[{\"start\":6,\"end\":8,\"type\":\"\\\"x\\\"\",\"text\":\"𝛼β\",\"requested\":true,"
        "\"index\":3}],\"provenance\":{\"task\":18446744073709551615,\"attempt\":2,"
        "\"prompt_hash\":\"\",\"model\":\"\",\"seed\":0,\"constraint\":\"\"}}\n");
    tokens[2].tag = nm_str(NM_TAG_TEXT_MASKED);
    mentions[0] = (struct nm_msg_mention){.start = 4, .end = 5, .index = NM_NO_INDEX, .note = nm_str("unlisted")};
    sample.task = 1;
    nm_buf_reset(&out);
    assert_int_equal(nm_write_conll(&sample, &out), NM_OK);
    assert_string_equal(nm_buf_str(&out), "α\tO\n\"\tO\n\\\t-\n𝛼β\tB-\"x\"\n\n");
    nm_buf_reset(&out);
    assert_int_equal(nm_write_json(&sample, &out), NM_OK);
    assert_non_null(strstr(nm_buf_str(&out), "\"tags\":[\"O\",\"O\",\"-\",\"B-\\\"x\\\"\"]"));
    assert_non_null(strstr(nm_buf_str(&out), "\"entities\":[{\"start\":3,\"end\":4,\"type\":null,\"text\":\"\\\\\","
                                             "\"requested\":false,\"index\":null,\"note\":\"unlisted\"}]"));
    tokens[3].end = sizeof text; /* behind the text */
    assert_int_equal(nm_write_conll(&sample, &out), NM_EFORMAT);
    assert_int_equal(nm_write_json(&sample, &out), NM_EFORMAT);
    nm_buf_clean_up(&out);
}

/* ---- stores ------------------------------------------------------------------------------------------------------
 */

/* A store with the tasks given (0 ends them), each text "<store><task>", and one that is only pending. */
static void make_store(const char *name, const char *run, const uint64_t *tasks)
{
    struct nm_samples *samples;
    struct nm_diag diag;
    if (nm_samples_open(in_dir(name), run, 4, &samples, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    for (size_t i = 0; tasks[i] != 0; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "%s%d", name, (int)tasks[i]);
        struct nm_msg_token token = {0, strlen(text), nm_str("O")};
        struct nm_msg_sample sample = {
            .task = tasks[i], .attempt = 1, .text = nm_str(text), .tokens = &token, .n_tokens = 1};
        struct nm_msg_hold hold = {.task = tasks[i], .attempt = 1, .keep = true};
        assert_int_equal(nm_samples_put(samples, &sample), NM_OK);
        assert_int_equal(nm_samples_settle(samples, &hold), NM_OK);
    }
    struct nm_msg_token token = {0, 7, nm_str("O")};
    struct nm_msg_sample pending = {
        .task = 99, .attempt = 1, .text = nm_str("pending"), .tokens = &token, .n_tokens = 1};
    assert_int_equal(nm_samples_put(samples, &pending), NM_OK);
    assert_int_equal(nm_samples_commit(samples, &diag), NM_OK);
    nm_samples_close(&samples);
}

static const char *aside; /* a file of task ranges, or NULL */

static enum nm_err run_export(const char *const *dirs, size_t n, struct nm_buf *out, struct nm_diag *diag)
{
    uint64_t written;
    nm_buf_reset(out);
    struct nm_source source = {.states = dirs, .n_states = n, .aside = aside};
    enum nm_err err = nm_export_run(&source, nm_format_find("conll"), in_dir("out"), &written, diag);
    if (err == NM_OK)
        assert_int_equal(nm_file_read(in_dir("out"), out, NULL), NM_OK);
    return err;
}

static void test_merge(void **state)
{
    (void)state;
    make_store("a", "r", (const uint64_t[]){9, 1, 5, 300, 0});
    make_store("b", "r", (const uint64_t[]){4, 5, 2, 0});
    make_store("c", "r", (const uint64_t[]){0});
    make_store("d", "other", (const uint64_t[]){7, 0});
    struct nm_buf out;
    struct nm_diag diag;
    nm_buf_init(&out, 1 << 16);
    const char *dirs[] = {in_dir("a"), in_dir("b"), in_dir("c")};
    assert_int_equal(run_export(dirs, 3, &out, &diag), NM_OK);
    assert_string_equal(nm_buf_str(&out), "a1\tO\n\nb2\tO\n\nb4\tO\n\na5\tO\n\na9\tO\n\na300\tO\n\n");
    const char *turned[] = {dirs[2], dirs[1], dirs[0]}; /* the first that has a task gives it */
    assert_int_equal(run_export(turned, 3, &out, &diag), NM_OK);
    assert_string_equal(nm_buf_str(&out), "a1\tO\n\nb2\tO\n\nb4\tO\n\nb5\tO\n\na9\tO\n\na300\tO\n\n");
    assert_int_equal(run_export(&dirs[2], 1, &out, &diag), NM_OK);
    assert_string_equal(nm_buf_str(&out), "");
    char path[256];
    (void)snprintf(path, sizeof path, "%s", in_dir("aside"));
    aside = path;
    assert_int_equal(nm_file_write_atomic(path, "0 3\n9 299\n", 10, NULL), NM_OK);
    assert_int_equal(run_export(dirs, 3, &out, &diag), NM_OK);
    assert_string_equal(nm_buf_str(&out), "b4\tO\n\na5\tO\n\na300\tO\n\n");
    assert_int_equal(nm_file_write_atomic(path, "9 3\n", 4, NULL), NM_OK);
    assert_int_equal(run_export(dirs, 3, &out, &diag), NM_EFORMAT);
    assert_non_null(strstr(diag.text, "aside:1: not a range"));
    aside = NULL;

    const char *mixed[] = {dirs[0], in_dir("d")};
    assert_int_equal(run_export(mixed, 2, &out, &diag), NM_ESTATE);
    assert_non_null(strstr(diag.text, "one run at a time"));
    const char *none[] = {in_dir("nothing")};
    assert_int_equal(run_export(none, 1, &out, &diag), NM_ENOENT);
    uint64_t written;
    struct nm_source source = {.states = dirs, .n_states = 1};
    const struct nm_format *jsonl = nm_format_find("jsonl");
    assert_int_equal(nm_export_run(&source, jsonl, in_dir("no/such/file"), &written, &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "no/such/file"));
    assert_int_equal(nm_export_run(&source, jsonl, "/dev/full/x", &written, &diag), NM_ENOENT);
    nm_buf_clean_up(&out);
}

/* ---- addresses ---------------------------------------------------------------------------------------------------
 */

static void test_host(void **state)
{
    (void)state;
    char out[64];
    struct nm_diag diag;
    assert_int_equal(nm_host_towards("tcp://127.0.0.1:7711", out, sizeof out, &diag), NM_OK);
    assert_string_equal(out, "127.0.0.1");
    assert_int_equal(nm_host_towards("tcp://localhost:7711", out, sizeof out, &diag), NM_OK);
    assert_true(strcmp(out, "127.0.0.1") == 0 || strcmp(out, "[::1]") == 0);
    static const char *const bad[] = {"", "tcp://", "tcp://host", "tcp://host:", "ipc://x:1", "tcp://:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(nm_host_towards(bad[i], out, sizeof out, &diag), NM_EINVAL);
    assert_int_equal(nm_host_reachable("tcp://0.0.0.0:4711", "10.0.0.7", out, sizeof out, &diag), NM_OK);
    assert_string_equal(out, "tcp://10.0.0.7:4711");
    assert_int_equal(nm_host_reachable("tcp://[::]:4711", "[fe80::1]", out, sizeof out, &diag), NM_OK);
    assert_string_equal(out, "tcp://[fe80::1]:4711");
    assert_int_equal(nm_host_reachable("tcp://10.1.1.1:4711", "10.0.0.7", out, sizeof out, &diag), NM_OK);
    assert_string_equal(out, "tcp://10.1.1.1:4711");
    assert_int_equal(nm_host_reachable("tcp://0.0.0.0:4711", "10.0.0.7", out, 8, &diag), NM_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write),
        cmocka_unit_test_setup_teardown(test_merge, set_up, tear_down),
        cmocka_unit_test(test_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
