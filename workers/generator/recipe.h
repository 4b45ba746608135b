/* recipe.h - from a task to a request body, and from an answer to a verdict: what worker and preview share. */
#ifndef NM_GENERATOR_RECIPE_H
#define NM_GENERATOR_RECIPE_H

#include "schemas/messages.h"
#include "schemas/project.h"
#include "workers/generator/chat.h"
#include "workers/generator/prompt.h"
#include "workers/generator/validate.h"

struct nm_recipe;

/* nm_recipe_new - project is borrowed and must outlive it; the prompt is taken over, whatever is returned.
 * NM_ENOMEM. */
enum nm_err nm_recipe_new(const struct nm_project *project, struct nm_prompt *prompt, struct nm_recipe **recipe,
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

/* nm_recipe_judge - the verdict on a reply to this task, asked for with this constraint.  Errors as nm_validate. */
enum nm_err nm_recipe_judge(const struct nm_recipe *recipe, const struct nm_msg_task *task,
                            const struct nm_chat_reply *reply, enum nm_constraint constraint, struct nm_arena *arena,
                            struct nm_verdict *verdict);

/* nm_recipe_answer - fill in what the raw answer in response->body says: accepted, text, rule, detail, model, tokens.
 * What has a rule already stays as it is; a body that is no chat completion is a rejection by the rule "unreadable".
 * Everything added lives in arena.  NM_ESTATE: it is an error object that came with status 200. */
enum nm_err nm_recipe_answer(const struct nm_recipe *recipe, const struct nm_msg_task *task, struct nm_arena *arena,
                             struct nm_msg_response *response, struct nm_diag *diag);

#endif
