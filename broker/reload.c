/* SIGHUP: project.yaml is read again.  Limits, times and the log level count from now on; what shapes the plan is
 * refused in words, and the rest waits for the next start. */
#include <string.h>

#include "broker/desk.h"
#include "broker/govern.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"

enum { PATH_BYTES = 4096, ENTITIES_MAX = 1 << 30 };

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* What the fleet has from the start, and can't change under way; NULL: nothing. */
static const char *needs_a_start(const struct nm_project *old, const struct nm_project *new)
{
    const struct nm_project_generation *g = &old->generation, *h = &new->generation;
    if (!same(old->broker.bind, new->broker.bind) || !same(old->broker.stats, new->broker.stats) ||
        !same(old->broker.publish, new->broker.publish))
        return "broker: bind, stats or publish";
    if (old->n_endpoints != new->n_endpoints)
        return "endpoints";
    for (uint32_t i = 0; i < old->n_endpoints; i++)
        if (!same(old->endpoints[i].name, new->endpoints[i].name) ||
            !same(old->endpoints[i].url, new->endpoints[i].url) ||
            !same(old->endpoints[i].model, new->endpoints[i].model))
            return "endpoints: name, url or model";
    if (old->goal.min_per_entity != new->goal.min_per_entity || old->goal.give_up != new->goal.give_up)
        return "goal: coverage";
    if (g->attempts != h->attempts || g->constrain != h->constrain || !same(g->domain, h->domain) ||
        !same(g->template, h->template))
        return "generation: domain, template, attempts or constrain";
    if (old->dedup.exact != new->dedup.exact || old->dedup.near != new->dedup.near ||
        old->dedup.per_template != new->dedup.per_template)
        return "dedup";
    return NULL;
}

static void reload_goal(struct nm_broker *b, uint64_t samples)
{
    if (samples == b->desk.configured)
        return;
    if (b->samples_given) {
        nm_warn("reload: goal.samples is %llu now, but the goal was given by --samples: it stays %llu",
                (unsigned long long)samples, (unsigned long long)b->goal);
        return;
    }
    nm_info("reload: the goal was %llu and is %llu", (unsigned long long)b->goal, (unsigned long long)samples);
    b->desk.configured = samples;
    b->desk.goal = 0; /* the file is newer than what was set by hand */
    nm_broker_set_goal(b, samples);
}

static void reload_times(struct nm_broker *b, const struct nm_project_broker *new)
{
    int64_t lease = (int64_t) new->lease_s * 1000, heartbeat = (int64_t) new->heartbeat_s * 1000;
    if (lease == b->lease_ms && heartbeat == b->heartbeat_ms)
        return;
    nm_info("reload: lease_s was %lld and is %lld, heartbeat_s was %lld and is %lld", (long long)(b->lease_ms / 1000),
            (long long)(lease / 1000), (long long)(b->heartbeat_ms / 1000), (long long)(heartbeat / 1000));
    b->lease_ms = lease;
    b->heartbeat_ms = heartbeat;
    nm_queue_set_lease(b->queue, lease);
    nm_session_welcome_all(b);
}

static enum nm_err apply(struct nm_broker *b, struct nm_project *new)
{
    struct nm_project_broker *old = &b->project->broker;
    const char *waits = needs_a_start(b->project, new);
    if (waits)
        nm_warn("reload: %s changed, which counts only after a start of the broker and its workers", waits);
    reload_goal(b, nm_again_samples(b, new));
    reload_times(b, &new->broker);
    enum nm_err err = nm_limits_reload(b, new);
    if (err)
        return err;
    if (strcmp(old->log_level, new->broker.log_level) != 0) {
        nm_info("reload: the log level was %s and is %s", old->log_level, new->broker.log_level);
        old->log_level = new->broker.log_level; /* a constant of the loader */
        (void)nm_log_set_level(old->log_level);
    }
    return nm_desk_keep(b);
}

static enum nm_err load(struct nm_broker *b, struct nm_project **project, struct nm_entities **entities,
                        uint64_t *digest, struct nm_diag *diag)
{
    struct nm_buf blob;
    nm_buf_init(&blob, ENTITIES_MAX);
    enum nm_err err = nm_project_load(b->project_path, project, diag);
    if (!err)
        err = nm_project_entities(*project, b->project_path, entities, diag);
    if (!err)
        err = nm_entities_to_blob(*entities, &blob);
    *digest = nm_hash64(nm_buf_str(&blob), blob.len, 0);
    nm_buf_clean_up(&blob);
    return err;
}

enum nm_err nm_reload(struct nm_broker *b, struct nm_diag *diag)
{
    struct nm_project *project = NULL;
    struct nm_entities *entities = NULL;
    struct nm_diag why = {""};
    uint64_t digest;
    enum nm_err err = load(b, &project, &entities, &digest, &why);
    if (err) {
        nm_error("reload: refused, and nothing changed: %s", why.text[0] ? why.text : nm_err_name(err));
        err = NM_OK;
        goto out;
    }
    const char *other = nm_broker_other_plan(b, project, entities, digest);
    if (other) {
        nm_error(
            "reload: refused, and nothing changed: %s differs, which would mix two plans; put it back, or begin a "
            "new run with another state directory",
            other);
        goto out;
    }
    err = apply(b, project);
    if (!err)
        err = nm_broker_commit(b, diag);
out:
    nm_entities_destroy(&entities);
    nm_project_destroy(&project);
    return err;
}
