/* chat.h - the OpenAI-compatible chat call as bytes: the request body, the answer, and what a failure means. */
#ifndef NM_GENERATOR_CHAT_H
#define NM_GENERATOR_CHAT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"
#include "schemas/project.h"
#include "workers/generator/llm.h"
#include "workers/generator/prompt.h"

struct nm_chat_request {
    const char *model;
    const struct nm_prompt_message *messages; /* (n_messages) */
    size_t n_messages;
    double temperature, top_p;
    uint32_t max_tokens;
    uint64_t seed;                 /* sent modulo 2^31: servers take it as an int */
    enum nm_constraint constraint; /* AUTO, NONE: free */
    const char *form;              /* what constraint asks for: a grammar, or a regular expression */
};

/* nm_chat_write - append the JSON body.  NM_EFORMAT: a text is not UTF-8.  NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_chat_write(const struct nm_chat_request *request, struct nm_buf *out);

struct nm_chat_reply {
    const char *content; /* in the arena, NUL-terminated; NULL where the answer holds none */
    size_t content_len;
    const char *finish_reason, *model; /* "" where absent */
    uint64_t tokens_in, tokens_out;
};

/* nm_chat_read - the reply in a body of status 200.
 * NM_EFORMAT: not JSON, or not a chat completion, or no choices, or no content: diag says which.  A choice that a
 * content filter emptied is NM_OK with content NULL.  NM_ENOMEM. */
enum nm_err nm_chat_read(const char *body, size_t len, struct nm_arena *arena, struct nm_chat_reply *reply,
                         struct nm_diag *diag);

/* nm_chat_lists_model - true if a body of the models list names this model. */
bool nm_chat_lists_model(const char *body, size_t len, const char *model);

/* What to do about a call that brought no reply. */
struct nm_chat_fault {
    const char *kind; /* of the FAILURE message: connect, timeout, cut, http, garbage, quota, shutdown; static */
    bool fatal;       /* this endpoint is of no use until a person changes something */
    bool loading;     /* 503: up, but its model is not there yet */
    int64_t retry_after_ms;         /* -1: the back-off decides */
    uint64_t tokens_in, tokens_out; /* that it used all the same, where the server counts */
    char detail[640];               /* one line for a person: what, where, what to do */
};

/* nm_chat_judge - true if the outcome is an answer to be read (status 200); otherwise *fault is filled in.
 * model and api_key_env (may be NULL) are named in the advice. */
bool nm_chat_judge(const struct nm_llm_outcome *outcome, const char *endpoint, const char *model,
                   const char *api_key_env, struct nm_chat_fault *fault);

/* nm_chat_garbage - the fault for a 200 that nm_chat_read refused with the given words. */
void nm_chat_garbage(const char *endpoint, const char *why, struct nm_chat_fault *fault);

#endif
