#include "common/net.h"

#include <czmq.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* Room for bursts: at 1 KiB a message both marks are 100 MB a peer at the very most. */
enum { HIGH_WATER = 100000, LINGER_MS = 1000, BEAT_MS = 2000, BEAT_TIMEOUT_MS = 10000 };

/* Between two tries to connect: doubled from the first to the last, so that a peer that comes back is found again
 * within the second in which an operator's command is to act. */
enum { RECONNECT_MS = 50, RECONNECT_MAX_MS = 400 };

struct nm_socket {
    zsock_t *zsock;
    void *handle; /* libzmq's own */
    enum nm_socket_kind kind;
};

void nm_net_init(void)
{
    zsys_handler_set(NULL); /* signals are the program's */
    (void)zsys_init();
    zsys_handler_set(NULL);
}

void nm_net_clean_up(void)
{
    zsys_shutdown();
}

static zsock_t *new_zsock(enum nm_socket_kind kind)
{
    static const int types[] = {
        [NM_ROUTER] = ZMQ_ROUTER, [NM_DEALER] = ZMQ_DEALER, [NM_PUB] = ZMQ_PUB, [NM_SUB] = ZMQ_SUB};
    zsock_t *z = zsock_new(types[kind]);
    if (z == NULL)
        return NULL;
    zsock_set_sndhwm(z, HIGH_WATER);
    zsock_set_rcvhwm(z, HIGH_WATER);
    zsock_set_linger(z, LINGER_MS);
    zsock_set_maxmsgsize(z, NM_NET_FRAME_MAX);
    zsock_set_heartbeat_ivl(z, BEAT_MS);
    zsock_set_heartbeat_timeout(z, BEAT_TIMEOUT_MS);
    zsock_set_reconnect_ivl(z, RECONNECT_MS);
    zsock_set_reconnect_ivl_max(z, RECONNECT_MAX_MS);
    if (kind == NM_ROUTER)
        zsock_set_router_mandatory(z, 1); /* an unknown peer is an error, not silence */
    if (kind == NM_DEALER)
        zsock_set_immediate(z, 1); /* queue for a live connection only: what is unsent is ours to send again */
    if (kind == NM_SUB)
        zsock_set_subscribe(z, "");
    return z;
}

/* CZMQ's "*" tries ports upwards from the first of IANA's dynamic ones, its "!" from one that follows from the second
 * of the clock in which the process started.  Here it is a random one, so that a port which a killed process had is
 * still free when it comes back, though others have started meanwhile. */
static int bind_to(zsock_t *zsock, const char *endpoint)
{
    enum { DYNAMIC_FIRST = 49152, STARTS = 12288 }; /* at least 4,096 ports are tried */
    size_t len = strlen(endpoint);
    unsigned int start = (unsigned int)getpid();
    if (len < 2 || strcmp(endpoint + len - 2, ":*") != 0)
        return zsock_bind(zsock, "%s", endpoint);
    (void)getrandom(&start, sizeof start, GRND_NONBLOCK);
    return zsock_bind(zsock, "%s[%u-]", endpoint, DYNAMIC_FIRST + start % STARTS);
}

static enum nm_err attach(enum nm_socket_kind kind, const char *endpoint, bool bind, struct nm_socket **socket,
                          struct nm_diag *diag)
{
    *socket = NULL;
    struct nm_socket *s = calloc(1, sizeof *s);
    if (s == NULL || (s->zsock = new_zsock(kind)) == NULL) {
        free(s);
        return nm_fail(diag, NM_ENOMEM, "cannot make a socket for %s: %s", endpoint, zmq_strerror(errno));
    }
    s->kind = kind;
    s->handle = zsock_resolve(s->zsock);
    errno = 0;
    int rc = bind ? bind_to(s->zsock, endpoint) : zsock_connect(s->zsock, "%s", endpoint);
    if (rc == -1) {
        int errnum = errno;
        zsock_destroy(&s->zsock);
        free(s);
        if (errnum == EADDRINUSE)
            return nm_fail(diag, NM_EBUSY,
                           "cannot listen on %s: the port is in use: stop the other process, or choose another port",
                           endpoint);
        if (errnum == EINVAL || errnum == EPROTONOSUPPORT || errnum == ENODEV || errnum == 0)
            return nm_fail(diag, NM_EINVAL, "cannot %s %s: not an endpoint of this machine like tcp://127.0.0.1:7711",
                           bind ? "listen on" : "connect to", endpoint);
        return nm_fail(diag, nm_err_from_errno(errnum), "cannot %s %s: %s", bind ? "listen on" : "connect to",
                       endpoint, zmq_strerror(errnum));
    }
    *socket = s;
    return NM_OK;
}

