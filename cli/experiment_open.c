/* experiment_open.c - what comes into an experiment: corpora and files, each past the guard. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/experiment_plan.h"
#include "common/hash.h"

enum { DEVEL_STREAM = 0x6465766c };

static enum nm_err write_all(const struct nm_exp *x, const struct nm_exp_corpus *c, const char *name, bool words_only,
                             char hash[33], struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    uint32_t *all = malloc((c->n + 1) * sizeof *all);
    if (all == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    for (size_t i = 0; i < c->n; i++)
        all[i] = (uint32_t)i;
    enum nm_err err = nm_exp_path(x, "corpus", name, words_only ? ".words.conll" : ".conll", path);
    if (err == NM_OK)
        err = nm_exp_corpus_write(c, all, c->n, words_only, path, diag);
    if (err == NM_OK && hash != NULL)
        err = nm_exp_file_hash(path, hash, diag);
    free(all);
    return err;
}

/* Only declared types: an arm would learn what another one is never told of. */
static enum nm_err check_types(const struct nm_experiment *e, const struct nm_exp_corpus *c, const char *path,
                               struct nm_diag *diag)
{
    for (size_t i = 0; i < c->n_types; i++) {
        bool known = false;
        for (uint32_t k = 0; k < e->n_types; k++)
            known = known || strcmp(e->types[k].name, c->types[i]) == 0;
        if (!known)
            return nm_fail(diag, NM_EFORMAT, "%s has the type %s, which the experiment does not name under types",
                           path, c->types[i]);
    }
    return NM_OK;
}

static enum nm_err read_clean(struct nm_exp *x, const char *what, const char *path, struct nm_exp_corpus *corpus,
                              size_t *dropped, struct nm_diag *diag)
{
    enum nm_err err = nm_exp_corpus_read(corpus, path, diag);
    if (err == NM_OK)
        err = nm_guard_clean(x->guard, what, path, corpus, dropped, diag);
    return err == NM_OK ? check_types(x->e, corpus, path, diag) : err;
}

static bool same_document(const struct nm_exp *x, uint32_t a, uint32_t b)
{
    return x->pool.at[a].document == x->pool.at[b].document;
}

/* A part of train, by sentences or documents, becomes devel. */
static enum nm_err cut_devel(struct nm_exp *x, struct nm_diag *diag)
{
    const size_t n = x->pool.n;
    size_t devel = (size_t)((double)n * x->e->devel_share + 0.5);
    uint32_t *order = malloc((n + 1) * sizeof *order);
    bool *taken = calloc(n + 1, sizeof *taken);
    struct nm_exp_sentence *at = malloc((n + 1) * sizeof *at);
    enum nm_err err = order != NULL && taken != NULL && at != NULL
                          ? nm_exp_corpus_draw(&x->pool, nm_mix64(x->e->seed ^ DEVEL_STREAM), x->e->documents, order)
                          : NM_ENOMEM;
    while (err == NM_OK && x->e->documents && devel > 0 && devel < n &&
           same_document(x, order[devel - 1], order[devel]))
        devel++; /* none stands in both */
    for (size_t i = 0; i < devel && err == NM_OK; i++)
        taken[order[i]] = true;
    for (size_t i = 0, kept = 0; i < n && err == NM_OK; i++) {
        if (taken[i])
            at[x->eval.n++] = x->pool.at[i];
        else
            x->pool.at[kept++] = x->pool.at[i];
    }
    if (err == NM_OK) {
        x->eval.at = at;
        x->eval.cap = n + 1;
        x->pool.n -= devel;
    } else {
        free(at);
        (void)nm_fail(diag, err, "out of memory");
    }
    free(order);
    free(taken);
    return err == NM_OK && x->eval.n == 0
               ? nm_fail(diag, NM_EFORMAT, "corpus.devel_share: %g of %zu sentences is none", x->e->devel_share, n)
               : err;
}

struct checking {
    const struct nm_exp *x;
    const char *variant;
};

static enum nm_err check_file(void *ctx, const char *key, const char *path, struct nm_diag *diag)
{
    const struct checking *c = ctx;
    char what[128];
    (void)snprintf(what, sizeof what, "%s of %s", key, c->variant);
    return nm_guard_check_file(c->x->guard, what, path, diag);
}

