#include "cli/options.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "common/err.h"
#include "common/nearest.h"

const char nm_exit_codes_text[] = "Exit codes:\n"
                                  "  0    done\n"
                                  "  1    something failed that is none of the below\n"
                                  "  2    the command line\n"
                                  "  3    a project, list, corpus or model that can't be used\n"
                                  "  4    a broker or LLM endpoint that can't be reached or refuses\n"
                                  "  5    storage: disk full, no permission, in use, or of another version\n"
                                  "  130  stopped by Ctrl-C or SIGTERM; run the same command again to go on\n";

enum { WORD_MAX = 64, COLUMN = 24 };

void nm_opts_help(const struct nm_command *command)
{
    printf("usage: nermill %s %s\n\n%s\n", command->name, command->usage, command->summary);
    printf("\nOptions:\n");
    for (size_t i = 0; i <= command->n_opts; i++) {
        static const struct nm_opt help = {'h', "help", NM_OPT_FLAG, NULL, NULL, "this text"};
        const struct nm_opt *opt = i < command->n_opts ? &command->opts[i] : &help;
        char left[80];
        char letter[8] = "    ";
        if (opt->letter != 0)
            (void)snprintf(letter, sizeof letter, "-%c, ", opt->letter);
        (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, opt->name, opt->arg != NULL ? " " : "",
                       opt->arg != NULL ? opt->arg : "");
        printf("  %-*s  %s\n", COLUMN, left, opt->help);
    }
    if (command->text != NULL)
        printf("\n%s", command->text);
    printf("\n%s", nm_exit_codes_text);
}

int nm_complain(const char *command, enum nm_err err, const struct nm_diag *diag)
{
    fprintf(stderr, "nermill %s: %s\n", command, diag->text[0] != '\0' ? diag->text : nm_err_name(err));
    return (int)nm_exit_code(err);
}

int nm_complain_usage(const char *command, const char *what)
{
    fprintf(stderr, "nermill %s: %s; see nermill %s --help\n", command, what, command);
    return NM_EXIT_USAGE;
}

static int usage_error(const struct nm_command *command)
{
    fprintf(stderr, "usage: nermill %s %s\n", command->name, command->usage);
    return NM_EXIT_USAGE;
}

static int unknown_option(const struct nm_command *command, const char *arg)
{
    const char *names[32];
    size_t n = 0;
    for (; n < command->n_opts && n < sizeof names / sizeof *names; n++)
        names[n] = command->opts[n].name;
    char name[WORD_MAX];
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(arg, "="), arg);
    const char *near = strncmp(name, "--", 2) == 0 ? nm_nearest(name + 2, names, n) : NULL;
    fprintf(stderr, "nermill %s: there is no option %s", command->name, name);
    if (near != NULL)
        fprintf(stderr, "; did you mean --%s?", near);
    fputc('\n', stderr);
    return usage_error(command);
}

static int set_value(const struct nm_command *command, const struct nm_opt *opt, const char *value)
{
    if (opt->kind == NM_OPT_TEXT) {
        *(const char **)opt->value = value;
        return -1;
    }
    if (opt->kind == NM_OPT_TEXTS) {
        struct nm_texts *texts = opt->value;
        if (texts->n == NM_TEXTS_MAX) {
            fprintf(stderr, "nermill %s: --%s is given more than %d times\n", command->name, opt->name, NM_TEXTS_MAX);
            return usage_error(command);
        }
        texts->v[texts->n++] = value;
        return -1;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || strchr(value, '-') != NULL) {
        fprintf(stderr, "nermill %s: --%s takes a whole number, not '%s'\n", command->name, opt->name, value);
        return usage_error(command);
    }
    *(uint64_t *)opt->value = number;
    return -1;
}

bool nm_opts_share(const char *text, double *share)
{
    char *end;
    *share = strtod(text, &end);
    return end != text && *end == '\0' && *share >= 0 && *share <= 1;
}

/* The option that argument arg names; *inlined: the value in the same argument, or NULL. */
static const struct nm_opt *find_option(const struct nm_command *command, const char *arg, const char **inlined)
{
    *inlined = NULL;
    for (size_t i = 0; i < command->n_opts; i++) {
        const struct nm_opt *opt = &command->opts[i];
        if (arg[1] == '-') {
            size_t len = strlen(opt->name);
            if (strncmp(arg + 2, opt->name, len) != 0 || (arg[2 + len] != '\0' && arg[2 + len] != '='))
                continue;
            if (arg[2 + len] == '=')
                *inlined = arg + 2 + len + 1;
            return opt;
        }
        if (opt->letter != 0 && arg[1] == opt->letter) {
            if (arg[2] != '\0')
                *inlined = arg + 2;
            return opt;
        }
    }
    return NULL;
}

int nm_opts_parse(const struct nm_command *command, int argc, char **argv, size_t *n_args)
{
    size_t args = 0;
    bool only_args = false;
    for (int i = 1; i < argc; i++) {
        char *arg = argv[i];
        if (only_args || arg[0] != '-' || arg[1] == '\0') {
            argv[++args] = arg;
            continue;
        }
        if (strcmp(arg, "--") == 0) {
            only_args = true;
            continue;
        }
        if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
            nm_opts_help(command);
            return NM_EXIT_OK;
        }
        const char *value = NULL;
        const struct nm_opt *opt = find_option(command, arg, &value);
        if (opt == NULL)
            return unknown_option(command, arg);
        if (opt->kind == NM_OPT_FLAG && value != NULL) {
            fprintf(stderr, "nermill %s: --%s takes no value\n", command->name, opt->name);
            return usage_error(command);
        }
        if (opt->kind == NM_OPT_FLAG) {
            *(bool *)opt->value = true;
            continue;
        }
        if (value == NULL && i + 1 == argc) {
            fprintf(stderr, "nermill %s: %s needs a value (%s)\n", command->name, arg, opt->arg);
            return usage_error(command);
        }
        int code = set_value(command, opt, value != NULL ? value : argv[++i]);
        if (code >= 0)
            return code;
    }
    *n_args = args;
    if (args < command->min_args || args > command->max_args) {
        fprintf(stderr, "nermill %s: %s\n", command->name,
                args < command->min_args ? "an argument is missing" : "too many arguments");
        return usage_error(command);
    }
    return -1;
}
