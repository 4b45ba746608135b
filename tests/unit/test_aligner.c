/* The real nermill-aligner against a broker that this test plays: redelivery, kills, restarts on both sides, shards
 * over the wire, export, and what it says when it can't start.  NERMILL_ALIGNER is the program (set by CMake). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/net.h"
#include "schemas/messages.h"
#include "schemas/shard.h"

enum { TASKS_MAX = 1000, PROBE = TASKS_MAX, PATIENCE_MS = 20000 };

#define PROJECT                                                                                                      \
    "version: 1\nentities:\n  - type: Chemical\n    file: c.txt\nendpoints:\n  - url: http://127.0.0.1:1/v1\n"       \
    "    model: m\naligner:\n  shard_samples: 8\n"
#define ENTITIES "Chemical\tnaloxone\nDisease\theart failure\n"

/* The broker's side. */
struct fixture {
    char dir[64], state[96], log[96], run[32], endpoint[128];
    struct nm_socket *socket;
    struct nm_buf in, out;
    struct nm_arena arena;
    struct nm_peer peer;
    bool known, goodbye;
    size_t hellos, holding;
    char shards[NM_NAME_MAX + 1]; /* where the aligner serves */
    unsigned aligned[TASKS_MAX];
    size_t n_aligned; /* different tasks */
    size_t probed;    /* PROBE, not counted among them */
    uint64_t tokens, mentions;
    char rule[64];
    pid_t pid;
};

