#include "workers/trainer/tag_queue.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "workers/trainer/tagged.h"

/* Words of a batch: some forward passes' worth.  A call that has more alone is a batch by itself. */
enum { BATCH_WORDS = 4096 };

/* One call of nm_tag_queue_tag, on its caller's stack. */
struct job {
    struct nm_tagged *texts; /* (n) */
    size_t n, words;
    json_t **results; /* (n) */
    enum nm_err err;
    bool done;
    struct job *next;
};

struct nm_tag_queue {
    struct nm_tagger *tagger;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t arrived, finished;
    struct job *first, **last; /* that wait */
    struct nm_tag_counts counts;
    bool stop;
};

/* ---- the thread that tags --------------------------------------------------------------------- */

/* What one batch needs, all in one place. */
struct batch {
    struct nm_sentence *sentences;
    int32_t *tags;
    float *scores;
    struct nm_span *spans;
};

static void free_batch(struct batch *b)
{
    free(b->sentences);
    free(b->tags);
    free(b->scores);
    free(b->spans);
}

static enum nm_err new_batch(struct batch *b, size_t texts, size_t words)
{
    *b = (struct batch){.sentences = calloc(texts + 1, sizeof(*b->sentences)),
                        .tags = malloc((words + 1) * sizeof(*b->tags)),
                        .scores = malloc((words + 1) * sizeof(*b->scores)),
                        .spans = malloc((words + 1) * sizeof(*b->spans))};
    if (b->sentences != NULL && b->tags != NULL && b->scores != NULL && b->spans != NULL)
        return NM_OK;
    free_batch(b);
    return NM_ENOMEM;
}

static enum nm_err fill_results(const struct nm_tag_queue *q, struct job *job, const struct batch *b, size_t *at)
{
    for (size_t i = 0; i < job->n; i++) {
        const size_t words = job->texts[i].sentence.n, n = nm_metrics_spans(b->tags + *at, words, b->spans);
        job->results[i] = nm_tagged_json(&job->texts[i], &q->tagger->tagset, b->spans, n, b->scores + *at);
        if (job->results[i] == NULL)
            return NM_ENOMEM;
        *at += words;
    }
    return NM_OK;
}

static void tag_jobs(struct nm_tag_queue *q, struct job *jobs, size_t texts, size_t words)
{
    struct batch b;
    struct nm_diag diag = {""};
    size_t at = 0;
    enum nm_err err = new_batch(&b, texts, words);
    if (err == NM_OK) {
        for (struct job *job = jobs; job != NULL; job = job->next)
            for (size_t i = 0; i < job->n; i++)
                b.sentences[at++] = job->texts[i].sentence;
        err = nm_tagger_tag(q->tagger, b.sentences, texts, b.tags, b.scores, &diag);
        if (err != NM_OK)
            nm_warn("%s", diag.text);
        at = 0;
        for (struct job *job = jobs; job != NULL; job = job->next)
            job->err = err == NM_OK ? fill_results(q, job, &b, &at) : err;
        free_batch(&b);
        return;
    }
    for (struct job *job = jobs; job != NULL; job = job->next)
        job->err = err;
}

/* As many jobs as fit a batch, at least one, out of the queue. */
static struct job *take(struct nm_tag_queue *q, size_t *texts, size_t *words)
{
    struct job *jobs = q->first, *end = jobs;
    *texts = jobs->n;
    *words = jobs->words;
    while (end->next != NULL && *words + end->next->words <= BATCH_WORDS) {
        end = end->next;
        *texts += end->n;
        *words += end->words;
    }
    q->first = end->next;
    end->next = NULL;
    if (q->first == NULL)
        q->last = &q->first;
    return jobs;
}

static void count(struct nm_tag_queue *q, const struct job *jobs, size_t texts, size_t words, int64_t started)
{
    q->counts.texts += texts;
    q->counts.words += words;
    q->counts.batches++;
    q->counts.waiting -= texts;
    q->counts.seconds += (double)(nm_clock_mono_ms() - started) / 1000;
    for (; jobs != NULL; jobs = jobs->next)
        q->counts.errors += jobs->err != NM_OK;
}

