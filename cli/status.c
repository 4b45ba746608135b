/* status.c - nermill status: one snapshot of a run, for people or as JSON. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/stats.h"
#include "common/buf.h"
#include "common/net.h"

enum { ANSWER_MAX = 16 << 20, TIMEOUT_MS = 3000 };

static void print_stats(const struct nm_stats *stats, const char *endpoint)
{
    double share = stats->responses > 0 ? 100.0 * (double)stats->accepted / (double)stats->responses : 0.0;
    printf("project    %s (run %s), broker's stats at %s\n", stats->project, stats->run, endpoint);
    printf("samples    %" PRIu64 " of %" PRIu64 " accepted, %" PRIu64 " aligned%s\n", stats->aligned + stats->waiting,
           stats->goal, stats->aligned, stats->complete ? "; complete" : "");
    printf("calls      %llu answered, %.0f %% accepted, %llu rejected; %llu on lease, %llu tasks given up\n",
           (unsigned long long)stats->responses, share, (unsigned long long)stats->rejected,
           (unsigned long long)stats->leased, (unsigned long long)stats->dead);
    if (!stats->complete) {
        printf("speed      %.1f samples a minute", stats->rate_per_min);
        char left[32];
        if (stats->rate_per_min > 0 && stats->goal > stats->aligned) {
            nm_duration(60.0 * (double)(stats->goal - stats->aligned) / stats->rate_per_min, left, sizeof left);
            printf(", about %s left", left);
        }
        putchar('\n');
    }
    if (stats->min_per_entity > 0)
        printf("coverage   %llu entities have fewer than %llu texts; %llu extra tasks asked for them again\n",
               (unsigned long long)stats->entities_short, (unsigned long long)stats->min_per_entity,
               (unsigned long long)stats->asked_again);
    if (stats->given_up > 0)
        printf("given up   %llu entities: %s%s\n", (unsigned long long)stats->given_up, stats->given_up_first,
               stats->given_up > 10 ? ", ..." : "");
    if (stats->training[0] != '\0')
        printf("training   %s\n", stats->training);
    fputs(stats->circuits, stdout);
    if (stats->trouble[0] != '\0')
        printf("trouble    %s\n", stats->trouble);
}

static enum nm_err show(const char *endpoint, const char *run, bool json, struct nm_diag *diag)
{
    struct nm_buf answer;
    nm_buf_init(&answer, ANSWER_MAX);
    struct nm_stats_client *client = NULL;
    struct nm_stats stats;
    nm_net_init();
    enum nm_err err = nm_stats_open(endpoint, run, &client, diag);
    if (err == NM_OK)
        err = nm_stats_ask(client, "stats", TIMEOUT_MS, &answer, diag);
    if (err == NM_OK)
        err = nm_stats_parse(nm_buf_str(&answer), &stats, diag);
    if (err == NM_OK && json)
        puts(nm_buf_str(&answer));
    else if (err == NM_OK)
        print_stats(&stats, endpoint);
    nm_stats_close(&client);
    nm_net_clean_up();
    nm_buf_clean_up(&answer);
    return err;
}

int nm_command_status(int argc, char **argv)
{
    const char *endpoint = NULL, *state = NULL;
    bool json = false;
    const struct nm_opt opts[] = {
        {0, "stats", NM_OPT_TEXT, &endpoint, "ENDPOINT", "ask this stats socket (tcp://host:port) instead"},
        {0, "state", NM_OPT_TEXT, &state, "DIR", "the run's state directory (default: PROJECT's run/)"},
        {0, "json", NM_OPT_FLAG, &json, NULL, "the broker's answer as it is"},
    };
    const struct nm_command command = {
        .name = "status",
        .usage = "PROJECT | --stats ENDPOINT [--json]",
        .summary = "How far a run is: one snapshot of its broker.",
        .max_args = 1,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    struct nm_diag diag = {""};
    struct nm_endpoints found = {.run = ""};
    if (endpoint == NULL) {
        enum nm_err err = nm_stats_find(n == 1 ? argv[1] : ".", state, &found, &diag);
        if (err != NM_OK)
            return nm_complain("status", err, &diag);
        endpoint = found.stats;
    }
    enum nm_err err = show(endpoint, found.run, json, &diag);
    return err == NM_OK ? NM_EXIT_OK : nm_complain("status", err, &diag);
}
