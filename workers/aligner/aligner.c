/* aligner.c - the loop, and the order of things that no sample is lost or doubled by:
 *
 *     ALIGN -> aligned in memory -> [commit: pending] -> ALIGNED -> the broker's commit -> ACK
 *     ACK   -> [commit: pending becomes sample, or goes]
 *
 * All that one turn of the loop received is one commit.  ALIGNED is sent behind it, never before.  Whatever is
 * pending is in every HELLO, and handed in again at every WELCOME, so a crash of either side anywhere leaves only
 * steps that have no effect the second time (samples.h).
 */
#include "workers/aligner/aligner.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/net.h"
#include "schemas/project.h"
#include "schemas/shard.h"
#include "workers/aligner/array.h"
#include "workers/aligner/bio.h"
#include "workers/aligner/host.h"
#include "workers/aligner/samples.h"
#include "workers/aligner/shard_server.h"
#include "workers/aligner/upkeep.h"
#include "workers/worker/worker.h"

enum {
    CREDIT = 1024,
    COMMIT_BYTES = 32 << 20,
    BLOB_BYTES_MAX = 1 << 30,
    SEND_AGAIN_MS = 20,
    MENDED_MS = 500 /* a trainer that met damage asks again after so long */
};

/* What is to be told the broker about one task, once it is durable here. */
struct outcome {
    uint64_t task, attempt, tokens, mentions;
    const char *rule, *detail; /* static strings */
    struct nm_verdict_counts counts;
};

struct aligner {
    struct nm_worker *worker;
    struct nm_shard_server *server;
    char endpoint[NM_NAME_MAX]; /* the server's, as others reach it */
    struct nm_project *project;
    struct nm_entities *entities;
    struct nm_tokenizer *tokenizer;
    struct nm_bio *bio;
    struct nm_samples *samples;
    struct nm_upkeep *upkeep;
    struct nm_arena arena; /* one text at a time */
    struct outcome *outbox;
    size_t n_outbox, outbox_cap;
    size_t n_durable; /* of the outbox: committed, may be sent */
    uint64_t texts, refused;
    bool done;
    struct nm_diag why; /* of a failed callback */
};

static enum nm_err add_outcome(struct aligner *a, const struct outcome *outcome)
{
    struct outcome *outbox = nm_array_grow(a->outbox, &a->outbox_cap, a->n_outbox + 1, sizeof *outbox);
    if (outbox == NULL)
        return nm_fail(&a->why, NM_ENOMEM, "aligner: out of memory");
    a->outbox = outbox;
    outbox[a->n_outbox++] = *outcome;
    return NM_OK;
}

static enum nm_err commit(struct aligner *a)
{
    enum nm_err err = nm_samples_commit(a->samples, &a->why);
    if (err == NM_OK)
        a->n_durable = a->n_outbox;
    return err;
}

/* Send what is durable, and count it.  What does not go now goes in the next turn. */
static enum nm_err send_outcomes(struct aligner *a, size_t *count)
{
    size_t sent = 0;
    enum nm_err err = NM_OK;
    for (; sent < a->n_durable && err == NM_OK; sent += err == NM_OK) {
        const struct outcome *o = &a->outbox[sent];
        struct nm_msg_count notes[NM_NOTES];
        struct nm_msg msg = {.type = NM_MSG_aligned,
                             .u.aligned = {.task = o->task,
                                           .attempt = o->attempt,
                                           .tokens = o->tokens,
                                           .mentions = o->mentions,
                                           .rule = nm_str(o->rule),
                                           .detail = nm_str(o->detail),
                                           .notes = notes,
                                           .n_notes = nm_verdict_list(&o->counts, notes)}};
        err = nm_worker_send(a->worker, &msg);
    }
    if (sent > 0)
        memmove(a->outbox, a->outbox + sent, (a->n_outbox - sent) * sizeof *a->outbox);
    a->n_outbox -= sent;
    a->n_durable -= sent;
    *count = sent;
    return err == NM_EBUSY ? NM_OK : err;
}

/* ---- what the broker says ---------------------------------------------------------------------------------------
 */

static enum nm_err on_align(struct aligner *a, const struct nm_msg_align *align)
{
    struct nm_msg_sample sample;
    struct outcome outcome = {.task = align->task, .attempt = align->attempt};
    nm_arena_reset(&a->arena);
    enum nm_err err = nm_bio_align(a->bio, align, &a->arena, &sample, &outcome.rule, &outcome.detail);
    if (err == NM_OK && *outcome.rule == '\0')
        err = nm_samples_put(a->samples, &sample);
    if (err == NM_EFORMAT || err == NM_ELIMIT) { /* this text's fault, not ours */
        outcome.rule = "unusable";
        outcome.detail = err == NM_EFORMAT ? "the text is not UTF-8, or a mention is outside of it"
                                           : "the text is too long to be stored as a sample";
    } else if (err != NM_OK) {
        return nm_fail(&a->why, err, "task %" PRIu64 " cannot be aligned: %s", align->task, nm_err_name(err));
    }
    a->texts++;
    a->refused += *outcome.rule != '\0';
    outcome.tokens = *outcome.rule == '\0' ? sample.n_tokens : 0;
    outcome.mentions = *outcome.rule == '\0' ? sample.n_mentions : 0;
    outcome.counts = *nm_bio_counts(a->bio);
    err = add_outcome(a, &outcome);
    return err == NM_OK && nm_samples_uncommitted(a->samples) >= COMMIT_BYTES ? commit(a) : err;
}

