/* trainer.h - fine-tune an encoder on labelled sentences: the loop over the recipe's stages, its checkpoints, the
 * model directory.
 *
 * The recipe is that of transformers' token-classification example: AdamW (decay on every parameter, as a plain
 * torch.optim.AdamW has it), linear warm-up and decay, clipping by the global norm, dropout of the config, mean
 * cross-entropy over first sub-tokens.  Threads: one caller; n_threads inside.
 */
#ifndef NM_TRAINER_TRAINER_H
#define NM_TRAINER_TRAINER_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/comm.h"
#include "workers/trainer/corpus.h"
#include "workers/trainer/metrics.h"
#include "workers/trainer/recipe.h"
#include "workers/trainer/train_log.h"

/* How a training goes. */
struct nm_training_news {
    const char *state;         /* "running", "done", "stopped", "failed" */
    struct nm_train_step last; /* its loss is the mean of two seconds */
    size_t steps, epochs;      /* of all */
    const char *scored;        /* what the last score is of: "dev", "gold"; NULL: there is none */
    size_t scored_step;
    struct nm_score score;
};

struct nm_training {
    const char *model;             /* a Hugging Face directory */
    const char *out;               /* made if it is not there */
    const struct nm_corpus *train; /* synthetic sentences, then n_gold gold ones */
    size_t n_gold;
    const struct nm_corpus *dev;  /* scored after each epoch, or NULL: with patience, the best epoch is kept */
    const struct nm_corpus *gold; /* scored at the end, or NULL */
    struct nm_recipe recipe;
    bool checkpointing;        /* of activations: the same weights in the end, less memory, more time */
    size_t max_memory_mb;      /* what it may take; 0: what is free */
    size_t n_threads;          /* 0: as many as there are cores */
    size_t checkpoint_steps;   /* also within an epoch, every so many steps; 0: after each epoch only */
    size_t checkpoint_minutes; /* also when so many have gone by; 0: never for that */
    size_t keep_checkpoints;   /* how many stay; 0: one */
    size_t max_steps;          /* stop there, with a checkpoint, as if killed; 0: no such limit */
    bool force;                /* train even if out holds the result of just this training */
    struct nm_comm *comm;      /* the processes that train together, each with the same data; NULL: this one alone */
    /* called by the first process's thread at the start, every two seconds, after each score, at the end; or NULL */
    void (*tell)(void *arg, const struct nm_training_news *news);
    void *tell_arg;
    volatile sig_atomic_t *stop; /* set by a signal: checkpoint and NM_ECANCELED; may be NULL */
};

struct nm_training_result {
    size_t steps;
    size_t best_epoch;            /* whose weights were kept; 0: the last ones */
    double best_f1;               /* its dev score */
    double seconds, tokens_per_s; /* of training alone, all runs of it together */
    double loss;                  /* mean of the last epoch */
    bool already;                 /* out held this result: nothing was done */
    struct nm_scores scores;      /* on gold; the caller's to clean up; n_types 0 where there is no gold */
    char **types;                 /* (scores.n_types) one block, free() */
};

/* nm_trainer_run - train, or go on from the checkpoint in out, or find that all is done.
 * out gets config.json, model.safetensors, the tokenizer's files and nermill.json, this one last.
 * Errors of loading and saving; NM_EINVAL: a recipe out of range; NM_ECANCELED: stopped, run again to go on;
 * NM_EFORMAT: no entity type in the data.  What was saved before an error stays good.
 */
enum nm_err nm_trainer_run(const struct nm_training *training, struct nm_training_result *result,
                           struct nm_diag *diag);
void nm_training_result_clean_up(struct nm_training_result *result);

#endif
