#include "workers/dataset/terms.h"

#include "common/hash.h"

/* The hash of one more token behind others. */
static enum nm_err join(const char *token, size_t len, struct nm_buf *form, uint64_t *hash)
{
    nm_buf_reset(form);
    enum nm_err err = nm_form(token, len, true, form);
    *hash = nm_hash64(nm_buf_str(form), form->len, nm_mix64(*hash));
    return err;
}

enum nm_err nm_terms_add(struct nm_terms *terms, const struct nm_tokenizer *tokenizer, const char *text, size_t len)
{
    struct nm_tokens tokens;
    struct nm_buf form;
    uint64_t hash = 0;
    nm_tokens_init(&tokens);
    nm_buf_init(&form, SIZE_MAX / 4);
    enum nm_err err = nm_tokenizer_run(tokenizer, text, len, &tokens);
    for (size_t i = 0; i < tokens.count && err == NM_OK; i++)
        err = join(text + tokens.v[i].start, tokens.v[i].end - tokens.v[i].start, &form, &hash);
    if (err == NM_OK && tokens.count > 0) {
        uint64_t *known = nm_tally_at(&terms->known, hash);
        err = known != NULL ? NM_OK : NM_ENOMEM;
        if (known != NULL)
            *known = 1;
        terms->longest = tokens.count > terms->longest ? tokens.count : terms->longest;
    }
    nm_tokens_clean_up(&tokens);
    nm_buf_clean_up(&form);
    return err;
}

void nm_terms_clean_up(struct nm_terms *terms)
{
    nm_tally_clean_up(&terms->known);
    terms->longest = 0;
}

/* Tokens of the longest term that begins at first; 0: none does. */
static enum nm_err longest_at(const struct nm_terms *terms, const struct nm_msg_sample *sample, size_t first,
                              struct nm_buf *form, size_t *count)
{
    uint64_t hash = 0;
    enum nm_err err = NM_OK;
    *count = 0;
    for (size_t i = 0; i < terms->longest && first + i < sample->n_tokens && err == NM_OK; i++) {
        const struct nm_msg_token *t = &sample->tokens[first + i];
        err = join(sample->text.ptr + t->start, t->end - t->start, form, &hash);
        if (nm_tally_get(&terms->known, hash) != 0)
            *count = i + 1;
    }
    return err;
}

enum nm_err nm_terms_find(const struct nm_terms *terms, const struct nm_msg_sample *sample,
                          struct nm_token_span *spans, size_t *n)
{
    struct nm_buf form;
    enum nm_err err = NM_OK;
    nm_buf_init(&form, SIZE_MAX / 4);
    *n = 0;
    for (size_t first = 0, count = 0; first < sample->n_tokens && err == NM_OK; first += count > 0 ? count : 1) {
        err = longest_at(terms, sample, first, &form, &count);
        if (err == NM_OK && count > 0)
            spans[(*n)++] = (struct nm_token_span){first, first + count};
    }
    nm_buf_clean_up(&form);
    return err;
}
