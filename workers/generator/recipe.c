#include "workers/generator/recipe.h"

#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/utf8.h"
#include "schemas/fingerprint.h"
#include "workers/generator/constraint.h"
#include "workers/generator/verify.h"

enum { QUOTE_MAX = 200 }; /* bytes of a fault that are worth quoting */

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

static size_t type_index(const struct nm_recipe *recipe, const char *type)
{
    size_t i = 0;
    while (i < recipe->n_types && strcmp(recipe->names[i], type) != 0)
        i++;
    return i;
}

/* ---- what it is made of ---------------------------------------------------------------------- */

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
        if (type_index(r, list->type) < r->n_types)
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

/* ---- asking ---------------------------------------------------------------------------------- */

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

static enum nm_err render(const struct nm_recipe *recipe, const struct nm_msg_task *task, bool feedback,
                          struct nm_arena *arena, struct nm_prompt_text *out)
{
    const struct nm_project_generation *g = &recipe->project->generation;
    struct nm_prompt_pair *pairs = nm_arena_alloc(arena, (task->n_entities + 1) * sizeof *pairs);
    if (pairs == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < task->n_entities; i++)
        pairs[i] = (struct nm_prompt_pair){task->entities[i].text.ptr, task->entities[i].type.ptr};
    struct nm_prompt_vars vars = {.entities = pairs,
                                  .n_entities = task->n_entities,
                                  .types = recipe->types,
                                  .n_types = recipe->n_types,
                                  .negative = task->negative,
                                  .domain = g->domain,
                                  .guidelines = g->guidelines,
                                  .style = task->style.ptr,
                                  .section = task->section.ptr,
                                  .decoy = task->decoy.ptr,
                                  .markup = g->mode == NM_MODE_MARKUP,
                                  .text = task->verify ? task->feedback_text.ptr : NULL,
                                  .min_words = task->min_words,
                                  .max_words = task->max_words};
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

/* The form of the sentence asked for; NM_EINVAL: there is none. */
static enum nm_err form_of(const struct nm_recipe *recipe, const struct nm_msg_task *task,
                           enum nm_constraint constraint, struct nm_arena *arena, struct nm_buf *form)
{
    struct nm_grammar_term *terms = nm_arena_alloc(arena, (task->n_entities + 1) * sizeof *terms);
    bool marked = recipe->project->generation.mode == NM_MODE_MARKUP;
    size_t n = task->n_entities;
    if (terms == NULL)
        return NM_ENOMEM;
    if (task->verify)
        return NM_EINVAL;
    for (size_t i = 0; i < n; i++)
        terms[i] = (struct nm_grammar_term){task->entities[i].text.ptr, marked ? task->entities[i].type.ptr : NULL};
    if (n == 0 && task->decoy.len > 0)
        terms[n++] = (struct nm_grammar_term){task->decoy.ptr, NULL};
    return nm_constraint_form(constraint, terms, n, task->min_words, task->max_words, form);
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

/* ---- judging a text -------------------------------------------------------------------------- */

/* What was asked for, as validation wants it. */
static enum nm_err wanted(const struct nm_recipe *recipe, const struct nm_msg_task *task, struct nm_arena *arena,
                          struct nm_validate_input *in)
{
    const char **texts = nm_arena_alloc(arena, (task->n_entities + 1) * sizeof *texts);
    size_t *types = nm_arena_alloc(arena, (task->n_entities + 1) * sizeof *types);
    if (texts == NULL || types == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < task->n_entities; i++) {
        texts[i] = task->entities[i].text.ptr;
        types[i] = type_index(recipe, task->entities[i].type.ptr);
        if (types[i] == recipe->n_types)
            return NM_EFORMAT; /* a broker with another project */
    }
    const struct nm_project *project = recipe->project;
    *in = (struct nm_validate_input){.entities = texts,
                                     .count = task->n_entities,
                                     .types = recipe->names,
                                     .n_types = project->generation.mode == NM_MODE_MARKUP ? recipe->n_types : 0,
                                     .entity_types = types,
                                     .decoys = &task->decoy.ptr,
                                     .n_decoys = task->decoy.len > 0,
                                     .min_words = project->generation.words.min,
                                     .max_words = project->generation.words.max,
                                     .limits = &project->validation,
                                     .leakage = &recipe->leakage};
    return NM_OK;
}

static size_t characters(const struct nm_str text, size_t bytes)
{
    return nm_utf8_length(text.ptr, bytes < text.len ? bytes : text.len);
}

/* The marks, or else the places of what was asked for. */
static enum nm_err spans_of(const struct nm_verdict *from, const size_t *entity_types, struct nm_arena *arena,
                            struct nm_recipe_verdict *out)
{
    size_t n = out->marked ? from->n_marks : from->n_places;
    out->spans = nm_arena_alloc(arena, (n + 1) * sizeof *out->spans);
    if (out->spans == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        size_t start = out->marked ? from->marks[i].start : from->places[i].start;
        size_t end = out->marked ? from->marks[i].end : start + from->places[i].len;
        size_t type = out->marked ? from->marks[i].type : entity_types[from->places[i].entity];
        struct nm_msg_span span = {
            .start = characters(out->text, start), .end = characters(out->text, end), .type = type};
        size_t k = out->n_spans++;
        for (; k > 0 && out->spans[k - 1].start > span.start; k--) /* places stand longest first */
            out->spans[k] = out->spans[k - 1];
        out->spans[k] = span;
    }
    return NM_OK;
}

static enum nm_err take_verdict(const struct nm_recipe *recipe, const struct nm_validate_input *in,
                                const struct nm_verdict *from, struct nm_arena *arena, struct nm_recipe_verdict *out)
{
    bool verify = recipe->project->verification.mode != NM_VERIFY_OFF;
    *out =
        (struct nm_recipe_verdict){.accepted = from->accepted && !verify,
                                   .rule = from->accepted ? (verify ? NM_UNVERIFIED : "") : nm_rule_name(from->rule),
                                   .detail = nm_arena_strndup(arena, from->detail, strlen(from->detail)),
                                   .text = {from->text, from->text_len},
                                   .marked = from->accepted && in->n_types > 0,
                                   .failed = from->failed};
    if (from->rule != NM_RULE_UTF8) { /* that one is about the raw bytes */
        out->fault_start = characters(out->text, from->span_start);
        out->fault_end = characters(out->text, from->span_start + from->span_len);
    }
    return out->detail != NULL ? spans_of(from, in->entity_types, arena, out) : NM_ENOMEM;
}

/* All messages of the prompt, without the corrective part: that quotes what a good retry keeps. */
static enum nm_err prompt_text(const struct nm_recipe *recipe, const struct nm_msg_task *task, struct nm_arena *arena,
                               struct nm_buf *out)
{
    struct nm_prompt_text prompt;
    enum nm_err err = render(recipe, task, false, arena, &prompt);
    for (size_t i = 0; err == NM_OK && i < prompt.n; i++) {
        err = nm_buf_adds(out, prompt.messages[i].text);
        if (err == NM_OK)
            err = nm_buf_adds(out, "\n\n");
    }
    return err;
}

static enum nm_err judge_text(const struct nm_recipe *recipe, const struct nm_msg_task *task,
                              const struct nm_chat_reply *reply, enum nm_constraint constraint, bool every,
                              struct nm_arena *arena, struct nm_recipe_verdict *verdict)
{
    struct nm_validate_input in = {.raw = ""};
    struct nm_verdict judged;
    struct nm_buf prompt;
    nm_buf_init(&prompt, 4 * NM_PROMPT_MAX_BYTES);
    enum nm_err err = wanted(recipe, task, arena, &in);
    if (err == NM_OK)
        err = prompt_text(recipe, task, arena, &prompt);
    if (err == NM_OK) {
        in.raw = reply->content != NULL ? reply->content : "";
        in.raw_len = reply->content != NULL ? reply->content_len : 0;
        in.finish_reason = reply->finish_reason;
        in.prompt = nm_buf_str(&prompt);
        in.every = every;
        err = nm_constraint_unwrap(constraint, &in.raw, &in.raw_len, arena);
        in.malformed = err == NM_EFORMAT;
    }
    if (err == NM_OK || in.malformed)
        err = nm_validate(&in, arena, &judged);
    if (err == NM_OK)
        err = take_verdict(recipe, &in, &judged, arena, verdict);
    nm_buf_clean_up(&prompt);
    return err;
}

/* ---- judging a second look ------------------------------------------------------------------- */

static enum nm_err judge_look(const struct nm_recipe *recipe, const struct nm_msg_task *task,
                              const struct nm_chat_reply *reply, struct nm_arena *arena,
                              struct nm_recipe_verdict *verdict)
{
    struct nm_verify_result result;
    struct nm_verify_input in = {.types = recipe->names,
                                 .n_types = recipe->n_types,
                                 .lists = recipe->lists,
                                 .text = task->feedback_text,
                                 .first = task->mentions,
                                 .n_first = task->n_mentions,
                                 .answer = {reply->content != NULL ? reply->content : "", reply->content_len}};
    enum nm_err err = nm_verify(&in, arena, &result);
    if (err != NM_OK)
        return err;
    if (strcmp(reply->finish_reason, "length") == 0) /* what would have come is not known */
        result.readable = false;
    bool unsure = result.unsure_end > result.unsure_start;
    bool dropped = unsure && recipe->project->verification.mode == NM_VERIFY_DROP;
    *verdict = (struct nm_recipe_verdict){.accepted = result.readable && !dropped,
                                          .rule = "",
                                          .detail = "",
                                          .text = task->feedback_text,
                                          .spans = result.spans,
                                          .n_spans = result.n,
                                          .marked = true};
    if (!result.readable) {
        verdict->rule = "verification";
        verdict->detail = "the second look gave no list of entities";
    } else if (dropped) {
        size_t start = nm_utf8_offset(in.text.ptr, in.text.len, result.unsure_start);
        size_t end = nm_utf8_offset(in.text.ptr, in.text.len, result.unsure_end);
        verdict->rule = "disagreement";
        verdict->detail = nm_arena_sprintf(arena, "only one of two readers takes \"%.*s\" for what it is",
                                           (int)(end - start < 150 ? end - start : 150), in.text.ptr + start);
        verdict->fault_start = result.unsure_start;
        verdict->fault_end = result.unsure_end;
    }
    return verdict->detail != NULL ? NM_OK : NM_ENOMEM;
}

enum nm_err nm_recipe_judge(const struct nm_recipe *recipe, const struct nm_msg_task *task,
                            const struct nm_chat_reply *reply, enum nm_constraint constraint, bool every,
                            struct nm_arena *arena, struct nm_recipe_verdict *verdict)
{
    return task->verify ? judge_look(recipe, task, reply, arena, verdict)
                        : judge_text(recipe, task, reply, constraint, every, arena, verdict);
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

/* What the broker searches duplicates of an accepted text by. */
static enum nm_err add_fingerprint(struct nm_msg_response *response, struct nm_arena *arena)
{
    struct nm_fingerprint print;
    struct nm_buf bytes;
    const struct nm_fingerprint_text text = {response->text, response->entities, response->n_entities,
                                             response->mentions, response->n_mentions};
    enum nm_err err = nm_fingerprint_make(&text, arena, &print);
    nm_buf_init(&bytes, NM_FINGERPRINT_MAX);
    if (err == NM_OK)
        err = nm_fingerprint_encode(&print, &bytes);
    if (err == NM_OK)
        response->fingerprint = (struct nm_str){nm_arena_strndup(arena, bytes.data, bytes.len), bytes.len};
    nm_buf_clean_up(&bytes);
    return err == NM_OK && response->fingerprint.ptr == NULL ? NM_ENOMEM : err;
}

enum nm_err nm_recipe_answer(const struct nm_recipe *recipe, const struct nm_msg_task *task, struct nm_arena *arena,
                             struct nm_msg_response *response, struct nm_diag *diag)
{
    struct nm_chat_reply reply;
    struct nm_recipe_verdict verdict;
    response->entities = task->entities;
    response->n_entities = task->n_entities;
    response->verifies = task->verify;
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
    enum nm_constraint constraint = nm_constraint_named(response->constraint.ptr);
    err = nm_recipe_judge(recipe, task, &reply, constraint, false, arena, &verdict);
    if (err != NM_OK)
        return nm_fail(diag, err == NM_EFORMAT ? NM_EINVAL : err, "task %llu: cannot be validated: %s",
                       (unsigned long long)task->task, nm_err_name(err));
    response->accepted = verdict.accepted;
    response->text = verdict.text;
    response->rule = nm_str(verdict.rule);
    response->detail = nm_str(verdict.detail);
    response->span_start = verdict.fault_start;
    response->span_end = verdict.fault_end;
    response->marked = verdict.marked;
    if (verdict.marked || strcmp(verdict.rule, NM_UNVERIFIED) == 0) {
        response->mentions = verdict.spans;
        response->n_mentions = verdict.n_spans;
    }
    return verdict.accepted ? add_fingerprint(response, arena) : NM_OK;
}
