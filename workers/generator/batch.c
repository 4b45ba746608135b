/* batch.c - the worker of an offline batch: what it holds, what comes in, what it hands in. */
#include "workers/generator/batch.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/net.h"
#include "workers/generator/batch_parts.h"
#include "workers/generator/constraint.h"

enum { WELCOME_MS = 30000, QUIET_MS = 30000, STEP_MS = 100 };

static void forget(struct nm_batch *b, struct nm_job *job)
{
    nm_job_remove(&b->jobs, job);
    nm_job_destroy(&job);
}

static struct nm_spool_key key_of(const struct nm_job *job)
{
    return (struct nm_spool_key){job->number, job->attempt};
}

/* ---- requests -------------------------------------------------------------------------------- */

enum nm_err nm_batch_endpoint(struct nm_batch *b, const char *name, struct nm_diag *diag)
{
    uint32_t i = 0;
    while (i < b->project->n_endpoints && name != NULL && strcmp(b->project->endpoints[i].name, name) != 0)
        i++;
    if (i >= b->project->n_endpoints)
        return nm_fail(diag, NM_ENOENT, "the project has no endpoint \"%s\"", name != NULL ? name : "");
    b->endpoint = (struct nm_endpoint){.config = &b->project->endpoints[i]};
    enum nm_constraint named = b->endpoint.config->constraint; /* no canary: what nobody knows is not asked for */
    b->endpoint.honours = named == NM_CONSTRAINT_AUTO ? NM_CONSTRAINT_NONE : named;
    return NM_OK;
}

enum nm_err nm_batch_ask(struct nm_batch *b, struct nm_job *job)
{
    enum nm_constraint constraint = nm_constraint_due(b->project, &b->endpoint, job->task.last_try);
    nm_buf_reset(&b->body);
    enum nm_err err =
        nm_recipe_ask(b->recipe, &job->task, b->endpoint.config, constraint, &job->arena, &job->call, &b->body);
    if (err != NM_OK)
        return err;
    job->endpoint = &b->endpoint;
    job->prompt_bound = job->prompt_bytes = nm_bound_bytes(&job->call.prompt);
    nm_generator_key_request(job, b->endpoint.config, (struct nm_str){b->body.data, b->body.len});
    return NM_OK;
}

/* The same request was answered in an earlier generation: then it goes into no file. */
static bool reuse(struct nm_batch *b, struct nm_job *job)
{
    for (size_t i = 0; i < job->task.n_answers; i++) {
        const struct nm_msg_answer *answer = &job->task.answers[i];
        struct nm_chat_reply reply;
        if (answer->request != job->request ||
            nm_chat_read(answer->body.ptr, answer->body.len, &job->arena, &reply, NULL) != NM_OK)
            continue;
        job->response.body = answer->body;
        job->response.status = 200;
        job->response.reused = true;
        job->response.reused_from = answer->task;
        job->task.n_answers = 0;
        b->reused++;
        nm_batch_answered(b, job);
        return true;
    }
    return false;
}

static enum nm_err refuse(struct nm_batch *b, struct nm_job *job, const char *why)
{
    struct nm_msg_failure failure = {.kind = nm_str("unsent"),
                                     .detail = nm_str(why),
                                     .endpoint = nm_str(b->endpoint.config->name),
                                     .prompt_bound = job->prompt_bound};
    b->unsent++;
    return nm_batch_give_back(b, job, &failure, NULL);
}

static enum nm_err take_task(struct nm_batch *b, const struct nm_msg_task *task)
{
    if (nm_job_find(&b->jobs, task->task, task->attempt) != NULL)
        return NM_OK;
    struct nm_job *job = nm_job_new();
    enum nm_err err = job != NULL ? nm_job_take_task(job, nm_worker_frame(b->worker)) : NM_ENOMEM;
    if (err == NM_OK)
        err = nm_batch_ask(b, job);
    if (err != NM_OK) {
        nm_job_destroy(&job);
        return err;
    }
    nm_job_add(&b->jobs, job);
    if (task->prompt_max > 0 && job->prompt_bound > task->prompt_max)
        return refuse(b, job, "its prompt may have more tokens than were granted");
    static const struct nm_llm_outcome nothing = {.text = "", .body = ""};
    err = nm_generator_keep_answer(job, &nothing, "", "");
    if (err != NM_OK || reuse(b, job))
        return err;
    job->response.created_ms = 0;
    job->task.n_answers = 0;
    b->taken++;
    const struct nm_spool_entry entry = {.task = job->task, .response = job->response};
    err = nm_spool_put(b->asked, &entry);
    nm_arena_clean_up(&job->arena); /* from here on the store has it */
    return err;
}

