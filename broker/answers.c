/* What workers hand in: answers of LLMs, calls without one, aligned samples. */
#include <stdio.h>
#include <string.h>

#include "broker/dedup.h"
#include "broker/govern.h"
#include "common/clock.h"
#include "common/log.h"

enum { LONGEST_RETRY_AFTER_MS = 24 * 3600 * 1000, LOG_FAILURES_EVERY_MS = 10000 };

static bool is(struct nm_str a, const char *text)
{
    return a.len == strlen(text) && memcmp(a.ptr, text, a.len) == 0;
}

static void copy(char *out, size_t size, struct nm_str text)
{
    (void)snprintf(out, size, "%.*s", (int)text.len, text.len ? text.ptr : "");
}

/* ---- endpoints ----------------------------------------------------------------------------------------------------
 */

static struct endpoint *find_endpoint(struct nm_broker *b, struct nm_str name)
{
    for (uint32_t i = 0; i < b->project->n_endpoints; i++)
        if (is(name, b->endpoints[i].name))
            return &b->endpoints[i];
    return NULL;
}

bool nm_endpoints_failed(const struct nm_broker *b)
{
    bool all = b->project->n_endpoints > 0;
    for (uint32_t i = 0; i < b->project->n_endpoints; i++) {
        if (b->endpoints[i].failed && i == nm_govern_verifier(b))
            return true; /* nothing that is made would ever be accepted */
        all = all && (b->endpoints[i].failed || i == nm_govern_verifier(b));
    }
    return all;
}

/* A generator that starts may have what the last one lacked: the key, the network. */
void nm_endpoints_revive(struct nm_broker *b)
{
    for (uint32_t i = 0; i < b->project->n_endpoints; i++)
        b->endpoints[i].failed = false;
    nm_queue_pause(b->queue, NM_PAUSE_ENDPOINTS, false);
    nm_governor_revive(b->governor);
}

static void endpoint_answered(struct nm_broker *b, struct nm_str name)
{
    struct endpoint *e = find_endpoint(b, name);
    b->failure.at_ms = 0;
    if (e && e->failed) {
        e->failed = false;
        nm_queue_pause(b->queue, NM_PAUSE_ENDPOINTS, false);
    }
}

/* false: it is none of the project's. */
static bool endpoint_failed(struct nm_broker *b, const struct nm_msg_failure *failure)
{
    struct endpoint *e = find_endpoint(b, failure->endpoint);
    if (!e || e->failed)
        return e != NULL;
    e->failed = true;
    copy(e->detail, sizeof e->detail, failure->detail);
    nm_error("endpoint %s is of no use: %s", e->name, e->detail);
    if (nm_endpoints_failed(b)) {
        nm_error("every endpoint that is needed has failed: no more tasks are given out until a generator says hello "
                 "again");
        nm_queue_pause(b->queue, NM_PAUSE_ENDPOINTS, true);
    }
    return true;
}

static void note_failure(struct nm_broker *b, const struct nm_msg_failure *failure)
{
    struct failure *f = &b->failure;
    int64_t now = nm_clock_wall_ms();
    bool news = f->at_ms == 0 || !is(failure->kind, f->kind) || !is(failure->endpoint, f->endpoint);
    if (news || now - f->logged_ms > LOG_FAILURES_EVERY_MS) {
        f->logged_ms = now;
        nm_warn("endpoint %.*s: %.*s: %.*s", (int)failure->endpoint.len, failure->endpoint.ptr,
                (int)failure->kind.len, failure->kind.ptr, (int)failure->detail.len, failure->detail.ptr);
    }
    copy(f->kind, sizeof f->kind, failure->kind);
    copy(f->endpoint, sizeof f->endpoint, failure->endpoint);
    copy(f->detail, sizeof f->detail, failure->detail);
    f->task = failure->task;
    f->status = failure->status;
    f->at_ms = now;
}

enum nm_err nm_answer_failure(struct nm_broker *b, struct session *s, const struct nm_msg_failure *failure)
{
    int64_t retry =
        failure->retry_after_ms < LONGEST_RETRY_AFTER_MS ? (int64_t)failure->retry_after_ms : LONGEST_RETRY_AFTER_MS;
    /* No call of this task has failed: it is another's turn at once. */
    bool leaving =
        is(failure->kind, "shutdown") || is(failure->kind, "canary") || (is(failure->kind, "unsent") && retry == 0);
    enum nm_err err = nm_govern_failure(b, s, failure);
    if (err)
        return err;
    if (!leaving) {
        nm_ledger_counters(b->ledger)->failures++;
        note_failure(b, failure);
    }
    /* An endpoint of no use gets no more calls; its tasks are another's at once, or wait for its return. */
    bool blocked = failure->fatal && endpoint_failed(b, failure);
    nm_govern_gate(b);
    if (nm_governor_serves(b->governor, b->now)) /* the wait is that endpoint's: another may take the task */
        retry = 0;
    bool applied = nm_queue_failure(b->queue, s->number, failure->task, failure->attempt,
                                    leaving || blocked ? -1 : retry, b->now);
    struct nm_queue_task view;
    if (!applied || leaving || !nm_queue_get(b->queue, failure->task, &view))
        return NM_OK;
    return nm_ledger_failure(b->ledger, failure, view.failures + blocked, nm_clock_wall_ms());
}

