/* The verdict on outputs as models really give them: a table, then what a table can't show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "workers/generator/validate.h"

#define PROMPT                                                                                                       \
    "Write one sentence for a biomedical abstract that mentions each of these terms exactly as given. "              \
    "Answer with the sentence alone."

struct row {
    const char *raw;
    const char *entities[4];
    enum nm_rule rule;
    const char *text; /* expected cleaned text, or NULL for "as written" (accepted rows only) */
    const char *finish;
};

static const struct row rows[] = {
    /* accepted, as written */
    {"Aspirin reduced the incidence of stroke in elderly patients.", {"aspirin", "stroke"}, 0, NULL, "stop"},
    {"Patients treated with cisplatin developed nephrotoxicity within a week.",
     {"cisplatin", "nephrotoxicity"},
     0,
     NULL,
     NULL},
    {"COX-2 inhibition by celecoxib did not worsen hypertension.", {"COX-2", "celecoxib"}, 0, NULL, "stop"},
    {"The role of NO in septic shock remains unclear.", {"NO", "septic shock"}, 0, NULL, "stop"},
    {"Does lithium cause nephrogenic diabetes insipidus in every patient?", {"lithium"}, 0, NULL, "stop"},
    {"Dopamine (10 mg/kg) reversed catalepsy in rats.", {"dopamine", "catalepsy"}, 0, NULL, "stop"},
    {"In E. coli, ampicillin resistance was not linked to fever.", {"ampicillin", "fever"}, 0, NULL, "stop"},
    {"Dr. Smith et al. found that warfarin, i.e. a coumarin, caused bleeding.", {"warfarin"}, 0, NULL, "stop"},
    {"Cocaine-induced seizures were blocked by diazepam.", {"cocaine", "seizures"}, 0, NULL, "stop"},
    {"Here, we show that morphine relieves chronic pain in mice.", {"morphine"}, 0, NULL, "stop"},
    {"Levels of [3H]spiperone binding fell after haloperidol.", {"[3H]spiperone"}, 0, NULL, "stop"},
    {"Naïve T cells from patients with Sjögren's syndrome ignored rituximab.", {"rituximab"}, 0, NULL, NULL},
    {"The effect of α-tocopherol on β-cells was small in diabetes.", {"diabetes"}, 0, NULL, "stop"},
    {"A dose of p<0.05 and x>3 is no markup in studies of pain.", {"pain"}, 0, NULL, "stop"},
    {"Five of 12 patients (42%) had hepatitis; 3 received isoniazid.", {"hepatitis"}, 0, NULL, "stop"},
    {"The outcome was good after six months of follow-up.", {NULL}, 0, NULL, "stop"},
    {"Abdominal pain and pain on swallowing were common complaints.", {"pain", "abdominal pain"}, 0, NULL, "stop"},
    {"5 mg of nicotine patches prevented withdrawal symptoms in smokers.", {"nicotine"}, 0, NULL, "stop"},
    {"The author said \"no benefit\" when asked about metformin therapy.", {"metformin"}, 0, NULL, "stop"},
    {"I cannot tell from these data whether ketamine causes psychosis.", {"ketamine"}, NM_RULE_REFUSAL, NULL, NULL},
    /* accepted, cleaned */
    {"\"Aspirin reduced the incidence of stroke in elderly patients.\"",
     {"aspirin"},
     0,
     "Aspirin reduced the incidence of stroke in elderly patients.",
     "stop"},
    {"\xe2\x80\x9cKetamine was given to children with asthma.\xe2\x80\x9d",
     {"ketamine"},
     0,
     "Ketamine was given to children with asthma.",
     "stop"},
    {"  \n Heparin   caused\tthrombocytopenia in two patients. \n\n",
     {"heparin"},
     0,
     "Heparin caused thrombocytopenia in two patients.",
     "stop"},
    {"\xef\xbb\xbfGentamicin was ototoxic in guinea pigs.",
     {"gentamicin"},
     0,
     "Gentamicin was ototoxic in guinea pigs.",
     "stop"},
    {"Infection with COVID\xe2\x80\x91"
     "19 worsened heart failure.",
     {"COVID-19"},
     0,
     "Infection with COVID-19 worsened heart failure.",
     "stop"},
    {"Alzheimer\xe2\x80\x99s disease progressed despite donepezil.",
     {"Alzheimer's disease"},
     0,
     "Alzheimer's disease progressed despite donepezil.",
     "stop"},
    {"Sjo\xcc\x88gren syndrome is treated with pilocarpine.",
     {"Sj\xc3\xb6gren syndrome"},
     0,
     "Sj\xc3\xb6gren syndrome is treated with pilocarpine.",
     "stop"},
    {"A dose of 5\xc2\xa0mg haloperidol\xe2\x80\x8b relieved the delirium.",
     {"haloperidol"},
     0,
     "A dose of 5 mg haloperidol relieved the delirium.",
     "stop"},
    {"'Clonidine lowered blood pressure in all rats.'",
     {"clonidine"},
     0,
     "Clonidine lowered blood pressure in all rats.",
     "stop"},
    /* bytes and finish reason */
    {"Aspirin \xff\xfe reduced stroke in patients.", {"aspirin"}, NM_RULE_UTF8, NULL, "stop"},
    {"Aspirin \xc3", {"aspirin"}, NM_RULE_UTF8, NULL, "stop"},
    {"Aspirin reduced the incidence of stroke in", {"aspirin"}, NM_RULE_FINISH, NULL, "length"},
    {"Cocaine was", {"cocaine"}, NM_RULE_FINISH, NULL, "content_filter"},
    {"Aspirin\x07 reduced the incidence of stroke.", {"aspirin"}, NM_RULE_CONTROL, NULL, "stop"},
    {"Aspirin reduced \xef\xbf\xbd stroke in patients.", {"aspirin"}, NM_RULE_CONTROL, NULL, "stop"},
    {"", {"aspirin"}, NM_RULE_EMPTY, NULL, "stop"},
    {" \n\t ", {"aspirin"}, NM_RULE_EMPTY, NULL, "stop"},
    {"...", {"aspirin"}, NM_RULE_EMPTY, NULL, "stop"},
    {"\"\"", {"aspirin"}, NM_RULE_EMPTY, NULL, "stop"},
    /* chat talk */
    {"```\nAspirin reduced stroke in patients.\n```", {"aspirin"}, NM_RULE_CODE_FENCE, NULL, "stop"},
    {"```json\n{\"sentence\": \"Aspirin works.\"}\n```", {"aspirin"}, NM_RULE_CODE_FENCE, NULL, "stop"},
    {"I'm sorry, but I can't assist with that request.", {"fentanyl"}, NM_RULE_REFUSAL, NULL, "stop"},
    {"I\xe2\x80\x99m sorry, but I cannot help with fentanyl.", {"fentanyl"}, NM_RULE_REFUSAL, NULL, "stop"},
    {"As an AI language model, I do not have access to medical records.", {NULL}, NM_RULE_REFUSAL, NULL, NULL},
    {"Unfortunately, I am unable to write about cocaine abuse.", {"cocaine"}, NM_RULE_REFUSAL, NULL, "stop"},
    {"Fentanyl is dangerous and as an AI I do not write about overdose.", {"fentanyl"}, NM_RULE_REFUSAL, NULL, NULL},
    {"I apologize, but lithium is not something I discuss.", {"lithium"}, NM_RULE_REFUSAL, NULL, NULL},
    {"Sure, here is a sentence: Aspirin reduced stroke.", {"aspirin"}, NM_RULE_META, NULL, "stop"},
    {"Sure! Aspirin reduced the risk of stroke.", {"aspirin"}, NM_RULE_META, NULL, "stop"},
    {"Here is a sentence that mentions aspirin and stroke.", {"aspirin"}, NM_RULE_META, NULL, "stop"},
    {"Here's one: aspirin reduced the risk of stroke.", {"aspirin"}, NM_RULE_META, NULL, "stop"},
    {"Sentence: Aspirin reduced the risk of stroke.", {"aspirin"}, NM_RULE_META, NULL, "stop"},
    {"Certainly! The patient took aspirin for stroke.", {"aspirin"}, NM_RULE_META, NULL, "stop"},
    {"The sentence could be: Aspirin reduced stroke.", {"aspirin"}, NM_RULE_META, NULL, "stop"},
    {"Aspirin reduced stroke (this sentence contains both terms).", {"aspirin"}, NM_RULE_META, NULL, "stop"},
    {"Aspirin reduced stroke. Let me know if you need more.", {"aspirin"}, NM_RULE_META, NULL, "stop"},
    {"Revised sentence: aspirin lowers the risk of stroke.", {"aspirin"}, NM_RULE_META, NULL, "stop"},
    {"Assistant: aspirin lowers the risk of stroke.", {"aspirin"}, NM_RULE_META, NULL, "stop"},
    {"Aspirin reduced the incidence of [disease] in patients.", {"aspirin"}, NM_RULE_SLOT, NULL, "stop"},
    {"The patient received [insert drug name] for stroke.", {"stroke"}, NM_RULE_SLOT, NULL, "stop"},
    {"The number of patients with [blood type] fell with stroke.", {"stroke"}, NM_RULE_SLOT, NULL, "stop"},
    {"This abstract discusses the use of aspirin in stroke.", {"stroke"}, NM_RULE_META, NULL, "stop"},
    {"Treatment with <chemical> improved stroke.", {"stroke"}, NM_RULE_SLOT, NULL, "stop"},
    {"Treatment with {{entity}} improved stroke.", {"stroke"}, NM_RULE_SLOT, NULL, "stop"},
    {"Aspirin reduced stroke.<|im_end|>", {"aspirin"}, NM_RULE_SLOT, NULL, "stop"},
    {"<think>The user wants a sentence.</think> Aspirin works.", {"aspirin"}, NM_RULE_SLOT, NULL, "stop"},
    {"Aspirin is used to treat ________ in adults.", {"aspirin"}, NM_RULE_SLOT, NULL, "stop"},
    /* markup and lines */
    {"1. Aspirin reduced the incidence of stroke.", {"aspirin"}, NM_RULE_LIST, NULL, "stop"},
    {"(a) Aspirin reduced the incidence of stroke.", {"aspirin"}, NM_RULE_LIST, NULL, "stop"},
    {"2) Aspirin reduced the incidence of stroke.", {"aspirin"}, NM_RULE_LIST, NULL, "stop"},
    {"- Aspirin reduced the incidence of stroke.", {"aspirin"}, NM_RULE_LIST, NULL, "stop"},
    {"\xe2\x80\xa2 Aspirin reduced the incidence of stroke.", {"aspirin"}, NM_RULE_LIST, NULL, "stop"},
    {"**Aspirin** reduced the incidence of stroke.", {"aspirin"}, NM_RULE_MARKDOWN, NULL, "stop"},
    {"# Aspirin\nAspirin reduced stroke.", {"aspirin"}, NM_RULE_MARKDOWN, NULL, "stop"},
    {"The drug *aspirin* reduced the incidence of stroke.", {"aspirin"}, NM_RULE_MARKDOWN, NULL, "stop"},
    {"The drug <b>aspirin</b> reduced the incidence of stroke.", {"aspirin"}, NM_RULE_MARKDOWN, NULL, "stop"},
    {"Aspirin (https://example.org) reduced stroke.", {"aspirin"}, NM_RULE_MARKDOWN, NULL, "stop"},
    {"\"Aspirin reduced the incidence of stroke in patients.", {"aspirin"}, NM_RULE_QUOTES, NULL, "stop"},
    {"\"Aspirin\" reduced the incidence of stroke\".", {"aspirin"}, NM_RULE_QUOTES, NULL, "stop"},
    {"Aspirin reduced stroke.\n\nIt also reduced fever.", {"aspirin"}, NM_RULE_PARAGRAPHS, NULL, "stop"},
    {"Aspirin reduced stroke.\nNaproxen did not.", {"aspirin"}, NM_RULE_PARAGRAPHS, NULL, "stop"},
    /* prose */
    {"Aspirin reduced the risk of \xe4\xb8\xad\xe9\xa3\x8e in patients.", {"aspirin"}, NM_RULE_SCRIPT, NULL, "stop"},
    {"Aspirin \xd1\x81\xd0\xbd\xd0\xb8\xd0\xb7\xd0\xb8\xd0\xbb stroke risk.",
     {"aspirin"},
     NM_RULE_SCRIPT,
     NULL,
     NULL},
    {"Die Wirkung von aspirin ist mit der von ibuprofen und das ist wie erwartet.",
     {"aspirin"},
     NM_RULE_SCRIPT,
     NULL,
     NULL},
    {"Patients with von Willebrand disease at the Hôpital des Enfants took aspirin.", {"aspirin"}, 0, NULL, NULL},
    {"The aspirin aspirin aspirin group had fewer strokes.", {"aspirin"}, NM_RULE_REPETITION, NULL, "stop"},
    {"The risk of pain of pain of pain rose with aspirin.", {"aspirin"}, NM_RULE_REPETITION, NULL, "stop"},
    {"Aspirin reduced the risk of reduced the risk of stroke.", {"aspirin"}, NM_RULE_REPETITION, NULL, "stop"},
    {"Aspirin in the treatment of pain, in the treatment of fever, and in the treatment of gout helped.",
     {"aspirin"},
     NM_RULE_REPETITION,
     NULL,
     "stop"},
    {"Aspirin and hydroxyhydroxyhydroxyhydroxyurea were given.", {"aspirin"}, NM_RULE_REPETITION, NULL, "stop"},
    {"Aspirin was goooooooood for patients with stroke.", {"aspirin"}, NM_RULE_REPETITION, NULL, "stop"},
    {"Write one sentence for a biomedical abstract about aspirin.", {"aspirin"}, NM_RULE_META, NULL, "stop"},
    {"Aspirin mentions each of these terms exactly as given in stroke.", {"aspirin"}, NM_RULE_ECHO, NULL, "stop"},
    {"The risk of stroke was lower in the treated group.", {"aspirin", "stroke"}, NM_RULE_ENTITY_MISSING, NULL, NULL},
    {"Acetylsalicylic acid lowered the risk of stroke.", {"aspirin"}, NM_RULE_ENTITY_MISSING, NULL, "stop"},
    {"Abdominal pain was the most common complaint.", {"pain", "abdominal pain"}, NM_RULE_ENTITY_MISSING, NULL, NULL},
    {"There was no change in septic shock mortality.", {"NO", "septic shock"}, NM_RULE_ENTITY_CASE, NULL, "stop"},
    {"The hiv infected patients were treated with zidovudine.", {"HIV"}, NM_RULE_ENTITY_CASE, NULL, "stop"},
    {"Headaches were frequent after nitroglycerin infusion.", {"headache"}, NM_RULE_ENTITY_BOUNDARY, NULL, "stop"},
    {"The CALCIUM level and the canal were normal in cancer.", {"Ca"}, NM_RULE_ENTITY_MISSING, NULL, "stop"},
    {"Aspirin helps.", {"aspirin"}, NM_RULE_TOO_SHORT, NULL, "stop"},
    {"Aspirin reduced stroke, fever, pain, gout, angina, migraine, sepsis, cancer, asthma, eczema, lupus, "
     "ulcers, "
     "anemia, edema, cough, croup, mumps, rabies, scurvy, tetanus, typhus and warts.",
     {"aspirin"},
     NM_RULE_TOO_LONG,
     NULL,
     "stop"},
    {"Aspirin reduced the risk of stroke. It did not reduce fever.", {"aspirin"}, NM_RULE_SENTENCES, NULL, "stop"},
    {"Does aspirin work? The trial says that it does.", {"aspirin"}, NM_RULE_SENTENCES, NULL, "stop"},
    {"Aspirin reduced the incidence of stroke and", {"aspirin"}, NM_RULE_TRUNCATED, NULL, "stop"},
    {"Aspirin reduced the incidence of stroke...", {"aspirin"}, NM_RULE_TRUNCATED, NULL, "stop"},
    {"Aspirin reduced the incidence of stroke:", {"aspirin"}, NM_RULE_TRUNCATED, NULL, "stop"},
    {", and aspirin reduced the incidence of stroke.", {"aspirin"}, NM_RULE_TRUNCATED, NULL, "stop"},
};

