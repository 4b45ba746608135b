/* worker.h - what every worker shares: hello, leases, heartbeats, blobs, goodbye.
 *
 * The role gives callbacks and drives its own loop: wait on nm_worker_fd (and whatever else it has) for at most the
 * time nm_worker_step asked for, then call nm_worker_step.  The broker may vanish and return at any time: the worker
 * says hello again, with what the role still holds, and the role hands in again what was not acknowledged.
 * One thread.
 */
#ifndef NM_WORKERS_WORKER_H
#define NM_WORKERS_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"
#include "schemas/messages.h"

struct nm_worker;

struct nm_worker_role {
    const char *name;     /* "generator" */
    void *ctx;            /* handed to every callback */
    uint64_t credit;      /* tasks held at once at most */
    const char *endpoint; /* where an aligner serves shards, else NULL */
    const char *peer;     /* what is at the other end, for messages; NULL: "broker" */

    /* places - of an aligner: one more than the last place that has a sample; may be NULL. */
    uint64_t (*places)(void *ctx);
    /* holding - list in arena what was received or stored and is not acknowledged; may be NULL. */
    enum nm_err (*holding)(void *ctx, struct nm_arena *arena, struct nm_msg_hold **items, size_t *n);
    /* welcome - connected, or connected again: hand in what is not acknowledged. */
    enum nm_err (*welcome)(void *ctx, const struct nm_msg_welcome *welcome);
    /* message - a task, align, ack, done or error; its memory lasts until the callback returns. */
    enum nm_err (*message)(void *ctx, const struct nm_msg *msg);
};

/* nm_worker_new - state_dir keeps the worker's persistent id; NULL: a new id each time, for one that only reads
 * blobs. The role is copied.  Connects in the background. */
enum nm_err nm_worker_new(const struct nm_worker_role *role, const char *broker, const char *state_dir,
                          struct nm_worker **worker, struct nm_diag *diag);

/* nm_worker_adopt - have state_dir go by the id of a worker that is gone.  NM_EEXIST: it has another already. */
enum nm_err nm_worker_adopt(const char *state_dir, const char *id, struct nm_diag *diag);
void nm_worker_destroy(struct nm_worker **worker);

/* nm_worker_join - get in touch with the broker before any hello, waiting up to timeout_ms: learns the run's id.
 * NM_ETIMEOUT: nobody answers there; NM_EVERSION: another protocol. */
enum nm_err nm_worker_join(struct nm_worker *worker, int timeout_ms, struct nm_diag *diag);

/* nm_worker_blob - fetch a whole blob of the broker ("project", "entities", "template") into out, waiting up to
 * timeout_ms; checked against its digest.  Allowed before nm_worker_start.  NM_ENOENT: the broker has none. */
enum nm_err nm_worker_blob(struct nm_worker *worker, const char *name, struct nm_buf *out, int timeout_ms,
                           struct nm_diag *diag);

/* nm_worker_set_credit - tasks held at once at most, where it is known only after the project; before the start. */
void nm_worker_set_credit(struct nm_worker *worker, uint64_t credit);

/* nm_worker_set_endpoint - what hello says in that field, likewise; borrowed. */
void nm_worker_set_endpoint(struct nm_worker *worker, const char *endpoint);

/* nm_worker_directory - ask the broker who has the data set, waiting up to timeout_ms; its strings and list go into
 * arena.  Allowed before nm_worker_start. */
enum nm_err nm_worker_directory(struct nm_worker *worker, struct nm_arena *arena, struct nm_msg_directory *directory,
                                int timeout_ms, struct nm_diag *diag);

/* nm_worker_start - say hello: from now on tasks come. */
enum nm_err nm_worker_start(struct nm_worker *worker);

int nm_worker_fd(const struct nm_worker *worker);

/* nm_worker_step - receive and dispatch all there is, keep the heart beating; *wait_ms: call again within that.
 * Returns the first error of a callback; NM_EVERSION, NM_EAUTH: the broker refuses us for good. */
enum nm_err nm_worker_step(struct nm_worker *worker, int *wait_ms, struct nm_diag *diag);

/* nm_worker_frame - the message that role.message is called with, as it came; until that returns. */
struct nm_str nm_worker_frame(const struct nm_worker *worker);

/* nm_worker_send - queue one message to the broker.  NM_EBUSY: over the high-water mark, try after a step. */
enum nm_err nm_worker_send(struct nm_worker *worker, const struct nm_msg *msg);
/* nm_worker_send_frame - the same for a message that is encoded already. */
enum nm_err nm_worker_send_frame(struct nm_worker *worker, struct nm_str frame);

/* nm_worker_goodbye - stop taking tasks; tell the broker.  What is held goes to others. */
void nm_worker_goodbye(struct nm_worker *worker, const char *reason);

const char *nm_worker_id(const struct nm_worker *worker);
const char *nm_worker_run(const struct nm_worker *worker); /* "" before nm_worker_join */
bool nm_worker_connected(const struct nm_worker *worker);  /* welcomed, and heard of lately */

/* nm_worker_stop_requested - SIGTERM or SIGINT came (counted since nm_worker_catch_signals). */
void nm_worker_catch_signals(void);
int nm_worker_stop_requested(void);

#endif
