/* recipe_judge.c - from an answer to its verdict. */
#include <string.h>

#include "common/utf8.h"
#include "schemas/fingerprint.h"
#include "workers/generator/constraint.h"
#include "workers/generator/line.h"
#include "workers/generator/recipe_parts.h"
#include "workers/generator/verify.h"

size_t nm_recipe_type(const struct nm_recipe *recipe, const char *type)
{
    size_t i = 0;
    while (i < recipe->n_types && strcmp(recipe->names[i], type) != 0)
        i++;
    return i;
}

/* ---- a text -------------------------------------------------------------------------- */

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
        types[i] = nm_recipe_type(recipe, task->entities[i].type.ptr);
        if (types[i] == recipe->n_types)
            return NM_EFORMAT; /* a broker with another project */
    }
    const char **decoy = nm_arena_alloc(arena, sizeof *decoy);
    char *lower = nm_arena_strndup(arena, task->decoy.ptr, task->decoy.len);
    if (decoy == NULL || lower == NULL)
        return NM_ENOMEM;
    for (char *c = lower; *c != '\0'; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    *decoy = lower;
    const struct nm_project *project = recipe->project;
    *in = (struct nm_validate_input){.entities = texts,
                                     .count = task->n_entities,
                                     .types = recipe->names,
                                     .n_types = project->generation.mode == NM_MODE_MARKUP ? recipe->n_types : 0,
                                     .entity_types = types,
                                     .decoys = decoy,
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

/* Of all messages of the prompt, without the corrective part: that quotes what a good retry keeps. */
static enum nm_err prompt_wording(const struct nm_recipe *recipe, const struct nm_msg_task *task,
                                  struct nm_arena *arena, struct nm_wording *out)
{
    struct nm_prompt_text prompt;
    enum nm_err err = nm_recipe_render(recipe, task, false, arena, &prompt);
    struct nm_wording *parts = err == NM_OK ? nm_arena_alloc(arena, (prompt.n + 1) * sizeof *parts) : NULL;
    if (parts == NULL)
        return err != NM_OK ? err : NM_ENOMEM;
    for (size_t i = 0; err == NM_OK && i < prompt.n; i++) {
        const struct nm_prompt_message *message = &prompt.messages[i];
        if (message->passage != NULL)
            parts[i] = message->passage->wording;
        else
            err = nm_wording_of(message->text, strlen(message->text), arena, &parts[i]);
    }
    return err == NM_OK ? nm_wording_join(parts, prompt.n, arena, out) : err;
}

/* Of an answer for several tasks, this one's line; where that was cut off, only the last one was. */
static void take_line(const struct nm_msg_task *task, struct nm_validate_input *in)
{
    struct nm_line line;
    nm_line_find(in->raw, in->raw_len, task->line, task->lines, &line);
    in->missing = !line.there;
    in->raw = line.text;
    in->raw_len = line.len;
    if (line.there && !line.last)
        in->finish_reason = NULL;
}

static enum nm_err judge_text(const struct nm_recipe *recipe, const struct nm_msg_task *task,
                              const struct nm_chat_reply *reply, enum nm_constraint constraint, bool every,
                              struct nm_arena *arena, struct nm_recipe_verdict *verdict)
{
    struct nm_validate_input in = {.raw = ""};
    struct nm_verdict judged;
    struct nm_wording prompt;
    enum nm_err err = wanted(recipe, task, arena, &in);
    if (err == NM_OK)
        err = prompt_wording(recipe, task, arena, &prompt);
    if (err == NM_OK) {
        in.raw = reply->content != NULL ? reply->content : "";
        in.raw_len = reply->content != NULL ? reply->content_len : 0;
        in.finish_reason = reply->finish_reason;
        in.prompt = &prompt;
        in.every = every;
        err = nm_constraint_unwrap(constraint, task->line, task->lines, &in.raw, &in.raw_len, arena);
        in.malformed = err == NM_EFORMAT;
    }
    if (err == NM_OK && task->lines > 1 && constraint != NM_CONSTRAINT_RESPONSE_FORMAT)
        take_line(task, &in);
    if (err == NM_OK || in.malformed)
        err = nm_validate(&in, arena, &judged);
    if (err == NM_OK)
        err = take_verdict(recipe, &in, &judged, arena, verdict);
    return err;
}

/* ---- a second look ------------------------------------------------------------------- */

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
    if (response->line > 1) /* the first one's has them */
        return;
    response->tokens_in = reply->tokens_in;
    response->tokens_out = reply->tokens_out;
    if (response->reused) /* paid for when it was made */
        return;
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

static enum nm_err answer(const struct nm_recipe *recipe, const struct nm_msg_task *task, struct nm_arena *arena,
                          struct nm_msg_response *response, struct nm_diag *diag)
{
    struct nm_chat_reply reply;
    struct nm_recipe_verdict verdict;
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

enum nm_err nm_recipe_answer(const struct nm_recipe *recipe, const struct nm_msg_task *task, struct nm_arena *arena,
                             struct nm_msg_response *response, struct nm_diag *diag)
{
    response->entities = task->entities;
    response->n_entities = task->n_entities;
    response->verifies = task->verify;
    enum nm_err err = answer(recipe, task, arena, response, diag);
    if (response->line > 1) /* the first one's has it */
        response->body = (struct nm_str){0};
    return err;
}
