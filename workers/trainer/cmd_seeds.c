/* cmd_seeds.c - nermill-trainer train --seeds: how much of a score is luck. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/file.h"
#include "workers/trainer/commands.h"

enum { SEEDS_MAX = 100, CARD_MAX = 16 << 20 };

static const char *const measures[] = {"precision", "recall", "f1"};
enum { N_MEASURES = 3 };

struct seed {
    uint64_t number;
    double score[N_MEASURES];
};

static enum nm_err parse(const char *text, struct seed *seeds, size_t *n, struct nm_diag *diag)
{
    *n = 0;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        unsigned long long number = strtoull(at, &end, 10);
        if (errno != 0 || *at < '0' || *at > '9' || (*end != ',' && *end != '\0') || *n == SEEDS_MAX)
            return nm_fail(diag, NM_EINVAL, "--seeds: \"%s\" is no list of at most %d numbers, as 13,14,15", text,
                           SEEDS_MAX);
        seeds[(*n)++].number = number;
        if (*end == '\0')
            return NM_OK;
        at = end;
    }
}

/* The scores that a finished training has left in its record. */
static enum nm_err read_scores(const char *dir, struct seed *seed, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    struct nm_buf buf;
    nm_buf_init(&buf, CARD_MAX);
    enum nm_err err = nm_file_path(dir, "nermill.json", path, diag);
    if (err == NM_OK)
        err = nm_file_read(path, &buf, diag);
    json_t *root = err == NM_OK ? json_loadb(nm_buf_str(&buf), buf.len, 0, NULL) : NULL;
    const json_t *scores = json_object_get(root, "scores");
    for (size_t i = 0; i < N_MEASURES && err == NM_OK; i++) {
        const json_t *value = json_object_get(scores, measures[i]);
        if (!json_is_number(value))
            err = nm_fail(diag, NM_EFORMAT, "%s: no scores in it; --force trains anew", path);
        seed->score[i] = json_number_value(value);
    }
    json_decref(root);
    nm_buf_clean_up(&buf);
    return err;
}

static enum nm_err train(const struct nm_training *training, struct seed *seed, struct nm_diag *diag)
{
    char name[40], out[NM_FILE_PATH];
    struct nm_training t = *training;
    struct nm_training_result result = {0};
    (void)snprintf(name, sizeof(name), "seed-%llu", (unsigned long long)seed->number);
    enum nm_err err = nm_file_path(training->out, name, out, diag);
    t.out = out;
    t.recipe.seed = seed->number;
    if (err == NM_OK)
        err = nm_trainer_run(&t, &result, diag);
    nm_training_result_clean_up(&result);
    return err == NM_OK && nm_comm_rank(t.comm) == 0 ? read_scores(out, seed, diag) : err;
}

static double mean(const struct seed *seeds, size_t n, size_t measure)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += seeds[i].score[measure];
    return sum / (double)n;
}

/* Of the sample: n - 1. */
static double deviation(const struct seed *seeds, size_t n, size_t measure)
{
    const double m = mean(seeds, n, measure);
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (seeds[i].score[measure] - m) * (seeds[i].score[measure] - m);
    return n > 1 ? sqrt(sum / (double)(n - 1)) : 0;
}

static json_t *summary(const struct seed *seeds, size_t n)
{
    json_t *all = json_array(), *means = json_object(), *deviations = json_object();
    for (size_t i = 0; i < n; i++) {
        json_t *one = json_pack("{s:I}", "seed", (json_int_t)seeds[i].number);
        for (size_t k = 0; k < N_MEASURES; k++)
            json_object_set_new(one, measures[k], json_real(seeds[i].score[k]));
        json_array_append_new(all, one);
    }
    for (size_t k = 0; k < N_MEASURES; k++) {
        json_object_set_new(means, measures[k], json_real(mean(seeds, n, k)));
        json_object_set_new(deviations, measures[k], json_real(deviation(seeds, n, k)));
    }
    return json_pack("{s:o, s:o, s:o}", "seeds", all, "mean", means, "deviation", deviations);
}

static void print(const struct seed *seeds, size_t n)
{
    printf("      seed  precision  recall      F1\n");
    for (size_t i = 0; i < n; i++)
        printf("%10llu     %.4f  %.4f  %.4f\n", (unsigned long long)seeds[i].number, seeds[i].score[0],
               seeds[i].score[1], seeds[i].score[2]);
    printf("      mean     %.4f  %.4f  %.4f\n deviation     %.4f  %.4f  %.4f\n", mean(seeds, n, 0), mean(seeds, n, 1),
           mean(seeds, n, 2), deviation(seeds, n, 0), deviation(seeds, n, 1), deviation(seeds, n, 2));
}

enum nm_err nm_command_seeds(const struct nm_training *training, const char *text, struct nm_diag *diag)
{
    struct seed seeds[SEEDS_MAX] = {{0}};
    char path[NM_FILE_PATH];
    size_t n;
    enum nm_err err = parse(text, seeds, &n, diag);
    if (err == NM_OK && training->gold == NULL)
        err = nm_fail(diag, NM_EINVAL, "--seeds compares scores: name what they are of by --gold");
    for (size_t i = 0; i < n && err == NM_OK; i++)
        err = train(training, &seeds[i], diag);
    if (err != NM_OK || nm_comm_rank(training->comm) > 0)
        return err;
    json_t *root = summary(seeds, n);
    char *json = root != NULL ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(10)) : NULL;
    json_decref(root);
    err = json != NULL ? nm_file_path(training->out, "seeds.json", path, diag)
                       : nm_fail(diag, NM_ENOMEM, "out of memory");
    if (err == NM_OK)
        err = nm_file_write_atomic(path, json, strlen(json), diag);
    free(json);
    if (err == NM_OK)
        print(seeds, n);
    return err;
}
