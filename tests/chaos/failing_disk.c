/* failing_disk - an LD_PRELOAD library: a disk that fails under one file, by chance and repeatably.
 *
 *     LD_PRELOAD=failing_disk.so NERMILL_DISK_FILE=data.mdb NERMILL_DISK_SEED=1 NERMILL_DISK_FAILS=30 nermill-broker
 * …
 *
 * Of 10,000 writes and flushes on files of that name, NERMILL_DISK_FAILS fail, in one of these ways:
 *   refused     EIO or ENOSPC, nothing written
 *   short       part of the bytes are written and counted
 *   torn        part of the bytes are written, then EIO
 *   lost        a flush answers EIO, and what it should have written is gone or torn, sector by sector, at random
 *   power cut   the same, and the process is killed: what no flush has confirmed may be there, old, or torn
 *
 * With NERMILL_DISK_LIES set a flush promises and does nothing: whoever tests with this library must find that out.
 *
 * What was written since the last good flush is remembered with what stood there before.  A descriptor with O_DSYNC
 * is flushed at every write.  One writing thread is assumed.  Each failure is told on stderr.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SECTOR = 512 };

enum failure { NONE, REFUSED_IO, REFUSED_SPACE, SHORT, TORN, LOST, POWER_CUT };

struct before {
    int fd;
    off_t offset;
    size_t len; /* bytes that stood there; what lay behind the end of the file is zeros */
    char *bytes;
};

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fdatasync)(int);
static uint64_t state;
static unsigned int fails = 30;
static struct before *unsynced;
static size_t n_unsynced, cap_unsynced;

static uint64_t draw(uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % n;
}

static void find_real(void)
{
    if (real_pwrite)
        return;
    const char *seed = getenv("NERMILL_DISK_SEED"), *often = getenv("NERMILL_DISK_FAILS");
    *(void **)&real_pwrite = dlsym(RTLD_NEXT, "pwrite");
    *(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    state = (seed ? strtoull(seed, NULL, 10) : 1) * 0x9e3779b97f4a7c15U | 1;
    fails = often ? (unsigned int)atoi(often) : fails;
    for (int i = 0; i < 10; i++)
        (void)draw(2);
}

static bool concerns(int fd)
{
    char link[64], path[4096];
    const char *name = getenv("NERMILL_DISK_FILE");
    find_real();
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0 || !name)
        return false;
    path[n] = '\0';
    size_t len = strlen(name);
    return (size_t)n > len && path[(size_t)n - len - 1] == '/' && strcmp(path + (size_t)n - len, name) == 0;
}

static enum failure choose(bool flush)
{
    static const char *const names[] = {"",
                                        "EIO, nothing written",
                                        "ENOSPC, nothing written",
                                        "a short write",
                                        "a torn write",
                                        "a lost flush",
                                        "a power cut"};
    static const enum failure writes[] = {REFUSED_IO, REFUSED_SPACE, SHORT, TORN, POWER_CUT};
    static const enum failure flushes[] = {REFUSED_IO, LOST, POWER_CUT};
    if (draw(10000) >= fails)
        return NONE;
    enum failure f = flush ? flushes[draw(3)] : writes[draw(5)];
    fprintf(stderr, "failing disk: %s\n", names[f]);
    return f;
}

/* ---- what may still be lost -------------------------------------------------------------------------------------
 */

static void remember(int fd, off_t offset, size_t len)
{
    if (n_unsynced == cap_unsynced) {
        cap_unsynced = cap_unsynced ? cap_unsynced * 2 : 64;
        unsynced = realloc(unsynced, cap_unsynced * sizeof *unsynced);
    }
    struct before *b = &unsynced[n_unsynced++];
    *b = (struct before){.fd = fd, .offset = offset, .len = len, .bytes = calloc(1, len ? len : 1)};
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int in = open(link, O_RDONLY | O_CLOEXEC); /* fd itself may be for writing only */
    if (in < 0 || pread(in, b->bytes, len, offset) < 0) {
        perror("failing disk: what stood there can't be read");
        abort();
    }
    close(in);
}

static void forget(void)
{
    while (n_unsynced)
        free(unsynced[--n_unsynced].bytes);
}

