/* Grants and leases: which call is whose, and how it ended. */
#include "broker/govern.h"

#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/log.h"

struct live {
    struct nm_grant grant;
    uint64_t task;
    uint32_t attempt, worker;
    bool kept; /* in the ledger */
};

static bool is(struct nm_str a, const char *text)
{
    return a.len == strlen(text) && memcmp(a.ptr, text, a.len) == 0;
}

static uint64_t key_of(uint64_t task, uint64_t attempt)
{
    return task << 16 | (attempt & 0xffff); /* plans have less than 2^48 tasks */
}

static uint64_t name_hash(const char *name)
{
    return nm_hash64(name, strlen(name), 0);
}

static bool is_batch(const struct nm_broker *b, uint32_t worker)
{
    return nm_ledger_get_worker(b->ledger, worker)->role == NM_QUEUE_BATCH;
}

static uint32_t endpoint_named(const struct nm_broker *b, const char *name)
{
    uint32_t i = 0;
    while (i < b->project->n_endpoints && strcmp(b->project->endpoints[i].name, name) != 0)
        i++;
    return i;
}

static struct live *find(const struct nm_broker *b, uint64_t task, uint64_t attempt)
{
    struct live *live = nm_map_get(&b->grants, key_of(task, attempt));
    return live && live->task == task && live->attempt == attempt ? live : NULL;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void limits_of(const struct nm_project *project, struct nm_governor_limits *limits)
{
    for (uint32_t i = 0; i < project->n_endpoints; i++) {
        const struct nm_project_endpoint *e = &project->endpoints[i];
        limits[i] = (struct nm_governor_limits){.concurrency = e->concurrency,
                                                .weight = e->weight,
                                                .max_tokens = e->max_tokens,
                                                .requests_per_minute = e->requests_per_minute,
                                                .tokens_per_minute = e->tokens_per_minute,
                                                .price_in = nm_project_price(e->price_in),
                                                .price_out = nm_project_price(e->price_out)};
    }
}

static struct nm_governor_sum budget_of(const struct nm_project *project)
{
    return (struct nm_governor_sum){.requests = project->budget.requests,
                                    .tokens = project->budget.tokens,
                                    .money = (uint64_t)(project->budget.money * 1e6)};
}

/* One endpoint without limits: after a restart its leases tell all there is to know, and the ledger is spared. */
static bool needs_grants(const struct nm_project *project)
{
    const struct nm_governor_sum budget = budget_of(project);
    const struct nm_project_endpoint *e = &project->endpoints[0];
    return project->n_endpoints > 1 || budget.requests || budget.tokens || budget.money || e->requests_per_minute ||
           e->tokens_per_minute;
}

void nm_govern_reload(struct nm_broker *b, const struct nm_project *project)
{
    struct nm_governor_limits *limits = calloc(project->n_endpoints + 1, sizeof *limits);
    if (!limits || project->n_endpoints != b->project->n_endpoints) {
        free(limits);
        return;
    }
    limits_of(project, limits);
    struct nm_governor_sum budget = budget_of(project);
    nm_governor_set(b->governor, limits, &budget);
    b->keeps_grants = b->keeps_grants || needs_grants(project);
    b->told_budget = false;
    free(limits);
}

/* ---- open, restore, close ----------------------------------------------------------------------------------------
 */

enum nm_err nm_govern_open(struct nm_broker *b, struct nm_diag *diag)
{
    struct nm_governor_limits *limits = calloc(b->project->n_endpoints + 1, sizeof *limits);
    struct nm_governor_sum budget = budget_of(b->project);
    if (limits) {
        limits_of(b->project, limits);
        b->governor = nm_governor_new(limits, b->project->n_endpoints, &budget);
    }
    free(limits);
    if (!b->governor)
        return nm_fail(diag, NM_ENOMEM, "no memory for the governor");
    if (nm_govern_verifier(b) != UINT32_MAX)
        nm_governor_set_apart(b->governor, nm_govern_verifier(b));
    b->keeps_grants = needs_grants(b->project);
    return nm_govern_load(b, diag);
}

void nm_govern_close(struct nm_broker *b)
{
    for (size_t i = 0; i < b->grants.cap; i++)
        free(b->grants.slots[i].value);
    nm_map_clean_up(&b->grants);
    nm_buf_clean_up(&b->note);
    nm_governor_destroy(&b->governor);
}

static enum nm_err add_live(struct nm_broker *b, struct live from)
{
    struct live *live = malloc(sizeof *live);
    if (!live)
        return NM_ENOMEM;
    *live = from;
    enum nm_err err = nm_map_put(&b->grants, key_of(live->task, live->attempt), live);
    if (err)
        free(live);
    return err;
}

/* The grant has ended. */
static enum nm_err drop(struct nm_broker *b, struct live *live)
{
    enum nm_err err = live->kept ? nm_ledger_del_grant(b->ledger, live->task, live->attempt) : NM_OK;
    (void)nm_map_del(&b->grants, key_of(live->task, live->attempt));
    free(live);
    return err;
}

/* The lease is lost: its call may have been made.  Not one of a batch, which keeps what it has put into a file. */
static enum nm_err charge(struct nm_broker *b, struct live *live)
{
    if (live->grant.batch) {
        nm_governor_release(b->governor, &live->grant);
        return drop(b, live);
    }
    nm_debug("task %llu.%u: its call may have been made: %llu tokens are counted", (unsigned long long)live->task,
             live->attempt, (unsigned long long)(live->grant.tokens_in + live->grant.tokens_out));
    nm_governor_charge(b->governor, &live->grant, b->now);
    return drop(b, live);
}

static enum nm_err load_grant(void *ctx, const struct nm_ledger_grant *from)
{
    struct nm_broker *b = ctx;
    struct live live = {.grant = {.tokens_in = from->tokens_in, .tokens_out = from->tokens_out, .money = from->money},
                        .task = from->task,
                        .attempt = from->attempt,
                        .worker = from->worker,
                        .kept = true};
    uint32_t i = 0;
    while (i < b->project->n_endpoints && name_hash(b->project->endpoints[i].name) != from->endpoint)
        i++;
    live.grant.endpoint = i < b->project->n_endpoints ? i : 0; /* gone from the project: it counts for the run */
    live.grant.batch = is_batch(b, from->worker);
    nm_governor_restore_grant(b->governor, &live.grant);
    return add_live(b, live);
}

enum nm_err nm_govern_adopt(struct nm_broker *b, const struct nm_queue_task *task)
{
    if (b->replay || task->state != NM_TASK_LEASED || task->share == NM_SHARE_READS ||
        find(b, task->task, task->attempt) || b->project->n_endpoints == 0)
        return NM_OK;
    struct live live = {.grant = nm_governor_most(b->governor, 0),
                        .task = task->task,
                        .attempt = task->attempt,
                        .worker = task->worker};
    live.grant.batch = is_batch(b, task->worker);
    nm_governor_restore_grant(b->governor, &live.grant);
    return add_live(b, live);
}

enum nm_err nm_govern_load_grants(struct nm_broker *b, struct nm_diag *diag)
{
    return nm_ledger_read_grants(b->ledger, load_grant, b, diag);
}

/* A grant without its lease: NULL if there is none.  worker: NM_QUEUE_NOBODY for any. */
static struct live *find_lost(struct nm_broker *b, uint32_t worker)
{
    for (size_t i = 0; i < b->grants.cap; i++) {
        struct live *live = b->grants.slots[i].value;
        struct nm_queue_task task;
        if (!live || (worker != NM_QUEUE_NOBODY && live->worker != worker))
            continue;
        if (!nm_queue_get(b->queue, live->task, &task) || task.state != NM_TASK_LEASED ||
            task.worker != live->worker || task.attempt != live->attempt)
            return live;
    }
    return NULL;
}

enum nm_err nm_govern_sweep(struct nm_broker *b, uint32_t worker)
{
    struct live *live;
    enum nm_err err = NM_OK;
    while (!err && (live = find_lost(b, worker)) != NULL)
        err = charge(b, live);
    return err;
}

enum nm_err nm_govern_restore(struct nm_broker *b, struct nm_diag *diag)
{
    enum nm_err err = nm_govern_sweep(b, NM_QUEUE_NOBODY);
    return err ? nm_fail(diag, err, "no memory for the governor") : NM_OK;
}

/* ---- leases ------------------------------------------------------------------------------------------------------
 */

void nm_govern_gate(struct nm_broker *b)
{
    for (uint32_t i = 0; i < b->project->n_endpoints; i++)
        nm_governor_block(b->governor, i, b->endpoints[i].failed || b->endpoints[i].paused);
    if (b->replay) /* there is no call to hold up */
        return;
    bool room = nm_governor_has_room(b->governor, b->now);
    uint32_t verifier = nm_govern_verifier(b);
    nm_queue_pause(b->queue, NM_PAUSE_GOVERNOR, !room);
    nm_queue_pause(b->queue, NM_PAUSE_VERIFIER,
                   !(verifier == UINT32_MAX ? room : nm_governor_has_room_at(b->governor, verifier, b->now)));
}

uint32_t nm_govern_verifier(const struct nm_broker *b)
{
    const struct nm_project *project = b->project;
    const struct nm_project_verification *v = &project->verification;
    if (v->mode != NM_VERIFY_OFF && v->endpoint && project->n_endpoints > 1) /* a single one does everything */
        for (uint32_t i = 0; i < project->n_endpoints; i++)
            if (strcmp(project->endpoints[i].name, v->endpoint) == 0)
                return i;
    return UINT32_MAX;
}

static bool pick(struct nm_broker *b, const struct nm_queue_lease *lease, struct nm_grant *grant)
{
    uint32_t verifier = nm_govern_verifier(b);
    if (lease->task.verify && verifier != UINT32_MAX)
        return nm_governor_pick_at(b->governor, verifier, b->now, grant);
    if (lease->role != NM_QUEUE_BATCH)
        return nm_governor_pick(b->governor, b->now, grant);
    uint32_t endpoint = endpoint_named(b, nm_ledger_get_worker(b->ledger, lease->worker)->endpoint);
    return endpoint < b->project->n_endpoints && nm_governor_pick_batch(b->governor, endpoint, grant);
}

enum nm_err nm_govern_lease(struct nm_broker *b, const struct nm_queue_lease *lease)
{
    struct live live = {.task = lease->task.task, .attempt = lease->task.attempt, .worker = lease->worker};
    if (b->replay)
        return NM_OK;
    struct live *before = find(b, live.task, live.attempt); /* another worker's, which lost it */
    enum nm_err err = before ? charge(b, before) : NM_OK;
    if (err || !pick(b, lease, &live.grant))
        return err ? err : NM_ESTATE;
    live.kept = b->keeps_grants;
    if (live.kept) {
        const struct nm_ledger_grant kept = {.task = live.task,
                                             .attempt = live.attempt,
                                             .worker = live.worker,
                                             .endpoint = name_hash(b->endpoints[live.grant.endpoint].name),
                                             .tokens_in = live.grant.tokens_in,
                                             .tokens_out = live.grant.tokens_out,
                                             .money = live.grant.money};
        err = nm_ledger_put_grant(b->ledger, &kept);
    }
    return err ? err : add_live(b, live);
}

void nm_govern_name(struct nm_broker *b, struct nm_msg_task *task)
{
    const struct live *live = find(b, task->task, task->attempt);
    if (!live)
        return;
    task->endpoint = nm_str(b->endpoints[live->grant.endpoint].name);
    if (b->keeps_grants)
        task->prompt_max = live->grant.tokens_in;
}

/* ---- the ends ----------------------------------------------------------------------------------------------------
 */

enum nm_err nm_govern_unsent(struct nm_broker *b, const struct nm_queue_lease *lease)
{
    struct live *live = find(b, lease->task.task, lease->task.attempt);
    if (!live || live->worker != lease->worker)
        return NM_OK;
    nm_governor_release(b->governor, &live->grant);
    return drop(b, live);
}

enum nm_err nm_govern_response(struct nm_broker *b, const struct session *s, const struct nm_msg_response *response)
{
    struct live *live = find(b, response->task, response->attempt);
    if (!live || live->worker != s->number) /* counted when its lease was lost, or handed in before */
        return NM_OK;
    uint32_t endpoint = live->grant.endpoint;
    if (response->reused) {
        nm_governor_release(b->governor, &live->grant);
        return drop(b, live);
    }
    nm_governor_settle(b->governor, &live->grant, response->tokens_in, response->tokens_out, b->now);
    if (!live->grant.batch)
        nm_governor_answered(b->governor, endpoint, (int64_t)(response->latency_ms & INT32_MAX), b->now);
    nm_governor_prompt(b->governor, endpoint, response->prompt_bound);
    return drop(b, live);
}

/* What the failure says of its endpoint. */
static void learn(struct nm_broker *b, uint32_t endpoint, const struct nm_msg_failure *f)
{
    nm_governor_prompt(b->governor, endpoint, f->prompt_bound);
    if (is(f->kind, "canary"))
        nm_governor_answered(b->governor, endpoint, 0, b->now);
    bool told = is(f->kind, "unsent") && f->status == 429; /* not called: the endpoint wants to be left alone */
    if (f->fatal || (is(f->kind, "unsent") && !told) || is(f->kind, "shutdown") || is(f->kind, "canary"))
        return;
    bool wait = f->status == 429 || f->status == 503 || f->status == 529;
    enum nm_governor_why why = is(f->kind, "quota") ? NM_WHY_QUOTA : wait ? NM_WHY_RATE : NM_WHY_TROUBLE;
    nm_governor_failed(b->governor, endpoint, why, (int64_t)(f->retry_after_ms & INT32_MAX), b->now);
}

enum nm_err nm_govern_failure(struct nm_broker *b, const struct session *s, const struct nm_msg_failure *f)
{
    struct live *live = find(b, f->task, f->attempt);
    if (!live || live->worker != s->number)
        return NM_OK;
    if (!live->grant.batch)
        learn(b, live->grant.endpoint, f);
    bool refused = f->status >= 300 && (is(f->kind, "http") || is(f->kind, "quota") || is(f->kind, "canary"));
    if (is(f->kind, "unsent") || is(f->kind, "connect"))
        nm_governor_release(b->governor, &live->grant);
    else if (refused && f->tokens_in == 0 && f->tokens_out == 0)
        nm_governor_refused(b->governor, &live->grant, b->now);
    else /* cut off, timed out, not to be read: without a count it may have cost all of it */
        nm_governor_settle(b->governor, &live->grant, f->tokens_in, f->tokens_out, b->now);
    return drop(b, live);
}

/* ---- looking -----------------------------------------------------------------------------------------------------
 */

bool nm_govern_exhausted(const struct nm_broker *b)
{
    return nm_governor_exhausted(b->governor) && nm_queue_count(b->queue, NM_TASK_ACCEPTED) == 0 &&
           nm_queue_count(b->queue, NM_TASK_ALIGNING) == 0;
}

int64_t nm_govern_wait_ms(const struct nm_broker *b, int64_t now)
{
    return nm_governor_wait_ms(b->governor, now);
}

void nm_govern_tell(struct nm_broker *b)
{
    bool exhausted = nm_governor_exhausted(b->governor);
    if (exhausted && !b->told_budget) {
        struct nm_governor_sum spent = nm_governor_spent(b->governor);
        nm_error(
            "the budget is used up: %llu requests, %llu tokens, %.6f in money are spent, and one more call could "
            "exceed it; raise budget in project.yaml and start again (or send SIGHUP) to go on",
            (unsigned long long)spent.requests, (unsigned long long)spent.tokens, (double)spent.money / 1e6);
    }
    b->told_budget = exhausted;
}
