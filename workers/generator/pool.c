#include "workers/generator/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "schemas/messages.h"
#include "workers/generator/endpoint.h"

/* So many refusals in a row are the endpoint's trouble: 422 says that it does not know a field of ours, which is in
 * every request; 400 and 413 may be earned by one prompt after the other. */
enum { REFUSALS_422 = 3, REFUSALS = 20, OVERFLOWS_FIRST = 8 };

/* ---- life ------------------------------------------------------------------------------------ */

static bool wants_canary(const struct nm_project *project, const struct nm_project_endpoint *config)
{
    return config->constraint == NM_CONSTRAINT_AUTO && project->generation.constrain != NM_CONSTRAIN_NEVER;
}

static enum nm_err init_endpoint(struct nm_endpoint *endpoint, const struct nm_project *project,
                                 const struct nm_project_endpoint *config, const char *dir, struct nm_diag *diag)
{
    *endpoint = (struct nm_endpoint){.config = config,
                                     .canary = wants_canary(project, config) ? NM_CANARY_DUE : NM_CANARY_DONE,
                                     .trying = NM_CONSTRAINT_GRAMMAR,
                                     .honours = config->constraint != NM_CONSTRAINT_AUTO ? config->constraint
                                                                                         : NM_CONSTRAINT_NONE};
    if (strlen(config->name) > NM_NAME_MAX)
        return nm_fail(diag, NM_EINVAL, "an endpoint has a name of more than %d bytes: give it a short name",
                       NM_NAME_MAX);
    if (project->generation.replay != NULL) /* it is never called, and need not be there */
        return NM_OK;
    return nm_endpoint_target(config, dir, &endpoint->target, diag);
}

/* Its key, its file or a variable is not there: that keeps no other one from being called. */
static void stop_one(struct nm_endpoint *endpoint, const struct nm_diag *why)
{
    nm_breaker_stop(&endpoint->breaker);
    (void)snprintf(endpoint->why, sizeof endpoint->why, "%s", why->text);
}

