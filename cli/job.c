#include "cli/job.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/dataset.h"
#include "cli/job_parts.h"
#include "cli/process.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "workers/dataset/export.h"
#include "workers/dataset/surface.h"

enum {
    EARLIER_RUN_LIMIT_MS = 45 * 1000, /* for the processes of a killed run to end */
    BROKER_LIMIT_MS = 60 * 1000,      /* for a broker to open its ledger and listen */
    ANSWER_LIMIT_MS = 2000,
    SILENCE_MS = 5 * 1000,        /* without any answer of an endpoint, then we say why */
    PATIENCE_MS = 10 * 60 * 1000, /* then the run gives up */
    ALIGN_LIMIT_MS = 10 * 1000,   /* for accepted texts to be aligned, before more are asked for */
    MENDING_LIMIT_MS = 20 * 1000, /* for samples that an aligner has lost to be there again */
    ANSWER_MAX = 16 << 20,
};

static enum nm_err stopped(struct nm_diag *diag)
{
    return nm_fail(diag, NM_ECANCELED, "stopped");
}

enum nm_err nm_job_tick(struct nm_job *job, int ms, struct nm_diag *diag)
{
    if (job->stop())
        return stopped(diag);
    enum nm_err err = nm_crew_watch(job->crew, nm_clock_mono_ms(), &job->code, diag);
    if (err == NM_OK && nm_crew_all_ended(job->crew, "broker"))
        err = nm_fail(diag, NM_ESTATE, "someone has shut the broker down; run again to go on");
    if (err == NM_OK)
        nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
    return err;
}

/* ---- before anything is started -------------------------------------------------------------- */

/* A name in project.yaml as the project means it. */
static enum nm_err find(const struct nm_job *job, const char *name, char path[NM_PATH_MAX], struct nm_diag *diag)
{
    return nm_project_path(job->options.project, name, path, NM_PATH_MAX) == NM_OK
               ? NM_OK
               : nm_fail(diag, NM_ELIMIT, "%s: %s: the path is too long", job->place.project_file, name);
}

static enum nm_err find_encoder(struct nm_job *job, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    if (job->options.model != NULL) {
        (void)snprintf(job->encoder, sizeof job->encoder, "%s", job->options.model);
    } else {
        struct nm_buf value;
        nm_buf_init(&value, NM_PATH_MAX);
        err = nm_project_expand("trainer: model", job->project->trainer.model, &value, diag);
        if (err == NM_OK)
            err = find(job, nm_buf_str(&value), job->encoder, diag);
        nm_buf_clean_up(&value);
    }
    if (err == NM_ENOENT) {
        struct nm_diag why = *diag;
        return nm_fail(diag, err, "%s: %.900s; or: --model DIR, or --no-train", job->place.project_file, why.text);
    }
    if (err != NM_OK)
        return err;
    char config[NM_PATH_MAX];
    err = nm_file_path(job->encoder, "config.json", config, diag);
    if (err == NM_OK && !nm_file_exists(config))
        err = nm_fail(diag, NM_ENOENT, "%s: not found; the encoder to fine-tune is a Hugging Face directory", config);
    return err;
}

/* A file that the project names, if it names one: "" otherwise. */
static enum nm_err find_file(const struct nm_job *job, const char *key, const char *name, char path[NM_PATH_MAX],
                             struct nm_diag *diag)
{
    path[0] = '\0';
    if (name == NULL)
        return NM_OK;
    enum nm_err err = find(job, name, path, diag);
    if (err == NM_OK && !nm_file_exists(path))
        err = nm_fail(diag, NM_ENOENT, "%s: %s: %s: not found", job->place.project_file, key, path);
    return err;
}

