/* cmd_train.c - nermill-trainer train. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/trainer/commands.h"

const char nm_recipe_help[] = "  --epochs N            passes over the data (3)\n"
                              "  --batch N             sentences an update (32)\n"
                              "  --lr X                peak learning rate (5e-4)\n"
                              "  --warmup X            share of the steps over which it rises (0.1)\n"
                              "  --weight-decay X      AdamW's (0.01)\n"
                              "  --clip X              largest norm of the gradients; 0: any (1.0)\n"
                              "  --dropout X           instead of the one in config.json\n"
                              "  --max-length N        tokens of a sentence that are trained on (256)\n"
                              "  --seed N              order, dropout, first weights of the classifier (13)\n"
                              "  --threads N           (as many as there are cores)\n"
                              "  --checkpoint-steps N  a checkpoint every N steps, not only after each epoch\n"
                              "  --max-steps N         stop after step N with a checkpoint; run again to go on\n"
                              "  --force               train even if OUT has the result of just this training\n";

static const char help[] =
    "usage: nermill-trainer train --model DIR --train FILE --out DIR [options]\n"
    "\n"
    "Fine-tunes a BERT encoder (a Hugging Face directory) on CoNLL files: a word and its BIO tag a line, a blank\n"
    "line between sentences. OUT can be loaded by nermill and by transformers. Stopped at any moment, the same\n"
    "command goes on from the last checkpoint; once done, it finds that and ends.\n"
    "\n"
    "  --model DIR           the encoder: config.json, model.safetensors, tokenizer.json or vocab.txt\n"
    "  --train FILE          labelled sentences; may be given more than once\n"
    "  --dev FILE            scored after each epoch\n"
    "  --gold FILE           scored at the end\n"
    "  --out DIR             where the model goes\n";

static int bad(const char *name, const char *value)
{
    (void)nm_command_usage("train", "--%s: \"%s\" is not a number in its range", name, value);
    return -1;
}

int nm_recipe_option(struct nm_training *t, int option, const char *value)
{
    struct nm_recipe *r = &t->recipe;
    const struct {
        const char *name;
        size_t *count;
        double *real;
    } options[] = {
        {"epochs", &r->epochs, NULL},
        {"batch", &r->batch, NULL},
        {"lr", NULL, &r->lr},
        {"seed", NULL, NULL},
        {"max-length", &r->max_length, NULL},
        {"warmup", NULL, &r->warmup},
        {"weight-decay", NULL, &r->weight_decay},
        {"clip", NULL, &r->clip},
        {"dropout", NULL, &r->dropout},
        {"threads", &t->n_threads, NULL},
        {"checkpoint-steps", &t->checkpoint_steps, NULL},
        {"max-steps", &t->max_steps, NULL},
    };
    const int n = (int)(sizeof(options) / sizeof(options[0]));
    int i = option - NM_RECIPE_OPTION;
    uint64_t count;
    double real;
    if (i < 0 || i > n)
        return 0;
    if (i == n) {
        t->force = true;
        return 1;
    }
    if (options[i].real != NULL) {
        if (!nm_option_real(value, &real) || real < 0)
            return bad(options[i].name, value);
        *options[i].real = real;
        return 1;
    }
    if (!nm_option_count(value, options[i].count != NULL ? UINT32_MAX : INT64_MAX, &count))
        return bad(options[i].name, value);
    if (options[i].count != NULL)
        *options[i].count = (size_t)count;
    else
        r->seed = count;
    return 1;
}

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

static int run(const struct nm_training *options, char *const *train, size_t n_train, const char *dev,
               const char *gold)
{
    struct nm_training training = *options, *t = &training;
    struct nm_corpus corpora[3];
    struct nm_training_result result = {0};
    struct nm_diag diag = {""};
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < 3; i++)
        nm_corpus_init(&corpora[i]);
    for (size_t i = 0; i < n_train && err == NM_OK; i++)
        err = read_corpus(train[i], &corpora[0], &diag);
    if (err == NM_OK && dev != NULL)
        err = read_corpus(dev, &corpora[1], &diag);
    if (err == NM_OK && gold != NULL)
        err = read_corpus(gold, &corpora[2], &diag);
    t->train = &corpora[0];
    t->dev = dev != NULL ? &corpora[1] : NULL;
    t->gold = gold != NULL ? &corpora[2] : NULL;
    t->stop = &nm_command_stop;
    nm_command_catch_signals();
    if (err == NM_OK)
        err = nm_trainer_run(t, &result, &diag);
    if (err == NM_OK)
        nm_command_report(t, &result);
    nm_training_result_clean_up(&result);
    for (size_t i = 0; i < 3; i++)
        nm_corpus_clean_up(&corpora[i]);
    return err == NM_OK ? NM_EXIT_OK : nm_command_fail("train", err, &diag);
}

int nm_command_train(int argc, char **argv)
{
    static const struct option options[] = {{"model", required_argument, NULL, 'm'},
                                            {"train", required_argument, NULL, 't'},
                                            {"dev", required_argument, NULL, 'd'},
                                            {"gold", required_argument, NULL, 'g'},
                                            {"out", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            NM_RECIPE_OPTIONS,
                                            {0}};
    struct nm_training t = {.recipe = nm_recipe_defaults()};
    const char *dev = NULL, *gold = NULL;
    char **train = calloc((size_t)argc, sizeof(*train));
    size_t n_train = 0;
    int code = train != NULL ? -1 : NM_EXIT_FAILURE;
    for (int o; code < 0 && (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        int taken = nm_recipe_option(&t, o, optarg);
        if (taken < 0 || o == '?')
            code = NM_EXIT_USAGE;
        else if (o == 'm')
            t.model = optarg;
        else if (o == 't')
            train[n_train++] = optarg;
        else if (o == 'd')
            dev = optarg;
        else if (o == 'g')
            gold = optarg;
        else if (o == 'o')
            t.out = optarg;
        else if (o == 'h') {
            printf("%s%s", help, nm_recipe_help);
            code = NM_EXIT_OK;
        }
    }
    if (code < 0 && optind < argc)
        code = nm_command_usage("train", "\"%s\" is not an option", argv[optind]);
    else if (code < 0 && (t.model == NULL || t.out == NULL || n_train == 0))
        code = nm_command_usage("train", "--%s is missing",
                                t.model == NULL ? "model"
                                : t.out == NULL ? "out"
                                                : "train");
    else if (code < 0)
        code = run(&t, train, n_train, dev, gold);
    free(train);
    return code;
}
