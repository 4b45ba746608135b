/* probe.c - would the project's endpoints serve us?  Asked before anything is started that would wait for them. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "workers/generator/generator_parts.h"

enum { PROBE_BODY_MAX = 4 << 20 };

/* Of one endpoint. */
struct seat {
    bool chat; /* ask by a call, since there is no list of models */
    bool asked, done;
};

struct probe {
    struct nm_project *project;
    struct nm_pool pool;
    struct nm_llm *llm;
    struct nm_buf body;
    struct seat *seats; /* (pool.n) */
    bool any;           /* one that serves is enough */
    size_t left, served;
    struct nm_diag first; /* of those that do not serve; "": all do */
};

static struct seat *seat_of(const struct probe *p, const struct nm_endpoint *e)
{
    return &p->seats[e - p->pool.endpoints];
}

static void end(struct probe *p, struct seat *seat)
{
    seat->done = true;
    p->left--;
}

static void serves(struct probe *p, struct nm_endpoint *e, const struct nm_llm_outcome *outcome)
{
    struct seat *seat = seat_of(p, e);
    const char *remark = "";
    if (!seat->chat && !nm_chat_lists_model(outcome->body, outcome->body_len, e->config->model))
        remark = " (not in its list of models; some servers take any name)";
    printf("%s serves, model %s%s\n", nm_llm_target_shown(e->target), e->config->model, remark);
    p->served++;
    end(p, seat);
}

/* The first one's line is the program's last, the others' are said at once. */
static void fails(struct probe *p, struct nm_endpoint *e, const char *line)
{
    if (p->first.text[0] == '\0')
        (void)nm_fail(&p->first, NM_ENET, "%s", line);
    else
        (void)fprintf(stderr, "nermill-generator: %s\n", line);
    end(p, seat_of(p, e));
}

/* Waiting helps where the server is there and busy; nothing else is waited for. */
static bool is_busy(const struct nm_chat_fault *fault)
{
    return strcmp(fault->kind, "http") == 0 && !fault->fatal;
}

static void on_done(void *ctx, void *call, const struct nm_llm_outcome *outcome)
{
    struct probe *p = ctx;
    struct nm_endpoint *e = call;
    struct nm_chat_fault fault;
    struct nm_diag why = {""};
    struct seat *seat = seat_of(p, e);
    seat->asked = false;
    e->in_flight--;
    bool answered = nm_pool_judge(e, outcome, &fault);
    bool refused = outcome->fault == NM_LLM_ANSWERED && (outcome->status == 400 || outcome->status == 422);
    if (!seat->chat && (outcome->status == 404 || outcome->status == 405)) {
        seat->chat = true; /* this server has no list: a call finds out */
        return;
    }
    if (answered && seat->chat && nm_canary_read(e, outcome->body, outcome->body_len, &why) != NM_OK) {
        nm_chat_garbage(nm_llm_target_shown(e->target), why.text, &fault);
        answered = false;
    }
    if (answered || (seat->chat && refused)) /* refused: it does not know grammars, but it talked to us */
        serves(p, e, outcome);
    else if (is_busy(&fault))
        (void)nm_pool_failure(&p->pool, e, &fault, nm_clock_mono_ms());
    else
        fails(p, e, fault.detail);
}

static enum nm_err ask(struct probe *p, int64_t now)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < p->pool.n && err == NM_OK; i++) {
        struct nm_endpoint *e = &p->pool.endpoints[i];
        struct seat *seat = &p->seats[i];
        if (seat->done || seat->asked || !nm_pool_has_room(e, now))
            continue;
        nm_buf_reset(&p->body);
        if (seat->chat)
            err = nm_canary_body(e, &p->body);
        if (err == NM_OK)
            err = nm_llm_start(p->llm, e->target, seat->chat ? p->body.data : NULL, p->body.len, e);
        seat->asked = err == NM_OK;
        e->in_flight += err == NM_OK;
    }
    return err;
}