/* ---- handing in ------------------------------------------------------------------------------ */

void nm_batch_answered(struct nm_batch *b, struct nm_job *job)
{
    job->state = NM_JOB_ANSWERED;
    nm_job_push(&b->answered, job);
}

enum nm_err nm_batch_give_back(struct nm_batch *b, struct nm_job *job, const struct nm_msg_failure *failure,
                               struct nm_diag *diag)
{
    struct nm_msg msg = {.type = NM_MSG_failure, .u.failure = *failure};
    msg.u.failure.task = job->number;
    msg.u.failure.attempt = job->attempt;
    enum nm_err err = nm_spool_drop(b->asked, key_of(job));
    if (err == NM_OK)
        err = nm_spool_drop(b->spool, key_of(job));
    if (err == NM_OK)
        err = nm_spool_commit(b->asked, diag);
    if (err == NM_OK)
        err = nm_spool_commit(b->spool, diag);
    if (err == NM_OK)
        (void)nm_worker_send(b->worker, &msg); /* unsaid, the next hello says it by leaving the task out */
    if (err == NM_OK)
        forget(b, job);
    return err;
}

static void mark_sent(struct nm_batch *b, struct nm_job *job, bool sent)
{
    b->unacknowledged += job->state != NM_JOB_SENT;
    job->state = NM_JOB_SENT;
    job->sent_ms = sent ? nm_clock_mono_ms() : 0;
    nm_arena_clean_up(&job->arena);
}

static enum nm_err pass_on(struct nm_batch *b, struct nm_job *job, struct nm_diag *diag)
{
    if (job->judged == NM_OK) {
        enum nm_err err = nm_worker_send_frame(b->worker, job->frame);
        mark_sent(b, job, err == NM_OK);
        return nm_spool_drop(b->asked, key_of(job)); /* the spool has it now */
    }
    struct nm_msg_failure failure = {.kind = nm_str("garbage"),
                                     .detail = nm_str(job->why != NULL ? job->why : nm_err_name(job->judged)),
                                     .endpoint = job->response.endpoint};
    return nm_batch_give_back(b, job, &failure, diag);
}

/* Out of the spool again. */
static enum nm_err hand_in(struct nm_batch *b, struct nm_job *job, struct nm_diag *diag)
{
    struct nm_spool_entry entry;
    enum nm_err err = nm_spool_get(b->spool, key_of(job), &job->arena, &entry, diag);
    if (err == NM_OK)
        err = nm_recipe_answer(b->recipe, &entry.task, &job->arena, &entry.response, diag);
    if (err != NM_OK)
        return err;
    struct nm_msg msg = {.type = NM_MSG_response, .u.response = entry.response};
    mark_sent(b, job, nm_worker_send(b->worker, &msg) == NM_OK);
    return NM_OK;
}

static enum nm_err hand_in_all(struct nm_batch *b, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    for (struct nm_job *job = b->jobs.all; job != NULL && err == NM_OK; job = job->next)
        if (job->state == NM_JOB_SENT && job->sent_ms == 0) {
            err = hand_in(b, job, diag);
            if (err == NM_OK && job->sent_ms == 0)
                return NM_OK; /* over the high-water mark: later */
        }
    return err;
}

static enum nm_err step(struct nm_batch *b, struct nm_diag *diag)
{
    struct pollfd fds[] = {{.fd = nm_worker_fd(b->worker), .events = POLLIN},
                           {.fd = nm_judge_fd(b->judge), .events = POLLIN}};
    int wait_ms;
    enum nm_err err = nm_worker_step(b->worker, &wait_ms, diag);
    if (err == NM_OK)
        (void)poll(fds, sizeof fds / sizeof *fds, wait_ms < STEP_MS ? wait_ms : STEP_MS);
    if (err == NM_OK && nm_worker_stop_requested() > 0)
        err = nm_fail(diag, NM_ECANCELED, "stopped by a signal; run the same command again to go on");
    return err;
}

