#include "workers/generator/job.h"

#include <stdlib.h>

struct nm_job *nm_job_new(void)
{
    struct nm_job *job = calloc(1, sizeof *job);
    if (job != NULL)
        nm_arena_init(&job->arena, 0);
    return job;
}

void nm_job_destroy(struct nm_job **job)
{
    if (*job == NULL)
        return;
    nm_arena_clean_up(&(*job)->arena);
    free(*job);
    *job = NULL;
}

enum nm_err nm_job_take_task(struct nm_job *job, struct nm_str frame)
{
    struct nm_msg msg;
    enum nm_err err = nm_msg_decode(frame.ptr, frame.len, &job->arena, &msg, NULL);
    if (err != NM_OK || msg.type != NM_MSG_task)
        return err != NM_OK ? err : NM_EFORMAT;
    job->task = msg.u.task;
    job->number = job->task.task;
    job->attempt = job->task.attempt;
    if (job->task.n_answers > 0) /* the spool does not need those */
        return NM_OK;
    job->packed = (struct nm_str){nm_arena_strndup(&job->arena, frame.ptr, frame.len), frame.len};
    return job->packed.ptr != NULL ? NM_OK : NM_ENOMEM;
}

static struct nm_job **bucket_of(struct nm_job_table *table, uint64_t number, uint64_t attempt)
{
    return &table->buckets[nm_mix64(number * 31 + attempt) % NM_JOB_BUCKETS];
}

struct nm_job *nm_job_find(const struct nm_job_table *table, uint64_t number, uint64_t attempt)
{
    struct nm_job *job = table->buckets[nm_mix64(number * 31 + attempt) % NM_JOB_BUCKETS];
    while (job != NULL && (job->number != number || job->attempt != attempt))
        job = job->chain;
    return job;
}

void nm_job_add(struct nm_job_table *table, struct nm_job *job)
{
    struct nm_job **bucket = bucket_of(table, job->number, job->attempt);
    job->chain = *bucket;
    *bucket = job;
    job->prev = NULL;
    job->next = table->all;
    if (job->next != NULL)
        job->next->prev = job;
    table->all = job;
    table->n++;
}

void nm_job_remove(struct nm_job_table *table, struct nm_job *job)
{
    struct nm_job **at = bucket_of(table, job->number, job->attempt);
    while (*at != job)
        at = &(*at)->chain;
    *at = job->chain;
    if (job->prev != NULL)
        job->prev->next = job->next;
    else
        table->all = job->next;
    if (job->next != NULL)
        job->next->prev = job->prev;
    table->n--;
}

void nm_job_push(struct nm_job_queue *queue, struct nm_job *job)
{
    job->after = NULL;
    if (queue->tail != NULL)
        queue->tail->after = job;
    else
        queue->head = job;
    queue->tail = job;
    queue->n++;
}

struct nm_job *nm_job_pop(struct nm_job_queue *queue)
{
    struct nm_job *job = queue->head;
    if (job == NULL)
        return NULL;
    queue->head = job->after;
    if (queue->head == NULL)
        queue->tail = NULL;
    queue->n--;
    return job;
}

void nm_job_unqueue(struct nm_job_queue *queue, const struct nm_job *job)
{
    struct nm_job *before = NULL;
    for (struct nm_job *at = queue->head; at != NULL; before = at, at = at->after) {
        if (at != job)
            continue;
        if (before != NULL)
            before->after = at->after;
        else
            queue->head = at->after;
        if (queue->tail == at)
            queue->tail = before;
        queue->n--;
        return;
    }
}
