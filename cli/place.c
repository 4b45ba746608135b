#include "cli/place.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "schemas/project.h"

enum nm_err nm_place_init(struct nm_place *place, const char *project, const char *state, struct nm_diag *diag)
{
    enum nm_err err = nm_project_file(project, place->project_file, sizeof place->project_file);
    if (err == NM_OK)
        err = nm_file_dirname(place->project_file, place->project_dir, sizeof place->project_dir);
    if (err == NM_OK && state != NULL)
        err = (size_t)snprintf(place->state, sizeof place->state, "%s", state) < sizeof place->state ? NM_OK
                                                                                                     : NM_ELIMIT;
    else if (err == NM_OK)
        err = nm_file_join(place->project_dir, "run", place->state, sizeof place->state);
    if (err == NM_OK)
        err = nm_file_join(place->state, "broker", place->broker, sizeof place->broker);
    if (err == NM_OK)
        err = nm_file_join(place->state, "logs", place->logs, sizeof place->logs);
    if (err == NM_OK)
        err = nm_file_join(place->state, "data", place->data, sizeof place->data);
    if (err == NM_OK)
        err = nm_file_join(place->state, "model", place->model, sizeof place->model);
    return err == NM_OK ? NM_OK : nm_fail(diag, err, "%.200s: the path is too long", project);
}

enum nm_err nm_place_member(const struct nm_place *place, const char *role, unsigned number, char *out, size_t size)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s-%u", role, number);
    return nm_file_join(place->state, name, out, size);
}

/* The number in "ROLE-NUMBER"; 0: another name. */
static unsigned member_number(const char *name, const char *role)
{
    size_t len = strlen(role);
    if (strncmp(name, role, len) != 0 || name[len] != '-')
        return 0;
    const char *digits = name + len + 1;
    size_t n = strspn(digits, "0123456789");
    return n == 0 || n > 4 || digits[n] != '\0' ? 0 : (unsigned)strtoul(digits, NULL, 10);
}

static int compare_numbers(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return x < y ? -1 : x > y;
}

unsigned nm_place_members(const struct nm_place *place, const char *role, unsigned numbers[], unsigned max)
{
    unsigned n = 0;
    DIR *dir = opendir(place->state);
    if (dir == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL && n < max;) {
        unsigned number = member_number(entry->d_name, role);
        if (number > 0)
            numbers[n++] = number;
    }
    closedir(dir);
    qsort(numbers, n, sizeof *numbers, compare_numbers);
    return n;
}
