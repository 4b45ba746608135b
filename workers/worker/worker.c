#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
#include "workers/worker/worker_parts.h"

enum { FIRST_HEARTBEAT_MS = 1000, SILENT_BEATS = 4, NOTIFY_MS = 1000, ECHO_MS = 300 };

enum nm_err nm_worker_new(const struct nm_worker_role *role, const char *broker, const char *state_dir,
                          struct nm_worker **worker, struct nm_diag *diag)
{
    *worker = NULL;
    struct nm_worker *w = calloc(1, sizeof *w);
    if (w == NULL || (w->broker = strdup(broker)) == NULL) {
        free(w);
        return nm_fail(diag, NM_ENOMEM, "worker: out of memory");
    }
    w->role = *role;
    w->peer = role->peer != NULL ? role->peer : "broker";
    w->heartbeat_ms = FIRST_HEARTBEAT_MS;
    nm_arena_init(&w->arena, 0);
    nm_buf_init(&w->in, NM_FRAME_MAX);
    nm_buf_init(&w->out, NM_FRAME_MAX);
    if (gethostname(w->host, sizeof w->host - 1) != 0)
        w->host[0] = '\0';
    enum nm_err err = nm_worker_load_id(w, state_dir, diag);
    if (err == NM_OK)
        err = nm_socket_connect(NM_DEALER, broker, &w->socket, diag);
    if (err != NM_OK)
        nm_worker_destroy(&w);
    *worker = w;
    return err;
}

void nm_worker_destroy(struct nm_worker **worker)
{
    struct nm_worker *w = *worker;
    if (w == NULL)
        return;
    nm_socket_destroy(&w->socket);
    nm_arena_clean_up(&w->arena);
    nm_buf_clean_up(&w->in);
    nm_buf_clean_up(&w->out);
    free(w->broker);
    free(w);
    *worker = NULL;
}

/* ---- sending ------------------------------------------------------------------------------------------------------
 */

enum nm_err nm_worker_send_frame(struct nm_worker *w, struct nm_str frame)
{
    enum nm_err err = nm_socket_send(w->socket, NULL, frame.ptr, frame.len);
    if (err == NM_OK)
        w->last_sent = nm_clock_mono_ms();
    return err;
}

enum nm_err nm_worker_send(struct nm_worker *w, const struct nm_msg *msg)
{
    nm_buf_reset(&w->out);
    enum nm_err err = nm_msg_encode(msg, &w->out);
    return err == NM_OK ? nm_worker_send_frame(w, (struct nm_str){w->out.data, w->out.len}) : err;
}

static enum nm_err send_hello(struct nm_worker *w)
{
    struct nm_arena arena;
    struct nm_msg msg = {.type = NM_MSG_hello,
                         .u.hello = {.protocol = NM_PROTOCOL_VERSION,
                                     .role = nm_str(w->role.name),
                                     .worker = nm_str(w->id),
                                     .software = nm_str(NM_VERSION),
                                     .host = nm_str(w->host),
                                     .pid = (uint64_t)getpid(),
                                     .run = nm_str(w->run),
                                     .credit = w->role.credit,
                                     .endpoint = nm_str(w->role.endpoint)}};
    nm_arena_init(&arena, 0);
    enum nm_err err = NM_OK;
    if (w->role.places != NULL)
        msg.u.hello.places = w->role.places(w->role.ctx);
    if (w->role.holding != NULL)
        err = w->role.holding(w->role.ctx, &arena, &msg.u.hello.holding, &msg.u.hello.n_holding);
    w->welcomed = false;
    w->last_sent = nm_clock_mono_ms();
    if (err == NM_OK)
        err = nm_worker_send(w, &msg);
    nm_arena_clean_up(&arena);
    return err == NM_EBUSY ? NM_OK : err; /* not connected yet: said again soon */
}

enum nm_err nm_worker_start(struct nm_worker *w)
{
    w->started = true;
    w->linked = nm_socket_linked(w->socket);
    (void)nm_notify("READY=1");
    return send_hello(w);
}

