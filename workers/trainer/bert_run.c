#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/trainer/bert_impl.h"
#include "workers/trainer/floats.h"

/* ---- the batch ------------------------------------------------------------------------------- */

static enum nm_err check_sequences(const struct nm_bert *b, const struct nm_batch *batch, size_t *max_len,
                                   struct nm_diag *diag)
{
    *max_len = 0;
    if (batch->n_seqs == 0 || batch->seq_start[0] != 0 || batch->seq_start[batch->n_seqs] != batch->n_tokens)
        return nm_fail(diag, NM_EINVAL, "a batch of %zu sequences does not cover its %zu tokens", batch->n_seqs,
                       batch->n_tokens);
    for (size_t s = 0; s < batch->n_seqs; s++) {
        uint32_t lo = batch->seq_start[s], hi = batch->seq_start[s + 1];
        if (hi <= lo || hi - lo > b->cfg.max_positions)
            return nm_fail(diag, NM_EINVAL, "sequence %zu of the batch has %lld tokens; 1 to %zu can be taken", s,
                           (long long)hi - (long long)lo, b->cfg.max_positions);
        if (hi - lo > *max_len)
            *max_len = hi - lo;
    }
    return NM_OK;
}

static enum nm_err check_batch(const struct nm_bert *b, const struct nm_batch *batch, size_t *max_len,
                               struct nm_diag *diag)
{
    enum nm_err err = check_sequences(b, batch, max_len, diag);
    if (err != NM_OK)
        return err;
    for (size_t t = 0; t < batch->n_tokens; t++) {
        if (batch->ids[t] >= b->cfg.vocab_size)
            return nm_fail(diag, NM_EINVAL,
                           "token %zu of the batch has id %u, the vocabulary has %zu: is this the "
                           "model's own vocabulary file?",
                           t, batch->ids[t], b->cfg.vocab_size);
        if (batch->labels != NULL && (batch->labels[t] < -1 || batch->labels[t] >= (int64_t)b->cfg.n_labels))
            return nm_fail(diag, NM_EINVAL, "token %zu of the batch has label %d, the model has %zu", t,
                           batch->labels[t], b->cfg.n_labels);
    }
    return NM_OK;
}

/* ---- the activation arena -------------------------------------------------------------------- */

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* n floats of the arena, on a cache line; NULL while it is only being measured. */
static float *take(struct nm_bert *b, bool measure, size_t n)
{
    float *p = measure ? NULL : b->arena + b->arena_used;
    b->arena_used += (n + 15) / 16 * 16;
    return p;
}

struct extent {
    size_t n, max_len, probs;
};

static void lay_out_layer(struct nm_bert *b, bool measure, bool train, struct layer_acts *a, struct extent x)
{
    const size_t h = b->cfg.hidden_size, m = b->cfg.intermediate_size, n = x.n;
    a->qkv = take(b, measure, n * 3 * h);
    a->ctx = take(b, measure, n * h);
    a->mid = take(b, measure, n * h);
    a->up = take(b, measure, n * m);
    a->out = take(b, measure, n * h);
    if (!train)
        return;
    a->probs = take(b, measure, x.probs);
    a->norm1 = (struct nm_norm_kept){take(b, measure, n * h), take(b, measure, n)};
    a->norm2 = (struct nm_norm_kept){take(b, measure, n * h), take(b, measure, n)};
    a->slope = take(b, measure, n * m);
}

/* In training every layer has its own activations; otherwise all share those of the first, and write in turn
 * into its out and into embedded. */
