#include "workers/generator/generator.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/net.h"
#include "workers/generator/generator_parts.h"

enum { TICK_MS = 200, REPORT_MS = 30000, ACK_MS = 5000, BLOB_MS = 30000 };
enum { REPLAYED = 256 /* tasks at once, where no call is made */ };

/* ---- setting up ------------------------------------------------------------------------------ */

static enum nm_err fetch_part(void *ctx, const char *what, struct nm_buf *out, struct nm_diag *diag)
{
    return nm_worker_blob(ctx, what, out, BLOB_MS, diag);
}

enum nm_err nm_generator_fetch(struct nm_worker *worker, struct nm_project **project, struct nm_recipe **recipe,
                               struct nm_diag *diag)
{
    struct nm_buf blob;
    nm_buf_init(&blob, 16U << 20);
    enum nm_err err = nm_worker_blob(worker, "project", &blob, BLOB_MS, diag);
    if (err == NM_OK)
        err = nm_project_parse(nm_buf_str(&blob), blob.len, "the broker's project", project, diag);
    nm_buf_clean_up(&blob);
    return err == NM_OK ? nm_recipe_new(*project, fetch_part, worker, recipe, diag) : err;
}

static enum nm_err set_up(struct nm_generator *g, struct nm_diag *diag)
{
    char path[4096];
    struct nm_worker_role role = {.name = "generator",
                                  .ctx = g,
                                  .holding = nm_generator_holding,
                                  .welcome = nm_generator_welcome,
                                  .message = nm_generator_message};
    enum nm_err err = nm_worker_new(&role, g->options->broker, g->options->state_dir, &g->worker, diag);
    if (err == NM_OK)
        err = nm_worker_join(g->worker, (int)g->options->join_ms, diag);
    if (err == NM_OK)
        err = nm_generator_fetch(g->worker, &g->project, &g->recipe, diag);
    if (err == NM_OK)
        err = nm_pool_init(&g->pool, g->project, g->options->project_dir, (uint64_t)nm_clock_wall_ms(), diag);
    if (err != NM_OK)
        return err;
    g->named = calloc(g->pool.n, sizeof *g->named);
    if (g->named == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    g->replays = g->project->generation.replay != NULL;
    g->most = g->replays ? REPLAYED : nm_pool_capacity(&g->pool);
    if (g->options->concurrency > 0 && g->options->concurrency < g->most)
        g->most = g->options->concurrency;
    nm_worker_set_credit(g->worker, g->most + g->most / 4 + 2); /* a few beyond, so that no call waits for a lease */
    struct nm_llm_options llm = {.max_in_flight = g->most + g->pool.n, /* and the canaries */
                                 .max_body = NM_BODY_MAX,
                                 .done = nm_generator_on_done,
                                 .ctx = g};
    err = nm_llm_new(&llm, &g->llm, diag);
    if (err == NM_OK && nm_file_join(g->options->state_dir, "spool", path, sizeof path) != NM_OK)
        err = nm_fail(diag, NM_ELIMIT, "%s: the path is too long", g->options->state_dir);
    if (err == NM_OK)
        err = nm_spool_open(path, nm_worker_run(g->worker), &g->spool, diag);
    if (err == NM_OK)
        err = nm_judge_new(g->spool, g->recipe, &g->judge, diag);
    return err == NM_OK ? nm_generator_recover(g, diag) : err;
}

static void clean_up(struct nm_generator *g)
{
    nm_judge_destroy(&g->judge);
    if (g->llm != NULL)
        nm_llm_cancel(g->llm); /* first: its calls point to jobs */
    nm_llm_destroy(&g->llm);
    while (g->jobs.all != NULL) {
        struct nm_job *job = g->jobs.all;
        nm_job_remove(&g->jobs, job);
        nm_job_destroy(&job);
    }
    free(g->named);
    nm_spool_close(&g->spool);
    nm_pool_clean_up(&g->pool);
    nm_recipe_destroy(&g->recipe);
    nm_project_destroy(&g->project);
    nm_worker_destroy(&g->worker);
    nm_buf_clean_up(&g->body);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static int sooner(int a, int64_t b)
{
    if (b < 0)
        return a;
    return a < 0 || b < a ? (int)(b > 60000 ? 60000 : b) : a;
}

static void wait_for_work(const struct nm_generator *g, int worker_ms)
{
    struct pollfd fds[] = {{.fd = nm_worker_fd(g->worker), .events = POLLIN},
                           {.fd = nm_llm_fd(g->llm), .events = POLLIN},
                           {.fd = nm_judge_fd(g->judge), .events = POLLIN}};
    int64_t now = nm_clock_mono_ms();
    int wait = sooner(worker_ms, nm_llm_wait_ms(g->llm));
    wait = sooner(wait, nm_pool_wait_ms(&g->pool, now));
    if (g->drops || g->hand_in || g->leaving || g->failed.n > 0 || nm_generator_waiting(g) > 0)
        wait = sooner(wait, TICK_MS);
    (void)poll(fds, sizeof fds / sizeof *fds, wait); /* a signal ends it: the loop looks at what was asked */
}

static void report(struct nm_generator *g, int64_t now)
{
    if (now < g->report_at)
        return;
    if (g->report_at != 0)
        nm_info("%llu calls, %llu answered, %llu accepted, %llu failed; %zu in flight, %zu waiting",
                (unsigned long long)g->calls, (unsigned long long)g->answers, (unsigned long long)g->accepted,
                (unsigned long long)g->failures, nm_llm_in_flight(g->llm), nm_generator_waiting(g));
    g->report_at = now + REPORT_MS;
}

/* Things that may wait a little: dropping what was acknowledged, sending what would not go. */
static void tick(struct nm_generator *g, int64_t now)
{
    if (now < g->tick_at)
        return;
    g->tick_at = now + TICK_MS;
    nm_generator_settle(g, true);
    nm_generator_hand_in(g, now);
    nm_generator_tell_circuits(g, now);
    report(g, now);
}

static void leave(struct nm_generator *g, int64_t now)
{
    g->leaving = true;
    g->leave_by = now + g->options->drain_ms;
    nm_info("leaving: %zu calls in flight are finished first", nm_llm_in_flight(g->llm));
}

/* Should it go on?  Decides to leave, and when leaving is over. */
static bool go_on(struct nm_generator *g, int64_t now)
{
    int stops = nm_worker_stop_requested();
    const char *dead = nm_pool_dead(&g->pool, g->options->give_up_ms, now);
    if (g->fatal == NM_OK && dead != NULL && !g->leaving)
        g->fatal = nm_fail(&g->why, NM_ENET, "%s", dead);
    if (stops > 0 && g->fatal == NM_OK)
        g->fatal = nm_fail(&g->why, NM_ECANCELED, "stopped by a signal; start it again to go on");
    bool finished = g->done && g->options->exit_when_done;
    if (!g->leaving && (g->fatal != NM_OK || finished))
        leave(g, now);
    if (!g->leaving)
        return true;
    if (stops > 1)
        return false;
    if (nm_llm_in_flight(g->llm) > 0) {
        if (now >= g->leave_by) {
            nm_warn("%zu calls are given up after %lld s", nm_llm_in_flight(g->llm),
                    (long long)g->options->drain_ms / 1000);
            nm_llm_cancel(g->llm);
        }
        return true;
    }
    if (g->answered.n > 0 || nm_judge_busy(g->judge))
        return true;
    if (g->quiet_since == 0)
        g->quiet_since = now;
    size_t unsaid = g->jobs.n - nm_generator_waiting(g); /* answers and failures that the broker has not taken */
    if (unsaid > 0 && nm_worker_connected(g->worker) && now < g->quiet_since + ACK_MS)
        return true;
    return false;
}

static enum nm_err turn(struct nm_generator *g, int *wait_ms, struct nm_diag *diag)
{
    int64_t now = nm_clock_mono_ms();
    enum nm_err err = nm_llm_step(g->llm);
    nm_generator_settle(g, false);
    if (err != NM_OK)
        return nm_fail(diag, err, "the HTTP engine fails: %s", nm_err_name(err));
    tick(g, now);
    nm_generator_send_failed(g);
    nm_generator_start_calls(g);
    err = nm_worker_step(g->worker, wait_ms, diag);
    nm_generator_start_calls(g); /* tasks that just came */
    if (g->answered.n > 0)       /* without a call: nothing will wake us */
        nm_generator_settle(g, false);
    return err;
}

static enum nm_err work(struct nm_generator *g, struct nm_diag *diag)
{
    enum nm_err err = nm_worker_start(g->worker);
    int wait_ms = 0;
    while (err == NM_OK && go_on(g, nm_clock_mono_ms())) {
        err = turn(g, &wait_ms, diag);
        if (err == NM_OK)
            wait_for_work(g, wait_ms);
    }
    struct nm_diag ignored;
    nm_generator_settle_all(g); /* whatever ended it: what was paid for is on the disk */
    /* Only now: earlier, they would come straight back. */
    nm_generator_unsent(g, &g->waiting, "the generator leaves", false);
    for (size_t i = 0; i < g->pool.n; i++)
        nm_generator_unsent(g, &g->named[i], "the generator leaves", false);
    nm_generator_send_failed(g);
    nm_worker_goodbye(g->worker, g->fatal != NM_OK ? g->why.text : "done");
    if (g->drops)
        (void)nm_spool_commit(g->spool, &ignored); /* left in, they are handed in once more and dropped then */
    if (err == NM_OK && g->fatal != NM_OK) {
        *diag = g->why;
        err = g->fatal;
    }
    return err;
}

enum nm_err nm_generator_run(const struct nm_generator_options *options, struct nm_diag *diag)
{
    struct nm_generator g = {.options = options};
    nm_buf_init(&g.body, 64U << 20);
    nm_net_init();
    nm_worker_catch_signals();
    enum nm_err err = set_up(&g, diag);
    if (err == NM_OK)
        err = work(&g, diag);
    clean_up(&g);
    nm_net_clean_up();
    return err;
}
