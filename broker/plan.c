#include "broker/plan.h"

#include <assert.h>
#include <stdlib.h>

#include "common/hash.h"

enum {
    FEISTEL_ROUNDS = 6,
    SALT_TRIES = 4096,
    SALT_CACHE = 16, /* cycles whose salt is remembered, by cycle mod SALT_CACHE / 2 */
    BANDS = 3        /* lengths: short, middle, long */
};

/* One key stream for each use of the seed. */
enum { KEY_PATTERN = 1, KEY_CYCLE, KEY_GRID, KEY_TASK };

struct salt {
    uint64_t cycle; /* 0: nothing remembered, as cycle 0 is even */
    uint64_t salt;
};

struct nm_plan {
    struct nm_plan_options options;
    uint32_t count[NM_PLAN_BLOCK];      /* entities of task b of a block */
    uint64_t before[NM_PLAN_BLOCK + 1]; /* slots of the block before task b; the last is the block's sum */
    uint32_t bands;
    struct salt salts[SALT_CACHE];
};

/* Entities of one task on either side of the border before a cycle. */
struct border {
    uint32_t left, right;
};

static uint64_t key_of(uint64_t seed, uint64_t use, uint64_t a, uint64_t b)
{
    return nm_mix64(nm_mix64(nm_mix64(nm_mix64(seed) + use) + a) + b);
}

/* ---- the permutation ------------------------------------------------------------------------- */

/* One way, or (back) the other: a round is undone by itself, so they come in the opposite order. */
static uint64_t feistel(uint64_t key, unsigned int low_bits, unsigned int high_bits, uint64_t x, bool back)
{
    uint64_t low_mask = ((uint64_t)1 << low_bits) - 1, high_mask = ((uint64_t)1 << high_bits) - 1;
    uint64_t low = x & low_mask, high = x >> low_bits;
    for (uint64_t i = 0; i < FEISTEL_ROUNDS; i++) {
        uint64_t round = back ? FEISTEL_ROUNDS - 1 - i : i;
        if (round % 2 == 0)
            high ^= nm_mix64(key + (round << 56) + low) & high_mask;
        else
            low ^= nm_mix64(key + (round << 56) + high) & low_mask;
    }
    return high << low_bits | low;
}

static uint64_t walk(uint64_t key, uint64_t n, uint64_t x, bool back)
{
    assert(n > 0 && x < n);
    if (n == 1)
        return 0;
    unsigned int bits = 64 - (unsigned int)__builtin_clzll(n - 1);
    assert(bits <= 62);
    unsigned int low_bits = (bits + 1) / 2;
    do /* fewer than two rounds on average, as n is more than half of 2^bits */
        x = feistel(key, low_bits, bits - low_bits, x, back);
    while (x >= n);
    return x;
}

uint64_t nm_plan_permute(uint64_t key, uint64_t n, uint64_t x)
{
    return walk(key, n, x, false);
}

uint64_t nm_plan_unpermute(uint64_t key, uint64_t n, uint64_t image)
{
    return walk(key, n, image, true);
}

/* ---- the pattern of counts ------------------------------------------------------------------- */

static void make_pattern(struct nm_plan *plan)
{
    const struct nm_plan_options *o = &plan->options;
    uint32_t negatives = (uint32_t)(o->negatives * NM_PLAN_BLOCK + 0.5);
    if (negatives == 0 && o->negatives > 0)
        negatives = 1;
    if (negatives == NM_PLAN_BLOCK && o->negatives < 1)
        negatives = NM_PLAN_BLOCK - 1;
    uint32_t width = o->max_entities - o->min_entities + 1;
    for (uint32_t b = 0; b < NM_PLAN_BLOCK; b++)
        plan->count[b] = b < negatives ? 0 : o->min_entities + (b - negatives) % width;
    struct nm_rng rng;
    nm_rng_init(&rng, key_of(o->seed, KEY_PATTERN, 0, 0));
    for (uint32_t b = NM_PLAN_BLOCK; b > 1; b--) { /* Fisher-Yates */
        uint32_t other = (uint32_t)nm_rng_below(&rng, b);
        uint32_t count = plan->count[b - 1];
        plan->count[b - 1] = plan->count[other];
        plan->count[other] = count;
    }
    for (uint32_t b = 0; b < NM_PLAN_BLOCK; b++)
        plan->before[b + 1] = plan->before[b] + plan->count[b];
}

