/* split.c - nermill split: a data set into train, dev and test. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/dataset.h"
#include "cli/process.h"
#include "common/file.h"
#include "workers/dataset/export.h"
#include "workers/dataset/split.h"

static const char *const by_names[] = {"sample", "document", "entity"};

/* "80:10:10" */
static bool parse_shares(const char *text, uint64_t shares[3])
{
    char *end = NULL;
    for (size_t i = 0; i < 3; i++) {
        if (*text < '0' || *text > '9')
            return false;
        shares[i] = strtoull(text, &end, 10);
        if (shares[i] > 1000000 || *end != (i < 2 ? ':' : '\0'))
            return false;
        text = end + 1;
    }
    return shares[0] + shares[1] + shares[2] > 0;
}

/* A run may be going on: what is split is the data set as of one moment. */
static enum nm_err split_project(const struct nm_source *source, const struct nm_split *split,
                                 const struct nm_format *format, const char *dir, uint64_t counts[NM_SPLIT_PARTS],
                                 struct nm_diag *diag)
{
    char path[NM_PATH_MAX];
    uint64_t written;
    enum nm_err err = nm_file_make_dirs(dir, diag);
    if (err == NM_OK && (size_t)snprintf(path, sizeof path, "%s/.all.%ld.jsonl", dir, (long)getpid()) >= sizeof path)
        err = nm_fail(diag, NM_ELIMIT, "%s: the path is too long", dir);
    if (err == NM_OK)
        err = nm_export_run(source, nm_format_find("jsonl"), path, &written, diag);
    if (err == NM_OK)
        err = nm_split_run(&(struct nm_source){.path = path}, split, format, dir, counts, diag);
    (void)unlink(path);
    return err;
}

static enum nm_err run(const char *named, const char *state, const struct nm_split *split,
                       const struct nm_format *format, const char *dir, uint64_t counts[NM_SPLIT_PARTS],
                       struct nm_diag *diag)
{
    struct nm_dataset *dataset;
    enum nm_err err = nm_dataset_open(named, state, &dataset, diag);
    if (err != NM_OK)
        return err;
    const struct nm_source *source = nm_dataset_source(dataset);
    err = source->n_states > 0 ? split_project(source, split, format, dir, counts, diag)
                               : nm_split_run(source, split, format, dir, counts, diag);
    nm_dataset_close(&dataset);
    return err;
}

int nm_command_split(int argc, char **argv)
{
    struct nm_split split = {.seed = 1};
    const char *state = NULL, *by = "document", *shares = "80:10:10", *form = "jsonl", *out = NULL;
    const struct nm_opt opts[] = {
        {0, "state", NM_OPT_TEXT, &state, "DIR", "the run's state directory (default: PROJECT's run/)"},
        {0, "by", NM_OPT_TEXT, &by, "sample|document|entity", "what stays together (default: document)"},
        {'r', "ratio", NM_OPT_TEXT, &shares, "TRAIN:DEV:TEST", "whole numbers (default: 80:10:10); 0: no such part"},
        {0, "seed", NM_OPT_COUNT, &split.seed, "N", "another one is another split (default: 1)"},
        {'f', "format", NM_OPT_TEXT, &form, "FORMAT", "jsonl (default), conll, or another file of nermill export"},
        {'o', "out", NM_OPT_TEXT, &out, "DIR", "gets train, dev and test; needed"},
    };
    const struct nm_command command = {
        .name = "split",
        .usage = "PROJECT|DATASET --out DIR [--by document] [--ratio 80:10:10] [--seed N] [--format jsonl]",
        .summary = "A data set into train, dev and test: DIR/train.jsonl and so on, the same for the same seed.",
        .text =
            "  document   a document's sentences stay together; where there are no documents, as sample\n"
            "  sample     samples of one text stay together\n"
            "  entity     no entity (its text, case aside) of one part stands in another; samples whose entities\n"
            "             belong to several parts go to DIR/left-out.jsonl\n",
        .min_args = 1,
        .max_args = 1,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    while ((size_t)split.by < 3 && strcmp(by_names[split.by], by) != 0)
        split.by++;
    const struct nm_format *format = nm_format_find(form);
    if ((size_t)split.by == 3)
        return nm_complain_usage("split", "--by takes sample, document or entity");
    if (!parse_shares(shares, split.shares))
        return nm_complain_usage("split", "--ratio takes three whole numbers, like 80:10:10");
    if (out == NULL)
        return nm_complain_usage("split", "give --out DIR");
    if (format == NULL || format->directory)
        return nm_complain_usage("split", "--format takes jsonl, conll or another form that is one file");
    struct nm_diag diag = {""};
    uint64_t counts[NM_SPLIT_PARTS];
    enum nm_err err = run(argv[1], state, &split, format, out, counts, &diag);
    if (err != NM_OK)
        return nm_complain("split", err, &diag);
    printf("train %" PRIu64 ", dev %" PRIu64 ", test %" PRIu64, counts[0], counts[1], counts[2]);
    if (counts[NM_SPLIT_LEFT_OUT] > 0)
        printf("; left out %" PRIu64 ", whose entities belong to several parts", counts[NM_SPLIT_LEFT_OUT]);
    putchar('\n');
    return NM_EXIT_OK;
}
