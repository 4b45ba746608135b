#include "broker/recorded.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "broker/queue.h"

enum { PIECE = 1 << 16 };

struct line {
    uint64_t task, attempt;
    size_t start, len;
    uint32_t nth, of; /* sentences of its call */
};

struct nm_recorded {
    const char *text;
    struct nm_recorded_head head;
    struct line *lines; /* (n) by task and attempt */
    size_t n, cap;
    uint64_t *unfinished; /* (n_unfinished) ascending */
    size_t n_unfinished;
};

bool nm_recorded_by_order(struct nm_str rule)
{
    static const char *const rules[] = {"duplicate", "near_duplicate", "template"};
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rule.len == strlen(rules[i]) && memcmp(rule.ptr, rules[i], rule.len) == 0)
            return true;
    return false;
}

/* ---- the file -------------------------------------------------------------------------------- */

enum nm_err nm_recorded_read(const char *path, struct nm_buf *out, struct nm_diag *diag)
{
    errno = 0;
    gzFile file = gzopen(path, "rb"); /* reads what is not packed, too */
    if (!file)
        return nm_fail(diag, errno ? nm_err_from_errno(errno) : NM_ENOMEM, "%s can't be read: %s", path,
                       strerror(errno));
    enum nm_err err = NM_OK;
    int n = 0;
    do {
        err = nm_buf_reserve(out, PIECE);
        n = err ? 0 : gzread(file, out->data + out->len, PIECE);
        out->len += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    if (err)
        err = nm_fail(diag, err, "%s: it is larger than %zu bytes unpacked", path, out->max);
    int why = Z_OK;
    const char *text = gzerror(file, &why);
    if (!err && why != Z_OK && why != Z_STREAM_END)
        err = nm_fail(diag, NM_EFORMAT, "%s is damaged: %s", path, text);
    if (gzclose(file) != Z_OK && !err) /* it ends in the middle */
        err = nm_fail(diag, NM_EFORMAT, "%s is damaged: it is cut off", path);
    return err;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static uint64_t number(const json_t *o, const char *key, bool *bad)
{
    const json_t *value = json_object_get(o, key);
    *bad = *bad || !json_is_integer(value) || json_integer_value(value) < 0;
    return *bad ? 0 : (uint64_t)json_integer_value(value);
}

static bool read_hex(const json_t *o, const char *key, uint64_t *out)
{
    const char *text = json_string_value(json_object_get(o, key));
    char *end = NULL;
    *out = text ? strtoull(text, &end, 16) : 0;
    return text && strlen(text) == 16 && *end == '\0';
}

static enum nm_err read_head(struct nm_recorded *r, const json_t *o)
{
    bool bad = false;
    const json_t *dedup = json_object_get(o, "dedup"), *unfinished = json_object_get(o, "unfinished");
    r->head = (struct nm_recorded_head){.goal = number(o, "goal", &bad),
                                        .samples = number(o, "samples", &bad),
                                        .tasks = number(o, "tasks", &bad),
                                        .extra = number(o, "extra", &bad),
                                        .exact = json_is_true(json_object_get(dedup, "exact")),
                                        .near = json_number_value(json_object_get(dedup, "near")),
                                        .per_template = number(dedup, "per_template", &bad)};
    r->n_unfinished = json_array_size(unfinished);
    r->unfinished = calloc(r->n_unfinished + 1, sizeof *r->unfinished);
    if (!r->unfinished)
        return NM_ENOMEM;
    for (size_t i = 0; i < r->n_unfinished; i++) {
        r->unfinished[i] = (uint64_t)json_integer_value(json_array_get(unfinished, i));
        bad = bad || (i > 0 && r->unfinished[i] <= r->unfinished[i - 1]);
    }
    return bad || r->head.goal == 0 || r->head.tasks >= NM_TASK_EXTRA ? NM_EFORMAT : NM_OK;
}

static bool has_answer(const json_t *o)
{
    bool rule = json_is_string(json_object_get(o, "rule")) && json_is_integer(json_object_get(o, "status"));
    return json_is_object(json_object_get(o, "answer")) || json_is_string(json_object_get(o, "raw")) || rule;
}

static enum nm_err add_line(struct nm_recorded *r, const json_t *o, size_t start, size_t len)
{
    bool bad = false;
    uint64_t key;
    struct line line = {
        .task = number(o, "task", &bad), .attempt = number(o, "attempt", &bad), .start = start, .len = len};
    if (json_object_get(o, "lines")) {
        line.nth = (uint32_t)number(o, "line", &bad);
        line.of = (uint32_t)number(o, "lines", &bad);
        bad = bad || line.nth < 1 || line.nth > line.of || line.of > NM_LINES_MAX || line.nth > line.task + 1;
    }
    const struct line *last = r->n ? &r->lines[r->n - 1] : NULL;
    uint64_t opened = nm_task_is_extra(line.task) ? r->head.extra : r->head.tasks;
    bool ordered = !last || last->task < line.task || (last->task == line.task && last->attempt < line.attempt);
    if (bad || line.attempt == 0 || !ordered || nm_task_index(line.task) >= opened || nm_task_generation(line.task))
        return NM_EFORMAT;
    if (line.nth <= 1 && (!read_hex(o, "key", &key) || !has_answer(o)))
        return NM_EFORMAT;
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 1024;
        struct line *bigger = realloc(r->lines, cap * sizeof *bigger);
        if (!bigger)
            return NM_ENOMEM;
        r->lines = bigger;
        r->cap = cap;
    }
    r->lines[r->n++] = line;
    return NM_OK;
}

static enum nm_err read_line(struct nm_recorded *r, size_t start, size_t len, size_t nth, const char *name,
                             struct nm_diag *diag)
{
    json_error_t error = {.text = "not what it should hold"};
    json_t *o = json_loadb(r->text + start, len, JSON_ALLOW_NUL, &error);
    const char *what = json_string_value(json_object_get(o, "nermill"));
    enum nm_err err = NM_EFORMAT;
    if (nth == 1 && what && strcmp(what, "responses") == 0) {
        if (json_integer_value(json_object_get(o, "version")) > NM_RECORDED_VERSION)
            err = NM_EVERSION;
        else
            err = read_head(r, o);
    } else if (nth > 1 && json_is_object(o)) {
        err = add_line(r, o, start, len);
    }
    json_decref(o);
    if (err == NM_EVERSION)
        return nm_fail(diag, err, "%s was written by a newer nermill", name);
    if (err == NM_EFORMAT)
        return nm_fail(diag, err, "%s:%zu: %s", name, nth,
                       nth == 1 ? "no response log that nermill responses export has written"
                       : o      ? "no answer, or one that is out of order"
                                : error.text);
    return err ? nm_fail(diag, err, "%s: no memory", name) : NM_OK;
}

enum nm_err nm_recorded_parse(const char *text, size_t len, const char *name, struct nm_recorded **recorded,
                              struct nm_diag *diag)
{
    struct nm_recorded *r = calloc(1, sizeof *r);
    *recorded = NULL;
    if (!r)
        return nm_fail(diag, NM_ENOMEM, "no memory for %s", name);
    r->text = text;
    enum nm_err err = NM_OK;
    size_t nth = 0;
    for (size_t at = 0, end; !err && (at < len || nth == 0); at = end + 1) {
        const char *stop = at < len ? memchr(text + at, '\n', len - at) : NULL;
        end = stop ? (size_t)(stop - text) : len;
        err = read_line(r, at, end - at, ++nth, name, diag);
    }
    if (err)
        nm_recorded_destroy(&r);
    *recorded = r;
    return err;
}

void nm_recorded_destroy(struct nm_recorded **recorded)
{
    struct nm_recorded *r = *recorded;
    *recorded = NULL;
    if (!r)
        return;
    free(r->lines);
    free(r->unfinished);
    free(r);
}

/* ---- looking up ------------------------------------------------------------------------------ */

const struct nm_recorded_head *nm_recorded_head(const struct nm_recorded *recorded)
{
    return &recorded->head;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

bool nm_recorded_unfinished(const struct nm_recorded *r, uint64_t task)
{
    return bsearch(&task, r->unfinished, r->n_unfinished, sizeof task, by_number) != NULL;
}

static int by_attempt(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    if (x->task != y->task)
        return x->task < y->task ? -1 : 1;
    return (x->attempt > y->attempt) - (x->attempt < y->attempt);
}

static const struct line *find_line(const struct nm_recorded *r, uint64_t task, uint64_t attempt)
{
    const struct line wanted = {.task = task, .attempt = attempt};
    return r->n ? bsearch(&wanted, r->lines, r->n, sizeof wanted, by_attempt) : NULL;
}

void nm_recorded_shares(const struct nm_recorded *r, uint64_t task, uint32_t *line, uint32_t *lines)
{
    const struct line *found = find_line(r, task, 1);
    *line = found && found->of > 1 ? found->nth : 0;
    *lines = found && found->of > 1 ? found->of : 0;
}

static struct nm_str copy(const json_t *value, struct nm_arena *arena)
{
    size_t len = json_string_length(value);
    const char *text = nm_arena_strndup(arena, len ? json_string_value(value) : "", len);
    return (struct nm_str){text, text ? len : 0};
}

static struct nm_str dump(const json_t *value, struct nm_arena *arena)
{
    char *text = json_dumps(value, JSON_COMPACT);
    size_t len = text ? strlen(text) : 0;
    struct nm_str out = {text ? nm_arena_strndup(arena, text, len) : NULL, len};
    free(text);
    return out;
}

static enum nm_err take_entities(const json_t *list, struct nm_arena *arena, struct nm_recorded_answer *out)
{
    out->n_entities = json_array_size(list);
    out->entities = nm_arena_alloc(arena, (out->n_entities + 1) * sizeof *out->entities);
    for (size_t i = 0; i < out->n_entities && out->entities; i++)
        out->entities[i] = (uint64_t)json_integer_value(json_array_get(list, i));
    return out->entities ? NM_OK : NM_ENOMEM;
}

static enum nm_err take(const json_t *o, struct nm_arena *arena, struct nm_recorded_answer *out)
{
    const json_t *refused = json_object_get(o, "refused"), *constraint = json_object_get(o, "constraint");
    const json_t *answer = json_object_get(o, "answer"), *raw = json_object_get(o, "raw");
    struct nm_msg_answer *a = &out->answer;
    (void)read_hex(o, "key", &a->request); /* looked at when it was loaded */
    (void)read_hex(o, "salt", &a->salt);
    a->endpoint = copy(json_object_get(o, "endpoint"), arena);
    a->constraint = constraint ? copy(constraint, arena) : nm_str("none");
    a->status = answer || raw ? 200 : (uint64_t)json_integer_value(json_object_get(o, "status"));
    a->rule = copy(json_object_get(o, "rule"), arena);
    a->detail = copy(json_object_get(o, "detail"), arena);
    a->body = answer ? dump(answer, arena) : copy(raw, arena);
    out->refused = copy(json_object_get(refused, "rule"), arena);
    out->why = copy(json_object_get(refused, "detail"), arena);
    bool whole = a->endpoint.ptr && a->constraint.ptr && a->rule.ptr && a->detail.ptr && a->body.ptr &&
                 out->refused.ptr && out->why.ptr;
    return whole ? take_entities(json_object_get(o, "entities"), arena, out) : NM_ENOMEM;
}

enum nm_err nm_recorded_get(const struct nm_recorded *r, uint64_t task, uint64_t attempt, struct nm_arena *arena,
                            struct nm_recorded_answer *out)
{
    const struct line *line = find_line(r, task, attempt);
    *out = (struct nm_recorded_answer){.answer = {.task = task}};
    if (!line)
        return NM_ENOENT;
    json_t *o = json_loadb(r->text + line->start, line->len, JSON_ALLOW_NUL, NULL);
    enum nm_err err = o ? take(o, arena, out) : NM_ENOMEM;
    json_decref(o);
    return err;
}
