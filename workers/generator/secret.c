#include "workers/generator/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 16 * 1024 };

/* Checked on the open file, so that it can't be another one by the time it is read. */
static enum nm_err check(const char *label, const char *path, int fd, struct nm_diag *diag)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return nm_fail(diag, NM_EIO, "endpoint %s: api_key_file %s: %s", label, path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return nm_fail(diag, NM_EINVAL, "endpoint %s: api_key_file %s is no regular file", label, path);
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return nm_fail(diag, NM_EINVAL,
                       "endpoint %s: api_key_file %s has mode %04o, so that others than its owner may read it: "
                       "chmod 600 it",
                       label, path, (unsigned)st.st_mode & 07777);
    return NM_OK;
}

enum nm_err nm_secret_file(const char *label, const char *path, struct nm_buf *out, struct nm_diag *diag)
{
    char line[LINE_MAX_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return nm_fail(diag, nm_err_from_errno(errno), "endpoint %s: api_key_file %s: %s", label, path,
                       strerror(errno));
    enum nm_err err = check(label, path, fd, diag);
    ssize_t n = err == NM_OK ? read(fd, line, sizeof line - 1) : 0;
    close(fd);
    if (err != NM_OK)
        return err;
    if (n < 0)
        return nm_fail(diag, NM_EIO, "endpoint %s: api_key_file %s: %s", label, path, strerror(errno));
    line[n] = '\0';
    size_t len = strcspn(line, "\r\n");
    if (len == 0)
        err = nm_fail(diag, NM_EFORMAT, "endpoint %s: api_key_file %s: its first line is empty", label, path);
    else
        err = nm_buf_add(out, line, len);
    explicit_bzero(line, sizeof line);
    return err;
}

bool nm_secret_is_plain(const char *key)
{
    for (; *key != '\0'; key++)
        if ((unsigned char)*key <= 0x20 || *key == 0x7f)
            return false;
    return true;
}

/* Bytes of text that spell the secret from its first one on; 0: they don't. */
static size_t spelled(const char *text, size_t len, const char *secret)
{
    size_t i = 0;
    for (; *secret != '\0'; secret++, i++) {
        if (*secret == '/' && i + 1 < len && text[i] == '\\' && text[i + 1] == '/')
            i++;
        if (i >= len || text[i] != *secret)
            return 0;
    }
    return i;
}

void nm_secret_mask(char *text, size_t len, const char *secret)
{
    if (len == 0 || strlen(secret) < NM_SECRET_MIN) /* an empty buffer has no memory */
        return;
    char *end = text + len;
    for (char *p = text; (p = memchr(p, secret[0], (size_t)(end - p))) != NULL; p++) {
        size_t n = spelled(p, (size_t)(end - p), secret);
        if (n > 0)
            memset(p, '*', n);
    }
}
