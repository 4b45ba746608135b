/* Who is there: hello, goodbye, lost, and the acknowledgements that wait for the commit. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/govern.h"
#include "common/hash.h"
#include "common/log.h"

enum {
    CREDIT_MAX = 1 << 16, /* tasks that one worker may hold */
    GOODBYE_MS = 100      /* between telling workers and closing */
};

static bool is(struct nm_str a, const char *text)
{
    return a.len == strlen(text) && memcmp(a.ptr, text, a.len) == 0;
}

static uint64_t peer_key(const struct nm_peer *peer)
{
    return nm_hash64(peer->id, peer->len, 0);
}

static bool same_peer(const struct nm_peer *a, const struct nm_peer *b)
{
    return a->len == b->len && memcmp(a->id, b->id, a->len) == 0;
}

struct session *nm_session_of_peer(const struct nm_broker *b, const struct nm_peer *peer)
{
    struct session *s = nm_map_get(&b->peers, peer_key(peer));
    return s && same_peer(&s->peer, peer) ? s : NULL;
}

/* ---- sending -----------------------------------------------------------------------------------------------------
 */

static enum nm_err send_to(struct nm_broker *b, const struct nm_peer *peer, const struct nm_msg *msg)
{
    nm_buf_reset(&b->out);
    enum nm_err err = nm_msg_encode(msg, &b->out);
    if (err) {
        nm_error("a %s message could not be encoded: %s", nm_msg_type_name(msg->type), nm_err_name(err));
        return err;
    }
    return nm_socket_send(b->work, peer, b->out.data, b->out.len);
}

void nm_broker_reply(struct nm_broker *b, const struct nm_peer *peer, const struct nm_msg *msg)
{
    enum nm_err err = send_to(b, peer, msg);
    if (err)
        nm_debug("a %s message was not sent: %s", nm_msg_type_name(msg->type), nm_err_name(err));
}

void nm_broker_refuse(struct nm_broker *b, const struct nm_peer *peer, enum nm_err code, const char *text)
{
    struct nm_msg msg = {.type = NM_MSG_error, .u.error = {.code = (uint64_t)code, .text = nm_str(text)}};
    nm_broker_reply(b, peer, &msg);
}

enum nm_err nm_session_send_frame(struct nm_broker *b, struct session *s, struct nm_str frame)
{
    if (!s->connected)
        return NM_ENOENT;
    enum nm_err err = nm_socket_send(b->work, &s->peer, frame.ptr, frame.len);
    if (err)
        nm_session_lost(b, s);
    return err;
}

enum nm_err nm_session_send(struct nm_broker *b, struct session *s, const struct nm_msg *msg)
{
    if (!s->connected)
        return NM_ENOENT;
    enum nm_err err = send_to(b, &s->peer, msg);
    if (err)
        nm_session_lost(b, s);
    return err;
}

/* ---- come and go ----------------------------------------------------------------------------- */

static void forget_peer(struct nm_broker *b, struct session *s)
{
    if (nm_map_get(&b->peers, peer_key(&s->peer)) == s)
        nm_map_del(&b->peers, peer_key(&s->peer));
    s->connected = false;
}

void nm_session_lost(struct nm_broker *b, struct session *s)
{
    if (!s->connected)
        return;
    nm_debug("worker %s can't be reached", nm_ledger_get_worker(b->ledger, s->number)->id);
    s->connected = false; /* its peer stays known: what it sent before it went, a goodbye say, is still to be read */
    nm_queue_mute(b->queue, s->number); /* it keeps its leases until they run out or it is back */
}

enum nm_err nm_session_goodbye(struct nm_broker *b, struct session *s, const struct nm_msg_goodbye *goodbye)
{
    nm_info("worker %s leaves%s%s", nm_ledger_get_worker(b->ledger, s->number)->id, goodbye->reason.len ? ": " : "",
            goodbye->reason.len ? goodbye->reason.ptr : "");
    nm_queue_leave(b->queue, s->number);
    forget_peer(b, s);
    return nm_govern_sweep(b, s->number);
}

