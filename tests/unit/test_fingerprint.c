/* Fingerprints against what they stand for: words, sets of 5-grams taken naively, sentences with other mentions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/hash.h"
#include "schemas/fingerprint.h"

enum { WORDS_MAX = 40, TEXT_SIZE = 1024, PAIRS = 4000 };

static struct nm_fingerprint print_of(const char *text, const char *const *entities, size_t n)
{
    struct nm_msg_entity list[4] = {0};
    struct nm_arena arena;
    struct nm_fingerprint print;
    nm_arena_init(&arena, 0);
    for (size_t i = 0; i < n; i++)
        list[i].text = nm_str(entities[i]);
    const struct nm_fingerprint_text t = {.text = nm_str(text), .entities = list, .n_entities = n};
    assert_int_equal(nm_fingerprint_make(&t, &arena, &print), NM_OK);
    nm_arena_clean_up(&arena);
    return print;
}

static void test_exact_looks_at_words_alone(void **state)
{
    (void)state;
    const char *const same[] = {"The Trial of aspirin, in 12 centres.", "the trial of Aspirin in 12 centres",
                                "  THE  trial\tof \"aspirin\" - in 12 centres!", "The tri\xc3\xa0l"};
    uint64_t exact = print_of(same[0], NULL, 0).exact;
    assert_true(print_of(same[1], NULL, 0).exact == exact);
    assert_true(print_of(same[2], NULL, 0).exact == exact);
    assert_true(print_of(same[3], NULL, 0).exact != exact);
    assert_true(print_of("The trial of aspirin in 21 centres.", NULL, 0).exact != exact);
    assert_true(print_of("trial The of aspirin in 12 centres", NULL, 0).exact != exact);
    assert_true(print_of("\xc3\x89tude na\xc3\xafve", NULL, 0).exact ==
                print_of("\xc3\xa9tude, na\xc3\xafve.", NULL, 0).exact);
    (void)print_of("", NULL, 0); /* no word at all is a text like any other */
    (void)print_of("?!", NULL, 0);
}

static void test_templates(void **state)
{
    (void)state;
    const char *const first[] = {"aspirin", "heart failure"};
    const char *const second[] = {"IL-2", "pain"};
    uint64_t template = print_of("In adults aspirin eased heart failure.", first, 2).template;
    assert_true(template != 0);
    assert_true(print_of("In adults, IL-2 eased pain.", second, 2).template == template);
    assert_true(print_of("In adults IL-2 eased the pain.", second, 2).template != template);
    assert_true(print_of("In adults aspirin eased aspirin.", first, 1).template == template); /* wherever it stands */
    assert_true(print_of("In adults nothing eased anything.", NULL, 0).template == 0);
    /* what the model told of, in characters: "\xce\xb1-x" stands behind a letter of two bytes */
    const struct nm_msg_span spans[] = {{.start = 10, .end = 13}, {.start = 20, .end = 25}};
    const struct nm_fingerprint_text told = {
        .text = nm_str("In adults \xce\xb1-x eased fever."), .mentions = spans, .n_mentions = 2};
    struct nm_arena arena;
    struct nm_fingerprint print;
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_fingerprint_make(&told, &arena, &print), NM_OK);
    assert_true(print.template == template);
    nm_arena_clean_up(&arena);
}

static void test_bytes(void **state)
{
    (void)state;
    const char *const entity[] = {"aspirin"};
    struct nm_fingerprint print = print_of("Aspirin works in mice and men.", entity, 1);
    struct nm_fingerprint again;
    struct nm_buf bytes;
    nm_buf_init(&bytes, NM_FINGERPRINT_MAX);
    assert_int_equal(nm_fingerprint_encode(&print, &bytes), NM_OK);
    assert_true(nm_fingerprint_decode((struct nm_str){bytes.data, bytes.len}, &again));
    assert_memory_equal(&print, &again, sizeof print);
    assert_false(nm_fingerprint_decode((struct nm_str){bytes.data, bytes.len - 1}, &again));
    bytes.data[0]++;
    assert_false(nm_fingerprint_decode((struct nm_str){bytes.data, bytes.len}, &again));
    assert_false(nm_fingerprint_decode((struct nm_str){NULL, 0}, &again));
    nm_buf_clean_up(&bytes);
}

/* ---- against naive sets ---------------------------------------------------------------------- */

struct text {
    unsigned words[WORDS_MAX];
    size_t n;
};

/* Few different words, so that grams come twice in a text and are shared by chance. */
static struct text random_text(struct nm_rng *rng)
{
    struct text t = {.n = 1 + nm_rng_below(rng, WORDS_MAX)};
    unsigned different = 2 + (unsigned)nm_rng_below(rng, 30);
    for (size_t i = 0; i < t.n; i++)
        t.words[i] = (unsigned)nm_rng_below(rng, different);
    return t;
}

