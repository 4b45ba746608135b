#include "workers/trainer/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <microhttpd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "workers/trainer/tag_queue.h"

/* A body, texts in it, connections at once, and how long one may be idle. */
enum { BODY_MAX = 8 << 20, TEXTS_MAX = 10000, CONNECTIONS_MAX = 256, IDLE_S = 60, POLL_MS = 50 };

struct server {
    const struct nm_serve *options;
    struct nm_tag_queue *queue;
    int64_t started_ms;
    uint64_t requests[6]; /* by the hundreds of their status: [2] is 2xx; atomic */
};

struct request {
    struct nm_buf body;
    bool too_large;
};

/* ---- answers ---------------------------------------------------------------------------------- */

static enum MHD_Result answer(struct server *s, struct MHD_Connection *connection, unsigned status, const char *type,
                              char *text)
{
    if (text == NULL)
        return MHD_NO;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE); /* text is its from here on */
    if (response == NULL) {
        free(text);
        return MHD_NO;
    }
    __atomic_add_fetch(&s->requests[status / 100], 1, __ATOMIC_RELAXED);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, POST");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_json(struct server *s, struct MHD_Connection *connection, unsigned status, json_t *root)
{
    char *text = root != NULL ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(root);
    return answer(s, connection, status, "application/json", text);
}

static enum MHD_Result answer_error(struct server *s, struct MHD_Connection *connection, unsigned status,
                                    const char *message)
{
    return answer_json(s, connection, status, json_pack("{s:s}", "error", message));
}

static enum MHD_Result answer_health(struct server *s, struct MHD_Connection *connection)
{
    const struct nm_tagset *types = &s->options->tagger->tagset;
    json_t *names = json_array();
    for (size_t i = 0; i < types->n_types; i++)
        json_array_append_new(names, json_string(types->types[i]));
    return answer_json(s, connection, MHD_HTTP_OK,
                       json_pack("{s:s, s:s, s:s, s:o, s:f}", "status", "ok", "version", NM_VERSION, "model",
                                 s->options->model, "types", names, "uptime_s",
                                 (double)(nm_clock_mono_ms() - s->started_ms) / 1000));
}

static enum MHD_Result answer_metrics(struct server *s, struct MHD_Connection *connection)
{
    const struct nm_tag_counts c = nm_tag_queue_counts(s->queue);
    struct nm_buf out;
    nm_buf_init(&out, 1 << 16);
    enum nm_err err = nm_buf_adds(&out, "# TYPE nermill_requests_total counter\n");
    for (size_t i = 2; i < 6 && err == NM_OK; i++)
        err = nm_buf_addf(&out, "nermill_requests_total{code=\"%zuxx\"} %llu\n", i,
                          (unsigned long long)__atomic_load_n(&s->requests[i], __ATOMIC_RELAXED));
    if (err == NM_OK)
        err = nm_buf_addf(&out,
                          "# TYPE nermill_texts_total counter\nnermill_texts_total %llu\n"
                          "# TYPE nermill_words_total counter\nnermill_words_total %llu\n"
                          "# TYPE nermill_batches_total counter\nnermill_batches_total %llu\n"
                          "# TYPE nermill_errors_total counter\nnermill_errors_total %llu\n"
                          "# TYPE nermill_tagging_seconds_total counter\nnermill_tagging_seconds_total %.3f\n"
                          "# TYPE nermill_texts_waiting gauge\nnermill_texts_waiting %zu\n",
                          (unsigned long long)c.texts, (unsigned long long)c.words, (unsigned long long)c.batches,
                          (unsigned long long)c.errors, c.seconds, c.waiting);
    char *text = err == NM_OK ? strdup(nm_buf_str(&out)) : NULL;
    nm_buf_clean_up(&out);
    return answer(s, connection, MHD_HTTP_OK, "text/plain; version=0.0.4", text);
}

/* ---- tagging ---------------------------------------------------------------------------------- */

/* The texts of a request: its "texts", or its one "text".  false: neither, or something else among them. */
static bool take_texts(json_t *root, const char **texts, size_t *lens, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *text = json_is_array(root) ? json_array_get(root, i) : root;
        if (!json_is_string(text))
            return false;
        texts[i] = json_string_value(text);
        lens[i] = json_string_length(text);
    }
    return true;
}

static enum MHD_Result answer_tagged(struct server *s, struct MHD_Connection *connection, json_t *texts)
{
    const bool many = json_is_array(texts);
    const size_t n = many ? json_array_size(texts) : 1;
    if (n > TEXTS_MAX)
        return answer_error(s, connection, MHD_HTTP_CONTENT_TOO_LARGE, "more than 10,000 texts");
    const char **at = malloc((n + 1) * sizeof(*at));
    size_t *lens = malloc((n + 1) * sizeof(*lens));
    json_t **results = calloc(n + 1, sizeof(json_t *)), *root = NULL;
    enum nm_err err = at != NULL && lens != NULL && results != NULL ? NM_OK : NM_ENOMEM;
    const bool good = err == NM_OK && take_texts(texts, at, lens, n);
    if (good)
        err = nm_tag_queue_tag(s->queue, at, lens, n, results);
    if (good && err == NM_OK && !many)
        root = results[0];
    else if (good && err == NM_OK) {
        json_t *all = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(all, results[i]);
        root = json_pack("{s:o}", "results", all);
    }
    free(at);
    free(lens);
    free(results);
    if (err != NM_OK)
        return answer_error(s, connection, MHD_HTTP_SERVICE_UNAVAILABLE, nm_err_name(err));
    if (!good)
        return answer_error(s, connection, MHD_HTTP_BAD_REQUEST,
                            "\"text\" is no string, or \"texts\" no array of strings");
    return answer_json(s, connection, MHD_HTTP_OK, root);
}

