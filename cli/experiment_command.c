/* experiment_command.c - the programs of each step. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/experiment_cell.h"
#include "cli/experiment_step_parts.h"
#include "schemas/project.h"

static void add(struct nm_exp_command *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct nm_exp_command *c, const char *fmt, ...)
{
    char text[NM_FILE_PATH + 128];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (c->n < NM_EXP_ARGS - 1)
        c->argv[c->n++] = nm_arena_strndup(&c->arena, text, strlen(text));
}

static void add_path(const struct nm_exp *x, struct nm_exp_command *c, const char *option, const char *dir,
                     const char *key, const char *suffix)
{
    char path[NM_FILE_PATH] = "";
    (void)nm_exp_path(x, dir, key, suffix, path);
    if (option != NULL)
        add(c, "%s", option);
    add(c, "%s", path);
}

static void add_lists(const struct nm_exp *x, struct nm_exp_command *c, const struct nm_exp_step *lists)
{
    for (uint32_t i = 0; i < x->e->n_types; i++) {
        char path[NM_FILE_PATH] = "";
        (void)nm_exp_list_file(x, "lists", lists->key, i, path);
        add(c, "--entities");
        add(c, "%s=%s", x->e->types[i].name, path);
    }
}

static void command_lists(const struct nm_exp *x, const struct nm_exp_step *step, struct nm_exp_command *c)
{
    if (x->e->types[0].file != NULL)
        return;
    add(c, "nermill");
    add(c, "entities");
    add_path(x, c, NULL, "corpus", "train", ".conll");
    add_path(x, c, "--out", "lists", step->key, "");
    for (uint32_t i = 0; i < x->e->n_types; i++) {
        add(c, "--type");
        add(c, "%s", x->e->types[i].name);
    }
    if (step->budget != NM_ALL) {
        add(c, "--budget");
        add(c, "%" PRIu64, step->budget);
    }
    add(c, "--seed");
    add(c, "%" PRIu64, x->e->seed);
    if (x->e->variants[step->variant].hygiene)
        add(c, "--hygiene");
}

static void command_generation(const struct nm_exp *x, const struct nm_exp_step *step, unsigned phase,
                               struct nm_exp_command *c)
{
    static const char *const commands[] = {"run", "report", "responses"};
    const bool replayed = x->replay != NULL || nm_exp_dep(x, step, NM_EXP_OF_DATA) != NULL;
    if (phase > 2 || (phase == 2 && replayed))
        return;
    add(c, "nermill");
    add(c, "%s", commands[phase]);
    if (phase == 2)
        add(c, "export");
    add_path(x, c, NULL, "generations", step->key, "");
    if (phase == 2)
        add_path(x, c, "--out", "responses", step->key, ".jsonl.gz");
    else
        add(c, phase == 0 ? "--no-train" : "--json");
    if (phase == 1)
        (void)nm_exp_path(x, "generations", step->key, ".report.json", c->out);
}

static enum nm_err command_denoise(const struct nm_exp *x, const struct nm_exp_step *step, struct nm_exp_command *c,
                                   struct nm_diag *diag)
{
    char encoder[NM_FILE_PATH];
    enum nm_err err = nm_experiment_encoder(x->e, step->variant, encoder, sizeof encoder, diag);
    add(c, "nermill");
    add(c, "denoise");
    add_path(x, c, NULL, "data", step->key, ".cut.jsonl");
    add_path(x, c, "--project", "generations", nm_exp_dep(x, step, NM_EXP_OF_DATA)->key, "");
    add(c, "--model");
    add(c, "%s", encoder);
    add(c, "--format");
    add(c, "conll");
    add_path(x, c, "--out", "data", step->key, ".judged.conll");
    return err;
}

static void command_augment(const struct nm_exp *x, const struct nm_exp_step *step, struct nm_exp_command *c)
{
    add(c, "nermill");
    add(c, "augment");
    add_path(x, c, NULL, "gold", nm_exp_dep(x, step, NM_EXP_OF_GOLD)->key, ".conll");
    add_lists(x, c, nm_exp_dep(x, step, NM_EXP_OF_LISTS));
    add(c, "--copies");
    add(c, "%" PRIu32, x->e->copies);
    add(c, "--seed");
    add(c, "%" PRIu64, x->e->seed);
    add_path(x, c, "-o", "gold", step->key, ".conll.new");
}

/* How is the recipe's to say: the project of the generation may be another variant's. */
static void command_surface(const struct nm_exp *x, const struct nm_exp_step *step, struct nm_exp_command *c)
{
    char recipe[NM_FILE_PATH] = "";
    (void)nm_exp_recipe_file(x, step->variant, recipe);
    add(c, "nermill");
    add(c, "augment");
    add_path(x, c, NULL, "data", nm_exp_dep(x, step, NM_EXP_OF_DATA)->key, ".conll");
    add_lists(x, c, nm_exp_dep(x, step, NM_EXP_OF_LISTS));
    add(c, "--project");
    add(c, "%s", recipe);
    add(c, "--seed");
    add(c, "%" PRIu64, x->e->seed);
    add_path(x, c, "-o", "data", step->key, ".conll.new");
}

