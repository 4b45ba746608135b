/* project_endpoint.c - how an endpoint is reached: headers, proxy, key, further fields of the body. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "schemas/project.h"
#include "schemas/project_yaml.h"

static bool given(const char *s)
{
    return s != NULL && s[0] != '\0';
}

/* A secret that stands in the project would be in the ledger, on the wire and in a repository. */
bool nm_project_names_secret(const char *text, size_t len)
{
    static const char *const words[] = {"authorization", "key", "token", "secret", "cookie", "password"};
    char name[256];
    (void)snprintf(name, sizeof name, "%.*s", (int)len, text);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasestr(name, words[i]) != NULL)
            return true;
    return false;
}

static bool header_fault(const char *line, char *what, size_t size)
{
    static const char *const ours[] = {"host", "content-length", "transfer-encoding", "connection",
                                       "accept-encoding"};
    static const char token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~";
    size_t len = strspn(line, token);
    if (len == 0 || line[len] != ':' || strpbrk(line, "\r\n") != NULL)
        return snprintf(what, size, "one of them is not like 'Name: value'") > 0;
    if (nm_project_names_secret(line, len) && strstr(line + len, "${") == NULL)
        return snprintf(what, size, "%.*s stands there in the open: write its value as ${VARIABLE}", (int)len, line) >
               0;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strlen(ours[i]) == len && strncasecmp(line, ours[i], len) == 0)
            return snprintf(what, size, "%s is nermill's own to send", ours[i]) > 0;
    return false;
}

/* ?key=VALUE */
static bool has_secret_parameter(const char *query)
{
    while (*query == '?' || *query == '&') {
        query++;
        size_t len = strcspn(query, "&#"), name = strcspn(query, "=&#");
        if (name < len && nm_project_names_secret(query, name) && memmem(query, len, "${", 2) == NULL)
            return true;
        query += len;
    }
    return false;
}

/* user:password@, or ?key=VALUE, that is no ${VARIABLE} */
static bool has_password(const char *url)
{
    const char *host = url != NULL ? strstr(url, "://") : NULL;
    if (host == NULL)
        return false;
    host += 3;
    if (has_secret_parameter(host + strcspn(host, "?#")))
        return true;
    const char *at = memrchr(host, '@', strcspn(host, "/?#"));
    const char *colon = at != NULL ? memchr(host, ':', (size_t)(at - host)) : NULL;
    return colon != NULL && memmem(colon, (size_t)(at - colon), "${", 2) == NULL;
}

static bool proxy_fault(const char *proxy)
{
    static const char *const known[] = {"http://", "https://", "socks5://", "socks5h://", "${"};
    if (!given(proxy) || strcmp(proxy, "none") == 0)
        return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(proxy, known[i], strlen(known[i])) == 0)
            return false;
    return true;
}

static bool body_fault(const char *text, char *what, size_t size)
{
    static const char *const ours[] = {"model", "messages", "n", "stream"};
    json_error_t error;
    if (!given(text))
        return false;
    json_t *extra = json_loads(text, 0, &error);
    const char *why = extra == NULL ? error.text : !json_is_object(extra) ? "it is JSON, but no object" : NULL;
    if (why != NULL)
        (void)snprintf(what, size, "not like '{\"top_k\": 40}': %s", why);
    for (size_t i = 0; i < sizeof ours / sizeof *ours && why == NULL; i++)
        if ((why = json_object_get(extra, ours[i]) != NULL ? ours[i] : NULL) != NULL)
            (void)snprintf(what, size, "%s is nermill's own to set", why);
    json_decref(extra);
    return why != NULL;
}

const char *raw_endpoint_fault(const struct raw_endpoint *e, char *what, size_t size)
{
    (void)snprintf(what, size, "a password stands there in the open: write it as ${VARIABLE}");
    if (has_password(e->url))
        return "url";
    if (has_password(e->proxy))
        return "proxy";
    (void)snprintf(what, size, "it is neither http://, https://, socks5://, socks5h:// nor none");
    if (proxy_fault(e->proxy))
        return "proxy";
    (void)snprintf(what, size, "api_key_env is given too: one of the two");
    if (given(e->api_key_env) && given(e->api_key_file))
        return "api_key_file";
    if (body_fault(e->extra_body, what, size))
        return "extra_body";
    for (uint32_t i = 0; i < e->headers_count; i++)
        if (header_fault(e->headers[i], what, size))
            return "headers";
    return NULL;
}
