#include "cli/experiment_tables.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/experiment_cell.h"
#include "cli/experiment_seal.h"
#include "common/buf.h"

enum { TEXT_MAX = 256 << 20 };

static const char *const figure_names[NM_EXP_FIGURES] = {"f1", "precision", "recall", "seen_recall", "unseen_recall"};

enum nm_err nm_exp_write(const struct nm_exp *x, const char *name, const struct nm_buf *text, enum nm_err err,
                         struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    if (err != NM_OK)
        return nm_fail(diag, err, "%s/%s: %s", x->state, name, nm_err_name(err));
    err = nm_exp_path(x, nm_exp_eval_name(x), name, "", path);
    return err == NM_OK ? nm_file_write_atomic(path, nm_buf_str(text), text->len, diag) : err;
}

void nm_exp_budget(uint64_t budget, char out[24])
{
    out[0] = '\0';
    if (budget == NM_ALL)
        (void)snprintf(out, 24, "all");
    else if (budget > 0)
        (void)snprintf(out, 24, "%" PRIu64, budget);
}

static const json_t *type_scores(const json_t *cell, const char *type)
{
    return json_object_get(json_object_get(json_object_get(cell, "scores"), "types"), type);
}

/* ---- CSV: a row a cell ------------------------------------------------------------------------ */

static enum nm_err add_number(struct nm_buf *out, const json_t *number)
{
    return json_is_number(number) ? nm_buf_addf(out, ",%.6f", json_number_value(number)) : nm_buf_adds(out, ",");
}

static enum nm_err add_row(const struct nm_exp_summary *s, size_t i, struct nm_buf *out)
{
    const struct nm_exp_cell *c = &s->x->cells[i];
    const json_t *cell = s->cells[i], *seconds = json_object_get(cell, "seconds");
    char entities[24], samples[24], gold[24];
    nm_exp_budget(c->budget, entities);
    nm_exp_budget(c->samples, samples);
    nm_exp_budget(c->gold, gold);
    enum nm_err err =
        nm_buf_addf(out, "%s,%s,%s,%s,%s,%s,%s", nm_exp_eval_name(s->x), s->x->e->variants[c->variant].name,
                    nm_arm_name(c->arm), entities, samples, gold, s->x->steps[c->step].key);
    if (err == NM_OK)
        err = nm_buf_addf(out, ",%" PRIu32 ",%" PRIu64, c->draw, c->seed);
    for (enum nm_exp_figure f = 0; f < NM_EXP_FIGURES && err == NM_OK; f++) {
        double value;
        err = nm_exp_figure_of(cell, f, &value) ? nm_buf_addf(out, ",%.6f", value) : nm_buf_adds(out, ",");
    }
    for (uint32_t t = 0; t < s->x->e->n_types; t++)
        for (enum nm_exp_figure f = 0; f <= NM_EXP_RECALL && err == NM_OK; f++)
            err = add_number(out, json_object_get(type_scores(cell, s->x->e->types[t].name), figure_names[f]));
    if (err == NM_OK)
        err = add_number(out, json_object_get(seconds, "training"));
    if (err == NM_OK)
        err = add_number(out, json_object_get(seconds, "tagging"));
    return err == NM_OK ? nm_buf_adds(out, "\n") : err;
}

enum nm_err nm_exp_write_csv(const struct nm_exp_summary *s, struct nm_diag *diag)
{
    struct nm_buf out;
    nm_buf_init(&out, TEXT_MAX);
    enum nm_err err = nm_buf_adds(&out, "on,variant,arm,entities,samples,gold,key,draw,seed");
    for (enum nm_exp_figure f = 0; f < NM_EXP_FIGURES && err == NM_OK; f++)
        err = nm_buf_addf(&out, ",%s", figure_names[f]);
    for (uint32_t t = 0; t < s->x->e->n_types; t++)
        for (enum nm_exp_figure f = 0; f <= NM_EXP_RECALL && err == NM_OK; f++)
            err = nm_buf_addf(&out, ",%s_%s", s->x->e->types[t].name, figure_names[f]);
    if (err == NM_OK)
        err = nm_buf_adds(&out, ",training_s,tagging_s\n");
    for (size_t i = 0; i < s->x->n_cells && err == NM_OK; i++)
        if (s->cells[i] != NULL)
            err = add_row(s, i, &out);
    err = nm_exp_write(s->x, "results.csv", &out, err, diag);
    nm_buf_clean_up(&out);
    return err;
}

