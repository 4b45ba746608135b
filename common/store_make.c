/* The first moment of a store.
 *
 * LMDB writes the two first pages of a new file without a flush: a power cut then left a file that no LMDB opens
 * again, though nothing had been promised yet.  So a new file is made beside, flushed, and renamed into its place.
 */
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/store_parts.h"

enum { PATH_BYTES = 4096 };

struct places {
    char file[PATH_BYTES], made_in[PATH_BYTES], made[PATH_BYTES], made_lock[PATH_BYTES];
};

static enum nm_err find_places(const char *path, struct places *p)
{
    enum nm_err err = nm_file_join(path, "data.mdb", p->file, sizeof p->file);
    if (!err)
        err = nm_file_join(path, "new", p->made_in, sizeof p->made_in);
    if (!err)
        err = nm_file_join(p->made_in, "data.mdb", p->made, sizeof p->made);
    return err ? err : nm_file_join(p->made_in, "lock.mdb", p->made_lock, sizeof p->made_lock);
}

static void remove_made(const struct places *p)
{
    (void)unlink(p->made);
    (void)unlink(p->made_lock);
    (void)rmdir(p->made_in);
}

/* A first commit flushes the whole file. */
static int make(const struct places *p)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    int rc = mkdir(p->made_in, 0777) == 0 ? 0 : errno;
    if (rc == 0)
        rc = mdb_env_create(&env);
    if (rc != 0)
        return rc;
    rc = mdb_env_set_maxdbs(env, 1);
    if (rc == 0)
        rc = mdb_env_open(env, p->made_in, 0, 0644);
    if (rc == 0)
        rc = mdb_txn_begin(env, NULL, 0, &txn);
    if (rc == 0) {
        rc = mdb_dbi_open(txn, "nermill", MDB_CREATE, &dbi);
        if (rc == 0)
            rc = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    mdb_env_close(env);
    if (rc == 0 && rename(p->made, p->file) != 0)
        rc = errno;
    return rc;
}

enum nm_err nm_store_make(const char *path, struct nm_diag *diag)
{
    struct places p;
    if (find_places(path, &p) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "store %s: the path is too long", path);
    if (nm_file_exists(p.file))
        return NM_OK;
    remove_made(&p); /* of one that was killed here */
    int rc = make(&p);
    remove_made(&p);
    nm_file_sync_dir(path);
    return rc == 0 ? NM_OK
                   : nm_fail(diag, nm_store_translate(rc), "store %s: cannot make it: %s", path, mdb_strerror(rc));
}
