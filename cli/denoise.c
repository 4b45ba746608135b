/* denoise.c - nermill denoise: labels judged by taggers that have not seen them; a new view, the shards stay. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/dataset.h"
#include "cli/process.h"
#include "common/file.h"
#include "common/hash.h"
#include "schemas/project.h"
#include "workers/dataset/denoise.h"
#include "workers/dataset/export.h"

struct denoising {
    struct nm_denoise denoise;
    struct nm_source source; /* the data set as of one moment */
    char all[NM_PATH_MAX], dir[NM_PATH_MAX], out[NM_PATH_MAX];
    const char *model, *rate;
    const char *settings;       /* of this project, where a file was named; NULL: the defaults */
    uint64_t epochs;            /* 0: the project's */
    struct nm_buf expanded;     /* the project's model */
    struct nm_project *project; /* NULL: a file was named */
};

static enum nm_err join(char out[NM_PATH_MAX], const char *dir, const char *name, struct nm_diag *diag)
{
    return nm_file_join(dir, name, out, NM_PATH_MAX) == NM_OK
               ? NM_OK
               : nm_fail(diag, NM_ELIMIT, "%s: the path is too long", dir);
}

/* One of our programs, its output into a file (NULL: ours). */
static enum nm_err run(const char *const *argv, const char *out, struct nm_diag *diag)
{
    pid_t pid;
    FILE *file = out != NULL ? fopen(out, "we") : NULL;
    if (out != NULL && file == NULL)
        return nm_fail(diag, NM_EIO, "%s can't be written", out);
    struct nm_spawn spawn = {
        .argv = argv, .in_fd = -1, .out_fd = file != NULL ? fileno(file) : -1, .err_fd = -1, .inherit_fd = -1};
    enum nm_err err = nm_process_start(&spawn, &pid, diag);
    int code = err == NM_OK ? nm_process_wait(pid) : 0;
    if (file != NULL && fclose(file) != 0 && err == NM_OK)
        err = nm_fail(diag, NM_EIO, "%s can't be written", out);
    return err == NM_OK && code != 0
               ? nm_fail(diag, NM_ESTATE, "%s %s ended with exit code %d (see above)", argv[0], argv[1], code)
               : err;
}

/* An option that was said by the project or the command line: the trainer has its own defaults. */
static void say(const char **argv, const char *option, const char *value)
{
    while (*argv != NULL)
        argv++;
    if (value[0] != '\0') {
        argv[0] = option;
        argv[1] = value;
    }
}

/* What is trained is found there by the next try, which goes on. */
static enum nm_err judge_by_one(struct denoising *d, uint32_t model, struct nm_diag *diag)
{
    char train[NM_PATH_MAX], judge[NM_PATH_MAX], judged[NM_PATH_MAX], dir[NM_PATH_MAX], name[64];
    uint64_t learned, n;
    enum nm_err err = nm_denoise_cut(&d->denoise, model, &learned, &n, diag);
    (void)snprintf(name, sizeof name, "model-%" PRIu32, model);
    if (err == NM_OK)
        err = join(dir, d->dir, name, diag);
    if (err != NM_OK)
        return err;
    (void)snprintf(train, sizeof train, "%.4000s.train.conll", dir);
    (void)snprintf(judge, sizeof judge, "%.4000s.judge.conll", dir);
    (void)snprintf(judged, sizeof judged, "%.4000s.judged.conll", dir);
    if (learned == 0 || n == 0)
        return nm_fail(diag, NM_EINVAL, "there are too few sentences for %" PRIu32 " folds", d->denoise.how.folds);
    fprintf(stderr, "model %" PRIu32 " of %" PRIu32 ": learns on %" PRIu64 " sentences, judges %" PRIu64 "\n",
            model + 1, d->denoise.how.folds, learned, n);
    char epochs[24] = "", batch[16] = "", rate[32] = "";
    if (d->project != NULL) {
        (void)snprintf(epochs, sizeof epochs, "%" PRIu32, d->project->trainer.epochs);
        (void)snprintf(batch, sizeof batch, "%" PRIu32, d->project->trainer.batch);
        (void)snprintf(rate, sizeof rate, "%.9g", d->project->trainer.learning_rate);
    }
    if (d->epochs > 0)
        (void)snprintf(epochs, sizeof epochs, "%" PRIu64, d->epochs);
    if (d->rate != NULL)
        (void)snprintf(rate, sizeof rate, "%s", d->rate);
    const char *learn[16] = {"nermill-trainer", "train", "--model", d->model, "--train", train, "--out", dir};
    say(learn, "--epochs", epochs);
    say(learn, "--batch", batch);
    say(learn, "--lr", rate);
    const char *const predict[] = {"nermill-trainer", "predict", "--model",  dir,     judge,
                                   "--input",         "conll",   "--format", "conll", NULL};
    err = run(learn, NULL, diag);
    return err == NM_OK ? run(predict, judged, diag) : err;
}

/* The data set of one moment, and a place for the work. */
static enum nm_err prepare(struct denoising *d, const struct nm_source *source, const char *out, struct nm_diag *diag)
{
    uint64_t written;
    (void)snprintf(d->out, sizeof d->out, "%s", out);
    if ((size_t)snprintf(d->dir, sizeof d->dir, "%s.work", out) >= sizeof d->dir)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", out);
    enum nm_err err = nm_file_make_dirs(d->dir, diag);
    if (err == NM_OK)
        err = join(d->all, d->dir, "all.jsonl", diag);
    if (err == NM_OK)
        err = nm_export_run(source, nm_format_find("jsonl"), d->all, &written, diag);
    d->source = (struct nm_source){.path = d->all};
    d->denoise.source = &d->source;
    d->denoise.dir = d->dir;
    return err;
}

