/* preview.c - a few samples made now, without a broker: prompt, text with its entities in colour, verdict. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/utf8.h"
#include "schemas/decoy.h"
#include "workers/generator/generator_parts.h"

/* One sample: its task, and the attempt that is on its way. */
struct sample {
    struct nm_msg_task task;
    struct nm_recipe_call call;
    struct nm_endpoint *endpoint; /* of the call in flight */
    bool canary, waiting, finished;
    uint64_t looks; /* second ones: attempts that are not counted */
};

struct preview {
    const struct nm_preview_options *options;
    struct nm_project *project;
    struct nm_entities *entities;
    struct nm_decoys *decoys;
    struct nm_recipe *recipe;
    struct nm_pool pool;
    struct nm_llm *llm;
    struct nm_arena arena; /* of the tasks, to the end */
    struct nm_buf body;
    struct nm_rng rng;
    struct sample *samples; /* (options->samples), then one canary an endpoint */
    size_t finished, accepted, calls;
};

/* ---- tasks ----------------------------------------------------------------------------------- */

static const char *pick_text(struct preview *p, char *const *list, uint32_t n)
{
    return n > 0 ? list[nm_rng_below(&p->rng, n)] : "";
}

static bool has_entity(const struct nm_msg_task *task, uint64_t index)
{
    for (size_t i = 0; i < task->n_entities; i++)
        if (task->entities[i].index == index)
            return true;
    return false;
}

static enum nm_err make_task(struct preview *p, size_t i)
{
    const struct nm_project_generation *g = &p->project->generation;
    struct nm_msg_task *task = &p->samples[i].task;
    size_t count = nm_entities_count(p->entities);
    size_t want = g->entities.min + nm_rng_below(&p->rng, g->entities.max - g->entities.min + 1);
    *task = (struct nm_msg_task){.task = i,
                                 .attempt = 1,
                                 .seed = nm_rng_next(&p->rng),
                                 .negative = nm_rng_unit(&p->rng) < g->negatives,
                                 .style = nm_str(pick_text(p, g->styles, g->n_styles)),
                                 .section = nm_str(pick_text(p, g->sections, g->n_sections)),
                                 .min_words = g->words.min,
                                 .max_words = g->words.max,
                                 .last_try = g->attempts == 1};
    char decoy[NM_DECOY_MAX];
    if (nm_decoys_pick(p->decoys, task->negative, nm_rng_next(&p->rng), decoy))
        task->decoy = nm_str(nm_arena_strndup(&p->arena, decoy, strlen(decoy)));
    task->entities = nm_arena_alloc(&p->arena, want * sizeof *task->entities);
    if (task->entities == NULL)
        return NM_ENOMEM;
    while (!task->negative && task->n_entities < want && task->n_entities < count) {
        uint64_t index = nm_rng_below(&p->rng, count);
        const struct nm_entity *entity = nm_entities_get(p->entities, index);
        if (has_entity(task, index))
            continue;
        task->entities[task->n_entities++] =
            (struct nm_msg_entity){.text = {entity->text, entity->len},
                                   .type = nm_str(nm_entities_type_name(p->entities, entity->type)),
                                   .index = index};
    }
    p->samples[i].waiting = true;
    return NM_OK;
}

/* The call of the first of each group asks for all of it. */
static enum nm_err share_calls(struct preview *p)
{
    size_t most = p->project->generation.sentences_per_call;
    for (size_t first = 0; first < p->options->samples; first += most) {
        size_t n = p->options->samples - first < most ? p->options->samples - first : most;
        struct nm_msg_task *leader = &p->samples[first].task;
        leader->asks = n > 1 ? nm_arena_alloc(&p->arena, n * sizeof *leader->asks) : NULL;
        if (n > 1 && leader->asks == NULL)
            return NM_ENOMEM;
        for (size_t i = 0; i < n && n > 1; i++) {
            struct nm_msg_task *task = &p->samples[first + i].task;
            task->line = i + 1;
            task->lines = n;
            p->samples[first + i].waiting = i == 0;
            if (i > 0)
                leader->asks[leader->n_asks++] = (struct nm_msg_ask){.seed = task->seed,
                                                                     .entities = task->entities,
                                                                     .n_entities = task->n_entities,
                                                                     .negative = task->negative,
                                                                     .style = task->style,
                                                                     .section = task->section,
                                                                     .min_words = task->min_words,
                                                                     .max_words = task->max_words,
                                                                     .decoy = task->decoy};
        }
    }
    return NM_OK;
}

