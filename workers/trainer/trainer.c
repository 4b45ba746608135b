#include "workers/trainer/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"
#include "workers/trainer/model_dir.h"
#include "workers/trainer/tagger.h"
#include "workers/trainer/trainer_impl.h"

enum { REPORT_MS = 2000 };

/* Is the best epoch's model the result, not the last one's? */
static bool keeps_best(const struct nm_training *t)
{
    return t->recipe.dev_share > 0 || t->recipe.patience > 0;
}

/* All that decides the weights in the end, as one number. */
static enum nm_err hash_training(const struct nm_training *t, uint64_t *hash, struct nm_diag *diag)
{
    uint64_t parts[5] = {2, nm_recipe_hash(&t->recipe), nm_corpus_digest(t->train), t->n_gold};
    enum nm_err err = nm_model_dir_digest(t->model, &parts[4], diag);
    if (err != NM_OK)
        return err;
    *hash = nm_hash64(parts, sizeof(parts), keeps_best(t) && t->dev != NULL ? nm_corpus_digest(t->dev) : 0);
    return NM_OK;
}

/* Left open, it is what this CPU is fast in; but what was begun in the other one, on another machine, goes on so. The
 * first process decides for all. */
static enum nm_err choose_precision(struct nm_training *t, struct nm_diag *diag)
{
    const uint64_t own = nm_bf16_is_native() ? NM_BF16 : NM_FP32;
    char path[NM_FILE_PATH];
    struct nm_checkpoint begun;
    uint64_t hash;
    if (t->recipe.precision != NM_PRECISION_AUTO)
        return NM_OK;
    t->recipe.precision = own == NM_BF16 ? NM_FP32 : NM_BF16;
    enum nm_err err = hash_training(t, &hash, diag);
    const bool is_begun =
        err == NM_OK &&
        (nm_model_dir_is_result(t->out, hash) ||
         (nm_checkpoint_find(t->out, &begun, path, sizeof(path), NULL) == NM_OK && begun.recipe == hash));
    if (!is_begun)
        t->recipe.precision = own;
    nm_comm_bcast(t->comm, &t->recipe.precision, sizeof(t->recipe.precision));
    return err;
}

static double seconds(const struct trainer *tr)
{
    return tr->seconds_before + (double)(nm_clock_mono_ms() - tr->started_ms) / 1000;
}

static double epochs_done(const struct trainer *tr)
{
    const struct nm_stage *s = tr->stage;
    return (double)s->first_epoch + (double)(tr->state.step - s->first_step) / (double)s->steps_per_epoch;
}

static void tell(struct trainer *tr, const char *state)
{
    tr->news.state = state;
    if (tr->training->tell != NULL && is_first(tr))
        tr->training->tell(tr->training->tell_arg, &tr->news);
}

static void tell_score(struct trainer *tr, const char *of, const struct nm_score *score)
{
    tr->news.scored = of;
    tr->news.scored_step = tr->state.step;
    tr->news.score = *score;
    tell(tr, "running");
}

/* A step's figures into the log, and now and then a line for people. */
static void report(struct trainer *tr, struct nm_train_step *step, uint64_t tokens_before)
{
    int64_t now = nm_clock_mono_ms();
    double mine = (double)(now - tr->started_ms) / 1000 + 1e-3;
    double rate = (double)(tr->state.tokens - tokens_before) / mine;
    step->step = tr->state.step;
    step->epoch = epochs_done(tr);
    step->tokens_per_s = rate;
    if (!is_first(tr))
        return;
    nm_train_log_step(tr->log, step);
    tr->loss_sum += step->loss;
    tr->loss_steps++;
    tr->news.last = *step;
    tr->news.last.loss = tr->loss_sum / (double)tr->loss_steps;
    bool last = tr->state.step == tr->stages.steps;
    if (now - tr->reported_ms < REPORT_MS && !last)
        return;
    double per_step = (double)tr->state.tokens / (double)tr->state.step;
    long left = (long)(per_step * (double)(tr->stages.steps - tr->state.step) / rate);
    nm_info("step %zu/%zu  epoch %.1f/%zu  loss %.4f  %.0f tokens/s  %ld:%02ld left", tr->state.step,
            tr->stages.steps, step->epoch, tr->stages.epochs, tr->loss_sum / (double)tr->loss_steps, rate, left / 60,
            left % 60);
    tell(tr, "running");
    tr->reported_ms = now;
    tr->loss_sum = 0;
    tr->loss_steps = 0;
}

