#include "cli/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/place.h"
#include "cli/process.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/net.h"

struct nm_stats_client {
    struct nm_socket *socket;
    char endpoint[256], run[64];
};

static void copy_text(char *out, size_t size, const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    (void)snprintf(out, size, "%s", value != NULL ? value : "");
}

static uint64_t get_count(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

enum nm_err nm_endpoints_read(const char *broker_dir, struct nm_endpoints *endpoints, struct nm_diag *diag)
{
    char path[NM_PATH_MAX];
    struct nm_buf text;
    nm_buf_init(&text, 1 << 16);
    enum nm_err err = nm_file_join(broker_dir, "endpoints.json", path, sizeof path);
    if (err == NM_OK)
        err = nm_file_read(path, &text, diag);
    if (err == NM_OK) {
        json_error_t where;
        json_t *root = json_loads(nm_buf_str(&text), 0, &where);
        memset(endpoints, 0, sizeof *endpoints);
        copy_text(endpoints->broker, sizeof endpoints->broker, root, "broker");
        copy_text(endpoints->stats, sizeof endpoints->stats, root, "stats");
        copy_text(endpoints->publish, sizeof endpoints->publish, root, "publish");
        copy_text(endpoints->run, sizeof endpoints->run, root, "run");
        endpoints->pid = json_integer_value(json_object_get(root, "pid"));
        if (endpoints->broker[0] == '\0' || endpoints->stats[0] == '\0')
            err = nm_fail(diag, NM_EFORMAT, "%s: not the endpoints of a broker; remove it and start again", path);
        json_decref(root);
    }
    nm_buf_clean_up(&text);
    return err;
}

enum nm_err nm_stats_find(const char *project, const char *state, struct nm_endpoints *endpoints,
                          struct nm_diag *diag)
{
    struct nm_place place;
    enum nm_err err = nm_place_init(&place, project, state, diag);
    if (err != NM_OK)
        return err;
    if (!nm_file_exists(place.project_file) && state == NULL)
        return nm_fail(diag, NM_ENOENT, "%s: there is no such project", place.project_file);
    err = nm_endpoints_read(place.broker, endpoints, diag);
    if (err == NM_ENOENT)
        return nm_fail(diag, NM_ENET, "nothing runs in %s; start it with: nermill run %s", place.state, project);
    return err;
}

enum nm_err nm_stats_open(const char *endpoint, const char *run, struct nm_stats_client **client,
                          struct nm_diag *diag)
{
    *client = calloc(1, sizeof **client);
    if (*client == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    (void)snprintf((*client)->endpoint, sizeof(*client)->endpoint, "%s", endpoint);
    (void)snprintf((*client)->run, sizeof(*client)->run, "%s", run);
    enum nm_err err = nm_socket_connect(NM_DEALER, endpoint, &(*client)->socket, diag);
    if (err != NM_OK)
        nm_stats_close(client);
    return err;
}

void nm_stats_close(struct nm_stats_client **client)
{
    if (*client == NULL)
        return;
    nm_socket_destroy(&(*client)->socket);
    free(*client);
    *client = NULL;
}

enum nm_err nm_stats_ask(struct nm_stats_client *client, const char *command, int timeout_ms, struct nm_buf *answer,
                         struct nm_diag *diag)
{
    json_t *request = json_pack("{s:s}", "command", command);
    enum nm_err err = nm_stats_request(client, request, timeout_ms, answer, diag);
    json_decref(request);
    return err;
}

static enum nm_err exchange(struct nm_stats_client *client, const char *question, int timeout_ms,
                            struct nm_buf *answer, struct nm_diag *diag)
{
    /* An answer that came too late for the last question is not the answer to this one. */
    while (nm_socket_recv(client->socket, NULL, answer) != NM_EBUSY) {
    }
    int64_t end_ms = nm_clock_mono_ms() + timeout_ms;
    enum nm_err err;
    /* Nothing can be sent before the connection stands. */
    while ((err = nm_socket_send(client->socket, NULL, question, strlen(question))) == NM_EBUSY &&
           nm_clock_mono_ms() < end_ms)
        nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
    while (err == NM_OK) {
        err = nm_socket_recv(client->socket, NULL, answer);
        int64_t left_ms = end_ms - nm_clock_mono_ms();
        if (err != NM_EBUSY || left_ms <= 0)
            break;
        bool ready = false;
        err = nm_net_wait(&client->socket, 1, (int)left_ms, &ready);
    }
    if (err == NM_ECANCELED)
        return nm_fail(diag, err, "stopped");
    if (err == NM_EBUSY)
        return nm_fail(diag, NM_ETIMEOUT, "nothing runs at %s: no answer within %d s", client->endpoint,
                       timeout_ms / 1000);
    if (err != NM_OK)
        return nm_fail(diag, err, "%s: %s", client->endpoint, nm_err_name(err));
    return NM_OK;
}

/* What a broker says that was asked on behalf of another run than its own. */
static enum nm_err check_run(const struct nm_stats_client *client, const struct nm_buf *answer, struct nm_diag *diag)
{
    json_t *root = json_loadb(nm_buf_str(answer), answer->len, JSON_ALLOW_NUL, NULL);
    char run[64], project[256];
    copy_text(run, sizeof run, root, "run");
    copy_text(project, sizeof project, root, "project");
    bool refused = json_object_get(root, "error") != NULL && run[0] != '\0';
    json_decref(root);
    if (!refused)
        return NM_OK;
    return nm_fail(diag, NM_ETIMEOUT,
                   "nothing runs there any more: at %s is now the broker of another run (%s of project %s); start "
                   "yours again with: nermill run",
                   client->endpoint, run, project);
}

enum nm_err nm_stats_request(struct nm_stats_client *client, json_t *request, int timeout_ms, struct nm_buf *answer,
                             struct nm_diag *diag)
{
    if (client->run[0] != '\0')
        json_object_set_new(request, "run", json_string(client->run));
    char *question = json_dumps(request, JSON_COMPACT);
    if (question == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    enum nm_err err = exchange(client, question, timeout_ms, answer, diag);
    free(question);
    return err == NM_OK && client->run[0] != '\0' ? check_run(client, answer, diag) : err;
}

/* Those that are not closed, a line each, as many as there is room for. */
static void parse_circuits(const json_t *endpoints, struct nm_stats *stats)
{
    const json_t *endpoint, *circuit;
    size_t i, k, used = 0, size = sizeof stats->circuits;
    json_array_foreach(endpoints, i, endpoint) json_array_foreach(json_object_get(endpoint, "circuits"), k, circuit)
    {
        char name[200], state[32], worker[100], detail[400], until[64] = "";
        copy_text(name, sizeof name, endpoint, "name");
        copy_text(state, sizeof state, circuit, "state");
        copy_text(worker, sizeof worker, circuit, "worker");
        copy_text(detail, sizeof detail, circuit, "detail");
        if (strcmp(state, "closed") == 0)
            continue;
        int64_t left = json_integer_value(json_object_get(circuit, "until_ms")) - nm_clock_wall_ms();
        if (left > 0)
            (void)snprintf(until, sizeof until, " for %.0f s more", (double)left / 1000);
        int n = snprintf(stats->circuits + used, size - used, "circuit    %s: %s%s at %s: %s\n", name, state, until,
                         worker, detail);
        if (n < 0 || used + (size_t)n >= size) { /* whole ones only */
            stats->circuits[used] = '\0';
            return;
        }
        used += (size_t)n;
    }
}

static void parse_coverage(const json_t *coverage, struct nm_stats *stats)
{
    const json_t *given_up = json_object_get(coverage, "given_up"), *entity;
    size_t i, used = 0, size = sizeof stats->given_up_first;
    stats->min_per_entity = get_count(coverage, "min_per_entity");
    stats->asked_again = get_count(coverage, "asked_again");
    stats->entities_short = get_count(coverage, "short");
    stats->given_up = get_count(given_up, "count");
    json_array_foreach(json_object_get(given_up, "first"), i, entity)
    {
        const char *text = json_string_value(json_object_get(entity, "text"));
        int n =
            snprintf(stats->given_up_first + used, size - used, "%s%s (%llu of %llu texts, %llu rejected)",
                     i > 0 ? ", " : "", text != NULL ? text : "?", (unsigned long long)get_count(entity, "accepted"),
                     (unsigned long long)stats->min_per_entity, (unsigned long long)get_count(entity, "rejected"));
        if (n < 0 || used + (size_t)n >= size) { /* whole ones only */
            stats->given_up_first[used] = '\0';
            break;
        }
        used += (size_t)n;
    }
}

static void parse_training(const json_t *training, struct nm_stats *stats)
{
    const json_t *score = json_object_get(training, "score");
    const char *state = json_string_value(json_object_get(training, "state"));
    char scored[100] = "";
    if (state == NULL)
        return;
    if (json_is_object(score))
        (void)snprintf(scored, sizeof scored, "; %s F1 %.4f after step %llu",
                       json_string_value(json_object_get(score, "of")) != NULL
                           ? json_string_value(json_object_get(score, "of"))
                           : "?",
                       json_number_value(json_object_get(score, "f1")), (unsigned long long)get_count(score, "step"));
    (void)snprintf(
        stats->training, sizeof stats->training,
        "%s: step %llu of %llu, epoch %.1f of %llu, loss %.4f, rate %.3g, gradient norm %.3g, %.0f tokens/s%s", state,
        (unsigned long long)get_count(training, "step"), (unsigned long long)get_count(training, "steps"),
        json_number_value(json_object_get(training, "epoch")), (unsigned long long)get_count(training, "epochs"),
        json_number_value(json_object_get(training, "loss")),
        json_number_value(json_object_get(training, "learning_rate")),
        json_number_value(json_object_get(training, "grad_norm")),
        json_number_value(json_object_get(training, "tokens_per_s")), scored);
}

enum nm_err nm_stats_parse(const char *text, struct nm_stats *stats, struct nm_diag *diag)
{
    memset(stats, 0, sizeof *stats);
    json_t *root = json_loads(text, 0, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return nm_fail(diag, NM_EFORMAT, "the broker's answer is no JSON object; is it of another version?");
    }
    copy_text(stats->run, sizeof stats->run, root, "run");
    copy_text(stats->project, sizeof stats->project, root, "project");
    stats->goal = get_count(root, "goal");
    stats->accepted = get_count(root, "accepted");
    stats->rejected = get_count(root, "rejected");
    stats->responses = get_count(root, "responses");
    stats->aligned = get_count(root, "aligned");
    stats->leased = get_count(root, "leased");
    stats->dead = get_count(root, "dead");
    stats->complete = json_is_true(json_object_get(root, "complete"));
    stats->not_recorded = get_count(json_object_get(root, "rejected_by_rule"), "not_recorded");
    stats->dropped = get_count(json_object_get(root, "tasks"), "dropped");
    const json_t *tasks = json_object_get(root, "tasks");
    stats->waiting = get_count(tasks, "accepted") + get_count(tasks, "aligning");
    const char *state = json_string_value(json_object_get(root, "state"));
    stats->budget = state != NULL && strcmp(state, "budget") == 0;
    stats->stuck = state != NULL && strcmp(state, "stuck") == 0;
    stats->rate_per_min = json_number_value(json_object_get(root, "rate_per_min"));
    parse_coverage(json_object_get(root, "coverage"), stats);
    parse_circuits(json_object_get(root, "endpoints"), stats);
    parse_training(json_object_get(root, "training"), stats);
    const json_t *failure = json_object_get(root, "last_failure");
    if (json_is_object(failure)) {
        char endpoint[200], detail[256];
        copy_text(endpoint, sizeof endpoint, failure, "endpoint");
        copy_text(detail, sizeof detail, failure, "detail");
        (void)snprintf(stats->trouble, sizeof stats->trouble, "%s: %s", endpoint, detail);
    }
    stats->held = state != NULL &&
                  (strcmp(state, "paused") == 0 || strcmp(state, "draining") == 0 || strcmp(state, "drained") == 0);
    if (stats->held)
        (void)snprintf(stats->trouble, sizeof stats->trouble, "%s by an operator; nermill resume goes on", state);
    json_decref(root);
    return NM_OK;
}
