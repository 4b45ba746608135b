#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "workers/trainer/wordpiece.h"

static char dir[] = "/tmp/nm-wordpiece-XXXXXX";

static const char *write_json(const char *json)
{
    static char path[64];
    struct nm_diag diag;
    snprintf(path, sizeof(path), "%s/tokenizer.json", dir);
    assert_int_equal(nm_file_write_atomic(path, json, strlen(json), &diag), NM_OK);
    return path;
}

#define NORMALIZER "\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true,\"strip_accents\":null}"
#define PRE "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}"
#define VOCAB                                                                                                        \
    "\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"un\":3,\"@@aff\":4,\"@@able\":5,\"a\":6,\".\":7,\"@@b\":8}"
#define MODEL "\"model\":{\"type\":\"WordPiece\",\"continuing_subword_prefix\":\"@@\",\"max_input_chars_per_word\":9,"
#define ADDED                                                                                                        \
    "\"added_tokens\":[{\"id\":1,\"content\":\"[CLS]\",\"normalized\":false,\"special\":true},"                      \
    "{\"id\":9,\"content\":\"covid\",\"normalized\":true},{\"id\":10,\"content\":\"<E1>\",\"normalized\":false},"    \
    "{\"id\":11,\"content\":\"E\",\"normalized\":false,\"single_word\":true}]"

static void check(const struct nm_wordpiece *wp, const char *text, const uint32_t *ids, size_t n)
{
    struct nm_pieces tokens = {0};
    assert_int_equal(nm_wordpiece_encode(wp, text, strlen(text), &tokens), NM_OK);
    if (tokens.count != n || (n > 0 && memcmp(tokens.ids, ids, n * sizeof(*ids)) != 0)) {
        for (size_t i = 0; i < tokens.count; i++)
            print_error(" %u", tokens.ids[i]);
        fail_msg(" are the ids of \"%s\"", text);
    }
    nm_pieces_clean_up(&tokens);
}

#define CHECK(wp, text, ...)                                                                                         \
    check(wp, text, (uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void test_json_of_another_model(void **state)
{
    (void)state;
    struct nm_wordpiece *wp = NULL;
    struct nm_diag diag = {""};
    if (nm_wordpiece_load(&wp, write_json("{" NORMALIZER "," PRE "," MODEL VOCAB "}}"), &diag) != NM_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(nm_wordpiece_cls(wp), 1);
    assert_int_equal(nm_wordpiece_sep(wp), 2);
    assert_int_equal(nm_wordpiece_vocab_size(wp), 9);
    CHECK(wp, "Unaffable.", 3, 4, 5, 7);
    CHECK(wp, "\xc3\xa0 b AB", 6, 0, 6, 8); /* a grave accent is stripped; b only continues */
    CHECK(wp, "abbbbbbbbb", 0);             /* ten characters: over the maximum */
    CHECK(wp, "abbbbbbbb", 6, 8, 8, 8, 8, 8, 8, 8, 8);
    check(wp, " \t\n", NULL, 0);
    nm_wordpiece_destroy(&wp);
    assert_null(wp);
}

static void test_added_tokens(void **state)
{
    (void)state;
    struct nm_wordpiece *wp = NULL;
    struct nm_diag diag = {""};
    if (nm_wordpiece_load(&wp, write_json("{" ADDED "," NORMALIZER "," PRE "," MODEL VOCAB "}}"), &diag) != NM_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(nm_wordpiece_vocab_size(wp), 12);
    CHECK(wp, "a[CLS]a", 6, 1, 6);
    CHECK(wp, "a Covid a", 6, 9, 6);
    CHECK(wp, "aCO\xcc\x81VIDa", 6, 9, 6); /* normalised first, and not a word of its own */
    CHECK(wp, "un<E1>a.", 3, 10, 6, 7);
    CHECK(wp, "a E aE", 6, 11, 0); /* single_word */
    nm_wordpiece_destroy(&wp);
}

static void test_bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"{", "not valid JSON"},
        {"{" PRE "," MODEL "\"vocab\":{}}}", "vocabulary is empty"},
        {"{" PRE "," MODEL "\"vocab\":{\"a\":0}}}", "no [UNK]"},
        {"{" PRE "," MODEL "\"vocab\":{\"[UNK]\":0}}}", "no [CLS]"},
        {"{" PRE "," MODEL "\"vocab\":{\"[UNK]\":-1}}}", "out of range"},
        {"{" PRE "," MODEL "\"vocab\":{\"[UNK]\":\"x\"}}}", "out of range"},
        {"{" PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{}}}", "only WordPiece"},
        {"{" MODEL VOCAB "}}", "only BertPreTokenizer"},
        {"{\"normalizer\":{\"type\":\"NFC\"}," PRE "," MODEL VOCAB "}}", "only BertNormalizer"},
        {"{\"added_tokens\":[{\"id\":1}]," PRE "," MODEL VOCAB "}}", "added_tokens[0]"},
        {"[1]", "only BertPreTokenizer"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nm_wordpiece *wp = NULL;
        struct nm_diag diag = {""};
        const char *path = write_json(cases[i].json);
        assert_int_equal(nm_wordpiece_load(&wp, path, &diag), NM_EFORMAT);
        assert_null(wp);
        if (strstr(diag.text, cases[i].says) == NULL || strstr(diag.text, path) == NULL)
            fail_msg("\"%s\" does not say \"%s\" and the path", diag.text, cases[i].says);
    }
    struct nm_wordpiece *wp = NULL;
    struct nm_diag diag = {""};
    assert_int_equal(nm_wordpiece_load(&wp, "/nonexistent", &diag), NM_ENOENT);
    assert_int_equal(nm_wordpiece_load(&wp, "/", &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "neither tokenizer.json nor vocab.txt"));
}

static void test_not_utf8(void **state)
{
    (void)state;
    struct nm_wordpiece *wp = NULL;
    struct nm_diag diag = {""};
    struct nm_pieces tokens = {0};
    assert_int_equal(nm_wordpiece_load(&wp, write_json("{" NORMALIZER "," PRE "," MODEL VOCAB "}}"), &diag), NM_OK);
    assert_int_equal(nm_wordpiece_encode(wp, "a \xc3", 3, &tokens), NM_EFORMAT);
    assert_int_equal(nm_wordpiece_encode(wp, "\xed\xa0\x80", 3, &tokens), NM_EFORMAT);
    nm_pieces_clean_up(&tokens);
    nm_wordpiece_destroy(&wp);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(write_json("{}"));
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_of_another_model),
        cmocka_unit_test(test_added_tokens),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_not_utf8),
    };
    return cmocka_run_group_tests_name("unit.wordpiece", tests, set_up, tear_down);
}
