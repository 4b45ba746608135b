#include "workers/trainer/tagset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/trainer/metrics.h"

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum nm_err nm_tagset_type(struct nm_tagset *set, const char *name, size_t *type)
{
    for (*type = 0; *type < set->n_types; (*type)++)
        if (strcmp(set->types[*type], name) == 0)
            return NM_OK;
    char **types = realloc(set->types, (set->n_types + 1) * sizeof(*types));
    if (types == NULL)
        return NM_ENOMEM;
    set->types = types;
    types[set->n_types] = strdup(name);
    if (types[set->n_types] == NULL)
        return NM_ENOMEM;
    set->n_types++;
    return NM_OK;
}

static enum nm_err add_labels(struct nm_tagset *set, const char *const *labels, const char *where,
                              struct nm_diag *diag)
{
    size_t type;
    for (size_t i = 0; i < set->n_labels; i++) {
        const char *label = labels[i];
        if (strcmp(label, "O") == 0)
            continue;
        if ((label[0] != 'B' && label[0] != 'I') || label[1] != '-' || label[2] == '\0')
            return nm_fail(diag, NM_EFORMAT, "%s: label %zu is \"%s\", not O, B-TYPE or I-TYPE: is it a tagger?",
                           where, i, label);
        if (nm_tagset_type(set, label + 2, &type) != NM_OK)
            return nm_fail(diag, NM_ENOMEM, "%s: out of memory", where);
    }
    if (set->n_types > 0)
        qsort(set->types, set->n_types, sizeof(*set->types), by_name);
    for (size_t i = 0; i < set->n_labels; i++) {
        set->tags[i] = NM_TAG_O;
        if (labels[i][0] == 'O')
            continue;
        if (nm_tagset_type(set, labels[i] + 2, &type) != NM_OK)
            return nm_fail(diag, NM_ENOMEM, "%s: out of memory", where);
        set->tags[i] = labels[i][0] == 'B' ? NM_TAG_B(type) : NM_TAG_I(type);
    }
    return NM_OK;
}

enum nm_err nm_tagset_init(struct nm_tagset *set, const char *const *labels, size_t n, const char *where,
                           struct nm_diag *diag)
{
    *set = (struct nm_tagset){.tags = calloc(n + 1, sizeof(*set->tags)), .n_labels = n};
    if (set->tags == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", where);
    enum nm_err err = add_labels(set, labels, where, diag);
    if (err != NM_OK)
        nm_tagset_clean_up(set);
    return err;
}

void nm_tagset_clean_up(struct nm_tagset *set)
{
    for (size_t i = 0; i < set->n_types; i++)
        free(set->types[i]);
    free(set->types);
    free(set->tags);
    *set = (struct nm_tagset){0};
}

char **nm_tagset_labels(const char *const *types, size_t n)
{
    size_t size = (2 * n + 1) * sizeof(char *) + 2;
    for (size_t i = 0; i < n; i++)
        size += 2 * (strlen(types[i]) + 3);
    char **labels = malloc(size);
    if (labels == NULL)
        return NULL;
    char *at = (char *)(labels + 2 * n + 1), *end = (char *)labels + size;
    labels[0] = at;
    at += snprintf(at, (size_t)(end - at), "O") + 1;
    for (size_t i = 0; i < 2 * n; i++) {
        labels[1 + i] = at;
        at += snprintf(at, (size_t)(end - at), "%c-%s", i % 2 == 0 ? 'B' : 'I', types[i / 2]) + 1;
    }
    return labels;
}

char **nm_tagset_copy_types(const struct nm_tagset *set)
{
    size_t size = set->n_types * sizeof(char *) + 1;
    for (size_t i = 0; i < set->n_types; i++)
        size += strlen(set->types[i]) + 1;
    char **types = malloc(size), *at = types != NULL ? (char *)(types + set->n_types) : NULL;
    for (size_t i = 0; i < set->n_types && types != NULL; i++) {
        types[i] = at;
        at = stpcpy(at, set->types[i]) + 1;
    }
    return types;
}
