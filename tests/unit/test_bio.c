/* Unit tests of alignment: tags, offsets, types, what was asked for, provenance; and BC5CDR's own tags back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/utf8.h"
#include "workers/aligner/bio.h"
#include "workers/aligner/tokenize.h"

struct fixture {
    struct nm_entities *entities;
    struct nm_bio *bio;
    struct nm_arena arena;
    struct nm_msg_sample sample;
    const char *rule, *detail;
    struct nm_msg_span told[8]; /* of the next text */
    size_t n_told;
    bool marked;
};

static void set_up_as(struct fixture *f, const char *blob, const struct nm_project_alignment *alignment,
                      const struct nm_tokenizer *tokenizer)
{
    struct nm_diag diag = {""};
    *f = (struct fixture){.entities = nm_entities_new()};
    nm_arena_init(&f->arena, 0);
    if (nm_entities_from_blob(f->entities, blob, strlen(blob), &diag) != NM_OK ||
        nm_bio_new(f->entities, alignment, tokenizer, &f->bio, &diag) != NM_OK)
        fail_msg("%s", diag.text);
}

static void set_up(struct fixture *f, const char *blob)
{
    set_up_as(f, blob, NULL, NULL);
}

static void tear_down(struct fixture *f)
{
    nm_bio_destroy(&f->bio);
    nm_entities_destroy(&f->entities);
    nm_arena_clean_up(&f->arena);
}

static void align(struct fixture *f, const char *text, struct nm_msg_entity *entities, size_t n)
{
    struct nm_msg_align align = {.task = 5,
                                 .attempt = 2,
                                 .text = nm_str(text),
                                 .entities = entities,
                                 .n_entities = n,
                                 .prompt_hash = nm_str("abcd"),
                                 .model = nm_str("model-x"),
                                 .seed = 99,
                                 .constraint = nm_str("grammar"),
                                 .mentions = f->told,
                                 .n_mentions = f->n_told,
                                 .marked = f->marked};
    nm_arena_reset(&f->arena);
    assert_int_equal(nm_bio_align(f->bio, &align, &f->arena, &f->sample, &f->rule, &f->detail), NM_OK);
}

/* "token/tag token/tag" */
static void check_tags(const struct fixture *f, const char *want)
{
    char got[1024] = "";
    size_t n = 0;
    for (size_t i = 0; i < f->sample.n_tokens; i++) {
        const struct nm_msg_token *t = &f->sample.tokens[i];
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%.*s/%s", i > 0 ? " " : "", (int)(t->end - t->start),
                              f->sample.text.ptr + t->start, t->tag.ptr);
    }
    assert_string_equal(got, want);
}

static void test_tags(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, "Chemical\tnaloxone\nChemical\talpha-methyldopa\nDisease\tAIDS\nDisease\theart failure\n");
    struct nm_msg_entity asked[] = {{.text = nm_str("heart failure"), .type = nm_str("Disease"), .index = 3}};
    align(&f, "Naloxone, α-methyldopa or alpha - methyldopa aids heart failure.", asked, 1);
    check_tags(&f, "Naloxone/B-Chemical ,/O α/O -/O methyldopa/O or/O alpha/B-Chemical -/I-Chemical "
                   "methyldopa/I-Chemical aids/O heart/B-Disease failure/I-Disease ./O");
    assert_string_equal(f.rule, "");
    assert_int_equal(f.sample.n_mentions, 3);
    const struct nm_msg_mention *m = f.sample.mentions;
    assert_true(m[0].start == 0 && m[0].end == 8 && m[0].index == 0 && !m[0].requested);
    assert_true(m[1].start == 27 && m[1].end == 45 && m[1].index == 1 && !m[1].requested); /* bytes: α is two */
    assert_true(m[2].start == 51 && m[2].end == 64 && m[2].index == 3 && m[2].requested);
    assert_string_equal(m[1].type.ptr, "Chemical");
    assert_string_equal(m[2].type.ptr, "Disease");
    assert_true(f.sample.task == 5 && f.sample.attempt == 2 && f.sample.seed == 99);
    assert_string_equal(f.sample.prompt_hash.ptr, "abcd");
    assert_string_equal(f.sample.model.ptr, "model-x");
    assert_string_equal(f.sample.constraint.ptr, "grammar");
    tear_down(&f);
}

