/* file.h - whole files: read, write atomically, make directories.  Paths in every message. */
#ifndef NM_COMMON_FILE_H
#define NM_COMMON_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

/* nm_file_read - append the file's bytes to buf (whose max caps them).
 * NM_ENOENT, NM_EAUTH, NM_EIO, NM_ELIMIT, NM_ENOMEM; diag names the path.
 */
enum nm_err nm_file_read(const char *path, struct nm_buf *buf, struct nm_diag *diag);

/* nm_file_map - the file's bytes, read-only, until nm_file_unmap.  NM_ENOENT, NM_EAUTH, NM_EIO; NM_EINVAL: not a
 * regular file.  An empty file maps to no bytes.  diag names the path. */
struct nm_file_map {
    const unsigned char *data;
    size_t size;
};
enum nm_err nm_file_map(const char *path, struct nm_file_map *map, struct nm_diag *diag);
void nm_file_unmap(struct nm_file_map *map);

/* nm_file_write_atomic - the file holds either its old content or all of the new one, whatever is killed:
 * written beside it, fsync'd, renamed, directory fsync'd.  NM_EFULL, NM_EAUTH, NM_EIO; diag names the path.
 */
enum nm_err nm_file_write_atomic(const char *path, const void *data, size_t len, struct nm_diag *diag);

/* nm_file_write_atomic_parts - the same for content that stands in several places of memory. */
struct nm_file_part {
    const void *data;
    size_t len;
};
enum nm_err nm_file_write_atomic_parts(const char *path, const struct nm_file_part *parts, size_t n_parts,
                                       struct nm_diag *diag);

/* nm_file_make_dirs - mkdir -p, mode 0777 less the umask.  An existing directory is NM_OK. */
enum nm_err nm_file_make_dirs(const char *path, struct nm_diag *diag);

/* nm_file_sync_dir - fsync of a directory: what was renamed into it stays there. */
void nm_file_sync_dir(const char *dir);

bool nm_file_exists(const char *path);

/* nm_file_dirname - the directory part of path ("." if none) into out of size bytes.  NM_ELIMIT. */
enum nm_err nm_file_dirname(const char *path, char *out, size_t size);

/* nm_file_join - "dir/name", or name alone where it is absolute.  NM_ELIMIT. */
enum nm_err nm_file_join(const char *dir, const char *name, char *out, size_t size);

/* nm_file_path - the same into a buffer of the usual size, with the message.  NM_ELIMIT: too long. */
enum { NM_FILE_PATH = 4096 };
enum nm_err nm_file_path(const char *dir, const char *name, char path[NM_FILE_PATH], struct nm_diag *diag);

#endif