/* This process's sentences of the step: batch, and before it how many tokens of the step's other processes stand. */
static enum nm_err take_batch(struct trainer *tr, struct nm_batch *batch)
{
    const struct nm_stage *stage = tr->stage;
    const size_t size = (size_t)tr->training->recipe.batch;
    const size_t from = (tr->state.step - stage->first_step) % stage->steps_per_epoch * size;
    const size_t n = stage->n - from < size ? stage->n - from : size;
    const struct nm_comm_part own = nm_comm_part(tr->training->comm, n);
    if (nm_dataset_batch(&tr->set, tr->order + from + own.lo, own.n, batch) != NM_OK)
        return nm_fail(tr->diag, NM_ENOMEM, "step %zu: out of memory for a batch", tr->state.step + 1);
    batch->first_token = 0;
    for (size_t i = 0; i < own.lo; i++)
        batch->first_token += tr->set.starts[tr->order[from + i] + 1] - tr->set.starts[tr->order[from + i]];
    return NM_OK;
}

/* Forward and backward on this process's part, the gradients summed over all.  out->loss is the step's mean, tokens
 * its count. */
static enum nm_err compute_step(struct trainer *tr, const struct nm_batch *batch, struct nm_train_step *out,
                                size_t *tokens)
{
    struct nm_comm *comm = tr->training->comm;
    const uint64_t key = nm_mix64(tr->training->recipe.seed ^ nm_mix64(tr->state.step + 1));
    double sums[2] = {0, (double)batch->n_tokens}, loss = 0;
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < batch->n_tokens; i++)
        sums[0] += batch->labels[i] >= 0;
    const double own = sums[0];
    nm_comm_sum(comm, sums, 2);
    nm_bert_zero_grad(tr->bert);
    nm_reduce_begin(&tr->reduce);
    if (own > 0)
        err = nm_bert_train(tr->bert, batch, (float)(own / sums[0]), key, &loss, NULL, tr->diag);
    else
        nm_bert_no_grad(tr->bert);
    if (err == NM_OK && nm_reduce_finish(&tr->reduce) != NM_OK)
        err = nm_fail(tr->diag, NM_ENOMEM, "step %zu: out of memory for its gradients", tr->state.step + 1);
    loss *= own;
    nm_comm_sum(comm, &loss, 1);
    out->loss = sums[0] > 0 ? loss / sums[0] : 0;
    *tokens = (size_t)sums[1];
    return err;
}

static enum nm_err train_step(struct trainer *tr, struct nm_train_step *out)
{
    struct nm_batch batch;
    size_t tokens = 0;
    enum nm_err err = take_batch(tr, &batch);
    if (err == NM_OK)
        err = compute_step(tr, &batch, out, &tokens);
    if (err != NM_OK)
        return err;
    out->lr = (double)nm_optimizer_lr(tr->optimizer);
    out->grad_norm = nm_optimizer_step(tr->optimizer);
    tr->state.step++;
    tr->state.tokens += tokens;
    tr->state.loss_sum += out->loss;
    if (!isfinite(out->grad_norm) || !isfinite(out->loss))
        return nm_fail(tr->diag, NM_ESTATE, "step %zu: the loss is not finite any more: lower --lr (it is %g)",
                       tr->state.step, tr->stage->lr);
    return NM_OK;
}

/* The scores on corpus, and where types is not NULL a copy of the types' names. */
static enum nm_err evaluate(struct trainer *tr, const struct nm_corpus *corpus, struct nm_scores *scores,
                            char ***types)
{
    struct nm_tagger tagger;
    struct nm_evaluation e = {0};
    enum nm_err err = nm_tagger_borrow(&tagger, tr->bert, tr->wp, tr->training->out, tr->diag);
    if (err != NM_OK)
        return err;
    err = nm_tagger_evaluate(&tagger, corpus, &e, tr->diag);
    if (err == NM_OK && types != NULL && (*types = nm_tagset_copy_types(&tagger.tagset)) == NULL)
        err = nm_fail(tr->diag, NM_ENOMEM, "out of memory for the scores");
    if (err == NM_OK) {
        *scores = e.exact;
        e.exact = (struct nm_scores){0};
    }
    nm_evaluation_clean_up(&e);
    nm_tagger_clean_up(&tagger);
    return err;
}