static void test_neighbours(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, "T\talpha\nT\tbeta\n");
    align(&f, "alpha beta alpha", NULL, 0);
    check_tags(&f, "alpha/B-T beta/B-T alpha/B-T"); /* touching mentions stay apart */
    tear_down(&f);
}

static void test_twins(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, "One\tbeta-alanine\nTwo\tbeta - alanine\n");
    struct nm_msg_entity asked[] = {{.text = nm_str("beta - alanine"), .type = nm_str("Two"), .index = 1}};
    align(&f, "beta-alanine", asked, 1);
    check_tags(&f, "beta/B-Two -/I-Two alanine/I-Two");
    assert_true(f.sample.mentions[0].requested && f.sample.mentions[0].index == 1);
    align(&f, "beta-alanine", NULL, 0);
    check_tags(&f, "beta/B-One -/I-One alanine/I-One");
    tear_down(&f);
}

static void test_empty(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, "T\talpha\n");
    align(&f, " \u200b\n", NULL, 0);
    assert_string_equal(f.rule, "empty");
    assert_true(strlen(f.detail) > 0);
    align(&f, "no entity", NULL, 0);
    assert_string_equal(f.rule, "");
    assert_int_equal(f.sample.n_mentions, 0);
    check_tags(&f, "no/O entity/O");
    tear_down(&f);
}

/* ---- what the model told of ------------------------------------------------------------------- */

/* The model tells of text[at of word, its length) once more. */
static void tell(struct fixture *f, const char *text, const char *word, uint64_t type, enum nm_span_state state)
{
    const char *hit = strstr(text, word);
    assert_non_null(hit);
    uint64_t start = nm_utf8_length(text, (size_t)(hit - text));
    f->told[f->n_told++] = (struct nm_msg_span){start, start + nm_utf8_length(word, strlen(word)), type, state};
    f->marked = true;
}

static void forget(struct fixture *f)
{
    f->n_told = 0;
    f->marked = false;
}

/* Notes that are counted, as "name:n name:n". */
static void check_counts(const struct fixture *f, const char *want)
{
    char got[256] = "";
    size_t len = 0;
    struct nm_msg_count notes[NM_NOTES];
    size_t n = nm_verdict_list(nm_bio_counts(f->bio), notes);
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(got + len, sizeof got - len, "%s%s:%d", i > 0 ? " " : "", notes[i].name.ptr,
                                (int)notes[i].n);
    assert_string_equal(got, want);
}

static const char two_types[] = "Chemical\tnaloxone\nChemical\tlead\nDisease\theart failure\nDisease\tfailure\n";

static void test_told(void **state)
{
    (void)state;
    struct fixture f;
    struct nm_project_alignment policies = {0}; /* all is masked */
    static const char text[] = "β: naloxone lead stops acute heart failure nausea";
    set_up_as(&f, two_types, &policies, NULL);
    tell(&f, text, "naloxone", 0, NM_SPAN_LABELLED);      /* both agree */
    tell(&f, text, "heart failure", 0, NM_SPAN_LABELLED); /* another type */
    tell(&f, text, "nausea", 1, NM_SPAN_LABELLED);        /* on no list; lead is not told */
    align(&f, text, NULL, 0);
    check_tags(&f, "β/O :/O naloxone/B-Chemical lead/- stops/O acute/O heart/- failure/- nausea/-");
    check_counts(&f, "masked:3 unlisted:1 unmarked:1 type:1");
    assert_string_equal(f.sample.mentions[1].note.ptr, "unmarked");
    assert_string_equal(f.sample.mentions[3].note.ptr, "unlisted");
    assert_true(f.sample.mentions[3].index == NM_NO_INDEX && f.sample.mentions[1].index == 1);
    struct nm_verdict_counts again = nm_verdict_of_sample(&f.sample);
    assert_memory_equal(again.notes, nm_bio_counts(f.bio)->notes, sizeof again.notes);
    assert_int_equal(again.masked, 3);
    forget(&f);
    tell(&f, text, "acute heart failure", 1, NM_SPAN_LABELLED); /* over a listed one */
    tell(&f, text, "naloxone", 0, NM_SPAN_MASKED);              /* not sure */
    f.marked = false;
    align(&f, text, NULL, 0);
    check_tags(&f, "β/O :/O naloxone/- lead/B-Chemical stops/O acute/- heart/- failure/- nausea/O");
    check_counts(&f, "masked:2 doubted:1 overlap:1");
    tear_down(&f);
}

