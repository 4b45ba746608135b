#include "workers/dataset/diversity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/hash.h"
#include "workers/dataset/tally.h"

enum { BLEU_GRAM = 4 };

static uint64_t gram(const uint64_t *words, size_t n)
{
    return nm_hash64(words, n * sizeof *words, n);
}

static enum nm_err measure_distinct(const struct nm_diverse_text *texts, size_t n, size_t length, double *share)
{
    struct nm_tally seen = {0};
    uint64_t all = 0;
    enum nm_err err = NM_OK;
    for (size_t t = 0; t < n && err == NM_OK; t++)
        for (size_t i = 0; i + length <= texts[t].n && err == NM_OK; i++, all++)
            err = nm_tally_at(&seen, gram(texts[t].words + i, length)) != NULL ? NM_OK : NM_ENOMEM;
    *share = all > 0 ? (double)seen.n / (double)all : 0;
    nm_tally_clean_up(&seen);
    return err;
}

/* ---- self-BLEU -------------------------------------------------------------------------------------------------
 *
 * A text's n-gram count is clipped by the most that any other text has of it.  Of every n-gram the largest count, who
 * has it, and the second largest are enough to know that without comparing all pairs.
 */

struct best {
    uint32_t first, second, owner;
};

struct bleu {
    struct nm_tally known; /* n-gram -> its best + 1 */
    struct best *bests;
    size_t n, cap;
};

static struct best *best_of(struct bleu *b, uint64_t key)
{
    uint64_t *known = nm_tally_at(&b->known, key);
    if (known == NULL)
        return NULL;
    if (*known == 0) {
        if (b->n == b->cap) {
            size_t cap = b->cap * 2 + 4096;
            struct best *bests = realloc(b->bests, cap * sizeof *bests);
            if (bests == NULL)
                return NULL;
            b->bests = bests;
            b->cap = cap;
        }
        b->bests[b->n++] = (struct best){0};
        *known = b->n;
    }
    return &b->bests[*known - 1];
}

typedef enum nm_err (*gram_fn)(struct bleu *b, size_t text, uint64_t key, uint32_t count, void *ctx);

/* Each different n-gram of a text with its count. */
static enum nm_err each_gram(struct bleu *b, const struct nm_diverse_text *text, size_t number, size_t length,
                             gram_fn fn, void *ctx)
{
    struct nm_tally own = {0};
    enum nm_err err = NM_OK;
    for (size_t i = 0; i + length <= text->n && err == NM_OK; i++) {
        uint64_t *count = nm_tally_at(&own, gram(text->words + i, length));
        err = count != NULL ? NM_OK : NM_ENOMEM;
        if (count != NULL)
            ++*count;
    }
    for (size_t i = 0; i < own.cap && err == NM_OK; i++)
        if (own.slots[i].key != 0)
            err = fn(b, number, own.slots[i].key, (uint32_t)own.slots[i].value, ctx);
    nm_tally_clean_up(&own);
    return err;
}

static enum nm_err learn(struct bleu *b, size_t text, uint64_t key, uint32_t count, void *ctx)
{
    (void)ctx;
    struct best *best = best_of(b, key);
    if (best == NULL)
        return NM_ENOMEM;
    if (count > best->first) {
        best->second = best->first;
        best->first = count;
        best->owner = (uint32_t)text;
    } else if (count > best->second) {
        best->second = count;
    }
    return NM_OK;
}

static enum nm_err clip(struct bleu *b, size_t text, uint64_t key, uint32_t count, void *ctx)
{
    uint64_t *hits = ctx;
    const struct best *best = best_of(b, key);
    if (best == NULL)
        return NM_ENOMEM;
    uint32_t most = best->owner == text ? best->second : best->first;
    *hits += count < most ? count : most;
    return NM_OK;
}

/* BLEU's brevity penalty by the other text whose length is nearest (the shorter of two). */
static double brevity(const struct nm_diverse_text *texts, size_t n, size_t text)
{
    size_t own = texts[text].n, nearest = 0, distance = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        size_t apart = texts[i].n > own ? texts[i].n - own : own - texts[i].n;
        if (i != text && (apart < distance || (apart == distance && texts[i].n < nearest))) {
            distance = apart;
            nearest = texts[i].n;
        }
    }
    return own >= nearest || own == 0 ? 1 : exp(1 - (double)nearest / (double)own);
}

