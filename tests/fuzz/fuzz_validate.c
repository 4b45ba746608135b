/* The verdict never crashes, and what is accepted keeps its promises, whatever a model writes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/generator/packed.h"
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
    static const char *const types[] = {"Chemical", "Disease"}, *const decoys[] = {"failure"};
    static const size_t entity_types[] = {0, 0, 1, 1};
    static const char told[] = "Write one sentence that holds the terms given below.";
    struct nm_wording prompt;
    if (nm_wording_of(told, sizeof told - 1, &arena, &prompt) != NM_OK)
        abort();
    struct nm_validate_input in = {.types = types,
                                   .n_types = data[0] & 64 ? 2 : 0,
                                   .entity_types = entity_types,
                                   .decoys = decoys,
                                   .n_decoys = data[0] / 128,
                                   .every = data[1] & 32,
                                   .entities = entities,
                                   .count = data[0] % 5,
                                   .min_words = data[1] % 8,
                                   .max_words = 40,
                                   .prompt = data[1] & 64 ? &prompt : NULL,
                                   .raw = raw,
                                   .raw_len = size - 2};
    struct nm_verdict verdict;
    size_t packed = nm_packed_size(in.raw, in.raw_len);
    if (packed > 0 && nm_packed_least(in.raw, in.raw_len) > 8 * (double)packed)
        abort();
    if (nm_validate(&in, &arena, &verdict) == NM_OK) {
        if (!nm_utf8_valid(verdict.text, verdict.text_len, NULL) || strlen(verdict.text) != verdict.text_len)
            abort();
        if (verdict.accepted != (verdict.rule == NM_RULE_NONE) ||
            !nm_utf8_valid(verdict.detail, strlen(verdict.detail), NULL))
            abort();
        if (verdict.rule != NM_RULE_UTF8 && verdict.rule != NM_RULE_TOO_LONG &&
            verdict.span_start + verdict.span_len > verdict.text_len)
            abort();
        size_t before = 0;
        for (size_t i = 0; i < verdict.n_marks; i++) {
            const struct nm_mark *mark = &verdict.marks[i];
            if (mark->start < before || mark->end <= mark->start || mark->end > verdict.text_len || mark->type > 1)
                abort();
            before = mark->end;
        }
        if (verdict.accepted && in.n_types > 0 &&
            (strstr(verdict.text, "[[") != NULL || strstr(verdict.text, "]]") != NULL) && in.count == 0)
            abort();
        if (verdict.accepted != (verdict.failed == 0))
            abort();
        if (verdict.accepted && (verdict.text_len == 0 || memchr(verdict.text, '\n', verdict.text_len) != NULL))
            abort();
    }
    free(raw);
    nm_arena_clean_up(&arena);
    return 0;
}
