/* Unit tests of the matcher: the rule by examples, and a naive search over random texts and dictionaries.
 * NERMILL_TEST_ROUNDS sets how many (100,000 unless told). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/hash.h"
#include "common/utf8.h"
#include "workers/aligner/lexicon.h"
#include "workers/aligner/matcher.h"

enum { MAX_PATTERNS = 64, MAX_TOKENS = 128 };

static struct nm_matcher *build(const char *const *texts, size_t n)
{
    struct nm_pattern patterns[MAX_PATTERNS];
    struct nm_matcher *matcher;
    struct nm_diag diag = {""};
    for (size_t i = 0; i < n; i++)
        patterns[i] = (struct nm_pattern){texts[i], strlen(texts[i]), 0};
    if (nm_matcher_new(patterns, n, &matcher, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return matcher;
}

/* The matches in text as "entity:its bytes", joined by '|'. */
static void check(const char *const *texts, size_t n, const char *text, const char *want)
{
    struct nm_matcher *matcher = build(texts, n);
    struct nm_tokens tokens;
    struct nm_matches matches;
    nm_tokens_init(&tokens);
    nm_matches_init(&matches);
    assert_int_equal(nm_tokenize(text, strlen(text), &tokens), NM_OK);
    assert_int_equal(nm_matcher_run(matcher, text, &tokens, &matches), NM_OK);
    char got[1024] = "";
    size_t len = 0;
    for (size_t i = 0; i < matches.count; i++) {
        const struct nm_match *m = &matches.v[i];
        uint32_t start = tokens.v[m->first].start;
        uint32_t end = tokens.v[m->first + m->count - 1].end;
        len += (size_t)snprintf(got + len, sizeof got - len, "%s%u:%.*s", i > 0 ? "|" : "", m->entity,
                                (int)(end - start), text + start);
    }
    assert_string_equal(got, want);
    nm_matches_clean_up(&matches);
    nm_tokens_clean_up(&tokens);
    nm_matcher_destroy(&matcher);
}

#define LIST(...) (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static void test_spans(void **state)
{
    (void)state;
    check(LIST("aspirin"), "Aspirin and ASPIRIN, not aspirins.", "0:Aspirin|0:ASPIRIN");
    check(LIST("nephrotic syndrome", "syndrome", "nephrotic"), "nephrotic  syndrome, nephrotic-syndrome syndrome",
          "0:nephrotic  syndrome|2:nephrotic|1:syndrome|1:syndrome");
    check(LIST("propylthio - uracil"), "Propylthio-uracil, propylthio -uracil, propylthio uracil",
          "0:Propylthio-uracil|0:propylthio -uracil");
    check(LIST("a b c d", "a b", "c"), "a b c e a b c d", "1:a b|2:c|0:a b c d"); /* back to the longest that ended */
    check(LIST("alpha beta", "beta gamma delta"), "alpha beta gamma delta", "0:alpha beta"); /* leftmost first */
    check(LIST("vitamin d3"), "Vitamin D3\nvitamin\u200bD3 vitamin D 3", "0:Vitamin D3|0:vitamin\u200bD3");
    check(LIST("aspirin"), "", "");
    check(NULL, 0, "no entity at all", "");
}

static void test_case(void **state)
{
    (void)state;
    check(LIST("Pb"), "PB pb Pb", "0:Pb");
    check(LIST("no", "NO"), "no NO No", "0:no|1:NO");
    check(LIST("AIDS"), "aids AIDS Aids", "0:AIDS");
    check(LIST("5-HT"), "5-ht 5-HT 5 - Ht", "0:5-HT");
    check(LIST("TNF-alpha"), "tnf-ALPHA TNF-alpha", "0:tnf-ALPHA|0:TNF-alpha");
    check(LIST("ÜBEL"), "Übel ÜBEL", "0:ÜBEL");
    check(LIST("Übelkeit"), "ÜBELKEIT übelkeit", "0:ÜBELKEIT|0:übelkeit");
    check(LIST("β1"), "Β1 β1", "0:β1"); /* two characters, three bytes */
    check(LIST("βαβα"), "ΒΑβα", "0:ΒΑβα");
    check(LIST("caf\u00e9s"), "CAFE\u0301S cafe\u0301s cafes", "0:CAFE\u0301S|0:cafe\u0301s"); /* composed or not */
    check(LIST("aspirin"), "asp\u00adIRIN", "0:asp\u00adIRIN");                                /* format characters */
    check(LIST("aids", "AIDS"), "AIDS aids", "1:AIDS|0:aids"); /* cased before the others */
    check(LIST("2000"), "2000", "0:2000");
}

