#include "schemas/project.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/arena.h"
#include "common/file.h"
#include "common/utf8.h"
#include "schemas/project_yaml.h"

enum { FILE_MAX = 4 << 20 };

/* The project and all its strings live in one arena. */
struct owned_project {
    struct nm_project project; /* first: a project is freed as what it is part of */
    struct nm_arena arena;
};

/* What a check needs to name its place. */
struct checker {
    const char *name;
    const char *yaml;
    size_t len;
    struct nm_arena *arena;
    struct nm_diag *diag;
    enum nm_err err; /* the first one; later checks are skipped */
};

/* The line of "key:" inside the nth "section:" item; the section's own line where the key is not there. */
static long find_line(const struct checker *c, const char *section, size_t nth, const char *key)
{
    long line = 1;
    long section_line = 1;
    bool inside = section == NULL;
    size_t item = 0;
    const char *end = c->yaml + c->len;
    for (const char *p = c->yaml; p < end; line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (stop == NULL)
            stop = end;
        const char *word = p;
        bool dash = false;
        while (word < stop && (*word == ' ' || *word == '-')) {
            dash = dash || *word == '-';
            word++;
        }
        size_t key_len = strcspn(word, ":\n");
        bool at_left = word == p && word < stop && *word != '#';
        if (section != NULL && at_left) {
            inside = strlen(section) == key_len && strncmp(word, section, key_len) == 0;
            if (inside)
                section_line = line;
        } else if (inside) {
            item += dash;
            if (item >= nth && strlen(key) == key_len && strncmp(word, key, key_len) == 0)
                return line;
        }
        if (section == NULL && at_left && strlen(key) == key_len && strncmp(word, key, key_len) == 0)
            return line;
        p = stop + 1;
    }
    return section_line;
}

static void complain(struct checker *c, const char *section, size_t nth, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

static void complain(struct checker *c, const char *section, size_t nth, const char *key, const char *fmt, ...)
{
    if (c->err != NM_OK)
        return;
    char what[768];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    c->err = nm_fail(c->diag, NM_EFORMAT, "%s:%ld: %s%s%s: %s", c->name, find_line(c, section, nth, key),
                     section != NULL ? section : "", section != NULL ? "." : "", key, what);
}

static char *copy(struct checker *c, const char *s)
{
    if (s == NULL)
        return NULL;
    char *out = nm_arena_strndup(c->arena, s, strlen(s));
    if (out == NULL && c->err == NM_OK)
        c->err = nm_fail(c->diag, NM_ENOMEM, "%s: out of memory", c->name);
    return out;
}

static char *text_or(struct checker *c, const char *s, const char *fallback)
{
    return copy(c, s != NULL ? s : fallback);
}

/* "" is as good as absent. */
static char *filled(struct checker *c, const char *s)
{
    return s != NULL && s[0] != '\0' ? copy(c, s) : NULL;
}

static uint32_t uint_in(struct checker *c, const char *section, size_t nth, const char *key, const uint32_t *value,
                        uint32_t fallback, uint32_t low, uint32_t high)
{
    uint32_t v = value != NULL ? *value : fallback;
    if (v < low || v > high)
        complain(c, section, nth, key, "%u is not between %u and %u", v, low, high);
    return v;
}

static double float_in(struct checker *c, const char *section, size_t nth, const char *key, const double *value,
                       double fallback, double low, double high)
{
    double v = value != NULL ? *value : fallback;
    if (!(v >= low && v <= high)) /* also NaN */
        complain(c, section, nth, key, "%g is not between %g and %g", v, low, high);
    return v;
}

static int one_of(struct checker *c, const char *section, size_t nth, const char *key, const char *value,
                  int fallback, const char *const *names, int n)
{
    if (value == NULL)
        return fallback;
    char all[128] = "";
    for (int i = 0; i < n; i++) {
        if (strcmp(value, names[i]) == 0)
            return i;
        (void)snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i > 0 ? ", " : "", names[i]);
    }
    complain(c, section, nth, key, "'%s' is not one of %s", value, all);
    return fallback;
}