static enum nm_err settings(struct denoising *d, const struct nm_dataset *dataset, struct nm_diag *diag)
{
    const struct nm_place *place = nm_dataset_place(dataset);
    if (place == NULL && d->settings == NULL)
        return d->model != NULL ? NM_OK
                                : nm_fail(diag, NM_EINVAL, "--model DIR is missing: the encoder to train from");
    enum nm_err err = nm_project_load(d->settings != NULL ? d->settings : place->project_file, &d->project, diag);
    if (err != NM_OK)
        return err;
    if (d->project->denoise.wanted)
        d->denoise.how = d->project->denoise;
    d->denoise.seed = d->project->seed;
    if (d->model == NULL)
        err = nm_project_expand("trainer: model", d->project->trainer.model, &d->expanded, diag);
    if (d->model == NULL)
        d->model = nm_buf_str(&d->expanded);
    return err;
}

static enum nm_err denoise(struct denoising *d, const char *named, const char *state, const char *format,
                           const char *out, struct nm_denoise_counts *counts, struct nm_diag *diag)
{
    struct nm_dataset *dataset;
    char beside[NM_PATH_MAX], name[64];
    enum nm_err err = nm_dataset_open(named, state, &dataset, diag);
    if (err != NM_OK)
        return err;
    err = settings(d, dataset, diag);
    (void)snprintf(name, sizeof name, "denoised.%s", format);
    if (err == NM_OK && out == NULL && nm_dataset_place(dataset) == NULL)
        err = nm_fail(diag, NM_EINVAL, "give --out FILE");
    if (err == NM_OK && out == NULL)
        err = join(beside, nm_dataset_place(dataset)->data, name, diag);
    if (err == NM_OK)
        err = prepare(d, nm_dataset_source(dataset), out != NULL ? out : beside, diag);
    for (uint32_t model = 0; err == NM_OK && model < d->denoise.how.folds; model++)
        err = judge_by_one(d, model, diag);
    if (err == NM_OK)
        err = nm_denoise_join(&d->denoise, nm_format_find(format), d->out, counts, diag);
    nm_dataset_close(&dataset);
    return err;
}

int nm_command_denoise(int argc, char **argv)
{
    const char *state = NULL, *format = "jsonl", *out = NULL;
    struct denoising d = {.denoise.how = {.folds = 4, .train_folds = 2, .agree = 1, .reject = 1}, .denoise.seed = 13};
    const struct nm_opt opts[] = {
        {0, "state", NM_OPT_TEXT, &state, "DIR", "the run's state directory (default: PROJECT's run/)"},
        {'m', "model", NM_OPT_TEXT, &d.model, "DIR", "the encoder to train from (default: the project's)"},
        {0, "epochs", NM_OPT_COUNT, &d.epochs, "N",
         "of each model's training (default: the project's, or the trainer's)"},
        {0, "project", NM_OPT_TEXT, &d.settings, "PROJECT",
         "whose section denoise says how (default: the one named)"},
        {0, "lr", NM_OPT_TEXT, &d.rate, "X", "its learning rate (default: the project's, or the trainer's)"},
        {'f', "format", NM_OPT_TEXT, &format, "FORMAT", "jsonl (default) or conll"},
        {'o', "out", NM_OPT_TEXT, &out, "FILE", "gets the new view (default: PROJECT's run/data/denoised.jsonl)"},
    };
    const struct nm_command command = {
        .name = "denoise",
        .usage = "PROJECT|DATASET [--model DIR] [--format jsonl] [--out FILE]",
        .summary = "Labels judged by taggers that have not seen them: doubtful ones are masked or dropped.",
        .text =
            "The data set is cut into folds; each model learns on some and judges the others. An unlabelled run in\n"
            "which the models agree on a mention is masked; a label in which they see nothing is dropped. The\n"
            "project's section denoise says how many folds, and how many models must agree. The samples of the run\n"
            "stay as they are: what comes out is a new file. Stopped, the same command goes on (FILE.work).\n",
        .min_args = 1,
        .max_args = 1,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    if (strcmp(format, "jsonl") != 0 && strcmp(format, "conll") != 0) {
        fprintf(stderr, "nermill denoise: --format takes jsonl or conll\n");
        return NM_EXIT_USAGE;
    }
    struct nm_diag diag = {""};
    struct nm_denoise_counts counts = {0};
    nm_buf_init(&d.expanded, NM_PATH_MAX);
    enum nm_err err = denoise(&d, argv[1], state, format, out, &counts, &diag);
    if (err == NM_OK)
        printf("%s: %" PRIu64 " sentences; of %" PRIu64 " labels %" PRIu64 " were rejected; %" PRIu64
               " unlabelled runs were masked (%" PRIu64 " words)\n",
               d.out, counts.records, counts.labels, counts.rejected, counts.masked, counts.masked_words);
    nm_buf_clean_up(&d.expanded);
    nm_project_destroy(&d.project);
    return err == NM_OK ? NM_EXIT_OK : nm_complain("denoise", err, &diag);
}
