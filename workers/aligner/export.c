#include "workers/aligner/export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"
#include "schemas/aside.h"
#include "workers/aligner/samples.h"
#include "workers/aligner/write_sample.h"

struct source {
    struct nm_samples *samples;
    struct nm_samples_walk *walk; /* while all are walked */
};

struct export
{
    struct source *sources;
    size_t n;
    size_t open; /* how many have their walk */
    enum nm_export_format format;
    FILE *file;
    const char *name;
    struct nm_arena arena;
    struct nm_buf buf;
    uint64_t written, doubles;
    struct nm_aside aside;
};

static enum nm_err fail_writing(const struct export *e, int errnum, struct nm_diag *diag)
{
    return nm_fail(diag, nm_err_from_errno(errnum), "cannot write %s: %s", e->name, strerror(errnum));
}

/* The source whose next task is the lowest, the first of equals; NULL: all are at their end. */
static struct source *lowest(struct export *e, uint64_t *task)
{
    struct source *best = NULL;
    for (size_t i = 0; i < e->n; i++) {
        uint64_t own;
        if (nm_samples_walk_task(e->sources[i].walk, &own) && (best == NULL || own < *task)) {
            best = &e->sources[i];
            *task = own;
        }
    }
    return best;
}

static enum nm_err write_one(struct export *e, struct source *source, struct nm_diag *diag)
{
    struct nm_msg_sample sample;
    nm_arena_reset(&e->arena);
    nm_buf_reset(&e->buf);
    enum nm_err err = nm_samples_walk_get(source->walk, &e->arena, &sample, diag);
    if (err != NM_OK)
        return err;
    err = e->format == NM_EXPORT_CONLL ? nm_write_conll(&sample, &e->buf) : nm_write_json(&sample, &e->buf);
    if (err != NM_OK)
        return nm_fail(diag, err, "the sample of task %" PRIu64 " cannot be written: %s", sample.task,
                       nm_err_name(err));
    if (fwrite(nm_buf_str(&e->buf), 1, e->buf.len, e->file) != e->buf.len)
        return fail_writing(e, errno, diag);
    e->written++;
    return NM_OK;
}

static enum nm_err merge(struct export *e, struct nm_diag *diag)
{
    uint64_t task;
    uint64_t last = 0;
    bool any = false;
    for (struct source *source; (source = lowest(e, &task)) != NULL;) {
        enum nm_err err = NM_OK;
        if (any && task == last)
            e->doubles++;
        else if (!nm_aside_has(&e->aside, task))
            err = write_one(e, source, diag);
        any = true;
        last = task;
        if (err == NM_OK)
            err = nm_samples_walk_next(source->walk);
        if (err != NM_OK)
            return diag->text[0] != '\0' ? err : nm_fail(diag, err, "the store cannot be read: %s", nm_err_name(err));
    }
    return NM_OK;
}

/* One snapshot inside the other: when the last is open, all are, and the merge runs. */
static enum nm_err open_next(struct nm_samples_walk *walk, void *ctx, struct nm_diag *diag)
{
    struct export *e = ctx;
    e->sources[e->open++].walk = walk;
    return e->open < e->n ? nm_samples_walk(e->sources[e->open].samples, open_next, e, diag) : merge(e, diag);
}

static enum nm_err open_sources(struct export *e, const char *const *state_dirs, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < e->n && err == NM_OK; i++) {
        err = nm_samples_open_read(state_dirs[i], &e->sources[i].samples, diag);
        if (err == NM_OK && strcmp(nm_samples_run(e->sources[i].samples), nm_samples_run(e->sources[0].samples)) != 0)
            err =
                nm_fail(diag, NM_ESTATE, "%s holds run %s, %s run %s: export one run at a time", state_dirs[0],
                        nm_samples_run(e->sources[0].samples), state_dirs[i], nm_samples_run(e->sources[i].samples));
    }
    return err;
}

/* Into path beside itself first, so that there never is half a data set under its name. */
static enum nm_err write_file(struct export *e, const char *path, struct nm_diag *diag)
{
    char temporary[4096];
    int n = snprintf(temporary, sizeof temporary, "%s.tmp.%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temporary)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", path);
    e->name = path;
    e->file = fopen(temporary, "we");
    if (e->file == NULL)
        return fail_writing(e, errno, diag);
    enum nm_err err = nm_samples_walk(e->sources[0].samples, open_next, e, diag);
    if (err == NM_OK && (fflush(e->file) != 0 || fsync(fileno(e->file)) != 0))
        err = fail_writing(e, errno, diag);
    if (fclose(e->file) != 0 && err == NM_OK)
        err = fail_writing(e, errno, diag);
    if (err == NM_OK && rename(temporary, path) != 0)
        err = fail_writing(e, errno, diag);
    if (err != NM_OK)
        (void)unlink(temporary);
    return err;
}

static enum nm_err write_stdout(struct export *e, struct nm_diag *diag)
{
    e->name = "standard output";
    e->file = stdout;
    enum nm_err err = nm_samples_walk(e->sources[0].samples, open_next, e, diag);
    if (err == NM_OK && fflush(stdout) != 0)
        err = fail_writing(e, errno, diag);
    return err;
}

static enum nm_err read_aside(struct export *e, const char *path, struct nm_diag *diag)
{
    if (path == NULL)
        return NM_OK;
    nm_buf_reset(&e->buf);
    enum nm_err err = nm_file_read(path, &e->buf, diag);
    return err != NM_OK ? err : nm_aside_parse(nm_buf_str(&e->buf), e->buf.len, path, &e->aside, diag);
}

enum nm_err nm_export_run(const char *const *state_dirs, size_t n, enum nm_export_format format, const char *path,
                          const char *aside, uint64_t *written, struct nm_diag *diag)
{
    struct export e = {.n = n, .format = format, .sources = calloc(n > 0 ? n : 1, sizeof *e.sources)};
    *written = 0;
    if (e.sources == NULL)
        return nm_fail(diag, NM_ENOMEM, "export: out of memory");
    diag->text[0] = '\0';
    nm_arena_init(&e.arena, 0);
    nm_buf_init(&e.buf, SIZE_MAX / 4);
    enum nm_err err = n > 0 ? open_sources(&e, state_dirs, diag) : nm_fail(diag, NM_EINVAL, "no state directory");
    if (err == NM_OK)
        err = read_aside(&e, aside, diag);
    if (err == NM_OK)
        err = path != NULL ? write_file(&e, path, diag) : write_stdout(&e, diag);
    if (err == NM_OK && e.doubles > 0)
        nm_warn("%" PRIu64 " tasks stand in more than one of the stores: each was written once", e.doubles);
    for (size_t i = 0; i < n; i++)
        nm_samples_close(&e.sources[i].samples);
    nm_aside_clean_up(&e.aside);
    nm_arena_clean_up(&e.arena);
    nm_buf_clean_up(&e.buf);
    free(e.sources);
    *written = e.written;
    return err;
}