static void listen_at(struct fixture *f, const char *endpoint)
{
    struct nm_diag diag;
    enum nm_err err = NM_EBUSY;
    for (int tries = 0; err == NM_EBUSY && tries < 500; tries++) { /* libzmq closes a socket in the background */
        err = nm_socket_bind(NM_ROUTER, endpoint, &f->socket, &diag);
        if (err == NM_EBUSY)
            (void)usleep(10000);
    }
    if (err != NM_OK)
        fail_msg("%s", diag.text);
    (void)snprintf(f->endpoint, sizeof f->endpoint, "%s", nm_socket_endpoint(f->socket));
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    (void)strcpy(f->dir, "/tmp/nermill-aligner-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->state, sizeof f->state, "%s/state", f->dir);
    (void)snprintf(f->log, sizeof f->log, "%s/log", f->dir);
    (void)strcpy(f->run, "run-1");
    nm_buf_init(&f->in, NM_FRAME_MAX);
    nm_buf_init(&f->out, NM_FRAME_MAX);
    nm_arena_init(&f->arena, 0);
    listen_at(f, "tcp://127.0.0.1:*");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[128];
    if (f->pid > 0) {
        (void)kill(f->pid, SIGKILL);
        (void)waitpid(f->pid, NULL, 0);
    }
    nm_socket_destroy(&f->socket);
    nm_buf_clean_up(&f->in);
    nm_buf_clean_up(&f->out);
    nm_arena_clean_up(&f->arena);
    (void)snprintf(command, sizeof command, "rm -rf %s", f->dir);
    int rc = system(command); /* NOLINT: a directory of our own */
    free(f);
    return rc;
}

static const char *program(void)
{
    const char *path = getenv("NERMILL_ALIGNER");
    if (path == NULL) {
        fail_msg("NERMILL_ALIGNER is not set: run by ctest");
        abort(); /* not reached, which only cmocka knows */
    }
    return path;
}

static void start_with(struct fixture *f, char *const *argv)
{
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        int fd = open(f->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        (void)dup2(fd, STDERR_FILENO);
        execv(argv[0], argv);
        _exit(127);
    }
}

static void start(struct fixture *f, const char *wait_s)
{
    char *argv[] = {(char *)(uintptr_t)program(), "--broker", f->endpoint, "--state", f->state, "--wait",
                    (char *)(uintptr_t)wait_s,    NULL};
    f->known = false;
    start_with(f, argv);
}

/* Wait for the program's end and return its exit code (minus the signal that killed it). */
static int ended(struct fixture *f)
{
    int status;
    for (int64_t end = nm_clock_mono_ms() + PATIENCE_MS; nm_clock_mono_ms() < end; (void)usleep(5000)) {
        if (waitpid(f->pid, &status, WNOHANG) != f->pid)
            continue;
        f->pid = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    fail_msg("the aligner does not end");
    return 0;
}

/* The program's log, in static memory. */
static const char *read_log(struct fixture *f)
{
    static char text[1 << 16];
    FILE *file = fopen(f->log, "re");
    size_t n = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    text[n] = '\0';
    if (file != NULL)
        (void)fclose(file);
    return text;
}

static void check_log(struct fixture *f, const char *want)
{
    if (strstr(read_log(f), want) == NULL)
        fail_msg("\"%s\" is not in the log:\n%s", want, read_log(f));
}

/* ---- the broker --------------------------------------------------------------------------------------------------
 */

static void send_msg(struct fixture *f, const struct nm_msg *msg)
{
    nm_buf_reset(&f->out);
    assert_int_equal(nm_msg_encode(msg, &f->out), NM_OK);
    enum nm_err err = nm_socket_send(f->socket, &f->peer, f->out.data, f->out.len);
    assert_true(err == NM_OK || err == NM_ENOENT); /* it may just have been killed */
}

static void send_blob(struct fixture *f, const struct nm_msg_blob_read *read)
{
    const char *blob = strcmp(read->name.ptr, "project") == 0 ? PROJECT : ENTITIES;
    struct nm_msg none = {.type = NM_MSG_blob_data, .u.blob_data = {.name = read->name, .error = nm_str("none")}};
    if (strncmp(read->name.ptr, "index/", 6) == 0) {
        send_msg(f, &none);
        return;
    }
    struct nm_msg msg = {.type = NM_MSG_blob_data,
                         .u.blob_data = {.name = read->name,
                                         .total = strlen(blob),
                                         .checksum = nm_hash64(blob, strlen(blob), 0),
                                         .digest = nm_hash64(blob, strlen(blob), 0),
                                         .data = nm_str(blob)}};
    send_msg(f, &msg);
}

static void on_aligned(struct fixture *f, const struct nm_msg_aligned *aligned)
{
    if (aligned->task == PROBE) {
        f->probed++;
        return;
    }
    assert_true(aligned->task < TASKS_MAX);
    f->n_aligned += f->aligned[aligned->task]++ == 0;
    f->tokens = aligned->tokens;
    f->mentions = aligned->mentions;
    (void)snprintf(f->rule, sizeof f->rule, "%s", aligned->rule.ptr);
}

static void on_hello(struct fixture *f, const struct nm_msg_hello *hello)
{
    struct nm_msg welcome = {
        .type = NM_MSG_welcome,
        .u.welcome = {.protocol = NM_PROTOCOL_VERSION, .run = nm_str(f->run), .heartbeat_ms = 200, .lease_ms = 5000}};
    assert_string_equal(hello->role.ptr, "aligner");
    f->known = true;
    f->hellos++;
    f->holding = hello->n_holding;
    memcpy(f->shards, hello->endpoint.ptr, hello->endpoint.len + 1);
    send_msg(f, &welcome);
}

static void on_frame(struct fixture *f)
{
    struct nm_msg msg;
    struct nm_diag diag;
    struct nm_msg directory = {.type = NM_MSG_directory, .u.directory.run = nm_str(f->run)};
    struct nm_msg stranger = {.type = NM_MSG_error, .u.error = {.code = NM_ESTATE, .text = nm_str("who?")}};
    struct nm_msg beat = {.type = NM_MSG_heartbeat};
    nm_arena_reset(&f->arena);
    if (nm_msg_decode(f->in.data, f->in.len, &f->arena, &msg, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    if (msg.type == NM_MSG_directory_read)
        send_msg(f, &directory);
    else if (msg.type == NM_MSG_blob_read)
        send_blob(f, &msg.u.blob_read);
    else if (msg.type == NM_MSG_hello)
        on_hello(f, &msg.u.hello);
    else if (msg.type == NM_MSG_goodbye)
        f->goodbye = true;
    else if (!f->known)
        send_msg(f, &stranger);
    else if (msg.type == NM_MSG_heartbeat)
        send_msg(f, &beat);
    else if (msg.type == NM_MSG_aligned)
        on_aligned(f, &msg.u.aligned);
}

/* Serve until *count reaches want, or for ms if count is NULL. */
static void serve(struct fixture *f, const size_t *count, size_t want, int ms)
{
    int64_t end = nm_clock_mono_ms() + ms;
    while (count == NULL || *count < want) {
        bool ready;
        int64_t now = nm_clock_mono_ms();
        if (now >= end && count == NULL)
            return;
        if (now >= end)
            fail_msg("waited in vain for %zu, got %zu; the log:\n%s", want, *count, read_log(f));
        (void)nm_net_wait(&f->socket, 1, 20, &ready);
        while (nm_socket_recv(f->socket, &f->peer, &f->in) == NM_OK)
            on_frame(f);
    }
}

static void send_align(struct fixture *f, uint64_t task, const char *text)
{
    struct nm_msg msg = {.type = NM_MSG_align,
                         .u.align = {.task = task,
                                     .attempt = 1,
                                     .text = nm_str(text),
                                     .prompt_hash = nm_str("00ff"),
                                     .model = nm_str("m"),
                                     .seed = 7}};
    send_msg(f, &msg);
}

static void send_ack(struct fixture *f, uint64_t first, uint64_t n, bool keep)
{
    struct nm_msg_hold items[TASKS_MAX];
    for (uint64_t i = 0; i < n; i++)
        items[i] = (struct nm_msg_hold){.task = first + i, .attempt = 1, .keep = keep};
    struct nm_msg msg = {.type = NM_MSG_ack, .u.ack = {.items = items, .n_items = n}};
    send_msg(f, &msg);
}

static void forget(struct fixture *f)
{
    memset(f->aligned, 0, sizeof f->aligned);
    f->n_aligned = f->hellos = 0;
}

/* ---- the trainer's side ------------------------------------------------------------------------------------------
 */

/* A whole blob from the aligner, chunk by chunk of at most chunk bytes; the error text if there is none. */
static void fetch(struct fixture *f, const char *name, uint64_t chunk, struct nm_buf *blob, char *error)
{
    struct nm_socket *socket;
    struct nm_diag diag;
    struct nm_arena arena;
    struct nm_buf in;
    uint64_t total = 1;
    assert_int_equal(nm_socket_connect(NM_DEALER, f->shards, &socket, &diag), NM_OK);
    nm_buf_init(&in, NM_FRAME_MAX);
    nm_arena_init(&arena, 0);
    nm_buf_reset(blob);
    for (*error = '\0'; blob->len < total && *error == '\0';) {
        struct nm_msg msg = {.type = NM_MSG_blob_read,
                             .u.blob_read = {.name = nm_str(name), .offset = blob->len, .length = chunk}};
        bool ready = false;
        nm_buf_reset(&in);
        assert_int_equal(nm_msg_encode(&msg, &in), NM_OK);
        for (int tries = 0; nm_socket_send(socket, NULL, in.data, in.len) != NM_OK; (void)usleep(10000))
            assert_true(tries++ < 500);
        for (int tries = 0; nm_socket_recv(socket, NULL, &in) != NM_OK; (void)nm_net_wait(&socket, 1, 20, &ready))
            assert_true(tries++ < 500);
        assert_int_equal(nm_msg_decode(in.data, in.len, &arena, &msg, &diag), NM_OK);
        assert_int_equal(msg.type, NM_MSG_blob_data);
        const struct nm_msg_blob_data *data = &msg.u.blob_data;
        assert_true(data->error.len > 0 || (data->offset == blob->len && data->data.len <= chunk));
        assert_true(data->checksum == nm_hash64(data->data.ptr, data->data.len, 0) || data->error.len > 0);
        (void)snprintf(error, 256, "%.255s", data->error.ptr);
        total = data->total;
        assert_int_equal(nm_buf_add(blob, data->data.ptr, data->data.len), NM_OK);
        if (*error == '\0' && blob->len == total)
            assert_true(data->digest == nm_hash64(blob->data, blob->len, 0));
    }
    nm_socket_destroy(&socket);
    nm_arena_clean_up(&arena);
    nm_buf_clean_up(&in);
}

/* All shards: want samples, each task at most once; seen[task] is set. */
static void check_shards(struct fixture *f, size_t want, bool seen[TASKS_MAX])
{
    struct nm_buf blob;
    struct nm_arena arena;
    struct nm_index index;
    struct nm_diag diag;
    char error[256];
    size_t n = 0;
    nm_buf_init(&blob, 1 << 24);
    nm_arena_init(&arena, 0);
    memset(seen, 0, TASKS_MAX * sizeof *seen);
    fetch(f, "index", 50, &blob, error);
    assert_string_equal(error, "");
    assert_int_equal(nm_index_decode(blob.data, blob.len, &arena, &index, &diag), NM_OK);
    assert_int_equal(index.samples, want);
    assert_int_equal(index.n_shards, (want + 7) / 8);
    for (size_t i = 0; i < index.n_shards; i++) {
        struct nm_shard_reader reader;
        const void *record;
        size_t len;
        char name[32];
        (void)snprintf(name, sizeof name, "shard/%zu", i);
        fetch(f, name, 333, &blob, error);
        assert_string_equal(error, "");
        assert_true(nm_hash64(blob.data, blob.len, 0) == index.shards[i].digest);
        assert_int_equal(nm_shard_open(blob.data, blob.len, &reader, &diag), NM_OK);
        while (nm_shard_next(&reader, &record, &len) == NM_OK) {
            struct nm_msg_sample sample;
            assert_int_equal(nm_sample_decode(record, len, &arena, &sample, &diag), NM_OK);
            assert_true(sample.task < TASKS_MAX && !seen[sample.task]);
            seen[sample.task] = true;
            n++;
        }
    }
    assert_int_equal(n, want);
    nm_arena_clean_up(&arena);
    nm_buf_clean_up(&blob);
}

/* What "export" writes. */
static void export_to(struct fixture *f, const char *format, struct nm_buf *out)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/export", f->dir);
    char *argv[] = {(char *)(uintptr_t)program(), "export", "--state", f->state, "--format",
                    (char *)(uintptr_t)format,    "--out",  path,      NULL};
    pid_t aligner = f->pid;
    start_with(f, argv);
    assert_int_equal(ended(f), 0);
    f->pid = aligner;
    nm_buf_reset(out);
    assert_int_equal(nm_file_read(path, out, NULL), NM_OK);
}

/* ---- tests -------------------------------------------------------------------------------------------------------
 */

static void test_flow(void **state)
{
    struct fixture *f = *state;
    bool seen[TASKS_MAX];
    struct nm_buf out;
    char error[256];
    nm_buf_init(&out, 1 << 24);
    start(f, "20");
    serve(f, &f->hellos, 1, PATIENCE_MS);
    assert_int_equal(f->holding, 0);
    assert_true(strncmp(f->shards, "tcp://127.0.0.1:", 16) == 0);

    for (uint64_t i = 0; i < 25; i++)
        send_align(f, i, "Naloxone and heart failure.");
    serve(f, &f->n_aligned, 25, PATIENCE_MS);
    assert_int_equal(f->tokens, 5);
    assert_int_equal(f->mentions, 2);
    check_shards(f, 0, seen); /* none is acknowledged yet */

    forget(f); /* killed before the acks: all of it is handed in again */
    (void)kill(f->pid, SIGKILL);
    assert_int_equal(ended(f), -SIGKILL);
    start(f, "20");
    serve(f, &f->hellos, 1, PATIENCE_MS);
    assert_int_equal(f->holding, 25);
    serve(f, &f->n_aligned, 25, PATIENCE_MS);

    send_ack(f, 0, 20, true);
    send_ack(f, 20, 5, false);
    forget(f);
    for (uint64_t i = 0; i < 3; i++) /* delivered again behind their acks */
        send_align(f, i, "Naloxone and heart failure.");
    serve(f, &f->n_aligned, 3, PATIENCE_MS);
    send_ack(f, 0, 3, true);
    forget(f);
    send_align(f, 500, " \n");
    serve(f, &f->n_aligned, 1, PATIENCE_MS);
    assert_string_equal(f->rule, "empty");

    check_shards(f, 20, seen);
    for (size_t i = 0; i < 25; i++)
        assert_int_equal(seen[i], i < 20);
    fetch(f, "shard/3", 100, &out, error);
    assert_non_null(strstr(error, "not found"));
    fetch(f, "../etc", 100, &out, error);
    assert_non_null(strstr(error, "shard/<number>"));

    export_to(f, "conll", &out); /* beside the live aligner */
    static const char sentence[] = "Naloxone\tB-Chemical\nand\tO\nheart\tB-Disease\nfailure\tI-Disease\n.\tO\n\n";
    assert_int_equal(out.len, 20 * strlen(sentence));
    for (size_t i = 0; i < 20; i++)
        assert_memory_equal(out.data + i * strlen(sentence), sentence, strlen(sentence));
    export_to(f, "jsonl", &out);
    static const char first[] =
        "{\"id\":0,\"text\":\"Naloxone and heart failure.\",\"tokens\":[\"Naloxone\",\"and\",\"heart\",\"failure\","
        "\".\"],\"tags\":[\"B-Chemical\",\"O\",\"B-Disease\",\"I-Disease\",\"O\"],"
        "\"offsets\":[[0,8],[9,12],[13,18],[19,26],[26,27]],"
        "\"entities\":[{\"start\":0,\"end\":8,\"type\":\"Chemical\",\"text\":\"Naloxone\",\"requested\":false,"
        "\"index\":0},{\"start\":13,\"end\":26,\"type\":\"Disease\",\"text\":\"heart failure\",\"requested\":false,"
        "\"index\":1}],\"provenance\":{\"task\":0,\"attempt\":1,\"prompt_hash\":\"00ff\",\"model\":\"m\",\"seed\":7,"
        "\"constraint\":\"\"}}\n";
    assert_memory_equal(out.data, first, strlen(first));

    (void)kill(f->pid, SIGTERM);
    assert_int_equal(ended(f), 130);
    serve(f, NULL, 0, 100);
    assert_true(f->goodbye);
    nm_buf_clean_up(&out);
}

/* Kills at random moments; whatever was not said to be aligned is delivered again.  At the end: all, each once. */
static void test_kills(void **state)
{
    struct fixture *f = *state;
    bool seen[TASKS_MAX];
    struct nm_rng rng;
    nm_rng_init(&rng, 3);
    for (int round = 0; round < 6; round++) {
        f->hellos = 0;
        start(f, "20");
        serve(f, &f->hellos, 1, PATIENCE_MS);
        for (uint64_t i = 0; i < TASKS_MAX; i++)
            if (f->aligned[i] == 0)
                send_align(f, i, "Heart failure after naloxone, again and again.");
        serve(f, NULL, 0, (int)nm_rng_below(&rng, 12));
        for (uint64_t i = 0; i < TASKS_MAX; i++)
            if (f->aligned[i] > 0 && nm_rng_below(&rng, 2) == 0)
                send_ack(f, i, 1, true);
        serve(f, NULL, 0, (int)nm_rng_below(&rng, 6));
        (void)kill(f->pid, SIGKILL);
        assert_int_equal(ended(f), -SIGKILL);
    }
    f->hellos = 0;
    start(f, "20");
    serve(f, &f->hellos, 1, PATIENCE_MS);
    for (uint64_t i = 0; i < TASKS_MAX; i++)
        if (f->aligned[i] == 0)
            send_align(f, i, "Heart failure after naloxone, again and again.");
    serve(f, &f->n_aligned, TASKS_MAX, PATIENCE_MS);
    send_ack(f, 0, TASKS_MAX, true);
    forget(f);
    send_align(f, PROBE, "behind the acks"); /* answered when they are committed, unlike what is handed in again */
    serve(f, &f->probed, 1, PATIENCE_MS);
    check_shards(f, TASKS_MAX, seen);
}

/* The broker goes and comes back at the same address. */
static void test_broker_restart(void **state)
{
    struct fixture *f = *state;
    char endpoint[128];
    start(f, "20");
    serve(f, &f->hellos, 1, PATIENCE_MS);
    send_align(f, 1, "naloxone");
    serve(f, &f->n_aligned, 1, PATIENCE_MS);
    (void)strcpy(endpoint, f->endpoint);
    nm_socket_destroy(&f->socket);
    forget(f);
    f->known = false;
    listen_at(f, endpoint);
    serve(f, &f->n_aligned, 1, PATIENCE_MS);
    assert_true(f->hellos >= 1);
    assert_int_equal(f->holding, 1);
    (void)kill(f->pid, SIGTERM);
    assert_int_equal(ended(f), 130);
}

static void test_no_start(void **state)
{
    struct fixture *f = *state;
    start(f, "20");
    serve(f, &f->hellos, 1, PATIENCE_MS);
    send_align(f, 1, "naloxone");
    serve(f, &f->n_aligned, 1, PATIENCE_MS);

    pid_t first = f->pid; /* a second one in the same directory */
    f->hellos = 0;
    start(f, "20");
    for (int status; waitpid(f->pid, &status, WNOHANG) == 0;)
        serve(f, NULL, 0, 20);
    f->pid = 0;
    check_log(f, "in use by process");
    f->pid = first;

    char *argv[] = {
        (char *)(uintptr_t)program(), "--broker", f->endpoint, "--state", f->dir, "--bind", f->shards, NULL};
    start_with(f, argv); /* the first one's port */
    int code = ended(f);
    check_log(f, "the port is in use");
    assert_int_equal(code, 5);
    f->pid = first;
    (void)kill(f->pid, SIGTERM);
    assert_int_equal(ended(f), 130);

    (void)strcpy(f->run, "run-2"); /* another run's broker */
    start(f, "20");
    for (int status; waitpid(f->pid, &status, WNOHANG) == 0;)
        serve(f, NULL, 0, 20);
    f->pid = 0;
    check_log(f, "give --state another directory");

    nm_socket_destroy(&f->socket); /* nobody */
    start(f, "1");
    assert_int_equal(ended(f), 4);
    check_log(f, "does not answer");
}

static void test_command_line(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *args[6];
        int code;
    } cases[] = {{{"--help"}, 0},
                 {{"--version"}, 0},
                 {{NULL}, 2},
                 {{"--broker", "tcp://127.0.0.1:1"}, 2},
                 {{"--nonsense"}, 2},
                 {{"frobnicate"}, 2},
                 {{"--broker", "nowhere", "--state", "x"}, 3},
                 {{"export", "--state", "/nonexistent", "--format", "conll"}, 3},
                 {{"export", "--state", "/nonexistent", "--format", "xml"}, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *argv[8] = {(char *)(uintptr_t)program()};
        for (size_t j = 0; j < 6; j++)
            argv[j + 1] = (char *)(uintptr_t)cases[i].args[j];
        start_with(f, argv);
        assert_int_equal(ended(f), cases[i].code);
    }
}

int main(void)
{
    nm_net_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_flow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kills, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_broker_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_command_line, set_up, tear_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nm_net_clean_up();
    return failed;
}
