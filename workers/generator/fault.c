/* fault.c - what a call that brought no reply means: for its request, and for its endpoint. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/utf8.h"
#include "workers/generator/chat.h"

enum { ERROR_BODY_MAX = 1 << 20, WORDS_MAX = 256 };

/* ---- the server's own words ------------------------------------------------------------------ */

/* What an error body says, in any of the forms in use:
 *   {"error": {"message": "...", "code": "...", "type": "..."}}   OpenAI, llama.cpp, OpenRouter
 *   {"error": "..."}                                              Ollama
 *   {"object": "error", "message": "...", "code": 400}            vLLM, Mistral
 *   {"detail": "..."} or {"detail": [{"msg": "..."}]}             FastAPI */
struct said {
    char words[WORDS_MAX]; /* one line of printable text; "": none */
    char code[64];         /* "" where it is a number, or absent */
    long status;           /* a code that is a number; 0: none */
    bool overflow;         /* it says that the prompt is too long for the model */
    uint64_t tokens_in, tokens_out;
};

static const char *message_of(const json_t *root)
{
    const json_t *error = json_object_get(root, "error"), *detail = json_object_get(root, "detail");
    const char *text = json_string_value(json_is_object(error) ? json_object_get(error, "message") : error);
    if (text == NULL)
        text = json_string_value(json_object_get(root, "message"));
    if (text == NULL)
        text = json_string_value(json_is_array(detail) ? json_object_get(json_array_get(detail, 0), "msg") : detail);
    return text != NULL ? text : "";
}

