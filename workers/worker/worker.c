#include "workers/worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/net.h"
#include "common/notify.h"
#include "common/utf8.h"

enum {
    HELLO_AGAIN_MS = 1000,
    FIRST_HEARTBEAT_MS = 1000,
    SILENT_BEATS = 4,
    NOTIFY_MS = 1000,
    CHUNK = 1 << 20, /* bytes of a blob in one question */
    BLOB_TRIES = 100,
    RETRY_MAX_MS = 5000,
    ECHO_MS = 300,
    ID_SIZE = 64
};

struct nm_worker {
    struct nm_worker_role role;
    struct nm_socket *socket;
    char *broker;
    const char *peer;
    char id[ID_SIZE];
    char run[NM_NAME_MAX + 1];
    char host[NM_NAME_MAX];
    struct nm_arena arena; /* one message at a time */
    struct nm_buf in, out;
    bool started, welcomed, leaving;
    bool linked;         /* there was a connection when we last looked */
    uint64_t generation; /* of the run, + 1; 0: not yet known */
    int64_t heartbeat_ms, last_sent, last_heard, notified_ms;
};

/* ---- identity -----------------------------------------------------------------------------------------------------
 */

static enum nm_err make_id(const char *role, char *out, size_t size)
{
    unsigned char random[8];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return NM_EIO;
    int n = snprintf(out, size, "%s-", role);
    for (size_t i = 0; i < sizeof random && (size_t)n + 2 < size; i++)
        n += snprintf(out + n, size - (size_t)n, "%02x", random[i]);
    return NM_OK;
}

static enum nm_err id_path(const char *state_dir, char *path, size_t size, struct nm_diag *diag)
{
    enum nm_err err = nm_file_make_dirs(state_dir, diag);
    if (err == NM_OK && nm_file_join(state_dir, "worker.id", path, size) != NM_OK)
        err = nm_fail(diag, NM_ELIMIT, "%s: the path is too long", state_dir);
    return err;
}

enum nm_err nm_worker_adopt(const char *state_dir, const char *id, struct nm_diag *diag)
{
    char path[4096];
    struct nm_buf buf;
    if (*id == '\0' || strlen(id) >= ID_SIZE || strpbrk(id, "/ \t\n") != NULL)
        return nm_fail(diag, NM_EINVAL, "\"%s\" is no worker's id; nermill workers lists them", id);
    enum nm_err err = id_path(state_dir, path, sizeof path, diag);
    if (err != NM_OK)
        return err;
    if (!nm_file_exists(path))
        return nm_file_write_atomic(path, id, strlen(id), diag);
    nm_buf_init(&buf, ID_SIZE);
    err = nm_file_read(path, &buf, diag);
    if (err == NM_OK &&
        (strlen(id) != strcspn(nm_buf_str(&buf), "\n") || strncmp(nm_buf_str(&buf), id, strlen(id)) != 0))
        err = nm_fail(diag, NM_EEXIST,
                      "%s is the directory of worker %.*s: to take over another one's samples, give a new "
                      "directory",
                      state_dir, (int)strcspn(nm_buf_str(&buf), "\n"), nm_buf_str(&buf));
    nm_buf_clean_up(&buf);
    return err;
}

/* The id outlives the process: the broker knows by it what this worker still holds. */
static enum nm_err load_id(struct nm_worker *w, const char *state_dir, struct nm_diag *diag)
{
    char path[4096];
    struct nm_buf buf;
    if (state_dir == NULL)
        return make_id(w->role.name, w->id, sizeof w->id);
    nm_buf_init(&buf, sizeof w->id - 1);
    enum nm_err err = id_path(state_dir, path, sizeof path, diag);
    if (err != NM_OK)
        goto out;
    err = nm_file_exists(path) ? nm_file_read(path, &buf, diag) : NM_OK;
    if (err == NM_OK && buf.len > 0) {
        memcpy(w->id, buf.data, buf.len + 1);
        w->id[strcspn(w->id, "\n")] = '\0';
    } else if (err == NM_OK) {
        err = make_id(w->role.name, w->id, sizeof w->id);
        if (err == NM_OK)
            err = nm_file_write_atomic(path, w->id, strlen(w->id), diag);
    }
    if (err == NM_OK && !nm_utf8_valid(w->id, strlen(w->id), NULL))
        err = nm_fail(diag, NM_EFORMAT, "%s does not hold a worker's id: delete it", path);
out:
    nm_buf_clean_up(&buf);
    return err;
}

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
    enum nm_err err = load_id(w, state_dir, diag);
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

static enum nm_err dispatch(struct nm_worker *w, const struct nm_msg *msg, struct nm_diag *diag)
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

