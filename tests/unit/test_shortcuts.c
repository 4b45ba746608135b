/* The shortcuts that each call takes give what the long way gives: phrases found in one walk, texts that need not be
 * packed, echoes looked for by their words, parts of a prompt that are rendered once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/hash.h"
#include "common/json.h"
#include "workers/generator/packed.h"
#include "workers/generator/prompt.h"
#include "workers/generator/text.h"
#include "workers/generator/validate.h"

enum { TEXTS = 4000, CALLS = 600 };

static const char *const bits[] = {
    "the ",        "user",         "the user",   "word count",    "word",     "Word Count",   "s",      " ",
    ", ",          "i ",           "as an ai",   "As an AI",      "sentence", "the sentence", "terms:", "Terms: ",
    "thesentence", "you asked",    "asked",      "you ",          "\xc3\xa9", "\xc2\xa0",     "-",      "in ",
    "one ",        "\xe2\x80\x99", "a sentence", "patients ",     "with ",    "12 ",          "mg ",    "of ",
    "aspirin",     "treated ",     "\n",         "Sentence that",
};

static void add_bits(struct nm_rng *rng, size_t n, struct nm_buf *out)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(nm_buf_adds(out, bits[nm_rng_below(rng, sizeof bits / sizeof *bits)]), NM_OK);
}

/* ---- phrases --------------------------------------------------------------------------------- */

static const char *plain_phrase(const struct nm_text *text, const char *const *phrases, size_t *at)
{
    for (; *phrases != NULL; phrases++)
        for (*at = nm_text_find_ascii(text, 0, *phrases); *at != NM_TEXT_NONE;
             *at = nm_text_find_ascii(text, *at + 1, *phrases))
            if (nm_text_bounded(text, *at, *at + strlen(*phrases)))
                return *phrases;
    return NULL;
}

static void test_phrases(void **state)
{
    (void)state;
    static const char *const phrases[] = {"the user",   "you asked",     "word count", "as an ai", "the sentence",
                                          "a sentence", "sentence that", "terms:",     "us",       NULL};
    struct nm_rng rng;
    size_t hits = 0;
    nm_rng_init(&rng, 1);
    for (int i = 0; i < TEXTS; i++) {
        struct nm_arena arena;
        struct nm_buf s;
        struct nm_text text;
        size_t at = 0, plain_at = 0;
        nm_arena_init(&arena, 0);
        nm_buf_init(&s, 1U << 16);
        add_bits(&rng, nm_rng_below(&rng, 12), &s);
        assert_int_equal(nm_text_decode(nm_buf_str(&s), s.len, &arena, &text), NM_OK);
        const char *hit = nm_text_find_phrase(&text, phrases, &at), *plain = plain_phrase(&text, phrases, &plain_at);
        if (hit != plain || (hit != NULL && at != plain_at))
            fail_msg("\"%s\": \"%s\" at %zu, \"%s\" at %zu", nm_buf_str(&s), hit != NULL ? hit : "", at,
                     plain != NULL ? plain : "", plain_at);
        hits += hit != NULL;
        nm_buf_clean_up(&s);
        nm_arena_clean_up(&arena);
    }
    assert_in_range(hits, TEXTS / 10, TEXTS * 9 / 10);
}

/* ---- packing --------------------------------------------------------------------------------- */

/* Prose, letters, few letters, bytes, loops: what packs badly, and what packs well. */
static void add_text(struct nm_rng *rng, struct nm_buf *out)
{
    size_t kind = nm_rng_below(rng, 5), len = nm_rng_below(rng, nm_rng_below(rng, 8) == 0 ? 1200 : 400);
    size_t letters = kind == 1 ? 26 : kind == 2 ? 1 + nm_rng_below(rng, 4) : 256;
    size_t period = 1 + nm_rng_below(rng, 60);
    if (kind == 0)
        add_bits(rng, 1 + len / 6, out);
    for (size_t i = 0; i < len && kind != 0; i++) {
        char c = (char)((letters == 256 ? 0 : 'a') + (int)nm_rng_below(rng, letters));
        bool again = kind == 4 && i >= period && nm_rng_below(rng, 20) > 0;
        assert_int_equal(nm_buf_addc(out, again ? out->data[i - period] : c), NM_OK);
    }
}