static enum nm_err check(struct nm_plan_options *o, struct nm_diag *diag)
{
    if (!(o->negatives >= 0 && o->negatives <= 1))
        return nm_fail(diag, NM_EINVAL, "the share of negatives is %g; it must be between 0 and 1", o->negatives);
    if (o->min_words > o->max_words)
        return nm_fail(diag, NM_EINVAL, "words: the least (%u) is more than the most (%u)", o->min_words,
                       o->max_words);
    if (o->entities > (uint64_t)1 << 62)
        return nm_fail(diag, NM_EINVAL, "too many entities");
    if (o->negatives < 1) {
        if (o->entities == 0)
            return nm_fail(diag, NM_EINVAL, "there are no entities to ask for; add one to a list");
        if (o->min_entities < 1 || o->min_entities > o->max_entities || o->max_entities > NM_PLAN_ENTITIES_MAX)
            return nm_fail(diag, NM_EINVAL, "entities a task: %u to %u is no range within 1 to %d", o->min_entities,
                           o->max_entities, NM_PLAN_ENTITIES_MAX);
        if (o->max_entities > o->entities)
            o->max_entities = (uint32_t)o->entities;
        if (o->min_entities > o->max_entities)
            o->min_entities = o->max_entities;
    } else {
        o->min_entities = o->max_entities = 1; /* never used: every task is a negative */
    }
    if (o->styles == 0)
        o->styles = 1;
    if (o->sections == 0)
        o->sections = 1;
    return NM_OK;
}

enum nm_err nm_plan_new(const struct nm_plan_options *options, struct nm_plan **plan, struct nm_diag *diag)
{
    struct nm_plan *p = calloc(1, sizeof *p);
    *plan = NULL;
    if (!p)
        return nm_fail(diag, NM_ENOMEM, "no memory for the plan");
    p->options = *options;
    enum nm_err err = check(&p->options, diag);
    if (err) {
        free(p);
        return err;
    }
    p->bands = options->max_words - options->min_words >= 2 * BANDS ? BANDS : 1;
    make_pattern(p);
    *plan = p;
    return NM_OK;
}

void nm_plan_destroy(struct nm_plan **plan)
{
    free(*plan);
    *plan = NULL;
}

/* ---- slots, cycles and their borders --------------------------------------------------------- */

uint64_t nm_plan_slots(const struct nm_plan *plan, uint64_t n)
{
    return n / NM_PLAN_BLOCK * plan->before[NM_PLAN_BLOCK] + plan->before[n % NM_PLAN_BLOCK];
}

uint64_t nm_plan_tasks(const struct nm_plan *plan, uint64_t slots)
{
    uint64_t block = plan->before[NM_PLAN_BLOCK];
    assert(block > 0);
    uint64_t n = slots / block * NM_PLAN_BLOCK;
    while (nm_plan_slots(plan, n) < slots)
        n++;
    return n;
}

/* How the task that holds the first slot of a cycle is cut by that cycle's border; {0, 0}: it begins there. */
static struct border border_before(const struct nm_plan *plan, uint64_t cycle)
{
    uint64_t in_block = cycle * plan->options.entities % plan->before[NM_PLAN_BLOCK];
    uint32_t low = 0, high = NM_PLAN_BLOCK; /* the last b with before[b] <= in_block; it has entities */
    while (high - low > 1) {
        uint32_t mid = (low + high) / 2;
        if (plan->before[mid] <= in_block)
            low = mid;
        else
            high = mid;
    }
    uint32_t left = (uint32_t)(in_block - plan->before[low]);
    return left ? (struct border){left, plan->count[low] - left} : (struct border){0, 0};
}

static uint64_t entity_at(const struct nm_plan *plan, uint64_t cycle, uint64_t salt, uint64_t place)
{
    return nm_plan_permute(key_of(plan->options.seed, KEY_CYCLE, cycle, salt), plan->options.entities, place);
}

