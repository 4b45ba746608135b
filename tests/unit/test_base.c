/* The base: errors, arena, buffer, files, UTF-8, hashes, log. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/utf8.h"

static struct nm_diag diag;
static char dir[64];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/nm-base-XXXXXX");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command); /* NOLINT: a directory of our own */
}

static const char *in_dir(const char *name)
{
    static char path[160];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void errors_become_exit_codes(void **state)
{
    (void)state;
    assert_int_equal(nm_exit_code(NM_OK), 0);
    assert_int_equal(nm_exit_code(NM_EFORMAT), NM_EXIT_INPUT);
    assert_int_equal(nm_exit_code(NM_ENET), NM_EXIT_ENDPOINT);
    assert_int_equal(nm_exit_code(NM_EFULL), NM_EXIT_STORAGE);
    assert_int_equal(nm_exit_code(NM_ECANCELED), NM_EXIT_SIGNAL);
    assert_int_equal(nm_err_from_errno(ENOSPC), NM_EFULL);
    assert_int_equal(nm_err_from_errno(12345), NM_EIO);
    char long_text[3000];
    memset(long_text, 'y', sizeof long_text);
    long_text[2999] = '\0';
    assert_int_equal(nm_fail(&diag, NM_EIO, "%s", long_text), NM_EIO);
    assert_int_equal(strlen(diag.text), sizeof diag.text - 1);
    assert_int_equal(nm_fail(NULL, NM_EIO, "nobody listens"), NM_EIO);
}

static void arena_hands_out_aligned_zeroes_up_to_its_maximum(void **state)
{
    (void)state;
    struct nm_arena arena;
    nm_arena_init(&arena, 100000);
    size_t total = 0;
    for (size_t size = 0;; size += 37) {
        unsigned char *p = nm_arena_alloc(&arena, size);
        if (p == NULL)
            break;
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, size);
        total += size;
    }
    assert_in_range(total, 90000, 100000);
    nm_arena_reset(&arena);
    unsigned char *again = nm_arena_alloc(&arena, 5000);
    assert_non_null(again);
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(again[i], 0); /* used memory comes back as zeroes */
    assert_string_equal(nm_arena_sprintf(&arena, "%d-%s", 7, "x"), "7-x");
    assert_null(nm_arena_alloc(&arena, SIZE_MAX));
    nm_arena_clean_up(&arena);
}

static void buffer_keeps_its_content_when_a_call_fails(void **state)
{
    (void)state;
    struct nm_buf buf;
    nm_buf_init(&buf, 10);
    assert_string_equal(nm_buf_str(&buf), "");
    assert_int_equal(nm_buf_addf(&buf, "%s", "12345678"), NM_OK);
    assert_int_equal(nm_buf_adds(&buf, "abc"), NM_ELIMIT);
    assert_int_equal(nm_buf_addf(&buf, "%d", 1000), NM_ELIMIT);
    assert_string_equal(nm_buf_str(&buf), "12345678");
    assert_int_equal(nm_buf_adds(&buf, "ab"), NM_OK);
    assert_int_equal(nm_buf_addc(&buf, 'c'), NM_ELIMIT);
    assert_int_equal(buf.len, 10);
    nm_buf_clean_up(&buf);
}

