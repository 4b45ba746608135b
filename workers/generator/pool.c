#include "workers/generator/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "schemas/messages.h"

enum { CONNECT_MS = 10000, FIRST_PAUSE_MS = 500, LONGEST_PAUSE_MS = 30000, LOADING_MS = 1000, QUOTA_MS = 60000 };

/* ---- life ------------------------------------------------------------------------------------ */

static bool wants_canary(const struct nm_project *project, const struct nm_project_endpoint *config)
{
    return config->constraint == NM_CONSTRAINT_AUTO && project->generation.constrain != NM_CONSTRAIN_NEVER;
}

static enum nm_err init_endpoint(struct nm_endpoint *endpoint, const struct nm_project *project,
                                 const struct nm_project_endpoint *config, struct nm_diag *diag)
{
    char key[320];
    struct nm_buf url;
    nm_buf_init(&url, 8192);
    *endpoint = (struct nm_endpoint){.config = config,
                                     .canary = wants_canary(project, config) ? NM_CANARY_DUE : NM_CANARY_DONE,
                                     .trying = NM_CONSTRAINT_GRAMMAR,
                                     .honours = config->constraint != NM_CONSTRAINT_AUTO ? config->constraint
                                                                                         : NM_CONSTRAINT_NONE};
    (void)snprintf(key, sizeof key, "endpoint %s: url", config->name);
    if (strlen(config->name) > NM_NAME_MAX)
        return nm_fail(diag, NM_EINVAL, "an endpoint has a name of more than %d bytes: give it a short name",
                       NM_NAME_MAX);
    enum nm_err err = nm_project_expand(key, config->url, &url, diag);
    if (err == NM_OK) {
        /* shown: the name once, even where it is the url */
        struct nm_llm_target_options options = {.name = strcmp(config->name, config->url) == 0 ? "" : config->name,
                                                .url = nm_buf_str(&url),
                                                .api_key_env = config->api_key_env,
                                                .connect_timeout_ms = CONNECT_MS,
                                                .timeout_ms = (int64_t)config->timeout_s * 1000};
        err = nm_llm_target_new(&options, &endpoint->target, diag);
    }
    nm_buf_clean_up(&url);
    return err;
}

enum nm_err nm_pool_init(struct nm_pool *pool, const struct nm_project *project, uint64_t seed, struct nm_diag *diag)
{
    *pool = (struct nm_pool){0};
    nm_rng_init(&pool->rng, seed);
    if (project->n_endpoints == 0)
        return nm_fail(diag, NM_EINVAL, "project %s names no endpoint: add one under endpoints", project->name);
    pool->endpoints = calloc(project->n_endpoints, sizeof *pool->endpoints);
    if (pool->endpoints == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < project->n_endpoints; i++) {
        pool->n++;
        enum nm_err err = init_endpoint(&pool->endpoints[i], project, &project->endpoints[i], diag);
        if (err != NM_OK) {
            nm_pool_clean_up(pool);
            return err;
        }
    }
    return NM_OK;
}

void nm_pool_clean_up(struct nm_pool *pool)
{
    for (size_t i = 0; i < pool->n; i++)
        nm_llm_target_destroy(&pool->endpoints[i].target);
    free(pool->endpoints);
    *pool = (struct nm_pool){0};
}

/* ---- choosing -------------------------------------------------------------------------------- */

bool nm_pool_has_room(const struct nm_endpoint *e, int64_t now_ms)
{
    if (e->stopped || now_ms < e->paused_until)
        return false;
    bool careful = e->failures > 0 || e->canary != NM_CANARY_DONE; /* one call at a time finds out */
    return e->in_flight < (careful ? 1 : e->config->concurrency);
}

struct nm_endpoint *nm_pool_pick(struct nm_pool *pool, int64_t now_ms)
{
    for (size_t i = 0; i < pool->n; i++) {
        struct nm_endpoint *e = &pool->endpoints[(pool->turn + i) % pool->n];
        if (nm_pool_has_room(e, now_ms)) {
            pool->turn = (pool->turn + i + 1) % pool->n;
            return e;
        }
    }
    return NULL;
}

int64_t nm_pool_wait_ms(const struct nm_pool *pool, int64_t now_ms)
{
    int64_t wait = -1;
    for (size_t i = 0; i < pool->n; i++) {
        const struct nm_endpoint *e = &pool->endpoints[i];
        if (e->stopped || e->paused_until <= now_ms)
            continue;
        if (wait < 0 || e->paused_until - now_ms < wait)
            wait = e->paused_until - now_ms;
    }
    return wait;
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
        const struct nm_endpoint *e = &pool->endpoints[i];
        bool given_up = give_up_ms > 0 && e->failures > 0 && now_ms - e->failing_since >= give_up_ms;
        if (!e->stopped && !given_up)
            return NULL;
    }
    return pool->endpoints[0].why;
}

/* ---- what came of a call --------------------------------------------------------------------- */

void nm_pool_success(struct nm_pool *pool, struct nm_endpoint *e)
{
    (void)pool;
    if (e->failures > 0)
        nm_info("endpoint %s answers again", nm_llm_target_shown(e->target));
    e->successes++;
    e->failures = 0;
    e->paused_until = 0;
}

/* Full jitter over a doubling limit (Brooker 2015, "Exponential backoff and jitter"); not under half the limit for
 * the first, so that a burst of failing calls does not come back at once. */
static int64_t back_off(struct nm_pool *pool, unsigned failures)
{
    int64_t limit = FIRST_PAUSE_MS;
    for (unsigned i = 1; i < failures && limit < LONGEST_PAUSE_MS; i++)
        limit *= 2;
    limit = limit < LONGEST_PAUSE_MS ? limit : LONGEST_PAUSE_MS;
    return limit / 4 + (int64_t)nm_rng_below(&pool->rng, (uint64_t)(limit - limit / 4));
}

static int64_t pause_of(struct nm_pool *pool, const struct nm_endpoint *e, const struct nm_chat_fault *fault)
{
    int64_t pause = back_off(pool, e->failures);
    if (strcmp(fault->kind, "quota") == 0)
        pause = QUOTA_MS / 2 + pause;
    else if (fault->loading)
        pause = LOADING_MS / 2 + (int64_t)nm_rng_below(&pool->rng, LOADING_MS / 2);
    return fault->retry_after_ms > pause ? fault->retry_after_ms : pause;
}

int64_t nm_pool_failure(struct nm_pool *pool, struct nm_endpoint *e, const struct nm_chat_fault *fault,
                        int64_t now_ms)
{
    (void)snprintf(e->why, sizeof e->why, "%s", fault->detail);
    if (e->stopped)
        return LONGEST_PAUSE_MS;
    if (fault->fatal) {
        e->stopped = true;
        nm_error("%s; this endpoint is not called again", fault->detail);
        return LONGEST_PAUSE_MS;
    }
    if (now_ms < e->paused_until) /* the rest of a burst: one pause is enough */
        return e->paused_until - now_ms;
    if (e->failures++ == 0)
        e->failing_since = now_ms;
    int64_t pause = pause_of(pool, e, fault);
    e->paused_until = now_ms + pause;
    if (e->failures == 1 || (e->failures & (e->failures - 1)) == 0)
        nm_warn("%s (failure %u in a row, trying again in %.1f s)", fault->detail, e->failures, (double)pause / 1000);
    return pause;
}
