/* job_train.c - the last stages of nermill run: what is trained on, and the training. */
#include <stdio.h>

#include "cli/job_parts.h"
#include "common/clock.h"
#include "common/file.h"

/* ---- views of the data set ------------------------------------------------------------------- */

/* What is trained on is data/NAME, which the command makes; the samples themselves stay as they are.  Run again it
 * comes out the same. */
static enum nm_err make_view(struct nm_job *job, const char *const *argv, const char *doing, struct nm_diag *diag)
{
    const char *role = argv[1];
    enum nm_err err = nm_crew_start(job->crew, role, 0, argv, diag);
    while (err == NM_OK && !nm_crew_all_ended(job->crew, role)) {
        nm_progress_text(&job->progress, nm_clock_mono_ms(), doing, 0, 0);
        err = nm_job_tick(job, NM_JOB_TICK_MS, diag);
    }
    return err;
}

/* Labels judged by taggers that have not seen them. */
static enum nm_err denoise(struct nm_job *job, char view[NM_PATH_MAX], struct nm_diag *diag)
{
    const char *const argv[] = {"nermill",
                                "denoise",
                                job->place.project_file,
                                "--state",
                                job->place.state,
                                "--model",
                                job->encoder,
                                "--format",
                                "conll",
                                "--out",
                                view,
                                NULL};
    enum nm_err err = nm_file_path(job->place.data, "denoised.conll", view, diag);
    return err == NM_OK ? make_view(job, argv, "labels are judged by taggers that have not seen them", diag) : err;
}

/* Copies of the sentences, of the view so far or of all, with the surface form of real text. */
static enum nm_err augment(struct nm_job *job, char view[NM_PATH_MAX], struct nm_diag *diag)
{
    char from[NM_PATH_MAX];
    const char *const argv[] = {"nermill", "augment", from, "--project", job->place.project_file,
                                "--out",   view,      NULL};
    enum nm_err err = NM_OK;
    if (view[0] == '\0')
        err = nm_file_path(job->place.data, "train.conll", from, diag);
    else
        (void)snprintf(from, sizeof from, "%s", view);
    if (err == NM_OK)
        err = nm_file_path(job->place.data, "augmented.conll", view, diag);
    return err == NM_OK ? make_view(job, argv, "copies of the samples are made", diag) : err;
}

/* view: the file to train on; "": the samples as they are. */
static enum nm_err make_views(struct nm_job *job, char view[NM_PATH_MAX], struct nm_diag *diag)
{
    enum nm_err err = job->project->denoise.wanted ? denoise(job, view, diag) : NM_OK;
    return err == NM_OK && job->project->augmentation.wanted ? augment(job, view, diag) : err;
}

/* ---- the model ------------------------------------------------------------------------------- */

enum nm_err nm_job_train(struct nm_job *job, struct nm_diag *diag)
{
    const bool gold = job->gold_train[0] != '\0';
    char view[NM_PATH_MAX] = "";
    const char *argv[16] = {"nermill-trainer", "--broker", job->endpoints.broker, "--model",
                            job->encoder,      "--out",    job->model_dir};
    size_t n = 7;
    enum nm_err err = make_views(job, view, diag);
    if (gold) {
        argv[n++] = "--gold-train";
        argv[n++] = job->gold_train;
    }
    if (view[0] != '\0') {
        argv[n++] = "--samples";
        argv[n++] = view;
    }
    if (err == NM_OK)
        err = nm_crew_start(job->crew, "trainer", 0, argv, diag);
    nm_progress_say(&job->progress, "training on %llu samples", (unsigned long long)job->stats.aligned);
    while (err == NM_OK && !nm_crew_all_ended(job->crew, "trainer")) {
        char text[600];
        double done = 0, total = 0;
        if (nm_crew_last_message(job->crew, "trainer", 0, false, text, sizeof text)) {
            (void)sscanf(text, "step %lf/%lf", &done, &total);
            nm_progress_text(&job->progress, nm_clock_mono_ms(), text, done, total);
        }
        err = nm_job_tick(job, NM_JOB_TICK_MS, diag);
    }
    if (err != NM_OK)
        return err;
    char last[600];
    if (nm_crew_last_message(job->crew, "trainer", 0, false, last, sizeof last))
        nm_progress_say(&job->progress, "%s", last);
    job->trained = true;
    return NM_OK;
}
