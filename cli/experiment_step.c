#include "cli/experiment_step_parts.h"

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/experiment_cell.h"
#include "cli/experiment_replay.h"
#include "common/buf.h"
#include "schemas/project.h"

enum { FILE_BYTES_MAX = 1 << 30, PROJECT_MAX = 4 << 20 };

const struct nm_exp_step *nm_exp_dep(const struct nm_exp *x, const struct nm_exp_step *step, enum nm_exp_dep which)
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

enum nm_err nm_exp_list_file(const struct nm_exp *x, const char *dir, const char *key, uint32_t type,
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
        err = nm_exp_list_file(x, "lists", step->key, i, path);
        if (err == NM_OK)
            err = copy_file(x->e->types[i].file, path, diag);
    }
    return err;
}

/* An ordinary project, whole in its directory. */
static enum nm_err prepare_generation(const struct nm_exp *x, const struct nm_exp_step *step, struct nm_diag *diag)
{
    const struct nm_exp_step *lists = nm_exp_dep(x, step, NM_EXP_OF_LISTS);
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
        err = nm_exp_list_file(x, "lists", lists->key, i, from);
        if (err == NM_OK)
            err = nm_exp_list_file(x, "generations", step->key, i, to);
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

bool nm_exp_denoises(const struct nm_exp *x, const struct nm_exp_step *step)
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
    enum nm_err err = nm_exp_path(x, "generations", nm_exp_dep(x, step, NM_EXP_OF_DATA)->key, name, from);
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

enum nm_err nm_exp_recipe_file(const struct nm_exp *x, uint32_t variant, char path[NM_FILE_PATH])
{
    char name[96];
    (void)snprintf(name, sizeof name, "recipe-%s", x->e->variants[variant].name);
    return nm_exp_path(x, "models", name, ".yaml", path);
}

/* The variant's recipe, for the trainer. */
static enum nm_err write_recipe(const struct nm_exp *x, uint32_t variant, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    const char *files[NM_EXP_TYPES_MAX];
    struct nm_buf yaml;
    nm_buf_init(&yaml, PROJECT_MAX);
    for (uint32_t i = 0; i < x->e->n_types; i++)
        files[i] = "none.txt"; /* whoever wants lists is told of them */
    enum nm_err err = nm_experiment_project(x->e, variant, &(struct nm_experiment_run){files, 1, NULL}, &yaml);
    if (err == NM_OK)
        err = nm_exp_recipe_file(x, variant, path);
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
        const struct nm_exp_step *data = nm_exp_dep(x, step, from[i]);
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
        if (!nm_exp_denoises(x, step))
            return cut_data(x, step, "conll", ".conll", diag);
        return cut_data(x, step, "jsonl", ".cut.jsonl", diag);
    case NM_EXP_DRAW:
        return write_draw(x, step, diag);
    case NM_EXP_MODEL: {
        enum nm_err err = check_training(x, step, diag);
        return err == NM_OK ? write_recipe(x, step->variant, diag) : err;
    }
    case NM_EXP_SURFACE:
        return write_recipe(x, step->variant, diag);
    case NM_EXP_AUGMENT:
    case NM_EXP_CELL:
    case NM_EXP_KINDS:
        break;
    }
    return NM_OK;
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
        return nm_exp_denoises(x, step) ? rename_to(x, "data", step->key, ".judged.conll", ".conll", diag) : NM_OK;
    case NM_EXP_SURFACE:
        return rename_to(x, "data", step->key, ".conll.new", ".conll", diag);
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
