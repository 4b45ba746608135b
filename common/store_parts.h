/* store_parts.h - shared by the files store*.c only. */
#ifndef NM_COMMON_STORE_PARTS_H
#define NM_COMMON_STORE_PARTS_H

#include <lmdb.h>

#include "common/store.h"

enum { NM_STORE_DBS = 32 };

struct nm_txn {
    MDB_txn *mdb;
    bool map_full; /* a put failed for want of map: grow and run again */
    MDB_cursor
        *cursors[NM_STORE_DBS + 2]; /* by database: a put near the last one starts from there; LMDB frees them */
};

/* LMDB's codes, translated once. */
enum nm_err nm_store_translate(int rc);

/* nm_store_make - the file of a store in the directory path, whole or not at all, if there is none. */
enum nm_err nm_store_make(const char *path, struct nm_diag *diag);

/* store_copy.c: nm_store_copy of the store at path. */
enum nm_err nm_store_copy_env(struct MDB_env *env, const char *path, const char *to, struct nm_diag *diag);

static inline MDB_val nm_store_key(struct nm_key *key)
{
    return (MDB_val){.mv_size = key->len, .mv_data = key->bytes};
}

#endif