static bool says_overflow(const char *code, const char *text)
{
    static const char *const codes[] = {"context_length_exceeded", "exceed_context_size_error"};
    static const char *const phrases[] = {"context length",    "context size",       "context window",
                                          "too many tokens",   "prompt is too long", "input is too long",
                                          "reduce the length", "maximum context"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(code, codes[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (strcasestr(text, phrases[i]) != NULL)
            return true;
    return false;
}

static void keep_words(const char *text, char *out, size_t size)
{
    (void)snprintf(out, size, "%.200s", text);
    for (char *c = out; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    size_t bad;
    if (!nm_utf8_valid(out, strlen(out), &bad))
        out[bad] = '\0';
}

static uint64_t count_of(const json_t *usage, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(usage, key));
    return n > 0 ? (uint64_t)n : 0;
}

static void listen_to(const char *body, size_t len, struct said *said)
{
    *said = (struct said){.words = ""};
    json_t *root = len <= ERROR_BODY_MAX ? json_loadb(body, len, JSON_ALLOW_NUL, NULL) : NULL;
    const json_t *error = json_object_get(root, "error"), *usage = json_object_get(root, "usage");
    const json_t *code = json_object_get(json_is_object(error) ? error : root, "code");
    const char *word = json_string_value(code);
    if (word == NULL || word[0] == '\0')
        word = json_string_value(json_object_get(error, "type"));
    if (word != NULL)
        keep_words(word, said->code, sizeof said->code);
    said->status = json_is_integer(code) ? (long)json_integer_value(code) : 0;
    said->overflow = says_overflow(said->code, message_of(root));
    said->tokens_in = count_of(usage, "prompt_tokens");
    said->tokens_out = count_of(usage, "completion_tokens");
    keep_words(message_of(root), said->words, sizeof said->words);
    json_decref(root);
}

/* ---- by status ------------------------------------------------------------------------------- */

static bool is_quota(long status, const struct said *said)
{
    return status == 402 || strcmp(said->code, "insufficient_quota") == 0 ||
           (status == 429 && strcasestr(said->words, "quota") != NULL);
}

static const char *key_advice(const struct nm_project_endpoint *config, char *own, size_t size)
{
    if (config->api_key_env != NULL)
        (void)snprintf(own, size, "check the API key in the environment variable %s", config->api_key_env);
    else if (config->api_key_file != NULL)
        (void)snprintf(own, size, "check the API key in the file %s", config->api_key_file);
    else
        return "it wants an API key: name its environment variable as api_key_env";
    return own;
}

/* Those that one request may earn at an endpoint that serves others. */
static const char *judge_request(long status, const struct said *said, struct nm_chat_fault *fault)
{
    bool overflow = status == 413 || (status == 400 && said->overflow);
    fault->fatal = true;
    fault->rule = overflow ? NM_RULE_CONTEXT_OVERFLOW : NM_RULE_REQUEST_REFUSED;
    return overflow ? "the prompt is too long for it: a shorter one is asked, without examples"
                    : "it does not take our request: check model, max_tokens, extra_body and constraint";
}

static const char *judge_status(long status, const struct said *said, const struct nm_project_endpoint *config,
                                char *own, size_t size, struct nm_chat_fault *fault)
{
    if (is_quota(status, said)) {
        fault->kind = "quota";
        fault->why = NM_BREAKER_QUOTA;
        return "the account's quota is used up: no call is made until the pause is over; top it up";
    }
    switch (status) {
    case 400:
    case 413:
    case 422:
        return judge_request(status, said, fault);
    case 408:
    case 409:
    case 425:
        return "the server's own trouble: trying again later";
    case 429:
        fault->why = NM_BREAKER_BUSY;
        return "too many requests: slowing down";
    case 503:
        fault->why = NM_BREAKER_LOADING;
        return "it is loading its model or overloaded: waiting";
    case 529:
        fault->why = NM_BREAKER_BUSY;
        return "it is overloaded: waiting";
    default:
        break;
    }
    if (status >= 500)
        return "the server's own trouble: trying again later";
    fault->fatal = true;
    if (status == 401 || status == 403)
        return key_advice(config, own, size);
    if (status == 404 || status == 405) {
        (void)snprintf(own, size, "check the url (it mostly ends in /v1) and the model \"%.100s\"", config->model);
        return own;
    }
    if (status >= 200 && status < 300) {
        fault->kind = "garbage";
        return "that is no chat completion: check the url";
    }
    return status < 400 ? "it redirects: put the final address into url" : "it does not take our requests";
}

/* x-should-retry is the server's own say.  true: nothing is final.  false: not this request, once more. */
static void obey(int should_retry, struct nm_chat_fault *fault)
{
    if (should_retry > 0) {
        fault->fatal = false;
        fault->rule = NULL;
    } else if (should_retry == 0 && !fault->fatal && fault->why != NM_BREAKER_QUOTA) {
        fault->rule = NM_RULE_REQUEST_REFUSED;
    }
}

static void judge_answer(long status, const char *body, size_t len, int should_retry, const char *endpoint,
                         const struct nm_project_endpoint *config, struct nm_chat_fault *fault)
{
    struct said said;
    char own[256];
    listen_to(body, len, &said);
    fault->kind = "http";
    fault->status = status;
    fault->tokens_in = said.tokens_in;
    fault->tokens_out = said.tokens_out;
    const char *advice = judge_status(status, &said, config, own, sizeof own, fault);
    obey(should_retry, fault);
    bool quoted = said.words[0] != '\0';
    (void)snprintf(fault->detail, sizeof fault->detail, "endpoint %s answers %ld%s%s%s: %s", endpoint, status,
                   quoted ? ", saying \"" : "", said.words, quoted ? "\"" : "", advice);
}

/* ---- by fault -------------------------------------------------------------------------------- */

/* kind, what, what to do: of everything that is no whole HTTP answer. */
struct failing {
    const char *kind, *what, *advice;
};

static struct failing failing_of(enum nm_llm_fault fault)
{
    switch (fault) {
    case NM_LLM_CONNECT:
        return (struct failing){"connect", "cannot be reached", "is its server running, and is the url right?"};
    case NM_LLM_UNTRUSTED:
        return (struct failing){"connect", "has a certificate that is not trusted",
                                "name its certificate authority as ca_file, and check the host in the url"};
    case NM_LLM_TIMEOUT:
        return (struct failing){"timeout", "gave no answer in time", "raise timeout_s or lower concurrency"};
    case NM_LLM_TOO_LARGE:
        return (struct failing){"garbage", "sent an answer over the limit", "check the url and max_tokens"};
    case NM_LLM_UNPACKABLE:
        return (struct failing){"garbage", "sent an answer that cannot be unpacked", "see the server's own log"};
    case NM_LLM_CANCELED:
        return (struct failing){"shutdown", "was still answering", "the call was given up at shutdown"};
    case NM_LLM_ANSWERED:
    case NM_LLM_CUT:
        break;
    }
    return (struct failing){"cut", "cut the connection", "see the server's own log"};
}

bool nm_chat_judge(const struct nm_llm_outcome *outcome, const char *endpoint,
                   const struct nm_project_endpoint *config, struct nm_chat_fault *fault)
{
    *fault = (struct nm_chat_fault){.kind = "", .retry_after_ms = nm_limits_wait_ms(&outcome->limits, true, 0)};
    if (outcome->fault == NM_LLM_ANSWERED) {
        if (outcome->status == 200)
            return true;
        judge_answer(outcome->status, outcome->body, outcome->body_len, outcome->limits.should_retry, endpoint,
                     config, fault);
        return false;
    }
    struct failing failing = failing_of(outcome->fault);
    bool kept = outcome->fault == NM_LLM_TOO_LARGE || outcome->fault == NM_LLM_UNPACKABLE;
    fault->kind = failing.kind;
    fault->status = outcome->status;
    fault->fatal = outcome->fault == NM_LLM_UNTRUSTED;
    fault->came = kept && outcome->status == 200;
    if (fault->came)
        fault->rule = outcome->fault == NM_LLM_TOO_LARGE ? NM_RULE_TOO_LARGE : NM_RULE_UNREADABLE;
    (void)snprintf(fault->detail, sizeof fault->detail, "endpoint %s %s (%.200s): %s", endpoint, failing.what,
                   outcome->text, failing.advice);
    return false;
}

void nm_chat_judge_error(const char *body, size_t len, const char *endpoint, const struct nm_project_endpoint *config,
                         struct nm_chat_fault *fault)
{
    struct said said;
    listen_to(body, len, &said);
    *fault = (struct nm_chat_fault){.kind = "", .retry_after_ms = -1};
    judge_answer(said.status >= 400 && said.status < 600 ? said.status : 500, body, len, -1, endpoint, config, fault);
}

void nm_chat_garbage(const char *endpoint, const char *why, struct nm_chat_fault *fault)
{
    *fault =
        (struct nm_chat_fault){.kind = "garbage", .rule = NM_RULE_UNREADABLE, .came = true, .retry_after_ms = -1};
    (void)snprintf(fault->detail, sizeof fault->detail,
                   "endpoint %s answers 200, but %.300s: check that the url is an OpenAI-compatible /v1", endpoint,
                   why);
}
