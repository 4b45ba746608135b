#include "workers/trainer/recipe.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "workers/trainer/checkpoint.h"

static const char *const precisions[] = {"fp32", "bf16", "auto", NULL}; /* enum nm_precision, NM_PRECISION_AUTO */
static const char *const off_on[] = {"off", "on", NULL};
static const char *const mixes[] = {"synthetic", "then", "joint", "gold", NULL};

#define COUNT(name, field, min, max, argument, help)                                                                 \
    {                                                                                                                \
        name, NM_RECIPE_COUNT, offsetof(struct nm_recipe, field), min, max, NULL, argument, help                     \
    }
#define REAL(name, field, min, max, help)                                                                            \
    {                                                                                                                \
        name, NM_RECIPE_REAL, offsetof(struct nm_recipe, field), min, max, NULL, "X", help                           \
    }

static const double seed_max = 9007199254740992.0; /* 2^53: what JSON keeps */

static const struct nm_recipe_field fields[] = {
    COUNT("epochs", epochs, 1, NM_CHECKPOINT_EPOCHS, "N", "passes over the data (3)"),
    COUNT("batch", batch, 1, 65536, "N", "sentences an update (16)"),
    REAL("lr", lr, 1e-12, 1, "peak learning rate (3e-4)"),
    REAL("warmup", warmup, 0, 1, "share of the steps over which it rises (0.1)"),
    REAL("weight-decay", weight_decay, 0, 0.999999, "AdamW's (0.01)"),
    REAL("clip", clip, 0, 1e9, "largest norm of the gradients; 0: any (1.0)"),
    REAL("dropout", dropout, 0, 0.999999, "instead of the one in config.json"),
    COUNT("max-length", max_length, 8, 65536, "N", "tokens of a sentence that are trained on (256)"),
    COUNT("seed", seed, 0, seed_max, "N", "order, dropout, first weights of the classifier (13)"),
    {"precision", NM_RECIPE_CHOICE, offsetof(struct nm_recipe, precision), 0, 2, precisions, "P",
     "of the products: fp32, bf16, or auto: bf16 where the CPU has it (auto)"},
    {"recipe", NM_RECIPE_CHOICE, offsetof(struct nm_recipe, mix), 0, 3, mixes, "MIX",
     "synthetic, then (gold after synthetic), joint, gold"},
    COUNT("gold-epochs", gold_epochs, 1, NM_CHECKPOINT_EPOCHS, "N", "passes over the gold data of then and gold (3)"),
    REAL("synthetic-lr", synthetic_lr, 0, 1, "peak rate where synthetic data is by itself; 0: --lr (0)"),
    COUNT("gold-steps", gold_steps, 0, 1000000, "N", "updates of them at least: of little gold, more passes (200)"),
    REAL("gold-lr", gold_lr, 0, 1, "peak rate of then's gold passes; 0: 0.4 of --lr (0)"),
    COUNT("upsample", upsample, 0, 65536, "N", "of joint: how often gold comes in an epoch; 0: to be half (0)"),
    REAL("dev-share", dev_share, 0, 0.5, "of the gold training data: held out, the best epoch is kept (0)"),
    COUNT("patience", patience, 0, NM_CHECKPOINT_EPOCHS, "N",
          "end after N epochs without a better dev score; 0: never (0)"),
    REAL("label-smoothing", smoothing, 0, 0.9, "share of the target that goes to all labels (0)"),
    REAL("gce", gce, 0, 1, "q of generalised cross-entropy, for noisy labels; 0: off (0)"),
    {"crf", NM_RECIPE_CHOICE, offsetof(struct nm_recipe, crf), 0, 1, off_on, "on",
     "a CRF layer with BIO constraints behind the classifier (off)"},
    REAL("min-score", min_score, 0, 1, "of an entity that counts: the mean probability of its words (0)"),
    REAL("layer-decay", layer_decay, 0.1, 1, "a layer's rate, of the rate of the one above it (1)"),
};
enum { N_FIELDS = sizeof(fields) / sizeof(fields[0]) };

const struct nm_recipe_field *nm_recipe_fields(size_t *n)
{
    *n = N_FIELDS;
    return fields;
}

struct nm_recipe nm_recipe_defaults(void)
{
    return (struct nm_recipe){.epochs = 3,
                              .batch = 16,
                              .max_length = 256,
                              .lr = 3e-4,
                              .warmup = 0.1,
                              .weight_decay = 0.01,
                              .clip = 1.0,
                              .dropout = -1,
                              .seed = 13,
                              .gold_epochs = 3,
                              .gold_steps = 200,
                              .precision = NM_PRECISION_AUTO,
                              .layer_decay = 1};
}

