/* Pulling samples: a broker and two aligners played by a thread, on real sockets. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/hash.h"
#include "common/net.h"
#include "schemas/messages.h"
#include "schemas/shard.h"
#include "workers/trainer/pull.h"

enum { N_ALIGNERS = 2, BROKER = N_ALIGNERS, N_SOCKETS = N_ALIGNERS + 1, SHARDS = 2, CHUNK = 100 };

enum scenario { GOOD, OTHER_RUN, DAMAGED_SHARD, GROWING, EMPTY, SET_ASIDE };

static struct {
    struct nm_socket *sockets[N_SOCKETS];
    struct nm_buf index[N_ALIGNERS], shards[N_ALIGNERS][SHARDS];
    enum scenario scenario;
    unsigned index_reads;
    atomic_bool stop;
    pthread_t thread;
} play;

/* ---- the data -------------------------------------------------------------------------------- */

static const char texts[][16] = {"Zinc helps .", "No cough .", "Iron !", "Fever ."};

/* Aligner 0 has tasks 7 and 2 (shard 0) and 5 (shard 1); aligner 1 has 3 and again 5. */
static const uint64_t tasks[N_ALIGNERS][SHARDS][2] = {{{7, 2}, {5, 0}}, {{3, 5}, {0, 0}}};
static const unsigned counts[N_ALIGNERS][SHARDS] = {{2, 1}, {2, 0}};

static void add_sample(struct nm_buf *shard, uint64_t task)
{
    const char *text = texts[task % 4];
    struct nm_msg_token tokens[4];
    struct nm_buf record;
    size_t n = 0;
    for (size_t i = 0; text[i] != '\0'; n++) {
        size_t len = strcspn(text + i, " ");
        bool entity = text[i] == 'Z' || text[i] == 'I' || text[i] == 'F' || text[i] == 'c';
        tokens[n] = (struct nm_msg_token){.start = i, .end = i + len, .tag = nm_str(entity ? "B-X" : "O")};
        i += len + (text[i + len] == ' ');
    }
    const struct nm_msg_sample sample = {
        .task = task, .attempt = 1, .text = nm_str(text), .tokens = tokens, .n_tokens = n};
    nm_buf_init(&record, 1 << 16);
    assert_int_equal(nm_sample_encode(&sample, &record), NM_OK);
    assert_int_equal(nm_shard_add(shard, record.data, record.len), NM_OK);
    nm_buf_clean_up(&record);
}

static void build(void)
{
    for (size_t a = 0; a < N_ALIGNERS; a++) {
        struct nm_index_shard entries[SHARDS];
        size_t n = 0;
        size_t samples = 0;
        for (size_t s = 0; s < SHARDS; s++) {
            samples += counts[a][s];
            struct nm_buf *shard = &play.shards[a][s];
            nm_buf_init(shard, 1 << 20);
            assert_int_equal(nm_shard_begin(shard, s), NM_OK);
            for (size_t i = 0; i < counts[a][s]; i++)
                add_sample(shard, tasks[a][s][i]);
            assert_int_equal(nm_shard_finish(shard), NM_OK);
            if (counts[a][s] > 0)
                entries[n++] = (struct nm_index_shard){.number = s,
                                                       .count = counts[a][s],
                                                       .bytes = shard->len,
                                                       .digest = nm_hash64(shard->data, shard->len, 0),
                                                       .sealed = s == 0};
        }
        const struct nm_index index = {
            .run = "run-1", .shard_samples = 2, .samples = samples, .shards = entries, .n_shards = n};
        nm_buf_init(&play.index[a], 1 << 16);
        assert_int_equal(nm_index_encode(&index, &play.index[a]), NM_OK);
    }
}

/* ---- the servers ----------------------------------------------------------------------------- */

static void answer_blob(struct nm_msg *out, const struct nm_msg_blob_read *read, const char *data, size_t len)
{
    size_t from = read->offset < len ? (size_t)read->offset : len, n = len - from < CHUNK ? len - from : CHUNK;
    out->type = NM_MSG_blob_data;
    out->u.blob_data = (struct nm_msg_blob_data){.name = read->name,
                                                 .offset = from,
                                                 .total = len,
                                                 .checksum = nm_hash64(data + from, n, 0),
                                                 .digest = nm_hash64(data, len, 0),
                                                 .data = {data + from, n}};
}

