/* batch_import.c - results in: each line by the way of an answer that came over HTTP. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/utf8.h"
#include "workers/generator/batch_line.h"
#include "workers/generator/batch_parts.h"

enum { GROUP = 256 }; /* answers between two flushes */

struct import {
    struct nm_batch batch;
    size_t lines, answers, refused, failed, known, foreign, bad;
};

/* ---- one line -------------------------------------------------------------------------------- */

/* These say that the request is what the endpoint does not take, and it would not take it another time. */
static bool is_refusal(uint64_t status)
{
    return status == 400 || status == 413 || status == 422;
}

static enum nm_err give_back(struct import *in, struct nm_job *job, const struct nm_batch_result *result,
                             struct nm_diag *diag)
{
    struct nm_str words = result->error.len > 0 ? result->error : result->body;
    char detail[512];
    (void)snprintf(detail, sizeof detail, "offline batch: %.400s", words.len > 0 ? words.ptr : "no answer");
    size_t bad;
    if (!nm_utf8_valid(detail, strlen(detail), &bad)) /* cut in mid-character */
        detail[bad] = '\0';
    const struct nm_msg_failure failure = {.kind = nm_str(result->status == 0 ? "unsent" : "http"),
                                           .detail = nm_str(detail),
                                           .endpoint = job->response.endpoint,
                                           .status = result->status};
    in->failed++;
    return nm_batch_give_back(&in->batch, job, &failure, diag);
}

static enum nm_err take_answer(struct import *in, struct nm_job *job, const struct nm_batch_result *result)
{
    struct nm_msg_response *response = &job->response;
    size_t len = result->body.len < NM_BODY_MAX ? result->body.len : NM_BODY_MAX;
    char *body = nm_arena_strndup(&job->arena, result->body.ptr, len);
    if (body == NULL)
        return NM_ENOMEM;
    response->body = (struct nm_str){body, len};
    response->status = result->status;
    response->created_ms = (uint64_t)nm_clock_wall_ms();
    if (len < result->body.len)
        response->rule = nm_str(NM_RULE_TOO_LARGE);
    in->answers += result->status == 200;
    in->refused += result->status != 200;
    nm_batch_answered(&in->batch, job);
    return NM_OK;
}

static enum nm_err take_result(struct import *in, const struct nm_batch_result *result, struct nm_diag *diag)
{
    struct nm_batch *b = &in->batch;
    struct nm_spool_entry entry;
    if (strcmp(result->run, nm_worker_run(b->worker)) != 0) {
        in->foreign++;
        return NM_OK;
    }
    struct nm_job *job = nm_job_find(&b->jobs, result->task, result->attempt);
    if (job == NULL || job->state != NM_JOB_QUEUED) {
        in->known++;
        return NM_OK;
    }
    enum nm_err err =
        nm_spool_get(b->asked, (struct nm_spool_key){job->number, job->attempt}, &job->arena, &entry, diag);
    if (err != NM_OK)
        return err;
    job->task = entry.task;
    job->response = entry.response;
    if (result->status == 200 || is_refusal(result->status))
        return take_answer(in, job, result);
    return give_back(in, job, result, diag);
}

/* A line that is no result is passed over: the rest of a file that was cut off is as good as any. */
static enum nm_err take_line(struct import *in, const char *line, size_t len, struct nm_diag *diag)
{
    struct nm_arena arena;
    struct nm_batch_result result;
    struct nm_diag why = {""};
    in->lines++;
    if (len == 0)
        return NM_OK;
    nm_arena_init(&arena, 0);
    enum nm_err err = nm_batch_line_read(line, len, &arena, &result, &why);
    if (err == NM_OK) {
        err = take_result(in, &result, diag);
    } else if (err == NM_EFORMAT) {
        if (in->bad++ == 0)
            nm_warn("%s:%zu: passed over: %s", in->batch.options->file, in->lines, why.text);
        err = NM_OK;
    }
    nm_arena_clean_up(&arena);
    return err;
}

/* ---- a file ---------------------------------------------------------------------------------- */

static enum nm_err take_lines(struct import *in, FILE *file, struct nm_diag *diag)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    enum nm_err err = NM_OK;
    while (err == NM_OK && (len = getline(&line, &cap, file)) > 0) {
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        err = take_line(in, line, (size_t)len, diag);
        if (err == NM_OK && in->batch.answered.n >= GROUP)
            err = nm_batch_settle(&in->batch, diag);
    }
    if (err == NM_OK && ferror(file))
        err = nm_fail(diag, NM_EIO, "%s: %s", in->batch.options->file, strerror(errno));
    free(line);
    return err;
}

static void report(const struct import *in)
{
    printf("%zu answers taken", in->answers + in->refused);
    if (in->refused > 0)
        printf(", %zu of them refusals", in->refused);
    if (in->failed > 0)
        printf("; %zu without an answer are asked again", in->failed);
    if (in->known > 0)
        printf("; %zu had been taken before", in->known);
    if (in->foreign > 0)
        printf("; %zu are of another run", in->foreign);
    if (in->bad > 0)
        printf("; %zu lines are no results", in->bad);
    size_t out = 0;
    for (const struct nm_job *job = in->batch.jobs.all; job != NULL; job = job->next)
        out += job->state == NM_JOB_QUEUED;
    printf("; %zu are still out\n", out);
}

enum nm_err nm_batch_import(const struct nm_batch_options *options, struct nm_diag *diag)
{
    struct import in = {0};
    FILE *file = fopen(options->file, "r");
    if (file == NULL)
        return nm_fail(diag, nm_err_from_errno(errno), "%s: %s", options->file, strerror(errno));
    enum nm_err err = nm_batch_open(&in.batch, options, diag);
    if (err == NM_OK)
        err = nm_batch_start(&in.batch, 0, diag);
    if (err == NM_OK)
        err = take_lines(&in, file, diag);
    if (err == NM_OK)
        err = nm_batch_settle(&in.batch, diag);
    if (err == NM_OK)
        report(&in);
    if (err == NM_OK && in.lines > 0 && in.bad == in.lines)
        err = nm_fail(diag, NM_EFORMAT, "%s holds no results of a batch: give the file that the batch API has made",
                      options->file);
    nm_batch_close(&in.batch);
    (void)fclose(file);
    return err;
}

enum nm_err nm_batch_cancel(const struct nm_batch_options *options, struct nm_diag *diag)
{
    struct nm_batch b;
    size_t n = 0;
    enum nm_err err = nm_batch_open(&b, options, diag);
    struct nm_job *next;
    for (struct nm_job *job = err == NM_OK ? b.jobs.all : NULL; job != NULL && err == NM_OK; job = next) {
        next = job->next;
        if (job->state != NM_JOB_QUEUED)
            continue;
        err = nm_spool_drop(b.asked, (struct nm_spool_key){job->number, job->attempt});
        nm_job_remove(&b.jobs, job);
        nm_job_destroy(&job);
        n++;
    }
    if (err == NM_OK)
        err = nm_spool_commit(b.asked, diag);
    if (err == NM_OK)
        err = nm_batch_start(&b, 0, diag); /* the hello says what is still held */
    if (err == NM_OK)
        err = nm_batch_settle(&b, diag);
    if (err == NM_OK)
        printf("%zu requests are given back: others may be asked for them\n", n);
    nm_batch_close(&b);
    return err;
}