/* ---- printing -------------------------------------------------------------------------------- */

static const char *const colours[] = {"\x1b[1;34m", "\x1b[1;31m", "\x1b[1;32m",
                                      "\x1b[1;35m", "\x1b[1;36m", "\x1b[1;33m"};

/* Bytes of a model go to a terminal: control characters do not. */
static void put_plain(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        putchar((unsigned char)s[i] < 0x20 || s[i] == 0x7f ? ' ' : s[i]);
}

/* In the order of the types that a span counts. */
static const char *type_name(const struct preview *p, uint64_t type)
{
    const char *name = nm_entities_type_name(p->entities, (size_t)type);
    return name != NULL ? name : "?";
}

/* The text, each span in its type's colour, masked ones grey, or as [text|Type] where there is no colour. */
static void print_text(const struct preview *p, const struct nm_recipe_verdict *verdict)
{
    const struct nm_str text = verdict->text;
    size_t at = 0;
    for (size_t i = 0; i < verdict->n_spans; i++) {
        const struct nm_msg_span *span = &verdict->spans[i];
        size_t start = nm_utf8_offset(text.ptr, text.len, span->start);
        size_t end = nm_utf8_offset(text.ptr, text.len, span->end);
        bool masked = span->state == NM_SPAN_MASKED;
        put_plain(text.ptr + at, start - at);
        if (p->options->colour)
            fputs(masked ? "\x1b[2m" : colours[span->type % (sizeof colours / sizeof *colours)], stdout);
        else
            putchar('[');
        put_plain(text.ptr + start, end - start);
        if (p->options->colour)
            fputs("\x1b[0m", stdout);
        else
            printf("|%s]", masked ? "-" : type_name(p, span->type));
        at = end;
    }
    put_plain(text.ptr + at, text.len - at);
    putchar('\n');
}

/* What each rule says; the ones that an earlier one left unasked (no text, or none that can be read) are not named.
 */
static void print_rules(const struct preview *p, const struct nm_recipe_verdict *verdict)
{
    uint64_t last =
        verdict->failed & (nm_rule_bit(NM_RULE_UTF8) | nm_rule_bit(NM_RULE_JSON) | nm_rule_bit(NM_RULE_LINE) |
                           nm_rule_bit(NM_RULE_CONTROL) | nm_rule_bit(NM_RULE_EMPTY));
    for (int failed = 1; failed >= (p->options->verbose && last == 0 ? 0 : 1); failed--) {
        size_t n = 0;
        for (int rule = NM_RULE_NONE + 1; rule < NM_RULE_COUNT; rule++)
            if (((verdict->failed & nm_rule_bit((enum nm_rule)rule)) != 0) == (failed != 0))
                printf("%s%s",
                       n++ > 0  ? ", "
                       : failed ? "  fails: "
                                : "  passes: ",
                       nm_rule_name((enum nm_rule)rule));
        if (n > 0)
            putchar('\n');
    }
}

static void print_head(const struct preview *p, const struct sample *s)
{
    const struct nm_msg_task *task = &s->task;
    printf("\nsample %llu, attempt %llu:", (unsigned long long)task->task + 1, (unsigned long long)task->attempt);
    for (size_t i = 0; i < task->n_entities; i++)
        printf("%s %s (%s)", i > 0 ? "," : "", task->entities[i].text.ptr, task->entities[i].type.ptr);
    const char *and_decoy = task->decoy.len == 0 ? "" : task->negative ? ", but the word " : ", and the word ";
    printf("%s%s%s\n", task->negative ? " no entity" : "", and_decoy, task->decoy.len > 0 ? task->decoy.ptr : "");
    for (size_t i = 0; p->options->verbose && i < s->call.prompt.n; i++)
        printf("%s> %s\n", nm_prompt_role_name(s->call.prompt.messages[i].role), s->call.prompt.messages[i].text);
}