static enum nm_err on_ack(struct aligner *a, const struct nm_msg_ack *ack)
{
    for (size_t i = 0; i < ack->n_items; i++)
        if (nm_samples_settle(a->samples, &ack->items[i]) != NM_OK)
            return nm_fail(&a->why, NM_ENOMEM, "aligner: out of memory");
    return NM_OK;
}

static enum nm_err on_message(void *ctx, const struct nm_msg *msg)
{
    struct aligner *a = ctx;
    switch (msg->type) {
    case NM_MSG_align:
        return on_align(a, &msg->u.align);
    case NM_MSG_ack:
        return on_ack(a, &msg->u.ack);
    case NM_MSG_done:
        if (!a->done)
            nm_info("the goal is reached: %" PRIu64 " samples aligned; serving %" PRIu64 " of them at %s",
                    msg->u.done.aligned, nm_samples_count(a->samples), a->endpoint);
        a->done = true;
        return NM_OK;
    default:
        nm_debug("a %s is nothing to an aligner", nm_msg_type_name(msg->type));
        return NM_OK;
    }
}

static enum nm_err hand_in(void *ctx, const struct nm_msg_sample *sample)
{
    struct outcome outcome = {.task = sample->task,
                              .attempt = sample->attempt,
                              .tokens = sample->n_tokens,
                              .mentions = sample->n_mentions,
                              .rule = "",
                              .detail = "",
                              .counts = nm_verdict_of_sample(sample)};
    return add_outcome(ctx, &outcome);
}

/* Connected, or again: whatever is pending is handed in once more.  The broker gave what it had leased to us and is
 * not in our HELLO to others, so what is collected but not committed, or only waits to be sent, is pending too or
 * of no more interest. */
static enum nm_err on_welcome(void *ctx, const struct nm_msg_welcome *welcome)
{
    struct aligner *a = ctx;
    nm_upkeep_welcome(a->upkeep, welcome);
    enum nm_err err = commit(a);
    if (err != NM_OK)
        return err;
    a->n_outbox = a->n_durable = 0;
    err = nm_samples_pending(a->samples, hand_in, a, &a->why);
    a->n_durable = a->n_outbox;
    if (err == NM_OK && a->n_outbox > 0)
        nm_info("handing in %zu samples that were not acknowledged", a->n_outbox);
    return err;
}

static uint64_t places(void *ctx)
{
    const struct aligner *a = ctx;
    return nm_samples_end(a->samples);
}

struct holding {
    struct nm_msg_hold *items;
    size_t n, cap;
};

static enum nm_err hold_one(void *ctx, const struct nm_msg_sample *sample)
{
    struct holding *h = ctx;
    struct nm_msg_hold *items = nm_array_grow(h->items, &h->cap, h->n + 1, sizeof *items);
    if (items == NULL)
        return NM_ENOMEM;
    h->items = items;
    items[h->n++] = (struct nm_msg_hold){.task = sample->task, .attempt = sample->attempt, .keep = true};
    return NM_OK;
}

static enum nm_err on_holding(void *ctx, struct nm_arena *arena, struct nm_msg_hold **items, size_t *n)
{
    struct aligner *a = ctx;
    struct holding h = {0};
    enum nm_err err = commit(a);
    if (err == NM_OK)
        err = nm_samples_pending(a->samples, hold_one, &h, &a->why);
    *items = err == NM_OK ? nm_arena_alloc(arena, h.n * sizeof **items) : NULL;
    if (*items != NULL && h.n > 0)
        memcpy(*items, h.items, h.n * sizeof **items);
    *n = h.n;
    free(h.items);
    return err == NM_OK && *items == NULL ? nm_fail(&a->why, NM_ENOMEM, "aligner: out of memory") : err;
}

/* ---- start and end ----------------------------------------------------------------------------------------------
 */

