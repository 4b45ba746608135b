#include "cli/experiment_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/crew.h"
#include "cli/experiment_cell.h"
#include "cli/experiment_step.h"
#include "cli/process.h"
#include "cli/progress.h"
#include "common/clock.h"

enum { TICK_MS = 20, JOBS_MAX = 64, KILL_MS = 90 * 1000 };

/* A step whose programs run, one after the other. */
struct job {
    int step; /* NM_EXP_NONE: free */
    pid_t pid;
    unsigned phase;
    int64_t started_ms;
    long log_from; /* what is in its log before the program that runs */
};

struct runner {
    struct nm_exp *x;
    const struct nm_exp_running *how;
    struct job jobs[JOBS_MAX];
    FILE *log; /* STATE/experiment.log: every program's command line, every end */
    size_t done, wanted;
    unsigned failed;
    struct nm_diag *diag;
};

/* ---- telling --------------------------------------------------------------------------------- */

static void note(struct runner *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct runner *r, const char *fmt, ...)
{
    char when[32];
    const time_t now = time(NULL);
    struct tm tm;
    va_list ap;
    (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    fprintf(r->log, "%s ", when);
    va_start(ap, fmt);
    vfprintf(r->log, fmt, ap);
    va_end(ap);
    fputc('\n', r->log);
    fflush(r->log);
}

static void say_done(struct runner *r, const struct nm_exp_step *step, double seconds)
{
    char label[256], took[32];
    nm_exp_step_label(r->x, step, label, sizeof label);
    nm_duration(seconds, took, sizeof took);
    note(r, "done %s %s in %.1f s", step->key, label, seconds);
    json_t *cell = step->kind == NM_EXP_CELL ? nm_exp_cell_read(r->x, step) : NULL;
    if (cell != NULL) {
        const json_t *s = json_object_get(cell, "scores");
        printf("[%zu/%zu] %s: F1 %.4f (P %.4f, R %.4f), %s\n", ++r->done, r->wanted, label,
               json_number_value(json_object_get(s, "f1")), json_number_value(json_object_get(s, "precision")),
               json_number_value(json_object_get(s, "recall")), took);
        json_decref(cell);
    } else if (seconds >= 1) {
        printf("[%zu/%zu] %s, %s\n", r->done, r->wanted, label, took);
    }
    fflush(stdout);
}

static void say_failed(struct runner *r, struct nm_exp_step *step, const char *why)
{
    char label[256];
    nm_exp_step_label(r->x, step, label, sizeof label);
    step->state = NM_EXP_FAILED;
    r->failed++;
    note(r, "failed %s %s: %s", step->key, label, why);
    fprintf(stderr, "nermill experiment: %s: %s (%s/logs/%s.log)\n", label, why, r->x->state, step->key);
}

/* ---- one step -------------------------------------------------------------------------------- */

static enum nm_err open_output(struct runner *r, const struct nm_exp_step *step, const char *out, int *out_fd,
                               int *log_fd, long *log_from)
{
    char path[NM_FILE_PATH];
    enum nm_err err = nm_exp_path(r->x, "logs", step->key, ".log", path);
    if (err != NM_OK)
        return nm_fail(r->diag, err, "%s: the path is too long", r->x->state);
    *log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    *log_from = *log_fd >= 0 ? (long)lseek(*log_fd, 0, SEEK_END) : 0;
    *out_fd = *log_fd;
    if (*log_fd >= 0 && out[0] != '\0')
        *out_fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (*log_fd >= 0 && *out_fd >= 0)
        return NM_OK;
    err = nm_fail(r->diag, nm_err_from_errno(errno), "%s: %s", *log_fd < 0 ? path : out, strerror(errno));
    if (*log_fd >= 0)
        close(*log_fd);
    return err;
}

static void note_command(struct runner *r, const struct nm_exp_step *step, const struct nm_exp_command *c)
{
    struct nm_buf line;
    nm_buf_init(&line, 1 << 16);
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < c->n && err == NM_OK; i++)
        err = nm_buf_addf(&line, " %s", c->argv[i]);
    note(r, "run %s%s", step->key, nm_buf_str(&line));
    nm_buf_clean_up(&line);
}

