/* keytable.h - many keys on the disk, each with a few numbers: a hash table in a file, for an index larger than
 * memory.
 *
 * The file is mapped; the system keeps in memory what is used and gives up the rest.  A key lives in one page of 4
 * KiB, and pages are split one after the other as the table grows (linear hashing: Litwin 1980), so there is never a
 * long rebuild.
 *
 * It is an index and not the truth.  A crash may leave any mixture of old and new pages: everything put before the
 * last sync is there, some of what was put since, and nothing else (puts only fill empty slots, a split copies).  Who
 * keeps a journal puts what it has again, in any order, with the same result:
 *
 *     put ... put  begin_sync [a thread writes] synced -> commit: the journal up to begin_sync may go, pages are
 * noted
 *                                               -> nm_keytable_committed(pages)
 *
 * A page that is full takes no more (3.3 standard deviations away): such puts are counted, and lost.
 * One thread, besides its own.
 */
#ifndef NM_BROKER_KEYTABLE_H
#define NM_BROKER_KEYTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { NM_KEYTABLE_VALUES = 4 /* under one key at most: further ones are not taken */ };

struct nm_keytable;

/* nm_keytable_open - the file at path, if it is the one with that id and has at least so many pages; otherwise
 * *fresh, and it is made anew.  count: keys in it, as noted at its last sync.  NM_EFULL, NM_EIO, NM_EAUTH, NM_ENOMEM.
 */
enum nm_err nm_keytable_open(const char *path, uint64_t id, uint64_t pages, uint64_t count,
                             struct nm_keytable **table, bool *fresh, struct nm_diag *diag);

/* nm_keytable_close - waits for its thread; what was put since the last sync may be lost. */
void nm_keytable_close(struct nm_keytable **table);

/* nm_keytable_prefetch - a key will be asked for soon: has its line of memory fetched. */
void nm_keytable_prefetch(const struct nm_keytable *table, uint64_t key);

/* nm_keytable_get - the numbers under a key; how many.  O(1). */
size_t nm_keytable_get(const struct nm_keytable *table, uint64_t key, uint64_t values[NM_KEYTABLE_VALUES]);

/* nm_keytable_put - one more under a key; nothing where it is there already, or the key has all it may. */
void nm_keytable_put(struct nm_keytable *table, uint64_t key, uint64_t value);

uint64_t nm_keytable_count(const struct nm_keytable *table); /* puts that took a slot */
uint64_t nm_keytable_lost(const struct nm_keytable *table);  /* that found no slot, since it was opened */
uint64_t nm_keytable_bytes(const struct nm_keytable *table); /* of the file */

/* nm_keytable_due - enough has been put since the last sync, and none is under way. */
bool nm_keytable_due(const struct nm_keytable *table);

/* nm_keytable_begin_sync - have everything written by a thread.  What was put before is on the disk once
 * nm_keytable_synced says so (true; *pages, *count: to be noted with the commit). */
void nm_keytable_begin_sync(struct nm_keytable *table);
bool nm_keytable_synced(struct nm_keytable *table, uint64_t *pages, uint64_t *count);
void nm_keytable_wait(struct nm_keytable *table); /* for the thread: synced is true then */

/* nm_keytable_committed - pages are noted: what they no longer need may be overwritten. */
void nm_keytable_committed(struct nm_keytable *table, uint64_t pages);

#endif