static void print_verdict(const struct preview *p, const struct sample *s, const struct nm_chat_reply *reply,
                          const struct nm_recipe_verdict *verdict, int64_t latency_us)
{
    bool free = s->call.constraint == NM_CONSTRAINT_NONE, accepted = verdict->rule[0] == '\0';
    bool passed = accepted || strcmp(verdict->rule, NM_UNVERIFIED) == 0;
    print_head(p, s);
    fputs("  ", stdout);
    if (verdict->text.len > 0)
        print_text(p, verdict);
    else
        puts("(no text)");
    printf("  %s%s%s%s: %.1f s, %llu tokens%s%s\n",
           accepted ? "accepted"
           : passed ? "passed, "
                    : "rejected, ",
           verdict->rule, passed ? "" : ": ", verdict->detail, (double)latency_us / 1e6,
           (unsigned long long)reply->tokens_out, free ? "" : ", ",
           free ? "" : nm_constraint_name(s->call.constraint));
    if (!s->task.verify)
        print_rules(p, verdict);
    (void)fflush(stdout);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static enum nm_err finish(struct preview *p, struct sample *s, bool accepted)
{
    s->finished = true;
    p->finished++;
    p->accepted += accepted;
    return NM_OK;
}

/* The verdict as feedback of the next attempt, as the broker gives it: a text that passed is looked at once more, and
 * that look is no attempt of its own. */
static enum nm_err next_attempt(struct preview *p, struct sample *s, const struct nm_recipe_verdict *verdict)
{
    struct nm_msg_task *task = &s->task;
    bool look = strcmp(verdict->rule, NM_UNVERIFIED) == 0;
    task->attempt++;
    s->looks += look;
    if (task->attempt - s->looks > p->project->generation.attempts)
        return finish(p, s, false);
    task->last_try = task->attempt - s->looks == p->project->generation.attempts;
    task->verify = look;
    task->feedback_rule = nm_str(look ? "" : nm_arena_strndup(&p->arena, verdict->rule, strlen(verdict->rule)));
    task->feedback_detail = nm_str(look ? "" : nm_arena_strndup(&p->arena, verdict->detail, strlen(verdict->detail)));
    task->feedback_text =
        (struct nm_str){nm_arena_strndup(&p->arena, verdict->text.ptr, verdict->text.len), verdict->text.len};
    task->feedback_start = verdict->fault_start;
    task->feedback_end = verdict->fault_end;
    task->mentions = nm_arena_alloc(&p->arena, (verdict->n_spans + 1) * sizeof *task->mentions);
    if (task->feedback_rule.ptr == NULL || task->feedback_detail.ptr == NULL || task->feedback_text.ptr == NULL ||
        task->mentions == NULL)
        return NM_ENOMEM;
    if (verdict->n_spans > 0)
        memcpy(task->mentions, verdict->spans, verdict->n_spans * sizeof *task->mentions);
    task->n_mentions = verdict->n_spans;
    s->waiting = true;
    return NM_OK;
}

/* From here on it asks alone. */
static void ask_alone(struct sample *s)
{
    s->task.line = s->task.lines = 0;
    s->task.n_asks = 0;
}

/* Those whose sentences the same call asked for, the first among them. */
static size_t calls_for(const struct sample *s)
{
    return 1 + s->task.n_asks;
}

/* An attempt without a text to judge. */
static void reject(struct preview *p, struct sample *s, const struct nm_chat_fault *fault)
{
    print_head(p, s);
    printf("  rejected, %s: %s\n", fault->rule, fault->detail);
    (void)fflush(stdout);
    for (size_t i = calls_for(s); i-- > 0;) { /* the others burn no attempt */
        s[i].waiting = true;
        ask_alone(&s[i]);
    }
    const struct nm_recipe_verdict verdict = {.rule = fault->rule, .detail = fault->detail, .text = nm_str("")};
    if (next_attempt(p, s, &verdict) != NM_OK)
        (void)finish(p, s, false);
}

static enum nm_err judge_one(struct preview *p, struct sample *s, const struct nm_chat_reply *reply,
                             int64_t latency_us, struct nm_arena *arena)
{
    struct nm_recipe_verdict verdict;
    enum nm_err err = nm_recipe_judge(p->recipe, &s->task, reply, s->call.constraint, true, arena, &verdict);
    ask_alone(s);
    if (err != NM_OK)
        return err;
    if (verdict.accepted || p->options->verbose || s->task.last_try)
        print_verdict(p, s, reply, &verdict, latency_us);
    return verdict.accepted ? finish(p, s, true) : next_attempt(p, s, &verdict);
}

static enum nm_err judge(struct preview *p, struct sample *s, const struct nm_llm_outcome *outcome,
                         struct nm_diag *why)
{
    struct nm_arena arena;
    struct nm_chat_reply reply;
    nm_arena_init(&arena, 0);
    enum nm_err err = nm_chat_read(outcome->body, outcome->body_len, &arena, &reply, why);
    if (err == NM_OK && reply.refusal != NULL)
        err = nm_fail(why, NM_EFORMAT, "the model refused: %.200s", reply.refusal);
    if (err == NM_OK)
        nm_pool_success(&p->pool, s->endpoint, nm_clock_mono_ms());
    for (size_t i = 0, n = calls_for(s); i < n && err == NM_OK; i++) {
        s[i].call.constraint = s->call.constraint;
        err = judge_one(p, &s[i], &reply, outcome->latency_us, &arena);
    }
    nm_arena_clean_up(&arena);
    return err;
}

static void on_done(void *ctx, void *call, const struct nm_llm_outcome *outcome)
{
    struct preview *p = ctx;
    struct sample *s = call;
    struct nm_endpoint *e = s->endpoint;
    struct nm_chat_fault fault;
    struct nm_diag why = {""};
    e->in_flight--;
    bool answered = nm_pool_judge(e, outcome, &fault);
    if (s->canary) {
        if (answered && nm_canary_read(e, outcome->body, outcome->body_len, &why) == NM_OK) {
            nm_pool_success(&p->pool, e, nm_clock_mono_ms());
            return;
        }
        if (outcome->status == 400 || outcome->status == 422) {
            nm_canary_refused(e);
            return;
        }
        e->canary = NM_CANARY_DUE;
    } else if (answered && judge(p, s, outcome, &why) == NM_OK) {
        return;
    }
    if (answered)
        nm_chat_garbage(nm_llm_target_shown(e->target), why.text, &fault);
    bool absorbed = !s->canary && nm_pool_absorbs(e, &fault);
    if (!absorbed || !fault.fatal)
        (void)nm_pool_failure(&p->pool, e, &fault, nm_clock_mono_ms());
    s->waiting = !s->canary && !absorbed;
    if (absorbed)
        reject(p, s, &fault);
}

static enum nm_err start(struct preview *p, struct sample *s, struct nm_endpoint *e)
{
    enum nm_constraint constraint = nm_constraint_due(p->project, e, s->task.last_try);
    nm_buf_reset(&p->body);
    enum nm_err err = s->canary
                          ? nm_canary_body(e, &p->body)
                          : nm_recipe_ask(p->recipe, &s->task, e->config, constraint, &p->arena, &s->call, &p->body);
    if (err == NM_OK)
        err = nm_llm_start(p->llm, e->target, p->body.data, p->body.len, s);
    if (err != NM_OK)
        return err;
    s->endpoint = e;
    s->waiting = false;
    e->in_flight++;
    p->calls += !s->canary;
    return NM_OK;
}

static enum nm_err start_all(struct preview *p, int64_t now)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < p->pool.n && err == NM_OK; i++) {
        struct nm_endpoint *e = &p->pool.endpoints[i];
        if (e->canary == NM_CANARY_DUE && nm_pool_has_room(e, now)) {
            e->canary = NM_CANARY_SENT;
            err = start(p, &p->samples[p->options->samples + i], e);
        }
    }
    for (size_t i = 0; i < p->options->samples && err == NM_OK; i++) {
        struct nm_endpoint *e = p->samples[i].waiting ? nm_pool_pick(&p->pool, now) : NULL;
        if (e != NULL)
            err = start(p, &p->samples[i], e);
    }
    return err;
}

