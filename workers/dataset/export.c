#include "workers/dataset/export.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"

enum { PATH_BYTES = 4096 };

struct export
{
    const struct nm_format *format;
    nm_export_read read;
    const void *from;
    struct nm_types types;
    struct nm_writer writer;
};

static enum nm_err fail_writing(const struct export *e, int errnum, struct nm_diag *diag)
{
    return nm_fail(diag, nm_err_from_errno(errnum), "cannot write %s: %s", e->writer.name, strerror(errnum));
}

static enum nm_err take_types(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    struct export *e = ctx;
    return nm_types_add(&e->types, record) == NM_OK ? NM_OK : nm_fail(diag, NM_ENOMEM, "export: out of memory");
}

static enum nm_err write_one(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    struct export *e = ctx;
    enum nm_err err = e->format->record(&e->writer, record, diag);
    e->writer.written += err == NM_OK;
    return err;
}

static enum nm_err write_all(struct export *e, struct nm_diag *diag)
{
    struct nm_diag last;
    enum nm_err err = e->format->wants_types ? e->read(e->from, take_types, e, diag) : NM_OK;
    if (err != NM_OK)
        return err;
    e->writer.types = &e->types;
    if (e->format->begin != NULL)
        err = e->format->begin(&e->writer, diag);
    if (err == NM_OK)
        err = e->read(e->from, write_one, e, diag);
    if (e->format->end != NULL) {
        enum nm_err ended = e->format->end(&e->writer, err == NM_OK ? diag : &last);
        err = err == NM_OK ? ended : err;
    }
    return err;
}

static enum nm_err name_beside(const char *path, char *out, size_t size, struct nm_diag *diag)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    int n = snprintf(out, size, "%.*s.tmp.%ld", (int)len, path, (long)getpid());
    return n > 0 && (size_t)n < size ? NM_OK : nm_fail(diag, NM_ELIMIT, "%s: the path is too long", path);
}

/* Into path beside itself first, so that there never is half a data set under its name. */
static enum nm_err write_file(struct export *e, const char *path, struct nm_diag *diag)
{
    char temporary[PATH_BYTES];
    enum nm_err err = name_beside(path, temporary, sizeof temporary, diag);
    if (err != NM_OK)
        return err;
    e->writer.file = fopen(temporary, "we");
    if (e->writer.file == NULL)
        return fail_writing(e, errno, diag);
    err = write_all(e, diag);
    if (err == NM_OK && (fflush(e->writer.file) != 0 || fsync(fileno(e->writer.file)) != 0))
        err = fail_writing(e, errno, diag);
    if (fclose(e->writer.file) != 0 && err == NM_OK)
        err = fail_writing(e, errno, diag);
    if (err == NM_OK && rename(temporary, path) != 0)
        err = fail_writing(e, errno, diag);
    if (err != NM_OK)
        (void)unlink(temporary);
    return err;
}

/* Files only: what the writers put there. */
static void remove_files(const char *dir)
{
    DIR *open = opendir(dir);
    char path[PATH_BYTES];
    for (struct dirent *entry; open != NULL && (entry = readdir(open)) != NULL;)
        if (nm_file_join(dir, entry->d_name, path, sizeof path) == NM_OK && strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0)
            (void)unlink(path);
    if (open != NULL)
        (void)closedir(open);
    (void)rmdir(dir);
}

static enum nm_err write_directory(struct export *e, const char *path, struct nm_diag *diag)
{
    char temporary[PATH_BYTES];
    enum nm_err err = name_beside(path, temporary, sizeof temporary, diag);
    if (err != NM_OK)
        return err;
    if (rmdir(path) != 0 && errno != ENOENT)
        return nm_fail(diag, errno == ENOTEMPTY || errno == EEXIST ? NM_EEXIST : nm_err_from_errno(errno),
                       "%s is there already and not an empty directory: remove it, or name another one", path);
    if (mkdir(temporary, 0777) != 0)
        return fail_writing(e, errno, diag);
    e->writer.dir = temporary;
    err = write_all(e, diag);
    if (err == NM_OK && rename(temporary, path) != 0)
        err = fail_writing(e, errno, diag);
    if (err != NM_OK)
        remove_files(temporary);
    return err;
}

static enum nm_err write_stdout(struct export *e, struct nm_diag *diag)
{
    e->writer.file = stdout;
    enum nm_err err = write_all(e, diag);
    if (err == NM_OK && fflush(stdout) != 0)
        err = fail_writing(e, errno, diag);
    return err;
}

enum nm_err nm_export_records(nm_export_read read, const void *from, const struct nm_format *format, const char *path,
                              uint64_t *written, struct nm_diag *diag)
{
    struct export e = {.format = format, .read = read, .from = from};
    enum nm_err err;
    diag->text[0] = '\0';
    e.writer.name = path != NULL ? path : "standard output";
    nm_buf_init(&e.writer.buf, SIZE_MAX / 4);
    if (path != NULL)
        err = format->directory ? write_directory(&e, path, diag) : write_file(&e, path, diag);
    else
        err = format->directory
                  ? nm_fail(diag, NM_EINVAL, "--format %s writes a directory: name it with --out", format->name)
                  : write_stdout(&e, diag);
    nm_buf_clean_up(&e.writer.buf);
    nm_types_clean_up(&e.types);
    *written = e.writer.written;
    return err;
}

static enum nm_err read_source(const void *from, nm_record_fn fn, void *ctx, struct nm_diag *diag)
{
    return nm_source_read(from, fn, ctx, NULL, diag);
}

enum nm_err nm_export_run(const struct nm_source *source, const struct nm_format *format, const char *path,
                          uint64_t *written, struct nm_diag *diag)
{
    return nm_export_records(read_source, source, format, path, written, diag);
}
