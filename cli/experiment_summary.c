#include "cli/experiment_summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/experiment_cell.h"
#include "workers/trainer/tallies.h"

enum { CURVE_MAX = 256, SEED = 13 };

double nm_exp_gold_size(const struct nm_exp *x, uint64_t gold)
{
    return gold == NM_ALL ? (double)x->pool.n : (double)gold;
}

bool nm_exp_figure_of(const json_t *cell, enum nm_exp_figure figure, double *value)
{
    static const char *const names[NM_EXP_FIGURES] = {"f1", "precision", "recall", "seen", "unseen"};
    const json_t *number = json_object_get(json_object_get(cell, "scores"), names[figure]);
    if (figure >= NM_EXP_SEEN) /* of none there is no recall */
        number = json_integer_value(json_object_get(number, "gold")) > 0 ? json_object_get(number, "recall") : NULL;
    *value = json_number_value(number);
    return json_is_number(number);
}

/* ---- groups ---------------------------------------------------------------------------------- */

static bool same_point(const struct nm_exp_cell *a, const struct nm_exp_cell *b)
{
    return a->variant == b->variant && a->arm == b->arm && a->budget == b->budget && a->samples == b->samples &&
           a->gold == b->gold;
}

/* Cells of a point stand in a row. */
static void average(struct nm_exp_summary *s, struct nm_exp_group *g)
{
    const size_t from = (size_t)(g->first - s->x->cells);
    for (enum nm_exp_figure f = 0; f < NM_EXP_FIGURES; f++) {
        double sum = 0, squares = 0, value;
        size_t n = 0;
        for (size_t i = 0; i < g->n; i++)
            if (nm_exp_figure_of(s->cells[from + i], f, &value)) {
                sum += value;
                n++;
            }
        const double mean = n > 0 ? sum / (double)n : 0;
        for (size_t i = 0; i < g->n; i++)
            if (nm_exp_figure_of(s->cells[from + i], f, &value))
                squares += (value - mean) * (value - mean);
        g->figures[f] = (struct nm_exp_mean){n, mean, n > 1 ? sqrt(squares / (double)(n - 1)) : 0};
    }
}

static enum nm_err group(struct nm_exp_summary *s)
{
    const struct nm_exp *x = s->x;
    s->groups = calloc(x->n_cells + 1, sizeof *s->groups);
    if (s->groups == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < x->n_cells; i++) {
        if (i == 0 || !same_point(&x->cells[i - 1], &x->cells[i]))
            s->groups[s->n++].first = &x->cells[i];
        struct nm_exp_group *g = &s->groups[s->n - 1];
        g->n++;
        g->done += s->cells[i] != NULL;
    }
    for (size_t i = 0; i < s->n; i++)
        average(s, &s->groups[i]);
    return NM_OK;
}

/* Gold alone, of the same variant or, as most ablations change nothing in it, of the base. */
static const struct nm_exp_group *gold_of(const struct nm_exp_summary *s, const struct nm_exp_group *g)
{
    const struct nm_exp_group *found = NULL;
    for (size_t i = 0; i < s->n; i++) {
        const struct nm_exp_cell *c = s->groups[i].first;
        if (c->arm == NM_ARM_GOLD && c->gold == g->first->gold &&
            (c->variant == g->first->variant || c->variant == 0) && (found == NULL || c->variant != 0))
            found = &s->groups[i];
    }
    return found;
}

/* ---- comparing ------------------------------------------------------------------------------- */

struct comparing {
    struct nm_corpus gold;
    struct nm_tally *one, *sums[2]; /* (gold.n) of a cell; of all cells of each side */
};

static enum nm_err add_side(struct comparing *c, const struct nm_exp *x, const struct nm_exp_cell *cell, size_t side,
                            struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    enum nm_err err = nm_exp_path(x, "cells", x->steps[cell->step].key, ".conll", path);
    if (err == NM_OK)
        err = nm_tallies_read(path, &c->gold, c->one, diag);
    for (size_t i = 0; i < c->gold.n && err == NM_OK; i++) {
        c->sums[side][i].correct += c->one[i].correct;
        c->sums[side][i].predicted += c->one[i].predicted;
        c->sums[side][i].gold += c->one[i].gold;
    }
    return err;
}