enum nm_err nm_socket_bind(enum nm_socket_kind kind, const char *endpoint, struct nm_socket **socket,
                           struct nm_diag *diag)
{
    return attach(kind, endpoint, true, socket, diag);
}

enum nm_err nm_socket_connect(enum nm_socket_kind kind, const char *endpoint, struct nm_socket **socket,
                              struct nm_diag *diag)
{
    return attach(kind, endpoint, false, socket, diag);
}

void nm_socket_destroy(struct nm_socket **socket)
{
    if (*socket == NULL)
        return;
    zsock_destroy(&(*socket)->zsock);
    free(*socket);
    *socket = NULL;
}

const char *nm_socket_endpoint(const struct nm_socket *socket)
{
    return zsock_endpoint(socket->zsock);
}

static enum nm_err translate(int errnum)
{
    switch (errnum) {
    case EAGAIN:
        return NM_EBUSY;
    case EHOSTUNREACH:
        return NM_ENOENT;
    case EINTR:
        return NM_ECANCELED;
    default:
        return nm_err_from_errno(errnum);
    }
}

enum nm_err nm_socket_send(struct nm_socket *socket, const struct nm_peer *peer, const void *data, size_t len)
{
    /* A router refuses an unknown or full peer at the first part, so that the second one never fails. */
    if (peer != NULL && zmq_send(socket->handle, peer->id, peer->len, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return translate(errno);
    while (zmq_send(socket->handle, data, len, ZMQ_DONTWAIT) < 0)
        if (errno != EINTR)
            return translate(errno);
    return NM_OK;
}

/* One part into out (NULL: thrown away); *more tells whether another follows. */
static enum nm_err recv_part(struct nm_socket *socket, struct nm_buf *out, bool *more)
{
    zmq_msg_t part;
    zmq_msg_init(&part);
    int n;
    do
        n = zmq_msg_recv(&part, socket->handle, ZMQ_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        enum nm_err err = translate(errno);
        zmq_msg_close(&part);
        *more = false;
        return err;
    }
    *more = zmq_msg_more(&part) != 0;
    enum nm_err err = out != NULL ? nm_buf_add(out, zmq_msg_data(&part), zmq_msg_size(&part)) : NM_OK;
    zmq_msg_close(&part);
    return err;
}

enum nm_err nm_socket_recv(struct nm_socket *socket, struct nm_peer *peer, struct nm_buf *buf)
{
    bool more;
    enum nm_err err;
    nm_buf_reset(buf);
    if (socket->kind == NM_ROUTER) {
        err = recv_part(socket, buf, &more);
        if (err != NM_OK || buf->len > sizeof peer->id) /* libzmq's own ids have 5 bytes */
            goto drop;
        if (buf->len > 0)
            memcpy(peer->id, buf->data, buf->len);
        peer->len = buf->len;
        nm_buf_reset(buf);
        if (!more)
            return NM_EFORMAT;
    }
    err = recv_part(socket, buf, &more);
drop:
    if (err == NM_OK && more)
        err = NM_EFORMAT;
    while (more)
        (void)recv_part(socket, NULL, &more);
    return err;
}

int nm_socket_fd(const struct nm_socket *socket)
{
    return (int)zsock_fd(socket->zsock);
}

bool nm_socket_linked(const struct nm_socket *socket)
{
    return (zsock_events(socket->zsock) & ZMQ_POLLOUT) != 0;
}

enum { WAIT_MAX = 8 };

enum nm_err nm_net_wait(struct nm_socket *const *sockets, size_t n, int timeout_ms, bool *ready)
{
    zmq_pollitem_t items[WAIT_MAX];
    assert(n <= WAIT_MAX);
    for (size_t i = 0; i < n; i++)
        items[i] = (zmq_pollitem_t){.socket = sockets[i]->handle, .events = ZMQ_POLLIN};
    int rc = zmq_poll(items, (int)n, timeout_ms);
    for (size_t i = 0; i < n; i++)
        ready[i] = rc > 0 && (items[i].revents & ZMQ_POLLIN) != 0;
    return rc < 0 ? translate(errno) : NM_OK;
}
