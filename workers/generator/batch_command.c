#include "workers/generator/batch_command.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/generator/batch.h"

static const char usage[] =
    "usage: nermill-generator batch export --broker ENDPOINT --state DIR --out FILE [-n N] [--endpoint NAME]\n"
    "       nermill-generator batch import --broker ENDPOINT --state DIR RESULTS\n"
    "       nermill-generator batch cancel --broker ENDPOINT --state DIR\n"
    "\n"
    "Requests for an OpenAI-style batch API, and their results; \"nermill batch\" finds broker and state by the "
    "project.\n"
    "\n"
    "  --broker ENDPOINT     of the broker: tcp://HOST:PORT\n"
    "  --state DIR           keeps what is out; one process a directory, and the same one for export and import\n"
    "  --out FILE            the requests, one a line; it must not be there yet\n"
    "  -n, --requests N      at most so many more (default 1000; 65536 may be out in all)\n"
    "  --endpoint NAME       whose model and limits the requests have (default: the project's first)\n"
    "  --join SECONDS        wait so long for the broker (default 30)\n"
    "  --help\n";

enum { OPT_BROKER = 256, OPT_STATE, OPT_OUT, OPT_ENDPOINT, OPT_JOIN, MOST = 65536, JOIN_MOST = 1000000 };

struct verb {
    const char *name;
    enum nm_err (*run)(const struct nm_batch_options *options, struct nm_diag *diag);
    bool out, results; /* what it needs */
};

static const struct verb verbs[] = {{"export", nm_batch_export, true, false},
                                    {"import", nm_batch_import, false, true},
                                    {"cancel", nm_batch_cancel, false, false}};

static bool number(const char *text, unsigned long most, unsigned long *out)
{
    char *end;
    *out = strtoul(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out > 0 && *out <= most;
}

static int complain(const char *what)
{
    (void)fprintf(stderr, "nermill-generator: batch: %s; see nermill-generator batch --help\n", what);
    return NM_EXIT_USAGE;
}

/* false: a value that is none. */
static bool set(struct nm_batch_options *o, int id, const char *value)
{
    unsigned long n = 0;
    switch (id) {
    case OPT_BROKER:
        o->broker = value;
        return true;
    case OPT_STATE:
        o->state_dir = value;
        return true;
    case OPT_OUT:
        o->file = value;
        return true;
    case OPT_ENDPOINT:
        o->endpoint = value;
        return true;
    case 'n':
        if (!number(value, MOST, &n))
            return false;
        o->n = n;
        return true;
    default:
        if (!number(value, JOIN_MOST, &n))
            return false;
        o->join_ms = (int64_t)n * 1000;
        return true;
    }
}

/* -1: all is there; otherwise the exit code. */
static int parse(const struct verb *verb, int argc, char **argv, struct nm_batch_options *o)
{
    static const struct option options[] = {{"broker", required_argument, NULL, OPT_BROKER},
                                            {"state", required_argument, NULL, OPT_STATE},
                                            {"out", required_argument, NULL, OPT_OUT},
                                            {"requests", required_argument, NULL, 'n'},
                                            {"endpoint", required_argument, NULL, OPT_ENDPOINT},
                                            {"join", required_argument, NULL, OPT_JOIN},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int id;
    while ((id = getopt_long(argc, argv, "n:h", options, NULL)) != -1) {
        if (id == 'h') {
            (void)fputs(usage, stdout);
            return NM_EXIT_OK;
        }
        if (id == '?') /* getopt has said what */
            return NM_EXIT_USAGE;
        if (!set(o, id, optarg))
            return complain(id == 'n' ? "-n takes a number from 1 to 65536" : "--join takes a number of seconds");
    }
    if (verb->results && optind < argc)
        o->file = argv[optind++];
    if (optind < argc)
        return complain("one argument too many");
    if (o->broker == NULL || o->state_dir == NULL)
        return complain("--broker and --state are needed");
    if (verb->out && o->file == NULL)
        return complain("--out is needed: the file for the requests");
    return verb->results && o->file == NULL ? complain("name the file of RESULTS") : -1;
}

int nm_batch_command(int argc, char **argv)
{
    struct nm_batch_options o = {.n = 1000, .join_ms = 30000};
    struct nm_diag diag = {""};
    const struct verb *verb = NULL;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs && argc > 1; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            verb = &verbs[i];
    if (verb == NULL && argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)fputs(usage, stdout);
        return NM_EXIT_OK;
    }
    if (verb == NULL)
        return complain("say export, import or cancel");
    if (getenv("NERMILL_LOG") == NULL) /* a person is at the terminal */
        (void)nm_log_set_level("warn");
    int code = parse(verb, argc - 1, argv + 1, &o);
    if (code >= 0)
        return code;
    enum nm_err err = verb->run(&o, &diag);
    if (err != NM_OK)
        (void)fprintf(stderr, "nermill-generator: batch %s: %s\n", verb->name, diag.text);
    return (int)nm_exit_code(err);
}
