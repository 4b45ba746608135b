#include "workers/aligner/host.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* "tcp://HOST:PORT" into its two parts. */
static enum nm_err split(const char *endpoint, char *host, size_t host_size, char *port, size_t port_size,
                         struct nm_diag *diag)
{
    const char *start = endpoint + strlen("tcp://");
    const char *colon = strrchr(endpoint, ':');
    if (strncmp(endpoint, "tcp://", strlen("tcp://")) != 0 || colon <= start || colon[1] == '\0')
        return nm_fail(diag, NM_EINVAL, "%s is not an endpoint like tcp://HOST:PORT", endpoint);
    size_t len = (size_t)(colon - start);
    if (start[0] == '[' && colon[-1] == ']') {
        start++;
        len -= 2;
    }
    if (len >= host_size || strlen(colon + 1) >= port_size)
        return nm_fail(diag, NM_ELIMIT, "%s is too long an endpoint", endpoint);
    memcpy(host, start, len);
    host[len] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return NM_OK;
}

/* Connecting a UDP socket chooses our address and sends nothing. */
static enum nm_err local_address(const struct addrinfo *to, char *out, size_t size)
{
    struct sockaddr_storage own;
    socklen_t len = sizeof own;
    char text[NI_MAXHOST];
    enum nm_err err = NM_ENET;
    int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NM_ENET;
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0 && getsockname(fd, (struct sockaddr *)&own, &len) == 0 &&
        getnameinfo((struct sockaddr *)&own, len, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0) {
        int n = snprintf(out, size, to->ai_family == AF_INET6 ? "[%s]" : "%s", text);
        err = n >= 0 && (size_t)n < size ? NM_OK : NM_ELIMIT;
    }
    close(fd);
    return err;
}

enum nm_err nm_host_towards(const char *endpoint, char *out, size_t size, struct nm_diag *diag)
{
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    enum nm_err err = split(endpoint, host, sizeof host, port, sizeof port, diag);
    if (err != NM_OK)
        return err;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0)
        return nm_fail(diag, NM_ENET, "%s: cannot find that host: %s", endpoint, gai_strerror(rc));
    err = NM_ENET;
    for (const struct addrinfo *to = list; to != NULL && err != NM_OK; to = to->ai_next)
        err = local_address(to, out, size);
    freeaddrinfo(list);
    return err == NM_OK ? NM_OK : nm_fail(diag, err, "%s: no way leads there from this machine", endpoint);
}

enum nm_err nm_host_reachable(const char *bound, const char *host, char *out, size_t size, struct nm_diag *diag)
{
    static const char *const wild[] = {"tcp://0.0.0.0:", "tcp://*:", "tcp://[::]:"};
    const char *port = NULL;
    for (size_t i = 0; i < sizeof wild / sizeof *wild; i++)
        if (strncmp(bound, wild[i], strlen(wild[i])) == 0)
            port = bound + strlen(wild[i]);
    int n = port != NULL ? snprintf(out, size, "tcp://%s:%s", host, port) : snprintf(out, size, "%s", bound);
    return n >= 0 && (size_t)n < size ? NM_OK : nm_fail(diag, NM_ELIMIT, "%s is too long an endpoint", bound);
}
