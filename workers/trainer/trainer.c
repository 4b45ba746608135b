#include "workers/trainer/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"
#include "workers/trainer/bert.h"
#include "workers/trainer/checkpoint.h"
#include "workers/trainer/dataset.h"
#include "workers/trainer/model_dir.h"
#include "workers/trainer/optimizer.h"
#include "workers/trainer/tagger.h"
#include "workers/trainer/wordpiece.h"

enum { PATH_SIZE = 4096, REPORT_MS = 2000 };

struct trainer {
    const struct nm_training *training;
    struct nm_wordpiece *wp;
    struct nm_bert *bert;
    struct nm_optimizer *optimizer;
    struct nm_dataset set;
    uint32_t *order;
    size_t steps_per_epoch, total_steps;
    struct nm_checkpoint state;
    /* since the last progress line */
    int64_t reported_ms;
    double loss_sum;
    size_t loss_steps;
    int64_t started_ms; /* of this process's training */
    double seconds_before;
    struct nm_diag *diag;
};

struct nm_recipe nm_recipe_defaults(void)
{
    return (struct nm_recipe){.epochs = 3,
                              .batch = 32,
                              .max_length = 256,
                              .lr = 5e-4,
                              .warmup = 0.1,
                              .weight_decay = 0.01,
                              .clip = 1.0,
                              .dropout = -1,
                              .seed = 13};
}

static enum nm_err check_recipe(const struct nm_recipe *r, struct nm_diag *diag)
{
    if (r->epochs < 1 || r->epochs > NM_CHECKPOINT_EPOCHS)
        return nm_fail(diag, NM_EINVAL, "epochs: %zu is not in 1..%d", r->epochs, NM_CHECKPOINT_EPOCHS);
    if (r->batch < 1 || r->batch > 65536)
        return nm_fail(diag, NM_EINVAL, "batch: %zu is not in 1..65536", r->batch);
    if (r->max_length < 8)
        return nm_fail(diag, NM_EINVAL, "max-length: %zu is below 8", r->max_length);
    if (!(r->lr > 0 && r->lr <= 1))
        return nm_fail(diag, NM_EINVAL, "lr: %g is not above 0 and at most 1", r->lr);
    if (!(r->warmup >= 0 && r->warmup <= 1) || !(r->weight_decay >= 0 && r->weight_decay < 1) || !(r->clip >= 0))
        return nm_fail(diag, NM_EINVAL, "warm-up %g, weight decay %g or clip %g is out of range", r->warmup,
                       r->weight_decay, r->clip);
    if (!(r->dropout < 1))
        return nm_fail(diag, NM_EINVAL, "dropout: %g is not below 1", r->dropout);
    return NM_OK;
}

/* All that decides the weights in the end, as one number. */
static enum nm_err hash_recipe(const struct nm_training *t, uint64_t *hash, struct nm_diag *diag)
{
    char text[512];
    uint64_t model;
    enum nm_err err = nm_model_dir_digest(t->model, &model, diag);
    if (err != NM_OK)
        return err;
    const struct nm_recipe *r = &t->recipe;
    int n = snprintf(text, sizeof(text), "1 %zu %zu %zu %a %a %a %a %a %llu %llx %llx", r->epochs, r->batch,
                     r->max_length, r->lr, r->warmup, r->weight_decay, r->clip, r->dropout < 0 ? -1.0 : r->dropout,
                     (unsigned long long)r->seed, (unsigned long long)nm_corpus_digest(t->train),
                     (unsigned long long)model);
    *hash = nm_hash64(text, (size_t)n, 0);
    return NM_OK;
}

static void add_options(struct nm_optimizer_options *o, const struct trainer *tr)
{
    const struct nm_recipe *r = &tr->training->recipe;
    o->lr = (float)r->lr;
    o->weight_decay = (float)r->weight_decay;
    o->decay_all = true;
    o->clip_norm = (float)r->clip;
    o->total_steps = tr->total_steps;
    o->warmup_steps = (size_t)(r->warmup * (double)tr->total_steps);
    o->n_threads = tr->training->n_threads;
}

