#include "workers/dataset/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/log.h"
#include "schemas/aside.h"
#include "workers/aligner/samples.h"
#include "workers/dataset/import.h"

struct store {
    struct nm_samples *samples;
    struct nm_samples_walk *walk; /* while all are walked */
};

struct merging {
    struct store *stores;
    size_t n;
    size_t open; /* how many have their walk */
    struct nm_arena arena;
    uint64_t doubles;
    struct nm_aside aside;
    nm_record_fn fn;
    void *ctx;
    struct nm_record_counts *counts;
};

/* The store whose next task is the lowest, the first of equals; NULL: all are at their end. */
static struct store *lowest(struct merging *m, uint64_t *task)
{
    struct store *best = NULL;
    for (size_t i = 0; i < m->n; i++) {
        uint64_t own;
        if (nm_samples_walk_task(m->stores[i].walk, &own) && (best == NULL || own < *task)) {
            best = &m->stores[i];
            *task = own;
        }
    }
    return best;
}

static enum nm_err give_one(struct merging *m, struct store *store, struct nm_diag *diag)
{
    struct nm_record record = {.document = nm_str(""), .source = nm_str("")};
    nm_arena_reset(&m->arena);
    enum nm_err err = nm_samples_walk_get(store->walk, &m->arena, &record.sample, diag);
    if (err != NM_OK)
        return err;
    m->counts->records++;
    for (size_t i = 0; i < record.sample.n_mentions; i++) {
        bool masked = nm_mention_masked(&record.sample.mentions[i]);
        m->counts->masked += masked;
        m->counts->mentions += !masked;
    }
    return m->fn(m->ctx, &record, diag);
}

static enum nm_err merge(struct merging *m, struct nm_diag *diag)
{
    uint64_t task;
    uint64_t last = 0;
    bool any = false;
    for (struct store *store; (store = lowest(m, &task)) != NULL;) {
        enum nm_err err = NM_OK;
        if (any && task == last)
            m->doubles++;
        else if (!nm_aside_has(&m->aside, task))
            err = give_one(m, store, diag);
        any = true;
        last = task;
        if (err == NM_OK)
            err = nm_samples_walk_next(store->walk);
        if (err != NM_OK)
            return diag->text[0] != '\0' ? err : nm_fail(diag, err, "the store cannot be read: %s", nm_err_name(err));
    }
    return NM_OK;
}

/* One snapshot inside the other: when the last is open, all are, and the merge runs. */
static enum nm_err open_next(struct nm_samples_walk *walk, void *ctx, struct nm_diag *diag)
{
    struct merging *m = ctx;
    m->stores[m->open++].walk = walk;
    return m->open < m->n ? nm_samples_walk(m->stores[m->open].samples, open_next, m, diag) : merge(m, diag);
}

static enum nm_err open_stores(struct merging *m, const char *const *states, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < m->n && err == NM_OK; i++) {
        err = nm_samples_open_read(states[i], &m->stores[i].samples, diag);
        if (err == NM_OK && strcmp(nm_samples_run(m->stores[i].samples), nm_samples_run(m->stores[0].samples)) != 0)
            err = nm_fail(diag, NM_ESTATE, "%s holds run %s, %s run %s: export one run at a time", states[0],
                          nm_samples_run(m->stores[0].samples), states[i], nm_samples_run(m->stores[i].samples));
    }
    return err;
}

static enum nm_err read_aside(struct merging *m, const char *path, struct nm_diag *diag)
{
    struct nm_buf buf;
    if (path == NULL)
        return NM_OK;
    nm_buf_init(&buf, SIZE_MAX / 4);
    enum nm_err err = nm_file_read(path, &buf, diag);
    if (err == NM_OK)
        err = nm_aside_parse(nm_buf_str(&buf), buf.len, path, &m->aside, diag);
    nm_buf_clean_up(&buf);
    return err;
}

static enum nm_err read_stores(const struct nm_source *source, struct merging *m, struct nm_diag *diag)
{
    m->n = source->n_states;
    m->stores = calloc(m->n, sizeof *m->stores);
    if (m->stores == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    nm_arena_init(&m->arena, 0);
    enum nm_err err = open_stores(m, source->states, diag);
    if (err == NM_OK)
        err = read_aside(m, source->aside, diag);
    if (err == NM_OK)
        err = nm_samples_walk(m->stores[0].samples, open_next, m, diag);
    if (err == NM_OK && m->doubles > 0)
        nm_warn("%" PRIu64 " tasks stand in more than one of the stores: each was taken once", m->doubles);
    for (size_t i = 0; i < m->n; i++)
        nm_samples_close(&m->stores[i].samples);
    nm_aside_clean_up(&m->aside);
    nm_arena_clean_up(&m->arena);
    free(m->stores);
    return err;
}

enum nm_err nm_source_read(const struct nm_source *source, nm_record_fn fn, void *ctx,
                           struct nm_record_counts *counts, struct nm_diag *diag)
{
    struct nm_record_counts own = {0};
    diag->text[0] = '\0';
    counts = counts != NULL ? counts : &own;
    *counts = (struct nm_record_counts){0};
    if (source->n_states > 0)
        return read_stores(source, &(struct merging){.fn = fn, .ctx = ctx, .counts = counts}, diag);
    if (source->path == NULL)
        return nm_fail(diag, NM_EINVAL, "no state directory, and no file");
    return nm_import_read(&(struct nm_import){.path = source->path}, fn, ctx, counts, diag);
}
