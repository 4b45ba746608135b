#include "cli/experiment_step.h"

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/experiment_cell.h"
#include "cli/experiment_replay.h"
#include "common/buf.h"
#include "schemas/project.h"

enum { FILE_BYTES_MAX = 1 << 30, PROJECT_MAX = 4 << 20 };

static const struct nm_exp_step *dep(const struct nm_exp *x, const struct nm_exp_step *step, enum nm_exp_dep which)
{
    return step->deps[which] >= 0 ? &x->steps[step->deps[which]] : NULL;
}

/* ---- before ---------------------------------------------------------------------------------- */

static enum nm_err copy_file(const char *from, const char *to, struct nm_diag *diag)
{
    struct nm_buf data;
    nm_buf_init(&data, FILE_BYTES_MAX);
    enum nm_err err = nm_file_read(from, &data, diag);
    if (err == NM_OK)
        err = nm_file_write_atomic(to, nm_buf_str(&data), data.len, diag);
    nm_buf_clean_up(&data);
    return err;
}

static enum nm_err list_file(const struct nm_exp *x, const char *dir, const char *key, uint32_t type,
                             char path[NM_FILE_PATH])
{
    char name[96];
    (void)snprintf(name, sizeof name, "/%s.txt", x->e->types[type].name);
    return nm_exp_path(x, dir, key, name, path);
}

/* Lists that the experiment names are taken as they are; others the command nermill entities cuts. */
static enum nm_err prepare_lists(const struct nm_exp *x, const struct nm_exp_step *step, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    enum nm_err err = nm_exp_path(x, "lists", step->key, "", path);
    if (err == NM_OK)
        err = nm_file_make_dirs(path, diag);
    for (uint32_t i = 0; i < x->e->n_types && x->e->types[i].file != NULL && err == NM_OK; i++) {
        err = list_file(x, "lists", step->key, i, path);
        if (err == NM_OK)
            err = copy_file(x->e->types[i].file, path, diag);
    }
    return err;
}

/* An ordinary project, whole in its directory. */
static enum nm_err prepare_generation(const struct nm_exp *x, const struct nm_exp_step *step, struct nm_diag *diag)
{
    const struct nm_exp_step *lists = dep(x, step, NM_EXP_OF_LISTS);
    char from[NM_FILE_PATH], to[NM_FILE_PATH], replay[NM_FILE_PATH] = "";
    struct nm_buf yaml;
    struct nm_arena arena;
    const char *files[NM_EXP_TYPES_MAX];
    nm_arena_init(&arena, 0);
    nm_buf_init(&yaml, PROJECT_MAX);
    enum nm_err err = nm_exp_path(x, "generations", step->key, "", to);
    if (err == NM_OK)
        err = nm_file_make_dirs(to, diag);
    for (uint32_t i = 0; i < x->e->n_types && err == NM_OK; i++) {
        files[i] = nm_arena_sprintf(&arena, "%s.txt", x->e->types[i].name);
        err = list_file(x, "lists", lists->key, i, from);
        if (err == NM_OK)
            err = list_file(x, "generations", step->key, i, to);
        if (err == NM_OK)
            err = files[i] != NULL ? copy_file(from, to, diag) : NM_ENOMEM;
    }
    if (err == NM_OK)
        err = nm_exp_replay_find(x, step, replay, diag);
    if (err == NM_OK)
        err = nm_experiment_project(
            x->e, step->variant, &(struct nm_experiment_run){files, step->samples, replay[0] != '\0' ? replay : NULL},
            &yaml);
    if (err == NM_OK)
        err = nm_exp_path(x, "generations", step->key, "/project.yaml", to);
    if (err == NM_OK)
        err = nm_file_write_atomic(to, nm_buf_str(&yaml), yaml.len, diag);
    nm_buf_clean_up(&yaml);
    nm_arena_clean_up(&arena);
    return err;
}

/* The first n of a file's parts: lines, or blocks that a blank line ends. */
static enum nm_err cut(const char *from, const char *to, uint64_t n, bool blocks, struct nm_diag *diag)
{
    struct nm_file_map map;
    uint64_t have = 0;
    size_t at = 0;
    enum nm_err err = nm_file_map(from, &map, diag);
    if (err != NM_OK)
        return err;
    const char *data = (const char *)map.data;
    while (at < map.size && have < n) {
        const char *end = memchr(data + at, '\n', map.size - at);
        const size_t next = end != NULL ? (size_t)(end - data) + 1 : map.size;
        have += !blocks || next == at + 1;
        at = next;
    }
    err = have == n ? nm_file_write_atomic(to, data, at, diag)
                    : nm_fail(diag, NM_ESTATE, "%s holds %" PRIu64 " of %" PRIu64 " samples", from, have, n);
    nm_file_unmap(&map);
    return err;
}

