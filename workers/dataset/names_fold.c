/* names_fold.c - spellings into names: one a group of equal words, of one type. */
#include <stdlib.h>
#include <string.h>

#include "workers/aligner/array.h"
#include "workers/dataset/names_parts.h"

static int by_group(const void *a, const void *b)
{
    const struct name_form *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    if (order == 0 && x->count != y->count)
        order = x->count < y->count ? 1 : -1; /* the most frequent first */
    if (order == 0)
        order = strcmp(y->text, x->text); /* "pain" before "Pain" */
    return order != 0 ? order : (x->type > y->type) - (x->type < y->type);
}

/* The type of a group, n_types where none has two thirds of its mentions; *clash: it has several. */
static size_t type_of(const struct nm_names *names, const uint64_t *counts, bool *clash)
{
    size_t best = 0, types = 0;
    uint64_t all = 0;
    for (size_t i = 0; i < names->n_types; i++) {
        all += counts[i];
        types += counts[i] > 0;
        best = counts[i] > counts[best] ? i : best;
    }
    *clash = types > 1;
    return counts[best] * 3 >= all * 2 ? best : names->n_types;
}

static enum nm_err note_clash(struct nm_names *names, const struct name_form *form, const uint64_t *counts,
                              size_t type)
{
    struct name_clash *clashes =
        nm_array_grow(names->clashes, &names->clashes_cap, names->n_clashes + 1, sizeof *clashes);
    uint64_t *copy = nm_arena_alloc(&names->arena, names->n_types * sizeof *copy);
    if (clashes != NULL)
        names->clashes = clashes;
    if (clashes == NULL || copy == NULL)
        return NM_ENOMEM;
    memcpy(copy, counts, names->n_types * sizeof *copy);
    clashes[names->n_clashes++] = (struct name_clash){form->text, copy, type};
    return NM_OK;
}

static enum nm_err add_name(struct nm_names *names, const struct name_form *form, uint64_t labelled)
{
    struct nm_name *v = nm_array_grow(names->v, &names->cap, names->n + 1, sizeof *v);
    if (v == NULL)
        return NM_ENOMEM;
    names->v = v;
    v[names->n++] = (struct nm_name){.text = form->text, .len = form->len, .type = form->type, .labelled = labelled};
    return NM_OK;
}

/* The names of one group, whose forms stand with the most frequent first; forms of other types are passed over. */
static enum nm_err name_group(struct nm_names *names, const struct name_form *forms, size_t n, size_t type)
{
    uint64_t counts[2] = {0}; /* of the spellings whose case does not count, and of those in capitals */
    const struct name_form *best[2] = {NULL};
    for (size_t i = 0; i < n; i++) {
        const struct name_form *f = &forms[i];
        if (f->type != type)
            continue;
        if (f->brief) {
            if (add_name(names, f, f->count) != NM_OK)
                return NM_ENOMEM;
            continue;
        }
        names->folded += counts[0] + counts[1] > 0;
        counts[f->cased] += f->count;
        if (best[f->cased] == NULL)
            best[f->cased] = f;
    }
    const struct name_form *name = counts[1] > counts[0] ? best[1] : best[0];
    return name != NULL ? add_name(names, name, counts[0] + counts[1]) : NM_OK;
}

static int by_frequency(const void *a, const void *b)
{
    const struct nm_name *x = a, *y = b;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    if (x->labelled != y->labelled)
        return x->labelled < y->labelled ? 1 : -1;
    return strcmp(x->text, y->text);
}

enum nm_err names_fold(struct nm_names *names)
{
    uint64_t *counts = nm_arena_alloc(&names->arena, names->n_types * sizeof *counts);
    if (counts == NULL)
        return NM_ENOMEM;
    qsort(names->forms, names->n_forms, sizeof *names->forms, by_group);
    for (size_t first = 0, end; first < names->n_forms; first = end) {
        bool clash;
        memset(counts, 0, names->n_types * sizeof *counts);
        for (end = first; end < names->n_forms && strcmp(names->forms[end].key, names->forms[first].key) == 0; end++)
            counts[names->forms[end].type] += names->forms[end].count;
        size_t type = type_of(names, counts, &clash);
        if (clash && note_clash(names, &names->forms[first], counts, type) != NM_OK)
            return NM_ENOMEM;
        if (type < names->n_types && name_group(names, &names->forms[first], end - first, type) != NM_OK)
            return NM_ENOMEM;
    }
    if (names->n > 1)
        qsort(names->v, names->n, sizeof *names->v, by_frequency);
    return NM_OK;
}