/* Everything that a mistake can be in is read before the first process starts. */
static enum nm_err check_input(struct nm_job *job, struct nm_diag *diag)
{
    struct nm_entities *entities = NULL;
    enum nm_err err = nm_place_init(&job->place, job->options.project, job->options.state, diag);
    if (err == NM_OK)
        err = nm_project_load(job->options.project, &job->project, diag);
    if (err == NM_OK)
        err = nm_project_entities(job->project, job->options.project, &entities, diag);
    if (err == NM_OK && job->options.train && job->project->augmentation.wanted)
        err = nm_surface_check(job->project, job->options.project, entities, diag);
    nm_entities_destroy(&entities);
    if (err == NM_OK && job->options.train)
        err = find_encoder(job, diag);
    if (err == NM_OK)
        err = find_file(job, "gold", job->project->gold, job->gold, diag);
    if (err == NM_OK)
        err = find_file(job, "trainer: gold_train", job->project->trainer.gold_train, job->gold_train, diag);
    if (err == NM_OK)
        (void)snprintf(job->model_dir, sizeof job->model_dir, "%s", job->place.model);
    return err;
}

/* ---- broker and aligners --------------------------------------------------------------------- */

static enum nm_err start_broker(struct nm_job *job, struct nm_diag *diag)
{
    const char *const argv[] = {"nermill-broker",
                                job->place.project_file,
                                "--state",
                                job->place.broker,
                                job->options.generation != NULL ? "--new-generation" : NULL,
                                job->options.generation,
                                NULL};
    enum nm_err err = nm_crew_start(job->crew, "broker", 0, argv, diag);
    int64_t end_ms = nm_clock_mono_ms() + BROKER_LIMIT_MS;
    while (err == NM_OK) {
        struct nm_endpoints *endpoints = &job->endpoints;
        /* The file of an earlier broker has another pid in it. */
        if (nm_endpoints_read(job->place.broker, endpoints, NULL) == NM_OK &&
            endpoints->pid == nm_crew_pid(job->crew, "broker", 0) && endpoints->pid != 0)
            break;
        if (nm_clock_mono_ms() > end_ms)
            return nm_fail(diag, NM_ETIMEOUT, "the broker does not listen after %d s; see %s/broker.log",
                           BROKER_LIMIT_MS / 1000, job->place.logs);
        err = nm_job_tick(job, 20, diag);
    }
    if (err != NM_OK)
        return err;
    /* A broker that is started again must be where the workers look for it. */
    const char *const again[] = {"nermill-broker", job->place.project_file, "--state", job->place.broker,
                                 "--bind",         job->endpoints.broker,   "--stats", job->endpoints.stats,
                                 "--publish",      job->endpoints.publish,  NULL};
    err = nm_crew_set_args(job->crew, "broker", 0, again);
    return err == NM_OK ? NM_OK : nm_fail(diag, err, "the broker's command line: %s", nm_err_name(err));
}

static enum nm_err start_worker(struct nm_job *job, const char *role, unsigned number, struct nm_diag *diag)
{
    char program[32], state[NM_PATH_MAX];
    (void)snprintf(program, sizeof program, "nermill-%s", role);
    enum nm_err err = nm_place_member(&job->place, role, number, state, sizeof state);
    if (err != NM_OK)
        return nm_fail(diag, err, "%s: the path is too long", job->place.state);
    bool aligner = strcmp(role, "aligner") == 0;
    char id[64], id_file[NM_PATH_MAX];
    (void)snprintf(id, sizeof id, "%s-%u", role, number);
    /* Of a run that is all here, a directory without an id is new, or was lost: then its samples are made again. */
    bool adopts =
        aligner && nm_file_join(state, "worker.id", id_file, sizeof id_file) == NM_OK && !nm_file_exists(id_file);
    const char *const argv[] = {program,
                                "--broker",
                                job->endpoints.broker,
                                "--state",
                                state,
                                aligner ? "--bind" : "--project-dir",
                                aligner ? "tcp://127.0.0.1:*" : job->place.project_dir,
                                adopts ? "--adopt" : NULL,
                                id,
                                NULL};
    return nm_crew_start(job->crew, role, number, argv, diag);
}

/* Numbers 1..wanted, and those beyond that an earlier run has left data of. */
static enum nm_err start_workers(struct nm_job *job, const char *role, unsigned wanted, struct nm_diag *diag)
{
    unsigned numbers[NM_JOB_WORKERS_MAX];
    unsigned n = nm_place_members(&job->place, role, numbers, NM_JOB_WORKERS_MAX);
    enum nm_err err = NM_OK;
    for (unsigned i = 1; i <= wanted && err == NM_OK; i++)
        err = start_worker(job, role, i, diag);
    for (unsigned i = 0; i < n && err == NM_OK; i++)
        if (numbers[i] > wanted)
            err = start_worker(job, role, numbers[i], diag);
    return err;
}

