#include "workers/trainer/bert.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "workers/trainer/bert_impl.h"
#include "workers/trainer/floats.h"

enum { ALIGN = 16 }; /* floats: a cache line */

/* ---- where every tensor stands --------------------------------------------------------------- */

struct layout {
    struct nm_params *params; /* NULL: only count */
    size_t n, at;
};

/* put - the next tensor; aligned to a cache line unless it follows its neighbour in a fused product. */
static size_t put(struct layout *l, bool fused, size_t rows, size_t cols, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
static size_t put(struct layout *l, bool fused, size_t rows, size_t cols, const char *fmt, ...)
{
    if (!fused)
        l->at = (l->at + ALIGN - 1) / ALIGN * ALIGN;
    size_t at = l->at, n = rows * (cols == 0 ? 1 : cols);
    if (l->params != NULL) {
        struct nm_param *p = &l->params->at[l->n];
        va_list args;
        va_start(args, fmt);
        (void)vsnprintf(p->name, sizeof p->name, fmt, args);
        va_end(args);
        p->rank = cols == 0 ? 1 : 2;
        p->rows = rows;
        p->cols = cols == 0 ? 1 : cols;
        p->offset = at;
        p->n = n;
        p->no_decay = cols == 0; /* biases, LayerNorm's weight and bias: everything of rank 1 */
    }
    l->n++;
    l->at += n;
    return at;
}

static void put_layer(struct layout *l, const struct nm_model_config *cfg, struct layer_at *at, size_t i)
{
    const size_t h = cfg->hidden_size, m = cfg->intermediate_size;
    const char *const p = "bert.encoder.layer";
    at->qkv_w = put(l, false, h, h, "%s.%zu.attention.self.query.weight", p, i);
    put(l, true, h, h, "%s.%zu.attention.self.key.weight", p, i);
    put(l, true, h, h, "%s.%zu.attention.self.value.weight", p, i);
    at->qkv_b = put(l, false, h, 0, "%s.%zu.attention.self.query.bias", p, i);
    put(l, true, h, 0, "%s.%zu.attention.self.key.bias", p, i);
    put(l, true, h, 0, "%s.%zu.attention.self.value.bias", p, i);
    at->out_w = put(l, false, h, h, "%s.%zu.attention.output.dense.weight", p, i);
    at->out_b = put(l, false, h, 0, "%s.%zu.attention.output.dense.bias", p, i);
    at->norm1_g = put(l, false, h, 0, "%s.%zu.attention.output.LayerNorm.weight", p, i);
    at->norm1_b = put(l, false, h, 0, "%s.%zu.attention.output.LayerNorm.bias", p, i);
    at->up_w = put(l, false, m, h, "%s.%zu.intermediate.dense.weight", p, i);
    at->up_b = put(l, false, m, 0, "%s.%zu.intermediate.dense.bias", p, i);
    at->down_w = put(l, false, h, m, "%s.%zu.output.dense.weight", p, i);
    at->down_b = put(l, false, h, 0, "%s.%zu.output.dense.bias", p, i);
    at->norm2_g = put(l, false, h, 0, "%s.%zu.output.LayerNorm.weight", p, i);
    at->norm2_b = put(l, false, h, 0, "%s.%zu.output.LayerNorm.bias", p, i);
}

static void put_model(struct layout *l, const struct nm_model_config *cfg, struct model_at *at)
{
    const size_t h = cfg->hidden_size;
    at->word = put(l, false, cfg->vocab_size, h, "bert.embeddings.word_embeddings.weight");
    at->position = put(l, false, cfg->max_positions, h, "bert.embeddings.position_embeddings.weight");
    at->type = put(l, false, cfg->n_types, h, "bert.embeddings.token_type_embeddings.weight");
    at->norm_g = put(l, false, h, 0, "bert.embeddings.LayerNorm.weight");
    at->norm_b = put(l, false, h, 0, "bert.embeddings.LayerNorm.bias");
    for (size_t i = 0; i < cfg->n_layers; i++)
        put_layer(l, cfg, &at->layers[i], i);
    at->head = l->n;
    at->head_w = put(l, false, cfg->n_labels, h, "classifier.weight");
    at->head_b = put(l, false, cfg->n_labels, 0, "classifier.bias");
    if (cfg->crf) {
        at->crf_transitions = put(l, false, cfg->n_labels, cfg->n_labels, "crf.transitions");
        at->crf_start = put(l, false, cfg->n_labels, 0, "crf.start_transitions");
        at->crf_end = put(l, false, cfg->n_labels, 0, "crf.end_transitions");
    }
    l->at = (l->at + ALIGN - 1) / ALIGN * ALIGN;
}

size_t nm_bert_count_params(const struct nm_model_config *cfg)
{
    struct layout count = {NULL, 0, 0};
    struct model_at at = {.layers = calloc(cfg->n_layers, sizeof *at.layers)};
    if (at.layers == NULL)
        return SIZE_MAX / 8;
    put_model(&count, cfg, &at);
    free(at.layers);
    return count.at;
}

static bool make_touched(struct nm_touched *t, size_t rows)
{
    t->rows = calloc(rows, sizeof *t->rows);
    t->marked = calloc(rows, sizeof *t->marked);
    return t->rows != NULL && t->marked != NULL;
}

static bool make_params(struct nm_bert *b)
{
    struct layout count = {NULL, 0, 0}, real = {&b->params, 0, 0};
    b->at.layers = calloc(b->cfg.n_layers, sizeof *b->at.layers);
    if (b->at.layers == NULL)
        return false;
    put_model(&count, &b->cfg, &b->at);
    b->params.n = count.n;
    b->params.total = count.at;
    b->params.at = calloc(count.n, sizeof *b->params.at);
    b->params.data = b->frozen ? nm_floats_new_sparse(count.at) : nm_floats_new(count.at);
    b->params.grad = b->inference ? NULL : nm_floats_new(count.at);
    if (b->params.at == NULL || b->params.data == NULL || (!b->inference && b->params.grad == NULL))
        return false;
    put_model(&real, &b->cfg, &b->at);
    for (size_t i = 0; i < 3 && !b->inference; i++) { /* the three embeddings are the first three tensors */
        if (!make_touched(&b->touched[i], b->params.at[i].rows))
            return false;
        b->params.at[i].touched = &b->touched[i];
    }
    return true;
}

static bool make_weights(struct nm_bert *b)
{
    const float *w = b->params.data;
    b->weights = calloc(b->cfg.n_layers, sizeof *b->weights);
    if (b->weights == NULL)
        return false;
    b->words = w + b->at.word;
    b->head.values = w + b->at.head_w;
    for (size_t i = 0; i < b->cfg.n_layers; i++) {
        const struct layer_at *at = &b->at.layers[i];
        b->weights[i] = (struct layer_weights){{.values = w + at->qkv_w},
                                               {.values = w + at->out_w},
                                               {.values = w + at->up_w},
                                               {.values = w + at->down_w}};
    }
    return true;
}

static bool make_crf(struct nm_bert *b)
{
    if (nm_crf_init(&b->crf, (const char *const *)b->cfg.labels, b->cfg.n_labels) != NM_OK)
        return false;
    if (b->cfg.crf) {
        b->crf.transitions = b->params.data + b->at.crf_transitions;
        b->crf.start = b->params.data + b->at.crf_start;
        b->crf.end = b->params.data + b->at.crf_end;
    }
    return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

static enum nm_err copy_config(struct nm_bert *b, const struct nm_model_config *cfg,
                               const struct nm_bert_options *options)
{
    const bool own = options->labels != NULL;
    b->cfg = *cfg;
    b->cfg.labels = NULL;
    b->cfg.n_labels = 0;
    b->cfg.crf = own ? options->crf : cfg->crf;
    return nm_model_config_set_labels(&b->cfg, own ? options->labels : (const char *const *)cfg->labels,
                                      own ? options->n_labels : cfg->n_labels);
}

struct nm_team_options nm_bert_team_options(const struct nm_model_config *cfg, size_t n_threads)
{
    const size_t widest =
        cfg->intermediate_size > 3 * cfg->hidden_size ? cfg->intermediate_size : 3 * cfg->hidden_size;
    return (struct nm_team_options){.n_threads = n_threads, .widest = widest, .largest = widest * cfg->hidden_size};
}

enum nm_err nm_bert_new(struct nm_bert **bert, const struct nm_model_config *cfg,
                        const struct nm_bert_options *options, struct nm_diag *diag)
{
    struct nm_bert *b = calloc(1, sizeof *b);
    struct nm_team_options team = nm_bert_team_options(cfg, options->n_threads);
    team.packed = options->frozen;
    if (b == NULL || copy_config(b, cfg, options) != NM_OK)
        goto no_memory;
    b->frozen = options->frozen;
    b->in_place = options->frozen && !options->lasting;
    b->inference = options->inference || options->frozen;
    b->checkpointing = options->checkpointing;
    b->precision = options->precision;
    b->fresh = true;
    b->acts = calloc(cfg->n_layers, sizeof *b->acts);
    if (b->acts == NULL || !make_params(b) || !make_weights(b) || !make_crf(b) ||
        nm_team_new(&b->team, &team) != NM_OK)
        goto no_memory;
    b->n_threads = nm_team_threads(b->team);
    for (size_t i = 0; i < b->params.n; i++) {
        const struct nm_param *p = &b->params.at[i];
        if (strstr(p->name, "LayerNorm.weight") != NULL)
            for (size_t j = 0; j < p->n; j++)
                b->params.data[p->offset + j] = 1.0F;
    }
    *bert = b;
    return NM_OK;
no_memory:
    nm_bert_destroy(&b);
    return nm_fail(diag, NM_ENOMEM, "out of memory for a model of %zu layers, hidden size %zu, vocabulary %zu",
                   cfg->n_layers, cfg->hidden_size, cfg->vocab_size);
}

void nm_bert_destroy(struct nm_bert **bert)
{
    struct nm_bert *b = *bert;
    if (b == NULL)
        return;
    for (size_t i = 0; i < 3; i++) {
        free(b->touched[i].rows);
        free(b->touched[i].marked);
    }
    nm_bert_thaw(b);
    nm_team_destroy(&b->team);
    nm_crf_clean_up(&b->crf);
    nm_model_config_clean_up(&b->cfg);
    free(b->params.at);
    nm_floats_free(b->params.data, b->params.total);
    nm_floats_free(b->params.grad, b->params.total);
    free(b->at.layers);
    free(b->weights);
    free(b->acts);
    nm_floats_free(b->arena, b->arena_cap);
    free(b->positions);
    free(b);
    *bert = NULL;
}

/* N(0, std) by Box-Muller. */
static void draw_normal(struct nm_rng *rng, float std, float *out, size_t n)
{
    for (size_t i = 0; i < n; i += 2) {
        double r = sqrt(-2.0 * log(1.0 - nm_rng_unit(rng))), a = 6.283185307179586 * nm_rng_unit(rng);
        out[i] = (float)(r * cos(a)) * std;
        if (i + 1 < n)
            out[i + 1] = (float)(r * sin(a)) * std;
    }
}

void nm_bert_init_weights(struct nm_bert *bert, uint64_t seed)
{
    for (size_t i = 0; i < bert->params.n; i++) {
        const struct nm_param *p = &bert->params.at[i];
        if (p->rank == 2)
            nm_bert_init_param(bert, i, seed);
    }
}

void nm_bert_init_param(struct nm_bert *bert, size_t i, uint64_t seed)
{
    const struct nm_param *p = &bert->params.at[i];
    struct nm_rng rng;
    nm_rng_init(&rng, nm_mix64(seed + i));
    draw_normal(&rng, bert->cfg.initializer_range, nm_bert_destination(bert, p), p->n);
}

const struct nm_model_config *nm_bert_config(const struct nm_bert *bert)
{
    return &bert->cfg;
}

struct nm_params *nm_bert_params(struct nm_bert *bert)
{
    return &bert->params;
}

const struct nm_crf *nm_bert_crf(const struct nm_bert *bert)
{
    return &bert->crf;
}

void nm_bert_set_dropout(struct nm_bert *bert, float p)
{
    bert->cfg.hidden_dropout = bert->cfg.attention_dropout = bert->cfg.classifier_dropout = p;
}

void nm_bert_on_grad(struct nm_bert *bert, void (*ready)(void *arg, size_t offset), void *arg)
{
    bert->ready = ready;
    bert->ready_arg = arg;
}

void nm_bert_set_loss(struct nm_bert *bert, float smoothing, float gce)
{
    bert->loss = (struct nm_loss){.smoothing = smoothing, .gce = gce};
}

void nm_bert_set_min_score(struct nm_bert *bert, double min_score)
{
    bert->cfg.min_score = (float)min_score;
}

bool nm_bert_head_loaded(const struct nm_bert *bert)
{
    return bert->head_loaded;
}

void nm_bert_zero_grad(struct nm_bert *bert)
{
    bert->fresh = true;
    for (size_t i = 0; i < 3 && !bert->inference; i++) {
        struct nm_touched *t = &bert->touched[i];
        const struct nm_param *p = &bert->params.at[i];
        for (size_t j = 0; j < t->n; j++) {
            memset(bert->params.grad + p->offset + t->rows[j] * p->cols, 0, p->cols * sizeof(float));
            t->marked[t->rows[j]] = 0;
        }
        t->n = 0;
    }
}
