/* Asking again: entities with too few accepted texts get extra tasks, once the plan's own are through.
 *
 * What an extra task asks for follows from the ledger's state when it is opened, and is recorded there, as it can't
 * be computed from its number.  Its length, style and section are those of the plan's task of the same index.
 */
#include <stdlib.h>
#include <string.h>

#include "broker/broker_parts.h"
#include "common/hash.h"
#include "common/log.h"

/* An extra task that has no accepted text yet. */
struct asking {
    uint32_t n;
    uint64_t entities[];
};

/* ---- what a task asks for ----------------------------------------------------------------------------------------
 */

static enum nm_err extra_task(struct nm_broker *b, uint64_t task, struct nm_diag *diag)
{
    struct nm_plan_task *t = &b->task;
    nm_plan_task(b->plan, nm_task_index(task), t);
    t->seed = nm_mix64(t->seed ^ NM_TASK_EXTRA);
    t->negative = false;
    enum nm_err err = nm_ledger_read_extra(b->ledger, task, t->entities, NM_PLAN_ENTITIES_MAX, &t->n_entities, diag);
    t->n_entities = err ? 0 : t->n_entities;
    return err;
}

enum nm_err nm_again_task(struct nm_broker *b, uint64_t task, struct nm_diag *diag)
{
    if (nm_task_generation(task) != nm_ledger_generation(b->ledger))
        return nm_generation_task(b, task, diag);
    if (nm_task_is_extra(task))
        return extra_task(b, task, diag);
    nm_plan_task(b->plan, nm_task_index(task), &b->task);
    return NM_OK;
}

uint64_t nm_again_samples(const struct nm_broker *b, const struct nm_project *project)
{
    uint64_t uses = nm_entities_count(b->entities) * project->goal.min_per_entity;
    return project->goal.samples ? project->goal.samples : nm_plan_tasks(b->plan, uses);
}

/* ---- what is short --------------------------------------------------------------------------- */

static void note(struct nm_broker *b, uint64_t entity, int pending)
{
    struct nm_ledger_entity e = nm_ledger_get_entity(b->ledger, entity);
    struct nm_coverage_facts facts = {.accepted = e.accepted, .in_a_row = e.in_a_row, .alone = e.alone};
    uint64_t given_up = nm_coverage_given_up(b->coverage);
    nm_coverage_note(b->coverage, entity, &facts, pending);
    if (nm_coverage_given_up(b->coverage) > given_up && b->again_open)
        nm_warn("entity %s is given up: %u answers in a row were rejected, %u of %u texts are there",
                nm_entities_get(b->entities, (size_t)entity)->text, e.alone, e.accepted,
                b->project->goal.min_per_entity);
}

static enum nm_err remember(struct nm_broker *b, uint64_t task, const uint64_t *entities, uint32_t n)
{
    struct asking *asking = malloc(sizeof *asking + n * sizeof asking->entities[0]);
    if (!asking)
        return NM_ENOMEM;
    asking->n = n;
    if (n)
        memcpy(asking->entities, entities, n * sizeof entities[0]);
    enum nm_err err = nm_map_put(&b->asking, task, asking);
    if (err) {
        free(asking);
        return err;
    }
    for (uint32_t i = 0; i < n; i++)
        note(b, entities[i], 1);
    return NM_OK;
}

static void forget(struct nm_broker *b, uint64_t task)
{
    struct asking *asking = nm_map_del(&b->asking, task);
    for (uint32_t i = 0; asking && i < asking->n; i++)
        note(b, asking->entities[i], -1);
    free(asking);
}

static bool asks(const struct nm_queue_task *task)
{
    return task->state == NM_TASK_READY || task->state == NM_TASK_DELAYED || task->state == NM_TASK_LEASED;
}

static enum nm_err look_up(struct nm_broker *b, uint64_t task)
{
    struct nm_diag diag = {""};
    enum nm_err err = extra_task(b, task, &diag);
    return err ? err : remember(b, task, b->task.entities, b->task.n_entities);
}

enum nm_err nm_again_changed(struct nm_broker *b, const struct nm_queue_task *task)
{
    if (!b->coverage || !nm_task_is_extra(task->task))
        return NM_OK;
    if (!asks(task))
        forget(b, task->task);
    else if (!nm_map_get(&b->asking, task->task)) /* a dead one that was kicked */
        return look_up(b, task->task);
    return NM_OK;
}

/* A restored task: what it asks for is read once the ledger is no longer being walked. */
enum nm_err nm_again_restore(struct nm_broker *b, const struct nm_queue_task *task)
{
    if (!b->coverage || !nm_task_is_extra(task->task) || !asks(task))
        return NM_OK;
    return remember(b, task->task, NULL, 0);
}