static enum MHD_Result tag(struct server *s, struct MHD_Connection *connection, const struct request *request)
{
    json_error_t where;
    char message[256];
    if (request->too_large)
        return answer_error(s, connection, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than 8 MiB");
    json_t *root = json_loadb(nm_buf_str(&request->body), request->body.len, 0, &where);
    if (root == NULL) {
        (void)snprintf(message, sizeof(message), "no JSON: %s", where.text);
        return answer_error(s, connection, MHD_HTTP_BAD_REQUEST, message);
    }
    json_t *texts = json_object_get(root, "texts");
    if (texts == NULL || !json_is_array(texts))
        texts = json_object_get(root, "text");
    enum MHD_Result result = texts != NULL ? answer_tagged(s, connection, texts)
                                           : answer_error(s, connection, MHD_HTTP_BAD_REQUEST,
                                                          "neither \"text\" nor \"texts\" in the object");
    json_decref(root);
    return result;
}

/* ---- requests --------------------------------------------------------------------------------- */

static enum MHD_Result route(struct server *s, struct MHD_Connection *connection, const char *url, const char *method,
                             const struct request *request)
{
    const bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0, post = strcmp(method, "POST") == 0;
    if (strcmp(url, "/v1/tag") == 0)
        return post ? tag(s, connection, request)
                    : answer_error(s, connection, MHD_HTTP_METHOD_NOT_ALLOWED, "POST a JSON object here");
    if (strcmp(url, "/health") != 0 && strcmp(url, "/metrics") != 0)
        return answer_error(s, connection, MHD_HTTP_NOT_FOUND, "there are /v1/tag, /health and /metrics");
    if (!get)
        return answer_error(s, connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET this");
    return strcmp(url, "/health") == 0 ? answer_health(s, connection) : answer_metrics(s, connection);
}

/* Called first with the header, then with the body in parts, then without one. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **state)
{
    struct request *request = *state;
    (void)version;
    if (request == NULL) {
        request = calloc(1, sizeof(*request));
        if (request == NULL)
            return MHD_NO;
        nm_buf_init(&request->body, BODY_MAX);
        *state = request;
        return MHD_YES;
    }
    if (*size > 0) { /* what is too large is read to its end: only then can an answer be sent */
        if (request->too_large || nm_buf_add(&request->body, data, *size) != NM_OK)
            request->too_large = true;
        *size = 0;
        return MHD_YES;
    }
    return route(arg, connection, url, method, request);
}

static void on_end(void *arg, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode why)
{
    struct request *request = *state;
    (void)arg, (void)connection, (void)why;
    if (request == NULL)
        return;
    nm_buf_clean_up(&request->body);
    free(request);
    *state = NULL;
}

/* ---- the daemon ------------------------------------------------------------------------------- */

static enum nm_err parse_address(const struct nm_serve *serve, struct sockaddr_storage *address, bool *six,
                                 struct nm_diag *diag)
{
    struct sockaddr_in *four = (struct sockaddr_in *)address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;
    memset(address, 0, sizeof(*address));
    *six = inet_pton(AF_INET6, serve->bind, &in6->sin6_addr) == 1;
    if (*six) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(serve->port);
        return NM_OK;
    }
    if (inet_pton(AF_INET, serve->bind, &four->sin_addr) != 1)
        return nm_fail(diag, NM_EINVAL, "--bind: \"%s\" is no IP address", serve->bind);
    four->sin_family = AF_INET;
    four->sin_port = htons(serve->port);
    return NM_OK;
}

static struct MHD_Daemon *start(struct server *s, const struct sockaddr_storage *address, bool six)
{
    const unsigned flags =
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | (six ? MHD_USE_IPv6 : 0U);
    return MHD_start_daemon(flags, s->options->port, NULL, NULL, on_request, s, MHD_OPTION_SOCK_ADDR, address,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                            (unsigned)IDLE_S, MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL, MHD_OPTION_END);
}

enum nm_err nm_serve_run(const struct nm_serve *serve, struct nm_diag *diag)
{
    struct server s = {.options = serve, .started_ms = nm_clock_mono_ms()};
    struct sockaddr_storage address;
    bool six;
    enum nm_err err = parse_address(serve, &address, &six, diag);
    if (err != NM_OK)
        return err;
    err = nm_tag_queue_new(&s.queue, serve->tagger);
    if (err != NM_OK)
        return nm_fail(diag, err, "no thread for the tagger");
    errno = 0;
    struct MHD_Daemon *daemon = start(&s, &address, six);
    if (daemon == NULL) {
        err = errno == EADDRINUSE ? NM_EBUSY : NM_ENET;
        (void)nm_fail(diag, err, "%s port %u: %s: give another --port", serve->bind, serve->port,
                      errno != 0 ? strerror(errno) : "can't listen there");
    } else {
        const union MHD_DaemonInfo *port = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
        if (serve->ready != NULL)
            serve->ready(port != NULL ? port->port : serve->port);
        while (*serve->stop == 0)
            nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
        MHD_stop_daemon(daemon); /* waits for the requests that are being answered */
    }
    nm_tag_queue_destroy(&s.queue);
    return err;
}