void nm_worker_goodbye(struct nm_worker *w, const char *reason)
{
    struct nm_msg msg = {.type = NM_MSG_goodbye, .u.goodbye.reason = nm_str(reason)};
    w->leaving = true;
    (void)nm_notify("STOPPING=1");
    (void)nm_worker_send(w, &msg); /* unsaid, the leases run out by themselves */
}

/* ---- receiving ----------------------------------------------------------------------------------------------------
 */

static enum nm_err on_welcome(struct nm_worker *w, const struct nm_msg_welcome *welcome, struct nm_diag *diag)
{
    if (welcome->protocol != NM_PROTOCOL_VERSION)
        return nm_fail(diag, NM_EVERSION, "broker %s speaks protocol %llu, this is %d: install the same version",
                       w->broker, (unsigned long long)welcome->protocol, NM_PROTOCOL_VERSION);
    if (w->run[0] != '\0' && strcmp(w->run, welcome->run.ptr) != 0)
        return nm_fail(diag, NM_ESTATE, "broker %s now serves run %s, this worker was started for %s: start it again",
                       w->broker, welcome->run.ptr, w->run);
    if (w->generation != 0 && w->generation != welcome->generation + 1)
        return nm_fail(
            diag, NM_ESTATE,
            "the broker at %s has begun generation %llu of the run, with another prompt or other lists: start "
            "again to fetch them",
            w->broker, (unsigned long long)welcome->generation);
    w->generation = welcome->generation + 1;
    memcpy(w->run, welcome->run.ptr, welcome->run.len + 1);
    w->heartbeat_ms = welcome->heartbeat_ms > 0 ? (int64_t)welcome->heartbeat_ms : FIRST_HEARTBEAT_MS;
    w->welcomed = true;
    nm_info("welcomed by %s, run %s", w->broker, w->run);
    return w->role.welcome != NULL ? w->role.welcome(w->role.ctx, welcome) : NM_OK;
}

static enum nm_err on_error(struct nm_worker *w, const struct nm_msg_error *error, struct nm_diag *diag)
{
    enum nm_err code = (enum nm_err)error->code;
    if (code == NM_ESTATE && !w->leaving) /* unless a hello is on its way already */
        return w->started && w->welcomed ? send_hello(w) : NM_OK;
    if (code == NM_EVERSION || code == NM_EAUTH)
        return nm_fail(diag, code, "broker %s refuses this worker: %s", w->broker, error->text.ptr);
    nm_warn("broker %s: %s", w->broker, error->text.ptr);
    return NM_OK;
}

enum nm_err nm_worker_dispatch(struct nm_worker *w, const struct nm_msg *msg, struct nm_diag *diag)
{
    switch (msg->type) {
    case NM_MSG_welcome:
        return on_welcome(w, &msg->u.welcome, diag);
    case NM_MSG_error:
        return on_error(w, &msg->u.error, diag);
    case NM_MSG_goodbye:
        nm_info("broker %s: %s", w->broker, msg->u.goodbye.reason.ptr);
        w->welcomed = false; /* hello again, each second, until it is back */
        w->last_sent = nm_clock_mono_ms();
        return NM_OK;
    case NM_MSG_heartbeat:
    case NM_MSG_blob_data: /* late, nobody waits for it */
    case NM_MSG_directory:
        return NM_OK;
    default:
        return w->role.message != NULL ? w->role.message(w->role.ctx, msg) : NM_OK;
    }
}

enum nm_err nm_worker_receive(struct nm_worker *w, struct nm_msg *msg)
{
    for (;;) {
        struct nm_diag why = {0};
        enum nm_err err = nm_socket_recv(w->socket, NULL, &w->in);
        if (err == NM_EFORMAT || err == NM_ELIMIT)
            continue;
        if (err != NM_OK)
            return err;
        w->last_heard = nm_clock_mono_ms();
        nm_arena_reset(&w->arena);
        err = nm_msg_decode(w->in.data, w->in.len, &w->arena, msg, &why);
        if (err == NM_OK || err == NM_ENOMEM)
            return err;
        nm_warn("dropped a message of broker %s: %s", w->broker, why.text);
    }
}

struct nm_str nm_worker_frame(const struct nm_worker *w)
{
    return (struct nm_str){w->in.data, w->in.len};
}