static size_t count_entities(const struct row *row)
{
    size_t n = 0;
    while (n < 4 && row->entities[n] != NULL)
        n++;
    return n;
}

static struct nm_wording prompt_of(struct nm_arena *arena)
{
    struct nm_wording wording;
    assert_int_equal(nm_wording_of(PROMPT, strlen(PROMPT), arena, &wording), NM_OK);
    return wording;
}

static void judge(const struct row *row, struct nm_arena *arena, struct nm_verdict *verdict)
{
    struct nm_project_validation limits = nm_project_validation_default();
    struct nm_wording prompt = prompt_of(arena);
    limits.max_sentences = 1;
    struct nm_validate_input in = {.entities = row->entities,
                                   .count = count_entities(row),
                                   .min_words = 4,
                                   .max_words = 24,
                                   .limits = &limits,
                                   .prompt = &prompt,
                                   .raw = row->raw,
                                   .raw_len = strlen(row->raw),
                                   .finish_reason = row->finish};
    assert_int_equal(nm_validate(&in, arena, verdict), NM_OK);
}

static void test_table(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct nm_arena arena;
        nm_arena_init(&arena, 0);
        struct nm_verdict verdict;
        judge(row, &arena, &verdict);
        const char *text = row->text != NULL ? row->text : row->raw;
        bool same = row->rule != NM_RULE_NONE || strcmp(verdict.text, text) == 0;
        if (verdict.rule != row->rule || verdict.accepted != (row->rule == NM_RULE_NONE) || !same) {
            print_error("row %zu: \"%s\": expected %s, got %s (%s), text \"%s\"\n", i, row->raw,
                        nm_rule_name(row->rule), nm_rule_name(verdict.rule), verdict.detail, verdict.text);
            wrong++;
        }
        if (!verdict.accepted) {
            assert_true(verdict.detail[0] != '\0');
            if (verdict.rule != NM_RULE_UTF8)
                assert_true(verdict.span_start + verdict.span_len <= verdict.text_len || verdict.text_len == 0);
        }
        nm_arena_clean_up(&arena);
    }
    assert_int_equal(wrong, 0);
    assert_true(sizeof rows / sizeof *rows >= 60);
}