static enum nm_err take_judged(struct nm_batch *b, struct nm_diag *diag)
{
    struct nm_job_queue batch;
    enum nm_err spooled, err = NM_OK;
    struct nm_job *job;
    if (nm_judge_take(b->judge, &batch, &spooled, diag)) {
        if (spooled != NM_OK)
            return nm_fail(diag, spooled, "the answers cannot be written to %s: %s", b->options->state_dir,
                           nm_err_name(spooled));
        while (err == NM_OK && (job = nm_job_pop(&batch)) != NULL)
            err = pass_on(b, job, diag);
        if (err == NM_OK)
            err = nm_spool_commit(b->asked, diag);
    }
    if (err == NM_OK && !nm_judge_busy(b->judge) && b->answered.n > 0)
        nm_judge_give(b->judge, &b->answered);
    return err;
}

enum nm_err nm_batch_settle(struct nm_batch *b, struct nm_diag *diag)
{
    size_t before = SIZE_MAX;
    int64_t progress = nm_clock_mono_ms();
    enum nm_err err = take_judged(b, diag);
    while (err == NM_OK && (b->unacknowledged > 0 || b->answered.n > 0 || nm_judge_busy(b->judge))) {
        if (b->unacknowledged != before)
            progress = nm_clock_mono_ms();
        before = b->unacknowledged;
        if (nm_clock_mono_ms() - progress > QUIET_MS)
            return nm_fail(
                diag, NM_ETIMEOUT,
                "the broker has not acknowledged %zu answers: they are kept, and handed in when this is run "
                "again",
                b->unacknowledged);
        err = step(b, diag);
        if (err == NM_OK)
            err = take_judged(b, diag);
        if (err == NM_OK)
            err = hand_in_all(b, diag);
    }
    return err == NM_OK ? nm_spool_commit(b->spool, diag) : err;
}

/* ---- the worker's callbacks ------------------------------------------------------------------ */

static enum nm_err holding(void *ctx, struct nm_arena *arena, struct nm_msg_hold **items, size_t *n)
{
    struct nm_batch *b = ctx;
    *items = nm_arena_alloc(arena, (b->jobs.n + 1) * sizeof **items);
    *n = 0;
    if (*items == NULL)
        return NM_ENOMEM;
    for (const struct nm_job *job = b->jobs.all; job != NULL; job = job->next)
        (*items)[(*n)++] = (struct nm_msg_hold){.task = job->number, .attempt = job->attempt, .keep = true};
    return NM_OK;
}

static enum nm_err welcome(void *ctx, const struct nm_msg_welcome *msg)
{
    (void)msg;
    struct nm_batch *b = ctx;
    for (struct nm_job *job = b->jobs.all; job != NULL; job = job->next)
        job->sent_ms = 0;
    return NM_OK;
}

/* What is out stays out whatever the broker says of it: its answer may be paid for, and is logged when it comes. */
static void take_ack(struct nm_batch *b, const struct nm_msg_hold *item)
{
    struct nm_job *job = nm_job_find(&b->jobs, item->task, item->attempt);
    if (job == NULL || job->state != NM_JOB_SENT || nm_spool_drop(b->spool, key_of(job)) != NM_OK)
        return;
    b->unacknowledged--;
    forget(b, job);
}

static enum nm_err message(void *ctx, const struct nm_msg *msg)
{
    struct nm_batch *b = ctx;
    if (msg->type == NM_MSG_task)
        return take_task(b, &msg->u.task);
    for (size_t i = 0; msg->type == NM_MSG_ack && i < msg->u.ack.n_items; i++)
        take_ack(b, &msg->u.ack.items[i]);
    return NM_OK;
}

/* ---- open and close -------------------------------------------------------------------------- */

