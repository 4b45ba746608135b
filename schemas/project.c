#include "schemas/project.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/arena.h"
#include "common/file.h"
#include "common/utf8.h"
#include "schemas/project_check.h"

enum { FILE_MAX = 4 << 20 };

/* The project and all its strings live in one arena. */
struct owned_project {
    struct nm_project project; /* first: a project is freed as what it is part of */
    struct nm_arena arena;
};

/* ---- the sections ---------------------------------------------------------------------------- */

static void check_lists(struct nm_checker *c, const struct raw_project *raw, struct nm_project *p)
{
    p->n_lists = raw->entities_count;
    p->lists = nm_arena_alloc(c->arena, p->n_lists * sizeof *p->lists);
    for (uint32_t i = 0; i < p->n_lists && p->lists != NULL; i++) {
        const struct raw_list *in = &raw->entities[i];
        p->lists[i] = (struct nm_project_list){.type = nm_value_copy(c, in->type),
                                               .file = nm_value_copy(c, in->file),
                                               .definition = nm_value_copy(c, in->definition)};
        size_t len = strlen(in->type);
        bool plain = len > 0 && len <= 64;
        for (size_t k = 0; k < len; k++)
            plain = plain && (isalnum((unsigned char)in->type[k]) || strchr("_-", in->type[k]) != NULL);
        if (!plain)
            nm_value_complain(c, "entities", i + 1, "type", "'%s' is not 1 to 64 letters, digits, '_' or '-'",
                              in->type);
        if (in->file[0] == '\0')
            nm_value_complain(c, "entities", i + 1, "file", "no file is named");
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

static void check_endpoints(struct nm_checker *c, const struct raw_project *raw, struct nm_project *p)
{
    static const char section[] = "endpoints";
    char what[512];
    p->n_endpoints = raw->endpoints_count;
    p->endpoints = nm_arena_alloc(c->arena, p->n_endpoints * sizeof *p->endpoints);
    for (uint32_t i = 0; i < p->n_endpoints && p->endpoints != NULL; i++) {
        const struct raw_endpoint *in = &raw->endpoints[i];
        size_t nth = i + 1;
        if (strncmp(in->url, "http://", 7) != 0 && strncmp(in->url, "https://", 8) != 0 && in->url[0] != '$')
            nm_value_complain(c, section, nth, "url", "'%s' is neither http:// nor https:// nor ${VARIABLE}",
                              in->url);
        if (in->model[0] == '\0')
            nm_value_complain(c, section, nth, "model", "no model is named");
        const char *bad = raw_endpoint_fault(in, what, sizeof what);
        if (bad != NULL)
            nm_value_complain(c, section, nth, bad, "%s", what);
        p->endpoints[i] = (struct nm_project_endpoint){
            .name = nm_value_text(c, in->name, in->url),
            .url = nm_value_copy(c, in->url),
            .model = nm_value_copy(c, in->model),
            .api_key_env = nm_value_filled(c, in->api_key_env),
            .api_key_file = nm_value_filled(c, in->api_key_file),
            .api_key_header = nm_value_filled(c, in->api_key_header),
            .proxy = nm_value_filled(c, in->proxy),
            .ca_file = nm_value_filled(c, in->ca_file),
            .headers = nm_value_list(c, in->headers, in->headers_count),
            .n_headers = in->headers_count,
            .extra_body = nm_value_filled(c, in->extra_body),
            .connect_timeout_s =
                nm_value_uint(c, section, nth, "connect_timeout_s", in->connect_timeout_s, 10, 1, 3600),
            .first_byte_timeout_s =
                nm_value_uint(c, section, nth, "first_byte_timeout_s", in->first_byte_timeout_s, 0, 0, 86400),
            .stall_timeout_s = nm_value_uint(c, section, nth, "stall_timeout_s", in->stall_timeout_s, 60, 0, 86400),
            .concurrency = nm_value_uint(c, section, nth, "concurrency", in->concurrency, 8, 1, 100000),
            .max_tokens = nm_value_uint(c, section, nth, "max_tokens", in->max_tokens, 120, 1, 100000),
            .temperature = nm_value_float(c, section, nth, "temperature", in->temperature, 0.8, 0, 5),
            .top_p = nm_value_float(c, section, nth, "top_p", in->top_p, 0.95, 0, 1),
            .timeout_s = nm_value_uint(c, section, nth, "timeout_s", in->timeout_s, 120, 1, 86400),
            .requests_per_minute =
                nm_value_uint(c, section, nth, "requests_per_minute", in->requests_per_minute, 0, 0, 1000000000),
            .tokens_per_minute =
                nm_value_uint(c, section, nth, "tokens_per_minute", in->tokens_per_minute, 0, 0, 4000000000),
            .price_in = nm_value_float(c, section, nth, "price_in", in->price_in, 0, 0, 1000000),
            .price_out = nm_value_float(c, section, nth, "price_out", in->price_out, 0, 0, 1000000),
            .weight = nm_value_uint(c, section, nth, "weight", in->weight, 1, 1, 1000),
            .constraint =
                (enum nm_constraint)nm_value_one_of(c, section, nth, "constraint", in->constraint, NM_CONSTRAINT_AUTO,
                                                    constraints, NM_CONSTRAINT_NONE + 1)};
    }
}

/* A budget with a money limit counts nothing where no endpoint has a price. */
static void check_budget(struct nm_checker *c, const struct raw_budget *in, struct nm_project *p)
{
    static const struct raw_budget nothing = {0};
    if (in == NULL)
        in = &nothing;
    p->budget =
        (struct nm_project_budget){.money = nm_value_float(c, "budget", 0, "money", in->money, 0, 0, 1000000000),
                                   .tokens = in->tokens != NULL ? *in->tokens : 0,
                                   .requests = in->requests != NULL ? *in->requests : 0};
    bool priced = false;
    for (uint32_t i = 0; i < p->n_endpoints && p->endpoints != NULL; i++)
        priced = priced || p->endpoints[i].price_in > 0 || p->endpoints[i].price_out > 0;
    if (p->budget.money > 0 && !priced)
        nm_value_complain(
            c, "budget", 0, "money",
            "no endpoint has a price_in or price_out (money for a million tokens), so nothing would ever be spent");
}

static void check_broker(struct nm_checker *c, const struct raw_broker *in, struct nm_project_broker *out)
{
    static const struct raw_broker nothing = {0};
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    static const char *const when[] = {"always", "interval", "os"};
    if (in == NULL)
        in = &nothing;
    *out = (struct nm_project_broker){
        .bind = nm_value_text(c, in->bind, "tcp://127.0.0.1:7711"),
        .stats = nm_value_text(c, in->stats, "tcp://127.0.0.1:7712"),
        .publish = nm_value_text(c, in->publish, "tcp://127.0.0.1:7713"),
        .lease_s = nm_value_uint(c, "broker", 0, "lease_s", in->lease_s, 300, 1, 7 * 86400),
        .heartbeat_s = nm_value_uint(c, "broker", 0, "heartbeat_s", in->heartbeat_s, 2, 1, 3600),
        .durability = (enum nm_durability)nm_value_one_of(c, "broker", 0, "durability", in->durability,
                                                          NM_DURABILITY_ALWAYS, when, 3),
        .sync_interval_ms =
            nm_value_uint(c, "broker", 0, "sync_interval_ms", in->sync_interval_ms, 1000, 10, 3600000),
        .log_level = levels[nm_value_one_of(c, "broker", 0, "log_level", in->log_level, 1, levels, 4)]};
}

static void check_coverage(struct nm_checker *c, const struct raw_coverage *in, struct nm_project *p)
{
    if (in->min_per_entity == NULL)
        nm_value_complain(c, "goal", 0, "coverage",
                          "min_per_entity is missing: how many accepted texts each entity needs");
    p->goal.min_per_entity = nm_value_uint(c, "goal", 0, "min_per_entity", in->min_per_entity, 1, 1, 1000000);
    p->goal.give_up = nm_value_uint(c, "goal", 0, "give_up", in->give_up, 12, 1, 65535);
}

static void check_goal(struct nm_checker *c, const struct raw_goal *in, struct nm_project *p)
{
    static const struct raw_goal nothing = {0};
    if (in == NULL)
        in = &nothing;
    if (in->coverage != NULL)
        check_coverage(c, in->coverage, p);
    p->goal.samples = in->samples != NULL ? *in->samples : in->coverage != NULL ? 0 : 200;
    if (in->samples != NULL && *in->samples == 0)
        nm_value_complain(c, "goal", 0, "samples", "0 samples are no goal");
}

/* max_tokens is the whole answer's: a word is one token at least. */
static void check_room(struct nm_checker *c, const struct nm_project *p)
{
    const struct nm_project_generation *g = &p->generation;
    uint64_t least = (uint64_t)g->sentences_per_call * g->words.min;
    for (uint32_t i = 0; i < p->n_endpoints && p->endpoints != NULL && g->sentences_per_call > 1; i++)
        if (p->endpoints[i].max_tokens < least)
            nm_value_complain(c, "generation", 0, "sentences_per_call",
                              "%u sentences of %u words and more do not fit into the %u max_tokens of endpoint %s: "
                              "raise those, or ask for fewer",
                              g->sentences_per_call, g->words.min, p->endpoints[i].max_tokens, p->endpoints[i].name);
}

static void check_project(struct nm_checker *c, const struct raw_project *raw, struct nm_project *p)
{
    p->version = raw->version != NULL ? *raw->version : 1;
    if (p->version != 1)
        nm_value_complain(c, NULL, 0, "version", "%u is not a version that this nermill reads (it reads 1)",
                          p->version);
    p->name = nm_value_text(c, raw->name, "nermill");
    p->gold = nm_value_copy(c, raw->gold);
    p->seed = raw->seed != NULL ? *raw->seed : 13;
    check_goal(c, raw->goal, p);
    check_lists(c, raw, p);
    check_endpoints(c, raw, p);
    nm_check_generation(c, raw->generation, &p->generation);
    nm_check_validation(c, raw->validation, &p->validation);
    nm_check_verification(c, raw->verification, p);
    check_room(c, p);
    check_budget(c, raw->budget, p);
    check_broker(c, raw->broker, &p->broker);
    p->aligner.shard_samples =
        nm_value_uint(c, "aligner", 0, "shard_samples", raw->aligner != NULL ? raw->aligner->shard_samples : NULL,
                      1000, 1, 1000000);
    nm_check_alignment(c, raw->alignment, p);
    nm_check_dedup(c, raw->dedup, &p->dedup);
    nm_check_leakage(c, raw->leakage, &p->leakage);
    nm_check_denoise(c, raw->denoise, &p->denoise);
    nm_check_augmentation(c, raw->augmentation, p);
    nm_check_trainer(c, raw->trainer, &p->trainer);
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
    struct nm_checker c = {.name = name, .yaml = yaml, .len = len, .arena = &owned->arena, .diag = diag};
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
    if (project->alignment.two_types)
        nm_entities_take_two_types(*entities);
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
