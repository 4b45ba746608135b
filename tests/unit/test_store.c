/* Store: durable groups, growth, order, versions, one writer. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/store.h"
#include "tests/unit/temp_dir.h"

static struct nm_diag diag;

static struct nm_store *open_store(uint32_t schema)
{
    struct nm_store *store = NULL;
    struct nm_store_options o = {.path = temp_dir, .kind = "test", .schema = schema, .map_bytes = 1 << 20};
    if (nm_store_open(&o, &store, NULL, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return store;
}

struct many {
    struct nm_db db;
    uint64_t first, n;
    size_t value_len;
    int runs;
};

static enum nm_err put_many(struct nm_txn *txn, void *ctx, struct nm_diag *d)
{
    (void)d;
    struct many *m = ctx;
    m->runs++;
    char *value = test_calloc(1, m->value_len);
    enum nm_err err = NM_OK;
    for (uint64_t i = m->first; i < m->first + m->n && err == NM_OK; i++)
        err = nm_txn_put(txn, m->db, nm_key_u64(i), value, m->value_len);
    test_free(value);
    return err;
}

struct walk {
    struct nm_db db;
    uint64_t from, first, count;
};

static enum nm_err walk(struct nm_txn *txn, void *ctx, struct nm_diag *d)
{
    (void)d;
    struct walk *w = ctx;
    struct nm_cursor *cursor;
    struct nm_val key, val;
    assert_int_equal(nm_cursor_open(txn, w->db, &cursor), NM_OK);
    enum nm_err err;
    struct nm_key from = nm_key_u64(w->from);
    uint64_t last = 0;
    w->count = 0;
    for (err = nm_cursor_seek(cursor, &from, &key, &val); err == NM_OK; err = nm_cursor_next(cursor, &key, &val)) {
        uint64_t k = nm_key_part(key.data, 0);
        if (w->count == 0)
            w->first = k;
        else
            assert_true(k > last);
        last = k;
        w->count++;
    }
    nm_cursor_close(&cursor);
    return err == NM_ENOENT ? NM_OK : err;
}

static void map_grows_and_everything_is_there_after_reopening(void **state)
{
    (void)state;
    struct nm_store *store = open_store(1);
    struct many m = {.first = 250, .n = 3000, .value_len = 2000};
    assert_int_equal(nm_store_db(store, "things", &m.db, &diag), NM_OK);
    assert_int_equal(nm_store_write(store, put_many, &m, &diag), NM_OK); /* 6 MB into a map of 1 MiB */
    assert_true(m.runs > 1);
    nm_store_close(&store);
    store = open_store(1);
    struct walk w = {.from = 300};
    assert_int_equal(nm_store_db(store, "things", &w.db, &diag), NM_OK);
    assert_int_equal(nm_store_read(store, walk, &w, &diag), NM_OK);
    assert_int_equal(w.first, 300);
    assert_int_equal(w.count, 2950);
    nm_store_close(&store);
}

static void databases_are_opened_all_or_none(void **state)
{
    (void)state;
    struct nm_store *store = open_store(1);
    struct nm_db one, two, three;
    const struct nm_named_db list[] = {{"one", &one}, {"two", &two}, {"three", &three}};
    struct many m = {.first = 1, .n = 3, .value_len = 10};
    assert_int_equal(nm_store_dbs(store, list, 2, &diag), NM_OK);
    assert_true(one.id != two.id);
    m.db = two;
    assert_int_equal(nm_store_write(store, put_many, &m, &diag), NM_OK);
    nm_store_close(&store);
    const struct nm_store_options look = {.path = temp_dir, .kind = "test", .schema = 1, .read_only = true};
    assert_int_equal(nm_store_open(&look, &store, NULL, &diag), NM_OK);
    assert_int_equal(nm_store_dbs(store, list, 3, &diag), NM_ENOENT); /* nobody has made the third */
    assert_int_equal(nm_store_dbs(store, list, 2, &diag), NM_OK);
    struct walk w = {.db = one};
    assert_int_equal(nm_store_read(store, walk, &w, &diag), NM_OK);
    assert_int_equal(w.count, 0);
    w.db = two;
    assert_int_equal(nm_store_read(store, walk, &w, &diag), NM_OK);
    assert_int_equal(w.count, 3);
    nm_store_close(&store);
}

static enum nm_err put_then_fail(struct nm_txn *txn, void *ctx, struct nm_diag *d)
{
    struct many *m = ctx;
    assert_int_equal(nm_txn_put(txn, m->db, nm_key_u64(1), "x", 1), NM_OK);
    return nm_fail(d, NM_ESTATE, "on purpose");
}