static bool denoises(const struct nm_exp *x, const struct nm_exp_step *step)
{
    struct nm_buf part;
    nm_buf_init(&part, PROJECT_MAX);
    const bool wanted =
        nm_experiment_part(x->e, step->variant, NM_PART_DENOISE, &part, NULL) == NM_OK && part.len > 0;
    nm_buf_clean_up(&part);
    return wanted;
}

/* As lines of JSON where they are judged first, which needs more than tags. */
static enum nm_err cut_data(const struct nm_exp *x, const struct nm_exp_step *step, const char *form,
                            const char *suffix, struct nm_diag *diag)
{
    char name[64], from[NM_FILE_PATH], to[NM_FILE_PATH];
    (void)snprintf(name, sizeof name, "/run/data/train.%s", form);
    enum nm_err err = nm_exp_path(x, "generations", dep(x, step, NM_EXP_OF_DATA)->key, name, from);
    if (err == NM_OK)
        err = nm_exp_path(x, "data", step->key, suffix, to);
    return err == NM_OK ? cut(from, to, step->samples, strcmp(form, "conll") == 0, diag) : err;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* In the order of the corpus: the order of a draw is no information that a training should have. */
static enum nm_err write_draw(const struct nm_exp *x, const struct nm_exp_step *step, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    const size_t n = step->gold < x->pool.n ? (size_t)step->gold : x->pool.n;
    uint32_t *order = malloc((x->pool.n + 1) * sizeof *order);
    enum nm_err err = order != NULL ? nm_exp_draw(x, step->draw, order) : NM_ENOMEM;
    if (err == NM_OK)
        err = nm_exp_product(x, step, path);
    if (err == NM_OK) {
        qsort(order, n, sizeof *order, by_number);
        err = nm_exp_corpus_write(&x->pool, order, n, false, path, diag);
    }
    free(order);
    return err;
}

/* The variant's recipe, for the trainer. */
static enum nm_err write_recipe(const struct nm_exp *x, uint32_t variant, struct nm_diag *diag)
{
    char path[NM_FILE_PATH], name[96];
    const char *files[NM_EXP_TYPES_MAX];
    struct nm_buf yaml;
    nm_buf_init(&yaml, PROJECT_MAX);
    for (uint32_t i = 0; i < x->e->n_types; i++)
        files[i] = "none.txt"; /* the trainer reads no lists */
    (void)snprintf(name, sizeof name, "recipe-%s", x->e->variants[variant].name);
    enum nm_err err = nm_experiment_project(x->e, variant, &(struct nm_experiment_run){files, 1, NULL}, &yaml);
    if (err == NM_OK)
        err = nm_exp_path(x, "models", name, ".yaml", path);
    if (err == NM_OK)
        err = nm_file_write_atomic(path, nm_buf_str(&yaml), yaml.len, diag);
    nm_buf_clean_up(&yaml);
    return err;
}

/* However it came about: nothing is trained on that holds a sentence of the test part. */
static enum nm_err check_training(const struct nm_exp *x, const struct nm_exp_step *step, struct nm_diag *diag)
{
    static const enum nm_exp_dep from[] = {NM_EXP_OF_DATA, NM_EXP_OF_GOLD};
    char path[NM_FILE_PATH];
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < 2 && err == NM_OK; i++) {
        const struct nm_exp_step *data = dep(x, step, from[i]);
        if (data != NULL && (err = nm_exp_product(x, data, path)) == NM_OK)
            err = nm_guard_check_file(x->guard, "training data", path, diag);
    }
    return err;
}

enum nm_err nm_exp_prepare(const struct nm_exp *x, const struct nm_exp_step *step, struct nm_diag *diag)
{
    switch (step->kind) {
    case NM_EXP_LISTS:
        return prepare_lists(x, step, diag);
    case NM_EXP_GENERATION:
        return prepare_generation(x, step, diag);
    case NM_EXP_DATA:
        if (!denoises(x, step))
            return cut_data(x, step, "conll", ".conll", diag);
        return cut_data(x, step, "jsonl", ".cut.jsonl", diag);
    case NM_EXP_DRAW:
        return write_draw(x, step, diag);
    case NM_EXP_MODEL: {
        enum nm_err err = check_training(x, step, diag);
        return err == NM_OK ? write_recipe(x, step->variant, diag) : err;
    }
    case NM_EXP_AUGMENT:
    case NM_EXP_CELL:
    case NM_EXP_KINDS:
        break;
    }
    return NM_OK;
}

