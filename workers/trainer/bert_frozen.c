/* A model that only tags.  Its weights are packed once, when they are read, and of a batch each thread takes some
 * sequences after the other through all layers by itself, as a part: the same weights, one thread, and activations of
 * its own.  So nobody packs anything twice, and nobody waits for anybody before the batch is done.  What the first
 * layer multiplies first is looked up.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "workers/trainer/bert_impl.h"
#include "workers/trainer/floats.h"
#include "workers/trainer/weights.h"

enum {
    SLICE = 1024,  /* tokens that a part takes at once: enough rows for the products, few enough for the caches */
    LEAST = 64,    /* and towards the end, so that all parts are done at about the same time */
    BATCH = 65536, /* tokens of many slices: logits are all that a whole batch has in memory */
    LOOKUP = 16384 /* entries that are kept: more than a field's language has; 75 MB for a hidden size of 384 */
};

/* ---- packed weights -------------------------------------------------------------------------- */

/* A weight of the model, W (o,c), and where it stands among the parameters. */
struct dense {
    struct nm_weight *w;
    size_t at, c, o;
};

/* The weight that p is, or is a part of; false: p is something else. */
static bool find_dense(struct nm_bert *b, const struct nm_param *p, struct dense *found)
{
    const size_t h = b->cfg.hidden_size, m = b->cfg.intermediate_size;
    for (size_t i = 0; i < b->cfg.n_layers; i++) {
        const struct layer_at *at = &b->at.layers[i];
        struct layer_weights *w = &b->weights[i];
        const struct dense all[] = {{&w->qkv, at->qkv_w, h, 3 * h},
                                    {&w->out, at->out_w, h, h},
                                    {&w->up, at->up_w, h, m},
                                    {&w->down, at->down_w, m, h}};
        for (size_t j = 0; j < sizeof all / sizeof *all; j++)
            if (p->offset >= all[j].at && p->offset < all[j].at + all[j].c * all[j].o) {
                *found = all[j];
                return true;
            }
    }
    *found = (struct dense){&b->head, b->at.head_w, h, b->cfg.n_labels};
    return p->offset == found->at;
}

float *nm_bert_destination(struct nm_bert *b, const struct nm_param *p)
{
    struct dense d;
    return b->packed != NULL && find_dense(b, p, &d) ? b->staging + (p->offset - d.at) : b->params.data + p->offset;
}

struct packing {
    const struct nm_bert *b;
    const struct dense *d;
    uint32_t *to;
};

static void pack_by_team(void *arg)
{
    const struct packing *p = arg;
    nm_weight_pack(p->b->team, p->to, p->b->staging, p->d->c, p->d->o);
}

/* In bf16 the table would have other roundings than the product. */
static bool looks_up(const struct nm_bert *b)
{
    return b->precision == NM_FP32;
}

/* The first layer's query, key and value; the embeddings' norm has been read before. */
static void fold(struct nm_bert *b, float *qkv)
{
    const float *w = b->params.data;
    nm_lookup_fold(qkv, b->folded, w + b->at.norm_g, w + b->at.norm_b, b->cfg.hidden_size, 3 * b->cfg.hidden_size);
}

void nm_bert_was_read(struct nm_bert *b, const struct nm_param *p)
{
    struct dense d;
    if (b->packed == NULL || !find_dense(b, p, &d) || p->offset + p->n < d.at + d.c * d.o)
        return; /* query and key wait for value */
    if (d.w == &b->weights[0].qkv && looks_up(b))
        fold(b, b->staging);
    struct packing packing = {b, &d, b->packed + b->packed_units};
    nm_team_run(b->team, pack_by_team, &packing);
    *d.w = (struct nm_weight){.packed = packing.to};
    b->packed_units += nm_weight_units(b->team, d.c, d.o);
}