static void failed_group_leaves_nothing(void **state)
{
    (void)state;
    struct nm_store *store = open_store(1);
    struct many m = {0};
    assert_int_equal(nm_store_db(store, "things", &m.db, &diag), NM_OK);
    assert_int_equal(nm_store_write(store, put_then_fail, &m, &diag), NM_ESTATE);
    assert_string_equal(diag.text, "on purpose");
    struct walk w = {.db = m.db};
    assert_int_equal(nm_store_read(store, walk, &w, &diag), NM_OK);
    assert_int_equal(w.count, 0);
    nm_store_close(&store);
}

static void newer_or_other_store_is_refused_in_words(void **state)
{
    (void)state;
    struct nm_store *store = open_store(2);
    nm_store_close(&store);
    struct nm_store_options o = {.path = temp_dir, .kind = "test", .schema = 1};
    assert_int_equal(nm_store_open(&o, &store, NULL, &diag), NM_EVERSION);
    assert_non_null(strstr(diag.text, "version 2"));
    assert_null(store);
    o = (struct nm_store_options){.path = temp_dir, .kind = "ledger", .schema = 2};
    assert_int_equal(nm_store_open(&o, &store, NULL, &diag), NM_EFORMAT);
    assert_non_null(strstr(diag.text, "holds a test, not a ledger"));
    uint32_t found = 0;
    o = (struct nm_store_options){.path = temp_dir, .kind = "test", .schema = 5};
    assert_int_equal(nm_store_open(&o, &store, &found, &diag), NM_OK);
    assert_int_equal(found, 2);
    nm_store_close(&store);
}

static void garbage_is_no_store(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/data.mdb", temp_dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 20000; i++)
        (void)fputc('z', file);
    (void)fclose(file);
    struct nm_store *store;
    struct nm_store_options o = {.path = temp_dir, .kind = "test", .schema = 1};
    assert_int_equal(nm_store_open(&o, &store, NULL, &diag), NM_EFORMAT);
    assert_non_null(strstr(diag.text, temp_dir));
}