static struct nm_range range_in(struct checker *c, const char *key, const struct raw_range *raw,
                                struct nm_range fallback, uint32_t low, uint32_t high)
{
    struct nm_range r = fallback;
    if (raw == NULL)
        return r;
    r.min = uint_in(c, "generation", 0, key, raw->min, fallback.min, low, high);
    r.max = uint_in(c, "generation", 0, key, raw->max, r.min > fallback.max ? r.min : fallback.max, low, high);
    if (r.max < r.min)
        complain(c, "generation", 0, key, "min %u is larger than max %u", r.min, r.max);
    return r;
}

static char **copy_list(struct checker *c, char **items, uint32_t n)
{
    char **out = nm_arena_alloc(c->arena, (n + 1) * sizeof *out);
    for (uint32_t i = 0; i < n && out != NULL; i++)
        out[i] = copy(c, items[i]);
    return out;
}

/* ---- the sections ---------------------------------------------------------------------------- */

static void check_lists(struct checker *c, const struct raw_project *raw, struct nm_project *p)
{
    p->n_lists = raw->entities_count;
    p->lists = nm_arena_alloc(c->arena, p->n_lists * sizeof *p->lists);
    for (uint32_t i = 0; i < p->n_lists && p->lists != NULL; i++) {
        const struct raw_list *in = &raw->entities[i];
        p->lists[i] = (struct nm_project_list){
            .type = copy(c, in->type), .file = copy(c, in->file), .definition = copy(c, in->definition)};
        size_t len = strlen(in->type);
        bool plain = len > 0 && len <= 64;
        for (size_t k = 0; k < len; k++)
            plain = plain && (isalnum((unsigned char)in->type[k]) || strchr("_-", in->type[k]) != NULL);
        if (!plain)
            complain(c, "entities", i + 1, "type", "'%s' is not 1 to 64 letters, digits, '_' or '-'", in->type);
        if (in->file[0] == '\0')
            complain(c, "entities", i + 1, "file", "no file is named");
    }
}

static const char *const constraints[] = {"auto", "grammar", "structured_outputs", "response_format", "none"};

const char *nm_constraint_name(enum nm_constraint constraint)
{
    return constraints[constraint];
}

enum nm_constraint nm_constraint_named(const char *name)
{
    int i = NM_CONSTRAINT_NONE;
    while (i > 0 && strcmp(constraints[i], name) != 0)
        i--;
    return i > 0 ? (enum nm_constraint)i : NM_CONSTRAINT_NONE;
}

static void check_endpoints(struct checker *c, const struct raw_project *raw, struct nm_project *p)
{
    static const char section[] = "endpoints";
    char what[512];
    p->n_endpoints = raw->endpoints_count;
    p->endpoints = nm_arena_alloc(c->arena, p->n_endpoints * sizeof *p->endpoints);
    for (uint32_t i = 0; i < p->n_endpoints && p->endpoints != NULL; i++) {
        const struct raw_endpoint *in = &raw->endpoints[i];
        size_t nth = i + 1;
        if (strncmp(in->url, "http://", 7) != 0 && strncmp(in->url, "https://", 8) != 0 && in->url[0] != '$')
            complain(c, section, nth, "url", "'%s' is neither http:// nor https:// nor ${VARIABLE}", in->url);
        if (in->model[0] == '\0')
            complain(c, section, nth, "model", "no model is named");
        const char *bad = raw_endpoint_fault(in, what, sizeof what);
        if (bad != NULL)
            complain(c, section, nth, bad, "%s", what);
        p->endpoints[i] = (struct nm_project_endpoint){
            .name = text_or(c, in->name, in->url),
            .url = copy(c, in->url),
            .model = copy(c, in->model),
            .api_key_env = filled(c, in->api_key_env),
            .api_key_file = filled(c, in->api_key_file),
            .api_key_header = filled(c, in->api_key_header),
            .proxy = filled(c, in->proxy),
            .ca_file = filled(c, in->ca_file),
            .headers = copy_list(c, in->headers, in->headers_count),
            .n_headers = in->headers_count,
            .extra_body = filled(c, in->extra_body),
            .connect_timeout_s = uint_in(c, section, nth, "connect_timeout_s", in->connect_timeout_s, 10, 1, 3600),
            .first_byte_timeout_s =
                uint_in(c, section, nth, "first_byte_timeout_s", in->first_byte_timeout_s, 0, 0, 86400),
            .stall_timeout_s = uint_in(c, section, nth, "stall_timeout_s", in->stall_timeout_s, 60, 0, 86400),
            .concurrency = uint_in(c, section, nth, "concurrency", in->concurrency, 8, 1, 100000),
            .max_tokens = uint_in(c, section, nth, "max_tokens", in->max_tokens, 120, 1, 100000),
            .temperature = float_in(c, section, nth, "temperature", in->temperature, 0.8, 0, 5),
            .top_p = float_in(c, section, nth, "top_p", in->top_p, 0.95, 0, 1),
            .timeout_s = uint_in(c, section, nth, "timeout_s", in->timeout_s, 120, 1, 86400),
            .requests_per_minute =
                uint_in(c, section, nth, "requests_per_minute", in->requests_per_minute, 0, 0, 1000000000),
            .tokens_per_minute =
                uint_in(c, section, nth, "tokens_per_minute", in->tokens_per_minute, 0, 0, 4000000000),
            .price_in = float_in(c, section, nth, "price_in", in->price_in, 0, 0, 1000000),
            .price_out = float_in(c, section, nth, "price_out", in->price_out, 0, 0, 1000000),
            .weight = uint_in(c, section, nth, "weight", in->weight, 1, 1, 1000),
            .constraint = (enum nm_constraint)one_of(c, section, nth, "constraint", in->constraint,
                                                     NM_CONSTRAINT_AUTO, constraints, NM_CONSTRAINT_NONE + 1)};
    }
}

