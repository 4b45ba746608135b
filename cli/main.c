/* nermill - the person's command: what it has itself, and the way to the other programs, found as git finds its own.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/process.h"
#include "common/log.h"
#include "common/nearest.h"

/* A command is run here (own), or by a program: "nermill broker X" becomes "nermill-broker X", and "nermill
 * train X" becomes "nermill-trainer train X". */
struct entry {
    const char *name, *summary;
    int (*own)(int argc, char **argv);
    const char *program;
    bool keep_name;
};

static const struct entry entries[] = {
    {"init", "a new project from a template, ready to run", nm_command_init, NULL, false},
    {"validate", "check config, entity lists and endpoints; what the run would cost", nm_command_validate, NULL,
     false},
    {"preview", "a few samples made now, nothing stored", NULL, "nermill-generator", true},
    {"run", "the whole job on this machine; run again, it resumes", nm_command_run, NULL, false},
    {"status", "how far a run is", nm_command_status, NULL, false},
    {"pause", "give generators nothing new", nm_command_pause, NULL, false},
    {"resume", "go on after pause or drain", nm_command_resume, NULL, false},
    {"drain", "open no more tasks, finish what is open", nm_command_drain, NULL, false},
    {"limit", "set the goal of a live run", nm_command_limit, NULL, false},
    {"dead", "list dead letters", nm_command_dead, NULL, false},
    {"peek", "everything about one task", nm_command_peek, NULL, false},
    {"kick", "dead and delayed tasks are ready again", nm_command_kick, NULL, false},
    {"bury", "an open task becomes a dead letter", nm_command_bury, NULL, false},
    {"coverage", "what each entity has had", nm_command_coverage, NULL, false},
    {"workers", "who works for a run", nm_command_workers, NULL, false},
    {"batch", "requests for an offline batch API, and their results", nm_command_batch, NULL, false},
    {"check", "is a run's ledger whole", nm_command_check, NULL, false},
    {"backup", "a copy of a run's ledger, while it runs", nm_command_backup, NULL, false},
    {"export", "the data set as CoNLL, JSON lines, and in other tools' forms", nm_command_export, NULL, false},
    {"responses", "the answers of a run as a file that another run can replay", nm_command_responses, NULL, false},
    {"report", "how good a data set is, on one HTML page", nm_command_report, NULL, false},
    {"split", "a data set into train, dev and test", nm_command_split, NULL, false},
    {"denoise", "labels judged by taggers that have not seen them", nm_command_denoise, NULL, false},
    {"experiment", "a grid of taggers, made and compared", nm_command_experiment, NULL, false},
    {"import", "a labelled corpus as a data set", nm_command_import, NULL, false},
    {"entities", "entity lists from a labelled corpus", nm_command_entities, NULL, false},
    {"match", "text tagged by entity lists, alone or with a tagger", nm_command_match, NULL, false},
    {"augment", "more labelled sentences: mentions replaced by other names", nm_command_augment, NULL, false},
    {"train", "fine-tune an encoder on a data set", NULL, "nermill-trainer", true},
    {"evaluate", "strict entity F1 of a model, or of dictionary matching", nm_command_evaluate, NULL, false},
    {"compare", "is one tagger better than another, or was it luck?", NULL, "nermill-trainer", true},
    {"predict", "tag text with a model", NULL, "nermill-trainer", true},
    {"serve", "tag text over HTTP", NULL, "nermill-trainer", true},
    {"broker", "the broker's own program (nermill-broker)", NULL, "nermill-broker", false},
    {"generator", "a generator (nermill-generator)", NULL, "nermill-generator", false},
    {"aligner", "an aligner (nermill-aligner)", NULL, "nermill-aligner", false},
    {"trainer", "the trainer (nermill-trainer)", NULL, "nermill-trainer", false},
};
enum { N_ENTRIES = sizeof entries / sizeof *entries };

static void print_help(FILE *out)
{
    fputs("usage: nermill COMMAND [arguments]\n\n"
          "Lists of example entities in, a trained named-entity tagger out.\n\n"
          "Commands:\n",
          out);
    for (size_t i = 0; i < N_ENTRIES; i++)
        fprintf(out, "  %-10s %s\n", entries[i].name, entries[i].summary);
    fputs("\n'nermill COMMAND --help' says more.  A first run: nermill init DIR, nermill validate DIR, nermill run "
          "DIR.\n"
          "Options: --help, --version.  Environment: NERMILL_LOG=debug|info|warn|error.\n\n",
          out);
    fputs(nm_exit_codes_text, out);
}

/* Something that has no entry here: an installed nermill-NAME, or an error that names the nearest command. */
static int run_foreign(char **argv)
{
    const char *name = argv[1];
    char program[128], path[NM_PATH_MAX];
    if (name[0] != '-' && strchr(name, '/') == NULL &&
        (size_t)snprintf(program, sizeof program, "nermill-%s", name) < sizeof program &&
        nm_program_find(program, path, sizeof path, NULL) == NM_OK)
        return nm_program_become(program, argv + 1);
    const char *names[N_ENTRIES];
    for (size_t i = 0; i < N_ENTRIES; i++)
        names[i] = entries[i].name;
    const char *near = nm_nearest(name, names, N_ENTRIES);
    fprintf(stderr, "nermill: there is no command '%s'", name);
    if (near != NULL)
        fprintf(stderr, "; did you mean '%s'?", near);
    fputs("\n'nermill --help' lists the commands.\n", stderr);
    return NM_EXIT_USAGE;
}

/* "nermill help COMMAND" is "nermill COMMAND --help". */
static int run_entry(const struct entry *entry, int argc, char **argv)
{
    if (entry->own != NULL)
        return entry->own(argc - 1, argv + 1);
    /* argv[0] is free for the program's path where its name is the command's, argv[1] otherwise. */
    return nm_program_become(entry->program, entry->keep_name ? argv : argv + 1);
}

/* What was printed has to have arrived: a full disk behind "> file" is an error. */
static int close_stdout(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "nermill: standard output: %s\n", strerror(errno));
    return code != NM_EXIT_OK ? code : (int)nm_exit_code(nm_err_from_errno(errno));
}

int main(int argc, char **argv)
{
    nm_log_init("nermill");
    if (argc < 2) {
        print_help(stderr);
        return NM_EXIT_USAGE;
    }
    char *swapped[] = {argv[0], argc > 2 ? argv[2] : NULL, "--help", NULL};
    bool help = strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0;
    if (help && argc == 2) {
        print_help(stdout);
        return close_stdout(NM_EXIT_OK);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        puts("nermill " NM_VERSION);
        return close_stdout(NM_EXIT_OK);
    }
    if (help) {
        argv = swapped;
        argc = 3;
    }
    for (size_t i = 0; i < N_ENTRIES; i++)
        if (strcmp(entries[i].name, argv[1]) == 0)
            return close_stdout(run_entry(&entries[i], argc, argv));
    return run_foreign(argv);
}
