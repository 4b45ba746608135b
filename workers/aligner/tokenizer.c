#include "workers/aligner/tokenizer.h"

#include <stdlib.h>

#include "common/utf8.h"
#include "workers/aligner/ptb.h"
#include "workers/aligner/scheme.h"

struct nm_tokenizer {
    enum nm_tokenizer_kind kind;
    struct nm_scheme *scheme; /* of NM_TOKENIZER_LEARNED */
};

struct nm_tokenizer *nm_tokenizer_new(enum nm_tokenizer_kind kind)
{
    struct nm_tokenizer *t = kind != NM_TOKENIZER_LEARNED ? calloc(1, sizeof *t) : NULL;
    if (t != NULL)
        t->kind = kind;
    return t;
}

enum nm_err nm_tokenizer_learn(const struct nm_conll *conll, struct nm_tokenizer **tokenizer)
{
    struct nm_tokenizer *t = calloc(1, sizeof *t);
    *tokenizer = NULL;
    if (t == NULL)
        return NM_ENOMEM;
    t->kind = NM_TOKENIZER_LEARNED;
    enum nm_err err = nm_scheme_learn(conll, &t->scheme);
    if (err != NM_OK)
        nm_tokenizer_destroy(&t);
    *tokenizer = t;
    return err;
}

void nm_tokenizer_destroy(struct nm_tokenizer **tokenizer)
{
    if (*tokenizer == NULL)
        return;
    nm_scheme_destroy(&(*tokenizer)->scheme);
    free(*tokenizer);
    *tokenizer = NULL;
}

enum nm_tokenizer_kind nm_tokenizer_kind(const struct nm_tokenizer *tokenizer)
{
    return tokenizer->kind;
}

/* Runs of what is no white space, if anything of them can be seen. */
static enum nm_err cut_at_blanks(const char *text, size_t len, struct nm_tokens *tokens)
{
    enum nm_err err = len > UINT32_MAX ? NM_ELIMIT : NM_OK;
    size_t start = 0;
    bool visible = false;
    tokens->count = 0;
    for (size_t at = 0; at <= len && err == NM_OK;) {
        int32_t cp = ' ';
        int n = at < len ? nm_utf8_next(text + at, len - at, &cp) : 1;
        if (n < 0)
            return NM_EFORMAT;
        if (nm_tokens_is_blank(cp)) {
            if (visible)
                err = nm_tokens_add(tokens, (struct nm_token){(uint32_t)start, (uint32_t)at, NM_TOKEN_UNICODE});
            start = at + (size_t)n;
            visible = false;
        } else {
            visible = visible || !nm_tokens_is_gap(cp);
        }
        at += (size_t)n;
    }
    return err;
}

enum nm_err nm_tokenizer_run(const struct nm_tokenizer *t, const char *text, size_t len, struct nm_tokens *tokens)
{
    enum nm_err err;
    switch (t->kind) {
    case NM_TOKENIZER_LEARNED:
        return nm_scheme_run(t->scheme, text, len, tokens);
    case NM_TOKENIZER_WHITESPACE:
        return cut_at_blanks(text, len, tokens);
    case NM_TOKENIZER_PTB:
        err = cut_at_blanks(text, len, tokens);
        return err == NM_OK ? nm_ptb_cut(text, tokens) : err;
    case NM_TOKENIZER_BIOMEDICAL:
        break;
    }
    return nm_tokenize(text, len, tokens);
}