static void lay_out(struct nm_bert *b, bool measure, bool train, struct extent x)
{
    const size_t h = b->cfg.hidden_size, widest = max_size(b->cfg.intermediate_size, 3 * h), n = x.n;
    memset(b->acts, 0, b->cfg.n_layers * sizeof *b->acts);
    b->arena_used = 0;
    b->embedded = take(b, measure, n * h);
    b->logits = take(b, measure, n * b->cfg.n_labels);
    b->scratch = take(b, measure, nm_team_threads(b->team) * 2 * x.max_len * x.max_len);
    if (!train) {
        b->norm0 = (struct nm_norm_kept){NULL, NULL};
        lay_out_layer(b, measure, false, &b->acts[0], x);
        return;
    }
    b->norm0 = (struct nm_norm_kept){take(b, measure, n * h), take(b, measure, n)};
    for (size_t i = 0; i < b->cfg.n_layers; i++)
        lay_out_layer(b, measure, true, &b->acts[i], x);
    b->final = take(b, measure, n * h);
    b->grad_a = take(b, measure, n * h);
    b->grad_b = take(b, measure, n * h);
    b->grad_c = take(b, measure, n * widest);
}

static enum nm_err set_up_arena(struct nm_bert *b, bool train, struct extent x, struct nm_diag *diag)
{
    lay_out(b, true, train, x);
    if (b->arena_used > b->arena_cap) {
        nm_floats_free(b->arena, b->arena_cap);
        b->arena_cap = b->arena_used + b->arena_used / 8;
        b->arena = nm_floats_new(b->arena_cap);
        if (b->arena == NULL) {
            b->arena_cap = 0;
            return nm_fail(diag, NM_ENOMEM, "out of memory for a batch of %zu tokens (%zu MB): take a smaller batch",
                           x.n, b->arena_used * sizeof(float) >> 20);
        }
    }
    lay_out(b, false, train, x);
    return NM_OK;
}

static enum nm_err set_up(struct nm_bert *b, const struct nm_batch *batch, bool train, struct nm_attention *att,
                          struct nm_diag *diag)
{
    struct extent x = {.n = batch->n_tokens};
    enum nm_err err = check_batch(b, batch, &x.max_len, diag);
    if (err != NM_OK)
        return err;
    *att = (struct nm_attention){.n_seqs = batch->n_seqs,
                                 .n_heads = b->cfg.n_heads,
                                 .head_size = b->cfg.hidden_size / b->cfg.n_heads,
                                 .seq_start = batch->seq_start,
                                 .max_len = x.max_len};
    x.probs = nm_attention_probs(att);
    if (b->positions_cap < x.n) {
        free(b->positions);
        b->positions = malloc(x.n * sizeof *b->positions);
        b->positions_cap = b->positions != NULL ? x.n : 0;
        if (b->positions == NULL)
            return nm_fail(diag, NM_ENOMEM, "out of memory for a batch of %zu tokens", x.n);
    }
    for (size_t s = 0; s < batch->n_seqs; s++)
        for (uint32_t t = batch->seq_start[s]; t < batch->seq_start[s + 1]; t++)
            b->positions[t] = t - batch->seq_start[s];
    err = set_up_arena(b, train, x, diag);
    att->scratch = b->scratch;
    return err;
}

size_t nm_bert_memory(const struct nm_model_config *cfg, size_t n_tokens, size_t max_len, bool inference)
{
    const size_t h = cfg->hidden_size, m = cfg->intermediate_size, n = n_tokens;
    const size_t layer = 4 * h * h + 2 * h * m + 9 * h + m;
    const size_t params = (cfg->vocab_size + cfg->max_positions + cfg->n_types + 2) * h + cfg->n_layers * layer +
                          cfg->n_labels * (h + 1);
    const size_t kept = inference ? n * (6 * h + m) : cfg->n_layers * n * (8 * h + 2 * m + cfg->n_heads * max_len);
    const size_t rest = n * (6 * h + max_size(m, 3 * h) + cfg->n_labels) + 4 * max_len * max_len;
    return ((inference ? 1 : 4) * params + (kept + rest) * 9 / 8) * sizeof(float);
}

/* ---- forward --------------------------------------------------------------------------------- */

/* Where dropout stands, as numbers of the masks' streams: 0 embeddings, 1 classifier, then three a layer. */
static struct nm_dropout mask(float p, uint64_t key, size_t layer, size_t site)
{
    return nm_dropout_make(p, key, 2 + 3 * layer + site);
}

