/* recipe.c - what a recipe is made of. */
#include <stdlib.h>
#include <string.h>

#include "workers/generator/recipe_parts.h"

struct making {
    struct nm_recipe *recipe;
    nm_recipe_read read;
    void *ctx;
    struct nm_buf buf;
    struct nm_diag *diag;
};

static enum nm_err read_part(struct making *m, const char *what)
{
    nm_buf_reset(&m->buf);
    return m->read(m->ctx, what, &m->buf, m->diag);
}

static enum nm_err make_prompts(struct making *m)
{
    struct nm_recipe *r = m->recipe;
    const struct nm_project_generation *g = &r->project->generation;
    const char *second = nm_prompt_verification();
    enum nm_err err = g->template != NULL ? read_part(m, "template") : NM_OK;
    if (err == NM_OK)
        err = g->template != NULL ? nm_prompt_parse(g->template, nm_buf_str(&m->buf), m->buf.len, &r->prompt, m->diag)
                                  : nm_prompt_load(NULL, g->builtin, &r->prompt, m->diag);
    if (err == NM_OK && r->project->verification.mode != NM_VERIFY_OFF)
        err = nm_prompt_parse("verification", second, strlen(second), &r->verification, m->diag);
    if (err == NM_OK && nm_recipe_settle(r) != NM_OK)
        err = nm_fail(m->diag, NM_ENOMEM, "out of memory");
    return err;
}

static enum nm_err make_exemplars(struct making *m)
{
    struct nm_recipe *r = m->recipe;
    const char *file = r->project->generation.exemplars.file;
    if (file == NULL)
        return NM_OK;
    enum nm_err err = read_part(m, "exemplars");
    return err == NM_OK
               ? nm_exemplars_parse(r->project, file, nm_buf_str(&m->buf), m->buf.len, &r->exemplars, m->diag)
               : err;
}

/* The lists are a third reader, where a second one is asked. */
static enum nm_err make_lists(struct making *m)
{
    struct nm_recipe *r = m->recipe;
    if (r->project->verification.mode == NM_VERIFY_OFF)
        return NM_OK;
    enum nm_err err = read_part(m, "entities");
    if (err != NM_OK)
        return err;
    r->lists = nm_entities_new();
    if (r->lists == NULL)
        return nm_fail(m->diag, NM_ENOMEM, "out of memory");
    return nm_entities_from_blob(r->lists, nm_buf_str(&m->buf), m->buf.len, m->diag);
}

static enum nm_err make_leakage(struct making *m)
{
    if (m->recipe->project->leakage.n_gold == 0)
        return NM_OK;
    enum nm_err err = read_part(m, "leakage");
    return err == NM_OK ? nm_leakage_decode(nm_buf_str(&m->buf), m->buf.len, &m->recipe->leakage, m->diag) : err;
}

static enum nm_err make_types(struct making *m)
{
    struct nm_recipe *r = m->recipe;
    const struct nm_project *project = r->project;
    r->types = calloc(project->n_lists + 1, sizeof *r->types);
    r->names = calloc(project->n_lists + 1, sizeof *r->names);
    if (r->types == NULL || r->names == NULL)
        return nm_fail(m->diag, NM_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < project->n_lists; i++) {
        const struct nm_project_list *list = &project->lists[i];
        if (nm_recipe_type(r, list->type) < r->n_types)
            continue;
        r->types[r->n_types] = (struct nm_prompt_pair){list->type, list->definition};
        r->names[r->n_types++] = list->type;
    }
    return NM_OK;
}

enum nm_err nm_recipe_new(const struct nm_project *project, nm_recipe_read read, void *ctx, struct nm_recipe **recipe,
                          struct nm_diag *diag)
{
    struct making m = {.recipe = calloc(1, sizeof *m.recipe), .read = read, .ctx = ctx, .diag = diag};
    *recipe = NULL;
    if (m.recipe == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    m.recipe->project = project;
    nm_buf_init(&m.buf, 1U << 30);
    enum nm_err err = make_types(&m);
    if (err == NM_OK)
        err = make_prompts(&m);
    if (err == NM_OK)
        err = make_exemplars(&m);
    if (err == NM_OK)
        err = make_lists(&m);
    if (err == NM_OK)
        err = make_leakage(&m);
    nm_buf_clean_up(&m.buf);
    if (err != NM_OK)
        nm_recipe_destroy(&m.recipe);
    *recipe = m.recipe;
    return err;
}

void nm_recipe_destroy(struct nm_recipe **recipe)
{
    struct nm_recipe *old = *recipe;
    if (old == NULL)
        return;
    nm_prompt_destroy(&old->prompt);
    nm_prompt_destroy(&old->verification);
    nm_exemplars_destroy(&old->exemplars);
    nm_entities_destroy(&old->lists);
    nm_leakage_clean_up(&old->leakage);
    free(old->types);
    free(old->names);
    free(old);
    *recipe = NULL;
}
