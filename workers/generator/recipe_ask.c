/* recipe_ask.c - from a task to a request's body. */
#include <string.h>

#include "common/hash.h"
#include "common/utf8.h"
#include "workers/generator/constraint.h"
#include "workers/generator/recipe_parts.h"

enum { QUOTE_MAX = 200 }; /* bytes of a fault that are worth quoting */

static enum nm_err draw(const struct nm_recipe *recipe, const struct nm_msg_task *task, struct nm_arena *arena,
                        struct nm_prompt_vars *vars)
{
    const struct nm_project_generation *g = &recipe->project->generation;
    enum nm_exemplar_form form = task->verify                ? NM_EXEMPLAR_LISTED
                                 : g->mode == NM_MODE_MARKUP ? NM_EXEMPLAR_MARKED
                                                             : NM_EXEMPLAR_PLAIN;
    if (recipe->exemplars == NULL)
        return NM_OK;
    return nm_exemplars_draw(recipe->exemplars, task->seed, g->exemplars.count, form, arena, &vars->exemplars,
                             &vars->n_exemplars);
}

/* The part of the last text that its rule was about, where that says more than the text itself. */
static enum nm_err quote(const struct nm_msg_task *task, struct nm_arena *arena, const char **out)
{
    const char *s = task->feedback_text.ptr;
    size_t start = nm_utf8_offset(s, task->feedback_text.len, task->feedback_start);
    size_t end = nm_utf8_offset(s, task->feedback_text.len, task->feedback_end);
    if (end <= start || end - start > QUOTE_MAX || 2 * (end - start) > task->feedback_text.len)
        return NM_OK;
    *out = nm_arena_strndup(arena, s + start, end - start);
    return *out != NULL ? NM_OK : NM_ENOMEM;
}

/* What every call's prompt has. */
static struct nm_prompt_vars project_vars(const struct nm_recipe *recipe)
{
    const struct nm_project_generation *g = &recipe->project->generation;
    return (struct nm_prompt_vars){.types = recipe->types,
                                   .n_types = recipe->n_types,
                                   .domain = g->domain,
                                   .guidelines = g->guidelines,
                                   .markup = g->mode == NM_MODE_MARKUP};
}

enum nm_err nm_recipe_settle(struct nm_recipe *recipe)
{
    const struct nm_prompt_vars vars = project_vars(recipe);
    enum nm_err err = nm_prompt_settle(recipe->prompt, &vars);
    return err == NM_OK && recipe->verification != NULL ? nm_prompt_settle(recipe->verification, &vars) : err;
}

enum nm_err nm_recipe_render(const struct nm_recipe *recipe, const struct nm_msg_task *task, bool feedback,
                             struct nm_arena *arena, struct nm_prompt_text *out)
{
    struct nm_prompt_pair *pairs = nm_arena_alloc(arena, (task->n_entities + 1) * sizeof *pairs);
    if (pairs == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < task->n_entities; i++)
        pairs[i] = (struct nm_prompt_pair){task->entities[i].text.ptr, task->entities[i].type.ptr};
    struct nm_prompt_vars vars = project_vars(recipe);
    vars.entities = pairs;
    vars.n_entities = task->n_entities;
    vars.negative = task->negative;
    vars.style = task->style.ptr;
    vars.section = task->section.ptr;
    vars.decoy = task->decoy.ptr;
    vars.text = task->verify ? task->feedback_text.ptr : NULL;
    vars.min_words = task->min_words;
    vars.max_words = task->max_words;
    vars.count = task->lines;
    enum nm_err err = draw(recipe, task, arena, &vars);
    if (err == NM_OK && feedback) {
        vars.rule = task->feedback_rule.ptr;
        vars.detail = task->feedback_detail.ptr;
        vars.previous = task->feedback_text.ptr;
        err = quote(task, arena, &vars.quote);
    }
    const struct nm_prompt *prompt =
        task->verify && recipe->verification != NULL ? recipe->verification : recipe->prompt;
    return err == NM_OK ? nm_prompt_render(prompt, &vars, arena, out) : err;
}

/* The task of the nth sentence of its call: it alone, or what a task that shares its call asks for. */
static struct nm_msg_task nth_task(const struct nm_msg_task *task, size_t nth)
{
    struct nm_msg_task one = *task;
    if (nth > 0) {
        const struct nm_msg_ask *ask = &task->asks[nth - 1];
        one.seed = ask->seed;
        one.entities = ask->entities;
        one.n_entities = ask->n_entities;
        one.negative = ask->negative;
        one.style = ask->style;
        one.section = ask->section;
        one.min_words = ask->min_words;
        one.max_words = ask->max_words;
        one.decoy = ask->decoy;
    }
    return one;
}

