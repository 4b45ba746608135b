/* Unit tests of the tokeniser: the rule by examples, random Unicode, and the corpora joined and cut again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/hash.h"
#include "common/utf8.h"
#include "workers/aligner/tokenize.h"

/* The tokens of text joined by '|'. */
static void check(const char *text, const char *want)
{
    struct nm_tokens tokens;
    nm_tokens_init(&tokens);
    assert_int_equal(nm_tokenize(text, strlen(text), &tokens), NM_OK);
    char got[1024] = "";
    size_t n = 0;
    for (size_t i = 0; i < tokens.count; i++)
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%.*s", i > 0 ? "|" : "",
                              (int)(tokens.v[i].end - tokens.v[i].start), text + tokens.v[i].start);
    assert_string_equal(got, want);
    nm_tokens_clean_up(&tokens);
}

static void test_ascii(void **state)
{
    (void)state;
    check("", "");
    check(" \t\r\n\v\f", "");
    check("Naloxone (NLX), 0.5 mg/kg i.v.", "Naloxone|(|NLX|)|,|0|.|5|mg|/|kg|i|.|v|.");
    check("Parkinson's disease", "Parkinson|'|s|disease");
    check("a 12% drop -- \"so\" [1]", "a|12|%|drop|-|-|\"|so|\"|[|1|]");
    check("CYP3A4 H2O 5-HT(1A)", "CYP3A4|H2O|5|-|HT|(|1A|)");
    check("snake_case $5 ^~`|{}<>=+&*@#!?;:\\", "snake|_|case|$|5|^|~|`|||{|}|<|>|=|+|&|*|@|#|!|?|;|:|\\");
    check("a\x01"
          "b\x7f"
          "c",
          "a|b|c"); /* controls part */
}

static void test_unicode(void **state)
{
    (void)state;
    check("naïve Übelkeit", "naïve|Übelkeit");
    check("nai\u0308ve e\u0301", "nai\u0308ve|e\u0301"); /* marks stay with their letter */
    check("β-carotene, TGFβ1", "β|-|carotene|,|TGFβ1");
    check("5 µg/m²", "5|µg|/|m²");
    check("“quoted”—dash…", "“|quoted|”|—|dash|…");
    check("≠a =\u0338b", "≠|a|=\u0338|b");     /* a mark on a symbol */
    check(" \u0301\u0302x", "\u0301\u0302|x"); /* marks on nothing */
    check("你好abc", "你|好|abc");             /* ideographs alone */
    check("\uf0d8\uf0b7", "\uf0d8|\uf0b7");    /* private use */
    check("a\u00a0b\u2003c\u2028d\xc2\x85"
          "e",
          "a|b|c|d|e"); /* white space that is not ASCII */
}

static void test_invisible(void **state)
{
    (void)state;
    check("asp\u00adirin", "asp\u00adirin"); /* soft hyphen inside */
    check("aspirin\u00ad-", "aspirin|-");    /* at an end it is gap */
    check("\ufeffaspirin\u2060", "aspirin"); /* byte order mark, word joiner */
    check("asp\u200birin", "asp|irin");      /* zero-width space parts words */
    check("x\u200d\u200d\u200dy\u200d", "x\u200d\u200d\u200dy");
    check("👩\u200d⚕\ufe0f!", "👩|⚕\ufe0f|!"); /* joiner between symbols is gap, selector is a mark */
    check("א\u200e ב", "א|ב");
}

static void test_bad_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xff", "a\xc3", "a\xc0\x80", "\xed\xa0\x80", "ab\x80", "\xf4\x90\x80\x80"};
    struct nm_tokens tokens;
    nm_tokens_init(&tokens);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(nm_tokenize(bad[i], strlen(bad[i]), &tokens), NM_EFORMAT);
    nm_tokens_clean_up(&tokens);
}

static void check_form(const char *token, bool folded, const char *want)
{
    struct nm_buf form;
    nm_buf_init(&form, 1024);
    assert_int_equal(nm_buf_adds(&form, ">"), NM_OK);
    assert_int_equal(nm_form(token, strlen(token), folded, &form), NM_OK);
    assert_string_equal(nm_buf_str(&form) + 1, want);
    assert_int_equal(form.data[0], '>');
    assert_int_equal(form.len, strlen(want) + 1);
    nm_buf_clean_up(&form);
}

static void test_form(void **state)
{
    (void)state;
    check_form("AsPirin3", false, "AsPirin3");
    check_form("AsPirin3", true, "aspirin3");
    check_form("Asp\u00adIRIN", true, "aspirin");
    check_form("Asp\u00adIRIN", false, "AspIRIN");
    check_form("E\u0301", false, "É");
    check_form("E\u0301", true, "é");
    check_form("ΑΣ", true, "ασ"); /* simple mapping: no final sigma */
    check_form("[", true, "[");
    struct nm_buf form;
    nm_buf_init(&form, 16);
    assert_int_equal(nm_form("a\xff", 2, true, &form), NM_EFORMAT);
    assert_int_equal(form.len, 0);
    nm_buf_clean_up(&form);
}