static void test_policies(void **state)
{
    (void)state;
    struct fixture f;
    static const char text[] = "naloxone lead stops acute heart failure nausea";
    struct nm_project_alignment keep = {
        .unlisted = NM_POLICY_KEEP, .unmarked = NM_POLICY_KEEP, .conflicting = NM_POLICY_KEEP};
    set_up_as(&f, two_types, &keep, NULL);
    tell(&f, text, "naloxone", 1, NM_SPAN_LABELLED);
    tell(&f, text, "acute heart failure", 1, NM_SPAN_LABELLED);
    tell(&f, text, "nausea", 1, NM_SPAN_LABELLED);
    align(&f, text, NULL, 0);
    check_tags(&f, "naloxone/B-Chemical lead/B-Chemical stops/O acute/B-Disease heart/I-Disease failure/I-Disease "
                   "nausea/B-Disease");
    check_counts(&f, "unlisted:2 unmarked:1 type:1 overlap:1");
    tear_down(&f);

    struct nm_project_alignment ignore = {
        .unlisted = NM_POLICY_IGNORE, .unmarked = NM_POLICY_IGNORE, .conflicting = NM_POLICY_IGNORE};
    set_up_as(&f, two_types, &ignore, NULL);
    tell(&f, text, "acute heart failure", 1, NM_SPAN_LABELLED);
    tell(&f, text, "nausea", 1, NM_SPAN_MASKED);
    align(&f, text, NULL, 0);
    check_tags(&f, "naloxone/O lead/O stops/O acute/O heart/O failure/O nausea/O");
    check_counts(&f, "unlisted:1 unmarked:2 overlap:1");
    tear_down(&f);

    struct nm_project_alignment drop = {.unlisted = NM_POLICY_DROP};
    set_up_as(&f, two_types, &drop, NULL);
    tell(&f, text, "nausea", 1, NM_SPAN_MASKED);
    align(&f, text, NULL, 0);
    assert_string_equal(f.rule, "unlisted");
    assert_non_null(strstr(f.detail, "alignment.unlisted"));
    tear_down(&f);
}

