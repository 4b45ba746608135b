/* chat.h - the OpenAI-compatible chat call as bytes: the request (chat.c), the answer (reply.c), and what a failure
 * means (fault.c). */
#ifndef NM_GENERATOR_CHAT_H
#define NM_GENERATOR_CHAT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"
#include "schemas/project.h"
#include "workers/generator/breaker.h"
#include "workers/generator/llm.h"
#include "workers/generator/prompt.h"

/* The member of a constrained answer that holds the sentence; of several, with "_1" and so on behind it. */
#define NM_CHAT_MEMBER "sentence"

struct nm_chat_request {
    const char *model;
    const struct nm_prompt_message *messages; /* (n_messages) */
    size_t n_messages;
    double temperature, top_p;
    uint32_t max_tokens;
    uint64_t seed;                 /* sent modulo 2^31: servers take it as an int */
    enum nm_constraint constraint; /* AUTO, NONE: free */
    const char *form;              /* what constraint asks for: a grammar, or a regular expression; for
                                      response_format one in each line, of as many members */
    const char *extra;             /* a JSON object merged into the request (RFC 7386); NULL: none */
};

/* nm_chat_write - append the JSON body.  NM_EFORMAT: a text is not UTF-8, or extra is no object.  NM_ENOMEM,
 * NM_ELIMIT. */
enum nm_err nm_chat_write(const struct nm_chat_request *request, struct nm_buf *out);

struct nm_chat_reply {
    const char *content; /* in the arena, NUL-terminated; NULL where the answer holds none */
    size_t content_len;
    const char *finish_reason, *model; /* "" where absent */
    const char *refusal;               /* what the model said in place of content; NULL: it did not refuse */
    uint64_t tokens_in, tokens_out;
};

/* nm_chat_read - the reply in a body of status 200: a chat completion, its content a string or an array of parts, or
 * a stream of events that was not asked for.  What it says of model and tokens is filled in where it can be read,
 * whatever is returned.
 * NM_EFORMAT: none of these, or without choices or text: diag says which.  NM_ESTATE: an error object, as some
 * gateways send with status 200.  A choice that a content filter or the token limit emptied is NM_OK with content
 * NULL, and so is a refusal.  NM_ENOMEM. */
enum nm_err nm_chat_read(const char *body, size_t len, struct nm_arena *arena, struct nm_chat_reply *reply,
                         struct nm_diag *diag);

/* nm_chat_lists_model - true if a body of the models list names this model. */
bool nm_chat_lists_model(const char *body, size_t len, const char *model);

/* What to do about a call that brought no reply. */
struct nm_chat_fault {
    const char *kind; /* of the FAILURE message: connect, timeout, cut, http, garbage, quota, shutdown; static */
    bool fatal;       /* this endpoint is of no use until a person changes something */
    long status;      /* HTTP; 0: none came */
    const char *rule; /* this one request is not taken, or its answer can't be kept: as an answer that breaks
                         this rule, from an endpoint that serves others; NULL: it is worth asking again */
    bool came;        /* with rule: a whole answer of status 200 came, paid for */
    enum nm_breaker_why why;        /* what it means for the endpoint, if not fatal */
    int64_t retry_after_ms;         /* -1: the back-off decides */
    uint64_t tokens_in, tokens_out; /* that it used all the same, where the server counts */
    char detail[640];               /* one line for a person: what, where, what to do */
};

/* The rules of answers without a text to judge. */
#define NM_RULE_REQUEST_REFUSED "request_refused"
#define NM_RULE_CONTEXT_OVERFLOW "context_overflow"
#define NM_RULE_UNREADABLE "unreadable"
#define NM_RULE_TOO_LARGE "too_large"

/* nm_chat_judge - true if the outcome is an answer to be read (status 200); otherwise *fault is filled in.  endpoint:
 * its name for people; config: what the advice names. */
bool nm_chat_judge(const struct nm_llm_outcome *outcome, const char *endpoint,
                   const struct nm_project_endpoint *config, struct nm_chat_fault *fault);

/* nm_chat_judge_error - the fault for a 200 that nm_chat_read found to be an error object. */
void nm_chat_judge_error(const char *body, size_t len, const char *endpoint, const struct nm_project_endpoint *config,
                         struct nm_chat_fault *fault);

/* nm_chat_garbage - the fault for a 200 that nm_chat_read refused with the given words. */
void nm_chat_garbage(const char *endpoint, const char *why, struct nm_chat_fault *fault);

#endif
