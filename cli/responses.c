/* responses.c - nermill responses: the answers of a run as a file that another run can replay. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/place.h"
#include "cli/process.h"
#include "common/file.h"

int nm_command_responses(int argc, char **argv)
{
    const char *state = NULL, *out = NULL;
    const struct nm_opt opts[] = {
        {0, "state", NM_OPT_TEXT, &state, "DIR", "the run's state directory (default: PROJECT's run/)"},
        {'o', "out", NM_OPT_TEXT, &out, "FILE", "write there, gzip'd if it ends in .gz (default: standard output)"},
    };
    const struct nm_command command = {
        .name = "responses",
        .usage = "export PROJECT [--state DIR] [--out FILE.jsonl[.gz]]",
        .summary =
            "Every answer of a run as JSON lines, beside the running broker too: what generation: replay in a\n"
            "project.yaml names, here or on another machine, to make the same data set without an LLM.",
        .text = "No prompt, url or key is in the file: requests are known by their hashes.\n",
        .min_args = 2,
        .max_args = 2,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    struct nm_place place;
    struct nm_diag diag = {""};
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    if (strcmp(argv[1], "export") != 0) {
        (void)fprintf(stderr, "nermill responses: \"%.50s\" is not export; see nermill responses --help\n", argv[1]);
        return NM_EXIT_USAGE;
    }
    enum nm_err err = nm_place_init(&place, argv[2], state, &diag);
    if (err == NM_OK && !nm_file_exists(place.broker))
        err =
            nm_fail(&diag, NM_ENOENT, "there is no run in %s; start one with: nermill run %s", place.state, argv[2]);
    if (err != NM_OK)
        return nm_complain(command.name, err, &diag);
    char *tool[] = {
        argv[0], argv[0], place.project_file, "--state", place.broker, out ? "--out" : NULL, out ? (char *)out : NULL,
        NULL};
    return nm_program_become("nermill-broker", tool);
}