/* Cells of the same draw and seed in pairs; one resample of sentences is all pairs'. */
static enum nm_err compare(struct nm_exp_summary *s, struct comparing *c, struct nm_exp_group *g,
                           struct nm_diag *diag)
{
    const struct nm_exp_group *alone = gold_of(s, g);
    const struct nm_exp *x = s->x;
    struct nm_bootstrap result;
    enum nm_err err = NM_OK;
    if (alone == NULL || alone == g || g->first->gold == 0)
        return NM_OK;
    memset(c->sums[0], 0, c->gold.n * sizeof *c->sums[0]);
    memset(c->sums[1], 0, c->gold.n * sizeof *c->sums[1]);
    for (size_t i = 0; i < g->n; i++)
        for (size_t k = 0; k < alone->n && err == NM_OK; k++) {
            const struct nm_exp_cell *a = alone->first + k, *b = g->first + i;
            if (a->draw != b->draw || a->seed != b->seed || s->cells[a - x->cells] == NULL ||
                s->cells[b - x->cells] == NULL)
                continue;
            err = add_side(c, x, a, 0, diag);
            if (err == NM_OK)
                err = add_side(c, x, b, 1, diag);
            g->pairs++;
        }
    if (err != NM_OK || g->pairs == 0)
        return err;
    err = nm_bootstrap_paired(c->sums[0], c->sums[1], c->gold.n, x->e->bootstrap, SEED, &result);
    if (err != NM_OK)
        return nm_fail(diag, err, "out of memory for %u resamples", x->e->bootstrap);
    g->compared = true;
    g->difference = result.difference;
    g->low = result.low;
    g->high = result.high;
    g->p = result.p;
    return NM_OK;
}

static enum nm_err compare_all(struct nm_exp_summary *s, struct nm_diag *diag)
{
    struct comparing c = {0};
    char path[NM_FILE_PATH];
    nm_corpus_init(&c.gold);
    enum nm_err err = nm_exp_path(s->x, "corpus", nm_exp_eval_name(s->x), ".conll", path);
    if (err == NM_OK)
        err = nm_corpus_read_conll(&c.gold, path, true, diag);
    if (err == NM_OK) {
        c.one = calloc(3 * c.gold.n + 1, sizeof *c.one);
        err = c.one != NULL ? NM_OK : nm_fail(diag, NM_ENOMEM, "out of memory");
        c.sums[0] = c.one + c.gold.n;
        c.sums[1] = c.sums[0] + c.gold.n;
    }
    for (size_t i = 0; i < s->n && err == NM_OK; i++)
        if (s->groups[i].done > 0)
            err = compare(s, &c, &s->groups[i], diag);
    free(c.one);
    nm_corpus_clean_up(&c.gold);
    return err;
}

/* ---- what gold it is worth ------------------------------------------------------------------- */

struct nm_exp_equivalent nm_exp_equivalent_of(const double *gold, const double *f1, size_t n, double wanted)
{
    if (n < 2)
        return (struct nm_exp_equivalent){0};
    if (wanted <= f1[0])
        return (struct nm_exp_equivalent){true, wanted < f1[0] ? -1 : 0, gold[0]};
    for (size_t i = 1; i < n; i++)
        if (wanted <= f1[i]) { /* above all points before */
            const double share = (wanted - f1[i - 1]) / (f1[i] - f1[i - 1]);
            return (struct nm_exp_equivalent){true, 0, exp(log(gold[i - 1]) + share * log(gold[i] / gold[i - 1]))};
        }
    return (struct nm_exp_equivalent){true, 1, gold[n - 1]};
}

static int by_gold(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void find_equivalents(struct nm_exp_summary *s)
{
    double points[CURVE_MAX][2], gold[CURVE_MAX], f1[CURVE_MAX];
    size_t n = 0;
    for (size_t i = 0; i < s->n && n < CURVE_MAX; i++) {
        const struct nm_exp_group *g = &s->groups[i];
        if (g->first->arm == NM_ARM_GOLD && g->first->variant == 0 && g->done > 0) {
            points[n][0] = nm_exp_gold_size(s->x, g->first->gold);
            points[n++][1] = g->figures[NM_EXP_F1].mean;
        }
    }
    qsort(points, n, sizeof points[0], by_gold);
    for (size_t i = 0; i < n; i++) {
        gold[i] = points[i][0];
        f1[i] = points[i][1];
    }
    for (size_t i = 0; i < s->n; i++)
        if (s->groups[i].first->arm != NM_ARM_GOLD && s->groups[i].done > 0)
            s->groups[i].equivalent = nm_exp_equivalent_of(gold, f1, n, s->groups[i].figures[NM_EXP_F1].mean);
}

enum nm_err nm_exp_summarise(const struct nm_exp *x, struct nm_exp_summary *summary, struct nm_diag *diag)
{
    *summary = (struct nm_exp_summary){.x = x, .cells = calloc(x->n_cells + 1, sizeof(json_t *))};
    enum nm_err err = summary->cells != NULL ? NM_OK : NM_ENOMEM;
    for (size_t i = 0; i < x->n_cells && err == NM_OK; i++)
        summary->cells[i] = nm_exp_cell_read(x, &x->steps[x->cells[i].step]);
    if (err == NM_OK)
        err = group(summary);
    if (err != NM_OK)
        (void)nm_fail(diag, err, "out of memory");
    else
        err = compare_all(summary, diag);
    if (err == NM_OK)
        find_equivalents(summary);
    else
        nm_exp_summary_clean_up(summary);
    return err;
}

void nm_exp_summary_clean_up(struct nm_exp_summary *summary)
{
    for (size_t i = 0; summary->cells != NULL && i < summary->x->n_cells; i++)
        json_decref(summary->cells[i]);
    free(summary->cells);
    free(summary->groups);
    *summary = (struct nm_exp_summary){0};
}
