/* intake.c - what the broker says, and handing in what it has not acknowledged. */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "workers/generator/generator_parts.h"

enum { AGAIN_MS = 30000 }; /* an answer unacknowledged for so long is handed in again; doing so has no effect twice */

static void forget(struct nm_generator *g, struct nm_job *job)
{
    nm_job_remove(&g->jobs, job);
    nm_job_destroy(&job);
}

/* ---- handing in ------------------------------------------------------------------------------ */

enum nm_err nm_generator_send_response(struct nm_generator *g, struct nm_job *job, struct nm_str frame)
{
    enum nm_err err = nm_worker_send_frame(g->worker, frame);
    job->state = NM_JOB_SENT;
    job->sent_ms = err == NM_OK ? nm_clock_mono_ms() : 0;
    g->hand_in |= err != NM_OK;
    if (err != NM_OK && err != NM_EBUSY)
        nm_error("task %llu.%llu: its answer cannot be sent: %s", (unsigned long long)job->number,
                 (unsigned long long)job->attempt, nm_err_name(err));
    nm_arena_clean_up(&job->arena); /* from here on the spool has it */
    job->task = (struct nm_msg_task){0};
    job->response = (struct nm_msg_response){0};
    job->packed = job->frame = (struct nm_str){0};
    return err;
}

/* Out of the spool again: the verdict is a pure function of what stands there. */
static enum nm_err hand_in_one(struct nm_generator *g, struct nm_job *job)
{
    struct nm_spool_entry entry;
    struct nm_arena arena;
    struct nm_diag why = {""};
    nm_arena_init(&arena, 0);
    enum nm_err err = nm_spool_get(g->spool, (struct nm_spool_key){job->number, job->attempt}, &arena, &entry, &why);
    if (err == NM_OK)
        err = nm_recipe_answer(g->recipe, &entry.task, &arena, &entry.response, &why);
    struct nm_msg msg = {.type = NM_MSG_response, .u.response = entry.response};
    nm_buf_reset(&g->body);
    if (err == NM_OK)
        err = nm_msg_encode(&msg, &g->body);
    if (err == NM_OK) {
        err = nm_generator_send_response(g, job, (struct nm_str){g->body.data, g->body.len});
    } else if (err == NM_EFORMAT || err == NM_ESTATE || err == NM_ENOENT) {
        /* an error with status 200, spooled when the process was killed: the task goes back by the next hello */
        nm_warn("task %llu.%llu: the spooled answer is of no use: %s", (unsigned long long)job->number,
                (unsigned long long)job->attempt, why.text);
        (void)nm_spool_drop(g->spool, (struct nm_spool_key){job->number, job->attempt});
        g->drops = true;
        struct nm_chat_fault fault = {.kind = "garbage", .retry_after_ms = -1};
        (void)snprintf(fault.detail, sizeof fault.detail, "%.600s", why.text);
        nm_generator_fail(g, job, &fault, 0, 0);
        err = NM_OK;
    }
    nm_arena_clean_up(&arena);
    return err;
}

void nm_generator_hand_in(struct nm_generator *g, int64_t now)
{
    if (!nm_worker_connected(g->worker))
        return;
    g->hand_in = false;
    struct nm_job *next;
    for (struct nm_job *job = g->jobs.all; job != NULL; job = next) {
        next = job->next;
        if (job->state != NM_JOB_SENT || (job->sent_ms != 0 && now - job->sent_ms < AGAIN_MS))
            continue;
        if (hand_in_one(g, job) == NM_EBUSY) {
            g->hand_in = true;
            return;
        }
    }
}

enum nm_err nm_generator_recover(struct nm_generator *g, struct nm_diag *diag)
{
    struct nm_arena arena;
    struct nm_spool_key *keys;
    size_t n = 0, others = 0;
    nm_arena_init(&arena, 0);
    enum nm_err err = nm_spool_keys(g->spool, &arena, &keys, &n, &others, diag);
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        struct nm_job *job = nm_job_new();
        if (job == NULL) {
            err = nm_fail(diag, NM_ENOMEM, "out of memory");
            break;
        }
        job->number = keys[i].task;
        job->attempt = keys[i].attempt;
        job->state = NM_JOB_SENT;
        nm_job_add(&g->jobs, job);
        g->hand_in = true;
    }
    if (n > 0)
        nm_info("%zu answers in the spool are handed in again", n);
    if (others > 0)
        nm_info("%zu answers in the spool belong to other runs and stay there", others);
    nm_arena_clean_up(&arena);
    return err;
}

/* ---- failures -------------------------------------------------------------------------------- */

static struct nm_str keep(struct nm_job *job, const char *s, size_t max)
{
    size_t len = strlen(s);
    return nm_str(nm_arena_strndup(&job->arena, s, len < max ? len : max));
}