/* The rate of gold passes behind synthetic ones, as stages.c has it. */
static enum nm_err gold_rate(const char *recipe, double *rate, struct nm_diag *diag)
{
    struct nm_project *project = NULL;
    enum nm_err err = nm_project_load(recipe, &project, diag);
    if (err == NM_OK)
        *rate = project->trainer.gold_learning_rate > 0 ? project->trainer.gold_learning_rate
                                                        : 0.4 * project->trainer.learning_rate;
    nm_project_destroy(&project);
    return err;
}

static enum nm_err command_model(const struct nm_exp *x, const struct nm_exp_step *step, struct nm_exp_command *c,
                                 struct nm_diag *diag)
{
    const struct nm_exp_step *data = nm_exp_dep(x, step, NM_EXP_OF_DATA), *gold = nm_exp_dep(x, step, NM_EXP_OF_GOLD);
    const struct nm_exp_step *from = nm_exp_dep(x, step, NM_EXP_OF_MODEL);
    const bool replaces = step->arm == NM_ARM_REPLACEMENT, alone = step->arm == NM_ARM_SYNTHETIC;
    char path[NM_FILE_PATH];
    double rate = 0;
    enum nm_err err = nm_exp_recipe_file(x, step->variant, path);
    if (err == NM_OK && from != NULL)
        err = gold_rate(path, &rate, diag);
    add(c, "nermill-trainer");
    add(c, "train");
    add(c, "--project");
    add(c, "%s", path);
    if (err == NM_OK && from == NULL)
        err = nm_experiment_encoder(x->e, step->variant, path, sizeof path, diag);
    else if (err == NM_OK)
        err = nm_exp_path(x, "models", from->key, "", path);
    add(c, "--model");
    add(c, "%s", path);
    add_path(x, c, "--out", "models", step->key, "");
    add(c, "--seed");
    add(c, "%" PRIu64, step->seed);
    add(c, "--threads");
    add(c, "%" PRIu32, x->e->threads);
    add(c, "--min-score"); /* cells say theirs */
    add(c, "0");
    add(c, "--recipe");
    add(c, "%s", replaces || from != NULL ? "gold" : nm_arm_name(step->arm));
    if (data != NULL)
        add_path(x, c, "--train", "data", data->key, ".conll");
    if (gold != NULL)
        add_path(x, c, "--gold-train", "gold", gold->key, ".conll");
    if (from != NULL) { /* the second stage of the recipe then, with the first one's model */
        add(c, "--lr");
        add(c, "%.9g", rate);
    }
    if (alone) { /* there is no gold to hold out of */
        add(c, "--dev-share");
        add(c, "0");
        add(c, "--patience");
        add(c, "0");
    }
    return err;
}

