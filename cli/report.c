/* report.c - nermill report: a data set in figures, as one HTML page or as JSON. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/commands.h"
#include "cli/dataset.h"
#include "cli/page.h"
#include "cli/process.h"
#include "common/file.h"
#include "schemas/project.h"
#include "workers/dataset/measure.h"

enum { REPORT_VERSION = 1, PAGE_MAX = 64 << 20, PLAN_MAX = 16 << 20, LEAK_WORDS = 13 };

struct report {
    const char *named, *gold;
    uint64_t seed;
    struct nm_dataset *dataset;
    struct nm_project *project; /* NULL: of a file */
    struct nm_entities *lists;
    json_t *json;
};

/* ---- the run ----------------------------------------------------------------------------------------------------
 */

static bool has_prices(const struct nm_project *project)
{
    for (size_t i = 0; i < project->n_endpoints; i++)
        if (project->endpoints[i].price_in > 0 || project->endpoints[i].price_out > 0)
            return true;
    return false;
}

struct rejected {
    const char *rule;
    json_int_t count;
};

static int by_count(const void *a, const void *b)
{
    const struct rejected *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count) - (x->count > y->count) : strcmp(x->rule, y->rule);
}

/* {"rule": count} as a list, the most frequent first. */
static json_t *rules_json(json_t *by_rule)
{
    const char *name;
    json_t *count, *list = json_array();
    struct rejected *rules = calloc(json_object_size(by_rule) + 1, sizeof *rules);
    size_t n = 0;
    json_object_foreach(by_rule, name, count)
    {
        if (rules != NULL && json_integer_value(count) > 0)
            rules[n++] = (struct rejected){name, json_integer_value(count)};
    }
    if (n > 1)
        qsort(rules, n, sizeof *rules, by_count);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s, s:I}", "rule", rules[i].rule, "count", rules[i].count));
    free(rules);
    return list;
}

static json_t *generation_json(const struct report *r, const json_t *plan)
{
    static const char *const kept[] = {"calls", "accepted", "rejected", "failures", "tokens_in", "tokens_out"};
    json_t *done = json_object_get(plan, "done"), *o = json_object();
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        json_object_set(o, kept[i], json_object_get(done, kept[i]));
    double calls = json_number_value(json_object_get(done, "calls")),
           samples = json_number_value(json_object_get(done, "samples"));
    double cost = json_number_value(json_object_get(done, "cost_micros")) / 1e6;
    double accepted = json_number_value(json_object_get(done, "accepted"));
    bool priced = has_prices(r->project);
    json_object_set_new(o, "accepted_share", calls > 0 ? json_real(accepted / calls) : json_null());
    json_object_set_new(o, "cost", priced ? json_real(cost) : json_null());
    json_object_set_new(o, "cost_per_1000", priced && samples > 0 ? json_real(1000 * cost / samples) : json_null());
    json_object_set_new(o, "rejected_by_rule", rules_json(json_object_get(done, "rejected_by_rule")));
    return o;
}

/* What the ledger says, beside a live broker or without one; null where there is no ledger. */
static enum nm_err ask_ledger(struct report *r, struct nm_diag *diag)
{
    const struct nm_place *place = nm_dataset_place(r->dataset);
    struct nm_buf text;
    int code = 0;
    json_object_set_new(r->json, "generation", json_null());
    json_object_set_new(r->json, "run", json_null());
    if (place == NULL || !nm_file_exists(place->broker))
        return NM_OK;
    const char *const argv[] = {"nermill-broker", "plan", place->project_file, "--state", place->broker,
                                "--json",         NULL};
    nm_buf_init(&text, PLAN_MAX);
    enum nm_err err = nm_process_capture(argv, &text, &code, diag);
    if (err == NM_OK) {
        json_t *plan = json_loads(nm_buf_str(&text), 0, NULL);
        if (code == 0 && json_is_true(json_object_get(plan, "begun"))) {
            json_object_set_new(r->json, "generation", generation_json(r, plan));
            json_object_set(r->json, "run", json_object_get(plan, "run"));
        }
        json_decref(plan);
    }
    nm_buf_clean_up(&text);
    return err;
}

/* ---- the data ---------------------------------------------------------------------------------------------------
 */

struct both {
    struct nm_measure *gold, *own; /* gold: NULL where the figures of other files stand for it */
    bool leaks;                    /* what is read must not be found in the data */
};

