#include <string.h>

#include "workers/trainer/bert_impl.h"
#include "workers/trainer/gemm.h"

/* ---- forward --------------------------------------------------------------------------------- */

static struct nm_norm norm_of(const struct nm_bert *b, size_t gamma, size_t beta)
{
    return (struct nm_norm){b->params.data + gamma, b->params.data + beta, b->cfg.layer_norm_eps};
}

/* One pass; p* are the dropout probabilities, 0 outside training. */
struct pass {
    struct nm_attention att, att_last; /* of the layers but the last, and of that */
    size_t n_last;                     /* rows behind the last layer's attention: n, or those that are picked */
    float p_hidden, p_attention, p_classifier;
    uint64_t key;
    const uint32_t *ids;
    size_t n;
    size_t before; /* tokens of the step in front of these */
};

static size_t rows_of_last(const struct nm_attention *last, size_t n)
{
    return last->picked != NULL ? last->picked_start[last->n_seqs] : n;
}

/* Where dropout stands, as numbers of the masks' streams: 0 embeddings, 1 classifier, then three a layer.  In front
 * of these rows are as many a token as a row is of one: 1, or in attention the number of heads. */
static struct nm_dropout mask(const struct pass *pass, float p, size_t stream, size_t rows_a_token)
{
    return nm_dropout_from(nm_dropout_make(p, pass->key, stream), pass->before * rows_a_token);
}

/* In the layers behind attention a picked row has its token's number. */
static struct nm_dropout mask_of(const struct pass *pass, size_t layer, size_t site, bool last)
{
    struct nm_dropout drop = mask(pass, site == 0 ? pass->p_attention : pass->p_hidden, 2 + 3 * layer + site,
                                  site == 0 ? pass->att.n_heads : 1);
    drop.rows = last && site > 0 ? pass->att_last.picked : NULL;
    return drop;
}

static struct nm_dropout classifier_mask(const struct pass *pass)
{
    struct nm_dropout drop = mask(pass, pass->p_classifier, 1, 1);
    drop.rows = pass->att_last.picked;
    return drop;
}

/* Behind attention: a's rows from ctx to out, n of them. */
static void rows_forward(struct nm_bert *b, const struct pass *pass, size_t i, const float *in,
                         const struct layer_acts *a, size_t n)
{
    const struct layer_at *at = &b->at.layers[i];
    const struct layer_weights *by = &b->weights[i];
    const size_t h = b->cfg.hidden_size, m = b->cfg.intermediate_size;
    const bool last = i + 1 == b->cfg.n_layers;
    const float *w = b->params.data;
    const struct nm_dropout mid_drop = mask_of(pass, i, 1, last);
    const struct nm_dropout out_drop = mask_of(pass, i, 2, last);
    nm_linear_norm_forward(b->team, a->mid, a->norm1, a->ctx, by->out, w + at->out_b, in,
                           norm_of(b, at->norm1_g, at->norm1_b), &mid_drop, n, h, h);
    nm_linear_gelu_forward(b->team, a->up, a->slope, a->mid, by->up, w + at->up_b, n, h, m);
    nm_linear_norm_forward(b->team, a->out, a->norm2, a->up, by->down, w + at->down_b, a->mid,
                           norm_of(b, at->norm2_g, at->norm2_b), &out_drop, n, m, h);
}

/* The same, a part's: a block of rows goes through all of it while it is in the second cache. */
static void blocks_forward(struct nm_bert *b, const struct pass *pass, size_t i, const float *in, struct layer_acts a,
                           size_t n)
{
    const size_t h = b->cfg.hidden_size;
    for (size_t left = n, rows; left > 0; left -= rows) {
        rows = left < NM_GEMM_BLOCK ? left : NM_GEMM_BLOCK;
        rows_forward(b, pass, i, in, &a, rows);
        in += rows * h;
        a.ctx += rows * h;
        a.out += rows * h;
    }
}

