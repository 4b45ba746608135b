/* recipe.h - from a task to a request body, and from an answer to a verdict: what worker and preview share. */
#ifndef NM_GENERATOR_RECIPE_H
#define NM_GENERATOR_RECIPE_H

#include "schemas/messages.h"
#include "schemas/project.h"
#include "workers/generator/chat.h"
#include "workers/generator/exemplars.h"
#include "workers/generator/prompt.h"
#include "workers/generator/validate.h"

struct nm_recipe;

/* Appends to out what a recipe is made of: "template", "exemplars" (files of the project), "entities" (its lists as
 * a blob) or "leakage" (its test sentences, see leakage.h).  An error, with its words in diag, ends the making. */
typedef enum nm_err (*nm_recipe_read)(void *ctx, const char *what, struct nm_buf *out, struct nm_diag *diag);

/* nm_recipe_new - reads what this project needs; the project is borrowed and must outlive the recipe.  NM_ENOMEM,
 * NM_EFORMAT, and the errors of read. */
enum nm_err nm_recipe_new(const struct nm_project *project, nm_recipe_read read, void *ctx, struct nm_recipe **recipe,
                          struct nm_diag *diag);
void nm_recipe_destroy(struct nm_recipe **recipe);

/* What is sent for a task. */
struct nm_recipe_call {
    struct nm_prompt_text prompt;
    bool brief; /* in: without examples and corrective part, for an endpoint of little context */
    uint64_t seed;
    enum nm_constraint constraint; /* that was sent: NONE where the endpoint honours none, or it can't spell a term */
};

/* nm_recipe_ask - append the request body for this task; the rest of what is to be remembered goes to *call.
 * NM_ENOMEM, NM_ELIMIT, NM_EFORMAT. */
enum nm_err nm_recipe_ask(const struct nm_recipe *recipe, const struct nm_msg_task *task,
                          const struct nm_project_endpoint *endpoint, enum nm_constraint constraint,
                          struct nm_arena *arena, struct nm_recipe_call *call, struct nm_buf *body);

struct nm_recipe_verdict {
    bool accepted;
    const char *rule, *detail; /* "" where it is accepted; NM_UNVERIFIED: it passed, and wants a second look */
    struct nm_str text;
    struct nm_msg_span *spans; /* (n_spans): requested, marked, or what two looks say */
    size_t n_spans;
    bool marked;
    size_t fault_start, fault_end; /* characters of text that the rule is about; equal: none */
    uint64_t failed; /* nm_rule_bit of each rule that failed; of all of them where every was asked for */
};

/* nm_recipe_judge - the verdict on a reply to this task, asked for with this constraint; every: look on after the
 * first rule that fails.  Everything lives in arena.  Errors as nm_validate. */
enum nm_err nm_recipe_judge(const struct nm_recipe *recipe, const struct nm_msg_task *task,
                            const struct nm_chat_reply *reply, enum nm_constraint constraint, bool every,
                            struct nm_arena *arena, struct nm_recipe_verdict *verdict);

/* nm_recipe_answer - fill in what the raw answer in response->body says: accepted, text, rule, detail,
 * mentions, model, tokens, and the fingerprint of what is accepted.
 * What has a rule already stays as it is; a body that is no chat completion is a rejection by the rule "unreadable".
 * Everything added lives in arena.  NM_ESTATE: it is an error object that came with status 200. */
enum nm_err nm_recipe_answer(const struct nm_recipe *recipe, const struct nm_msg_task *task, struct nm_arena *arena,
                             struct nm_msg_response *response, struct nm_diag *diag);

#endif