/* Weights from the base model, or from the checkpoint where there is one of this training. */
static enum nm_err load_model(struct trainer *tr, uint64_t recipe, char *const *labels, size_t n_labels)
{
    const struct nm_training *t = tr->training;
    char checkpoint[PATH_SIZE];
    enum nm_err err = nm_checkpoint_find(t->out, &tr->state, checkpoint, sizeof(checkpoint), tr->diag);
    bool resume = err == NM_OK && tr->state.recipe == recipe && tr->state.step <= tr->total_steps;
    if (err != NM_OK && err != NM_ENOENT)
        return err;
    if (err == NM_OK && !resume)
        nm_warn("%s: its checkpoint is of other data or another recipe: training from the start", t->out);
    if (!resume)
        tr->state = (struct nm_checkpoint){.recipe = recipe};
    const struct nm_bert_options options = {.labels = (const char *const *)labels,
                                            .n_labels = n_labels,
                                            .seed = t->recipe.seed,
                                            .n_threads = t->n_threads};
    err = nm_bert_load(&tr->bert, resume ? checkpoint : t->model, &options, tr->diag);
    if (err == NM_OK && t->recipe.dropout >= 0)
        nm_bert_set_dropout(tr->bert, (float)t->recipe.dropout);
    if (err != NM_OK)
        return err;
    struct nm_optimizer_options o = nm_optimizer_defaults();
    add_options(&o, tr);
    err = nm_optimizer_new(&tr->optimizer, nm_bert_params(tr->bert), &o, tr->diag);
    if (err == NM_OK && resume) {
        err = nm_checkpoint_load_optimizer(checkpoint, tr->optimizer, tr->diag);
        if (err == NM_OK && nm_optimizer_steps(tr->optimizer) != tr->state.step)
            err = nm_fail(tr->diag, NM_EFORMAT, "%s: optimizer and index are of different steps: remove it",
                          checkpoint);
        nm_info("going on after step %zu of %zu", tr->state.step, tr->total_steps);
    }
    return err;
}

static enum nm_err load(struct trainer *tr, uint64_t recipe)
{
    const struct nm_training *t = tr->training;
    size_t n_types = t->train->n_types, n_labels = 2 * n_types + 1;
    char **labels = nm_tagset_labels(t->train->types, n_types);
    int32_t *label_of_tag = malloc(n_labels * sizeof(*label_of_tag));
    enum nm_err err = nm_wordpiece_load(&tr->wp, t->model, tr->diag);
    if (err == NM_OK && (labels == NULL || label_of_tag == NULL)) {
        err = NM_ENOMEM;
        (void)nm_fail(tr->diag, err, "%s: out of memory", t->model);
    }
    for (size_t i = 0; i < n_labels && err == NM_OK; i++)
        label_of_tag[i] = (int32_t)i; /* the labels are in the order of the tags */
    tr->steps_per_epoch = (t->train->n + t->recipe.batch - 1) / t->recipe.batch;
    tr->total_steps = tr->steps_per_epoch * t->recipe.epochs;
    if (err == NM_OK)
        err = load_model(tr, recipe, labels, n_labels);
    if (err == NM_OK)
        err = nm_tagger_check_vocabulary(tr->bert, tr->wp, t->model, tr->diag);
    if (err == NM_OK) {
        size_t max = nm_bert_config(tr->bert)->max_positions;
        max = t->recipe.max_length < max ? t->recipe.max_length : max;
        err = nm_dataset_init(&tr->set, tr->wp, t->train, label_of_tag, max, tr->diag);
        if (err == NM_OK && tr->set.truncated > 0)
            nm_warn("%zu of %zu sentences are longer than %zu tokens: their ends are not trained on",
                    tr->set.truncated, tr->set.n, max);
    }
    if (err == NM_OK && (tr->order = malloc(tr->set.n * sizeof(*tr->order))) == NULL)
        err = nm_fail(tr->diag, NM_ENOMEM, "%s: out of memory", t->model);
    free(labels);
    free(label_of_tag);
    return err;
}

static double seconds(const struct trainer *tr)
{
    return tr->seconds_before + (double)(nm_clock_mono_ms() - tr->started_ms) / 1000;
}

