/* calls.c - from a queued job to its verdict. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "workers/generator/generator_parts.h"

static const char *shown(const struct nm_endpoint *endpoint)
{
    return nm_pool_shown(endpoint);
}

enum { FAILOVER_MS = 1000, KEPT_OF_TOO_LARGE = 64 * 1024 };

/* ---- starting -------------------------------------------------------------------------------- */

struct nm_job_queue *nm_generator_queue(struct nm_generator *g, const struct nm_job *job)
{
    const struct nm_str name = job->task.endpoint;
    for (size_t i = 0; i < g->pool.n && name.len > 0; i++)
        if (strcmp(g->pool.endpoints[i].config->name, name.ptr) == 0)
            return &g->named[i];
    return &g->waiting;
}

size_t nm_generator_waiting(const struct nm_generator *g)
{
    size_t n = g->waiting.n;
    for (size_t i = 0; i < g->pool.n && g->named != NULL; i++)
        n += g->named[i].n;
    return n;
}

void nm_generator_unsent(struct nm_generator *g, struct nm_job_queue *queue, const char *why, bool fatal)
{
    struct nm_chat_fault fault = {.kind = "unsent", .retry_after_ms = -1, .fatal = fatal};
    struct nm_job *job;
    (void)snprintf(fault.detail, sizeof fault.detail, "%.600s", why);
    while ((job = nm_job_pop(queue)) != NULL) {
        size_t i = (size_t)(queue - g->named);
        job->endpoint = queue != &g->waiting ? &g->pool.endpoints[i] : NULL;
        nm_generator_fail(g, job, &fault, 0, 0);
    }
}

/* The broker counts every call: where it names the endpoint, the canary uses up the call that a task was granted. */
static void start_granted_canary(struct nm_generator *g, struct nm_endpoint *endpoint, struct nm_job_queue *queue)
{
    nm_buf_reset(&g->body);
    if (nm_canary_body(endpoint, &g->body) != NM_OK ||
        nm_llm_start(g->llm, endpoint->target, g->body.data, g->body.len, queue->head) != NM_OK)
        return;
    struct nm_job *job = nm_job_pop(queue);
    job->canary = true;
    job->granted = true;
    job->state = NM_JOB_CALLING;
    job->endpoint = endpoint;
    endpoint->in_flight++;
    endpoint->canary = NM_CANARY_SENT;
}

static void start_canary(struct nm_generator *g, struct nm_endpoint *endpoint)
{
    struct nm_job *job = nm_job_new();
    nm_buf_reset(&g->body);
    if (job == NULL || nm_canary_body(endpoint, &g->body) != NM_OK ||
        nm_llm_start(g->llm, endpoint->target, g->body.data, g->body.len, job) != NM_OK) {
        nm_job_destroy(&job);
        return;
    }
    job->canary = true;
    job->endpoint = endpoint;
    endpoint->in_flight++;
    endpoint->canary = NM_CANARY_SENT;
}

/* A task that cannot even be asked (a prompt over the limit) goes back with the reason. */
static void refuse(struct nm_generator *g, struct nm_job *job, enum nm_err err)
{
    struct nm_chat_fault fault = {.kind = "unsent", .retry_after_ms = -1};
    (void)snprintf(fault.detail, sizeof fault.detail, "task %llu: no request can be made of it: %s",
                   (unsigned long long)job->number, nm_err_name(err));
    nm_warn("%s", fault.detail);
    nm_generator_fail(g, job, &fault, 60000, 0);
}

/* A prompt as long as one that did not fit goes without its examples at once. */
enum nm_err nm_generator_ask(struct nm_generator *g, struct nm_job *job, struct nm_endpoint *endpoint)
{
    enum nm_constraint constraint = nm_constraint_due(g->project, endpoint, job->task.last_try);
    enum nm_err err = NM_OK;
    job->call.brief = false;
    do {
        nm_buf_reset(&g->body);
        err = nm_recipe_ask(g->recipe, &job->task, endpoint->config, constraint, &job->arena, &job->call, &g->body);
        job->prompt_bytes = err == NM_OK ? nm_bound_bytes(&job->call.prompt) : 0;
        if (err != NM_OK || job->call.brief || endpoint->overflowed_at == 0 ||
            job->prompt_bytes < endpoint->overflowed_at)
            break;
        job->call.brief = true;
    } while (true);
    job->prompt_bound = err == NM_OK ? nm_bound_tokens(&endpoint->bound, &job->call.prompt) : 0;
    nm_generator_key_request(job, endpoint->config, (struct nm_str){g->body.data, g->body.len});
    return err;
}

