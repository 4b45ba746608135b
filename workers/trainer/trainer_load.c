#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/trainer/memory.h"
#include "workers/trainer/tagger.h"
#include "workers/trainer/trainer_impl.h"

/* The gold sentences that the recipe holds out, as a corpus to score on. */
static enum nm_err hold_out(struct trainer *tr)
{
    const struct nm_corpus *train = tr->training->train;
    tr->dev = tr->training->dev;
    if (tr->stages.n_dev == 0)
        return NM_OK;
    struct nm_sentence *sentences = malloc(tr->stages.n_dev * sizeof(*sentences));
    if (sentences == NULL)
        return nm_fail(tr->diag, NM_ENOMEM, "out of memory for the dev part");
    tr->held_out = (struct nm_corpus){
        .sentences = sentences, .n = tr->stages.n_dev, .types = train->types, .n_types = train->n_types};
    for (size_t i = 0; i < tr->stages.n_dev; i++) {
        sentences[i] = train->sentences[tr->stages.dev[i]];
        tr->held_out.n_words += sentences[i].n;
    }
    tr->dev = &tr->held_out;
    return NM_OK;
}

enum nm_err nm_trainer_begin_stage(struct trainer *tr, const struct nm_stage *stage)
{
    const struct nm_recipe *r = &tr->training->recipe;
    struct nm_optimizer_options o = nm_optimizer_defaults();
    o.lr = (float)stage->lr;
    o.weight_decay = (float)r->weight_decay;
    o.decay_all = true;
    o.clip_norm = (float)r->clip;
    o.layer_decay = (float)r->layer_decay;
    o.n_layers = nm_bert_config(tr->bert)->n_layers;
    o.total_steps = stage->steps;
    o.warmup_steps = (size_t)(r->warmup * (double)stage->steps);
    o.n_threads = tr->training->n_threads;
    nm_optimizer_destroy(&tr->optimizer);
    tr->stage = stage;
    return nm_optimizer_new(&tr->optimizer, nm_bert_params(tr->bert), &o, tr->diag);
}

/* The optimizer as it was at the checkpoint; at the very beginning of a stage it is a new one. */
static enum nm_err resume_stage(struct trainer *tr, const char *checkpoint)
{
    if (tr->state.step == tr->stages.steps)
        return NM_OK; /* all steps are done */
    const struct nm_stage *stage = nm_stages_of_step(&tr->stages, tr->state.step);
    const size_t done = tr->state.step - stage->first_step, bytes = nm_bert_params(tr->bert)->total * sizeof(float);
    float *m, *v;
    enum nm_err err = nm_trainer_begin_stage(tr, stage);
    if (err == NM_OK && done > 0 && is_first(tr))
        err = nm_checkpoint_load_optimizer(checkpoint, tr->optimizer, tr->diag);
    if (err == NM_OK && is_first(tr) && nm_optimizer_steps(tr->optimizer) != done)
        err = nm_fail(tr->diag, NM_EFORMAT, "%s: optimizer and index are of different steps: remove it", checkpoint);
    if (err != NM_OK || is_alone(tr))
        return err;
    nm_optimizer_moments(tr->optimizer, &m, &v, done);
    nm_comm_bcast(tr->training->comm, m, bytes);
    nm_comm_bcast(tr->training->comm, v, bytes);
    return NM_OK;
}

/* Where there is a checkpoint of this training; state as it says, or new. */
static enum nm_err find_checkpoint(struct trainer *tr, uint64_t recipe, char *path, size_t size, bool *resume)
{
    const struct nm_training *t = tr->training;
    *resume = false;
    if (is_first(tr)) {
        enum nm_err err = nm_checkpoint_find(t->out, &tr->state, path, size, tr->diag);
        if (err != NM_OK && err != NM_ENOENT)
            return err;
        *resume = err == NM_OK && tr->state.recipe == recipe && tr->state.step <= tr->stages.steps;
        if (err == NM_OK && !*resume)
            nm_warn("%s: its checkpoint is of other data or another recipe: training from the start", t->out);
        if (!*resume)
            tr->state = (struct nm_checkpoint){.recipe = recipe};
        else
            nm_info("going on after step %zu of %zu", tr->state.step, tr->stages.steps);
    }
    nm_comm_bcast(t->comm, resume, sizeof(*resume));
    nm_comm_bcast(t->comm, &tr->state, sizeof(tr->state));
    return NM_OK;
}

/* Weights from the base model, or from the checkpoint where there is one of this training.  Only the first process
 * needs to see the checkpoint. */
static enum nm_err load_model(struct trainer *tr, uint64_t recipe, const struct nm_bert_options *options)
{
    const struct nm_training *t = tr->training;
    char checkpoint[NM_FILE_PATH];
    bool resume;
    enum nm_err err = find_checkpoint(tr, recipe, checkpoint, sizeof(checkpoint), &resume);
    if (err == NM_OK)
        err = nm_bert_load(&tr->bert, resume && is_first(tr) ? checkpoint : t->model, options, tr->diag);
    if (err == NM_OK)
        err = nm_bert_reserve(tr->bert, &tr->largest, tr->diag);
    if (err != NM_OK)
        return err;
    struct nm_params *params = nm_bert_params(tr->bert);
    if (t->recipe.dropout >= 0)
        nm_bert_set_dropout(tr->bert, (float)t->recipe.dropout);
    nm_bert_set_loss(tr->bert, (float)t->recipe.smoothing, (float)t->recipe.gce);
    nm_reduce_init(&tr->reduce, t->comm, params);
    nm_comm_bcast(t->comm, params->data, params->total * sizeof(float));
    if (!is_alone(tr))
        nm_bert_on_grad(tr->bert, nm_reduce_ready, &tr->reduce);
    return resume ? resume_stage(tr, checkpoint) : NM_OK;
}

