/* nermill-generator - options, exit code. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "workers/generator/batch_command.h"
#include "workers/generator/generator.h"

static const char usage[] =
    "usage: nermill-generator --broker ENDPOINT --state DIR [options]\n"
    "       nermill-generator preview PROJECT [-n N] [-v] [options]\n"
    "       nermill-generator probe PROJECT [--any] [--give-up SECONDS]\n"
    "       nermill-generator batch export|import|cancel ... (see nermill-generator batch --help)\n"
    "\n"
    "Takes tasks from a broker, makes one LLM call each, validates the answers and hands them in.\n"
    "\n"
    "  --broker ENDPOINT     of the broker: tcp://HOST:PORT\n"
    "  --state DIR           keeps the worker's id and the answers not yet acknowledged; one process a directory\n"
    "  --project-dir DIR     where a relative api_key_file or ca_file is looked for (default: the working "
    "directory)\n"
    "  --concurrency N       calls in flight at most (default: what the project's endpoints allow)\n"
    "  --give-up SECONDS     leave when no endpoint has given a good answer for so long (default 300; 0: never)\n"
    "  --drain SECONDS       on SIGTERM or Ctrl-C wait so long for calls in flight (default 60); a second signal\n"
    "                        ends it at once\n"
    "  --join SECONDS        wait so long for the broker at the start (default 30)\n"
    "  --exit-when-done      leave when the goal is reached\n"
    "  --log-level LEVEL     debug, info, warn or error (default: NERMILL_LOG, else info)\n"
    "  --help, --version\n"
    "\n"
    "preview makes samples now with the project's endpoint and stores nothing:\n"
    "\n"
    "  -n, --samples N       how many (default 5)\n"
    "  -v, --verbose         the prompts and the rejected attempts too\n"
    "  --seed N              of the samples (default: the time)\n"
    "  --no-colour           plain text, also where stdout is a terminal\n"
    "  --give-up SECONDS     as above (default 60)\n"
    "\n"
    "probe asks every endpoint of the project whether it would serve, without making a sample; one that is loading "
    "its\n"
    "model is waited for (--give-up, default 60).  With --any, one that serves is enough.\n"
    "\n"
    "API keys come from the environment variable or the file that the project names (api_key_env, api_key_file).\n"
    "Exit codes: 0 done, 2 command line, 3 project or template, 4 broker or endpoint, 5 storage, 130 stopped.\n";

enum option_id {
    OPT_BROKER = 256,
    OPT_STATE,
    OPT_CONCURRENCY,
    OPT_GIVE_UP,
    OPT_DRAIN,
    OPT_JOIN,
    OPT_PROJECT_DIR,
    OPT_ANY,
    OPT_EXIT_WHEN_DONE,
    OPT_LOG_LEVEL,
    OPT_SEED,
    OPT_NO_COLOUR,
    OPT_VERSION
};

struct command {
    bool preview, probe; /* else: run */
    bool any;            /* of probe */
    struct nm_generator_options run;
    struct nm_preview_options show;
};

static bool number(const char *text, unsigned long long max, unsigned long long *out)
{
    char *end;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out <= max;
}

/* Options of both commands; false: a value that is none. */
static bool set(struct command *c, int id, const char *value)
{
    unsigned long long n = 0;
    const unsigned long long most = id == OPT_SEED ? (unsigned long long)INT64_MAX : 1000000;
    if ((id == OPT_CONCURRENCY || id == OPT_GIVE_UP || id == OPT_DRAIN || id == OPT_JOIN || id == OPT_SEED ||
         id == 'n') &&
        !number(value, most, &n))
        return false;
    switch (id) {
    case OPT_BROKER:
        c->run.broker = value;
        return true;
    case OPT_STATE:
        c->run.state_dir = value;
        return true;
    case OPT_ANY:
        c->any = true;
        return true;
    case OPT_PROJECT_DIR:
        c->run.project_dir = value;
        return true;
    case OPT_CONCURRENCY:
        c->run.concurrency = n;
        return n > 0;
    case OPT_GIVE_UP:
        c->run.give_up_ms = c->show.give_up_ms = (int64_t)n * 1000;
        return true;
    case OPT_DRAIN:
        c->run.drain_ms = (int64_t)n * 1000;
        return true;
    case OPT_JOIN:
        c->run.join_ms = (int64_t)n * 1000;
        return true;
    case OPT_EXIT_WHEN_DONE:
        c->run.exit_when_done = true;
        return true;
    case OPT_LOG_LEVEL:
        return nm_log_set_level(value);
    case 'n':
        c->show.samples = n;
        return n > 0;
    case 'v':
        c->show.verbose = true;
        return true;
    case OPT_SEED:
        c->show.seed = n;
        return true;
    case OPT_NO_COLOUR:
        c->show.colour = false;
        return true;
    default:
        return false;
    }
}

