/* worker_parts.h - the insides of a worker, shared by worker*.c only. */
#ifndef NM_WORKER_PARTS_H
#define NM_WORKER_PARTS_H

#include "common/net.h"
#include "workers/worker/worker.h"

enum { NM_HELLO_AGAIN_MS = 1000, NM_WORKER_ID_SIZE = 64 };

struct nm_worker {
    struct nm_worker_role role;
    struct nm_socket *socket;
    char *broker;
    const char *peer;
    char id[NM_WORKER_ID_SIZE];
    char run[NM_NAME_MAX + 1];
    char host[NM_NAME_MAX];
    struct nm_arena arena; /* one message at a time */
    struct nm_buf in, out;
    bool started, welcomed, leaving;
    bool linked;         /* there was a connection when we last looked */
    uint64_t generation; /* of the run, + 1; 0: not yet known */
    int64_t heartbeat_ms, last_sent, last_heard, notified_ms;
};

/* worker_id.c: nm_worker_load_id - out of the state directory, where it is put if it is not there; NULL: a new one.
 */
enum nm_err nm_worker_load_id(struct nm_worker *worker, const char *state_dir, struct nm_diag *diag);

/* worker.c: nm_worker_receive - one message into the worker's arena; NM_EBUSY: none is there.  nm_worker_dispatch -
 * to whom it concerns. */
enum nm_err nm_worker_receive(struct nm_worker *worker, struct nm_msg *msg);
enum nm_err nm_worker_dispatch(struct nm_worker *worker, const struct nm_msg *msg, struct nm_diag *diag);

#endif
