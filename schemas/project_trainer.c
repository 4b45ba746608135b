/* project_trainer.c - the section trainer: the recipe of a training, as workers/trainer/recipe.h has it. */
#include "schemas/project_check.h"

static double share(struct nm_checker *c, const char *key, const double *value, double fallback, double high)
{
    return nm_value_float(c, "trainer", 0, key, value, fallback, 0, high);
}

static uint32_t count(struct nm_checker *c, const char *key, const uint32_t *value, uint32_t fallback, uint32_t low,
                      uint32_t high)
{
    return nm_value_uint(c, "trainer", 0, key, value, fallback, low, high);
}

void nm_check_trainer(struct nm_checker *c, const struct raw_trainer *in, struct nm_project_trainer *out)
{
    static const struct raw_trainer nothing = {0};
    static const char *const recipes[] = {"synthetic", "then", "joint", "gold"}; /* in the order of enum nm_mix */
    static const char *const precisions[] = {"fp32", "bf16", "auto"};            /* in the order of recipe.c */
    if (in == NULL)
        in = &nothing;
    *out = (struct nm_project_trainer){
        .model = nm_value_text(c, in->model, "${NERMILL_ENCODER}"),
        .gold_train = nm_value_filled(c, in->gold_train),
        .recipe = (uint32_t)nm_value_one_of(c, "trainer", 0, "recipe", in->recipe, 0, recipes, 4),
        .epochs = count(c, "epochs", in->epochs, 3, 1, 1000),
        .gold_epochs = count(c, "gold_epochs", in->gold_epochs, 3, 1, 1000),
        .gold_steps = count(c, "gold_steps", in->gold_steps, 200, 0, 1000000),
        .batch = count(c, "batch", in->batch, 16, 1, 65536),
        .max_length = count(c, "max_length", in->max_length, 256, 8, 65536),
        .upsample = count(c, "upsample", in->upsample, 0, 0, 65536),
        .patience = count(c, "patience", in->patience, 0, 0, 1000),
        .learning_rate = share(c, "learning_rate", in->learning_rate, 3e-4, 1),
        .synthetic_learning_rate = share(c, "synthetic_learning_rate", in->synthetic_learning_rate, 0, 1),
        .gold_learning_rate = share(c, "gold_learning_rate", in->gold_learning_rate, 0, 1),
        .warmup = share(c, "warmup", in->warmup, 0.1, 1),
        .weight_decay = share(c, "weight_decay", in->weight_decay, 0.01, 0.999999),
        .clip = share(c, "clip", in->clip, 1.0, 1e9),
        .dropout = in->dropout != NULL ? share(c, "dropout", in->dropout, 0, 0.95) : -1,
        .dev_share = share(c, "dev_share", in->dev_share, 0, 0.5),
        .label_smoothing = share(c, "label_smoothing", in->label_smoothing, 0, 0.9),
        .gce = share(c, "gce", in->gce, 0, 1),
        .layer_decay = nm_value_float(c, "trainer", 0, "layer_decay", in->layer_decay, 1, 0.1, 1),
        .min_score = share(c, "min_score", in->min_score, 0, 1),
        .precision = (uint32_t)nm_value_one_of(c, "trainer", 0, "precision", in->precision, 2, precisions, 3),
        .gradient_checkpointing = in->gradient_checkpointing != NULL && *in->gradient_checkpointing,
        .crf = in->crf != NULL && *in->crf,
        .seed = in->seed != NULL ? *in->seed : 13};
    if (out->recipe != 0 && out->gold_train == NULL)
        nm_value_complain(c, "trainer", 0, "recipe", "%s trains on gold sentences: name them by gold_train",
                          recipes[out->recipe]);
    if (out->crf && (out->label_smoothing > 0 || out->gce > 0))
        nm_value_complain(c, "trainer", 0, "crf", "is a loss of whole sentences, %s one of single words: choose one",
                          out->gce > 0 ? "gce" : "label_smoothing");
}