void nm_generator_fail(struct nm_generator *g, struct nm_job *job, const struct nm_chat_fault *fault,
                       int64_t pause_ms, long status)
{
    const char *name = job->endpoint != NULL ? job->endpoint->config->name : "";
    job->state = NM_JOB_FAILED;
    job->failure = (struct nm_msg_failure){.task = job->number,
                                           .attempt = job->attempt,
                                           .kind = nm_str(fault->kind),
                                           .endpoint = keep(job, name, NM_NAME_MAX),
                                           .detail = keep(job, fault->detail, NM_LINE_MAX),
                                           .status = status > 0 ? (uint64_t)status : 0,
                                           .retry_after_ms = pause_ms > 0 ? (uint64_t)pause_ms : 0,
                                           .fatal = fault->fatal,
                                           .tokens_in = fault->tokens_in,
                                           .tokens_out = fault->tokens_out,
                                           .prompt_bound = job->prompt_bound};
    nm_job_push(&g->failed, job);
    g->failures++;
}

/* In the table until it is on its way: a hello before that does not list it, and so gives it back as well. */
void nm_generator_send_failed(struct nm_generator *g)
{
    while (g->failed.n > 0) {
        struct nm_job *job = g->failed.head;
        struct nm_msg msg = {.type = NM_MSG_failure, .u.failure = job->failure};
        enum nm_err err = nm_worker_send(g->worker, &msg);
        if (err == NM_EBUSY)
            return;
        if (err != NM_OK)
            nm_error("task %llu: its failure cannot be sent: %s", (unsigned long long)job->number, nm_err_name(err));
        (void)nm_job_pop(&g->failed);
        forget(g, job);
    }
}

/* ---- the worker's callbacks ------------------------------------------------------------------ */

enum nm_err nm_generator_holding(void *ctx, struct nm_arena *arena, struct nm_msg_hold **items, size_t *n)
{
    struct nm_generator *g = ctx;
    struct nm_msg_hold *list = nm_arena_alloc(arena, (g->jobs.n + 1) * sizeof *list);
    if (list == NULL)
        return NM_ENOMEM;
    size_t count = 0;
    for (const struct nm_job *job = g->jobs.all; job != NULL; job = job->next)
        if (job->state != NM_JOB_FAILED)
            list[count++] = (struct nm_msg_hold){.task = job->number, .attempt = job->attempt, .keep = true};
    *items = list;
    *n = count;
    return NM_OK;
}

enum nm_err nm_generator_welcome(void *ctx, const struct nm_msg_welcome *welcome)
{
    struct nm_generator *g = ctx;
    g->lease_ms = (int64_t)welcome->lease_ms;
    g->told_circuits = false;
    for (struct nm_job *job = g->jobs.all; job != NULL; job = job->next)
        if (job->state == NM_JOB_SENT)
            job->sent_ms = 0;
    g->hand_in = true; /* from the loop: this callback runs in the middle of receiving */
    return NM_OK;
}

static enum nm_err take_task(struct nm_generator *g, const struct nm_msg_task *task)
{
    struct nm_job *job = nm_job_find(&g->jobs, task->task, task->attempt);
    if (job != NULL) { /* leased to us again: an answer we have is handed in again, the rest goes on */
        if (job->state == NM_JOB_SENT) {
            job->sent_ms = 0;
            g->hand_in = true;
        }
        return NM_OK;
    }
    job = nm_job_new();
    if (job == NULL)
        return NM_ENOMEM;
    enum nm_err err = nm_job_take_task(job, nm_worker_frame(g->worker));
    if (err != NM_OK) {
        nm_job_destroy(&job);
        return err;
    }
    job->queued_ms = nm_clock_mono_ms();
    nm_job_add(&g->jobs, job);
    if (!nm_generator_read_shared(g, job))
        nm_job_push(nm_generator_queue(g, job), job);
    return NM_OK;
}

static void take_ack(struct nm_generator *g, const struct nm_msg_hold *item)
{
    struct nm_job *job = nm_job_find(&g->jobs, item->task, item->attempt);
    if (job == NULL)
        return;
    if (job->state == NM_JOB_QUEUED && !item->keep) {
        nm_job_unqueue(nm_generator_queue(g, job), job);
        forget(g, job);
    } else if (job->state == NM_JOB_SENT) {
        if (nm_spool_drop(g->spool, (struct nm_spool_key){item->task, item->attempt}) != NM_OK)
            return; /* acknowledged once more after it is handed in again */
        g->drops = true;
        forget(g, job);
    } /* a call in flight is paid for: it is finished and handed in */
}

enum nm_err nm_generator_message(void *ctx, const struct nm_msg *msg)
{
    struct nm_generator *g = ctx;
    switch (msg->type) {
    case NM_MSG_task:
        return take_task(g, &msg->u.task);
    case NM_MSG_ack:
        for (size_t i = 0; i < msg->u.ack.n_items; i++)
            take_ack(g, &msg->u.ack.items[i]);
        return NM_OK;
    case NM_MSG_done:
        g->done = true;
        return NM_OK;
    default:
        nm_debug("a %s message is not for a generator", nm_msg_type_name(msg->type));
        return NM_OK;
    }
}
