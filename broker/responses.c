#include "broker/responses.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "broker/broker_parts.h"
#include "broker/ledger_log.h"
#include "broker/recorded.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"

static const char usage[] =
    "usage: nermill-broker responses PROJECT --state DIR [--out FILE.jsonl[.gz]]\n"
    "\n"
    "Writes every answer of the run in DIR, beside its running broker too, as one JSON object\n"
    "a line: what generation: replay in another project.yaml answers its requests from.\n"
    "\n"
    "Exit codes: 0 written; 2 command line; 3 project or entity lists; 5 no ledger, disk full.\n";

struct export
{
    struct nm_broker *broker; /* its project, lists and plan alone */
    const char *name;         /* of what is written */
    gzFile out;
    uint64_t written, samples, unfinished, older;
    uint64_t unkeyed, no_text; /* answers left out: to an endpoint that is gone from the project; that are no text */
};

static bool is(struct nm_str a, const char *text)
{
    return a.len == strlen(text) && memcmp(a.ptr, text, a.len) == 0;
}

/* ---- one line -------------------------------------------------------------------------------- */

static enum nm_err put_line(struct export *e, json_t *o, struct nm_diag *diag)
{
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(o);
    if (!text)
        return nm_fail(diag, NM_ENOMEM, "no memory");
    errno = 0;
    bool whole = gzputs(e->out, text) >= 0 && gzputc(e->out, '\n') >= 0;
    free(text);
    return whole ? NM_OK
                 : nm_fail(diag, errno ? nm_err_from_errno(errno) : NM_EIO, "%s can't be written: %s", e->name,
                           strerror(errno));
}

static enum nm_err put_head(struct export *e, const struct nm_ledger_log *log, struct nm_diag *diag)
{
    const struct nm_project_dedup *d = &e->broker->project->dedup;
    json_t *unfinished = json_array();
    for (size_t i = 0; i < log->n_unfinished; i++)
        json_array_append_new(unfinished, json_integer((json_int_t)log->unfinished[i]));
    e->samples = log->samples;
    e->unfinished = log->n_unfinished;
    e->older = log->older;
    return put_line(
        e,
        json_pack("{s:s, s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:{s:b, s:f, s:i}, s:o}", "nermill", "responses",
                  "version", NM_RECORDED_VERSION, "run", log->run, "project", e->broker->project->name, "goal",
                  (json_int_t)nm_again_samples(e->broker, e->broker->project), "samples", (json_int_t)log->samples,
                  "tasks", (json_int_t)log->tasks, "extra", (json_int_t)log->extra, "dedup", "exact", d->exact,
                  "near", d->near, "per_template", (int)d->per_template, "unfinished", unfinished),
        diag);
}

static json_t *hex(uint64_t n)
{
    char text[20];
    (void)snprintf(text, sizeof text, "%016" PRIx64, n);
    return json_string(text);
}

/* The request's key.  Answers of an older build have only that which the endpoint's url is a part of: the salt. */
static bool set_key(const struct export *e, const struct nm_msg_response *r, json_t *o)
{
    const struct nm_project *project = e->broker->project;
    if (r->body_key) {
        json_object_set_new(o, "key", hex(r->body_key));
        return true;
    }
    for (uint32_t i = 0; i < project->n_endpoints && r->request; i++) {
        const char *url = project->endpoints[i].url;
        if (!is(r->endpoint, project->endpoints[i].name))
            continue;
        json_object_set_new(o, "key", hex(r->request));
        json_object_set_new(o, "salt", hex(nm_hash64(url, strlen(url), 0)));
        return true;
    }
    return false;
}

/* The members that are looked at when the answer is judged; the rest is the server's business. */
static json_t *shorten(const json_t *body)
{
    const json_t *choice = json_array_get(json_object_get(body, "choices"), 0);
    const json_t *message = json_object_get(choice, "message"), *tokens = json_object_get(body, "usage");
    if (!message)
        return NULL;
    json_t *said = json_object(), *first = json_object(), *o = json_object(), *choices = json_array();
    const struct {
        const json_t *from;
        const char *key;
        json_t *to;
    } members[] = {
        {message, "content", said}, {message, "refusal", said}, {choice, "finish_reason", first}, {body, "model", o}};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        json_t *value = json_object_get(members[i].from, members[i].key);
        if (value && !json_is_null(value))
            json_object_set(members[i].to, members[i].key, value);
    }
    json_object_set_new(first, "message", said);
    json_array_append_new(choices, first);
    json_object_set_new(o, "choices", choices);
    if (json_is_object(tokens))
        json_object_set_new(o, "usage",
                            json_pack("{s:O?, s:O?}", "prompt_tokens", json_object_get(tokens, "prompt_tokens"),
                                      "completion_tokens", json_object_get(tokens, "completion_tokens")));
    return o;
}