/* ---- JSON ------------------------------------------------------------------------------------- */

static json_t *budget_json(uint64_t budget)
{
    return budget == NM_ALL ? json_string("all") : budget > 0 ? json_integer((json_int_t)budget) : json_null();
}

static json_t *point_json(const struct nm_exp *x, const struct nm_exp_cell *c)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "variant", x->e->variants[c->variant].name, "arm",
                     nm_arm_name(c->arm), "entities", budget_json(c->budget), "samples", budget_json(c->samples),
                     "gold", budget_json(c->gold));
}

static json_t *group_json(const struct nm_exp *x, const struct nm_exp_group *g)
{
    json_t *root = point_json(x, g->first);
    json_object_set_new(root, "cells", json_integer((json_int_t)g->n));
    json_object_set_new(root, "done", json_integer((json_int_t)g->done));
    for (enum nm_exp_figure f = 0; f < NM_EXP_FIGURES; f++)
        if (g->figures[f].n > 0)
            json_object_set_new(
                root, figure_names[f],
                json_pack("{s:f, s:f}", "mean", g->figures[f].mean, "deviation", g->figures[f].deviation));
    if (g->compared)
        json_object_set_new(root, "against_gold",
                            json_pack("{s:f, s:f, s:f, s:f, s:I}", "difference", g->difference, "low", g->low, "high",
                                      g->high, "p", g->p, "pairs", (json_int_t)g->pairs));
    if (g->equivalent.known)
        json_object_set_new(root, "gold_equivalent",
                            json_pack("{s:f, s:s}", "sentences", g->equivalent.gold, "which_is",
                                      g->equivalent.beyond < 0   ? "at most"
                                      : g->equivalent.beyond > 0 ? "at least"
                                                                 : "about"));
    return root;
}

/* What each generation cost, by nermill report. */
static json_t *generations_json(const struct nm_exp *x)
{
    json_t *all = json_array();
    for (size_t i = 0; i < x->n_steps; i++) {
        const struct nm_exp_step *step = &x->steps[i];
        char path[NM_FILE_PATH];
        if (step->kind != NM_EXP_GENERATION || nm_exp_product(x, step, path) != NM_OK)
            continue;
        json_t *done = json_load_file(path, 0, NULL), *report = NULL;
        if (done != NULL && nm_exp_path(x, "generations", step->key, ".report.json", path) == NM_OK)
            report = json_load_file(path, 0, NULL);
        if (done != NULL)
            json_array_append_new(all, json_pack("{s:s, s:s, s:o, s:I, s:f, s:O?}", "key", step->key, "variant",
                                                 x->e->variants[step->variant].name, "entities",
                                                 budget_json(step->budget), "samples", (json_int_t)step->samples,
                                                 "seconds", json_number_value(json_object_get(done, "seconds")),
                                                 "generation", json_object_get(report, "generation")));
        json_decref(done);
        json_decref(report);
    }
    return all;
}

/* null: not the final evaluation. */
static json_t *seal_json(const struct nm_exp *x)
{
    struct nm_seal seal;
    if (!x->e->on_test || nm_seal_read(x, &seal, NULL) != NM_OK)
        return json_null();
    return json_pack("{s:I, s:s, s:I}", "number", (json_int_t)seal.number, "hash", seal.hash, "opened_before",
                     (json_int_t)seal.opened_before);
}