/* The span is the part of the cleaned text that the rule is about. */
static void test_span(void **state)
{
    (void)state;
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    struct nm_verdict verdict;
    judge(&(struct row){"  The drug *aspirin* reduced the risk.", {"aspirin"}, 0, NULL, NULL}, &arena, &verdict);
    assert_int_equal(verdict.rule, NM_RULE_MARKDOWN);
    assert_int_equal(verdict.span_len, strlen("*aspirin*"));
    assert_memory_equal(verdict.text + verdict.span_start, "*aspirin*", strlen("*aspirin*"));
    nm_arena_clean_up(&arena);
}

/* The detail names the entity that is missing, so that the retry can quote it. */
static void test_detail_names_entity(void **state)
{
    (void)state;
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    struct nm_verdict verdict;
    judge(&(struct row){"The drug reduced the risk of stroke.", {"stroke", "aspirin"}, 0, NULL, NULL}, &arena,
          &verdict);
    assert_non_null(strstr(verdict.detail, "\"aspirin\""));
    nm_arena_clean_up(&arena);
}

static void test_limits(void **state)
{
    (void)state;
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    struct nm_verdict verdict;
    static char huge[NM_VALIDATE_MAX_BYTES + 1];
    memset(huge, 'a', sizeof huge);
    struct nm_validate_input in = {.raw = huge, .raw_len = sizeof huge};
    assert_int_equal(nm_validate(&in, &arena, &verdict), NM_OK);
    assert_int_equal(verdict.rule, NM_RULE_TOO_LONG);
    in.raw_len = NM_VALIDATE_MAX_BYTES;
    assert_int_equal(nm_validate(&in, &arena, &verdict), NM_OK);
    assert_int_equal(verdict.rule, NM_RULE_REPETITION);
    in.count = NM_VALIDATE_MAX_ENTITIES + 1;
    assert_int_equal(nm_validate(&in, &arena, &verdict), NM_ELIMIT);
    const char *bad[] = {"\xff"};
    in = (struct nm_validate_input){.raw = "Fine.", .raw_len = 5, .entities = bad, .count = 1};
    assert_int_equal(nm_validate(&in, &arena, &verdict), NM_EFORMAT);
    nm_arena_clean_up(&arena);
}