static void report(struct trainer *tr, double loss, uint64_t tokens_before)
{
    tr->loss_sum += loss;
    tr->loss_steps++;
    int64_t now = nm_clock_mono_ms();
    bool last = tr->state.step == tr->total_steps;
    if (now - tr->reported_ms < REPORT_MS && !last)
        return;
    double mine = (double)(now - tr->started_ms) / 1000 + 1e-3;
    double rate = (double)(tr->state.tokens - tokens_before) / mine;
    double per_step = (double)tr->state.tokens / (double)tr->state.step;
    long left = (long)(per_step * (double)(tr->total_steps - tr->state.step) / rate);
    nm_info("step %zu/%zu  epoch %.1f/%zu  loss %.4f  %.0f tokens/s  %ld:%02ld left", tr->state.step, tr->total_steps,
            (double)tr->state.step / (double)tr->steps_per_epoch, tr->training->recipe.epochs,
            tr->loss_sum / (double)tr->loss_steps, rate, left / 60, left % 60);
    tr->reported_ms = now;
    tr->loss_sum = 0;
    tr->loss_steps = 0;
}

static enum nm_err train_step(struct trainer *tr, double *loss)
{
    const struct nm_recipe *r = &tr->training->recipe;
    size_t in_epoch = tr->state.step % tr->steps_per_epoch, from = in_epoch * r->batch;
    size_t n = tr->set.n - from < r->batch ? tr->set.n - from : r->batch;
    struct nm_batch batch;
    if (nm_dataset_batch(&tr->set, tr->order + from, n, &batch) != NM_OK)
        return nm_fail(tr->diag, NM_ENOMEM, "step %zu: out of memory for a batch", tr->state.step + 1);
    uint64_t key = nm_mix64(r->seed ^ nm_mix64(tr->state.step + 1));
    nm_bert_zero_grad(tr->bert);
    enum nm_err err = nm_bert_train(tr->bert, &batch, 1.0f, key, loss, NULL, tr->diag);
    if (err != NM_OK)
        return err;
    double norm = nm_optimizer_step(tr->optimizer);
    tr->state.step++;
    tr->state.tokens += batch.n_tokens;
    tr->state.loss_sum += *loss;
    if (!isfinite(norm) || !isfinite(*loss))
        return nm_fail(tr->diag, NM_ESTATE, "step %zu: the loss is not finite any more: lower --lr (it is %g)",
                       tr->state.step, r->lr);
    return NM_OK;
}

static enum nm_err evaluate(struct trainer *tr, const struct nm_corpus *corpus, struct nm_scores *scores,
                            char ***types)
{
    struct nm_tagger tagger;
    enum nm_err err = nm_tagger_borrow(&tagger, tr->bert, tr->wp, tr->training->out, tr->diag);
    if (err != NM_OK)
        return err;
    err = nm_tagger_evaluate(&tagger, corpus, scores, tr->diag);
    if (err == NM_OK && types != NULL) {
        size_t size = tagger.tagset.n_types * sizeof(char *) + 1;
        for (size_t i = 0; i < tagger.tagset.n_types; i++)
            size += strlen(tagger.tagset.types[i]) + 1;
        *types = malloc(size);
        char *at = *types != NULL ? (char *)(*types + tagger.tagset.n_types) : NULL;
        for (size_t i = 0; i < tagger.tagset.n_types && at != NULL; i++) {
            (*types)[i] = at;
            at = stpcpy(at, tagger.tagset.types[i]) + 1;
        }
        if (*types == NULL) {
            err = nm_fail(tr->diag, NM_ENOMEM, "out of memory for the scores");
            nm_scores_clean_up(scores);
        }
    }
    nm_tagger_clean_up(&tagger);
    return err;
}

static enum nm_err save_checkpoint(struct trainer *tr)
{
    tr->state.seconds = seconds(tr);
    return nm_checkpoint_save(tr->training->out, &tr->state, tr->bert, tr->optimizer, tr->diag);
}

static enum nm_err end_epoch(struct trainer *tr)
{
    tr->state.losses[tr->state.n_losses++] = tr->state.loss_sum / (double)tr->steps_per_epoch;
    tr->state.loss_sum = 0;
    if (tr->training->dev != NULL) {
        struct nm_scores scores;
        int64_t start = nm_clock_mono_ms();
        enum nm_err err = evaluate(tr, tr->training->dev, &scores, NULL);
        if (err != NM_OK)
            return err;
        nm_info("epoch %zu  mean loss %.4f  dev P %.4f  R %.4f  F1 %.4f", tr->state.n_losses,
                tr->state.losses[tr->state.n_losses - 1], scores.micro.precision, scores.micro.recall,
                scores.micro.f1);
        nm_scores_clean_up(&scores);
        tr->started_ms += nm_clock_mono_ms() - start; /* not training */
    }
    return save_checkpoint(tr);
}

