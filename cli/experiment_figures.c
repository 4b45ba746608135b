/* experiment_figures.c - which of an experiment's groups stand in which figure. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/experiment_cell.h"
#include "cli/experiment_plot.h"
#include "cli/experiment_tables.h"
#include "common/buf.h"

enum { SVG_MAX = 4 << 20 };

/* A figure is of the base; its series are the arms. */
struct figure {
    const char *name, *title, *x_label, *y_label;
    double (*x)(const struct nm_exp *x, const struct nm_exp_cell *cell); /* 0: it has no place on the axis */
    bool saving;                                                         /* what is saved, not F1 */
};

static double by_gold(const struct nm_exp *x, const struct nm_exp_cell *cell)
{
    return cell->gold > 0 ? nm_exp_gold_size(x, cell->gold) : 0;
}

static double by_samples(const struct nm_exp *x, const struct nm_exp_cell *cell)
{
    (void)x;
    return cell->gold == 0 ? (double)cell->samples : 0;
}

/* The whole list has no place on an axis of numbers: it is not known here how long it is. */
static double by_entities(const struct nm_exp *x, const struct nm_exp_cell *cell)
{
    (void)x;
    return cell->gold == 0 && cell->budget != NM_ALL ? (double)cell->budget : 0;
}

static const struct figure figures[] = {
    {"figures/learning-curve.svg", "F1 by gold sentences", "gold sentences", "strict entity F1", by_gold, false},
    {"figures/saving.svg", "Gold sentences saved", "gold sentences", "more of them would be needed without", by_gold,
     true},
    {"figures/samples.svg", "F1 by synthetic sentences, without gold", "synthetic sentences", "strict entity F1",
     by_samples, false},
    {"figures/entities.svg", "F1 by entities of the lists, without gold", "entities", "strict entity F1", by_entities,
     false},
};

static struct nm_plot_series *series_of(struct nm_plot *plot, const char *name, bool level)
{
    for (size_t i = 0; i < plot->n; i++)
        if (strcmp(plot->series[i].name, name) == 0)
            return &plot->series[i];
    if (plot->n == NM_PLOT_SERIES)
        return NULL;
    struct nm_plot_series *s = &plot->series[plot->n++];
    (void)snprintf(s->name, sizeof s->name, "%s", name);
    s->level = level;
    return s;
}

/* The name of an arm, with what else is different in it where the grid has several. */
static void name_of(const struct nm_exp *x, const struct nm_exp_cell *c, const struct figure *f, char *out,
                    size_t size)
{
    const struct nm_experiment_variant *v = &x->e->variants[c->variant];
    char entities[24], samples[24];
    nm_exp_budget(c->budget, entities);
    nm_exp_budget(c->samples, samples);
    const bool many_k = v->n_budgets > 1 && c->budget > 0 && f->x != by_entities;
    const bool many_n = v->n_samples > 1 && c->samples > 0 && f->x != by_samples;
    (void)snprintf(out, size, "%s%s%s%s%s", nm_arm_name(c->arm), many_k ? ", K=" : "", many_k ? entities : "",
                   many_n ? ", n=" : "", many_n ? samples : "");
}

static void add_group(const struct nm_exp *x, const struct figure *f, const struct nm_exp_group *g,
                      struct nm_plot *plot)
{
    char name[64];
    const double at = f->x(x, g->first);
    const bool level = at <= 0 && f->x == by_gold && g->first->gold == 0;
    if (g->done == 0 || g->first->variant != 0 || (at <= 0 && !level) || (level && f->saving))
        return;
    if (f->saving && (!g->equivalent.known || g->first->arm == NM_ARM_GOLD))
        return;
    name_of(x, g->first, f, name, sizeof name);
    struct nm_plot_series *s = series_of(plot, name, level);
    if (s != NULL && f->saving)
        nm_plot_add(s, at, g->equivalent.gold - at, 0);
    else if (s != NULL)
        nm_plot_add(s, at, g->figures[NM_EXP_F1].mean, g->figures[NM_EXP_F1].deviation);
}

