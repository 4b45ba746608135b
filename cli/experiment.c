/* experiment.c - nermill experiment: a grid of taggers, made and scored through the other programs, and what came of
 * it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/experiment_cell.h"
#include "cli/experiment_run.h"
#include "cli/experiment_seal.h"
#include "cli/experiment_tables.h"
#include "cli/lock.h"
#include "cli/process.h"
#include "cli/progress.h"
#include "cli/stop.h"

enum { EARLIER_LIMIT_MS = 120 * 1000, JOBS_MAX = 64 };

/* FILE without its ending, with ".run": beside it. */
static enum nm_err state_beside(const char *file, char out[NM_FILE_PATH], struct nm_diag *diag)
{
    const char *slash = strrchr(file, '/'), *dot = strrchr(file, '.');
    const size_t len = dot != NULL && (slash == NULL || dot > slash) ? (size_t)(dot - file) : strlen(file);
    return (size_t)snprintf(out, NM_FILE_PATH, "%.*s.run", (int)len, file) < NM_FILE_PATH
               ? NM_OK
               : nm_fail(diag, NM_ELIMIT, "%s: the path is too long", file);
}

/* ---- --list ---------------------------------------------------------------------------------- */

/* What cells of an arm took so far. */
struct pace {
    double seconds;
    unsigned n;
};

static void print_cells(const struct nm_exp *x, struct pace paces[NM_ARMS])
{
    char label[256];
    for (size_t i = 0; i < x->n_cells; i++) {
        const struct nm_exp_cell *cell = &x->cells[i];
        const struct nm_exp_step *step = &x->steps[cell->step];
        if (!step->wanted)
            continue;
        nm_exp_cell_label(x, cell, label, sizeof label);
        json_t *result = step->state == NM_EXP_DONE ? nm_exp_cell_read(x, step) : NULL;
        const json_t *seconds = json_object_get(result, "seconds");
        if (result != NULL) {
            paces[cell->arm].seconds += json_number_value(json_object_get(seconds, "training")) +
                                        json_number_value(json_object_get(seconds, "tagging"));
            paces[cell->arm].n++;
            printf("done  %s  %-60s F1 %.4f\n", step->key, label,
                   json_number_value(json_object_get(json_object_get(result, "scores"), "f1")));
        } else {
            printf("left  %s  %s\n", step->key, label);
        }
        json_decref(result);
    }
}

static void print_estimate(const struct nm_exp *x, const struct pace paces[NM_ARMS], unsigned jobs)
{
    static const char *const names[NM_EXP_KINDS] = {"lists", "generations", "data sets", "surfaces",
                                                    "draws", "augment",     "trainings", "cells"};
    unsigned left[NM_EXP_KINDS] = {0}, unknown = 0;
    double seconds = 0;
    for (size_t i = 0; i < x->n_steps; i++) {
        const struct nm_exp_step *s = &x->steps[i];
        if (!s->wanted || s->state == NM_EXP_DONE)
            continue;
        left[s->kind]++;
        if (s->kind == NM_EXP_CELL && paces[s->arm].n > 0)
            seconds += paces[s->arm].seconds / paces[s->arm].n;
        else
            unknown += s->kind == NM_EXP_CELL;
    }
    printf("\nleft:");
    for (size_t k = 0; k < NM_EXP_KINDS; k++)
        if (left[k] > 0)
            printf(" %u %s,", left[k], names[k]);
    char duration[32];
    nm_duration(seconds / jobs, duration, sizeof duration);
    printf(" about %s%s\n", left[NM_EXP_CELL] > 0 ? duration : "nothing",
           unknown > 0                   ? ", not counting cells of arms of which none is done"
           : left[NM_EXP_GENERATION] > 0 ? ", not counting generations"
                                         : "");
}

static void print_list(const struct nm_exp *x, unsigned jobs)
{
    struct pace paces[NM_ARMS] = {0};
    print_cells(x, paces);
    print_estimate(x, paces, jobs);
}

/* ---- the command ----------------------------------------------------------------------------- */

struct options {
    const char *file, *state, *only, *replay;
    uint64_t jobs;
    bool list, seal, figures_only, keep_models;
};

static void say_corpora(const struct nm_exp *x)
{
    printf("%s: %zu cells; gold is drawn from %zu sentences, taggers are scored on %s", x->e->name, x->n_cells,
           x->pool.n, nm_exp_eval_name(x));
    if (!x->e->on_test)
        printf(" (%zu sentences)", x->eval.n);
    putchar('\n');
    if (x->pool_dropped + x->eval_dropped > 0)
        printf("left out, as they stand in the test part too: %zu sentences of train, %zu of devel\n",
               x->pool_dropped, x->eval_dropped);
    fflush(stdout);
}

static enum nm_err run_locked(struct nm_exp *x, const struct options *o, struct nm_diag *diag)
{
    struct nm_run_lock lock;
    unsigned failed = 0;
    enum nm_err err = nm_run_lock_take(x->state, EARLIER_LIMIT_MS, nm_stop_asked, &lock, diag);
    if (err != NM_OK)
        return err;
    const struct nm_exp_running how = {.jobs = (unsigned)o->jobs,
                                       .keep_models = o->keep_models,
                                       .stop = nm_stop_asked,
                                       .hurry = nm_stop_hurried,
                                       .lock_fd = lock.crew_fd};
    nm_exp_want(x, o->only); /* what an earlier run's programs have finished while this one waited for them */
    err = nm_exp_run(x, &how, &failed, diag);
    nm_run_lock_release(&lock);
    if (err == NM_OK && failed > 0)
        err = nm_fail(diag, NM_ESTATE, "%u steps failed (see above); the same command tries them again", failed);
    return err;
}

