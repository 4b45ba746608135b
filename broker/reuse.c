/* Answers of earlier generations that a task's request may have again.
 *
 * A task of the new generation stands at the same place of the plan as one of an old generation, and where nothing
 * that its request is made of has changed, the request is the same to the byte: the generator finds out, which alone
 * knows requests, by their hashes.  One answer never makes two samples of a data set: it is offered only where every
 * older task at that place is set aside, and to that place's task alone (and to those that share its call: then at
 * all of their places).
 */
#include <string.h>

#include "broker/broker_parts.h"

enum { BODIES_MAX = 1 << 20 }; /* bytes of bodies in one task */

static bool is_known(const struct nm_msg_task *msg, uint64_t request)
{
    for (size_t i = 0; i < msg->n_answers; i++)
        if (msg->answers[i].request == request)
            return true;
    return false;
}

/* Whether the task is set aside, or was never opened: then there is no answer to it. */
static enum nm_err is_aside(struct nm_broker *b, uint64_t task, bool *aside, struct nm_diag *diag)
{
    struct nm_queue_task ended;
    *aside = !nm_queue_get(b->queue, task, &ended);
    enum nm_err err = *aside ? nm_ledger_ended(b->ledger, task, &ended, diag) : NM_ENOENT;
    if (err == NM_ENOENT)
        return NM_OK;
    *aside = ended.state == NM_TASK_ASIDE;
    return err;
}

/* And those that share its call. */
static enum nm_err are_aside(struct nm_broker *b, uint64_t task, uint64_t lines, bool *aside, struct nm_diag *diag)
{
    enum nm_err err = is_aside(b, task, aside, diag);
    for (uint64_t i = 1; i < lines && !err && *aside; i++)
        err = is_aside(b, task + i, aside, diag);
    return err;
}

/* Its answer to that attempt, if there is one that is worth another look. */
static enum nm_err add_answer(struct nm_broker *b, uint64_t task, struct nm_msg_task *msg, size_t *bytes,
                              struct nm_diag *diag)
{
    struct nm_msg_response r;
    enum nm_err err = nm_ledger_read_response(b->ledger, task, msg->attempt, &b->arena, &r, diag);
    if (err)
        return err == NM_ENOENT ? NM_OK : err;
    *bytes += r.body.len;
    if (r.request == 0 || r.status != 200 || r.line > 1 || is_known(msg, r.request) || *bytes > BODIES_MAX)
        return NM_OK;
    msg->answers[msg->n_answers++] =
        (struct nm_msg_answer){.task = task, .request = r.request, .endpoint = r.endpoint, .body = r.body};
    return NM_OK;
}

enum nm_err nm_reuse_offer(struct nm_broker *b, struct nm_msg_task *msg, struct nm_diag *diag)
{
    const uint64_t place = msg->task & (((uint64_t)1 << NM_TASK_GENERATION) - 1);
    uint64_t generation = nm_task_generation(msg->task);
    size_t bytes = 0;
    if (b->replay)
        return nm_replay_offer(b, msg);
    if (!b->project->generation.reuse || generation == 0)
        return NM_OK;
    msg->answers = nm_arena_alloc(&b->arena, NM_ANSWERS_MAX * sizeof *msg->answers);
    if (!msg->answers)
        return NM_ENOMEM;
    bool aside = true;
    enum nm_err err = NM_OK;
    while (!err && generation-- > 0) {
        uint64_t task = generation << NM_TASK_GENERATION | place;
        err = are_aside(b, task, msg->lines, &aside, diag);
        if (!err && !aside) { /* its sample stays, and may be made of the same answer as one of an older generation */
            msg->n_answers = 0;
            return NM_OK;
        }
        if (!err && msg->n_answers < NM_ANSWERS_MAX)
            err = add_answer(b, task, msg, &bytes, diag);
    }
    return err;
}
