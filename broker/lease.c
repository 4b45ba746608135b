/* What workers are given: decided before the commit, sent after it. */
#include <stdlib.h>
#include <string.h>

#include "broker/govern.h"
#include "common/clock.h"
#include "common/hash.h"
#include "common/log.h"

enum { LEASES_A_TURN = 4096 };
_Static_assert((int)NM_SENTENCES_PER_CALL_MAX <= (int)NM_LINES_MAX, "a task has to name them all");

static enum nm_err reserve_lease(struct nm_broker *b)
{
    if (b->n_leases < b->cap_leases)
        return NM_OK;
    size_t cap = b->cap_leases ? b->cap_leases * 2 : 64;
    struct nm_queue_lease *bigger = realloc(b->leases, cap * sizeof *bigger);
    if (!bigger)
        return NM_ENOMEM;
    b->leases = bigger;
    b->cap_leases = cap;
    return NM_OK;
}

/* Offline batches first: a person waits for them, for a moment. */
static enum nm_err assign_batches(struct nm_broker *b)
{
    while (b->n_leases < LEASES_A_TURN) {
        enum nm_err err = reserve_lease(b);
        if (err)
            return err;
        struct nm_queue_lease *lease = &b->leases[b->n_leases];
        err = nm_queue_assign_batch(b->queue, b->now, lease);
        if (err)
            return err == NM_ENOENT ? NM_OK : err;
        err = nm_govern_lease(b, lease);
        if (err == NM_ESTATE) { /* the budget does not hold it */
            nm_queue_return(b->queue, lease->worker, lease->task.task);
            return NM_OK;
        }
        if (err)
            return err;
        b->n_leases++;
    }
    return NM_OK;
}

enum nm_err nm_lease_assign(struct nm_broker *b)
{
    enum nm_err failed = assign_batches(b);
    if (failed)
        return failed;
    while (b->n_leases < LEASES_A_TURN) {
        failed = reserve_lease(b);
        if (failed)
            return failed;
        nm_govern_gate(b);
        struct nm_queue_lease *lease = &b->leases[b->n_leases];
        enum nm_err err = nm_queue_assign(b->queue, b->now, lease);
        bool again = true, assigned = !err;
        if (err == NM_ENOENT)
            err = nm_again_ask(b, &again);
        else
            b->n_leases += !err;
        bool calls = lease->role == NM_QUEUE_GENERATOR && lease->task.share != NM_SHARE_READS;
        if (!err && assigned && calls)
            err = nm_govern_lease(b, lease);
        if (err || !again)
            return err;
    }
    return NM_OK;
}

static enum nm_err name_entities(struct nm_broker *b, struct nm_msg_ask *msg)
{
    msg->n_entities = b->task.n_entities;
    msg->entities = nm_arena_alloc(&b->arena, msg->n_entities * sizeof *msg->entities + 1);
    if (!msg->entities)
        return NM_ENOMEM;
    for (uint32_t i = 0; i < b->task.n_entities; i++) {
        const struct nm_entity *entity = nm_entities_get(b->entities, (size_t)b->task.entities[i]);
        msg->entities[i] = (struct nm_msg_entity){.text = {entity->text, entity->len},
                                                  .type = nm_str(nm_entities_type_name(b->entities, entity->type)),
                                                  .index = b->task.entities[i]};
    }
    return NM_OK;
}

/* What was wrong with the attempt before. */
static enum nm_err add_feedback(struct nm_broker *b, struct nm_msg_task *msg, struct nm_diag *diag)
{
    struct nm_msg_response last;
    if (msg->attempt == 1)
        return NM_OK;
    enum nm_err err = nm_ledger_read_response(b->ledger, msg->task, msg->attempt - 1, &b->arena, &last, diag);
    if (err)
        return err;
    if (last.accepted) /* buried by hand, and kicked: nothing was wrong with it */
        return NM_OK;
    msg->feedback_text = last.text;
    msg->verify = !nm_response_rejected(&last);
    if (msg->verify) {
        msg->mentions = last.mentions;
        msg->n_mentions = last.n_mentions;
        return NM_OK;
    }
    msg->feedback_rule = last.rule;
    msg->feedback_detail = last.detail;
    msg->feedback_start = last.span_start;
    msg->feedback_end = last.span_end;
    return NM_OK;
}

/* A share of the samples uses a word that only looks like an entity: a function of the task alone. */
static enum nm_err pick_decoy(struct nm_broker *b, struct nm_str *out)
{
    char decoy[NM_DECOY_MAX];
    if (!nm_decoys_pick(b->decoys, b->task.negative, b->task.seed, decoy))
        return NM_OK;
    *out = nm_str(nm_arena_strndup(&b->arena, decoy, strlen(decoy)));
    return out->ptr ? NM_OK : NM_ENOMEM;
}

/* What a task asks for, out of the plan. */
static enum nm_err describe(struct nm_broker *b, uint64_t task, uint64_t attempt, struct nm_msg_ask *ask,
                            struct nm_diag *diag)
{
    enum nm_err err = nm_again_task(b, task, diag);
    if (err)
        return err;
    /* 31 bits: what every server takes for a seed. */
    *ask = (struct nm_msg_ask){.seed = nm_mix64(b->task.seed + attempt) & 0x7fffffff,
                               .negative = b->task.negative,
                               .style = nm_str(b->styles[b->task.style]),
                               .min_words = b->task.min_words,
                               .max_words = b->task.max_words};
    if (b->project->generation.n_sections)
        ask->section = nm_str(b->project->generation.sections[b->task.section]);
    err = name_entities(b, ask);
    return err ? err : pick_decoy(b, &ask->decoy);
}