static void test_packing(void **state)
{
    (void)state;
    static const double ratios[] = {1.0, 1.3, 1.6, 2.2, 3.5, 8.0};
    struct nm_rng rng;
    size_t over = 0, bounded = 0;
    nm_rng_init(&rng, 2);
    for (int i = 0; i < TEXTS; i++) {
        struct nm_buf s;
        nm_buf_init(&s, 1U << 16);
        add_text(&rng, &s);
        const char *text = nm_buf_str(&s);
        size_t size = nm_packed_size(text, s.len);
        double least = nm_packed_least(text, s.len);
        assert_true(size > 0);
        if (least > 8 * (double)size)
            fail_msg("text %d of %zu bytes: %zu bytes packed, the bound is %.1f bits", i, s.len, size, least);
        for (size_t k = 0; k < sizeof ratios / sizeof *ratios; k++) {
            assert_int_equal(nm_packed_over(text, s.len, ratios[k]), (double)s.len / (double)size > ratios[k]);
            over += (double)s.len / (double)size > ratios[k];
        }
        bounded += least > 0;
        nm_buf_clean_up(&s);
    }
    assert_in_range(over, TEXTS, 4 * TEXTS);
    assert_true(bounded > TEXTS / 2);
}

/* Most sentences need not be packed. */
static void test_bound(void **state)
{
    (void)state;
    static const char sentence[] =
        "In a trial of 212 adults with hypertension, lisinopril lowered systolic pressure by "
        "14 mmHg after eight weeks, and none of them complained of a dry cough.";
    assert_true(8 * strlen(sentence) < 2.2 * nm_packed_least(sentence, strlen(sentence)));
    assert_true(nm_packed_least(sentence, 0) == 0);
}

/* ---- echoes ---------------------------------------------------------------------------------- */

static bool plain_echo(const struct nm_text *text, const struct nm_text *prompt, size_t run, size_t *start)
{
    for (*start = 0; *start + run <= text->nwords; ++*start)
        for (size_t j = 0; j + run <= prompt->nwords; j++) {
            size_t k = 0;
            while (k < run && text->words[*start + k].hash == prompt->words[j + k].hash)
                k++;
            if (k == run)
                return true;
        }
    return false;
}

/* Of a few words only, so that runs of them meet. */
static void add_words(struct nm_rng *rng, size_t n, struct nm_buf *out)
{
    static const char *const words[] = {"was ", "low ", "in ", "all "};
    for (size_t i = 0; i < n; i++)
        assert_int_equal(nm_buf_adds(out, words[nm_rng_below(rng, 4)]), NM_OK);
}