static enum nm_err session_add(struct nm_broker *b, uint32_t number, struct session **out)
{
    if (number >= b->n_sessions) {
        uint32_t n = number + 16;
        struct session **bigger = realloc(b->sessions, n * sizeof(struct session *));
        if (!bigger)
            return NM_ENOMEM;
        b->sessions = bigger;
        while (b->n_sessions < n)
            b->sessions[b->n_sessions++] = NULL;
    }
    if (!b->sessions[number]) {
        b->sessions[number] = calloc(1, sizeof(struct session));
        if (!b->sessions[number])
            return NM_ENOMEM;
        b->sessions[number]->number = number;
    }
    *out = b->sessions[number];
    return NM_OK;
}

static void copy_name(char out[NM_NAME_MAX + 1], struct nm_str name)
{
    size_t len = name.len < NM_NAME_MAX ? name.len : NM_NAME_MAX;
    if (len)
        memcpy(out, name.ptr, len);
    out[len] = '\0';
}

/* Another live process goes by that id: two state directories that are copies.  One that is dead, or silent for two
 * heartbeats, is not in the way; the same process may come back on a new connection. */
static bool is_taken(struct nm_broker *b, struct session *s, const struct nm_peer *peer,
                     const struct nm_msg_hello *hello)
{
    static const struct nm_msg beat = {.type = NM_MSG_heartbeat};
    bool itself = same_peer(&s->peer, peer) || (hello->pid == s->pid && is(hello->host, s->host));
    if (!s->connected || itself || b->now - s->seen > 2 * b->heartbeat_ms)
        return false;
    return nm_session_send(b, s, &beat) == NM_OK; /* gone, the router says so */
}

/* Another peer of the same worker, or another worker of the same peer, is history. */
static enum nm_err connect_session(struct nm_broker *b, struct session *s, const struct nm_peer *peer,
                                   const struct nm_msg_hello *hello)
{
    struct session *before = nm_session_of_peer(b, peer);
    if (before && before != s)
        nm_session_lost(b, before);
    forget_peer(b, s);
    nm_circuits_forget(s);
    s->peer = *peer;
    enum nm_err err = nm_map_put(&b->peers, peer_key(peer), s);
    if (err)
        return err;
    s->connected = true;
    s->seen = b->now;
    s->pid = hello->pid;
    copy_name(s->host, hello->host);
    copy_name(s->software, hello->software);
    return NM_OK;
}

static enum nm_err join_queue(struct nm_broker *b, struct session *s, enum nm_queue_role role,
                              const struct nm_msg_hello *hello)
{
    size_t n = 0;
    struct nm_queue_hold *holds = nm_arena_alloc(&b->arena, hello->n_holding * sizeof *holds + 1);
    if (!holds)
        return NM_ENOMEM;
    for (size_t i = 0; i < hello->n_holding; i++)
        if (hello->holding[i].attempt <= UINT32_MAX)
            holds[n++] = (struct nm_queue_hold){hello->holding[i].task, (uint32_t)hello->holding[i].attempt};
    uint64_t credit = hello->credit < CREDIT_MAX ? hello->credit : CREDIT_MAX;
    return nm_queue_join(b->queue, s->number, role, credit, holds, n, b->now);
}

/* worker: NULL, where it is another run's. */
static void send_welcome(struct nm_broker *b, const struct nm_peer *peer, const struct nm_ledger_worker *worker)
{
    struct nm_msg msg = {.type = NM_MSG_welcome,
                         .u.welcome = {.protocol = NM_PROTOCOL_VERSION,
                                       .software = nm_str(NM_VERSION),
                                       .run = nm_str(nm_ledger_run(b->ledger)),
                                       .project = nm_str(b->project->name),
                                       .heartbeat_ms = (uint64_t)b->heartbeat_ms,
                                       .lease_ms = (uint64_t)b->lease_ms,
                                       .generation = nm_ledger_generation(b->ledger),
                                       .places = worker ? worker->places : 0,
                                       .shards = worker ? worker->shards : 0}};
    nm_broker_reply(b, peer, &msg);
}

