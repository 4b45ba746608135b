/* Unit tests of the store of samples: every step once, twice, after a restart, on a full disk; shards and their
 * seals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/store.h"
#include "schemas/shard.h"
#include "workers/aligner/samples.h"

struct fixture {
    char dir[64];
    struct nm_samples *s;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    (void)strcpy(f->dir, "/tmp/nermill-samples-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    struct nm_diag diag;
    assert_int_equal(nm_samples_open(f->dir, "run-1", 10, &f->s, &diag), NM_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char path[128];
    nm_samples_close(&f->s);
    static const char *const files[] = {"samples/data.mdb", "samples/lock.mdb", "samples/owner.pid", "samples", ""};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", f->dir, files[i]);
        (void)remove(path);
    }
    struct stat st;
    assert_int_not_equal(stat(f->dir, &st), 0);
    free(f);
    return 0;
}

static void reopen(struct fixture *f)
{
    struct nm_diag diag;
    nm_samples_close(&f->s);
    if (nm_samples_open(f->dir, "run-1", 99, &f->s, &diag) != NM_OK)
        fail_msg("%s", diag.text);
}

static void put(struct fixture *f, uint64_t task, uint64_t attempt, const char *text)
{
    struct nm_msg_token token = {.start = 0, .end = 1, .tag = nm_str("O")};
    struct nm_msg_sample sample = {
        .task = task, .attempt = attempt, .text = nm_str(text), .tokens = &token, .n_tokens = 1};
    assert_int_equal(nm_samples_put(f->s, &sample), NM_OK);
}

static void settle(struct fixture *f, uint64_t task, uint64_t attempt, bool keep)
{
    struct nm_msg_hold hold = {.task = task, .attempt = attempt, .keep = keep};
    assert_int_equal(nm_samples_settle(f->s, &hold), NM_OK);
}

static void commit(struct fixture *f)
{
    struct nm_diag diag;
    if (nm_samples_commit(f->s, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(nm_samples_uncommitted(f->s), 0);
}

/* What is pending, as "task.attempt:text ". */
static enum nm_err list_one(void *ctx, const struct nm_msg_sample *sample)
{
    char *out = ctx;
    (void)sprintf(out + strlen(out), "%d.%d:%s ", (int)sample->task, (int)sample->attempt, sample->text.ptr);
    return NM_OK;
}

static void check_pending(struct fixture *f, const char *want)
{
    char got[1024] = "";
    struct nm_diag diag;
    assert_int_equal(nm_samples_pending(f->s, list_one, got, &diag), NM_OK);
    assert_string_equal(got, want);
}

/* The acknowledged ones, the same way, in task order. */
static enum nm_err list_walk(struct nm_samples_walk *walk, void *ctx, struct nm_diag *diag)
{
    struct nm_arena arena;
    struct nm_msg_sample sample;
    uint64_t task;
    nm_arena_init(&arena, 0);
    for (; nm_samples_walk_task(walk, &task); assert_int_equal(nm_samples_walk_next(walk), NM_OK)) {
        assert_int_equal(nm_samples_walk_get(walk, &arena, &sample, diag), NM_OK);
        assert_true(sample.task == task);
        (void)list_one(ctx, &sample);
    }
    nm_arena_clean_up(&arena);
    return NM_OK;
}

static void check_samples(struct fixture *f, const char *want)
{
    char got[4096] = "";
    struct nm_diag diag;
    assert_int_equal(nm_samples_walk(f->s, list_walk, got, &diag), NM_OK);
    assert_string_equal(got, want);
}

static void test_steps(void **state)
{
    struct fixture *f = *state;
    check_pending(f, "");
    check_samples(f, "");
    put(f, 7, 1, "seven");
    put(f, 3, 2, "three");
    check_pending(f, ""); /* not before the commit */
    commit(f);
    check_pending(f, "3.2:three 7.1:seven ");
    settle(f, 7, 1, true);
    commit(f);
    check_pending(f, "3.2:three ");
    check_samples(f, "7.1:seven ");
    settle(f, 3, 2, false);
    put(f, 5, 1, "five"); /* put and settled in one commit */
    settle(f, 5, 1, true);
    commit(f);
    check_pending(f, "");
    check_samples(f, "5.1:five 7.1:seven ");
    assert_int_equal(nm_samples_count(f->s), 2);
    reopen(f);
    check_samples(f, "5.1:five 7.1:seven ");
    assert_int_equal(nm_samples_count(f->s), 2);
    assert_string_equal(nm_samples_run(f->s), "run-1");
}