static void test_echoes(void **state)
{
    (void)state;
    struct nm_rng rng;
    size_t echoes = 0;
    struct nm_project_validation limits = nm_project_validation_default();
    static char repetition[] = "repetition", *off[] = {repetition};
    limits.off = off;
    limits.n_off = 1;
    nm_rng_init(&rng, 3);
    for (int i = 0; i < TEXTS / 4; i++) {
        struct nm_arena arena;
        struct nm_buf s, p;
        struct nm_text text, prompt;
        struct nm_verdict verdict;
        struct nm_wording whole, parts[2], joined;
        nm_arena_init(&arena, 0);
        nm_buf_init(&s, 1U << 16);
        nm_buf_init(&p, 1U << 16);
        add_words(&rng, 12, &s);
        add_words(&rng, 40, &p);
        assert_int_equal(nm_text_decode(s.data, s.len, &arena, &text), NM_OK);
        assert_int_equal(nm_text_decode(p.data, p.len, &arena, &prompt), NM_OK);
        size_t start, cut = nm_rng_below(&rng, prompt.nwords + 1);
        cut = cut == prompt.nwords ? p.len : prompt.off[prompt.words[cut].start];
        assert_int_equal(nm_wording_of(p.data, p.len, &arena, &whole), NM_OK);
        assert_int_equal(nm_wording_of(p.data, cut, &arena, &parts[0]), NM_OK);
        assert_int_equal(nm_wording_of(p.data + cut, p.len - cut, &arena, &parts[1]), NM_OK);
        assert_int_equal(nm_wording_join(parts, 2, &arena, &joined), NM_OK);
        assert_int_equal(joined.n, whole.n);
        assert_int_equal(joined.scripts, whole.scripts);
        assert_memory_equal(joined.words, whole.words, whole.n * sizeof *whole.words);
        struct nm_validate_input in = {
            .limits = &limits, .every = true, .prompt = &joined, .raw = s.data, .raw_len = s.len};
        assert_int_equal(nm_validate(&in, &arena, &verdict), NM_OK);
        bool echo = plain_echo(&text, &prompt, limits.echo_words, &start);
        assert_int_equal((verdict.failed & nm_rule_bit(NM_RULE_ECHO)) != 0, echo);
        if (echo && verdict.rule == NM_RULE_ECHO)
            assert_int_equal(verdict.span_start, text.off[text.words[start].start]);
        echoes += echo;
        nm_buf_clean_up(&s);
        nm_buf_clean_up(&p);
        nm_arena_clean_up(&arena);
    }
    assert_in_range(echoes, TEXTS / 400, TEXTS / 4 - TEXTS / 400);
}

/* ---- prompts --------------------------------------------------------------------------------- */

static const struct nm_prompt_pair entities[] = {
    {"aspirin", "Chemical"}, {"a \"b\"", "Disease"}, {"pain", "Disease"}};
static const struct nm_prompt_pair types[] = {{"Chemical", "drugs"}, {"Disease", NULL}};

static struct nm_prompt_vars project_vars(struct nm_rng *rng)
{
    return (struct nm_prompt_vars){.types = types,
                                   .n_types = nm_rng_below(rng, 3),
                                   .domain = nm_rng_below(rng, 4) > 0 ? "bio\"medical\"" : NULL,
                                   .guidelines = nm_rng_below(rng, 2) > 0 ? "No doses.\nNo names." : "",
                                   .markup = nm_rng_below(rng, 2) > 0};
}

static const char *maybe(struct nm_rng *rng, const char *text)
{
    return nm_rng_below(rng, 3) == 0 ? NULL : nm_rng_below(rng, 4) == 0 ? "" : text;
}

static void add_call(struct nm_rng *rng, struct nm_prompt_vars *vars)
{
    static const struct nm_prompt_exemplar exemplars[] = {{entities, 2, "A text.", "An answer."},
                                                          {NULL, 0, "B.", "C."}};
    vars->entities = entities;
    vars->n_entities = nm_rng_below(rng, 4);
    vars->negative = vars->n_entities == 0;
    vars->style = maybe(rng, "a case");
    vars->section = maybe(rng, "Results");
    vars->decoy = maybe(rng, "failure");
    vars->text = maybe(rng, "Some text.");
    vars->min_words = nm_rng_below(rng, 3);
    vars->max_words = nm_rng_below(rng, 2) * 30;
    vars->count = nm_rng_below(rng, 4);
    vars->exemplars = exemplars;
    vars->n_exemplars = nm_rng_below(rng, 3);
    vars->rule = maybe(rng, "echo");
    vars->detail = maybe(rng, "it echoes");
    vars->previous = maybe(rng, "Before.");
    vars->quote = maybe(rng, "fore");
}