static struct nm_norm norm_of(const struct nm_bert *b, size_t gamma, size_t beta)
{
    return (struct nm_norm){b->params.data + gamma, b->params.data + beta, b->cfg.layer_norm_eps};
}

/* One pass; p* are the dropout probabilities, 0 outside training. */
struct pass {
    const struct nm_attention *att;
    float p_hidden, p_attention, p_classifier;
    uint64_t key;
    size_t n;
};

static void layer_forward(struct nm_bert *b, const struct pass *pass, size_t i, const float *in, struct layer_acts *a)
{
    const struct layer_at *at = &b->at.layers[i];
    const size_t h = b->cfg.hidden_size, m = b->cfg.intermediate_size, n = pass->n;
    const float *w = b->params.data;
    const struct nm_dropout att_drop = mask(pass->p_attention, pass->key, i, 0);
    const struct nm_dropout mid_drop = mask(pass->p_hidden, pass->key, i, 1);
    const struct nm_dropout out_drop = mask(pass->p_hidden, pass->key, i, 2);
    nm_linear_forward(b->team, a->qkv, in, w + at->qkv_w, w + at->qkv_b, n, h, 3 * h);
    nm_attention_forward(b->team, a->ctx, a->probs, a->qkv, pass->att, &att_drop);
    nm_linear_norm_forward(b->team, a->mid, a->norm1, a->ctx, w + at->out_w, w + at->out_b, in,
                           norm_of(b, at->norm1_g, at->norm1_b), &mid_drop, n, h, h);
    nm_linear_gelu_forward(b->team, a->up, a->slope, a->mid, w + at->up_w, w + at->up_b, n, h, m);
    nm_linear_norm_forward(b->team, a->out, a->norm2, a->up, w + at->down_w, w + at->down_b, a->mid,
                           norm_of(b, at->norm2_g, at->norm2_b), &out_drop, n, m, h);
}

/* The encoder; returns the last layer's output. */
static float *encode(struct nm_bert *b, const struct pass *pass, const struct nm_batch *batch, bool train)
{
    const float *w = b->params.data;
    const struct nm_embedding table = {w + b->at.word, w + b->at.position, w + b->at.type};
    const struct nm_dropout drop = nm_dropout_make(pass->p_hidden, pass->key, 0);
    float *in = b->embedded;
    nm_embedding_forward(b->team, in, b->norm0, table, batch->ids, b->positions,
                         norm_of(b, b->at.norm_g, b->at.norm_b), &drop, pass->n, b->cfg.hidden_size);
    for (size_t i = 0; i < b->cfg.n_layers; i++) {
        struct layer_acts a = b->acts[train ? i : 0];
        if (!train && i % 2 == 1) /* the two outputs in turn */
            a.out = b->embedded;
        layer_forward(b, pass, i, in, &a);
        in = a.out;
    }
    return in;
}

/* What every thread of the team is given. */
struct work {
    struct nm_bert *b;
    const struct pass *pass;
    const struct nm_batch *batch;
    float scale; /* of the gradient of each labelled token */
    double loss; /* out, summed */
};

static void forward_by_team(void *arg)
{
    const struct work *work = arg;
    struct nm_bert *b = work->b;
    const float *last = encode(b, work->pass, work->batch, false), *w = b->params.data;
    nm_linear_forward(b->team, b->logits, last, w + b->at.head_w, w + b->at.head_b, work->pass->n, b->cfg.hidden_size,
                      b->cfg.n_labels);
}

enum nm_err nm_bert_forward(struct nm_bert *bert, const struct nm_batch *batch, const float **logits,
                            struct nm_diag *diag)
{
    struct nm_attention att;
    enum nm_err err = set_up(bert, batch, false, &att, diag);
    if (err != NM_OK)
        return err;
    const struct pass pass = {.att = &att, .n = batch->n_tokens};
    struct work work = {.b = bert, .pass = &pass, .batch = batch};
    nm_team_run(bert->team, forward_by_team, &work);
    *logits = bert->logits;
    return NM_OK;
}