static void command_cell(const struct nm_exp *x, const struct nm_exp_step *step, unsigned phase,
                         struct nm_exp_command *c)
{
    const struct nm_exp_step *model = nm_exp_dep(x, step, NM_EXP_OF_MODEL),
                             *lists = nm_exp_dep(x, step, NM_EXP_OF_LISTS);
    if (phase == 0 && model != NULL) {
        add(c, "nermill-trainer");
        add(c, "predict");
        add_path(x, c, "--model", "models", model->key, "");
        add(c, "--threads");
        add(c, "%" PRIu32, x->e->threads);
        add(c, "--min-score");
        add(c, "%.9g", nm_exp_min_score(x, model, step->variant));
        add(c, "--input");
        add(c, "conll");
        add(c, "--format");
        add(c, "conll");
        add_path(x, c, lists != NULL ? "--scores" : NULL, "corpus", nm_exp_eval_name(x), ".words.conll");
        (void)nm_exp_path(x, "cells", step->key, lists != NULL ? ".tagged" : ".new", c->out);
    }
    if ((phase == 0 && model == NULL) || (phase == 1 && model != NULL && lists != NULL)) {
        add(c, "nermill");
        add(c, "match");
        add_path(x, c, NULL, "corpus", nm_exp_eval_name(x), ".words.conll");
        add_lists(x, c, lists);
        if (model != NULL) {
            add_path(x, c, "--with", "cells", step->key, ".tagged");
            add(c, "--sure");
            add(c, "%.9g", x->e->union_sure);
            add(c, "--prefer");
            add(c, "lists");
        }
        add_path(x, c, "-o", "cells", step->key, ".new");
    }
}

static void command_score(const struct nm_exp *x, const struct nm_exp_step *step, struct nm_exp_command *c)
{
    add(c, "nermill-trainer");
    add(c, "score");
    add_path(x, c, NULL, "cells", step->key, ".columns");
    add_path(x, c, "--seen", "corpus", "train", ".conll");
    add(c, "--json");
    (void)nm_exp_path(x, "cells", step->key, ".scores", c->out);
}

static enum nm_err fill(const struct nm_exp *x, const struct nm_exp_step *step, unsigned phase,
                        struct nm_exp_command *c, struct nm_diag *diag)
{
    switch (step->kind) {
    case NM_EXP_LISTS:
        if (phase == 0)
            command_lists(x, step, c);
        break;
    case NM_EXP_GENERATION:
        command_generation(x, step, phase, c);
        break;
    case NM_EXP_DATA:
        return phase == 0 && nm_exp_denoises(x, step) ? command_denoise(x, step, c, diag) : NM_OK;
    case NM_EXP_SURFACE:
        if (phase == 0)
            command_surface(x, step, c);
        break;
    case NM_EXP_AUGMENT:
        if (phase == 0)
            command_augment(x, step, c);
        break;
    case NM_EXP_MODEL:
        return phase == 0 ? command_model(x, step, c, diag) : NM_OK;
    case NM_EXP_CELL: {
        const unsigned tagging = step->arm == NM_ARM_UNION ? 2 : 1;
        if (phase < tagging)
            command_cell(x, step, phase, c);
        enum nm_err err = phase == tagging ? nm_exp_cell_columns(x, step, diag) : NM_OK;
        if (err == NM_OK && phase == tagging)
            command_score(x, step, c);
        return err;
    }
    case NM_EXP_DRAW:
    case NM_EXP_KINDS:
        break;
    }
    return NM_OK;
}

/* The file in an argument: "FILE", or "TYPE=FILE". */
static const char *file_of(const char *argument)
{
    const char *equals = strchr(argument, '=');
    return equals != NULL && !nm_file_exists(argument) ? equals + 1 : argument;
}

/* Whatever a step says: no program that is started from here is given the test part. */
enum nm_err nm_exp_command(const struct nm_exp *x, const struct nm_exp_step *step, unsigned phase,
                           struct nm_exp_command *command, struct nm_diag *diag)
{
    nm_arena_init(&command->arena, 0);
    enum nm_err err = fill(x, step, phase, command, diag);
    for (size_t i = 1; i < command->n && err == NM_OK; i++) {
        if (command->argv[i] == NULL)
            err = nm_fail(diag, NM_ENOMEM, "out of memory");
        else if (nm_guard_is_test(x->guard, file_of(command->argv[i])))
            err = nm_fail(diag, NM_EAUTH, "%s %s would be given the test part, %s", command->argv[0],
                          command->argv[1], command->argv[i]);
    }
    return err;
}
