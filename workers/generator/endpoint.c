#include "workers/generator/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/file.h"
#include "workers/generator/secret.h"

enum { VALUE_MAX = 64 * 1024, SECRETS_MAX = 256 };

struct making {
    const struct nm_project_endpoint *config;
    const char *dir;
    struct nm_arena arena; /* of what is expanded */
    struct nm_buf buf;
    const char *secrets[SECRETS_MAX];
    size_t n_secrets;
    struct nm_diag *diag;
};

/* The value with its variables replaced, in the arena; NULL stays NULL. */
static enum nm_err expand(struct making *m, const char *key, const char *value, const char **out)
{
    char label[320];
    *out = NULL;
    if (value == NULL)
        return NM_OK;
    (void)snprintf(label, sizeof label, "endpoint %s: %s", m->config->name, key);
    nm_buf_reset(&m->buf);
    enum nm_err err = nm_project_expand(label, value, &m->buf, m->diag);
    if (err != NM_OK)
        return err;
    *out = nm_arena_strndup(&m->arena, nm_buf_str(&m->buf), m->buf.len);
    return *out != NULL ? NM_OK : nm_fail(m->diag, NM_ENOMEM, "%s: out of memory", label);
}

static enum nm_err expand_path(struct making *m, const char *key, const char *value, const char **out)
{
    char path[4096];
    enum nm_err err = expand(m, key, value, out);
    if (err != NM_OK || *out == NULL || m->dir == NULL)
        return err;
    err = nm_file_join(m->dir, *out, path, sizeof path);
    *out = err == NM_OK ? nm_arena_strndup(&m->arena, path, strlen(path)) : NULL;
    return *out != NULL ? NM_OK
                        : nm_fail(m->diag, NM_ELIMIT, "endpoint %s: %s: the path is too long", m->config->name, key);
}

/* ---- secrets --------------------------------------------------------------------------------- */

static void add_secret(struct making *m, const char *text, size_t len)
{
    char *copy = len >= NM_SECRET_MIN ? nm_arena_strndup(&m->arena, text, len) : NULL;
    if (copy != NULL && m->n_secrets < SECRETS_MAX)
        m->secrets[m->n_secrets++] = copy;
}

/* user:PASSWORD@ and ?key=VALUE */
static void add_url_secrets(struct making *m, const char *url)
{
    const char *host = url != NULL ? strstr(url, "://") : NULL;
    if (host == NULL)
        return;
    host += 3;
    const char *at = memrchr(host, '@', strcspn(host, "/?#"));
    const char *colon = at != NULL ? memchr(host, ':', (size_t)(at - host)) : NULL;
    if (colon != NULL)
        add_secret(m, colon + 1, (size_t)(at - colon - 1));
    for (const char *p = host + strcspn(host, "?#"); *p == '?' || *p == '&';) {
        size_t name = strcspn(++p, "=&#"), len = strcspn(p, "&#");
        if (name < len && nm_project_names_secret(p, name))
            add_secret(m, p + name + 1, len - name - 1);
        p += len;
    }
}

/* What follows a scheme ("Bearer ") is the secret. */
static enum nm_err expand_header(struct making *m, const char *line, const char **out)
{
    enum nm_err err = expand(m, "headers", line, out);
    if (err != NM_OK || *out == NULL)
        return err;
    if (strpbrk(*out, "\r\n") != NULL)
        return nm_fail(m->diag, NM_EINVAL, "endpoint %s: headers: a variable's value holds a line end",
                       m->config->name);
    size_t name = strcspn(*out, ":");
    const char *value = strrchr(*out, ' ');
    value = value != NULL && value > *out + name ? value + 1 : *out + name + 1;
    if (nm_project_names_secret(*out, name))
        add_secret(m, value, strlen(value));
    return NM_OK;
}

/* The key itself is a secret to the target already. */
static enum nm_err read_key(struct making *m, const char **out)
{
    const struct nm_project_endpoint *config = m->config;
    const char *path;
    *out = NULL;
    if (config->api_key_env != NULL && config->api_key_env[0] != '\0') {
        *out = getenv(config->api_key_env);
        if (*out == NULL || (*out)[0] == '\0')
            return nm_fail(
                m->diag, NM_EINVAL,
                "endpoint %s: the environment variable %s, which is to hold its API key, is not set: export "
                "it and start again",
                config->name, config->api_key_env);
        return NM_OK;
    }
    enum nm_err err = expand_path(m, "api_key_file", config->api_key_file, &path);
    if (err != NM_OK || path == NULL)
        return err;
    nm_buf_reset(&m->buf);
    err = nm_secret_file(config->name, path, &m->buf, m->diag);
    if (err == NM_OK)
        *out = nm_arena_strndup(&m->arena, nm_buf_str(&m->buf), m->buf.len);
    return err == NM_OK && *out == NULL ? nm_fail(m->diag, NM_ENOMEM, "endpoint %s: out of memory", config->name)
                                        : err;
}

/* ---- a target -------------------------------------------------------------------------------- */

static enum nm_err make(struct making *m, struct nm_llm_target **target)
{
    const struct nm_project_endpoint *c = m->config;
    const char **headers = nm_arena_alloc(&m->arena, (c->n_headers + 1) * sizeof *headers);
    /* shown: the name once, even where it is the url */
    struct nm_llm_target_options o = {.name = strcmp(c->name, c->url) == 0 ? "" : c->name,
                                      .key_header = c->api_key_header,
                                      .headers = headers,
                                      .n_headers = c->n_headers,
                                      .secrets = m->secrets,
                                      .connect_timeout_ms = (int64_t)c->connect_timeout_s * 1000,
                                      .first_byte_timeout_ms = (int64_t)c->first_byte_timeout_s * 1000,
                                      .stall_timeout_ms = (int64_t)c->stall_timeout_s * 1000,
                                      .timeout_ms = (int64_t)c->timeout_s * 1000};
    if (headers == NULL)
        return nm_fail(m->diag, NM_ENOMEM, "endpoint %s: out of memory", c->name);
    enum nm_err err = expand(m, "url", c->url, &o.url);
    if (err == NM_OK)
        err = expand(m, "proxy", c->proxy, &o.proxy);
    if (err == NM_OK)
        err = expand_path(m, "ca_file", c->ca_file, &o.ca_file);
    if (err == NM_OK && o.ca_file != NULL && access(o.ca_file, R_OK) != 0)
        err = nm_fail(m->diag, nm_err_from_errno(errno), "endpoint %s: ca_file %s: %s", c->name, o.ca_file,
                      strerror(errno));
    for (uint32_t i = 0; i < c->n_headers && err == NM_OK; i++)
        err = expand_header(m, c->headers[i], &headers[i]);
    if (err == NM_OK)
        err = read_key(m, &o.key);
    if (err != NM_OK)
        return err;
    add_url_secrets(m, o.url);
    add_url_secrets(m, o.proxy);
    o.n_secrets = m->n_secrets;
    return nm_llm_target_new(&o, target, m->diag);
}

enum nm_err nm_endpoint_target(const struct nm_project_endpoint *config, const char *dir,
                               struct nm_llm_target **target, struct nm_diag *diag)
{
    struct making m = {.config = config, .dir = dir, .diag = diag};
    *target = NULL;
    nm_arena_init(&m.arena, 0);
    nm_buf_init(&m.buf, VALUE_MAX);
    enum nm_err err = make(&m, target);
    if (m.buf.data != NULL)
        explicit_bzero(m.buf.data, m.buf.cap);
    nm_buf_clean_up(&m.buf);
    nm_arena_clean_up(&m.arena);
    return err;
}