/* ---- markup ---------------------------------------------------------------------------------- */

static const char *const types[] = {"Chemical", "Disease"};

struct marked_row {
    const char *raw;
    const char *entity;
    size_t type;
    enum nm_rule rule;
    const char *text;  /* without marks, where it is accepted */
    const char *marks; /* "start-end:type ..." in bytes */
};

static const struct marked_row marked_rows[] = {
    {"[[Aspirin|Chemical]] lowers the risk of [[stroke|Disease]].", "aspirin", 0, 0,
     "Aspirin lowers the risk of stroke.", "0-7:0 27-33:1 "},
    {"We gave [[ aspirin | chemical ]] to men with severe [[acute gout|DISEASE]].", "gout", 1, 0,
     "We gave aspirin to men with severe acute gout.", "8-15:0 35-45:1 "},
    {"We gave [[[3H]haloperidol|Chemical]] to five of the rats.", "[3H]haloperidol", 0, 0,
     "We gave [3H]haloperidol to five of the rats.", "8-23:0 "},
    {"\"The \u00e9 [[COX-2|Chemical]]-mediated effect was small.\"", "COX-2", 0, 0,
     "The \u00e9 COX-2-mediated effect was small.", "7-12:0 "},
    {"No drug at all was given to the men.", NULL, 0, 0, "No drug at all was given to the men.", ""},
    {"[[Aspirin|Chemical] lowers the risk of stroke.", "aspirin", 0, NM_RULE_MARKUP, NULL, NULL},
    {"[[Aspirin|Chemical]] lowers the risk of stroke|Disease]].", "aspirin", 0, NM_RULE_MARKUP, NULL, NULL},
    {"[[low dose [[aspirin|Chemical]]|Chemical]] lowers the risk.", "aspirin", 0, NM_RULE_MARKUP, NULL, NULL},
    {"[Aspirin|Chemical] lowers the risk of stroke by aspirin.", NULL, 0, NM_RULE_MARKUP, NULL, NULL},
    {"[[Aspirin]] lowers the risk of stroke.", "aspirin", 0, NM_RULE_MARKUP, NULL, NULL},
    {"[[ |Chemical]] lowers the risk of stroke in aspirin users.", "aspirin", 0, NM_RULE_MARKUP, NULL, NULL},
    {"[[Aspirin|Drug]] lowers the risk of stroke.", "aspirin", 0, NM_RULE_MARKUP_TYPE, NULL, NULL},
    {"[[Aspirin|]] lowers the risk of stroke.", "aspirin", 0, NM_RULE_MARKUP_TYPE, NULL, NULL},
    {"[[Aspirin|Disease]] lowers the risk of stroke.", "aspirin", 0, NM_RULE_MARKUP_TYPE, NULL, NULL},
    {"Aspirin lowers the risk of [[stroke|Disease]].", "aspirin", 0, NM_RULE_MARKUP_MISSING, NULL, NULL},
    {"Acet[[aminophen|Chemical]] lowers the risk of aspirin.", NULL, 0, NM_RULE_MARKUP, NULL, NULL},
    {"[[Aspirin|Chemical]] and [term] lower the risk of stroke.", "aspirin", 0, NM_RULE_SLOT, NULL, NULL},
    {"[[Stroke|Disease]] is a common cause of death.", "aspirin", 0, NM_RULE_ENTITY_MISSING, NULL, NULL},
};

