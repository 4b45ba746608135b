/* recipe.h - what a training is made of, but its data: one table of fields for the command line, the hash by which a
 * finished training is known again, and nermill.json.
 */
#ifndef NM_TRAINER_RECIPE_H
#define NM_TRAINER_RECIPE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/tensor.h"

/* What is trained on where there are synthetic sentences and gold ones. */
enum nm_mix {
    NM_MIX_SYNTHETIC, /* the synthetic ones alone */
    NM_MIX_THEN,      /* synthetic, then gold at a lower rate with a schedule of its own */
    NM_MIX_JOINT,     /* both in one, gold sentences repeated */
    NM_MIX_GOLD       /* gold alone */
};

/* What the CPU is fast in, or what a training was begun in: nm_trainer_run decides, and hashes what it decided. */
enum { NM_PRECISION_AUTO = 2 };

struct nm_recipe {
    uint64_t epochs, batch; /* batch: sentences an update */
    uint64_t max_length;    /* tokens of a sentence, [CLS] and [SEP] among them */
    double lr, warmup;      /* warm-up: a share of all steps */
    double weight_decay, clip;
    double dropout; /* of hidden states and attention; below 0: as config.json has it */
    uint64_t seed;
    uint64_t mix; /* enum nm_mix */
    uint64_t gold_epochs;
    uint64_t gold_steps; /* updates that gold has at least: of few sentences, more epochs */
    double synthetic_lr; /* of NM_MIX_SYNTHETIC, and of the synthetic passes of NM_MIX_THEN; 0: lr */
    double gold_lr;      /* of NM_MIX_THEN; 0: two fifths of lr */
    uint64_t
        upsample; /* of NM_MIX_JOINT: how often a gold sentence comes in an epoch; 0: as often as makes gold half */
    double dev_share;   /* of the gold sentences: held out, scored after each epoch, and the best epoch is kept */
    uint64_t patience;  /* epochs without a better dev score after which training ends; 0: never */
    double smoothing;   /* label smoothing: that much of the target is spread over all labels */
    double gce;         /* q of generalised cross-entropy (Zhang, Sabuncu 2018); 0: cross-entropy */
    uint64_t precision; /* of the products: enum nm_precision, or NM_PRECISION_AUTO */
    uint64_t crf;       /* 1: a CRF layer with BIO constraints behind the classifier: see crf.h */
    double min_score;   /* what the tagger finds counts from this mean probability of its words' tags on; 0: all */
    double layer_decay; /* a layer's rate is that of the one above times this; 1: the same for all */
};

enum nm_recipe_kind { NM_RECIPE_COUNT, NM_RECIPE_REAL, NM_RECIPE_CHOICE };

struct nm_recipe_field {
    const char *name; /* of the option, without its dashes */
    enum nm_recipe_kind kind;
    size_t offset; /* in struct nm_recipe: of a uint64_t, or of a double */
    double min, max;
    const char *const *choices; /* NULL-terminated; the value is the index */
    const char *argument, *help;
};

/* nm_recipe_fields - the table; *n is how many. */
const struct nm_recipe_field *nm_recipe_fields(size_t *n);

/* nm_recipe_defaults - 3 epochs, batch 16, 256 tokens, lr 3e-4, warm-up 0.1, decay 0.01, clip 1.0, dropout of the
 * config, seed 13, synthetic alone, 3 epochs and at least 200 steps of gold, nothing of the rest. */
struct nm_recipe nm_recipe_defaults(void);

/* nm_recipe_set - a field from text.  NM_EINVAL: no number, out of its range, or no such choice; diag says which. */
enum nm_err nm_recipe_set(struct nm_recipe *recipe, const struct nm_recipe_field *field, const char *text,
                          struct nm_diag *diag);

/* nm_recipe_check - every field in its range, and together.  NM_EINVAL. */
enum nm_err nm_recipe_check(const struct nm_recipe *recipe, struct nm_diag *diag);

/* nm_recipe_hash - of all fields, by name and value. */
uint64_t nm_recipe_hash(const struct nm_recipe *recipe);

/* Values of a field: of NM_RECIPE_REAL, and of the others. */
double nm_recipe_real(const struct nm_recipe *recipe, const struct nm_recipe_field *field);
uint64_t nm_recipe_count(const struct nm_recipe *recipe, const struct nm_recipe_field *field);

#endif
