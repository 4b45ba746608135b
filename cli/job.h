/* job.h - the stages of nermill run, and what they share.
 *
 * Every stage returns NM_OK, or an error with one line in diag; job->code is the exit code to end with where a
 * process's own is better than the error's (0: none).  NM_ECANCELED: job->stop() was true.  Main thread only.
 */
#ifndef NM_CLI_JOB_H
#define NM_CLI_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/crew.h"
#include "cli/lock.h"
#include "cli/place.h"
#include "cli/progress.h"
#include "cli/score.h"
#include "cli/stats.h"
#include "schemas/project.h"

enum {
    NM_JOB_WORKERS_MAX = 32,
    NM_JOB_CALLS_LIMIT_MS = 65 * 1000, /* a generator lets its calls in flight take a minute (--drain) */
    NM_JOB_STOP_LIMIT_MS = 15 * 1000,  /* everyone else */
};

struct nm_job {
    struct {
        const char *project, *state, *model; /* as given; state, model: NULL for the default */
        const char *generation;              /* "keep", "fresh" or NULL */
        unsigned generators, aligners;
        bool train;
    } options;
    bool (*stop)(void), (*hurry)(void); /* stop when you can; stop now */
    int code;

    struct nm_place place;
    struct nm_project *project;
    char encoder[NM_PATH_MAX];   /* the directory to fine-tune */
    char model_dir[NM_PATH_MAX]; /* the result */
    char gold[NM_PATH_MAX];      /* "" if there is none */
    char gold_train[NM_PATH_MAX];
    struct nm_run_lock lock;
    struct nm_crew *crew;
    struct nm_endpoints endpoints;
    struct nm_stats_client *client;
    struct nm_stats stats;
    struct nm_progress progress;
    FILE *log; /* logs/run.log: what this process itself has to say */

    bool trained, has_score, has_dictionary;
    struct nm_score score, dictionary;
};

/* nm_job_open_broker - check the input, take the locks, start a broker. */
enum nm_err nm_job_open_broker(struct nm_job *job, struct nm_diag *diag);

/* nm_job_open - check the input, take the locks, start broker and aligners, have the first snapshot. */
enum nm_err nm_job_open(struct nm_job *job, struct nm_diag *diag);

/* nm_job_generate - unless the goal is reached: probe the endpoints, start generators, wait for the goal. */
enum nm_err nm_job_generate(struct nm_job *job, struct nm_diag *diag);

/* nm_job_export - data/train.conll and data/train.jsonl. */
enum nm_err nm_job_export(struct nm_job *job, struct nm_diag *diag);

/* nm_job_train - pull the shards and fine-tune; the trainer itself sees when its model is of this data already. */
enum nm_err nm_job_train(struct nm_job *job, struct nm_diag *diag);

/* nm_job_score - the model and the dictionary on the project's gold, if it has one.  Needs no crew. */
enum nm_err nm_job_score(struct nm_job *job, struct nm_diag *diag);

/* nm_job_close - kills what is left, frees all. */
void nm_job_close(struct nm_job *job);

#endif
