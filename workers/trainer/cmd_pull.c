/* cmd_pull.c - nermill-trainer --broker: train on what a run's aligners hold. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/net.h"
#include "schemas/project.h"
#include "workers/trainer/commands.h"
#include "workers/trainer/pull.h"
#include "workers/trainer/tell.h"
#include "workers/worker/worker.h"

static const char help[] =
    "usage: nermill-trainer --broker tcp://HOST:PORT --out DIR [--model DIR] [options]\n"
    "\n"
    "Pulls the samples of a run from its aligners and fine-tunes an encoder on them, by the recipe in the run's\n"
    "project file. Stopped at any moment, the same command goes on from the last checkpoint.\n"
    "\n"
    "  --broker ENDPOINT     the run's broker\n"
    "  --out DIR             where the model goes\n"
    "  --model DIR           the encoder, instead of the project's\n"
    "  --gold FILE           scored at the end\n"
    "  --gold-train FILE     labelled by people, for the recipes then, joint and gold\n"
    "  --samples FILE        CoNLL: a view of the samples (of nermill denoise) to train on instead\n"
    "  --wait SECONDS        for an answer of broker or aligner (30)\n"
    "  --log-level LEVEL     debug, info, warn or error (info)\n"
    "Options that go before the project's:\n";

static const struct option own[] = {{"broker", required_argument, NULL, 'b'},
                                    {"model", required_argument, NULL, 'm'},
                                    {"out", required_argument, NULL, 'o'},
                                    {"gold", required_argument, NULL, 'g'},
                                    {"gold-train", required_argument, NULL, 'T'},
                                    {"samples", required_argument, NULL, 'S'},
                                    {"wait", required_argument, NULL, 'w'},
                                    {"log-level", required_argument, NULL, 'l'},
                                    {"help", no_argument, NULL, 'h'}};

struct arguments {
    const char *broker, *model, *out, *gold, *gold_train, *samples;
    uint64_t wait_s;
};

/* Called twice: to check the line, and again to put its recipe over the project's.  -1: go on. */
static int parse(int argc, char **argv, struct arguments *a, struct nm_training *t)
{
    struct option options[NM_TRAINING_OPTIONS_MAX];
    nm_training_options(own, sizeof(own) / sizeof(own[0]), options);
    optind = 1;
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        int taken = nm_training_option(t, o, optarg);
        if (taken < 0 || o == '?')
            return NM_EXIT_USAGE;
        if (o == 'b')
            a->broker = optarg;
        else if (o == 'm')
            a->model = optarg;
        else if (o == 'o')
            a->out = optarg;
        else if (o == 'g')
            a->gold = optarg;
        else if (o == 'T')
            a->gold_train = optarg;
        else if (o == 'S')
            a->samples = optarg;
        else if (o == 'w' && !nm_option_count(optarg, 86400, &a->wait_s))
            return nm_command_usage("--broker", "--wait: \"%s\" is not a number of seconds", optarg);
        else if (o == 'l' && !nm_log_set_level(optarg))
            return nm_command_usage("--broker", "--log-level: \"%s\" is no level", optarg);
        else if (o == 'h') {
            fputs(help, stdout);
            nm_training_help();
            return NM_EXIT_OK;
        }
    }
    if (optind < argc)
        return nm_command_usage("--broker", "\"%s\" is not an option", argv[optind]);
    if (a->broker == NULL || a->out == NULL)
        return nm_command_usage("--broker", "--%s is missing", a->broker == NULL ? "broker" : "out");
    return -1;
}

/* The project's recipe and, where the line has none, its model. */
static enum nm_err configure(const struct nm_buf *yaml, struct nm_training *t, const char *model,
                             struct nm_buf *expanded, struct nm_diag *diag)
{
    struct nm_project *project = NULL;
    enum nm_err err = nm_project_parse(nm_buf_str(yaml), yaml->len, "the run's project", &project, diag);
    if (err != NM_OK)
        return err;
    nm_training_take(t, &project->trainer);
    if (model == NULL)
        err = nm_project_expand("trainer: model", project->trainer.model, expanded, diag);
    t->model = model != NULL ? model : nm_buf_str(expanded);
    nm_project_destroy(&project);
    return err;
}

/* What a training is made of, over the wire and from files. */
struct data {
    struct nm_corpus corpus, gold;
    struct nm_buf yaml, model;
    size_t n_synthetic;
    struct nm_tell *tell; /* of the first process */
};

static enum nm_err fetch(const struct arguments *a, struct data *d, bool first, struct nm_diag *diag)
{
    const struct nm_pull pull = {.broker = a->broker, .timeout_ms = (int)a->wait_s * 1000};
    enum nm_err err = a->gold != NULL ? nm_corpus_read_conll(&d->gold, a->gold, true, diag) : NM_OK;
    if (err == NM_OK && a->samples != NULL)
        err = nm_pull_project(&pull, &d->yaml, diag);
    else if (err == NM_OK)
        err = nm_pull_corpus(&pull, &d->yaml, &d->corpus, diag);
    if (err == NM_OK && a->samples != NULL)
        err = nm_corpus_read_conll(&d->corpus, a->samples, true, diag);
    d->n_synthetic = d->corpus.n;
    if (err == NM_OK && a->gold_train != NULL)
        err = nm_corpus_read_conll(&d->corpus, a->gold_train, true, diag);
    return err == NM_OK && first ? nm_tell_open(&d->tell, a->broker, pull.timeout_ms, diag) : err;
}

static int run(struct arguments *a, const struct nm_training *checked, int argc, char **argv)
{
    struct nm_diag diag = {""};
    struct nm_training training = *checked, *t = &training;
    struct data d = {.tell = NULL};
    struct nm_training_result result = {0};
    nm_corpus_init(&d.corpus);
    nm_corpus_init(&d.gold);
    nm_buf_init(&d.yaml, 16 << 20);
    nm_buf_init(&d.model, 4096);
    nm_net_init();
    nm_worker_catch_signals();
    enum nm_err err = fetch(a, &d, nm_comm_rank(t->comm) == 0, &diag);
    if (err == NM_OK)
        err = configure(&d.yaml, t, a->model, &d.model, &diag);
    nm_command_catch_signals();
    if (err == NM_OK && parse(argc, argv, a, t) >= 0)
        err = NM_EINVAL;
    t->train = &d.corpus;
    t->n_gold = d.corpus.n - d.n_synthetic;
    t->gold = a->gold != NULL ? &d.gold : NULL;
    t->out = a->out;
    t->stop = &nm_command_stop;
    t->tell = d.tell != NULL ? nm_tell_news : NULL;
    t->tell_arg = d.tell;
    if (err == NM_OK)
        err = nm_trainer_run(t, &result, &diag);
    if (err == NM_OK && nm_comm_rank(t->comm) == 0)
        nm_command_report(t, &result);
    nm_tell_close(&d.tell);
    nm_net_clean_up();
    nm_training_result_clean_up(&result);
    nm_buf_clean_up(&d.model);
    nm_buf_clean_up(&d.yaml);
    nm_corpus_clean_up(&d.gold);
    nm_corpus_clean_up(&d.corpus);
    return err == NM_OK ? NM_EXIT_OK : nm_command_fail("--broker", err, &diag);
}

int nm_command_pull(int argc, char **argv)
{
    struct arguments a = {.wait_s = 30};
    struct nm_training t = {.recipe = nm_recipe_defaults()};
    int code = parse(argc, argv, &a, &t);
    if (code >= 0)
        return code;
    nm_command_join(&t);
    return nm_command_leave(&t, run(&a, &t, argc, argv));
}
