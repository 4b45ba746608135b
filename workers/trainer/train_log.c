#include "workers/trainer/train_log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/file.h"
#include "workers/trainer/curve.h"
#include "workers/trainer/tfevents.h"

/* A training has about so many lines, however long it is. */
enum { LINES = 2000, FILE_MAX = 64 << 20 };

struct nm_train_log {
    char dir[NM_FILE_PATH];
    FILE *lines, *events;
    struct nm_curve curve;
    size_t every;              /* steps a line */
    struct nm_train_step open; /* sums of the present stretch */
    size_t n_open;
    int errnum; /* of the first write that failed */
};

static void note_error(struct nm_train_log *log, bool failed)
{
    if (failed && log->errnum == 0)
        log->errnum = errno != 0 ? errno : EIO;
}

static void add_line(struct nm_train_log *log, json_t *object)
{
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(8)) : NULL;
    note_error(log, text == NULL || fprintf(log->lines, "%s\n", text) < 0);
    free(text);
    json_decref(object);
}

static void add_scalar(struct nm_train_log *log, size_t step, const char *tag, double value)
{
    note_error(log, !nm_tfevents_scalar(log->events, (double)time(NULL), step, tag, (float)value));
}

/* ---- going on --------------------------------------------------------------------------------- */

/* What a line says, into the curve; false: it is none of ours, or of a later step than done. */
static bool take_line(struct nm_train_log *log, const char *line, size_t len, size_t done)
{
    json_t *root = json_loadb(line, len, 0, NULL);
    const json_t *loss = json_object_get(root, "loss"), *dev = json_object_get(root, "dev");
    const json_int_t step = json_integer_value(json_object_get(root, "step"));
    const bool ours = root != NULL && step > 0 && (size_t)step <= done && (loss != NULL || dev != NULL);
    if (ours && loss != NULL)
        nm_curve_add(&log->curve, NM_CURVE_LOSS, (double)step, json_number_value(loss));
    else if (ours)
        nm_curve_add(&log->curve, NM_CURVE_F1, (double)step, json_number_value(json_object_get(dev, "f1")));
    json_decref(root);
    return ours;
}

/* The lines up to the step done are kept, in the file and in the curve. */
static enum nm_err keep_lines(struct nm_train_log *log, const char *path, size_t done, struct nm_diag *diag)
{
    struct nm_buf buf;
    size_t at = 0;
    nm_buf_init(&buf, FILE_MAX);
    enum nm_err err = done > 0 && nm_file_exists(path) ? nm_file_read(path, &buf, diag) : NM_OK;
    while (err == NM_OK && at < buf.len) {
        const char *end = memchr(buf.data + at, '\n', buf.len - at);
        if (end == NULL || !take_line(log, buf.data + at, (size_t)(end - buf.data) - at, done))
            break;
        at = (size_t)(end - buf.data) + 1;
    }
    if (err == NM_OK)
        err = nm_file_write_atomic(path, nm_buf_str(&buf), at, diag);
    nm_buf_clean_up(&buf);
    return err;
}

static enum nm_err open_files(struct nm_train_log *log, size_t done, struct nm_diag *diag)
{
    char path[NM_FILE_PATH], name[64];
    enum nm_err err = nm_file_path(log->dir, "metrics.jsonl", path, diag);
    if (err == NM_OK)
        err = keep_lines(log, path, done, diag);
    if (err == NM_OK && (log->lines = fopen(path, "a")) == NULL)
        err = nm_fail(diag, nm_err_from_errno(errno), "cannot write %s: %s", path, strerror(errno));
    (void)snprintf(name, sizeof(name), "events.out.tfevents.%lld.%ld", (long long)time(NULL), (long)getpid());
    if (err == NM_OK)
        err = nm_file_path(log->dir, name, path, diag);
    if (err == NM_OK && (log->events = fopen(path, "w")) == NULL)
        err = nm_fail(diag, nm_err_from_errno(errno), "cannot write %s: %s", path, strerror(errno));
    if (err == NM_OK)
        note_error(log, !nm_tfevents_begin(log->events, (double)time(NULL)));
    return err;
}

