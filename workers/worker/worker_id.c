/* worker_id.c - who a worker is: the id outlives the process, so that the broker knows what it still holds. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/file.h"
#include "common/utf8.h"
#include "workers/worker/worker_parts.h"

static enum nm_err make_id(const char *role, char *out, size_t size)
{
    unsigned char random[8];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return NM_EIO;
    int n = snprintf(out, size, "%s-", role);
    for (size_t i = 0; i < sizeof random && (size_t)n + 2 < size; i++)
        n += snprintf(out + n, size - (size_t)n, "%02x", random[i]);
    return NM_OK;
}

static enum nm_err id_path(const char *state_dir, char *path, size_t size, struct nm_diag *diag)
{
    enum nm_err err = nm_file_make_dirs(state_dir, diag);
    if (err == NM_OK && nm_file_join(state_dir, "worker.id", path, size) != NM_OK)
        err = nm_fail(diag, NM_ELIMIT, "%s: the path is too long", state_dir);
    return err;
}

enum nm_err nm_worker_adopt(const char *state_dir, const char *id, struct nm_diag *diag)
{
    char path[4096];
    struct nm_buf buf;
    if (*id == '\0' || strlen(id) >= NM_WORKER_ID_SIZE || strpbrk(id, "/ \t\n") != NULL)
        return nm_fail(diag, NM_EINVAL, "\"%s\" is no worker's id; nermill workers lists them", id);
    enum nm_err err = id_path(state_dir, path, sizeof path, diag);
    if (err != NM_OK)
        return err;
    if (!nm_file_exists(path))
        return nm_file_write_atomic(path, id, strlen(id), diag);
    nm_buf_init(&buf, NM_WORKER_ID_SIZE);
    err = nm_file_read(path, &buf, diag);
    if (err == NM_OK &&
        (strlen(id) != strcspn(nm_buf_str(&buf), "\n") || strncmp(nm_buf_str(&buf), id, strlen(id)) != 0))
        err = nm_fail(diag, NM_EEXIST,
                      "%s is the directory of worker %.*s: to take over another one's samples, give a new "
                      "directory",
                      state_dir, (int)strcspn(nm_buf_str(&buf), "\n"), nm_buf_str(&buf));
    nm_buf_clean_up(&buf);
    return err;
}

enum nm_err nm_worker_load_id(struct nm_worker *w, const char *state_dir, struct nm_diag *diag)
{
    char path[4096];
    struct nm_buf buf;
    if (state_dir == NULL)
        return make_id(w->role.name, w->id, sizeof w->id);
    nm_buf_init(&buf, sizeof w->id - 1);
    enum nm_err err = id_path(state_dir, path, sizeof path, diag);
    if (err != NM_OK)
        goto out;
    err = nm_file_exists(path) ? nm_file_read(path, &buf, diag) : NM_OK;
    if (err == NM_OK && buf.len > 0) {
        memcpy(w->id, buf.data, buf.len + 1);
        w->id[strcspn(w->id, "\n")] = '\0';
    } else if (err == NM_OK) {
        err = make_id(w->role.name, w->id, sizeof w->id);
        if (err == NM_OK)
            err = nm_file_write_atomic(path, w->id, strlen(w->id), diag);
    }
    if (err == NM_OK && !nm_utf8_valid(w->id, strlen(w->id), NULL))
        err = nm_fail(diag, NM_EFORMAT, "%s does not hold a worker's id: delete it", path);
out:
    nm_buf_clean_up(&buf);
    return err;
}
