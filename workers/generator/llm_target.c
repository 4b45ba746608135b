/* llm_target.c - from a project's endpoint to the URL and headers of its calls. */
#include "workers/generator/llm_target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

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
static enum nm_err shown(const char *name, const char *url, struct nm_buf *out)
{
    const char *host = strstr(url, "://") + 3;
    size_t authority = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', authority);
    const char *from = at != NULL ? at + 1 : host;
    if (name[0] == '\0')
        return nm_buf_addf(out, "%.*s%.*s", (int)(host - url), url, (int)strcspn(from, "?#"), from);
    return nm_buf_addf(out, "%s (%.*s%.*s)", name, (int)(host - url), url, (int)strcspn(from, "?#"), from);
}

static bool is_loopback(const char *url)
{
    const char *host = strstr(url, "://") + 3;
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "localhost", 9) == 0 || strncmp(host, "[::1]", 5) == 0;
}

/* A key in a header must not be able to add another header. */
static bool plain_key(const char *key)
{
    for (; *key != '\0'; key++)
        if ((unsigned char)*key <= 0x20 || *key == 0x7f)
            return false;
    return true;
}

static enum nm_err add_key(struct nm_llm_target *target, const struct nm_llm_target_options *o, struct nm_diag *diag)
{
    if (o->api_key_env == NULL || o->api_key_env[0] == '\0')
        return NM_OK;
    const char *key = getenv(o->api_key_env);
    if (key == NULL || key[0] == '\0')
        return nm_fail(
            diag, NM_EINVAL,
            "endpoint %s: the environment variable %s, which is to hold its API key, is not set: export it "
            "and start again",
            target->shown, o->api_key_env);
    if (!plain_key(key))
        return nm_fail(diag, NM_EINVAL, "endpoint %s: the key in %s holds white space or control characters",
                       target->shown, o->api_key_env);
    char *line = NULL;
    if (asprintf(&line, "Authorization: Bearer %s", key) < 0)
        return nm_fail(diag, NM_ENOMEM, "endpoint %s: out of memory", target->shown);
    struct curl_slist *grown = curl_slist_append(target->headers, line);
    explicit_bzero(line, strlen(line));
    free(line);
    if (grown == NULL)
        return nm_fail(diag, NM_ENOMEM, "endpoint %s: out of memory", target->shown);
    target->headers = grown;
    return NM_OK;
}

static enum nm_err fill(struct nm_llm_target *target, const struct nm_llm_target_options *o, struct nm_diag *diag)
{
    static const char *const lines[] = {"Content-Type: application/json", "Accept: application/json", "Expect:"};
    struct nm_buf buf;
    nm_buf_init(&buf, 16384);
    target->url = whole_url(o->url, "/chat/completions");
    target->models = whole_url(o->url, "/models");
    enum nm_err err = shown(o->name, o->url, &buf);
    target->shown = err == NM_OK ? strdup(nm_buf_str(&buf)) : NULL;
    nm_buf_clean_up(&buf);
    bool complete = target->url != NULL && target->models != NULL && target->shown != NULL;
    for (size_t i = 0; i < sizeof lines / sizeof *lines && complete; i++) {
        struct curl_slist *grown = curl_slist_append(target->headers, lines[i]);
        complete = grown != NULL;
        target->headers = complete ? grown : target->headers;
    }
    if (!complete)
        return nm_fail(diag, err == NM_ELIMIT ? NM_EINVAL : NM_ENOMEM, "endpoint %s: the url is too long", o->name);
    return add_key(target, o, diag);
}

enum nm_err nm_llm_target_new(const struct nm_llm_target_options *options, struct nm_llm_target **target,
                              struct nm_diag *diag)
{
    *target = NULL;
    const char *url = options->url;
    size_t scheme = strncmp(url, "http://", 7) == 0 ? 7 : strncmp(url, "https://", 8) == 0 ? 8 : 0;
    if (scheme == 0 || url[scheme] == '\0' || strchr("/?#", url[scheme]) != NULL || strpbrk(url, " \t\r\n") != NULL)
        return nm_fail(diag, NM_EINVAL, "endpoint %s: its url is not like http://127.0.0.1:8080/v1: correct it",
                       options->name[0] != '\0' ? options->name : "without a name");
    struct nm_llm_target *made = calloc(1, sizeof *made);
    if (made == NULL)
        return nm_fail(diag, NM_ENOMEM, "endpoint %s: out of memory", options->name);
    made->loopback = is_loopback(url);
    made->connect_timeout_ms = options->connect_timeout_ms;
    made->timeout_ms = options->timeout_ms;
    enum nm_err err = fill(made, options, diag);
    if (err != NM_OK)
        nm_llm_target_destroy(&made);
    *target = made;
    return err;
}

void nm_llm_target_destroy(struct nm_llm_target **target)
{
    struct nm_llm_target *old = *target;
    if (old == NULL)
        return;
    curl_slist_free_all(old->headers);
    free(old->url);
    free(old->models);
    free(old->shown);
    free(old);
    *target = NULL;
}

const char *nm_llm_target_shown(const struct nm_llm_target *target)
{
    return target->shown;
}
