/* init.c - nermill init: a new project from a template; never overwrites. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/process.h"
#include "cli/templates.h"
#include "common/buf.h"
#include "common/file.h"

/* The project's name: the directory's, with what a name can't hold made '-'. */
static void project_name(const char *dir, char *out, size_t size)
{
    char real[NM_PATH_MAX];
    if (realpath(dir, real) != NULL)
        dir = real;
    const char *slash = strrchr(dir, '/');
    (void)snprintf(out, size, "%.200s", slash != NULL && slash[1] != '\0' ? slash + 1 : dir);
    for (char *c = out; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && *c != '_')
            *c = '-';
    while (out[0] == '-')
        memmove(out, out + 1, strlen(out));
    if (out[0] == '\0')
        (void)snprintf(out, size, "project");
}

/* The file's text with every @NAME@ replaced. */
static enum nm_err fill_in(const struct nm_template_file *file, const char *name, struct nm_buf *out)
{
    static const char mark[] = "@NAME@";
    const char *at = (const char *)file->data, *end = at + file->len;
    while (at < end) {
        const char *found = memmem(at, (size_t)(end - at), mark, sizeof mark - 1);
        enum nm_err err = nm_buf_add(out, at, (size_t)((found != NULL ? found : end) - at));
        if (err == NM_OK && found != NULL)
            err = nm_buf_adds(out, name);
        if (err != NM_OK)
            return err;
        at = found != NULL ? found + sizeof mark - 1 : end;
    }
    return NM_OK;
}

/* Every file's path must be free before the first is written. */
static enum nm_err check_free(const char *dir, const char *template, struct nm_diag *diag)
{
    bool known = false;
    for (size_t i = 0; i < nm_template_count; i++) {
        char path[NM_PATH_MAX];
        if (strcmp(nm_template_files[i].template, template) != 0)
            continue;
        known = true;
        enum nm_err err = nm_file_join(dir, nm_template_files[i].name, path, sizeof path);
        if (err != NM_OK)
            return nm_fail(diag, err, "%s: the path is too long", dir);
        if (nm_file_exists(path))
            return nm_fail(diag, NM_EEXIST, "%s is already there and is not overwritten; choose another directory",
                           path);
    }
    if (!known)
        return nm_fail(diag, NM_EINVAL, "there is no template '%s'; there are biomed and minimal", template);
    return NM_OK;
}

static enum nm_err write_all(const char *dir, const char *template, const char *name, struct nm_diag *diag)
{
    for (size_t i = 0; i < nm_template_count; i++) {
        const struct nm_template_file *file = &nm_template_files[i];
        if (strcmp(file->template, template) != 0)
            continue;
        char path[NM_PATH_MAX];
        struct nm_buf text;
        nm_buf_init(&text, 1 << 20);
        enum nm_err err = nm_file_join(dir, file->name, path, sizeof path);
        if (err == NM_OK)
            err = fill_in(file, name, &text);
        if (err == NM_OK)
            err = nm_file_write_atomic(path, nm_buf_str(&text), text.len, diag);
        nm_buf_clean_up(&text);
        if (err != NM_OK)
            return err;
    }
    return NM_OK;
}

int nm_command_init(int argc, char **argv)
{
    const char *template = "biomed";
    const struct nm_opt opts[] = {
        {'t', "template", NM_OPT_TEXT, &template, "NAME", "biomed (default: chemicals and diseases) or minimal"},
    };
    const struct nm_command command = {
        .name = "init",
        .usage = "DIR [--template biomed|minimal]",
        .summary = "Make a new project in DIR: project.yaml, with every key explained, and two small entity lists.",
        .text = "With biomed come the decoys and asides of biomedical text that the section augmentation names.\n"
                "Nothing is overwritten.  Next: put your lists in, set the endpoint in project.yaml,\n"
                "then 'nermill validate DIR' and 'nermill run DIR'.\n",
        .min_args = 1,
        .max_args = 1,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    const char *dir = argv[1];
    struct nm_diag diag = {""};
    enum nm_err err = check_free(dir, template, &diag);
    if (err == NM_EINVAL) {
        nm_complain("init", err, &diag);
        return NM_EXIT_USAGE;
    }
    char name[256];
    if (err == NM_OK)
        err = nm_file_make_dirs(dir, &diag);
    if (err == NM_OK) {
        project_name(dir, name, sizeof name);
        err = write_all(dir, template, name, &diag);
    }
    if (err != NM_OK)
        return nm_complain("init", err, &diag);
    printf("Made the project '%s' in %s:\n", name, dir);
    for (size_t i = 0; i < nm_template_count; i++)
        if (strcmp(nm_template_files[i].template, template) == 0)
            printf("  %s/%s\n", dir, nm_template_files[i].name);
    printf("Next: set the endpoint in %s/project.yaml, then\n  nermill validate %s\n  nermill run %s\n", dir, dir,
           dir);
    return NM_EXIT_OK;
}
