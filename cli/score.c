#include "cli/score.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schemas/project.h"

/* The sums in the trainer's JSON. */
static enum nm_err read_score(const char *text, struct nm_score *score, struct nm_diag *diag)
{
    json_t *root = json_loads(text, 0, NULL);
    const json_t *f1 = json_object_get(root, "f1");
    score->precision = json_number_value(json_object_get(root, "precision"));
    score->recall = json_number_value(json_object_get(root, "recall"));
    score->f1 = json_number_value(f1);
    enum nm_err err = json_is_number(f1) ? NM_OK : NM_EFORMAT;
    json_decref(root);
    return err == NM_OK ? NM_OK
                        : nm_fail(diag, err, "nermill-trainer printed no score; are the programs of one version?");
}

/* The canonical lists as an unnamed file; its descriptor, which the child inherits as /dev/fd/N. */
static enum nm_err write_blob(const char *project_path, FILE **file, struct nm_diag *diag)
{
    struct nm_project *project = NULL;
    struct nm_entities *entities = NULL;
    struct nm_buf blob;
    nm_buf_init(&blob, (size_t)1 << 30);
    enum nm_err err = nm_project_load(project_path, &project, diag);
    if (err == NM_OK)
        err = nm_project_entities(project, project_path, &entities, diag);
    if (err == NM_OK)
        err = nm_entities_to_blob(entities, &blob);
    if (err == NM_OK) {
        *file = tmpfile();
        if (*file == NULL || fwrite(nm_buf_str(&blob), 1, blob.len, *file) != blob.len || fflush(*file) != 0)
            err = nm_fail(diag, nm_err_from_errno(errno), "no temporary file: %s", strerror(errno));
    }
    nm_buf_clean_up(&blob);
    nm_entities_destroy(&entities);
    nm_project_destroy(&project);
    return err;
}

/* gold through the matcher; the three columns go to out. */
static enum nm_err match(FILE *blob, const char *gold, FILE *out, int *code, struct nm_diag *diag)
{
    char blob_path[32];
    (void)snprintf(blob_path, sizeof blob_path, "/dev/fd/%d", fileno(blob));
    const char *const argv[] = {"nermill-aligner", "match", "--entities", blob_path, "--conll", gold, NULL};
    struct nm_spawn spawn = {
        .argv = argv, .in_fd = -1, .out_fd = fileno(out), .err_fd = -1, .inherit_fd = fileno(blob)};
    pid_t pid = 0;
    if (fseek(blob, 0, SEEK_SET) != 0)
        return nm_fail(diag, NM_EIO, "a temporary file: %s", strerror(errno));
    enum nm_err err = nm_process_start(&spawn, &pid, diag);
    if (err == NM_OK)
        *code = nm_process_wait(pid);
    return err;
}

static enum nm_err count(FILE *columns, struct nm_buf *json, int *code, struct nm_diag *diag)
{
    const char *const argv[] = {"nermill-trainer", "score", "/dev/stdin", "--json", NULL};
    if (fseek(columns, 0, SEEK_SET) != 0)
        return nm_fail(diag, NM_EIO, "a temporary file: %s", strerror(errno));
    return nm_process_capture_from(fileno(columns), argv, json, code, diag);
}

enum nm_err nm_score_dictionary(const char *project, const char *gold, struct nm_buf *json, struct nm_score *score,
                                int *code, struct nm_diag *diag)
{
    FILE *blob = NULL, *columns = NULL;
    *code = 0;
    enum nm_err err = write_blob(project, &blob, diag);
    if (err == NM_OK && (columns = tmpfile()) == NULL)
        err = nm_fail(diag, nm_err_from_errno(errno), "no temporary file: %s", strerror(errno));
    if (err == NM_OK)
        err = match(blob, gold, columns, code, diag);
    if (err == NM_OK && *code == 0)
        err = count(columns, json, code, diag);
    if (err == NM_OK && *code == 0)
        err = read_score(nm_buf_str(json), score, diag);
    if (blob != NULL)
        fclose(blob);
    if (columns != NULL)
        fclose(columns);
    return err;
}

enum nm_err nm_score_model(const char *model, const char *gold, struct nm_buf *json, struct nm_score *score,
                           int *code, struct nm_diag *diag)
{
    const char *const argv[] = {"nermill-trainer", "evaluate", "--model", model, "--gold", gold, "--json", NULL};
    *code = 0;
    enum nm_err err = nm_process_capture(argv, json, code, diag);
    if (err == NM_OK && *code == 0)
        err = read_score(nm_buf_str(json), score, diag);
    return err;
}