/* A new snapshot in job->stats.  NM_ETIMEOUT: the broker is silent, which may pass. */
static enum nm_err ask_stats(struct nm_job *job, struct nm_diag *diag)
{
    struct nm_buf answer;
    nm_buf_init(&answer, ANSWER_MAX);
    enum nm_err err = nm_stats_ask(job->client, "stats", ANSWER_LIMIT_MS, &answer, diag);
    if (err == NM_OK)
        err = nm_stats_parse(nm_buf_str(&answer), &job->stats, diag);
    nm_buf_clean_up(&answer);
    return err;
}

static enum nm_err first_stats(struct nm_job *job, struct nm_diag *diag)
{
    enum nm_err err = nm_stats_open(job->endpoints.stats, job->endpoints.run, &job->client, diag);
    int64_t end_ms = nm_clock_mono_ms() + BROKER_LIMIT_MS;
    while (err == NM_OK) {
        err = ask_stats(job, diag);
        if (err != NM_ETIMEOUT || nm_clock_mono_ms() > end_ms)
            break;
        err = nm_job_tick(job, NM_JOB_TICK_MS, diag);
    }
    return err;
}

static void say_notice(void *ctx, const char *line)
{
    struct nm_job *job = ctx;
    nm_progress_say(&job->progress, "%s", line);
}

/* Our own log beside the others'; the terminal is for the person. */
static enum nm_err open_log(struct nm_job *job, struct nm_diag *diag)
{
    char path[NM_PATH_MAX];
    enum nm_err err = nm_file_path(job->place.logs, "run.log", path, diag);
    if (err != NM_OK)
        return err;
    job->log = fopen(path, "ae");
    if (job->log == NULL)
        return nm_fail(diag, nm_err_from_errno(errno), "%s can't be written: %s", path, strerror(errno));
    nm_log_set_file(job->log);
    return NM_OK;
}

