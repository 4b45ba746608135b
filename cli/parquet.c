#include "cli/parquet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/embedded.h"
#include "cli/process.h"
#include "common/file.h"
#include "workers/dataset/export.h"

enum { SPLITS_MAX = 3 };

/* Where a Python with pyarrow should be. */
static enum nm_err find_python(char *out, size_t size, struct nm_diag *diag)
{
    static const char venv[] = "export-venv/bin/python";
    const char *named = getenv("NERMILL_EXPORT_PYTHON"), *cache = getenv("NERMILL_CACHE");
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (named != NULL && *named != '\0')
        n = snprintf(out, size, "%s", named);
    else if (cache != NULL && *cache != '\0')
        n = snprintf(out, size, "%s/%s", cache, venv);
    else if (xdg != NULL && *xdg != '\0')
        n = snprintf(out, size, "%s/nermill/%s", xdg, venv);
    else
        n = snprintf(out, size, "%s/.cache/nermill/%s", home != NULL ? home : "", venv);
    if (n < 0 || (size_t)n >= size)
        return nm_fail(diag, NM_ELIMIT, "the path of Python is too long");
    return (named != NULL && *named != '\0') || access(out, X_OK) == 0 ? NM_OK
                                                                       : nm_program_find("python3", out, size, diag);
}

static enum nm_err run_python(const char *title, const char *dir, char arguments[][NM_PATH_MAX + 16], size_t n,
                              int *code, struct nm_diag *diag)
{
    char python[NM_PATH_MAX];
    const struct nm_template_file *script = nm_embedded_find("parquet.py");
    enum nm_err err = find_python(python, sizeof python, diag);
    if (err != NM_OK)
        return err;
    char *text = strndup((const char *)script->data, script->len);
    const char *argv[6 + SPLITS_MAX] = {python, "-c", text, dir, title};
    for (size_t i = 0; i < n; i++)
        argv[5 + i] = arguments[i];
    struct nm_spawn spawn = {.argv = argv, .in_fd = -1, .out_fd = -1, .err_fd = -1, .inherit_fd = -1};
    pid_t pid = 0;
    err = text != NULL ? nm_process_start(&spawn, &pid, diag) : nm_fail(diag, NM_ENOMEM, "out of memory");
    if (err == NM_OK)
        *code = nm_process_wait(pid);
    free(text);
    return err;
}

enum nm_err nm_parquet_export(const struct nm_parquet_split *splits, size_t n, const char *title, const char *dir,
                              int *code, struct nm_diag *diag)
{
    char work[] = "/tmp/nermill-export-XXXXXX";
    const char *base = getenv("TMPDIR");
    char parent[NM_PATH_MAX], arguments[SPLITS_MAX][NM_PATH_MAX + 16];
    struct stat st;
    if (stat(dir, &st) == 0)
        return nm_fail(diag, NM_EEXIST, "%s is there already: remove it, or name another one", dir);
    if (base != NULL && (size_t)snprintf(parent, sizeof parent, "%s/nermill-export-XXXXXX", base) < sizeof parent)
        (void)0;
    else
        (void)snprintf(parent, sizeof parent, "%s", work);
    if (mkdtemp(parent) == NULL)
        return nm_fail(diag, NM_EIO, "no temporary directory like %s", parent);
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        uint64_t written;
        int len =
            snprintf(arguments[i], sizeof arguments[i], "%s=%s/%s.jsonl", splits[i].name, parent, splits[i].name);
        const char *path = arguments[i] + strlen(splits[i].name) + 1;
        err = len > 0 && (size_t)len < sizeof arguments[i]
                  ? nm_export_run(splits[i].source, nm_format_find("jsonl"), path, &written, diag)
                  : nm_fail(diag, NM_ELIMIT, "%s: the path is too long", parent);
    }
    if (err == NM_OK)
        err = run_python(title, dir, arguments, n, code, diag);
    for (size_t i = 0; i < n; i++)
        (void)unlink(arguments[i] + strlen(splits[i].name) + 1);
    (void)rmdir(parent);
    return err;
}
