#include "workers/generator/recipe.h"

#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "workers/generator/constraint.h"

/* A text may have one sentence more than was asked for: two good ones are as good for training. */
enum { MAX_SENTENCES = 2 };

struct nm_recipe {
    const struct nm_project *project;
    struct nm_prompt *prompt;
    struct nm_prompt_pair *types; /* (n_lists) */
};

enum nm_err nm_recipe_new(const struct nm_project *project, struct nm_prompt *prompt, struct nm_recipe **recipe,
                          struct nm_diag *diag)
{
    *recipe = NULL;
    struct nm_recipe *made = calloc(1, sizeof *made);
    struct nm_prompt_pair *types = calloc(project->n_lists + 1, sizeof *types);
    if (made == NULL || types == NULL) {
        free(made);
        free(types);
        nm_prompt_destroy(&prompt);
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < project->n_lists; i++)
        types[i] = (struct nm_prompt_pair){project->lists[i].type, project->lists[i].definition};
    *made = (struct nm_recipe){.project = project, .prompt = prompt, .types = types};
    *recipe = made;
    return NM_OK;
}

void nm_recipe_destroy(struct nm_recipe **recipe)
{
    if (*recipe == NULL)
        return;
    nm_prompt_destroy(&(*recipe)->prompt);
    free((*recipe)->types);
    free(*recipe);
    *recipe = NULL;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static enum nm_err render(const struct nm_recipe *recipe, const struct nm_msg_task *task, bool feedback,
                          struct nm_arena *arena, struct nm_prompt_text *out)
{
    struct nm_prompt_pair *pairs = nm_arena_alloc(arena, (task->n_entities + 1) * sizeof *pairs);
    if (pairs == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < task->n_entities; i++)
        pairs[i] = (struct nm_prompt_pair){task->entities[i].text.ptr, task->entities[i].type.ptr};
    struct nm_prompt_vars vars = {.entities = pairs,
                                  .n_entities = task->n_entities,
                                  .types = recipe->types,
                                  .n_types = recipe->project->n_lists,
                                  .negative = task->negative,
                                  .domain = recipe->project->generation.domain,
                                  .style = task->style.ptr,
                                  .section = task->section.ptr,
                                  .min_words = task->min_words,
                                  .max_words = task->max_words};
    if (feedback) {
        vars.rule = task->feedback_rule.ptr;
        vars.detail = task->feedback_detail.ptr;
        vars.previous = task->feedback_text.ptr;
    }
    return nm_prompt_render(recipe->prompt, &vars, arena, out);
}

static enum nm_err texts_of(const struct nm_msg_task *task, struct nm_arena *arena, const char *const **out)
{
    const char **texts = nm_arena_alloc(arena, (task->n_entities + 1) * sizeof *texts);
    if (texts == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < task->n_entities; i++)
        texts[i] = task->entities[i].text.ptr;
    *out = texts;
    return NM_OK;
}

static enum nm_err form_of(const struct nm_msg_task *task, enum nm_constraint constraint, struct nm_arena *arena,
                           struct nm_buf *form)
{
    struct nm_grammar_term *terms = nm_arena_alloc(arena, (task->n_entities + 1) * sizeof *terms);
    if (terms == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < task->n_entities; i++)
        terms[i] = (struct nm_grammar_term){.text = task->entities[i].text.ptr};
    return nm_constraint_form(constraint, terms, task->n_entities, task->min_words, task->max_words, form);
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
    enum nm_err err = render(recipe, task, !brief && is_about_text(task->feedback_rule), arena, &call->prompt);
    if (err == NM_OK && brief)
        err = nm_prompt_shorten(&call->prompt, arena);
    if (err == NM_OK)
        err = form_of(task, constraint, arena, &form);
    call->constraint = err == NM_OK ? constraint : NM_CONSTRAINT_NONE;
    if (err == NM_EINVAL) /* free, then */
        err = NM_OK;
    if (err == NM_OK) {
        call->seed = nm_mix64(task->seed + task->attempt) & 0x7fffffff;
        struct nm_chat_request request = {.model = endpoint->model,
                                          .messages = call->prompt.messages,
                                          .n_messages = call->prompt.n,
                                          .temperature = endpoint->temperature,
                                          .top_p = endpoint->top_p,
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

/* ---- judging --------------------------------------------------------------------------------- */

enum nm_err nm_recipe_judge(const struct nm_recipe *recipe, const struct nm_msg_task *task,
                            const struct nm_chat_reply *reply, enum nm_constraint constraint, struct nm_arena *arena,
                            struct nm_verdict *verdict)
{
    const char *raw = reply->content != NULL ? reply->content : "";
    size_t raw_len = reply->content != NULL ? reply->content_len : 0;
    struct nm_prompt_text prompt; /* without the corrective part: that quotes what a good retry keeps */
    const struct nm_range *words = &recipe->project->generation.words;
    struct nm_validate_input in = {.count = task->n_entities,
                                   .min_words = words->min,
                                   .max_words = words->max,
                                   .max_sentences = MAX_SENTENCES,
                                   .finish_reason = reply->finish_reason};
    enum nm_err err = render(recipe, task, false, arena, &prompt);
    if (err == NM_OK)
        err = texts_of(task, arena, &in.entities);
    struct nm_buf all; /* the examples too: they are not to be repeated either */
    nm_buf_init(&all, 4 * NM_PROMPT_MAX_BYTES);
    for (size_t i = 0; err == NM_OK && i < prompt.n; i++)
        err = nm_buf_addf(&all, "%s\n\n", prompt.messages[i].text);
    if (err == NM_OK) {
        err = nm_constraint_unwrap(constraint, &raw, &raw_len, arena);
        in.malformed = err == NM_EFORMAT;
        err = err == NM_EFORMAT ? NM_OK : err;
    }
    if (err == NM_OK) {
        in.raw = raw;
        in.raw_len = raw_len;
        in.prompt = nm_buf_str(&all);
        err = nm_validate(&in, arena, verdict);
    }
    nm_buf_clean_up(&all);
    return err;
}

/* What the answer says of itself, whatever its text is worth. */
static void take_head(const struct nm_recipe *recipe, const struct nm_chat_reply *reply,
                      struct nm_msg_response *response)
{
    if (reply->model[0] != '\0' && strlen(reply->model) <= NM_NAME_MAX)
        response->model = nm_str(reply->model);
    if (response->reused) /* paid for when it was made */
        return;
    response->tokens_in = reply->tokens_in;
    response->tokens_out = reply->tokens_out;
    for (uint32_t i = 0; i < recipe->project->n_endpoints; i++)
        if (strcmp(recipe->project->endpoints[i].name, response->endpoint.ptr) == 0)
            response->cost_micros =
                nm_project_cost_micros(&recipe->project->endpoints[i], reply->tokens_in, reply->tokens_out);
}

static enum nm_err reject(struct nm_msg_response *response, const char *rule, const char *detail,
                          struct nm_arena *arena)
{
    response->rule = nm_str(rule);
    response->detail = nm_str(nm_arena_strndup(arena, detail, strlen(detail)));
    return response->detail.ptr != NULL ? NM_OK : NM_ENOMEM;
}

enum nm_err nm_recipe_answer(const struct nm_recipe *recipe, const struct nm_msg_task *task, struct nm_arena *arena,
                             struct nm_msg_response *response, struct nm_diag *diag)
{
    struct nm_chat_reply reply;
    struct nm_verdict verdict;
    response->entities = task->entities;
    response->n_entities = task->n_entities;
    if (response->rule.len > 0)
        return NM_OK;
    if (response->status != 200)
        return reject(response, NM_RULE_REQUEST_REFUSED, "the endpoint refused the request", arena);
    enum nm_err err = nm_chat_read(response->body.ptr, response->body.len, arena, &reply, diag);
    take_head(recipe, &reply, response);
    if (err == NM_EFORMAT)
        return reject(response, NM_RULE_UNREADABLE, diag->text, arena);
    if (err != NM_OK)
        return err;
    if (reply.content_len > NM_TEXT_MAX / 4) /* what cleaning makes of it still fits a message */
        return reject(response, NM_RULE_TOO_LARGE, "the text is over 256 KiB", arena);
    if (reply.refusal != NULL)
        return reject(response, nm_rule_name(NM_RULE_REFUSAL), "the model refused to write it", arena);
    err = nm_recipe_judge(recipe, task, &reply, nm_constraint_named(response->constraint.ptr), arena, &verdict);
    if (err != NM_OK)
        return nm_fail(diag, err == NM_EFORMAT ? NM_EINVAL : err, "task %llu: cannot be validated: %s",
                       (unsigned long long)task->task, nm_err_name(err));
    response->accepted = verdict.accepted;
    response->text = (struct nm_str){verdict.text, verdict.text_len};
    if (!verdict.accepted) {
        response->rule = nm_str(nm_rule_name(verdict.rule));
        response->detail = nm_str(nm_arena_strndup(arena, verdict.detail, strlen(verdict.detail)));
    }
    return NM_OK;
}