static enum nm_err run(struct preview *p, struct nm_diag *diag)
{
    while (p->finished < p->options->samples) {
        int64_t now = nm_clock_mono_ms();
        const char *dead = nm_pool_dead(&p->pool, p->options->give_up_ms, now);
        if (dead != NULL)
            return nm_fail(diag, NM_ENET, "%s", dead);
        if (nm_worker_stop_requested() > 0)
            return nm_fail(diag, NM_ECANCELED, "stopped by a signal");
        enum nm_err err = start_all(p, now);
        if (err != NM_OK)
            return nm_fail(diag, err, "no request can be made: %s", nm_err_name(err));
        struct pollfd fd = {.fd = nm_llm_fd(p->llm), .events = POLLIN};
        int wait = nm_llm_wait_ms(p->llm);
        int64_t pause = nm_pool_wait_ms(&p->pool, now);
        wait = wait < 0 || wait > 500 ? 500 : wait;
        (void)poll(&fd, 1, pause >= 0 && pause < wait ? (int)pause : wait);
        err = nm_llm_step(p->llm);
        if (err != NM_OK)
            return nm_fail(diag, err, "the HTTP engine fails: %s", nm_err_name(err));
    }
    printf("\n%zu of %zu samples accepted, %zu calls\n", p->accepted, p->options->samples, p->calls);
    return NM_OK;
}