static enum nm_err loop(struct trainer *tr)
{
    const struct nm_training *t = tr->training;
    uint64_t tokens_before = tr->state.tokens;
    tr->seconds_before = tr->state.seconds;
    tr->started_ms = tr->reported_ms = nm_clock_mono_ms();
    for (bool first = true; tr->state.step < tr->total_steps; first = false) {
        double loss = 0;
        size_t in_epoch = tr->state.step % tr->steps_per_epoch;
        if (first || in_epoch == 0)
            nm_dataset_shuffle(&tr->set, t->recipe.seed, tr->state.step / tr->steps_per_epoch, tr->order);
        enum nm_err err = train_step(tr, &loss);
        if (err != NM_OK)
            return err;
        report(tr, loss, tokens_before);
        bool stop = (t->stop != NULL && *t->stop != 0) || (t->max_steps > 0 && tr->state.step >= t->max_steps);
        if (tr->state.step % tr->steps_per_epoch == 0)
            err = end_epoch(tr);
        else if (stop || (t->checkpoint_steps > 0 && tr->state.step % t->checkpoint_steps == 0))
            err = save_checkpoint(tr);
        if (err != NM_OK)
            return err;
        if (stop && tr->state.step < tr->total_steps)
            return nm_fail(tr->diag, NM_ECANCELED, "stopped after step %zu of %zu: run it again to go on",
                           tr->state.step, tr->total_steps);
    }
    return NM_OK;
}

static enum nm_err finish(struct trainer *tr, struct nm_training_result *result)
{
    const struct nm_training *t = tr->training;
    enum nm_err err = nm_bert_save(tr->bert, t->out, tr->diag);
    if (err == NM_OK)
        err = nm_model_dir_copy_tokenizer(t->model, t->out, tr->diag);
    if (err == NM_OK && t->gold != NULL)
        err = evaluate(tr, t->gold, &result->scores, &result->types);
    if (err == NM_OK)
        err = nm_model_dir_write_card(t->out, t, &tr->state, t->gold != NULL ? &result->scores : NULL, result->types,
                                      tr->diag);
    if (err != NM_OK)
        return err;
    result->steps = tr->state.step;
    result->seconds = tr->state.seconds;
    result->tokens_per_s = tr->state.seconds > 0 ? (double)tr->state.tokens / tr->state.seconds : 0;
    result->loss = tr->state.losses[tr->state.n_losses - 1];
    nm_checkpoint_remove(t->out);
    return NM_OK;
}

enum nm_err nm_trainer_run(const struct nm_training *training, struct nm_training_result *result,
                           struct nm_diag *diag)
{
    uint64_t recipe;
    *result = (struct nm_training_result){0};
    struct trainer tr = {.training = training, .diag = diag};
    enum nm_err err = check_recipe(&training->recipe, diag);
    if (err == NM_OK && training->train->n_types == 0)
        err = nm_fail(diag, NM_EFORMAT, "the training data has no entity: every tag is O");
    if (err == NM_OK && nm_model_dir_same(training->model, training->out))
        err = nm_fail(diag, NM_EINVAL,
                      "%s is the encoder's own directory: its weights would be overwritten; give another"
                      " --out",
                      training->out);
    if (err == NM_OK)
        err = hash_recipe(training, &recipe, diag);
    if (err == NM_OK && !training->force && nm_model_dir_is_result(training->out, recipe)) {
        result->already = true;
        return NM_OK;
    }
    if (err == NM_OK)
        err = nm_file_make_dirs(training->out, diag);
    if (err == NM_OK)
        err = load(&tr, recipe);
    if (err == NM_OK) {
        nm_info("%zu sentences, %zu tokens, %zu types; %zu steps of %zu sentences", tr.set.n, tr.set.starts[tr.set.n],
                training->train->n_types, tr.total_steps, training->recipe.batch);
        err = loop(&tr);
    }
    if (err == NM_OK)
        err = finish(&tr, result);
    nm_optimizer_destroy(&tr.optimizer);
    nm_bert_destroy(&tr.bert);
    nm_wordpiece_destroy(&tr.wp);
    nm_dataset_clean_up(&tr.set);
    free(tr.order);
    if (err != NM_OK)
        nm_training_result_clean_up(result);
    return err;
}

void nm_training_result_clean_up(struct nm_training_result *result)
{
    nm_scores_clean_up(&result->scores);
    free(result->types);
    *result = (struct nm_training_result){0};
}
