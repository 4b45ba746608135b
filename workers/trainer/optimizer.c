#include "workers/trainer/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/trainer/floats.h"
#include "workers/trainer/safetensors.h"
#include "workers/trainer/tensor.h"

struct nm_optimizer {
    struct nm_optimizer_options options;
    struct nm_params *params;
    struct nm_team *team;
    float *m, *v;    /* (params->total) first and second moments */
    uint8_t **moved; /* (params->n) of embeddings: see nm_adamw_rows; of others NULL */
    size_t steps;
};

struct nm_optimizer_options nm_optimizer_defaults(void)
{
    return (struct nm_optimizer_options){.lr = 5e-5F,
                                         .beta1 = 0.9F,
                                         .beta2 = 0.999F,
                                         .eps = 1e-8F,
                                         .weight_decay = 0.01F,
                                         .layer_decay = 1.0F,
                                         .clip_norm = 1.0F};
}

static bool make_moved(struct nm_optimizer *o)
{
    o->moved = calloc(o->params->n, sizeof *o->moved);
    for (size_t i = 0; o->moved != NULL && i < o->params->n; i++)
        if (o->params->at[i].touched != NULL && (o->moved[i] = calloc(o->params->at[i].rows, 1)) == NULL)
            return false;
    return o->moved != NULL;
}

static bool has_moments(const struct nm_optimizer *o, size_t from, size_t n)
{
    for (size_t i = from; i < from + n; i++)
        if (o->m[i] != 0.0F || o->v[i] != 0.0F)
            return true;
    return false;
}

/* Of moments that were read: a row whose own are all zero goes on as one that never had any, with the same bits. */
static void find_moved(struct nm_optimizer *o)
{
    for (size_t i = 0; i < o->params->n; i++) {
        const struct nm_param *p = &o->params->at[i];
        for (size_t row = 0; row < p->rows && o->moved[i] != NULL; row++)
            o->moved[i][row] = has_moments(o, p->offset + row * p->cols, p->cols);
    }
}

enum nm_err nm_optimizer_new(struct nm_optimizer **opt, struct nm_params *params,
                             const struct nm_optimizer_options *options, struct nm_diag *diag)
{
    if (params->grad == NULL || !(options->lr >= 0.0F) || !(options->beta1 >= 0.0F && options->beta1 < 1.0F) ||
        !(options->beta2 >= 0.0F && options->beta2 < 1.0F) || !(options->eps > 0.0F))
        return nm_fail(diag, NM_EINVAL, "AdamW needs a model with gradients, lr >= 0, betas in [0, 1), eps > 0");
    struct nm_optimizer *o = calloc(1, sizeof *o);
    const struct nm_team_options team = {.n_threads = options->n_threads};
    if (o != NULL) {
        o->options = *options;
        o->params = params;
        o->m = nm_floats_new(params->total);
        o->v = nm_floats_new(params->total);
    }
    if (o == NULL || o->m == NULL || o->v == NULL || !make_moved(o) || nm_team_new(&o->team, &team) != NM_OK) {
        nm_optimizer_destroy(&o);
        return nm_fail(diag, NM_ENOMEM, "out of memory for the optimizer's moments (%zu MB)",
                       2 * params->total * sizeof(float) >> 20);
    }
    nm_floats_touch(o->m, params->total);
    nm_floats_touch(o->v, params->total);
    *opt = o;
    return NM_OK;
}

void nm_optimizer_destroy(struct nm_optimizer **opt)
{
    struct nm_optimizer *o = *opt;
    if (o == NULL)
        return;
    for (size_t i = 0; o->moved != NULL && i < o->params->n; i++)
        free(o->moved[i]);
    free(o->moved);
    nm_floats_free(o->m, o->params->total);
    nm_floats_free(o->v, o->params->total);
    nm_team_destroy(&o->team);
    free(o);
    *opt = NULL;
}

/* transformers' get_linear_schedule_with_warmup, of steps done. */
static double schedule(const struct nm_optimizer_options *o, size_t step)
{
    if (step < o->warmup_steps)
        return (double)step / (double)o->warmup_steps;
    if (o->total_steps == 0)
        return 1.0;
    if (step >= o->total_steps)
        return 0.0;
    return (double)(o->total_steps - step) / (double)(o->total_steps - o->warmup_steps);
}

float nm_optimizer_lr(const struct nm_optimizer *opt)
{
    return (float)((double)opt->options.lr * schedule(&opt->options, opt->steps));
}

size_t nm_optimizer_steps(const struct nm_optimizer *opt)
{
    return opt->steps;
}

void nm_optimizer_moments(struct nm_optimizer *opt, float **m, float **v, size_t steps)
{
    for (size_t i = 0; i < opt->params->n; i++)
        if (opt->moved[i] != NULL)
            memset(opt->moved[i], 1, opt->params->at[i].rows);
    *m = opt->m;
    *v = opt->v;
    opt->steps = steps;
}

/* One step, as every thread of the team does its share of it. */
struct step {
    struct nm_optimizer *opt;
    double lr, norm; /* norm: out, by the first thread */
};

static double grad_norm(struct nm_optimizer *o)
{
    double sum = 0;
    for (size_t i = 0; i < o->params->n; i++) {
        const struct nm_param *p = &o->params->at[i];
        const float *g = o->params->grad + p->offset;
        if (p->touched == NULL) {
            sum += nm_sum_squares_part(o->team, g, p->n);
            continue;
        }
        struct nm_share own = nm_team_share(p->touched->n);
        for (size_t j = own.lo; j < own.lo + own.n; j++)
            sum += nm_team_kernels(o->team)->sum_squares(g + p->touched->rows[j] * p->cols, p->cols);
    }
    return sqrt(nm_team_sum(o->team, sum));
}