double nm_bert_loss(const struct nm_bert *bert, const struct nm_batch *batch, size_t *n_labelled)
{
    size_t count = 0;
    double sum =
        nm_cross_entropy(NULL, bert->logits, batch->labels, 0.0F, batch->n_tokens, bert->cfg.n_labels, &count);
    if (n_labelled != NULL)
        *n_labelled = count;
    return count > 0 ? sum / (double)count : 0.0;
}

/* ---- backward -------------------------------------------------------------------------------- */

/* In: the gradient of the layer's output in b->grad_a.  Out: that of its input, in the same place. */
static void layer_backward(struct nm_bert *b, const struct pass *pass, size_t i, const float *in,
                           const struct layer_acts *a)
{
    const struct layer_at *at = &b->at.layers[i];
    const size_t h = b->cfg.hidden_size, m = b->cfg.intermediate_size, n = pass->n;
    const float *w = b->params.data;
    float *g = b->params.grad, *dz = b->grad_a, *dy = b->grad_b, *wide = b->grad_c;
    const int add = !b->fresh;
    const struct nm_dropout att_drop = mask(pass->p_attention, pass->key, i, 0);
    const struct nm_dropout mid_drop = mask(pass->p_hidden, pass->key, i, 1);
    const struct nm_dropout out_drop = mask(pass->p_hidden, pass->key, i, 2);
    nm_norm_backward(b->team, (struct nm_norm_grad){g + at->norm2_g, g + at->norm2_b, g + at->down_b, add}, dz, dy,
                     a->norm2, w + at->norm2_g, &out_drop, n, h);
    nm_linear_gelu_backward(b->team, (struct nm_linear_grad){.dw = g + at->down_w, .dx = wide, .add_dw = add},
                            g + at->up_b, a->slope, dy, a->up, w + at->down_w, n, m, h);
    nm_linear_backward(b->team, (struct nm_linear_grad){.dw = g + at->up_w, .dx = dz, .add_dw = add, .add_dx = 1},
                       wide, a->mid, w + at->up_w, n, h, m);
    nm_norm_backward(b->team, (struct nm_norm_grad){g + at->norm1_g, g + at->norm1_b, g + at->out_b, add}, dz, dy,
                     a->norm1, w + at->norm1_g, &mid_drop, n, h);
    /* The context's gradient takes the place of the context's output's: mid is not needed any more. */
    nm_linear_backward(b->team, (struct nm_linear_grad){.dw = g + at->out_w, .dx = a->mid, .add_dw = add}, dy, a->ctx,
                       w + at->out_w, n, h, h);
    nm_attention_backward(b->team, wide, a->mid, a->qkv, a->probs, pass->att, &att_drop);
    nm_linear_backward(
        b->team,
        (struct nm_linear_grad){.dw = g + at->qkv_w, .dbias = g + at->qkv_b, .dx = dz, .add_dw = add, .add_dx = 1},
        wide, in, w + at->qkv_w, n, h, 3 * h);
}

/* Rows that are touched for the first time hold zeros already. */
static void touch(struct nm_touched *t, const uint32_t *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!t->marked[rows[i]]) {
            t->marked[rows[i]] = 1;
            t->rows[t->n++] = rows[i];
        }
}

static void touch_rows(struct nm_bert *b, const struct nm_batch *batch)
{
    static const uint32_t type_zero = 0;
    touch(&b->touched[0], batch->ids, batch->n_tokens);
    touch(&b->touched[1], b->positions, batch->n_tokens);
    touch(&b->touched[2], &type_zero, 1);
}

static void embeddings_backward(struct nm_bert *b, const struct pass *pass, const struct nm_batch *batch)
{
    float *g = b->params.grad;
    const struct nm_dropout drop = nm_dropout_make(pass->p_hidden, pass->key, 0);
    nm_embedding_backward(b->team, (struct nm_embedding_grad){g + b->at.word, g + b->at.position, g + b->at.type},
                          (struct nm_norm_grad){g + b->at.norm_g, g + b->at.norm_b, NULL, !b->fresh}, b->grad_a,
                          b->norm0, b->params.data + b->at.norm_g, batch->ids, b->positions, &drop, pass->n,
                          b->cfg.hidden_size);
}

