/* net.h - sockets and frames (owns CZMQ and libzmq).
 *
 * One message is one frame of bytes; a router's messages carry the peer's routing id.  Sends never block: over the
 * high-water mark they return NM_EBUSY.  One thread a socket.  Interrupts (SIGINT, SIGTERM) are the program's:
 * nm_net_init keeps CZMQ's handlers off.
 */
#ifndef NM_COMMON_NET_H
#define NM_COMMON_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

enum { NM_NET_FRAME_MAX = 16 << 20 }; /* bytes; a peer that sends more is cut off */

struct nm_socket;

/* A peer of a router: opaque bytes, comparable with memcmp over len. */
struct nm_peer {
    unsigned char id[64];
    size_t len;
};

enum nm_socket_kind {
    NM_ROUTER, /* broker, shard server: many peers */
    NM_DEALER, /* worker, client: one peer */
    NM_PUB,    /* the stats stream */
    NM_SUB     /* its reader; subscribes to everything */
};

/* nm_net_init, nm_net_clean_up - once a process, before and after any socket. */
void nm_net_init(void);
void nm_net_clean_up(void);

/* nm_socket_bind - endpoint like "tcp://127.0.0.1:7711"; a port of "*" takes a free one at random.
 * NM_EBUSY: the port is in use; NM_EINVAL: not an endpoint; diag names it. */
enum nm_err nm_socket_bind(enum nm_socket_kind kind, const char *endpoint, struct nm_socket **socket,
                           struct nm_diag *diag);

/* nm_socket_connect - returns at once; the connection is made and re-made in the background. */
enum nm_err nm_socket_connect(enum nm_socket_kind kind, const char *endpoint, struct nm_socket **socket,
                              struct nm_diag *diag);
void nm_socket_destroy(struct nm_socket **socket);

/* nm_socket_endpoint - where a bound socket really is ("tcp://127.0.0.1:43121"); the socket's. */
const char *nm_socket_endpoint(const struct nm_socket *socket);

/* nm_socket_send - one frame; peer only for a router (else NULL).
 * NM_EBUSY: try later; NM_ENOENT: the router's peer is gone; NM_ENOMEM. */
enum nm_err nm_socket_send(struct nm_socket *socket, const struct nm_peer *peer, const void *data, size_t len);

/* nm_socket_recv - one frame into buf (emptied first), without waiting; peer only for a router (else NULL).
 * NM_EBUSY: nothing there; NM_ELIMIT: over buf's maximum, dropped; NM_EFORMAT: not one frame, dropped. */
enum nm_err nm_socket_recv(struct nm_socket *socket, struct nm_peer *peer, struct nm_buf *buf);

/* nm_socket_fd - to wait on with poll(2) for POLLIN.  Edge-triggered, as libzmq documents ZMQ_FD: after it
 * fires, and after every send, receive until NM_EBUSY before waiting again. */
int nm_socket_fd(const struct nm_socket *socket);

/* nm_socket_linked - a dealer has a live connection with room: a send would be taken.  A change wakes whoever waits
 * on nm_socket_fd. */
bool nm_socket_linked(const struct nm_socket *socket);

/* nm_net_wait - wait until one of sockets[0..n) can be read or timeout_ms (-1: for ever) has passed.
 * ready[i] is set for each that can.  NM_ECANCELED: a signal came. */
enum nm_err nm_net_wait(struct nm_socket *const *sockets, size_t n, int timeout_ms, bool *ready);

#endif
