/* cmd_compare.c - nermill-trainer compare: two taggers on the same gold. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "workers/trainer/bootstrap.h"
#include "workers/trainer/commands.h"
#include "workers/trainer/tagger.h"
#include "workers/trainer/tallies.h"

static const char help[] =
    "usage: nermill-trainer compare --gold FILE A B [--rounds N] [--seed N] [--json]\n"
    "\n"
    "Is B better than A, or was it luck?  A and B are trained models, or CoNLL files with the words of FILE and "
    "predicted\n"
    "tags.  Prints both F1 (entities, as evaluate counts them), the difference with the middle 95 % of a paired\n"
    "bootstrap over sentences, and the share of resamples in which B is not better.\n"
    "\n"
    "  --gold FILE  labelled sentences\n"
    "  --rounds N   resamples (10000)\n"
    "  --seed N     of the resampling (13)\n"
    "  --json       one JSON object\n";

struct arguments {
    const char *gold, *sides[2];
    uint64_t rounds, seed;
    bool json;
};

static bool is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* found by a model: its own tagset, to which gold's types are added. */
static enum nm_err by_model(const char *dir, const struct nm_corpus *gold, int32_t *right, int32_t *found,
                            size_t *n_types, struct nm_diag *diag)
{
    struct nm_tagger tagger;
    enum nm_err err = nm_tagger_load(&tagger, dir, &(struct nm_tagger_options){0}, diag);
    if (err != NM_OK)
        return err;
    err = nm_tagger_tag(&tagger, gold->sentences, gold->n, found, NULL, diag);
    if (err == NM_OK)
        err = nm_tallies_renumber(gold, &tagger.tagset, right);
    *n_types = tagger.tagset.n_types;
    nm_tagger_clean_up(&tagger);
    return err;
}

static enum nm_err read_model(const char *dir, const struct nm_corpus *gold, struct nm_tally *out,
                              struct nm_diag *diag)
{
    int32_t *right = calloc(2 * gold->n_words + 1, sizeof(*right)), *found = right + gold->n_words;
    size_t n_types = 0;
    if (right == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", dir);
    enum nm_err err = by_model(dir, gold, right, found, &n_types, diag);
    if (err == NM_OK && nm_tallies_count(gold, right, found, n_types, out) != NM_OK)
        err = nm_fail(diag, NM_ENOMEM, "%s: out of memory", dir);
    free(right);
    return err;
}

static enum nm_err read_side(const char *path, const struct nm_corpus *gold, struct nm_tally *out,
                             struct nm_diag *diag)
{
    return is_directory(path) ? read_model(path, gold, out, diag) : nm_tallies_read(path, gold, out, diag);
}

static void print(const struct arguments *a, const struct nm_bootstrap *b)
{
    if (a->json) {
        json_t *root =
            json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:I}", "f1_a", b->f1_a, "f1_b", b->f1_b, "difference",
                      b->difference, "low", b->low, "high", b->high, "p", b->p, "rounds", (json_int_t)a->rounds);
        char *text = json_dumps(root, JSON_REAL_PRECISION(10));
        printf("%s\n", text != NULL ? text : "{}");
        free(text);
        json_decref(root);
        return;
    }
    printf("A  F1 %.4f  %s\nB  F1 %.4f  %s\nB - A  %+.4f  (95 %%: %+.4f to %+.4f), p = %.4f\n", b->f1_a, a->sides[0],
           b->f1_b, a->sides[1], b->difference, b->low, b->high, b->p);
}

static int run(const struct arguments *a)
{
    struct nm_diag diag = {""};
    struct nm_corpus gold;
    struct nm_bootstrap result;
    struct nm_tally *tallies = NULL;
    nm_corpus_init(&gold);
    enum nm_err err = nm_corpus_read_conll(&gold, a->gold, true, &diag);
    if (err == NM_OK && (tallies = calloc(2 * gold.n + 1, sizeof(*tallies))) == NULL)
        err = nm_fail(&diag, NM_ENOMEM, "%s: out of memory", a->gold);
    for (size_t i = 0; i < 2 && err == NM_OK; i++)
        err = read_side(a->sides[i], &gold, tallies + i * gold.n, &diag);
    if (err == NM_OK &&
        nm_bootstrap_paired(tallies, tallies + gold.n, gold.n, (size_t)a->rounds, a->seed, &result) != NM_OK)
        err = nm_fail(&diag, NM_ENOMEM, "out of memory for %llu resamples", (unsigned long long)a->rounds);
    if (err == NM_OK)
        print(a, &result);
    free(tallies);
    nm_corpus_clean_up(&gold);
    return err == NM_OK ? NM_EXIT_OK : nm_command_fail("compare", err, &diag);
}

int nm_command_compare(int argc, char **argv)
{
    static const struct option options[] = {
        {"gold", required_argument, NULL, 'g'}, {"rounds", required_argument, NULL, 'r'},
        {"seed", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},       {0}};
    struct arguments a = {.rounds = 10000, .seed = 13};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == 'g')
            a.gold = optarg;
        else if (o == 'j')
            a.json = true;
        else if (o == 'r' && (!nm_option_count(optarg, 10000000, &a.rounds) || a.rounds == 0))
            return nm_command_usage("compare", "--rounds: \"%s\" is not a number in its range", optarg);
        else if (o == 's' && !nm_option_count(optarg, INT64_MAX, &a.seed))
            return nm_command_usage("compare", "--seed: \"%s\" is not a number in its range", optarg);
        else if (o == 'h') {
            fputs(help, stdout);
            return NM_EXIT_OK;
        } else if (o == '?')
            return NM_EXIT_USAGE;
    }
    if (a.gold == NULL)
        return nm_command_usage("compare", "--gold is missing");
    if (argc - optind != 2)
        return nm_command_usage("compare", "two models or files, not %d", argc - optind);
    a.sides[0] = argv[optind];
    a.sides[1] = argv[optind + 1];
    return run(&a);
}
