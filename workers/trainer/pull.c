#include "workers/trainer/pull.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "schemas/aside.h"
#include "schemas/messages.h"
#include "workers/trainer/pull_aligner.h"
#include "workers/worker/worker.h"

enum { BLOB_MAX = 1 << 30 };

static enum nm_err read_all(struct nm_worker *broker, const struct nm_pull *pull,
                            const struct nm_msg_directory *directory, struct nm_pulled *samples, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < directory->n_aligners && err == NM_OK; i++)
        if (directory->aligners[i].samples > 0)
            err = nm_pull_aligner(broker, directory, i, pull->timeout_ms, samples, diag);
    return err;
}

static int by_task(const void *a, const void *b)
{
    const struct nm_msg_sample *x = a, *y = b;
    if (x->task != y->task)
        return x->task < y->task ? -1 : 1;
    return (x->attempt > y->attempt) - (x->attempt < y->attempt);
}

static enum nm_err add_sample(struct nm_corpus *corpus, const struct nm_msg_sample *sample, struct nm_diag *diag)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "task %" PRIu64 ", token", sample->task);
    for (size_t i = 0; i < sample->n_tokens; i++) {
        const struct nm_msg_token *token = &sample->tokens[i];
        if (token->start >= token->end || token->end > sample->text.len)
            return nm_fail(diag, NM_EFORMAT, "%s:%zu: its offsets are not in the text", name, i + 1);
        enum nm_err err = nm_corpus_add_word(corpus, sample->text.ptr + token->start, token->end - token->start,
                                             token->tag.ptr, token->tag.len, name, i + 1, diag);
        if (err != NM_OK)
            return err;
    }
    return nm_corpus_end_sentence(corpus) == NM_OK ? NM_OK : nm_fail(diag, NM_ENOMEM, "%s: out of memory", name);
}

static enum nm_err make_corpus(struct nm_pulled *samples, const struct nm_aside *aside, struct nm_corpus *corpus,
                               struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    size_t twice = 0;
    if (samples->n > 0)
        qsort(samples->at, samples->n, sizeof(*samples->at), by_task);
    for (size_t i = 0; i < samples->n && err == NM_OK; i++) {
        if (i > 0 && samples->at[i].task == samples->at[i - 1].task)
            twice++;
        else if (!nm_aside_has(aside, samples->at[i].task))
            err = add_sample(corpus, &samples->at[i], diag);
    }
    if (twice > 0)
        nm_warn("%zu samples were there twice and count once", twice);
    if (err == NM_OK && nm_corpus_close(corpus) != NM_OK)
        err = nm_fail(diag, NM_ENOMEM, "%zu samples: out of memory", samples->n);
    return err;
}

/* Samples of an earlier generation of the run that no longer count. */
static enum nm_err read_aside(struct nm_worker *broker, int timeout_ms, struct nm_aside *aside, struct nm_diag *diag)
{
    struct nm_buf text;
    nm_buf_init(&text, BLOB_MAX);
    enum nm_err err = nm_worker_blob(broker, "aside", &text, timeout_ms, diag);
    if (err == NM_OK)
        err = nm_aside_parse(nm_buf_str(&text), text.len, "the broker's blob aside", aside, diag);
    nm_buf_clean_up(&text);
    return err;
}

enum nm_err nm_pull_corpus(const struct nm_pull *pull, struct nm_buf *project, struct nm_corpus *corpus,
                           struct nm_diag *diag)
{
    const struct nm_worker_role role = {.name = "trainer"};
    struct nm_worker *broker = NULL;
    struct nm_msg_directory directory = {0};
    struct nm_arena arena;
    struct nm_pulled samples = {0};
    struct nm_aside aside = {NULL, 0};
    nm_arena_init(&arena, 0);
    nm_arena_init(&samples.arena, 0);
    enum nm_err err = nm_worker_new(&role, pull->broker, NULL, &broker, diag);
    if (err == NM_OK)
        err = nm_worker_directory(broker, &arena, &directory, pull->timeout_ms, diag);
    if (err == NM_OK)
        err = nm_worker_blob(broker, "project", project, pull->timeout_ms, diag);
    if (err == NM_OK)
        err = read_aside(broker, pull->timeout_ms, &aside, diag);
    if (err == NM_OK && !directory.complete)
        nm_warn("the run is not complete: training on the samples there are");
    if (err == NM_OK)
        err = read_all(broker, pull, &directory, &samples, diag);
    if (err == NM_OK)
        err = make_corpus(&samples, &aside, corpus, diag);
    if (err == NM_OK && corpus->n == 0)
        err = nm_fail(diag, NM_ENOENT, "broker %s: its run has no sample yet", pull->broker);
    if (err == NM_OK && corpus->n < directory.aligned)
        nm_warn("%zu samples arrived, the broker counts %" PRIu64, corpus->n, directory.aligned);
    nm_worker_destroy(&broker);
    free(samples.at);
    nm_aside_clean_up(&aside);
    nm_arena_clean_up(&samples.arena);
    nm_arena_clean_up(&arena);
    return err;
}

enum nm_err nm_pull_project(const struct nm_pull *pull, struct nm_buf *project, struct nm_diag *diag)
{
    const struct nm_worker_role role = {.name = "trainer"};
    struct nm_worker *broker = NULL;
    enum nm_err err = nm_worker_new(&role, pull->broker, NULL, &broker, diag);
    if (err == NM_OK)
        err = nm_worker_blob(broker, "project", project, pull->timeout_ms, diag);
    nm_worker_destroy(&broker);
    return err;
}