static json_t *summary_json(const struct nm_exp_summary *s)
{
    const struct nm_exp *x = s->x;
    json_t *cells = json_array(), *groups = json_array();
    for (size_t i = 0; i < x->n_cells; i++) {
        if (s->cells[i] == NULL)
            continue;
        json_t *cell = point_json(x, &x->cells[i]);
        json_object_set_new(cell, "draw", json_integer(x->cells[i].draw));
        json_object_set_new(cell, "seed", json_integer((json_int_t)x->cells[i].seed));
        json_object_update_missing(cell, s->cells[i]);
        json_array_append_new(cells, cell);
    }
    for (size_t i = 0; i < s->n; i++)
        json_array_append_new(groups, group_json(x, &s->groups[i]));
    return json_pack("{s:s, s:s, s:o, s:i, s:{s:I, s:s, s:I, s:s, s:I, s:I}, s:o, s:o, s:o}", "name", x->e->name,
                     "on", nm_exp_eval_name(x), "seal", seal_json(x), "method", NM_EXPERIMENT_METHOD, "corpus",
                     "pool", (json_int_t)x->pool.n, "pool_hash", x->pool_hash, "evaluated", (json_int_t)x->eval.n,
                     "evaluated_hash", x->eval_hash, "dropped_train", (json_int_t)x->pool_dropped, "dropped_devel",
                     (json_int_t)x->eval_dropped, "generations", generations_json(x), "groups", groups, "cells",
                     cells);
}

enum nm_err nm_exp_write_json(const struct nm_exp_summary *s, struct nm_diag *diag)
{
    struct nm_buf out;
    json_t *root = summary_json(s);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(8)) : NULL;
    nm_buf_init(&out, TEXT_MAX);
    enum nm_err err = text != NULL ? nm_buf_addf(&out, "%s\n", text) : NM_ENOMEM;
    err = nm_exp_write(s->x, "results.json", &out, err, diag);
    nm_buf_clean_up(&out);
    free(text);
    json_decref(root);
    return err;
}

/* ---- Markdown --------------------------------------------------------------------------------- */

static enum nm_err add_mean(struct nm_buf *out, const struct nm_exp_mean *m)
{
    if (m->n == 0)
        return nm_buf_adds(out, " |");
    return m->n > 1 ? nm_buf_addf(out, " %.3f ± %.3f |", m->mean, m->deviation)
                    : nm_buf_addf(out, " %.3f |", m->mean);
}

static enum nm_err add_against(struct nm_buf *out, const struct nm_exp_group *g, double size)
{
    static const char *const signs[] = {"≤ ", "", "≥ "};
    enum nm_err err =
        g->compared ? nm_buf_addf(out, " %+.3f (%+.3f to %+.3f), p %.3f |", g->difference, g->low, g->high, g->p)
                    : nm_buf_adds(out, " |");
    if (err != NM_OK || !g->equivalent.known)
        return err == NM_OK ? nm_buf_adds(out, " | |\n") : err;
    err = nm_buf_addf(out, " %s%.0f |", signs[g->equivalent.beyond + 1], g->equivalent.gold);
    return err == NM_OK ? nm_buf_addf(out, " %s%.0f |\n", signs[g->equivalent.beyond + 1], g->equivalent.gold - size)
                        : err;
}

static enum nm_err add_group(struct nm_buf *out, const struct nm_exp *x, const struct nm_exp_group *g)
{
    const struct nm_exp_cell *c = g->first;
    char entities[24], samples[24], gold[24];
    nm_exp_budget(c->budget, entities);
    nm_exp_budget(c->samples, samples);
    nm_exp_budget(c->gold, gold);
    enum nm_err err =
        nm_buf_addf(out, "| %s | %s | %s | %s | %s | %zu%s |", x->e->variants[c->variant].name, nm_arm_name(c->arm),
                    entities, samples, gold, g->done, g->done < g->n ? " (not all)" : "");
    for (enum nm_exp_figure f = 0; f < NM_EXP_FIGURES && err == NM_OK; f++)
        err = add_mean(out, &g->figures[f]);
    return err == NM_OK ? add_against(out, g, c->gold > 0 ? nm_exp_gold_size(x, c->gold) : 0) : err;
}

