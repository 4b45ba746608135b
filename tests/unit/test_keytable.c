/* The table of keys against a plain model: while it grows, over restarts, and after crashes that leave any mixture of
 * old and new pages on the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/keytable.h"
#include "common/hash.h"

enum { ID = 77, PAGE = 4096 };

static char dir[64], path[96];

static struct nm_keytable *open_table(uint64_t pages, uint64_t count, bool expect_fresh)
{
    struct nm_keytable *table;
    struct nm_diag diag = {""};
    bool fresh;
    if (nm_keytable_open(path, ID, pages, count, &table, &fresh, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(fresh, expect_fresh);
    return table;
}

static uint64_t sync_table(struct nm_keytable *table, uint64_t *count)
{
    uint64_t pages = 0;
    nm_keytable_begin_sync(table);
    nm_keytable_wait(table);
    assert_true(nm_keytable_synced(table, &pages, count));
    assert_false(nm_keytable_synced(table, &pages, count)); /* said once */
    return pages;
}

/* Key number i of the test, and what stands under it. */
static uint64_t key(uint64_t i)
{
    return nm_mix64(i * 3 + 1);
}

static void check_has(const struct nm_keytable *table, uint64_t from, uint64_t to)
{
    uint64_t values[NM_KEYTABLE_VALUES];
    for (uint64_t i = from; i < to; i++)
        if (nm_keytable_get(table, key(i), values) != 1 || values[0] != i)
            fail_msg("key %llu is not there", (unsigned long long)i);
}

static void test_grows_and_comes_back(void **state)
{
    (void)state;
    enum { N = 700000, STEP = 50000 };
    uint64_t values[NM_KEYTABLE_VALUES], pages = 0, count = 0;
    struct nm_keytable *table = open_table(0, 0, true);
    for (uint64_t i = 0; i < N; i++) {
        if (i % STEP == STEP - 1) { /* what has moved may be overwritten from now on */
            pages = sync_table(table, &count);
            nm_keytable_committed(table, pages);
        }
        nm_keytable_put(table, key(i), i);
    }
    check_has(table, 0, N);
    for (uint64_t i = N; i < 2 * N; i++)
        assert_int_equal(nm_keytable_get(table, key(i), values), 0);
    assert_int_equal(nm_keytable_lost(table), 0);
    assert_int_equal(nm_keytable_count(table), N);
    pages = sync_table(table, &count);
    assert_int_equal(count, N);
    nm_keytable_close(&table);
    table = open_table(pages, count, false);
    check_has(table, 0, N);
    nm_keytable_close(&table);
    assert_int_equal(truncate(path, 10 * PAGE), 0); /* cut off: not the one that was noted */
    table = open_table(pages, count, true);
    assert_int_equal(nm_keytable_get(table, key(0), values), 0);
    nm_keytable_close(&table);
}

static void test_many_under_one_key(void **state)
{
    (void)state;
    uint64_t values[NM_KEYTABLE_VALUES];
    struct nm_keytable *table = open_table(0, 0, true);
    for (uint64_t round = 0; round < 3; round++)
        for (uint64_t i = 0; i < 10; i++)
            nm_keytable_put(table, 5, 100 + i);
    assert_int_equal(nm_keytable_get(table, 5, values), NM_KEYTABLE_VALUES);
    for (uint64_t i = 0; i < NM_KEYTABLE_VALUES; i++)
        assert_int_equal(values[i], 100 + i); /* the first ones */
    assert_int_equal(nm_keytable_count(table), NM_KEYTABLE_VALUES);
    assert_int_equal(nm_keytable_get(table, 6, values), 0);
    nm_keytable_close(&table);
}

static unsigned char *slurp(size_t *len)
{
    struct stat st = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    unsigned char *data = malloc((size_t)st.st_size + 1);
    assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
    (void)close(fd);
    *len = (size_t)st.st_size;
    return data;
}

/* After a sync more is put, the table grows, pages are split; then of each page the old or the new state is on the
 * disk, by chance, and the count of pages is the old one.  All that was synced must be there, and after the journal
 * (what came since) is put again, all that ever was. */
static void test_any_mixture_of_pages(void **state)
{
    (void)state;
    enum { BEFORE = 420000, AFTER = 560000 };
    struct nm_rng rng;
    nm_rng_init(&rng, 3);
    for (int round = 0; round < 3; round++) {
        uint64_t values[NM_KEYTABLE_VALUES], count, pages;
        size_t old_len, new_len;
        (void)unlink(path);
        struct nm_keytable *table = open_table(0, 0, true);
        pages = sync_table(table, &count);
        nm_keytable_committed(table, pages);
        for (uint64_t i = 0; i < BEFORE; i++)
            nm_keytable_put(table, key(i), i);
        pages = sync_table(table, &count); /* noted, and the commit is made: the journal begins here */
        nm_keytable_committed(table, pages);
        unsigned char *old = slurp(&old_len);
        for (uint64_t i = BEFORE; i < AFTER; i++)
            nm_keytable_put(table, key(i), i);
        if (round % 2) /* grown, written, not noted */
            (void)sync_table(table, &count);
        for (uint64_t i = AFTER; i < AFTER + 1000; i++)
            nm_keytable_put(table, key(i), i);
        nm_keytable_close(&table);
        unsigned char *new = slurp(&new_len);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        for (size_t at = 0; at < new_len; at += PAGE)
            if (at < old_len && nm_rng_below(&rng, 2))
                assert_int_equal(pwrite(fd, old + at, PAGE, (off_t)at), PAGE);
        (void)close(fd);
        table = open_table(pages, BEFORE, false);
        check_has(table, 0, BEFORE);
        for (uint64_t i = BEFORE; i < AFTER + 1000; i++)
            assert_true(nm_keytable_get(table, key(i), values) <= 1);
        for (uint64_t i = BEFORE; i < AFTER + 1000; i++)
            nm_keytable_put(table, key(i), i);
        check_has(table, 0, AFTER + 1000);
        nm_keytable_close(&table);
        free(old);
        free(new);
    }
}

static int set_up(void **state)
{
    (void)state;
    (void)strcpy(dir, "/tmp/nermill-keys-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(path, sizeof path, "%s/index", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_grows_and_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_under_one_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_any_mixture_of_pages, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("unit.keytable", tests, NULL, NULL);
}
