/* reuse.c - tasks that need no call: their request was answered in an earlier generation of the run, or their
 * sentence is in the answer to a call that they shared. */
#include <string.h>

#include "common/clock.h"
#include "workers/generator/generator_parts.h"

/* salt: the hash of the url, or 0. */
static uint64_t key_of(struct nm_str body, uint64_t salt)
{
    uint64_t key = nm_hash64(body.ptr, body.len, salt);
    return key != 0 ? key : 1; /* 0: not known */
}

void nm_generator_key_request(struct nm_job *job, const struct nm_project_endpoint *endpoint, struct nm_str body)
{
    job->request = key_of(body, nm_hash64(endpoint->url, strlen(endpoint->url), 0));
    job->body_key = key_of(body, 0);
}

static struct nm_endpoint *named(struct nm_pool *pool, const char *name)
{
    for (size_t i = 0; i < pool->n; i++)
        if (strcmp(pool->endpoints[i].config->name, name) == 0)
            return &pool->endpoints[i];
    return NULL;
}

/* It was a chat completion when it was logged; by another version's reading perhaps, and then a call is made. */
static bool can_be_read(struct nm_job *job, struct nm_str body)
{
    struct nm_chat_reply reply;
    struct nm_diag why;
    return nm_chat_read(body.ptr, body.len, &job->arena, &reply, &why) == NM_OK;
}

/* Would this endpoint, which need not be the one that the task was granted, be asked the very same? */
static bool is_same(struct nm_generator *g, struct nm_job *job, struct nm_endpoint *endpoint, uint64_t request)
{
    return nm_generator_ask(g, job, endpoint) == NM_OK && job->request == request;
}

bool nm_generator_reuse(struct nm_generator *g, struct nm_job *job)
{
    for (size_t i = 0; i < job->task.n_answers; i++) {
        const struct nm_msg_answer *answer = &job->task.answers[i];
        struct nm_endpoint *endpoint = named(&g->pool, answer->endpoint.ptr);
        if (endpoint == NULL || !is_same(g, job, endpoint, answer->request) || !can_be_read(job, answer->body))
            continue;
        struct nm_llm_outcome outcome = {.status = 200, .body = answer->body.ptr, .body_len = answer->body.len};
        job->endpoint = endpoint;
        if (nm_generator_keep_answer(job, &outcome, "", "") != NM_OK)
            return false;
        job->response.reused = true;
        job->response.reused_from = answer->task;
        job->task.n_answers = 0; /* the spool needs them no more */
        job->state = NM_JOB_ANSWERED;
        nm_job_push(&g->answered, job);
        return true;
    }
    return false;
}

/* ---- a replay -------------------------------------------------------------------------------- */

/* As the endpoint was known to be when it was asked: what it honours, and whether prompts had to be short. */
static bool was_asked(struct nm_generator *g, struct nm_job *job, struct nm_endpoint *endpoint,
                      const struct nm_msg_answer *answer)
{
    endpoint->honours = nm_constraint_named(answer->constraint.ptr);
    for (uint64_t brief = 0; brief < 2; brief++) {
        endpoint->overflowed_at = brief; /* every prompt is longer than 1 */
        if (nm_generator_ask(g, job, endpoint) == NM_OK &&
            key_of((struct nm_str){g->body.data, g->body.len}, answer->salt) == answer->request)
            return true;
    }
    return false;
}

static enum nm_err answer_by(struct nm_job *job, const struct nm_msg_answer *answer)
{
    struct nm_llm_outcome outcome = {
        .status = (long)answer->status, .body = answer->body.ptr, .body_len = answer->body.len};
    enum nm_err err = nm_generator_keep_answer(job, &outcome, answer->rule.ptr, answer->detail.ptr);
    job->response.reused = true;
    job->response.reused_from = answer->task;
    return err;
}

static enum nm_err answer_missing(struct nm_job *job)
{
    const struct nm_llm_outcome nothing = {.body = ""};
    enum nm_err err = nm_generator_keep_answer(job, &nothing, NM_NOT_RECORDED,
                                               "the file that is replayed holds no answer to this request");
    job->response.endpoint = job->response.model = nm_str("");
    return err;
}

void nm_generator_replay(struct nm_generator *g, struct nm_job *job)
{
    const struct nm_msg_answer *answer = job->task.n_answers > 0 ? job->task.answers : NULL;
    bool found = false;
    for (size_t i = 0; i < g->pool.n && answer != NULL && !found; i++) {
        job->endpoint = &g->pool.endpoints[i];
        found = was_asked(g, job, job->endpoint, answer);
    }
    if (!found) {
        job->endpoint = &g->pool.endpoints[0];
        if (nm_generator_ask(g, job, job->endpoint) != NM_OK)
            job->call = (struct nm_recipe_call){.seed = 0};
    }
    enum nm_err err = found ? answer_by(job, answer) : answer_missing(job);
    if (err != NM_OK) { /* no memory: the broker gives it out again */
        const struct nm_chat_fault fault = {.kind = "unsent", .detail = "out of memory", .retry_after_ms = -1};
        nm_generator_fail(g, job, &fault, 0, 0);
        return;
    }
    job->task.n_answers = 0;
    job->state = NM_JOB_ANSWERED;
    nm_job_push(&g->answered, job);
    g->answers++;
}

bool nm_generator_read_shared(struct nm_generator *g, struct nm_job *job)
{
    if (job->task.line <= 1 || job->task.n_answers == 0)
        return false;
    const struct nm_msg_answer *answer = &job->task.answers[0];
    struct nm_endpoint *endpoint = named(&g->pool, answer->endpoint.ptr);
    job->endpoint = endpoint != NULL ? endpoint : &g->pool.endpoints[0]; /* for the log, should it not be readable */
    job->response = (struct nm_msg_response){.task = job->number,
                                             .attempt = job->attempt,
                                             .entities = job->task.entities,
                                             .n_entities = job->task.n_entities,
                                             .endpoint = answer->endpoint,
                                             .model = nm_str(job->endpoint->config->model),
                                             .prompt_hash = answer->prompt_hash,
                                             .seed = answer->seed,
                                             .constraint = answer->constraint,
                                             .status = 200,
                                             .created_ms = (uint64_t)nm_clock_wall_ms(),
                                             .body = answer->body,
                                             .reused_from = answer->task,
                                             .line = job->task.line,
                                             .lines = job->task.lines};
    job->task.n_answers = 0; /* the spool needs them no more */
    job->state = NM_JOB_ANSWERED;
    nm_job_push(&g->answered, job);
    return true;
}