/* The next program of the job's step; *ended: there is none. */
static enum nm_err start_phase(struct runner *r, struct job *job, bool *ended)
{
    const struct nm_exp_step *step = &r->x->steps[job->step];
    struct nm_exp_command c = {0};
    int out_fd = -1, log_fd = -1;
    enum nm_err err = nm_exp_command(r->x, step, job->phase, &c, r->diag);
    *ended = c.n == 0;
    if (err == NM_OK && c.n > 0)
        err = open_output(r, step, c.out, &out_fd, &log_fd, &job->log_from);
    if (err == NM_OK && c.n > 0) {
        const struct nm_spawn spawn = {
            .argv = c.argv, .in_fd = -1, .out_fd = out_fd, .err_fd = log_fd, .inherit_fd = r->how->lock_fd};
        note_command(r, step, &c);
        err = nm_process_start(&spawn, &job->pid, r->diag);
        if (out_fd != log_fd)
            close(out_fd);
        close(log_fd);
    }
    nm_arena_clean_up(&c.arena);
    return err;
}

/* A model is only kept while a cell that is left needs it. */
static void discard_unneeded(struct runner *r)
{
    struct nm_exp *x = r->x;
    for (size_t i = 0; i < x->n_steps; i++) {
        const struct nm_exp_step *model = &x->steps[i];
        bool needed = model->kind != NM_EXP_MODEL || model->state != NM_EXP_DONE || !model->wanted;
        for (size_t k = 0; k < x->n_steps && !needed; k++)
            needed = x->steps[k].deps[NM_EXP_OF_MODEL] == (int)i && x->steps[k].state != NM_EXP_DONE;
        if (!needed)
            nm_exp_discard(x, model);
    }
}

static void finish(struct runner *r, struct job *job)
{
    struct nm_exp_step *step = &r->x->steps[job->step];
    const double seconds = (double)(nm_clock_mono_ms() - job->started_ms) / 1000;
    if (nm_exp_finish(r->x, step, seconds, r->diag) != NM_OK) {
        say_failed(r, step, r->diag->text);
    } else {
        step->state = NM_EXP_DONE;
        say_done(r, step, seconds);
        if (step->kind == NM_EXP_CELL && !r->how->keep_models)
            discard_unneeded(r);
    }
    job->step = NM_EXP_NONE;
}

/* Until a program runs, or the step is over. */
static void go_on(struct runner *r, struct job *job)
{
    bool ended = false;
    if (start_phase(r, job, &ended) != NM_OK) {
        say_failed(r, &r->x->steps[job->step], r->diag->text);
        job->step = NM_EXP_NONE;
    } else if (ended) {
        finish(r, job);
    }
}

static void begin(struct runner *r, struct job *job, int step)
{
    struct nm_exp_step *s = &r->x->steps[step];
    *job = (struct job){.step = step, .started_ms = nm_clock_mono_ms()};
    s->state = NM_EXP_RUNNING;
    if (nm_exp_prepare(r->x, s, r->diag) != NM_OK) {
        say_failed(r, s, r->diag->text);
        job->step = NM_EXP_NONE;
        return;
    }
    go_on(r, job);
}

static void reap(struct runner *r, struct job *job)
{
    int status;
    const pid_t pid = waitpid(job->pid, &status, WNOHANG);
    if (pid != job->pid)
        return;
    job->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        job->phase++;
        go_on(r, job);
        return;
    }
    char path[NM_FILE_PATH], why[512] = "it ended without a word";
    struct nm_exp_step *step = &r->x->steps[job->step];
    if (nm_exp_path(r->x, "logs", step->key, ".log", path) == NM_OK)
        (void)nm_last_words(path, job->log_from, why, sizeof why);
    if (!r->how->stop())
        say_failed(r, step, why);
    job->step = NM_EXP_NONE;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool is_ready(const struct nm_exp *x, const struct nm_exp_step *step)
{
    if (!step->wanted || step->state != NM_EXP_LEFT)
        return false;
    for (size_t i = 0; i < NM_EXP_DEPS; i++)
        if (step->deps[i] >= 0 && x->steps[step->deps[i]].state != NM_EXP_DONE)
            return false;
    return true;
}