static enum nm_err add_costs(struct nm_buf *out, const struct nm_exp *x)
{
    json_t *all = generations_json(x), *one;
    size_t i;
    enum nm_err err =
        json_array_size(all) == 0
            ? NM_OK
            : nm_buf_adds(out, "\n| generation | K | samples | calls | tokens in | tokens out | minutes |\n"
                               "| --- | --- | --- | --- | --- | --- | --- |\n");
    json_array_foreach(all, i, one)
    {
        const json_t *g = json_object_get(one, "generation"), *k = json_object_get(one, "entities");
        char budget[24];
        nm_exp_budget(json_is_string(k) ? NM_ALL : (uint64_t)json_integer_value(k), budget);
        if (err == NM_OK)
            err = nm_buf_addf(out, "| %s | %s | %lld | %lld | %lld | %lld | %.1f |\n",
                              json_string_value(json_object_get(one, "variant")), budget,
                              (long long)json_integer_value(json_object_get(one, "samples")),
                              (long long)json_integer_value(json_object_get(g, "calls")),
                              (long long)json_integer_value(json_object_get(g, "tokens_in")),
                              (long long)json_integer_value(json_object_get(g, "tokens_out")),
                              json_number_value(json_object_get(one, "seconds")) / 60);
    }
    json_decref(all);
    return err;
}

static enum nm_err add_seal(struct nm_buf *out, const struct nm_exp *x)
{
    struct nm_seal seal;
    if (nm_seal_read(x, &seal, NULL) != NM_OK)
        return NM_OK;
    return nm_buf_addf(out, "\nAll choices were sealed before (seal %u, %s)%s.\n", seal.number, seal.hash,
                       seal.opened_before > 0 ? "; the test part had been looked at by an earlier seal" : "");
}

enum nm_err nm_exp_write_tables(const struct nm_exp_summary *s, struct nm_diag *diag)
{
    const struct nm_exp *x = s->x;
    struct nm_buf out;
    nm_buf_init(&out, TEXT_MAX);
    enum nm_err err = nm_buf_addf(
        &out,
        "# %s, on %s (%zu sentences)\n\nStrict entity F1; mean ± standard deviation over gold draws and seeds; seen "
        "and "
        "unseen: recall of entities that stand in the\ntraining part and that do not. Against gold: difference in F1 "
        "to "
        "gold alone with as many sentences, paired bootstrap over sentences\n(the middle 95 %%, and the share of "
        "resamples that are not better). As good as: gold sentences alone of the same F1, and how many that "
        "saves.\n\n"
        "| variant | arm | K | n | N | cells | F1 | P | R | seen | unseen | against gold | as good as | saved |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        x->e->name, nm_exp_eval_name(x), x->eval.n);
    for (size_t i = 0; i < s->n && err == NM_OK; i++)
        if (s->groups[i].done > 0)
            err = add_group(&out, x, &s->groups[i]);
    if (err == NM_OK)
        err = add_costs(&out, x);
    if (err == NM_OK && x->e->on_test)
        err = add_seal(&out, x);
    err = nm_exp_write(x, "tables.md", &out, err, diag);
    nm_buf_clean_up(&out);
    return err;
}

enum nm_err nm_exp_write_all(const struct nm_exp *x, struct nm_diag *diag)
{
    struct nm_exp_summary s;
    enum nm_err err = nm_exp_summarise(x, &s, diag);
    if (err != NM_OK)
        return err;
    err = nm_exp_write_csv(&s, diag);
    if (err == NM_OK)
        err = nm_exp_write_json(&s, diag);
    if (err == NM_OK)
        err = nm_exp_write_tables(&s, diag);
    if (err == NM_OK)
        err = nm_exp_write_figures(&s, diag);
    nm_exp_summary_clean_up(&s);
    return err;
}
