/* What is forced to the disk, and when: LMDB's calls of fdatasync are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/store.h"
#include "tests/unit/temp_dir.h"

static int syncs;

/* In the place of the C library's. */
int fdatasync(int fd)
{
    syncs++;
    return fsync(fd);
}

static enum nm_err put(struct nm_txn *txn, void *ctx, struct nm_diag *diag)
{
    (void)diag;
    return nm_txn_put(txn, *(struct nm_db *)ctx, nm_key_u64(1), "x", 1);
}

static void commit(struct nm_store *store, struct nm_db db, int expected)
{
    int before = syncs;
    assert_int_equal(nm_store_write(store, put, &db, NULL), NM_OK);
    assert_int_equal(syncs - before, expected);
}

static void test_syncs(void **state)
{
    (void)state;
    struct nm_store_options options = {.path = temp_dir, .kind = "ledger", .schema = 1};
    struct nm_store *store;
    struct nm_db db;
    struct nm_diag diag = {""};
    assert_int_equal(nm_store_open(&options, &store, NULL, &diag), NM_OK);
    assert_int_equal(nm_store_db(store, "db", &db, &diag), NM_OK);
    commit(store, db, 1);
    assert_int_equal(nm_store_set_sync(store, false, &diag), NM_OK);
    commit(store, db, 0);
    commit(store, db, 0);
    int before = syncs;
    assert_int_equal(nm_store_sync(store, &diag), NM_OK);
    assert_int_equal(syncs - before, 1);
    assert_int_equal(nm_store_set_sync(store, true, &diag), NM_OK);
    commit(store, db, 1);
    nm_store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_syncs, temp_dir_make, temp_dir_remove)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
