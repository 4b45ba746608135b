/* run.c - nermill run: the whole job on this machine, as stages that each find out what is still to do.
 *
 *   broker, aligners -> (goal not reached: probe the endpoints, generators, wait) -> export -> views of it -> trainer
 *   -> scores
 *
 * Nothing is remembered here between two runs: the broker's ledger, the aligners' stores and the model's record say
 * how far the job is, so a run that was killed anywhere goes on, and one that is complete passes through in seconds.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/crew.h"
#include "cli/dataset.h"
#include "cli/job.h"
#include "cli/lock.h"
#include "cli/place.h"
#include "cli/progress.h"
#include "cli/score.h"
#include "cli/stats.h"
#include "cli/stop.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/net.h"
#include "schemas/project.h"

/* Ctrl-C and kill: calls in flight are paid for, so generators may finish them; then whoever depends on whom. */
static void stop_in_order(struct nm_job *job)
{
    static const char *const order[] = {"trainer", "augment", "denoise", "generator", "aligner", "broker"};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        nm_crew_stop(job->crew, order[i],
                     strcmp(order[i], "generator") == 0 ? NM_JOB_CALLS_LIMIT_MS : NM_JOB_STOP_LIMIT_MS, job->hurry);
}

static enum nm_err run_stages(struct nm_job *job, struct nm_diag *diag)
{
    enum nm_err err = nm_job_open(job, diag);
    if (err == NM_OK)
        err = nm_job_generate(job, diag);
    if (err == NM_OK)
        err = nm_job_export(job, diag);
    if (err == NM_OK && job->options.train)
        err = nm_job_train(job, diag);
    return err;
}

static void print_summary(const struct nm_job *job)
{
    printf("\ndata set   %s/train.conll, %s/train.jsonl (%llu samples)\n", job->place.data, job->place.data,
           (unsigned long long)job->stats.aligned);
    if (job->trained)
        printf("model      %s (a Hugging Face directory)\n", job->model_dir);
    printf("logs       %s\n", job->place.logs);
    if (job->has_dictionary || job->has_score)
        printf("\n%-22s %9s %9s %9s   strict entity level, on %s\n", "", "precision", "recall", "F1", job->gold);
    if (job->has_dictionary)
        printf("%-22s %9.3f %9.3f %9.3f\n", "dictionary matching", job->dictionary.precision, job->dictionary.recall,
               job->dictionary.f1);
    if (job->has_score)
        printf("%-22s %9.3f %9.3f %9.3f\n", "the trained model", job->score.precision, job->score.recall,
               job->score.f1);
}

static int run_job(struct nm_job *job)
{
    struct nm_diag diag = {""};
    nm_stop_catch();
    nm_net_init();
    job->stop = nm_stop_asked;
    job->hurry = nm_stop_hurried;
    enum nm_err err = run_stages(job, &diag);
    int code = err == NM_OK ? NM_EXIT_OK : job->code != 0 ? job->code : (int)nm_exit_code(err);
    if (nm_stop_asked()) {
        nm_progress_say(&job->progress, "stopping: calls in flight may finish (Ctrl-C again: stop at once)");
        code = NM_EXIT_SIGNAL;
    }
    if (job->crew != NULL)
        stop_in_order(job);
    if (err == NM_OK && !nm_stop_asked()) {
        err = nm_job_score(job, &diag);
        code = err == NM_OK ? NM_EXIT_OK : job->code != 0 ? job->code : (int)nm_exit_code(err);
    }
    if (code == NM_EXIT_OK)
        print_summary(job);
    else if (nm_stop_asked())
        fprintf(stderr, "nermill run: stopped; run the same command again to go on\n");
    else
        fprintf(stderr, "nermill run: %s\n", diag.text[0] != '\0' ? diag.text : nm_err_name(err));
    nm_job_close(job);
    nm_net_clean_up();
    return code;
}

/* --plan: the broker's program says it, and nothing is started. */
static int print_plan(const char *project, const char *state, bool json)
{
    struct nm_place place;
    struct nm_diag diag = {""};
    pid_t pid = 0;
    enum nm_err err = nm_place_init(&place, project, state, &diag);
    const char *const argv[] = {"nermill-broker",       "plan", place.project_file, "--state", place.broker,
                                json ? "--json" : NULL, NULL};
    struct nm_spawn spawn = {.argv = argv, .in_fd = -1, .out_fd = 1, .err_fd = -1, .inherit_fd = -1};
    if (err == NM_OK)
        err = nm_process_start(&spawn, &pid, &diag);
    return err == NM_OK ? nm_process_wait(pid) : nm_complain("run", err, &diag);
}

int nm_command_run(int argc, char **argv)
{
    const char *state = NULL, *model = NULL;
    uint64_t generators = 1, aligners = 1;
    const char *generation = NULL;
    bool no_train = false, plan = false, json = false;
    const struct nm_opt opts[] = {
        {0, "state", NM_OPT_TEXT, &state, "DIR", "everything the run makes (default: PROJECT's run/)"},
        {'g', "generators", NM_OPT_COUNT, &generators, "N",
         "generator processes (default 1: enough for 1,000 calls)"},
        {'a', "aligners", NM_OPT_COUNT, &aligners, "N", "aligner processes (default 1)"},
        {'m', "model", NM_OPT_TEXT, &model, "DIR",
         "the encoder to fine-tune (default: the project's trainer: model)"},
        {0, "new-generation", NM_OPT_TEXT, &generation, "keep|fresh",
         "where prompt, model, lists or plan changed: samples there are stay, or are set aside"},
        {0, "plan", NM_OPT_FLAG, &plan, NULL, "only say what is done, changed and left, and what that will cost"},
        {0, "json", NM_OPT_FLAG, &json, NULL, "with --plan: as JSON"},
        {0, "no-train", NM_OPT_FLAG, &no_train, NULL, "end with the data set"},
    };
    const struct nm_command command = {
        .name = "run",
        .usage = "PROJECT [options]",
        .summary = "The whole job on this machine: generate, validate, align, export, train, score.",
        .text =
            "Run again after Ctrl-C, kill -9 or a power cut, it goes on from where it was; complete, it ends in\n"
            "seconds.  STATE holds broker/ generator-N/ aligner-N/ (what makes it resume), logs/, data/train.conll\n"
            "and train.jsonl, and model/.\n",
        .min_args = 1,
        .max_args = 1,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    if (generators < 1 || generators > NM_JOB_WORKERS_MAX || aligners < 1 || aligners > NM_JOB_WORKERS_MAX) {
        fprintf(stderr, "nermill run: --generators and --aligners take 1 to %d\n", NM_JOB_WORKERS_MAX);
        return NM_EXIT_USAGE;
    }
    if (plan)
        return print_plan(argv[1], state, json);
    if (json) {
        fputs("nermill run: --json goes with --plan\n", stderr);
        return NM_EXIT_USAGE;
    }
    if (generation != NULL && strcmp(generation, "keep") != 0 && strcmp(generation, "fresh") != 0) {
        fputs("nermill run: --new-generation is keep or fresh\n", stderr);
        return NM_EXIT_USAGE;
    }
    struct nm_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        fputs("nermill run: out of memory\n", stderr);
        return NM_EXIT_FAILURE;
    }
    job->options.project = argv[1];
    job->options.state = state;
    job->options.model = model;
    job->options.generation = generation;
    job->options.generators = (unsigned)generators;
    job->options.aligners = (unsigned)aligners;
    job->options.train = !no_train;
    code = run_job(job);
    free(job);
    return code;
}
