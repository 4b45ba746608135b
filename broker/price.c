#include "broker/price.h"

#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker_parts.h"
#include "common/file.h"
#include "common/log.h"

enum { PATH_BYTES = 4096, ARENA_MAX = 256 << 20 };

/* Where the run has no averages of its own yet; said with the figures. */
static const double assumed_share = 0.7; /* of answered calls that are accepted */
static const double assumed_in = 300.0;  /* tokens of a prompt */
static const double assumed_word = 1.4;  /* tokens of a word */

static const char usage[] =
    "usage: nermill-broker plan PROJECT --state DIR [--json]\n"
    "\n"
    "What the run in DIR has done, which settings changed since it began and what that would\n"
    "invalidate, what is left and what it will cost.  Nothing is started, asked or written.\n"
    "\n"
    "Exit codes: 0 said; 2 command line; 3 project or entity lists; 5 the ledger can't be read.\n";

struct price {
    struct nm_ledger_look look;
    bool begun;
    uint64_t goal, have, uncovered;                      /* uncovered: texts that entities lack */
    double samples, calls, tokens_in, tokens_out, money; /* left */
    bool averages, prices;                               /* of this run; of the endpoints */
};

static int bad_usage(const char *what)
{
    fprintf(stderr, "nermill-broker plan: %s (see nermill-broker plan --help)\n", what);
    return NM_EXIT_USAGE;
}

/* ---- reckoning --------------------------------------------------------------------------------------------------
 */

static uint64_t lacking(const struct nm_broker *b, const uint32_t *covered)
{
    uint64_t n = 0, least = b->project->goal.min_per_entity;
    for (size_t i = 0; i < nm_entities_count(b->entities); i++) {
        uint64_t has = covered ? covered[i] : 0;
        n += has < least ? least - has : 0;
    }
    return n;
}

/* At the endpoints' prices of today, each endpoint with its share of the calls; without any, as the calls so far. */
static void set_money(const struct nm_project *project, struct price *p)
{
    const struct nm_ledger_counters *c = &p->look.counters;
    double in = 0, out = 0, weights = 0;
    for (uint32_t i = 0; i < project->n_endpoints; i++) {
        const struct nm_project_endpoint *e = &project->endpoints[i];
        in += e->weight * e->price_in;
        out += e->weight * e->price_out;
        weights += e->weight;
    }
    p->prices = in > 0 || out > 0;
    if (p->prices)
        p->money = (p->tokens_in * in + p->tokens_out * out) / weights / 1e6;
    else
        p->money = p->averages ? p->calls * (double)c->cost_micros / (double)c->calls / 1e6 : 0;
}

/* What is left, if the samples there are stay (keep), at this run's own averages where it has any. */
static void reckon(const struct nm_broker *b, struct price *p)
{
    const struct nm_project_generation *g = &b->project->generation;
    const struct nm_ledger_counters *c = &p->look.counters;
    double a_sample = (1 - g->negatives) * (g->entities.min + g->entities.max) / 2.0;
    p->have = p->look.n_changes ? p->look.keep.stay + p->look.keep.open : c->done + p->look.waiting;
    p->samples = p->goal > p->have ? (double)(p->goal - p->have) : 0;
    p->uncovered = lacking(b, p->look.covered);
    /* The samples that are left cover too; what they can't takes extra ones. */
    double extra = (double)p->uncovered / a_sample - p->samples;
    if (extra > 0)
        p->samples += ceil(extra);
    p->averages = c->calls > 0 && c->accepted > 0;
    double calls = (double)c->calls;
    double share = p->averages ? (double)(c->accepted - c->dropped) / calls : assumed_share;
    p->calls = p->samples > 0 ? ceil(p->samples / (share > 0.01 ? share : 0.01)) : 0;
    p->tokens_in = p->calls * (p->averages ? (double)c->tokens_in / calls : assumed_in);
    p->tokens_out =
        p->calls * (p->averages ? (double)c->tokens_out / calls : assumed_word * (g->words.min + g->words.max) / 2.0);
    set_money(b->project, p);
}

static enum nm_err look(struct nm_broker *b, const struct nm_broker_options *options, struct price *p,
                        struct nm_diag *diag)
{
    char path[PATH_BYTES];
    struct nm_ledger_setting settings[NM_GENERATION_SETTINGS];
    enum nm_err err = nm_serve_load(b, options, diag);
    if (!err)
        err = nm_broker_make_plan(b, diag);
    if (err)
        return err;
    nm_generation_describe(b->project, b->entities, b->blobs[NM_BLOB_ENTITIES].digest, b->decoys, b->blobs, settings);
    if (nm_file_join(options->state, "ledger", path, sizeof path))
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", options->state);
    p->goal = options->samples ? options->samples : nm_again_samples(b, b->project);
    p->begun = nm_file_exists(path);
    if (p->begun)
        err = nm_ledger_look(path, settings, NM_GENERATION_SETTINGS, nm_entities_count(b->entities),
                             nm_generation_find, b, &p->look, diag);
    if (!err)
        reckon(b, p);
    return err;
}

/* ---- saying ------------------------------------------------------------------------------------------------------
 */

static void print_changes(const struct price *p)
{
    const struct nm_ledger_look *l = &p->look;
    for (size_t i = 0; i < l->n_changes; i++)
        printf("%s%s: %s -> %s\n", i ? "           " : "changed    ", l->changes[i].name, l->changes[i].was,
               l->changes[i].now);
    if (l->n_changes == 0) {
        printf("changed    nothing that the samples depend on\n");
        return;
    }
    printf("           the run stops until you say --new-generation keep: %llu samples and %llu texts stay, %llu are "
           "set aside\n",
           (unsigned long long)l->keep.stay, (unsigned long long)l->keep.open, (unsigned long long)l->keep.aside);
    printf("           or --new-generation fresh: all %llu are set aside (no answer is deleted)\n",
           (unsigned long long)l->fresh.aside);
}