enum nm_err nm_train_log_open(struct nm_train_log **log, const char *dir, size_t done, size_t total,
                              struct nm_diag *diag)
{
    struct nm_train_log *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", dir);
    (void)snprintf(l->dir, sizeof(l->dir), "%s", dir);
    l->every = total / LINES + 1;
    enum nm_err err = open_files(l, done, diag);
    if (err != NM_OK)
        nm_train_log_close(&l);
    *log = l;
    return err;
}

/* ---- noting ----------------------------------------------------------------------------------- */

static void end_stretch(struct nm_train_log *log)
{
    const struct nm_train_step *s = &log->open;
    const double n = (double)log->n_open;
    if (log->n_open == 0)
        return;
    add_line(log,
             json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "step", (json_int_t)s->step, "epoch", s->epoch, "loss",
                       s->loss / n, "lr", s->lr, "grad_norm", s->grad_norm / n, "tokens_per_s", s->tokens_per_s));
    add_scalar(log, s->step, "train/loss", s->loss / n);
    add_scalar(log, s->step, "train/learning_rate", s->lr);
    add_scalar(log, s->step, "train/grad_norm", s->grad_norm / n);
    add_scalar(log, s->step, "train/tokens_per_s", s->tokens_per_s);
    nm_curve_add(&log->curve, NM_CURVE_LOSS, (double)s->step, s->loss / n);
    log->n_open = 0;
    log->open = (struct nm_train_step){0};
}

void nm_train_log_step(struct nm_train_log *log, const struct nm_train_step *step)
{
    const double loss = log->open.loss + step->loss, norm = log->open.grad_norm + step->grad_norm;
    log->open = *step;
    log->open.loss = loss;
    log->open.grad_norm = norm;
    if (++log->n_open == log->every)
        end_stretch(log);
}

void nm_train_log_scores(struct nm_train_log *log, size_t step, double epoch, const struct nm_score *dev)
{
    end_stretch(log);
    add_line(log, json_pack("{s:I, s:f, s:{s:f, s:f, s:f}}", "step", (json_int_t)step, "epoch", epoch, "dev",
                            "precision", dev->precision, "recall", dev->recall, "f1", dev->f1));
    add_scalar(log, step, "dev/f1", dev->f1);
    add_scalar(log, step, "dev/precision", dev->precision);
    add_scalar(log, step, "dev/recall", dev->recall);
    nm_curve_add(&log->curve, NM_CURVE_F1, (double)step, dev->f1);
}

enum nm_err nm_train_log_flush(struct nm_train_log *log, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    struct nm_buf svg;
    end_stretch(log);
    errno = 0;
    note_error(log, fflush(log->lines) != 0);
    note_error(log, fflush(log->events) != 0);
    if (log->errnum != 0)
        return nm_fail(diag, nm_err_from_errno(log->errnum), "%s/metrics.jsonl: %s", log->dir, strerror(log->errnum));
    nm_buf_init(&svg, FILE_MAX);
    enum nm_err err = nm_curve_draw(&log->curve, &svg);
    if (err != NM_OK)
        err = nm_fail(diag, err, "%s/curve.svg: out of memory", log->dir);
    else
        err = nm_file_path(log->dir, "curve.svg", path, diag);
    if (err == NM_OK)
        err = nm_file_write_atomic(path, nm_buf_str(&svg), svg.len, diag);
    nm_buf_clean_up(&svg);
    return err;
}

void nm_train_log_close(struct nm_train_log **log)
{
    struct nm_train_log *l = *log;
    if (l == NULL)
        return;
    if (l->lines != NULL)
        fclose(l->lines);
    if (l->events != NULL)
        fclose(l->events);
    nm_curve_clean_up(&l->curve);
    free(l);
    *log = NULL;
}
