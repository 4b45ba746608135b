#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static enum nm_err fail_errno(struct nm_diag *diag, const char *what, const char *path, int errnum)
{
    return nm_fail(diag, nm_err_from_errno(errnum), "cannot %s %s: %s", what, path, strerror(errnum));
}

enum nm_err nm_file_read(const char *path, struct nm_buf *buf, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(diag, "read", path, errno);
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        err = nm_fail(diag, NM_EINVAL, "cannot read %s: it is a directory", path);
        goto out;
    }
    for (;;) {
        if (buf->len == buf->max) {
            char extra;
            if (read(fd, &extra, 1) > 0)
                err = nm_fail(diag, NM_ELIMIT, "cannot read %s: larger than %zu bytes", path, buf->max);
            break;
        }
        size_t want = buf->max - buf->len < (1U << 20) ? buf->max - buf->len : 1U << 20;
        err = nm_buf_reserve(buf, want);
        if (err != NM_OK) {
            (void)nm_fail(diag, err, "cannot read %s: %s", path, nm_err_name(err));
            break;
        }
        ssize_t got = read(fd, buf->data + buf->len, want);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            err = fail_errno(diag, "read", path, errno);
        if (got <= 0)
            break;
        buf->len += (size_t)got;
        buf->data[buf->len] = '\0';
    }
out:
    close(fd);
    return err;
}

enum nm_err nm_file_map(const char *path, struct nm_file_map *map, struct nm_diag *diag)
{
    struct stat info;
    enum nm_err err = NM_OK;
    *map = (struct nm_file_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(diag, "read", path, errno);
    if (fstat(fd, &info) != 0)
        err = fail_errno(diag, "read", path, errno);
    else if (!S_ISREG(info.st_mode))
        err = nm_fail(diag, NM_EINVAL, "cannot read %s: not a regular file", path);
    else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            err = fail_errno(diag, "map", path, errno);
        else
            *map = (struct nm_file_map){data, (size_t)info.st_size};
    }
    close(fd);
    return err;
}

void nm_file_unmap(struct nm_file_map *map)
{
    if (map->data != NULL)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (struct nm_file_map){0};
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, data, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno;
        data += put;
        len -= (size_t)put;
    }
    return 0;
}

void nm_file_sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

static void sync_directory(const char *path)
{
    char dir[4096];
    if (nm_file_dirname(path, dir, sizeof dir) == NM_OK)
        nm_file_sync_dir(dir);
}

enum nm_err nm_file_write_atomic(const char *path, const void *data, size_t len, struct nm_diag *diag)
{
    const struct nm_file_part part = {data, len};
    return nm_file_write_atomic_parts(path, &part, 1, diag);
}

enum nm_err nm_file_write_atomic_parts(const char *path, const struct nm_file_part *parts, size_t n_parts,
                                       struct nm_diag *diag)
{
    char temporary[4096];
    int n = snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temporary)
        return nm_fail(diag, NM_ELIMIT, "cannot write %s: the path is too long", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return fail_errno(diag, "write", path, errno);
    int errnum = 0;
    for (size_t i = 0; i < n_parts && errnum == 0; i++)
        errnum = write_all(fd, parts[i].data, parts[i].len);
    if (errnum == 0 && fsync(fd) != 0)
        errnum = errno;
    if (close(fd) != 0 && errnum == 0)
        errnum = errno;
    if (errnum == 0 && rename(temporary, path) != 0)
        errnum = errno;
    if (errnum != 0) {
        (void)unlink(temporary);
        return fail_errno(diag, "write", path, errnum);
    }
    sync_directory(path);
    return NM_OK;
}

enum nm_err nm_file_make_dirs(const char *path, struct nm_diag *diag)
{
    char part[4096];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return nm_fail(diag, NM_ELIMIT, "cannot make directory '%s': bad length", path);
    memcpy(part, path, len + 1);
    for (char *p = part + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char kept = *p;
        *p = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return fail_errno(diag, "make directory", part, errno);
        *p = kept;
        if (kept == '\0')
            break;
    }
    struct stat st;
    if (stat(path, &st) != 0)
        return fail_errno(diag, "make directory", path, errno);
    if (!S_ISDIR(st.st_mode))
        return nm_fail(diag, NM_EEXIST, "cannot make directory %s: a file is in the way", path);
    return NM_OK;
}

bool nm_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

enum nm_err nm_file_dirname(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    if (len >= size)
        return NM_ELIMIT;
    memcpy(out, slash == NULL ? "." : path, len);
    out[len] = '\0';
    return NM_OK;
}

enum nm_err nm_file_join(const char *dir, const char *name, char *out, size_t size)
{
    int n = name[0] == '/' ? snprintf(out, size, "%s", name) : snprintf(out, size, "%s/%s", dir, name);
    return n < 0 || (size_t)n >= size ? NM_ELIMIT : NM_OK;
}

enum nm_err nm_file_path(const char *dir, const char *name, char path[NM_FILE_PATH], struct nm_diag *diag)
{
    if (nm_file_join(dir, name, path, NM_FILE_PATH) == NM_OK)
        return NM_OK;
    return nm_fail(diag, NM_ELIMIT, "%s/%s: the path is too long", dir, name);
}
