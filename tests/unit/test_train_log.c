/* The log of a training: lines that go on where a checkpoint is, TensorBoard's records, and a curve that is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/file.h"
#include "workers/trainer/tfevents.h"
#include "workers/trainer/train_log.h"

static char dir[] = "/tmp/nm_train_log_XXXXXX";
static struct nm_diag diag;

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    char command[64];
    (void)snprintf(command, sizeof command, "rm -r '%s'", dir);
    return system(command);
}

static void run(size_t from, size_t to)
{
    struct nm_train_log *log = NULL;
    if (nm_train_log_open(&log, dir, from, 5000, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    for (size_t i = from + 1; i <= to; i++)
        nm_train_log_step(log, &(struct nm_train_step){.step = i,
                                                       .epoch = (double)i / 1000,
                                                       .loss = (double)(i % 4),
                                                       .lr = 0.1,
                                                       .grad_norm = 2,
                                                       .tokens_per_s = 10});
    nm_train_log_scores(log, to, 1, &(struct nm_score){.precision = 0.5, .recall = 1, .f1 = 2.0 / 3});
    assert_int_equal(nm_train_log_flush(log, &diag), NM_OK);
    nm_train_log_close(&log);
    assert_null(log);
}

static json_t *lines(size_t *n)
{
    char path[NM_FILE_PATH], text[1000];
    json_t *all = json_array();
    assert_int_equal(nm_file_path(dir, "metrics.jsonl", path, &diag), NM_OK);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(text, sizeof text, file) != NULL)
        assert_int_equal(json_array_append_new(all, json_loads(text, 0, NULL)), 0); /* fails where it is no JSON */
    (void)fclose(file);
    *n = json_array_size(all);
    return all;
}

static void going_on(void **state)
{
    (void)state;
    size_t n;
    run(0, 300);
    json_t *all = lines(&n);
    assert_int_equal(n, 101); /* 5000 steps are 3 a line; and the score */
    assert_int_equal(json_integer_value(json_object_get(json_array_get(all, 1), "step")), 6);
    assert_true(json_number_value(json_object_get(json_array_get(all, 0), "loss")) == 2); /* of 1, 2, 3 */
    json_decref(all);
    run(150, 200); /* back to a checkpoint: what came after it goes */
    all = lines(&n);
    assert_int_equal(n, 50 + 17 + 1);
    for (size_t i = 0; i < n; i++)
        assert_in_range(json_integer_value(json_object_get(json_array_get(all, i), "step")), 3, 200);
    const json_t *dev = json_object_get(json_array_get(all, n - 1), "dev");
    assert_true(json_number_value(json_object_get(dev, "recall")) == 1);
    json_decref(all);
    run(0, 9); /* a new training */
    json_decref(lines(&n));
    assert_int_equal(n, 4);
}

static void curve(void **state)
{
    (void)state;
    struct nm_buf svg;
    char path[NM_FILE_PATH];
    nm_buf_init(&svg, 1 << 20);
    run(0, 30);
    assert_int_equal(nm_file_path(dir, "curve.svg", path, &diag), NM_OK);
    assert_int_equal(nm_file_read(path, &svg, &diag), NM_OK);
    assert_non_null(strstr(nm_buf_str(&svg), "<polyline"));
    assert_non_null(strstr(nm_buf_str(&svg), "step 30: 0.6667"));
    assert_non_null(strstr(nm_buf_str(&svg), "</svg>\n"));
    nm_buf_clean_up(&svg);
}

/* RFC 3720's examples. */
static void crc(void **state)
{
    (void)state;
    unsigned char bytes[32] = {0};
    assert_int_equal(nm_crc32c(bytes, 32), 0x8A9136AA);
    memset(bytes, 0xFF, 32);
    assert_int_equal(nm_crc32c(bytes, 32), 0x62A8AB43);
    assert_int_equal(nm_crc32c("123456789", 9), 0xE3069283);
}

/* A record as TensorFlow 2 writes it: Event(wall_time=1.5, step=300, summary={tag "a", simple_value 0.25}). */
static void record(void **state)
{
    (void)state;
    static const unsigned char body[] = {0x09, 0,    0,    0,    0,    0,    0,   0xf8, 0x3f, 0x10, 0xac, 0x02,
                                         0x2a, 0x0a, 0x0a, 0x08, 0x0a, 0x01, 'a', 0x15, 0,    0,    0x80, 0x3e};
    char *got = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&got, &size);
    assert_non_null(out);
    assert_true(nm_tfevents_scalar(out, 1.5, 300, "a", 0.25F));
    assert_int_equal(fclose(out), 0);
    assert_int_equal(size, 12 + sizeof body + 4);
    assert_int_equal(got[0], sizeof body);
    assert_memory_equal(got + 12, body, sizeof body);
    free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(going_on),
        cmocka_unit_test(curve),
        cmocka_unit_test(crc),
        cmocka_unit_test(record),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
