#include "broker/desk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

enum {
    ANSWER_VERSION = 1,
    KICKS_AT_ONCE = 10000, /* of one command: what is left is told, and workers are served in between */
    PAGE = 256,
    NOTE_MAX = 1 << 20,
};

static const uint64_t most_samples = (uint64_t)1 << 40;

/* ---- reading requests -------------------------------------------------------------------------------------------
 */

json_t *nm_desk_complain(const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return json_pack("{s:i, s:s}", "version", ANSWER_VERSION, "error", text);
}

bool nm_desk_count(const json_t *request, const char *key, uint64_t *value)
{
    const json_t *found = json_object_get(request, key);
    if (!json_is_integer(found) || json_integer_value(found) < 0)
        return false;
    *value = (uint64_t)json_integer_value(found);
    return true;
}

static json_t *done(const struct nm_broker *b)
{
    return json_pack("{s:i, s:s, s:I}", "version", ANSWER_VERSION, "state", nm_broker_state(b), "goal",
                     (json_int_t)b->goal);
}

/* ---- what is kept over a restart --------------------------------------------------------------------------------
 */

enum nm_err nm_desk_keep(struct nm_broker *b)
{
    json_t *paused = json_array();
    for (uint32_t i = 0; i < b->project->n_endpoints; i++)
        if (b->endpoints[i].paused)
            json_array_append_new(paused, json_string(b->endpoints[i].name));
    json_t *o = json_pack("{s:b, s:b, s:I, s:I, s:o}", "paused", (int)b->desk.paused, "draining",
                          (int)b->desk.draining, "goal", (json_int_t)b->desk.goal, "configured",
                          (json_int_t)b->desk.configured, "endpoints", paused);
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    if (!text)
        return NM_ENOMEM;
    enum nm_err err = nm_ledger_note(b->ledger, "desk", text, strlen(text));
    free(text);
    return err;
}

static struct endpoint *find_endpoint(struct nm_broker *b, const char *name)
{
    for (uint32_t i = 0; i < b->project->n_endpoints; i++)
        if (strcmp(b->endpoints[i].name, name) == 0)
            return &b->endpoints[i];
    return NULL;
}

static bool every_endpoint_paused(const struct nm_broker *b)
{
    for (uint32_t i = 0; i < b->project->n_endpoints; i++)
        if (!b->endpoints[i].paused)
            return false;
    return true;
}

static void apply_switches(struct nm_broker *b)
{
    nm_queue_pause(b->queue, NM_PAUSE_OPERATOR, b->desk.paused || every_endpoint_paused(b));
    nm_queue_drain(b->queue, b->desk.draining);
    for (uint32_t i = 0; i < b->project->n_endpoints; i++)
        nm_governor_block(b->governor, i, b->endpoints[i].paused);
}

static void restore_goal(struct nm_broker *b, const json_t *o)
{
    uint64_t goal = 0, configured = 0;
    if (!nm_desk_count(o, "goal", &goal) || goal == 0 || !nm_desk_count(o, "configured", &configured))
        return;
    if (configured != b->goal) {
        nm_warn("the goal is %llu as configured now; the limit of %llu that was set by hand no longer counts",
                (unsigned long long)b->goal, (unsigned long long)goal);
        return;
    }
    b->desk.goal = goal;
    nm_info("the goal is %llu, set by hand; the project says %llu", (unsigned long long)goal,
            (unsigned long long)configured);
    nm_broker_set_goal(b, goal);
}

