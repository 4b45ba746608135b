/* batch.c - nermill batch: the requests of a project for an offline batch API, and their results; beside a run that
 * is at work, or with a broker of its own for as long as it takes. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/job.h"
#include "cli/process.h"
#include "common/file.h"
#include "common/net.h"

enum { STATS_MS = 2000, BROKER_STOP_MS = 15000 };

struct batch {
    const char *verb, *project, *file; /* file: RESULTS, NULL for none */
    const char *state, *out, *endpoint;
    uint64_t n;
    struct nm_job job;
};

static bool go_on(void)
{
    return false; /* a signal ends us, and with us, by the kernel, whom we started */
}

/* Does a broker of this run answer? */
static bool is_live(const struct nm_place *place, struct nm_endpoints *endpoints)
{
    struct nm_stats_client *client = NULL;
    struct nm_buf answer;
    struct nm_diag ignored;
    if (nm_endpoints_read(place->broker, endpoints, NULL) != NM_OK || endpoints->pid <= 0 ||
        kill((pid_t)endpoints->pid, 0) != 0)
        return false;
    nm_buf_init(&answer, 16 << 20);
    bool live = nm_stats_open(endpoints->stats, endpoints->run, &client, &ignored) == NM_OK &&
                nm_stats_ask(client, "stats", STATS_MS, &answer, &ignored) == NM_OK;
    nm_stats_close(&client);
    nm_buf_clean_up(&answer);
    return live;
}

static enum nm_err work(struct batch *b, const struct nm_place *place, const char *broker, int *code,
                        struct nm_diag *diag)
{
    char dir[NM_PATH_MAX], n[32];
    if (nm_file_join(place->state, "batch", dir, sizeof dir) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", place->state);
    (void)snprintf(n, sizeof n, "%llu", (unsigned long long)b->n);
    const char *argv[16] = {"nermill-generator", "batch", b->verb, "--broker", broker, "--state", dir};
    size_t at = 7;
    if (strcmp(b->verb, "export") == 0) {
        argv[at++] = "--out";
        argv[at++] = b->out;
        argv[at++] = "--requests";
        argv[at++] = n;
    }
    if (b->endpoint != NULL) {
        argv[at++] = "--endpoint";
        argv[at++] = b->endpoint;
    }
    argv[at] = b->file;
    const struct nm_spawn spawn = {.argv = argv, .in_fd = -1, .out_fd = 1, .err_fd = 2, .inherit_fd = -1};
    pid_t pid;
    enum nm_err err = nm_process_start(&spawn, &pid, diag);
    if (err == NM_OK)
        *code = nm_process_wait(pid);
    return err;
}

static int run(struct batch *b)
{
    struct nm_place place;
    struct nm_endpoints endpoints;
    struct nm_diag diag = {""};
    int code = NM_EXIT_OK;
    enum nm_err err = nm_place_init(&place, b->project, b->state, &diag);
    nm_net_init();
    if (err == NM_OK && is_live(&place, &endpoints)) {
        err = work(b, &place, endpoints.broker, &code, &diag);
    } else if (err == NM_OK) {
        b->job.options.project = b->project;
        b->job.options.state = b->state;
        b->job.stop = b->job.hurry = go_on;
        err = nm_job_open_broker(&b->job, &diag);
        if (err == NM_OK)
            err = work(b, &b->job.place, b->job.endpoints.broker, &code, &diag);
        if (b->job.crew != NULL)
            nm_crew_stop(b->job.crew, "broker", BROKER_STOP_MS, NULL);
        nm_job_close(&b->job);
    }
    nm_net_clean_up();
    return err != NM_OK ? nm_complain("batch", err, &diag) : code;
}

int nm_command_batch(int argc, char **argv)
{
    struct batch b = {.n = 1000};
    const struct nm_opt opts[] = {
        {'o', "out", NM_OPT_TEXT, &b.out, "FILE", "export: the requests, one a line; it must not be there yet"},
        {'n', "requests", NM_OPT_COUNT, &b.n, "N", "export: at most so many (default 1000)"},
        {0, "endpoint", NM_OPT_TEXT, &b.endpoint, "NAME",
         "whose model and limits the requests have (default: the project's first)"},
        {0, "state", NM_OPT_TEXT, &b.state, "DIR", "the run's state directory (default: PROJECT's run/)"},
    };
    const struct nm_command command = {
        .name = "batch",
        .usage = "export|import|cancel PROJECT [RESULTS] [options]",
        .summary = "Requests for an OpenAI-style batch API as JSON lines, and their results by the same validation.",
        .text = "export: leases tasks for good and writes their requests; nobody else buys them.\n"
                "import: takes the results of a file, as often as you like, whole or in part, in any order.\n"
                "cancel: gives back what is out; only where the requests were never sent.\n"
                "A run may be at work meanwhile; without one, a broker is started for as long as it takes.\n",
        .min_args = 2,
        .max_args = 3,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    struct nm_diag diag = {""};
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    b.verb = argv[1];
    b.project = argv[2];
    b.file = n > 2 ? argv[3] : NULL;
    bool is_export = strcmp(b.verb, "export") == 0, is_import = strcmp(b.verb, "import") == 0;
    if (!is_export && !is_import && strcmp(b.verb, "cancel") != 0)
        (void)nm_fail(&diag, NM_EINVAL, "\"%.50s\" is neither export nor import nor cancel", b.verb);
    else if (is_export != (b.out != NULL))
        (void)nm_fail(&diag, NM_EINVAL, "--out FILE belongs to export");
    else if (is_import != (b.file != NULL))
        (void)nm_fail(&diag, NM_EINVAL, "a file of RESULTS belongs to import");
    return diag.text[0] == '\0' ? run(&b) : nm_complain_usage("batch", diag.text);
}