static struct text changed(const struct text *from, struct nm_rng *rng)
{
    struct text t = *from;
    for (uint64_t times = nm_rng_below(rng, 4); times > 0; times--)
        t.words[nm_rng_below(rng, t.n)] = (unsigned)nm_rng_below(rng, 32);
    return t;
}

static const char *spell(const struct text *t, char out[TEXT_SIZE])
{
    size_t at = 0;
    for (size_t i = 0; i < t->n; i++)
        at += (size_t)snprintf(out + at, TEXT_SIZE - at, "%sw%u", i ? " " : "", t->words[i]);
    return out;
}

static size_t gram_size(const struct text *t)
{
    return t->n < NM_FINGERPRINT_GRAM ? t->n : NM_FINGERPRINT_GRAM;
}

static bool has_gram(const struct text *t, const unsigned *gram, size_t size, size_t before)
{
    for (size_t i = 0; size == gram_size(t) && i + size <= t->n && i < before; i++)
        if (memcmp(t->words + i, gram, size * sizeof *gram) == 0)
            return true;
    return false;
}

static double naive_jaccard(const struct text *a, const struct text *b)
{
    size_t in_a = 0, in_b = 0, in_both = 0;
    for (size_t i = 0; i + gram_size(a) <= a->n; i++) {
        if (has_gram(a, a->words + i, gram_size(a), i))
            continue;
        in_a++;
        in_both += has_gram(b, a->words + i, gram_size(a), SIZE_MAX);
    }
    for (size_t i = 0; i + gram_size(b) <= b->n; i++)
        in_b += !has_gram(b, b->words + i, gram_size(b), i);
    return (double)in_both / (double)(in_a + in_b - in_both);
}

static void test_jaccard_is_the_naive_one(void **state)
{
    (void)state;
    struct nm_rng rng;
    struct nm_arena arena;
    char first[TEXT_SIZE], second[TEXT_SIZE];
    nm_rng_init(&rng, 11);
    nm_arena_init(&arena, 0);
    for (int i = 0; i < PAIRS; i++) {
        struct text a = random_text(&rng);
        struct text b = i % 4 ? changed(&a, &rng) : random_text(&rng);
        double similarity;
        nm_arena_reset(&arena);
        assert_int_equal(
            nm_fingerprint_jaccard(nm_str(spell(&a, first)), nm_str(spell(&b, second)), &arena, &similarity), NM_OK);
        double naive = naive_jaccard(&a, &b);
        if (similarity < naive - 1e-12 || similarity > naive + 1e-12)
            fail_msg("%f is not %f:\n%s\n%s", similarity, naive, first, second);
    }
    nm_arena_clean_up(&arena);
}

/* Bands find what the header says they do: of pairs in each tenth of similarity the share found is what theory
 * expects of these very pairs, within four standard deviations. */
static void test_bands_find_by_similarity(void **state)
{
    (void)state;
    struct nm_rng rng;
    char spelt[TEXT_SIZE];
    double expected[11] = {0}, variance[11] = {0}, found[11] = {0};
    nm_rng_init(&rng, 12);
    for (int i = 0; i < 8 * PAIRS; i++) {
        struct text a = random_text(&rng);
        for (size_t w = 0; w < a.n; w++) /* other words in each pair: their minima must be independent */
            a.words[w] += 100 * (unsigned)i;
        struct text b = a;
        for (uint64_t times = nm_rng_below(&rng, 6); times > 0; times--)
            b.words[nm_rng_below(&rng, b.n)] = 100 * (unsigned)i + 50 + (unsigned)nm_rng_below(&rng, 40);
        double s = naive_jaccard(&a, &b);
        double row = 1, miss = 1;
        for (int r = 0; r < NM_FINGERPRINT_ROWS; r++)
            row *= s;
        for (int band = 0; band < NM_FINGERPRINT_BANDS; band++)
            miss *= 1 - row;
        struct nm_fingerprint x = print_of(spell(&a, spelt), NULL, 0);
        struct nm_fingerprint y = print_of(spell(&b, spelt), NULL, 0);
        bool shared = false;
        for (int band = 0; band < NM_FINGERPRINT_BANDS; band++)
            shared = shared || x.bands[band] == y.bands[band];
        size_t tenth = (size_t)(s * 10);
        expected[tenth] += 1 - miss;
        variance[tenth] += miss * (1 - miss);
        found[tenth] += shared;
    }
    for (size_t i = 0; i <= 10; i++) {
        double off = found[i] - expected[i];
        if (off * off > 16 * variance[i] + 1)
            fail_msg("similarity 0.%zu: %.0f pairs found, %.1f expected", i, found[i], expected[i]);
    }
    assert_true(found[8] > 100 && found[10] > 100 && found[3] > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_looks_at_words_alone),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_jaccard_is_the_naive_one),
        cmocka_unit_test(test_bands_find_by_similarity),
    };
    return cmocka_run_group_tests_name("unit.fingerprint", tests, NULL, NULL);
}
