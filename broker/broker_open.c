/* Opening a broker: project, plan, ledger, queue, sockets; and closing it. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/dedup.h"
#include "broker/desk.h"
#include "broker/govern.h"
#include "broker/stream.h"
#include "broker/styles.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"

enum { PATH_BYTES = 4096, BACKOFF_MS = 500, BACKOFF_MAX_MS = 30000, BACKLOG_MAX = 1 << 16, ARENA_MAX = 256 << 20 };

/* ---- what shapes the plan -------------------------------------------------------------------- */

const char *nm_broker_other_plan(struct nm_broker *b, const struct nm_project *project,
                                 const struct nm_entities *entities, uint64_t entities_digest)
{
    struct nm_ledger_setting now[NM_GENERATION_SETTINGS], then[NM_GENERATION_SETTINGS];
    nm_generation_describe(b->project, b->entities, b->blobs[NM_BLOB_ENTITIES].digest, b->decoys, b->blobs, now);
    nm_generation_describe(project, entities, entities_digest, b->decoys, b->blobs, then);
    for (int i = 0; i < NM_GENERATION_PLAN; i++)
        if (strcmp(now[i].value, then[i].value) != 0)
            return now[i].name;
    return NULL;
}

enum nm_err nm_broker_make_plan(struct nm_broker *b, struct nm_diag *diag)
{
    const struct nm_project_generation *g = &b->project->generation;
    b->styles = g->n_styles ? (const char *const *)g->styles : nm_styles_builtin;
    b->n_styles = g->n_styles ? g->n_styles : NM_STYLES_BUILTIN;
    struct nm_plan_options o = {.seed = b->project->seed,
                                .entities = nm_entities_count(b->entities),
                                .min_entities = g->entities.min,
                                .max_entities = g->entities.max,
                                .negatives = g->negatives,
                                .min_words = g->words.min,
                                .max_words = g->words.max,
                                .styles = b->n_styles,
                                .sections = g->n_sections};
    return nm_plan_new(&o, &b->plan, diag);
}

/* ---- restoring ------------------------------------------------------------------------------- */

/* Times in the ledger are Unix time, in the queue monotonic. */
static enum nm_err restore_task(void *ctx, const struct nm_queue_task *task)
{
    struct nm_broker *b = ctx;
    struct nm_queue_task t = *task;
    t.due_ms += nm_clock_mono_ms() - nm_clock_wall_ms();
    enum nm_err err = NM_OK;
    if (t.worker != NM_QUEUE_NOBODY)
        err = nm_queue_set_role(b->queue, t.worker, nm_ledger_get_worker(b->ledger, t.worker)->role);
    if (!err)
        err = nm_queue_restore(b->queue, &t, b->now);
    if (!err)
        err = nm_govern_adopt(b, &t);
    return err ? err : nm_again_restore(b, task);
}

static enum nm_err open_ledger(struct nm_broker *b, const char *how, struct nm_diag *diag)
{
    enum nm_err err = nm_generation_open(b, how, diag);
    if (err || b->project->broker.durability == NM_DURABILITY_ALWAYS)
        return err;
    nm_warn("durability: %s: a crash of the machine may lose what was acknowledged, or the ledger",
            b->project->broker.durability == NM_DURABILITY_OS ? "os" : "interval");
    return nm_ledger_set_sync(b->ledger, false, diag);
}