static void answer(size_t socket, const struct nm_msg *in, struct nm_msg *out, struct nm_msg_aligner *aligners)
{
    static const char project[] = "name: played\n";
    const char *name = in->type == NM_MSG_blob_read ? in->u.blob_read.name.ptr : "";
    unsigned shard;
    if (in->type == NM_MSG_directory_read && socket == BROKER) {
        for (size_t a = 0; a < N_ALIGNERS; a++)
            aligners[a] = (struct nm_msg_aligner){.worker = nm_str(a == 0 ? "w0" : "w1"),
                                                  .endpoint = nm_str(nm_socket_endpoint(play.sockets[a])),
                                                  .samples = play.scenario == EMPTY ? 0 : 3 - a};
        out->type = NM_MSG_directory;
        out->u.directory = (struct nm_msg_directory){.run = nm_str(play.scenario == OTHER_RUN ? "run-2" : "run-1"),
                                                     .complete = true,
                                                     .aligned = 4,
                                                     .aligners = aligners,
                                                     .n_aligners = N_ALIGNERS};
    } else if (socket == BROKER && strcmp(name, "project") == 0) {
        answer_blob(out, &in->u.blob_read, project, sizeof(project) - 1);
    } else if (socket == BROKER && strcmp(name, "aside") == 0) {
        const char *aside = play.scenario == SET_ASIDE ? "0 2\n4 6\n" : "";
        answer_blob(out, &in->u.blob_read, aside, strlen(aside));
    } else if (socket < BROKER && strcmp(name, "index") == 0) {
        play.index_reads += in->u.blob_read.offset == 0;
        answer_blob(out, &in->u.blob_read, play.index[socket].data, play.index[socket].len);
    } else if (socket < BROKER && sscanf(name, "shard/%u", &shard) == 1 && shard < SHARDS) {
        const struct nm_buf *blob = &play.shards[socket][shard];
        if ((play.scenario == DAMAGED_SHARD && shard == 0) ||
            (play.scenario == GROWING && shard == 1 && play.index_reads < 3))
            blob = &play.shards[1][1]; /* something else */
        answer_blob(out, &in->u.blob_read, blob->data, blob->len);
    }
}