static void test_is_cased(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool cased;
    } cases[] = {
        {"IL", true},      {"abc", true},   {"abcd", false}, {"5-HT", true},  {"TNF-alpha", false},
        {"αβγ", true},     {"αβγδ", false}, {"ΑΒΓΔ", true},  {"1234", false}, {"e\u0301e\u0301e\u0301", true},
        {"A B C D", true}, {"HbA1c", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool cased;
        assert_int_equal(nm_matcher_is_cased(cases[i].text, strlen(cases[i].text), &cased), NM_OK);
        assert_int_equal(cased, cases[i].cased);
    }
}

static void test_twins(void **state)
{
    (void)state;
    struct nm_matcher *m = build(LIST("a-b-c", "x y", "a - b - C", "ABCD-E", "abcd-e", "A-b-c", "ABCD -E"));
    assert_int_equal(nm_matcher_twin(m, 0), 2);
    assert_int_equal(nm_matcher_twin(m, 2), 5);
    assert_int_equal(nm_matcher_twin(m, 5), NM_NO_ENTITY);
    assert_int_equal(nm_matcher_twin(m, 1), NM_NO_ENTITY);
    assert_int_equal(nm_matcher_twin(m, 3), 6); /* cased: not the one that is not */
    nm_matcher_destroy(&m);
    nm_matcher_destroy(&m);
}

static void test_refused(void **state)
{
    (void)state;
    struct nm_matcher *m;
    struct nm_diag diag;
    struct nm_pattern blank[] = {{"ok", 2, 0}, {" \t", 2, 0}};
    assert_int_equal(nm_matcher_new(blank, 2, &m, &diag), NM_EINVAL);
    assert_null(m);
    assert_non_null(strstr(diag.text, "number 2"));
    struct nm_pattern early[] = {{"oks", 3, 2}, {"ok", 2, 0}}; /* a variant before its entity */
    assert_int_equal(nm_matcher_new(early, 2, &m, &diag), NM_EINVAL);
    struct nm_pattern bad[] = {{"a\xff", 2, 0}};
    assert_int_equal(nm_matcher_new(bad, 1, &m, &diag), NM_EFORMAT);
    assert_non_null(strstr(diag.text, "UTF-8"));
}

static void test_variants(void **state)
{
    (void)state;
    struct nm_pattern patterns[] = {
        {"Pb", 2, 0}, {"aspirins", 8, 0}, {"aspirin", 7, 0}, {"Pbs", 3, 1}, {"aspirins", 8, 3}};
    struct nm_matcher *m;
    struct nm_diag diag = {""};
    struct nm_tokens tokens;
    struct nm_matches matches;
    static const char text[] = "Pbs pbs ASPIRINS";
    assert_int_equal(nm_matcher_new(patterns, 5, &m, &diag), NM_OK);
    nm_tokens_init(&tokens);
    nm_matches_init(&matches);
    assert_int_equal(nm_tokenize(text, strlen(text), &tokens), NM_OK);
    assert_int_equal(nm_matcher_run(m, text, &tokens, &matches), NM_OK);
    assert_int_equal(matches.count, 2); /* cased as Pb is */
    assert_int_equal(matches.v[0].entity, 3);
    assert_int_equal(nm_matcher_origin(m, 3), 0);
    assert_int_equal(matches.v[1].entity, 1); /* an entity before a variant */
    assert_int_equal(nm_matcher_twin(m, 1), NM_NO_ENTITY);
    nm_matches_clean_up(&matches);
    nm_tokens_clean_up(&tokens);
    nm_matcher_destroy(&m);
}

