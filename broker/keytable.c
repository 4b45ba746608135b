#include "broker/keytable.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/log.h"

enum {
    PAGE = 4096,
    SLOTS = PAGE / 16,
    FIRST_PAGES = 4096, /* 16 MiB: until pages are noted as split, what they gave away keeps its room */
    FILL = 96,          /* keys a page on the average: one that is to be split next has up to twice as many */
    ROOM_MIN = 256,     /* pages that the file grows by: 1 to 256 MiB */
    ROOM_MAX = 1 << 16,
    SYNC_MIN = 1 << 20, /* keys put before a sync is worth it */
    SYNC_PART = 8,      /* or that part of those there are: each page that is written has several new ones */
    SLICE = 1 << 18,    /* bytes that a sync writes at once, and then rests REST times as long */
    REST = 9
};

static const char magic[8] = "NMKEYS1";

struct slot {
    uint64_t key; /* 0: empty */
    uint64_t value;
};

struct header {
    char magic[8];
    uint64_t id;
};

struct nm_keytable {
    int fd;
    unsigned char *map; /* a page for the header, then the pages */
    uint64_t pages;     /* in use */
    uint64_t room;      /* in the file and the map */
    uint64_t durable;   /* as noted by the last commit */
    uint64_t count, lost, since;
    uint64_t grow_at;                /* keys at which a page is split */
    uint64_t sync_pages, sync_count; /* as they were when the last sync began */
    bool syncing, has_thread, failed;
    atomic_bool written, hurry;
    pthread_t thread;
};

/* ---- where a key lives ----------------------------------------------------------------------- */

static uint64_t spread(uint64_t key)
{
    uint64_t mixed = nm_mix64(key);
    return mixed ? mixed : 1;
}

/* Pages below the largest power of two are split in order: those behind it have come of the first ones. */
static uint64_t page_of(uint64_t mixed, uint64_t pages)
{
    uint64_t half = (uint64_t)1 << (63 - __builtin_clzll(pages));
    uint64_t page = mixed & (2 * half - 1);
    return page < pages ? page : page & (half - 1);
}

static struct slot *slots_of(const struct nm_keytable *t, uint64_t page)
{
    return (struct slot *)(void *)(t->map + (page + 1) * PAGE);
}

static size_t first_slot(uint64_t mixed)
{
    return (size_t)(mixed >> 56) % SLOTS;
}

void nm_keytable_prefetch(const struct nm_keytable *t, uint64_t key)
{
    uint64_t mixed = spread(key);
    __builtin_prefetch(&slots_of(t, page_of(mixed, t->pages))[first_slot(mixed)], 1);
}

size_t nm_keytable_get(const struct nm_keytable *t, uint64_t key, uint64_t values[NM_KEYTABLE_VALUES])
{
    uint64_t mixed = spread(key);
    const struct slot *slots = slots_of(t, page_of(mixed, t->pages));
    size_t n = 0;
    for (size_t i = 0, at = first_slot(mixed); i < SLOTS && slots[at].key != 0; i++, at = (at + 1) % SLOTS)
        if (slots[at].key == mixed && n < NM_KEYTABLE_VALUES)
            values[n++] = slots[at].value;
    return n;
}

static void grow(struct nm_keytable *t);

/* Its key has moved to another page, in every table that a crash may leave us with: nobody will look for it here. */
static bool has_moved(const struct nm_keytable *t, const struct slot *slot, uint64_t page)
{
    return page_of(slot->key, t->pages) != page && page_of(slot->key, t->durable) != page &&
           page_of(slot->key, t->sync_pages) != page;
}

void nm_keytable_put(struct nm_keytable *t, uint64_t key, uint64_t value)
{
    if (t->count >= t->grow_at)
        grow(t);
    uint64_t mixed = spread(key);
    uint64_t page = page_of(mixed, t->pages);
    struct slot *slots = slots_of(t, page);
    struct slot *place = NULL;
    size_t same = 0;
    size_t i = 0;
    size_t at = first_slot(mixed);
    for (; i < SLOTS && slots[at].key != 0; i++, at = (at + 1) % SLOTS) {
        if (slots[at].key == mixed && (slots[at].value == value || ++same == NM_KEYTABLE_VALUES))
            return;
        if (!place && slots[at].key != mixed && has_moved(t, &slots[at], page))
            place = &slots[at];
    }
    if (!place && i < SLOTS)
        place = &slots[at];
    t->since++;
    if (!place) {
        t->lost++;
        return;
    }
    place->value = value; /* first: a key without its value may not reach the disk */
    atomic_signal_fence(memory_order_release);
    place->key = mixed;
    t->count++;
}

