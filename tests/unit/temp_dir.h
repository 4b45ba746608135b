/* temp_dir.h - a directory of a test's own: a set-up and a tear-down for cmocka, of a test or of a group. */
#ifndef NM_TESTS_UNIT_TEMP_DIR_H
#define NM_TESTS_UNIT_TEMP_DIR_H

#include <stdio.h>
#include <stdlib.h>

static char temp_dir[64];

static inline int temp_dir_make(void **state)
{
    (void)state;
    (void)snprintf(temp_dir, sizeof temp_dir, "/tmp/nermill-unit-XXXXXX");
    return mkdtemp(temp_dir) != NULL ? 0 : -1;
}

static inline int temp_dir_remove(void **state)
{
    (void)state;
    char command[sizeof temp_dir + 16];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", temp_dir);
    return system(command); /* NOLINT: a directory of our own */
}

/* A file of that name and text in it; its path, which is valid until there have been sixteen more. */
static inline const char *temp_file(const char *name, const char *text)
{
    static char paths[16][128];
    static unsigned next;
    char *path = paths[next++ % 16];
    (void)snprintf(path, sizeof paths[0], "%s/%s", temp_dir, name);
    FILE *file = fopen(path, "we");
    if (file == NULL || fputs(text, file) == EOF || fclose(file) != 0)
        abort();
    return path;
}

#endif