/* ---- answers --------------------------------------------------------------------------------- */

/* An answer for a task that is not open: given before, or never asked for. */
static enum nm_err count_unknown(struct nm_broker *b, const struct session *s, uint64_t task, uint64_t attempt,
                                 struct nm_queue_task *ended)
{
    struct nm_diag diag = {""};
    enum nm_err err = nm_ledger_ended(b->ledger, task, ended, &diag);
    if (!err) {
        nm_ledger_counters(b->ledger)->duplicates++;
        return NM_OK;
    }
    ended->state = 0;
    if (err != NM_ENOENT) {
        nm_error("%s", diag.text);
        return err;
    }
    nm_ledger_counters(b->ledger)->foreign++;
    nm_warn("worker %s answers task %llu, attempt %llu, which was never given out",
            nm_ledger_get_worker(b->ledger, s->number)->id, (unsigned long long)task, (unsigned long long)attempt);
    return NM_OK;
}

static bool count_verdict(struct nm_broker *b, enum nm_verdict verdict)
{
    struct nm_ledger_counters *c = nm_ledger_counters(b->ledger);
    c->late += verdict == NM_VERDICT_LATE;
    c->duplicates += verdict == NM_VERDICT_DUPLICATE;
    return verdict == NM_VERDICT_APPLIED || verdict == NM_VERDICT_LATE;
}

/* The task was buried by hand, or set aside, while its call was on the way.  The answer is paid for: the log keeps
 * it.
 */
static enum nm_err log_buried(struct nm_broker *b, const struct nm_msg_response *response,
                              const struct nm_queue_task *ended)
{
    struct nm_msg_response before;
    struct nm_arena scratch;
    struct nm_diag diag = {""};
    bool over = ended->state == NM_TASK_DEAD || ended->state == NM_TASK_ASIDE;
    if (!over || response->attempt != ended->attempt)
        return NM_OK;
    nm_arena_init(&scratch, 0);
    enum nm_err err = nm_ledger_read_response(b->ledger, response->task, response->attempt, &scratch, &before, NULL);
    nm_arena_clean_up(&scratch);
    if (err != NM_ENOENT)
        return err;
    err = nm_ledger_response(b->ledger, response);
    return err ? err : nm_broker_commit(b, &diag); /* at once: the same answer may come again in this turn */
}

static void measure_response(struct nm_broker *b, const struct nm_msg_response *response)
{
    enum { LONGEST_MS = 1 << 30 };
    const struct endpoint *e = find_endpoint(b, response->endpoint);
    nm_latency_answered(&b->latency, NM_STEP_LEASE, response->task, nm_clock_mono_us());
    if (e && response->latency_ms < LONGEST_MS)
        nm_window_add(&b->latency.endpoints[e - b->endpoints], 1000 * response->latency_ms, b->now);
}

/* judged: the same answer with our verdict, which is the generator's or a rejection of what that accepted. */
static enum nm_err log_answer(struct nm_broker *b, const struct nm_msg_response *response,
                              const struct nm_msg_response *judged, const struct nm_fingerprint *print)
{
    enum nm_err err = judged->rule.ptr == response->rule.ptr /* ours is another string */
                          ? nm_ledger_response_packed(b->ledger, response, nm_msg_map(b->in.data, b->in.len))
                          : nm_ledger_response(b->ledger, judged);
    if (!err && !judged->accepted)
        return nm_response_rejected(judged) ? nm_again_rejected(b, judged->task, judged->rule) : NM_OK;
    if (!err && !judged->verifies) /* the aligner is told of the attempt before, too */
        err = nm_recent_keep(&b->recent, judged);
    if (!err)
        err = nm_dedup_keep(b, judged->task, print);
    return err ? err : nm_again_accepted(b, judged->task);
}

static bool holds_texts(const struct nm_msg_response *response)
{
    return response->status == 200 && !is(response->rule, "unreadable") && !is(response->rule, "too_large");
}

