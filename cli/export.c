/* export.c - nermill export: the data set of a run, from the stores of all its aligners on this machine. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/dataset.h"
#include "cli/place.h"
#include "cli/process.h"
#include "common/file.h"

enum { ALIGNERS_MAX = 64 };

struct export_args {
    char dirs[ALIGNERS_MAX][NM_PATH_MAX];
    char aside[NM_PATH_MAX];
    const char *argv[2 * ALIGNERS_MAX + 12];
};

enum nm_err nm_dataset_export(const struct nm_place *place, const char *format, const char *out, int *code,
                              struct nm_diag *diag)
{
    unsigned numbers[ALIGNERS_MAX];
    unsigned n = nm_place_members(place, "aligner", numbers, ALIGNERS_MAX);
    if (n == 0)
        return nm_fail(diag, NM_ENOENT, "%s: there is no data set here (no aligner-*); has the project been run?",
                       place->state);
    struct export_args *args = calloc(1, sizeof *args);
    if (args == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    size_t at = 0;
    args->argv[at++] = "nermill-aligner";
    args->argv[at++] = "export";
    enum nm_err err = NM_OK;
    for (unsigned i = 0; i < n && err == NM_OK; i++) {
        err = nm_place_member(place, "aligner", numbers[i], args->dirs[i], sizeof args->dirs[i]);
        args->argv[at++] = "--state";
        args->argv[at++] = args->dirs[i];
    }
    args->argv[at++] = "--log-level";
    args->argv[at++] = "warn";
    args->argv[at++] = "--format";
    args->argv[at++] = format;
    if (err == NM_OK)
        err = nm_file_join(place->broker, "aside.txt", args->aside, sizeof args->aside);
    if (err == NM_OK && nm_file_exists(args->aside)) {
        args->argv[at++] = "--aside";
        args->argv[at++] = args->aside;
    }
    if (out != NULL) {
        args->argv[at++] = "--out";
        args->argv[at++] = out;
    }
    struct nm_spawn spawn = {.argv = args->argv, .in_fd = -1, .out_fd = 1, .err_fd = -1, .inherit_fd = -1};
    pid_t pid = 0;
    if (err == NM_OK)
        err = nm_process_start(&spawn, &pid, diag);
    if (err == NM_OK)
        *code = nm_process_wait(pid);
    free(args);
    return err;
}

int nm_command_export(int argc, char **argv)
{
    const char *state = NULL, *format = "conll", *out = NULL;
    const struct nm_opt opts[] = {
        {0, "state", NM_OPT_TEXT, &state, "DIR", "the run's state directory (default: PROJECT's run/)"},
        {'f', "format", NM_OPT_TEXT, &format, "conll|jsonl",
         "token and tag a line (default), or one JSON object a line"},
        {'o', "out", NM_OPT_TEXT, &out, "FILE", "write there (default: standard output)"},
    };
    const struct nm_command command = {
        .name = "export",
        .usage = "PROJECT [--state DIR] [--format conll|jsonl] [--out FILE]",
        .summary = "The data set that PROJECT's run has made so far, each accepted sample once.",
        .min_args = 1,
        .max_args = 1,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    struct nm_diag diag = {""};
    struct nm_place place;
    enum nm_err err = nm_place_init(&place, argv[1], state, &diag);
    if (err == NM_OK)
        err = nm_dataset_export(&place, format, out, &code, &diag);
    return err == NM_OK ? code : nm_complain("export", err, &diag);
}
