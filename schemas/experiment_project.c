/* experiment_project.c - the projects of an experiment's generations, and what of them a result depends on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/hash.h"
#include "schemas/experiment_parts.h"
#include "schemas/project.h"
#include "schemas/project_form.h"

enum { DATA_MAX = 1 << 30 };

static const struct raw_project *project_of(const struct nm_experiment *e, uint32_t variant)
{
    return ((const struct owned_experiment *)(const void *)e)->projects[variant];
}

enum nm_err nm_each_file(struct raw_project *p, nm_file_text_fn fn, void *ctx)
{
    struct raw_generation *g = p->generation;
    struct {
        const char *key;
        char **file;
    } files[] = {{"generation.template", g != NULL ? &g->template : NULL},
                 {"generation.exemplars.file", g != NULL && g->exemplars != NULL ? &g->exemplars->file : NULL},
                 {"generation.decoys.file", g != NULL && g->decoys != NULL ? &g->decoys->file : NULL},
                 {"generation.replay", g != NULL ? &g->replay : NULL},
                 {"augmentation.asides", p->augmentation != NULL ? &p->augmentation->asides : NULL},
                 {"augmentation.decoys", p->augmentation != NULL ? &p->augmentation->decoys : NULL},
                 {"alignment.learn_from", p->alignment != NULL ? &p->alignment->learn_from : NULL}};
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files && err == NM_OK; i++)
        if (files[i].file != NULL && *files[i].file != NULL)
            err = fn(ctx, files[i].key, files[i].file);
    for (uint32_t i = 0; p->leakage != NULL && i < p->leakage->gold_count && err == NM_OK; i++)
        err = fn(ctx, "leakage.gold", &p->leakage->gold[i]);
    for (uint32_t i = 0; i < p->endpoints_count && err == NM_OK; i++)
        if (p->endpoints[i].api_key_file != NULL)
            err = fn(ctx, "endpoints.api_key_file", &p->endpoints[i].api_key_file);
    return err;
}

/* ---- a project.yaml -------------------------------------------------------------------------- */

static bool put_text(char **at, const char *text)
{
    free(*at);
    *at = text != NULL ? strdup(text) : NULL;
    return text == NULL || *at != NULL;
}

/* As libcyaml would have allocated it, so that it can free it. */
static bool put_lists(struct raw_project *p, const struct nm_experiment *e, const char *const *files)
{
    p->entities = calloc(e->n_types, sizeof *p->entities);
    p->entities_count = p->entities != NULL ? e->n_types : 0;
    for (uint32_t i = 0; i < p->entities_count; i++)
        if (!put_text(&p->entities[i].type, e->types[i].name) ||
            !put_text(&p->entities[i].definition, e->types[i].definition) ||
            !put_text(&p->entities[i].file, files[i]))
            return false;
    return p->entities != NULL;
}

static bool put_goal(struct raw_project *p, uint64_t samples)
{
    if (p->goal == NULL)
        p->goal = calloc(1, sizeof *p->goal);
    if (p->goal != NULL && p->goal->samples == NULL)
        p->goal->samples = calloc(1, sizeof *p->goal->samples);
    if (p->goal == NULL || p->goal->samples == NULL)
        return false;
    *p->goal->samples = samples;
    return true;
}

/* Any free ports: generations of several experiments may run at once. */
static bool put_ports(struct raw_project *p)
{
    static const char any[] = "tcp://127.0.0.1:*";
    if (p->broker == NULL)
        p->broker = calloc(1, sizeof *p->broker);
    return p->broker != NULL && put_text(&p->broker->bind, any) && put_text(&p->broker->stats, any) &&
           put_text(&p->broker->publish, any);
}

static bool put_replay(struct raw_project *p, const char *replay)
{
    if (p->generation == NULL)
        p->generation = calloc(1, sizeof *p->generation);
    return p->generation != NULL && put_text(&p->generation->replay, replay);
}