/* ---- programs -------------------------------------------------------------------------------- */

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
        (void)list_file(x, "lists", lists->key, i, path);
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
    const bool replayed = x->replay != NULL || dep(x, step, NM_EXP_OF_DATA) != NULL;
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
    add_path(x, c, "--project", "generations", dep(x, step, NM_EXP_OF_DATA)->key, "");
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
    add_path(x, c, NULL, "gold", dep(x, step, NM_EXP_OF_GOLD)->key, ".conll");
    add_lists(x, c, dep(x, step, NM_EXP_OF_LISTS));
    add(c, "--copies");
    add(c, "%" PRIu32, x->e->copies);
    add(c, "--seed");
    add(c, "%" PRIu64, x->e->seed);
    add_path(x, c, "-o", "gold", step->key, ".conll.new");
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
    const struct nm_exp_step *data = dep(x, step, NM_EXP_OF_DATA), *gold = dep(x, step, NM_EXP_OF_GOLD);
    const struct nm_exp_step *from = dep(x, step, NM_EXP_OF_MODEL);
    const bool replaces = step->arm == NM_ARM_REPLACEMENT, alone = step->arm == NM_ARM_SYNTHETIC;
    char path[NM_FILE_PATH], name[96];
    double rate = 0;
    (void)snprintf(name, sizeof name, "recipe-%s", x->e->variants[step->variant].name);
    enum nm_err err = nm_exp_path(x, "models", name, ".yaml", path);
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
    const struct nm_exp_step *model = dep(x, step, NM_EXP_OF_MODEL), *lists = dep(x, step, NM_EXP_OF_LISTS);
    if (phase == 0 && model != NULL) {
        add(c, "nermill-trainer");
        add(c, "predict");
        add_path(x, c, "--model", "models", model->key, "");
        add(c, "--threads");
        add(c, "%" PRIu32, x->e->threads);
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
        return phase == 0 && denoises(x, step) ? command_denoise(x, step, c, diag) : NM_OK;
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

/* ---- behind ---------------------------------------------------------------------------------- */

static enum nm_err rename_to(const struct nm_exp *x, const char *dir, const char *key, const char *from_suffix,
                             const char *to_suffix, struct nm_diag *diag)
{
    char from[NM_FILE_PATH], to[NM_FILE_PATH];
    enum nm_err err = nm_exp_path(x, dir, key, from_suffix, from);
    if (err == NM_OK)
        err = nm_exp_path(x, dir, key, to_suffix, to);
    if (err == NM_OK && rename(from, to) != 0)
        err = nm_fail(diag, nm_err_from_errno(errno), "%s: %s", to, strerror(errno));
    return err;
}

static enum nm_err write_done(const struct nm_exp *x, const struct nm_exp_step *step, double seconds,
                              struct nm_diag *diag)
{
    char path[NM_FILE_PATH], label[256], text[512];
    nm_exp_step_label(x, step, label, sizeof label);
    int n = snprintf(text, sizeof text, "{\"step\": \"%s\", \"key\": \"%s\", \"seconds\": %.1f}\n", label, step->key,
                     seconds);
    enum nm_err err = nm_exp_product(x, step, path);
    return err == NM_OK ? nm_file_write_atomic(path, text, (size_t)n, diag) : err;
}

enum nm_err nm_exp_finish(const struct nm_exp *x, const struct nm_exp_step *step, double seconds,
                          struct nm_diag *diag)
{
    switch (step->kind) {
    case NM_EXP_GENERATION: {
        enum nm_err err = nm_exp_replay_check(x, step, diag);
        return err == NM_OK ? write_done(x, step, seconds, diag) : err;
    }
    case NM_EXP_LISTS:
        return write_done(x, step, seconds, diag);
    case NM_EXP_DATA:
        return denoises(x, step) ? rename_to(x, "data", step->key, ".judged.conll", ".conll", diag) : NM_OK;
    case NM_EXP_AUGMENT:
        return rename_to(x, "gold", step->key, ".conll.new", ".conll", diag);
    case NM_EXP_CELL: {
        enum nm_err err = rename_to(x, "cells", step->key, ".new", ".conll", diag);
        return err == NM_OK ? nm_exp_cell_finish(x, step, seconds, diag) : err;
    }
    case NM_EXP_DRAW:
    case NM_EXP_MODEL: /* the trainer's own card */
    case NM_EXP_KINDS:
        break;
    }
    return NM_OK;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

void nm_exp_discard(const struct nm_exp *x, const struct nm_exp_step *model)
{
    char card[NM_FILE_PATH], dir[NM_FILE_PATH];
    if (nm_exp_product(x, model, card) != NM_OK || nm_exp_path(x, "models", model->key, "", dir) != NM_OK)
        return;
    (void)remove(card); /* first: without it the directory is no model */
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