static enum nm_err check_files(const struct nm_exp *x, struct nm_diag *diag)
{
    const struct nm_experiment *e = x->e;
    enum nm_err err = NM_OK;
    for (uint32_t v = 0; v < e->n_variants && err == NM_OK; v++) {
        char encoder[NM_FILE_PATH];
        struct checking c = {x, e->variants[v].name};
        err = nm_experiment_files(e, v, check_file, &c, diag);
        if (err == NM_OK)
            err = nm_experiment_encoder(e, v, encoder, sizeof encoder, diag);
        if (err == NM_OK)
            err = check_file(&c, "trainer.model", encoder, diag);
    }
    for (uint32_t i = 0; i < e->n_types && err == NM_OK; i++)
        if (e->types[i].file != NULL)
            err = nm_guard_check_file(x->guard, e->types[i].name, e->types[i].file, diag);
    return err;
}

static enum nm_err read_corpora(struct nm_exp *x, struct nm_diag *diag)
{
    const struct nm_experiment *e = x->e;
    enum nm_err err = read_clean(x, "corpus.train", e->train, &x->pool, &x->pool_dropped, diag);
    if (err == NM_OK && e->documents && x->pool.n_documents == 0)
        err = nm_fail(diag, NM_EFORMAT, "%s tells of no documents (-DOCSTART-): corpus.level can only be sentence",
                      e->train);
    if (err == NM_OK && e->devel_share > 0)
        err = cut_devel(x, diag);
    else if (err == NM_OK && e->devel != NULL)
        err = read_clean(x, "corpus.devel", e->devel, &x->eval, &x->eval_dropped, diag);
    if (err == NM_OK)
        err = write_all(x, &x->pool, "train", false, x->pool_hash, diag);
    if (err == NM_OK && e->on_test) /* known by its hash alone until the seal is checked */
        (void)snprintf(x->eval_hash, sizeof x->eval_hash, "%s", nm_guard_hash(x->guard));
    else if (err == NM_OK)
        err = write_all(x, &x->eval, "devel", false, x->eval_hash, diag);
    return err == NM_OK && !e->on_test ? write_all(x, &x->eval, "devel", true, NULL, diag) : err;
}

enum nm_err nm_exp_open_test(struct nm_exp *x, struct nm_diag *diag)
{
    nm_exp_corpus_clean_up(&x->eval);
    nm_exp_corpus_init(&x->eval);
    enum nm_err err = nm_exp_corpus_read(&x->eval, x->e->test, diag);
    if (err == NM_OK)
        err = check_types(x->e, &x->eval, x->e->test, diag);
    if (err == NM_OK)
        err = write_all(x, &x->eval, "test", false, NULL, diag);
    return err == NM_OK ? write_all(x, &x->eval, "test", true, NULL, diag) : err;
}

static enum nm_err make_dirs(const struct nm_exp *x, struct nm_diag *diag)
{
    static const char *const dirs[] = {"corpus", "lists", "generations", "responses", "seals", "devel",
                                       "test",   "data",  "gold",        "models",    "cells", "logs"};
    char path[NM_FILE_PATH];
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && err == NM_OK; i++) {
        err = nm_file_path(x->state, dirs[i], path, diag);
        if (err == NM_OK)
            err = nm_file_make_dirs(path, diag);
    }
    return err;
}

enum nm_err nm_exp_open(const struct nm_experiment *e, const char *state, const char *replay, struct nm_exp *x,
                        struct nm_diag *diag)
{
    *x = (struct nm_exp){.e = e, .replay = replay};
    nm_exp_corpus_init(&x->pool);
    nm_exp_corpus_init(&x->eval);
    if ((size_t)snprintf(x->state, sizeof x->state, "%s", state) >= sizeof x->state)
        return nm_fail(diag, NM_ELIMIT, "%.200s...: the path is too long", state);
    enum nm_err err = make_dirs(x, diag);
    if (err == NM_OK)
        err = nm_guard_new(e->test, e->guard_words, &x->guard, diag);
    if (err == NM_OK)
        err = check_files(x, diag);
    if (err == NM_OK)
        err = read_corpora(x, diag);
    return err == NM_OK ? nm_exp_plan(x, diag) : err;
}

void nm_exp_close(struct nm_exp *x)
{
    nm_guard_destroy(&x->guard);
    nm_exp_corpus_clean_up(&x->pool);
    nm_exp_corpus_clean_up(&x->eval);
    free(x->steps);
    free(x->cells);
}