static void test_told_outside(void **state)
{
    (void)state;
    struct fixture f;
    const char *rule;
    const char *detail;
    set_up(&f, "T\talpha\n");
    static const struct nm_msg_span bad[] = {
        {0, 6, 0, 0}, {3, 3, 0, 0}, {4, 2, 0, 0}, {0, 5, 1, 0}, {UINT64_MAX, 5, 0, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct nm_msg_span span = bad[i];
        struct nm_msg_align msg = {.text = nm_str("alpha"), .mentions = &span, .n_mentions = 1};
        assert_int_equal(nm_bio_align(f.bio, &msg, &f.arena, &f.sample, &rule, &detail), NM_EFORMAT);
    }
    tear_down(&f);
}

/* ---- several types, other tokens, abbreviations, variants -------------------------------------- */

static void test_several_types(void **state)
{
    (void)state;
    struct fixture f;
    struct nm_project_alignment policies = {0};
    static const char blob[] = "Chemical\tcalcium\nTest\tcalcium\nGene\tCALM\n";
    struct nm_msg_entity asked[] = {{.text = nm_str("calcium"), .type = nm_str("Test"), .index = 1},
                                    {.text = nm_str("calcium"), .type = nm_str("Chemical"), .index = 0}};
    set_up_as(&f, blob, &policies, NULL);
    align(&f, "calcium", NULL, 0);
    check_tags(&f, "calcium/-");
    check_counts(&f, "masked:1 ambiguous:1");
    align(&f, "calcium", asked, 1);
    check_tags(&f, "calcium/B-Test");
    align(&f, "calcium", asked, 2); /* both were asked for */
    check_tags(&f, "calcium/-");
    tell(&f, "calcium", "calcium", 0, NM_SPAN_LABELLED);
    align(&f, "calcium", NULL, 0); /* the model says which */
    check_tags(&f, "calcium/B-Chemical");
    tear_down(&f);
    char *prior[] = {"Gene", "Test"};
    policies.prior = prior;
    policies.n_prior = 2;
    set_up_as(&f, blob, &policies, NULL);
    align(&f, "calcium", NULL, 0);
    check_tags(&f, "calcium/B-Test");
    align(&f, "calcium", asked + 1, 1); /* the request goes before the prior */
    check_tags(&f, "calcium/B-Chemical");
    tear_down(&f);
}

static void test_cut(void **state)
{
    (void)state;
    struct fixture f;
    static const char blob[] = "C\taspirin\nC\tibuprofen\n";
    static const char text[] = "aspirin, aspirin/ibuprofen and aspirin";
    static const struct {
        enum nm_policy policy;
        const char *tags, *counts;
    } cases[] = {{NM_POLICY_MASK, "aspirin,/- aspirin/ibuprofen/- and/O aspirin/B-C", "masked:2 cut:3"},
                 {NM_POLICY_KEEP, "aspirin,/B-C aspirin/ibuprofen/- and/O aspirin/B-C", "masked:1 cut:3"},
                 {NM_POLICY_IGNORE, "aspirin,/O aspirin/ibuprofen/O and/O aspirin/B-C", "cut:3"}};
    struct nm_tokenizer *whitespace = nm_tokenizer_new(NM_TOKENIZER_WHITESPACE);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nm_project_alignment policies = {.cut = cases[i].policy};
        set_up_as(&f, blob, &policies, whitespace);
        align(&f, text, NULL, 0);
        check_tags(&f, cases[i].tags);
        check_counts(&f, cases[i].counts);
        tear_down(&f);
    }
    struct nm_project_alignment drop = {.cut = NM_POLICY_DROP};
    set_up_as(&f, blob, &drop, whitespace);
    align(&f, text, NULL, 0);
    assert_string_equal(f.rule, "cut");
    align(&f, "plain aspirin", NULL, 0);
    assert_string_equal(f.rule, "");
    tear_down(&f);
    nm_tokenizer_destroy(&whitespace);
}

static void test_abbreviations(void **state)
{
    (void)state;
    struct fixture f;
    static const char blob[] = "C\tnaloxone\nC\tangiotensin converting enzyme\nC\tlupus erythematosus\n";
    static const char text[] = "Naloxone (NLX) and [ACE] (angiotensin converting enzyme) help; NLX, nlx.";
    struct nm_project_alignment policies = {.abbreviations = NM_ABBREVIATIONS_SEPARATE};
    set_up_as(&f, blob, &policies, NULL);
    align(&f, text, NULL, 0);
    check_tags(&f,
               "Naloxone/B-C (/O NLX/B-C )/O and/O [/O ACE/O ]/O (/O angiotensin/B-C converting/I-C enzyme/I-C )/O "
               "help/O ;/O NLX/B-C ,/O nlx/O ./O");
    check_counts(&f, "abbreviation:2");
    assert_true(f.sample.mentions[1].index == 0 && f.sample.mentions[1].start == 10);
    align(&f, "ACE (angiotensin converting enzyme), naloxone (10 mg), naloxone (see below), ACE", NULL, 0);
    check_tags(&f, "ACE/B-C (/O angiotensin/B-C converting/I-C enzyme/I-C )/O ,/O naloxone/B-C (/O 10/O mg/O )/O ,/O "
                   "naloxone/B-C (/O see/O below/O )/O ,/O ACE/B-C");
    align(&f, "systemic lupus erythematosus (SLE)", NULL, 0); /* of more than what is listed */
    check_tags(&f, "systemic/O lupus/B-C erythematosus/I-C (/O SLE/- )/O");
    tear_down(&f);

    policies.abbreviations = NM_ABBREVIATIONS_JOINED;
    set_up_as(&f, blob, &policies, NULL);
    align(&f, text, NULL, 0);
    check_tags(
        &f, "Naloxone/B-C (/I-C NLX/I-C )/I-C and/O [/O ACE/O ]/O (/O angiotensin/B-C converting/I-C enzyme/I-C )/O "
            "help/O ;/O NLX/B-C ,/O nlx/O ./O");
    tear_down(&f);

    policies.abbreviations = NM_ABBREVIATIONS_MASK;
    set_up_as(&f, blob, &policies, NULL);
    align(&f, "naloxone (NLX) NLX", NULL, 0);
    check_tags(&f, "naloxone/B-C (/O NLX/- )/O NLX/-");
    check_counts(&f, "masked:2 abbreviation:2");
    tear_down(&f);

    policies.abbreviations = NM_ABBREVIATIONS_IGNORE;
    set_up_as(&f, blob, &policies, NULL);
    align(&f, "naloxone (NLX)", NULL, 0);
    check_tags(&f, "naloxone/B-C (/O NLX/O )/O");
    tear_down(&f);
}

