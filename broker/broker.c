#include "broker/broker.h"

#include <stdio.h>

#include "broker/dedup.h"
#include "broker/govern.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"

enum {
    TICK_MS = 1000,
    MESSAGES_A_TURN = 4096,
    BYTES_A_TURN = 16 << 20 /* of messages, before their effects are committed */
};

/* ---- taking in ------------------------------------------------------------------------------- */

static enum nm_err dispatch_known(struct nm_broker *b, struct session *s, const struct nm_msg *msg)
{
    static const struct nm_msg beat = {.type = NM_MSG_heartbeat};
    bool aligner = nm_ledger_get_worker(b->ledger, s->number)->role == NM_QUEUE_ALIGNER;
    s->seen = b->now;
    nm_queue_heard(b->queue, s->number, b->now);
    if (msg->type == NM_MSG_heartbeat) {
        nm_broker_reply(b, &s->peer, &beat);
        return NM_OK;
    }
    if (msg->type == NM_MSG_goodbye) {
        return nm_session_goodbye(b, s, &msg->u.goodbye);
    }
    if (msg->type == NM_MSG_response && !aligner)
        return nm_answer_response(b, s, &msg->u.response);
    if (msg->type == NM_MSG_failure && !aligner)
        return nm_answer_failure(b, s, &msg->u.failure);
    if (msg->type == NM_MSG_aligned && aligner)
        return nm_answer_aligned(b, s, &msg->u.aligned);
    if (msg->type == NM_MSG_sealed && aligner)
        return nm_directory_sealed(b, s, &msg->u.sealed);
    if (msg->type == NM_MSG_circuits && !aligner)
        return nm_circuits_heard(b, s, &msg->u.circuits);
    b->malformed++;
    nm_broker_refuse(b, &s->peer, NM_EINVAL, "a message that this role does not send to a broker");
    return NM_OK;
}

static enum nm_err dispatch(struct nm_broker *b, const struct nm_peer *peer, const struct nm_msg *msg)
{
    if (msg->type == NM_MSG_hello)
        return nm_session_hello(b, peer, &msg->u.hello);
    if (msg->type == NM_MSG_blob_read) {
        nm_serve_blob(b, peer, &msg->u.blob_read);
        return NM_OK;
    }
    if (msg->type == NM_MSG_directory_read) {
        nm_directory_answer(b, peer);
        return NM_OK;
    }
    if (msg->type == NM_MSG_training) {
        nm_training_heard(b, &msg->u.training);
        return NM_OK;
    }
    struct session *s = nm_session_of_peer(b, peer);
    bool leaves = s && msg->type == NM_MSG_goodbye;
    enum nm_err err = s ? dispatch_known(b, s, msg) : NM_OK;
    b->unknown += s == NULL;
    if (!err && !leaves && !(s && s->connected))
        nm_broker_refuse(b, peer, NM_ESTATE, "the broker does not know the sender: say hello first");
    return err;
}

/* Everything that waits, up to the bounds of a turn; *more: there may be more. */
static enum nm_err take_in(struct nm_broker *b, bool *more)
{
    size_t bytes = 0;
    *more = false;
    for (int i = 0; i < MESSAGES_A_TURN && bytes < BYTES_A_TURN; i++) {
        struct nm_peer peer = {.len = 0};
        struct nm_msg msg;
        struct nm_diag why = {""};
        enum nm_err err = nm_socket_recv(b->work, &peer, &b->in);
        if (err == NM_EBUSY || err == NM_ECANCELED)
            return NM_OK;
        bytes += b->in.len;
        nm_arena_reset(&b->arena);
        if (err == NM_ELIMIT || err == NM_EFORMAT)
            nm_fail(&why, err,
                    err == NM_ELIMIT ? "a message over %d bytes"
                                     : "a message must be one frame, of %d bytes "
                                       "at most",
                    (int)NM_FRAME_MAX);
        else if (!err)
            err = nm_msg_decode(b->in.data, b->in.len, &b->arena, &msg, &why);
        if (err == NM_ENOMEM)
            return err;
        if (err) {
            b->malformed++;
            nm_debug("a frame is refused: %s", why.text);
            if (peer.len)
                nm_broker_refuse(b, &peer, err == NM_EVERSION ? NM_EFORMAT : err, why.text);
            continue;
        }
        err = dispatch(b, &peer, &msg);
        if (err)
            return err;
    }
    *more = true;
    return NM_OK;
}

/* ---- one turn -------------------------------------------------------------------------------- */