static void *serve(void *unused)
{
    struct nm_buf frame, reply;
    struct nm_arena arena;
    nm_buf_init(&frame, NM_FRAME_MAX);
    nm_buf_init(&reply, NM_FRAME_MAX);
    nm_arena_init(&arena, 0);
    while (!atomic_load(&play.stop)) {
        bool ready[N_SOCKETS];
        (void)nm_net_wait(play.sockets, N_SOCKETS, 20, ready);
        for (size_t s = 0; s < N_SOCKETS; s++) {
            struct nm_peer peer;
            while (nm_socket_recv(play.sockets[s], &peer, &frame) == NM_OK) {
                struct nm_msg in, out = {0};
                struct nm_msg_aligner aligners[N_ALIGNERS];
                nm_arena_reset(&arena);
                nm_buf_reset(&reply);
                if (nm_msg_decode(frame.data, frame.len, &arena, &in, NULL) != NM_OK)
                    continue;
                answer(s, &in, &out, aligners);
                if (out.type != 0 && nm_msg_encode(&out, &reply) == NM_OK)
                    (void)nm_socket_send(play.sockets[s], &peer, reply.data, reply.len);
            }
        }
    }
    nm_buf_clean_up(&frame);
    nm_buf_clean_up(&reply);
    nm_arena_clean_up(&arena);
    return unused;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void pull(enum scenario scenario, enum nm_err expected, struct nm_corpus *corpus, struct nm_diag *diag)
{
    const char *endpoint = nm_socket_endpoint(play.sockets[BROKER]);
    const struct nm_pull p = {.broker = endpoint, .timeout_ms = 10000};
    struct nm_buf project;
    play.scenario = scenario;
    play.index_reads = 0;
    atomic_store(&play.stop, false);
    assert_int_equal(pthread_create(&play.thread, NULL, serve, NULL), 0);
    nm_buf_init(&project, 1 << 16);
    nm_corpus_init(corpus);
    diag->text[0] = '\0';
    enum nm_err err = nm_pull_corpus(&p, &project, corpus, diag);
    atomic_store(&play.stop, true);
    pthread_join(play.thread, NULL);
    if (err != expected)
        fail_msg("%s: %s", nm_err_name(err), diag->text);
    assert_string_equal(nm_buf_str(&project), "name: played\n");
    nm_buf_clean_up(&project);
}

static void check_corpus(const struct nm_corpus *corpus)
{
    static const char *const first[] = {"Iron", "Fever", "No", "Fever"}; /* tasks 2, 3, 5, 7 */
    assert_int_equal(corpus->n, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(corpus->sentences[i].words[0].text, first[i]);
    assert_int_equal(corpus->sentences[2].n, 3);
    assert_int_equal(corpus->sentences[2].tags[1], 1);
    assert_string_equal(corpus->types[0], "X");
}

static void test_sorted_and_once_each(void **state)
{
    (void)state;
    struct nm_corpus corpus;
    struct nm_diag diag;
    pull(GOOD, NM_OK, &corpus, &diag);
    check_corpus(&corpus);
    nm_corpus_clean_up(&corpus);
}

static void test_what_is_set_aside_is_left_out(void **state)
{
    (void)state;
    struct nm_corpus corpus;
    struct nm_diag diag;
    pull(SET_ASIDE, NM_OK, &corpus, &diag);
    assert_int_equal(corpus.n, 2); /* tasks 3 and 7 */
    assert_string_equal(corpus.sentences[0].words[0].text, "Fever");
    assert_string_equal(corpus.sentences[1].words[0].text, "Fever");
    nm_corpus_clean_up(&corpus);
}

static void test_shard_that_grows_is_read_again(void **state)
{
    (void)state;
    struct nm_corpus corpus;
    struct nm_diag diag;
    pull(GROWING, NM_OK, &corpus, &diag);
    check_corpus(&corpus);
    assert_true(play.index_reads >= 3);
    nm_corpus_clean_up(&corpus);
}

static void test_what_is_wrong_is_said(void **state)
{
    (void)state;
    struct nm_corpus corpus;
    struct nm_diag diag;
    pull(OTHER_RUN, NM_EFORMAT, &corpus, &diag);
    assert_non_null(strstr(diag.text, "run run-1, the broker's is run-2"));
    nm_corpus_clean_up(&corpus);
    pull(DAMAGED_SHARD, NM_EFORMAT, &corpus, &diag);
    assert_non_null(strstr(diag.text, "shard/0 is not what its index says"));
    nm_corpus_clean_up(&corpus);
    pull(EMPTY, NM_ENOENT, &corpus, &diag);
    assert_non_null(strstr(diag.text, "no sample yet"));
    nm_corpus_clean_up(&corpus);
}

static void test_nobody_there(void **state)
{
    (void)state;
    const struct nm_pull p = {.broker = "tcp://127.0.0.1:1", .timeout_ms = 300};
    struct nm_buf project;
    struct nm_corpus corpus;
    struct nm_diag diag = {""};
    nm_buf_init(&project, 1 << 16);
    nm_corpus_init(&corpus);
    assert_int_equal(nm_pull_corpus(&p, &project, &corpus, &diag), NM_ETIMEOUT);
    assert_non_null(strstr(diag.text, "broker tcp://127.0.0.1:1 does not answer"));
    nm_corpus_clean_up(&corpus);
    nm_buf_clean_up(&project);
}

static int set_up(void **state)
{
    (void)state;
    nm_net_init();
    build();
    for (size_t i = 0; i < N_SOCKETS; i++)
        if (nm_socket_bind(NM_ROUTER, "tcp://127.0.0.1:*", &play.sockets[i], NULL) != NM_OK)
            return -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SOCKETS; i++)
        nm_socket_destroy(&play.sockets[i]);
    for (size_t a = 0; a < N_ALIGNERS; a++) {
        nm_buf_clean_up(&play.index[a]);
        for (size_t s = 0; s < SHARDS; s++)
            nm_buf_clean_up(&play.shards[a][s]);
    }
    nm_net_clean_up();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_set_aside_is_left_out),
        cmocka_unit_test(test_sorted_and_once_each),
        cmocka_unit_test(test_shard_that_grows_is_read_again),
        cmocka_unit_test(test_what_is_wrong_is_said),
        cmocka_unit_test(test_nobody_there),
    };
    return cmocka_run_group_tests_name("unit.pull", tests, set_up, tear_down);
}