static enum nm_err fetch_project(struct nm_batch *b, struct nm_diag *diag)
{
    enum nm_err err = nm_generator_fetch(b->worker, &b->project, &b->recipe, diag);
    if (err == NM_OK && b->project->n_endpoints == 0)
        err = nm_fail(diag, NM_EINVAL, "project %s names no endpoint: add one under endpoints", b->project->name);
    if (err == NM_OK && b->project->generation.replay != NULL)
        err = nm_fail(diag, NM_EINVAL, "project %s replays %s: it has no request to send anywhere", b->project->name,
                      b->project->generation.replay);
    if (err != NM_OK)
        return err;
    const char *name = b->options->endpoint != NULL ? b->options->endpoint : b->project->endpoints[0].name;
    return nm_batch_endpoint(b, name, diag);
}

static enum nm_err open_store(struct nm_batch *b, const char *name, enum nm_job_state state, struct nm_spool **store,
                              struct nm_diag *diag)
{
    char path[4096];
    struct nm_arena arena;
    struct nm_spool_key *keys;
    size_t n = 0, others;
    if (nm_file_join(b->options->state_dir, name, path, sizeof path) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", b->options->state_dir);
    enum nm_err err = nm_spool_open(path, nm_worker_run(b->worker), store, diag);
    if (err != NM_OK)
        return err;
    nm_arena_init(&arena, 0);
    err = nm_spool_keys(*store, &arena, &keys, &n, &others, diag);
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        struct nm_job *job = nm_job_find(&b->jobs, keys[i].task, keys[i].attempt);
        if (job == NULL && (job = nm_job_new()) == NULL)
            err = NM_ENOMEM;
        if (err != NM_OK || job->number != 0 || job->attempt != 0)
            continue; /* answered and still among those that are out: killed in between */
        job->number = keys[i].task;
        job->attempt = keys[i].attempt;
        job->state = state;
        b->unacknowledged += state == NM_JOB_SENT;
        nm_job_add(&b->jobs, job);
    }
    nm_arena_clean_up(&arena);
    return err;
}

enum nm_err nm_batch_open(struct nm_batch *b, const struct nm_batch_options *options, struct nm_diag *diag)
{
    struct nm_worker_role role = {
        .name = "batch", .ctx = b, .holding = holding, .welcome = welcome, .message = message};
    *b = (struct nm_batch){.options = options};
    nm_buf_init(&b->body, 64U << 20);
    nm_net_init();
    nm_worker_catch_signals();
    enum nm_err err = nm_worker_new(&role, options->broker, options->state_dir, &b->worker, diag);
    if (err == NM_OK)
        err = nm_worker_join(b->worker, (int)options->join_ms, diag);
    if (err == NM_OK)
        err = fetch_project(b, diag);
    if (err == NM_OK)
        err = open_store(b, "spool", NM_JOB_SENT, &b->spool, diag); /* first: what is answered is no longer out */
    if (err == NM_OK)
        err = open_store(b, "asked", NM_JOB_QUEUED, &b->asked, diag);
    return err == NM_OK ? nm_judge_new(b->spool, b->recipe, &b->judge, diag) : err;
}

enum nm_err nm_batch_start(struct nm_batch *b, size_t more, struct nm_diag *diag)
{
    int64_t end = nm_clock_mono_ms() + WELCOME_MS;
    nm_worker_set_credit(b->worker, more > 0 ? b->jobs.n + more : 0);
    nm_worker_set_endpoint(b->worker, b->endpoint.config->name);
    enum nm_err err = nm_worker_start(b->worker);
    while (err == NM_OK && !nm_worker_connected(b->worker)) {
        if (nm_clock_mono_ms() > end)
            return nm_fail(diag, NM_ETIMEOUT, "broker %s does not welcome us: is it running, and of this version?",
                           b->options->broker);
        err = step(b, diag);
    }
    return err;
}

void nm_batch_close(struct nm_batch *b)
{
    nm_judge_destroy(&b->judge);
    while (b->jobs.all != NULL)
        forget(b, b->jobs.all);
    nm_spool_close(&b->asked);
    nm_spool_close(&b->spool);
    nm_recipe_destroy(&b->recipe);
    nm_project_destroy(&b->project);
    nm_worker_destroy(&b->worker); /* without goodbye: what is out stays ours */
    nm_net_clean_up();
    nm_buf_clean_up(&b->body);
}