static void layer_forward(struct nm_bert *b, const struct pass *pass, size_t i, const float *in, struct layer_acts *a)
{
    const struct layer_at *at = &b->at.layers[i];
    const size_t h = b->cfg.hidden_size;
    const bool last = i + 1 == b->cfg.n_layers;
    const size_t n = last ? pass->n_last : pass->n; /* behind attention */
    const struct nm_attention *att = last ? &pass->att_last : &pass->att;
    const struct layer_weights *by = &b->weights[i];
    const float *w = b->params.data;
    const struct nm_dropout att_drop = mask_of(pass, i, 0, last);
    if (i == 0 && b->lookup != NULL)
        nm_lookup_forward(b->lookup, b->team, a->qkv, pass->ids, b->positions, b->norm0.rstd, b->lookup_room,
                          pass->n);
    else
        nm_linear_forward(b->team, a->qkv, in, by->qkv, w + at->qkv_b, pass->n, h, 3 * h);
    nm_attention_forward(b->team, a->ctx, a->probs, a->qkv, att, &att_drop);
    if (att->picked != NULL) { /* out has room for the residual until it is written */
        nm_pick_rows(b->team, a->out, in, att->picked, n, h);
        in = a->out;
    }
    if (b->frozen && b->n_threads == 1)
        blocks_forward(b, pass, i, in, *a, n);
    else
        rows_forward(b, pass, i, in, a, n);
}