static enum nm_err save_checkpoint(struct trainer *tr)
{
    tr->saved_ms = nm_clock_mono_ms();
    tr->state.seconds = seconds(tr);
    if (!is_first(tr))
        return NM_OK;
    enum nm_err err = nm_train_log_flush(tr->log, tr->diag); /* before it: what is done is logged */
    if (err != NM_OK)
        return err;
    return nm_checkpoint_save(tr->training->out, &tr->state, tr->bert, tr->optimizer, tr->training->keep_checkpoints,
                              tr->diag);
}

/* The dev part's score after an epoch.  Only the last stage's epochs compete: the one before is a preparation. */
static enum nm_err score_epoch(struct trainer *tr)
{
    struct nm_scores scores;
    const struct nm_training *t = tr->training;
    enum nm_err err = evaluate(tr, tr->dev, &scores, NULL);
    if (err != NM_OK)
        return err;
    const double f1 = scores.micro.f1;
    nm_info("epoch %zu  mean loss %.4f  dev P %.4f  R %.4f  F1 %.4f", tr->state.n_losses,
            tr->state.losses[tr->state.n_losses - 1], scores.micro.precision, scores.micro.recall, f1);
    nm_train_log_scores(tr->log, tr->state.step, epochs_done(tr), &scores.micro);
    tell_score(tr, "dev", &scores.micro);
    nm_scores_clean_up(&scores);
    const bool last = tr->stage == &tr->stages.at[tr->stages.n - 1];
    if (!keeps_best(t) || !last || (tr->state.best_epoch > 0 && f1 <= tr->state.best_f1))
        return NM_OK;
    tr->state.best_epoch = tr->state.n_losses;
    tr->state.best_f1 = f1;
    return nm_checkpoint_save_best(t->out, tr->bert, tr->diag);
}

static enum nm_err end_epoch(struct trainer *tr)
{
    tr->state.losses[tr->state.n_losses++] = tr->state.loss_sum / (double)tr->stage->steps_per_epoch;
    tr->state.loss_sum = 0;
    if (tr->dev != NULL) {
        int64_t start = nm_clock_mono_ms();
        enum nm_err err = is_first(tr) ? score_epoch(tr) : NM_OK;
        if (err != NM_OK)
            return err;
        nm_comm_bcast(tr->training->comm, &tr->state, sizeof(tr->state)); /* which epoch was the best */
        tr->started_ms += nm_clock_mono_ms() - start;                     /* not training */
    }
    return save_checkpoint(tr);
}

/* Has the dev score not got better for as long as the recipe waits? */
static bool out_of_patience(const struct trainer *tr)
{
    const size_t patience = (size_t)tr->training->recipe.patience;
    return patience > 0 && tr->state.best_epoch > 0 && tr->state.n_losses - tr->state.best_epoch >= patience;
}

/* A signal that any of the processes has had, or the caller's last step. */
static bool shall_stop(const struct trainer *tr)
{
    const struct nm_training *t = tr->training;
    uint8_t signalled = t->stop != NULL && *t->stop != 0;
    nm_comm_any(t->comm, &signalled, 1);
    return signalled != 0 || (t->max_steps > 0 && tr->state.step >= t->max_steps);
}

/* Within an epoch, by the caller's steps or minutes; of several processes only the first one saves. */
static bool checkpoint_is_due(const struct trainer *tr)
{
    const struct nm_training *t = tr->training;
    if (t->checkpoint_steps > 0 && tr->state.step % t->checkpoint_steps == 0)
        return true;
    return t->checkpoint_minutes > 0 && nm_clock_mono_ms() - tr->saved_ms >= (int64_t)t->checkpoint_minutes * 60000;
}