static void one_writer_at_a_time_and_readers_beside_it(void **state)
{
    (void)state;
    struct nm_store *store = open_store(1);
    struct many m = {.n = 10, .value_len = 4};
    assert_int_equal(nm_store_db(store, "things", &m.db, &diag), NM_OK);
    assert_int_equal(nm_store_write(store, put_many, &m, &diag), NM_OK);
    pid_t child = fork();
    if (child == 0) { /* another process */
        struct nm_store *other;
        struct nm_store_options o = {.path = temp_dir, .kind = "test", .schema = 1};
        if (nm_store_open(&o, &other, NULL, &diag) != NM_EBUSY || strstr(diag.text, "in use by process") == NULL)
            _exit(1);
        o.read_only = true;
        struct walk w = {0};
        if (nm_store_open(&o, &other, NULL, &diag) != NM_OK || nm_store_db(other, "things", &w.db, &diag) != NM_OK ||
            nm_store_read(other, walk, &w, &diag) != NM_OK || w.count != 10)
            _exit(2);
        nm_store_close(&other);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    nm_store_close(&store);
}

/* Commits that returned are there after SIGKILL; the group under way is there whole or not at all. */
static void killed_writer_keeps_whole_groups(void **state)
{
    (void)state;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0) {
        struct nm_store *store = open_store(1);
        struct many m = {.n = 50, .value_len = 300};
        (void)nm_store_db(store, "things", &m.db, &diag);
        for (;; m.first += 50) {
            if (nm_store_write(store, put_many, &m, &diag) != NM_OK || write(pipe_fds[1], "x", 1) != 1)
                _exit(1);
        }
    }
    close(pipe_fds[1]);
    uint64_t acked = 0;
    char c;
    while (acked < 40 && read(pipe_fds[0], &c, 1) == 1)
        acked++;
    kill(child, SIGKILL);
    while (read(pipe_fds[0], &c, 1) == 1)
        acked++;
    close(pipe_fds[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    struct nm_store *store = open_store(1);
    struct walk w = {0};
    assert_int_equal(nm_store_db(store, "things", &w.db, &diag), NM_OK);
    assert_int_equal(nm_store_read(store, walk, &w, &diag), NM_OK);
    assert_true(acked >= 40);
    assert_in_range(w.count, acked * 50, acked * 50 + 50);
    assert_int_equal(w.count % 50, 0);
    nm_store_close(&store);
}

/* A file size limit stands for the full disk. */
static void full_disk_changes_nothing_and_is_told_in_words(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct nm_store *store = open_store(1);
        struct many m = {.n = 100, .value_len = 1000};
        (void)signal(SIGXFSZ, SIG_IGN);
        if (nm_store_db(store, "things", &m.db, &diag) != NM_OK ||
            nm_store_write(store, put_many, &m, &diag) != NM_OK)
            _exit(1);
        struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY};
        (void)setrlimit(RLIMIT_FSIZE, &limit);
        m = (struct many){.db = m.db, .first = 100, .n = 3000, .value_len = 1000};
        enum nm_err err = nm_store_write(store, put_many, &m, &diag);
        if (err != NM_EFULL || strstr(diag.text, temp_dir) == NULL)
            _exit(2);
        limit.rlim_cur = RLIM_INFINITY; /* space again: the same store goes on */
        (void)setrlimit(RLIMIT_FSIZE, &limit);
        struct walk w = {.db = m.db};
        if (nm_store_read(store, walk, &w, &diag) != NM_OK || w.count != 100)
            _exit(3);
        if (nm_store_write(store, put_many, &m, &diag) != NM_OK)
            _exit(4);
        if (nm_store_read(store, walk, &w, &diag) != NM_OK || w.count != 3100)
            _exit(5);
        nm_store_close(&store);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(WIFEXITED(status));
}

static void keys_sort_as_numbers(void **state)
{
    (void)state;
    struct nm_key a = nm_key_u64x2(255, 9), b = nm_key_u64x2(256, 1);
    assert_true(memcmp(a.bytes, b.bytes, 16) < 0);
    assert_true(nm_key_part(a.bytes, 0) == 255 && nm_key_part(a.bytes, 1) == 9);
}

/* What a store that was killed while it was made leaves behind is swept away. */
static void a_half_made_store_is_made_again(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/new", temp_dir);
    assert_int_equal(mkdir(path, 0777), 0);
    (void)snprintf(path, sizeof path, "%s/new/data.mdb", temp_dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs("half a page", file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
    struct nm_store *store = open_store(1);
    nm_store_close(&store);
    assert_int_not_equal(access(path, F_OK), 0);
    (void)snprintf(path, sizeof path, "%s/new", temp_dir);
    assert_int_not_equal(access(path, F_OK), 0);
    store = open_store(1);
    nm_store_close(&store);
}

static enum nm_err clear_then_put_one(struct nm_txn *txn, void *ctx, struct nm_diag *d)
{
    (void)d;
    const struct many *m = ctx;
    enum nm_err err = nm_txn_put(txn, m->db, nm_key_u64(3), "old", 3);
    if (err == NM_OK)
        err = nm_txn_clear(txn, m->db);
    return err == NM_OK ? nm_txn_put(txn, m->db, nm_key_u64(7), "new", 3) : err;
}

static enum nm_err count_them(struct nm_txn *txn, void *ctx, struct nm_diag *d)
{
    (void)d;
    struct many *m = ctx;
    struct nm_val val;
    assert_int_equal(nm_txn_get(txn, m->db, nm_key_u64(3), &val), NM_ENOENT);
    assert_int_equal(nm_txn_get(txn, m->db, nm_key_u64(7), &val), NM_OK);
    return nm_txn_count(txn, m->db, &m->n);
}

static void a_cleared_database_holds_what_came_after(void **state)
{
    (void)state;
    struct nm_store *store = open_store(1);
    struct many m = {.first = 100, .n = 5000, .value_len = 100};
    assert_int_equal(nm_store_db(store, "things", &m.db, &diag), NM_OK);
    assert_int_equal(nm_store_write(store, put_many, &m, &diag), NM_OK);
    assert_int_equal(nm_store_write(store, clear_then_put_one, &m, &diag), NM_OK);
    assert_int_equal(nm_store_read(store, count_them, &m, &diag), NM_OK);
    assert_int_equal(m.n, 1);
    nm_store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(map_grows_and_everything_is_there_after_reopening, temp_dir_make,
                                        temp_dir_remove),
        cmocka_unit_test_setup_teardown(databases_are_opened_all_or_none, temp_dir_make, temp_dir_remove),
        cmocka_unit_test_setup_teardown(failed_group_leaves_nothing, temp_dir_make, temp_dir_remove),
        cmocka_unit_test_setup_teardown(newer_or_other_store_is_refused_in_words, temp_dir_make, temp_dir_remove),
        cmocka_unit_test_setup_teardown(garbage_is_no_store, temp_dir_make, temp_dir_remove),
        cmocka_unit_test_setup_teardown(one_writer_at_a_time_and_readers_beside_it, temp_dir_make, temp_dir_remove),
        cmocka_unit_test_setup_teardown(killed_writer_keeps_whole_groups, temp_dir_make, temp_dir_remove),
        cmocka_unit_test_setup_teardown(full_disk_changes_nothing_and_is_told_in_words, temp_dir_make,
                                        temp_dir_remove),
        cmocka_unit_test_setup_teardown(a_half_made_store_is_made_again, temp_dir_make, temp_dir_remove),
        cmocka_unit_test_setup_teardown(a_cleared_database_holds_what_came_after, temp_dir_make, temp_dir_remove),
        cmocka_unit_test(keys_sort_as_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
