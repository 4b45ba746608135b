#include "workers/trainer/tallies.h"

#include <stdlib.h>
#include <string.h>

#include "workers/trainer/metrics.h"

/* Each sentence's counts, from the scores of it alone. */
enum nm_err nm_tallies_count(const struct nm_corpus *gold, const int32_t *right, const int32_t *found, size_t n_types,
                             struct nm_tally *out)
{
    for (size_t s = 0, at = 0; s < gold->n; at += gold->sentences[s++].n) {
        struct nm_scores one;
        enum nm_err err = nm_scores_init(&one, n_types);
        if (err == NM_OK)
            err = nm_scores_add(&one, right + at, found + at, gold->sentences[s].n);
        if (err == NM_OK)
            nm_scores_finish(&one);
        out[s] =
            (struct nm_tally){(uint32_t)one.micro.correct, (uint32_t)one.micro.predicted, (uint32_t)one.micro.gold};
        nm_scores_clean_up(&one);
        if (err != NM_OK)
            return err;
    }
    return NM_OK;
}

/* The words of predicted have to be those of gold, one for one. */
static enum nm_err check_words(const struct nm_corpus *gold, const struct nm_corpus *predicted, const char *path,
                               struct nm_diag *diag)
{
    bool same = gold->n == predicted->n;
    for (size_t s = 0; same && s < gold->n; s++) {
        same = gold->sentences[s].n == predicted->sentences[s].n;
        for (size_t i = 0; same && i < gold->sentences[s].n; i++)
            same = strcmp(gold->sentences[s].words[i].text, predicted->sentences[s].words[i].text) == 0;
        if (!same)
            return nm_fail(diag, NM_EFORMAT, "%s:%zu: not the words of gold's sentence at line %zu", path,
                           predicted->sentences[s].line, gold->sentences[s].line);
    }
    return same ? NM_OK : nm_fail(diag, NM_EFORMAT, "%s: not as many sentences as gold", path);
}

/* Tags of a corpus, its types renumbered to set's. */
enum nm_err nm_tallies_renumber(const struct nm_corpus *corpus, struct nm_tagset *set, int32_t *tags)
{
    size_t *types = calloc(corpus->n_types + 1, sizeof(*types)), at = 0;
    enum nm_err err = types != NULL ? NM_OK : NM_ENOMEM;
    for (size_t i = 0; i < corpus->n_types && err == NM_OK; i++)
        err = nm_tagset_type(set, corpus->types[i], &types[i]);
    for (size_t s = 0; s < corpus->n && err == NM_OK; s++)
        for (size_t i = 0; i < corpus->sentences[s].n; i++) {
            int32_t tag = corpus->sentences[s].tags[i];
            tags[at++] = nm_tag_is_entity(tag) ? nm_tag_with_type(tag, types[nm_tag_type(tag)]) : tag;
        }
    free(types);
    return err;
}

static enum nm_err by_file(const char *path, const struct nm_corpus *gold, int32_t *right, int32_t *found,
                           size_t *n_types, struct nm_diag *diag)
{
    struct nm_corpus predicted;
    struct nm_tagset set = {0};
    nm_corpus_init(&predicted);
    enum nm_err err = nm_corpus_read_conll(&predicted, path, true, diag);
    if (err == NM_OK)
        err = check_words(gold, &predicted, path, diag);
    if (err == NM_OK)
        err = nm_tallies_renumber(gold, &set, right);
    if (err == NM_OK)
        err = nm_tallies_renumber(&predicted, &set, found);
    *n_types = set.n_types;
    nm_tagset_clean_up(&set);
    nm_corpus_clean_up(&predicted);
    return err;
}

enum nm_err nm_tallies_read(const char *path, const struct nm_corpus *gold, struct nm_tally *out,
                            struct nm_diag *diag)
{
    int32_t *right = calloc(2 * gold->n_words + 1, sizeof(*right)), *found = right + gold->n_words;
    size_t n_types = 0;
    if (right == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", path);
    enum nm_err err = by_file(path, gold, right, found, &n_types, diag);
    if (err == NM_OK && nm_tallies_count(gold, right, found, n_types, out) != NM_OK)
        err = nm_fail(diag, NM_ENOMEM, "%s: out of memory", path);
    free(right);
    return err;
}
