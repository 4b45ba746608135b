/* The verdict never crashes, and what is accepted keeps its promises, whatever a model writes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/generator/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const entities[] = {"aspirin", "NO", "abdominal pain", "pain"};
    if (size < 2)
        return 0;
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    char *raw = malloc(size); /* its own block, so that a read past the end is seen */
    if (raw == NULL)
        return 0;
    memcpy(raw, data + 2, size - 2);
    struct nm_validate_input in = {.entities = entities,
                                   .count = data[0] % 5,
                                   .min_words = data[1] % 8,
                                   .max_words = 40,
                                   .max_sentences = data[1] / 128,
                                   .prompt =
                                       data[1] & 64 ? "Write one sentence that holds the terms given below." : NULL,
                                   .raw = raw,
                                   .raw_len = size - 2};
    struct nm_verdict verdict;
    if (nm_validate(&in, &arena, &verdict) == NM_OK) {
        if (!nm_utf8_valid(verdict.text, verdict.text_len, NULL) || strlen(verdict.text) != verdict.text_len)
            abort();
        if (verdict.accepted != (verdict.rule == NM_RULE_NONE) ||
            !nm_utf8_valid(verdict.detail, strlen(verdict.detail), NULL))
            abort();
        if (verdict.rule != NM_RULE_UTF8 && verdict.rule != NM_RULE_TOO_LONG &&
            verdict.span_start + verdict.span_len > verdict.text_len)
            abort();
        if (verdict.accepted && (verdict.text_len == 0 || memchr(verdict.text, '\n', verdict.text_len) != NULL))
            abort();
    }
    free(raw);
    nm_arena_clean_up(&arena);
    return 0;
}