/* ---- against a naive search ------------------------------------------------------------------ */

struct words {
    char form[MAX_TOKENS][64]; /* exact */
    char folded[MAX_TOKENS][64];
    size_t n;
};

static void form_of(const char *text, const struct nm_token *token, bool folded, char out[64])
{
    struct nm_buf form;
    nm_buf_init(&form, 63);
    assert_int_equal(nm_form(text + token->start, token->end - token->start, folded, &form), NM_OK);
    memcpy(out, nm_buf_str(&form), form.len + 1);
    nm_buf_clean_up(&form);
}

static void split(const char *text, struct words *words)
{
    struct nm_tokens tokens;
    nm_tokens_init(&tokens);
    assert_int_equal(nm_tokenize(text, strlen(text), &tokens), NM_OK);
    assert_true(tokens.count <= MAX_TOKENS);
    words->n = tokens.count;
    for (size_t i = 0; i < words->n; i++) {
        form_of(text, &tokens.v[i], false, words->form[i]);
        form_of(text, &tokens.v[i], true, words->folded[i]);
    }
    nm_tokens_clean_up(&tokens);
}

/* The case rule once more, for the letters that the random texts are made of. */
static bool naive_cased(const char *text)
{
    bool upper = false;
    bool lower = false;
    size_t accents = 0; /* compose with the e before them */
    for (size_t i = 0; text[i] != '\0'; i++) {
        upper = upper || (text[i] >= 'A' && text[i] <= 'Z') || strncmp(text + i, "\u0392", 2) == 0 ||
                strncmp(text + i, "\u00c9", 2) == 0;
        lower = lower || (text[i] >= 'a' && text[i] <= 'z') || strncmp(text + i, "\u03b2", 2) == 0;
        accents += strncmp(text + i, "\u0301", 2) == 0;
    }
    return nm_utf8_length(text, strlen(text)) - accents <= 3 || (upper && !lower);
}

static bool naive_at(const struct words *text, size_t at, const struct words *entity, bool cased)
{
    if (entity->n > text->n - at)
        return false;
    for (size_t i = 0; i < entity->n; i++)
        if (strcmp(cased ? entity->form[i] : entity->folded[i], cased ? text->form[at + i] : text->folded[at + i]) !=
            0)
            return false;
    return true;
}

/* The best entity at token at: most tokens, then cased, then first; n if none. */
static size_t naive_best(const struct words *text, size_t at, const struct words *entities, const bool *cased,
                         size_t n)
{
    size_t best = n;
    for (size_t i = 0; i < n; i++) {
        if (!naive_at(text, at, &entities[i], cased[i]))
            continue;
        if (best == n || entities[i].n > entities[best].n ||
            (entities[i].n == entities[best].n && cased[i] && !cased[best]))
            best = i;
    }
    return best;
}

/* Few different words, so that prefixes, overlaps and repetitions are common. */
static void random_text(struct nm_rng *rng, size_t words, char *out)
{
    static const char *const vocabulary[] = {"a",     "b",     "A",        "B",       "ab", "AB",   "alpha", "Alpha",
                                             "ALPHA", "-",     "/",        "β",       "Β",  "beta", "BETA",  "5",
                                             "HT",    "ht",    "(",        ")",       "x1", "X1",   "gamma", "Gamma",
                                             "delta", "DELTA", "e\u0301x", "\u00c9x", "c",  "."};
    static const char *const gaps[] = {" ", " ", " ", "  ", "\n", "\u00a0"};
    size_t reach = 2 + nm_rng_below(rng, sizeof vocabulary / sizeof *vocabulary - 1);
    out[0] = '\0';
    for (size_t i = 0; i < words; i++) {
        (void)strcat(out, vocabulary[nm_rng_below(rng, reach)]);
        if (i + 1 < words && nm_rng_below(rng, 8) > 0)
            (void)strcat(out, gaps[nm_rng_below(rng, sizeof gaps / sizeof *gaps)]);
    }
}