static enum nm_err load_data(struct trainer *tr, size_t positions, const int32_t *label_of_tag)
{
    const struct nm_training *t = tr->training;
    const size_t max = t->recipe.max_length < positions ? (size_t)t->recipe.max_length : positions;
    size_t longest = 0;
    enum nm_err err = nm_dataset_init(&tr->set, tr->wp, t->train, label_of_tag, max, tr->diag);
    if (err == NM_OK && tr->set.truncated > 0)
        nm_warn("%zu of %zu sentences are longer than %zu tokens: their ends are not trained on", tr->set.truncated,
                tr->set.n, max);
    for (size_t i = 0; i < tr->stages.n; i++)
        longest = tr->stages.at[i].n > longest ? tr->stages.at[i].n : longest;
    if (err == NM_OK && (tr->order = malloc((longest + 1) * sizeof(*tr->order))) == NULL)
        err = nm_fail(tr->diag, NM_ENOMEM, "%s: out of memory", t->model);
    return err;
}

/* What is scored, after each epoch and in the end, by the first process. */
static enum nm_err add_scored(struct trainer *tr, size_t positions)
{
    const struct nm_corpus *scored[2] = {tr->dev, tr->training->gold};
    for (size_t i = 0; i < 2; i++) {
        struct nm_bert_extent x = {0};
        if (scored[i] != NULL && is_first(tr) && nm_tagger_extent(tr->wp, scored[i], positions, &x) != NM_OK)
            return nm_fail(tr->diag, NM_ENOMEM, "out of memory for the sentences to be scored");
        if (x.scored_tokens > tr->largest.scored_tokens)
            tr->largest.scored_tokens = x.scored_tokens;
        if (x.scored_len > tr->largest.scored_len)
            tr->largest.scored_len = x.scored_len;
    }
    return NM_OK;
}

/* The data, and whether a model on them will fit, before it is loaded. */
static enum nm_err prepare(struct trainer *tr, const struct nm_bert_options *options, const int32_t *label_of_tag)
{
    const struct nm_training *t = tr->training;
    const size_t limit = t->max_memory_mb > 0 ? t->max_memory_mb << 20 : SIZE_MAX, unused = nm_memory_free();
    struct nm_model_config cfg;
    enum nm_err err = nm_model_config_read(t->model, &cfg, tr->diag);
    if (err != NM_OK)
        return err;
    err = load_data(tr, cfg.max_positions, label_of_tag);
    if (err == NM_OK) {
        tr->largest = nm_memory_largest(&tr->set, &tr->stages, &t->recipe, t->comm, tr->order);
        err = add_scored(tr, cfg.max_positions);
    }
    if (err == NM_OK) {
        const struct nm_memory_need need = {.cfg = &cfg,
                                            .options = options,
                                            .largest = tr->largest,
                                            .processes = nm_comm_size(t->comm),
                                            .here = nm_comm_here(t->comm)};
        err = nm_memory_check(&need, limit < unused ? limit : unused, tr->diag);
    }
    uint8_t failed = err != NM_OK; /* nobody takes any before everybody has seen what is free */
    nm_comm_any(t->comm, &failed, 1);
    if (err == NM_OK && failed != 0)
        err = nm_fail(tr->diag, NM_ELIMIT, "another of the processes could not begin");
    nm_model_config_clean_up(&cfg);
    if (err == NM_OK && t->recipe.precision == NM_BF16 && !nm_bf16_is_native())
        nm_warn("this CPU has no instructions for bf16: its roundings are emulated, which is slower than fp32");
    return err;
}

enum nm_err nm_trainer_load(struct trainer *tr, uint64_t recipe)
{
    const struct nm_training *t = tr->training;
    size_t n_types = t->train->n_types, n_labels = 2 * n_types + 1;
    char **labels = nm_tagset_labels(t->train->types, n_types);
    int32_t *label_of_tag = malloc(n_labels * sizeof(*label_of_tag));
    enum nm_err err = hold_out(tr);
    if (err == NM_OK)
        err = nm_wordpiece_load(&tr->wp, t->model, tr->diag);
    if (err == NM_OK && (labels == NULL || label_of_tag == NULL)) {
        err = NM_ENOMEM;
        (void)nm_fail(tr->diag, err, "%s: out of memory", t->model);
    }
    for (size_t i = 0; i < n_labels && err == NM_OK; i++)
        label_of_tag[i] = (int32_t)i; /* the labels are in the order of the tags */
    const struct nm_bert_options options = {.labels = (const char *const *)labels,
                                            .n_labels = n_labels,
                                            .crf = t->recipe.crf != 0,
                                            .seed = t->recipe.seed,
                                            .n_threads = t->n_threads,
                                            .precision = (enum nm_precision)t->recipe.precision,
                                            .checkpointing = t->checkpointing};
    if (err == NM_OK)
        err = prepare(tr, &options, label_of_tag);
    if (err == NM_OK)
        err = load_model(tr, recipe, &options);
    if (err == NM_OK)
        nm_bert_set_min_score(tr->bert, t->recipe.min_score);
    if (err == NM_OK)
        err = nm_tagger_check_vocabulary(tr->bert, tr->wp, t->model, tr->diag);
    free(labels);
    free(label_of_tag);
    return err;
}