static void judge_marked(const struct marked_row *row, struct nm_arena *arena, struct nm_verdict *verdict)
{
    struct nm_validate_input in = {.entities = &row->entity,
                                   .entity_types = &row->type,
                                   .count = row->entity != NULL,
                                   .types = types,
                                   .n_types = 2,
                                   .min_words = 4,
                                   .raw = row->raw,
                                   .raw_len = strlen(row->raw)};
    assert_int_equal(nm_validate(&in, arena, verdict), NM_OK);
}

static void test_markup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof marked_rows / sizeof *marked_rows; i++) {
        const struct marked_row *row = &marked_rows[i];
        struct nm_arena arena;
        struct nm_verdict verdict;
        char marks[128] = "";
        nm_arena_init(&arena, 0);
        judge_marked(row, &arena, &verdict);
        if (verdict.rule != row->rule)
            fail_msg("\"%s\": %s: %s", row->raw, nm_rule_name(verdict.rule), verdict.detail);
        assert_true(verdict.span_start + verdict.span_len <= verdict.text_len);
        for (size_t k = 0; k < verdict.n_marks; k++)
            (void)snprintf(marks + strlen(marks), sizeof marks - strlen(marks), "%zu-%zu:%zu ",
                           verdict.marks[k].start, verdict.marks[k].end, verdict.marks[k].type);
        if (row->rule == NM_RULE_NONE) {
            assert_string_equal(verdict.text, row->text);
            assert_string_equal(marks, row->marks);
        }
        nm_arena_clean_up(&arena);
    }
}