enum nm_err nm_desk_restore(struct nm_broker *b, struct nm_diag *diag)
{
    struct nm_buf text;
    nm_buf_init(&text, NOTE_MAX);
    b->desk.configured = b->goal;
    enum nm_err err = nm_ledger_read_note(b->ledger, "desk", &text, diag);
    json_t *o = err ? NULL : json_loadb(nm_buf_str(&text), text.len, 0, NULL);
    nm_buf_clean_up(&text);
    if (err)
        return err == NM_ENOENT ? NM_OK : err;
    if (!o)
        return nm_fail(diag, NM_EFORMAT, "ledger %s is damaged: the operator's switches", nm_ledger_path(b->ledger));
    b->desk.paused = json_is_true(json_object_get(o, "paused"));
    b->desk.draining = json_is_true(json_object_get(o, "draining"));
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(o, "endpoints"), i, name)
    {
        struct endpoint *e = find_endpoint(b, json_string_value(name) ? json_string_value(name) : "");
        if (e)
            e->paused = true;
    }
    restore_goal(b, o);
    json_decref(o);
    apply_switches(b);
    if (b->desk.paused || b->desk.draining)
        nm_warn("the run is %s, as an operator left it; nermill resume goes on",
                b->desk.paused ? "paused" : "draining");
    return NM_OK;
}

/* ---- switches -----------------------------------------------------------------------------------------------------
 */

static json_t *switch_endpoint(struct nm_broker *b, const char *name, bool paused)
{
    struct endpoint *e = find_endpoint(b, name);
    if (!e)
        return nm_desk_complain("there is no endpoint \"%.200s\" in this project", name);
    e->paused = paused;
    return NULL;
}

static enum nm_err switch_pause(struct nm_broker *b, const json_t *request, bool paused, json_t **answer)
{
    const json_t *endpoint = json_object_get(request, "endpoint");
    if (endpoint && !json_is_string(endpoint)) {
        *answer = nm_desk_complain("\"endpoint\" is a name");
        return NM_OK;
    }
    if (endpoint) {
        *answer = switch_endpoint(b, json_string_value(endpoint), paused);
        if (*answer)
            return NM_OK;
    } else {
        b->desk.paused = paused;
        if (!paused)
            b->desk.draining = false;
        for (uint32_t i = 0; !paused && i < b->project->n_endpoints; i++)
            b->endpoints[i].paused = false;
    }
    apply_switches(b);
    *answer = done(b);
    return nm_desk_keep(b);
}

static enum nm_err command_pause(struct nm_broker *b, const json_t *request, json_t **answer, struct nm_diag *diag)
{
    (void)diag;
    return switch_pause(b, request, true, answer);
}

static enum nm_err command_resume(struct nm_broker *b, const json_t *request, json_t **answer, struct nm_diag *diag)
{
    (void)diag;
    return switch_pause(b, request, false, answer);
}

static enum nm_err command_drain(struct nm_broker *b, const json_t *request, json_t **answer, struct nm_diag *diag)
{
    (void)request;
    (void)diag;
    b->desk.draining = true;
    apply_switches(b);
    *answer = done(b);
    return nm_desk_keep(b);
}

static enum nm_err command_limit(struct nm_broker *b, const json_t *request, json_t **answer, struct nm_diag *diag)
{
    (void)diag;
    uint64_t samples = 0;
    const json_t *goal = json_object_get(request, "samples");
    bool any = false;
    if (goal && (!nm_desk_count(request, "samples", &samples) || samples == 0 || samples > most_samples)) {
        *answer = nm_desk_complain("\"samples\" is a number from 1 to 2^40");
        return NM_OK;
    }
    enum nm_err err = nm_limits_set(b, request, &any, answer);
    if (err || *answer)
        return err;
    if (!goal && !any) {
        *answer = nm_desk_complain("limit takes \"samples\", \"concurrency\", \"requests_per_minute\" or "
                                   "\"tokens_per_minute\" of an \"endpoint\", \"budget_requests\", "
                                   "\"budget_tokens\" or \"budget_money\"");
        return NM_OK;
    }
    if (goal) {
        b->desk.goal = samples;
        nm_broker_set_goal(b, samples);
        err = nm_desk_keep(b);
    }
    *answer = done(b);
    return err;
}

/* ---- single tasks -------------------------------------------------------------------------------------------------
 */

