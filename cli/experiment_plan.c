#include "cli/experiment_plan.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/hash.h"

enum { SPEC_MAX = 4 << 20 };

/* One step's description grows in spec; where err is set, nothing is added any more. */
struct planner {
    struct nm_exp *x;
    struct nm_buf spec;
    char (*encoders)[33]; /* (n_variants) digests */
    enum nm_err err;
    struct nm_diag *diag;
};

/* ---- names and places ------------------------------------------------------------------------ */

static const struct {
    const char *name, *dir, *product;
} kinds[NM_EXP_KINDS] = {
    {"lists", "lists", ".json"},          {"generation", "generations", ".json"},
    {"data", "data", ".conll"},           {"surface", "data", ".conll"},
    {"draw", "gold", ".conll"},           {"augment", "gold", ".conll"},
    {"model", "models", "/nermill.json"}, {"cell", "cells", ".json"},
};

enum nm_err nm_exp_path(const struct nm_exp *x, const char *dir, const char *key, const char *suffix,
                        char path[NM_FILE_PATH])
{
    int n = snprintf(path, NM_FILE_PATH, "%s/%s/%s%s", x->state, dir, key, suffix);
    return n > 0 && n < NM_FILE_PATH ? NM_OK : NM_ELIMIT;
}

enum nm_err nm_exp_product(const struct nm_exp *x, const struct nm_exp_step *step, char path[NM_FILE_PATH])
{
    char suffix[48];
    if (step->kind == NM_EXP_GENERATION) { /* of a raised goal it is another one */
        (void)snprintf(suffix, sizeof suffix, "-%" PRIu64 ".json", step->samples);
        return nm_exp_path(x, kinds[step->kind].dir, step->key, suffix, path);
    }
    return nm_exp_path(x, kinds[step->kind].dir, step->key, kinds[step->kind].product, path);
}

