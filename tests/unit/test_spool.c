/* The spool: there after a commit, whatever was reopened; gone after a drop; each run its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/temp_dir.h"
#include "workers/generator/spool.h"

static struct nm_spool *open_run(const char *run)
{
    struct nm_spool *spool;
    struct nm_diag diag = {""};
    if (nm_spool_open(temp_dir, run, &spool, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return spool;
}

static void put(struct nm_spool *spool, uint64_t task, uint64_t attempt, const char *body)
{
    struct nm_msg_entity entity = {.text = nm_str("aspirin"), .type = nm_str("Chemical"), .index = 4};
    struct nm_spool_entry entry = {
        .task = {.task = task, .attempt = attempt, .entities = &entity, .n_entities = 1, .style = nm_str("s")},
        .response = {.task = task, .attempt = attempt, .status = 200, .body = nm_str(body), .seed = 77}};
    const struct nm_msg msg = {.type = NM_MSG_task, .u.task = entry.task};
    struct nm_buf packed;
    nm_buf_init(&packed, NM_FRAME_MAX);
    assert_int_equal(nm_msg_encode(&msg, &packed), NM_OK);
    if (task % 2 != 0) { /* as it came; the others are encoded by the spool: read back, it is the same */
        entry.packed = (struct nm_str){packed.data, packed.len};
        entry.task = (struct nm_msg_task){.task = task, .attempt = attempt};
    }
    assert_int_equal(nm_spool_put(spool, &entry), NM_OK);
    nm_buf_clean_up(&packed);
}

static size_t count(struct nm_spool *spool, size_t *others)
{
    struct nm_arena arena;
    struct nm_spool_key *keys;
    size_t n;
    struct nm_diag diag;
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_spool_keys(spool, &arena, &keys, &n, others, &diag), NM_OK);
    nm_arena_clean_up(&arena);
    return n;
}

static void test_life(void **state)
{
    (void)state;
    struct nm_diag diag = {""};
    size_t others;
    struct nm_spool *spool = open_run("run-a");
    put(spool, 1, 1, "not committed");
    nm_spool_close(&spool);
    assert_null(spool);

    spool = open_run("run-a");
    assert_int_equal(count(spool, &others), 0); /* what was never committed was never there */
    for (uint64_t i = 0; i < 300; i++)
        put(spool, i, 2, "first");
    put(spool, 7, 2, "second"); /* the same key: one entry */
    assert_int_equal(nm_spool_commit(spool, &diag), NM_OK);
    nm_spool_close(&spool);

    spool = open_run("run-a");
    assert_int_equal(count(spool, &others), 300);
    assert_int_equal(others, 0);
    struct nm_arena arena;
    struct nm_spool_entry entry;
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_spool_get(spool, (struct nm_spool_key){7, 2}, &arena, &entry, &diag), NM_OK);
    assert_string_equal(entry.response.body.ptr, "second");
    assert_int_equal(entry.response.seed, 77);
    assert_int_equal(entry.task.attempt, 2);
    assert_string_equal(entry.task.entities[0].text.ptr, "aspirin");
    assert_string_equal(entry.task.style.ptr, "s");
    assert_int_equal(nm_spool_get(spool, (struct nm_spool_key){7, 1}, &arena, &entry, &diag), NM_ENOENT);
    nm_arena_clean_up(&arena);
    assert_int_equal(nm_spool_drop(spool, (struct nm_spool_key){7, 2}), NM_OK);
    assert_int_equal(nm_spool_drop(spool, (struct nm_spool_key){7, 2}), NM_OK); /* twice is once */
    assert_int_equal(nm_spool_drop(spool, (struct nm_spool_key){9999, 1}), NM_OK);
    assert_int_equal(nm_spool_commit(spool, &diag), NM_OK);
    assert_int_equal(nm_spool_commit(spool, &diag), NM_OK);
    assert_int_equal(count(spool, &others), 299);
    nm_spool_close(&spool);
}

static void test_runs_apart(void **state)
{
    (void)state;
    struct nm_diag diag = {""};
    size_t others;
    struct nm_spool *spool = open_run("run-b");
    put(spool, 1, 1, "of b");
    assert_int_equal(nm_spool_commit(spool, &diag), NM_OK);
    assert_int_equal(count(spool, &others), 1);
    assert_int_equal(others, 299);
    struct nm_spool *second;
    assert_int_not_equal(nm_spool_open(temp_dir, "run-b", &second, &diag), NM_OK); /* one process a spool */
    assert_null(second);
    nm_spool_close(&spool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_life), cmocka_unit_test(test_runs_apart)};
    return cmocka_run_group_tests(tests, temp_dir_make, temp_dir_remove);
}