static void test_variants(void **state)
{
    (void)state;
    struct fixture f;
    static const char blob[] =
        "D\tbreast cancer\nD\tdiagnosis\nD\tNSAID\nD\tseizures\nD\tallergy\nD\tnon-small cell lung "
        "cancer\nD\tIL-2\nD\tcancers\n";
    struct nm_project_alignment policies = {.plurals = true, .hyphens = true};
    set_up_as(&f, blob, &policies, NULL);
    align(&f, "Breast-cancers diagnoses NSAIDs nsaids seizure allergies", NULL, 0);
    check_tags(&f, "Breast/B-D -/I-D cancers/I-D diagnoses/B-D NSAIDs/B-D nsaids/O seizure/B-D allergies/B-D");
    align(&f, "non small-cell lung cancer, non-small-cell-lung-cancer, IL 2, il 2, cancers", NULL, 0);
    check_tags(&f,
               "non/O small/O -/O cell/O lung/O cancer/B-D ,/O non/B-D -/I-D small/I-D -/I-D cell/I-D -/I-D lung/I-D "
               "-/I-D cancer/I-D ,/O IL/B-D 2/I-D ,/O il/O 2/O ,/O cancers/B-D");
    assert_int_equal(f.sample.mentions[0].index, 7); /* a variant of cancers */
    assert_int_equal(f.sample.mentions[1].index, 5);
    assert_int_equal(f.sample.mentions[3].index, 7);
    tear_down(&f);
    set_up_as(&f, "D\t\u202e-\u200b\n", &policies, NULL); /* of its variants nothing can be seen */
    align(&f, "a\u202e-\u200b", NULL, 0);
    assert_int_equal(f.sample.n_mentions, 1);
    tear_down(&f);
    policies.plurals = policies.hyphens = false;
    set_up_as(&f, blob, &policies, NULL);
    align(&f, "Breast-cancers diagnoses", NULL, 0);
    check_tags(&f, "Breast/O -/O cancers/B-D diagnoses/O");
    tear_down(&f);
}

/* Dashes and quotes of every kind, ligatures, super- and subscripts, invisible characters: found, and cut as they
 * stand. */
static void test_forms(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, "T\tCa2+\nT\tfibrosis\nT\tbeta-alanine\nT\tParkinson's disease\nT\tH2O\nT\tμ-opioid\n");
    align(&f, "Ca²⁺ \ufb01brosis beta‑alanine beta–alanine Parkinson’s disease H₂O µ-opioid bet\u200ba", NULL, 0);
    assert_int_equal(f.sample.n_mentions, 7);
    static const char *const want[] = {"Ca²⁺", "\ufb01brosis", "beta‑alanine", "beta–alanine", "Parkinson’s disease",
                                       "H₂O",  "µ-opioid"};
    for (size_t i = 0; i < 7; i++) {
        const struct nm_msg_mention *m = &f.sample.mentions[i];
        assert_int_equal(m->end - m->start, strlen(want[i]));
        assert_memory_equal(f.sample.text.ptr + m->start, want[i], m->end - m->start);
    }
    tear_down(&f);
}

