#include "workers/generator/constraint.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "common/log.h"
#include "workers/generator/chat.h"

static const char canary_word[] = "zyzzyva";

static enum nm_syntax syntax_of(enum nm_constraint kind)
{
    return kind == NM_CONSTRAINT_GRAMMAR ? NM_SYNTAX_GBNF : NM_SYNTAX_REGEX;
}

/* Anchored, as a schema's pattern may match anywhere; each in a string of its own, so that no line end is in any. */
static enum nm_err add_patterns(const struct nm_grammar_sentence *sentences, size_t n, struct nm_buf *out)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        err = nm_buf_adds(out, i > 0 ? "\n^" : "^");
        if (err == NM_OK)
            err = nm_grammar_sentences(NM_SYNTAX_REGEX, &sentences[i], 1, out);
        if (err == NM_OK)
            err = nm_buf_addc(out, '$');
    }
    return err;
}

enum nm_err nm_constraint_form(enum nm_constraint kind, const struct nm_grammar_sentence *sentences, size_t n,
                               struct nm_buf *out)
{
    if (kind == NM_CONSTRAINT_NONE || kind == NM_CONSTRAINT_AUTO)
        return NM_EINVAL;
    if (kind != NM_CONSTRAINT_RESPONSE_FORMAT)
        return nm_grammar_sentences(syntax_of(kind), sentences, n, out);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sentences[i].count; k++)
            if (strpbrk(sentences[i].terms[k].text, "\"\\") != NULL)
                return NM_EINVAL; /* servers disagree on how a pattern meets JSON's own escapes */
    return add_patterns(sentences, n, out);
}

enum nm_err nm_constraint_unwrap(enum nm_constraint kind, uint64_t line, uint64_t lines, const char **text,
                                 size_t *len, struct nm_arena *arena)
{
    char member[32] = NM_CHAT_MEMBER;
    if (kind != NM_CONSTRAINT_RESPONSE_FORMAT)
        return NM_OK;
    if (lines > 1)
        (void)snprintf(member, sizeof member, NM_CHAT_MEMBER "_%llu", (unsigned long long)line);
    json_t *root = json_loadb(*text, *len, JSON_ALLOW_NUL, NULL);
    const json_t *sentence = json_object_get(root, member);
    enum nm_err err = NM_EFORMAT;
    if (json_is_string(sentence)) {
        *len = json_string_length(sentence);
        *text = nm_arena_strndup(arena, json_string_value(sentence), *len);
        err = *text != NULL ? NM_OK : NM_ENOMEM;
    }
    json_decref(root);
    return err;
}

enum nm_constraint nm_constraint_due(const struct nm_project *project, const struct nm_endpoint *endpoint,
                                     bool last_try)
{
    enum nm_constrain when = project->generation.constrain;
    bool due = when == NM_CONSTRAIN_ALWAYS || (when == NM_CONSTRAIN_LAST && last_try);
    return due ? endpoint->honours : NM_CONSTRAINT_NONE;
}

/* ---- the canary ------------------------------------------------------------------------------ */

enum nm_err nm_canary_body(const struct nm_endpoint *endpoint, struct nm_buf *out)
{
    static const struct nm_prompt_message hello = {.role = NM_PROMPT_USER, .text = "Say hello."};
    struct nm_buf form;
    nm_buf_init(&form, 256);
    enum nm_err err = nm_grammar_word(syntax_of(endpoint->trying), canary_word, &form);
    struct nm_chat_request request = {.model = endpoint->config->model,
                                      .messages = &hello,
                                      .n_messages = 1,
                                      .temperature = 0,
                                      .top_p = 1,
                                      .max_tokens = 32, /* a JSON object around the word, with its white space */
                                      .constraint = endpoint->trying,
                                      .form = nm_buf_str(&form),
                                      .extra = endpoint->config->extra_body};
    if (err == NM_OK)
        err = nm_chat_write(&request, out);
    nm_buf_clean_up(&form);
    return err;
}

static void decide(struct nm_endpoint *endpoint, bool honoured)
{
    const char *shown = nm_llm_target_shown(endpoint->target), *name = nm_constraint_name(endpoint->trying);
    nm_info("endpoint %s %s %s", shown, honoured ? "honours" : "does not honour", name);
    if (honoured)
        endpoint->honours = endpoint->trying;
    else
        endpoint->trying++;
    bool over = honoured || endpoint->trying == NM_CONSTRAINT_NONE;
    endpoint->canary = over ? NM_CANARY_DONE : NM_CANARY_DUE;
    if (over && !honoured)
        nm_info("endpoint %s honours no constraint: validation alone decides", shown);
}

void nm_canary_refused(struct nm_endpoint *endpoint)
{
    decide(endpoint, false);
}

enum nm_err nm_canary_read(struct nm_endpoint *endpoint, const char *body, size_t len, struct nm_diag *diag)
{
    struct nm_arena arena;
    struct nm_chat_reply reply;
    nm_arena_init(&arena, 0);
    enum nm_err err = nm_chat_read(body, len, &arena, &reply, diag);
    if (err == NM_OK) {
        const char *text = reply.content != NULL ? reply.content : "";
        size_t n = reply.content_len;
        bool shaped = nm_constraint_unwrap(endpoint->trying, 0, 0, &text, &n, &arena) == NM_OK;
        decide(endpoint, shaped && strstr(text, canary_word) != NULL);
    }
    nm_arena_clean_up(&arena);
    return err;
}
