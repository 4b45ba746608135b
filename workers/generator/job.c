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

enum nm_err nm_job_copy_task(struct nm_job *job, const struct nm_msg_task *task, struct nm_buf *scratch)
{
    struct nm_msg msg = {.type = NM_MSG_task, .u.task = *task};
    nm_buf_reset(scratch);
    enum nm_err err = nm_msg_encode(&msg, scratch);
    if (err == NM_OK)
        err = nm_msg_decode(scratch->data, scratch->len, &job->arena, &msg, NULL);
    job->task = msg.u.task;
    job->number = task->task;
    job->attempt = task->attempt;
    return err;
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