static void backward(struct nm_bert *b, const struct pass *pass, const struct nm_batch *batch)
{
    const size_t h = b->cfg.hidden_size, k = b->cfg.n_labels;
    const struct nm_dropout drop = nm_dropout_make(pass->p_classifier, pass->key, 1);
    float *g = b->params.grad;
    nm_linear_backward(b->team,
                       (struct nm_linear_grad){
                           .dw = g + b->at.head_w, .dbias = g + b->at.head_b, .dx = b->grad_a, .add_dw = !b->fresh},
                       b->logits, b->final, b->params.data + b->at.head_w, pass->n, h, k);
    nm_dropout_apply(b->team, b->grad_a, b->grad_a, &drop, pass->n, h);
    for (size_t i = b->cfg.n_layers; i-- > 0;)
        layer_backward(b, pass, i, i > 0 ? b->acts[i - 1].out : b->embedded, &b->acts[i]);
    embeddings_backward(b, pass, batch);
}

/* Nothing was added, but a step may follow: what an earlier step left must be gone. */
static void clear_dense_gradients(struct nm_bert *b)
{
    for (size_t i = 0; b->fresh && i < b->params.n; i++) {
        const struct nm_param *p = &b->params.at[i];
        if (p->touched == NULL)
            memset(b->params.grad + p->offset, 0, p->n * sizeof(float));
    }
    b->fresh = false;
}

static void train_by_team(void *arg)
{
    struct work *work = arg;
    struct nm_bert *b = work->b;
    const struct pass *pass = work->pass;
    const size_t h = b->cfg.hidden_size, k = b->cfg.n_labels;
    const struct nm_share own = nm_team_share(pass->n);
    const float *last = encode(b, pass, work->batch, true), *w = b->params.data;
    const struct nm_dropout drop = nm_dropout_make(pass->p_classifier, pass->key, 1);
    float *logits = b->logits + own.lo * k;
    nm_dropout_apply(b->team, b->final, last, &drop, pass->n, h);
    nm_linear_forward(b->team, b->logits, b->final, w + b->at.head_w, w + b->at.head_b, pass->n, h, k);
    double part = nm_cross_entropy(logits, logits, work->batch->labels + own.lo, work->scale, own.n, k, NULL);
    double sum = nm_team_sum(b->team, part);
    if (own.first)
        work->loss = sum;
    backward(b, pass, work->batch);
}

enum nm_err nm_bert_train(struct nm_bert *bert, const struct nm_batch *batch, float scale, uint64_t dropout_key,
                          double *loss, size_t *n_labelled, struct nm_diag *diag)
{
    struct nm_attention att;
    size_t count = 0;
    if (bert->inference || batch->labels == NULL)
        return nm_fail(diag, NM_ESTATE, "a model opened for tagging, or a batch without labels, cannot be trained");
    enum nm_err err = set_up(bert, batch, true, &att, diag);
    if (err != NM_OK)
        return err;
    for (size_t t = 0; t < batch->n_tokens; t++)
        count += batch->labels[t] >= 0;
    const struct pass pass = {.att = &att,
                              .p_hidden = bert->cfg.hidden_dropout,
                              .p_attention = bert->cfg.attention_dropout,
                              .p_classifier = bert->cfg.classifier_dropout,
                              .key = dropout_key,
                              .n = batch->n_tokens};
    struct work work = {.b = bert, .pass = &pass, .batch = batch};
    if (count == 0) {
        clear_dense_gradients(bert);
    } else {
        work.scale = scale / (float)count;
        touch_rows(bert, batch);
        nm_team_run(bert->team, train_by_team, &work);
        bert->fresh = false;
    }
    if (loss != NULL)
        *loss = count > 0 ? work.loss / (double)count : 0.0;
    if (n_labelled != NULL)
        *n_labelled = count;
    return NM_OK;
}
