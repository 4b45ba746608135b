/* What a server sends: read or refused, judged in one printable line, and no number or text out of its bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/generator/skim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const struct nm_chat_fault *fault)
{
    for (const char *c = fault->detail; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20)
            abort();
    if (fault->kind == NULL || !nm_utf8_valid(fault->detail, strlen(fault->detail), NULL))
        abort();
    if (fault->fatal && fault->why == NM_BREAKER_QUOTA)
        abort();
}

static void check_reply(enum nm_err err, const struct nm_chat_reply *reply)
{
    if (reply->finish_reason == NULL || reply->model == NULL)
        abort();
    if (err != NM_OK)
        return;
    if (reply->content != NULL && reply->content[reply->content_len] != '\0')
        abort();
    if (reply->content == NULL && reply->content_len != 0)
        abort();
}

/* What is read in one walk is what jansson reads: a member whose name holds an escape by number is left to that. */
static void check_skim(const char *body, size_t len, struct nm_arena *arena)
{
    static const char member[] = "{\"\\u007a\":0,";
    struct nm_chat_reply skimmed = {.finish_reason = ""}, read;
    const char *brace = memchr(body, '{', len);
    if (!nm_skim(body, len, arena, &skimmed) || brace == NULL)
        return;
    char *other = nm_arena_sprintf(arena, "%s%.*s", member, (int)(len - (size_t)(brace + 1 - body)), brace + 1);
    if (other == NULL || nm_chat_read(other, strlen(other), arena, &read, NULL) != NM_OK || read.content == NULL ||
        strcmp(read.content, skimmed.content) != 0 || read.content_len != skimmed.content_len ||
        strcmp(read.finish_reason, skimmed.finish_reason) != 0 || strcmp(read.model, skimmed.model) != 0 ||
        read.tokens_in != skimmed.tokens_in || read.tokens_out != skimmed.tokens_out || read.refusal != NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const long statuses[] = {200, 201, 302, 400, 402, 403, 404, 408, 413, 422, 429, 500, 503, 529, 0, 999};
    static const struct nm_project_endpoint config = {.model = (char *)"m"};
    struct nm_arena arena;
    struct nm_chat_reply reply;
    struct nm_chat_fault fault;
    struct nm_diag diag = {""};
    if (size < 2)
        return 0;
    size_t len = size - 2;
    char *body = malloc(len + 1); /* its own block, NUL-terminated as an answer is */
    if (body == NULL)
        return 0;
    memcpy(body, data + 2, len);
    body[len] = '\0';
    nm_arena_init(&arena, 0);
    enum nm_err err = nm_chat_read(body, len, &arena, &reply, &diag);
    check_reply(err, &reply);
    check_skim(body, len, &arena);
    struct nm_llm_outcome outcome = {.fault = (enum nm_llm_fault)(data[0] % (NM_LLM_CANCELED + 1)),
                                     .status = statuses[data[1] % (sizeof statuses / sizeof *statuses)],
                                     .text = "words",
                                     .body = body,
                                     .body_len = len};
    nm_limits_clear(&outcome.limits);
    outcome.limits.should_retry = data[1] / 16 % 3 - 1;
    if (!nm_chat_judge(&outcome, "e", &config, &fault))
        check_line(&fault);
    if (err == NM_ESTATE) {
        nm_chat_judge_error(body, len, "e", &config, &fault);
        check_line(&fault);
    }
    (void)nm_chat_lists_model(body, len, "m");
    nm_arena_clean_up(&arena);
    free(body);
    return 0;
}
