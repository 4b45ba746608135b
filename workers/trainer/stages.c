#include "workers/trainer/stages.h"

#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "workers/trainer/checkpoint.h"

/* A gold sentence is repeated at most so often where the mix is to say it: more only learns them by heart. */
enum { UPSAMPLE_MAX = 64 };

/* Fisher and Yates. */
static void shuffle(uint32_t *items, size_t n, uint64_t key)
{
    struct nm_rng rng;
    nm_rng_init(&rng, key);
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)nm_rng_below(&rng, i);
        uint32_t swap = items[i - 1];
        items[i - 1] = items[k];
        items[k] = swap;
    }
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* gold (n_gold) is cut in two: [0, kept) to train on, the rest is dev. */
static enum nm_err split_gold(struct nm_stages *stages, const struct nm_recipe *r, uint32_t *gold, size_t n_gold,
                              size_t *kept)
{
    stages->n_dev = (size_t)(r->dev_share * (double)n_gold + 0.5);
    *kept = n_gold - stages->n_dev;
    if (stages->n_dev == 0)
        return NM_OK;
    shuffle(gold, n_gold, nm_mix64(r->seed ^ 0x646576)); /* its own stream */
    stages->dev = malloc(stages->n_dev * sizeof(*stages->dev));
    if (stages->dev == NULL)
        return NM_ENOMEM;
    memcpy(stages->dev, gold + *kept, stages->n_dev * sizeof(*stages->dev));
    qsort(stages->dev, stages->n_dev, sizeof(*stages->dev), ascending);
    qsort(gold, *kept, sizeof(*gold), ascending);
    return NM_OK;
}

/* n_synthetic sentences, and each of gold (n_gold) times over. */
static enum nm_err add_stage(struct nm_stages *stages, const struct nm_recipe *r, size_t n_synthetic,
                             const uint32_t *gold, size_t n_gold, size_t times, size_t epochs, double lr)
{
    struct nm_stage *s = &stages->at[stages->n];
    *s = (struct nm_stage){.n = n_synthetic + n_gold * times,
                           .epochs = epochs,
                           .first_step = stages->steps,
                           .first_epoch = stages->epochs,
                           .lr = lr};
    s->entries = malloc((s->n + 1) * sizeof(*s->entries));
    if (s->entries == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < n_synthetic; i++)
        s->entries[i] = (uint32_t)i;
    for (size_t i = 0; i < times && n_gold > 0; i++)
        memcpy(s->entries + n_synthetic + i * n_gold, gold, n_gold * sizeof(*gold));
    s->steps_per_epoch = (s->n + (size_t)r->batch - 1) / (size_t)r->batch;
    s->steps = s->steps_per_epoch * epochs;
    stages->n++;
    stages->steps += s->steps;
    stages->epochs += epochs;
    return NM_OK;
}

static size_t upsample(const struct nm_recipe *r, size_t n_synthetic, size_t n_gold)
{
    if (r->upsample > 0)
        return (size_t)r->upsample;
    size_t times = n_synthetic / n_gold;
    return times < 1 ? 1 : times > UPSAMPLE_MAX ? UPSAMPLE_MAX : times;
}

/* Ten sentences in three epochs are three updates: far from anything learnt. */
static size_t gold_epochs(const struct nm_recipe *r, size_t n_gold)
{
    const size_t per_epoch = (n_gold + (size_t)r->batch - 1) / (size_t)r->batch;
    const size_t most = NM_CHECKPOINT_EPOCHS - (r->mix == NM_MIX_THEN ? (size_t)r->epochs : 0);
    const size_t wanted = ((size_t)r->gold_steps + per_epoch - 1) / per_epoch;
    return wanted <= r->gold_epochs ? (size_t)r->gold_epochs : wanted < most ? wanted : most;
}

static enum nm_err add_stages(struct nm_stages *stages, const struct nm_recipe *r, size_t n_synthetic,
                              const uint32_t *gold, size_t n_gold)
{
    const double gold_lr = r->gold_lr > 0 ? r->gold_lr : 0.4 * r->lr;
    const double synthetic_lr = r->synthetic_lr > 0 ? r->synthetic_lr : r->lr;
    switch ((enum nm_mix)r->mix) {
    case NM_MIX_SYNTHETIC:
        return add_stage(stages, r, n_synthetic, NULL, 0, 0, (size_t)r->epochs, synthetic_lr);
    case NM_MIX_JOINT:
        return add_stage(stages, r, n_synthetic, gold, n_gold, upsample(r, n_synthetic, n_gold), (size_t)r->epochs,
                         r->lr);
    case NM_MIX_GOLD:
        return add_stage(stages, r, 0, gold, n_gold, 1, gold_epochs(r, n_gold), r->lr);
    case NM_MIX_THEN:
        break;
    }
    enum nm_err err = add_stage(stages, r, n_synthetic, NULL, 0, 0, (size_t)r->epochs, synthetic_lr);
    return err == NM_OK ? add_stage(stages, r, 0, gold, n_gold, 1, gold_epochs(r, n_gold), gold_lr) : err;
}

enum nm_err nm_stages_init(struct nm_stages *stages, const struct nm_recipe *recipe, size_t n_synthetic,
                           size_t n_gold, struct nm_diag *diag)
{
    *stages = (struct nm_stages){0};
    if (n_synthetic + n_gold > UINT32_MAX)
        return nm_fail(diag, NM_ELIMIT, "more than %u sentences", UINT32_MAX);
    if (recipe->mix != NM_MIX_GOLD && n_synthetic == 0)
        return nm_fail(diag, NM_EINVAL,
                       "this recipe trains on synthetic sentences, and there are none: --recipe gold?");
    uint32_t *gold = malloc((n_gold + 1) * sizeof(*gold));
    enum nm_err err = gold != NULL ? NM_OK : NM_ENOMEM;
    size_t kept = 0;
    for (size_t i = 0; i < n_gold && gold != NULL; i++)
        gold[i] = (uint32_t)(n_synthetic + i);
    if (err == NM_OK)
        err = split_gold(stages, recipe, gold, n_gold, &kept);
    if (err == NM_OK && recipe->mix != NM_MIX_SYNTHETIC && kept == 0)
        err = nm_fail(diag, NM_EINVAL, "this recipe trains on gold sentences, and there are none: --gold-train FILE");
    else if (err == NM_OK)
        err = add_stages(stages, recipe, n_synthetic, gold, kept);
    if (err == NM_ENOMEM)
        (void)nm_fail(diag, err, "%zu sentences: out of memory", n_synthetic + n_gold);
    free(gold);
    if (err != NM_OK)
        nm_stages_clean_up(stages);
    return err;
}

void nm_stages_clean_up(struct nm_stages *stages)
{
    for (size_t i = 0; i < NM_STAGES_MAX; i++)
        free(stages->at[i].entries);
    free(stages->dev);
    *stages = (struct nm_stages){0};
}

const struct nm_stage *nm_stages_of_step(const struct nm_stages *stages, size_t step)
{
    size_t i = stages->n - 1;
    while (i > 0 && step < stages->at[i].first_step)
        i--;
    return &stages->at[i];
}

void nm_stage_shuffle(const struct nm_stage *stage, uint64_t seed, size_t epoch, uint32_t *order)
{
    memcpy(order, stage->entries, stage->n * sizeof(*order));
    shuffle(order, stage->n, nm_mix64(seed ^ nm_mix64(stage->first_epoch + epoch + 1)));
}
