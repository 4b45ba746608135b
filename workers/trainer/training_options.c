/* training_options.c - the options that every way to train has. */
#include <stdio.h>
#include <string.h>

#include "schemas/project.h"
#include "workers/trainer/commands.h"

static const struct {
    const char *name, *argument, *help;
} more[] = {
    {"threads", "N", "(as many as there are cores)"},
    {"checkpoint-steps", "N", "a checkpoint every N steps, not only after each epoch"},
    {"checkpoint-minutes", "N", "and whenever N minutes have gone by since the last one"},
    {"keep-checkpoints", "N", "how many stay while it trains (1)"},
    {"max-steps", "N", "stop after step N with a checkpoint; run again to go on"},
    {"max-memory", "MB", "what it may take at most (all that is free)"},
    {"gradient-checkpointing", NULL, "less memory, a third more time, the same result"},
    {"force", NULL, "train even if OUT has the result of just this training"},
};
enum { N_MORE = sizeof(more) / sizeof(more[0]), FORCE = N_MORE - 1, CHECKPOINTING = FORCE - 1 };

void nm_training_options(const struct option *own, size_t n_own, struct option out[NM_TRAINING_OPTIONS_MAX])
{
    size_t n, at = n_own;
    const struct nm_recipe_field *fields = nm_recipe_fields(&n);
    memcpy(out, own, n_own * sizeof(*own));
    for (size_t i = 0; i < n; i++, at++)
        out[at] = (struct option){fields[i].name, required_argument, NULL, NM_TRAINING_OPTION + (int)i};
    for (size_t i = 0; i < N_MORE; i++, at++)
        out[at] = (struct option){more[i].name, more[i].argument != NULL ? required_argument : no_argument, NULL,
                                  NM_TRAINING_OPTION + (int)(n + i)};
    out[at] = (struct option){0};
}

static void line(const char *name, const char *argument, const char *text)
{
    char left[64];
    (void)snprintf(left, sizeof(left), "--%s %s", name, argument != NULL ? argument : "");
    printf("  %-25s%s\n", left, text);
}

void nm_training_help(void)
{
    size_t n;
    const struct nm_recipe_field *fields = nm_recipe_fields(&n);
    for (size_t i = 0; i < n; i++)
        line(fields[i].name, fields[i].argument, fields[i].help);
    for (size_t i = 0; i < N_MORE; i++)
        line(more[i].name, more[i].argument, more[i].help);
}

int nm_training_option(struct nm_training *training, int option, const char *value)
{
    size_t n, *const counts[] = {&training->n_threads,          &training->checkpoint_steps,
                                 &training->checkpoint_minutes, &training->keep_checkpoints,
                                 &training->max_steps,          &training->max_memory_mb};
    const struct nm_recipe_field *fields = nm_recipe_fields(&n);
    struct nm_diag diag = {""};
    uint64_t count;
    if (option < NM_TRAINING_OPTION || option >= NM_TRAINING_OPTION + (int)n + N_MORE)
        return 0;
    size_t i = (size_t)(option - NM_TRAINING_OPTION);
    if (i < n) {
        if (nm_recipe_set(&training->recipe, &fields[i], value, &diag) == NM_OK)
            return 1;
        (void)nm_command_usage("train", "%s", diag.text);
        return -1;
    }
    i -= n;
    if (i >= CHECKPOINTING) {
        *(i == FORCE ? &training->force : &training->checkpointing) = true;
        return 1;
    }
    if (!nm_option_count(value, UINT32_MAX, &count)) {
        (void)nm_command_usage("train", "--%s: \"%s\" is not a number in its range", more[i].name, value);
        return -1;
    }
    *counts[i] = (size_t)count;
    return 1;
}

void nm_training_take(struct nm_training *training, const struct nm_project_trainer *p)
{
    struct nm_recipe *r = &training->recipe;
    r->precision = p->precision;
    r->mix = p->recipe;
    r->gold_epochs = p->gold_epochs;
    r->synthetic_lr = p->synthetic_learning_rate;
    r->gold_steps = p->gold_steps;
    r->gold_lr = p->gold_learning_rate;
    r->upsample = p->upsample;
    r->dev_share = p->dev_share;
    r->patience = p->patience;
    r->smoothing = p->label_smoothing;
    r->gce = p->gce;
    r->min_score = p->min_score;
    r->crf = p->crf;
    r->layer_decay = p->layer_decay;
    r->epochs = p->epochs;
    r->batch = p->batch;
    r->max_length = p->max_length;
    r->lr = p->learning_rate;
    r->warmup = p->warmup;
    r->weight_decay = p->weight_decay;
    r->clip = p->clip;
    r->dropout = p->dropout;
    r->seed = p->seed;
    training->checkpointing = p->gradient_checkpointing;
}
