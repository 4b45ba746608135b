/* Tokeniser and matcher never crash, and their offsets cut any text where they say, whatever list and text are. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/aligner/matcher.h"

enum { PATTERNS_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tokens(const char *text, size_t len, const struct nm_tokens *tokens)
{
    size_t at = 0;
    for (size_t i = 0; i < tokens->count; i++) {
        const struct nm_token *t = &tokens->v[i];
        if (t->start < at || t->end <= t->start || t->end > len)
            abort();
        if (!nm_utf8_valid(text + at, t->start - at, NULL) ||
            !nm_utf8_valid(text + t->start, t->end - t->start, NULL))
            abort();
        at = t->end;
    }
}

static void check_matches(const struct nm_tokens *tokens, const struct nm_matches *matches, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < matches->count; i++) {
        const struct nm_match *m = &matches->v[i];
        if (m->first < at || m->count == 0 || m->first + m->count > tokens->count || m->entity >= n)
            abort();
        at = m->first + m->count;
    }
}

static void run(const struct nm_matcher *matcher, size_t n, const char *text, size_t len)
{
    struct nm_tokens tokens;
    struct nm_matches matches;
    nm_tokens_init(&tokens);
    nm_matches_init(&matches);
    enum nm_err err = nm_tokenize(text, len, &tokens);
    if ((err == NM_OK) != nm_utf8_valid(text, len, NULL))
        abort();
    if (err == NM_OK) {
        check_tokens(text, len, &tokens);
        if (nm_matcher_run(matcher, text, &tokens, &matches) != NM_OK)
            abort();
        check_matches(&tokens, &matches, n);
    }
    nm_matches_clean_up(&matches);
    nm_tokens_clean_up(&tokens);
}

/* The input's lines are the entities, but the last, which is the text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nm_pattern patterns[PATTERNS_MAX];
    struct nm_matcher *matcher = NULL;
    size_t n = 0;
    char *copy = malloc(size + 1); /* its own block, so that a read past the end is seen */
    if (copy == NULL)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    char *at = copy;
    char *end = copy + size;
    for (char *stop; n < PATTERNS_MAX && (stop = memchr(at, '\n', (size_t)(end - at))) != NULL; at = stop + 1)
        patterns[n++] = (struct nm_pattern){.text = at, .len = (size_t)(stop - at)};
    size_t len = (size_t)(end - at);
    char *text = malloc(len > 0 ? len : 1);
    if (text != NULL && nm_matcher_new(patterns, n, &matcher, NULL) == NM_OK) {
        memcpy(text, at, len);
        run(matcher, n, text, len);
        for (size_t i = 0; i < n; i++) /* an entity matches itself */
            run(matcher, n, patterns[i].text, patterns[i].len);
    }
    nm_matcher_destroy(&matcher);
    free(text);
    free(copy);
    return 0;
}
