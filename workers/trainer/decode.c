#include "workers/trainer/decode.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "workers/trainer/metrics.h"

static enum nm_err reserve(struct nm_decoder *d, size_t n, size_t n_labels)
{
    if (d->sums == NULL || d->n_labels != n_labels) {
        free(d->sums);
        d->sums = malloc(2 * n_labels * sizeof(*d->sums));
        d->n_labels = n_labels;
    }
    if (d->cap < n * n_labels) {
        free(d->from);
        d->cap = n * n_labels * 3 / 2;
        d->from = malloc(d->cap * sizeof(*d->from));
    }
    if (d->sums != NULL && d->from != NULL)
        return NM_OK;
    nm_decoder_clean_up(d);
    return NM_ENOMEM;
}

void nm_decoder_clean_up(struct nm_decoder *d)
{
    free(d->sums);
    free(d->from);
    *d = (struct nm_decoder){0};
}

/* May b follow a?  a: NM_TAG_O at the beginning of a sentence. */
static bool follows(int32_t a, int32_t b)
{
    if (!nm_tag_is_entity(b) || nm_tag_is_begin(b))
        return true;
    return nm_tag_is_entity(a) && nm_tag_type(a) == nm_tag_type(b);
}

static float emission(const float *row, size_t label, const int32_t *tags)
{
    if (row != NULL)
        return row[label];
    return tags[label] == NM_TAG_O ? 0.0F : -INFINITY;
}

/* The best way to each label of a word from those of the word before. */
static void advance(const float *before, float *now, uint16_t *from, const float *row, const int32_t *tags, size_t n)
{
    for (size_t b = 0; b < n; b++) {
        float best = -INFINITY;
        size_t origin = 0;
        for (size_t a = 0; a < n; a++)
            if (before[a] > best && follows(tags[a], tags[b])) {
                best = before[a];
                origin = a;
            }
        now[b] = best + emission(row, b, tags);
        from[b] = (uint16_t)origin;
    }
}

enum nm_err nm_decode_bio(struct nm_decoder *decoder, const float *const *rows, size_t n, const int32_t *tags,
                          size_t n_labels, size_t *best)
{
    if (n == 0)
        return NM_OK;
    enum nm_err err = reserve(decoder, n, n_labels);
    if (err != NM_OK)
        return err;
    float *before = decoder->sums, *now = before + n_labels;
    for (size_t i = 0; i < n_labels; i++)
        before[i] = follows(NM_TAG_O, tags[i]) ? emission(rows[0], i, tags) : -INFINITY;
    for (size_t w = 1; w < n; w++) {
        advance(before, now, decoder->from + w * n_labels, rows[w], tags, n_labels);
        float *swap = before;
        before = now;
        now = swap;
    }
    size_t label = 0;
    for (size_t i = 1; i < n_labels; i++)
        label = before[i] > before[label] ? i : label;
    for (size_t w = n - 1; w > 0; w--) {
        best[w] = label;
        label = decoder->from[w * n_labels + label];
    }
    best[0] = label;
    return NM_OK;
}
