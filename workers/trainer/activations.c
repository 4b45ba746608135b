/* What a pass leaves in memory: one block, laid out anew for each batch. */
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

enum nm_err nm_bert_check_batch(const struct nm_bert *b, const struct nm_batch *batch, size_t *max_len,
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
        if (batch->labels != NULL &&
            (batch->labels[t] < NM_LABEL_UNKNOWN || batch->labels[t] >= (int64_t)b->cfg.n_labels))
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

static void lay_out_layer(struct nm_bert *b, bool measure, bool train, struct layer_acts *a,
                          const struct nm_bert_extent *x)
{
    const size_t h = b->cfg.hidden_size, m = b->cfg.intermediate_size, n = x->n_tokens;
    a->qkv = take(b, measure, n * 3 * h);
    a->ctx = take(b, measure, n * h);
    a->mid = take(b, measure, n * h);
    a->up = take(b, measure, n * m);
    a->out = take(b, measure, n * h);
    if (!train)
        return;
    a->probs = take(b, measure, x->probs * b->cfg.n_heads);
    a->norm1 = (struct nm_norm_kept){take(b, measure, n * h), take(b, measure, n)};
    a->norm2 = (struct nm_norm_kept){take(b, measure, n * h), take(b, measure, n)};
    a->slope = take(b, measure, n * m);
}

/* In training every layer has its own activations, with checkpointing its own output; otherwise all share those of
 * the first, and write in turn into its out and into embedded. */
static void lay_out(struct nm_bert *b, bool measure, bool train, const struct nm_bert_extent *x)
{
    const size_t h = b->cfg.hidden_size, widest = max_size(b->cfg.intermediate_size, 3 * h), n = x->n_tokens;
    memset(b->acts, 0, b->cfg.n_layers * sizeof *b->acts);
    b->arena_used = 0;
    b->embedded = take(b, measure, n * h);
    b->logits = take(b, measure, n * b->cfg.n_labels);
    b->picked_logits = take(b, measure, n * b->cfg.n_labels);
    b->scratch = take(b, measure, b->n_threads * nm_attention_room(x->max_len, h / b->cfg.n_heads));
    if (!train) {
        b->norm0 = (struct nm_norm_kept){NULL, b->lookup != NULL ? take(b, measure, n) : NULL};
        b->lookup_room = b->lookup != NULL ? take(b, measure, nm_lookup_room(n, h, 3 * h)) : NULL;
        lay_out_layer(b, measure, false, &b->acts[0], x);
        return;
    }
    b->norm0 = (struct nm_norm_kept){take(b, measure, n * h), take(b, measure, n)};
    for (size_t i = 0; i < b->cfg.n_layers; i++)
        if (i == 0 || !b->checkpointing)
            lay_out_layer(b, measure, true, &b->acts[i], x);
        else { /* every layer has an output, one has the rest */
            b->acts[i] = b->acts[0];
            b->acts[i].out = take(b, measure, n * h);
        }
    b->final = take(b, measure, n * h);
    b->grad_a = take(b, measure, n * h);
    b->grad_b = take(b, measure, n * h);
    b->grad_c = take(b, measure, n * widest);
    if (b->cfg.crf)
        b->crf_room = take(b, measure, nm_crf_team_room(b->n_threads, x->max_len, b->cfg.n_labels));
}

static enum nm_err grow_arena(struct nm_bert *b, size_t floats, size_t n_tokens, struct nm_diag *diag)
{
    if (floats <= b->arena_cap)
        return NM_OK;
    nm_floats_free(b->arena, b->arena_cap);
    b->arena_cap = floats;
    b->arena = nm_floats_new(floats);
    if (b->arena != NULL)
        return NM_OK;
    b->arena_cap = 0;
    return nm_fail(diag, NM_ENOMEM, "out of memory for a batch of %zu tokens (%zu MB): take a smaller batch",
                   n_tokens, floats * sizeof(float) >> 20);
}

/* Floats that the arena must have for batches of this extent. */
static size_t arena_for(struct nm_bert *b, bool train, const struct nm_bert_extent *extent)
{
    const struct nm_bert_extent scored = {.n_tokens = extent->scored_tokens, .max_len = extent->scored_len};
    lay_out(b, true, train, extent);
    const size_t first = b->arena_used;
    lay_out(b, true, false, &scored);
    return max_size(first, b->arena_used);
}

enum nm_err nm_bert_space_for(struct nm_bert *bert, const struct nm_bert_extent *extent, struct nm_diag *diag)
{
    return grow_arena(bert, arena_for(bert, !bert->inference, extent), extent->n_tokens, diag);
}

enum nm_err nm_bert_reserve(struct nm_bert *bert, const struct nm_bert_extent *extent, struct nm_diag *diag)
{
    enum nm_err err = nm_bert_space_for(bert, extent, diag);
    if (err != NM_OK)
        return err;
    nm_floats_touch(bert->arena, bert->arena_cap);
    nm_floats_touch(bert->params.grad, bert->params.total);
    return NM_OK;
}

static enum nm_err set_up_arena(struct nm_bert *b, bool train, const struct nm_bert_extent *x, struct nm_diag *diag)
{
    lay_out(b, true, train, x);
    if (b->arena_used > b->arena_cap) { /* somewhat more: the next batch may be somewhat larger */
        enum nm_err err = grow_arena(b, b->arena_used + b->arena_used / 8, x->n_tokens, diag);
        if (err != NM_OK)
            return err;
    }
    lay_out(b, false, train, x);
    return NM_OK;
}

size_t nm_bert_memory(const struct nm_model_config *cfg, const struct nm_bert_options *options,
                      const struct nm_bert_extent *extent)
{
    const struct nm_team_options team = nm_bert_team_options(cfg, options->n_threads);
    struct nm_bert measured = {.cfg = *cfg, .checkpointing = options->checkpointing};
    measured.n_threads = nm_team_count(options->n_threads);
    if (options->labels != NULL) {
        measured.cfg.n_labels = options->n_labels;
        measured.cfg.crf = options->crf;
    }
    measured.acts = calloc(cfg->n_layers, sizeof *measured.acts);
    if (measured.acts == NULL)
        return SIZE_MAX;
    const size_t arena = arena_for(&measured, !options->inference, extent);
    free(measured.acts);
    const size_t params = nm_bert_count_params(&measured.cfg);
    return ((options->inference ? 1 : 4) * params + arena + 3 * extent->n_tokens) * sizeof(float) +
           nm_team_memory(&team);
}

static enum nm_err grow_tokens(struct nm_bert *b, size_t n)
{
    if (n <= b->tokens_cap)
        return NM_OK;
    free(b->positions);
    b->tokens_cap = 0;
    b->positions = malloc((3 * n + 1) * sizeof *b->positions);
    if (b->positions == NULL)
        return NM_ENOMEM;
    b->picked = b->positions + n;
    b->picked_start = b->picked + n;
    b->tokens_cap = n;
    return NM_OK;
}

static bool is_in_loss(const struct nm_bert *b, int32_t label)
{
    return label >= 0 || (b->cfg.crf && label == NM_LABEL_UNKNOWN);
}

/* Which tokens the last layer is computed for: what stands in no loss, or is not wanted, has no influence there. att:
 * of the other layers; returns that of the last. */
static struct nm_attention pick(struct nm_bert *b, const struct nm_batch *batch, bool train,
                                const struct nm_attention *att)
{
    struct nm_attention last = *att;
    size_t n = 0, wanted = 0;
    for (size_t s = 0; s < batch->n_seqs; s++) {
        b->picked_start[s] = (uint32_t)n;
        for (uint32_t t = batch->seq_start[s]; t < batch->seq_start[s + 1]; t++) {
            const bool is_wanted = wanted < batch->n_wanted && batch->wanted[wanted] == t;
            wanted += is_wanted;
            if (train ? is_in_loss(b, batch->labels[t]) : is_wanted)
                b->picked[n++] = t;
        }
    }
    b->picked_start[batch->n_seqs] = (uint32_t)n;
    if (n < batch->n_tokens && (train || batch->wanted != NULL)) {
        last.picked = b->picked;
        last.picked_start = b->picked_start;
    }
    return last;
}

enum nm_err nm_bert_set_up(struct nm_bert *b, const struct nm_batch *batch, bool train, struct nm_attention *att,
                           struct nm_attention *att_last, struct nm_diag *diag)
{
    struct nm_bert_extent x = {.n_tokens = batch->n_tokens};
    enum nm_err err = nm_bert_check_batch(b, batch, &x.max_len, diag);
    if (err != NM_OK)
        return err;
    *att = (struct nm_attention){.n_seqs = batch->n_seqs,
                                 .n_heads = b->cfg.n_heads,
                                 .head_size = b->cfg.hidden_size / b->cfg.n_heads,
                                 .seq_start = batch->seq_start,
                                 .max_len = x.max_len};
    x.probs = nm_attention_probs(att) / att->n_heads;
    if (grow_tokens(b, x.n_tokens) != NM_OK)
        return nm_fail(diag, NM_ENOMEM, "out of memory for a batch of %zu tokens", x.n_tokens);
    for (size_t s = 0; s < batch->n_seqs; s++)
        for (uint32_t t = batch->seq_start[s]; t < batch->seq_start[s + 1]; t++)
            b->positions[t] = t - batch->seq_start[s];
    err = set_up_arena(b, train, &x, diag);
    att->scratch = b->scratch;
    *att_last = pick(b, batch, train, att);
    return err;
}