static enum nm_err restore(struct nm_broker *b, struct nm_diag *diag)
{
    struct nm_queue_options o = {.goal = b->goal,
                                 .opened_max = OPENED_MAX(b->goal),
                                 .attempts = b->project->generation.attempts,
                                 .lease_ms = b->lease_ms,
                                 .backoff_ms = BACKOFF_MS,
                                 .backoff_max = BACKOFF_MAX_MS,
                                 .backlog_max = BACKLOG_MAX,
                                 .seed = (uint64_t)nm_clock_wall_ms(),
                                 .generation = nm_ledger_generation(b->ledger),
                                 .lines = b->project->generation.sentences_per_call};
    const struct nm_ledger_counters *c = nm_ledger_counters(b->ledger);
    struct nm_queue_totals totals = {
        .opened = c->opened, .extra = c->extra, .done = c->done, .dead = c->dead, .dropped = c->dropped};
    if (b->replay) {
        o.goal = nm_replay_goal(b, b->goal);
        o.opened_max = nm_recorded_head(b->replay)->tasks;
        o.finishes = true;
        o.shares = nm_replay_shares;
        o.ctx = b;
    }
    b->queue = nm_queue_new(&o);
    if (!b->queue)
        return nm_fail(diag, NM_ENOMEM, "no memory for the queue");
    nm_queue_restore_totals(b->queue, &totals);
    b->now = nm_clock_mono_ms();
    enum nm_err err = nm_govern_open(b, diag);
    if (!err)
        err = nm_again_open(b, diag);
    if (!err)
        err = nm_ledger_restore(b->ledger, restore_task, b, diag);
    if (!err)
        err = nm_again_restored(b, diag);
    if (!err && nm_queue_check(b->queue, diag)) {
        char why[sizeof diag->text];
        memcpy(why, diag->text, sizeof why);
        return nm_fail(diag, NM_EFORMAT, "ledger %s is damaged: %.600s", nm_ledger_path(b->ledger), why);
    }
    if (!err)
        err = nm_govern_restore(b, diag);
    if (!err)
        err = nm_desk_restore(b, diag);
    if (!err)
        err = nm_limits_restore(b, diag);
    b->phase = nm_queue_phase(b->queue);
    return err;
}

/* ---- listening ------------------------------------------------------------------------------- */

static bool is_wildcard(const char *endpoint)
{
    size_t len = strlen(endpoint);
    return len > 2 && strcmp(endpoint + len - 2, ":*") == 0;
}

/* Where a broker of this state directory listened before, if it fits the pattern "tcp://127.0.0.1:*". */
static const char *endpoint_before(const json_t *before, const char *key, const char *pattern)
{
    const char *old = json_string_value(json_object_get(before, key));
    size_t same = strlen(pattern) - 1;
    return old && is_wildcard(pattern) && strncmp(old, pattern, same) == 0 && strlen(old) > same ? old : NULL;
}

/* A free port is the same as last time if it can be: workers of a killed broker are still trying there. */
static enum nm_err listen_on(enum nm_socket_kind kind, const char *endpoint, const char *before,
                             struct nm_socket **socket, struct nm_diag *diag)
{
    if (before && nm_socket_bind(kind, before, socket, NULL) == NM_OK)
        return NM_OK;
    return nm_socket_bind(kind, endpoint, socket, diag);
}

static enum nm_err write_endpoints(struct nm_broker *b, const char *path, struct nm_diag *diag)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:i}", "run", nm_ledger_run(b->ledger), "broker",
                          nm_socket_endpoint(b->work), "stats", nm_socket_endpoint(b->stats), "publish",
                          nm_socket_endpoint(b->publish), "pid", (int)getpid());
    char *text = json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(o);
    if (!text)
        return nm_fail(diag, NM_ENOMEM, "no memory");
    enum nm_err err = nm_file_write_atomic(path, text, strlen(text), diag);
    free(text);
    return err;
}

static enum nm_err listen_all(struct nm_broker *b, const struct nm_broker_options *options, struct nm_diag *diag)
{
    char path[PATH_BYTES];
    if (nm_file_join(b->state_dir, "endpoints.json", path, sizeof path))
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", b->state_dir);
    const struct nm_project_broker *p = &b->project->broker;
    const char *bind = options->bind ? options->bind : p->bind, *stats = options->stats ? options->stats : p->stats;
    const char *publish = options->publish ? options->publish : p->publish;
    json_t *before = json_load_file(path, 0, NULL);
    enum nm_err err = listen_on(NM_ROUTER, bind, endpoint_before(before, "broker", bind), &b->work, diag);
    if (!err)
        err = listen_on(NM_ROUTER, stats, endpoint_before(before, "stats", stats), &b->stats, diag);
    if (!err)
        err = listen_on(NM_PUB, publish, endpoint_before(before, "publish", publish), &b->publish, diag);
    json_decref(before);
    return err ? err : write_endpoints(b, path, diag);
}