static void check_passage(const struct nm_passage *passage, struct nm_arena *arena)
{
    struct nm_buf json;
    struct nm_wording wording;
    size_t len = strlen(passage->text);
    nm_buf_init(&json, 1U << 20);
    assert_int_equal(nm_json_add_string(&json, passage->text, len), NM_OK);
    assert_int_equal(json.len, passage->json_len);
    assert_memory_equal(json.data, passage->json, json.len);
    assert_int_equal(nm_wording_of(passage->text, len, arena, &wording), NM_OK);
    assert_int_equal(wording.n, passage->wording.n);
    assert_int_equal(wording.scripts, passage->wording.scripts);
    assert_memory_equal(wording.words, passage->wording.words, wording.n * sizeof *wording.words);
    nm_buf_clean_up(&json);
}

/* The same messages with and without; how many of them were settled. */
static size_t compare(const struct nm_prompt *settled, const struct nm_prompt *plain,
                      const struct nm_prompt_vars *vars)
{
    struct nm_arena arena;
    struct nm_prompt_text a, b;
    size_t n = 0;
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_prompt_render(settled, vars, &arena, &a), NM_OK);
    assert_int_equal(nm_prompt_render(plain, vars, &arena, &b), NM_OK);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(&a.hash, &b.hash, sizeof a.hash);
    for (size_t i = 0; i < a.n; i++) {
        assert_int_equal(a.messages[i].role, b.messages[i].role);
        assert_string_equal(a.messages[i].text, b.messages[i].text);
        assert_null(b.messages[i].passage);
        if (a.messages[i].passage == NULL)
            continue;
        assert_ptr_equal(a.messages[i].passage->text, a.messages[i].text);
        check_passage(a.messages[i].passage, &arena);
        n++;
    }
    nm_arena_clean_up(&arena);
    return n;
}

static void test_prompts(void **state)
{
    (void)state;
    static const char own[] =
        "%system\n{{domain}}{{#text}} T{{/text}}{{^rule}} R{{/rule}}{{#negative}}N{{#style}}S{{/style}}"
        "{{/negative}}\n%user\n{{#words}}W{{#min_words}}M{{/min_words}}{{#max_words}}X{{/max_words}}{{/words}}"
        "{{#count}}C{{/count}}\n%assistant\n{{#terms}}1{{/terms}}{{#entities}}2{{/entities}}"
        "{{#decoy}}3{{/decoy}}{{#section}}4{{/section}}{{#quote}}5{{/quote}}\n%exemplars\n%user\n"
        "{{#previous}}P{{/previous}}{{#detail}}D{{/detail}}{{#exemplars}}E{{/exemplars}}\n";
    const char *const sources[] = {nm_prompt_builtin(NM_BUILTIN_BIOMEDICAL), nm_prompt_builtin(NM_BUILTIN_SCIENTIFIC),
                                   nm_prompt_verification(), own};
    struct nm_rng rng;
    struct nm_diag diag = {""};
    nm_rng_init(&rng, 4);
    for (size_t k = 0; k < sizeof sources / sizeof *sources; k++) {
        size_t n = 0;
        for (int i = 0; i < CALLS; i++) {
            struct nm_prompt *settled, *plain;
            struct nm_prompt_vars vars = project_vars(&rng);
            assert_int_equal(nm_prompt_parse("a", sources[k], strlen(sources[k]), &settled, &diag), NM_OK);
            assert_int_equal(nm_prompt_parse("b", sources[k], strlen(sources[k]), &plain, &diag), NM_OK);
            assert_int_equal(nm_prompt_settle(settled, &vars), NM_OK);
            for (int call = 0; call < 5; call++) {
                add_call(&rng, &vars);
                n += compare(settled, plain, &vars);
            }
            nm_prompt_destroy(&settled);
            nm_prompt_destroy(&plain);
        }
        assert_true(n > CALLS); /* of five calls at least so many */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phrases), cmocka_unit_test(test_packing), cmocka_unit_test(test_bound),
        cmocka_unit_test(test_echoes),  cmocka_unit_test(test_prompts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