enum nm_err nm_answer_response(struct nm_broker *b, struct session *s, const struct nm_msg_response *response)
{
    if (response->accepted && response->text.len == 0) {
        b->malformed++;
        nm_broker_refuse(b, &s->peer, NM_EFORMAT, "response: accepted, but without a text");
        return NM_OK;
    }
    bool leads = response->lines > 1 && response->line == 1; /* others have their sentences from it */
    if (nm_replay_skips(b, response->task) && !leads) {
        (void)nm_queue_bury(b->queue, response->task); /* unless it is already */
        return nm_session_ack(b, s, response->task, response->attempt, false, 0);
    }
    struct nm_msg_response judged = *response;
    struct nm_fingerprint print;
    enum nm_err err = nm_dedup_judge(b, &judged, &print);
    if (err)
        return err;
    if (!holds_texts(response)) /* nobody else will find a sentence in it */
        nm_queue_part(b->queue, response->task);
    enum nm_answer answer = judged.accepted                    ? NM_ANSWER_ACCEPTED
                            : is(judged.rule, NM_NOT_RECORDED) ? NM_ANSWER_HOPELESS
                            : nm_response_rejected(&judged)    ? NM_ANSWER_REJECTED
                                                               : NM_ANSWER_UNVERIFIED;
    enum nm_verdict verdict = nm_queue_response(b->queue, s->number, response->task, response->attempt, answer);
    struct nm_queue_task ended;
    err = nm_govern_response(b, s, response);
    bool applied = count_verdict(b, verdict);
    if (!err && verdict == NM_VERDICT_UNKNOWN)
        err = count_unknown(b, s, response->task, response->attempt, &ended);
    if (!err && verdict == NM_VERDICT_UNKNOWN)
        err = log_buried(b, response, &ended);
    if (!err && applied) {
        if (!response->reused && response->line <= 1 &&
            nm_ledger_get_worker(b->ledger, s->number)->role != NM_QUEUE_BATCH) {
            endpoint_answered(b, response->endpoint);
            measure_response(b, response);
        }
        err = log_answer(b, response, &judged, &print);
    }
    return err ? err : nm_session_ack(b, s, response->task, response->attempt, applied, 0);
}

/* What the aligner says of a text's spans; a kind that we do not know is newer than we are. */
static void count_spans(struct nm_ledger_counters *counters, const struct nm_msg_aligned *aligned)
{
    counters->span_all += aligned->mentions;
    for (size_t i = 0; i < aligned->n_notes; i++) {
#define COUNT(field)                                                                                                 \
    if (strcmp(aligned->notes[i].name.ptr, #field + sizeof "span_" - 1) == 0)                                        \
        counters->field += aligned->notes[i].n;
        NM_LEDGER_SPANS(COUNT)
#undef COUNT
    }
}

enum nm_err nm_answer_aligned(struct nm_broker *b, struct session *s, const struct nm_msg_aligned *aligned)
{
    bool keep = false, useless = aligned->rule.len > 0;
    enum nm_verdict verdict = nm_queue_aligned(b->queue, s->number, aligned->task, aligned->attempt, useless, &keep);
    enum nm_err err = NM_OK;
    uint64_t place = 0;
    bool applied = count_verdict(b, verdict);
    if (applied) {
        count_spans(nm_ledger_counters(b->ledger), aligned);
        nm_latency_answered(&b->latency, NM_STEP_ALIGN, aligned->task, nm_clock_mono_us());
    }
    if (applied && keep)
        err = nm_ledger_give_place(b->ledger, aligned->task, s->number, &place);
    if (!err && verdict == NM_VERDICT_UNKNOWN) {
        struct nm_queue_task ended;
        err = count_unknown(b, s, aligned->task, aligned->attempt, &ended);
        keep = ended.state == NM_TASK_DONE && ended.worker == s->number && ended.attempt == aligned->attempt;
    }
    if (!err && !applied && keep)
        err = nm_ledger_get_place(b->ledger, aligned->task, &place, NULL);
    if (!err && applied && useless) {
        nm_info("task %llu: the aligner can't use the text: %s", (unsigned long long)aligned->task,
                aligned->detail.len ? aligned->detail.ptr : aligned->rule.ptr);
        err = nm_ledger_count_rule(b->ledger, aligned->rule);
        if (!err)
            err = nm_again_uncover(b, aligned->task);
        if (!err)
            err = nm_again_rejected(b, aligned->task, aligned->rule);
    }
    return err ? err : nm_session_ack(b, s, aligned->task, aligned->attempt, keep, place);
}