/* The stage and the order of its epoch for the step to come. */
static enum nm_err prepare_step(struct trainer *tr, bool first)
{
    const struct nm_stage *stage = nm_stages_of_step(&tr->stages, tr->state.step);
    const size_t done = tr->state.step - stage->first_step;
    enum nm_err err = tr->optimizer == NULL || stage != tr->stage ? nm_trainer_begin_stage(tr, stage) : NM_OK;
    if (err == NM_OK && (first || done % stage->steps_per_epoch == 0))
        nm_stage_shuffle(stage, tr->training->recipe.seed, done / stage->steps_per_epoch, tr->order);
    return err;
}

static enum nm_err loop(struct trainer *tr)
{
    uint64_t tokens_before = tr->state.tokens;
    tr->seconds_before = tr->state.seconds;
    for (bool first = true; tr->state.step < tr->stages.steps && !out_of_patience(tr); first = false) {
        struct nm_train_step step = {0};
        enum nm_err err = prepare_step(tr, first);
        if (first) /* everything is there: the clock of the training starts */
            tr->started_ms = tr->reported_ms = tr->saved_ms = nm_clock_mono_ms();
        if (err == NM_OK)
            err = train_step(tr, &step);
        if (err != NM_OK)
            return err;
        report(tr, &step, tokens_before);
        const bool stop = shall_stop(tr);
        if ((tr->state.step - tr->stage->first_step) % tr->stage->steps_per_epoch == 0)
            err = end_epoch(tr);
        else if (stop || checkpoint_is_due(tr))
            err = save_checkpoint(tr);
        if (err != NM_OK)
            return err;
        if (stop && tr->state.step < tr->stages.steps && !out_of_patience(tr))
            return nm_fail(tr->diag, NM_ECANCELED, "stopped after step %zu of %zu: run it again to go on",
                           tr->state.step, tr->stages.steps);
    }
    return NM_OK;
}

/* The best epoch's weights instead of the last one's. */
static enum nm_err take_best(struct trainer *tr)
{
    char path[NM_FILE_PATH];
    const struct nm_bert_options options = {.n_threads = tr->training->n_threads, .inference = true};
    enum nm_err err = nm_checkpoint_best(tr->training->out, path, tr->diag);
    if (err != NM_OK)
        return err;
    nm_info("keeping epoch %zu, dev F1 %.4f", tr->state.best_epoch, tr->state.best_f1);
    nm_optimizer_destroy(&tr->optimizer); /* it holds the old model's parameters */
    nm_bert_destroy(&tr->bert);
    return nm_bert_load(&tr->bert, path, &options, tr->diag);
}

static enum nm_err finish(struct trainer *tr, struct nm_training_result *result)
{
    const struct nm_training *t = tr->training;
    enum nm_err err = tr->state.best_epoch > 0 ? take_best(tr) : NM_OK;
    if (err == NM_OK)
        err = nm_bert_save(tr->bert, t->out, tr->diag);
    if (err == NM_OK)
        err = nm_model_dir_copy_tokenizer(t->model, t->out, tr->diag);
    if (err == NM_OK && t->gold != NULL)
        err = evaluate(tr, t->gold, &result->scores, &result->types);
    if (err == NM_OK && t->gold != NULL)
        tell_score(tr, "gold", &result->scores.micro);
    if (err == NM_OK)
        err = nm_model_dir_write_card(t->out, t, &tr->state, t->gold != NULL ? &result->scores : NULL, result->types,
                                      tr->diag);
    if (err != NM_OK)
        return err;
    result->steps = tr->state.step;
    result->best_epoch = tr->state.best_epoch;
    result->best_f1 = tr->state.best_f1;
    result->seconds = tr->state.seconds;
    result->tokens_per_s = tr->state.seconds > 0 ? (double)tr->state.tokens / tr->state.seconds : 0;
    result->loss = tr->state.losses[tr->state.n_losses - 1];
    nm_checkpoint_remove(t->out);
    return NM_OK;
}