enum nm_err nm_bert_freeze(struct nm_bert *b, struct nm_diag *diag)
{
    const size_t h = b->cfg.hidden_size, m = b->cfg.intermediate_size, k = b->cfg.n_labels;
    nm_team_set_precision(b->team, b->precision);
    if ((b->folded = nm_floats_new(3 * h)) == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory for a model");
    const size_t layer = nm_weight_units(b->team, h, 3 * h) + nm_weight_units(b->team, h, h) +
                         nm_weight_units(b->team, h, m) + nm_weight_units(b->team, m, h);
    if (layer == 0)
        return NM_OK;
    b->packed_cap = b->cfg.n_layers * layer + nm_weight_units(b->team, h, k);
    b->staging_cap = (m + 3 * h + k) * h; /* the largest of them, and some more */
    b->packed = (uint32_t *)nm_floats_new(b->packed_cap);
    b->staging = nm_floats_new(b->staging_cap);
    if (b->packed == NULL || b->staging == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory for %zu MB of weights", b->packed_cap * sizeof(float) >> 20);
    return NM_OK;
}

static void free_staging(struct nm_bert *b)
{
    nm_floats_free(b->staging, b->staging_cap);
    b->staging = NULL;
}

static enum nm_err make_lookup(struct nm_bert *b)
{
    const size_t h = b->cfg.hidden_size, vocabulary = b->cfg.vocab_size;
    const struct layer_at *at = &b->at.layers[0];
    float *w = b->params.data;
    const struct nm_lookup_options options = {.words = b->words,
                                              .positions = w + b->at.position,
                                              .type = w + b->at.type,
                                              .constant = b->folded,
                                              .vocabulary = vocabulary,
                                              .capacity = vocabulary < LOOKUP ? vocabulary : LOOKUP,
                                              .n_positions = b->cfg.max_positions,
                                              .c = h,
                                              .o = 3 * h};
    if (!looks_up(b))
        return NM_OK;
    if (b->packed == NULL)
        fold(b, w + at->qkv_w);
    for (size_t i = 0; i < 3 * h; i++)
        b->folded[i] += w[at->qkv_b + i];
    return nm_lookup_new(&b->lookup, b->team, b->weights[0].qkv, &options);
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* Tokens of the largest slice: one long sequence may be more than SLICE. */
static size_t largest_slice(const struct nm_bert *b)
{
    return b->cfg.max_positions > SLICE ? b->cfg.max_positions : SLICE;
}

static void free_part(struct nm_bert *p)
{
    if (p == NULL)
        return;
    nm_team_destroy(&p->team);
    nm_floats_free(p->arena, p->arena_cap);
    free(p->acts);
    free(p->positions);
    free(p->slice);
    free(p);
}

static struct nm_bert *new_part(const struct nm_bert *b)
{
    const size_t most = largest_slice(b);
    const struct nm_bert_extent extent = {.n_tokens = most, .max_len = b->cfg.max_positions};
    struct nm_team_options team = nm_bert_team_options(&b->cfg, 1);
    struct nm_bert *p = malloc(sizeof *p);
    if (p == NULL)
        return NULL;
    *p = *b;
    team.packed = true;
    p->n_threads = 1;
    p->team = NULL;
    p->arena = NULL;
    p->arena_cap = p->tokens_cap = 0;
    p->positions = NULL;
    p->parts = NULL;
    p->acts = calloc(b->cfg.n_layers, sizeof *p->acts);
    p->slice = malloc((2 * most + 1) * sizeof *p->slice);
    if (p->acts != NULL && p->slice != NULL && nm_team_new(&p->team, &team) == NM_OK &&
        nm_bert_space_for(p, &extent, NULL) == NM_OK)
        return p;
    free_part(p);
    return NULL;
}

enum nm_err nm_bert_make_parts(struct nm_bert *b, struct nm_diag *diag)
{
    free_staging(b);
    bool made = make_lookup(b) == NM_OK && (b->parts = calloc(b->n_threads, sizeof(struct nm_bert *))) != NULL;
    for (size_t i = 0; made && i < b->n_threads; i++)
        made = (b->parts[i] = new_part(b)) != NULL;
    return made ? NM_OK : nm_fail(diag, NM_ENOMEM, "out of memory for %zu threads", b->n_threads);
}

void nm_bert_thaw(struct nm_bert *b)
{
    for (size_t i = 0; b->parts != NULL && i < b->n_threads; i++)
        free_part(b->parts[i]);
    free(b->parts);
    free_staging(b);
    nm_lookup_destroy(&b->lookup);
    nm_floats_free(b->folded, 3 * b->cfg.hidden_size);
    nm_floats_free((float *)b->packed, b->packed_cap);
    nm_floats_free(b->dealt, b->dealt_cap);
    nm_weights_close(&b->file);
}

/* ---- a batch --------------------------------------------------------------------------------- */

/* Sequences [seq, seq + n) of the batch, and where theirs begin among the wanted tokens. */
struct slice {
    size_t seq, n, wanted, n_wanted;
};

struct deal {
    struct nm_bert *b;
    const struct nm_batch *batch;
    pthread_mutex_t lock;
    struct slice last; /* that was taken */
    enum nm_err err;   /* the first */
    struct nm_diag *diag;
};

/* The tokens of the next slice, where so many are left.  Whoever takes it, it is the same. */
static size_t slice_size(const struct deal *d, size_t left)
{
    const size_t threads = d->b->n_threads, share = d->batch->n_tokens / threads;
    const size_t least = share < LEAST ? share : LEAST, some = left / (2 * threads);
    if (threads == 1 || some > SLICE)
        return SLICE;
    return some > least ? some : least;
}

/* take - the next slice, until there is none left, or something went wrong. */
static bool take(struct deal *d, struct slice *s)
{
    const struct nm_batch *batch = d->batch;
    (void)pthread_mutex_lock(&d->lock);
    *s = (struct slice){.seq = d->last.seq + d->last.n, .wanted = d->last.wanted + d->last.n_wanted};
    const bool more = d->err == NM_OK && s->seq < batch->n_seqs;
    if (more) {
        const uint32_t *start = batch->seq_start + s->seq;
        const size_t size = slice_size(d, batch->n_tokens - *start);
        do
            s->n++;
        while (s->seq + s->n < batch->n_seqs && start[s->n + 1] - *start <= size);
        while (s->wanted + s->n_wanted < batch->n_wanted && batch->wanted[s->wanted + s->n_wanted] < start[s->n])
            s->n_wanted++;
        d->last = *s;
    }
    (void)pthread_mutex_unlock(&d->lock);
    return more;
}

/* A slice as a batch of its own, by one part; its logits go to where those of its tokens belong. */
static enum nm_err forward_slice(struct nm_bert *part, const struct deal *d, const struct slice *s,
                                 struct nm_diag *diag)
{
    const struct nm_batch *batch = d->batch;
    const uint32_t *start = batch->seq_start + s->seq, first = *start;
    uint32_t *seq_start = part->slice, *wanted = part->slice + s->n + 1;
    const size_t k = part->cfg.n_labels;
    const float *logits;
    for (size_t i = 0; i <= s->n; i++)
        seq_start[i] = start[i] - first;
    for (size_t i = 0; i < s->n_wanted; i++)
        wanted[i] = batch->wanted[s->wanted + i] - first;
    const struct nm_batch own = {.n_seqs = s->n,
                                 .n_tokens = seq_start[s->n],
                                 .ids = batch->ids + first,
                                 .seq_start = seq_start,
                                 .wanted = batch->wanted != NULL ? wanted : NULL,
                                 .n_wanted = s->n_wanted};
    enum nm_err err = nm_bert_forward(part, &own, &logits, diag);
    if (err == NM_OK)
        memcpy(d->b->dealt + first * k, logits, own.n_tokens * k * sizeof *logits);
    return err;
}

static void forward_by_parts(void *arg)
{
    struct deal *d = arg;
    struct nm_bert *part = d->b->parts[nm_team_share(1).thread];
    struct slice s;
    while (take(d, &s)) {
        struct nm_diag diag = {""};
        const enum nm_err err = forward_slice(part, d, &s, &diag);
        (void)pthread_mutex_lock(&d->lock);
        if (err != NM_OK && d->err == NM_OK) {
            d->err = err;
            if (d->diag != NULL)
                *d->diag = diag;
        }
        (void)pthread_mutex_unlock(&d->lock);
    }
}

enum nm_err nm_bert_deal(struct nm_bert *bert, const struct nm_batch *batch, const float **logits,
                         struct nm_diag *diag)
{
    const size_t n = batch->n_tokens * bert->cfg.n_labels;
    if (n > bert->dealt_cap) {
        nm_floats_free(bert->dealt, bert->dealt_cap);
        bert->dealt = nm_floats_new(n + n / 8);
        bert->dealt_cap = bert->dealt != NULL ? n + n / 8 : 0;
        if (bert->dealt == NULL)
            return nm_fail(diag, NM_ENOMEM, "out of memory for a batch of %zu tokens", batch->n_tokens);
    }
    struct deal d = {.b = bert, .batch = batch, .diag = diag};
    (void)pthread_mutex_init(&d.lock, NULL);
    nm_team_run(bert->team, forward_by_parts, &d);
    (void)pthread_mutex_destroy(&d.lock);
    *logits = bert->logits = bert->dealt;
    return d.err;
}

size_t nm_bert_batch(const struct nm_bert *bert)
{
    return bert->parts != NULL ? BATCH : NM_BATCH_TOKENS;
}