enum nm_err nm_pool_init(struct nm_pool *pool, const struct nm_project *project, const char *dir, uint64_t seed,
                         struct nm_diag *diag)
{
    *pool = (struct nm_pool){0};
    nm_rng_init(&pool->rng, seed);
    if (project->n_endpoints == 0)
        return nm_fail(diag, NM_EINVAL, "project %s names no endpoint: add one under endpoints", project->name);
    pool->endpoints = calloc(project->n_endpoints, sizeof *pool->endpoints);
    if (pool->endpoints == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    enum nm_err first = NM_OK, err = NM_OK;
    size_t usable = 0;
    for (uint32_t i = 0; i < project->n_endpoints && err != NM_ENOMEM; i++) {
        struct nm_endpoint *endpoint = &pool->endpoints[pool->n++];
        struct nm_diag why = {""};
        err = init_endpoint(endpoint, project, &project->endpoints[i], dir, &why);
        usable += err == NM_OK;
        if (err != NM_OK && (first == NM_OK || err == NM_ENOMEM)) {
            first = err;
            *diag = why;
        }
        if (err != NM_OK)
            stop_one(endpoint, &why);
    }
    if (usable == 0 || err == NM_ENOMEM) {
        nm_pool_clean_up(pool);
        return first;
    }
    for (size_t i = 0; i < pool->n; i++)
        if (pool->endpoints[i].breaker.state == NM_BREAKER_STOPPED)
            nm_error("%s; this endpoint is not called, the others are", pool->endpoints[i].why);
    return NM_OK;
}

const char *nm_pool_shown(const struct nm_endpoint *endpoint)
{
    return endpoint->target != NULL ? nm_llm_target_shown(endpoint->target) : endpoint->config->name;
}

void nm_pool_clean_up(struct nm_pool *pool)
{
    for (size_t i = 0; i < pool->n; i++) {
        nm_llm_target_destroy(&pool->endpoints[i].target);
        nm_bound_clean_up(&pool->endpoints[i].bound);
    }
    free(pool->endpoints);
    *pool = (struct nm_pool){0};
}

/* ---- choosing -------------------------------------------------------------------------------- */

bool nm_pool_has_room(const struct nm_endpoint *e, int64_t now_ms)
{
    size_t most = e->canary != NM_CANARY_DONE ? 1 : e->config->concurrency; /* one call at a time finds out */
    return e->in_flight < nm_breaker_room(&e->breaker, most, now_ms);
}

struct nm_endpoint *nm_pool_pick(struct nm_pool *pool, int64_t now_ms)
{
    struct nm_endpoint *best = NULL;
    int64_t total = 0;
    for (size_t i = 0; i < pool->n; i++) {
        struct nm_endpoint *e = &pool->endpoints[i];
        if (!nm_pool_has_room(e, now_ms))
            continue;
        e->turn += e->config->weight;
        total += e->config->weight;
        if (best == NULL || e->turn > best->turn)
            best = e;
    }
    if (best != NULL)
        best->turn -= total;
    return best;
}

bool nm_pool_other(const struct nm_pool *pool, const struct nm_endpoint *endpoint, int64_t now_ms)
{
    for (size_t i = 0; i < pool->n; i++) {
        const struct nm_endpoint *e = &pool->endpoints[i];
        if (e != endpoint && e->breaker.state == NM_BREAKER_CLOSED && nm_pool_has_room(e, now_ms))
            return true;
    }
    return false;
}

int64_t nm_pool_wait_ms(const struct nm_pool *pool, int64_t now_ms)
{
    int64_t least = -1;
    for (size_t i = 0; i < pool->n; i++) {
        int64_t wait = nm_breaker_wait_ms(&pool->endpoints[i].breaker, now_ms);
        if (wait > 0 && (least < 0 || wait < least))
            least = wait;
    }
    return least;
}

size_t nm_pool_capacity(const struct nm_pool *pool)
{
    size_t sum = 0;
    for (size_t i = 0; i < pool->n; i++)
        sum += pool->endpoints[i].config->concurrency;
    return sum;
}

const char *nm_pool_dead(const struct nm_pool *pool, int64_t give_up_ms, int64_t now_ms)
{
    for (size_t i = 0; i < pool->n; i++) {
        const struct nm_breaker *b = &pool->endpoints[i].breaker;
        bool failing = b->failures > 0 && b->state == NM_BREAKER_OPEN; /* or half-open */
        bool given_up = give_up_ms > 0 && failing && now_ms - b->failing_since_ms >= give_up_ms;
        if (b->state != NM_BREAKER_STOPPED && !given_up)
            return NULL;
    }
    return pool->endpoints[0].why;
}

/* ---- what came of a call --------------------------------------------------------------------- */

bool nm_pool_judge(const struct nm_endpoint *e, const struct nm_llm_outcome *outcome, struct nm_chat_fault *fault)
{
    bool answered = nm_chat_judge(outcome, nm_llm_target_shown(e->target), e->config, fault);
    nm_llm_target_mask(e->target, fault->detail, strlen(fault->detail));
    return answered;
}

bool nm_pool_absorbs(struct nm_endpoint *e, const struct nm_chat_fault *fault)
{
    if (fault->rule == NULL || fault->came || e->breaker.state == NM_BREAKER_STOPPED)
        return fault->came;
    bool overflow = strcmp(fault->rule, NM_RULE_CONTEXT_OVERFLOW) == 0;
    unsigned most = fault->status == 422 ? REFUSALS_422 : REFUSALS;
    if (e->breaker.successes == 0) /* a shorter prompt may still do */
        most = overflow ? OVERFLOWS_FIRST : 0;
    return ++e->refusals < most;
}

void nm_pool_success(struct nm_pool *pool, struct nm_endpoint *e, int64_t now_ms)
{
    (void)pool;
    unsigned failures = e->breaker.failures;
    enum nm_breaker_state before = e->breaker.state;
    nm_breaker_success(&e->breaker, now_ms);
    e->refusals = 0;
    if (failures > 0 && before != NM_BREAKER_CLOSED)
        nm_info("endpoint %s answers again", nm_llm_target_shown(e->target));
}

int64_t nm_pool_failure(struct nm_pool *pool, struct nm_endpoint *e, const struct nm_chat_fault *fault,
                        int64_t now_ms)
{
    enum nm_breaker_state before = nm_breaker_look(&e->breaker, now_ms);
    (void)snprintf(e->why, sizeof e->why, "%s", fault->detail);
    if (before == NM_BREAKER_STOPPED)
        return NM_BREAKER_LONGEST_MS;
    if (fault->fatal) {
        nm_breaker_stop(&e->breaker);
        nm_error("%s; this endpoint is not called again", fault->detail);
        return NM_BREAKER_LONGEST_MS;
    }
    int64_t pause = nm_breaker_failure(&e->breaker, fault->why, fault->retry_after_ms, now_ms, &pool->rng);
    unsigned n = e->breaker.failures;
    bool opens = before == NM_BREAKER_CLOSED && e->breaker.state == NM_BREAKER_OPEN;
    if (n == 1 || opens || (before != NM_BREAKER_OPEN && (n & (n - 1)) == 0))
        nm_warn("%s (failure %u in a row, circuit %s, trying again in %.1f s)", fault->detail, n,
                nm_breaker_state_name(e->breaker.state), (double)pause / 1000);
    return pause;
}

void nm_pool_heed(struct nm_endpoint *e, const struct nm_limits *limits, uint64_t tokens, int64_t now_ms)
{
    int64_t wait = nm_limits_wait_ms(limits, false, tokens);
    if (wait <= 0)
        return;
    if (e->breaker.state == NM_BREAKER_CLOSED)
        nm_info("endpoint %s has no request or not enough tokens left: it is left alone for %.1f s",
                nm_llm_target_shown(e->target), (double)wait / 1000);
    nm_breaker_wait(&e->breaker, wait, now_ms);
}