/* Listen first: the endpoint is part of the HELLO, and a port in use is told before anything else is done. */
static enum nm_err listen_for_trainers(struct aligner *a, const struct nm_aligner_options *options,
                                       struct nm_diag *diag)
{
    char here[NM_NAME_MAX / 2];
    char bind[NM_NAME_MAX];
    enum nm_err err = nm_host_towards(options->broker, here, sizeof here, diag);
    if (err != NM_OK)
        return err;
    int n = options->bind != NULL ? snprintf(bind, sizeof bind, "%s", options->bind)
                                  : snprintf(bind, sizeof bind, "tcp://%s:*", here);
    if (n < 0 || (size_t)n >= sizeof bind)
        return nm_fail(diag, NM_EINVAL, "%s is too long an endpoint", options->bind);
    err = nm_shard_server_new(bind, &a->server, diag);
    if (err != NM_OK)
        return err;
    if (options->advertise != NULL) {
        n = snprintf(a->endpoint, sizeof a->endpoint, "%s", options->advertise);
        return n > 0 && (size_t)n < sizeof a->endpoint
                   ? NM_OK
                   : nm_fail(diag, NM_EINVAL, "\"%s\" can't be advertised", options->advertise);
    }
    return nm_host_reachable(nm_shard_server_endpoint(a->server), here, a->endpoint, sizeof a->endpoint, diag);
}

/* The tokeniser that the project chose; the file that it learns from is a blob of the broker's. */
static enum nm_err make_tokenizer(struct aligner *a, int timeout_ms, struct nm_buf *blob, struct nm_diag *diag)
{
    enum nm_tokenizer_kind kind = a->project->alignment.tokenizer;
    if (kind != NM_TOKENIZER_LEARNED) {
        a->tokenizer = nm_tokenizer_new(kind);
        return a->tokenizer != NULL ? NM_OK : nm_fail(diag, NM_ENOMEM, "aligner: out of memory");
    }
    struct nm_conll conll;
    nm_conll_init(&conll);
    nm_buf_reset(blob);
    enum nm_err err = nm_worker_blob(a->worker, "learn_from", blob, timeout_ms, diag);
    if (err == NM_OK)
        err = nm_conll_parse(&conll, nm_buf_str(blob), blob->len, a->project->alignment.learn_from, diag);
    if (err == NM_OK && nm_tokenizer_learn(&conll, &a->tokenizer) != NM_OK)
        err = nm_fail(diag, NM_ENOMEM, "%s: out of memory", a->project->alignment.learn_from);
    nm_conll_clean_up(&conll);
    return err;
}

/* The project, its entities and what its tokeniser learns from, all the broker's blobs. */
static enum nm_err fetch(struct aligner *a, int timeout_ms, struct nm_diag *diag)
{
    struct nm_buf blob;
    nm_buf_init(&blob, BLOB_BYTES_MAX);
    enum nm_err err = nm_worker_blob(a->worker, "project", &blob, timeout_ms, diag);
    if (err == NM_OK)
        err = nm_project_parse(nm_buf_str(&blob), blob.len, "the broker's project", &a->project, diag);
    nm_buf_reset(&blob);
    if (err == NM_OK)
        err = nm_worker_blob(a->worker, "entities", &blob, timeout_ms, diag);
    if (err == NM_OK && (a->entities = nm_entities_new()) == NULL)
        err = nm_fail(diag, NM_ENOMEM, "aligner: out of memory");
    if (err == NM_OK)
        err = nm_entities_from_blob(a->entities, nm_buf_str(&blob), blob.len, diag);
    if (err == NM_OK)
        err = make_tokenizer(a, timeout_ms, &blob, diag);
    nm_buf_clean_up(&blob);
    return err == NM_OK ? nm_bio_new(a->entities, &a->project->alignment, a->tokenizer, &a->bio, diag) : err;
}

/* A store that is begun again must cut its shards as it did before, whatever the project says by now. */
static enum nm_err shards_so_far(struct aligner *a, int timeout_ms, uint64_t *shard_samples, struct nm_diag *diag)
{
    struct nm_arena arena;
    struct nm_index index;
    nm_arena_init(&arena, 0);
    enum nm_err err = nm_mend_index(a->worker, timeout_ms, &arena, &index, diag);
    if (err == NM_OK && index.n_shards > 0)
        *shard_samples = index.shard_samples;
    nm_arena_clean_up(&arena);
    return err;
}

