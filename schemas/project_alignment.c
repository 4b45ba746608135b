/* project_alignment.c - the section of project.yaml that says how accepted texts become labelled tokens. */
#include <string.h>

#include "schemas/project_check.h"

static bool is_listed(const struct nm_project *project, const char *type)
{
    for (uint32_t i = 0; i < project->n_lists; i++)
        if (project->lists[i].type != NULL && strcmp(project->lists[i].type, type) == 0)
            return true;
    return false;
}

static enum nm_policy policy(struct nm_checker *c, const char *key, const char *value)
{
    static const char *const names[] = {"mask", "keep", "drop", "ignore"};
    return (enum nm_policy)nm_value_one_of(c, "alignment", 0, key, value, NM_POLICY_MASK, names, 4);
}

void nm_check_alignment(struct nm_checker *c, const struct raw_alignment *in, struct nm_project *project)
{
    static const char *const tokenizers[] = {"biomedical", "ptb", "whitespace", "learned"};
    static const char *const abbreviations[] = {"ignore", "separate", "joined", "mask"};
    static const char *const types[] = {"refuse", "resolve"};
    static const char section[] = "alignment";
    static const struct raw_alignment nothing = {0};
    if (in == NULL)
        in = &nothing;
    struct nm_project_alignment *a = &project->alignment;
    *a = (struct nm_project_alignment){
        .tokenizer = (enum nm_tokenizer_kind)nm_value_one_of(c, section, 0, "tokenizer", in->tokenizer,
                                                             NM_TOKENIZER_BIOMEDICAL, tokenizers, 4),
        .learn_from = nm_value_filled(c, in->learn_from),
        .plurals = in->plurals != NULL && *in->plurals,
        .hyphens = in->hyphens != NULL && *in->hyphens,
        .abbreviations = (enum nm_abbreviations)nm_value_one_of(c, section, 0, "abbreviations", in->abbreviations,
                                                                NM_ABBREVIATIONS_SEPARATE, abbreviations, 4),
        .two_types = nm_value_one_of(c, section, 0, "two_types", in->two_types, 0, types, 2) == 1,
        .prior = nm_value_list(c, in->prior, in->prior_count),
        .n_prior = in->prior_count,
        .unlisted = policy(c, "unlisted", in->unlisted),
        .unmarked = policy(c, "unmarked", in->unmarked),
        .conflicting = policy(c, "conflicting", in->conflicting),
        .cut = policy(c, "cut", in->cut)};
    if (a->tokenizer == NM_TOKENIZER_LEARNED && a->learn_from == NULL)
        nm_value_complain(c, section, 0, "tokenizer", "'learned' needs learn_from: the CoNLL file to learn from");
    if (a->tokenizer != NM_TOKENIZER_LEARNED && a->learn_from != NULL)
        nm_value_complain(c, section, 0, "learn_from", "only 'tokenizer: learned' learns from a file");
    for (uint32_t i = 0; i < a->n_prior && a->prior != NULL; i++)
        if (a->prior[i] != NULL && !is_listed(project, a->prior[i]))
            nm_value_complain(c, section, 0, "prior", "'%s' is no type of this project's entities", a->prior[i]);
}