/* Cells first, which let go of models; one generation at a time, as they share endpoints. */
static int next_step(const struct runner *r)
{
    const struct nm_exp *x = r->x;
    bool generating = false;
    for (size_t i = 0; i < JOBS_MAX; i++)
        generating = generating || (r->jobs[i].step >= 0 && x->steps[r->jobs[i].step].kind == NM_EXP_GENERATION);
    for (int cells = 1; cells >= 0; cells--)
        for (size_t i = 0; i < x->n_steps; i++)
            if ((x->steps[i].kind == NM_EXP_CELL) == (cells == 1) && is_ready(x, &x->steps[i]) &&
                !(generating && x->steps[i].kind == NM_EXP_GENERATION))
                return (int)i;
    return NM_EXP_NONE;
}

/* Ctrl-C and kill: each program saves what it has. */
static void stop_all(struct runner *r)
{
    const int64_t end_ms = nm_clock_mono_ms() + KILL_MS;
    bool killed = false;
    unsigned left = 1;
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (r->jobs[i].step >= 0 && r->jobs[i].pid > 0)
            kill(r->jobs[i].pid, SIGTERM);
    while (left > 0) {
        left = 0;
        for (size_t i = 0; i < JOBS_MAX; i++) {
            struct job *job = &r->jobs[i];
            if (job->step < 0 || job->pid <= 0 || waitpid(job->pid, NULL, WNOHANG) == job->pid)
                job->step = NM_EXP_NONE;
            else
                left++;
            if (job->step >= 0 && !killed && (r->how->hurry() || nm_clock_mono_ms() > end_ms))
                kill(job->pid, SIGKILL);
        }
        killed = killed || r->how->hurry() || nm_clock_mono_ms() > end_ms;
        nanosleep(&(struct timespec){.tv_nsec = TICK_MS * 1000000L}, NULL);
    }
}

static enum nm_err loop(struct runner *r)
{
    for (;;) {
        unsigned busy = 0;
        if (r->how->stop()) {
            stop_all(r);
            return nm_fail(r->diag, NM_ECANCELED, "stopped; run the same command again to go on");
        }
        for (size_t i = 0; i < JOBS_MAX; i++) {
            struct job *job = &r->jobs[i];
            if (job->step >= 0)
                reap(r, job);
            for (int next; job->step < 0 && i < r->how->jobs && (next = next_step(r)) >= 0;)
                begin(r, job, next);
            busy += job->step >= 0;
        }
        if (busy == 0 && next_step(r) < 0)
            return NM_OK;
        nanosleep(&(struct timespec){.tv_nsec = TICK_MS * 1000000L}, NULL);
    }
}

enum nm_err nm_exp_run(struct nm_exp *x, const struct nm_exp_running *how, unsigned *failed, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    struct runner r = {.x = x, .how = how, .diag = diag};
    *failed = 0;
    for (size_t i = 0; i < JOBS_MAX; i++)
        r.jobs[i].step = NM_EXP_NONE;
    for (size_t i = 0; i < x->n_steps; i++) {
        r.wanted += x->steps[i].kind == NM_EXP_CELL && x->steps[i].wanted;
        r.done += x->steps[i].kind == NM_EXP_CELL && x->steps[i].wanted && x->steps[i].state == NM_EXP_DONE;
    }
    enum nm_err err = nm_file_path(x->state, "experiment.log", path, diag);
    if (err == NM_OK && (r.log = fopen(path, "ae")) == NULL)
        err = nm_fail(diag, nm_err_from_errno(errno), "%s: %s", path, strerror(errno));
    if (err == NM_OK)
        err = loop(&r);
    *failed = r.failed;
    if (r.log != NULL && fclose(r.log) != 0 && err == NM_OK)
        err = nm_fail(diag, NM_EIO, "%s: %s", path, strerror(errno));
    return err;
}
