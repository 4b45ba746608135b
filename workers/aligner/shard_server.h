/* shard_server.h - hands an aligner's samples to trainers: BLOB_READ in, BLOB_DATA out, on a ROUTER socket.
 *
 * Blobs: "index" and "shard/<number>" (schemas/shard.h).  A chunk carries its own checksum and the digest of the
 * whole blob.  The open shard and the index grow: a read at offset 0 sees them as they are now, one further on goes
 * on in what was built last if that is the same blob, so a reader that finds the digest changed begins again.
 * Nobody is waited for: an answer that a slow reader has no room for is dropped, and it asks again.  One thread.
 */
#ifndef NM_ALIGNER_SHARD_SERVER_H
#define NM_ALIGNER_SHARD_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/net.h"
#include "workers/aligner/samples.h"

struct nm_shard_server;

enum { NM_SHARD_CHUNK = 4 << 20 }; /* bytes in one answer at most */

/* nm_shard_server_new - listen at endpoint.  NM_EBUSY: the port is in use; NM_EINVAL: no endpoint; NM_ENOMEM. */
enum nm_err nm_shard_server_new(const char *endpoint, struct nm_shard_server **server, struct nm_diag *diag);
void nm_shard_server_destroy(struct nm_shard_server **server);

const char *nm_shard_server_endpoint(const struct nm_shard_server *server); /* where it really listens */
struct nm_socket *nm_shard_server_socket(struct nm_shard_server *server);   /* to wait on */

/* nm_shard_server_step - answer whatever has been asked, from samples; *answered: how many were.  retry_ms: whoever
 * asks for what is damaged is told to ask again after that time; 0: that it stays so. Errors of single requests go to
 * who asked; returned are only our own (NM_ENOMEM, NM_EIO). */
enum nm_err nm_shard_server_step(struct nm_shard_server *server, struct nm_samples *samples, uint64_t retry_ms,
                                 size_t *answered, struct nm_diag *diag);

#endif