/* Rules that speak of no text: the verdict is all there is. */
static bool has_text(const struct nm_msg_response *r)
{
    static const char *const without[] = {"unreadable", "too_large", "request_refused", "context_overflow"};
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++)
        if (is(r->rule, without[i]))
            return false;
    return r->status == 200;
}

/* false: it is no text. */
static bool set_answer(const struct nm_msg_response *r, json_t *o)
{
    if (!has_text(r)) {
        json_object_set_new(o, "status", json_integer((json_int_t)r->status));
        json_object_set_new(o, "rule", json_stringn(r->rule.ptr, r->rule.len));
        json_object_set_new(o, "detail", json_stringn(r->detail.ptr, r->detail.len));
        return true;
    }
    json_t *body = json_loadb(r->body.ptr, r->body.len, JSON_ALLOW_NUL, NULL), *answer = shorten(body);
    json_decref(body);
    if (answer)
        return json_object_set_new(o, "answer", answer) == 0;
    return json_object_set_new(o, "raw", json_stringn(r->body.ptr, r->body.len)) == 0; /* events, say */
}

/* The broker's own verdict depends on what had been accepted before: a replay repeats it. */
static void set_refusal(const struct nm_msg_response *r, json_t *o)
{
    if (nm_recorded_by_order(r->rule))
        json_object_set_new(
            o, "refused",
            json_pack("{s:s%, s:s%}", "rule", r->rule.ptr, r->rule.len, "detail", r->detail.ptr, r->detail.len));
}

static void set_entities(const struct nm_msg_response *r, json_t *o)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_entities; i++)
        json_array_append_new(list, json_integer((json_int_t)r->entities[i].index));
    json_object_set_new(o, "entities", list);
}

static enum nm_err put_answer(struct export *e, const struct nm_msg_response *r, struct nm_diag *diag)
{
    if (is(r->rule, NM_NOT_RECORDED))
        return NM_OK;
    json_t *o = json_pack("{s:I, s:I}", "task", (json_int_t)r->task, "attempt", (json_int_t)r->attempt);
    bool shared = r->line > 1, keyed = shared || set_key(e, r, o); /* the first one's has the answer */
    if (r->lines > 1) {
        json_object_set_new(o, "line", json_integer((json_int_t)r->line));
        json_object_set_new(o, "lines", json_integer((json_int_t)r->lines));
    }
    json_object_set_new(o, "endpoint", json_stringn(r->endpoint.ptr, r->endpoint.len));
    if (!is(r->constraint, "none"))
        json_object_set_new(o, "constraint", json_stringn(r->constraint.ptr, r->constraint.len));
    if (nm_task_is_extra(r->task) && r->attempt == 1) /* what it asks for follows from nothing else */
        set_entities(r, o);
    set_refusal(r, o);
    bool text = shared || set_answer(r, o);
    e->unkeyed += !keyed;
    e->no_text += keyed && !text;
    if (!keyed || !text) {
        json_decref(o);
        return NM_OK;
    }
    e->written++;
    return put_line(e, o, diag);
}

static enum nm_err take(void *ctx, const struct nm_ledger_log *log, const struct nm_msg_response *response,
                        struct nm_diag *diag)
{
    return response ? put_answer(ctx, response, diag) : put_head(ctx, log, diag);
}

/* ---- the file -------------------------------------------------------------------------------- */

/* gzip by its name; the stream takes the descriptor. */
static enum nm_err write_to(struct export *e, int fd, const char *ledger, struct nm_diag *diag)
{
    size_t len = strlen(e->name);
    bool packed = len > 3 && strcmp(e->name + len - 3, ".gz") == 0;
    e->out = fd >= 0 ? gzdopen(fd, packed ? "wb9" : "wbT") : NULL;
    if (!e->out)
        return nm_fail(diag, nm_err_from_errno(errno), "%s can't be written: %s", e->name, strerror(errno));
    enum nm_err err = nm_ledger_read_log(ledger, take, e, diag);
    errno = 0;
    if (gzclose(e->out) != Z_OK && !err)
        err = nm_fail(diag, errno ? nm_err_from_errno(errno) : NM_EIO, "%s can't be written: %s", e->name,
                      strerror(errno));
    return err;
}