static enum nm_queue_role role_of(const struct nm_msg_hello *hello)
{
    enum nm_queue_role role = 0;
    while (role < NM_QUEUE_ROLES && !is(hello->role, nm_queue_role_name(role)))
        role++;
    return role;
}

static bool has_endpoint(const struct nm_broker *b, struct nm_str name)
{
    for (uint32_t i = 0; i < b->project->n_endpoints; i++)
        if (is(name, b->project->endpoints[i].name))
            return true;
    return false;
}

/* Why this hello is refused; NULL: it is not. */
static const char *objection(struct nm_broker *b, const struct nm_msg_hello *hello, enum nm_err *code)
{
    *code = NM_EVERSION;
    if (hello->protocol != NM_PROTOCOL_VERSION)
        return nm_arena_sprintf(
            &b->arena,
            "this broker (nermill %s) speaks protocol %d, the worker speaks %llu: install the same "
            "version of both",
            NM_VERSION, NM_PROTOCOL_VERSION, (unsigned long long)hello->protocol);
    *code = NM_EFORMAT;
    if (hello->worker.len == 0)
        return "hello: the worker's id is empty";
    if (role_of(hello) == NM_QUEUE_ROLES)
        return "hello: the role must be generator, aligner or batch";
    if (role_of(hello) == NM_QUEUE_BATCH && !has_endpoint(b, hello->endpoint))
        return "hello: a batch is for an endpoint of the project, and there is none of that name";
    return NULL;
}

enum nm_err nm_session_hello(struct nm_broker *b, const struct nm_peer *peer, const struct nm_msg_hello *hello)
{
    enum nm_err code;
    const char *why = objection(b, hello, &code);
    if (why) {
        nm_warn("a worker is refused: %s", why);
        nm_broker_refuse(b, peer, code, why);
        return NM_OK;
    }
    if (hello->run.len && !is(hello->run, nm_ledger_run(b->ledger))) {
        send_welcome(b, peer, NULL); /* it sees the run's id and leaves: what it holds is another run's */
        return NM_OK;
    }
    enum nm_queue_role role = role_of(hello);
    struct session *s;
    uint32_t number;
    enum nm_err err = nm_ledger_worker(b->ledger, role, hello->worker, hello->endpoint, &number);
    if (err == NM_EEXIST) {
        nm_broker_refuse(b, peer, err,
                         "hello: that id can't be told from another's: remove worker.id and start again");
        return NM_OK;
    }
    if (!err)
        err = session_add(b, number, &s);
    if (!err && is_taken(b, s, peer, hello)) {
        const char *text = nm_arena_sprintf(
            &b->arena,
            "hello: the id %s is in use by pid %llu on %s: no two workers may share a state directory or a "
            "copy of it",
            nm_ledger_get_worker(b->ledger, number)->id, (unsigned long long)s->pid, s->host);
        nm_warn("a worker (pid %llu) is refused: %s", (unsigned long long)hello->pid,
                text ? text : "its id is taken");
        nm_broker_refuse(b, peer, NM_EBUSY, text);
        return NM_OK;
    }
    if (!err)
        err = connect_session(b, s, peer, hello);
    if (!err)
        err = join_queue(b, s, role, hello);
    if (!err)
        err = nm_govern_sweep(b, number);
    if (err)
        return err;
    if (role == NM_QUEUE_ALIGNER)
        nm_ledger_skip_places(b->ledger, number, hello->places);
    nm_info("%s %s of %s (pid %llu) joins with %zu held", nm_queue_role_name(role),
            nm_ledger_get_worker(b->ledger, number)->id, s->host, (unsigned long long)s->pid, hello->n_holding);
    send_welcome(b, peer, nm_ledger_get_worker(b->ledger, number));
    if (role == NM_QUEUE_GENERATOR) {
        nm_endpoints_revive(b);
        if (b->phase == NM_PHASE_COMPLETE)
            nm_session_send_done(b, s);
    }
    return NM_OK;
}

/* ---- acknowledgements ------------------------------------------------------------------------ */

