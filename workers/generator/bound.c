#include "workers/generator/bound.h"

#include <stdlib.h>
#include <string.h>

#include "common/hash.h"

/* Tokens of a chat template: around all of it, around a message.  A line's end may be one token with what stands
 * beside it: a line that is new, and one that is gone, change so many at their ends. */
enum { TEMPLATE = 64, MESSAGE = 16, NEW_LINE = 4, GONE_LINE = 2 };

struct line {
    uint64_t hash;
    size_t bytes;
};

struct lines {
    struct line line[NM_BOUND_LINES_MAX];
    size_t n;
};

static int by_hash(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

/* The lines of all messages, sorted.  false: there are too many. */
static bool split(const struct nm_prompt_text *prompt, struct lines *out)
{
    out->n = 0;
    for (size_t i = 0; i < prompt->n; i++) {
        for (const char *at = prompt->messages[i].text, *end; *at != '\0'; at = end + (*end == '\n')) {
            end = at + strcspn(at, "\n");
            if (out->n == NM_BOUND_LINES_MAX)
                return false;
            size_t bytes = (size_t)(end - at);
            out->line[out->n++] = (struct line){nm_hash64(at, bytes, 0), bytes};
        }
    }
    qsort(out->line, out->n, sizeof out->line[0], by_hash);
    return true;
}

uint64_t nm_bound_bytes(const struct nm_prompt_text *prompt)
{
    uint64_t bound = TEMPLATE;
    for (size_t i = 0; i < prompt->n; i++)
        bound += strlen(prompt->messages[i].text) + MESSAGE;
    return bound;
}

/* Both are sorted: one walk through both finds what only one of them has, each line as often as it is there. */
static uint64_t beside(const struct nm_bound_sample *sample, const struct lines *lines, size_t messages)
{
    uint64_t bound = sample->tokens;
    size_t known = 0, i = 0;
    while (i < lines->n || known < sample->n) {
        if (known == sample->n || (i < lines->n && lines->line[i].hash < sample->lines[known])) {
            bound += lines->line[i++].bytes + NEW_LINE;
        } else if (i == lines->n || lines->line[i].hash > sample->lines[known]) {
            bound += GONE_LINE;
            known++;
        } else {
            i++;
            known++;
        }
    }
    return messages > sample->messages ? bound + MESSAGE * (messages - sample->messages) : bound;
}

uint64_t nm_bound_tokens(const struct nm_bound *bound, const struct nm_prompt_text *prompt)
{
    struct lines lines;
    uint64_t best = nm_bound_bytes(prompt);
    if (bound->off || bound->samples[0].lines == NULL || !split(prompt, &lines))
        return best;
    for (size_t i = 0; i < NM_BOUND_SAMPLES && bound->samples[i].lines != NULL; i++) {
        uint64_t one = beside(&bound->samples[i], &lines, prompt->n);
        best = one < best ? one : best;
    }
    return best;
}

void nm_bound_learn(struct nm_bound *bound, const struct nm_prompt_text *prompt, uint64_t bounded, uint64_t tokens)
{
    struct lines lines;
    bound->off = bound->off || tokens > bounded;
    if (bound->off || tokens == 0 || bounded < tokens + tokens / 4 + TEMPLATE || !split(prompt, &lines))
        return;
    uint64_t *hashes = malloc(lines.n * sizeof *hashes + 1);
    if (hashes == NULL)
        return; /* bytes will do */
    for (size_t i = 0; i < lines.n; i++)
        hashes[i] = lines.line[i].hash;
    struct nm_bound_sample *sample = &bound->samples[bound->next++ % NM_BOUND_SAMPLES];
    free(sample->lines);
    *sample = (struct nm_bound_sample){tokens, lines.n, prompt->n, hashes};
}

void nm_bound_clean_up(struct nm_bound *bound)
{
    for (size_t i = 0; i < NM_BOUND_SAMPLES; i++)
        free(bound->samples[i].lines);
    *bound = (struct nm_bound){.next = 0};
}