/* The prompt of its call, which may ask for the sentences of several tasks. */
static enum nm_err render_call(const struct nm_recipe *recipe, const struct nm_msg_task *task, bool feedback,
                               struct nm_arena *arena, struct nm_prompt_text *out)
{
    size_t n = 1 + task->n_asks;
    if (n == 1)
        return nm_recipe_render(recipe, task, feedback, arena, out);
    struct nm_prompt_text *texts = nm_arena_alloc(arena, n * sizeof *texts);
    enum nm_err err = texts != NULL ? NM_OK : NM_ENOMEM;
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        const struct nm_msg_task one = nth_task(task, i);
        err = nm_recipe_render(recipe, &one, feedback, arena, &texts[i]);
    }
    return err == NM_OK ? nm_prompt_merge(texts, n, arena, out) : err;
}

static enum nm_err sentence_of(const struct nm_recipe *recipe, const struct nm_msg_task *task, struct nm_arena *arena,
                               struct nm_grammar_sentence *out)
{
    struct nm_grammar_term *terms = nm_arena_alloc(arena, (task->n_entities + 1) * sizeof *terms);
    bool marked = recipe->project->generation.mode == NM_MODE_MARKUP;
    size_t n = task->n_entities;
    if (terms == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < n; i++)
        terms[i] = (struct nm_grammar_term){task->entities[i].text.ptr, marked ? task->entities[i].type.ptr : NULL};
    if (task->decoy.len > 0)
        terms[n++] = (struct nm_grammar_term){task->decoy.ptr, NULL};
    *out = (struct nm_grammar_sentence){terms, n, task->min_words, task->max_words};
    return NM_OK;
}

/* The form of the answer asked for; NM_EINVAL: there is none. */
static enum nm_err form_of(const struct nm_recipe *recipe, const struct nm_msg_task *task,
                           enum nm_constraint constraint, struct nm_arena *arena, struct nm_buf *form)
{
    size_t n = 1 + task->n_asks;
    if (task->verify)
        return NM_EINVAL;
    struct nm_grammar_sentence *sentences = nm_arena_alloc(arena, n * sizeof *sentences);
    enum nm_err err = sentences != NULL ? NM_OK : NM_ENOMEM;
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        const struct nm_msg_task one = nth_task(task, i);
        err = sentence_of(recipe, &one, arena, &sentences[i]);
    }
    return err == NM_OK ? nm_constraint_form(constraint, sentences, n, form) : err;
}

static bool is(struct nm_str a, const char *text)
{
    return a.len == strlen(text) && memcmp(a.ptr, text, a.len) == 0;
}

/* What a server did is nothing to tell the model of. */
static bool is_about_text(struct nm_str rule)
{
    return !is(rule, NM_RULE_REQUEST_REFUSED) && !is(rule, NM_RULE_CONTEXT_OVERFLOW) &&
           !is(rule, NM_RULE_UNREADABLE) && !is(rule, NM_RULE_TOO_LARGE);
}

enum nm_err nm_recipe_ask(const struct nm_recipe *recipe, const struct nm_msg_task *task,
                          const struct nm_project_endpoint *endpoint, enum nm_constraint constraint,
                          struct nm_arena *arena, struct nm_recipe_call *call, struct nm_buf *body)
{
    struct nm_buf form;
    nm_buf_init(&form, 1U << 20);
    bool brief = call->brief || is(task->feedback_rule, NM_RULE_CONTEXT_OVERFLOW);
    enum nm_err err = render_call(recipe, task, !brief && is_about_text(task->feedback_rule), arena, &call->prompt);
    if (err == NM_OK && brief)
        err = nm_prompt_shorten(&call->prompt, arena);
    if (err == NM_OK)
        err = form_of(recipe, task, constraint, arena, &form);
    call->constraint = err == NM_OK ? constraint : NM_CONSTRAINT_NONE;
    if (err == NM_EINVAL) /* free, then */
        err = NM_OK;
    if (err == NM_OK) {
        call->seed = nm_mix64(task->seed + task->attempt) & 0x7fffffff;
        struct nm_chat_request request = {.model = endpoint->model,
                                          .messages = call->prompt.messages,
                                          .n_messages = call->prompt.n,
                                          .temperature = task->verify ? 0 : endpoint->temperature,
                                          .top_p = task->verify ? 1 : endpoint->top_p,
                                          .max_tokens = endpoint->max_tokens,
                                          .seed = call->seed,
                                          .constraint = call->constraint,
                                          .form = nm_buf_str(&form),
                                          .extra = endpoint->extra_body};
        err = nm_chat_write(&request, body);
    }
    nm_buf_clean_up(&form);
    return err;
}
