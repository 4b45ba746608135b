/* evaluate.c - nermill evaluate: a model's F1 is the trainer's business; the dictionary's and a file's are put
 * together here. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/process.h"
#include "cli/score.h"

static bool has_option(int argc, char **argv, const char *name)
{
    size_t len = strlen(name);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, len) == 0 && (argv[i][len] == '\0' || argv[i][len] == '='))
            return true;
    return false;
}

/* "nermill evaluate ..." becomes "nermill-trainer evaluate ...". */
static int become_trainer(int argc, char **argv)
{
    char **args = calloc((size_t)argc + 2, sizeof *args);
    if (args == NULL) {
        fputs("nermill evaluate: out of memory\n", stderr);
        return NM_EXIT_FAILURE;
    }
    memcpy(args + 1, argv, (size_t)argc * sizeof *args);
    int code = nm_program_become("nermill-trainer", args);
    free(args);
    return code;
}

int nm_command_evaluate(int argc, char **argv)
{
    const char *project = NULL, *tagged = NULL, *gold = NULL, *model = NULL;
    bool json = false;
    const struct nm_opt opts[] = {
        {0, "dictionary", NM_OPT_TEXT, &project, "PROJECT", "score plain matching of PROJECT's entity lists"},
        {0, "tagged", NM_OPT_TEXT, &tagged, "FILE", "score FILE, gold's words with predicted tags (CoNLL)"},
        {0, "model", NM_OPT_TEXT, &model, "DIR", "score this model; further options are nermill-trainer evaluate's"},
        {0, "gold", NM_OPT_TEXT, &gold, "FILE", "labelled sentences: token and BIO tag a line (CoNLL)"},
        {0, "json", NM_OPT_FLAG, &json, NULL, "one JSON object"},
    };
    const struct nm_command command = {
        .name = "evaluate",
        .usage = "--model DIR | --dictionary PROJECT | --tagged FILE  --gold FILE [--json]",
        .summary = "Strict entity-level precision, recall and F1 (as seqeval counts), of a model, of a\n"
                   "tagged file, or of plain dictionary matching, which is what a model has to beat.",
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    if (has_option(argc, argv, "--model"))
        return become_trainer(argc, argv);
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    if ((project == NULL) == (tagged == NULL) || gold == NULL) {
        fprintf(stderr, "nermill evaluate: %s is needed\nusage: nermill evaluate %s\n",
                gold == NULL ? "--gold FILE" : "one of --model DIR, --dictionary PROJECT and --tagged FILE",
                command.usage);
        return NM_EXIT_USAGE;
    }
    struct nm_diag diag = {""};
    struct nm_buf text;
    struct nm_score score;
    nm_buf_init(&text, 1 << 20);
    enum nm_err err = tagged != NULL ? nm_score_tagged(tagged, gold, &text, &score, &code, &diag)
                                     : nm_score_dictionary(project, gold, &text, &score, &code, &diag);
    if (err != NM_OK)
        code = nm_complain("evaluate", err, &diag);
    else if (code == 0 && json)
        printf("%s", nm_buf_str(&text));
    else if (code == 0)
        printf("%s: precision %.3f, recall %.3f, F1 %.3f\n", tagged != NULL ? tagged : "dictionary matching",
               score.precision, score.recall, score.f1);
    nm_buf_clean_up(&text);
    return code;
}
