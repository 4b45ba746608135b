#include "common/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The socket's address; 0: there is none.  "@name" is in Linux's abstract name space. */
static socklen_t address(struct sockaddr_un *out)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path != NULL ? strlen(path) : 0;
    if (len < 2 || len >= sizeof out->sun_path || (path[0] != '/' && path[0] != '@'))
        return 0;
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(out->sun_path, path, len);
    if (path[0] == '@')
        out->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

bool nm_notify(const char *fmt, ...)
{
    struct sockaddr_un to;
    char text[1024];
    socklen_t size = address(&to);
    if (size == 0)
        return false;
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (len < 0 || fd < 0)
        return false;
    size_t n = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    ssize_t sent = sendto(fd, text, n, MSG_NOSIGNAL, (const struct sockaddr *)(const void *)&to, size);
    close(fd);
    return sent == (ssize_t)n;
}

void nm_notify_alive(const char *status)
{
    if (status != NULL)
        (void)nm_notify("WATCHDOG=1\nSTATUS=%s", status);
    else
        (void)nm_notify("WATCHDOG=1");
}