static void files_are_read_whole_and_written_whole_or_not_at_all(void **state)
{
    (void)state;
    struct nm_buf buf;
    nm_buf_init(&buf, 100);
    assert_int_equal(nm_file_make_dirs(in_dir("a/b/c"), &diag), NM_OK);
    assert_int_equal(nm_file_make_dirs(in_dir("a/b/c"), &diag), NM_OK);
    assert_int_equal(nm_file_write_atomic(in_dir("a/b/c/f"), "first\0x", 7, &diag), NM_OK);
    assert_int_equal(nm_file_write_atomic(in_dir("a/b/c/f"), "second\0y", 8, &diag), NM_OK);
    assert_int_equal(nm_file_read(in_dir("a/b/c/f"), &buf, &diag), NM_OK);
    assert_int_equal(buf.len, 8);
    assert_memory_equal(buf.data, "second\0y", 8);
    assert_int_equal(nm_file_make_dirs(in_dir("a/b/c/f"), &diag), NM_EEXIST);
    assert_int_equal(nm_file_write_atomic(in_dir("none/f"), "x", 1, &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "none/f"));
    struct nm_buf small;
    nm_buf_init(&small, 7);
    assert_int_equal(nm_file_read(in_dir("a/b/c/f"), &small, &diag), NM_ELIMIT);
    nm_buf_clean_up(&small);
    nm_buf_init(&small, 8);
    assert_int_equal(nm_file_read(in_dir("a/b/c/f"), &small, &diag), NM_OK);
    nm_buf_clean_up(&small);
    nm_buf_clean_up(&buf);
    char out[8];
    assert_int_equal(nm_file_dirname("/x", out, sizeof out), NM_OK);
    assert_string_equal(out, "/");
    assert_int_equal(nm_file_join("dir", "/abs", out, sizeof out), NM_OK);
    assert_string_equal(out, "/abs");
    assert_int_equal(nm_file_join("directory", "x", out, sizeof out), NM_ELIMIT);
}

/* A file size limit stands for the full disk: writes fail in the same place with EFBIG. */
static void full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    char path[160];
    (void)snprintf(path, sizeof path, "%s", in_dir("f"));
    assert_int_equal(nm_file_write_atomic(path, "old", 3, &diag), NM_OK);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {.rlim_cur = 1000, .rlim_max = 1000};
        char big[5000] = {0};
        (void)signal(SIGXFSZ, SIG_IGN);
        (void)setrlimit(RLIMIT_FSIZE, &limit);
        _exit(nm_file_write_atomic(path, big, sizeof big, &diag) == NM_EFULL ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct nm_buf buf;
    nm_buf_init(&buf, 100);
    assert_int_equal(nm_file_read(path, &buf, &diag), NM_OK);
    assert_string_equal(nm_buf_str(&buf), "old");
    nm_buf_clean_up(&buf);
    char command[160];
    (void)snprintf(command, sizeof command, "test $(ls %s | wc -l) = 1", dir); /* no temporary is left behind */
    assert_int_equal(system(command), 0);                                      /* NOLINT */
}

static void bad_utf8_is_found_where_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        size_t bad; /* SIZE_MAX: valid */
    } cases[] = {
        {"plain", SIZE_MAX}, {"\xc3\xa9", SIZE_MAX}, {"\xf0\x9f\x98\x80", SIZE_MAX}, {"ab\xff", 2}, {"\xc0\xaf", 0},
        {"\xed\xa0\x80", 0}, {"x\xe2\x82", 1},       {"\xf4\x90\x80\x80", 0},        {"a\x80", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t bad = SIZE_MAX;
        assert_int_equal(nm_utf8_valid(cases[i].s, strlen(cases[i].s), &bad), cases[i].bad == SIZE_MAX);
        assert_true(bad == cases[i].bad);
    }
}

static void unicode_properties_and_forms(void **state)
{
    (void)state;
    assert_true(nm_utf8_is_letter(0x3b2) && nm_utf8_is_letter('a') && !nm_utf8_is_letter('1'));
    assert_true(nm_utf8_is_mark(0x301) && !nm_utf8_is_mark('e'));
    assert_true(nm_utf8_is_space(0xa0) && nm_utf8_is_space(0x3000) && !nm_utf8_is_space(0x200b));
    assert_true(nm_utf8_is_punct('-') && nm_utf8_is_punct(0x2013) && nm_utf8_is_punct('+') && !nm_utf8_is_punct('a'));
    assert_true(nm_utf8_is_upper(0x394) && !nm_utf8_is_upper(0x3b4));
    assert_int_equal(nm_utf8_lower(0x394), 0x3b4);
    assert_int_equal(nm_utf8_length("a\xc3\xa9\xf0\x9f\x98\x80", 7), 3);
    struct nm_buf buf;
    nm_buf_init(&buf, 100);
    assert_int_equal(nm_utf8_nfc("e\xcc\x81", 3, &buf), NM_OK);
    assert_string_equal(nm_buf_str(&buf), "\xc3\xa9");
    nm_buf_reset(&buf);
    assert_int_equal(nm_utf8_nfd("\xc3\xa9", 2, &buf), NM_OK);
    assert_string_equal(nm_buf_str(&buf), "e\xcc\x81");
    nm_buf_reset(&buf);
    assert_int_equal(nm_utf8_casefold("T\xce\x94", 3, &buf), NM_OK);
    assert_string_equal(nm_buf_str(&buf), "t\xce\xb4");
    assert_int_equal(nm_utf8_nfc("\xff", 1, &buf), NM_EFORMAT);
    nm_buf_clean_up(&buf);
    /* every scalar value survives encode and decode */
    for (int32_t cp = 0; cp <= 0x10ffff; cp++) {
        char s[4];
        int n = nm_utf8_put(cp, s);
        int32_t back = -1;
        if (cp >= 0xd800 && cp <= 0xdfff) {
            assert_int_equal(n, 0);
            continue;
        }
        assert_int_equal(nm_utf8_next(s, (size_t)n, &back), n);
        assert_int_equal(back, cp);
    }
}