/* The newest first, so that what is put back is what stood there at the last flush. */
static void lose(void)
{
    while (n_unsynced) {
        struct before *b = &unsynced[--n_unsynced];
        uint64_t fate = draw(3); /* kept, lost, torn */
        for (size_t at = 0; at < b->len && fate; at += SECTOR) {
            size_t len = b->len - at < SECTOR ? b->len - at : SECTOR;
            if (fate == 1 || draw(2))
                (void)!real_pwrite(b->fd, b->bytes + at, len, b->offset + (off_t)at);
        }
        free(b->bytes);
    }
}

static void cut_power(void)
{
    lose();
    raise(SIGKILL);
}

static ssize_t refuse(int error)
{
    errno = error;
    return -1;
}

/* ---- the calls --------------------------------------------------------------------------------------------------
 */

static ssize_t write_at(int fd, const void *data, size_t len, off_t offset)
{
    enum failure f = choose(false);
    bool flushed = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    if (f == REFUSED_IO || f == REFUSED_SPACE)
        return refuse(f == REFUSED_IO ? EIO : ENOSPC);
    if (f == POWER_CUT && draw(2))
        cut_power();
    if (f == SHORT || f == TORN) {
        size_t part = len > 1 ? 1 + (size_t)draw(len - 1) : len;
        part = part > SECTOR ? part / SECTOR * SECTOR : part;
        if (len <= SECTOR) /* a sector is written whole or not at all */
            return refuse(EIO);
        remember(fd, offset, part);
        ssize_t n = real_pwrite(fd, data, part, offset);
        return f == SHORT ? n : refuse(EIO);
    }
    if (!flushed || f == POWER_CUT)
        remember(fd, offset, len);
    ssize_t n = real_pwrite(fd, data, len, offset);
    if (f == POWER_CUT)
        cut_power();
    return n;
}

static int flush(int fd)
{
    enum failure f = choose(true);
    if (f == POWER_CUT)
        cut_power();
    if (f == LOST)
        lose();
    if (f != NONE) {
        errno = EIO;
        return -1;
    }
    int rc = real_fdatasync(fd);
    if (rc == 0 && !getenv("NERMILL_DISK_LIES"))
        forget();
    return rc;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset);
ssize_t pwrite64(int fd, const void *data, size_t len, off_t offset);

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    return concerns(fd) ? write_at(fd, data, len, offset) : real_pwrite(fd, data, len, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off_t offset)
{
    return pwrite(fd, data, len, offset);
}

/* Several pieces: the first that comes short ends it, as with a real disk. */
static ssize_t write_pieces(int fd, const struct iovec *pieces, int n, off_t offset)
{
    ssize_t sum = 0;
    for (int i = 0; i < n; i++) {
        ssize_t done = write_at(fd, pieces[i].iov_base, pieces[i].iov_len, offset + sum);
        if (done < 0)
            return sum > 0 ? sum : done;
        sum += done;
        if ((size_t)done < pieces[i].iov_len)
            break;
    }
    return sum;
}

ssize_t pwritev(int fd, const struct iovec *pieces, int n, off_t offset)
{
    static ssize_t (*real)(int, const struct iovec *, int, off_t);
    if (concerns(fd))
        return write_pieces(fd, pieces, n, offset);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "pwritev");
    return real(fd, pieces, n, offset);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int n, off_t offset)
{
    return pwritev(fd, pieces, n, offset);
}

/* LMDB seeks, then writes where it stands. */
ssize_t writev(int fd, const struct iovec *pieces, int n)
{
    static ssize_t (*real)(int, const struct iovec *, int);
    if (concerns(fd)) {
        off_t offset = lseek(fd, 0, SEEK_CUR);
        ssize_t done = write_pieces(fd, pieces, n, offset);
        if (done > 0)
            (void)lseek(fd, offset + done, SEEK_SET);
        return done;
    }
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "writev");
    return real(fd, pieces, n);
}

int fdatasync(int fd)
{
    return concerns(fd) ? flush(fd) : real_fdatasync(fd);
}

int fsync(int fd)
{
    static int (*real)(int);
    if (concerns(fd))
        return flush(fd);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "fsync");
    return real(fd);
}
