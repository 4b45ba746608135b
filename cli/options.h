/* options.h - one table a command gives both its parsing and its --help.
 *
 * GNU style: options and positionals may be mixed, "--" ends the options, "--name=value" and "--name value" are the
 * same, a letter's value may stand right behind it ("-n5").
 */
#ifndef NM_CLI_OPTIONS_H
#define NM_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum nm_opt_kind {
    NM_OPT_FLAG,  /* value: bool, set to true */
    NM_OPT_TEXT,  /* value: const char *, borrowed from argv */
    NM_OPT_COUNT, /* value: uint64_t, a whole number */
    NM_OPT_TEXTS, /* value: struct nm_texts, one more each time the option is given */
};

enum { NM_TEXTS_MAX = 64 };
struct nm_texts {
    const char *v[NM_TEXTS_MAX]; /* borrowed from argv */
    size_t n;
};

struct nm_opt {
    char letter; /* 0: none */
    const char *name;
    enum nm_opt_kind kind;
    void *value;
    const char *arg; /* "DIR"; NULL for a flag */
    const char *help;
};

struct nm_command {
    const char *name;    /* "run" */
    const char *usage;   /* "PROJECT [options]" */
    const char *summary; /* one line, as in the list of commands */
    const char *text;    /* paragraphs below the options; NULL: none */
    size_t min_args, max_args;
    const struct nm_opt *opts;
    size_t n_opts;
};

/* nm_opts_parse - read argv[1..argc) by the table; positionals are moved to argv[1..*n_args].
 * Returns -1 to go on, otherwise the exit code: 0 after --help, NM_EXIT_USAGE after a line on stderr that says what
 * is wrong and, for an unknown option, names the nearest one. */
int nm_opts_parse(const struct nm_command *command, int argc, char **argv, size_t *n_args);

/* nm_opts_share - a number from 0 to 1 that fills text. */
bool nm_opts_share(const char *text, double *share);

/* nm_opts_help - the command's help on stdout. */
void nm_opts_help(const struct nm_command *command);

/* nm_exit_codes_text - what the exit codes mean, for every --help. */
extern const char nm_exit_codes_text[];

#endif
