/* project_generation.c - the sections of project.yaml that say how a text is made and judged. */
#include "schemas/project_check.h"

void nm_check_generation(struct nm_checker *c, const struct raw_generation *in, struct nm_project_generation *out)
{
    static const char *const when[] = {"never", "last", "always"};
    static const struct raw_generation nothing = {0};
    if (in == NULL)
        in = &nothing;
    *out = (struct nm_project_generation){
        .domain = nm_value_text(c, in->domain, "biomedical research"),
        .template = nm_value_copy(c, in->template),
        .entities = nm_value_range(c, "entities", in->entities, (struct nm_range){1, 3}, 1, 32),
        .negatives = nm_value_float(c, "generation", 0, "negatives", in->negatives, 0.1, 0, 0.9),
        .words = nm_value_range(c, "words", in->words, (struct nm_range){6, 40}, 1, 1000),
        .attempts = nm_value_uint(c, "generation", 0, "attempts", in->attempts, 3, 1, 100),
        .constrain = (enum nm_constrain)nm_value_one_of(c, "generation", 0, "constrain", in->constrain,
                                                        NM_CONSTRAIN_LAST, when, 3),
        .reuse = in->reuse == NULL || *in->reuse,
        .styles = nm_value_list(c, in->styles, in->styles_count),
        .n_styles = in->styles_count,
        .sections = nm_value_list(c, in->sections, in->sections_count),
        .n_sections = in->sections_count};
}
