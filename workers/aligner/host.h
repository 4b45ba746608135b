/* host.h - under which address others reach this machine. */
#ifndef NM_ALIGNER_HOST_H
#define NM_ALIGNER_HOST_H

#include <stddef.h>

#include "common/err.h"

/* nm_host_towards - this machine's address as the host of endpoint ("tcp://HOST:PORT") sees it, ready for an
 * endpoint ("127.0.0.1", "[fe80::1]"), into out.  Asks the routing table; nothing is sent.
 * NM_EINVAL: not such an endpoint; NM_ENET: HOST cannot be resolved or reached. */
enum nm_err nm_host_towards(const char *endpoint, char *out, size_t size, struct nm_diag *diag);

/* nm_host_reachable - a bound endpoint with a wildcard address ("tcp://0.0.0.0:4711") made one that others can
 * connect to, by host; any other as it is.  NM_ELIMIT. */
enum nm_err nm_host_reachable(const char *bound, const char *host, char *out, size_t size, struct nm_diag *diag);

#endif