enum nm_err nm_experiment_project(const struct nm_experiment *e, uint32_t variant,
                                  const struct nm_experiment_run *run, struct nm_buf *out)
{
    struct raw_project *p = NULL;
    enum nm_err err = raw_project_copy(project_of(e, variant), &p);
    if (err == NM_OK && !(put_lists(p, e, run->files) && put_goal(p, run->samples) && put_ports(p) &&
                          (run->replay == NULL || put_replay(p, run->replay))))
        err = NM_ENOMEM;
    if (err == NM_OK)
        err = raw_project_write(p, out);
    raw_project_free(&p);
    return err;
}

/* ---- what a result depends on ---------------------------------------------------------------- */

/* A file by what it holds, wherever it lies; a key is nobody's result. */
static enum nm_err hash_file(void *ctx, const char *key, char **text)
{
    struct nm_buf data;
    char hex[33] = "";
    nm_buf_init(&data, DATA_MAX);
    enum nm_err err = strcmp(key, "endpoints.api_key_file") == 0 ? NM_OK : nm_file_read(*text, &data, ctx);
    if (err == NM_OK) {
        nm_hash128_hex(nm_hash128(nm_buf_str(&data), data.len), hex);
        err = put_text(text, hex) ? NM_OK : NM_ENOMEM;
    }
    nm_buf_clean_up(&data);
    return err;
}

/* How an endpoint is reached, and how fast: no text is another one for it. */
static void forget_reach(struct raw_endpoint *endpoint)
{
    struct raw_endpoint *e = endpoint;
    char **texts[] = {&e->name,           &e->url,   &e->api_key_env, &e->api_key_file,
                      &e->api_key_header, &e->proxy, &e->ca_file};
    uint32_t **counts[] = {&e->concurrency, &e->timeout_s,         &e->requests_per_minute,  &e->tokens_per_minute,
                           &e->weight,      &e->connect_timeout_s, &e->first_byte_timeout_s, &e->stall_timeout_s};
    double **prices[] = {&e->price_in, &e->price_out};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        (void)put_text(texts[i], i < 2 ? "" : NULL); /* the url is a key that must be there */
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        free(*counts[i]);
        *counts[i] = NULL;
    }
    for (size_t i = 0; i < sizeof prices / sizeof *prices; i++) {
        free(*prices[i]);
        *prices[i] = NULL;
    }
    for (uint32_t i = 0; i < e->headers_count; i++)
        (void)put_text(&e->headers[i], "");
}