static void test_again(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 3; round++) {
        put(f, 1, 1, "one");
        put(f, 2, 1, "two");
        if (round == 1)
            commit(f);
    }
    commit(f);
    check_pending(f, "1.1:one 2.1:two ");
    for (int round = 0; round < 3; round++) {
        settle(f, 1, 1, true);
        commit(f);
        put(f, 1, 1, "changed"); /* delivered again behind its ack, by a restarted broker */
        commit(f);
        reopen(f);
    }
    settle(f, 1, 1, false); /* too late: it was kept */
    settle(f, 77, 1, true); /* never heard of */
    commit(f);
    check_pending(f, "2.1:two ");
    check_samples(f, "1.1:one ");
    put(f, 2, 3, "two again"); /* a later attempt replaces the pending one */
    commit(f);
    settle(f, 2, 1, true); /* and an ack of the old one means nothing */
    commit(f);
    check_pending(f, "2.3:two again ");
    check_samples(f, "1.1:one ");
    assert_int_equal(nm_samples_count(f->s), 1);
}

static void test_refused(void **state)
{
    struct fixture *f = *state;
    struct nm_samples *other;
    struct nm_diag diag;
    put(f, 1, 1, "one");
    commit(f);
    assert_int_equal(nm_samples_open(f->dir, "run-1", 10, &other, &diag), NM_EBUSY);
    nm_samples_close(&f->s);
    assert_int_equal(nm_samples_open(f->dir, "run-2", 10, &other, &diag), NM_ESTATE);
    assert_null(other);
    assert_non_null(strstr(diag.text, "run-1"));
    assert_non_null(strstr(diag.text, f->dir));
    assert_int_equal(nm_samples_open(f->dir, "run-1", 0, &other, &diag), NM_EINVAL);
    assert_int_equal(nm_samples_open_read("/tmp/nermill-none", &other, &diag), NM_ENOENT);
    assert_int_equal(nm_samples_open_read(f->dir, &other, &diag), NM_OK);
    assert_string_equal(nm_samples_run(other), "run-1");
    nm_samples_close(&other);
    reopen(f);

    nm_samples_close(&f->s); /* of a newer nermill */
    char path[128];
    (void)snprintf(path, sizeof path, "%s/samples", f->dir);
    struct nm_store_options newer = {.path = path, .kind = "samples", .schema = NM_SAMPLES_SCHEMA + 1};
    struct nm_store *store;
    (void)snprintf(path, sizeof path, "%s/samples/data.mdb", f->dir);
    (void)remove(path);
    (void)snprintf(path, sizeof path, "%s/samples", f->dir);
    assert_int_equal(nm_store_open(&newer, &store, NULL, &diag), NM_OK);
    nm_store_close(&store);
    assert_int_equal(nm_samples_open(f->dir, "run-1", 10, &f->s, &diag), NM_EVERSION);
    assert_non_null(strstr(diag.text, "newer"));
}

/* Check that the shard's blob is that of the index, and add its texts to got. */
static void check_shard(struct fixture *f, const struct nm_index_shard *entry, char *got)
{
    struct nm_buf blob;
    struct nm_arena arena;
    struct nm_diag diag;
    struct nm_shard_reader reader;
    uint64_t digest;
    const void *record;
    size_t len;
    nm_buf_init(&blob, 1 << 20);
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_samples_shard(f->s, entry->number, &blob, &digest, &diag), NM_OK);
    assert_true(digest == entry->digest && digest == nm_hash64(blob.data, blob.len, 0));
    assert_int_equal(blob.len, entry->bytes);
    assert_int_equal(nm_shard_open(blob.data, blob.len, &reader, &diag), NM_OK);
    assert_true(reader.number == entry->number && reader.count == entry->count);
    while (nm_shard_next(&reader, &record, &len) == NM_OK) {
        struct nm_msg_sample sample;
        assert_int_equal(nm_sample_decode(record, len, &arena, &sample, &diag), NM_OK);
        (void)list_one(got, &sample);
    }
    nm_arena_clean_up(&arena);
    nm_buf_clean_up(&blob);
}

