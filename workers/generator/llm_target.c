/* llm_target.c - from the options of a target to the URL and headers of its calls. */
#include "workers/generator/llm_target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "workers/generator/secret.h"

/* base[?query] -> base/PATH[?query]; a base that names the chat already loses it first. */
static char *whole_url(const char *url, const char *path)
{
    static const char chat[] = "/chat/completions";
    size_t len = strcspn(url, "?#"), rest = len, n = sizeof chat - 1;
    while (len > 0 && url[len - 1] == '/')
        len--;
    if (len >= n && memcmp(url + len - n, chat, n) == 0)
        len -= n;
    char *out = NULL;
    return asprintf(&out, "%.*s%s%s", (int)len, url, path, url + rest) < 0 ? NULL : out;
}

/* name (scheme://host:port/path): what a log may hold */
static char *shown(const char *name, const char *url)
{
    const char *host = strstr(url, "://") + 3;
    const char *at = memrchr(host, '@', strcspn(host, "/?#"));
    const char *from = at != NULL ? at + 1 : host;
    bool named = name[0] != '\0';
    char *out = NULL;
    return asprintf(&out, "%s%s%.*s%.*s%s", name, named ? " (" : "", (int)(host - url), url, (int)strcspn(from, "?#"),
                    from, named ? ")" : "") < 0
               ? NULL
               : out;
}

static bool is_loopback(const char *url)
{
    const char *host = strstr(url, "://") + 3;
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "localhost", 9) == 0 || strncmp(host, "[::1]", 5) == 0;
}

static bool add(struct curl_slist **list, const char *line)
{
    struct curl_slist *grown = curl_slist_append(*list, line);
    if (grown != NULL)
        *list = grown;
    return grown != NULL;
}

/* ---- the key --------------------------------------------------------------------------------- */

/* Azure's urls name a deployment, and its keys have a header of their own. */
static const char *key_header(const struct nm_llm_target_options *o)
{
    if (o->key_header != NULL)
        return o->key_header;
    return strstr(o->url, "/deployments/") != NULL ? "api-key" : "Authorization";
}

static bool add_key(struct nm_llm_target *target, const struct nm_llm_target_options *o)
{
    if (o->key == NULL || o->key[0] == '\0')
        return true;
    const char *header = key_header(o);
    bool bearer = strcasecmp(header, "Authorization") == 0;
    char *line = NULL;
    if (asprintf(&line, "%s: %s%s", header, bearer ? "Bearer " : "", o->key) < 0)
        return false;
    bool added = add(&target->headers, line) && add(&target->secrets, o->key);
    explicit_bzero(line, strlen(line));
    free(line);
    return added;
}

/* ---- a target -------------------------------------------------------------------------------- */

static bool fill(struct nm_llm_target *target, const struct nm_llm_target_options *o)
{
    static const char *const lines[] = {"Content-Type: application/json", "Accept: application/json", "Expect:"};
    target->url = whole_url(o->url, "/chat/completions");
    target->models = whole_url(o->url, "/models");
    target->shown = shown(o->name, o->url);
    bool done = target->url != NULL && target->models != NULL && target->shown != NULL;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        done = done && add(&target->headers, lines[i]);
    for (size_t i = 0; i < o->n_headers; i++)
        done = done && add(&target->headers, o->headers[i]);
    for (size_t i = 0; i < o->n_secrets; i++)
        done = done && add(&target->secrets, o->secrets[i]);
    if (o->ca_file != NULL)
        done = done && (target->ca_file = strdup(o->ca_file)) != NULL;
    bool none = o->proxy != NULL ? strcmp(o->proxy, "none") == 0 : is_loopback(o->url);
    if (none || o->proxy != NULL)
        done = done && (target->proxy = strdup(none ? "" : o->proxy)) != NULL;
    return done && add_key(target, o);
}

enum nm_err nm_llm_target_new(const struct nm_llm_target_options *options, struct nm_llm_target **target,
                              struct nm_diag *diag)
{
    *target = NULL;
    const char *url = options->url;
    const char *name = options->name[0] != '\0' ? options->name : "without a name";
    size_t scheme = strncmp(url, "http://", 7) == 0 ? 7 : strncmp(url, "https://", 8) == 0 ? 8 : 0;
    if (scheme == 0 || url[scheme] == '\0' || strchr("/?#", url[scheme]) != NULL || strpbrk(url, " \t\r\n") != NULL)
        return nm_fail(diag, NM_EINVAL, "endpoint %s: its url is not like http://127.0.0.1:8080/v1: correct it",
                       name);
    if (options->key != NULL && !nm_secret_is_plain(options->key))
        return nm_fail(diag, NM_EINVAL, "endpoint %s: its API key holds white space or control characters", name);
    struct nm_llm_target *made = calloc(1, sizeof *made);
    if (made == NULL)
        return nm_fail(diag, NM_ENOMEM, "endpoint %s: out of memory", name);
    made->connect_timeout_ms = options->connect_timeout_ms;
    made->first_byte_timeout_ms = options->first_byte_timeout_ms;
    made->stall_timeout_ms = options->stall_timeout_ms;
    made->timeout_ms = options->timeout_ms;
    if (!fill(made, options)) {
        nm_llm_target_destroy(&made);
        return nm_fail(diag, NM_ENOMEM, "endpoint %s: out of memory", name);
    }
    *target = made;
    return NM_OK;
}

static void wipe(struct curl_slist *list)
{
    for (struct curl_slist *item = list; item != NULL; item = item->next)
        explicit_bzero(item->data, strlen(item->data));
    curl_slist_free_all(list);
}

void nm_llm_target_destroy(struct nm_llm_target **target)
{
    struct nm_llm_target *old = *target;
    if (old == NULL)
        return;
    wipe(old->headers);
    wipe(old->secrets);
    free(old->url);
    free(old->models);
    free(old->shown);
    free(old->proxy);
    free(old->ca_file);
    free(old);
    *target = NULL;
}

const char *nm_llm_target_shown(const struct nm_llm_target *target)
{
    return target->shown;
}

void nm_llm_target_mask(const struct nm_llm_target *target, char *text, size_t len)
{
    for (const struct curl_slist *item = target->secrets; item != NULL; item = item->next)
        nm_secret_mask(text, len, item->data);
}
