/* main.c - nermill-aligner: options, and which of its two jobs is meant. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/aligner/aligner.h"
#include "workers/dataset/export.h"

enum { STATES_MAX = 4096, WAIT_S = 30 };

static const char help[] =
    "Usage: nermill-aligner --broker ENDPOINT --state DIR [--bind ENDPOINT] [--adopt ID]\n"
    "       nermill-aligner export --state DIR [--state DIR2 ...] --format FORMAT [--out FILE]\n"
    "\n"
    "Turns accepted texts into BIO samples: tokenises, finds every listed entity, keeps the samples on its own disk\n"
    "and hands them to trainers.  Stop it with SIGTERM; started again on the same DIR it goes on.\n"
    "\n"
    "  --broker ENDPOINT    the broker, like tcp://127.0.0.1:7711\n"
    "  --state DIR          this aligner's directory: its id and its samples; made if absent\n"
    "  --bind ENDPOINT      where trainers fetch samples, like tcp://*:7720 (default: any free port of the address\n"
    "                       that leads to the broker)\n"
    "  --advertise ENDPOINT where trainers are told to fetch them, if that differs (a mapped port, a proxy)\n"
    "  --adopt ID           take the place of an aligner that is gone for good (nermill workers lists them): its "
    "samples\n"
    "                       are made again from the broker's response log, byte for byte, in a new --state DIR\n"
    "  --wait SECONDS       for a broker that does not answer yet (default 30)\n"
    "  --log-level LEVEL    debug, info, warn or error (default info)\n"
    "\n"
    "export writes the acknowledged samples of all DIRs, merged by task, each once; it may run beside live "
    "aligners.\n"
    "  --format FORMAT      conll, conll2003, jsonl, spacy, labelstudio, doccano or brat (a directory)\n"
    "  --aside FILE         leave the samples of these ranges of tasks out: the broker's aside.txt\n"
    "  --out FILE           replaced when all is written (default: standard output)\n"
    "\n"
    "  --help, --version\n"
    "\n"
    "Exit codes: 0 done; 1 failed; 2 command line; 3 input that can't be used; 4 no broker; 5 disk full, store in "
    "use,\n"
    "port in use or a newer store; 130 stopped by SIGTERM or Ctrl-C, run again to go on.\n";

struct arguments {
    const char *command; /* "", "export" */
    const char *states[STATES_MAX];
    size_t n_states;
    const char *broker, *bind, *advertise, *adopt, *format, *out, *aside;
    int wait_s;
};

static int usage(const char *what)
{
    (void)fprintf(stderr, "nermill-aligner: %s; see nermill-aligner --help\n", what);
    return NM_EXIT_USAGE;
}

enum {
    OPT_BROKER = 256,
    OPT_STATE,
    OPT_BIND,
    OPT_ADVERTISE,
    OPT_ADOPT,
    OPT_WAIT,
    OPT_LOG,
    OPT_FORMAT,
    OPT_OUT,
    OPT_ASIDE,
    OPT_VERSION
};

static const struct option options[] = {{"broker", required_argument, NULL, OPT_BROKER},
                                        {"state", required_argument, NULL, OPT_STATE},
                                        {"bind", required_argument, NULL, OPT_BIND},
                                        {"advertise", required_argument, NULL, OPT_ADVERTISE},
                                        {"adopt", required_argument, NULL, OPT_ADOPT},
                                        {"wait", required_argument, NULL, OPT_WAIT},
                                        {"log-level", required_argument, NULL, OPT_LOG},
                                        {"format", required_argument, NULL, OPT_FORMAT},
                                        {"out", required_argument, NULL, OPT_OUT},
                                        {"aside", required_argument, NULL, OPT_ASIDE},
                                        {"help", no_argument, NULL, 'h'},
                                        {"version", no_argument, NULL, OPT_VERSION},
                                        {NULL, 0, NULL, 0}};

static bool seconds(const char *s, int *value)
{
    char *end;
    long n = strtol(s, &end, 10);
    *value = (int)n;
    return *s != '\0' && *end == '\0' && n >= 0 && n <= 86400;
}

/* One option into args.  -1: go on, else the exit code. */
static int take_option(struct arguments *args, int option)
{
    switch (option) {
    case OPT_BROKER:
        args->broker = optarg;
        return -1;
    case OPT_STATE:
        if (args->n_states == STATES_MAX)
            return usage("too many --state");
        args->states[args->n_states++] = optarg;
        return -1;
    case OPT_BIND:
        args->bind = optarg;
        return -1;
    case OPT_ADVERTISE:
        args->advertise = optarg;
        return -1;
    case OPT_ADOPT:
        args->adopt = optarg;
        return -1;
    case OPT_WAIT:
        return seconds(optarg, &args->wait_s) ? -1 : usage("--wait takes a number of seconds");
    case OPT_LOG:
        return nm_log_set_level(optarg) ? -1 : usage("--log-level takes debug, info, warn or error");
    case OPT_FORMAT:
        args->format = optarg;
        return -1;
    case OPT_ASIDE:
        args->aside = optarg;
        return -1;
    case OPT_OUT:
        args->out = optarg;
        return -1;
    case 'h':
        (void)fputs(help, stdout);
        return NM_EXIT_OK;
    case OPT_VERSION:
        (void)puts("nermill-aligner " NM_VERSION);
        return NM_EXIT_OK;
    default: /* getopt has said what is wrong */
        return usage("wrong command line");
    }
}

static int parse(int argc, char **argv, struct arguments *args)
{
    *args = (struct arguments){.command = "", .wait_s = WAIT_S};
    if (argc > 1 && argv[1][0] != '-') {
        args->command = argv[1];
        optind = 2;
    }
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        int code = take_option(args, option);
        if (code >= 0)
            return code;
    }
    return optind == argc ? -1 : usage("there is a word too many on the command line");
}

static int finish(enum nm_err err, const struct nm_diag *diag)
{
    if (err == NM_ECANCELED)
        nm_info("%s", diag->text);
    else if (err != NM_OK)
        nm_error("%s", diag->text);
    return (int)nm_exit_code(err);
}

static int run(const struct arguments *args)
{
    struct nm_diag diag = {""};
    if (args->broker == NULL || args->n_states != 1)
        return usage("give --broker ENDPOINT and one --state DIR");
    struct nm_aligner_options aligner = {.broker = args->broker,
                                         .state_dir = args->states[0],
                                         .bind = args->bind,
                                         .advertise = args->advertise,
                                         .adopt = args->adopt,
                                         .wait_s = args->wait_s};
    return finish(nm_aligner_run(&aligner, &diag), &diag);
}

static int export(const struct arguments *args)
{
    struct nm_diag diag = {""};
    uint64_t written;
    const struct nm_format *format = args->format != NULL ? nm_format_find(args->format) : NULL;
    if (format == NULL)
        return usage("give --format FORMAT, one of those that --help names");
    if (args->n_states == 0)
        return usage("give at least one --state DIR");
    struct nm_source source = {.states = args->states, .n_states = args->n_states, .aside = args->aside};
    enum nm_err err = nm_export_run(&source, format, args->out, &written, &diag);
    if (err == NM_OK)
        nm_info("%" PRIu64 " samples written to %s", written, args->out != NULL ? args->out : "standard output");
    return finish(err, &diag);
}

int main(int argc, char **argv)
{
    struct arguments args;
    nm_log_init("aligner");
    int code = parse(argc, argv, &args);
    if (code >= 0)
        return code;
    if (*args.command == '\0')
        return run(&args);
    if (strcmp(args.command, "export") == 0)
        return export(&args);
    return usage("there is no such command");
}