/* A broker that was killed and is back does not know us, and hears nothing of us before the next heartbeat. */
static bool connected_anew(struct nm_worker *w)
{
    bool before = w->linked;
    w->linked = nm_socket_linked(w->socket);
    return w->linked && !before;
}

static enum nm_err keep_alive(struct nm_worker *w, int *wait_ms)
{
    int64_t now = nm_clock_mono_ms();
    enum nm_err err = NM_OK;
    if (connected_anew(w)) {
        err = send_hello(w);
    } else if (w->welcomed && now - w->last_heard > SILENT_BEATS * w->heartbeat_ms) {
        nm_warn("broker %s is silent: saying hello again until it answers", w->broker);
        err = send_hello(w);
    } else if (!w->welcomed && now - w->last_sent >= NM_HELLO_AGAIN_MS) {
        err = send_hello(w);
    } else if (w->welcomed && now - w->last_sent >= w->heartbeat_ms) {
        struct nm_msg beat = {.type = NM_MSG_heartbeat};
        err = nm_worker_send(w, &beat);
        w->last_sent = now;
        if (err == NM_EBUSY)
            err = NM_OK;
    }
    int64_t period = w->welcomed ? w->heartbeat_ms : NM_HELLO_AGAIN_MS;
    int64_t left = w->last_sent + period - now;
    *wait_ms = left < 1 ? 1 : (int)left;
    return err;
}

static enum nm_err drain(struct nm_worker *w, struct nm_diag *diag)
{
    struct nm_msg msg;
    enum nm_err err;
    while ((err = nm_worker_receive(w, &msg)) == NM_OK) {
        err = nm_worker_dispatch(w, &msg, diag);
        if (err != NM_OK)
            return err;
    }
    if (err != NM_EBUSY && err != NM_ECANCELED)
        return nm_fail(diag, err, "receiving from broker %s: %s", w->broker, nm_err_name(err));
    return NM_OK;
}

/* systemd's watchdog, at most once a second. */
static void notify(struct nm_worker *w)
{
    int64_t now = nm_clock_mono_ms();
    if (!w->started || now - w->notified_ms < NOTIFY_MS)
        return;
    w->notified_ms = now;
    nm_notify_alive(w->welcomed ? "at work for the broker" : "the broker is silent; saying hello");
}

enum nm_err nm_worker_step(struct nm_worker *w, int *wait_ms, struct nm_diag *diag)
{
    enum nm_err err = drain(w, diag);
    *wait_ms = NM_HELLO_AGAIN_MS;
    notify(w);
    if (err == NM_OK && w->started && !w->leaving)
        err = keep_alive(w, wait_ms);
    /* the fd is edge-triggered: what came in during a send is not announced again */
    return err == NM_OK ? drain(w, diag) : err;
}

/* ---- the small rest -------------------------------------------------------------------------- */

void nm_worker_set_credit(struct nm_worker *w, uint64_t credit)
{
    w->role.credit = credit;
}

void nm_worker_set_endpoint(struct nm_worker *w, const char *endpoint)
{
    w->role.endpoint = endpoint;
}

int nm_worker_fd(const struct nm_worker *w)
{
    return nm_socket_fd(w->socket);
}

const char *nm_worker_id(const struct nm_worker *w)
{
    return w->id;
}

const char *nm_worker_run(const struct nm_worker *w)
{
    return w->run;
}

bool nm_worker_connected(const struct nm_worker *w)
{
    return w->welcomed;
}

static volatile sig_atomic_t stops, stopped_at;

/* Linux tells a child of its parent's death once for each thread of the parent: the echo of a signal is not a second
 * one, by which a person says that calls in flight are to be given up. */
static void on_stop(int signum)
{
    (void)signum;
    sig_atomic_t now = (sig_atomic_t)(nm_clock_mono_ms() & INT32_MAX);
    if (stops > 0 && now - stopped_at < ECHO_MS)
        return;
    stopped_at = now;
    stops++;
}

void nm_worker_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_stop}; /* no SA_RESTART: waits end at once */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
}

int nm_worker_stop_requested(void)
{
    return stops;
}
