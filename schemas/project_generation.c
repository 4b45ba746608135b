/* project_generation.c - the sections of project.yaml that say how a text is made and judged. */
#include <string.h>

#include "schemas/project_check.h"

static void check_exemplars(struct nm_checker *c, const struct raw_exemplars *in, struct nm_project_exemplars *out)
{
    static const char section[] = "generation";
    *out = (struct nm_project_exemplars){.count = 3};
    if (in == NULL)
        return;
    out->file = nm_value_copy(c, in->file);
    out->count = nm_value_uint(c, section, 0, "count", in->count, 3, 1, 20);
}

static void check_decoys(struct nm_checker *c, const struct raw_decoys *in, struct nm_project_decoys *out)
{
    *out = (struct nm_project_decoys){0};
    if (in == NULL)
        return;
    out->file = nm_value_copy(c, in->file);
    out->share = nm_value_float(c, "generation", 0, "share", in->share, 0.3, 0, 1);
}

void nm_check_generation(struct nm_checker *c, const struct raw_generation *in, struct nm_project_generation *out)
{
    static const char *const when[] = {"never", "last", "always"};
    static const struct raw_generation nothing = {0};
    static const char *const builtins[] = {"biomedical", "scientific"}, *const modes[] = {"plain", "markup"};
    if (in == NULL)
        in = &nothing;
    *out = (struct nm_project_generation){
        .builtin = (enum nm_builtin)nm_value_one_of(c, "generation", 0, "builtin", in->builtin, NM_BUILTIN_BIOMEDICAL,
                                                    builtins, 2),
        .mode = (enum nm_mode)nm_value_one_of(c, "generation", 0, "mode", in->mode, NM_MODE_PLAIN, modes, 2),
        .guidelines = nm_value_filled(c, in->guidelines),
        .hard_negatives = nm_value_float(c, "generation", 0, "hard_negatives", in->hard_negatives, 0.3, 0, 1),
        .domain = nm_value_text(c, in->domain, "biomedical research"),
        .template = nm_value_copy(c, in->template),
        .entities = nm_value_range(c, "entities", in->entities, (struct nm_range){1, 3}, 1, 32),
        .negatives = nm_value_float(c, "generation", 0, "negatives", in->negatives, 0.1, 0, 0.9),
        .words = nm_value_range(c, "words", in->words, (struct nm_range){6, 40}, 1, 1000),
        .attempts = nm_value_uint(c, "generation", 0, "attempts", in->attempts, 3, 1, 100),
        .sentences_per_call = nm_value_uint(c, "generation", 0, "sentences_per_call", in->sentences_per_call, 1, 1,
                                            NM_SENTENCES_PER_CALL_MAX),
        .constrain = (enum nm_constrain)nm_value_one_of(c, "generation", 0, "constrain", in->constrain,
                                                        NM_CONSTRAIN_LAST, when, 3),
        .reuse = in->reuse == NULL || *in->reuse,
        .replay = nm_value_filled(c, in->replay),
        .styles = nm_value_list(c, in->styles, in->styles_count),
        .n_styles = in->styles_count,
        .sections = nm_value_list(c, in->sections, in->sections_count),
        .n_sections = in->sections_count};
    check_exemplars(c, in->exemplars, &out->exemplars);
    check_decoys(c, in->decoys, &out->decoys);
}

/* ---- validation ------------------------------------------------------------------------------ */

/* All rules but those without which there is no text to speak of; the generator's enum nm_rule has them all. */
static const char *const rules[] = {
    "finish_reason",  "code_fence",  "refusal",         "slot_left",      "meta_text",     "list",
    "markdown",       "quotes",      "paragraphs",      "script",         "repetition",    "prompt_echo",
    "entity_missing", "entity_case", "entity_boundary", "markup_missing", "decoy_missing", "too_short",
    "too_long",       "sentences",   "truncated"};

struct nm_project_validation nm_project_validation_default(void)
{
    return (struct nm_project_validation){.max_sentences = 2,
                                          .repeats = 3,
                                          .echo_words = 7,
                                          .foreign_letters = 2,
                                          .distinct_words = 0.5,
                                          .compression = 2.2};
}

void nm_check_validation(struct nm_checker *c, const struct raw_validation *in, struct nm_project_validation *out)
{
    *out = nm_project_validation_default();
    if (in == NULL)
        return;
    static const char section[] = "validation";
    out->off = nm_value_list(c, in->off, in->off_count);
    out->n_off = in->off_count;
    for (uint32_t i = 0; i < in->off_count; i++)
        (void)nm_value_one_of(c, section, 0, "off", in->off[i], 0, rules, sizeof rules / sizeof *rules);
    out->max_sentences = nm_value_uint(c, section, 0, "max_sentences", in->max_sentences, 2, 1, 1000);
    out->repeats = nm_value_uint(c, section, 0, "repeats", in->repeats, 3, 2, 1000);
    out->echo_words = nm_value_uint(c, section, 0, "echo_words", in->echo_words, 7, 4, 1000);
    out->foreign_letters = nm_value_uint(c, section, 0, "foreign_letters", in->foreign_letters, 2, 1, 100000);
    out->distinct_words = nm_value_float(c, section, 0, "distinct_words", in->distinct_words, 0.5, 0, 1);
    out->compression = nm_value_float(c, section, 0, "compression", in->compression, 2.2, 1, 1000);
}

void nm_check_verification(struct nm_checker *c, const struct raw_verification *in, struct nm_project *p)
{
    static const char *const modes[] = {"off", "mask", "drop"};
    static const char section[] = "verification";
    p->verification = (struct nm_project_verification){.mode = NM_VERIFY_OFF};
    if (in == NULL)
        return;
    p->verification.mode = (enum nm_verify)nm_value_one_of(c, section, 0, "mode", in->mode, NM_VERIFY_MASK, modes, 3);
    p->verification.endpoint = nm_value_filled(c, in->endpoint);
    bool known = p->verification.endpoint == NULL;
    for (uint32_t i = 0; i < p->n_endpoints && p->endpoints != NULL && !known; i++)
        known = strcmp(p->endpoints[i].name, p->verification.endpoint) == 0;
    if (!known)
        nm_value_complain(c, section, 0, "endpoint", "'%s' is the name of no endpoint", p->verification.endpoint);
}
