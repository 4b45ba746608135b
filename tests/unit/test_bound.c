/* A prompt's tokens at most: a model tokeniser counts, and the bound is never below it and soon not far above. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/hash.h"
#include "workers/generator/bound.h"

/* A token for every four letters of a word, with the space before it; all else one a byte. */
static uint64_t count(const struct nm_prompt_text *prompt)
{
    uint64_t n = 3;
    for (size_t i = 0; i < prompt->n; i++) {
        size_t run = 0;
        n += 4;
        for (const char *c = prompt->messages[i].text; *c; c++) {
            bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
            n += letter ? run % 4 == 0 : *c != ' ';
            run = letter ? run + 1 : 0;
        }
    }
    return n;
}

static const char system_text[] = "You write sentences for a corpus of biomedical text.\n"
                                  "Each sentence mentions every term as it is given, once.\n"
                                  "No lists, no headings, no explanations, one sentence alone.\n"
                                  "Write as an author of a clinical report would write it.\n";

struct made {
    struct nm_prompt_message messages[4];
    struct nm_prompt_text text;
    char user[2000], feedback[2000];
};

static void make(struct made *m, struct nm_rng *rng)
{
    static const char *const styles[] = {"a case report", "an abstract", "a discharge letter"};
    int n = snprintf(m->user, sizeof m->user, "Style: %s\nWords: %d to 30\nTerms:\n", styles[nm_rng_below(rng, 3)],
                     (int)nm_rng_below(rng, 20));
    for (uint64_t t = nm_rng_below(rng, 4); t > 0; t--) {
        for (uint64_t k = nm_rng_below(rng, 30) + 3; k > 0; k--)
            m->user[n++] = (char)('a' + nm_rng_below(rng, 26));
        m->user[n++] = '\n';
    }
    m->user[n] = '\0';
    m->messages[0] = (struct nm_prompt_message){.text = system_text};
    m->messages[1] = (struct nm_prompt_message){.text = m->user};
    m->text = (struct nm_prompt_text){.messages = m->messages, .n = 2};
    if (nm_rng_below(rng, 5) == 0) { /* told what was wrong */
        snprintf(m->feedback, sizeof m->feedback, "It lacks a term.\n\nWrite \xe2\x82\xac%d again.\n",
                 (int)nm_rng_below(rng, 1000));
        m->messages[2] = (struct nm_prompt_message){.text = m->feedback};
        m->text.n = 3;
    }
}

static void test_never_below_and_soon_close(void **state)
{
    (void)state;
    struct nm_rng rng;
    struct nm_bound bound = {.next = 0};
    struct made m;
    uint64_t counted = 0, bounded = 0, bytes = 0;
    nm_rng_init(&rng, 4);
    for (int i = 0; i < 20000; i++) {
        make(&m, &rng);
        uint64_t tokens = count(&m.text), most = nm_bound_tokens(&bound, &m.text);
        assert_true(tokens <= most);
        assert_true(most <= nm_bound_bytes(&m.text));
        nm_bound_learn(&bound, &m.text, most, tokens);
        counted += tokens;
        bounded += most;
        bytes += nm_bound_bytes(&m.text);
    }
    print_message("%llu tokens, bounded by %llu; by their bytes: %llu\n", (unsigned long long)counted,
                  (unsigned long long)bounded, (unsigned long long)bytes);
    assert_false(bound.off);
    assert_true(bounded < 2 * counted);
    assert_true(bytes > 3 * counted);
    nm_bound_clean_up(&bound);
}

/* One that counts more than can be: its bytes are what is left to go by. */
static void test_a_count_above_the_bound(void **state)
{
    (void)state;
    struct nm_rng rng;
    struct nm_bound bound = {.next = 0};
    struct made m;
    nm_rng_init(&rng, 5);
    make(&m, &rng);
    nm_bound_learn(&bound, &m.text, nm_bound_tokens(&bound, &m.text), 50); /* of a cache, say */
    uint64_t most = nm_bound_tokens(&bound, &m.text);
    assert_int_equal(most, 50);
    nm_bound_learn(&bound, &m.text, most, 120);
    assert_int_equal(nm_bound_tokens(&bound, &m.text), nm_bound_bytes(&m.text));
    nm_bound_clean_up(&bound);
}

static void test_without_a_count_and_without_end(void **state)
{
    (void)state;
    struct nm_bound bound = {.next = 0};
    static char text[4 * NM_BOUND_LINES_MAX];
    for (size_t i = 0; i + 1 < sizeof text; i++)
        text[i] = i % 2 ? '\n' : 'x';
    struct nm_prompt_message one = {.text = text};
    struct nm_prompt_text prompt = {.messages = &one, .n = 1};
    nm_bound_learn(&bound, &prompt, nm_bound_bytes(&prompt), 100); /* more lines than are looked at */
    assert_int_equal(nm_bound_tokens(&bound, &prompt), nm_bound_bytes(&prompt));
    one.text = "";
    nm_bound_learn(&bound, &prompt, nm_bound_bytes(&prompt), 0);
    assert_int_equal(nm_bound_tokens(&bound, &prompt), nm_bound_bytes(&prompt));
    nm_bound_clean_up(&bound);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_below_and_soon_close),
        cmocka_unit_test(test_a_count_above_the_bound),
        cmocka_unit_test(test_without_a_count_and_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