static void check_shards(struct fixture *f, size_t samples)
{
    char got[2048] = "";
    char want[2048] = "";
    struct nm_buf blob;
    struct nm_arena arena;
    struct nm_index index;
    struct nm_diag diag;
    nm_buf_init(&blob, 1 << 20);
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_samples_index(f->s, &blob, &diag), NM_OK);
    assert_int_equal(nm_index_decode(blob.data, blob.len, &arena, &index, &diag), NM_OK);
    assert_string_equal(index.run, "run-1");
    assert_int_equal(index.shard_samples, 10);
    assert_int_equal(index.samples, samples);
    assert_int_equal(index.n_shards, (samples + 9) / 10);
    for (size_t i = 0; i < index.n_shards; i++) {
        assert_int_equal(index.shards[i].sealed, (i + 1) * 10 <= samples);
        check_shard(f, &index.shards[i], got);
    }
    for (size_t i = 0; i < samples; i++)
        (void)sprintf(want + strlen(want), "%d.1:text %d ", (int)(1000 - i), (int)(1000 - i));
    assert_string_equal(got, want); /* in the order of their acks */
    uint64_t digest;
    assert_int_equal(nm_samples_shard(f->s, index.n_shards, &blob, &digest, &diag), NM_ENOENT);
    assert_int_equal(nm_samples_shard(f->s, UINT64_MAX, &blob, &digest, &diag), NM_ENOENT);
    nm_arena_clean_up(&arena);
    nm_buf_clean_up(&blob);
}

static void test_shards(void **state)
{
    struct fixture *f = *state;
    check_shards(f, 0);
    for (size_t i = 0; i < 35; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "text %d", (int)(1000 - i));
        put(f, 1000 - i, 1, text);
        settle(f, 1000 - i, 1, true);
        if (i % 7 == 6 || i == 34) {
            commit(f);
            check_shards(f, i + 1);
        }
    }
    reopen(f);
    check_shards(f, 35);
}