static enum nm_err expire(struct nm_broker *b)
{
    uint32_t worker;
    enum nm_err err = NM_OK;
    while (nm_queue_expire(b->queue, b->now, &worker)) {
        uint64_t total = nm_queue_get_totals(b->queue)->expired;
        nm_warn("worker %s is silent: its tasks go to others", nm_ledger_get_worker(b->ledger, worker)->id);
        if (worker < b->n_sessions && b->sessions[worker])
            nm_session_lost(b, b->sessions[worker]);
        nm_ledger_counters(b->ledger)->expired += total - b->expired;
        b->expired = total;
        if (!err)
            err = nm_govern_sweep(b, worker);
    }
    return err;
}

static enum nm_err record_task(void *ctx, const struct nm_queue_task *task)
{
    struct nm_broker *b = ctx;
    struct nm_queue_task t = *task;
    t.due_ms += nm_clock_wall_ms() - b->now;
    enum nm_err err = nm_again_changed(b, task);
    if (!err)
        err = nm_ledger_task(b->ledger, &t);
    if (!err && task->state == NM_TASK_DEAD && nm_replay_skips(b, task->task))
        err = nm_ledger_bury(b->ledger, task->task, task->attempt, "the run that is replayed had not finished it");
    return err;
}

enum nm_err nm_broker_flush(struct nm_broker *b)
{
    return nm_queue_flush(b->queue, record_task, b);
}

enum nm_err nm_broker_commit(struct nm_broker *b, struct nm_diag *diag)
{
    struct nm_ledger_counters *c = nm_ledger_counters(b->ledger);
    enum nm_err err = nm_broker_flush(b);
    if (!err)
        err = nm_govern_record(b);
    if (!err)
        err = nm_dedup_turn(b);
    if (err)
        return nm_fail(diag, err, "ledger %s: %s while preparing a commit", nm_ledger_path(b->ledger),
                       nm_err_name(err));
    const struct nm_queue_totals *t = nm_queue_get_totals(b->queue);
    nm_again_settle(b);
    c->opened = t->opened;
    c->extra = t->extra;
    c->done = t->done;
    c->dead = t->dead;
    c->dropped = t->dropped;
    err = nm_ledger_commit(b->ledger, diag);
    if (!err)
        nm_dedup_committed(b);
    if (!err && nm_ledger_commits(b->ledger) != b->measured) {
        b->measured = nm_ledger_commits(b->ledger);
        nm_window_add(&b->latency.steps[NM_STEP_FSYNC], (uint64_t)nm_ledger_commit_us(b->ledger), b->now);
    }
    if (!err && nm_ledger_commit_us(b->ledger) > b->slowest_commit_us)
        b->slowest_commit_us = nm_ledger_commit_us(b->ledger);
    return err;
}

static void tell_phase(struct nm_broker *b)
{
    enum nm_phase phase = nm_queue_phase(b->queue);
    if (phase == b->phase)
        return;
    b->phase = phase;
    const struct nm_queue_totals *t = nm_queue_get_totals(b->queue);
    if (phase == NM_PHASE_DRAINED)
        nm_info("drained: nothing is open any more; nermill resume goes on");
    if (phase == NM_PHASE_STUCK)
        nm_error("stuck: %llu tasks were tried for %llu samples, and %llu of them are done; look at the rules that "
                 "reject the texts, then change the model or the prompt",
                 (unsigned long long)t->opened, (unsigned long long)b->goal, (unsigned long long)t->done);
    if (phase != NM_PHASE_COMPLETE)
        return;
    nm_info("%s: %llu samples", b->replay ? "all is replayed" : "the goal is reached", (unsigned long long)t->done);
    for (uint32_t i = 0; i < b->n_sessions; i++)
        if (b->sessions[i] && nm_ledger_get_worker(b->ledger, i)->role == NM_QUEUE_GENERATOR)
            nm_session_send_done(b, b->sessions[i]);
}

static enum nm_err turn(struct nm_broker *b, bool *more, struct nm_diag *diag)
{
    b->now = nm_clock_mono_ms();
    enum nm_err err = take_in(b, more);
    if (!err)
        err = expire(b);
    if (!err && !b->stopping)
        err = nm_lease_assign(b);
    if (err)
        return nm_fail(diag, err, "the broker stops: %s", nm_err_name(err));
    err = nm_broker_commit(b, diag);
    if (err)
        return err;
    nm_session_send_acks(b);
    err = nm_lease_send(b, diag);
    tell_phase(b);
    return err;
}

/* durability: interval.  The first commit after a sync begins the interval, so that no commit waits for longer. */
static enum nm_err sync_ledger(struct nm_broker *b, struct nm_diag *diag)
{
    uint64_t commits = nm_ledger_commits(b->ledger);
    if (b->project->broker.durability != NM_DURABILITY_INTERVAL || commits == b->synced)
        return NM_OK;
    int64_t now = nm_clock_mono_ms();
    if (b->sync_ms == 0)
        b->sync_ms = now + b->project->broker.sync_interval_ms;
    if (now < b->sync_ms && !b->stopping)
        return NM_OK;
    b->synced = commits;
    b->sync_ms = 0;
    return nm_ledger_sync(b->ledger, diag);
}