static enum nm_err take_gold(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    struct both *both = ctx;
    enum nm_err err = both->leaks ? nm_measure_leaks(both->own, record, diag) : NM_OK;
    return err == NM_OK && both->gold != NULL ? nm_measure_add(both->gold, record, diag) : err;
}

static enum nm_err read_gold(const struct report *r, const char *file, struct both *both, struct nm_diag *diag)
{
    char dir[NM_PATH_MAX] = ".", path[NM_PATH_MAX];
    const struct nm_place *place = nm_dataset_place(r->dataset);
    enum nm_err err = NM_OK;
    if (file != r->gold && place != NULL) /* what a project names is relative to it */
        err = nm_file_dirname(place->project_file, dir, sizeof dir);
    if (err == NM_OK)
        err = file == r->gold ? NM_OK : nm_file_join(dir, file, path, sizeof path);
    if (err != NM_OK)
        return nm_fail(diag, err, "%s: the path is too long", file);
    struct nm_source source = {.path = file == r->gold ? file : path};
    return nm_source_read(&source, take_gold, both, NULL, diag);
}

/* The gold sample is --gold; else the project's test sets; else what it trains on.  All but the last must not be
 * found in the data. */
static enum nm_err read_all_gold(const struct report *r, struct both *both, bool *any, struct nm_diag *diag)
{
    struct both leaks_only = {.own = both->own, .leaks = true};
    enum nm_err err = NM_OK;
    *any = r->gold != NULL;
    both->leaks = true;
    if (r->gold != NULL)
        err = read_gold(r, r->gold, both, diag);
    for (uint32_t i = 0; r->project != NULL && i < r->project->leakage.n_gold && err == NM_OK; i++) {
        err = read_gold(r, r->project->leakage.gold[i], r->gold != NULL ? &leaks_only : both, diag);
        *any = true;
    }
    both->leaks = false;
    if (!*any && r->project != NULL && r->project->trainer.gold_train != NULL) {
        err = read_gold(r, r->project->trainer.gold_train, both, diag);
        *any = true;
    }
    return err;
}

/* Of the gold sample, what the data set's figures are held against. */
static enum nm_err measure_gold(struct report *r, struct nm_measure *own, struct nm_diag *diag)
{
    static const char *const kept[] = {"counts", "types", "length", "entities_per_sample", "diversity"};
    struct both both = {.own = own, .gold = nm_measure_new(r->seed, NULL, LEAK_WORDS)};
    bool any = false;
    json_object_set_new(r->json, "gold", json_null());
    enum nm_err err = both.gold != NULL ? NM_OK : nm_fail(diag, NM_ENOMEM, "out of memory");
    if (err == NM_OK)
        err = read_all_gold(r, &both, &any, diag);
    if (err == NM_OK && any) {
        json_t *all = nm_measure_json(both.gold), *gold = json_object();
        if (all == NULL)
            err = nm_fail(diag, NM_ENOMEM, "out of memory");
        for (size_t i = 0; i < sizeof kept / sizeof *kept && all != NULL; i++)
            json_object_set(gold, kept[i], json_object_get(all, kept[i]));
        json_decref(all);
        json_object_set_new(r->json, "gold", gold);
    }
    nm_measure_destroy(&both.gold);
    return err;
}

static enum nm_err measure_data(struct report *r, struct nm_diag *diag)
{
    uint32_t words = r->project != NULL ? r->project->leakage.ngram : LEAK_WORDS;
    struct nm_measure *measure = nm_measure_new(r->seed, r->lists, words);
    enum nm_err err = measure != NULL ? measure_gold(r, measure, diag) : nm_fail(diag, NM_ENOMEM, "out of memory");
    if (err == NM_OK)
        err = nm_source_read(nm_dataset_source(r->dataset), nm_measure_add, measure, NULL, diag);
    json_t *figures = err == NM_OK ? nm_measure_json(measure) : NULL;
    if (err == NM_OK && (figures == NULL || json_object_update(r->json, figures) != 0))
        err = nm_fail(diag, NM_ENOMEM, "out of memory");
    json_decref(figures);
    nm_measure_destroy(&measure);
    return err;
}

