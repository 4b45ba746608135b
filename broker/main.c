/* nermill-broker: options, signals, exit code. */
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "broker/price.h"
#include "broker/responses.h"
#include "broker/tools.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/net.h"

static struct nm_broker_signals signals;

enum { DRAIN_S = 2, ECHO_MS = 300 };

/* Linux tells a child of its parent's death once for each thread of the parent: an echo is not a second signal. */
static void on_signal(int number)
{
    static volatile sig_atomic_t stopped_at;
    sig_atomic_t now = (sig_atomic_t)(nm_clock_mono_ms() & INT32_MAX);
    if (number == SIGHUP) {
        signals.reload = 1;
    } else if (signals.stop == 0 || (signals.stop == 1 && now - stopped_at >= ECHO_MS)) {
        signals.stop++;
        stopped_at = now;
    }
}

static const char usage[] = "usage: nermill-broker PROJECT --state DIR [options]\n"
                            "       nermill-broker check STATE_DIR\n"
                            "       nermill-broker backup STATE_DIR DEST\n"
                            "       nermill-broker responses PROJECT --state DIR [--out FILE]\n"
                            "\n"
                            "Leases the tasks of PROJECT (a project.yaml, or its directory) to generators and\n"
                            "aligners, and keeps every answer in DIR.  Started again, it goes on from there.\n"
                            "\n"
                            "  --state DIR        where the ledger is kept; DIR/endpoints.json tells where the\n"
                            "                     broker listens\n"
                            "  --bind ENDPOINT    for workers, like tcp://127.0.0.1:7711, or tcp://127.0.0.1:*\n"
                            "                     for any free port (default: as the project says)\n"
                            "  --stats ENDPOINT   for statistics, asked for\n"
                            "  --publish ENDPOINT for statistics, published each second\n"
                            "  --samples N        the goal, instead of the project's\n"
                            "  --new-generation keep|fresh  where prompt, model, lists or plan changed: the samples\n"
                            "                     there are stay valid, or are set aside\n"
                            "  --drain-s SECONDS  after SIGTERM wait so long for what workers are at (default 2); a\n"
                            "                     second signal ends it at once\n"
                            "  --log-level LEVEL  debug, info, warn or error\n"
                            "  --version, --help\n"
                            "\n"
                            "SIGHUP reads project.yaml again: goal, lease_s, heartbeat_s, log_level.\n"
                            "\n"
                            "Exit codes: 0 stopped on request; 2 command line; 3 project or entity lists;\n"
                            "5 port or ledger in use, ledger of another version, disk full; 1 anything else.\n";

enum {
    OPT_STATE = 1000,
    OPT_BIND,
    OPT_STATS,
    OPT_PUBLISH,
    OPT_SAMPLES,
    OPT_DRAIN,
    OPT_GENERATION,
    OPT_LOG_LEVEL,
    OPT_VERSION,
    OPT_HELP
};

static const struct option long_options[] = {
    {"state", required_argument, NULL, OPT_STATE},
    {"bind", required_argument, NULL, OPT_BIND},
    {"stats", required_argument, NULL, OPT_STATS},
    {"publish", required_argument, NULL, OPT_PUBLISH},
    {"samples", required_argument, NULL, OPT_SAMPLES},
    {"new-generation", required_argument, NULL, OPT_GENERATION},
    {"drain-s", required_argument, NULL, OPT_DRAIN},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int bad_usage(const char *what)
{
    fprintf(stderr, "nermill-broker: %s (see nermill-broker --help)\n", what);
    return NM_EXIT_USAGE;
}

static bool parse_count(const char *text, uint64_t *out)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long long value = strtoull(text, &end, 10);
    *out = value;
    return *end == '\0' && value > 0 && value <= (uint64_t)1 << 40;
}

static bool parse_seconds(const char *text, uint32_t *out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *out = (uint32_t)value;
    return *text >= '0' && *text <= '9' && *end == '\0' && value <= 86400;
}

/* -1: go on; otherwise the exit code. */
static int parse_options(int argc, char **argv, struct nm_broker_options *options)
{
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case OPT_STATE:
            options->state = optarg;
            break;
        case OPT_BIND:
            options->bind = optarg;
            break;
        case OPT_STATS:
            options->stats = optarg;
            break;
        case OPT_PUBLISH:
            options->publish = optarg;
            break;
        case OPT_SAMPLES:
            if (!parse_count(optarg, &options->samples))
                return bad_usage("--samples takes a number from 1 on");
            break;
        case OPT_GENERATION:
            if (strcmp(optarg, "keep") != 0 && strcmp(optarg, "fresh") != 0)
                return bad_usage("--new-generation is keep or fresh");
            options->new_generation = optarg;
            break;
        case OPT_DRAIN:
            if (!parse_seconds(optarg, &options->drain_s))
                return bad_usage("--drain-s takes a number of seconds, 86400 at most");
            break;
        case OPT_LOG_LEVEL:
            if (!nm_log_set_level(optarg))
                return bad_usage("--log-level is debug, info, warn or error");
            options->log_level_given = true;
            break;
        case OPT_VERSION:
            puts("nermill-broker " NM_VERSION);
            return NM_EXIT_OK;
        case OPT_HELP:
            fputs(usage, stdout);
            return NM_EXIT_OK;
        default:
            return NM_EXIT_USAGE; /* getopt has said why */
        }
    }
    if (optind != argc - 1)
        return bad_usage("one PROJECT is needed");
    if (!options->state)
        return bad_usage("--state DIR is needed");
    options->project = argv[optind];
    return -1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* Once it runs, what fails is the ledger. */
static int exit_code(enum nm_err err, bool running)
{
    return running && (err == NM_EIO || err == NM_EFORMAT) ? NM_EXIT_STORAGE : (int)nm_exit_code(err);
}

int main(int argc, char **argv)
{
    struct nm_broker_options options = {.drain_s = DRAIN_S, .log_level_given = getenv("NERMILL_LOG") != NULL};
    struct nm_broker *broker;
    struct nm_diag diag = {""};
    nm_log_init("broker");
    if (argc > 1 && strcmp(argv[1], "check") == 0)
        return nm_tool_check(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "backup") == 0)
        return nm_tool_backup(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "plan") == 0)
        return nm_price_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "responses") == 0)
        return nm_responses_main(argc - 1, argv + 1);
    int code = parse_options(argc, argv, &options);
    if (code >= 0)
        return code;
    nm_net_init();
    catch_signals();
    enum nm_err err = nm_broker_new(&options, &broker, &diag);
    bool running = !err;
    if (!err)
        err = nm_broker_run(broker, &signals, &diag);
    if (err)
        nm_error("%s", diag.text);
    nm_broker_destroy(&broker);
    nm_net_clean_up();
    return err ? exit_code(err, running) : NM_EXIT_OK;
}