static void hashes_are_the_published_ones_and_streams_agree(void **state)
{
    (void)state;
    assert_true(nm_hash64("", 0, 0) == 0x2d06800538d394c2ULL); /* XXH3-64 of nothing, from its specification */
    char hex[33];
    nm_hash128_hex(nm_hash128("", 0), hex);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
    struct nm_hash_stream *stream = nm_hash_stream_new();
    assert_non_null(stream);
    nm_hash_stream_add(stream, "hello ", 6);
    nm_hash_stream_add(stream, "world", 5);
    assert_true(nm_hash_stream_digest(stream) == nm_hash64("hello world", 11, 0));
    nm_hash_stream_destroy(&stream);
    assert_null(stream);
}

static void randomness_is_even_and_the_same_everywhere(void **state)
{
    (void)state;
    struct nm_rng rng;
    nm_rng_init(&rng, 42);
    assert_true(nm_rng_next(&rng) == 0x15780b2e0c2ec716ULL); /* xoshiro256** seeded by splitmix64(42) */
    int counts[6] = {0};
    for (int i = 0; i < 60000; i++)
        counts[nm_rng_below(&rng, 6)]++;
    for (int i = 0; i < 6; i++)
        assert_in_range(counts[i], 9600, 10400); /* 4.4 standard deviations */
    for (int i = 0; i < 1000; i++) {
        double u = nm_rng_unit(&rng);
        assert_true(u >= 0 && u < 1);
    }
}

static void log_lines_are_json_off_a_terminal(void **state)
{
    (void)state;
    char text[512] = "";
    FILE *file = tmpfile();
    assert_non_null(file);
    nm_log_init("test");
    nm_log_set_file(file);
    assert_false(nm_log_set_level("loud"));
    assert_true(nm_log_set_level("info"));
    nm_debug("not shown");
    nm_info("quote \" and \\ and\nnewline");
    rewind(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    assert_null(strstr(text, "not shown"));
    assert_non_null(strstr(
        text, "\"level\":\"info\",\"component\":\"test\",\"message\":\"quote \\\" and \\\\ and\\u000anewline\"}\n"));
    assert_int_equal(strchr(text, '\n') - text, (long)n - 1); /* one line */
    nm_log_set_file(NULL);
    (void)fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_become_exit_codes),
        cmocka_unit_test(arena_hands_out_aligned_zeroes_up_to_its_maximum),
        cmocka_unit_test(buffer_keeps_its_content_when_a_call_fails),
        cmocka_unit_test_setup_teardown(files_are_read_whole_and_written_whole_or_not_at_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_disk_leaves_the_old_file, set_up, tear_down),
        cmocka_unit_test(bad_utf8_is_found_where_it_is),
        cmocka_unit_test(unicode_properties_and_forms),
        cmocka_unit_test(hashes_are_the_published_ones_and_streams_agree),
        cmocka_unit_test(randomness_is_even_and_the_same_everywhere),
        cmocka_unit_test(log_lines_are_json_off_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
