#include "workers/trainer/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "workers/trainer/metrics.h"

/* Grow *array to hold at least need elements of size bytes. */
static enum nm_err grow(void **array, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return NM_OK;
    size_t wanted = need + need / 2 + 64;
    void *grown = realloc(*array, wanted * size);
    if (grown == NULL)
        return NM_ENOMEM;
    *array = grown;
    *cap = wanted;
    return NM_OK;
}

struct encoder {
    struct nm_dataset *set;
    const struct nm_wordpiece *wp;
    const int32_t *label_of_tag;
    struct nm_pieces pieces;
    int32_t *labels;
    size_t cap_labels, cap_ids, cap_set_labels;
};

/* Word pieces and labels of one sentence into the scratch arrays. */
static enum nm_err encode_words(struct encoder *e, const struct nm_sentence *s)
{
    e->pieces.count = 0;
    for (size_t i = 0; i < s->n; i++) {
        size_t first = e->pieces.count;
        enum nm_err err = nm_wordpiece_encode(e->wp, s->words[i].text, s->words[i].len, &e->pieces);
        if (err == NM_OK)
            err = grow((void **)&e->labels, &e->cap_labels, e->pieces.count, sizeof(*e->labels));
        if (err != NM_OK)
            return err;
        const int32_t label = s->tags[i] != NM_TAG_MASKED ? e->label_of_tag[s->tags[i]] : NM_LABEL_UNKNOWN;
        for (size_t k = first; k < e->pieces.count; k++)
            e->labels[k] = k == first ? label : NM_LABEL_NONE;
    }
    return NM_OK;
}

static enum nm_err encode(struct encoder *e, const struct nm_sentence *s, size_t max_length)
{
    struct nm_dataset *set = e->set;
    enum nm_err err = encode_words(e, s);
    if (err != NM_OK)
        return err;
    size_t n = e->pieces.count, at = set->starts[set->n];
    if (n + 2 > max_length) {
        n = max_length - 2;
        set->truncated++;
    }
    err = grow((void **)&set->ids, &e->cap_ids, at + n + 2, sizeof(*set->ids));
    if (err == NM_OK)
        err = grow((void **)&set->labels, &e->cap_set_labels, at + n + 2, sizeof(*set->labels));
    if (err != NM_OK)
        return err;
    set->ids[at] = nm_wordpiece_cls(e->wp);
    set->ids[at + n + 1] = nm_wordpiece_sep(e->wp);
    set->labels[at] = set->labels[at + n + 1] = NM_LABEL_NONE;
    if (n > 0 && e->pieces.ids != NULL) {
        memcpy(set->ids + at + 1, e->pieces.ids, n * sizeof(*set->ids));
        memcpy(set->labels + at + 1, e->labels, n * sizeof(*set->labels));
    }
    set->starts[++set->n] = at + n + 2;
    return NM_OK;
}

enum nm_err nm_dataset_init(struct nm_dataset *set, const struct nm_wordpiece *wp, const struct nm_corpus *corpus,
                            const int32_t *label_of_tag, size_t max_length, struct nm_diag *diag)
{
    *set = (struct nm_dataset){.starts = calloc(corpus->n + 1, sizeof(*set->starts))};
    struct encoder e = {.set = set, .wp = wp, .label_of_tag = label_of_tag};
    enum nm_err err = set->starts != NULL ? NM_OK : NM_ENOMEM;
    for (size_t i = 0; i < corpus->n && err == NM_OK; i++)
        err = encode(&e, &corpus->sentences[i], max_length);
    nm_pieces_clean_up(&e.pieces);
    free(e.labels);
    if (err == NM_OK)
        return NM_OK;
    nm_dataset_clean_up(set);
    return nm_fail(diag, err, "%zu sentences as token ids: %s", corpus->n, nm_err_name(err));
}

void nm_dataset_clean_up(struct nm_dataset *set)
{
    free(set->ids);
    free(set->labels);
    free(set->starts);
    free(set->batch_ids);
    free(set->batch_starts);
    free(set->batch_labels);
    *set = (struct nm_dataset){0};
}

enum nm_err nm_dataset_batch(struct nm_dataset *set, const uint32_t *order, size_t n, struct nm_batch *batch)
{
    size_t tokens = 0, cap = set->cap_tokens, cap_labels = set->cap_tokens;
    for (size_t i = 0; i < n; i++)
        tokens += set->starts[order[i] + 1] - set->starts[order[i]];
    enum nm_err err = grow((void **)&set->batch_ids, &cap, tokens, sizeof(*set->batch_ids));
    if (err == NM_OK)
        err = grow((void **)&set->batch_labels, &cap_labels, tokens, sizeof(*set->batch_labels));
    if (err == NM_OK)
        err = grow((void **)&set->batch_starts, &set->cap_seqs, n + 1, sizeof(*set->batch_starts));
    if (err != NM_OK)
        return err;
    set->cap_tokens = cap;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        size_t from = set->starts[order[i]], len = set->starts[order[i] + 1] - from;
        set->batch_starts[i] = (uint32_t)at;
        memcpy(set->batch_ids + at, set->ids + from, len * sizeof(*set->ids));
        memcpy(set->batch_labels + at, set->labels + from, len * sizeof(*set->labels));
        at += len;
    }
    set->batch_starts[n] = (uint32_t)at;
    *batch = (struct nm_batch){.n_seqs = n,
                               .n_tokens = at,
                               .ids = set->batch_ids,
                               .seq_start = set->batch_starts,
                               .labels = set->batch_labels};
    return NM_OK;
}