/* The encoder; returns the last layer's output. */
static float *encode(struct nm_bert *b, const struct pass *pass, bool train)
{
    const float *w = b->params.data;
    const struct nm_embedding table = {b->words, w + b->at.position, w + b->at.type};
    const struct nm_dropout drop = mask(pass, pass->p_hidden, 0, 1);
    float *in = b->embedded;
    nm_embedding_forward(b->team, in, b->norm0, table, pass->ids, b->positions,
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

/* The logits of x, the last layer's rows. */
static void classify(struct nm_bert *b, const struct pass *pass, const float *x)
{
    const size_t k = b->cfg.n_labels;
    const float *w = b->params.data;
    float *logits = pass->att_last.picked != NULL ? b->picked_logits : b->logits;
    nm_linear_forward(b->team, logits, x, b->head, w + b->at.head_b, pass->n_last, b->cfg.hidden_size, k);
    if (logits != b->logits)
        nm_spread_rows(b->team, b->logits, logits, pass->att_last.picked, pass->n_last, pass->n, k);
}

static void forward_by_team(void *arg)
{
    const struct work *work = arg;
    struct nm_bert *b = work->b;
    classify(b, work->pass, encode(b, work->pass, false));
}

/* By all threads of the team, each its own rows of everything. */
static enum nm_err forward_together(struct nm_bert *bert, const struct nm_batch *batch, const float **logits,
                                    struct nm_diag *diag)
{
    struct pass pass = {.ids = batch->ids, .n = batch->n_tokens};
    enum nm_err err = nm_bert_set_up(bert, batch, false, &pass.att, &pass.att_last, diag);
    if (err != NM_OK)
        return err;
    pass.n_last = rows_of_last(&pass.att_last, pass.n);
    struct work work = {.b = bert, .pass = &pass, .batch = batch};
    nm_team_set_precision(bert->team, bert->inference ? bert->precision : NM_FP32);
    nm_team_run(bert->team, forward_by_team, &work);
    *logits = bert->logits;
    return NM_OK;
}

/* A sequence that is more than a thread's share would keep the others waiting: it is for all of them. */
enum nm_err nm_bert_forward(struct nm_bert *bert, const struct nm_batch *batch, const float **logits,
                            struct nm_diag *diag)
{
    size_t longest;
    enum nm_err err = nm_bert_check_batch(bert, batch, &longest, diag);
    if (err == NM_OK && bert->parts != NULL && longest * bert->n_threads <= batch->n_tokens)
        return nm_bert_deal(bert, batch, logits, diag);
    return err == NM_OK ? forward_together(bert, batch, logits, diag) : err;
}

double nm_bert_loss(const struct nm_bert *bert, const struct nm_batch *batch, size_t *n_labelled)
{
    size_t count = 0;
    double sum =
        nm_cross_entropy(NULL, bert->logits, batch->labels, 0.0F, batch->n_tokens, bert->cfg.n_labels, NULL, &count);
    if (n_labelled != NULL)
        *n_labelled = count;
    return count > 0 ? sum / (double)count : 0.0;
}

/* ---- backward -------------------------------------------------------------------------------- */

/* In: the gradient of the layer's output in b->grad_a, or of picked rows in b->grad_b.  Out: that of its input in
 * b->grad_a. */
static void layer_backward(struct nm_bert *b, const struct pass *pass, size_t i, const float *in,
                           const struct layer_acts *a)
{
    const struct layer_at *at = &b->at.layers[i];
    const size_t h = b->cfg.hidden_size, m = b->cfg.intermediate_size;
    const bool last = i + 1 == b->cfg.n_layers;
    const size_t n = last ? pass->n_last : pass->n; /* behind attention */
    const struct nm_attention *att = last ? &pass->att_last : &pass->att;
    const bool picked = att->picked != NULL;
    const float *w = b->params.data;
    float *g = b->params.grad, *wide = b->grad_c;
    float *dz = picked ? b->grad_b : b->grad_a, *dy = picked ? b->grad_a : b->grad_b;
    const int add = !b->fresh;
    const struct nm_dropout att_drop = mask_of(pass, i, 0, last);
    const struct nm_dropout mid_drop = mask_of(pass, i, 1, last);
    const struct nm_dropout out_drop = mask_of(pass, i, 2, last);
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
    nm_attention_backward(b->team, wide, a->mid, a->qkv, a->probs, att, &att_drop);
    if (picked)
        nm_spread_rows(b->team, b->grad_a, dz, att->picked, n, pass->n, h);
    nm_linear_backward(b->team,
                       (struct nm_linear_grad){
                           .dw = g + at->qkv_w, .dbias = g + at->qkv_b, .dx = b->grad_a, .add_dw = add, .add_dx = 1},
                       wide, in, w + at->qkv_w, pass->n, h, 3 * h);
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
    const struct nm_dropout drop = mask(pass, pass->p_hidden, 0, 1);
    nm_embedding_backward(b->team, (struct nm_embedding_grad){g + b->at.word, g + b->at.position, g + b->at.type},
                          (struct nm_norm_grad){g + b->at.norm_g, g + b->at.norm_b, NULL, !b->fresh}, b->grad_a,
                          b->norm0, b->params.data + b->at.norm_g, batch->ids, b->positions, &drop, pass->n,
                          b->cfg.hidden_size);
}

/* Behind layer i's backward pass no thread is in the one of the layer above any more: i's has barriers. */
static void tell_ready(const struct nm_bert *b, size_t i)
{
    if (b->ready != NULL)
        b->ready(b->ready_arg, i + 1 < b->cfg.n_layers ? b->at.layers[i + 1].qkv_w : b->at.head_w);
}

static void backward(struct nm_bert *b, const struct pass *pass, const struct nm_batch *batch)
{
    const size_t h = b->cfg.hidden_size, k = b->cfg.n_labels, n = pass->n_last;
    const uint32_t *picked = pass->att_last.picked;
    const struct nm_dropout drop = classifier_mask(pass);
    float *g = b->params.grad, *dx = picked != NULL ? b->grad_b : b->grad_a;
    const float *dlogits = picked != NULL ? b->picked_logits : b->logits;
    if (picked != NULL)
        nm_pick_rows(b->team, b->picked_logits, b->logits, picked, n, k);
    nm_linear_backward(
        b->team,
        (struct nm_linear_grad){.dw = g + b->at.head_w, .dbias = g + b->at.head_b, .dx = dx, .add_dw = !b->fresh},
        dlogits, b->final, b->params.data + b->at.head_w, n, h, k);
    nm_dropout_apply(b->team, dx, dx, &drop, n, h);
    for (size_t i = b->cfg.n_layers; i-- > 0;) {
        const float *in = i > 0 ? b->acts[i - 1].out : b->embedded;
        if (b->checkpointing && i + 1 < b->cfg.n_layers) /* the last layer's are still there */
            layer_forward(b, pass, i, in, &b->acts[i]);
        layer_backward(b, pass, i, in, &b->acts[i]);
        if (nm_team_share(1).first)
            tell_ready(b, i);
    }
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

void nm_bert_no_grad(struct nm_bert *bert)
{
    clear_dense_gradients(bert);
    for (size_t i = bert->cfg.n_layers; i-- > 0;) /* in the steps of those who have sentences */
        tell_ready(bert, i);
}

/* The loss, summed, from the logits, which become their gradients. */
static double loss_of(const struct work *work)
{
    struct nm_bert *b = work->b;
    const struct nm_batch *batch = work->batch;
    const struct nm_share own = nm_team_share(batch->n_tokens);
    float *g = b->params.grad, *logits = b->logits + own.lo * b->cfg.n_labels;
    const struct nm_crf_grad grad = {g + b->at.crf_transitions, g + b->at.crf_start, g + b->at.crf_end, !b->fresh};
    const struct nm_crf_batch sentences = {.logits = b->logits,
                                           .labels = batch->labels,
                                           .seq_start = batch->seq_start,
                                           .n_seqs = batch->n_seqs,
                                           .max_len = work->pass->att.max_len,
                                           .scale = work->scale,
                                           .room = b->crf_room};
    if (b->cfg.crf)
        return nm_crf_train(b->team, &b->crf, grad, &sentences);
    return nm_team_sum(b->team, nm_cross_entropy(logits, logits, batch->labels + own.lo, work->scale, own.n,
                                                 b->cfg.n_labels, &b->loss, NULL));
}

static void train_by_team(void *arg)
{
    struct work *work = arg;
    struct nm_bert *b = work->b;
    const struct pass *pass = work->pass;
    const size_t h = b->cfg.hidden_size;
    const float *last = encode(b, pass, true);
    const struct nm_dropout drop = classifier_mask(pass);
    nm_dropout_apply(b->team, b->final, last, &drop, pass->n_last, h);
    classify(b, pass, b->final);
    const double sum = loss_of(work);
    if (nm_team_share(1).first)
        work->loss = sum;
    backward(b, pass, work->batch);
}

enum nm_err nm_bert_train(struct nm_bert *bert, const struct nm_batch *batch, float scale, uint64_t dropout_key,
                          double *loss, size_t *n_labelled, struct nm_diag *diag)
{
    struct pass pass = {.p_hidden = bert->cfg.hidden_dropout,
                        .p_attention = bert->cfg.attention_dropout,
                        .p_classifier = bert->cfg.classifier_dropout,
                        .key = dropout_key,
                        .ids = batch->ids,
                        .n = batch->n_tokens,
                        .before = batch->first_token};
    size_t count = 0;
    if (bert->inference || batch->labels == NULL)
        return nm_fail(diag, NM_ESTATE, "a model opened for tagging, or a batch without labels, cannot be trained");
    enum nm_err err = nm_bert_set_up(bert, batch, true, &pass.att, &pass.att_last, diag);
    if (err != NM_OK)
        return err;
    pass.n_last = rows_of_last(&pass.att_last, pass.n);
    for (size_t t = 0; t < batch->n_tokens; t++)
        count += batch->labels[t] >= 0;
    struct work work = {.b = bert, .pass = &pass, .batch = batch};
    if (count == 0) {
        clear_dense_gradients(bert);
    } else {
        work.scale = scale / (float)count;
        touch_rows(bert, batch);
        nm_team_set_precision(bert->team, bert->precision);
        nm_team_run(bert->team, train_by_team, &work);
        bert->fresh = false;
    }
    if (loss != NULL)
        *loss = count > 0 ? work.loss / (double)count : 0.0;
    if (n_labelled != NULL)
        *n_labelled = count;
    return NM_OK;
}