/* What can be said before anything is loaded. */
static enum nm_err check(const struct nm_training *t, struct nm_diag *diag)
{
    enum nm_err err = nm_recipe_check(&t->recipe, diag);
    if (err == NM_OK && t->train->n_types == 0)
        err = nm_fail(diag, NM_EFORMAT, "the training data has no entity: every tag is O");
    if (err == NM_OK && t->recipe.patience > 0 && t->recipe.dev_share <= 0 && t->dev == NULL)
        err =
            nm_fail(diag, NM_EINVAL, "patience needs something to score after each epoch: dev-share, or a dev file");
    if (err == NM_OK && nm_model_dir_same(t->model, t->out))
        err = nm_fail(diag, NM_EINVAL,
                      "%s is the encoder's own directory: its weights would be overwritten; give another"
                      " --out",
                      t->out);
    return err;
}

/* Do all processes train the same thing, and is it done already? */
static enum nm_err agree(struct trainer *tr, uint64_t recipe, bool *already)
{
    const struct nm_training *t = tr->training;
    uint64_t first = recipe;
    nm_comm_bcast(t->comm, &first, sizeof(first));
    uint8_t differs = first != recipe;
    nm_comm_any(t->comm, &differs, 1);
    if (differs != 0)
        return nm_fail(tr->diag, NM_EINVAL, "the processes have other data, models or recipes (process %zu: %016llx)",
                       nm_comm_rank(t->comm), (unsigned long long)recipe);
    *already = is_first(tr) && !t->force && nm_model_dir_is_result(t->out, recipe);
    nm_comm_bcast(t->comm, already, sizeof(*already));
    return NM_OK;
}

static enum nm_err train(struct trainer *tr, uint64_t recipe, struct nm_training_result *result)
{
    const struct nm_training *t = tr->training;
    enum nm_err err = is_first(tr) ? nm_file_make_dirs(t->out, tr->diag) : NM_OK;
    if (err == NM_OK)
        err = nm_trainer_load(tr, recipe);
    if (err == NM_OK && is_first(tr)) {
        err = nm_train_log_open(&tr->log, t->out, tr->state.step, tr->stages.steps, tr->diag);
        nm_info("%zu sentences (%zu gold, %zu held out), %zu tokens, %zu types; %zu steps of %zu sentences; %zu "
                "processes",
                tr->set.n, t->n_gold, tr->stages.n_dev, tr->set.starts[tr->set.n], t->train->n_types,
                tr->stages.steps, (size_t)t->recipe.batch, nm_comm_size(t->comm));
        tr->news.last.step = tr->state.step;
        tr->news.steps = tr->stages.steps;
        tr->news.epochs = tr->stages.epochs;
        tell(tr, "running");
    }
    if (err == NM_OK)
        err = loop(tr);
    if (err == NM_OK && is_first(tr))
        err = finish(tr, result);
    if (tr->news.steps > 0)
        tell(tr, err == NM_OK ? "done" : err == NM_ECANCELED ? "stopped" : "failed");
    return err;
}

enum nm_err nm_trainer_run(const struct nm_training *training, struct nm_training_result *result,
                           struct nm_diag *diag)
{
    uint64_t recipe;
    *result = (struct nm_training_result){0};
    struct nm_training chosen = *training;
    struct trainer tr = {.training = &chosen, .diag = diag};
    enum nm_err err = check(training, diag);
    if (err == NM_OK)
        err = choose_precision(&chosen, diag);
    training = &chosen;
    if (err == NM_OK)
        err = nm_stages_init(&tr.stages, &training->recipe, training->train->n - training->n_gold, training->n_gold,
                             diag);
    if (err == NM_OK)
        err = hash_training(training, &recipe, diag);
    if (err == NM_OK)
        err = agree(&tr, recipe, &result->already);
    if (err == NM_OK && !result->already)
        err = train(&tr, recipe, result);
    nm_train_log_close(&tr.log);
    nm_reduce_clean_up(&tr.reduce);
    nm_optimizer_destroy(&tr.optimizer);
    nm_bert_destroy(&tr.bert);
    nm_wordpiece_destroy(&tr.wp);
    nm_dataset_clean_up(&tr.set);
    nm_stages_clean_up(&tr.stages);
    free(tr.held_out.sentences);
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