/* -1: run; otherwise the exit code. */
static int parse(int argc, char **argv, struct command *c)
{
    static const struct option run_options[] = {{"broker", required_argument, NULL, OPT_BROKER},
                                                {"state", required_argument, NULL, OPT_STATE},
                                                {"project-dir", required_argument, NULL, OPT_PROJECT_DIR},
                                                {"concurrency", required_argument, NULL, OPT_CONCURRENCY},
                                                {"give-up", required_argument, NULL, OPT_GIVE_UP},
                                                {"drain", required_argument, NULL, OPT_DRAIN},
                                                {"join", required_argument, NULL, OPT_JOIN},
                                                {"exit-when-done", no_argument, NULL, OPT_EXIT_WHEN_DONE},
                                                {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
                                                {"help", no_argument, NULL, 'h'},
                                                {"version", no_argument, NULL, OPT_VERSION},
                                                {NULL, 0, NULL, 0}};
    static const struct option show_options[] = {{"samples", required_argument, NULL, 'n'},
                                                 {"verbose", no_argument, NULL, 'v'},
                                                 {"seed", required_argument, NULL, OPT_SEED},
                                                 {"no-colour", no_argument, NULL, OPT_NO_COLOUR},
                                                 {"give-up", required_argument, NULL, OPT_GIVE_UP},
                                                 {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {"version", no_argument, NULL, OPT_VERSION},
                                                 {NULL, 0, NULL, 0}};
    static const struct option probe_options[] = {{"any", no_argument, NULL, OPT_ANY},
                                                  {"give-up", required_argument, NULL, OPT_GIVE_UP},
                                                  {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
                                                  {"help", no_argument, NULL, 'h'},
                                                  {"version", no_argument, NULL, OPT_VERSION},
                                                  {NULL, 0, NULL, 0}};
    bool on_project = c->preview || c->probe;
    int id;
    while ((id = getopt_long(argc, argv, c->preview ? "n:vh" : "h",
                             c->preview ? show_options
                             : c->probe ? probe_options
                                        : run_options,
                             NULL)) != -1) {
        if (id == 'h') {
            (void)fputs(usage, stdout);
            return NM_EXIT_OK;
        }
        if (id == OPT_VERSION) {
            (void)puts("nermill-generator " NM_VERSION);
            return NM_EXIT_OK;
        }
        if (id == '?') /* getopt has said what */
            return NM_EXIT_USAGE;
        if (!set(c, id, optarg)) {
            (void)fprintf(stderr, "nermill-generator: \"%s\" is no value for %s; see --help\n", optarg,
                          argv[optind - 1] == optarg ? argv[optind - 2] : argv[optind - 1]);
            return NM_EXIT_USAGE;
        }
    }
    if (on_project && optind < argc)
        c->show.project = argv[optind++];
    if (optind < argc) {
        (void)fprintf(stderr, "nermill-generator: \"%s\" is one argument too many; see --help\n", argv[optind]);
        return NM_EXIT_USAGE;
    }
    if (on_project ? c->show.project == NULL : c->run.broker == NULL || c->run.state_dir == NULL) {
        (void)fprintf(stderr, "nermill-generator: %s; see --help\n",
                      on_project ? "name the PROJECT" : "--broker and --state are needed");
        return NM_EXIT_USAGE;
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct command c = {.preview = argc > 1 && strcmp(argv[1], "preview") == 0,
                        .probe = argc > 1 && strcmp(argv[1], "probe") == 0,
                        .run = {.give_up_ms = 300000, .drain_ms = 60000, .join_ms = 30000},
                        .show = {.samples = 5, .give_up_ms = 60000}};
    struct nm_diag diag = {""};
    nm_log_init("generator");
    if (argc > 1 && strcmp(argv[1], "batch") == 0)
        return nm_batch_command(argc - 1, argv + 1);
    c.show.colour = isatty(STDOUT_FILENO) != 0;
    int words = c.preview || c.probe;
    int code = parse(argc - words, argv + words, &c);
    if (code >= 0)
        return code;
    enum nm_err err = c.preview ? nm_preview_run(&c.show, &diag)
                      : c.probe ? nm_probe_run(c.show.project, c.any, c.show.give_up_ms, &diag)
                                : nm_generator_run(&c.run, &diag);
    if (err == NM_ECANCELED)
        nm_info("%s", diag.text);
    else if (err != NM_OK)
        (void)fprintf(stderr, "nermill-generator: %s\n", diag.text);
    return (int)nm_exit_code(err);
}
