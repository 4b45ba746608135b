/* job.h - one attempt at a task, from its lease to the broker's acknowledgement, and the table of all of them.
 *
 *     QUEUED --call--> CALLING --answer--> ANSWERED --judge (judge.h)--> SENT --ack--> gone
 *                         |                                  |
 *                         +--no answer--> FAILED <--garbage--+   FAILED --sent--> gone
 *
 * Internal to the generator.  One thread.
 */
#ifndef NM_GENERATOR_JOB_H
#define NM_GENERATOR_JOB_H

#include "common/arena.h"
#include "schemas/messages.h"
#include "workers/generator/pool.h"
#include "workers/generator/recipe.h"

enum nm_job_state { NM_JOB_QUEUED, NM_JOB_CALLING, NM_JOB_ANSWERED, NM_JOB_SENT, NM_JOB_FAILED };

struct nm_job {
    uint64_t number, attempt; /* the key */
    enum nm_job_state state;
    bool canary;           /* asks whether grammars are honoured; without a task it is not in the table */
    bool granted;          /* of a task, whose call it uses up */
    uint64_t request;      /* key of the request (reuse.c) */
    uint64_t body_key;     /* of its body alone */
    uint64_t prompt_bytes; /* tokens of the prompt at most, by its bytes */
    uint64_t prompt_bound; /* the same, as well as is known */
    uint64_t tokens_in;    /* ANSWERED and judged: as the endpoint counted; 0: it does not */
    struct nm_arena arena; /* of the task, the answer, the failure */
    struct nm_msg_task task;
    struct nm_str packed; /* the task as it came; "" where it is to be encoded anew, without what it brought along */
    struct nm_recipe_call call;
    struct nm_msg_response response;
    /* ANSWERED, out of the judge's hands */
    enum nm_err judged;  /* NM_OK: there is a verdict */
    bool unreadable;     /* it is that the answer holds no text to judge */
    const char *why;     /* there is none, or it is unreadable; NULL: no memory to say it */
    struct nm_str frame; /* the verdict, as it is sent */
    bool accepted;
    struct nm_msg_failure failure; /* FAILED */
    struct nm_endpoint *endpoint;  /* CALLING and later */
    int64_t queued_ms;             /* QUEUED: since then */
    int64_t sent_ms;               /* SENT: when last handed in; 0: not yet */
    struct nm_job *chain;          /* bucket */
    struct nm_job *next, *prev;    /* the table's list of all */
    struct nm_job *after;          /* in a queue */
};

enum { NM_JOB_BUCKETS = 4096 };

struct nm_job_table {
    struct nm_job *buckets[NM_JOB_BUCKETS];
    struct nm_job *all;
    size_t n;
};

/* First in, first out. */
struct nm_job_queue {
    struct nm_job *head, *tail;
    size_t n;
};

struct nm_job *nm_job_new(void); /* NULL: out of memory */
void nm_job_destroy(struct nm_job **job);

/* nm_job_take_task - the task of that frame, into the job's arena.  NM_ENOMEM; NM_EFORMAT: it is no task. */
enum nm_err nm_job_take_task(struct nm_job *job, struct nm_str frame);

struct nm_job *nm_job_find(const struct nm_job_table *table, uint64_t number, uint64_t attempt);
void nm_job_add(struct nm_job_table *table, struct nm_job *job);
void nm_job_remove(struct nm_job_table *table, struct nm_job *job); /* out of the table; not destroyed */

void nm_job_push(struct nm_job_queue *queue, struct nm_job *job);
struct nm_job *nm_job_pop(struct nm_job_queue *queue);                     /* NULL: empty */
void nm_job_unqueue(struct nm_job_queue *queue, const struct nm_job *job); /* from anywhere; walks the queue */

#endif