/* ---- BC5CDR: its gold mentions are the list, and must be found where they stand ----------------------------------
 */

struct sentence {
    struct nm_buf text;
    char tags[1024]; /* first letter of each token's tag */
    size_t n;
};

/* Read the next sentence at *at, tokens joined by spaces; false at the end. */
static bool read_sentence(const char **at, struct sentence *s)
{
    nm_buf_reset(&s->text);
    s->n = 0;
    while (**at != '\0') {
        const char *end = strchr(*at, '\n');
        const char *tab = memchr(*at, '\t', (size_t)(end - *at));
        const char *line = *at;
        *at = end + 1;
        if (tab == NULL) {
            if (s->n > 0)
                return true;
            continue;
        }
        assert_true(s->n < sizeof s->tags);
        assert_int_equal(nm_buf_add(&s->text, " ", s->n > 0), NM_OK);
        assert_int_equal(nm_buf_add(&s->text, line, (size_t)(tab - line)), NM_OK);
        s->tags[s->n++] = tab[1];
    }
    return s->n > 0;
}

/* Each sentence's gold mentions, as a list of its own, give all of its tags back. */
static void test_bc5cdr(void **state)
{
    (void)state;
    const char *dir = getenv("NERMILL_DATA");
    if (dir == NULL) {
        print_message("skipped: set NERMILL_DATA to the directory that holds bc5cdr/\n");
        skip();
    }
    char path[4096];
    struct nm_buf data;
    struct nm_buf blob;
    struct nm_diag diag;
    struct sentence s;
    nm_buf_init(&data, 64 << 20);
    nm_buf_init(&blob, 1 << 20);
    nm_buf_init(&s.text, 1 << 20);
    assert_int_equal(nm_file_join(dir, "bc5cdr/test.tsv", path, sizeof path), NM_OK);
    assert_int_equal(nm_file_read(path, &data, &diag), NM_OK);
    size_t sentences = 0;
    size_t mentions = 0;
    size_t wrong = 0;
    for (const char *at = data.data; read_sentence(&at, &s); sentences++) {
        struct nm_tokens tokens;
        nm_tokens_init(&tokens);
        assert_int_equal(nm_tokenize(s.text.data, s.text.len, &tokens), NM_OK);
        assert_int_equal(tokens.count, s.n);
        nm_buf_reset(&blob);
        for (size_t i = 0, j; i < s.n; i = j) {
            for (j = i + 1; s.tags[i] == 'B' && j < s.n && s.tags[j] == 'I'; j++)
                ;
            if (s.tags[i] == 'B')
                assert_int_equal(nm_buf_addf(&blob, "T\t%.*s\n", (int)(tokens.v[j - 1].end - tokens.v[i].start),
                                             s.text.data + tokens.v[i].start),
                                 NM_OK);
        }
        struct fixture f;
        set_up(&f, nm_buf_str(&blob));
        align(&f, nm_buf_str(&s.text), NULL, 0);
        assert_int_equal(f.sample.n_tokens, s.n);
        for (size_t i = 0; i < s.n; i++)
            wrong += f.sample.tokens[i].tag.ptr[0] != s.tags[i];
        mentions += f.sample.n_mentions;
        tear_down(&f);
        nm_tokens_clean_up(&tokens);
    }
    assert_int_equal(sentences, 4797);
    assert_int_equal(mentions, 9809);
    assert_int_equal(wrong, 0);
    nm_buf_clean_up(&data);
    nm_buf_clean_up(&blob);
    nm_buf_clean_up(&s.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags),          cmocka_unit_test(test_neighbours),    cmocka_unit_test(test_twins),
        cmocka_unit_test(test_empty),         cmocka_unit_test(test_told),          cmocka_unit_test(test_policies),
        cmocka_unit_test(test_told_outside),  cmocka_unit_test(test_several_types), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_abbreviations), cmocka_unit_test(test_variants),      cmocka_unit_test(test_forms),
        cmocka_unit_test(test_bc5cdr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