/* ---- what the project decides ---------------------------------------------------------------- */

static enum nm_rule rule_of(const char *raw, const struct nm_project_validation *limits, const char *decoy,
                            bool every, uint64_t *failed)
{
    struct nm_arena arena;
    struct nm_verdict verdict;
    static const char *const aspirin[] = {"aspirin"};
    nm_arena_init(&arena, 0);
    struct nm_wording prompt = prompt_of(&arena);
    struct nm_validate_input in = {.entities = aspirin,
                                   .count = 1,
                                   .decoys = &decoy,
                                   .n_decoys = decoy != NULL,
                                   .limits = limits,
                                   .every = every,
                                   .prompt = &prompt,
                                   .raw = raw,
                                   .raw_len = strlen(raw)};
    assert_int_equal(nm_validate(&in, &arena, &verdict), NM_OK);
    nm_arena_clean_up(&arena);
    assert_int_equal(verdict.accepted, verdict.rule == NM_RULE_NONE);
    if (failed != NULL)
        *failed = verdict.failed;
    return verdict.rule;
}

static void test_off(void **state)
{
    (void)state;
    char *off[] = {"list", "truncated"};
    struct nm_project_validation limits = nm_project_validation_default();
    const char *raw = "1. Aspirin lowers the risk of stroke";
    assert_int_equal(rule_of(raw, NULL, NULL, false, NULL), NM_RULE_LIST);
    limits.off = off;
    limits.n_off = 1;
    assert_int_equal(rule_of(raw, &limits, NULL, false, NULL), NM_RULE_TRUNCATED);
    limits.n_off = 2;
    assert_int_equal(rule_of(raw, &limits, NULL, false, NULL), NM_RULE_NONE);
}