enum nm_err nm_job_open_broker(struct nm_job *job, struct nm_diag *diag)
{
    job->lock.own_fd = job->lock.crew_fd = -1;
    nm_progress_init(&job->progress);
    enum nm_err err = check_input(job, diag);
    if (err == NM_OK)
        err = nm_file_make_dirs(job->place.logs, diag);
    if (err == NM_OK)
        err = nm_run_lock_take(job->place.state, EARLIER_RUN_LIMIT_MS, job->stop, &job->lock, diag);
    if (err != NM_OK)
        return err;
    job->crew = nm_crew_new(job->place.logs, job->lock.crew_fd);
    if (job->crew == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    nm_crew_on_notice(job->crew, say_notice, job);
    err = open_log(job, diag);
    return err == NM_OK ? start_broker(job, diag) : err;
}

enum nm_err nm_job_open(struct nm_job *job, struct nm_diag *diag)
{
    enum nm_err err = nm_job_open_broker(job, diag);
    if (err == NM_OK)
        err = start_workers(job, "aligner", job->options.aligners, diag);
    if (err == NM_OK)
        err = first_stats(job, diag);
    return err;
}

/* ---- the samples ----------------------------------------------------------------------------- */

/* That none serves is said before anything waits for it; those that don't are named. */
static enum nm_err probe(struct nm_job *job, struct nm_diag *diag)
{
    struct nm_buf out;
    nm_buf_init(&out, 1 << 20);
    int code = 0;
    const char *const argv[] = {"nermill-generator", "probe", job->place.project_file, "--any", NULL};
    enum nm_err err = nm_process_capture(argv, &out, &code, diag);
    nm_buf_clean_up(&out);
    if (err == NM_OK && job->stop())
        return stopped(diag);
    if (err == NM_OK && code != 0) {
        job->code = code;
        err =
            nm_fail(diag, NM_ENET, "not started: no endpoint of %s can be used (see above)", job->place.project_file);
    }
    return err;
}

/* Generators, once there is something left to ask for: what is accepted already only has to be aligned, for which
 * it gets a moment. */
static enum nm_err begin_asking(struct nm_job *job, int64_t since_ms, bool *asking, struct nm_diag *diag)
{
    bool enough = job->stats.aligned + job->stats.waiting >= job->stats.goal && job->stats.entities_short == 0 &&
                  job->project->generation.replay == NULL; /* a replay goes to its end */
    if (*asking || (enough && nm_clock_mono_ms() - since_ms < ALIGN_LIMIT_MS))
        return NM_OK;
    enum nm_err err = probe(job, diag);
    if (err == NM_OK)
        nm_progress_say(&job->progress, "making %" PRIu64 " samples (%" PRIu64 " are there); log in %s",
                        job->stats.goal, job->stats.aligned + job->stats.waiting, job->place.logs);
    if (err == NM_OK)
        err = start_workers(job, "generator", job->options.generators, diag);
    *asking = err == NM_OK;
    return err;
}

/* When an endpoint last answered; NM_ENET where that is too long ago. */
struct patience {
    uint64_t answers;
    int64_t answered_ms;
};

static enum nm_err have_patience(struct nm_job *job, struct patience *patience, int64_t now_ms, struct nm_diag *diag)
{
    if (job->stats.responses != patience->answers || patience->answered_ms == 0 || job->stats.held) {
        patience->answers = job->stats.responses;
        patience->answered_ms = now_ms;
    }
    /* A broker hears of calls for its tasks only; a generator that can't make any says why in its log. */
    if (now_ms - patience->answered_ms > SILENCE_MS && job->stats.trouble[0] == '\0')
        (void)nm_crew_last_message(job->crew, "generator", 1, true, job->stats.trouble, sizeof job->stats.trouble);
    if (now_ms - patience->answered_ms > PATIENCE_MS)
        return nm_fail(diag, NM_ENET, "no endpoint has answered for %d minutes; last: %s", PATIENCE_MS / 60000,
                       job->stats.trouble);
    return NM_OK;
}

static enum nm_err wait_for_goal(struct nm_job *job, struct nm_diag *diag)
{
    struct patience patience = {0};
    bool asking = false;
    const int64_t since_ms = nm_clock_mono_ms();
    enum nm_err err = begin_asking(job, since_ms, &asking, diag);
    while (err == NM_OK && !job->stats.complete) {
        err = nm_job_tick(job, NM_JOB_TICK_MS, diag);
        if (err != NM_OK)
            break;
        err = ask_stats(job, diag);
        int64_t now_ms = nm_clock_mono_ms();
        if (err == NM_ETIMEOUT) {
            nm_progress_text(&job->progress, now_ms, "waiting for the broker", 0, 0);
            err = NM_OK;
            continue;
        }
        if (err == NM_OK)
            err = begin_asking(job, since_ms, &asking, diag);
        if (err == NM_OK)
            err = have_patience(job, &patience, now_ms, diag);
        if (err == NM_OK && job->stats.budget)
            err = nm_fail(
                diag, NM_ESTATE,
                "the budget is used up, with %llu of %llu samples there; raise budget in %s and run the same "
                "command again, which goes on",
                (unsigned long long)job->stats.aligned, (unsigned long long)job->stats.goal, job->place.project_file);
        if (err == NM_OK && job->stats.stuck)
            err = nm_fail(diag, NM_ESTATE,
                          "the goal is out of reach: %llu tasks used up their attempts; 'nermill status' counts why "
                          "texts were rejected, and generation: attempts allows more calls",
                          (unsigned long long)job->stats.dead);
        if (err == NM_OK && !job->stats.complete && asking && nm_crew_all_ended(job->crew, "generator"))
            err = nm_fail(diag, NM_ESTATE, "the generators have ended before the goal; see %s", job->place.logs);
        if (err == NM_OK)
            nm_progress_samples(&job->progress, now_ms, &job->stats);
    }
    return err != NM_OK && job->stop() ? stopped(diag) : err;
}

enum nm_err nm_job_generate(struct nm_job *job, struct nm_diag *diag)
{
    if (!job->stats.complete) {
        enum nm_err err = wait_for_goal(job, diag);
        if (err != NM_OK)
            return err;
        nm_crew_stop(job->crew, "generator", NM_JOB_CALLS_LIMIT_MS, job->hurry);
    }
    nm_progress_say(&job->progress, "%llu samples accepted of %llu answers, %llu aligned",
                    (unsigned long long)job->stats.accepted, (unsigned long long)job->stats.responses,
                    (unsigned long long)job->stats.aligned);
    if (job->project->generation.replay != NULL && job->stats.not_recorded > 0)
        nm_progress_say(&job->progress, "requests without an answer in %s: %llu; their tasks are dead letters",
                        job->project->generation.replay, (unsigned long long)job->stats.not_recorded);
    if (job->stats.given_up > 0)
        nm_progress_say(&job->progress, "%llu entities are given up, their texts were always rejected: %s",
                        (unsigned long long)job->stats.given_up, job->stats.given_up_first);
    return NM_OK;
}

/* Both forms of what the stores have now; *written: samples. */
static enum nm_err export_once(struct nm_job *job, uint64_t *written, struct nm_diag *diag)
{
    static const char *const formats[] = {"conll", "jsonl"};
    struct nm_dataset *dataset = NULL;
    enum nm_err err = nm_dataset_open_place(&job->place, &dataset, diag);
    for (size_t i = 0; i < 2 && err == NM_OK; i++) {
        char name[32], path[NM_PATH_MAX];
        (void)snprintf(name, sizeof name, "train.%s", formats[i]);
        err = nm_file_path(job->place.data, name, path, diag);
        if (err == NM_OK)
            err = nm_export_run(nm_dataset_source(dataset), nm_format_find(formats[i]), path, written, diag);
    }
    nm_dataset_close(&dataset);
    return err;
}

/* An aligner whose store was lost or damaged makes it whole again from the broker's log, which is waited for. */
enum nm_err nm_job_export(struct nm_job *job, struct nm_diag *diag)
{
    uint64_t written = 0;
    uint64_t most = 0;
    int64_t end_ms = nm_clock_mono_ms() + MENDING_LIMIT_MS;
    enum nm_err err = nm_file_make_dirs(job->place.data, diag);
    if (err != NM_OK)
        return err;
    for (;;) {
        err = export_once(job, &written, diag);
        bool absent = err == NM_ENOENT && job->stats.aligned > 0;
        if ((err != NM_OK && err != NM_EFORMAT && !absent) || (err == NM_OK && written >= job->stats.aligned))
            return err;
        if (written > most)
            end_ms = nm_clock_mono_ms() + MENDING_LIMIT_MS;
        most = written > most ? written : most;
        if (nm_clock_mono_ms() > end_ms && err == NM_OK)
            nm_progress_say(&job->progress,
                            "the stores here have %llu of %llu samples: aligners elsewhere have the others",
                            (unsigned long long)written, (unsigned long long)job->stats.aligned);
        if (nm_clock_mono_ms() > end_ms)
            return err;
        nm_progress_text(&job->progress, nm_clock_mono_ms(), "samples are being made whole again from the log",
                         (double)written, (double)job->stats.aligned);
        err = nm_job_tick(job, NM_JOB_TICK_MS, diag);
        if (err != NM_OK)
            return err;
    }
}

/* ---- the scores ------------------------------------------------------------------------------ */

enum nm_err nm_job_score(struct nm_job *job, struct nm_diag *diag)
{
    if (job->gold[0] == '\0')
        return NM_OK;
    struct nm_buf json;
    nm_buf_init(&json, 1 << 20);
    enum nm_err err = nm_score_dictionary(job->options.project, job->gold, &json, &job->dictionary, &job->code, diag);
    job->has_dictionary = err == NM_OK && job->code == 0;
    nm_buf_reset(&json);
    if (job->has_dictionary && job->trained) {
        err = nm_score_model(job->model_dir, job->gold, &json, &job->score, &job->code, diag);
        job->has_score = err == NM_OK && job->code == 0;
    }
    nm_buf_clean_up(&json);
    if (err == NM_OK && job->code != 0)
        err = nm_fail(diag, NM_EIO, "%s could not be scored (see above)", job->gold);
    return err;
}

void nm_job_close(struct nm_job *job)
{
    nm_crew_destroy(&job->crew);
    nm_stats_close(&job->client);
    nm_run_lock_release(&job->lock);
    nm_project_destroy(&job->project);
    nm_log_set_file(NULL);
    if (job->log != NULL)
        (void)fclose(job->log);
    job->log = NULL;
}