/* A byte of a sealed shard changes behind our back: it is found, not served. */
static void test_damaged(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 10; i++) {
        put(f, i, 1, "find this text");
        settle(f, i, 1, true);
    }
    commit(f);
    nm_samples_close(&f->s);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/samples/data.mdb", f->dir);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    static char page[1 << 20];
    size_t n = fread(page, 1, sizeof page, file);
    size_t hits = 0;
    for (size_t i = 0; i + 14 < n; i++)
        if (memcmp(page + i, "find this text", 14) == 0) {
            page[i] = 'F';
            hits++;
        }
    assert_true(hits >= 10);
    rewind(file);
    assert_int_equal(fwrite(page, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
    reopen(f);
    struct nm_buf blob;
    struct nm_diag diag;
    uint64_t digest;
    nm_buf_init(&blob, 1 << 20);
    uint64_t damaged = 99;
    assert_false(nm_samples_damaged(f->s, &damaged));
    assert_int_equal(nm_samples_shard(f->s, 0, &blob, &digest, &diag), NM_EFORMAT);
    assert_non_null(strstr(diag.text, "damaged"));
    assert_true(nm_samples_damaged(f->s, &damaged) && damaged == 0);
    nm_buf_clean_up(&blob);
}

static void settle_at(struct fixture *f, uint64_t task, uint64_t place)
{
    struct nm_msg_hold hold = {.task = task, .attempt = 1, .keep = true, .place = place};
    assert_int_equal(nm_samples_settle(f->s, &hold), NM_OK);
}

/* What stands at the places of a shard, as the broker would have it made: text i is that of task 1000 - i. */
static void make_shard(struct nm_buf *made, uint64_t number, uint64_t first, uint64_t n)
{
    struct nm_buf record;
    nm_buf_init(&record, 1 << 16);
    assert_int_equal(nm_shard_begin(made, number), NM_OK);
    for (uint64_t i = first; i < first + n; i++) {
        char text[32];
        struct nm_msg_token token = {.start = 0, .end = 1, .tag = nm_str("O")};
        (void)snprintf(text, sizeof text, "text %d", (int)(1000 - i));
        struct nm_msg_sample sample = {
            .task = 1000 - i, .attempt = 1, .text = nm_str(text), .tokens = &token, .n_tokens = 1};
        nm_buf_reset(&record);
        assert_int_equal(nm_sample_encode(&sample, &record), NM_OK);
        assert_int_equal(nm_shard_add(made, record.data, record.len), NM_OK);
    }
    assert_int_equal(nm_shard_finish(made), NM_OK);
    nm_buf_clean_up(&record);
}

static void put_text(struct fixture *f, uint64_t i)
{
    char text[32];
    (void)snprintf(text, sizeof text, "text %d", (int)(1000 - i));
    put(f, 1000 - i, 1, text);
}

/* Acks in any order: each sample stands where the broker said, and what is behind a hole waits. */
static void test_places(void **state)
{
    struct fixture *f = *state;
    static const uint64_t order[] = {3, 0, 1, 4, 2};
    static const uint64_t count[] = {0, 1, 2, 2, 5};
    for (size_t k = 0; k < 5; k++) {
        put_text(f, order[k]);
        settle_at(f, 1000 - order[k], order[k] + 1);
        commit(f);
        assert_int_equal(nm_samples_count(f->s), count[k]);
    }
    settle_at(f, 1000, 1); /* acknowledged again */
    commit(f);
    assert_int_equal(nm_samples_end(f->s), 5);
    check_shards(f, 5);
    /* by a broker that has lost its last commits: the task once more at another place, another task at a taken one */
    settle_at(f, 996, 6);
    put_text(f, 6);
    settle_at(f, 994, 1);
    commit(f);
    assert_int_equal(nm_samples_count(f->s), 7);
    reopen(f);
    assert_int_equal(nm_samples_count(f->s), 7);
    check_samples(f, "994.1:text 994 996.1:text 996 997.1:text 997 998.1:text 998 999.1:text 999 1000.1:text 1000 ");
}

/* A shard is made whole: what is missing is put there, and nothing is changed where something else comes out. */
static void test_mend(void **state)
{
    struct fixture *f = *state;
    struct nm_buf made;
    struct nm_diag diag = {""};
    struct nm_index_shard seal;
    uint64_t wrong = 1;
    nm_buf_init(&made, 1 << 20);
    for (uint64_t i = 0; i < 15; i++)
        if (i != 4 && i != 12) { /* two were lost */
            put_text(f, i);
            settle_at(f, 1000 - i, i + 1);
        }
    commit(f);
    assert_int_equal(nm_samples_count(f->s), 4);
    assert_int_equal(nm_samples_seal(f->s, 0, &seal, &diag), NM_ENOENT);
    make_shard(&made, 0, 0, 10);
    assert_int_equal(nm_samples_mend(f->s, 0, &made, &wrong, &diag), NM_EFORMAT);
    assert_non_null(strstr(diag.text, "made again and is another"));
    assert_int_equal(nm_samples_count(f->s), 4);
    uint64_t digest = nm_hash64(made.data, made.len, 0);
    assert_int_equal(nm_samples_mend(f->s, 0, &made, &digest, &diag), NM_OK);
    assert_int_equal(nm_samples_count(f->s), 12);
    assert_int_equal(nm_samples_seal(f->s, 0, &seal, &diag), NM_OK);
    assert_true(seal.digest == digest && seal.count == 10);
    make_shard(&made, 1, 10, 5);
    assert_int_equal(nm_samples_mend(f->s, 1, &made, NULL, &diag), NM_OK);
    check_shards(f, 15);
    assert_int_equal(nm_samples_mend(f->s, 1, &made, NULL, &diag), NM_OK); /* again: nothing changes */
    reopen(f);
    check_shards(f, 15);
    nm_buf_clean_up(&made);
}

/* A disk that is full in mid-commit changes nothing, and the same commit goes through when there is room again. */
static void test_full_disk(void **state)
{
    struct fixture *f = *state;
    put(f, 1, 1, "one");
    settle(f, 1, 1, true);
    commit(f);
    static char large[100000];
    memset(large, 'x', sizeof large - 1);
    for (uint64_t i = 2; i < 12; i++) {
        put(f, i, 1, large);
        settle(f, i, 1, i % 2 == 0);
    }
    struct rlimit was;
    struct nm_diag diag;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    struct rlimit small = {.rlim_cur = 200000, .rlim_max = was.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum nm_err err = nm_samples_commit(f->s, &diag);
    enum nm_err again = nm_samples_commit(f->s, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(err, NM_EFULL);
    assert_int_equal(again, NM_EFULL);
    assert_non_null(strstr(diag.text, "space"));
    check_samples(f, "1.1:one ");
    check_pending(f, "");
    assert_true(nm_samples_uncommitted(f->s) > 0);
    commit(f);
    assert_int_equal(nm_samples_count(f->s), 6);
    check_pending(f, "");
}

/* More than the first map holds: it grows under one commit. */
static void test_growth(void **state)
{
    struct fixture *f = *state;
    static char large[1000000];
    memset(large, 'y', sizeof large - 1);
    for (uint64_t i = 0; i < 100; i++) {
        put(f, i, 1, large);
        settle(f, i, 1, true);
    }
    commit(f);
    assert_int_equal(nm_samples_count(f->s), 100);
    reopen(f);
    assert_int_equal(nm_samples_count(f->s), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_steps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shards, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mend, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_growth, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
