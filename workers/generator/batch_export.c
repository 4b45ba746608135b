/* batch_export.c - tasks out: leased, remembered, and each in one file.
 *
 * A request that stands in two files may be bought twice; one that stands in none is lost.  So the lines are written
 * into the state directory first, with the place where they are to go; then every entry is marked as exported, in one
 * transaction; then the file appears, whole.  Killed before the marks, the next export asks the same again; killed
 * after them, it finishes the file.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "workers/generator/batch_line.h"
#include "workers/generator/batch_parts.h"

enum { DIRECTORY_MS = 30000, ROUND_TRIPS = 3 };

static const size_t FILE_MAX = (size_t)2 << 30;

struct outbox {
    char lines[4096], place[4096]; /* files in the state directory */
    char to[4096];                 /* absolute */
};

/* ---- leasing --------------------------------------------------------------------------------- */

/* The broker leases at the end of a turn, so what it had to give is here after some questions and answers. */
static enum nm_err lease_tasks(struct nm_batch *b, size_t n, struct nm_diag *diag)
{
    struct nm_msg_directory directory;
    struct nm_arena arena;
    size_t before;
    enum nm_err err = NM_OK;
    nm_arena_init(&arena, 0);
    do {
        before = b->taken + b->reused + b->unsent;
        for (int i = 0; i < ROUND_TRIPS && err == NM_OK; i++) {
            nm_arena_reset(&arena);
            err = nm_worker_directory(b->worker, &arena, &directory, DIRECTORY_MS, diag);
        }
        if (err == NM_OK)
            err = nm_spool_commit(b->asked, diag);
    } while (err == NM_OK && b->taken + b->reused + b->unsent != before && b->taken < n);
    nm_arena_clean_up(&arena);
    return err;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* One that is in no file yet: its line, and its entry marked. */
static enum nm_err add_line(struct nm_batch *b, const struct nm_spool_entry *entry, struct nm_buf *out,
                            struct nm_diag *diag)
{
    struct nm_job job = {.number = entry->task.task, .attempt = entry->task.attempt, .task = entry->task};
    static const struct nm_llm_outcome nothing = {.text = "", .body = ""};
    nm_arena_init(&job.arena, 0);
    enum nm_err err = nm_batch_endpoint(b, entry->response.endpoint.ptr, diag);
    if (err == NM_OK)
        err = nm_batch_ask(b, &job);
    if (err == NM_OK)
        err = nm_generator_keep_answer(&job, &nothing, "", "");
    if (err == NM_OK)
        err = nm_batch_line_write(nm_worker_run(b->worker), job.number, job.attempt,
                                  (struct nm_str){b->body.data, b->body.len}, out);
    if (err == NM_OK) {
        const struct nm_spool_entry marked = {.task = job.task, .response = job.response}; /* created_ms: now */
        err = nm_spool_put(b->asked, &marked);
    }
    nm_arena_clean_up(&job.arena);
    return err;
}

/* The lines of all that are in no file yet; out NULL: only counted. */
static enum nm_err collect(struct nm_batch *b, struct nm_buf *out, size_t *n, struct nm_diag *diag)
{
    struct nm_arena all, one;
    struct nm_spool_key *keys;
    struct nm_spool_entry entry;
    size_t n_keys = 0, others;
    *n = 0;
    nm_arena_init(&all, 0);
    nm_arena_init(&one, 0);
    enum nm_err err = nm_spool_keys(b->asked, &all, &keys, &n_keys, &others, diag);
    for (size_t i = 0; i < n_keys && err == NM_OK; i++) {
        nm_arena_reset(&one);
        err = nm_spool_get(b->asked, keys[i], &one, &entry, diag);
        if (err != NM_OK || entry.response.created_ms != 0)
            continue;
        ++*n;
        if (out != NULL)
            err = add_line(b, &entry, out, diag);
    }
    nm_arena_clean_up(&all);
    nm_arena_clean_up(&one);
    return err;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void empty(const struct outbox *box)
{
    (void)unlink(box->lines);
    (void)unlink(box->place);
}

static enum nm_err name_files(struct outbox *box, const struct nm_batch_options *o, struct nm_diag *diag)
{
    char dir[4096], whole[PATH_MAX];
    const char *name = strrchr(o->file, '/') != NULL ? strrchr(o->file, '/') + 1 : o->file;
    if (nm_file_join(o->state_dir, "outbox.jsonl", box->lines, sizeof box->lines) != NM_OK ||
        nm_file_join(o->state_dir, "outbox.place", box->place, sizeof box->place) != NM_OK ||
        nm_file_dirname(o->file, dir, sizeof dir) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", o->file);
    if (realpath(dir, whole) == NULL)
        return nm_fail(diag, NM_ENOENT, "%s: there is no such directory", dir);
    if (nm_file_join(whole, name, box->to, sizeof box->to) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", o->file);
    return NM_OK;
}

/* An export that was cut off: forgotten, or finished. */
static enum nm_err finish_last(struct nm_batch *b, const struct outbox *box, struct nm_diag *diag)
{
    struct nm_buf place, lines;
    size_t unmarked = 0;
    enum nm_err err = NM_OK;
    if (!nm_file_exists(box->lines)) {
        empty(box);
        return NM_OK;
    }
    nm_buf_init(&place, sizeof box->to);
    nm_buf_init(&lines, FILE_MAX);
    err = collect(b, NULL, &unmarked, diag);
    if (err == NM_OK && unmarked == 0)
        err = nm_file_read(box->place, &place, diag);
    if (err == NM_OK && unmarked == 0 && !nm_file_exists(nm_buf_str(&place))) {
        err = nm_file_read(box->lines, &lines, diag);
        if (err == NM_OK)
            err = nm_file_write_atomic(nm_buf_str(&place), lines.data, lines.len, diag);
        if (err == NM_OK)
            printf("the last export was cut off: its requests are in %s\n", nm_buf_str(&place));
    }
    if (err == NM_OK)
        empty(box);
    nm_buf_clean_up(&place);
    nm_buf_clean_up(&lines);
    return err;
}

static enum nm_err write_file(struct nm_batch *b, const struct outbox *box, const struct nm_buf *lines,
                              struct nm_diag *diag)
{
    enum nm_err err = nm_file_write_atomic(box->place, box->to, strlen(box->to), diag);
    if (err == NM_OK)
        err = nm_file_write_atomic(box->lines, lines->data, lines->len, diag);
    if (err == NM_OK)
        err = nm_spool_commit(b->asked, diag); /* the marks */
    if (err == NM_OK)
        err = nm_file_write_atomic(box->to, lines->data, lines->len, diag);
    if (err == NM_OK)
        empty(box);
    return err;
}

static enum nm_err export_lines(struct nm_batch *b, const struct outbox *box, struct nm_diag *diag)
{
    struct nm_buf lines;
    size_t n;
    nm_buf_init(&lines, FILE_MAX);
    enum nm_err err = collect(b, &lines, &n, diag);
    if (err == NM_OK && n == 0 && b->reused == 0)
        err =
            nm_fail(diag, NM_ENOENT,
                    "there is nothing to ask for now: the tasks that the goal needs are done, out in a batch or with "
                    "generators, or the budget holds no more");
    if (err == NM_OK && n > 0)
        err = write_file(b, box, &lines, diag);
    if (err == NM_OK && n > 0)
        printf("%zu requests are in %s\n", n, b->options->file);
    if (err == NM_OK && b->reused > 0)
        printf("%zu were answered before and are not asked again\n", b->reused);
    nm_buf_clean_up(&lines);
    return err;
}

enum nm_err nm_batch_export(const struct nm_batch_options *options, struct nm_diag *diag)
{
    struct nm_batch b;
    struct outbox box;
    enum nm_err err = name_files(&box, options, diag);
    if (err == NM_OK && nm_file_exists(box.to))
        err = nm_fail(diag, NM_EEXIST, "%s is there already: name another file", options->file);
    if (err != NM_OK)
        return err;
    err = nm_batch_open(&b, options, diag);
    if (err == NM_OK)
        err = finish_last(&b, &box, diag);
    if (err == NM_OK)
        err = nm_batch_start(&b, options->n, diag);
    if (err == NM_OK)
        err = lease_tasks(&b, options->n, diag);
    if (err == NM_OK)
        err = export_lines(&b, &box, diag);
    if (err == NM_OK)
        err = nm_batch_settle(&b, diag); /* what was answered before */
    nm_batch_close(&b);
    return err;
}