static void keep_only(struct raw_project *p, enum nm_experiment_part part)
{
    static const char *const all[] = {"version",  "name",      "gold",         "goal",       "seed",
                                      "entities", "endpoints", "generation",   "validation", "verification",
                                      "budget",   "broker",    "aligner",      "alignment",  "dedup",
                                      "leakage",  "denoise",   "augmentation", "trainer"};
    static const char *const kept[][7] = {
        {"seed", "endpoints", "generation", "validation", "verification", "alignment", "dedup"},
        {"denoise"},
        {"augmentation"},
        {"trainer"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bool keep = strcmp(all[i], "leakage") == 0 && part == NM_PART_GENERATION;
        for (size_t k = 0; k < 7 && kept[part][k] != NULL; k++)
            keep = keep || strcmp(kept[part][k], all[i]) == 0;
        if (!keep)
            (void)raw_project_remove(p, all[i]);
    }
}

/* The section names no decoys: those of the generation are its. */
static bool put_decoys(struct raw_project *p)
{
    const struct raw_decoys *decoys = p->generation != NULL ? p->generation->decoys : NULL;
    return p->augmentation == NULL || p->augmentation->decoys != NULL || decoys == NULL ||
           put_text(&p->augmentation->decoys, decoys->file);
}

/* A section that is there; others are whatever they are. */
static bool has_part(const struct raw_project *p, enum nm_experiment_part part)
{
    return part == NM_PART_DENOISE ? p->denoise != NULL : part != NM_PART_AUGMENT || p->augmentation != NULL;
}

enum nm_err nm_experiment_part(const struct nm_experiment *e, uint32_t variant, enum nm_experiment_part part,
                               struct nm_buf *out, struct nm_diag *diag)
{
    struct raw_project *p = NULL;
    enum nm_err err = raw_project_copy(project_of(e, variant), &p);
    if (err == NM_OK && !put_decoys(p))
        err = NM_ENOMEM;
    if (err == NM_OK)
        keep_only(p, part);
    if (err == NM_OK && part == NM_PART_TRAINER) {
        (void)raw_project_remove(p, "trainer.model");
        (void)raw_project_remove(p, "trainer.min_score");
    }
    if (err == NM_OK && part == NM_PART_GENERATION)
        (void)raw_project_remove(p, "generation.replay"); /* answers to the same requests, or none at all */
    if (err == NM_OK && (part == NM_PART_GENERATION || part == NM_PART_AUGMENT))
        err = nm_each_file(p, hash_file, diag);
    for (uint32_t i = 0; err == NM_OK && part == NM_PART_GENERATION && i < p->endpoints_count; i++)
        forget_reach(&p->endpoints[i]);
    if (err == NM_OK && has_part(p, part))
        err = raw_project_write(p, out);
    raw_project_free(&p);
    if (err == NM_ENOMEM)
        (void)nm_fail(diag, err, "out of memory");
    return err;
}

double nm_experiment_min_score(const struct nm_experiment *e, uint32_t variant)
{
    const struct raw_trainer *t = project_of(e, variant)->trainer;
    return t != NULL && t->min_score != NULL ? *t->min_score : 0;
}

enum nm_err nm_experiment_encoder(const struct nm_experiment *e, uint32_t variant, char *path, size_t size,
                                  struct nm_diag *diag)
{
    const struct raw_trainer *t = project_of(e, variant)->trainer;
    const char *from = ((const struct owned_experiment *)(const void *)e)->path;
    struct nm_buf value;
    nm_buf_init(&value, NM_FILE_PATH);
    enum nm_err err = nm_project_expand(
        "project: trainer: model", t != NULL && t->model != NULL ? t->model : "${NERMILL_ENCODER}", &value, diag);
    if (err == NM_OK && nm_project_path(from, nm_buf_str(&value), path, size) != NM_OK)
        err = nm_fail(diag, NM_ELIMIT, "%s: trainer: model: the path is too long", from);
    nm_buf_clean_up(&value);
    return err;
}

struct each {
    const char *from;
    nm_experiment_file_fn fn;
    void *ctx;
    struct nm_diag *diag;
};

/* Every text that is a file's name here, whichever key says it: a key that is new is no way around. */
static enum nm_err pass_on(void *ctx, const char *key, const char *text)
{
    const struct each *each = ctx;
    char path[NM_FILE_PATH];
    struct stat st;
    struct nm_buf expanded;
    nm_buf_init(&expanded, NM_FILE_PATH);
    const bool is_file = nm_project_expand(key, text, &expanded, NULL) == NM_OK &&
                         nm_project_path(each->from, nm_buf_str(&expanded), path, sizeof path) == NM_OK &&
                         stat(path, &st) == 0 && S_ISREG(st.st_mode);
    nm_buf_clean_up(&expanded);
    return is_file ? each->fn(each->ctx, key, path, each->diag) : NM_OK;
}

enum nm_err nm_experiment_files(const struct nm_experiment *e, uint32_t variant, nm_experiment_file_fn fn, void *ctx,
                                struct nm_diag *diag)
{
    struct each each = {((const struct owned_experiment *)(const void *)e)->path, fn, ctx, diag};
    return raw_project_each_text(project_of(e, variant), pass_on, &each);
}
