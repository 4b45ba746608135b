#include "workers/dataset/draft.h"

#include <stdlib.h>

void nm_draft_init(struct nm_draft *draft, const struct nm_tokenizer *tokenizer)
{
    *draft = (struct nm_draft){.tokenizer = tokenizer};
    nm_buf_init(&draft->text, SIZE_MAX / 4);
    nm_tokens_init(&draft->cut);
    nm_tokens_init(&draft->tokens);
}

void nm_draft_clean_up(struct nm_draft *draft)
{
    nm_buf_clean_up(&draft->text);
    nm_tokens_clean_up(&draft->cut);
    nm_tokens_clean_up(&draft->tokens);
    free(draft->mentions);
    draft->mentions = NULL;
}

void nm_draft_begin(struct nm_draft *draft, const struct nm_msg_sample *source)
{
    nm_buf_reset(&draft->text);
    draft->tokens.count = 0;
    draft->n_mentions = 0;
    draft->source = source;
    draft->at = 0;
    draft->byte = 0;
    draft->err = NM_OK;
}

static void add_token(struct nm_draft *draft, uint64_t start, uint64_t end)
{
    if (draft->err == NM_OK)
        draft->err =
            end <= UINT32_MAX
                ? nm_tokens_add(&draft->tokens, (struct nm_token){.start = (uint32_t)start, .end = (uint32_t)end})
                : NM_ELIMIT;
}

void nm_draft_copy(struct nm_draft *draft, uint64_t end)
{
    const struct nm_msg_sample *from = draft->source;
    const uint64_t begin = draft->text.len;
    if (draft->err != NM_OK || end <= draft->byte)
        return;
    draft->err = nm_buf_add(&draft->text, from->text.ptr + draft->byte, end - draft->byte);
    for (; draft->at < from->n_tokens && from->tokens[draft->at].end <= end; draft->at++)
        add_token(draft, from->tokens[draft->at].start - draft->byte + begin,
                  from->tokens[draft->at].end - draft->byte + begin);
    draft->byte = end;
}

void nm_draft_skip(struct nm_draft *draft, uint64_t end)
{
    while (draft->at < draft->source->n_tokens && draft->source->tokens[draft->at].end <= end)
        draft->at++;
    draft->byte = end;
}

/* Room for a mention, or NULL. */
static struct nm_msg_mention *add_mention(struct nm_draft *draft)
{
    if (draft->err == NM_OK && draft->n_mentions == draft->mentions_cap) {
        size_t cap = draft->mentions_cap * 2 + 8;
        struct nm_msg_mention *mentions = realloc(draft->mentions, cap * sizeof *mentions);
        draft->err = mentions != NULL ? NM_OK : NM_ENOMEM;
        if (mentions != NULL) {
            draft->mentions = mentions;
            draft->mentions_cap = cap;
        }
    }
    return draft->err == NM_OK ? &draft->mentions[draft->n_mentions++] : NULL;
}

void nm_draft_keep(struct nm_draft *draft, const struct nm_msg_mention *mention)
{
    nm_draft_copy(draft, mention->start);
    const uint64_t start = draft->text.len;
    nm_draft_copy(draft, mention->end);
    struct nm_msg_mention *m = add_mention(draft);
    if (m == NULL)
        return;
    *m = *mention;
    m->start = start;
    m->end = draft->text.len;
}

void nm_draft_add(struct nm_draft *draft, const char *text, size_t len)
{
    const uint64_t begin = draft->text.len;
    if (draft->err == NM_OK)
        draft->err = nm_tokenizer_run(draft->tokenizer, text, len, &draft->cut);
    for (size_t i = 0; draft->err == NM_OK && i < draft->cut.count; i++)
        add_token(draft, draft->cut.v[i].start + begin, draft->cut.v[i].end + begin);
    if (draft->err == NM_OK)
        draft->err = nm_buf_add(&draft->text, text, len);
}

void nm_draft_name(struct nm_draft *draft, const char *text, size_t len, struct nm_str type)
{
    const uint64_t start = draft->text.len;
    nm_draft_add(draft, text, len);
    struct nm_msg_mention *m = add_mention(draft);
    if (m != NULL)
        *m = (struct nm_msg_mention){
            .start = start, .end = draft->text.len, .type = type, .index = NM_NO_INDEX, .note = nm_str("")};
}

enum nm_err nm_draft_end(struct nm_draft *draft, struct nm_arena *arena, struct nm_msg_sample *out)
{
    nm_draft_copy(draft, draft->source->text.len);
    if (draft->err != NM_OK)
        return draft->err;
    out->text = (struct nm_str){nm_buf_str(&draft->text), draft->text.len};
    out->mentions = draft->mentions;
    out->n_mentions = draft->n_mentions;
    out->n_tokens = draft->tokens.count;
    out->tokens = nm_arena_alloc(arena, (out->n_tokens + 1) * sizeof *out->tokens);
    if (out->tokens == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < out->n_tokens; i++)
        out->tokens[i] = (struct nm_msg_token){.start = draft->tokens.v[i].start, .end = draft->tokens.v[i].end};
    return nm_record_tag(arena, out);
}
