/* worker_ask.c - asking the broker and waiting for the answer: its directory, its blobs. */
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/hash.h"
#include "common/log.h"
#include "workers/worker/worker_parts.h"

enum {
    CHUNK = 1 << 20, /* bytes of a blob in one question */
    BLOB_TRIES = 100,
    RETRY_MAX_MS = 5000
};

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
        if (!sent || now - asked >= NM_HELLO_AGAIN_MS * 5) {
            enum nm_err err = nm_worker_send(w, question);
            if (err != NM_OK && err != NM_EBUSY)
                return nm_fail(diag, err, "sending to %s %s: %s", w->peer, w->broker, nm_err_name(err));
            sent = err == NM_OK;
            asked = now;
        }
        bool ready;
        (void)nm_net_wait(&w->socket, 1, sent ? 200 : 20, &ready);
        enum nm_err err;
        while ((err = nm_worker_receive(w, answer)) == NM_OK) {
            if (answer->type == want)
                return NM_OK;
            err = w->started || answer->type == NM_MSG_error ? nm_worker_dispatch(w, answer, diag) : NM_OK;
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