static bool is_too_large(struct nm_generator *g, struct nm_job *job, struct nm_endpoint *endpoint)
{
    if (job->task.prompt_max == 0 || job->prompt_bound <= job->task.prompt_max)
        return false;
    struct nm_chat_fault fault = {.kind = "unsent", .retry_after_ms = -1};
    (void)snprintf(fault.detail, sizeof fault.detail, "task %llu: its prompt may have %llu tokens, %llu were granted",
                   (unsigned long long)job->number, (unsigned long long)job->prompt_bound,
                   (unsigned long long)job->task.prompt_max);
    job->endpoint = endpoint;
    nm_generator_fail(g, job, &fault, 0, 0);
    return true;
}

static void start_call(struct nm_generator *g, struct nm_job *job, struct nm_endpoint *endpoint)
{
    if (nm_generator_reuse(g, job))
        return;
    enum nm_err err = nm_generator_ask(g, job, endpoint);
    if (err == NM_OK && is_too_large(g, job, endpoint))
        return;
    if (err == NM_OK)
        err = nm_llm_start(g->llm, endpoint->target, g->body.data, g->body.len, job);
    if (err != NM_OK) {
        refuse(g, job, err);
        return;
    }
    job->state = NM_JOB_CALLING;
    job->endpoint = endpoint;
    endpoint->in_flight++;
    g->calls++;
}

/* Jobs for an endpoint whose breaker is not closed: back as delayed tasks where the wait is longer than a lease; back
 * at once, for another endpoint, where one has room and they have waited for a moment. */
static void give_back(struct nm_generator *g, size_t i, int64_t now)
{
    const struct nm_endpoint *endpoint = &g->pool.endpoints[i];
    struct nm_job_queue *queue = &g->named[i];
    if (queue->n == 0 || endpoint->breaker.state == NM_BREAKER_CLOSED)
        return;
    int64_t wait = nm_breaker_wait_ms(&endpoint->breaker, now);
    bool late = wait > g->lease_ms, other = nm_pool_other(&g->pool, endpoint, now);
    while (queue->n > 0 && (late || (other && now - queue->head->queued_ms >= FAILOVER_MS))) {
        struct nm_chat_fault fault = {.kind = "unsent", .detail = "its endpoint's circuit breaker is open"};
        struct nm_job *job = nm_job_pop(queue);
        job->endpoint = &g->pool.endpoints[i];
        nm_generator_fail(g, job, &fault, late ? wait : 0,
                          late && endpoint->breaker.why == NM_BREAKER_BUSY ? 429 : 0);
    }
}

static void start_named(struct nm_generator *g, size_t i, int64_t now)
{
    struct nm_endpoint *endpoint = &g->pool.endpoints[i];
    struct nm_job_queue *queue = &g->named[i];
    if (endpoint->breaker.state == NM_BREAKER_STOPPED)
        nm_generator_unsent(g, queue, endpoint->why, true);
    if (queue->n > 0 && endpoint->canary == NM_CANARY_DUE && nm_pool_has_room(endpoint, now))
        start_granted_canary(g, endpoint, queue);
    while (queue->n > 0 && nm_llm_in_flight(g->llm) < g->most && nm_pool_has_room(endpoint, now) &&
           endpoint->canary != NM_CANARY_DUE)
        start_call(g, nm_job_pop(queue), endpoint);
    give_back(g, i, now);
}