static enum nm_err start(struct aligner *a, const struct nm_aligner_options *options, struct nm_diag *diag)
{
    uint64_t shard_samples = 0;
    int timeout_ms = options->wait_s * 1000;
    enum nm_err err = listen_for_trainers(a, options, diag);
    struct nm_worker_role role = {.name = "aligner",
                                  .ctx = a,
                                  .credit = CREDIT,
                                  .endpoint = a->endpoint,
                                  .places = places,
                                  .holding = on_holding,
                                  .welcome = on_welcome,
                                  .message = on_message};
    if (err == NM_OK && options->adopt != NULL)
        err = nm_worker_adopt(options->state_dir, options->adopt, diag);
    if (err == NM_OK)
        err = nm_worker_new(&role, options->broker, options->state_dir, &a->worker, diag);
    if (err == NM_OK)
        err = nm_worker_join(a->worker, timeout_ms, diag);
    if (err == NM_OK)
        err = fetch(a, timeout_ms, diag);
    if (err == NM_OK)
        shard_samples = a->project->aligner.shard_samples;
    if (err == NM_OK)
        err = shards_so_far(a, timeout_ms, &shard_samples, diag);
    if (err == NM_OK)
        err = nm_samples_open(options->state_dir, nm_worker_run(a->worker), shard_samples, &a->samples, diag);
    if (err == NM_OK && (a->upkeep = nm_upkeep_new(a->worker, a->bio, a->samples)) == NULL)
        err = nm_fail(diag, NM_ENOMEM, "aligner: out of memory");
    if (err == NM_OK)
        err = nm_worker_start(a->worker);
    if (err == NM_OK)
        nm_info("aligner %s of run %s: %zu entities, %" PRIu64 " samples on disk, shards at %s",
                nm_worker_id(a->worker), nm_worker_run(a->worker), nm_entities_count(a->entities),
                nm_samples_count(a->samples), a->endpoint);
    return err;
}

/* The first of a callback's line and the caller's that says something. */
static enum nm_err explain(const struct aligner *a, enum nm_err err, struct nm_diag *diag)
{
    if (a->why.text[0] != '\0')
        *diag = a->why;
    else if (diag->text[0] == '\0')
        (void)nm_fail(diag, err, "aligner: %s", nm_err_name(err));
    return err;
}

/* One turn: receive, commit, tell.  *busy: there may be more at once. */
static enum nm_err turn(struct aligner *a, int *wait_ms, bool *busy, struct nm_diag *diag)
{
    size_t sent = 0;
    size_t answered = 0;
    uint64_t texts = a->texts;
    bool more = false;
    enum nm_err err = nm_worker_step(a->worker, wait_ms, diag);
    *busy = a->texts != texts || nm_samples_uncommitted(a->samples) > 0;
    if (err == NM_OK)
        err = commit(a);
    if (err == NM_OK)
        err = send_outcomes(a, &sent);
    if (err == NM_OK)
        err =
            nm_shard_server_step(a->server, a->samples, nm_upkeep_hopes(a->upkeep) ? MENDED_MS : 0, &answered, diag);
    if (err == NM_OK)
        err = nm_upkeep_step(a->upkeep, !*busy && answered == 0, &more, wait_ms, diag);
    *busy = *busy || more || sent > 0 || answered > 0; /* a send, too, may swallow the announcement of what came in */
    if (a->n_outbox > 0 && *wait_ms > SEND_AGAIN_MS)
        *wait_ms = SEND_AGAIN_MS;
    return err;
}

static enum nm_err serve(struct aligner *a, struct nm_diag *diag)
{
    struct pollfd fds[] = {{.fd = nm_worker_fd(a->worker), .events = POLLIN},
                           {.fd = nm_socket_fd(nm_shard_server_socket(a->server)), .events = POLLIN}};
    while (nm_worker_stop_requested() == 0) {
        int wait_ms = 0;
        bool busy = false;
        enum nm_err err = turn(a, &wait_ms, &busy, diag);
        if (err != NM_OK)
            return explain(a, err, diag);
        if (!busy) /* edge-triggered: only when both have been read until nothing was left */
            (void)poll(fds, 2, wait_ms);
    }
    return NM_OK;
}

enum nm_err nm_aligner_run(const struct nm_aligner_options *options, struct nm_diag *diag)
{
    struct aligner *a = calloc(1, sizeof *a);
    if (a == NULL)
        return nm_fail(diag, NM_ENOMEM, "aligner: out of memory");
    diag->text[0] = '\0';
    nm_arena_init(&a->arena, 0);
    nm_net_init();
    nm_worker_catch_signals();
    enum nm_err err = start(a, options, diag);
    if (err == NM_OK)
        err = serve(a, diag);
    else
        (void)explain(a, err, diag);
    if (err == NM_OK) {
        nm_worker_goodbye(a->worker, "stopped");
        err = nm_fail(diag, NM_ECANCELED, "stopped; %" PRIu64 " samples are on disk", nm_samples_count(a->samples));
    }
    nm_upkeep_destroy(&a->upkeep);
    nm_samples_close(&a->samples);
    nm_shard_server_destroy(&a->server);
    nm_worker_destroy(&a->worker);
    nm_bio_destroy(&a->bio);
    nm_tokenizer_destroy(&a->tokenizer);
    nm_entities_destroy(&a->entities);
    nm_project_destroy(&a->project);
    nm_arena_clean_up(&a->arena);
    free(a->outbox);
    free(a);
    nm_net_clean_up();
    return err;
}