static enum nm_err load_project(struct report *r, struct nm_diag *diag)
{
    const struct nm_place *place = nm_dataset_place(r->dataset);
    if (place == NULL)
        return NM_OK;
    enum nm_err err = nm_project_load(place->project_file, &r->project, diag);
    return err == NM_OK ? nm_project_entities(r->project, place->project_file, &r->lists, diag) : err;
}

static void add_identity(struct report *r)
{
    char created[32];
    struct tm utc;
    time_t now = time(NULL);
    const char *slash = strrchr(r->named, '/');
    (void)strftime(created, sizeof created, "%Y-%m-%d %H:%M UTC", gmtime_r(&now, &utc));
    json_object_set_new(r->json, "version", json_integer(REPORT_VERSION));
    json_object_set_new(r->json, "software", json_string("nermill " NM_VERSION));
    json_object_set_new(r->json, "name",
                        json_string(r->project != NULL ? r->project->name
                                    : slash != NULL    ? slash + 1
                                                       : r->named));
    json_object_set_new(r->json, "created", json_string(created));
    json_object_set_new(r->json, "seed", json_integer((json_int_t)r->seed));
}

static enum nm_err make_report(struct report *r, const char *state, struct nm_diag *diag)
{
    r->json = json_object();
    enum nm_err err = nm_dataset_open(r->named, state, &r->dataset, diag);
    if (err == NM_OK)
        err = load_project(r, diag);
    if (err == NM_OK) {
        add_identity(r);
        err = ask_ledger(r, diag);
    }
    return err == NM_OK ? measure_data(r, diag) : err;
}

/* ---- the command ------------------------------------------------------------------------------------------------
 */

static enum nm_err write_report(const struct report *r, bool as_json, const char *out, struct nm_diag *diag)
{
    struct nm_buf text;
    nm_buf_init(&text, PAGE_MAX);
    enum nm_err err;
    if (as_json) {
        char *json = json_dumps(r->json, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        err = json != NULL ? nm_buf_adds(&text, json) : NM_ENOMEM;
        if (err == NM_OK)
            err = nm_buf_addc(&text, '\n');
        free(json);
    } else {
        err = nm_page_report(r->json, &text);
    }
    if (err != NM_OK)
        err = nm_fail(diag, err, "the report cannot be written: %s", nm_err_name(err));
    else if (out != NULL)
        err = nm_file_write_atomic(out, nm_buf_str(&text), text.len, diag);
    else if (fwrite(nm_buf_str(&text), 1, text.len, stdout) != text.len)
        err = nm_fail(diag, nm_err_from_errno(errno), "standard output: %s", strerror(errno));
    nm_buf_clean_up(&text);
    return err;
}

int nm_command_report(int argc, char **argv)
{
    struct report r = {.seed = 1};
    const char *state = NULL, *out = NULL;
    bool as_json = false;
    const struct nm_opt opts[] = {
        {0, "state", NM_OPT_TEXT, &state, "DIR", "the run's state directory (default: PROJECT's run/)"},
        {'g', "gold", NM_OPT_TEXT, &r.gold, "FILE",
         "real labelled text to compare with, and to look for leaks of (default: the project's)"},
        {0, "json", NM_OPT_FLAG, &as_json, NULL, "the figures as JSON: schemas/report.schema.json"},
        {0, "seed", NM_OPT_COUNT, &r.seed, "N", "of the random samples (default: 1)"},
        {'o', "out", NM_OPT_TEXT, &out, "FILE", "write there (default: report.html; JSON: standard output)"},
    };
    const struct nm_command command = {
        .name = "report",
        .usage = "PROJECT|DATASET [--gold FILE] [--out FILE] [--json]",
        .summary =
            "How good a data set is: coverage, shape, diversity, repetition, leakage, cost, and 50 samples, on one\n"
            "HTML page that needs no other file and no network.",
        .min_args = 1,
        .max_args = 1,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    struct nm_diag diag = {""};
    r.named = argv[1];
    enum nm_err err = make_report(&r, state, &diag);
    if (out == NULL && !as_json)
        out = "report.html";
    if (err == NM_OK)
        err = write_report(&r, as_json, out, &diag);
    if (err == NM_OK && out != NULL)
        printf("%s\n", out);
    json_decref(r.json);
    nm_entities_destroy(&r.lists);
    nm_project_destroy(&r.project);
    nm_dataset_close(&r.dataset);
    return err == NM_OK ? NM_EXIT_OK : nm_complain("report", err, &diag);
}
