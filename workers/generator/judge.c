#include "workers/generator/judge.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/log.h"

enum state { IDLE, BUSY, FINISHED, LEAVING };

struct nm_judge {
    struct nm_spool *spool;
    const struct nm_recipe *recipe;
    pthread_t thread;
    pthread_mutex_t lock; /* of state; the rest is whose turn it is */
    pthread_cond_t turn;
    enum state state;
    int finished; /* eventfd */
    struct nm_job_queue batch;
    struct nm_arena scratch; /* of one verdict: in the job's own it would be the most of the process's memory */
    struct nm_buf frame;     /* scratch */
    enum nm_err spooled;
    struct nm_diag why;
};

/* ---- the thread ------------------------------------------------------------------------------ */

static void spool(struct nm_judge *judge)
{
    enum nm_err err = NM_OK;
    judge->why.text[0] = '\0';
    for (const struct nm_job *job = judge->batch.head; job != NULL && err == NM_OK; job = job->after) {
        struct nm_spool_entry entry = {job->task, job->response, job->packed};
        err = nm_spool_put(judge->spool, &entry);
    }
    enum nm_err committed = nm_spool_commit(judge->spool, &judge->why);
    judge->spooled = err == NM_OK ? committed : err;
}

/* "role> text", one below the other; NULL: no memory for it, and the dead letter goes without. */
static const char *prompt_of(const struct nm_prompt_text *prompt, struct nm_arena *arena)
{
    struct nm_buf text;
    enum nm_err err = NM_OK;
    nm_buf_init(&text, NM_TEXT_MAX);
    for (size_t i = 0; i < prompt->n && err == NM_OK; i++)
        err = nm_buf_addf(&text, "%s%s> %s", i > 0 ? "\n" : "", nm_prompt_role_name(prompt->messages[i].role),
                          prompt->messages[i].text);
    const char *copy = err == NM_OK ? nm_arena_strndup(arena, nm_buf_str(&text), text.len) : NULL;
    nm_buf_clean_up(&text);
    return copy;
}

/* The verdict as the frame that the broker gets; all else that was made for it is dead afterwards. */
static enum nm_err verdict_of(struct nm_judge *judge, struct nm_job *job, struct nm_diag *why)
{
    struct nm_msg msg = {.type = NM_MSG_response, .u.response = job->response};
    struct nm_msg_response *response = &msg.u.response;
    nm_arena_reset(&judge->scratch);
    nm_buf_reset(&judge->frame);
    enum nm_err err = nm_recipe_answer(judge->recipe, &job->task, &judge->scratch, response, why);
    if (err == NM_OK && job->task.last_try && !response->accepted)
        response->prompt = nm_str(prompt_of(&job->call.prompt, &judge->scratch));
    if (err == NM_OK)
        err = nm_msg_encode(&msg, &judge->frame);
    if (err != NM_OK)
        return err;
    nm_debug("task %llu.%llu: %s %s: %s", (unsigned long long)job->number, (unsigned long long)job->attempt,
             response->accepted ? "accepted" : response->rule.ptr, response->detail.ptr, response->text.ptr);
    job->accepted = response->accepted;
    job->tokens_in = response->tokens_in;
    job->unreadable =
        job->response.rule.len == 0 && response->rule.len > 0 && strcmp(response->rule.ptr, NM_RULE_UNREADABLE) == 0;
    if (job->unreadable)
        (void)nm_fail(why, NM_EFORMAT, "%s", response->detail.ptr);
    job->frame =
        (struct nm_str){nm_arena_strndup(&job->arena, judge->frame.data, judge->frame.len), judge->frame.len};
    return job->frame.ptr != NULL ? NM_OK : NM_ENOMEM;
}

static void pronounce(struct nm_judge *judge, struct nm_job *job)
{
    struct nm_diag why = {""};
    job->judged = verdict_of(judge, job, &why);
    if (job->judged != NM_OK && why.text[0] == '\0')
        (void)nm_fail(&why, job->judged, "%s", nm_err_name(job->judged));
    job->why = why.text[0] == '\0' ? "" : nm_arena_strndup(&job->arena, why.text, strlen(why.text));
}