static int wait_ms(const struct nm_broker *b, bool more)
{
    int64_t now = nm_clock_mono_ms(), wait = b->tick_ms - now, queue = nm_queue_wait_ms(b->queue, now);
    if (more || wait < 0)
        return 0;
    if (queue >= 0 && queue < wait)
        wait = queue;
    if (b->sync_ms && b->sync_ms - now < wait)
        wait = b->sync_ms > now ? b->sync_ms - now : 0;
    int64_t room = nm_govern_wait_ms(b, now);
    if (room >= 0 && room < wait)
        wait = room;
    if (b->stop_ms && b->stop_ms - now < wait)
        wait = b->stop_ms > now ? b->stop_ms - now : 0;
    return (int)wait;
}

void nm_broker_set_goal(struct nm_broker *b, uint64_t goal)
{
    b->goal = goal;
    nm_queue_set_goal(b->queue, nm_replay_goal(b, goal),
                      b->replay ? nm_recorded_head(b->replay)->tasks : OPENED_MAX(goal));
}

/* ---- the end ------------------------------------------------------------------------------------------------------
 */

static void begin_stop(struct nm_broker *b)
{
    b->stopping = true;
    b->stop_ms = nm_clock_mono_ms() + b->drain_ms;
    (void)nm_notify("STOPPING=1\nSTATUS=finishing what workers are at");
    if (nm_session_busy(b))
        nm_info("stopping: what workers are at is waited for, %lld s at most", (long long)(b->drain_ms / 1000));
}

/* A first signal lets workers hand in what they are at; a second one, or the shutdown command, ends it at once. */
static bool is_over(struct nm_broker *b, const struct nm_broker_signals *signals)
{
    if (signals->stop > 0 && !b->stopping)
        begin_stop(b);
    if (!b->stopping)
        return false;
    return b->stop_ms == 0 || signals->stop > 1 || nm_clock_mono_ms() >= b->stop_ms || !nm_session_busy(b);
}

static void tick(struct nm_broker *b)
{
    char status[200];
    b->tick_ms = nm_clock_mono_ms() + TICK_MS;
    nm_govern_tell(b);
    nm_stats_tick(b);
    (void)snprintf(status, sizeof status, "%s: %llu of %llu samples", nm_broker_state(b),
                   (unsigned long long)nm_queue_get_totals(b->queue)->done, (unsigned long long)b->goal);
    nm_notify_alive(status);
}

/* Wait for messages, take a turn, answer people; *more: something is left to do at once. */
static enum nm_err serve(struct nm_broker *b, bool *more, struct nm_diag *diag)
{
    struct nm_socket *const sockets[] = {b->work, b->stats};
    bool ready[2], changed = false;
    enum nm_err err = nm_net_wait(sockets, 2, wait_ms(b, *more), ready);
    if (err == NM_ECANCELED)
        return NM_OK;
    err = err ? nm_fail(diag, err, "waiting for messages: %s", nm_err_name(err)) : turn(b, more, diag);
    if (!err)
        err = nm_stats_answer(b, &changed, diag);
    if (!err)
        err = sync_ledger(b, diag);
    *more = *more || changed;
    if (!err && nm_clock_mono_ms() >= b->tick_ms)
        tick(b);
    return err;
}

enum nm_err nm_broker_run(struct nm_broker *b, struct nm_broker_signals *signals, struct nm_diag *diag)
{
    const struct nm_queue_totals *t = nm_queue_get_totals(b->queue);
    nm_info("run %s: %llu of %llu samples are there; listening on %s, statistics on %s", nm_ledger_run(b->ledger),
            (unsigned long long)t->done, (unsigned long long)b->goal, nm_socket_endpoint(b->work),
            nm_socket_endpoint(b->stats));
    (void)nm_notify("READY=1");
    bool more = false;
    enum nm_err err = NM_OK;
    b->tick_ms = nm_clock_mono_ms();
    while (!err && !is_over(b, signals)) {
        err = serve(b, &more, diag);
        if (!err && signals->reload) {
            signals->reload = 0;
            (void)nm_notify("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)nm_clock_mono_ms() * 1000);
            err = nm_reload(b, diag);
            (void)nm_notify("READY=1");
        }
    }
    if (!err) { /* what is still in the socket is taken in, too */
        b->stopping = true;
        err = turn(b, &more, diag);
    }
    if (!err)
        err = sync_ledger(b, diag);
    if (!err)
        nm_session_send_goodbye(b);
    return err;
}