enum nm_err nm_session_ack(struct nm_broker *b, struct session *s, uint64_t task, uint64_t attempt, bool keep,
                           uint64_t place)
{
    if (s->n_acks == 0) {
        if (b->n_to_ack == b->cap_to_ack) {
            size_t cap = b->cap_to_ack ? b->cap_to_ack * 2 : 16;
            struct session **bigger = realloc(b->to_ack, cap * sizeof(struct session *));
            if (!bigger)
                return NM_ENOMEM;
            b->to_ack = bigger;
            b->cap_to_ack = cap;
        }
        b->to_ack[b->n_to_ack++] = s;
    }
    if (s->n_acks == s->cap_acks) {
        size_t cap = s->cap_acks ? s->cap_acks * 2 : 64;
        struct nm_msg_hold *bigger = realloc(s->acks, cap * sizeof *bigger);
        if (!bigger)
            return NM_ENOMEM;
        s->acks = bigger;
        s->cap_acks = cap;
    }
    s->acks[s->n_acks++] = (struct nm_msg_hold){.task = task, .attempt = attempt, .keep = keep, .place = place};
    return NM_OK;
}

void nm_session_send_acks(struct nm_broker *b)
{
    for (size_t i = 0; i < b->n_to_ack; i++) {
        struct session *s = b->to_ack[i];
        struct nm_msg msg = {.type = NM_MSG_ack, .u.ack = {.items = s->acks, .n_items = s->n_acks}};
        (void)nm_session_send(b, s, &msg); /* lost, it will hand in the same again */
        s->n_acks = 0;
    }
    b->n_to_ack = 0;
}

void nm_session_send_done(struct nm_broker *b, struct session *s)
{
    const struct nm_ledger_counters *c = nm_ledger_counters(b->ledger);
    struct nm_msg msg = {.type = NM_MSG_done, .u.done = {.accepted = c->accepted, .aligned = c->done}};
    (void)nm_session_send(b, s, &msg); /* lost, it is told again after its next hello */
}

void nm_session_send_goodbye(struct nm_broker *b)
{
    const struct nm_msg bye = {.type = NM_MSG_goodbye,
                               .u.goodbye.reason =
                                   nm_str("the broker stops; what is not acknowledged is handed in when it is back")};
    bool told = false;
    for (uint32_t i = 0; i < b->n_sessions; i++)
        if (b->sessions[i])
            told = nm_session_send(b, b->sessions[i], &bye) == NM_OK || told;
    /* A DEALER that is immediate forgets what it has not read when its connection closes. */
    if (told)
        nanosleep(&(struct timespec){.tv_nsec = GOODBYE_MS * 1000000}, NULL);
}

void nm_session_welcome_all(struct nm_broker *b)
{
    for (uint32_t i = 0; i < b->n_sessions; i++)
        if (b->sessions[i] && b->sessions[i]->connected)
            send_welcome(b, &b->sessions[i]->peer, nm_ledger_get_worker(b->ledger, i));
}

bool nm_session_busy(struct nm_broker *b)
{
    static const struct nm_msg beat = {.type = NM_MSG_heartbeat};
    bool probe = b->probed_ms != b->stop_ms; /* once: who has gone without a goodbye is not waited for */
    b->probed_ms = b->stop_ms;
    bool busy = false;
    for (uint32_t i = 0; i < b->n_sessions; i++) {
        struct session *s = b->sessions[i];
        if (!s || !s->connected || nm_queue_in_flight(b->queue, i) == 0)
            continue;
        busy = !probe || nm_session_send(b, s, &beat) == NM_OK || busy;
    }
    return busy;
}

void nm_session_clean_up(struct nm_broker *b)
{
    for (uint32_t i = 0; i < b->n_sessions; i++) {
        if (b->sessions[i]) {
            free(b->sessions[i]->acks);
            nm_circuits_forget(b->sessions[i]);
        }
        free(b->sessions[i]);
    }
    free(b->sessions);
    free(b->to_ack);
    nm_map_clean_up(&b->peers);
}