static void print_price(const struct price *p)
{
    const struct nm_ledger_counters *c = &p->look.counters;
    if (!p->begun)
        printf("done       nothing yet\n");
    else
        printf("done       %llu of %llu samples; %llu calls, %llu tokens in, %llu out, money %.2f\n",
               (unsigned long long)c->done, (unsigned long long)p->goal, (unsigned long long)c->calls,
               (unsigned long long)c->tokens_in, (unsigned long long)c->tokens_out, (double)c->cost_micros / 1e6);
    print_changes(p);
    printf("left       %.0f samples%s", p->samples, p->look.n_changes ? " (with keep)" : "");
    if (p->uncovered)
        printf("; entities lack %llu texts", (unsigned long long)p->uncovered);
    printf("\ncost       about %.0f calls, %.0f tokens in, %.0f out", p->calls, p->tokens_in, p->tokens_out);
    if (p->money > 0)
        printf(", money %.2f", p->money);
    printf("\n           (%s%s)\n",
           p->averages ? "by this run's own averages" : "assumed: 70 % of the answers accepted, 300 tokens a prompt",
           p->prices ? "; at price_in and price_out of the endpoints" : "");
}

static int print_json(const struct price *p)
{
    const struct nm_ledger_look *l = &p->look;
    const struct nm_ledger_counters *c = &l->counters;
    json_t *changed = json_array();
    for (size_t i = 0; i < l->n_changes; i++)
        json_array_append_new(changed,
                              json_pack("{s:s, s:s, s:s, s:s}", "key", l->changes[i].key, "name", l->changes[i].name,
                                        "was", l->changes[i].was, "now", l->changes[i].now));
    json_t *rules = json_object();
    for (size_t i = 0; i < l->n_rules; i++)
        json_object_set_new(rules, l->rules[i].name, json_integer((json_int_t)l->rules[i].count));
    json_t *o = json_pack(
        "{s:i, s:b, s:s, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}, s:o, s:{s:I, s:I, s:I}, "
        "s:{s:I}, s:{s:f, s:I}, "
        "s:{s:f, s:f, s:f, s:f, s:b, s:b}}",
        "version", 1, "begun", p->begun, "run", l->run, "generation", (json_int_t)l->generation, "goal",
        (json_int_t)p->goal, "done", "samples", (json_int_t)c->done, "calls", (json_int_t)c->calls, "tokens_in",
        (json_int_t)c->tokens_in, "tokens_out", (json_int_t)c->tokens_out, "cost_micros", (json_int_t)c->cost_micros,
        "accepted", (json_int_t)c->accepted, "rejected", (json_int_t)c->rejected, "failures", (json_int_t)c->failures,
        "dropped", (json_int_t)c->dropped, "rejected_by_rule", rules, "changed", changed, "keep", "stay",
        (json_int_t)l->keep.stay, "texts", (json_int_t)l->keep.open, "aside", (json_int_t)l->keep.aside, "fresh",
        "aside", (json_int_t)l->fresh.aside, "left", "samples", p->samples, "entity_texts", (json_int_t)p->uncovered,
        "cost", "calls", p->calls, "tokens_in", p->tokens_in, "tokens_out", p->tokens_out, "money", p->money,
        "own_averages", p->averages, "endpoint_prices", p->prices);
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(o);
    if (text)
        puts(text);
    free(text);
    return text ? NM_EXIT_OK : NM_EXIT_FAILURE;
}

/* ---- the program ------------------------------------------------------------------------------------------------
 */

static int run(const struct nm_broker_options *options, bool json)
{
    struct nm_diag diag = {""};
    struct price p = {.begun = false};
    struct nm_broker *b = calloc(1, sizeof *b);
    if (!b)
        return NM_EXIT_FAILURE;
    nm_arena_init(&b->arena, ARENA_MAX);
    nm_map_init(&b->words);
    enum nm_err err = look(b, options, &p, &diag);
    int code = NM_EXIT_OK;
    if (err)
        nm_error("%s", diag.text);
    else if (json)
        code = print_json(&p);
    else
        print_price(&p);
    free(p.look.covered);
    for (size_t i = 0; i < p.look.n_rules; i++)
        free(p.look.rules[i].name);
    nm_map_clean_up(&b->words);
    nm_plan_destroy(&b->plan);
    nm_serve_clean_up(b);
    nm_arena_clean_up(&b->arena);
    free(b);
    return err ? (int)nm_exit_code(err) : code;
}

int nm_price_main(int argc, char **argv)
{
    static const struct option long_options[] = {{"state", required_argument, NULL, 's'},
                                                 {"json", no_argument, NULL, 'j'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {NULL, 0, NULL, 0}};
    struct nm_broker_options options = {.project = NULL};
    bool json = false;
    for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (option == 'h') {
            fputs(usage, stdout);
            return NM_EXIT_OK;
        }
        if (option != 's' && option != 'j')
            return NM_EXIT_USAGE; /* getopt has said why */
        json = json || option == 'j';
        options.state = option == 's' ? optarg : options.state;
    }
    if (optind != argc - 1)
        return bad_usage("one PROJECT is needed");
    if (!options.state)
        return bad_usage("--state DIR is needed");
    options.project = argv[optind];
    return run(&options, json);
}