/* Of what is done, whatever failed. */
static enum nm_err write_results(const struct nm_exp *x, enum nm_err err, struct nm_diag *diag)
{
    struct nm_diag why = {""};
    const enum nm_err wrote = nm_exp_write_all(x, &why);
    if (wrote == NM_OK)
        printf("%s/%s: tables.md, results.csv, results.json, figures/\n", x->state, nm_exp_eval_name(x));
    else if (err == NM_OK)
        *diag = why;
    return err == NM_OK ? wrote : err;
}

static enum nm_err seal(const struct nm_exp *x, struct nm_diag *diag)
{
    struct nm_seal seal;
    enum nm_err err = nm_seal_write(x, &seal, diag);
    if (err == NM_OK)
        printf("sealed as %s/seals/%u.json, %s: with evaluate: test, these taggers may be scored on %s\n", x->state,
               seal.number, seal.hash, x->e->test != NULL ? x->e->test : "the test part");
    return err;
}

/* Nothing is read of the test part but behind a seal; from here on it is. */
static enum nm_err open_test(struct nm_exp *x, struct nm_diag *diag)
{
    struct nm_seal seal;
    enum nm_err err = nm_seal_open(x, &seal, diag);
    if (err == NM_OK)
        printf("the final evaluation, by seal %u (%s)%s\n", seal.number, seal.hash,
               seal.opened_before > 0 ? ", made after the test part had been looked at by an earlier one" : "");
    return err == NM_OK ? nm_exp_open_test(x, diag) : err;
}

static enum nm_err work(struct nm_exp *x, const struct options *o, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    nm_exp_want(x, o->only);
    say_corpora(x);
    if (o->list) {
        print_list(x, (unsigned)o->jobs);
        return NM_OK;
    }
    if (o->seal)
        return seal(x, diag);
    if (x->e->on_test)
        err = open_test(x, diag);
    if (err != NM_OK)
        return err;
    if (!o->figures_only)
        err = run_locked(x, o, diag);
    return err == NM_OK || err == NM_ESTATE ? write_results(x, err, diag) : err;
}

static enum nm_err experiment(const struct options *o, struct nm_diag *diag)
{
    struct nm_experiment *e = NULL;
    struct nm_exp x = {0};
    char state[NM_FILE_PATH];
    enum nm_err err = nm_experiment_load(o->file, &e, diag);
    if (err == NM_OK && o->state == NULL)
        err = state_beside(o->file, state, diag);
    else if (err == NM_OK)
        (void)snprintf(state, sizeof state, "%s", o->state);
    if (err == NM_OK)
        err = nm_exp_open(e, state, o->replay, &x, diag);
    if (err == NM_OK)
        err = work(&x, o, diag);
    nm_exp_close(&x);
    nm_experiment_destroy(&e);
    return err;
}

int nm_command_experiment(int argc, char **argv)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct options o = {.jobs = cores > 0 && cores < JOBS_MAX ? (uint64_t)cores : 1};
    const struct nm_opt opts[] = {
        {0, "state", NM_OPT_TEXT, &o.state, "DIR",
         "everything that is made (default: FILE with .run for its ending)"},
        {'l', "list", NM_OPT_FLAG, &o.list, NULL,
         "only the cells, what is left of them, and about how long it takes"},
        {0, "only", NM_OPT_TEXT, &o.only, "PATTERN",
         "only cells whose line in --list it matches: 'base then *N=100*'"},
        {0, "replay", NM_OPT_TEXT, &o.replay, "DIR",
         "no LLM is called: each generation's answers are in DIR, as an earlier STATE/responses has them"},
        {'j', "jobs", NM_OPT_COUNT, &o.jobs, "N",
         "programs at a time (default: a core each); FILE says threads of each"},
        {0, "seal", NM_OPT_FLAG, &o.seal, NULL, "write down every choice, for evaluate: test; nothing is made"},
        {0, "figures-only", NM_OPT_FLAG, &o.figures_only, NULL,
         "make nothing but tables and figures of what is done"},
        {0, "keep-models", NM_OPT_FLAG, &o.keep_models, NULL, "do not delete a tagger once its cells are done"},
    };
    const struct nm_command command = {
        .name = "experiment",
        .usage = "FILE.yaml [options]",
        .summary = "A grid of taggers, trained and scored: which data, how much of it, how good.",
        .text =
            "FILE names a corpus, a project, and what is to be compared: docs/experiments.md.  Every generation is\n"
            "an ordinary project below STATE/generations.  Run again after Ctrl-C, kill -9 or a power cut, it goes\n"
            "on; what is finished is never made again, and what cells share is made once.\n",
        .min_args = 1,
        .max_args = 1,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    if (o.jobs < 1 || o.jobs > JOBS_MAX) {
        fprintf(stderr, "nermill experiment: --jobs takes 1 to %d\n", JOBS_MAX);
        return NM_EXIT_USAGE;
    }
    o.file = argv[1];
    struct nm_diag diag = {""};
    nm_stop_catch();
    enum nm_err err = experiment(&o, &diag);
    if (err == NM_ECANCELED) {
        nm_complain("experiment", err, &diag);
        return NM_EXIT_SIGNAL;
    }
    return err == NM_OK ? NM_EXIT_OK : nm_complain("experiment", err, &diag);
}