static void *work(void *ctx)
{
    struct nm_judge *judge = ctx;
    pthread_mutex_lock(&judge->lock);
    while (judge->state != LEAVING) {
        if (judge->state != BUSY) {
            pthread_cond_wait(&judge->turn, &judge->lock);
            continue;
        }
        pthread_mutex_unlock(&judge->lock);
        spool(judge);
        for (struct nm_job *job = judge->batch.head; job != NULL; job = job->after)
            pronounce(judge, job);
        pthread_mutex_lock(&judge->lock);
        judge->state = FINISHED;
        (void)eventfd_write(judge->finished, 1);
        pthread_cond_broadcast(&judge->turn);
    }
    pthread_mutex_unlock(&judge->lock);
    return NULL;
}

/* ---- the other side of it -------------------------------------------------------------------- */

/* Signals are for the loop's thread: they end its waiting. */
static int start(struct nm_judge *judge)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&judge->thread, NULL, work, judge);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

enum nm_err nm_judge_new(struct nm_spool *spool_, const struct nm_recipe *recipe, struct nm_judge **judge,
                         struct nm_diag *diag)
{
    *judge = NULL;
    struct nm_judge *made = calloc(1, sizeof *made);
    if (made == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    *made = (struct nm_judge){.spool = spool_, .recipe = recipe, .finished = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    nm_arena_init(&made->scratch, 0);
    nm_buf_init(&made->frame, NM_FRAME_MAX);
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->turn, NULL);
    int rc = made->finished < 0 ? -1 : start(made);
    if (rc != 0) {
        if (made->finished >= 0)
            (void)close(made->finished);
        free(made);
        return nm_fail(diag, NM_EIO, "no thread can be started for the spool");
    }
    *judge = made;
    return NM_OK;
}

void nm_judge_destroy(struct nm_judge **judge)
{
    struct nm_judge *old = *judge;
    if (old == NULL)
        return;
    pthread_mutex_lock(&old->lock);
    while (old->state == BUSY)
        pthread_cond_wait(&old->turn, &old->lock);
    old->state = LEAVING;
    pthread_cond_broadcast(&old->turn);
    pthread_mutex_unlock(&old->lock);
    (void)pthread_join(old->thread, NULL);
    pthread_cond_destroy(&old->turn);
    pthread_mutex_destroy(&old->lock);
    (void)close(old->finished);
    nm_arena_clean_up(&old->scratch);
    nm_buf_clean_up(&old->frame);
    free(old);
    *judge = NULL;
}

static enum state state_of(const struct nm_judge *judge)
{
    struct nm_judge *j = (struct nm_judge *)judge; /* a lock is not what const speaks of */
    pthread_mutex_lock(&j->lock);
    enum state state = j->state;
    pthread_mutex_unlock(&j->lock);
    return state;
}

bool nm_judge_busy(const struct nm_judge *judge)
{
    return state_of(judge) != IDLE;
}

void nm_judge_give(struct nm_judge *judge, struct nm_job_queue *batch)
{
    pthread_mutex_lock(&judge->lock);
    judge->batch = *batch;
    judge->state = BUSY;
    pthread_cond_broadcast(&judge->turn);
    pthread_mutex_unlock(&judge->lock);
    *batch = (struct nm_job_queue){0};
}

bool nm_judge_take(struct nm_judge *judge, struct nm_job_queue *batch, enum nm_err *spooled, struct nm_diag *why)
{
    eventfd_t n;
    if (state_of(judge) != FINISHED)
        return false;
    (void)eventfd_read(judge->finished, &n);
    *batch = judge->batch;
    *spooled = judge->spooled;
    *why = judge->why;
    pthread_mutex_lock(&judge->lock);
    judge->state = IDLE;
    pthread_mutex_unlock(&judge->lock);
    return true;
}

int nm_judge_fd(const struct nm_judge *judge)
{
    return judge->finished;
}
