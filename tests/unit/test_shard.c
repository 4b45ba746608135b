/* Unit tests of the shard's and the index' form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "schemas/shard.h"

static void make(struct nm_buf *out, uint64_t number, size_t n)
{
    static const char bytes[] = "abcdefghij";
    nm_buf_init(out, 1 << 20);
    assert_int_equal(nm_shard_begin(out, number), NM_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(nm_shard_add(out, bytes, i % sizeof bytes), NM_OK);
    assert_int_equal(nm_shard_finish(out), NM_OK);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t n = 0; n < 300; n += 23) {
        struct nm_buf buf;
        struct nm_shard_reader reader;
        struct nm_diag diag;
        const void *record;
        size_t len;
        make(&buf, 1ULL << 40 | n, n);
        assert_int_equal(nm_shard_open(buf.data, buf.len, &reader, &diag), NM_OK);
        assert_true(reader.number == (1ULL << 40 | n));
        assert_int_equal(reader.count, n);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(nm_shard_next(&reader, &record, &len), NM_OK);
            assert_int_equal(len, i % 11);
            assert_memory_equal(record, "abcdefghij", len);
        }
        assert_int_equal(nm_shard_next(&reader, &record, &len), NM_ENOENT);
        nm_buf_clean_up(&buf);
    }
}

static void test_damage(void **state)
{
    (void)state;
    struct nm_buf buf;
    struct nm_shard_reader reader;
    struct nm_diag diag;
    make(&buf, 7, 20);
    for (size_t len = 0; len < buf.len; len++) /* cut anywhere */
        assert_int_equal(nm_shard_open(buf.data, len, &reader, &diag), NM_EFORMAT);
    for (size_t at = 0; at < buf.len; at++) { /* any bit */
        buf.data[at] = (char)(buf.data[at] ^ 0x20);
        enum nm_err err = nm_shard_open(buf.data, buf.len, &reader, &diag);
        assert_int_equal(err, at == 7 ? NM_EVERSION : NM_EFORMAT);
        buf.data[at] = (char)(buf.data[at] ^ 0x20);
    }
    assert_int_equal(nm_shard_open(buf.data, buf.len, &reader, &diag), NM_OK);

    buf.len -= 8; /* a right checksum over wrong lengths */
    buf.data[20] = 1;
    assert_int_equal(nm_shard_finish(&buf), NM_OK);
    assert_int_equal(nm_shard_open(buf.data, buf.len, &reader, &diag), NM_EFORMAT);
    nm_buf_clean_up(&buf);
}

static void test_index(void **state)
{
    (void)state;
    struct nm_index_shard shards[] = {{0, 100, 12345, 0xfedcba9876543210U, true}, {1, 7, 99, 1, false}};
    struct nm_index index = {"run-1", 100, 107, shards, 2};
    struct nm_index got;
    struct nm_buf buf;
    struct nm_arena arena;
    struct nm_diag diag;
    nm_buf_init(&buf, 4096);
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_index_encode(&index, &buf), NM_OK);
    assert_string_equal(nm_buf_str(&buf), "nermill-index\t1\trun-1\t100\t107\n"
                                          "0\t100\t12345\tfedcba9876543210\tsealed\n"
                                          "1\t7\t99\t0000000000000001\topen\n");
    assert_int_equal(nm_index_decode(buf.data, buf.len, &arena, &got, &diag), NM_OK);
    assert_string_equal(got.run, "run-1");
    assert_int_equal(got.shard_samples, 100);
    assert_int_equal(got.samples, 107);
    assert_int_equal(got.n_shards, 2);
    assert_true(got.shards[0].digest == 0xfedcba9876543210U && got.shards[0].sealed && !got.shards[1].sealed);
    assert_true(got.shards[1].number == 1 && got.shards[1].count == 7 && got.shards[1].bytes == 99);

    size_t whole_lines = 0;
    for (size_t len = 0; len < buf.len; len++) /* cut anywhere but behind a line */
        if (nm_index_decode(buf.data, len, &arena, &got, &diag) == NM_OK) {
            assert_int_equal(buf.data[len - 1], '\n');
            whole_lines++;
        }
    assert_int_equal(whole_lines, 2);
    static const char *const bad[] = {"", "x", "nermill-index\t1\tr\t1\tx\n",
                                      "nermill-index\t1\tr\t1\t2\n0\t1\t2\t3\tshut\n",
                                      "nermill-index\t1\tr\t1\t2\n0\t-1\t2\t3\topen\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(nm_index_decode(bad[i], strlen(bad[i]), &arena, &got, &diag), NM_EFORMAT);
    assert_int_equal(nm_index_decode("nermill-index\t2\tr\n", 18, &arena, &got, &diag), NM_EVERSION);
    nm_arena_clean_up(&arena);
    nm_buf_clean_up(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