static void check_generation(struct checker *c, const struct raw_generation *in, struct nm_project_generation *out)
{
    static const char *const when[] = {"never", "last", "always"};
    static const struct raw_generation nothing = {0};
    if (in == NULL)
        in = &nothing;
    *out = (struct nm_project_generation){
        .domain = text_or(c, in->domain, "biomedical research"),
        .template = copy(c, in->template),
        .entities = range_in(c, "entities", in->entities, (struct nm_range){1, 3}, 1, 32),
        .negatives = float_in(c, "generation", 0, "negatives", in->negatives, 0.1, 0, 0.9),
        .words = range_in(c, "words", in->words, (struct nm_range){6, 40}, 1, 1000),
        .attempts = uint_in(c, "generation", 0, "attempts", in->attempts, 3, 1, 100),
        .constrain =
            (enum nm_constrain)one_of(c, "generation", 0, "constrain", in->constrain, NM_CONSTRAIN_LAST, when, 3),
        .styles = copy_list(c, in->styles, in->styles_count),
        .n_styles = in->styles_count,
        .sections = copy_list(c, in->sections, in->sections_count),
        .n_sections = in->sections_count};
}

/* A budget with a money limit counts nothing where no endpoint has a price. */
static void check_budget(struct checker *c, const struct raw_budget *in, struct nm_project *p)
{
    static const struct raw_budget nothing = {0};
    if (in == NULL)
        in = &nothing;
    p->budget = (struct nm_project_budget){.money = float_in(c, "budget", 0, "money", in->money, 0, 0, 1000000000),
                                           .tokens = in->tokens != NULL ? *in->tokens : 0,
                                           .requests = in->requests != NULL ? *in->requests : 0};
    bool priced = false;
    for (uint32_t i = 0; i < p->n_endpoints && p->endpoints != NULL; i++)
        priced = priced || p->endpoints[i].price_in > 0 || p->endpoints[i].price_out > 0;
    if (p->budget.money > 0 && !priced)
        complain(
            c, "budget", 0, "money",
            "no endpoint has a price_in or price_out (money for a million tokens), so nothing would ever be spent");
}

static void check_broker(struct checker *c, const struct raw_broker *in, struct nm_project_broker *out)
{
    static const struct raw_broker nothing = {0};
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    static const char *const when[] = {"always", "interval", "os"};
    if (in == NULL)
        in = &nothing;
    *out = (struct nm_project_broker){
        .bind = text_or(c, in->bind, "tcp://127.0.0.1:7711"),
        .stats = text_or(c, in->stats, "tcp://127.0.0.1:7712"),
        .publish = text_or(c, in->publish, "tcp://127.0.0.1:7713"),
        .lease_s = uint_in(c, "broker", 0, "lease_s", in->lease_s, 300, 1, 7 * 86400),
        .heartbeat_s = uint_in(c, "broker", 0, "heartbeat_s", in->heartbeat_s, 2, 1, 3600),
        .durability =
            (enum nm_durability)one_of(c, "broker", 0, "durability", in->durability, NM_DURABILITY_ALWAYS, when, 3),
        .sync_interval_ms = uint_in(c, "broker", 0, "sync_interval_ms", in->sync_interval_ms, 1000, 10, 3600000),
        .log_level = levels[one_of(c, "broker", 0, "log_level", in->log_level, 1, levels, 4)]};
}

