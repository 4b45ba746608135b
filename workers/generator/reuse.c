/* reuse.c - a request that was answered before, in an earlier generation of the run, is not sent again. */
#include <string.h>

#include "workers/generator/generator_parts.h"

uint64_t nm_generator_request_key(const struct nm_project_endpoint *endpoint, struct nm_str body)
{
    const char *url = endpoint->url;
    uint64_t key = nm_hash64(body.ptr, body.len, nm_hash64(url, strlen(url), 0));
    return key != 0 ? key : 1; /* 0: not known */
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
