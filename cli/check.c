/* check.c - nermill check and nermill backup: the broker's tools, on the ledger of a project's run. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/place.h"
#include "cli/process.h"
#include "common/file.h"

/* The run's broker directory.  It must be there: a project that was never run has no ledger. */
static enum nm_err find_ledger(const char *project, const char *state, struct nm_place *place, struct nm_diag *diag)
{
    enum nm_err err = nm_place_init(place, project, state, diag);
    if (err == NM_OK && !nm_file_exists(place->broker))
        err =
            nm_fail(diag, NM_ENOENT, "there is no run in %s; start one with: nermill run %s", place->state, project);
    return err;
}

static int run_tool(const struct nm_command *command, int argc, char **argv, const char *const *state)
{
    struct nm_place place;
    struct nm_diag diag = {""};
    size_t n = 0, paths = command->max_args - 1; /* behind PROJECT */
    int code = nm_opts_parse(command, argc, argv, &n);
    if (code >= 0)
        return code;
    bool has_project = n > paths;
    enum nm_err err = find_ledger(has_project ? argv[1] : ".", *state, &place, &diag);
    if (err != NM_OK)
        return nm_complain(command->name, err, &diag);
    char *tool[] = {argv[0], argv[0], place.broker, paths ? argv[n] : NULL, NULL};
    return nm_program_become("nermill-broker", tool);
}

int nm_command_check(int argc, char **argv)
{
    const char *state = NULL;
    const struct nm_opt opts[] = {
        {0, "state", NM_OPT_TEXT, &state, "DIR", "the run's state directory (default: PROJECT's run/)"},
    };
    const struct nm_command command = {
        .name = "check",
        .usage = "[PROJECT] [--state DIR]",
        .summary = "Every invariant of a run's ledger held against its databases, beside the running broker too.",
        .text = "Prints a summary, or one line for each invariant that is broken (exit code 5).",
        .max_args = 1,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    return run_tool(&command, argc, argv, &state);
}

int nm_command_backup(int argc, char **argv)
{
    const char *state = NULL;
    const struct nm_opt opts[] = {
        {0, "state", NM_OPT_TEXT, &state, "DIR", "the run's state directory (default: PROJECT's run/)"},
    };
    const struct nm_command command = {
        .name = "backup",
        .usage = "[PROJECT] [--state DIR] DEST",
        .summary = "A copy of a run's ledger as of one moment, beside the running broker too.",
        .text = "DEST/ledger is there whole, or not at all.  nermill-broker PROJECT --state DEST goes on from it.",
        .min_args = 1,
        .max_args = 2,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    return run_tool(&command, argc, argv, &state);
}
