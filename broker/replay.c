/* A run that calls nobody: every request is answered from the response log of another run (recorded.h).
 *
 * Replayed on any number of generators, in whatever order their answers come, the data set is the same.  What a
 * request is and how its answer is judged follow from the task alone; what does not is settled here:
 *
 *   - a text refused for what had been accepted before it is refused again, another one never;
 *   - the tasks are those that the recorded run had opened, each run to its end: where the goal is the recorded one,
 *     all of them; where it is another, they are opened in order while those that are accepted or may still be are
 *     fewer than the goal, which leaves the first so many that can be accepted;
 *   - a task that the recorded run had not finished is buried, and extra tasks ask for what they asked for then;
 *   - a call asks for the sentences that it asked for then.
 */
#include <string.h>

#include "broker/broker_parts.h"
#include "common/log.h"

static uint64_t without_generation(uint64_t task)
{
    return task & (((uint64_t)1 << NM_TASK_GENERATION) - 1);
}

/* ---- open ------------------------------------------------------------------------------------ */

static bool searches_duplicates(const struct nm_project_dedup *d)
{
    return d->exact || d->near > 0 || d->per_template > 0;
}

enum nm_err nm_replay_open(struct nm_broker *b, const char *path, struct nm_diag *diag)
{
    const struct nm_project_dedup *d = &b->project->dedup;
    const struct nm_buf *text = &b->blobs[NM_BLOB_REPLAY].data;
    enum nm_err err = nm_recorded_parse(nm_buf_str(text), text->len, path, &b->replay, diag);
    if (err)
        return err;
    const struct nm_recorded_head *head = nm_recorded_head(b->replay);
    bool same = d->exact == head->exact && d->near >= head->near && d->near <= head->near &&
                d->per_template == head->per_template;
    if (searches_duplicates(d) && !same)
        return nm_fail(
            diag, NM_EINVAL,
            "%s was recorded with dedup: {exact: %s, near: %g, per_template: %llu}: which texts are refused "
            "depends on the order in which they came, so a replay has the same settings, or none of them",
            path, head->exact ? "true" : "false", head->near, (unsigned long long)head->per_template);
    memset(&b->project->budget, 0, sizeof b->project->budget); /* nothing is spent */
    return NM_OK;
}

uint64_t nm_replay_goal(const struct nm_broker *b, uint64_t goal)
{
    return b->replay && goal == nm_recorded_head(b->replay)->goal ? UINT64_MAX / 2 : goal;
}

bool nm_replay_skips(const struct nm_broker *b, uint64_t task)
{
    return b->replay && nm_recorded_unfinished(b->replay, without_generation(task));
}

void nm_replay_shares(void *ctx, uint64_t task, uint32_t *line, uint32_t *lines)
{
    const struct nm_broker *b = ctx;
    nm_recorded_shares(b->replay, without_generation(task), line, lines);
}

/* ---- extra tasks ----------------------------------------------------------------------------- */

bool nm_replay_is_short(const struct nm_broker *b)
{
    return nm_replay_goal(b, b->goal) != b->goal &&
           nm_queue_get_totals(b->queue)->extra < nm_recorded_head(b->replay)->extra;
}

/* What the next extra task asked for; the recorded run may never have been answered. */
static enum nm_err read_extra(struct nm_broker *b, uint64_t task, struct nm_plan_task *t)
{
    struct nm_recorded_answer recorded;
    enum nm_err err = nm_recorded_get(b->replay, task, 1, &b->arena, &recorded);
    t->n_entities = 0;
    for (uint64_t i = 0; !err && i < recorded.n_entities && i < NM_PLAN_ENTITIES_MAX; i++)
        if (recorded.entities[i] < nm_entities_count(b->entities)) /* of other lists: its request is another one */
            t->entities[t->n_entities++] = recorded.entities[i];
    return err == NM_ENOENT ? NM_OK : err;
}

enum nm_err nm_replay_ask(struct nm_broker *b, bool *opened)
{
    uint64_t task;
    *opened = nm_replay_is_short(b) && nm_queue_wants_extra(b->queue);
    if (!*opened)
        return NM_OK;
    enum nm_err err = nm_queue_open_extra(b->queue, &task);
    if (!err)
        err = read_extra(b, without_generation(task), &b->task);
    if (!err && b->task.n_entities == 0) /* an empty list is none: what it asks for does not matter */
        b->task.entities[b->task.n_entities++] = 0;
    return err ? err : nm_ledger_extra(b->ledger, task, b->task.entities, b->task.n_entities);
}

/* ---- answers --------------------------------------------------------------------------------- */

enum nm_err nm_replay_offer(struct nm_broker *b, struct nm_msg_task *msg)
{
    struct nm_recorded_answer recorded;
    enum nm_err err = nm_recorded_get(b->replay, without_generation(msg->task), msg->attempt, &b->arena, &recorded);
    if (err)
        return err == NM_ENOENT ? NM_OK : err;
    msg->answers = nm_arena_alloc(&b->arena, sizeof *msg->answers);
    if (!msg->answers)
        return NM_ENOMEM;
    msg->answers[0] = recorded.answer;
    msg->n_answers = 1;
    return NM_OK;
}

enum nm_err nm_replay_judge(struct nm_broker *b, struct nm_msg_response *response)
{
    struct nm_recorded_answer recorded;
    if (nm_response_rejected(response) || !searches_duplicates(&b->project->dedup))
        return NM_OK;
    enum nm_err err =
        nm_recorded_get(b->replay, without_generation(response->task), response->attempt, &b->arena, &recorded);
    if (err)
        return err == NM_ENOENT ? NM_OK : err;
    if (recorded.refused.len == 0)
        return NM_OK;
    response->accepted = false;
    response->rule = recorded.refused;
    response->detail = recorded.why;
    return NM_OK;
}
