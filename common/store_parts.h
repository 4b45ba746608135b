/* store_parts.h - shared by the files store*.c only. */
#ifndef NM_COMMON_STORE_PARTS_H
#define NM_COMMON_STORE_PARTS_H

#include "common/store.h"

/* LMDB's codes, translated once. */
enum nm_err nm_store_translate(int rc);

/* nm_store_make - the file of a store in the directory path, whole or not at all, if there is none. */
enum nm_err nm_store_make(const char *path, struct nm_diag *diag);

/* store_copy.c: nm_store_copy of the store at path. */
struct MDB_env;
enum nm_err nm_store_copy_env(struct MDB_env *env, const char *path, const char *to, struct nm_diag *diag);

#endif