/* One text's BLEU; a precision of 0 counts as 0.1 hits (Chen and Cherry 2014, method 1). */
static enum nm_err bleu_of(struct bleu *b, const struct nm_diverse_text *texts, size_t n, size_t text, double *score)
{
    double logs = 0;
    for (size_t length = 1; length <= BLEU_GRAM; length++) {
        uint64_t hits = 0;
        enum nm_err err = each_gram(b, &texts[text], text, length, clip, &hits);
        if (err != NM_OK)
            return err;
        double all = texts[text].n >= length ? (double)(texts[text].n - length + 1) : 1;
        logs += log((hits > 0 ? (double)hits : 0.1) / all) / BLEU_GRAM;
    }
    *score = brevity(texts, n, text) * exp(logs);
    return NM_OK;
}

static enum nm_err measure_self_bleu(const struct nm_diverse_text *texts, size_t n, double *mean)
{
    struct bleu b = {0};
    double sum = 0;
    enum nm_err err = NM_OK;
    for (size_t t = 0; t < n && err == NM_OK; t++)
        for (size_t length = 1; length <= BLEU_GRAM && err == NM_OK; length++)
            err = each_gram(&b, &texts[t], t, length, learn, NULL);
    for (size_t t = 0; t < n && n > 1 && err == NM_OK; t++) {
        double score = 0;
        err = bleu_of(&b, texts, n, t, &score);
        sum += score;
    }
    *mean = n > 1 ? sum / (double)n : 0;
    nm_tally_clean_up(&b.known);
    free(b.bests);
    return err;
}

/* ---- repetition -------------------------------------------------------------------------------------------------
 */

static enum nm_err measure_compression(const struct nm_diverse_text *texts, size_t n, double *ratio)
{
    size_t len = 0, at = 0;
    for (size_t t = 0; t < n; t++)
        len += texts[t].len + 1;
    uLongf packed_len = compressBound((uLong)len);
    Bytef *all = malloc(len + 1), *packed = malloc(packed_len);
    enum nm_err err = all != NULL && packed != NULL ? NM_OK : NM_ENOMEM;
    for (size_t t = 0; t < n && err == NM_OK; t++) {
        memcpy(all + at, texts[t].text, texts[t].len);
        at += texts[t].len;
        all[at++] = '\n';
    }
    if (err == NM_OK && compress2(packed, &packed_len, all, (uLong)len, Z_BEST_COMPRESSION) != Z_OK)
        err = NM_ENOMEM;
    *ratio = err == NM_OK && len > 0 ? (double)len / (double)packed_len : 0;
    free(all);
    free(packed);
    return err;
}

static enum nm_err measure_repetition(const struct nm_diverse_text *texts, size_t n, double *share)
{
    struct nm_tally holders = {0}; /* n-gram -> the first text that holds it + 1; the highest bit: another one too */
    const uint64_t several = UINT64_C(1) << 63;
    uint64_t repeating = 0;
    enum nm_err err = NM_OK;
    for (size_t t = 0; t < n && err == NM_OK; t++)
        for (size_t i = 0; i + NM_DIVERSITY_LONG_GRAM <= texts[t].n && err == NM_OK; i++) {
            uint64_t *holder = nm_tally_at(&holders, gram(texts[t].words + i, NM_DIVERSITY_LONG_GRAM));
            err = holder != NULL ? NM_OK : NM_ENOMEM;
            if (holder != NULL && *holder == 0)
                *holder = t + 1;
            else if (holder != NULL && (*holder & ~several) != t + 1)
                *holder |= several;
        }
    for (size_t t = 0; t < n && err == NM_OK; t++) {
        bool shared = false;
        for (size_t i = 0; i + NM_DIVERSITY_LONG_GRAM <= texts[t].n && !shared; i++)
            shared = (nm_tally_get(&holders, gram(texts[t].words + i, NM_DIVERSITY_LONG_GRAM)) & several) != 0;
        repeating += shared;
    }
    *share = n > 0 ? (double)repeating / (double)n : 0;
    nm_tally_clean_up(&holders);
    return err;
}

enum nm_err nm_diversity_measure(const struct nm_diverse_text *texts, size_t n, size_t bleu_max,
                                 struct nm_diversity *diversity)
{
    enum nm_err err = NM_OK;
    for (size_t length = 1; length <= 3 && err == NM_OK; length++)
        err = measure_distinct(texts, n, length, &diversity->distinct[length - 1]);
    diversity->self_bleu_n = n < bleu_max ? n : bleu_max;
    if (err == NM_OK)
        err = measure_self_bleu(texts, diversity->self_bleu_n, &diversity->self_bleu);
    if (err == NM_OK)
        err = measure_compression(texts, n, &diversity->compression);
    return err == NM_OK ? measure_repetition(texts, n, &diversity->self_repetition) : err;
}