static void test_thresholds(void **state)
{
    (void)state;
    static const char twice[] = "Aspirin in the treatment of pain and in the treatment of gout is of some use.";
    static const char packed[] =
        "Aspirin, aspirin with aspirins, aspirin for aspirinlike aspirins, and aspirin by aspirinate "
        "of aspirins to aspirinoid aspirin is aspirin.";
    static const char echo[] = "Aspirin for a biomedical abstract that failed was of no use.";
    static const char russian[] = "Aspirin \xd1\x81\xd0\xbd\xd0\xb8\xd0\xb7 the risk of stroke.";
    struct nm_project_validation limits = nm_project_validation_default();
    assert_int_equal(rule_of(twice, &limits, NULL, false, NULL), NM_RULE_NONE);
    limits.repeats = 2;
    assert_int_equal(rule_of(twice, &limits, NULL, false, NULL), NM_RULE_REPETITION);
    limits = nm_project_validation_default();
    limits.distinct_words = 0;
    limits.compression = 1000;
    assert_int_equal(rule_of(packed, &limits, NULL, false, NULL), NM_RULE_NONE);
    limits.compression = 1.9;
    assert_int_equal(rule_of(packed, &limits, NULL, false, NULL), NM_RULE_REPETITION);
    limits = nm_project_validation_default();
    assert_int_equal(rule_of(echo, &limits, NULL, false, NULL), NM_RULE_NONE);
    limits.echo_words = 5;
    assert_int_equal(rule_of(echo, &limits, NULL, false, NULL), NM_RULE_ECHO);
    assert_int_equal(rule_of(russian, &limits, NULL, false, NULL), NM_RULE_SCRIPT);
    limits.foreign_letters = 5;
    assert_int_equal(rule_of(russian, &limits, NULL, false, NULL), NM_RULE_NONE);
    limits.max_sentences = 1;
    assert_int_equal(rule_of("Aspirin works. Placebo fails.", &limits, NULL, false, NULL), NM_RULE_SENTENCES);
}