static void *work(void *arg)
{
    struct nm_tag_queue *q = arg;
    pthread_mutex_lock(&q->lock);
    for (;;) {
        while (q->first == NULL && !q->stop)
            pthread_cond_wait(&q->arrived, &q->lock);
        if (q->first == NULL)
            break;
        size_t texts, words;
        struct job *jobs = take(q, &texts, &words);
        pthread_mutex_unlock(&q->lock);
        const int64_t started = nm_clock_mono_ms();
        tag_jobs(q, jobs, texts, words);
        pthread_mutex_lock(&q->lock);
        count(q, jobs, texts, words, started);
        for (struct job *job = jobs, *next; job != NULL; job = next) {
            next = job->next; /* it is its caller's again once it is done */
            job->done = true;
        }
        pthread_cond_broadcast(&q->finished);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

enum nm_err nm_tag_queue_new(struct nm_tag_queue **queue, struct nm_tagger *tagger)
{
    struct nm_tag_queue *q = calloc(1, sizeof(*q));
    if (q == NULL)
        return NM_ENOMEM;
    q->tagger = tagger;
    q->last = &q->first;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->arrived, NULL);
    pthread_cond_init(&q->finished, NULL);
    if (pthread_create(&q->thread, NULL, work, q) != 0) {
        free(q);
        return NM_ENOMEM;
    }
    *queue = q;
    return NM_OK;
}

void nm_tag_queue_destroy(struct nm_tag_queue **queue)
{
    struct nm_tag_queue *q = *queue;
    if (q == NULL)
        return;
    pthread_mutex_lock(&q->lock);
    q->stop = true;
    pthread_cond_signal(&q->arrived);
    pthread_mutex_unlock(&q->lock);
    pthread_join(q->thread, NULL);
    pthread_cond_destroy(&q->arrived);
    pthread_cond_destroy(&q->finished);
    pthread_mutex_destroy(&q->lock);
    free(q);
    *queue = NULL;
}

/* ---- the callers ------------------------------------------------------------------------------ */

static enum nm_err split_texts(struct job *job, const char *const *texts, const size_t *lens, size_t n)
{
    struct nm_extents words = {0};
    enum nm_err err = NM_OK;
    job->texts = calloc(n + 1, sizeof(*job->texts));
    if (job->texts == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        err = nm_words_split(texts[i], lens[i], &words);
        if (err == NM_OK)
            err = nm_tagged_init(&job->texts[i], texts[i], lens[i], words.at, words.n);
        job->n = i + 1;
        job->words += words.n;
    }
    free(words.at);
    return err;
}

static void wait_for(struct nm_tag_queue *q, struct job *job)
{
    pthread_mutex_lock(&q->lock);
    *q->last = job;
    q->last = &job->next;
    q->counts.waiting += job->n;
    pthread_cond_signal(&q->arrived);
    while (!job->done)
        pthread_cond_wait(&q->finished, &q->lock);
    pthread_mutex_unlock(&q->lock);
}

enum nm_err nm_tag_queue_tag(struct nm_tag_queue *queue, const char *const *texts, const size_t *lens, size_t n,
                             json_t **results)
{
    struct job job = {.results = results};
    for (size_t i = 0; i < n; i++)
        results[i] = NULL;
    enum nm_err err = split_texts(&job, texts, lens, n);
    if (err == NM_OK && n > 0) {
        wait_for(queue, &job);
        err = job.err;
    }
    for (size_t i = 0; i < n && err != NM_OK; i++) {
        json_decref(results[i]);
        results[i] = NULL;
    }
    for (size_t i = 0; i < job.n && job.texts != NULL; i++)
        nm_tagged_clean_up(&job.texts[i]);
    free(job.texts);
    return err;
}

struct nm_tag_counts nm_tag_queue_counts(struct nm_tag_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    struct nm_tag_counts counts = queue->counts;
    pthread_mutex_unlock(&queue->lock);
    return counts;
}