/* A random code point, mostly from where something special happens. */
static int32_t random_cp(struct nm_rng *rng)
{
    static const int32_t special[] = {' ',      '\t',   '\n',   0,      1,      0x7f,    0x85,  0xa0,  0xad,
                                      0x200b,   0x200c, 0x200d, 0x200e, 0x2060, 0xfeff,  0x300, 0x301, 0x20dd,
                                      0xfe0f,   0x2028, 0x3000, 0x4e00, 0x3b2,  0x1f9ea, 0xb2,  0x660, 0xe000,
                                      0x10ffff, 0x378,  0x1e9e, 0x130,  0x0e33, 0x903,   '.',   '-',   '\''};
    switch (nm_rng_below(rng, 4)) {
    case 0:
        return special[nm_rng_below(rng, sizeof special / sizeof *special)];
    case 1:
        return (int32_t)(0x20 + nm_rng_below(rng, 0x60));
    case 2:
        return (int32_t)('a' + nm_rng_below(rng, 26));
    default: {
        int32_t cp = (int32_t)nm_rng_below(rng, 0x110000);
        return cp >= 0xd800 && cp < 0xe000 ? 'x' : cp;
    }
    }
}

/* Gaps hold only what is gap, tokens begin and end with what is not, all bytes are there, cuts are on code points. */
static void check_cover(const char *text, size_t len, const struct nm_tokens *tokens)
{
    size_t at = 0;
    for (size_t i = 0; i <= tokens->count; i++) {
        size_t start = i < tokens->count ? tokens->v[i].start : len;
        assert_true(start >= at && start <= len);
        int32_t cp;
        while (at < start) {
            int n = nm_utf8_next(text + at, start - at, &cp);
            assert_true(n > 0);
            assert_true(nm_tokens_is_gap(cp));
            assert_true(nm_utf8_is_space(cp) || nm_utf8_category(cp)[0] == 'C');
            at += (size_t)n;
        }
        if (i == tokens->count)
            break;
        assert_true(tokens->v[i].end > start && tokens->v[i].end <= len);
        bool ascii = true;
        for (bool first = true; at < tokens->v[i].end; first = false) {
            int n = nm_utf8_next(text + at, tokens->v[i].end - at, &cp);
            assert_true(n > 0);
            at += (size_t)n;
            if (first || at == tokens->v[i].end)
                assert_false(nm_tokens_is_gap(cp));
            assert_false(nm_utf8_is_space(cp));
            ascii = ascii && cp < 0x80;
        }
        assert_int_equal(ascii, tokens->v[i].kind != NM_TOKEN_UNICODE);
    }
    assert_int_equal(at, len);
}

static void test_random(void **state)
{
    (void)state;
    struct nm_rng rng;
    nm_rng_init(&rng, 1);
    struct nm_tokens tokens;
    struct nm_tokens again;
    nm_tokens_init(&tokens);
    nm_tokens_init(&again);
    for (int round = 0; round < 50000; round++) {
        char text[4 * 40];
        size_t len = 0;
        for (uint64_t n = nm_rng_below(&rng, 40); n > 0; n--)
            len += (size_t)nm_utf8_put(random_cp(&rng), text + len);
        assert_int_equal(nm_tokenize(text, len, &tokens), NM_OK);
        check_cover(text, len, &tokens);
        for (size_t i = 0; i < tokens.count; i++) { /* a token is one token alone, too */
            size_t n = tokens.v[i].end - tokens.v[i].start;
            assert_int_equal(nm_tokenize(text + tokens.v[i].start, n, &again), NM_OK);
            assert_int_equal(again.count, 1);
            assert_int_equal(again.v[0].end, n);
        }
    }
    nm_tokens_clean_up(&tokens);
    nm_tokens_clean_up(&again);
}

/* A corpus' sentences, joined by spaces and cut again, are its tokens. */
static void check_corpus(const char *dir, const char *file)
{
    char path[4096];
    struct nm_buf data;
    struct nm_buf text;
    struct nm_diag diag;
    nm_buf_init(&data, 64 << 20);
    nm_buf_init(&text, 1 << 20);
    assert_int_equal(nm_file_join(dir, file, path, sizeof path), NM_OK);
    if (nm_file_read(path, &data, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    struct nm_tokens tokens;
    nm_tokens_init(&tokens);
    uint32_t ends[4096];
    size_t n = 0;
    size_t seen = 0;
    for (char *line = data.data; *line != '\0';) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        char *tab = memchr(line, '\t', (size_t)(end - line));
        if (tab != NULL) {
            assert_true(n < sizeof ends / sizeof *ends);
            assert_int_equal(nm_buf_add(&text, " ", text.len > 0), NM_OK);
            assert_int_equal(nm_buf_add(&text, line, (size_t)(tab - line)), NM_OK);
            ends[n++] = (uint32_t)text.len;
        } else {
            assert_int_equal(nm_tokenize(nm_buf_str(&text), text.len, &tokens), NM_OK);
            assert_int_equal(tokens.count, n);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(tokens.v[i].end, ends[i]);
                assert_int_equal(tokens.v[i].start, i > 0 ? ends[i - 1] + 1 : 0);
            }
            seen += n;
            n = 0;
            nm_buf_reset(&text);
        }
        line = end + 1;
    }
    assert_true(seen > 10000);
    nm_tokens_clean_up(&tokens);
    nm_buf_clean_up(&data);
    nm_buf_clean_up(&text);
}

static void test_corpora(void **state)
{
    (void)state;
    const char *dir = getenv("NERMILL_DATA");
    if (dir == NULL) {
        print_message("skipped: set NERMILL_DATA to the directory that holds bc5cdr/ and tdmsci/\n");
        skip();
    }
    static const char *const files[] = {"bc5cdr/train.tsv", "bc5cdr/devel.tsv", "bc5cdr/test.tsv",
                                        "tdmsci/train_1500_v2.conll", "tdmsci/test_500_v2.conll"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        check_corpus(dir, files[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ascii),    cmocka_unit_test(test_unicode), cmocka_unit_test(test_invisible),
        cmocka_unit_test(test_bad_utf8), cmocka_unit_test(test_form),    cmocka_unit_test(test_random),
        cmocka_unit_test(test_corpora),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
