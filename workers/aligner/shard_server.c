#include "workers/aligner/shard_server.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/log.h"
#include "schemas/messages.h"

enum { BLOB_BYTES_MAX = 1 << 30, STEP_MAX = 64 };

struct nm_shard_server {
    struct nm_socket *socket;
    struct nm_arena arena; /* one request at a time */
    struct nm_buf in, out;
    struct nm_buf blob; /* built last */
    char blob_name[NM_NAME_MAX + 1];
    uint64_t blob_digest;
};

enum nm_err nm_shard_server_new(const char *endpoint, struct nm_shard_server **server, struct nm_diag *diag)
{
    *server = NULL;
    struct nm_shard_server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return nm_fail(diag, NM_ENOMEM, "shard server: out of memory");
    nm_arena_init(&s->arena, 0);
    nm_buf_init(&s->in, NM_FRAME_MAX);
    nm_buf_init(&s->out, NM_FRAME_MAX);
    nm_buf_init(&s->blob, BLOB_BYTES_MAX);
    enum nm_err err = nm_socket_bind(NM_ROUTER, endpoint, &s->socket, diag);
    if (err != NM_OK)
        nm_shard_server_destroy(&s);
    *server = s;
    return err;
}

void nm_shard_server_destroy(struct nm_shard_server **server)
{
    struct nm_shard_server *s = *server;
    if (s == NULL)
        return;
    nm_socket_destroy(&s->socket);
    nm_arena_clean_up(&s->arena);
    nm_buf_clean_up(&s->in);
    nm_buf_clean_up(&s->out);
    nm_buf_clean_up(&s->blob);
    free(s);
    *server = NULL;
}

const char *nm_shard_server_endpoint(const struct nm_shard_server *s)
{
    return nm_socket_endpoint(s->socket);
}

struct nm_socket *nm_shard_server_socket(struct nm_shard_server *s)
{
    return s->socket;
}

/* The number in "shard/<number>". */
static bool shard_number(const char *name, uint64_t *number)
{
    static const char prefix[] = "shard/";
    const char *digits = name + sizeof prefix - 1;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0 || *digits == '\0' || strlen(digits) > 19 ||
        strspn(digits, "0123456789") != strlen(digits))
        return false;
    *number = strtoull(digits, NULL, 10);
    return true;
}

/* Have the blob asked for in s->blob. */
static enum nm_err build(struct nm_shard_server *s, struct nm_samples *samples, const struct nm_msg_blob_read *read,
                         struct nm_diag *diag)
{
    uint64_t number;
    if (read->offset > 0 && strcmp(s->blob_name, read->name.ptr) == 0)
        return NM_OK;
    s->blob_name[0] = '\0';
    enum nm_err err;
    if (strcmp(read->name.ptr, "index") == 0) {
        err = nm_samples_index(samples, &s->blob, diag);
        s->blob_digest = nm_hash64(nm_buf_str(&s->blob), s->blob.len, 0);
    } else if (shard_number(read->name.ptr, &number)) {
        err = nm_samples_shard(samples, number, &s->blob, &s->blob_digest, diag);
    } else {
        err = nm_fail(diag, NM_ENOENT, "an aligner serves \"index\" and \"shard/<number>\"");
    }
    if (err == NM_OK)
        memcpy(s->blob_name, read->name.ptr, read->name.len + 1);
    return err;
}

static void fill_chunk(const struct nm_shard_server *s, const struct nm_msg_blob_read *read,
                       struct nm_msg_blob_data *data)
{
    uint64_t at = read->offset < s->blob.len ? read->offset : s->blob.len;
    uint64_t len = s->blob.len - at;
    if (read->length < len)
        len = read->length;
    if (len > NM_SHARD_CHUNK)
        len = NM_SHARD_CHUNK;
    data->total = s->blob.len;
    data->digest = s->blob_digest;
    data->data = (struct nm_str){nm_buf_str(&s->blob) + at, (size_t)len};
    data->checksum = nm_hash64(data->data.ptr, data->data.len, 0);
}

/* The answer to one frame into s->out.  False: there is none to give. */
static bool answer(struct nm_shard_server *s, struct nm_samples *samples, uint64_t retry_ms)
{
    struct nm_msg question;
    struct nm_msg reply = {.type = NM_MSG_blob_data};
    struct nm_diag diag = {""};
    nm_arena_reset(&s->arena);
    nm_buf_reset(&s->out);
    enum nm_err err = nm_msg_decode(s->in.data, s->in.len, &s->arena, &question, &diag);
    if (err == NM_OK && question.type != NM_MSG_blob_read)
        err = nm_fail(&diag, NM_EINVAL, "a shard server answers BLOB_READ only");
    if (err != NM_OK) {
        reply = (struct nm_msg){.type = NM_MSG_error, .u.error = {.code = err, .text = nm_str(diag.text)}};
    } else {
        const struct nm_msg_blob_read *read = &question.u.blob_read;
        reply.u.blob_data.name = read->name;
        reply.u.blob_data.offset = read->offset;
        err = build(s, samples, read, &diag);
        if (err == NM_OK)
            fill_chunk(s, read, &reply.u.blob_data);
        else
            reply.u.blob_data.error = nm_str(diag.text);
        reply.u.blob_data.retry_ms = err == NM_EFORMAT ? retry_ms : 0;
        if (err != NM_OK && err != NM_ENOENT)
            nm_error("blob %s cannot be served: %s", read->name.ptr, diag.text);
    }
    err = nm_msg_encode(&reply, &s->out);
    if (err != NM_OK)
        nm_error("an answer to a trainer cannot be encoded: %s", nm_err_name(err));
    return err == NM_OK;
}

enum nm_err nm_shard_server_step(struct nm_shard_server *s, struct nm_samples *samples, uint64_t retry_ms,
                                 size_t *answered, struct nm_diag *diag)
{
    struct nm_peer peer;
    for (*answered = 0; *answered < STEP_MAX;) { /* then the broker has its turn */
        enum nm_err err = nm_socket_recv(s->socket, &peer, &s->in);
        if (err == NM_EBUSY || err == NM_ECANCELED)
            return NM_OK;
        if (err == NM_EFORMAT || err == NM_ELIMIT)
            continue;
        if (err != NM_OK)
            return nm_fail(diag, err, "receiving at %s: %s", nm_shard_server_endpoint(s), nm_err_name(err));
        ++*answered;
        if (!answer(s, samples, retry_ms))
            continue;
        err = nm_socket_send(s->socket, &peer, s->out.data, s->out.len);
        if (err == NM_ENOMEM)
            return nm_fail(diag, err, "sending at %s: out of memory", nm_shard_server_endpoint(s));
        if (err != NM_OK)
            nm_debug("an answer of %zu bytes was dropped: %s", s->out.len, nm_err_name(err));
    }
    return NM_OK;
}