/* ---- growing --------------------------------------------------------------------------------- */

/* Room on the disk first: a page of the map that the disk has no room for would end the process. */
static enum nm_err make_room(struct nm_keytable *t, uint64_t room)
{
    size_t before = (size_t)(t->room + 1) * PAGE;
    size_t bytes = (size_t)(room + 1) * PAGE;
    int rc = posix_fallocate(t->fd, 0, (off_t)bytes);
    if (rc != 0)
        return nm_err_from_errno(rc);
    void *map = t->map ? mremap(t->map, before, bytes, MREMAP_MAYMOVE)
                       : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
    if (map == MAP_FAILED)
        return nm_err_from_errno(errno);
    (void)madvise(map, bytes, MADV_RANDOM);
    t->map = map;
    t->room = room;
    return NM_OK;
}

/* Copies what belongs to the new last page; the old one stays whole for a table that is found with fewer pages. */
static void split(struct nm_keytable *t)
{
    uint64_t fresh = t->pages;
    uint64_t half = (uint64_t)1 << (63 - __builtin_clzll(fresh));
    const struct slot *from = slots_of(t, fresh - half);
    struct slot *to = slots_of(t, fresh);
    memset(to, 0, PAGE);
    t->pages++;
    for (size_t i = 0; i < SLOTS; i++) {
        if (from[i].key == 0 || page_of(from[i].key, t->pages) != fresh)
            continue;
        size_t at = first_slot(from[i].key);
        while (to[at].key != 0)
            at = (at + 1) % SLOTS;
        to[at] = from[i];
    }
}

/* A page more for each so many keys.  A disk that is full is asked again a while later; until then pages fill up. */
static void grow(struct nm_keytable *t)
{
    enum nm_err err = NM_OK;
    if (t->pages == t->room) {
        uint64_t more = t->pages / 16 < ROOM_MAX ? t->pages / 16 : ROOM_MAX;
        err = make_room(t, t->room + (more > ROOM_MIN ? more : ROOM_MIN));
    }
    if (err)
        nm_warn("the index of duplicates can't grow: %s", nm_err_name(err));
    else
        split(t);
    t->grow_at = err ? t->count + ROOM_MIN * FILL : t->pages * FILL;
}

/* ---- to the disk ----------------------------------------------------------------------------- */

static uint64_t epoch(const struct nm_keytable *t)
{
    uint64_t part = t->count / SYNC_PART;
    return part > SYNC_MIN ? part : SYNC_MIN;
}

bool nm_keytable_due(const struct nm_keytable *t)
{
    return !t->syncing && t->since >= epoch(t);
}

static void rest(const struct timespec *since)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t took = (now.tv_sec - since->tv_sec) * 1000000000LL + now.tv_nsec - since->tv_nsec;
    int64_t pause = took * REST < 999999999LL ? took * REST : 999999999LL;
    nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
}

/* Slice by slice, as the ledger's commits share the disk: one fsync of it all, hundreds of megabytes under full load,
 * held them up for 60 ms.  Who waits for it (a start, an end) has no commits meanwhile, and gets what is left at
 * once: a flush for each slice of an empty table was half a minute of a start on a disk that was busy with others'
 * writes. By a map of its own, for the other one may move meanwhile; the pages are the same. */
static bool write_slices(struct nm_keytable *t)
{
    const size_t bytes = (size_t)(t->sync_pages + 1) * PAGE;
    unsigned char *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, t->fd, 0);
    bool good = map != MAP_FAILED;
    for (size_t at = 0, n; good && at < bytes; at += n) {
        bool hurry = atomic_load(&t->hurry);
        struct timespec begun;
        clock_gettime(CLOCK_MONOTONIC, &begun);
        n = hurry || bytes - at < SLICE ? bytes - at : SLICE;
        good = msync(map + at, n, MS_SYNC) == 0;
        if (!atomic_load(&t->hurry))
            rest(&begun);
    }
    if (map != MAP_FAILED)
        munmap(map, bytes);
    return good;
}

