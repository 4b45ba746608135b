/* golden.wordpiece - ids equal to Hugging Face's; make_wordpiece.py wrote the data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/utf8.h"
#include "workers/trainer/wordpiece.h"

#define DATA "tests/golden/data/"
#define VOCAB DATA "bert-base-uncased-vocab.txt"

enum { N_CONFIGS = 7, N_BERT = 4 };

/* CONFIGS of make_wordpiece.py, in its order. */
static const char *const configs[N_CONFIGS] = {
    "{\"do_lower_case\": true, \"strip_accents\": null}",
    "{\"do_lower_case\": false, \"strip_accents\": null}",
    "{\"do_lower_case\": true, \"strip_accents\": false}",
    "{\"do_lower_case\": false, \"strip_accents\": true, \"tokenize_chinese_chars\": false}",
    /* from here on with the vocabulary of all characters */
    "{\"do_lower_case\": true, \"strip_accents\": null}",
    "{\"do_lower_case\": true, \"strip_accents\": false}",
    "{\"do_lower_case\": false, \"tokenize_chinese_chars\": false}",
};

static struct nm_wordpiece *tokenizers[N_CONFIGS];
static struct nm_pieces tokens;

/* characters() of make_wordpiece.py. */
static void make_characters(struct nm_buf *out)
{
    assert_int_equal(nm_buf_adds(out, "[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]\n"), NM_OK);
    for (int32_t cp = 0x21; cp < 0x20000; cp++) {
        char c[4];
        int len = nm_utf8_put(cp, c);
        if (len > 0)
            assert_int_equal(nm_buf_addf(out, "%.*s\n##%.*s\n", len, c, len, c), NM_OK);
    }
}

/* A directory with the vocabulary and this configuration, loaded as a user's would be. */
static struct nm_wordpiece *load(const char *config, bool bert)
{
    char dir[] = "/tmp/nm-wordpiece-XXXXXX", vocab[64], json[64];
    struct nm_diag diag = {""};
    struct nm_buf buf;
    struct nm_wordpiece *wp = NULL;
    assert_non_null(mkdtemp(dir));
    snprintf(vocab, sizeof(vocab), "%s/vocab.txt", dir);
    snprintf(json, sizeof(json), "%s/tokenizer_config.json", dir);
    nm_buf_init(&buf, 8 << 20);
    if (bert)
        assert_int_equal(nm_file_read(VOCAB, &buf, &diag), NM_OK);
    else
        make_characters(&buf);
    assert_int_equal(nm_file_write_atomic(vocab, buf.data, buf.len, &diag), NM_OK);
    assert_int_equal(nm_file_write_atomic(json, config, strlen(config), &diag), NM_OK);
    if (nm_wordpiece_load(&wp, dir, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    nm_buf_clean_up(&buf);
    unlink(vocab);
    unlink(json);
    rmdir(dir);
    return wp;
}

static uint32_t fnv32(const uint32_t *ids, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ (ids[i] & 0xff)) * 16777619u;
        h = (h ^ (ids[i] >> 8 & 0xff)) * 16777619u;
        h = (h ^ (ids[i] >> 16 & 0xff)) * 16777619u;
    }
    return h;
}

static uint64_t fnv64(const uint32_t *ids, size_t n, uint64_t h)
{
    for (size_t i = 0; i < n; i++) {
        h = (h ^ (ids[i] & 0xff)) * 1099511628211u;
        h = (h ^ (ids[i] >> 8 & 0xff)) * 1099511628211u;
        h = (h ^ (ids[i] >> 16 & 0xff)) * 1099511628211u;
    }
    return h;
}

static const uint64_t FNV64 = 14695981039346656037u;

static uint32_t u32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static void test_strings(void **state)
{
    (void)state;
    struct nm_buf buf;
    struct nm_diag diag = {""};
    nm_buf_init(&buf, 4 << 20);
    assert_int_equal(nm_file_read(DATA "wordpiece.bin", &buf, &diag), NM_OK);
    assert_memory_equal(buf.data, "NMWP", 4);
    uint32_t n = u32(buf.data + 4), wrong = 0;
    assert_true(n >= 20000);
    size_t at = 8;
    for (uint32_t i = 0; i < n; i++) {
        size_t len = u32(buf.data + at) & 0xffff;
        const char *text = buf.data + at + 2;
        at += 2 + len;
        for (size_t c = 0; c < N_CONFIGS; c++, at += 4) {
            tokens.count = 0;
            assert_int_equal(nm_wordpiece_encode(tokenizers[c], text, len, &tokens), NM_OK);
            if (fnv32(tokens.ids, tokens.count) == u32(buf.data + at))
                continue;
            if (wrong++ < 10) {
                print_error("string %u, config %zu (make_wordpiece.py --show %u):", i, c, i);
                for (size_t k = 0; k < tokens.count; k++)
                    print_error(" %u", tokens.ids[k]);
                print_error("\n");
            }
        }
    }
    assert_int_equal(at, buf.len);
    print_message("%u strings in %d configurations\n", n, N_CONFIGS);
    nm_buf_clean_up(&buf);
    assert_int_equal(wrong, 0);
}

