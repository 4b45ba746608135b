/* Walking through a database in the order of its keys. */
#include <lmdb.h>
#include <stdlib.h>

#include "common/store_parts.h"

struct nm_cursor {
    MDB_cursor *mdb;
};

enum nm_err nm_cursor_open(struct nm_txn *txn, struct nm_db db, struct nm_cursor **cursor)
{
    *cursor = malloc(sizeof **cursor);
    if (*cursor == NULL)
        return NM_ENOMEM;
    int rc = mdb_cursor_open(txn->mdb, db.id, &(*cursor)->mdb);
    if (rc != 0) {
        free(*cursor);
        *cursor = NULL;
    }
    return nm_store_translate(rc);
}

static enum nm_err step(struct nm_cursor *cursor, MDB_val k, MDB_cursor_op op, struct nm_val *key, struct nm_val *val)
{
    MDB_val v;
    int rc = mdb_cursor_get(cursor->mdb, &k, &v, op);
    if (rc == 0) {
        *key = (struct nm_val){.data = k.mv_data, .len = k.mv_size};
        *val = (struct nm_val){.data = v.mv_data, .len = v.mv_size};
    }
    return nm_store_translate(rc);
}

enum nm_err nm_cursor_seek(struct nm_cursor *cursor, const struct nm_key *from, struct nm_val *key,
                           struct nm_val *val)
{
    if (from == NULL)
        return step(cursor, (MDB_val){0}, MDB_FIRST, key, val);
    struct nm_key copy = *from;
    return step(cursor, nm_store_key(&copy), MDB_SET_RANGE, key, val);
}

enum nm_err nm_cursor_next(struct nm_cursor *cursor, struct nm_val *key, struct nm_val *val)
{
    return step(cursor, (MDB_val){0}, MDB_NEXT, key, val);
}

void nm_cursor_close(struct nm_cursor **cursor)
{
    if (*cursor != NULL)
        mdb_cursor_close((*cursor)->mdb);
    free(*cursor);
    *cursor = NULL;
}
