/* Generations of a run: what its texts were made with, and what becomes of them when that changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker_parts.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"

enum { PATH_BYTES = 4096, MODELS_MAX = 64 };

/* ---- what the texts are made with ------------------------------------------------------------ */

static uint64_t digest_of(char **texts, uint32_t n)
{
    uint64_t digest = n;
    for (uint32_t i = 0; i < n; i++)
        digest = nm_hash64(texts[i], strlen(texts[i]), nm_mix64(digest));
    return digest;
}

/* One line of at most the value's size; longer ones end in a digest. */
static void set_text(struct nm_ledger_setting *setting, const char *text)
{
    size_t size = sizeof setting->value, len = strlen(text);
    if (len < size)
        memcpy(setting->value, text, len + 1);
    else
        snprintf(setting->value, size, "%.*s... with digest %016llx", (int)size - 40, text,
                 (unsigned long long)nm_hash64(text, len, 0));
    for (char *p = setting->value; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every model with how it samples, once, sorted: a second endpoint of the same model changes nothing. */
static void describe_models(const struct nm_project *project, struct nm_ledger_setting *setting)
{
    char *models[MODELS_MAX];
    uint32_t n = 0;
    struct nm_buf all;
    nm_buf_init(&all, 1 << 20);
    for (uint32_t i = 0; i < project->n_endpoints && n < MODELS_MAX; i++) {
        const struct nm_project_endpoint *e = &project->endpoints[i];
        if (asprintf(&models[n], "%s (temperature %.6g, top_p %.6g%s%s)", e->model, e->temperature, e->top_p,
                     e->extra_body ? ", " : "", e->extra_body ? e->extra_body : "") > 0)
            n++;
    }
    qsort(models, n, sizeof models[0], by_text);
    enum nm_err err = NM_OK; /* of a buffer that can't be too small: what is missing shows as a change */
    for (uint32_t i = 0; i < n && !err; i++)
        if (i == 0 || strcmp(models[i], models[i - 1]) != 0)
            err = nm_buf_addf(&all, "%s%s", all.len ? ", " : "", models[i]);
    set_text(setting, nm_buf_str(&all));
    for (uint32_t i = 0; i < n; i++)
        free(models[i]);
    nm_buf_clean_up(&all);
}

static uint64_t definitions_of(const struct nm_project *project)
{
    uint64_t digest = 0;
    for (uint32_t i = 0; i < project->n_lists; i++) {
        const char *text = project->lists[i].definition ? project->lists[i].definition : "";
        digest = nm_hash64(project->lists[i].type, strlen(project->lists[i].type), nm_mix64(digest));
        digest = nm_hash64(text, strlen(text), nm_mix64(digest));
    }
    return digest;
}

static void describe_alignment(const struct nm_project_alignment *a, const struct nm_buf *learn_from, char *value,
                               size_t size)
{
    static const char *const tokenizers[] = {"biomedical", "ptb", "whitespace", "learned"};
    static const char *const policies[] = {"mask", "keep", "drop", "ignore"};
    static const char *const abbreviations[] = {"ignore", "separate", "joined", "mask"};
    snprintf(
        value, size,
        "tokenizer %s (%016llx), plurals %d, hyphens %d, abbreviations %s, prior %016llx, unlisted %s, unmarked %s, "
        "conflicting %s, cut %s",
        tokenizers[a->tokenizer], (unsigned long long)nm_hash64(nm_buf_str(learn_from), learn_from->len, 0),
        a->plurals, a->hyphens, abbreviations[a->abbreviations], (unsigned long long)digest_of(a->prior, a->n_prior),
        policies[a->unlisted], policies[a->unmarked], policies[a->conflicting], policies[a->cut]);
}

static void describe_prompt(const struct nm_project_generation *g, const struct nm_buf *exemplars, char *value,
                            size_t size)
{
    const char *guidelines = g->guidelines ? g->guidelines : "";
    char lines[32] = ""; /* of one, nothing: so it was written before there were more */
    if (g->sentences_per_call > 1)
        snprintf(lines, sizeof lines, ", %u sentences a call", g->sentences_per_call);
    snprintf(value, size, "%s, guidelines %016llx, exemplars %016llx (%u)%s",
             g->mode == NM_MODE_MARKUP ? "markup" : "plain",
             (unsigned long long)nm_hash64(guidelines, strlen(guidelines), 0),
             (unsigned long long)nm_hash64(nm_buf_str(exemplars), exemplars->len, 0),
             g->exemplars.file ? g->exemplars.count : 0, lines);
}

/* Both kinds: words out of the lists, or terms of a file. */
static void describe_decoys(const struct nm_project_generation *g, const struct nm_decoys *decoys, char *value,
                            size_t size)
{
    if (g->decoys.file == NULL)
        snprintf(value, size, "%.6g", g->hard_negatives);
    else
        snprintf(value, size, "%.6g, decoys %016llx, share %.6g", g->hard_negatives,
                 (unsigned long long)nm_decoys_digest(decoys), g->decoys.share);
}

void nm_generation_describe(const struct nm_project *project, const struct nm_entities *entities, uint64_t digest,
                            const struct nm_decoys *decoys, const struct blob *blobs,
                            struct nm_ledger_setting settings[NM_GENERATION_SETTINGS])
{
    const struct nm_buf *template = &blobs[NM_BLOB_TEMPLATE].data;
    const struct nm_project_generation *g = &project->generation;
    const struct nm_ledger_setting names[NM_GENERATION_SETTINGS] = {
        {.key = "seed", .name = "the seed"},
        {.key = "entities", .name = "the entity lists"},
        {.key = "per_sample", .name = "generation: entities (a sample)"},
        {.key = "negatives", .name = "generation: negatives"},
        {.key = "words", .name = "generation: words"},
        {.key = "styles", .name = "generation: styles"},
        {.key = "sections", .name = "generation: sections"},
        {.key = "domain", .name = "generation: domain"},
        {.key = "template", .name = "generation: template"},
        {.key = "definitions", .name = "entities: definition"},
        {.key = "models", .name = "endpoints: model"},
        {.key = "alignment", .name = "alignment"},
        {.key = "mode", .name = "generation: mode, guidelines, exemplars or sentences_per_call"},
        {.key = "hard_negatives", .name = "generation: hard_negatives or decoys"},
        {.key = "verification", .name = "verification"},
        {.key = "replay", .name = "generation: replay"},
    };
    size_t size = sizeof settings[0].value;
    memcpy(settings, names, sizeof names);
    snprintf(settings[0].value, size, "%llu", (unsigned long long)project->seed);
    snprintf(settings[1].value, size, "%zu entities with digest %016llx", nm_entities_count(entities),
             (unsigned long long)digest);
    snprintf(settings[2].value, size, "%u to %u", g->entities.min, g->entities.max);
    snprintf(settings[3].value, size, "%.6g", g->negatives);
    snprintf(settings[4].value, size, "%u to %u", g->words.min, g->words.max);
    snprintf(settings[5].value, size, "%u with digest %016llx", g->n_styles,
             (unsigned long long)digest_of(g->styles, g->n_styles));
    snprintf(settings[6].value, size, "%u with digest %016llx", g->n_sections,
             (unsigned long long)digest_of(g->sections, g->n_sections));
    set_text(&settings[7], g->domain);
    if (g->template)
        snprintf(settings[8].value, size, "a file with digest %016llx",
                 (unsigned long long)nm_hash64(nm_buf_str(template), template->len, 0));
    else
        snprintf(settings[8].value, size, "the built-in one%s",
                 g->builtin == NM_BUILTIN_SCIENTIFIC ? ", scientific" : "");
    snprintf(settings[9].value, size, "with digest %016llx", (unsigned long long)definitions_of(project));
    describe_models(project, &settings[10]);
    describe_alignment(&project->alignment, &blobs[NM_BLOB_LEARN_FROM].data, settings[11].value, size);
    static const char *const looks[] = {"off", "mask", "drop"};
    describe_prompt(g, &blobs[NM_BLOB_EXEMPLARS].data, settings[12].value, size);
    describe_decoys(g, decoys, settings[13].value, size);
    snprintf(settings[14].value, size, "%s", looks[project->verification.mode]);
    const struct nm_buf *replay = &blobs[NM_BLOB_REPLAY].data;
    if (g->replay)
        snprintf(settings[15].value, size, "a file with digest %016llx",
                 (unsigned long long)nm_hash64(nm_buf_str(replay), replay->len, 0));
    else
        set_text(&settings[15], "none");
}

/* ---- entities by their words ------------------------------------------------------------------------------------
 */

static uint64_t word_key(const char *type, size_t type_len, const char *text, size_t len)
{
    return nm_hash64(text, len, nm_hash64(type, type_len, 1));
}

static enum nm_err index_words(struct nm_broker *b)
{
    for (size_t i = 0; i < nm_entities_count(b->entities); i++) {
        const struct nm_entity *e = nm_entities_get(b->entities, i);
        const char *type = nm_entities_type_name(b->entities, e->type);
        void *place = (void *)((uintptr_t)i + 1); /* a number in a pointer's place: never NULL */
        enum nm_err err = nm_map_put(&b->words, word_key(type, strlen(type), e->text, e->len), place);
        if (err)
            return err;
    }
    return NM_OK;
}

uint64_t nm_generation_find(void *ctx, struct nm_str type, struct nm_str text)
{
    struct nm_broker *b = ctx;
    if (b->words.n == 0 && index_words(b))
        return UINT64_MAX;
    void *place = nm_map_get(&b->words, word_key(type.ptr, type.len, text.ptr, text.len));
    if (!place)
        return UINT64_MAX;
    const struct nm_entity *e = nm_entities_get(b->entities, (size_t)((uintptr_t)place - 1));
    bool same = e->len == text.len && memcmp(e->text, text.ptr, text.len) == 0;
    return same ? (uint64_t)((uintptr_t)place - 1) : UINT64_MAX;
}

enum nm_err nm_generation_task(struct nm_broker *b, uint64_t task, struct nm_diag *diag)
{
    struct nm_queue_task view;
    struct nm_msg_response response;
    b->task = (struct nm_plan_task){.n_entities = 0};
    if (!nm_queue_get(b->queue, task, &view))
        return NM_OK;
    enum nm_err err = nm_ledger_read_response(b->ledger, task, view.attempt, &b->arena, &response, diag);
    for (size_t i = 0; !err && i < response.n_entities && i < NM_PLAN_ENTITIES_MAX; i++) {
        uint64_t entity = nm_generation_find(b, response.entities[i].type, response.entities[i].text);
        if (entity != UINT64_MAX)
            b->task.entities[b->task.n_entities++] = entity;
    }
    return err;
}

/* ---- opening, and what is set aside ------------------------------------------------------------------------------
 */

/* For those who read samples: as a blob, and as a file for an export without a broker. */
static enum nm_err publish_aside(struct nm_broker *b, struct nm_diag *diag)
{
    char path[PATH_BYTES];
    struct blob *blob = &b->blobs[NM_BLOB_ASIDE];
    enum nm_err err = nm_ledger_list_aside(b->ledger, &blob->data, diag);
    if (err)
        return err;
    blob->digest = nm_hash64(nm_buf_str(&blob->data), blob->data.len, 0);
    if (nm_file_join(b->state_dir, "aside.txt", path, sizeof path))
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", b->state_dir);
    return nm_file_write_atomic(path, nm_buf_str(&blob->data), blob->data.len, diag);
}

enum nm_err nm_generation_open(struct nm_broker *b, const char *how, struct nm_diag *diag)
{
    char path[PATH_BYTES];
    struct nm_ledger_setting settings[NM_GENERATION_SETTINGS];
    struct nm_ledger_renewal renewal = {
        .fresh = how && strcmp(how, "fresh") == 0, .find = nm_generation_find, .ctx = b};
    nm_generation_describe(b->project, b->entities, b->blobs[NM_BLOB_ENTITIES].digest, b->decoys, b->blobs, settings);
    if (nm_file_join(b->state_dir, "ledger", path, sizeof path))
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", b->state_dir);
    enum nm_err err = nm_ledger_open_renewing(path, settings, NM_GENERATION_SETTINGS, nm_entities_count(b->entities),
                                              how ? &renewal : NULL, &b->ledger, diag);
    if (err)
        return err;
    if (renewal.happened)
        nm_info("generation %llu of the run begins: %llu samples stay, %llu are set aside",
                (unsigned long long)nm_ledger_generation(b->ledger), (unsigned long long)renewal.stay,
                (unsigned long long)renewal.aside);
    else if (how)
        nm_info("nothing changed since this generation of the run began: --new-generation has no effect");
    return publish_aside(b, diag);
}
