/* A hot copy of a store. */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/store_parts.h"

static int sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Into the directory partial, made new. */
static int copy_env(MDB_env *env, const char *partial, const char *data)
{
    (void)unlink(data);
    if (rmdir(partial) != 0 && errno != ENOENT)
        return errno;
    if (mkdir(partial, 0777) != 0)
        return errno;
    int rc = mdb_env_copy2(env, partial, MDB_CP_COMPACT);
    if (rc == MDB_MAP_RESIZED) { /* the writer grew it */
        rc = mdb_env_set_mapsize(env, 0);
        if (rc == 0)
            rc = unlink(data) != 0 && errno != ENOENT ? errno : 0;
        if (rc == 0)
            rc = mdb_env_copy2(env, partial, MDB_CP_COMPACT);
    }
    if (rc == 0)
        rc = sync_path(data, O_RDWR);
    return rc != 0 ? rc : sync_path(partial, O_RDONLY | O_DIRECTORY);
}

enum nm_err nm_store_copy_env(MDB_env *env, const char *path, const char *to, struct nm_diag *diag)
{
    char partial[4096], data[4096], parent[4096];
    int n = snprintf(partial, sizeof partial, "%s.partial", to);
    if (n < 0 || (size_t)n >= sizeof partial || nm_file_join(partial, "data.mdb", data, sizeof data) != NM_OK ||
        nm_file_dirname(to, parent, sizeof parent) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", to);
    if (nm_file_exists(to))
        return nm_fail(diag, NM_EEXIST, "%s is there already: give another place, or remove it", to);
    int rc = copy_env(env, partial, data);
    if (rc == 0 && rename(partial, to) != 0)
        rc = errno;
    if (rc == 0)
        rc = sync_path(parent, O_RDONLY | O_DIRECTORY);
    if (rc == 0)
        return NM_OK;
    (void)unlink(data);
    (void)rmdir(partial);
    return nm_fail(diag, nm_store_translate(rc), "store %s can't be copied to %s: %s", path, to, mdb_strerror(rc));
}