/* ---- setting up ------------------------------------------------------------------------------ */

static enum nm_err read_part(void *ctx, const char *what, struct nm_buf *out, struct nm_diag *diag)
{
    struct preview *p = ctx;
    const struct nm_project_generation *g = &p->project->generation;
    char path[4096];
    if (strcmp(what, "entities") == 0)
        return nm_entities_to_blob(p->entities, out);
    if (strcmp(what, "leakage") == 0)
        return nm_project_leakage_blob(p->project, p->options->project, out, diag);
    const char *file = strcmp(what, "template") == 0 ? g->template : g->exemplars.file;
    if (nm_project_path(p->options->project, file, path, sizeof path) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", file);
    return nm_file_read(path, out, diag);
}

static enum nm_err set_up(struct preview *p, struct nm_diag *diag)
{
    char dir[4096];
    enum nm_err err = nm_project_load(p->options->project, &p->project, diag);
    if (err == NM_OK && p->project->generation.replay != NULL)
        err = nm_fail(diag, NM_EINVAL, "project %s replays %s: there is no call to show", p->project->name,
                      p->project->generation.replay);
    if (err == NM_OK)
        err = nm_project_entities(p->project, p->options->project, &p->entities, diag);
    if (err == NM_OK)
        err = nm_decoys_new(p->project, p->options->project, p->entities, &p->decoys, diag);
    if (err == NM_OK)
        err = nm_recipe_new(p->project, read_part, p, &p->recipe, diag);
    if (err == NM_OK && nm_project_path(p->options->project, "", dir, sizeof dir) != NM_OK)
        err = nm_fail(diag, NM_ELIMIT, "%s: the path is too long", p->options->project);
    if (err == NM_OK)
        err = nm_pool_init(&p->pool, p->project, dir, nm_rng_next(&p->rng), diag);
    if (err != NM_OK)
        return err;
    struct nm_llm_options llm = {
        .max_in_flight = nm_pool_capacity(&p->pool) + p->pool.n, .max_body = NM_BODY_MAX, .done = on_done, .ctx = p};
    p->samples = calloc(p->options->samples + p->pool.n, sizeof *p->samples);
    if (p->samples == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    err = nm_llm_new(&llm, &p->llm, diag);
    for (size_t i = 0; i < p->options->samples && err == NM_OK; i++)
        err = make_task(p, i);
    if (err == NM_OK)
        err = share_calls(p);
    for (size_t i = 0; i < p->pool.n && err == NM_OK; i++)
        p->samples[p->options->samples + i].canary = true;
    return err;
}

enum nm_err nm_preview_run(const struct nm_preview_options *options, struct nm_diag *diag)
{
    struct preview p = {.options = options};
    nm_arena_init(&p.arena, 0);
    nm_buf_init(&p.body, 64U << 20);
    nm_rng_init(&p.rng, options->seed != 0 ? options->seed : (uint64_t)nm_clock_wall_ms());
    nm_worker_catch_signals();
    enum nm_err err = set_up(&p, diag);
    if (err == NM_OK)
        err = run(&p, diag);
    nm_llm_destroy(&p.llm);
    nm_pool_clean_up(&p.pool);
    nm_recipe_destroy(&p.recipe);
    nm_decoys_destroy(&p.decoys);
    nm_entities_destroy(&p.entities);
    nm_project_destroy(&p.project);
    free(p.samples);
    nm_buf_clean_up(&p.body);
    nm_arena_clean_up(&p.arena);
    return err;
}