/* Time is over for those that are left. */
static void give_up(struct probe *p)
{
    for (size_t i = 0; i < p->pool.n; i++) {
        struct nm_endpoint *e = &p->pool.endpoints[i];
        struct nm_diag line;
        if (p->seats[i].done)
            continue;
        (void)nm_fail(&line, NM_ENET, "%s%s", e->why[0] != '\0' ? e->why : "no answer in time from endpoint ",
                      e->why[0] != '\0' ? "" : nm_llm_target_shown(e->target));
        fails(p, e, line.text);
    }
}

static enum nm_err conclude(const struct probe *p, struct nm_diag *diag)
{
    if (p->first.text[0] == '\0')
        return NM_OK;
    if (p->any && p->served > 0) {
        (void)fprintf(stderr, "nermill-generator: %s\n", p->first.text);
        return NM_OK;
    }
    *diag = p->first;
    return NM_ENET;
}

/* All have answered; or one serves, which is enough, and no other is about to answer. */
static bool is_over(const struct probe *p)
{
    return p->left == 0 || (p->any && p->served > 0 && nm_llm_in_flight(p->llm) == 0);
}

static enum nm_err run(struct probe *p, int64_t give_up_ms, struct nm_diag *diag)
{
    int64_t end_ms = nm_clock_mono_ms() + give_up_ms;
    p->left = p->project->generation.replay == NULL ? p->pool.n : 0;
    for (size_t i = 0; i < p->pool.n && p->left > 0; i++)
        if (p->pool.endpoints[i].breaker.state == NM_BREAKER_STOPPED)
            fails(p, &p->pool.endpoints[i], p->pool.endpoints[i].why);
    while (!is_over(p)) {
        int64_t now = nm_clock_mono_ms();
        if (nm_worker_stop_requested() > 0)
            return nm_fail(diag, NM_ECANCELED, "stopped by a signal");
        if (now >= end_ms) {
            give_up(p);
            break;
        }
        enum nm_err err = ask(p, now);
        if (err != NM_OK)
            return nm_fail(diag, err, "no request can be made: %s", nm_err_name(err));
        struct pollfd fd = {.fd = nm_llm_fd(p->llm), .events = POLLIN};
        int wait = nm_llm_wait_ms(p->llm);
        (void)poll(&fd, 1, wait < 0 || wait > 200 ? 200 : wait);
        err = nm_llm_step(p->llm);
        if (err != NM_OK)
            return nm_fail(diag, err, "the HTTP engine fails: %s", nm_err_name(err));
    }
    return conclude(p, diag);
}

enum nm_err nm_probe_run(const char *project, bool any, int64_t give_up_ms, struct nm_diag *diag)
{
    struct probe p = {.any = any};
    nm_buf_init(&p.body, 1 << 20);
    nm_worker_catch_signals();
    char dir[4096];
    enum nm_err err = nm_project_load(project, &p.project, diag);
    if (err == NM_OK && nm_project_path(project, "", dir, sizeof dir) != NM_OK)
        err = nm_fail(diag, NM_ELIMIT, "%s: the path is too long", project);
    if (err == NM_OK && p.project->generation.replay != NULL)
        (void)printf("none is asked: the project replays %s\n", p.project->generation.replay);
    if (err == NM_OK)
        err = nm_pool_init(&p.pool, p.project, dir, (uint64_t)nm_clock_wall_ms(), diag);
    struct nm_llm_options llm = {.max_in_flight = p.pool.n, .max_body = PROBE_BODY_MAX, .done = on_done, .ctx = &p};
    if (err == NM_OK)
        err = nm_llm_new(&llm, &p.llm, diag);
    p.seats = calloc(p.pool.n + 1, sizeof *p.seats);
    if (p.seats == NULL)
        err = nm_fail(diag, NM_ENOMEM, "out of memory");
    else if (err == NM_OK)
        err = run(&p, give_up_ms, diag);
    nm_llm_destroy(&p.llm);
    nm_pool_clean_up(&p.pool);
    nm_project_destroy(&p.project);
    free(p.seats);
    nm_buf_clean_up(&p.body);
    return err;
}