static void update(struct nm_optimizer *opt, size_t i, const struct nm_adamw *a)
{
    const struct nm_param *p = &opt->params->at[i];
    float *w = opt->params->data + p->offset, *m = opt->m + p->offset, *v = opt->v + p->offset;
    const float *g = opt->params->grad + p->offset;
    if (p->touched != NULL)
        nm_adamw_rows(opt->team, w, m, v, g, p->touched->marked, opt->moved[i], p->rows, p->cols, a);
    else
        nm_adamw_update(opt->team, w, m, v, g, p->n, a);
}

static void step_by_team(void *arg)
{
    struct step *s = arg;
    struct nm_optimizer *opt = s->opt;
    const struct nm_optimizer_options *o = &opt->options;
    const double norm = grad_norm(opt), t = (double)(opt->steps + 1);
    if (nm_team_share(1).first)
        s->norm = norm;
    if (!isfinite(norm))
        return;
    struct nm_adamw a = {.grad_scale = 1.0F, .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps};
    if (o->clip_norm > 0.0F && (double)o->clip_norm < norm + 1e-6)
        a.grad_scale = (float)((double)o->clip_norm / (norm + 1e-6));
    a.inv_sqrt_corr2 = (float)(1.0 / sqrt(1.0 - pow((double)o->beta2, t)));
    for (size_t i = 0; i < opt->params->n; i++) {
        const struct nm_param *p = &opt->params->at[i];
        double lr = s->lr;
        if (o->layer_decay != 1.0F)
            lr *= pow((double)o->layer_decay, (double)nm_params_depth(p, o->n_layers));
        a.step = (float)(lr / (1.0 - pow((double)o->beta1, t)));
        a.keep = (float)(1.0 - lr * (p->no_decay && !o->decay_all ? 0.0 : (double)o->weight_decay));
        update(opt, i, &a);
    }
}

double nm_optimizer_step(struct nm_optimizer *opt)
{
    struct step s = {.opt = opt, .lr = (double)nm_optimizer_lr(opt)};
    nm_team_run(opt->team, step_by_team, &s);
    opt->steps++;
    return s.norm;
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static void moment_name(char *out, size_t size, const char *which, const struct nm_param *p)
{
    (void)snprintf(out, size, "%s.%s", which, p->name);
}

enum { NAME_SIZE = 112 };

enum nm_err nm_optimizer_save(const struct nm_optimizer *opt, const char *path, struct nm_diag *diag)
{
    const size_t n = opt->params->n;
    struct nm_safetensor_view *views = calloc(2 * n, sizeof *views);
    char(*names)[NAME_SIZE] = calloc(2 * n, sizeof *names);
    char steps[24];
    enum nm_err err = NM_ENOMEM;
    if (views == NULL || names == NULL) {
        (void)nm_fail(diag, err, "cannot write %s: out of memory", path);
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        const struct nm_param *p = &opt->params->at[i];
        struct nm_safetensor_view view = {.rank = p->rank, .shape = {p->rows, p->cols}};
        moment_name(names[2 * i], sizeof names[0], "m", p);
        moment_name(names[2 * i + 1], sizeof names[0], "v", p);
        view.name = names[2 * i];
        view.data = opt->m + p->offset;
        views[2 * i] = view;
        view.name = names[2 * i + 1];
        view.data = opt->v + p->offset;
        views[2 * i + 1] = view;
    }
    (void)snprintf(steps, sizeof steps, "%zu", opt->steps);
    const struct nm_safetensor_meta meta = {"nermill.steps", steps};
    err = nm_safetensors_write(path, views, 2 * n, &meta, 1, diag);
out:
    free(names);
    free(views);
    return err;
}

static enum nm_err read_moments(const struct nm_params *params, const struct nm_safetensors *st, const char *which,
                                float *out, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; err == NM_OK && i < params->n; i++) {
        const struct nm_param *p = &params->at[i];
        const size_t shape[2] = {p->rows, p->cols};
        char name[NAME_SIZE];
        moment_name(name, sizeof name, which, p);
        err = nm_safetensors_read(st, name, p->rank, shape, out + p->offset, diag);
    }
    return err;
}

enum nm_err nm_optimizer_load(struct nm_optimizer *opt, const char *path, struct nm_diag *diag)
{
    const size_t total = opt->params->total;
    struct nm_safetensors *st = NULL;
    char *end = NULL;
    enum nm_err err = nm_safetensors_open(&st, path, diag);
    if (err != NM_OK)
        return err;
    float *m = nm_floats_new(total), *v = nm_floats_new(total);
    const char *text = nm_safetensors_meta(st, "nermill.steps");
    unsigned long long steps = text != NULL ? strtoull(text, &end, 10) : 0;
    if (m == NULL || v == NULL)
        err = nm_fail(diag, NM_ENOMEM, "cannot read %s: out of memory", path);
    else if (text == NULL || *text < '0' || *text > '9' || *end != '\0')
        err = nm_fail(diag, NM_EFORMAT, "%s: no step count; this is no optimizer's state", path);
    if (err == NM_OK)
        err = read_moments(opt->params, st, "m", m, diag);
    if (err == NM_OK)
        err = read_moments(opt->params, st, "v", v, diag);
    if (err == NM_OK) {
        float *old_m = opt->m, *old_v = opt->v;
        opt->m = m;
        opt->v = v;
        m = old_m;
        v = old_v;
        opt->steps = (size_t)steps;
        find_moved(opt);
    }
    nm_floats_free(m, total);
    nm_floats_free(v, total);
    nm_safetensors_close(&st);
    return err;
}