static void check_trainer(struct checker *c, const struct raw_trainer *in, struct nm_project_trainer *out)
{
    static const struct raw_trainer nothing = {0};
    static const char section[] = "trainer";
    if (in == NULL)
        in = &nothing;
    *out = (struct nm_project_trainer){
        .model = text_or(c, in->model, "${NERMILL_ENCODER}"),
        .epochs = uint_in(c, section, 0, "epochs", in->epochs, 3, 1, 10000),
        .batch = uint_in(c, section, 0, "batch", in->batch, 32, 1, 100000),
        .max_length = uint_in(c, section, 0, "max_length", in->max_length, 256, 8, 65536),
        .learning_rate = float_in(c, section, 0, "learning_rate", in->learning_rate, 5e-4, 0, 1),
        .warmup = float_in(c, section, 0, "warmup", in->warmup, 0.1, 0, 1),
        .weight_decay = float_in(c, section, 0, "weight_decay", in->weight_decay, 0.01, 0, 1),
        .clip = float_in(c, section, 0, "clip", in->clip, 1.0, 0, 1e9),
        .dropout = in->dropout != NULL ? float_in(c, section, 0, "dropout", in->dropout, 0, 0, 0.95) : -1,
        .seed = in->seed != NULL ? *in->seed : 13};
}

static void check_coverage(struct checker *c, const struct raw_coverage *in, struct nm_project *p)
{
    if (in->min_per_entity == NULL)
        complain(c, "goal", 0, "coverage", "min_per_entity is missing: how many accepted texts each entity needs");
    p->goal.min_per_entity = uint_in(c, "goal", 0, "min_per_entity", in->min_per_entity, 1, 1, 1000000);
    p->goal.give_up = uint_in(c, "goal", 0, "give_up", in->give_up, 12, 1, 65535);
}

static void check_goal(struct checker *c, const struct raw_goal *in, struct nm_project *p)
{
    static const struct raw_goal nothing = {0};
    if (in == NULL)
        in = &nothing;
    if (in->coverage != NULL)
        check_coverage(c, in->coverage, p);
    p->goal.samples = in->samples != NULL ? *in->samples : in->coverage != NULL ? 0 : 200;
    if (in->samples != NULL && *in->samples == 0)
        complain(c, "goal", 0, "samples", "0 samples are no goal");
}

static void check_project(struct checker *c, const struct raw_project *raw, struct nm_project *p)
{
    p->version = raw->version != NULL ? *raw->version : 1;
    if (p->version != 1)
        complain(c, NULL, 0, "version", "%u is not a version that this nermill reads (it reads 1)", p->version);
    p->name = text_or(c, raw->name, "nermill");
    p->gold = copy(c, raw->gold);
    p->seed = raw->seed != NULL ? *raw->seed : 13;
    check_goal(c, raw->goal, p);
    check_lists(c, raw, p);
    check_endpoints(c, raw, p);
    check_generation(c, raw->generation, &p->generation);
    check_budget(c, raw->budget, p);
    check_broker(c, raw->broker, &p->broker);
    p->aligner.shard_samples = uint_in(c, "aligner", 0, "shard_samples",
                                       raw->aligner != NULL ? raw->aligner->shard_samples : NULL, 1000, 1, 1000000);
    check_trainer(c, raw->trainer, &p->trainer);
}

/* ---- the face -------------------------------------------------------------------------------- */