/* Of an earlier generation: what it asked for is no longer planned, and other tasks have taken its place. */
static bool is_earlier(const struct nm_broker *b, uint64_t task)
{
    return nm_task_generation(task) != nm_ledger_generation(b->ledger);
}

/* *kicked: false if it is open already (kicked by a command that is not committed yet), or of an earlier generation.
 */
static enum nm_err kick_letter(struct nm_broker *b, const struct nm_ledger_dead *letter, bool *kicked,
                               struct nm_diag *diag)
{
    struct nm_queue_task dead = {.task = letter->task, .attempt = (uint32_t)letter->attempt, .state = NM_TASK_DEAD};
    bool answered;
    *kicked = false;
    if (is_earlier(b, letter->task) || nm_queue_get(b->queue, letter->task, &dead))
        return NM_OK;
    enum nm_err err = nm_letters_answered(b, letter->task, letter->attempt, &answered, diag);
    if (!err)
        err = nm_ledger_reopen(b->ledger, letter->task);
    if (!err)
        err = nm_queue_kick(b->queue, letter->task, &dead, answered);
    *kicked = !err;
    return err;
}

static enum nm_err kick_letters(struct nm_broker *b, uint64_t count, uint64_t *kicked, struct nm_diag *diag)
{
    struct nm_ledger_dead list[PAGE];
    uint64_t from = 0;
    size_t n = PAGE;
    enum nm_err err = NM_OK;
    while (!err && n == PAGE && *kicked < count) {
        err = nm_ledger_list_dead(b->ledger, from, list, PAGE, &n, diag);
        for (size_t i = 0; i < n && !err && *kicked < count; i++) {
            bool one;
            err = kick_letter(b, &list[i], &one, diag);
            *kicked += !err && one;
        }
        from = n ? list[n - 1].task + 1 : from;
    }
    return err;
}

static enum nm_err kick_one(struct nm_broker *b, uint64_t task, json_t **answer, struct nm_diag *diag)
{
    struct nm_queue_task view;
    struct nm_ledger_dead letter;
    size_t n = 0;
    bool kicked = false;
    if (nm_queue_get(b->queue, task, &view)) {
        if (nm_queue_kick(b->queue, task, NULL, false))
            *answer = nm_desk_complain("task %llu is %s: dead and delayed tasks can be kicked",
                                       (unsigned long long)task, nm_task_state_name(view.state));
        return NM_OK;
    }
    enum nm_err err = nm_ledger_list_dead(b->ledger, task, &letter, 1, &n, diag);
    if (!err && n == 1 && letter.task == task)
        err = kick_letter(b, &letter, &kicked, diag);
    if (!err && !kicked && n == 1 && letter.task == task && is_earlier(b, task))
        *answer = nm_desk_complain("task %llu is of generation %llu of the run, which is at %llu: other tasks have "
                                   "taken its place",
                                   (unsigned long long)task, (unsigned long long)nm_task_generation(task),
                                   (unsigned long long)nm_ledger_generation(b->ledger));
    else if (!err && !kicked)
        *answer = nm_desk_complain("task %llu is no dead letter, and not delayed", (unsigned long long)task);
    return err;
}

static enum nm_err command_kick(struct nm_broker *b, const json_t *request, json_t **answer, struct nm_diag *diag)
{
    uint64_t task, count = KICKS_AT_ONCE, kicked = 0;
    if (nm_desk_count(request, "task", &task)) {
        enum nm_err err = kick_one(b, task, answer, diag);
        if (!err && !*answer) {
            *answer = done(b);
            json_object_set_new(*answer, "kicked", json_integer(1));
        }
        return err;
    }
    if (!json_is_true(json_object_get(request, "all")) && !nm_desk_count(request, "count", &count)) {
        *answer = nm_desk_complain("kick takes \"task\", \"count\" or \"all\": true");
        return NM_OK;
    }
    count = count < KICKS_AT_ONCE ? count : KICKS_AT_ONCE;
    enum nm_err err = kick_letters(b, count, &kicked, diag);
    while (!err && kicked < count && nm_queue_kick_delayed(b->queue))
        kicked++;
    *answer = done(b);
    json_object_set_new(*answer, "kicked", json_integer((json_int_t)kicked));
    uint64_t left = nm_queue_get_totals(b->queue)->dead + nm_queue_count(b->queue, NM_TASK_DELAYED);
    json_object_set_new(*answer, "left", json_integer((json_int_t)left));
    return err;
}

