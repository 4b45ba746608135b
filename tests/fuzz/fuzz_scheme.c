/* Whatever file a scheme is learnt from, and whatever text is cut: tokens are in order, on code points, inside the
 * text, and the file's own sentences come back from their text where the fit says so.  Input: the file up to the
 * first byte 0xff; the text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/aligner/conll.h"
#include "workers/aligner/detokenize.h"
#include "workers/aligner/scheme.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct nm_tokenizer *tokenizer, const char *text, size_t len, struct nm_tokens *tokens)
{
    enum nm_err err = nm_tokenizer_run(tokenizer, text, len, tokens);
    size_t end = 0;
    if ((err == NM_OK) != nm_utf8_valid(text, len, NULL))
        abort();
    for (size_t i = 0; err == NM_OK && i < tokens->count; i++) {
        const struct nm_token *t = &tokens->v[i];
        if (t->start < end || t->start >= t->end || t->end > len ||
            !nm_utf8_valid(text + t->start, t->end - t->start, NULL))
            abort();
        end = t->end;
    }
}

static void check_way_back(const struct nm_conll *conll, const struct nm_tokenizer *tokenizer,
                           struct nm_tokens *tokens)
{
    for (size_t i = 0; i < conll->n_sentences; i++) {
        const struct nm_conll_sentence *s = &conll->sentences[i];
        struct nm_str *texts = calloc(s->n, sizeof *texts);
        uint32_t *gaps = calloc(s->n, sizeof *gaps);
        bool exact = false;
        for (size_t k = 0; texts != NULL && k < s->n; k++)
            texts[k] = conll->tokens[s->first + k].text;
        if (texts != NULL && gaps != NULL) {
            nm_scheme_gaps(&conll->tokens[s->first], texts, s->n, gaps);
            if (nm_detokenize_fit(texts, s->n, tokenizer, gaps, tokens, &exact) != NM_OK ||
                (exact && tokens->count != s->n))
                abort();
        }
        free(texts);
        free(gaps);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = size > 0 ? memchr(data, 0xff, size) : NULL;
    const char *file = (const char *)data;
    size_t file_len = cut != NULL ? (size_t)(cut - data) : size;
    const char *text = cut != NULL ? (const char *)cut + 1 : "";
    size_t len = cut != NULL ? size - file_len - 1 : 0;
    struct nm_conll conll;
    struct nm_tokens tokens;
    struct nm_diag diag = {""};
    nm_conll_init(&conll);
    nm_tokens_init(&tokens);
    for (enum nm_tokenizer_kind kind = NM_TOKENIZER_BIOMEDICAL; kind < NM_TOKENIZER_LEARNED; kind++) {
        struct nm_tokenizer *tokenizer = nm_tokenizer_new(kind);
        if (tokenizer != NULL)
            check_text(tokenizer, text, len, &tokens);
        nm_tokenizer_destroy(&tokenizer);
    }
    struct nm_tokenizer *learned = NULL;
    if (nm_conll_parse(&conll, file, file_len, "fuzz", &diag) == NM_OK &&
        nm_tokenizer_learn(&conll, &learned) == NM_OK) {
        check_text(learned, text, len, &tokens);
        check_way_back(&conll, learned, &tokens);
    }
    nm_tokenizer_destroy(&learned);
    nm_tokens_clean_up(&tokens);
    nm_conll_clean_up(&conll);
    return 0;
}