double nm_recipe_real(const struct nm_recipe *recipe, const struct nm_recipe_field *field)
{
    double value;
    memcpy(&value, (const char *)recipe + field->offset, sizeof(value));
    return value;
}

uint64_t nm_recipe_count(const struct nm_recipe *recipe, const struct nm_recipe_field *field)
{
    uint64_t value;
    memcpy(&value, (const char *)recipe + field->offset, sizeof(value));
    return value;
}

static void store(struct nm_recipe *recipe, const struct nm_recipe_field *field, double real, uint64_t count)
{
    if (field->kind == NM_RECIPE_REAL)
        memcpy((char *)recipe + field->offset, &real, sizeof(real));
    else
        memcpy((char *)recipe + field->offset, &count, sizeof(count));
}

static bool parse(const struct nm_recipe_field *field, const char *text, double *real, uint64_t *count)
{
    char *end = NULL;
    errno = 0;
    if (field->kind == NM_RECIPE_CHOICE) {
        for (*count = 0; field->choices[*count] != NULL; ++*count)
            if (strcmp(field->choices[*count], text) == 0)
                return true;
        return false;
    }
    if (field->kind == NM_RECIPE_COUNT) {
        if (text[0] < '0' || text[0] > '9')
            return false;
        *count = strtoull(text, &end, 10);
        *real = (double)*count;
    } else {
        *real = strtod(text, &end);
    }
    return errno == 0 && end != text && *end == '\0' && *real >= field->min && *real <= field->max;
}

/* "1 to 65536", or the names. */
static void say_range(const struct nm_recipe_field *field, char *out, size_t size)
{
    size_t at = 0;
    if (field->kind != NM_RECIPE_CHOICE) {
        (void)snprintf(out, size, "a number from %g to %g", field->min, field->max);
        return;
    }
    for (size_t i = 0; field->choices[i] != NULL && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s", i > 0 ? ", " : "", field->choices[i]);
}

enum nm_err nm_recipe_set(struct nm_recipe *recipe, const struct nm_recipe_field *field, const char *text,
                          struct nm_diag *diag)
{
    double real = 0;
    uint64_t count = 0;
    char range[160];
    if (parse(field, text, &real, &count)) {
        store(recipe, field, real, count);
        return NM_OK;
    }
    say_range(field, range, sizeof(range));
    return nm_fail(diag, NM_EINVAL, "--%s: \"%s\" is not %s", field->name, text, range);
}

enum nm_err nm_recipe_check(const struct nm_recipe *recipe, struct nm_diag *diag)
{
    for (size_t i = 0; i < N_FIELDS; i++) {
        const struct nm_recipe_field *f = &fields[i];
        char range[160];
        double value = f->kind == NM_RECIPE_REAL ? nm_recipe_real(recipe, f) : (double)nm_recipe_count(recipe, f);
        if ((value >= f->min && value <= f->max) || (strcmp(f->name, "dropout") == 0 && value < 0))
            continue;
        say_range(f, range, sizeof(range));
        return nm_fail(diag, NM_EINVAL, "%s: %g is not %s", f->name, value, range);
    }
    if (recipe->smoothing > 0 && recipe->gce > 0)
        return nm_fail(diag, NM_EINVAL, "label-smoothing and gce are two losses: choose one");
    if (recipe->crf != 0 && (recipe->smoothing > 0 || recipe->gce > 0))
        return nm_fail(diag, NM_EINVAL, "%s is a loss of single words, crf one of whole sentences: choose one",
                       recipe->gce > 0 ? "gce" : "label-smoothing");
    if (recipe->epochs + recipe->gold_epochs > NM_CHECKPOINT_EPOCHS)
        return nm_fail(diag, NM_EINVAL, "epochs and gold-epochs are more than %d together", NM_CHECKPOINT_EPOCHS);
    return NM_OK;
}

uint64_t nm_recipe_hash(const struct nm_recipe *recipe)
{
    uint64_t hash = 0;
    char text[128];
    for (size_t i = 0; i < N_FIELDS; i++) {
        const struct nm_recipe_field *f = &fields[i];
        int n =
            f->kind == NM_RECIPE_REAL
                ? snprintf(text, sizeof(text), "%s %a", f->name, fmax(nm_recipe_real(recipe, f), -1))
                : snprintf(text, sizeof(text), "%s %llu", f->name, (unsigned long long)nm_recipe_count(recipe, f));
        hash = nm_hash64(text, (size_t)n, hash);
    }
    return hash;
}
