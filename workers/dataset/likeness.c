#include "workers/dataset/likeness.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "workers/dataset/tally.h"

struct text {
    size_t first, n; /* its grams, each once */
};

/* An entry of the index: a text that has the gram among its first ones. */
struct entry {
    uint32_t text;
    uint32_t next; /* entry + 1; 0: the last */
};

struct nm_likeness {
    uint64_t *grams;
    size_t n_grams, grams_cap;
    struct text *texts;
    size_t n, cap;
    struct nm_tally often; /* gram -> how many texts have it */
};

struct nm_likeness *nm_likeness_new(void)
{
    return calloc(1, sizeof(struct nm_likeness));
}

void nm_likeness_destroy(struct nm_likeness **likeness)
{
    struct nm_likeness *l = *likeness;
    *likeness = NULL;
    if (l == NULL)
        return;
    free(l->grams);
    free(l->texts);
    nm_tally_clean_up(&l->often);
    free(l);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool reserve(struct nm_likeness *l, size_t grams)
{
    if (l->n_grams + grams > l->grams_cap) {
        size_t cap = l->grams_cap * 2 + grams + 4096;
        uint64_t *larger = realloc(l->grams, cap * sizeof *larger);
        if (larger == NULL)
            return false;
        l->grams = larger;
        l->grams_cap = cap;
    }
    if (l->n == l->cap) {
        size_t cap = l->cap * 2 + 1024;
        struct text *larger = realloc(l->texts, cap * sizeof *larger);
        if (larger == NULL)
            return false;
        l->texts = larger;
        l->cap = cap;
    }
    return true;
}

enum nm_err nm_likeness_add(struct nm_likeness *likeness, const uint64_t *words, size_t n)
{
    struct nm_likeness *l = likeness;
    size_t size = n < NM_LIKENESS_GRAM ? n : NM_LIKENESS_GRAM, count = n - size + 1, kept = 0;
    if (!reserve(l, count))
        return NM_ENOMEM;
    uint64_t *grams = l->grams + l->n_grams;
    for (size_t i = 0; i < count; i++)
        grams[i] = nm_hash64(words + i, size * sizeof *words, 0);
    qsort(grams, count, sizeof *grams, by_value);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && grams[i] == grams[i - 1])
            continue;
        uint64_t *often = nm_tally_at(&l->often, grams[i]);
        if (often == NULL)
            return NM_ENOMEM;
        ++*often;
        grams[kept++] = grams[i];
    }
    l->texts[l->n++] = (struct text){l->n_grams, kept};
    l->n_grams += kept;
    return NM_OK;
}

/* The grams of a text in the order of the filter: rare ones first. */
struct ranked {
    uint64_t often, gram;
};

static int rare_first(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->often != y->often)
        return x->often < y->often ? -1 : 1;
    return (x->gram > y->gram) - (x->gram < y->gram);
}

/* Both sets are in order; stops where the similarity can no longer be reached. */
static bool alike(const struct nm_likeness *l, const struct text *a, const struct text *b, double threshold)
{
    const uint64_t *x = l->grams + a->first, *y = l->grams + b->first;
    size_t i = 0, k = 0, both = 0;
    double need = threshold * (double)(a->n + b->n) / (1 + threshold) - 1e-9;
    while (i < a->n && k < b->n) {
        size_t left = a->n - i < b->n - k ? a->n - i : b->n - k;
        if ((double)(both + left) < need)
            return false;
        both += x[i] == y[k];
        uint64_t at = x[i], bt = y[k];
        i += at <= bt;
        k += bt <= at;
    }
    return (double)both >= need;
}

struct search {
    struct nm_likeness *l;
    double threshold;
    struct nm_tally heads; /* gram -> its newest entry + 1 */
    struct entry *entries;
    size_t n, cap;
    struct ranked *ranked;
    size_t ranked_cap;
    uint32_t *met; /* of a text: the last text that it was compared with + 1 */
    bool *near;
};

static enum nm_err rank(struct search *s, const struct text *text)
{
    if (text->n > s->ranked_cap) {
        struct ranked *larger = realloc(s->ranked, text->n * sizeof *larger);
        if (larger == NULL)
            return NM_ENOMEM;
        s->ranked = larger;
        s->ranked_cap = text->n;
    }
    for (size_t i = 0; i < text->n; i++) {
        uint64_t g = s->l->grams[text->first + i];
        s->ranked[i] = (struct ranked){nm_tally_get(&s->l->often, g), g};
    }
    if (text->n > 1)
        qsort(s->ranked, text->n, sizeof *s->ranked, rare_first);
    return NM_OK;
}

/* A text against those before it that share a gram of its prefix; then it stands in the index itself. */
static enum nm_err search_one(struct search *s, uint32_t number)
{
    const struct text *text = &s->l->texts[number];
    size_t prefix = text->n - (size_t)ceil(s->threshold * (double)text->n - 1e-9) + 1;
    enum nm_err err = rank(s, text);
    for (size_t i = 0; i < prefix && i < text->n && err == NM_OK; i++) {
        uint64_t *head = nm_tally_at(&s->heads, s->ranked[i].gram);
        if (head == NULL)
            return NM_ENOMEM;
        for (uint32_t e = (uint32_t)*head; e != 0; e = s->entries[e - 1].next) {
            uint32_t other = s->entries[e - 1].text;
            if (s->met[other] == number + 1 || (s->near[other] && s->near[number]))
                continue;
            s->met[other] = number + 1;
            if (alike(s->l, text, &s->l->texts[other], s->threshold))
                s->near[other] = s->near[number] = true;
        }
        if (s->n == s->cap) {
            size_t cap = s->cap * 2 + 4096;
            struct entry *larger = realloc(s->entries, cap * sizeof *larger);
            if (larger == NULL)
                return NM_ENOMEM;
            s->entries = larger;
            s->cap = cap;
        }
        s->entries[s->n++] = (struct entry){number, (uint32_t)*head};
        *head = s->n;
    }
    return err;
}

enum nm_err nm_likeness_count(struct nm_likeness *likeness, double threshold, size_t *near)
{
    struct search s = {.l = likeness, .threshold = threshold};
    size_t n = likeness->n;
    s.met = calloc(n + 1, sizeof *s.met);
    s.near = calloc(n + 1, sizeof *s.near);
    enum nm_err err = s.met != NULL && s.near != NULL ? NM_OK : NM_ENOMEM;
    *near = 0;
    for (size_t i = 0; i < n && err == NM_OK; i++)
        err = search_one(&s, (uint32_t)i);
    for (size_t i = 0; i < n && err == NM_OK; i++)
        *near += s.near[i];
    nm_tally_clean_up(&s.heads);
    free(s.entries);
    free(s.ranked);
    free(s.met);
    free(s.near);
    return err;
}