/* Beside itself first, so that there never is half a log under its name. */
static enum nm_err write_file(struct export *e, const char *path, const char *ledger, struct nm_diag *diag)
{
    char beside[NM_FILE_PATH];
    if ((size_t)snprintf(beside, sizeof beside, "%s.tmp.%ld", path, (long)getpid()) >= sizeof beside)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", path);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), synced = fd >= 0 ? dup(fd) : -1;
    enum nm_err err = write_to(e, fd, ledger, diag);
    bool renamed = !err && synced >= 0 && fsync(synced) == 0 && rename(beside, path) == 0;
    if (!err && !renamed)
        err = nm_fail(diag, nm_err_from_errno(errno), "%s can't be written: %s", path, strerror(errno));
    if (synced >= 0)
        (void)close(synced);
    if (!renamed)
        (void)unlink(beside);
    return err;
}

static void say(const struct export *e)
{
    fprintf(stderr, "%s: %" PRIu64 " answers, for %" PRIu64 " samples\n", e->name, e->written, e->samples);
    if (e->unfinished)
        fprintf(stderr, "%" PRIu64 " tasks were not finished: a replay leaves them out\n", e->unfinished);
    if (e->older)
        fprintf(stderr,
                "%" PRIu64 " samples of the data set are of earlier generations of the run, which are not in the "
                "file\n",
                e->older);
    if (e->unkeyed)
        fprintf(stderr,
                "%" PRIu64 " answers are left out: an older nermill kept no key of their requests, or the endpoint "
                "is no longer in the project\n",
                e->unkeyed);
    if (e->no_text)
        fprintf(stderr, "%" PRIu64 " answers are left out: they are no text\n", e->no_text);
}

static enum nm_err export_log(const struct nm_broker_options *options, const char *out, struct nm_diag *diag)
{
    char ledger[NM_FILE_PATH];
    struct export e = {.broker = calloc(1, sizeof *e.broker), .name = out ? out : "standard output"};
    if (!e.broker)
        return nm_fail(diag, NM_ENOMEM, "no memory");
    enum nm_err err = nm_file_path(options->state, "ledger", ledger, diag);
    if (!err)
        err = nm_serve_load(e.broker, options, diag);
    if (!err)
        err = nm_broker_make_plan(e.broker, diag);
    if (!err)
        err = out ? write_file(&e, out, ledger, diag) : write_to(&e, dup(STDOUT_FILENO), ledger, diag);
    if (!err)
        say(&e);
    nm_plan_destroy(&e.broker->plan);
    nm_serve_clean_up(e.broker);
    free(e.broker);
    return err;
}

static int bad_usage(const char *what)
{
    fprintf(stderr, "nermill-broker responses: %s (see nermill-broker responses --help)\n", what);
    return NM_EXIT_USAGE;
}

int nm_responses_main(int argc, char **argv)
{
    static const struct option long_options[] = {{"state", required_argument, NULL, 's'},
                                                 {"out", required_argument, NULL, 'o'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {NULL, 0, NULL, 0}};
    struct nm_broker_options options = {.project = NULL};
    const char *out = NULL;
    struct nm_diag diag = {""};
    for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (option == 'h') {
            fputs(usage, stdout);
            return NM_EXIT_OK;
        }
        if (option != 's' && option != 'o')
            return NM_EXIT_USAGE; /* getopt has said why */
        out = option == 'o' ? optarg : out;
        options.state = option == 's' ? optarg : options.state;
    }
    if (optind != argc - 1)
        return bad_usage("one PROJECT is needed");
    if (!options.state)
        return bad_usage("--state DIR is needed");
    options.project = argv[optind];
    enum nm_err err = export_log(&options, out, &diag);
    if (err)
        nm_error("%s", diag.text);
    return err == NM_ENOENT || err == NM_EFORMAT ? NM_EXIT_STORAGE : (int)nm_exit_code(err);
}