/* ---- new and destroy ------------------------------------------------------------------------- */

static enum nm_err set_up(struct nm_broker *b, const struct nm_broker_options *options, struct nm_diag *diag)
{
    enum nm_err err = nm_file_make_dirs(b->state_dir, diag);
    if (!err)
        err = nm_serve_load(b, options, diag);
    if (err)
        return err;
    if (!options->log_level_given)
        (void)nm_log_set_level(b->project->broker.log_level);
    b->samples_given = options->samples != 0;
    b->drain_ms = (int64_t)options->drain_s * 1000;
    b->lease_ms = (int64_t)b->project->broker.lease_s * 1000;
    b->heartbeat_ms = (int64_t)b->project->broker.heartbeat_s * 1000;
    b->stream = calloc(1, sizeof *b->stream);
    b->directory = nm_directory_new();
    b->endpoints = calloc(b->project->n_endpoints + 1, sizeof *b->endpoints);
    if (!b->stream || !b->endpoints || !b->directory || nm_latency_init(&b->latency, b->project->n_endpoints))
        return nm_fail(diag, NM_ENOMEM, "no memory");
    for (uint32_t i = 0; i < b->project->n_endpoints; i++)
        b->endpoints[i].name = b->project->endpoints[i].name;
    err = nm_broker_make_plan(b, diag);
    if (!err)
        b->goal = options->samples ? options->samples : nm_again_samples(b, b->project);
    if (!err)
        err = open_ledger(b, options->new_generation, diag);
    if (!err)
        err = nm_dedup_open(b, diag);
    if (!err)
        err = restore(b, diag);
    return err ? err : listen_all(b, options, diag);
}

enum nm_err nm_broker_new(const struct nm_broker_options *options, struct nm_broker **broker, struct nm_diag *diag)
{
    *broker = NULL;
    struct nm_broker *b = calloc(1, sizeof *b);
    if (!b)
        return nm_fail(diag, NM_ENOMEM, "no memory for the broker");
    b->started_ms = nm_clock_mono_ms();
    nm_map_init(&b->peers);
    nm_map_init(&b->words);
    nm_map_init(&b->asking);
    nm_map_init(&b->grants);
    nm_recent_init(&b->recent);
    nm_arena_init(&b->arena, ARENA_MAX);
    nm_buf_init(&b->in, NM_FRAME_MAX);
    nm_buf_init(&b->out, NM_FRAME_MAX);
    b->state_dir = strdup(options->state);
    b->project_path = strdup(options->project);
    enum nm_err err =
        b->state_dir && b->project_path ? set_up(b, options, diag) : nm_fail(diag, NM_ENOMEM, "no memory");
    if (err)
        nm_broker_destroy(&b);
    *broker = b;
    return err;
}

void nm_broker_destroy(struct nm_broker **broker)
{
    struct nm_broker *b = *broker;
    *broker = NULL;
    if (!b)
        return;
    nm_socket_destroy(&b->work);
    nm_socket_destroy(&b->stats);
    nm_socket_destroy(&b->publish);
    nm_govern_close(b);
    nm_queue_destroy(&b->queue);
    nm_ledger_close(&b->ledger);
    nm_latency_clean_up(&b->latency);
    if (b->stream)
        nm_stream_clean_up(b->stream);
    free(b->stream);
    nm_plan_destroy(&b->plan);
    nm_again_clean_up(b);
    nm_map_clean_up(&b->words);
    nm_session_clean_up(b);
    nm_dedup_close(&b->dedup);
    nm_directory_destroy(&b->directory);
    nm_serve_clean_up(b);
    free(b->leases);
    nm_recent_clean_up(&b->recent);
    free(b->endpoints);
    nm_arena_clean_up(&b->arena);
    nm_buf_clean_up(&b->in);
    nm_buf_clean_up(&b->out);
    free(b->state_dir);
    free(b->project_path);
    json_decref(b->by_hand);
    free(b);
}