/* Returns how many matches there were. */
static size_t one_round(struct nm_rng *rng)
{
    static struct words entities[MAX_PATTERNS];
    static struct words text_words;
    static char texts[MAX_PATTERNS][256];
    static char text[2048];
    const char *list[MAX_PATTERNS];
    bool cased[MAX_PATTERNS];
    size_t n = nm_rng_below(rng, 24);
    for (size_t i = 0; i < n; i++) {
        random_text(rng, 1 + nm_rng_below(rng, 5), texts[i]);
        split(texts[i], &entities[i]);
        cased[i] = naive_cased(texts[i]);
        list[i] = texts[i];
    }
    random_text(rng, nm_rng_below(rng, 40), text);
    split(text, &text_words);

    struct nm_matcher *matcher = build(list, n);
    struct nm_tokens tokens;
    struct nm_matches matches;
    nm_tokens_init(&tokens);
    nm_matches_init(&matches);
    assert_int_equal(nm_tokenize(text, strlen(text), &tokens), NM_OK);
    assert_int_equal(nm_matcher_run(matcher, text, &tokens, &matches), NM_OK);
    size_t found = 0;
    for (size_t at = 0; at < text_words.n;) {
        size_t best = naive_best(&text_words, at, entities, cased, n);
        if (best == n) {
            at++;
            continue;
        }
        assert_true(found < matches.count);
        assert_int_equal(matches.v[found].first, at);
        assert_int_equal(matches.v[found].count, entities[best].n);
        assert_int_equal(matches.v[found].entity, best);
        found++;
        at += entities[best].n;
    }
    assert_int_equal(found, matches.count);
    nm_matches_clean_up(&matches);
    nm_tokens_clean_up(&tokens);
    nm_matcher_destroy(&matcher);
    return found;
}

static void test_naive(void **state)
{
    (void)state;
    const char *rounds = getenv("NERMILL_TEST_ROUNDS");
    struct nm_rng rng;
    nm_rng_init(&rng, 20);
    long n = rounds != NULL ? atol(rounds) : 100000;
    size_t found = 0;
    for (long i = 0; i < n; i++)
        found += one_round(&rng);
    assert_true(found > (size_t)n); /* more than one a text: the search had something to find */
}

/* ---- the table of forms ---------------------------------------------------------------------- */

static void test_lexicon(void **state)
{
    (void)state;
    struct nm_lexicon lexicon;
    char form[64];
    assert_int_equal(nm_lexicon_init(&lexicon, 1), NM_OK);
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 1; i <= 30000; i++) {
            uint32_t id;
            int len =
                snprintf(form, sizeof form, "%.*s%u", (int)(i % 40), "abcdefghijabcdefghijabcdefghijabcdefghij", i);
            assert_int_equal(nm_lexicon_add(&lexicon, form, (size_t)len, &id), NM_OK);
            assert_int_equal(id, i);
            uint64_t hash = nm_lexicon_hash(&lexicon, form, (size_t)len, false);
            assert_int_equal(nm_lexicon_find(&lexicon, hash), i);
            for (int c = 0; c < len; c++) /* capitals give the same hash, as words */
                form[c] = (char)(form[c] >= 'a' && c % 2 == 0 ? form[c] - 32 : form[c]);
            assert_true(nm_lexicon_hash(&lexicon, form, (size_t)len, true) == hash);
        }
    assert_int_equal(lexicon.count, 30000);
    size_t misses = 0;
    for (uint32_t i = 0; i < 30000; i++) {
        int len = snprintf(form, sizeof form, "not%u", i);
        misses += nm_lexicon_find(&lexicon, nm_lexicon_hash(&lexicon, form, (size_t)len, false)) == 0;
    }
    assert_int_equal(misses, 30000); /* a false hit is 1 in 2^32 here; these hold none */
    nm_lexicon_clean_up(&lexicon);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans), cmocka_unit_test(test_case),     cmocka_unit_test(test_is_cased),
        cmocka_unit_test(test_twins), cmocka_unit_test(test_variants), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_naive), cmocka_unit_test(test_lexicon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
