/* recipe_parts.h - the insides of a recipe, shared by recipe*.c only. */
#ifndef NM_GENERATOR_RECIPE_PARTS_H
#define NM_GENERATOR_RECIPE_PARTS_H

#include "workers/generator/recipe.h"

struct nm_recipe {
    const struct nm_project *project;
    struct nm_prompt *prompt, *verification; /* verification NULL: none is wanted */
    struct nm_exemplars *exemplars;          /* NULL: none */
    struct nm_entities *lists;               /* NULL: none are needed */
    struct nm_prompt_pair *types;            /* (n_types) each type once, with its definition */
    const char **names;                      /* (n_types) */
    size_t n_types;
    struct nm_leakage leakage; /* empty: nothing is kept out */
};

/* recipe.c: nm_recipe_type - its place among the project's types; n_types: it is none of them. */
size_t nm_recipe_type(const struct nm_recipe *recipe, const char *type);

/* recipe_ask.c: nm_recipe_settle - render what is the same in every call of the project.  NM_ENOMEM.
 * nm_recipe_render - all messages for this task, with or without the corrective part. */
enum nm_err nm_recipe_settle(struct nm_recipe *recipe);
enum nm_err nm_recipe_render(const struct nm_recipe *recipe, const struct nm_msg_task *task, bool feedback,
                             struct nm_arena *arena, struct nm_prompt_text *out);

#endif