static enum nm_err command_bury(struct nm_broker *b, const json_t *request, json_t **answer, struct nm_diag *diag)
{
    (void)diag;
    uint64_t task;
    struct nm_queue_task view;
    const char *why = json_string_value(json_object_get(request, "why"));
    char words[256];
    (void)snprintf(words, sizeof words, "%s", why ? why : "");
    if (!nm_desk_count(request, "task", &task)) {
        *answer = nm_desk_complain("bury takes \"task\", a number");
        return NM_OK;
    }
    if (!nm_queue_get(b->queue, task, &view) || nm_queue_bury(b->queue, task)) {
        *answer = nm_desk_complain("task %llu is not open", (unsigned long long)task);
        return NM_OK;
    }
    enum nm_err err = NM_OK;
    if (view.state == NM_TASK_ACCEPTED || view.state == NM_TASK_ALIGNING)
        err = nm_again_uncover(b, task);
    if (!err)
        err = nm_broker_flush(b);
    if (!err)
        err = nm_ledger_bury(b->ledger, task, view.attempt, words);
    *answer = done(b);
    json_object_set_new(*answer, "was", json_string(nm_task_state_name(view.state)));
    return err;
}

static enum nm_err command_workers(struct nm_broker *b, const json_t *request, json_t **answer, struct nm_diag *diag)
{
    (void)request;
    (void)diag;
    *answer = json_pack("{s:i, s:o}", "version", ANSWER_VERSION, "workers", nm_stats_workers(b));
    return NM_OK;
}

/* ---- the way in ---------------------------------------------------------------------------------------------------
 */

/* Commands that change something are logged with who asked; a look at something is not. */
static void log_command(const char *command, const json_t *request)
{
    const json_t *by = json_object_get(request, "by");
    const char *user = json_string_value(json_object_get(by, "user"));
    const char *host = json_string_value(json_object_get(by, "host"));
    char *words = json_dumps(request, JSON_COMPACT | JSON_PRESERVE_ORDER);
    nm_info("operator %.100s of %.100s (pid %lld): %s %.500s", user ? user : "unnamed", host ? host : "nowhere named",
            (long long)json_integer_value(json_object_get(by, "pid")), command, words ? words : "");
    free(words);
}

enum nm_err nm_desk_obey(struct nm_broker *b, const char *command, const json_t *request, json_t **answer,
                         bool *changed, struct nm_diag *diag)
{
    static const struct {
        const char *name;
        enum nm_err (*obey)(struct nm_broker *b, const json_t *request, json_t **answer, struct nm_diag *diag);
        bool changes;
    } commands[] = {
        {"pause", command_pause, true},         {"resume", command_resume, true}, {"drain", command_drain, true},
        {"limit", command_limit, true},         {"kick", command_kick, true},     {"bury", command_bury, true},
        {"dead", nm_letters_dead, false},       {"peek", nm_letters_peek, false}, {"workers", command_workers, false},
        {"coverage", nm_tally_coverage, false},
    };
    *answer = NULL;
    *changed = false;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, command) != 0)
            continue;
        if (commands[i].changes)
            log_command(command, request);
        enum nm_err err = commands[i].obey(b, request, answer, diag);
        *changed = commands[i].changes;
        if (!err && !*answer)
            err = NM_ENOMEM;
        if (err && diag->text[0] == '\0')
            nm_fail(diag, err, "the command %s: %s", command, nm_err_name(err));
        return err;
    }
    return NM_OK;
}