void nm_generator_start_calls(struct nm_generator *g)
{
    if (g->leaving)
        return;
    while (g->replays && g->waiting.n > 0)
        nm_generator_replay(g, nm_job_pop(&g->waiting));
    int64_t now = nm_clock_mono_ms();
    for (size_t i = 0; i < g->pool.n; i++)
        start_named(g, i, now);
    for (size_t i = 0; i < g->pool.n && g->waiting.n > 0; i++) /* a broker that names no endpoints */
        if (g->pool.endpoints[i].canary == NM_CANARY_DUE && nm_pool_has_room(&g->pool.endpoints[i], now))
            start_canary(g, &g->pool.endpoints[i]);
    while (g->waiting.n > 0 && nm_llm_in_flight(g->llm) < g->most) {
        struct nm_endpoint *endpoint = nm_pool_pick(&g->pool, now);
        if (endpoint == NULL)
            return;
        start_call(g, nm_job_pop(&g->waiting), endpoint);
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

/* The task whose call the canary used up goes back, with what it used. */
static void give_back_task(struct nm_generator *g, struct nm_job *job, struct nm_chat_fault *fault,
                           const struct nm_llm_outcome *outcome, bool done, int64_t pause)
{
    struct nm_chat_reply reply;
    if (done) {
        *fault =
            (struct nm_chat_fault){.kind = "canary", .detail = "the call found out which constraint is honoured"};
        if (outcome->status == 200 &&
            nm_chat_read(outcome->body, outcome->body_len, &job->arena, &reply, NULL) == NM_OK) {
            fault->tokens_in = reply.tokens_in;
            fault->tokens_out = reply.tokens_out;
        }
    }
    job->canary = false;
    job->granted = false;
    nm_generator_fail(g, job, fault, pause, outcome->status);
}

static void canary_done(struct nm_generator *g, struct nm_job *job, const struct nm_llm_outcome *outcome)
{
    struct nm_endpoint *e = job->endpoint;
    struct nm_chat_fault fault = {.kind = ""};
    struct nm_diag why;
    int64_t pause = 0;
    bool decided = false;
    e->canary = NM_CANARY_DUE;
    bool answered = nm_pool_judge(e, outcome, &fault);
    if (answered && nm_canary_read(e, outcome->body, outcome->body_len, &why) == NM_OK) {
        nm_pool_success(&g->pool, e, nm_clock_mono_ms());
        decided = true;
    } else if (outcome->status == 400 || outcome->status == 422) { /* a strict server: it does not know the field */
        nm_canary_refused(e);
        decided = true;
    } else if (outcome->fault != NM_LLM_CANCELED) {
        if (answered)
            nm_chat_garbage(shown(e), why.text, &fault);
        pause = nm_pool_failure(&g->pool, e, &fault, nm_clock_mono_ms());
    }
    if (job->granted)
        give_back_task(g, job, &fault, outcome, decided, pause);
    else
        nm_job_destroy(&job);
}

enum nm_err nm_generator_keep_answer(struct nm_job *job, const struct nm_llm_outcome *outcome, const char *rule,
                                     const char *detail)
{
    size_t len = outcome->fault == NM_LLM_TOO_LARGE && outcome->body_len > KEPT_OF_TOO_LARGE ? KEPT_OF_TOO_LARGE
                                                                                             : outcome->body_len;
    char *hash = nm_arena_alloc(&job->arena, 33);
    char *body = nm_arena_strndup(&job->arena, outcome->body, len);
    char *why = nm_arena_strndup(&job->arena, detail, strlen(detail));
    if (hash == NULL || body == NULL || why == NULL)
        return NM_ENOMEM;
    nm_hash128_hex(job->call.prompt.hash, hash);
    job->response = (struct nm_msg_response){.task = job->number,
                                             .attempt = job->attempt,
                                             .rule = nm_str(rule),
                                             .detail = nm_str(why),
                                             .entities = job->task.entities,
                                             .n_entities = job->task.n_entities,
                                             .endpoint = nm_str(job->endpoint->config->name),
                                             .model = nm_str(job->endpoint->config->model),
                                             .prompt_hash = nm_str(hash),
                                             .seed = job->call.seed,
                                             .constraint = nm_str(nm_constraint_name(job->call.constraint)),
                                             .status = (uint64_t)outcome->status,
                                             .latency_ms = (uint64_t)(outcome->latency_us / 1000),
                                             .created_ms = (uint64_t)nm_clock_wall_ms(),
                                             .body = {body, len},
                                             .prompt_bound = job->prompt_bound,
                                             .request = job->request,
                                             .body_key = job->body_key,
                                             .line = job->task.line,
                                             .lines = job->task.lines};
    return NM_OK;
}

/* Prompts of about the same size would not fit either. */
static void note_overflow(struct nm_endpoint *e, const struct nm_job *job)
{
    uint64_t about = job->prompt_bytes - job->prompt_bytes / 8;
    if (e->overflowed_at != 0 && e->overflowed_at <= about)
        return;
    e->overflowed_at = about;
    nm_info("endpoint %s: prompts of more than about %llu bytes are too long for it, and go without examples",
            shown(e), (unsigned long long)about);
}

/* The request's trouble, not the endpoint's: logged as an answer that breaks a rule, and not asked again as it was.
 */
static bool absorb(struct nm_generator *g, struct nm_job *job, const struct nm_llm_outcome *outcome,
                   const struct nm_chat_fault *fault)
{
    struct nm_endpoint *e = job->endpoint;
    if (!nm_pool_absorbs(e, fault) || nm_generator_keep_answer(job, outcome, fault->rule, fault->detail) != NM_OK)
        return false;
    job->response.tokens_in = fault->tokens_in;
    job->response.tokens_out = fault->tokens_out;
    if (strcmp(fault->rule, NM_RULE_CONTEXT_OVERFLOW) == 0)
        note_overflow(e, job);
    if (!fault->fatal)
        (void)nm_pool_failure(&g->pool, e, fault, nm_clock_mono_ms());
    return true;
}

void nm_generator_on_done(void *ctx, void *call, const struct nm_llm_outcome *outcome)
{
    struct nm_generator *g = ctx;
    struct nm_job *job = call;
    struct nm_endpoint *e = job->endpoint;
    struct nm_chat_fault fault;
    e->in_flight--;
    if (job->canary) {
        canary_done(g, job, outcome);
        return;
    }
    bool answered = nm_pool_judge(e, outcome, &fault);
    if (answered ? nm_generator_keep_answer(job, outcome, "", "") == NM_OK : absorb(g, job, outcome, &fault)) {
        job->state = NM_JOB_ANSWERED;
        nm_job_push(&g->answered, job);
        g->answers++;
        if (answered)
            nm_pool_heed(e, &outcome->limits, e->config->max_tokens, nm_clock_mono_ms());
        return;
    }
    int64_t pause = fault.retry_after_ms;
    if (outcome->fault != NM_LLM_CANCELED)
        pause = nm_pool_failure(&g->pool, e, &fault, nm_clock_mono_ms());
    nm_generator_fail(g, job, &fault, pause, outcome->status);
}

/* ---- verdicts -------------------------------------------------------------------------------- */

/* What was spooled is no answer after all: an error that came with status 200, mostly. */
static void fail_answer(struct nm_generator *g, struct nm_job *job)
{
    struct nm_endpoint *e = job->endpoint;
    struct nm_chat_fault fault;
    if (job->judged == NM_ESTATE)
        nm_chat_judge_error(job->response.body.ptr, job->response.body.len, shown(e), e->config, &fault);
    else
        nm_chat_garbage(shown(e), job->why != NULL ? job->why : nm_err_name(job->judged), &fault);
    nm_llm_target_mask(e->target, fault.detail, strlen(fault.detail));
    int64_t pause = nm_pool_failure(&g->pool, e, &fault, nm_clock_mono_ms());
    (void)nm_spool_drop(g->spool, (struct nm_spool_key){job->number, job->attempt});
    g->drops = true;
    nm_generator_fail(g, job, &fault, pause, fault.status);
}

/* What the verdict says of the endpoint; of an answer that was not to be judged it was told when that came. */
static void learn(struct nm_generator *g, const struct nm_job *job)
{
    struct nm_chat_fault fault;
    if (job->unreadable) {
        nm_chat_garbage(shown(job->endpoint), job->why != NULL ? job->why : "it cannot be read", &fault);
        (void)nm_pool_failure(&g->pool, job->endpoint, &fault, nm_clock_mono_ms());
    } else if (job->response.status == 200 && job->response.rule.len == 0 && !job->response.reused &&
               job->response.line <= 1) {
        nm_pool_success(&g->pool, job->endpoint, nm_clock_mono_ms());
        nm_bound_learn(&job->endpoint->bound, &job->call.prompt, job->prompt_bound, job->tokens_in);
    }
}

/* Judged, and in the spool if that could be: on to the broker. */
static void pass_on(struct nm_generator *g, struct nm_job *job)
{
    if (job->judged != NM_OK && g->replays) {
        g->fatal = nm_fail(&g->why, job->judged, "task %llu: its recorded answer cannot be judged: %s",
                           (unsigned long long)job->number, job->why != NULL ? job->why : nm_err_name(job->judged));
        return;
    }
    if (job->judged != NM_OK) {
        fail_answer(g, job);
        return;
    }
    learn(g, job);
    g->accepted += job->accepted;
    (void)nm_generator_send_response(g, job, job->frame);
}

static void not_spooled(struct nm_generator *g, size_t answers, enum nm_err err, const struct nm_diag *why)
{
    const char *text = why->text[0] != '\0' ? why->text : nm_err_name(err);
    g->drops = true;
    if (answers == 0) {
        nm_warn("the spool keeps acknowledged answers for now: %s", text);
    } else if (g->fatal == NM_OK) {
        /* what was paid for still reaches the broker from memory; nothing more is bought */
        g->fatal =
            nm_fail(&g->why, err, "the spool in %s cannot take the answers: %s; free some space and start again",
                    g->options->state_dir, text);
        nm_error("%s", g->why.text);
    }
}

void nm_generator_settle(struct nm_generator *g, bool drops)
{
    struct nm_job_queue batch;
    struct nm_diag why;
    enum nm_err spooled;
    struct nm_job *job;
    if (nm_judge_take(g->judge, &batch, &spooled, &why)) {
        if (spooled != NM_OK)
            not_spooled(g, batch.n, spooled, &why);
        while ((job = nm_job_pop(&batch)) != NULL)
            pass_on(g, job);
    }
    if (nm_judge_busy(g->judge) || (g->answered.n == 0 && !(drops && g->drops)))
        return;
    g->drops = false;
    nm_judge_give(g->judge, &g->answered);
}

void nm_generator_settle_all(struct nm_generator *g)
{
    struct pollfd finished = {.fd = nm_judge_fd(g->judge), .events = POLLIN};
    do {
        nm_generator_settle(g, false);
        if (nm_judge_busy(g->judge))
            (void)poll(&finished, 1, -1);
    } while (nm_judge_busy(g->judge) || g->answered.n > 0);
}