/* The other sentences that its call asks for. */
static enum nm_err add_asks(struct nm_broker *b, const struct nm_queue_task *task, struct nm_msg_task *msg,
                            struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    msg->asks = nm_arena_alloc(&b->arena, task->lines * sizeof *msg->asks);
    if (!msg->asks)
        return NM_ENOMEM;
    for (uint32_t i = 1; i < task->lines && !err; i++)
        err = describe(b, task->task + i, task->attempt, &msg->asks[msg->n_asks++], diag);
    return err;
}

/* The answer to the call that it shared. */
static enum nm_err add_shared_answer(struct nm_broker *b, const struct nm_queue_task *task, struct nm_msg_task *msg,
                                     struct nm_diag *diag)
{
    struct nm_msg_response r;
    enum nm_err err = nm_ledger_read_response(b->ledger, nm_task_leader(task), task->attempt, &b->arena, &r, diag);
    if (err)
        return err;
    msg->answers = nm_arena_alloc(&b->arena, sizeof *msg->answers);
    if (!msg->answers)
        return NM_ENOMEM;
    msg->n_answers = 1;
    msg->answers[0] = (struct nm_msg_answer){.task = r.task,
                                             .request = r.request,
                                             .endpoint = r.endpoint,
                                             .body = r.body,
                                             .prompt_hash = r.prompt_hash,
                                             .seed = r.seed,
                                             .constraint = r.constraint};
    return NM_OK;
}

static enum nm_err build_task(struct nm_broker *b, const struct nm_queue_task *task, struct nm_msg *msg,
                              struct nm_diag *diag)
{
    struct nm_msg_task *t = &msg->u.task;
    struct nm_msg_ask ask;
    enum nm_err err = describe(b, task->task, task->attempt, &ask, diag);
    if (err)
        return err;
    *t = (struct nm_msg_task){.task = task->task,
                              .attempt = task->attempt,
                              .seed = ask.seed,
                              .entities = ask.entities,
                              .n_entities = ask.n_entities,
                              .negative = ask.negative,
                              .style = ask.style,
                              .section = ask.section,
                              .min_words = ask.min_words,
                              .max_words = ask.max_words,
                              .decoy = ask.decoy,
                              .last_try = nm_queue_last_try(b->queue, task),
                              .line = task->line,
                              .lines = task->lines};
    msg->type = NM_MSG_task;
    nm_govern_name(b, t);
    if (task->share == NM_SHARE_READS)
        return add_shared_answer(b, task, t, diag);
    if (task->share == NM_SHARE_LEADS)
        err = add_asks(b, task, t, diag);
    if (!err)
        err = nm_reuse_offer(b, t, diag);
    return err ? err : add_feedback(b, t, diag);
}

/* What was verified was made by the attempt before: that is where it comes from. */
enum nm_err nm_lease_align(struct nm_ledger *ledger, const struct nm_msg_response *response, struct nm_arena *arena,
                           struct nm_msg_align *align, struct nm_diag *diag)
{
    struct nm_msg_response made;
    *align = nm_recent_align(response);
    if (!response->verifies)
        return NM_OK;
    enum nm_err err = nm_ledger_read_response(ledger, response->task, response->attempt - 1, arena, &made, diag);
    if (err)
        return err;
    align->prompt_hash = made.prompt_hash;
    align->model = made.model;
    align->seed = made.seed;
    align->constraint = made.constraint;
    return NM_OK;
}

static enum nm_err build_align(struct nm_broker *b, const struct nm_queue_task *task, struct nm_msg *msg,
                               struct nm_diag *diag)
{
    struct nm_msg_response r;
    enum nm_err err = nm_ledger_read_response(b->ledger, task->task, task->attempt, &b->arena, &r, diag);
    if (err)
        return err;
    msg->type = NM_MSG_align;
    return nm_lease_align(b->ledger, &r, &b->arena, &msg->u.align, diag);
}

static enum nm_err send_lease(struct nm_broker *b, const struct nm_queue_lease *lease, struct nm_diag *diag)
{
    struct nm_msg msg;
    struct nm_str frame;
    if (lease->role == NM_QUEUE_ALIGNER && nm_recent_get(&b->recent, lease->task.task, lease->task.attempt, &frame)) {
        if (nm_session_send_frame(b, b->sessions[lease->worker], frame))
            nm_queue_return(b->queue, lease->worker, lease->task.task);
        else
            nm_latency_sent(&b->latency, lease->task.task, nm_clock_mono_us());
        return NM_OK;
    }
    enum nm_err err = lease->role == NM_QUEUE_ALIGNER ? build_align(b, &lease->task, &msg, diag)
                                                      : build_task(b, &lease->task, &msg, diag);
    if (err == NM_ENOENT || err == NM_EFORMAT)
        return nm_fail(diag, NM_EFORMAT, "ledger %s is damaged: the answer to task %llu is not to be read",
                       nm_ledger_path(b->ledger), (unsigned long long)lease->task.task);
    if (err)
        return err;
    err = nm_session_send(b, b->sessions[lease->worker], &msg);
    if (err) {
        nm_queue_return(b->queue, lease->worker, lease->task.task);
        enum nm_err governed = lease->role != NM_QUEUE_ALIGNER ? nm_govern_unsent(b, lease) : NM_OK;
        return err == NM_ENOMEM ? err : governed;
    }
    nm_latency_sent(&b->latency, lease->task.task, nm_clock_mono_us());
    return NM_OK;
}

enum nm_err nm_lease_send(struct nm_broker *b, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < b->n_leases && !err; i++) {
        nm_arena_reset(&b->arena);
        err = send_lease(b, &b->leases[i], diag);
    }
    b->n_leases = 0;
    nm_recent_forget(&b->recent);
    return err;
}
