#include "schemas/experiment_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "schemas/project_check.h"
#include "schemas/project_form.h"

enum { FILE_MAX = 4 << 20, PROJECT_MAX = 1 << 20, NAME_BYTES = 40 };

static const char *const arm_names[] = {"gold", "replacement", "synthetic", "then", "joint", "dictionary", "union"};

const char *nm_arm_name(enum nm_arm arm)
{
    return arm_names[arm];
}

bool nm_arm_is_trained(enum nm_arm arm)
{
    return arm != NM_ARM_DICTIONARY && arm != NM_ARM_UNION;
}

bool nm_arm_is_drawn(const struct nm_experiment *e, enum nm_arm arm)
{
    if (arm == NM_ARM_UNION)
        arm = e->union_of;
    return arm == NM_ARM_GOLD || arm == NM_ARM_REPLACEMENT || arm == NM_ARM_THEN || arm == NM_ARM_JOINT;
}

bool nm_arm_is_generated(const struct nm_experiment *e, enum nm_arm arm)
{
    if (arm == NM_ARM_UNION)
        arm = e->union_of;
    return arm == NM_ARM_SYNTHETIC || arm == NM_ARM_THEN || arm == NM_ARM_JOINT;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* A file that the experiment names: ${VAR} replaced, relative to the experiment's file. */
static char *path_of(struct nm_checker *c, const char *section, const char *key, const char *value)
{
    char path[NM_FILE_PATH], label[64];
    struct nm_buf expanded;
    struct nm_diag why = {""};
    if (value == NULL || value[0] == '\0' || c->err != NM_OK)
        return NULL;
    nm_buf_init(&expanded, NM_FILE_PATH);
    (void)snprintf(label, sizeof label, "%s: %s", section, key);
    enum nm_err err = nm_project_expand(label, value, &expanded, &why);
    if (err == NM_OK)
        err = nm_project_path(c->name, nm_buf_str(&expanded), path, sizeof path);
    if (err != NM_OK)
        nm_value_complain(c, section, 0, key, "%s", why.text[0] != '\0' ? why.text : "the path is too long");
    nm_buf_clean_up(&expanded);
    return c->err == NM_OK ? nm_value_copy(c, path) : NULL;
}

/* "100", or "all". */
static uint64_t number_of(struct nm_checker *c, const char *section, size_t nth, const char *key, const char *text,
                          bool all, uint64_t low)
{
    char *end = NULL;
    if (all && strcmp(text, "all") == 0)
        return NM_ALL;
    unsigned long long n = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    if (end == NULL || *end != '\0' || n < low || n > UINT32_MAX)
        nm_value_complain(c, section, nth, key, "'%s' is not a whole number from %llu on%s", text,
                          (unsigned long long)low, all ? ", or all" : "");
    return n;
}

static uint64_t *numbers_of(struct nm_checker *c, const char *section, size_t nth, const char *key, char **items,
                            uint32_t n, bool all, uint64_t low)
{
    uint64_t *out = nm_arena_alloc(c->arena, (n + 1) * sizeof *out);
    for (uint32_t i = 0; i < n && out != NULL; i++) {
        out[i] = number_of(c, section, nth, key, items[i], all, low);
        for (uint32_t k = 0; k < i; k++)
            if (out[k] == out[i])
                nm_value_complain(c, section, nth, key, "%s stands there twice", items[i]);
    }
    return out;
}

static int arm_of(struct nm_checker *c, const char *section, size_t nth, const char *key, const char *text)
{
    return nm_value_one_of(c, section, nth, key, text, 0, arm_names, NM_ARMS);
}

/* ---- the sections ---------------------------------------------------------------------------- */

static void check_corpus(struct nm_checker *c, const struct raw_corpus *in, struct nm_experiment *e)
{
    static const char *const levels[] = {"sentence", "document"};
    e->train = path_of(c, "corpus", "train", in->train);
    e->devel = path_of(c, "corpus", "devel", in->devel);
    e->test = path_of(c, "corpus", "test", in->test);
    e->devel_share = nm_value_float(c, "corpus", 0, "devel_share", in->devel_share, 0, 0, 0.5);
    e->guard_words = nm_value_uint(c, "corpus", 0, "guard_words", in->guard_words, 8, 1, 1000);
    e->documents = nm_value_one_of(c, "corpus", 0, "level", in->level, 0, levels, 2) == 1;
    if (e->devel != NULL && e->devel_share > 0)
        nm_value_complain(c, "corpus", 0, "devel_share", "there is a devel file already: give one of the two");
    if (e->on_test && e->test == NULL)
        nm_value_complain(c, NULL, 0, "evaluate", "test: corpus.test names no file");
    if (!e->on_test && e->devel == NULL && e->devel_share <= 0)
        nm_value_complain(c, "corpus", 0, "train",
                          "there is nothing to evaluate on: give devel, or devel_share of train");
}

static void check_types(struct nm_checker *c, const struct raw_experiment *raw, struct nm_experiment *e)
{
    e->n_types = raw->types_count;
    e->types = nm_arena_alloc(c->arena, e->n_types * sizeof *e->types);
    for (uint32_t i = 0; i < e->n_types && e->types != NULL; i++) {
        e->types[i] = (struct nm_experiment_type){.name = nm_value_copy(c, raw->types[i].type),
                                                  .definition = nm_value_filled(c, raw->types[i].definition),
                                                  .file = path_of(c, "types", "file", raw->types[i].file)};
        if ((e->types[i].file != NULL) != (e->types[0].file != NULL))
            nm_value_complain(c, "types", i + 1, "type", "either every type names its list, or none does");
    }
}

static void check_arms(struct nm_checker *c, const char *section, size_t nth, char **arms, uint32_t n, bool out[])
{
    for (uint32_t i = 0; i < n; i++)
        out[arm_of(c, section, nth, "arms", arms[i])] = true;
}

static void check_grid(struct nm_checker *c, const struct raw_grid *in, struct nm_experiment *e)
{
    static char *all[] = {"all"}, *thousand[] = {"1000"}, *seed[] = {"13"};
    struct nm_experiment_variant *base = &e->variants[0];
    base->name = "base";
    check_arms(c, "grid", 0, in->arms, in->arms_count, base->arms);
    base->n_budgets = in->entities != NULL ? in->entities_count : 1;
    base->budgets =
        numbers_of(c, "grid", 0, "entities", in->entities != NULL ? in->entities : all, base->n_budgets, true, 1);
    base->n_golds = in->gold_count;
    base->golds = numbers_of(c, "grid", 0, "gold", in->gold, in->gold_count, true, 1);
    base->n_samples = in->samples != NULL ? in->samples_count : 1;
    base->samples =
        numbers_of(c, "grid", 0, "samples", in->samples != NULL ? in->samples : thousand, base->n_samples, false, 1);
    e->n_seeds = in->seeds != NULL ? in->seeds_count : 1;
    e->seeds = numbers_of(c, "grid", 0, "seeds", in->seeds != NULL ? in->seeds : seed, e->n_seeds, false, 0);
    e->draws = nm_value_uint(c, "grid", 0, "draws", in->draws, 1, 1, 1000);
    for (enum nm_arm arm = 0; arm < NM_ARMS; arm++)
        if (base->arms[arm] && nm_arm_is_drawn(e, arm) && base->n_golds == 0)
            nm_value_complain(c, "grid", 0, "arms", "%s needs gold: numbers of sentences", arm_names[arm]);
    for (uint32_t i = 0; i < e->n_types && e->types != NULL; i++)
        if (e->types[i].file != NULL && (base->n_budgets > 1 || base->budgets[0] != NM_ALL))
            nm_value_complain(c, "grid", 0, "entities", "lists that are given are taken whole: all");
}

/* One of the variants before it; without a name itself. */
static uint32_t answers_of(struct nm_checker *c, const char *name, size_t nth, const struct nm_experiment *e)
{
    for (uint32_t i = 0; name != NULL && i < nth && c->err == NM_OK; i++)
        if (strcmp(e->variants[i].name, name) == 0)
            return i;
    if (name != NULL)
        nm_value_complain(c, "ablations", nth, "answers_of", "there is no '%s' before it: base, or an ablation",
                          name);
    return (uint32_t)nth;
}

static void check_ablation(struct nm_checker *c, const struct raw_ablation *in, size_t nth, struct nm_experiment *e)
{
    static const char section[] = "ablations";
    struct nm_experiment_variant *v = &e->variants[nth];
    *v = e->variants[0];
    v->name = nm_value_copy(c, in->name);
    const size_t len = strlen(in->name);
    if (len == 0 || len > NAME_BYTES ||
        strspn(in->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != len)
        nm_value_complain(c, section, nth, "name", "'%s' is not 1 to %d letters, digits, '_' or '-'", in->name,
                          NAME_BYTES);
    for (size_t i = 0; i < nth && c->err == NM_OK; i++)
        if (strcmp(e->variants[i].name, in->name) == 0)
            nm_value_complain(c, section, nth, "name", "there are two of the name '%s'", in->name);
    v->answers_of = answers_of(c, in->answers_of, nth, e);
    if (in->hygiene != NULL)
        v->hygiene = *in->hygiene;
    if (in->arms != NULL)
        memset(v->arms, 0, sizeof v->arms);
    check_arms(c, section, nth, in->arms, in->arms_count, v->arms);
    if (in->entities != NULL)
        v->budgets =
            numbers_of(c, section, nth, "entities", in->entities, v->n_budgets = in->entities_count, true, 1);
    if (in->gold != NULL)
        v->golds = numbers_of(c, section, nth, "gold", in->gold, v->n_golds = in->gold_count, true, 1);
    if (in->samples != NULL)
        v->samples = numbers_of(c, section, nth, "samples", in->samples, v->n_samples = in->samples_count, false, 1);
}

static void check_union(struct nm_checker *c, const struct raw_experiment *raw, struct nm_experiment *e)
{
    static const struct raw_union nothing = {0};
    const struct raw_union *in = raw->union_of != NULL ? raw->union_of : &nothing;
    e->union_of = in->of != NULL ? (enum nm_arm)arm_of(c, "union", 0, "of", in->of) : NM_ARM_SYNTHETIC;
    e->union_sure = nm_value_float(c, "union", 0, "sure", in->sure, 0.9, 0, 1);
    if (!nm_arm_is_trained(e->union_of))
        nm_value_complain(c, "union", 0, "of", "%s trains no tagger", nm_arm_name(e->union_of));
    e->copies = nm_value_uint(c, "replacement", 0, "copies",
                              raw->replacement != NULL ? raw->replacement->copies : NULL, 3, 1, 100);
}

static void check_experiment(struct nm_checker *c, const struct raw_experiment *raw, struct nm_experiment *e)
{
    static const char *const parts[] = {"devel", "test"};
    const uint32_t version = raw->version != NULL ? *raw->version : 1;
    if (version != 1)
        nm_value_complain(c, NULL, 0, "version", "%u is not a version that this nermill reads (it reads 1)", version);
    e->name = nm_value_text(c, raw->name, "experiment");
    e->seed = raw->seed != NULL ? *raw->seed : 13;
    e->on_test = nm_value_one_of(c, NULL, 0, "evaluate", raw->evaluate, 0, parts, 2) == 1;
    e->threads = nm_value_uint(c, NULL, 0, "threads", raw->threads, 1, 1, 4096);
    e->bootstrap = nm_value_uint(c, NULL, 0, "bootstrap", raw->bootstrap, 2000, 100, 1000000);
    check_corpus(c, raw->corpus, e);
    check_types(c, raw, e);
    check_union(c, raw, e);
    e->n_variants = raw->ablations_count + 1;
    e->variants = nm_arena_alloc(c->arena, e->n_variants * sizeof *e->variants);
    if (e->variants == NULL)
        return;
    e->variants[0].hygiene = raw->hygiene != NULL && *raw->hygiene;
    check_grid(c, raw->grid, e);
    for (uint32_t i = 1; i < e->n_variants; i++)
        check_ablation(c, &raw->ablations[i - 1], i, e);
}

/* ---- the projects ---------------------------------------------------------------------------- */

static enum nm_err make_absolute(void *ctx, const char *key, char **text)
{
    struct nm_checker *c = ctx;
    const char *path = path_of(c, "project", key, *text);
    char *copy = path != NULL ? strdup(path) : NULL;
    if (copy == NULL)
        return c->err != NM_OK ? c->err : NM_ENOMEM;
    free(*text);
    *text = copy;
    return NM_OK;
}

/* What the arms, the grid and the experiment decide is not a project's to say. */
static void check_not_said(struct nm_checker *c, const struct raw_project *p, const char *section, size_t nth)
{
    if (p->entities != NULL)
        nm_value_complain(c, section, nth, "entities", "the lists are the experiment's: types");
    if (p->gold != NULL)
        nm_value_complain(c, section, nth, "gold", "the corpus is the experiment's: corpus");
    if (p->trainer != NULL && (p->trainer->recipe != NULL || p->trainer->gold_train != NULL))
        nm_value_complain(c, section, nth, "trainer", "recipe and gold_train are the arms': grid: arms");
    if (p->trainer != NULL && p->trainer->seed != NULL)
        nm_value_complain(c, section, nth, "trainer", "seeds of trainings are the grid's: grid: seeds");
}

/* The variant's project: base's, changed.  raw's patch is used up. */
static enum nm_err make_project(struct nm_checker *c, const struct raw_experiment *raw, uint32_t nth,
                                struct raw_project **project)
{
    struct raw_ablation *ablation = nth > 0 ? &raw->ablations[nth - 1] : NULL;
    if (raw_project_copy(raw->project, project) != NM_OK)
        return nm_fail(c->diag, NM_ENOMEM, "%s: out of memory", c->name);
    if (ablation == NULL)
        check_not_said(c, raw->project, "project", 0);
    else if (ablation->set != NULL) {
        check_not_said(c, ablation->set, "ablations", nth);
        raw_project_merge(*project, ablation->set);
    }
    for (uint32_t i = 0; ablation != NULL && i < ablation->unset_count; i++)
        if (!raw_project_remove(*project, ablation->unset[i]))
            nm_value_complain(c, "ablations", nth, "unset", "a project has no key '%s'", ablation->unset[i]);
    if (c->err == NM_OK)
        c->err = nm_each_file(*project, make_absolute, c);
    return c->err;
}

/* What a project.yaml's reader says ("name:line: generation.words: ...") is said of the experiment's own line. */
static void complain_of_project(struct nm_checker *c, uint32_t nth, const char *text)
{
    const char *what = strstr(text, ": ");
    what = what != NULL ? what + 2 : text;
    char key[64];
    (void)snprintf(key, sizeof key, "%.*s", (int)strcspn(what, ":"), what);
    const char *last = strrchr(key, '.');
    nm_value_complain(c, nth > 0 ? "ablations" : "project", nth, last != NULL ? last + 1 : key, "%s", what);
}

/* Held against everything that a project.yaml is held against. */
static void check_projects(struct owned_experiment *o, struct nm_checker *c)
{
    const struct nm_experiment *e = &o->experiment;
    const char **files = nm_arena_alloc(c->arena, (e->n_types + 1) * sizeof *files);
    for (uint32_t i = 0; i < e->n_types && files != NULL; i++)
        files[i] = "list.txt";
    for (uint32_t i = 0; files != NULL && i < e->n_variants && c->err == NM_OK; i++) {
        struct nm_project *project = NULL;
        struct nm_diag why = {""};
        struct nm_buf text;
        nm_buf_init(&text, PROJECT_MAX);
        if (nm_experiment_project(e, i, &(struct nm_experiment_run){files, 1, NULL}, &text) != NM_OK)
            c->err = nm_fail(c->diag, NM_ENOMEM, "%s: out of memory", c->name);
        else if (nm_project_parse(nm_buf_str(&text), text.len, "project", &project, &why) != NM_OK)
            complain_of_project(c, i, why.text);
        nm_project_destroy(&project);
        nm_buf_clean_up(&text);
    }
}

/* ---- the face -------------------------------------------------------------------------------- */

static enum nm_err parse(struct owned_experiment *o, const struct nm_buf *text, struct nm_diag *diag)
{
    struct raw_experiment *raw = NULL;
    struct nm_checker c = {
        .name = o->path, .yaml = nm_buf_str(text), .len = text->len, .arena = &o->arena, .diag = diag};
    size_t bad;
    if (!nm_utf8_valid(c.yaml, c.len, &bad))
        return nm_fail(diag, NM_EFORMAT, "%s: not valid UTF-8 at byte %zu", o->path, bad);
    enum nm_err err = raw_experiment_load(c.yaml, c.len, o->path, &raw, diag);
    if (err != NM_OK)
        return err;
    check_experiment(&c, raw, &o->experiment);
    if (c.err == NM_OK && (o->projects = calloc(o->experiment.n_variants, sizeof(struct raw_project *))) == NULL)
        c.err = nm_fail(diag, NM_ENOMEM, "%s: out of memory", o->path);
    for (uint32_t i = 0; c.err == NM_OK && i < o->experiment.n_variants; i++)
        c.err = make_project(&c, raw, i, &o->projects[i]);
    if (c.err == NM_OK)
        check_projects(o, &c);
    raw_experiment_free(&raw);
    return c.err;
}

enum nm_err nm_experiment_load(const char *path, struct nm_experiment **experiment, struct nm_diag *diag)
{
    struct nm_buf text;
    struct owned_experiment *o = calloc(1, sizeof *o);
    *experiment = NULL;
    if (o == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", path);
    char *absolute = realpath(path, o->path);
    if (absolute == NULL)
        (void)snprintf(o->path, sizeof o->path, "%s", path);
    nm_arena_init(&o->arena, 0);
    nm_buf_init(&text, FILE_MAX);
    *experiment = &o->experiment;
    enum nm_err err = nm_file_read(o->path, &text, diag);
    if (err == NM_OK)
        err = parse(o, &text, diag);
    nm_buf_clean_up(&text);
    if (err != NM_OK)
        nm_experiment_destroy(experiment);
    return err;
}

void nm_experiment_destroy(struct nm_experiment **experiment)
{
    if (*experiment == NULL)
        return;
    struct owned_experiment *o = (struct owned_experiment *)(void *)*experiment;
    for (uint32_t i = 0; o->projects != NULL && i < o->experiment.n_variants; i++)
        raw_project_free(&o->projects[i]);
    free(o->projects);
    nm_arena_clean_up(&o->arena);
    free(o);
    *experiment = NULL;
}