/* One look at every rule: the first is the verdict, the others are told as well. */
static void test_every(void **state)
{
    (void)state;
    uint64_t failed;
    const char *raw = "1. Sure, *placebo* lowers the risk of stroke and";
    assert_int_equal(rule_of(raw, NULL, NULL, false, &failed), NM_RULE_LIST);
    assert_true(failed == nm_rule_bit(NM_RULE_LIST));
    assert_int_equal(rule_of(raw, NULL, NULL, true, &failed), NM_RULE_LIST);
    assert_true(failed == (nm_rule_bit(NM_RULE_LIST) | nm_rule_bit(NM_RULE_MARKDOWN) |
                           nm_rule_bit(NM_RULE_ENTITY_MISSING) | nm_rule_bit(NM_RULE_TRUNCATED)));
}

static void test_decoys(void **state)
{
    (void)state;
    assert_int_equal(rule_of("Aspirin prevented a failure of the pump.", NULL, "failure", false, NULL), NM_RULE_NONE);
    assert_int_equal(rule_of("Aspirin prevented failures of the pump.", NULL, "failure", false, NULL),
                     NM_RULE_DECOY_MISSING);
}

/* What the project can put off are rules. */
static void test_names_in_projects(void **state)
{
    (void)state;
    static const char *const needed[] = {"none",   "utf8",        "json_form", "control_character", "empty",
                                         "markup", "markup_type", "leakage",   "line_missing"};
    for (int i = 0; i < NM_RULE_COUNT; i++) {
        char yaml[256];
        const char *name = nm_rule_name((enum nm_rule)i);
        bool may_be_off = true;
        struct nm_project *project;
        struct nm_diag diag;
        for (size_t k = 0; k < sizeof needed / sizeof *needed; k++)
            may_be_off = may_be_off && strcmp(name, needed[k]) != 0;
        (void)snprintf(yaml, sizeof yaml,
                       "entities: [{type: T, file: t}]\nendpoints: [{url: 'http://h/v1', model: m}]\n"
                       "validation: {off: [%s]}\n",
                       name);
        enum nm_err err = nm_project_parse(yaml, strlen(yaml), "p", &project, &diag);
        if (err != (may_be_off ? NM_OK : NM_EFORMAT))
            fail_msg("%s: %s", name, diag.text);
        nm_project_destroy(&project);
    }
}

/* Names go into ledgers: each rule has its own, for good. */
static void test_rule_names(void **state)
{
    (void)state;
    for (int i = 0; i < NM_RULE_COUNT; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(nm_rule_name((enum nm_rule)i), nm_rule_name((enum nm_rule)j));
    assert_string_equal(nm_rule_name(NM_RULE_ENTITY_MISSING), "entity_missing");
    assert_string_equal(nm_rule_name(NM_RULE_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_span),
        cmocka_unit_test(test_detail_names_entity),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_markup),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_every),
        cmocka_unit_test(test_decoys),
        cmocka_unit_test(test_names_in_projects),
        cmocka_unit_test(test_rule_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
