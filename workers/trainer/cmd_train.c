/* cmd_train.c - nermill-trainer train. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "schemas/project.h"
#include "workers/trainer/commands.h"

static const char help[] =
    "usage: nermill-trainer train --model DIR --train FILE --out DIR [options]\n"
    "\n"
    "Fine-tunes a BERT encoder (a Hugging Face directory) on CoNLL files: a word and its BIO tag a line, a blank\n"
    "line between sentences. OUT can be loaded by nermill and by transformers. Stopped at any moment, the same\n"
    "command goes on from the last checkpoint; once done, it finds that and ends.\n"
    "\n"
    "  --model DIR           the encoder: config.json, model.safetensors, tokenizer.json or vocab.txt\n"
    "  --train FILE          labelled sentences; may be given more than once\n"
    "  --gold-train FILE     such that people labelled, for the recipes then, joint and gold; may be given more than "
    "once\n"
    "  --dev FILE            scored after each epoch\n"
    "  --gold FILE           scored at the end\n"
    "  --out DIR             where the model goes\n"
    "  --project FILE        the recipe of this project.yaml; options behind it go before it\n"
    "  --seeds A,B,...       a model for each of these seeds in DIR/seed-A, ..., and their mean and deviation on "
    "gold in\n"
    "                        DIR/seeds.json\n";

void nm_command_report(const struct nm_training *training, const struct nm_training_result *result)
{
    if (result->already) {
        printf("%s holds the result of this training already (--force trains again)\n", training->out);
        return;
    }
    printf("trained %zu steps in %.1f s, %.0f tokens/s, last epoch's loss %.4f: %s\n", result->steps, result->seconds,
           result->tokens_per_s, result->loss, training->out);
    if (result->scores.n_types > 0)
        nm_command_print_scores(&result->scores, result->types, false);
}

static enum nm_err read_corpus(const char *path, struct nm_corpus *corpus, struct nm_diag *diag)
{
    size_t before = corpus->orphans;
    enum nm_err err = nm_corpus_read_conll(corpus, path, true, diag);
    if (err == NM_OK && corpus->orphans > before)
        nm_warn("%s: %zu I- tags have no entity before them and are read as B-", path, corpus->orphans - before);
    return err;
}

/* Where the sentences come from. */
struct sources {
    char **train, **gold_train; /* (n) */
    size_t n_train, n_gold_train;
    const char *dev, *gold, *seeds;
};

static enum nm_err read_train(const struct sources *from, struct nm_corpus *corpus, size_t *n_gold,
                              struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < from->n_train && err == NM_OK; i++)
        err = read_corpus(from->train[i], corpus, diag);
    const size_t n_synthetic = corpus->n;
    for (size_t i = 0; i < from->n_gold_train && err == NM_OK; i++)
        err = read_corpus(from->gold_train[i], corpus, diag);
    *n_gold = corpus->n - n_synthetic;
    return err;
}

static enum nm_err run_one(const struct nm_training *t, struct nm_diag *diag)
{
    struct nm_training_result result = {0};
    enum nm_err err = nm_trainer_run(t, &result, diag);
    if (err == NM_OK && nm_comm_rank(t->comm) == 0)
        nm_command_report(t, &result);
    nm_training_result_clean_up(&result);
    return err;
}

static int run(const struct nm_training *options, const struct sources *from)
{
    struct nm_training training = *options, *t = &training;
    struct nm_corpus corpora[3];
    struct nm_diag diag = {""};
    for (size_t i = 0; i < 3; i++)
        nm_corpus_init(&corpora[i]);
    enum nm_err err = read_train(from, &corpora[0], &t->n_gold, &diag);
    if (err == NM_OK && from->dev != NULL)
        err = read_corpus(from->dev, &corpora[1], &diag);
    if (err == NM_OK && from->gold != NULL)
        err = read_corpus(from->gold, &corpora[2], &diag);
    t->train = &corpora[0];
    t->dev = from->dev != NULL ? &corpora[1] : NULL;
    t->gold = from->gold != NULL ? &corpora[2] : NULL;
    t->stop = &nm_command_stop;
    nm_command_catch_signals();
    if (err == NM_OK)
        err = from->seeds != NULL ? nm_command_seeds(t, from->seeds, &diag) : run_one(t, &diag);
    for (size_t i = 0; i < 3; i++)
        nm_corpus_clean_up(&corpora[i]);
    return err == NM_OK ? NM_EXIT_OK : nm_command_fail("train", err, &diag);
}

static int take_project(struct nm_training *t, const char *path)
{
    struct nm_project *project = NULL;
    struct nm_diag diag = {""};
    enum nm_err err = nm_project_load(path, &project, &diag);
    if (err != NM_OK)
        return nm_command_fail("train", err, &diag);
    nm_training_take(t, &project->trainer);
    nm_project_destroy(&project);
    return NM_EXIT_OK;
}

/* -1: go on; otherwise the exit code. */
static int parse(int argc, char **argv, struct nm_training *t, struct sources *from)
{
    static const struct option own[] = {{"model", required_argument, NULL, 'm'},
                                        {"train", required_argument, NULL, 't'},
                                        {"gold-train", required_argument, NULL, 'T'},
                                        {"dev", required_argument, NULL, 'd'},
                                        {"gold", required_argument, NULL, 'g'},
                                        {"out", required_argument, NULL, 'o'},
                                        {"seeds", required_argument, NULL, 's'},
                                        {"project", required_argument, NULL, 'p'},
                                        {"help", no_argument, NULL, 'h'}};
    struct option options[NM_TRAINING_OPTIONS_MAX];
    int code = NM_EXIT_OK;
    nm_training_options(own, sizeof(own) / sizeof(own[0]), options);
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        int taken = nm_training_option(t, o, optarg);
        if (taken < 0 || o == '?')
            return NM_EXIT_USAGE;
        if (o == 'm')
            t->model = optarg;
        else if (o == 't')
            from->train[from->n_train++] = optarg;
        else if (o == 'T')
            from->gold_train[from->n_gold_train++] = optarg;
        else if (o == 'd')
            from->dev = optarg;
        else if (o == 'g')
            from->gold = optarg;
        else if (o == 'o')
            t->out = optarg;
        else if (o == 's')
            from->seeds = optarg;
        else if (o == 'p' && (code = take_project(t, optarg)) != NM_EXIT_OK)
            return code;
        else if (o == 'h') {
            fputs(help, stdout);
            nm_training_help();
            return NM_EXIT_OK;
        }
    }
    if (optind < argc)
        return nm_command_usage("train", "\"%s\" is not an option", argv[optind]);
    if (t->model == NULL || t->out == NULL || from->n_train + from->n_gold_train == 0)
        return nm_command_usage("train", "--%s is missing",
                                t->model == NULL ? "model"
                                : t->out == NULL ? "out"
                                                 : "train");
    return -1;
}

int nm_command_train(int argc, char **argv)
{
    struct nm_training t = {.recipe = nm_recipe_defaults()};
    struct sources from = {.train = calloc((size_t)argc, sizeof(char *)),
                           .gold_train = calloc((size_t)argc, sizeof(char *))};
    int code = from.train != NULL && from.gold_train != NULL ? -1 : NM_EXIT_FAILURE;
    if (code < 0)
        code = parse(argc, argv, &t, &from);
    if (code < 0) {
        nm_command_join(&t);
        code = nm_command_leave(&t, run(&t, &from));
    }
    free(from.train);
    free(from.gold_train);
    return code;
}