enum nm_err nm_project_parse(const char *yaml, size_t len, const char *name, struct nm_project **project,
                             struct nm_diag *diag)
{
    *project = NULL;
    size_t bad;
    if (!nm_utf8_valid(yaml, len, &bad)) {
        size_t line = 1;
        for (size_t i = 0; i < bad; i++)
            line += yaml[i] == '\n';
        return nm_fail(diag, NM_EFORMAT, "%s:%zu: not valid UTF-8", name, line);
    }
    struct raw_project *raw;
    enum nm_err err = raw_project_load(yaml, len, name, &raw, diag);
    if (err != NM_OK)
        return err;
    struct owned_project *owned = calloc(1, sizeof *owned);
    if (owned == NULL) {
        raw_project_free(&raw);
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", name);
    }
    nm_arena_init(&owned->arena, 0);
    struct checker c = {.name = name, .yaml = yaml, .len = len, .arena = &owned->arena, .diag = diag};
    check_project(&c, raw, &owned->project);
    raw_project_free(&raw);
    *project = &owned->project;
    if (c.err != NM_OK)
        nm_project_destroy(project);
    return c.err;
}

void nm_project_destroy(struct nm_project **project)
{
    if (*project == NULL)
        return;
    struct owned_project *owned = (struct owned_project *)(void *)*project;
    nm_arena_clean_up(&owned->arena);
    free(owned);
    *project = NULL;
}

enum nm_err nm_project_file(const char *path, char *out, size_t size)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return nm_file_join(path, "project.yaml", out, size);
    int n = snprintf(out, size, "%s", path);
    return n < 0 || (size_t)n >= size ? NM_ELIMIT : NM_OK;
}

enum nm_err nm_project_path(const char *path, const char *file, char *out, size_t size)
{
    char yaml[4096];
    char dir[4096];
    if (nm_project_file(path, yaml, sizeof yaml) != NM_OK || nm_file_dirname(yaml, dir, sizeof dir) != NM_OK)
        return NM_ELIMIT;
    return nm_file_join(dir, file, out, size);
}

enum nm_err nm_project_load(const char *path, struct nm_project **project, struct nm_diag *diag)
{
    char yaml[4096];
    struct nm_buf buf;
    *project = NULL;
    if (nm_project_file(path, yaml, sizeof yaml) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", path);
    nm_buf_init(&buf, FILE_MAX);
    enum nm_err err = nm_file_read(yaml, &buf, diag);
    if (err == NM_OK)
        err = nm_project_parse(nm_buf_str(&buf), buf.len, yaml, project, diag);
    nm_buf_clean_up(&buf);
    return err;
}

enum nm_err nm_project_expand(const char *key, const char *value, struct nm_buf *out, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    while (*value != '\0' && err == NM_OK) {
        const char *close = strncmp(value, "${", 2) == 0 ? strchr(value, '}') : NULL;
        char name[256];
        if (close == NULL || close - value - 2 >= (long)sizeof name) {
            err = nm_buf_addc(out, *value++);
            continue;
        }
        (void)snprintf(name, sizeof name, "%.*s", (int)(close - value - 2), value + 2);
        const char *found = getenv(name);
        if (found == NULL)
            return nm_fail(diag, NM_ENOENT,
                           "%s: the environment variable %s is not set: set it, or write the value itself", key,
                           name);
        err = nm_buf_adds(out, found);
        value = close + 1;
    }
    return err == NM_OK ? NM_OK : nm_fail(diag, err, "%s: %s", key, nm_err_name(err));
}

uint64_t nm_project_price(double price)
{
    return (uint64_t)(price * 1e6 + 0.5);
}

uint64_t nm_project_cost_micros(const struct nm_project_endpoint *endpoint, uint64_t tokens_in, uint64_t tokens_out)
{
    unsigned __int128 parts = (unsigned __int128)tokens_in * nm_project_price(endpoint->price_in) +
                              (unsigned __int128)tokens_out * nm_project_price(endpoint->price_out);
    unsigned __int128 micros = (parts + 999999) / 1000000;
    return micros > UINT64_MAX ? UINT64_MAX : (uint64_t)micros;
}

enum nm_err nm_project_entities(const struct nm_project *project, const char *path, struct nm_entities **entities,
                                struct nm_diag *diag)
{
    *entities = nm_entities_new();
    if (*entities == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", path);
    enum nm_err err = NM_OK;
    for (uint32_t i = 0; i < project->n_lists && err == NM_OK; i++) {
        char file[4096];
        err = nm_project_path(path, project->lists[i].file, file, sizeof file);
        err = err == NM_OK ? nm_entities_load(*entities, project->lists[i].type, file, diag)
                           : nm_fail(diag, err, "%s: the path is too long", project->lists[i].file);
    }
    if (err != NM_OK)
        nm_entities_destroy(entities);
    return err;
}