/* The entities at one end of a cycle: its last n or its first n. */
static void edge(const struct nm_plan *plan, uint64_t cycle, uint64_t salt, bool last, uint32_t n, uint64_t *out)
{
    for (uint32_t k = 0; k < n; k++)
        out[k] = entity_at(plan, cycle, salt, last ? plan->options.entities - n + k : k);
}

static bool disjoint(const uint64_t *a, uint32_t n_a, const uint64_t *b, uint32_t n_b)
{
    for (uint32_t i = 0; i < n_a; i++)
        for (uint32_t k = 0; k < n_b; k++)
            if (a[i] == b[k])
                return false;
    return true;
}

static uint64_t find_salt(const struct nm_plan *plan, uint64_t cycle)
{
    struct border front = border_before(plan, cycle), back = border_before(plan, cycle + 1);
    uint64_t before[NM_PLAN_ENTITIES_MAX], after[NM_PLAN_ENTITIES_MAX], own[NM_PLAN_ENTITIES_MAX];
    edge(plan, cycle - 1, 0, true, front.left, before);
    edge(plan, cycle + 1, 0, false, back.right, after);
    for (uint64_t salt = 0; salt < SALT_TRIES; salt++) {
        edge(plan, cycle, salt, false, front.right, own);
        if (!disjoint(before, front.left, own, front.right))
            continue;
        edge(plan, cycle, salt, true, back.left, own);
        if (disjoint(after, back.right, own, back.left))
            return salt;
    }
    return 0;
}

static uint64_t salt_of(struct nm_plan *plan, uint64_t cycle)
{
    if (cycle % 2 == 0)
        return 0;
    struct salt *known = &plan->salts[cycle / 2 % SALT_CACHE];
    if (known->cycle != cycle)
        *known = (struct salt){cycle, find_salt(plan, cycle)};
    return known->salt;
}

uint64_t nm_plan_uses(struct nm_plan *plan, uint64_t n, uint64_t entity)
{
    uint64_t slots = nm_plan_slots(plan, n), entities = plan->options.entities;
    if (slots == 0)
        return 0;
    uint64_t cycle = slots / entities, key = key_of(plan->options.seed, KEY_CYCLE, cycle, salt_of(plan, cycle));
    return cycle + (nm_plan_unpermute(key, entities, entity) < slots % entities);
}

/* ---- one task -------------------------------------------------------------------------------- */

static void take_entities(struct nm_plan *plan, uint64_t i, struct nm_plan_task *task)
{
    uint64_t slot = nm_plan_slots(plan, i), entities = plan->options.entities;
    uint32_t count = plan->count[i % NM_PLAN_BLOCK], n = 0;
    for (uint32_t k = 0; k < count; k++, slot++) {
        uint64_t cycle = slot / entities;
        uint64_t entity = entity_at(plan, cycle, salt_of(plan, cycle), slot % entities);
        if (disjoint(task->entities, n, &entity, 1))
            task->entities[n++] = entity;
    }
    task->n_entities = n;
}

/* Bands of lengths, each two thirds of the range wide: the bounds are checked, and a small model misses narrow ones.
 */
static void take_words(const struct nm_plan *plan, uint32_t band, struct nm_plan_task *task)
{
    const struct nm_plan_options *o = &plan->options;
    uint32_t span = o->max_words - o->min_words;
    task->min_words = o->min_words;
    task->max_words = o->max_words;
    if (plan->bands == BANDS) {
        task->min_words = o->min_words + span * band / 6;
        task->max_words = o->max_words - span * (BANDS - 1 - band) / 6;
    }
}

void nm_plan_task(struct nm_plan *plan, uint64_t i, struct nm_plan_task *task)
{
    const struct nm_plan_options *o = &plan->options;
    task->seed = key_of(o->seed, KEY_TASK, i, 0);
    task->negative = plan->count[i % NM_PLAN_BLOCK] == 0;
    take_entities(plan, i, task);
    uint64_t cells = (uint64_t)o->styles * o->sections * plan->bands;
    uint64_t cell = nm_plan_permute(key_of(o->seed, KEY_GRID, i / cells, 0), cells, i % cells);
    task->style = (uint32_t)(cell % o->styles);
    task->section = (uint32_t)(cell / o->styles % o->sections);
    take_words(plan, (uint32_t)(cell / o->styles / o->sections), task);
}