static void *write_out(void *ctx)
{
    struct nm_keytable *t = ctx;
    t->failed = !write_slices(t);
    atomic_store(&t->written, true);
    return NULL;
}

void nm_keytable_begin_sync(struct nm_keytable *t)
{
    if (t->syncing)
        return;
    t->syncing = true;
    t->since = 0;
    t->sync_pages = t->pages;
    t->sync_count = t->count;
    atomic_store(&t->written, false);
    atomic_store(&t->hurry, false);
    t->has_thread = pthread_create(&t->thread, NULL, write_out, t) == 0;
    if (!t->has_thread)
        write_out(t);
}

bool nm_keytable_synced(struct nm_keytable *t, uint64_t *pages, uint64_t *count)
{
    if (!t->syncing || !atomic_load(&t->written))
        return false;
    nm_keytable_wait(t);
    t->syncing = false;
    *pages = t->sync_pages;
    *count = t->sync_count;
    if (t->failed)
        nm_error("the index of duplicates can't be written to the disk: what it lacks stays in the ledger");
    return !t->failed;
}

void nm_keytable_wait(struct nm_keytable *t)
{
    atomic_store(&t->hurry, true);
    if (t->has_thread)
        pthread_join(t->thread, NULL);
    t->has_thread = false;
}

void nm_keytable_committed(struct nm_keytable *t, uint64_t pages)
{
    t->durable = pages;
}

/* ---- open and close -------------------------------------------------------------------------- */

/* Is it the file of that table, whole? */
static bool is_known(const struct nm_keytable *t, uint64_t id, uint64_t pages)
{
    struct header header;
    struct stat st;
    return pages >= FIRST_PAGES && fstat(t->fd, &st) == 0 && (uint64_t)st.st_size / PAGE >= pages + 1 &&
           pread(t->fd, &header, sizeof header, 0) == (ssize_t)sizeof header &&
           memcmp(header.magic, magic, sizeof magic) == 0 && header.id == id;
}

static enum nm_err map_file(struct nm_keytable *t, uint64_t id, uint64_t pages, bool fresh)
{
    enum nm_err err = fresh && ftruncate(t->fd, 0) != 0 ? nm_err_from_errno(errno) : NM_OK;
    if (!err)
        err = make_room(t, fresh ? FIRST_PAGES : pages);
    if (err)
        return err;
    assert(t->map != NULL);
    t->pages = t->durable = t->sync_pages = fresh ? FIRST_PAGES : pages;
    t->grow_at = t->pages * FILL;
    struct header header = {.id = id};
    memcpy(header.magic, magic, sizeof magic);
    return pwrite(t->fd, &header, sizeof header, 0) == (ssize_t)sizeof header ? NM_OK : NM_EIO;
}

enum nm_err nm_keytable_open(const char *path, uint64_t id, uint64_t pages, uint64_t count,
                             struct nm_keytable **table, bool *fresh, struct nm_diag *diag)
{
    struct nm_keytable *t = calloc(1, sizeof *t);
    *table = NULL;
    if (!t)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", path);
    t->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    enum nm_err err = t->fd < 0 ? nm_err_from_errno(errno) : NM_OK;
    *fresh = !err && !is_known(t, id, pages);
    if (!err)
        err = map_file(t, id, pages, *fresh);
    t->count = *fresh ? 0 : count;
    if (err) {
        (void)nm_fail(diag, err, "%s: the index of duplicates: %s", path, nm_err_name(err));
        nm_keytable_close(&t);
    }
    *table = t;
    return err;
}

void nm_keytable_close(struct nm_keytable **table)
{
    struct nm_keytable *t = *table;
    *table = NULL;
    if (!t)
        return;
    nm_keytable_wait(t);
    if (t->map)
        (void)munmap(t->map, (size_t)(t->room + 1) * PAGE);
    if (t->fd >= 0)
        (void)close(t->fd);
    free(t);
}

uint64_t nm_keytable_count(const struct nm_keytable *t)
{
    return t->count;
}

uint64_t nm_keytable_lost(const struct nm_keytable *t)
{
    return t->lost;
}

uint64_t nm_keytable_bytes(const struct nm_keytable *t)
{
    return (t->room + 1) * PAGE;
}
