#include "cli/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/file.h"

enum { ALIGNERS_MAX = 64 };

struct nm_dataset {
    bool is_project;
    struct nm_place place;
    char dirs[ALIGNERS_MAX][NM_PATH_MAX];
    const char *states[ALIGNERS_MAX];
    char aside[NM_PATH_MAX], file[NM_PATH_MAX];
    struct nm_source source;
};

static enum nm_err find_stores(struct nm_dataset *d, struct nm_diag *diag)
{
    unsigned numbers[ALIGNERS_MAX];
    unsigned n = nm_place_members(&d->place, "aligner", numbers, ALIGNERS_MAX);
    if (n == 0)
        return nm_fail(diag, NM_ENOENT, "%s: there is no data set here (no aligner-*); has the project been run?",
                       d->place.state);
    enum nm_err err = nm_file_join(d->place.broker, "aside.txt", d->aside, sizeof d->aside);
    for (unsigned i = 0; i < n && err == NM_OK; i++) {
        err = nm_place_member(&d->place, "aligner", numbers[i], d->dirs[i], sizeof d->dirs[i]);
        d->states[i] = d->dirs[i];
    }
    if (err != NM_OK)
        return nm_fail(diag, err, "%s: the path is too long", d->place.state);
    d->source =
        (struct nm_source){.states = d->states, .n_states = n, .aside = nm_file_exists(d->aside) ? d->aside : NULL};
    return NM_OK;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool is_data_file(const char *named)
{
    struct stat st;
    return strcmp(named, "-") == 0 ||
           (stat(named, &st) == 0 && !S_ISDIR(st.st_mode) && !ends_with(named, ".yaml") && !ends_with(named, ".yml"));
}

static struct nm_dataset *make(struct nm_diag *diag)
{
    struct nm_dataset *d = calloc(1, sizeof *d);
    if (d == NULL)
        (void)nm_fail(diag, NM_ENOMEM, "out of memory");
    return d;
}

enum nm_err nm_dataset_open(const char *named, const char *state, struct nm_dataset **dataset, struct nm_diag *diag)
{
    struct nm_place place;
    *dataset = NULL;
    if (state != NULL || !is_data_file(named)) {
        enum nm_err err = nm_place_init(&place, named, state, diag);
        return err == NM_OK ? nm_dataset_open_place(&place, dataset, diag) : err;
    }
    struct nm_dataset *d = make(diag);
    if (d == NULL)
        return NM_ENOMEM;
    (void)snprintf(d->file, sizeof d->file, "%s", named);
    d->source.path = d->file;
    *dataset = d;
    return NM_OK;
}

enum nm_err nm_dataset_open_place(const struct nm_place *place, struct nm_dataset **dataset, struct nm_diag *diag)
{
    struct nm_dataset *d = *dataset = make(diag);
    if (d == NULL)
        return NM_ENOMEM;
    d->is_project = true;
    d->place = *place;
    enum nm_err err = find_stores(d, diag);
    if (err != NM_OK)
        nm_dataset_close(dataset);
    return err;
}

void nm_dataset_close(struct nm_dataset **dataset)
{
    free(*dataset);
    *dataset = NULL;
}

const struct nm_source *nm_dataset_source(const struct nm_dataset *dataset)
{
    return &dataset->source;
}

const struct nm_place *nm_dataset_place(const struct nm_dataset *dataset)
{
    return dataset->is_project ? &dataset->place : NULL;
}