/* One message into the worker's arena; NM_EBUSY: none is there. */
static enum nm_err receive(struct nm_worker *w, struct nm_msg *msg)
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
    } else if (!w->welcomed && now - w->last_sent >= HELLO_AGAIN_MS) {
        err = send_hello(w);
    } else if (w->welcomed && now - w->last_sent >= w->heartbeat_ms) {
        struct nm_msg beat = {.type = NM_MSG_heartbeat};
        err = nm_worker_send(w, &beat);
        w->last_sent = now;
        if (err == NM_EBUSY)
            err = NM_OK;
    }
    int64_t period = w->welcomed ? w->heartbeat_ms : HELLO_AGAIN_MS;
    int64_t left = w->last_sent + period - now;
    *wait_ms = left < 1 ? 1 : (int)left;
    return err;
}

static enum nm_err drain(struct nm_worker *w, struct nm_diag *diag)
{
    struct nm_msg msg;
    enum nm_err err;
    while ((err = receive(w, &msg)) == NM_OK) {
        err = dispatch(w, &msg, diag);
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
    *wait_ms = HELLO_AGAIN_MS;
    notify(w);
    if (err == NM_OK && w->started && !w->leaving)
        err = keep_alive(w, wait_ms);
    /* the fd is edge-triggered: what came in during a send is not announced again */
    return err == NM_OK ? drain(w, diag) : err;
}

/* ---- asking the broker and waiting for the answer -------------------------------------------- */

/* Ask until an answer of the wanted type comes; asked again every second, since the broker may just be starting.
 * What else arrives meanwhile is dispatched if the worker has started, and dropped if not. */
static enum nm_err ask(struct nm_worker *w, const struct nm_msg *question, enum nm_msg_type want,
                       struct nm_msg *answer, int timeout_ms, struct nm_diag *diag)
{
    int64_t end = nm_clock_mono_ms() + timeout_ms;
    int64_t asked = 0;
    bool sent = false;
    for (;;) {
        int64_t now = nm_clock_mono_ms();
        if (now >= end)
            return nm_fail(diag, NM_ETIMEOUT, "%s %s does not answer: is it running, is the address right?", w->peer,
                           w->broker);
        if (nm_worker_stop_requested() > 0)
            return nm_fail(diag, NM_ECANCELED, "stopped while waiting for %s %s", w->peer, w->broker);
        if (!sent || now - asked >= HELLO_AGAIN_MS * 5) {
            enum nm_err err = nm_worker_send(w, question);
            if (err != NM_OK && err != NM_EBUSY)
                return nm_fail(diag, err, "sending to %s %s: %s", w->peer, w->broker, nm_err_name(err));
            sent = err == NM_OK;
            asked = now;
        }
        bool ready;
        (void)nm_net_wait(&w->socket, 1, sent ? 200 : 20, &ready);
        enum nm_err err;
        while ((err = receive(w, answer)) == NM_OK) {
            if (answer->type == want)
                return NM_OK;
            err = w->started || answer->type == NM_MSG_error ? dispatch(w, answer, diag) : NM_OK;
            if (err != NM_OK)
                return err;
        }
        if (err != NM_EBUSY && err != NM_ECANCELED)
            return nm_fail(diag, err, "receiving from %s %s: %s", w->peer, w->broker, nm_err_name(err));
    }
}

enum nm_err nm_worker_join(struct nm_worker *w, int timeout_ms, struct nm_diag *diag)
{
    struct nm_msg question = {.type = NM_MSG_directory_read};
    struct nm_msg answer = {0};
    enum nm_err err = ask(w, &question, NM_MSG_directory, &answer, timeout_ms, diag);
    if (err == NM_OK)
        memcpy(w->run, answer.u.directory.run.ptr, answer.u.directory.run.len + 1);
    return err;
}

enum nm_err nm_worker_directory(struct nm_worker *w, struct nm_arena *arena, struct nm_msg_directory *directory,
                                int timeout_ms, struct nm_diag *diag)
{
    struct nm_msg question = {.type = NM_MSG_directory_read};
    struct nm_msg answer = {0};
    enum nm_err err = ask(w, &question, NM_MSG_directory, &answer, timeout_ms, diag);
    if (err != NM_OK)
        return err;
    *directory = answer.u.directory;
    directory->run.ptr = nm_arena_strndup(arena, directory->run.ptr, directory->run.len);
    directory->aligners = nm_arena_alloc(arena, directory->n_aligners * sizeof *directory->aligners + 1);
    if (directory->run.ptr == NULL || directory->aligners == NULL)
        return nm_fail(diag, NM_ENOMEM, "directory: out of memory");
    for (size_t i = 0; i < directory->n_aligners; i++) {
        struct nm_msg_aligner *to = &directory->aligners[i];
        *to = answer.u.directory.aligners[i];
        to->worker.ptr = nm_arena_strndup(arena, to->worker.ptr, to->worker.len);
        to->endpoint.ptr = nm_arena_strndup(arena, to->endpoint.ptr, to->endpoint.len);
        if (to->worker.ptr == NULL || to->endpoint.ptr == NULL)
            return nm_fail(diag, NM_ENOMEM, "directory: out of memory");
    }
    return NM_OK;
}

/* A blob as it comes in, chunk by chunk. */
struct fetch {
    struct nm_worker *w;
    const char *name;
    struct nm_buf *out;
    uint64_t total, digest; /* of the whole, as the first chunk said */
    int64_t end;            /* when what is being made again is waited for no longer */
    int bad;                /* answers that were damaged */
    struct nm_diag *diag;
};

/* Not there now, but soon. */
static enum nm_err wait_for_blob(const struct fetch *f, const struct nm_msg_blob_data *data)
{
    int64_t left = f->end - nm_clock_mono_ms();
    int64_t wait = data->retry_ms < RETRY_MAX_MS ? (int64_t)data->retry_ms : RETRY_MAX_MS;
    if (left <= 0)
        return nm_fail(f->diag, NM_ETIMEOUT, "%s %s: blob %s: %s", f->w->peer, f->w->broker, f->name,
                       data->error.ptr);
    wait = wait < left ? wait : left;
    (void)nanosleep(&(struct timespec){.tv_sec = wait / 1000, .tv_nsec = wait % 1000 * 1000000}, NULL);
    return NM_OK;
}

/* One answer.  What is damaged on the way changes nothing, so that the same part is asked for again; where the whole
 * is another than it was at the first chunk, all is. */
static enum nm_err take_chunk(struct fetch *f, const struct nm_msg_blob_data *data)
{
    if (strcmp(data->name.ptr, f->name) != 0 || data->offset != f->out->len)
        return NM_OK; /* an answer to a question asked twice */
    if (data->error.len > 0 && data->retry_ms > 0)
        return wait_for_blob(f, data);
    if (data->error.len > 0)
        return nm_fail(f->diag, NM_ENOENT, "%s %s: blob %s: %s", f->w->peer, f->w->broker, f->name, data->error.ptr);
    bool ends_early = data->data.len == 0 && f->out->len < data->total;
    if (ends_early)
        nm_buf_reset(f->out); /* its length was damaged, then or now */
    if (ends_early || data->checksum != nm_hash64(data->data.ptr, data->data.len, 0)) {
        nm_warn("%s %s: blob %s came damaged at %zu: asking again", f->w->peer, f->w->broker, f->name, f->out->len);
        f->bad++;
        return NM_OK;
    }
    if (f->out->len == 0) {
        f->total = data->total;
        f->digest = data->digest;
    } else if (data->total != f->total || data->digest != f->digest) {
        f->bad++;
        nm_buf_reset(f->out);
        return NM_OK;
    }
    enum nm_err err = nm_buf_add(f->out, data->data.ptr, data->data.len);
    return err == NM_OK ? NM_OK
                        : nm_fail(f->diag, err, "blob %s of %llu bytes: %s", f->name, (unsigned long long)f->total,
                                  nm_err_name(err));
}

enum nm_err nm_worker_blob(struct nm_worker *w, const char *name, struct nm_buf *out, int timeout_ms,
                           struct nm_diag *diag)
{
    struct fetch f = {w, name, out, UINT64_MAX, 0, nm_clock_mono_ms() + timeout_ms, 0, diag};
    nm_buf_reset(out);
    while (f.bad < BLOB_TRIES) {
        struct nm_msg question = {.type = NM_MSG_blob_read,
                                  .u.blob_read = {.name = nm_str(name), .offset = out->len, .length = CHUNK}};
        struct nm_msg answer = {0};
        enum nm_err err = ask(w, &question, NM_MSG_blob_data, &answer, timeout_ms, diag);
        if (err == NM_OK)
            err = take_chunk(&f, &answer.u.blob_data);
        if (err != NM_OK)
            return err;
        if (f.total != UINT64_MAX && out->len >= f.total) {
            if (nm_hash64(nm_buf_str(out), out->len, 0) == f.digest)
                return NM_OK;
            nm_warn("%s %s: blob %s does not match its digest: asking again", w->peer, w->broker, name);
            f.bad++;
            nm_buf_reset(out);
        }
        if (out->len == 0)
            f.total = UINT64_MAX;
    }
    return nm_fail(diag, NM_EFORMAT, "%s %s: blob %s came damaged again and again", w->peer, w->broker, name);
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
