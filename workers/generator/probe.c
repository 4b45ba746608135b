/* probe.c - would the project's endpoints serve us?  Asked before anything is started that would wait for them. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "workers/generator/generator_parts.h"

enum { PROBE_BODY_MAX = 4 << 20 };

struct probe {
    struct nm_project *project;
    struct nm_pool pool;
    struct nm_llm *llm;
    struct nm_buf body;
    bool *chat, *asked, *done; /* (pool.n): ask by a call, since there is no list of models; in flight; answered */
    size_t left;
    enum nm_err err;
    struct nm_diag *diag;
};

static size_t index_of(const struct probe *p, const struct nm_endpoint *e)
{
    return (size_t)(e - p->pool.endpoints);
}

static void served(struct probe *p, struct nm_endpoint *e, const struct nm_llm_outcome *outcome)
{
    size_t i = index_of(p, e);
    const char *remark = "";
    if (!p->chat[i] && !nm_chat_lists_model(outcome->body, outcome->body_len, e->config->model))
        remark = " (not in its list of models; some servers take any name)";
    printf("%s serves, model %s%s\n", nm_llm_target_shown(e->target), e->config->model, remark);
    p->done[i] = true;
    p->left--;
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
    size_t i = index_of(p, e);
    p->asked[i] = false;
    e->in_flight--;
    bool answered = nm_pool_judge(e, outcome, &fault);
    bool refused = outcome->fault == NM_LLM_ANSWERED && (outcome->status == 400 || outcome->status == 422);
    if (!p->chat[i] && (outcome->status == 404 || outcome->status == 405)) {
        p->chat[i] = true; /* this server has no list: a call finds out */
        return;
    }
    if (answered && p->chat[i] && nm_canary_read(e, outcome->body, outcome->body_len, &why) != NM_OK) {
        nm_chat_garbage(nm_llm_target_shown(e->target), why.text, &fault);
        answered = false;
    }
    if (answered || (p->chat[i] && refused)) /* refused: it does not know grammars, but it talked to us */
        served(p, e, outcome);
    else if (is_busy(&fault))
        (void)nm_pool_failure(&p->pool, e, &fault, nm_clock_mono_ms());
    else if (p->err == NM_OK)
        p->err = nm_fail(p->diag, NM_ENET, "%s", fault.detail);
}

static enum nm_err ask(struct probe *p, int64_t now)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < p->pool.n && err == NM_OK; i++) {
        struct nm_endpoint *e = &p->pool.endpoints[i];
        if (p->done[i] || p->asked[i] || !nm_pool_has_room(e, now))
            continue;
        nm_buf_reset(&p->body);
        if (p->chat[i])
            err = nm_canary_body(e, &p->body);
        if (err == NM_OK)
            err = nm_llm_start(p->llm, e->target, p->chat[i] ? p->body.data : NULL, p->body.len, e);
        p->asked[i] = err == NM_OK;
        e->in_flight += err == NM_OK;
    }
    return err;
}

static enum nm_err given_up(const struct probe *p, struct nm_diag *diag)
{
    for (size_t i = 0; i < p->pool.n; i++) {
        const struct nm_endpoint *e = &p->pool.endpoints[i];
        if (!p->done[i])
            return nm_fail(diag, NM_ENET, "%s%s", e->why[0] != '\0' ? e->why : "no answer in time from endpoint ",
                           e->why[0] != '\0' ? "" : nm_llm_target_shown(e->target));
    }
    return NM_OK;
}

static enum nm_err run(struct probe *p, int64_t give_up_ms, struct nm_diag *diag)
{
    int64_t end = nm_clock_mono_ms() + give_up_ms;
    p->left = p->pool.n;
    while (p->left > 0 && p->err == NM_OK) {
        int64_t now = nm_clock_mono_ms();
        if (nm_worker_stop_requested() > 0)
            return nm_fail(diag, NM_ECANCELED, "stopped by a signal");
        if (now >= end)
            return given_up(p, diag);
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
    return p->err;
}

enum nm_err nm_probe_run(const char *project, int64_t give_up_ms, struct nm_diag *diag)
{
    struct probe p = {.diag = diag};
    nm_buf_init(&p.body, 1 << 20);
    nm_worker_catch_signals();
    char dir[4096];
    enum nm_err err = nm_project_load(project, &p.project, diag);
    if (err == NM_OK && nm_project_path(project, "", dir, sizeof dir) != NM_OK)
        err = nm_fail(diag, NM_ELIMIT, "%s: the path is too long", project);
    if (err == NM_OK)
        err = nm_pool_init(&p.pool, p.project, dir, (uint64_t)nm_clock_wall_ms(), diag);
    struct nm_llm_options llm = {.max_in_flight = p.pool.n, .max_body = PROBE_BODY_MAX, .done = on_done, .ctx = &p};
    if (err == NM_OK)
        err = nm_llm_new(&llm, &p.llm, diag);
    bool *flags = calloc(3 * p.pool.n + 1, sizeof *flags);
    if (flags == NULL) {
        err = nm_fail(diag, NM_ENOMEM, "out of memory");
    } else if (err == NM_OK) {
        p.chat = flags;
        p.asked = flags + p.pool.n;
        p.done = flags + 2 * p.pool.n;
        err = run(&p, give_up_ms, diag);
    }
    nm_llm_destroy(&p.llm);
    nm_pool_clean_up(&p.pool);
    nm_project_destroy(&p.project);
    free(flags);
    nm_buf_clean_up(&p.body);
    return err;
}