/* Two points and more: one is no curve. */
static bool is_worth_it(const struct nm_plot *plot)
{
    for (size_t i = 0; i < plot->n; i++)
        if (!plot->series[i].level && plot->series[i].n > 1)
            return true;
    return false;
}

/* What names may hold and SVG may not. */
static void set_title(struct nm_plot *plot, const struct nm_exp *x, const char *title)
{
    (void)snprintf(plot->title, sizeof plot->title, "%.80s (%s): %s", x->e->name, nm_exp_eval_name(x), title);
    for (char *c = plot->title; *c != '\0'; c++)
        if (strchr("<>&\"", *c) != NULL)
            *c = ' ';
}

static enum nm_err write_figure(const struct nm_exp_summary *s, const struct figure *f, struct nm_diag *diag)
{
    struct nm_buf svg;
    struct nm_plot *plot = calloc(1, sizeof *plot);
    if (plot == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    plot->x_label = f->x_label;
    plot->y_label = f->y_label;
    plot->log_x = true;
    set_title(plot, s->x, f->title);
    for (size_t i = 0; i < s->n; i++)
        add_group(s->x, f, &s->groups[i], plot);
    nm_buf_init(&svg, SVG_MAX);
    enum nm_err err = NM_OK;
    if (is_worth_it(plot))
        err = nm_exp_write(s->x, f->name, &svg, nm_plot_lines(plot, &svg), diag);
    nm_buf_clean_up(&svg);
    free(plot);
    return err;
}

/* The base's group at the same point of the grid. */
static const struct nm_exp_group *base_of(const struct nm_exp_summary *s, const struct nm_exp_group *g)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct nm_exp_cell *a = s->groups[i].first, *b = g->first;
        if (a->variant == 0 && a->arm == b->arm && a->budget == b->budget && a->samples == b->samples &&
            a->gold == b->gold && s->groups[i].done > 0)
            return &s->groups[i];
    }
    return NULL;
}

static enum nm_err write_ablations(const struct nm_exp_summary *s, struct nm_diag *diag)
{
    static char names[NM_PLOT_POINTS][64]; /* one figure is made at a time */
    struct nm_buf svg;
    struct nm_plot *plot = calloc(1, sizeof *plot);
    if (plot == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    plot->n = 1;
    plot->y_label = "difference in F1 to the base; the line: ± its standard deviation";
    set_title(plot, s->x, "ablations");
    for (size_t i = 0; i < s->n; i++) {
        const struct nm_exp_group *g = &s->groups[i], *base = base_of(s, g);
        char gold[24];
        if (g->first->variant == 0 || g->done == 0 || base == NULL || plot->series[0].n == NM_PLOT_POINTS)
            continue;
        nm_exp_budget(g->first->gold, gold);
        (void)snprintf(names[plot->series[0].n], sizeof names[0], "%.30s: %s %s",
                       s->x->e->variants[g->first->variant].name, nm_arm_name(g->first->arm), gold);
        nm_plot_add(&plot->series[0], (double)plot->series[0].n,
                    g->figures[NM_EXP_F1].mean - base->figures[NM_EXP_F1].mean, g->figures[NM_EXP_F1].deviation);
    }
    nm_buf_init(&svg, SVG_MAX);
    enum nm_err err = NM_OK;
    if (plot->series[0].n > 0)
        err = nm_exp_write(s->x, "figures/ablations.svg", &svg, nm_plot_bars(plot, names, &svg), diag);
    nm_buf_clean_up(&svg);
    free(plot);
    return err;
}

enum nm_err nm_exp_write_figures(const struct nm_exp_summary *s, struct nm_diag *diag)
{
    char dir[NM_FILE_PATH];
    enum nm_err err = nm_exp_path(s->x, nm_exp_eval_name(s->x), "figures", "", dir);
    if (err == NM_OK)
        err = nm_file_make_dirs(dir, diag);
    for (size_t i = 0; i < sizeof figures / sizeof *figures && err == NM_OK; i++)
        err = write_figure(s, &figures[i], diag);
    return err == NM_OK ? write_ablations(s, diag) : err;
}