static void test_code_points(void **state)
{
    (void)state;
    FILE *file = fopen(DATA "wordpiece_code_points.txt", "r");
    assert_non_null(file);
    unsigned first, blocks = 0, wrong = 0;
    while (fscanf(file, "%x", &first) == 1) {
        unsigned long long expected[N_CONFIGS];
        for (size_t c = 0; c < N_CONFIGS; c++)
            assert_int_equal(fscanf(file, "%llx", &expected[c]), 1);
        blocks++;
        for (size_t c = 0; c < N_CONFIGS; c++) {
            uint64_t h = FNV64;
            for (unsigned cp = first; cp < first + 0x1000; cp++) {
                char text[8] = "a";
                int len = nm_utf8_put((int32_t)cp, text + 1);
                if (len == 0)
                    continue; /* a surrogate */
                text[1 + len] = 'b';
                tokens.count = 0;
                assert_int_equal(nm_wordpiece_encode(tokenizers[c], text, (size_t)len + 2, &tokens), NM_OK);
                h = fnv64(tokens.ids, tokens.count, h);
            }
            if (h != expected[c] && wrong++ < 10)
                print_error("U+%04X..U+%04X differ in config %zu\n", first, first + 0xfff, c);
        }
    }
    fclose(file);
    assert_int_equal(blocks, 272);
    assert_int_equal(wrong, 0);
}

/* Ids of one file of the corpora: each sentence joined by spaces, then word by word. */
static uint64_t hash_corpus(char *text, size_t *n_ids)
{
    uint64_t h = FNV64;
    struct nm_buf joined;
    struct nm_pieces words = {0};
    nm_buf_init(&joined, 1 << 20);
    *n_ids = 0;
    for (char *line = text; line != NULL;) {
        char *next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        line[strcspn(line, " \t\r")] = '\0';
        if (line[0] != '\0') {
            assert_int_equal(nm_buf_addf(&joined, "%s%s", joined.len > 0 ? " " : "", line), NM_OK);
            assert_int_equal(nm_wordpiece_encode(tokenizers[0], line, strlen(line), &words), NM_OK);
        }
        if ((line[0] == '\0' || next == NULL) && joined.len > 0) {
            tokens.count = 0;
            assert_int_equal(nm_wordpiece_encode(tokenizers[0], joined.data, joined.len, &tokens), NM_OK);
            h = fnv64(tokens.ids, tokens.count, h);
            h = fnv64(words.ids, words.count, h);
            *n_ids += tokens.count + words.count;
            words.count = 0;
            nm_buf_reset(&joined);
        }
        line = next;
    }
    nm_buf_clean_up(&joined);
    nm_pieces_clean_up(&words);
    return h;
}

static void test_corpora(void **state)
{
    (void)state;
    const char *root = getenv("NERMILL_DATA");
    if (root == NULL) {
        print_message("SKIPPED: set NERMILL_DATA to a directory with bc5cdr/ and tdmsci/ to compare them too\n");
        skip();
    }
    FILE *file = fopen(DATA "wordpiece_corpora.txt", "r");
    assert_non_null(file);
    char line[256], name[128], path[4096];
    unsigned long long expected;
    size_t n_expected, n_ids, files = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (line[0] == '#' || sscanf(line, "%127s %llx %zu", name, &expected, &n_expected) != 3)
            continue;
        struct nm_buf buf;
        struct nm_diag diag = {""};
        nm_buf_init(&buf, 16 << 20);
        snprintf(path, sizeof(path), "%s/%s", root, name);
        if (nm_file_read(path, &buf, &diag) != NM_OK)
            fail_msg("%s", diag.text);
        uint64_t h = hash_corpus(buf.data, &n_ids);
        nm_buf_clean_up(&buf);
        if (h != expected || n_ids != n_expected)
            fail_msg("%s: %zu ids, hash %016llx; Hugging Face's has %zu and %016llx", name, n_ids,
                     (unsigned long long)h, n_expected, expected);
        files++;
    }
    fclose(file);
    assert_int_equal(files, 5);
}

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CONFIGS; i++)
        tokenizers[i] = load(configs[i], i < N_BERT);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CONFIGS; i++)
        nm_wordpiece_destroy(&tokenizers[i]);
    nm_pieces_clean_up(&tokens);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_code_points),
        cmocka_unit_test(test_corpora),
    };
    return cmocka_run_group_tests_name("golden.wordpiece", tests, set_up, tear_down);
}
