/* plan.h - what task i asks for, computed from the seed and i alone: nothing is stored for an untouched task.
 *
 * Counts.  Blocks of NM_PLAN_BLOCK tasks repeat one pattern, shuffled by the seed, whose numbers of entities spread
 * evenly over the range and whose share of negatives is the configured one.  Prefix sums inside the block turn a
 * task into its slots: the entity uses, numbered from 0 through the whole plan.
 *
 * Balance.  With E entities, slot s lies in cycle c = s / E, and its entity is the image of s mod E under a
 * permutation of [0,E) keyed by (seed, c).  So each entity is used once a cycle: after any number of tasks the uses
 * of any two differ by at most 1.  The permutation is a Feistel network over the next power of two, walked along its
 * cycle until it lands below E (Black, Rogaway 2002: Ciphers with Arbitrary Finite Domains).
 *
 * No task holds an entity twice.  A task inside a cycle cannot; for one that straddles the border of two, the odd
 * cycle takes the first salt of its key with which neither border collides.  Even cycles always have salt 0, so
 * this looks at two neighbours and no further.  Where no salt is found (a handful of entities, nearly all of them
 * in each task), the second mention is dropped: the task is one short, and that entity's uses lag by one.
 *
 * Style, section and length are one cell of their grid, permuted in the same way: each cell once in as many tasks
 * as the grid has cells.
 */
#ifndef NM_BROKER_PLAN_H
#define NM_BROKER_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum {
    NM_PLAN_ENTITIES_MAX = 256, /* in one task: what one TASK message can carry */
    NM_PLAN_BLOCK = 100         /* tasks in the repeated pattern: shares in whole per cents are exact */
};

struct nm_plan_options {
    uint64_t seed;
    uint64_t entities;                   /* how many there are */
    uint32_t min_entities, max_entities; /* in one task that is no negative; more than there are count as all */
    double negatives;                    /* share of tasks without entities, 0..1 */
    uint32_t min_words, max_words;       /* in one sentence */
    uint32_t styles, sections;           /* how many there are; 0: none */
};

struct nm_plan_task {
    uint64_t seed; /* of this task, for the sampler */
    bool negative;
    uint32_t n_entities;
    uint64_t entities[NM_PLAN_ENTITIES_MAX]; /* distinct indices */
    uint32_t style, section;                 /* 0 where there are none */
    uint32_t min_words, max_words;
};

struct nm_plan;

/* nm_plan_new - NM_EINVAL: ranges that are empty or too large, or no entities to ask for; diag says which.
 * NM_ENOMEM.  A plan is a few kilobytes whatever its length. */
enum nm_err nm_plan_new(const struct nm_plan_options *options, struct nm_plan **plan, struct nm_diag *diag);
void nm_plan_destroy(struct nm_plan **plan);

/* nm_plan_task - what task i asks for: the same for the same options, in whatever order it is called.  O(1) in i and
 * in the number of entities.  One thread a plan: it remembers the last salts. */
void nm_plan_task(struct nm_plan *plan, uint64_t i, struct nm_plan_task *task);

/* nm_plan_slots - entity uses in tasks [0,n).  Divided by the entities it is how often each was asked for, rounded
 * down for some and up for the others. */
uint64_t nm_plan_slots(const struct nm_plan *plan, uint64_t n);

/* nm_plan_uses - how often tasks [0,n) ask for that entity.  (One too many where it would have stood twice in a task,
 * which only lists of a few entities come to.)  O(1). */
uint64_t nm_plan_uses(struct nm_plan *plan, uint64_t n, uint64_t entity);

/* nm_plan_tasks - the least n with nm_plan_slots(plan, n) >= slots; not for a plan of negatives alone. */
uint64_t nm_plan_tasks(const struct nm_plan *plan, uint64_t slots);

/* nm_plan_permute - the image of x in a keyed permutation of [0,n); n > 0, x < n.  nm_plan_unpermute - the x of that
 * image. */
uint64_t nm_plan_permute(uint64_t key, uint64_t n, uint64_t x);
uint64_t nm_plan_unpermute(uint64_t key, uint64_t n, uint64_t image);

#endif