enum nm_err nm_again_restored(struct nm_broker *b, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < b->asking.cap && !err; i++) {
        struct asking *before = b->asking.slots[i].value;
        if (!before)
            continue;
        err = look_up(b, b->asking.slots[i].key); /* replaces the value in its place */
        if (err)
            return nm_fail(diag, NM_EFORMAT, "ledger %s is damaged: what task %llu asks for is not there",
                           nm_ledger_path(b->ledger), (unsigned long long)b->asking.slots[i].key);
        free(before);
    }
    nm_again_settle(b);
    return err;
}

enum nm_err nm_again_open(struct nm_broker *b, struct nm_diag *diag)
{
    const struct nm_coverage_goal goal = {.entities = nm_entities_count(b->entities),
                                          .min_per_entity = b->project->goal.min_per_entity,
                                          .give_up = b->project->goal.give_up};
    if (goal.min_per_entity == 0 || b->replay) /* a replay asks again as it was asked then */
        return NM_OK;
    b->coverage = nm_coverage_new(&goal);
    if (!b->coverage)
        return nm_fail(diag, NM_ENOMEM, "no memory for the coverage of %llu entities",
                       (unsigned long long)goal.entities);
    for (uint64_t i = 0; i < goal.entities; i++)
        note(b, i, 0);
    return NM_OK;
}

void nm_again_settle(struct nm_broker *b)
{
    if (b->replay)
        nm_queue_hold_phase(b->queue, nm_replay_is_short(b));
    else if (b->coverage)
        nm_queue_hold_phase(b->queue, nm_coverage_short(b->coverage) > 0);
}

void nm_again_clean_up(struct nm_broker *b)
{
    for (size_t i = 0; i < b->asking.cap; i++)
        free(b->asking.slots[i].value);
    nm_map_clean_up(&b->asking);
    nm_coverage_destroy(&b->coverage);
}

/* ---- answers --------------------------------------------------------------------------------- */

enum nm_err nm_again_accepted(struct nm_broker *b, uint64_t task)
{
    struct nm_diag diag = {""};
    enum nm_err err = nm_again_task(b, task, &diag);
    for (uint32_t i = 0; !err && i < b->task.n_entities; i++) {
        err = nm_ledger_cover(b->ledger, b->task.entities[i], false);
        if (!err && b->coverage)
            note(b, b->task.entities[i], 0);
    }
    return err;
}

enum nm_err nm_again_rejected(struct nm_broker *b, uint64_t task, struct nm_str rule)
{
    struct nm_diag diag = {""};
    enum nm_err err = nm_again_task(b, task, &diag);
    for (uint32_t i = 0; !err && i < b->task.n_entities; i++) {
        err = nm_ledger_reject(b->ledger, b->task.entities[i], rule, b->task.n_entities == 1);
        if (!err && b->coverage)
            note(b, b->task.entities[i], 0);
    }
    return err;
}

enum nm_err nm_again_uncover(struct nm_broker *b, uint64_t task)
{
    struct nm_diag diag = {""};
    enum nm_err err = nm_again_task(b, task, &diag);
    for (uint32_t i = 0; !err && i < b->task.n_entities; i++) {
        err = nm_ledger_cover(b->ledger, b->task.entities[i], true);
        if (!err && b->coverage)
            note(b, b->task.entities[i], 0);
    }
    return err;
}

/* ---- asking ---------------------------------------------------------------------------------- */

enum nm_err nm_again_ask(struct nm_broker *b, bool *opened)
{
    *opened = false;
    if (b->replay)
        return nm_replay_ask(b, opened);
    if (!b->coverage || !nm_queue_wants_extra(b->queue))
        return NM_OK;
    const struct nm_range *range = &b->project->generation.entities;
    uint64_t index = nm_queue_get_totals(b->queue)->extra, entities[NM_PLAN_ENTITIES_MAX], task;
    uint32_t max = range->min + (uint32_t)(index % (range->max - range->min + 1));
    uint32_t n = nm_coverage_next(b->coverage, max, entities);
    if (n == 0)
        return NM_OK;
    if (!b->again_open)
        nm_info("%llu entities have fewer than %u texts: they are asked for again",
                (unsigned long long)nm_coverage_short(b->coverage), b->project->goal.min_per_entity);
    b->again_open = true;
    enum nm_err err = nm_queue_open_extra(b->queue, &task);
    if (!err)
        err = nm_ledger_extra(b->ledger, task, entities, n);
    *opened = !err;
    return err ? err : remember(b, task, entities, n);
}