static void add_label(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void add_label(char *out, size_t size, const char *fmt, ...)
{
    const size_t at = strlen(out);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(out + at, size - at, fmt, ap);
    va_end(ap);
}

static void add_budget(char *out, size_t size, const char *name, uint64_t value)
{
    if (value == NM_ALL)
        add_label(out, size, " %s=all", name);
    else if (value > 0)
        add_label(out, size, " %s=%" PRIu64, name, value);
}

void nm_exp_cell_label(const struct nm_exp *x, const struct nm_exp_cell *cell, char *out, size_t size)
{
    (void)snprintf(out, size, "%s %s", x->e->variants[cell->variant].name, nm_arm_name(cell->arm));
    add_budget(out, size, "K", cell->budget);
    add_budget(out, size, "n", cell->samples);
    add_budget(out, size, "N", cell->gold);
    if (cell->draw > 0)
        add_label(out, size, " draw=%" PRIu32, cell->draw);
    if (nm_arm_is_trained(cell->arm) || cell->arm == NM_ARM_UNION)
        add_label(out, size, " seed=%" PRIu64, cell->seed);
}

/* What synthetic sentences alone have taught is too much; a tagger that has seen gold ones knows by itself. */
double nm_exp_min_score(const struct nm_exp *x, const struct nm_exp_step *model, uint32_t variant)
{
    return model->arm == NM_ARM_SYNTHETIC ? nm_experiment_min_score(x->e, variant) : 0;
}

void nm_exp_step_label(const struct nm_exp *x, const struct nm_exp_step *step, char *out, size_t size)
{
    (void)snprintf(out, size, "%s", kinds[step->kind].name);
    if (step->kind == NM_EXP_MODEL || step->kind == NM_EXP_CELL)
        add_label(out, size, " %s", nm_arm_name(step->arm));
    if (step->kind != NM_EXP_DRAW && step->kind != NM_EXP_LISTS)
        add_label(out, size, " %s", x->e->variants[step->variant].name);
    add_budget(out, size, "K", step->budget);
    add_budget(out, size, "n", step->samples);
    add_budget(out, size, "N", step->gold);
    if (step->draw > 0)
        add_label(out, size, " draw=%" PRIu32, step->draw);
    if (step->kind == NM_EXP_MODEL || (step->kind == NM_EXP_CELL && step->arm != NM_ARM_DICTIONARY))
        add_label(out, size, " seed=%" PRIu64, step->seed);
}

enum nm_err nm_exp_draw(const struct nm_exp *x, uint32_t draw, uint32_t *order)
{
    return nm_exp_corpus_draw(&x->pool, nm_mix64(x->e->seed) + draw, x->e->documents, order);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void say(struct planner *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct planner *p, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (p->err == NM_OK)
        p->err = nm_buf_addf(&p->spec, "%s\n", line);
}

static void begin(struct planner *p, enum nm_exp_kind kind)
{
    nm_buf_reset(&p->spec);
    say(p, "%s, method %d", kinds[kind].name, NM_EXPERIMENT_METHOD);
}

static void say_step(struct planner *p, const char *as, int step)
{
    if (step >= 0)
        say(p, "%s %s", as, p->x->steps[step].key);
}

static void say_part(struct planner *p, uint32_t variant, enum nm_experiment_part part)
{
    if (p->err == NM_OK)
        p->err = nm_experiment_part(p->x->e, variant, part, &p->spec, p->diag);
}

static void set_key(const struct planner *p, char key[17])
{
    (void)snprintf(key, 17, "%016" PRIx64, nm_hash64(nm_buf_str(&p->spec), p->spec.len, 0));
}

/* Is this spec that step's? */
static bool is_step(const struct planner *p, int step)
{
    char key[17];
    set_key(p, key);
    return p->err == NM_OK && strcmp(p->x->steps[step].key, key) == 0;
}

/* The step of this spec: the one that is there already, or a new one. */
static int end(struct planner *p, const struct nm_exp_step *like)
{
    struct nm_exp *x = p->x;
    struct nm_exp_step step = *like;
    if (p->err != NM_OK)
        return NM_EXP_NONE;
    set_key(p, step.key);
    for (size_t i = 0; i < x->n_steps; i++)
        if (x->steps[i].kind == step.kind && strcmp(x->steps[i].key, step.key) == 0)
            return (int)i;
    if (x->n_steps == x->steps_cap) {
        size_t cap = x->steps_cap * 2 + 64;
        struct nm_exp_step *steps = realloc(x->steps, cap * sizeof *steps);
        if (steps == NULL) {
            p->err = NM_ENOMEM;
            return NM_EXP_NONE;
        }
        x->steps = steps;
        x->steps_cap = cap;
    }
    x->steps[x->n_steps] = step;
    return (int)x->n_steps++;
}

static struct nm_exp_step step_of(enum nm_exp_kind kind, const struct nm_exp_cell *cell)
{
    return (struct nm_exp_step){.kind = kind,
                                .arm = cell->arm,
                                .deps = {NM_EXP_NONE, NM_EXP_NONE, NM_EXP_NONE, NM_EXP_NONE},
                                .variant = cell->variant,
                                .budget = cell->budget,
                                .samples = cell->samples,
                                .gold = cell->gold,
                                .draw = cell->draw,
                                .seed = cell->seed};
}

/* ---- the steps ------------------------------------------------------------------------------- */

static int plan_lists(struct planner *p, const struct nm_exp_cell *cell)
{
    const struct nm_experiment *e = p->x->e;
    struct nm_exp_step step = step_of(NM_EXP_LISTS, cell);
    step.samples = step.gold = step.seed = 0;
    step.draw = 0;
    begin(p, NM_EXP_LISTS);
    for (uint32_t i = 0; i < e->n_types && p->err == NM_OK; i++) {
        char hash[33] = "cut";
        if (e->types[i].file != NULL)
            p->err = nm_exp_file_hash(e->types[i].file, hash, p->diag);
        say(p, "%s %s", e->types[i].name, hash);
    }
    if (e->types[0].file == NULL)
        say(p, "of %s, budget %" PRIu64 ", seed %" PRIu64 ", hygiene %d", p->x->pool_hash, cell->budget, e->seed,
            e->variants[cell->variant].hygiene);
    return end(p, &step);
}

/* Of all sample counts of a variant one generation: the largest; a smaller one is its beginning. */
static int plan_generation(struct planner *p, const struct nm_exp_cell *cell, int lists)
{
    const struct nm_experiment *e = p->x->e;
    const struct nm_experiment_variant *v = &e->variants[cell->variant];
    struct nm_exp_step made = step_of(NM_EXP_GENERATION, cell);
    int answers = NM_EXP_NONE;
    if (v->answers_of != cell->variant) {
        struct nm_exp_cell other = *cell;
        other.variant = v->answers_of;
        answers = plan_generation(p, &other, lists);
    }
    made.gold = made.seed = 0;
    made.draw = 0;
    for (uint32_t i = 0; i < v->n_samples; i++)
        made.samples = v->samples[i] > made.samples ? v->samples[i] : made.samples;
    begin(p, NM_EXP_GENERATION);
    say_part(p, cell->variant, NM_PART_GENERATION);
    for (uint32_t i = 0; i < e->n_types; i++)
        say(p, "%s: %.900s", e->types[i].name, e->types[i].definition != NULL ? e->types[i].definition : "");
    say_step(p, "lists", lists);
    const bool same = answers >= 0 && is_step(p, answers); /* what differs between the two comes later */
    if (!same)
        say_step(p, "answers of", answers);
    made.deps[NM_EXP_OF_LISTS] = lists;
    made.deps[NM_EXP_OF_DATA] = answers;
    const int generation = same ? answers : end(p, &made);
    if (generation >= 0 && p->x->steps[generation].samples < made.samples)
        p->x->steps[generation].samples = made.samples;
    return generation;
}

static int plan_data(struct planner *p, const struct nm_exp_cell *cell, int lists)
{
    struct nm_exp_step data = step_of(NM_EXP_DATA, cell);
    const int generation = plan_generation(p, cell, lists);
    data.gold = data.seed = 0;
    data.draw = 0;
    begin(p, NM_EXP_DATA);
    say_step(p, "generation", generation);
    say(p, "samples %" PRIu64, cell->samples);
    const size_t before = p->spec.len;
    say_part(p, cell->variant, NM_PART_DENOISE);
    if (p->spec.len > before) /* it is wanted: what it trains with counts */
        say_part(p, cell->variant, NM_PART_TRAINER);
    data.deps[NM_EXP_OF_DATA] = generation;
    return end(p, &data);
}

/* The data, and the copies of them that are trained on, too; the data themselves where the project has none. */
static int plan_surface(struct planner *p, const struct nm_exp_cell *cell, int data, int lists)
{
    struct nm_exp_step step = step_of(NM_EXP_SURFACE, cell);
    step.gold = step.seed = 0;
    step.draw = 0;
    begin(p, NM_EXP_SURFACE);
    const size_t before = p->spec.len;
    say_part(p, cell->variant, NM_PART_AUGMENT);
    if (p->spec.len == before)
        return data;
    say_step(p, "synthetic", data);
    say_step(p, "lists", lists);
    say(p, "seed %" PRIu64, p->x->e->seed);
    step.deps[NM_EXP_OF_DATA] = data;
    step.deps[NM_EXP_OF_LISTS] = lists;
    return end(p, &step);
}

static int plan_draw(struct planner *p, const struct nm_exp_cell *cell)
{
    const struct nm_experiment *e = p->x->e;
    struct nm_exp_step step = step_of(NM_EXP_DRAW, cell);
    step.budget = step.samples = step.seed = 0;
    begin(p, NM_EXP_DRAW);
    say(p, "of %s", p->x->pool_hash);
    if (cell->gold < p->x->pool.n)
        say(p, "%" PRIu64 " %s, seed %" PRIu64 ", draw %" PRIu32, cell->gold,
            e->documents ? "by documents" : "sentences", e->seed, cell->draw);
    else
        say(p, "all");
    return end(p, &step);
}

static int plan_augment(struct planner *p, const struct nm_exp_cell *cell, int draw, int lists)
{
    struct nm_exp_step step = step_of(NM_EXP_AUGMENT, cell);
    step.samples = step.seed = 0;
    begin(p, NM_EXP_AUGMENT);
    say_step(p, "gold", draw);
    say_step(p, "lists", lists);
    say(p, "copies %" PRIu32 ", seed %" PRIu64, p->x->e->copies, p->x->e->seed);
    step.deps[NM_EXP_OF_GOLD] = draw;
    step.deps[NM_EXP_OF_LISTS] = lists;
    return end(p, &step);
}

/* Does the draw have every type?  Where it lacks one, a tagger with other labels would come out, and one trained on
 * synthetic sentences cannot be gone on from. */
static bool draw_has_all_types(const struct nm_exp *x, const struct nm_exp_cell *cell)
{
    uint64_t types = 0;
    uint32_t *order = malloc((x->pool.n + 1) * sizeof *order);
    if (order == NULL || nm_exp_draw(x, cell->draw, order) != NM_OK) {
        free(order);
        return false;
    }
    for (size_t i = 0; i < x->pool.n && i < cell->gold; i++)
        types |= x->pool.at[order[i]].types;
    free(order);
    return types == (x->pool.n_types < 64 ? (UINT64_C(1) << x->pool.n_types) - 1 : UINT64_MAX);
}

static int plan_model(struct planner *p, const struct nm_exp_cell *cell, enum nm_arm arm, int data, int gold)
{
    struct nm_exp_step step = step_of(NM_EXP_MODEL, cell);
    step.arm = arm;
    int from = NM_EXP_NONE;
    if (arm == NM_ARM_SYNTHETIC) {
        step.gold = 0;
        step.draw = 0;
        gold = NM_EXP_NONE;
    }
    if (arm == NM_ARM_THEN && draw_has_all_types(p->x, cell)) {
        from = plan_model(p, cell, NM_ARM_SYNTHETIC, data, NM_EXP_NONE);
        data = NM_EXP_NONE;
    }
    begin(p, NM_EXP_MODEL);
    say(p, "%s, seed %" PRIu64 ", encoder %s", nm_arm_name(arm), cell->seed, p->encoders[cell->variant]);
    say_part(p, cell->variant, NM_PART_TRAINER);
    say_step(p, "synthetic", data);
    say_step(p, "gold", gold);
    say_step(p, "from", from);
    step.deps[NM_EXP_OF_DATA] = data;
    step.deps[NM_EXP_OF_GOLD] = gold;
    step.deps[NM_EXP_OF_MODEL] = from;
    return end(p, &step);
}

static int plan_cell(struct planner *p, const struct nm_exp_cell *cell)
{
    const struct nm_experiment *e = p->x->e;
    const enum nm_arm arm = cell->arm == NM_ARM_UNION ? e->union_of : cell->arm;
    struct nm_exp_step step = step_of(NM_EXP_CELL, cell);
    const bool listed = cell->budget > 0;
    const int lists = listed ? plan_lists(p, cell) : NM_EXP_NONE;
    int data = NM_EXP_NONE, gold = NM_EXP_NONE, model = NM_EXP_NONE;
    if (nm_arm_is_generated(e, cell->arm))
        data = plan_surface(p, cell, plan_data(p, cell, lists), lists);
    if (nm_arm_is_drawn(e, cell->arm))
        gold = plan_draw(p, cell);
    if (arm == NM_ARM_REPLACEMENT)
        gold = plan_augment(p, cell, gold, lists);
    if (cell->arm != NM_ARM_DICTIONARY)
        model = plan_model(p, cell, arm, data, gold);
    begin(p, NM_EXP_CELL);
    say(p, "%s", nm_arm_name(cell->arm));
    if (cell->arm == NM_ARM_UNION)
        say(p, "sure %.9g, lists first", e->union_sure);
    if (!nm_arm_is_trained(cell->arm)) {
        say_step(p, "lists", lists);
        step.deps[NM_EXP_OF_LISTS] = lists;
    }
    say_step(p, "model", model);
    if (model >= 0 && nm_exp_min_score(p->x, &p->x->steps[model], cell->variant) > 0)
        say(p, "min score %.9g", nm_exp_min_score(p->x, &p->x->steps[model], cell->variant));
    step.deps[NM_EXP_OF_MODEL] = model;
    set_key(p, step.choice);
    say(p, "on %s %s, seen %s", e->on_test ? "test" : "devel", p->x->eval_hash, p->x->pool_hash);
    return end(p, &step);
}

/* ---- the grid -------------------------------------------------------------------------------- */

static void add_cell(struct planner *p, struct nm_exp_cell cell)
{
    struct nm_exp *x = p->x;
    if (x->n_cells == x->cells_cap) {
        size_t cap = x->cells_cap * 2 + 64;
        struct nm_exp_cell *cells = realloc(x->cells, cap * sizeof *cells);
        if (cells == NULL) {
            p->err = NM_ENOMEM;
            return;
        }
        x->cells = cells;
        x->cells_cap = cap;
    }
    cell.step = plan_cell(p, &cell);
    x->cells[x->n_cells++] = cell;
}

/* Every draw and seed of one point of the grid; of all gold sentences there is one draw. */
static void add_point(struct planner *p, struct nm_exp_cell cell)
{
    const struct nm_experiment *e = p->x->e;
    const bool drawn = nm_arm_is_drawn(e, cell.arm), trained = cell.arm != NM_ARM_DICTIONARY;
    if (drawn && cell.gold >= p->x->pool.n)
        cell.gold = NM_ALL;
    const uint32_t draws = drawn && cell.gold != NM_ALL ? e->draws : 1;
    for (uint32_t d = 1; d <= draws && p->err == NM_OK; d++)
        for (uint32_t s = 0; s < (trained ? e->n_seeds : 1) && p->err == NM_OK; s++) {
            cell.draw = drawn ? d : 0;
            cell.seed = trained ? e->seeds[s] : 0;
            add_cell(p, cell);
        }
}

/* An arm has only the dimensions that it depends on. */
static void add_arm(struct planner *p, uint32_t variant, enum nm_arm arm)
{
    const struct nm_experiment *e = p->x->e;
    const struct nm_experiment_variant *v = &e->variants[variant];
    const bool made = nm_arm_is_generated(e, arm), drawn = nm_arm_is_drawn(e, arm);
    const bool listed = made || arm == NM_ARM_REPLACEMENT || !nm_arm_is_trained(arm);
    for (uint32_t k = 0; k < (listed ? v->n_budgets : 1); k++)
        for (uint32_t n = 0; n < (made ? v->n_samples : 1); n++)
            for (uint32_t g = 0; g < (drawn ? v->n_golds : 1) && p->err == NM_OK; g++)
                add_point(p, (struct nm_exp_cell){.variant = variant,
                                                  .arm = arm,
                                                  .budget = listed ? v->budgets[k] : 0,
                                                  .samples = made ? v->samples[n] : 0,
                                                  .gold = drawn ? v->golds[g] : 0});
}

/* An encoder by what it holds. */
static enum nm_err digest_encoder(const struct nm_experiment *e, uint32_t variant, char digest[33],
                                  struct nm_diag *diag)
{
    static const char *const names[] = {"config.json",       "model.safetensors", "model.safetensors.index.json",
                                        "pytorch_model.bin", "tokenizer.json",    "tokenizer_config.json",
                                        "vocab.txt"};
    char dir[NM_FILE_PATH], path[NM_FILE_PATH], all[sizeof names / sizeof *names][33] = {""};
    enum nm_err err = nm_experiment_encoder(e, variant, dir, sizeof dir, diag);
    for (size_t i = 0; i < sizeof names / sizeof *names && err == NM_OK; i++) {
        err = nm_file_path(dir, names[i], path, diag);
        if (err == NM_OK && (i == 0 || nm_file_exists(path)))
            err = nm_exp_file_hash(path, all[i], diag);
    }
    nm_hash128_hex(nm_hash128(all, sizeof all), digest);
    return err;
}

enum nm_err nm_exp_plan(struct nm_exp *x, struct nm_diag *diag)
{
    const struct nm_experiment *e = x->e;
    struct planner p = {.x = x, .diag = diag, .encoders = calloc(e->n_variants, sizeof *p.encoders)};
    nm_buf_init(&p.spec, SPEC_MAX);
    p.err = p.encoders != NULL ? NM_OK : NM_ENOMEM;
    for (uint32_t v = 0; v < e->n_variants && p.err == NM_OK; v++)
        p.err = digest_encoder(e, v, p.encoders[v], diag);
    for (uint32_t v = 0; v < e->n_variants; v++)
        for (enum nm_arm arm = 0; arm < NM_ARMS && p.err == NM_OK; arm++)
            if (e->variants[v].arms[arm])
                add_arm(&p, v, arm);
    nm_buf_clean_up(&p.spec);
    free(p.encoders);
    if (p.err != NM_OK)
        return diag->text[0] != '\0' ? p.err : nm_fail(diag, p.err, "the plan: %s", nm_err_name(p.err));
    nm_exp_want(x, NULL);
    return NM_OK;
}

static void want(struct nm_exp *x, int step)
{
    struct nm_exp_step *s = &x->steps[step];
    if (s->wanted)
        return;
    s->wanted = true;
    for (size_t i = 0; i < NM_EXP_DEPS && s->state != NM_EXP_DONE; i++)
        if (s->deps[i] >= 0)
            want(x, s->deps[i]);
}

void nm_exp_want(struct nm_exp *x, const char *pattern)
{
    char path[NM_FILE_PATH], label[256];
    for (size_t i = 0; i < x->n_steps; i++) {
        struct nm_exp_step *s = &x->steps[i];
        s->wanted = false;
        s->state = nm_exp_product(x, s, path) == NM_OK && nm_file_exists(path) ? NM_EXP_DONE : NM_EXP_LEFT;
    }
    for (size_t i = 0; i < x->n_cells; i++) {
        nm_exp_cell_label(x, &x->cells[i], label, sizeof label);
        if (pattern == NULL || fnmatch(pattern, label, 0) == 0)
            want(x, x->cells[i].step);
    }
}
